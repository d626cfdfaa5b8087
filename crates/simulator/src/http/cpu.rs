//! Processor time of this process, so that a load test can tell the venue's share from the client's.

use std::fs;

/// Ticks per second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of all threads of this process on a processor, user and system; `None` where there is no `/proc`.
pub(super) fn seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

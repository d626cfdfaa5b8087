//! The disk's part: making 8 kB durable, as every commit has to.

use std::{fs::OpenOptions, io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use domain::Clock;

use super::sample::median;

/// Two pages of a write-ahead log: the smallest commit.
const APPENDED: [u8; 8 * 1_024] = [0x5a; 8 * 1_024];
/// How many are measured.
const SYNCS: usize = 50;

/// Median time of appending 8 kB to a file in `directory` and waiting until the disk has it.
pub(super) fn sync_time(directory: &Path, clock: &dyn Clock) -> anyhow::Result<Duration> {
    let path = directory.join("disk.probe");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = clock.uptime();
        file.write_all(&APPENDED)?;
        file.sync_data()?;
        times.push(clock.uptime().saturating_sub(start));
    }
    std::fs::remove_file(&path)?;
    Ok(median(times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn syncing_takes_time_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(sync_time(directory.path(), &SystemClock).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

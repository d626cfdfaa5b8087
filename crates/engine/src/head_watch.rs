//! Whether the chain's head advances, by uptime alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::limits;

/// Remembers the highest head seen and when it rose. Block times are not compared with our clock: one that
/// is ahead would make every head look old, and one that is behind every head new.
#[derive(Debug, Default)]
pub struct HeadWatch {
    latest: Mutex<Option<Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    number: i64,
    /// Uptime when it was seen to rise; `None` while it was seen only once.
    rose: Option<Duration>,
}

impl HeadWatch {
    /// Takes note of a head read at `uptime` and says whether the head has risen in the last
    /// [`limits::HEAD_STALLED_AFTER`]. The first look proves nothing.
    pub fn advances(&self, number: i64, uptime: Duration) -> bool {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match *latest {
            None => Seen { number, rose: None },
            Some(seen) if number > seen.number => Seen { number, rose: Some(uptime) },
            Some(seen) => seen,
        };
        *latest = Some(seen);
        seen.rose.is_some_and(|at| uptime.saturating_sub(at) < limits::HEAD_STALLED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_rises_is_fresh_and_one_that_stands_is_not() {
        let watch = HeadWatch::default();
        let at = |number, seconds| watch.advances(number, Duration::from_secs(seconds));
        assert_eq!([at(7, 0), at(7, 2), at(8, 4), at(8, 63), at(8, 64)], [false, false, true, true, false]);
        // A provider that lags has not advanced until it passes what was seen.
        assert_eq!([at(6, 70), at(8, 71), at(9, 72)], [false, false, true]);
    }
}

//! Whether the chain's head advances and its blocks are read, by uptime alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::limits;

/// Remembers the highest head seen, when it rose, and the one of the look before. Block times are not compared with our clock: one that
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
    /// Takes note of a head seen at `uptime`. Says whether the head has risen in the last
    /// [`limits::HEAD_STALLED_AFTER`], and whether the block that was the head at the look before has been read by now,
    /// if blocks are read up to `read_to`: what is in no block that was read may be in one that was not. The first look
    /// proves nothing.
    pub fn advances(&self, number: i64, read_to: Option<i64>, uptime: Duration) -> bool {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let read = latest.is_some_and(|before| read_to.is_some_and(|read_to| read_to >= before.number));
        let seen = match *latest {
            None => Seen { number, rose: None },
            Some(seen) if number > seen.number => Seen { number, rose: Some(uptime) },
            Some(seen) => seen,
        };
        *latest = Some(seen);
        read && seen.rose.is_some_and(|at| uptime.saturating_sub(at) < limits::HEAD_STALLED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_rises_is_fresh_and_one_that_stands_is_not() {
        let watch = HeadWatch::default();
        let at = |number, seconds| watch.advances(number, Some(number), Duration::from_secs(seconds));
        assert_eq!([at(7, 0), at(7, 2), at(8, 4), at(8, 63), at(8, 64)], [false, false, true, true, false]);
        // A provider that lags has not advanced until it passes what was seen.
        assert_eq!([at(6, 70), at(8, 71), at(9, 72)], [false, false, true]);
    }

    #[test]
    fn blocks_that_are_not_read_prove_nothing() {
        let watch = HeadWatch::default();
        let at = |number: u8, read_to| {
            watch.advances(i64::from(number), read_to, Duration::from_secs(u64::from(number)))
        };
        assert_eq!(
            [at(7, Some(7)), at(8, Some(7)), at(9, Some(8)), at(10, Some(8))],
            [false, true, true, false]
        );
        assert_eq!([at(11, Some(8)), at(12, None), at(13, Some(12))], [false, false, true]);
    }
}

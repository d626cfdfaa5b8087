//! Wall time that does not go back while this process lives.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock, Timestamp};

/// Remembers how far wall time had come. A clock that is set back would make a deadline that has passed
/// lie ahead again; judged by this, what has passed stays past.
#[derive(Debug, Default)]
pub struct SteadyTime {
    latest: Mutex<Option<(Timestamp, Duration)>>,
}

impl SteadyTime {
    /// The later of the clock's word and what it last said plus the uptime since.
    pub fn now(&self, clock: &dyn Clock) -> Timestamp {
        let (wall, uptime) = (clock.now(), clock.uptime());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = latest.map_or(wall, |(at, then)| at.plus(uptime.saturating_sub(then)));
        let now = wall.max(carried);
        *latest = Some((now, uptime));
        now
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use domain::clock::Sleep;

    use super::*;

    /// A clock whose wall and uptime are set by hand, in seconds.
    #[derive(Default)]
    struct ByHand {
        wall: AtomicI64,
        uptime: AtomicI64,
    }

    impl Clock for ByHand {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.wall.load(Ordering::Relaxed))
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.uptime.load(Ordering::Relaxed).unsigned_abs())
        }

        fn sleep(&self, _duration: Duration) -> Sleep {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_turn_time_back() {
        let clock = ByHand::default();
        let steady = SteadyTime::default();
        let at = |wall: i64, uptime: i64| {
            clock.wall.store(wall, Ordering::Relaxed);
            clock.uptime.store(uptime, Ordering::Relaxed);
            steady.now(&clock).seconds()
        };
        assert_eq!([at(100, 0), at(101, 1), at(41, 2), at(42, 3)], [100, 101, 102, 103]);
        // Set forward, it is believed.
        assert_eq!([at(500, 4), at(200, 14)], [500, 510]);
    }
}

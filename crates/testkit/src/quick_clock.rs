//! Time that passes faster than it does, for tests on real sockets that wait for limits of minutes and seconds.

use std::time::Duration;

use domain::{Clock, Timestamp, clock::Sleep};

/// A clock on which everything takes a fixed fraction of its time. Whoever shares it (the engine, its venue, the faults
/// between them) keeps its proportions; what the machine itself needs, and limits of libraries on real time, count for more.
pub struct QuickClock<C> {
    real: C,
    times: u32,
    start: (Timestamp, Duration),
}

impl<C: Clock> QuickClock<C> {
    /// Time that passes `times` as fast as on this clock, from now on.
    pub fn new(real: C, times: u32) -> Self {
        let start = (real.now(), real.uptime());
        Self { real, times, start }
    }

    fn passed(&self) -> Duration {
        self.real.uptime().saturating_sub(self.start.1).saturating_mul(self.times)
    }
}

impl<C: Clock> Clock for QuickClock<C> {
    fn now(&self) -> Timestamp {
        self.start.0.plus(self.passed())
    }

    fn uptime(&self) -> Duration {
        self.start.1.saturating_add(self.passed())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.real.sleep(duration / self.times.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::virtual_clock::VirtualClock;

    struct Shared(Arc<VirtualClock>);

    impl Clock for Shared {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn uptime(&self) -> Duration {
            self.0.uptime()
        }

        fn sleep(&self, duration: Duration) -> Sleep {
            self.0.sleep(duration)
        }
    }

    #[test]
    fn everything_on_it_passes_as_much_faster() {
        let real = VirtualClock::new(Timestamp::from_seconds(1_000));
        let quick = QuickClock::new(Shared(Arc::clone(&real)), 3);
        assert_eq!(
            (quick.now(), quick.uptime()),
            (real.now(), real.uptime()),
            "it begins with the real time"
        );
        let _sleep = quick.sleep(Duration::from_secs(6));
        assert_eq!(real.advance_to_next_timer(), Some(Duration::from_secs(2)));
        assert_eq!(quick.now(), Timestamp::from_seconds(1_006));
        assert_eq!(quick.uptime(), Duration::from_secs(6));
    }
}

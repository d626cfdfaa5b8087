//! This machine's clock against the venue's: measured at the start and once a minute, and said when it is
//! off. Never corrects a clock, and decides nothing by it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::Clock;
use engine::{
    deadline::venue_call,
    ports::venue::{VenueClock, VenueError},
};
use tracing::{debug, info, warn};

/// Time between two measurements.
pub const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// A clock that is certainly off by more than this is told about. The venue refuses what is dated wrongly by
/// more than it allows, and a follower's age limit counts by this clock.
const TOLERATED: Duration = Duration::from_secs(2);
/// An answer that takes longer says too little.
const DEADLINE: Duration = Duration::from_secs(2);
/// The venue tells whole seconds: its time is half of one later, give or take half of one.
const HALF_SECOND: Duration = Duration::from_millis(500);

/// How far this machine's clock is from the venue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// Ours less the venue's, in microseconds.
    pub micros: i64,
    /// How much more or less it may be.
    pub uncertain: Duration,
}

impl ClockSkew {
    /// Asks once.
    ///
    /// # Errors
    /// When the venue does not answer, or not in time.
    pub async fn measure(clock: &dyn Clock, venue: &dyn VenueClock) -> Result<Self, VenueError> {
        let (asked, uptime) = (clock.now(), clock.uptime());
        let told = venue_call(clock, "the venue's clock", DEADLINE, venue.server_time()).await?;
        let half_way = clock.uptime().saturating_sub(uptime) / 2;
        let (ours, theirs) = (asked.plus(half_way), told.plus(HALF_SECOND));
        Ok(Self { micros: ours.0.saturating_sub(theirs.0), uncertain: half_way + HALF_SECOND })
    }

    /// Whether it is certainly off by more than is tolerated.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.is_off_by(TOLERATED)
    }

    /// Whether it is certainly off by more than this.
    #[must_use]
    pub fn is_off_by(&self, tolerated: Duration) -> bool {
        Duration::from_micros(self.micros.unsigned_abs()) > tolerated + self.uncertain
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.micros.unsigned_abs().saturating_add(50_000) / 100_000;
        let way = if self.micros < 0 { "slow" } else { "fast" };
        write!(f, "this machine's clock is {}.{} s {way} by the venue's", tenths / 10, tenths % 10)?;
        if self.is_off() {
            write!(
                f,
                ": orders and logins may be refused, and trades look older or younger than they are. Set it \
                 right (`timedatectl set-ntp true`, or your system's way to keep time)"
            )?;
        }
        Ok(())
    }
}

/// The newest measurement, shared by whoever tells it.
#[derive(Clone, Default)]
pub struct ClockWatch(Arc<Mutex<Option<ClockSkew>>>);

impl ClockWatch {
    /// What was measured last; `None` before the first answer.
    #[must_use]
    pub fn skew(&self) -> Option<ClockSkew> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warning to show, while there is one.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.skew().filter(ClockSkew::is_off).map(|skew| skew.to_string())
    }

    /// Measures now and says in the log what is worth saying.
    pub async fn look(&self, clock: &dyn Clock, venue: &dyn VenueClock) {
        let skew = match ClockSkew::measure(clock, venue).await {
            Ok(skew) => skew,
            // The last measurement stands: a venue that is down says nothing about clocks.
            Err(error) => return debug!(%error, "the venue's clock cannot be read"),
        };
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(skew);
        match (before.is_some_and(|before| before.is_off()), skew.is_off()) {
            (_, true) => warn!("{skew}"),
            (true, false) => info!("{skew}: good again"),
            (false, false) => debug!("{skew}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use domain::Timestamp;
    use proptest::prelude::*;
    use testkit::{executor::block_on, virtual_clock::VirtualClock};

    use super::*;

    /// Answers in whole seconds, after a way there and a way back.
    struct Venue {
        clock: Arc<VirtualClock>,
        there: Duration,
        back: Duration,
    }

    #[async_trait]
    impl VenueClock for Venue {
        async fn server_time(&self) -> Result<Timestamp, VenueError> {
            self.clock.advance(self.there);
            let told = Timestamp::from_seconds(self.clock.now().seconds());
            self.clock.advance(self.back);
            Ok(told)
        }
    }

    fn measured(start: i64, micros: i64, there: u64, back: u64) -> ClockSkew {
        let clock = VirtualClock::new(Timestamp(start));
        let (there, back) = (Duration::from_millis(there), Duration::from_millis(back));
        let venue = Venue { clock: Arc::clone(&clock), there, back };
        block_on(ClockSkew::measure(clock.skewed(micros).as_ref(), &venue)).unwrap()
    }

    proptest! {
        #[test]
        fn the_truth_is_within_what_is_told(
            start in 1_790_000_000_000_000_i64..1_790_000_010_000_000,
            micros in -600_000_000_i64..600_000_000, there in 0_u64..900, back in 0_u64..900,
        ) {
            let skew = measured(start, micros, there, back);
            let error = Duration::from_micros((skew.micros - micros).unsigned_abs());
            prop_assert!(error <= skew.uncertain, "{skew:?}");
            let truth = Duration::from_micros(micros.unsigned_abs());
            prop_assert!(!skew.is_off() || truth > TOLERATED);
            prop_assert!(skew.is_off() || truth <= TOLERATED + 2 * skew.uncertain);
        }
    }

    #[test]
    fn a_warning_has_the_number_and_the_remedy() {
        let skew = measured(1_790_000_000_500_000, -300_000_000, 0, 0);
        assert!(skew.is_off());
        let text = skew.to_string();
        assert!(text.starts_with("this machine's clock is 300.0 s slow by the venue's: "), "{text}");
        assert!(text.contains("timedatectl"), "{text}");
        assert!(!measured(1_790_000_000_500_000, 2_000_000, 10, 10).is_off());
    }

    #[test]
    fn a_silent_venue_changes_nothing() {
        struct Silent;

        #[async_trait]
        impl VenueClock for Silent {
            async fn server_time(&self) -> Result<Timestamp, VenueError> {
                Err(VenueError::RateLimited { what: "GET /time".to_owned(), retry_after: None })
            }
        }

        let clock = VirtualClock::new(Timestamp::from_seconds(1_790_000_000));
        let venue = Venue { clock: Arc::clone(&clock), there: Duration::ZERO, back: Duration::ZERO };
        let watch = ClockWatch::default();
        block_on(watch.look(clock.as_ref(), &Silent));
        assert_eq!(watch.skew(), None);
        block_on(watch.look(clock.skewed(60_000_000).as_ref(), &venue));
        block_on(watch.look(clock.as_ref(), &Silent));
        assert!(watch.warning().unwrap().contains("59.5 s fast"), "{:?}", watch.warning());
        block_on(watch.look(clock.as_ref(), &venue));
        assert_eq!(watch.warning(), None);
    }
}

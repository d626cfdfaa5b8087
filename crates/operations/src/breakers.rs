//! The breakers of a process by name, shared by whoever makes calls and whoever asks before it begins something new.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::Clock;

use crate::{
    breaker::{Admit, Breaker, Forced, Outcome, State, View, mixed},
    limits::OVERRIDE_MOST,
};

/// There is no breaker of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no breaker `{name}`; there are {known}")]
pub struct NoBreaker {
    /// What was asked for.
    pub name: String,
    /// Those there are.
    pub known: String,
}

/// All of them.
pub struct Breakers {
    clock: Arc<dyn Clock>,
    each: Mutex<BTreeMap<&'static str, Breaker>>,
}

impl Breakers {
    /// Closed ones of these names. `seed` spreads the times at which processes try again.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64, names: &[&'static str]) -> Self {
        let spread = |(at, name): (u64, &&'static str)| (*name, Breaker::new(mixed(seed.wrapping_add(at))));
        Self { clock, each: Mutex::new((0..).zip(names).map(spread).collect()) }
    }

    /// Takes note of how a call ended; where the breaker stands now, if that is new.
    pub fn record(&self, name: &str, outcome: Outcome, took: Duration) -> Option<State> {
        let now = self.clock.uptime();
        self.lock().get_mut(name)?.record(now, outcome, took)
    }

    /// Asks all of these whether something new may begin. The longest wait counts, and nobody takes a probe's place whom
    /// another one stops.
    pub fn admit(&self, names: &[&str]) -> Admit {
        let now = self.clock.uptime();
        let mut each = self.lock();
        let mut wait = Duration::ZERO;
        for name in names {
            if let Some(breaker) = each.get(*name)
                && breaker.state(now) == State::Open
                && let Admit::NotFor(longer) = breaker.clone().admit(now)
            {
                wait = wait.max(longer);
            }
        }
        if wait > Duration::ZERO {
            return Admit::NotFor(wait);
        }
        for name in names {
            if let Some(Admit::NotFor(longer)) = each.get_mut(*name).map(|breaker| breaker.admit(now)) {
                wait = wait.max(longer);
            }
        }
        if wait > Duration::ZERO { Admit::NotFor(wait) } else { Admit::Yes }
    }

    /// An operator's word over one of them, for so long (a day at most); `None` takes it back.
    ///
    /// # Errors
    /// [`NoBreaker`].
    pub fn force(&self, name: &str, word: Option<(Forced, Duration)>) -> Result<(), NoBreaker> {
        let now = self.clock.uptime();
        let mut each = self.lock();
        let known = each.keys().copied().collect::<Vec<_>>().join(", ");
        let breaker = each.get_mut(name).ok_or_else(|| NoBreaker { name: name.to_owned(), known })?;
        breaker.force(word.map(|(word, time)| (word, now.saturating_add(time.min(OVERRIDE_MOST)))));
        Ok(())
    }

    /// How each of them stands.
    #[must_use]
    pub fn views(&self) -> Vec<(&'static str, View)> {
        let now = self.clock.uptime();
        self.lock().iter().map(|(name, breaker)| (*name, breaker.view(now))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Breaker>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    #[test]
    fn whoever_needs_two_waits_for_the_one_that_is_open_and_probes_none() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let breakers = Breakers::new(Arc::clone(&clock) as Arc<dyn Clock>, 1, &["orders", "reads"]);
        let fail =
            |name| (0..5).filter_map(|_| breakers.record(name, Outcome::Unreachable, Duration::ZERO)).last();
        assert_eq!(fail("reads"), Some(State::Open));
        clock.advance(Duration::from_secs(6));
        assert_eq!(fail("orders"), Some(State::Open));
        for _ in 0..10 {
            assert!(matches!(breakers.admit(&["orders", "reads"]), Admit::NotFor(_)));
        }
        // None of the ten took a probe's place.
        assert_eq!(breakers.admit(&["reads"]), Admit::Yes);
        assert_eq!(breakers.admit(&[]), Admit::Yes);
    }

    #[test]
    fn a_word_over_a_breaker_ends_after_a_day_and_a_wrong_name_is_told_the_right_ones() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let breakers = Breakers::new(Arc::clone(&clock) as Arc<dyn Clock>, 1, &["orders", "reads"]);
        breakers.force("orders", Some((Forced::Open, Duration::MAX))).unwrap();
        assert_eq!(breakers.admit(&["orders"]), Admit::NotFor(OVERRIDE_MOST));
        clock.advance(OVERRIDE_MOST);
        assert_eq!(breakers.admit(&["orders"]), Admit::Yes);
        let error = breakers.force("order", None).unwrap_err().to_string();
        assert_eq!(error, "there is no breaker `order`; there are orders, reads");
    }
}

//! The breakers around the venue's services: they hear how every call ends, and stop entries while a service does badly. Exits,
//! cancels and look-ups are never stopped here: they keep their own lane and their own pace, because whoever is in wants out.
//! The chain's providers each have one of their own (`slipstream rpc status`).

use std::{sync::Arc, time::Duration};

use domain::Clock;
use operations::{
    breaker::{Admit, Outcome, State},
    breakers::Breakers,
};
use polymarket::{AnswerWatch, End, Topic};
use tracing::{info, warn};

/// Markets, books, look-ups, and whatever else is read at the order book service.
pub const READS: &str = "polymarket_api/reads";
/// Orders, as the order book service takes them.
pub const ORDERS: &str = "polymarket_api/orders";
/// What leaders did and hold.
pub const HISTORY: &str = "data_api";

/// Those whose failing stops entries.
pub const OF_ENTRIES: [&str; 2] = [READS, ORDERS];

/// Whose breaker hears of a call. Cancels tell nothing of the path of orders, and the region and the relayer are asked too
/// seldom to be judged.
const fn breaker_of(topic: Topic) -> Option<&'static str> {
    match topic {
        Topic::Orders => Some(ORDERS),
        Topic::Markets | Topic::Books | Topic::Clock | Topic::LookUps | Topic::Balances | Topic::Logins => {
            Some(READS)
        }
        Topic::History | Topic::Positions => Some(HISTORY),
        Topic::Cancels | Topic::Region | Topic::Relayer => None,
    }
}

/// The breakers of a process.
#[derive(Clone)]
pub struct VenueBreakers(pub Arc<Breakers>);

impl VenueBreakers {
    /// Closed ones.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self(Arc::new(Breakers::new(clock, seed, &[READS, ORDERS, HISTORY])))
    }

    /// How long a new entry must wait; `None` when it may go on.
    #[must_use]
    pub fn stops_entry(&self, on_paper: bool) -> Option<Duration> {
        // On paper no order goes to the venue; the book it is filled from does come from there.
        let names: &[&str] = if on_paper { &[READS] } else { &OF_ENTRIES };
        match self.0.admit(names) {
            Admit::Yes => None,
            Admit::NotFor(wait) => Some(wait),
        }
    }
}

impl AnswerWatch for VenueBreakers {
    fn ended(&self, topic: Topic, end: End, took: Duration) {
        let Some(name) = breaker_of(topic) else { return };
        let outcome = match end {
            End::Answered => Outcome::Answered,
            End::PutOff => Outcome::Backpressure,
            End::Failed => Outcome::Failed,
            End::Unreachable => Outcome::Unreachable,
        };
        match self.0.record(name, outcome, took) {
            Some(State::Open) if OF_ENTRIES.contains(&name) => {
                warn!(name, "Polymarket API: breaker {name} is open: new entries wait, exits go on");
            }
            Some(State::Open) => warn!(name, "Polymarket API: breaker {name} is open"),
            Some(State::Closed) => info!(name, "Polymarket API: breaker {name} is closed again"),
            Some(State::HalfOpen) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    #[test]
    fn entries_with_real_money_need_the_order_path_too_and_refusals_open_nothing() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let breakers = VenueBreakers::new(Arc::clone(&clock) as Arc<dyn Clock>, 1);
        for _ in 0..100 {
            breakers.ended(Topic::Orders, End::PutOff, Duration::from_secs(9));
            breakers.ended(Topic::Orders, End::Answered, Duration::from_millis(9));
            breakers.ended(Topic::Cancels, End::Unreachable, Duration::ZERO);
            breakers.ended(Topic::History, End::Unreachable, Duration::ZERO);
        }
        assert_eq!(breakers.stops_entry(false), None);
        for _ in 0..5 {
            breakers.ended(Topic::Orders, End::Unreachable, Duration::ZERO);
        }
        assert!(breakers.stops_entry(false).is_some());
        assert_eq!(breakers.stops_entry(true), None);
    }
}

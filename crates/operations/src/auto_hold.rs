//! When a breaker holds everybody's entries, and when that is lifted: not at the first breath of trouble, so that nobody is
//! told of a blip (the breaker itself stops entries meanwhile), and not at the first breath of health.

use std::time::Duration;

use crate::limits::{HOLD_AFTER, LIFT_AFTER, LIFT_SPREAD};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Place the hold.
    Hold,
    /// Lift it.
    Lift,
}

/// Decides it, round by round.
#[derive(Clone, Debug)]
pub struct AutoHold {
    /// How much longer than others this process waits before it lifts.
    later: Duration,
    ill_since: Option<Duration>,
    well_since: Option<Duration>,
}

impl AutoHold {
    /// Nothing was seen yet. `seed` spreads the moments at which processes lift their holds.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let share = u32::try_from(crate::breaker::mixed(seed) % 1_000).unwrap_or(0);
        let later = LIFT_SPREAD.saturating_mul(share).checked_div(1_000).unwrap_or_default();
        Self { later, ill_since: None, well_since: None }
    }

    /// Somebody else holds already: asked again when trouble has lasted as long once more.
    pub const fn leave_it(&mut self) {
        self.ill_since = None;
    }

    /// One look at this uptime: whether a breaker stops entries, whether everything they need is well, whether they are held.
    pub fn step(&mut self, now: Duration, (stopped, well, held): (bool, bool, bool)) -> Option<Move> {
        self.ill_since = if stopped { self.ill_since.or(Some(now)) } else { None };
        self.well_since = if well && !stopped { self.well_since.or(Some(now)) } else { None };
        let lasted = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        if held {
            let lift_after = LIFT_AFTER.saturating_add(self.later);
            return lasted(self.well_since).filter(|well| *well >= lift_after).map(|_| Move::Lift);
        }
        lasted(self.ill_since).filter(|ill| *ill >= HOLD_AFTER).map(|_| Move::Hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second as told; the seconds at which it moved.
    fn moves(later: u64, looks: impl Fn(u64, bool) -> (bool, bool)) -> Vec<(u64, Move)> {
        let mut auto = AutoHold { later: Duration::from_secs(later), ..AutoHold::new(1) };
        let (mut held, mut moves) = (false, Vec::new());
        for second in 0..200 {
            let (stopped, well) = looks(second, held);
            if let Some(next) = auto.step(Duration::from_secs(second), (stopped, well, held)) {
                held = next == Move::Hold;
                moves.push((second, next));
            }
        }
        moves
    }

    #[test]
    fn trouble_that_lasts_holds_once_and_health_that_lasts_lifts_once() {
        let (hold, lift) = (HOLD_AFTER.as_secs(), LIFT_AFTER.as_secs());
        let outage = |second, _| ((10..100).contains(&second), !(10..=110).contains(&second));
        assert_eq!(moves(5, outage), [(10 + hold, Move::Hold), (111 + lift + 5, Move::Lift)]);
        assert_eq!(moves(0, |second, _| (second % 5 == 0, true)), [], "blips are the breaker's own business");
        assert_eq!(
            moves(0, |_, _| (true, true)),
            [(hold, Move::Hold)],
            "told once, and not lifted while it is open"
        );
    }

    #[test]
    fn processes_lift_at_moments_of_their_own() {
        let laters: std::collections::BTreeSet<_> = (0..50).map(|seed| AutoHold::new(seed).later).collect();
        assert!(laters.len() > 40 && laters.iter().all(|later| *later < LIFT_SPREAD));
    }
}

//! When whoever has a lease leaves it to others, because it can do nothing with it: its machine may be cut off from what
//! others reach.

use std::time::Duration;

use crate::limits::{IN_VAIN_LAST, STANDS_ASIDE};

/// How long somebody tries in vain, and stands aside then. Those who take over may fare the same: each time it
/// is tried for twice as long, until something succeeds.
#[derive(Clone, Copy, Debug)]
pub struct InVain {
    first: Duration,
    patience: Duration,
    /// Uptime at which the first of the rounds began that failed one after the other.
    since: Option<Duration>,
    aside_until: Option<Duration>,
}

impl InVain {
    /// Stands aside after so long.
    #[must_use]
    pub const fn after(first: Duration) -> Self {
        Self { first, patience: first, since: None, aside_until: None }
    }

    /// Whether it is for others to ask for the lease now.
    #[must_use]
    pub fn stands_aside(&self, now: Duration) -> bool {
        self.aside_until.is_some_and(|until| now < until)
    }

    /// Something succeeded.
    pub const fn worked(&mut self) {
        *self = Self::after(self.first);
    }

    /// The lease is somebody else's.
    pub const fn waits(&mut self) {
        self.since = None;
    }

    /// A round that began at `began` failed. Whether the lease is to be given up now.
    pub fn failed(&mut self, began: Duration, now: Duration) -> bool {
        let since = *self.since.get_or_insert(began);
        if now.saturating_sub(since) < self.patience {
            return false;
        }
        self.since = None;
        self.patience = self.patience.saturating_mul(2).min(IN_VAIN_LAST);
        self.aside_until = Some(now.saturating_add(STANDS_ASIDE));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_time_it_is_tried_for_twice_as_long_until_something_succeeds() {
        let mut in_vain = InVain::after(5 * SECOND);
        let mut now = Duration::ZERO;
        let mut tried_for = |in_vain: &mut InVain| {
            let from = now;
            while !in_vain.failed(now, now + SECOND / 2) {
                now += SECOND / 2;
            }
            now += SECOND / 2;
            assert!(in_vain.stands_aside(now) && !in_vain.stands_aside(now + STANDS_ASIDE));
            now - from
        };
        assert_eq!([5, 10, 20].map(|_| tried_for(&mut in_vain)), [5, 10, 20].map(|number| number * SECOND));
        in_vain.worked();
        assert_eq!(tried_for(&mut in_vain), 5 * SECOND);
        for _ in 0..9 {
            tried_for(&mut in_vain);
        }
        assert_eq!(tried_for(&mut in_vain), IN_VAIN_LAST);
    }

    /// One that fails from time to time works, and a single round may take longer than the patience.
    #[test]
    fn what_counts_is_what_fails_one_after_the_other() {
        let mut in_vain = InVain::after(5 * SECOND);
        for at in 0..60 {
            assert!(!in_vain.failed(at * SECOND, (at + 1) * SECOND));
            if at % 3 == 2 {
                in_vain.worked();
            }
        }
        assert!(!in_vain.failed(60 * SECOND, 64 * SECOND));
        in_vain.waits();
        assert!(!in_vain.failed(64 * SECOND, 65 * SECOND), "another reign");
        assert!(in_vain.failed(65 * SECOND, 75 * SECOND));
    }
}

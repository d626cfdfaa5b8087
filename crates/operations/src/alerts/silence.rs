//! Silences: an alert that somebody knows of is not told for a while. Each has an owner, a reason and an end.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RULES, Rule};
use crate::limits::SILENCE_MOST;

/// Somebody's word that an alert is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The alert.
    pub rule: String,
    /// Until when.
    pub until: Timestamp,
    /// Whose word it is.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A silence that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSilence {
    /// No such alert.
    #[error("there is no alert `{name}`; there are {}", RULES.iter().map(|rule| rule.name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It guards money.
    #[error("`{name}` guards money and cannot be silenced: it ends when what is wrong is put right")]
    Money {
        /// What was asked for.
        name: String,
    },
    /// Its end is past, or too far.
    #[error("a silence ends within a week, and not before it begins")]
    Until,
}

impl Silence {
    /// Looks whether it may be.
    ///
    /// # Errors
    /// [`BadSilence`].
    pub fn check(&self, now: Timestamp) -> Result<(), BadSilence> {
        let name = || self.rule.clone();
        let rule = RULES.iter().find(|rule| rule.name == self.rule);
        let rule = rule.ok_or_else(|| BadSilence::Unknown { name: name() })?;
        if rule.money {
            return Err(BadSilence::Money { name: name() });
        }
        if self.until <= now || self.until.since(now) > SILENCE_MOST {
            return Err(BadSilence::Until);
        }
        Ok(())
    }
}

/// The silences in force, as this process read them last.
#[derive(Debug, Default)]
pub struct Silences(Mutex<BTreeSet<String>>);

impl Silences {
    /// Takes in what was read, as of now.
    pub fn learn(&self, silences: &[Silence], now: Timestamp) {
        let in_force = silences.iter().filter(|silence| silence.until > now);
        *self.lock() = in_force.map(|silence| silence.rule.clone()).collect();
    }

    /// Whether an alert is not to be told now; whatever somebody wrote into the books, one that guards money is.
    #[must_use]
    pub fn hide(&self, rule: &Rule) -> bool {
        !rule.money && self.lock().contains(rule.name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_silence_is_of_a_known_alert_and_ends_within_a_week() {
        let now = Timestamp::from_seconds(1_000);
        let silence = |rule: &str, until: Timestamp| {
            let silence = Silence { rule: rule.to_owned(), until, who: String::new(), reason: String::new() };
            silence.check(now)
        };
        let hour = now.plus(Duration::from_secs(3_600));
        assert_eq!(silence("QueueStuck", hour), Ok(()));
        assert!(matches!(silence("QueueStock", hour), Err(BadSilence::Unknown { .. })));
        assert!(matches!(silence("InvariantBroken", hour), Err(BadSilence::Money { .. })));
        assert_eq!(silence("QueueStuck", now), Err(BadSilence::Until));
        assert_eq!(
            silence("QueueStuck", now.plus(SILENCE_MOST + Duration::from_secs(1))),
            Err(BadSilence::Until)
        );
    }
}

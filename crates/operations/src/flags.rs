//! Feature flags: what is let through, and for which share of those concerned. Stored, so that every process of an installation
//! goes by the same; each reads them again in less than a second. A flag lets less happen, never more: what a hold or a pause
//! stops stays stopped, whatever a flag says. Kill switches are holds.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::breaker::mixed;

/// A flag that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it lets through.
    pub meaning: &'static str,
}

/// Entries of accounts with play money.
pub const PAPER_ENTRIES: Known = Known {
    name: "entries.paper",
    meaning: "new entries of accounts on paper; exits are let through always",
};
/// Entries of accounts with real money.
pub const LIVE_ENTRIES: Known = Known {
    name: "entries.live",
    meaning: "new entries of accounts with real money; exits are let through always",
};

/// All of them. What nobody has set lets everybody through.
pub const KNOWN: [Known; 2] = [PAPER_ENTRIES, LIVE_ENTRIES];

/// A flag as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Its name.
    pub name: String,
    /// Of a hundred of those concerned so many are let through, always the same ones; those let through at less are also at more.
    pub percent: u8,
    /// When it was set.
    pub at: Timestamp,
    /// By whom.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A flag that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFlag {
    /// Nobody knows it.
    #[error("there is no flag `{name}`; there are {}", KNOWN.map(|known| known.name).join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Not a percentage.
    #[error("{percent} % is more than everybody: set 0 to 100")]
    Percent {
        /// What was asked for.
        percent: u8,
    },
}

/// Looks whether a flag may be set so.
///
/// # Errors
/// [`BadFlag::Unknown`], [`BadFlag::Percent`].
pub fn check(flag: &Flag) -> Result<(), BadFlag> {
    if !KNOWN.iter().any(|known| known.name == flag.name) {
        return Err(BadFlag::Unknown { name: flag.name.clone() });
    }
    if flag.percent > 100 {
        return Err(BadFlag::Percent { percent: flag.percent });
    }
    Ok(())
}

/// The flags as this process read them last. While they cannot be read the last word counts.
#[derive(Debug, Default)]
pub struct Flags(Mutex<BTreeMap<String, u8>>);

impl Flags {
    /// Takes in what was read.
    pub fn learn(&self, flags: &[Flag]) {
        *self.lock() = flags.iter().map(|flag| (flag.name.clone(), flag.percent)).collect();
    }

    /// Whether whoever has these bytes for a name is let through.
    #[must_use]
    pub fn lets(&self, flag: Known, subject: &[u8]) -> bool {
        let percent = self.lock().get(flag.name).copied().unwrap_or(100);
        place(flag.name, subject) < percent
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where of a hundred somebody stands for a flag: the same for ever, and for each flag another place.
fn place(flag: &str, subject: &[u8]) -> u8 {
    let bytes = flag.bytes().chain([0]).chain(subject.iter().copied());
    let hash = bytes.fold(0_u64, |hash, byte| mixed(hash ^ u64::from(byte)));
    u8::try_from(hash % 100).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flag(name: &str, percent: u8) -> Flag {
        Flag { name: name.to_owned(), percent, at: Timestamp(0), who: String::new(), reason: String::new() }
    }

    #[test]
    fn what_nobody_set_lets_everybody_through_and_zero_nobody() {
        let flags = Flags::default();
        let through =
            |flags: &Flags| (0..1_000_u32).filter(|one| flags.lets(LIVE_ENTRIES, &one.to_be_bytes())).count();
        assert_eq!(through(&flags), 1_000);
        flags.learn(&[flag("entries.live", 0)]);
        assert_eq!(through(&flags), 0);
        assert!(flags.lets(PAPER_ENTRIES, b"x"), "another flag");
        flags.learn(&[flag("entries.live", 10)]);
        let tenth = through(&flags);
        assert!((60..=140).contains(&tenth), "{tenth}");
        flags.learn(&[flag("entries.live", 100)]);
        assert_eq!(through(&flags), 1_000);
    }

    #[test]
    fn what_may_not_be_set_is_refused_by_name() {
        assert_eq!(check(&flag("entries.live", 100)), Ok(()));
        assert_eq!(check(&flag("entries.live", 101)), Err(BadFlag::Percent { percent: 101 }));
        let unknown = check(&flag("entres", 1)).unwrap_err().to_string();
        assert_eq!(unknown, "there is no flag `entres`; there are entries.paper, entries.live");
    }

    proptest! {
        /// Opening further shuts nobody out again.
        #[test]
        fn who_is_let_through_at_less_is_at_more(subject in any::<[u8; 20]>(), less in 0_u8..=100, more in 0_u8..=100) {
            let (less, more) = (less.min(more), less.max(more));
            let flags = Flags::default();
            flags.learn(&[flag("entries.live", less)]);
            let before = flags.lets(LIVE_ENTRIES, &subject);
            flags.learn(&[flag("entries.live", more)]);
            prop_assert!(!before || flags.lets(LIVE_ENTRIES, &subject));
        }
    }
}

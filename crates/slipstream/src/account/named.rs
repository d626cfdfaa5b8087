//! Which account a name or number means.

use anyhow::bail;
use domain::ids::AccountId;
use engine::ports::following::Account;

use super::AccountLine;

/// What has a name and a number, as accounts have.
pub(crate) trait Named {
    /// Its name.
    fn label(&self) -> &str;
    /// Its number.
    fn number(&self) -> AccountId;
    /// Whether it was removed: its name may be another one's now.
    fn is_removed(&self) -> bool;
}

impl Named for Account {
    fn label(&self) -> &str {
        &self.label
    }
    fn number(&self) -> AccountId {
        self.trading.id
    }
    fn is_removed(&self) -> bool {
        self.removed
    }
}

/// Lines are of accounts that are there.
impl Named for AccountLine {
    fn label(&self) -> &str {
        &self.label
    }
    fn number(&self) -> AccountId {
        self.id
    }
    fn is_removed(&self) -> bool {
        false
    }
}

/// The one account of this name or number that was not removed.
///
/// # Errors
/// When there is none, or when several are called so; with those there are.
pub(crate) fn named<T: Named>(accounts: impl IntoIterator<Item = T>, name: &str) -> anyhow::Result<T> {
    let mut there: Vec<T> = accounts.into_iter().filter(|account| !account.is_removed()).collect();
    let mut called = there.iter().enumerate().filter(|(_, account)| account.label() == name);
    let found = match (called.next(), called.next()) {
        (Some((place, _)), None) => Some(place),
        _ => there.iter().position(|account| account.number().0.to_string() == name),
    };
    if let Some(place) = found {
        return Ok(there.swap_remove(place));
    }
    let labels: Vec<&str> = there.iter().map(Named::label).collect();
    bail!(
        "there is no account `{name}`, or several are called so; there are {}. `slipstream account list` has their numbers",
        if labels.is_empty() { "none".to_owned() } else { labels.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(i64, &'static str, bool);

    impl Named for One {
        fn label(&self) -> &str {
            self.1
        }
        fn number(&self) -> AccountId {
            AccountId(self.0)
        }
        fn is_removed(&self) -> bool {
            self.2
        }
    }

    #[test]
    fn a_name_means_an_account_that_is_there_and_no_other() {
        let all =
            || [One(1, "main", true), One(2, "main", false), One(3, "two", false), One(4, "two", false)];
        let number = |name: &str| named(all(), name).map(|one| one.0).map_err(|error| error.to_string());
        assert_eq!(number("main"), Ok(2), "the one that was removed is called so no longer");
        assert_eq!((number("2"), number("4")), (Ok(2), Ok(4)));
        for wrong in ["two", "1", "+2", "02", "gone"] {
            let told = number(wrong).unwrap_err();
            assert!(told.contains("there are main, two, two"), "{told}");
        }
    }
}

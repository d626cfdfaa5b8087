//! Arming and caps: what is refused, what a restart remembers, what tampering does.

use std::os::unix::fs::PermissionsExt as _;

use domain::{Timestamp, money::ONE};
use proptest::prelude::*;
use testkit::virtual_clock::VirtualClock;

use super::*;
use crate::Unlock;

struct Place {
    directory: tempfile::TempDir,
    vault: Vault,
    clock: Arc<VirtualClock>,
}

impl Place {
    fn new() -> Self {
        let identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        let vault = Vault::create(&Unlock::read(identity.as_bytes()).ok().unwrap()).ok().unwrap();
        let clock = VirtualClock::new(Timestamp(20_000 * DAY));
        Self { directory: tempfile::tempdir().unwrap(), vault, clock }
    }

    fn open(&self) -> Result<Spending, SpendingError> {
        Spending::open(self.directory.path(), &self.vault, Arc::clone(&self.clock) as _)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }
}

fn key() -> KeyRef {
    KeyRef("wallet".to_owned())
}

fn dollars(usd: i64) -> Usd {
    Usd(usd * ONE)
}

fn caps(order: i64, day: i64) -> Caps {
    Caps { order: dollars(order), day: dollars(day) }
}

fn digest(number: u8) -> Hash {
    Hash([number; 32])
}

fn refused(answer: &Result<(), SignerError>, word: &str) -> bool {
    matches!(answer, Err(SignerError::Policy(text)) if text.contains(word))
}

#[test]
fn nothing_is_spent_unarmed_and_nothing_beyond_the_caps() {
    let place = Place::new();
    let spending = place.open().unwrap();
    assert!(refused(&spending.spend(&key(), digest(1), dollars(1)), "not armed"));
    assert!(refused(&spending.spend(&key(), digest(1), Usd::ZERO), "not armed"), "a sale neither");
    spending.arm(&key(), caps(10, 25)).unwrap();
    assert!(refused(&spending.spend(&key(), digest(1), dollars(11)), "cap of an order"));
    assert_eq!(spending.spend(&key(), digest(1), dollars(10)), Ok(()));
    assert_eq!(spending.spend(&key(), digest(1), dollars(10)), Ok(()), "the same order counts once");
    assert_eq!(spending.standing(&key()).spent, dollars(10));
    assert_eq!(spending.spend(&key(), digest(2), dollars(10)), Ok(()));
    assert!(refused(&spending.spend(&key(), digest(3), dollars(6)), "cap of a day"));
    assert_eq!(spending.spend(&key(), digest(4), dollars(5)), Ok(()));
    assert_eq!(spending.spend(&key(), digest(5), Usd::ZERO), Ok(()), "a sale spends nothing");
    assert!(refused(&spending.spend(&KeyRef("other".to_owned()), digest(6), dollars(1)), "not armed"));
    // The next day; a clock that goes back begins none.
    place.clock.shift_wall(DAY);
    assert_eq!(spending.standing(&key()).spent, Usd::ZERO);
    assert_eq!(spending.spend(&key(), digest(7), dollars(10)), Ok(()));
    place.clock.shift_wall(-DAY);
    assert_eq!(spending.spend(&key(), digest(8), dollars(10)), Ok(()));
    assert!(refused(&spending.spend(&key(), digest(9), dollars(10)), "cap of a day"));
    spending.disarm(&key()).unwrap();
    assert!(refused(&spending.spend(&key(), digest(8), dollars(1)), "not armed"));
    for bad in [caps(0, 1), caps(2, 1), caps(-1, 5), caps(1, MOST_DOLLARS + 1)] {
        assert!(matches!(spending.arm(&key(), bad), Err(SpendingError::Caps(_))), "{bad:?}");
    }
}

#[test]
fn a_restart_remembers_who_is_armed_and_never_spends_a_day_twice() {
    let place = Place::new();
    let spending = place.open().unwrap();
    spending.arm(&key(), caps(10, 32)).unwrap();
    spending.arm(&KeyRef("gone".to_owned()), caps(1, 1)).unwrap();
    spending.disarm(&KeyRef("gone".to_owned())).unwrap();
    spending.spend(&key(), digest(1), dollars(10)).unwrap();
    drop(spending);
    let spending = place.open().unwrap();
    let standing = spending.standing(&key());
    assert_eq!(standing.caps, Some(caps(10, 32)));
    // What was taken out of the file counts, spent or not: ten dollars and a sixteenth of the day.
    assert_eq!(standing.spent, dollars(12));
    assert_eq!(spending.standing(&KeyRef("gone".to_owned())).caps, None);
    // Arming anew gives no new day.
    spending.arm(&key(), caps(10, 15)).unwrap();
    assert!(refused(&spending.spend(&key(), digest(2), dollars(10)), "cap of a day"));
    let mode = fs::metadata(place.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn whoever_changes_the_file_arms_nobody() {
    let place = Place::new();
    let spending = place.open().unwrap();
    spending.arm(&key(), caps(10, 20)).unwrap();
    spending.spend(&key(), digest(1), dollars(10)).unwrap();
    for (number, usd) in [(2, 4), (3, 6)] {
        spending.spend(&key(), digest(number), dollars(usd)).unwrap();
    }
    drop(spending);
    let good = fs::read_to_string(place.path()).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(lines.len(), 4, "{good}");
    let all = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let forged = [
        good.replace("10000000", "90000000"),
        all(&[lines[0], lines[2]]),
        all(&[lines[1], lines[0]]),
        all(&[lines[0], lines[0]]),
        good.replace(&lines[0][..4], "0000"),
        "armed\n".to_owned(),
    ];
    for text in forged {
        fs::write(place.path(), &text).unwrap();
        assert!(matches!(place.open(), Err(SpendingError::Damaged { .. })), "{text}");
        assert_eq!(fs::read_to_string(place.path()).unwrap(), text, "the evidence stays");
    }
    // Another installation's.
    fs::write(place.path(), &good).unwrap();
    let other = Place::new();
    fs::copy(place.path(), other.path()).unwrap();
    assert!(matches!(other.open(), Err(SpendingError::Damaged { .. })));
    // A record that a crash cut short is none.
    fs::write(place.path(), &good[..good.len() - 5]).unwrap();
    assert_eq!(place.open().unwrap().standing(&key()).caps, Some(caps(10, 20)));
}

/// Of a file that was disarmed no beginning is armed, wherever it is cut off.
#[test]
fn whoever_cuts_off_records_arms_nobody() {
    let place = Place::new();
    let spending = place.open().unwrap();
    spending.arm(&key(), caps(10, 20)).unwrap();
    spending.spend(&key(), digest(1), dollars(10)).unwrap();
    spending.disarm(&key()).unwrap();
    spending.arm(&KeyRef("other".to_owned()), caps(1, 2)).unwrap();
    spending.spend(&KeyRef("other".to_owned()), digest(2), dollars(1)).unwrap();
    drop(spending);
    let good = fs::read(place.path()).unwrap();
    for length in 0..=good.len() {
        fs::write(place.path(), &good[..length]).unwrap();
        assert_eq!(place.open().unwrap().standing(&key()).caps, None, "{length} bytes");
    }
    let standing = place.open().unwrap().standing(&key());
    // Ten dollars, and a sixteenth of the day.
    assert_eq!(standing.spent, Usd(11_250_000), "what was spent is not forgotten by disarming");
}

#[test]
fn a_full_disk_signs_nothing() {
    let place = Place::new();
    let spending = place.open().unwrap();
    spending.arm(&key(), caps(10, 20)).unwrap();
    // Neither what is added nor what is written anew.
    spending.books().file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    std::os::unix::fs::symlink("/dev/full", place.path().with_extension("new")).unwrap();
    let answer = spending.spend(&key(), digest(1), dollars(10));
    assert!(matches!(answer, Err(SignerError::Unavailable(_))), "{answer:?}");
    assert_eq!(spending.standing(&key()).spent, Usd::ZERO);
    assert!(spending.disarm(&key()).is_err());
    assert!(refused(&spending.spend(&key(), digest(1), dollars(10)), "not armed"));
}

/// The file is in its place and the directory does not say whether that lasts: it is told, and what is spent afterwards is
/// written where a restart reads it.
#[test]
fn a_directory_that_cannot_be_synced_arms_nobody_and_forgets_nothing() {
    let place = Place::new();
    let spending = place.open().unwrap();
    spending.arm(&key(), caps(10, 20)).unwrap();
    spending.books().sync = |_| Err(io::Error::other("no sync"));
    let other = KeyRef("other".to_owned());
    assert!(spending.arm(&other, caps(10, 20)).is_err());
    assert_eq!(spending.standing(&other).caps, None);
    spending.spend(&key(), digest(1), dollars(10)).unwrap();
    drop(spending);
    let spending = place.open().unwrap();
    assert_eq!(spending.standing(&other).caps, None, "what was refused is not there after a restart");
    assert!(spending.standing(&key()).spent >= dollars(10), "what was spent is");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is asked for, and however often the signer starts again: a day never spends more than its cap.
    #[test]
    fn a_day_never_spends_more_than_its_cap(
        orders in proptest::collection::vec((1_i64..40, any::<bool>()), 1..40),
        day in 1_i64..100,
    ) {
        let place = Place::new();
        let mut spending = place.open().unwrap();
        spending.arm(&key(), caps(day.min(40), day)).unwrap();
        let mut signed = Usd::ZERO;
        for (number, (usd, restart)) in orders.into_iter().enumerate() {
            if spending.spend(&key(), digest(number as u8), dollars(usd)).is_ok() {
                signed = signed.plus(dollars(usd)).unwrap();
            }
            if restart {
                drop(spending);
                spending = place.open().unwrap();
            }
        }
        prop_assert!(signed <= dollars(day), "{signed} of {day}");
    }
}

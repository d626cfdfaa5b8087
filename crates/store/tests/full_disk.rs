//! A disk that is full: a small tmpfs (needs the right to mount; where it is missing, `./test` leaves the test named
//! `a_small_disk` out and counts it as skipped), and a limit of file sizes, which anybody may set. One after the other,
//! because that limit is the process's.

#![cfg(test)]

use std::{path::Path, process::Command};

use domain::Timestamp;
use engine::ports::{following::Following as _, reports::Reports as _, store::StoreError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use store::SqlStore;
use testkit::virtual_clock::VirtualClock;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
/// SIGXFSZ: a write beyond the limit of file sizes.
const FILE_TOO_LARGE: i32 = 25;
/// Room for a fresh database and some hundred commits.
const SMALL: &str = "size=2m";
const LARGER: &str = "size=8m";

async fn open(directory: &Path) -> SqlStore {
    SqlStore::open(&directory.join("slipstream.db"), VirtualClock::new(NOW)).await.unwrap()
}

/// Adds owners until one is refused. Returns the names that were taken, and the refusal.
async fn fill(store: &SqlStore) -> (Vec<String>, StoreError) {
    let mut names = Vec::new();
    loop {
        let name = format!("{} {}", names.len(), "x".repeat(500));
        match store.add_owner(&name, NOW).await {
            Ok(_) => names.push(name),
            Err(error) => return (names, error),
        }
        assert!(names.len() < 10_000, "the disk never filled up");
    }
}

/// The names stored are exactly these: nothing lost, nothing doubled, and the file is whole.
async fn holds_exactly(directory: &Path, expected: &[String]) {
    let file = directory.join("slipstream.db");
    let mut shell = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    let names: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM owners ORDER BY id").fetch_all(&mut shell).await.unwrap();
    let names: Vec<String> = names.into_iter().map(|(name,)| name).collect();
    assert_eq!(names, expected);
    let (verdict,): (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut shell).await.unwrap();
    assert_eq!(verdict, "ok");
}

/// What cannot be written is refused as such, what was written stays and can be read, and with room again the
/// store goes on. `make_room` undoes what `fill` ran into.
async fn refuses_and_recovers(directory: &Path, store: SqlStore, make_room: impl FnOnce()) -> StoreError {
    let (mut names, refused) = fill(&store).await;
    // At least as long as the one that was refused: a shorter one may still fit.
    let again = store.add_owner(&"still no room ".repeat(40), NOW).await;
    let read = store.config_version().await;
    make_room();
    again.unwrap_err();
    read.unwrap();
    store.add_owner("with room again", NOW).await.unwrap();
    names.push("with room again".to_owned());
    // The refused ones left no trace, neither in the rows nor in the number of commits.
    assert_eq!(store.commit_mark().await.unwrap().0, i64::try_from(names.len()).unwrap());
    drop(store);
    drop(open(directory).await);
    holds_exactly(directory, &names).await;
    refused
}

/// A tmpfs, unmounted with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SMALL, "tmpfs"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert!(mounted.status.success(), "no tmpfs: {}", String::from_utf8_lossy(&mounted.stderr));
        Self(directory)
    }

    fn enlarge(&self) {
        let remount = format!("remount,{LARGER}");
        let done = Command::new("mount").args(["-o", &remount]).arg(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever is still open goes with its process.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// The limit of one test would hit the other.
static ONE_BY_ONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_small_disk_refuses_and_recovers() {
    let _alone = ONE_BY_ONE.lock().await;
    let disk = SmallDisk::mount();
    let store = open(disk.0.path()).await;
    let refused = refuses_and_recovers(disk.0.path(), store, || disk.enlarge()).await;
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
}

#[tokio::test]
async fn a_limit_of_file_sizes_refuses_and_recovers() {
    let _alone = ONE_BY_ONE.lock().await;
    let _signal = signal(SignalKind::from_raw(FILE_TOO_LARGE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let log = std::fs::metadata(directory.path().join("slipstream.db-wal")).unwrap().len();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(log + 10_000), ..before }).unwrap();
    let make_room = || setrlimit(Resource::Fsize, before).unwrap();
    let refused = refuses_and_recovers(directory.path(), store, make_room).await;
    // A write that is too large for the limit is an IO error, not a full disk.
    assert!(matches!(refused, StoreError::OutcomeUnknown(_) | StoreError::Full(_)), "{refused}");
}

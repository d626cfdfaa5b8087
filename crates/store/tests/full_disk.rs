//! A disk that is full. Alone in its process, because the limit that stands for it is the process's.

#![cfg(test)]

use domain::Timestamp;
use engine::ports::{following::Following as _, reports::Reports as _, store::StoreError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::SqliteStore;
use testkit::virtual_clock::VirtualClock;
use tokio::signal::unix::{SignalKind, signal};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
/// SIGXFSZ: a write beyond the limit of file sizes.
const FILE_TOO_LARGE: i32 = 25;

/// A limit of file sizes stands for the full disk: what cannot be written is refused as such, what was
/// written stays, and with room again the store goes on.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let _signal = signal(SignalKind::from_raw(FILE_TOO_LARGE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let store = SqliteStore::open(&file, VirtualClock::new(NOW)).await.unwrap();
    store.add_owner("somebody", NOW).await.unwrap();
    let log = std::fs::metadata(directory.path().join("slipstream.db-wal")).unwrap().len();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(log + 10_000), ..before }).unwrap();
    let mut names = Vec::new();
    let refused = loop {
        let name = format!("{} {}", names.len(), "x".repeat(500));
        match store.add_owner(&name, NOW).await {
            Ok(_) => names.push(name),
            Err(error) => break error,
        }
        assert!(names.len() < 1_000, "the limit never stopped a write");
    };
    let still = store.config_version().await;
    setrlimit(Resource::Fsize, before).unwrap();
    assert!(matches!(refused, StoreError::OutcomeUnknown(_) | StoreError::Full(_)), "{refused}");
    still.unwrap();
    store.add_owner("with room again", NOW).await.unwrap();
    let (number, _) = store.commit_mark().await.unwrap();
    // The first owner, those that fitted, the last; the refused one left no trace.
    assert_eq!(number, i64::try_from(names.len()).unwrap() + 2);
}

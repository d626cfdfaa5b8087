//! Opening a database: its directory belongs to one process, its schema to one version or an older one.

#![cfg(test)]

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use domain::{Address, Timestamp};
use engine::ports::{
    following::Following as _, reports::Reports as _, store::InstanceId, store::Leases as _,
};
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use store::{OpenError, SCHEMA_VERSION, SqlStore};
use testkit::virtual_clock::VirtualClock;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

async fn open(file: &Path) -> Result<SqlStore, OpenError> {
    SqlStore::open(file, VirtualClock::new(NOW)).await
}

/// A connection past the store, as an operator's shell has it.
async fn shell(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made").join("slipstream.db");
    let store = open(&file).await.unwrap();
    let leader = store.add_leader(Address([7; 20]), NOW).await.unwrap();
    let (number, mark) = store.commit_mark().await.unwrap();
    drop(store);
    let store = open(&file).await.unwrap();
    assert_eq!(store.leaders().await.unwrap().first().map(|known| known.id), Some(leader));
    assert_eq!(store.commit_mark().await.unwrap(), (number, mark));
    let booked = store.booked_version().await.unwrap();
    store.begin_instance(&InstanceId("a".to_owned()), NOW).await.unwrap();
    assert_eq!(store.commit_mark().await.unwrap(), (number + 1, mark));
    // Only bookings make the watcher read all relationships again.
    assert_eq!(store.booked_version().await.unwrap(), booked);
}

#[tokio::test]
async fn installations_have_marks_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory.path().join("a").join("slipstream.db")).await.unwrap();
    let second = open(&directory.path().join("b").join("slipstream.db")).await.unwrap();
    assert_ne!(first.commit_mark().await.unwrap().1, second.commit_mark().await.unwrap().1);
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_its_holder_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let first = open(&file).await.unwrap();
    let refused = open(&file).await.err().unwrap();
    assert!(matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(first);
    open(&file).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    drop(open(&file).await.unwrap());
    let mut shell = shell(&file).await;
    shell
        .execute("UPDATE installation SET schema_version = 99, serves = 99, software = '9.8.7'")
        .await
        .unwrap();
    let refused = open(&file).await.err().unwrap();
    assert!(matches!(refused, OpenError::NewerSchema { found: 99, known: SCHEMA_VERSION, .. }));
    let text = refused.to_string();
    assert!(text.contains("9.8.7") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let kept: (i64, String) = sqlx::query_as("SELECT schema_version, software FROM installation")
        .fetch_one(&mut shell)
        .await
        .unwrap();
    assert_eq!(kept, (99, "9.8.7".to_owned()));
    // The refusal gives the directory back.
    shell.execute("UPDATE installation SET schema_version = 1, software = '0.0.1'").await.unwrap();
    open(&file).await.unwrap();
}

#[tokio::test]
async fn files_belong_to_their_user_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made").join("slipstream.db");
    let store = open(&file).await.unwrap();
    store.add_owner("somebody", NOW).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "database, log, its index and the lock");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    std::fs::write(&file, [0x55; 8_192]).unwrap();
    let refused = open(&file).await.err().unwrap();
    assert!(matches!(&refused, OpenError::Foreign { path, .. } if *path == file), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), [0x55; 8_192]);
}

/// A look works beside whoever holds the directory, sees what is committed, and writes nothing.
#[tokio::test]
async fn a_look_disturbs_nobody_and_finds_damage() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let looked = async || SqlStore::look(&file, VirtualClock::new(NOW)).await;
    assert!(looked().await.is_err() && !file.exists(), "a look makes nothing");
    let store = open(&file).await.unwrap();
    let leader = store.add_leader(Address([7; 20]), NOW).await.unwrap();
    let look = looked().await.unwrap();
    assert_eq!(look.leaders().await.unwrap()[0].id, leader);
    assert!(look.add_leader(Address([8; 20]), NOW).await.is_err());
    let found = look.examine().await.unwrap();
    assert_eq!((found.schema, found.damage.len(), found.bytes > 4_096), (SCHEMA_VERSION, 0, true));
    assert_eq!(store.leaders().await.unwrap().len(), 1);
    drop(look);
    store.close().await.unwrap();
    drop(store);
    // A page in the middle is not what it was.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let damaged = match looked().await {
        Ok(look) => look.examine().await.is_ok_and(|found| !found.damage.is_empty()),
        Err(refused) => refused.to_string().contains("malformed"),
    };
    assert!(damaged);
}

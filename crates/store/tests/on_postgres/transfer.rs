//! From a file to a server and back: every row, and nothing twice.

use std::{path::Path, sync::Arc};

use domain::{Address, Clock, Timestamp};
use engine::ports::{
    following::Following as _,
    reports::Reports as _,
    store::{InstanceId, Leases as _, Store},
};
use store::{PostgresAddress, SqlStore, StoreClock, TransferError};
use testkit::{
    executor::block_on,
    simulation::{histories::History, rows::rows},
    virtual_clock::VirtualClock,
};

use crate::{SERVER, new_database};

fn address(name: &str) -> PostgresAddress {
    SERVER.url(name).parse().unwrap()
}

async fn open(file: &Path) -> SqlStore {
    SqlStore::open(file, VirtualClock::new(Timestamp(1))).await.unwrap()
}

/// A file in which a random history has happened, with orders, fills and a ledger.
async fn played(file: &Path) -> Vec<String> {
    let path = file.to_owned();
    let at = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _context = at.enter();
        let make = move |clock: Arc<dyn Clock>| -> Arc<dyn Store> {
            Arc::new(block_on(SqlStore::open(&path, clock)).unwrap())
        };
        let (_, world) = History::of(3).play(&make);
        let world = world.unwrap();
        block_on(rows(world.store.as_ref())).unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_a_database_and_a_backup_of_that_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let (file, backup) = (directory.path().join("a/slipstream.db"), directory.path().join("backup.db"));
    let before = played(&file).await;
    assert!(before.len() > 10);
    let name = new_database();
    let copied = store::copy_to_server(&file, &address(&name)).await.unwrap();
    assert!(copied.rows() > 100 && copied.tables.iter().all(|table| table.before == 0));

    let store = SqlStore::connect(&address(&name), StoreClock::Database).await.unwrap();
    assert_eq!(rows(&store).await.unwrap(), before);
    // It is the same installation, and the numbers it gives out are new ones.
    let mark = open(&file).await.commit_mark().await.unwrap();
    assert_eq!(store.commit_mark().await.unwrap(), mark);
    let last = *store.events_after(0, 1_000_000).await.unwrap().last().map(|(id, _)| id).unwrap();
    store.add_leader(Address([250; 20]), Timestamp(1)).await.unwrap();
    store.begin_instance(&InstanceId("new".to_owned()), Timestamp(1)).await.unwrap();
    let owner = store.add_owner("new", Timestamp(1)).await.unwrap();
    assert!(owner.0 > 1 && last > 0);

    let saved = store::backup_server(&address(&name), &backup).await.unwrap();
    // Three rows, and the marks of their commits.
    assert_eq!(saved.rows(), copied.rows() + 6);
    let restored = new_database();
    store::copy_to_server(&backup, &address(&restored)).await.unwrap();
    let restored = SqlStore::connect(&address(&restored), StoreClock::Database).await.unwrap();
    assert_eq!(rows(&restored).await.unwrap(), rows(&store).await.unwrap());
    assert_eq!(restored.commit_mark().await.unwrap(), store.commit_mark().await.unwrap());
}

/// Wherever it was interrupted, the copy goes on; what somebody else wrote is never mixed with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_goes_on_and_other_rows_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    played(&file).await;
    let name = new_database();
    let whole = store::copy_to_server(&file, &address(&name)).await.unwrap();
    // As after an end in the ledger: nothing of it beyond its first row, and none of what comes last.
    for sql in [
        "DELETE FROM ledger WHERE id > (SELECT MIN(id) FROM ledger)",
        "DELETE FROM positions",
        "UPDATE config_version SET version = 1",
    ] {
        SERVER.run(&name, sql).unwrap();
    }
    let again = store::copy_to_server(&file, &address(&name)).await.unwrap();
    let ledger = again.tables.iter().find(|table| table.name == "ledger").unwrap();
    assert!(ledger.before == 1 && ledger.rows > 1, "{ledger:?}");
    let sums =
        |copied: &store::Copied| copied.tables.iter().map(|table| table.checksum.clone()).collect::<Vec<_>>();
    assert_eq!((sums(&again), again.cash, again.shares), (sums(&whole), whole.cash, whole.shares));

    for sql in [
        "UPDATE ledger SET cash = cash + 1 WHERE id = 1",
        "INSERT INTO owners (name, created_at) VALUES ('x', 1)",
    ] {
        SERVER.run(&name, sql).unwrap();
        let before = SERVER.run(&name, "SELECT count(*) FROM events").unwrap();
        let refused = store::copy_to_server(&file, &address(&name)).await.unwrap_err();
        assert!(matches!(refused, TransferError::OtherRows { .. }), "{refused}");
        assert_eq!(SERVER.run(&name, "SELECT count(*) FROM events").unwrap(), before);
    }
    // A backup writes over nothing, and leaves nothing when it fails.
    let refused = store::backup_server(&address(&name), &file).await.unwrap_err();
    assert!(matches!(refused, TransferError::Io { .. }), "{refused}");
    let empty = directory.path().join("empty.db");
    assert!(store::backup_server(&address(&new_database()), &empty).await.is_err());
    assert!(!empty.exists());
}

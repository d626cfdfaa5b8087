//! The SQLite store keeps every promise of the store ports.

#![cfg(test)]

use std::{cell::RefCell, sync::Arc};

use domain::Timestamp;
use store::SqlStore;
use tempfile::TempDir;
use testkit::{
    store_suite::{Bench, Job},
    virtual_clock::VirtualClock,
};

thread_local! {
    /// Directories of this thread's test: removed when it ends, after its store.
    static DIRECTORIES: RefCell<Vec<TempDir>> = const { RefCell::new(Vec::new()) };
}

fn beside(job: Job) -> Job {
    let task = tokio::spawn(job);
    Box::pin(async move { task.await.unwrap() })
}

async fn make_bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let store = SqlStore::open(&directory.path().join("slipstream.db"), clock.clone()).await.unwrap();
    let store = Arc::new(store);
    DIRECTORIES.with_borrow_mut(|directories| directories.push(directory));
    Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: beside }
}

testkit::store_suite_tests!(
    #[tokio::test(flavor = "multi_thread")]
    make_bench
);

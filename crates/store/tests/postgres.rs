//! The store on PostgreSQL keeps every promise of the store ports.

#![cfg(test)]

mod histories;
mod waiting;

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU32, Ordering},
};

use domain::Timestamp;
use servers::PostgresServer;
use store::{PostgresAddress, SqlStore, StoreClock};
use testkit::{
    store_suite::{Bench, Job},
    virtual_clock::VirtualClock,
};

/// One server for all tests; it ends with this process.
static SERVER: LazyLock<PostgresServer> = LazyLock::new(|| PostgresServer::start().unwrap());

/// Makes a database of the test's own: its name.
fn new_database() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
    SERVER.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    name
}

fn beside(job: Job) -> Job {
    let task = tokio::spawn(job);
    Box::pin(async move { task.await.unwrap() })
}

async fn make_bench() -> Bench {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let address: PostgresAddress = SERVER.url(&new_database()).parse().unwrap();
    let address = address.with_connections(4);
    let store = SqlStore::connect(&address, StoreClock::Given(clock.clone())).await.unwrap();
    let store = Arc::new(store);
    Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: beside }
}

mod on_postgres {
    use super::make_bench;

    testkit::store_suite_tests!(
        #[tokio::test(flavor = "multi_thread")]
        make_bench
    );

    mod jobs;
    mod lost_commit;
    mod opening;
    mod plans;
    mod pooled;
    mod queue;
    mod rewound;
    mod roles;
    mod same_rows;
    mod slow_writer;
    mod taking_turns;
    mod transfer;
    mod vanished;
    mod view;
}

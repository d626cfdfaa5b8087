//! Behind PgBouncer, which hands out a connection for each transaction anew.

use std::{sync::Arc, sync::LazyLock};

use domain::Timestamp;
use servers::PgBouncer;
use store::{OpenError, PostgresAddress, SqlStore, StoreClock};
use testkit::{store_suite::Bench, virtual_clock::VirtualClock};

use crate::{SERVER, beside, new_database};

/// Fewer connections than any test uses at once: they are shared.
static POOLER: LazyLock<PgBouncer> = LazyLock::new(|| PgBouncer::start(&SERVER, 2).unwrap());

fn pooled(name: &str) -> PostgresAddress {
    let address: PostgresAddress = POOLER.url(name).parse().unwrap();
    address.behind_a_pooler().with_connections(8)
}

/// One database for all cases would be no test of the cases; one test, because each is short.
#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept() {
    testkit::store_suite::run_all(async || {
        let name = new_database();
        let direct: PostgresAddress = SERVER.url(&name).parse().unwrap();
        SqlStore::connect(&direct, StoreClock::Database).await.unwrap().close().await.unwrap();
        let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
        let store = SqlStore::connect(&pooled(&name), StoreClock::Given(clock.clone())).await.unwrap();
        let store = Arc::new(store);
        Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: beside }
    })
    .await;
}

#[tokio::test]
async fn the_schema_is_made_by_whoever_connects_past_it() {
    let name = new_database();
    let refused = SqlStore::connect(&pooled(&name), StoreClock::Database).await.err().unwrap();
    assert!(matches!(refused, OpenError::OlderSchema { found: None, .. }), "{refused}");
}

/// One that hands out a connection for each statement knows no transactions: refused at once, in words.
#[tokio::test]
async fn a_pooler_without_transactions_is_refused() {
    let name = new_database();
    let direct: PostgresAddress = SERVER.url(&name).parse().unwrap();
    SqlStore::connect(&direct, StoreClock::Database).await.unwrap().close().await.unwrap();
    let pooler = PgBouncer::start_by("statement", &SERVER, 2).unwrap();
    let address: PostgresAddress = pooler.url(&name).parse().unwrap();
    let refused = SqlStore::connect(&address.behind_a_pooler(), StoreClock::Database).await.err().unwrap();
    assert!(refused.to_string().contains("pool_mode = transaction"), "{refused}");
}

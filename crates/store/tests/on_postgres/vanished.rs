//! A server that vanishes without a word: nobody waits for it for ever.

use std::{future::Future, sync::Arc, time::Duration};

use domain::{Address, Timestamp};
use engine::ports::{following::Following as _, reports::Reports as _, store::StoreError};
use servers::PostgresServer;
use store::{PostgresAddress, SqlStore, StoreClock};
use tokio::net::TcpListener;

use super::{
    rewound::{Cut, between},
    slow_writer::SlowWriter,
};
use crate::{SERVER, new_database};

const NAME: &str = "vanishes";
/// Longer than any answer here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(60);

async fn add(store: &SqlStore, number: u8) -> Result<(), StoreError> {
    store.add_leader(Address([number; 20]), Timestamp(1)).await.map(drop)
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for ever says nothing")]
async fn ends<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("{what} does not end"))
}

fn silent<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(&answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_stands_still() {
    let server = PostgresServer::start().unwrap();
    server.run("postgres", &format!("CREATE DATABASE {NAME}")).unwrap();
    let address: PostgresAddress = server.url(NAME).parse().unwrap();
    // The schema is made without haste.
    drop(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let address = address.with_patience(PATIENCE).with_connections(3);
    let store = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    add(&store, 1).await.unwrap();
    server.freeze().unwrap();
    // More than there are connections: none is kept by who gave up.
    for number in 2..5 {
        silent(ends("writing", add(&store, number)).await);
        silent(ends("reading", store.leaders()).await);
    }
    let refused = ends("connecting", SqlStore::connect(&address, StoreClock::Database)).await;
    assert!(refused.is_err());
    // Those that wait are not waited for longer than they wait themselves.
    let _ = ends("closing", async { tokio::join!(store.leaders(), store.close()) }).await;
    server.thaw().unwrap();
    let store = ends("connecting", SqlStore::connect(&address, StoreClock::Database)).await.unwrap();
    add(&store, 9).await.unwrap();
}

/// One that a pooler gives out is not tried before: what finds out is the first statement itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_owes_an_answer_is_given_to_nobody() {
    let server = PostgresServer::start().unwrap();
    server.run("postgres", &format!("CREATE DATABASE {NAME}")).unwrap();
    let address: PostgresAddress = server.url(NAME).parse().unwrap();
    drop(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let address = address.with_patience(PATIENCE).with_connections(1).behind_a_pooler();
    let store = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    add(&store, 1).await.unwrap();
    server.freeze().unwrap();
    silent(ends("reading", store.leaders()).await);
    server.thaw().unwrap();
    // The one connection there may be is a new one. The server first has answers to give to those who are gone.
    let mut tries = 0;
    let leaders = loop {
        match ends("reading", store.leaders()).await {
            Ok(leaders) => break leaders,
            Err(error) => assert!(tries < 20, "{error}"),
        }
        tries += 1;
    };
    assert_eq!(leaders.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_commit_without_an_answer_is_unknown() {
    let server = PostgresServer::start().unwrap();
    server.run("postgres", &format!("CREATE DATABASE {NAME}")).unwrap();
    drop(SqlStore::connect(&server.url(NAME).parse().unwrap(), StoreClock::Database).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind: u16 = server.port();
    let cut = Arc::default();
    tokio::spawn(between(listener, behind, Arc::clone(&cut), Cut::Silent));
    let address: PostgresAddress = format!("postgres://postgres@127.0.0.1:{port}/{NAME}").parse().unwrap();
    let address = address.with_patience(PATIENCE);
    let store = ends("connecting", SqlStore::connect(&address, StoreClock::Database)).await.unwrap();
    add(&store, 1).await.unwrap();
    cut.store(true, std::sync::atomic::Ordering::SeqCst);
    let lost = ends("committing", add(&store, 2)).await;
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
    assert_eq!(ends("reading", store.leaders()).await.unwrap().len(), 2, "it was committed");
    add(&store, 3).await.unwrap();
}

/// A transaction whose beginning fails, or that nobody waits for any more, is not passed on with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_a_transaction_is_given_to_nobody() {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let store =
        Arc::new(SqlStore::connect(&address.with_connections(1), StoreClock::Database).await.unwrap());
    add(&store, 1).await.unwrap();
    let slow = SlowWriter::begin(&name);
    silent(ends("writing", add(&store, 2)).await);
    assert_eq!(ends("reading", store.leaders()).await.unwrap().len(), 1);
    let waits = tokio::spawn({
        let store = Arc::clone(&store);
        async move { add(&store, 3).await }
    });
    slow.until_waited_for();
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    // Granted to whoever does not wait any more.
    slow.end();
    assert_eq!(ends("reading", store.leaders()).await.unwrap().len(), 1);
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND state LIKE 'idle in transaction%'"
    );
    assert_eq!(SERVER.run("postgres", &open).unwrap(), "0");
    add(&store, 4).await.unwrap();
}

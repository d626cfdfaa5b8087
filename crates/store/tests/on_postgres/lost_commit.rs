//! A commit whose answer is lost while the server still makes it durable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{OrderAmounts, OrderId, Price, Timestamp, ids::IntentId};
use engine::ports::{
    execution::{Execution as _, SignedAttempt},
    store::{InstanceId, Leases as _, StoreError},
    venue::PreparedOrder,
};
use servers::PostgresServer;
use store::{SqlStore, StoreClock};
use tokio::net::TcpListener;

use super::rewound::{Cut, between};
use crate::waiting;

/// A standby that never comes: commits wait for it.
const STANDBY: &str = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
const NAME: &str = "slow";

fn attempt() -> SignedAttempt {
    let now = Timestamp(1_800_000_000_000_000);
    SignedAttempt {
        intent: IntentId(1),
        attempt: 0,
        order: PreparedOrder { id: OrderId([7; 32]), body: b"{}".to_vec() },
        amounts: OrderAmounts { maker: 5, taker: 10 },
        limit: Price(500_000),
        salt: 1,
        timestamp: now,
        signed_at: now,
        resend_until: now,
    }
}

/// The trade of the order.
const TRADE: &str = "INSERT INTO trade_groups (id, leader_id, tx, token, action, history_shares, history_usd, live_shares, \
    live_usd, decided, inherited, given, parts, traded_at, first_seen_at, state) \
    VALUES (1, 1, decode(repeat('05', 32), 'hex'), decode(repeat('03', 32), 'hex'), 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0)";

/// Looks until a session waits for this: nobody tells.
fn until(server: &PostgresServer, event: &str) {
    let count =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{NAME}' AND wait_event = '{event}'");
    let waits = || server.run("postgres", &count).unwrap() == "1";
    assert!((0..200).any(|_| waits()), "nobody waits for {event}");
}

/// Whoever looked at a snapshot would find nothing, and send nothing, and the order would be committed a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_waits_for_the_commit_that_is_on_its_way() {
    let server = PostgresServer::start().unwrap();
    server.run("postgres", &format!("CREATE DATABASE {NAME}")).unwrap();
    drop(SqlStore::connect(&server.url(NAME).parse().unwrap(), StoreClock::Database).await.unwrap());
    for statement in waiting::FILL.into_iter().chain([TRADE]) {
        server.run(NAME, statement).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind: u16 = server.port();
    let cut = Arc::new(AtomicBool::new(false));
    tokio::spawn(between(listener, behind, Arc::clone(&cut), Cut::AtOnce));
    let address = format!("postgres://postgres@127.0.0.1:{port}/{NAME}").parse().unwrap();
    let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let worker = InstanceId("worker".to_owned());
    store.begin_instance(&worker, Timestamp(1)).await.unwrap();
    // From here on commits of this database wait for the standby.
    server.run("postgres", STANDBY).unwrap();
    server.run("postgres", "SELECT pg_reload_conf()").unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{NAME}'");
    server.run("postgres", &end).unwrap();

    cut.store(true, Ordering::SeqCst);
    let sign = async || store.commit_signed(&worker, Duration::from_secs(30), &[attempt()]).await;
    let mut lost = sign().await;
    for _ in 0..20 {
        // The pool finds out that its connections are gone.
        if matches!(lost, Err(StoreError::Unavailable(_))) {
            lost = sign().await;
        }
    }
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
    // The commit is still on its way.
    until(&server, "SyncRep");
    let again = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.orders_of(&[(IntentId(1), 0)]).await }
    });
    until(&server, "advisory");
    // The server gives up waiting for the standby; what was committed is there.
    let go_on = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    server.run("postgres", go_on).unwrap();
    let stored = again.await.unwrap().unwrap();
    assert_eq!(stored.iter().map(|order| order.order.id).collect::<Vec<_>>(), [attempt().order.id]);
    assert_eq!(stored[0].permits_out, [worker], "and may be sent by whoever committed it");
}

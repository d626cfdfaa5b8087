//! Connecting: by any number of processes at once, never with an older program, and by the database's clock.

use domain::{Address, Clock as _, Timestamp};
use engine::ports::{
    following::Following as _,
    reports::Reports as _,
    store::{InstanceId, Leases as _},
};
use store::{OpenError, PostgresAddress, SCHEMA_VERSION, SqlStore, StoreClock};
use testkit::virtual_clock::VirtualClock;

use crate::{SERVER, new_database};

fn address(name: &str) -> PostgresAddress {
    SERVER.url(name).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_come_at_once_make_one_installation() {
    let address = address(&new_database());
    let come = || SqlStore::connect(&address, StoreClock::Database);
    let (one, two, three) = tokio::join!(come(), come(), come());
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    let leader = one.add_leader(Address([7; 20]), Timestamp(1)).await.unwrap();
    assert_eq!(two.leaders().await.unwrap()[0].id, leader);
    let marks = (one.commit_mark().await.unwrap(), two.commit_mark().await.unwrap());
    assert_eq!(marks.0, marks.1);
    assert_eq!(three.commit_mark().await.unwrap(), marks.0);
    assert!(one.examine().await.unwrap().bytes > 100_000);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let name = new_database();
    drop(SqlStore::connect(&address(&name), StoreClock::Database).await.unwrap());
    let newer = SCHEMA_VERSION + 1;
    SERVER
        .run(
            &name,
            &format!(
                "UPDATE installation SET schema_version = {newer}, serves = {newer}, software = '9.9.9'"
            ),
        )
        .unwrap();
    let refused = SqlStore::connect(&address(&name), StoreClock::Database).await.err().unwrap();
    assert!(matches!(&refused, OpenError::NewerSchema { found, .. } if *found == newer), "{refused}");
    assert!(refused.to_string().contains("9.9.9"), "{refused}");
    // A later version that serves this one: both work on it, and this one leaves the schema and the view as they are.
    SERVER
        .run(
            &name,
            &format!("UPDATE installation SET serves = {SCHEMA_VERSION}; DROP VIEW copy_relationships"),
        )
        .unwrap();
    let beside = SqlStore::connect(&address(&name), StoreClock::Database).await.unwrap();
    beside.add_leader(Address([7; 20]), Timestamp(1)).await.unwrap();
    let migrated = store::migrate(&address(&name)).await.unwrap();
    assert_eq!((migrated.from, migrated.to), (Some(newer), newer));
    assert_eq!(
        SERVER.run(&name, "SELECT software, to_regclass('copy_relationships') FROM installation").unwrap(),
        "9.9.9|"
    );
}

/// A later version with the same tables has a view and rights of its own.
#[tokio::test]
async fn a_later_versions_view_is_left_alone() {
    let name = new_database();
    store::migrate(&address(&name)).await.unwrap();
    SERVER
        .run(
            &name,
            "UPDATE installation SET software = '9.9.9'; DROP VIEW copy_relationships; \
             REVOKE SELECT ON work FROM slipstream_app",
        )
        .unwrap();
    drop(SqlStore::connect(&address(&name), StoreClock::Database).await.unwrap());
    store::migrate(&address(&name)).await.unwrap();
    let left = "SELECT software, to_regclass('copy_relationships'), has_table_privilege('slipstream_app', 'work', 'SELECT') \
        FROM installation";
    assert_eq!(SERVER.run(&name, left).unwrap(), "9.9.9||f");
    // One that is older, or another build of the same, is replaced.
    SERVER.run(&name, "UPDATE installation SET software = '0.0.1'").unwrap();
    store::migrate(&address(&name)).await.unwrap();
    assert_eq!(
        SERVER.run(&name, left).unwrap(),
        format!("{}|copy_relationships|t", env!("CARGO_PKG_VERSION"))
    );
}

/// Whoever migrates waits for who does it already, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn one_migrates_at_a_time() {
    let name = new_database();
    // The lock of whoever migrates, held by a session that does nothing.
    let held = tokio::task::spawn_blocking({
        let name = name.clone();
        move || {
            SERVER.run(
                &name,
                "SELECT pg_advisory_lock(1936484721); SELECT pg_sleep(1); SELECT pg_advisory_unlock_all()",
            )
        }
    });
    while SERVER.run(&name, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").unwrap() == "0" {}
    let there = address(&name);
    let (one, two) = tokio::join!(store::migrate(&there), SqlStore::connect(&there, StoreClock::Database));
    held.await.unwrap().unwrap();
    two.unwrap();
    assert_eq!(one.unwrap().to, SCHEMA_VERSION);
    assert_eq!(SERVER.run(&name, "SELECT count(*) FROM _sqlx_migrations").unwrap(), "1");
}

/// A worker whose clock is an hour fast cannot take a lease that has not run out.
#[tokio::test]
async fn leases_go_by_the_clock_of_the_database() {
    let address = address(&new_database());
    let fast = VirtualClock::new(Timestamp::from_seconds(4_000_000_000));
    let one = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    let two = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
    let ttl = std::time::Duration::from_secs(600);
    let (a, b) = (InstanceId("a".to_owned()), InstanceId("b".to_owned()));
    two.begin_instance(&b, fast.now()).await.unwrap();
    let lease = one.take_lease("watcher", &a, ttl).await.unwrap().unwrap();
    assert!(two.take_lease("watcher", &b, ttl).await.unwrap().is_none());
    one.release_lease(&lease).await.unwrap();
    assert!(two.take_lease("watcher", &b, ttl).await.unwrap().is_some());
}

#[tokio::test]
async fn an_unreachable_server_is_told_without_the_password() {
    let address: PostgresAddress = "postgres://app:hunter2@127.0.0.1:1/slipstream".parse().unwrap();
    let refused = SqlStore::connect(&address, StoreClock::Database).await.err().unwrap();
    let told = format!("{refused} {refused:?}");
    assert!(!told.contains("hunter2") && told.contains("refused"), "{told}");
}

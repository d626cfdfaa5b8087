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
        .run(&name, &format!("UPDATE installation SET schema_version = {newer}, software = '9.9.9'"))
        .unwrap();
    let refused = SqlStore::connect(&address(&name), StoreClock::Database).await.err().unwrap();
    assert!(matches!(&refused, OpenError::NewerSchema { found, .. } if *found == newer), "{refused}");
    assert!(refused.to_string().contains("9.9.9"), "{refused}");
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

//! Many tasks of one process that write while somebody else holds them up.

use std::sync::Arc;

use domain::{Address, Timestamp};
use engine::ports::{following::Following as _, reports::Reports as _};
use store::{PostgresAddress, SqlStore, StoreClock};

use crate::{SERVER, new_database};

/// Sessions of ours in this database that wait for the lock of whoever writes.
fn waiting(name: &str) -> String {
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'slipstream' \
         AND wait_event = 'advisory'"
    );
    SERVER.run("postgres", &count).unwrap()
}

/// All connections but one are free for those who read, who would otherwise wait until the pool gives up.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_waits_for_a_slow_writer_elsewhere() {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let address = address.with_connections(2);
    let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let slow = tokio::task::spawn_blocking({
        let name = name.clone();
        // Longer than it takes to see who waits.
        move || {
            SERVER.run(&name, "BEGIN; SELECT pg_advisory_xact_lock(1936484720); SELECT pg_sleep(3); COMMIT")
        }
    });
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1936484720 \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while SERVER.run(&name, held).unwrap() == "0" {}
    let writers: Vec<_> = (1..9)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.add_leader(Address([number; 20]), Timestamp(1)).await })
        })
        .collect();
    while waiting(&name) == "0" {}
    for _ in 0..20 {
        store.leaders().await.unwrap();
    }
    assert_eq!(waiting(&name), "1");
    assert_eq!(store.connections().unwrap().refused, 0);
    slow.await.unwrap().unwrap();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(store.leaders().await.unwrap().len(), 8);
}

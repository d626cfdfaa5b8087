//! Many tasks of one process that write while somebody else holds them up.

use std::sync::Arc;

use domain::{Address, Timestamp};
use engine::ports::{following::Following as _, reports::Reports as _};
use store::{PostgresAddress, SqlStore, StoreClock};

use crate::{SERVER, new_database, on_postgres::slow_writer::SlowWriter};

/// All connections but one are free for those who read, who would otherwise wait until the pool gives up.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_waits_for_a_slow_writer_elsewhere() {
    let name = new_database();
    let address: PostgresAddress = SERVER.url(&name).parse().unwrap();
    let address = address.with_connections(2);
    let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await.unwrap());
    let slow = SlowWriter::begin(&name);
    let writers: Vec<_> = (1..9)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.add_leader(Address([number; 20]), Timestamp(1)).await })
        })
        .collect();
    slow.until_waited_for();
    for _ in 0..20 {
        store.leaders().await.unwrap();
    }
    assert_eq!(slow.waiting(), "1");
    assert_eq!(store.connections().unwrap().refused, 0);
    slow.end();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(store.leaders().await.unwrap().len(), 8);
}

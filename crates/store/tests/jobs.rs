//! Jobs as an operator sees them, in a file.

#![cfg(test)]

mod waiting;

use domain::Timestamp;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use store::SqlStore;
use testkit::virtual_clock::VirtualClock;

#[tokio::test]
async fn jobs_are_set_aside_and_put_back_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let clock = VirtualClock::new(Timestamp(1_800_000_000_000_000));
    let store = SqlStore::open(&file, clock).await.unwrap();
    let mut shell = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    for statement in waiting::FILL {
        let statement = statement.replace("decode(repeat('01', 20), 'hex')", "zeroblob(20)");
        let statement = statement.replace("decode(repeat('02', 20), 'hex')", "zeroblob(20)");
        let statement = statement.replace("decode(repeat('03', 32), 'hex')", "zeroblob(32)");
        let statement = statement.replace("decode(repeat('04', 32), 'hex')", "zeroblob(32)");
        shell.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    waiting::set_aside_and_put_back(&store, &store, "ada").await;
}

//! Jobs as an operator sees them, in a file.

#![cfg(test)]

mod waiting;

use std::path::Path;

use domain::Timestamp;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions,
};
use store::SqlStore;
use testkit::virtual_clock::VirtualClock;

/// A store with jobs that wait, and a shell beside it.
async fn filled(directory: &Path) -> (SqlStore, SqliteConnection) {
    let file = directory.join("slipstream.db");
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
    (store, shell)
}

#[tokio::test]
async fn jobs_are_set_aside_and_put_back_once() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = filled(directory.path()).await;
    waiting::set_aside_and_put_back(&store, &store, "ada").await;
}

#[tokio::test]
async fn an_operator_decides_about_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut shell) = filled(directory.path()).await;
    shell.execute(waiting::SPOIL).await.unwrap();
    waiting::a_dead_letter_is_put_back_and_given_up(&store, &store).await;
}

#[tokio::test]
async fn words_of_operators_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let clock = VirtualClock::new(Timestamp(1_800_000_000_000_000));
    let store = SqlStore::open(&directory.path().join("slipstream.db"), clock).await.unwrap();
    testkit::operator_words::keeps_words(&store).await.unwrap();
}

//! Calls that are dropped half-way, and rows that make no sense.

#![cfg(test)]

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use domain::{Address, Timestamp, Usd, WalletKind, order::KeyRef, policy::Policy};
use engine::ports::{
    following::{AccountMode, Following as _, NewAccount, NewRelationship},
    reports::Reports as _,
    store::StoreError,
};
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use store::SqlStore;
use tempfile::TempDir;
use testkit::virtual_clock::VirtualClock;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

async fn fresh() -> (TempDir, Arc<SqlStore>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let store = SqlStore::open(&file, VirtualClock::new(NOW)).await.unwrap();
    (directory, Arc::new(store))
}

fn account(number: u8) -> NewAccount {
    NewAccount {
        label: "an account".to_owned(),
        mode: AccountMode::Paper,
        wallet: Address([number; 20]),
        signer: Address([number; 20]),
        kind: WalletKind::Proxy,
        key: KeyRef("key".to_owned()),
        cap: None,
    }
}

/// Polls a future at most so many times and drops it.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Wherever a caller goes away, its transaction happened whole or not at all, and the next one works.
#[tokio::test]
async fn a_dropped_call_is_done_or_undone() {
    let (_directory, store) = fresh().await;
    let owner = store.add_owner("somebody", NOW).await.unwrap();
    let (mut completed, mut dropped) = (0, 0);
    for number in 1..=60_u8 {
        let before = store.accounts(None).await.unwrap().len();
        let outcome = polled(usize::from(number) / 2, store.add_account(owner, &account(number), NOW)).await;
        // The next change waits for what the dropped one left behind.
        store.add_owner("another", NOW).await.unwrap();
        let after = store.accounts(None).await.unwrap().len();
        match outcome {
            Some(added) => {
                added.unwrap();
                assert_eq!(after, before + 1);
                completed += 1;
            }
            None => {
                assert!(after == before || after == before + 1, "{before} accounts became {after}");
                dropped += 1;
            }
        }
    }
    assert!(completed > 0 && dropped > 0, "{completed} completed, {dropped} dropped");
    // Every account has its cash row: reading joins them, counting does not.
    let accounts = store.accounts(None).await.unwrap();
    for known in &accounts {
        store.book_deposit(owner, known.trading.id, Usd(1), NOW).await.unwrap();
    }
    assert!(store.accounts(None).await.unwrap().iter().all(|known| known.cash == Usd(1)));
}

/// Rows nobody wrote like this are `Corrupt`, whatever is wrong with them, and never a panic.
#[tokio::test]
async fn unreadable_rows_are_errors() {
    let (directory, store) = fresh().await;
    let owner = store.add_owner("somebody", NOW).await.unwrap();
    let account = store.add_account(owner, &account(1), NOW).await.unwrap();
    let leader = store.add_leader(Address([9; 20]), NOW).await.unwrap();
    let new = NewRelationship { account, leader, policy: Policy::careful() };
    store.add_relationship(owner, &new, NOW).await.unwrap();
    let file = directory.path().join("slipstream.db");
    let mut shell = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    for (damage, repair) in [
        ("UPDATE relationships SET status = 9", "UPDATE relationships SET status = 0"),
        ("UPDATE accounts SET kind = -1", "UPDATE accounts SET kind = 1"),
        ("UPDATE accounts SET mode = 77", "UPDATE accounts SET mode = 0"),
        ("UPDATE accounts SET wallet = x'0102'", "UPDATE accounts SET wallet = zeroblob(20)"),
        ("UPDATE leaders SET wallet = x''", "UPDATE leaders SET wallet = zeroblob(20)"),
    ] {
        shell.execute(damage).await.unwrap();
        let read = store.following(NOW).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{damage}: {read:?}");
        shell.execute(repair).await.unwrap();
        store.following(NOW).await.unwrap();
    }
    shell.execute("UPDATE policies SET policy = '{'").await.unwrap();
    assert!(matches!(store.following(NOW).await, Err(StoreError::Corrupt(_))));
}

//! Calls that are dropped half-way, and rows that make no sense.

#![cfg(test)]

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use domain::{
    Address, Timestamp, Usd, WalletKind,
    order::KeyRef,
    policy::{PhantomRule, Policy},
};
use engine::ports::{
    following::{
        AccountMode, Following as _, HoldCause, HoldScope, NewAccount, NewRelationship, RelationshipStatus,
    },
    reports::Reports as _,
    store::{EventKind, StoreError},
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
        ("UPDATE relationships SET status = -1", "UPDATE relationships SET status = 0"),
        ("UPDATE accounts SET kind = -1", "UPDATE accounts SET kind = 1"),
        ("UPDATE accounts SET mode = -2", "UPDATE accounts SET mode = 0"),
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

/// A newer version works on the same rows: what it says there that this one does not know concerns those rows alone, and nobody
/// buys by what is not understood. All of it stopped every tenant's detection.
#[tokio::test]
async fn what_a_newer_version_wrote_concerns_its_rows_alone() {
    let (directory, store) = fresh().await;
    let owner = store.add_owner("somebody", NOW).await.unwrap();
    let leader = store.add_leader(Address([9; 20]), NOW).await.unwrap();
    for number in 1..=5 {
        let account = store.add_account(owner, &account(number), NOW).await.unwrap();
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        store.add_relationship(owner, &new, NOW).await.unwrap();
    }
    let file = directory.path().join("slipstream.db");
    let mut shell = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    let key = r#"UPDATE policies SET policy = json_set(policy, '$.caps.day', 5, '$.phantoms', 'exit') WHERE relationship_id = 1"#;
    let kind = r#"UPDATE policies SET policy = json_set(policy, '$.sizing', json('{"kelly":7}'), '$.slippage_to_book_bps', 77)
        WHERE relationship_id = 2"#;
    for newer in [
        key,
        kind,
        "UPDATE relationships SET status = 9 WHERE id = 3",
        "UPDATE accounts SET mode = 77 WHERE id = 4",
        "INSERT INTO holds (scope, scope_id, cause, reason, stops_exits, sells, placed_at) VALUES (3, 5, 99, 'x', 0, 0, 1)",
        "INSERT INTO events (at, event) VALUES (1, '{\"kind\":\"later\",\"what\":1}')",
    ] {
        shell.execute(newer).await.unwrap();
    }
    let following = store.following(NOW).await.unwrap();
    let newer: Vec<bool> = following.relationships.iter().map(|one| one.policy.of_newer_version).collect();
    assert_eq!(newer, [true, true, false, true, false]);
    let [first, second, third, _, fifth] = &following.relationships[..] else { panic!("{following:?}") };
    assert_eq!((first.policy.phantoms, second.policy.slippage_to_book_bps), (PhantomRule::Exit, 77));
    assert_eq!((third.status, following.accounts.len()), (RelationshipStatus::Paused, 4));
    assert_eq!(following.holds.iter().map(|hold| hold.cause).collect::<Vec<_>>(), [HoldCause::NewerVersion]);
    let events = store.events_after(0, 100).await.unwrap();
    assert!(matches!(&events.last().unwrap().1.kind, EventKind::Other { text } if text.contains("later")));
    // Whoever does not know all of a policy cannot change it and keep the rest.
    let change = store.set_policy(owner, first.id, &Policy::careful(), NOW).await;
    assert!(
        matches!(&change, Err(StoreError::Conflict(text)) if text.contains("newer version")),
        "{change:?}"
    );
    store.set_policy(owner, fifth.id, &Policy::careful(), NOW).await.unwrap();
    // Of what a hold holds that this version cannot tell, everything is held, and nothing is sold.
    shell.execute("UPDATE holds SET scope = 7, sells = 1").await.unwrap();
    let hold = store.following(NOW).await.unwrap().holds.remove(0);
    assert_eq!((hold.scope, hold.sells), (HoldScope::Installation, false));
}

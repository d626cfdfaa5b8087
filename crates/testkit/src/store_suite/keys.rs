//! Sealed keys and the accounts they belong to.

use domain::{KeyRef, Side, Usd, ids::OwnerId};
use engine::ports::{
    execution::EndReason,
    following::{AccountMode, NewAccount, RelationshipStatus},
    secrets::SealedKey,
    store::{EventKind, StoreError, StoreResult},
};

use super::{
    bench::{Bench, CaseResult, Failure, holds, only, same},
    world::{World, new_account},
};

fn account(number: u16) -> NewAccount {
    NewAccount { mode: AccountMode::Live, ..new_account(number) }
}

fn sealed(owner: OwnerId, account: &NewAccount) -> SealedKey {
    SealedKey {
        name: account.key.clone(),
        owner,
        wallet: account.wallet,
        kind: account.kind,
        until: None,
        signer: account.signer,
        version: 7,
        wrapped: vec![0, 255, 1],
        sealed: vec![2, 0, 3],
    }
}

fn is_conflict<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Conflict(_)))
}

pub(crate) async fn sealed_keys_come_back_bit_by_bit(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    same!(keys.sealed_keys().await?, None, "keys before the first header");
    keys.begin_keys("how").await?;
    holds!(is_conflict(&keys.begin_keys("other").await), "a second header is taken");
    let mut expected = Vec::new();
    for number in 0..3 {
        let ends = (number == 2).then(|| world.now());
        let key = SealedKey { until: ends, ..sealed(world.owner, &account(number)) };
        keys.add_keyed_account(world.owner, &account(number), &key, world.now()).await?;
        expected.push(key);
    }
    let Some(stored) = keys.sealed_keys().await? else { return Err(Failure::new("no keys")) };
    same!((stored.header.as_str(), stored.keys), ("how", expected), "header and keys");
    Ok(())
}

pub(crate) async fn an_account_and_its_key_are_added_both_or_neither(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    let (store, owner, now) = (&world.store, world.owner, world.now());
    let other = store.add_owner("other", now).await?;
    let good = sealed(owner, &account(0));
    let early = keys.add_keyed_account(owner, &account(0), &good, now).await;
    holds!(is_conflict(&early), "a key before the header: {early:?}");
    keys.begin_keys("how").await?;
    let wrong = [
        SealedKey { owner: other, ..good.clone() },
        SealedKey { name: KeyRef("other".to_owned()), ..good.clone() },
        SealedKey { wallet: account(1).wallet, ..good.clone() },
        SealedKey { signer: account(1).signer, ..good.clone() },
        SealedKey { kind: domain::WalletKind::Safe, ..good.clone() },
    ];
    for key in wrong {
        let answer = keys.add_keyed_account(owner, &account(0), &key, now).await;
        holds!(is_conflict(&answer), "a key of another account: {key:?}: {answer:?}");
    }
    keys.add_keyed_account(owner, &account(0), &good, now).await?;
    let again = keys.add_keyed_account(owner, &account(0), &good, now).await;
    holds!(is_conflict(&again), "the same once more: {again:?}");
    // Another wallet with the name of a key that is there: the account is not added either.
    let taken = NewAccount { key: account(0).key, ..account(1) };
    let answer = keys.add_keyed_account(owner, &taken, &sealed(owner, &taken), now).await;
    holds!(is_conflict(&answer), "a key's name is taken: {answer:?}");
    let stored = only(store.accounts(None).await?, "account")?;
    same!(
        (stored.mode, stored.trading.key, stored.removed),
        (AccountMode::Live, good.name, false),
        "account"
    );
    let told = store.events_after(0, 100).await?;
    let added =
        |kind: &EventKind| matches!(kind, EventKind::FollowingChanged { what } if what.contains("added"));
    same!(told.iter().filter(|(_, event)| added(&event.kind)).count(), 1, "events");
    Ok(())
}

pub(crate) async fn keys_are_rewrapped_all_or_none(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    keys.begin_keys("old").await?;
    let names: Vec<KeyRef> = (0..2).map(|number| account(number).key).collect();
    for number in 0..2 {
        let key = sealed(world.owner, &account(number));
        keys.add_keyed_account(world.owner, &account(number), &key, world.now()).await?;
    }
    let before = keys.sealed_keys().await?;
    let wrapped =
        |count: usize| names.iter().take(count).map(|name| (name.clone(), vec![9])).collect::<Vec<_>>();
    let stranger = [wrapped(1), vec![(KeyRef("stranger".to_owned()), vec![9])]].concat();
    for (old, list) in [("other", wrapped(2)), ("old", wrapped(1)), ("old", stranger), ("old", Vec::new())] {
        let answer = keys.rewrap_keys(old, "new", &list).await;
        holds!(is_conflict(&answer), "rewrapped from {old} with {} keys: {answer:?}", list.len());
        same!(keys.sealed_keys().await?, before, "the keys after a refusal");
    }
    keys.rewrap_keys("old", "new", &wrapped(2)).await?;
    let Some(stored) = keys.sealed_keys().await? else { return Err(Failure::new("no keys")) };
    same!(stored.header, "new", "the header");
    holds!(stored.keys.iter().all(|key| key.wrapped == [9] && key.sealed == [2, 0, 3]), "{:?}", stored.keys);
    Ok(())
}

pub(crate) async fn a_removed_account_loses_its_key_and_keeps_its_books(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    let (store, owner, now) = (&world.store, world.owner, world.now());
    keys.begin_keys("how").await?;
    let key = sealed(owner, &account(0));
    let id = keys.add_keyed_account(owner, &account(0), &key, now).await?;
    store.book_deposit(owner, id, Usd(5_000_000), now).await?;
    let stranger = store.add_owner("other", now).await?;
    let not_his = keys.remove_account(stranger, id, now).await;
    holds!(matches!(not_his, Err(StoreError::NotFound { .. })), "removed by a stranger: {not_his:?}");
    let version = store.config_version().await?;
    keys.remove_account(owner, id, now).await?;
    holds!(store.config_version().await? > version, "the version stands");
    same!(keys.sealed_keys().await?.map(|stored| stored.keys), Some(Vec::new()), "keys");
    let stored = only(store.accounts(Some(owner)).await?, "account")?;
    same!((stored.removed, stored.cash), (true, Usd(5_000_000)), "the account");
    let gone = keys.remove_account(owner, id, now).await;
    holds!(matches!(gone, Err(StoreError::NotFound { .. })), "removed twice: {gone:?}");
    let deposit = store.book_deposit(owner, id, Usd(1), now).await;
    holds!(matches!(deposit, Err(StoreError::NotFound { .. })), "money for a removed account: {deposit:?}");
    // The same wallet again is the same account; by another key it is a conflict.
    let other = NewAccount { signer: account(1).signer, ..account(0) };
    let answer = keys.add_keyed_account(owner, &other, &sealed(owner, &other), now).await;
    holds!(is_conflict(&answer), "with another signer: {answer:?}");
    let renamed = NewAccount { label: "again".to_owned(), cap: None, ..account(0) };
    same!(keys.add_keyed_account(owner, &renamed, &key, now).await?, id, "the account that comes back");
    let stored = only(store.accounts(Some(owner)).await?, "account")?;
    same!((stored.removed, stored.cash), (false, Usd(5_000_000)), "the account that came back");
    same!((stored.label.as_str(), stored.cap), ("again", None), "its new label and cap");
    Ok(())
}

pub(crate) async fn what_is_busy_is_not_removed(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 1).await?;
    let (store, follower, now) = (&world.store, world.follower(0)?, world.now());
    let intent = world.intent(2, Side::Buy).await?;
    let follows = keys.remove_account(follower.owner, follower.account, now).await;
    holds!(is_conflict(&follows), "removed while it follows: {follows:?}");
    store.set_status(follower.owner, follower.relationship, RelationshipStatus::Stopped, now).await?;
    let works = keys.remove_account(follower.owner, follower.account, now).await;
    holds!(is_conflict(&works), "removed while an order waits: {works:?}");
    store.end_intents(&[(intent, EndReason::Blocked)], now).await?;
    keys.remove_account(follower.owner, follower.account, now).await?;
    Ok(())
}

pub(crate) async fn a_key_is_replaced_by_a_newer_one_alone(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    let (store, owner, now) = (&world.store, world.owner, world.now());
    keys.begin_keys("how").await?;
    let stranger = store.add_owner("other", now).await?;
    let session = NewAccount { kind: domain::WalletKind::Session, ..account(0) };
    let key = sealed(owner, &session);
    let newer = SealedKey {
        signer: account(1).signer,
        until: Some(now),
        version: 8,
        wrapped: vec![4],
        sealed: vec![5],
        ..key.clone()
    };
    let id = keys.add_keyed_account(owner, &session, &key, now).await?;
    let not_his = keys.replace_key(stranger, id, &newer, now).await;
    holds!(matches!(not_his, Err(StoreError::NotFound { .. })), "replaced by a stranger: {not_his:?}");
    let wrong = [
        SealedKey { owner: stranger, ..newer.clone() },
        SealedKey { name: KeyRef("other".to_owned()), ..newer.clone() },
        SealedKey { wallet: account(1).wallet, ..newer.clone() },
        SealedKey { kind: domain::WalletKind::Safe, ..newer.clone() },
        SealedKey { version: 7, ..newer.clone() },
    ];
    for other in wrong {
        let answer = keys.replace_key(owner, id, &other, now).await;
        holds!(is_conflict(&answer), "replaced by {other:?}: {answer:?}");
        same!(keys.sealed_keys().await?.map(|stored| stored.keys), Some(vec![key.clone()]), "keys");
        same!(only(store.accounts(None).await?, "account")?.trading.signer, key.signer, "the signer");
    }
    let version = store.config_version().await?;
    keys.replace_key(owner, id, &newer, now).await?;
    holds!(store.config_version().await? > version, "the version stands");
    same!(keys.sealed_keys().await?.map(|stored| stored.keys), Some(vec![newer.clone()]), "keys");
    same!(only(store.accounts(None).await?, "account")?.trading.signer, newer.signer, "the signer");
    let again = keys.replace_key(owner, id, &newer, now).await;
    holds!(is_conflict(&again), "the same once more: {again:?}");
    Ok(())
}

pub(crate) async fn the_wallet_of_a_session_key_comes_back_with_another_key(bench: Bench) -> CaseResult {
    let keys = bench.keys.clone();
    let world = World::new(bench, 0).await?;
    let (store, owner, now) = (&world.store, world.owner, world.now());
    keys.begin_keys("how").await?;
    let first = NewAccount { kind: domain::WalletKind::Session, ..account(0) };
    let second = NewAccount { signer: account(1).signer, ..first.clone() };
    let id = keys.add_keyed_account(owner, &first, &sealed(owner, &first), now).await?;
    keys.remove_account(owner, id, now).await?;
    same!(keys.add_keyed_account(owner, &second, &sealed(owner, &second), now).await?, id, "the account");
    let stored = only(store.accounts(None).await?, "account")?;
    same!((stored.removed, stored.trading.signer), (false, second.signer), "the account that came back");
    Ok(())
}

//! Owners, accounts, leaders, relationships, policies.

use domain::{
    Clock as _, Side, Timestamp, Usd,
    ids::{AccountId, LeaderId, OwnerId, RelationshipId},
    policy::{Policy, Sizing},
};
use engine::ports::{
    following::{NewRelationship, RelationshipStatus},
    store::{EventKind, StoreError, StoreResult},
};

use super::{
    bench::{Bench, CaseResult, Failure, at, holds, only, same},
    world::{World, condition, market, new_account, token, wallet},
};

fn is_conflict<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::Conflict(_)))
}

fn is_not_found<T>(answer: &StoreResult<T>) -> bool {
    matches!(answer, Err(StoreError::NotFound { .. }))
}

pub(crate) async fn what_is_added_comes_back(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, follower) = (&world.store, world.follower(0)?);
    let account = only(store.accounts(Some(world.owner)).await?, "account")?;
    let new = new_account(0);
    same!((account.owner, account.trading.id), (world.owner, follower.account), "owner and key");
    same!((account.label, account.mode, account.cap), (new.label, new.mode, new.cap), "label, mode and cap");
    let trading = account.trading;
    same!((trading.wallet, trading.signer), (new.wallet, new.signer), "addresses");
    same!((trading.kind, trading.key), (new.kind, new.key), "wallet kind and key");
    same!((account.cash, account.reserved), (Usd::ZERO, Usd::ZERO), "money of a new account");
    let relationship = only(store.relationships(Some(world.owner)).await?, "relationship")?;
    same!(
        (relationship.id, relationship.owner, relationship.account, relationship.leader),
        (follower.relationship, world.owner, follower.account, world.leader),
        "keys of the relationship"
    );
    same!(
        (relationship.status, relationship.policy, relationship.policy_version, relationship.since),
        (RelationshipStatus::Active, Policy::careful(), 1, world.now()),
        "the relationship"
    );
    Ok(())
}

pub(crate) async fn a_wallet_has_one_account(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, now) = (&world.store, world.now());
    let other = store.add_owner("other", now).await?;
    let version = store.config_version().await?;
    for owner in [world.owner, other] {
        let again = store.add_account(owner, &new_account(0), now).await;
        holds!(is_conflict(&again), "a second account of a wallet: {again:?}");
    }
    let nobody = store.add_account(OwnerId(77), &new_account(5), now).await;
    holds!(is_not_found(&nobody), "an account of nobody: {nobody:?}");
    same!(store.config_version().await?, version, "the version after refusals");
    Ok(())
}

pub(crate) async fn a_leader_keeps_its_baseline(bench: Bench) -> CaseResult {
    let store = &bench.store;
    let leader = store.add_leader(wallet(1), Timestamp(100)).await?;
    let version = store.config_version().await?;
    same!(store.add_leader(wallet(1), Timestamp(900)).await?, leader, "the leader added again");
    same!(store.config_version().await?, version, "the version after nothing changed");
    let stored = only(store.leaders().await?, "leader")?;
    same!((stored.id, stored.wallet, stored.baseline), (leader, wallet(1), Timestamp(100)), "the leader");
    Ok(())
}

pub(crate) async fn an_account_follows_a_leader_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, follower, now) = (&world.store, world.follower(0)?, world.now());
    let new = NewRelationship { account: follower.account, leader: world.leader, policy: Policy::careful() };
    let again = store.add_relationship(world.owner, &new, now).await;
    holds!(is_conflict(&again), "following twice: {again:?}");
    store.set_status(world.owner, follower.relationship, RelationshipStatus::Paused, now).await?;
    let paused = store.add_relationship(world.owner, &new, now).await;
    holds!(is_conflict(&paused), "following beside a paused relationship: {paused:?}");
    store.set_status(world.owner, follower.relationship, RelationshipStatus::Stopped, now).await?;
    let second = store.add_relationship(world.owner, &new, now).await?;
    holds!(second != follower.relationship, "a new relationship needs a key of its own");
    for (account, leader) in [(AccountId(77), world.leader), (follower.account, LeaderId(77))] {
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        let unknown = store.add_relationship(world.owner, &new, now).await;
        holds!(is_not_found(&unknown), "following with {account} whom {leader}: {unknown:?}");
    }
    Ok(())
}

pub(crate) async fn wallets_copy_each_other_in_no_circle(bench: Bench) -> CaseResult {
    let store = &bench.store;
    let now = bench.clock.now();
    let (first, second) = (store.add_owner("first", now).await?, store.add_owner("second", now).await?);
    let mut accounts = Vec::new();
    let mut leaders = Vec::new();
    for number in 0..3 {
        leaders.push(store.add_leader(wallet(number), now).await?);
    }
    // The last one becomes an account when it is followed already.
    for number in 0..2 {
        accounts.push(store.add_account(first, &new_account(number), now).await?);
    }
    let follow = async |owner, account: AccountId, leader: LeaderId| {
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        store.add_relationship(owner, &new, now).await
    };
    let between = follow(first, at(&accounts, 0)?, at(&leaders, 1)?).await?;
    follow(first, at(&accounts, 1)?, at(&leaders, 2)?).await?;
    accounts.push(store.add_account(second, &new_account(2), now).await?);
    let (version, events) = (store.config_version().await?, store.events_after(0, 100).await?.len());
    // Itself; the way around; one step back.
    for (owner, account, leader, wallets) in [
        (second, 2, 2, &[2][..]),
        (second, 2, 0, &[2, 0, 1]),
        (second, 2, 1, &[2, 1]),
        (first, 1, 0, &[1, 0]),
    ] {
        let refused = follow(owner, at(&accounts, account)?, at(&leaders, leader)?).await;
        let Err(StoreError::FollowingCycle(cycle)) = &refused else {
            return Err(Failure::new(format!("account {account} follows leader {leader}: {refused:?}")));
        };
        let named: Vec<_> = wallets.iter().map(|number| wallet(*number)).collect();
        same!(cycle.wallets(), named, "the circle that is named");
    }
    same!(store.relationships(None).await?.len(), 2, "relationships after refusals");
    same!(store.config_version().await?, version, "the version after refusals");
    same!(store.events_after(0, 100).await?.len(), events, "events after refusals");
    // Following outwards is nobody's circle; a pause may end, and counts; what is stopped does not.
    let outside = store.add_leader(wallet(500), now).await?;
    follow(second, at(&accounts, 2)?, outside).await?;
    store.set_status(first, between, RelationshipStatus::Paused, now).await?;
    let paused = follow(first, at(&accounts, 1)?, at(&leaders, 0)?).await;
    holds!(matches!(paused, Err(StoreError::FollowingCycle(_))), "a circle through a pause: {paused:?}");
    store.set_status(first, between, RelationshipStatus::Stopped, now).await?;
    follow(first, at(&accounts, 1)?, at(&leaders, 0)?).await?;
    Ok(())
}

pub(crate) async fn the_users_word_is_kept(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, owner, now) = (&world.store, world.owner, world.now());
    let relationship = world.follower(0)?.relationship;
    use RelationshipStatus::{Active, Paused, Stopped};
    for (status, changes) in
        [(Active, false), (Paused, true), (Paused, false), (Active, true), (Stopped, true)]
    {
        let version = store.config_version().await?;
        same!(store.set_status(owner, relationship, status, now).await?, changes, "change to {status:?}");
        let raised = store.config_version().await? > version;
        same!(raised, changes, "whether {status:?} raised the version");
        let stored = only(store.relationships(None).await?, "relationship")?.status;
        same!(stored, status, "the stored status");
    }
    same!(store.set_status(owner, relationship, Stopped, now).await?, false, "stopped again");
    let resumed = store.set_status(owner, relationship, Active, now).await;
    holds!(is_conflict(&resumed), "a stopped relationship is resumed: {resumed:?}");
    let unknown = store.set_status(owner, RelationshipId(77), Paused, now).await;
    holds!(is_not_found(&unknown), "an unknown relationship: {unknown:?}");
    Ok(())
}

pub(crate) async fn every_policy_is_kept(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, relationship) = (&world.store, world.follower(0)?.relationship);
    let second = Policy {
        sizing: Sizing::Fixed(Usd(5_000_000)),
        slippage_to_book_bps: 77,
        entry_type: domain::MarketOrderType::FillOrKill,
        ..Policy::careful()
    };
    let version = store.config_version().await?;
    store.set_policy(world.owner, relationship, &second, world.now()).await?;
    holds!(store.config_version().await? > version, "a new policy must raise the version");
    let stored = only(store.relationships(None).await?, "relationship")?;
    same!((stored.policy_version, stored.policy), (2, second.clone()), "the policy in force");
    same!(store.policy(relationship, 1).await?, Some(Policy::careful()), "the first policy");
    same!(store.policy(relationship, 2).await?, Some(second), "the second policy");
    for version in [0, 3, -1, i64::MAX, i64::MIN] {
        same!(store.policy(relationship, version).await?, None, "policy {version}");
    }
    let exit = world.intent(1, Side::Sell).await?;
    let waiting = only(store.load_waiting(&[exit]).await?, "waiting intent")?;
    same!(waiting.slippage_to_book_bps, 77, "slippage of the policy in force");
    same!(waiting.entry_type, domain::MarketOrderType::FillOrKill, "entry type of the policy in force");
    Ok(())
}

pub(crate) async fn deposits_are_cash(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (store, account) = (&world.store, world.follower(0)?.account);
    for usd in [Usd(100_000_000), Usd(-30_000_000)] {
        let version = store.config_version().await?;
        store.book_deposit(world.owner, account, usd, world.now()).await?;
        holds!(store.config_version().await? > version, "money from outside must raise the version");
    }
    let cash: Vec<_> = store.accounts(None).await?.iter().map(|account| account.cash).collect();
    same!(cash, [Usd(70_000_000), Usd::ZERO], "cash of the accounts");
    let rows = store.ledger_after(None, 0, 10).await?;
    same!(rows.len(), 2, "ledger rows");
    holds!(
        rows.iter().all(|row| (row.relationship, row.token, row.intent) == (None, None, None)),
        "a deposit belongs to an account only: {rows:?}"
    );
    Ok(())
}

/// Two that compared the same wallet with the same books book its difference once.
pub(crate) async fn a_difference_is_booked_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (store, account) = (&world.store, world.follower(0)?.account);
    store.book_deposit(world.owner, account, Usd(100_000_000), world.now()).await?;
    let version = store.config_version().await?;
    let (cash, wallet) = (Usd(100_000_000), Usd(130_000_000));
    let book = |cash, wallet| store.book_difference(world.owner, account, cash, wallet, world.now());
    holds!(book(cash, wallet).await?, "the first is booked");
    holds!(store.config_version().await? > version, "money from outside must raise the version");
    let version = store.config_version().await?;
    holds!(!book(cash, wallet).await?, "the second compared with what is no more");
    same!(store.config_version().await?, version, "the version after nothing");
    same!(store.ledger_after(None, 0, 10).await?.len(), 2, "ledger rows");
    holds!(book(wallet, Usd(1)).await?, "less is booked too");
    let cash: Vec<_> = store.accounts(None).await?.iter().map(|account| account.cash).collect();
    same!(cash, [Usd(1), Usd::ZERO], "cash of the accounts");
    let other = store.add_owner("other", world.now()).await?;
    let others = store.book_difference(other, account, Usd(1), Usd(2), world.now()).await;
    holds!(matches!(others, Err(StoreError::NotFound { .. })), "another's money: {others:?}");
    Ok(())
}

pub(crate) async fn the_watcher_sees_all_that_is_not_stopped(bench: Bench) -> CaseResult {
    let mut world = World::new(bench, 2).await?;
    let other = world.store.add_owner("other", world.now()).await?;
    let third = world.add_follower(other).await?;
    let (store, now) = (&world.store, world.now());
    store.add_leader(wallet(500), now).await?;
    let (first, second) = (world.follower(0)?, world.follower(1)?);
    store.set_status(world.owner, first.relationship, RelationshipStatus::Stopped, now).await?;
    store.set_status(world.owner, second.relationship, RelationshipStatus::Paused, now).await?;
    let seen = store.following(now).await?;
    same!(seen.config_version, store.config_version().await?, "the version of the snapshot");
    let leaders: Vec<_> = seen.leaders.iter().map(|leader| leader.id).collect();
    same!(leaders, [world.leader], "leaders that are followed");
    let relationships: Vec<_> = seen.relationships.iter().map(|known| (known.id, known.status)).collect();
    let expected =
        [(second.relationship, RelationshipStatus::Paused), (third.relationship, RelationshipStatus::Active)];
    same!(relationships, expected, "relationships that are not stopped");
    let mut accounts: Vec<_> = seen.accounts.iter().map(|account| account.trading.id).collect();
    accounts.sort_unstable();
    same!(accounts, [second.account, third.account], "their accounts");
    same!((seen.holds, seen.exposures), (vec![], vec![]), "holds and exposures");
    same!(store.relationships(None).await?.len(), 3, "all relationships, stopped ones too");
    Ok(())
}

pub(crate) async fn every_change_raises_the_version(bench: Bench) -> CaseResult {
    let (store, now) = (&bench.store, Timestamp(1));
    let mut last = store.config_version().await?;
    let mut raised = async |what: &str| -> CaseResult {
        let version = store.config_version().await?;
        holds!(version > last, "{what} must raise the version above {last}, it is {version}");
        last = version;
        Ok(())
    };
    let owner = store.add_owner("owner", now).await?;
    raised("an owner").await?;
    let account = store.add_account(owner, &new_account(0), now).await?;
    raised("an account").await?;
    let leader = store.add_leader(wallet(1), now).await?;
    raised("a leader").await?;
    let new = NewRelationship { account, leader, policy: Policy::careful() };
    store.add_relationship(owner, &new, now).await?;
    raised("a relationship").await
}

pub(crate) async fn wallets_and_tokens_are_looked_up(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let wanted = [wallet(2), wallet(0), wallet(4_444)];
    let found = world.store.accounts_of_wallets(&wanted).await?;
    let mut ids: Vec<_> = found.iter().map(|account| account.trading.id).collect();
    ids.sort_unstable();
    same!(ids, [world.follower(0)?.account, world.follower(2)?.account], "accounts of the wallets");
    let markets = vec![market(token(6))?, market(token(7))?, market(token(8))?];
    let commit = engine::ports::detection::DetectionCommit { markets, ..Default::default() };
    world.commit(&commit).await?;
    let mut conditions = world.store.conditions_of(&[token(8), token(6), token(1)]).await?;
    conditions.sort_unstable();
    let expected = [(token(6), condition(token(6))?), (token(8), condition(token(8))?)];
    same!(conditions, expected, "conditions of tokens");
    same!(world.store.conditions_of(&[]).await?, [], "conditions of nothing");
    same!(world.store.accounts_of_wallets(&[]).await?, [], "accounts of nothing");
    Ok(())
}

pub(crate) async fn changes_are_told_to_their_owner(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, relationship) = (&world.store, world.follower(0)?.relationship);
    let before = store.events_after(0, 100).await?;
    let last = before.last().map_or(0, |(id, _)| *id);
    store.set_status(world.owner, relationship, RelationshipStatus::Paused, world.now()).await?;
    store.set_status(world.owner, relationship, RelationshipStatus::Paused, world.now()).await?;
    let (_, event) = only(store.events_after(last, 100).await?, "event")?;
    same!((event.owner, event.at), (Some(world.owner), world.now()), "owner and time of the event");
    holds!(matches!(event.kind, EventKind::FollowingChanged { .. }), "kind of the event: {event:?}");
    Ok(())
}

//! What people and checks read, and who may read what.

use std::time::Duration;

use domain::{
    Shares, Side, Timestamp, Usd,
    ids::{IntentId, LeaderId, OwnerId},
    trade::TradeGroup,
};
use engine::ports::{
    detection::DetectionCommit,
    execution::OrderUpdate,
    following::RelationshipStatus,
    reports::DecisionRecord,
    store::{Event, EventKind, StoreError, StoreResult},
};

use super::{
    bench::{Bench, CaseResult, at, holds, only, same, some},
    world::{World, token},
};

pub(crate) async fn lists_are_read_page_by_page(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    world.trade(1, Side::Buy).await?;
    world.trade(2, Side::Sell).await?;
    let store = &world.store;
    let all = store.decisions_after(None, 0, 99).await?;
    same!(all.len(), 6, "decisions");
    holds!(all.is_sorted_by(|a, b| a.id < b.id), "decisions must be in order: {all:?}");
    let mut pages: Vec<DecisionRecord> = Vec::new();
    loop {
        let last = pages.last().map_or(0, |row| row.id);
        let page = store.decisions_after(None, last, 4).await?;
        holds!(page.len() <= 4, "a page of at most 4 has {}", page.len());
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    same!(pages, all, "decisions page by page");
    let mut newest = store.newest_decisions(None, 2).await?;
    newest.reverse();
    same!(newest, all[4..], "the newest two decisions");
    let mut before = store.decisions_before(None, all[4].id, 2).await?;
    before.reverse();
    same!(before, all[2..4], "the two decisions before those");
    let of_group = store.decisions_of(None, world.key(2, Side::Sell)).await?;
    same!(of_group, all[3..], "decisions of a group");
    let intents: Vec<_> =
        store.intents_after(None, IntentId(0), 99).await?.iter().map(|row| row.id).collect();
    same!(intents.len(), 6, "intents");
    let (third, fourth) = (at(&intents, 2)?, at(&intents, 3)?);
    same!(
        only(store.intents_after(None, third, 1).await?, "intent")?.id,
        fourth,
        "the intent after the third"
    );
    Ok(())
}

pub(crate) async fn the_ledger_is_read_by_intent(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let store = &world.store;
    let intents = world.trade(1, Side::Buy).await?;
    for follower in &world.followers {
        store.book_deposit(follower.owner, follower.account, Usd(7_000_000), world.now()).await?;
    }
    for shares in [10_000_000, 5_000_000] {
        for intent in &intents {
            if shares == 10_000_000 {
                world.sign("a", *intent, 0).await?;
            }
            let order = world.order(*intent, 0).await?;
            world.change(world.booking(&order, shares).await?).await?;
        }
    }
    let all = store.ledger_after(None, 0, 99).await?;
    same!(all.len(), 6, "ledger rows");
    let sums = store.ledger_sums(None, all[0].at, Duration::from_hours(24)).await?;
    let deposited: Usd = sums.iter().map(|sum| sum.deposited).sum();
    same!(deposited, Usd(14_000_000), "deposits in the sums by day");
    holds!(sums.is_sorted_by(|a, b| a.at < b.at), "sums must be in order: {sums:?}");
    same!(
        store.ledger_sums(Some(OwnerId(77_777)), all[0].at, Duration::from_hours(24)).await?,
        [],
        "sums of nobody"
    );
    let backwards: Vec<_> = intents.iter().rev().copied().collect();
    same!(store.ledger_of(None, &backwards).await?, all[2..], "rows of both intents, ascending");
    let second = at(&intents, 1)?;
    let own: Vec<_> = all.iter().filter(|row| row.intent == Some(second)).cloned().collect();
    same!(own.len(), 2, "rows of the second intent");
    same!(store.ledger_of(None, &[second, IntentId(77_777)]).await?, own, "rows of one intent");
    same!(store.ledger_of(None, &[]).await?, [], "rows of no intent");
    Ok(())
}

pub(crate) async fn groups_are_found_by_the_start_of_their_transaction(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let group = |tx: u8, seen: i64| TradeGroup {
        first_seen_at: Timestamp(seen),
        ..world.group(world.key(tx, Side::Buy))
    };
    let groups = vec![group(1, 50), group(2, 70), group(3, 60)];
    world.commit(&DetectionCommit { groups: groups.clone(), ..Default::default() }).await?;
    same!(world.store.newest_groups(2).await?, [groups[1], groups[2]], "the newest two");
    same!(
        world.store.groups_of(world.leader, 2).await?,
        [groups[1], groups[2]],
        "the newest two of the leader"
    );
    same!(world.store.groups_of(LeaderId(77_777), 2).await?, [], "groups of nobody");
    same!(world.store.find_groups(&[3, 3], 9).await?, [groups[2]], "one by its first bytes");
    same!(world.store.find_groups(&[3; 32], 9).await?, [groups[2]], "one by all its bytes");
    same!(world.store.find_groups(&[], 2).await?, [groups[1], groups[2]], "the newest two of all");
    same!(world.store.find_groups(&[3, 4], 9).await?, [], "none");
    same!(world.store.find_groups(&[3; 33], 9).await?, [], "none by too many bytes");
    Ok(())
}

pub(crate) async fn orders_are_found_by_the_start_of_their_id(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    for intent in &intents {
        world.sign("a", *intent, 0).await?;
    }
    let second = world.order(at(&intents, 1)?, 0).await?;
    let id = second.order.id.0;
    for prefix in [&id[..8], &id[..]] {
        same!(
            only(world.store.find_orders(None, prefix, 9).await?, "order")?,
            second,
            "orders by {prefix:?}"
        );
    }
    same!(world.store.find_orders(None, &id[..4], 9).await?.len(), 2, "orders by bytes they share");
    same!(world.store.find_orders(None, &id[..4], 1).await?.len(), 1, "at most one");
    same!(world.store.find_orders(None, &[9, 9], 9).await?, [], "none");
    let backwards: Vec<_> = intents.iter().rev().copied().collect();
    let orders = world.store.attempts_of(&backwards).await?;
    let found: Vec<_> = orders.iter().map(|order| order.intent.id).collect();
    same!(found, intents, "orders of intents, by intent");
    Ok(())
}

pub(crate) async fn an_owner_sees_his_own_rows_only(bench: Bench) -> CaseResult {
    let mut world = World::new(bench, 1).await?;
    let other = world.store.add_owner("other", world.now()).await?;
    let stranger = world.add_follower(other).await?;
    let key = world.key(1, Side::Buy);
    let intents = world.trade(1, Side::Buy).await?;
    for (follower, intent) in world.followers.iter().zip(&intents) {
        world.store.book_deposit(follower.owner, follower.account, Usd(7_000_000), world.now()).await?;
        world.sign("a", *intent, 0).await?;
        world.change(world.booking(&world.order(*intent, 0).await?, 10_000_000).await?).await?;
    }
    let (store, own) = (&world.store, Some(other));
    let (prefix, nobody) = (at(&intents, 0)?.0.to_be_bytes(), Some(OwnerId(77_777)));
    same!(only(store.decisions_after(own, 0, 9).await?, "decision")?.owner, other, "decisions");
    same!(only(store.newest_decisions(own, 9).await?, "decision")?.owner, other, "newest decisions");
    same!(only(store.decisions_of(own, key).await?, "decision")?.owner, other, "decisions of a group");
    same!(only(store.intents_after(own, IntentId(0), 9).await?, "intent")?.owner, other, "intents");
    same!(store.find_orders(own, &prefix, 9).await?, [], "another's order by its id");
    same!(only(store.find_orders(own, &[], 9).await?, "order")?.intent.owner, other, "orders");
    let rows = store.ledger_after(own, 0, 9).await?;
    same!(rows.len(), 2, "ledger rows");
    holds!(rows.iter().all(|row| row.owner == other), "ledger rows of others: {rows:?}");
    same!(store.ledger_of(own, &intents).await?, rows[1..], "another's ledger rows by their intents");
    same!(only(store.positions(own).await?, "position")?.owner, other, "positions");
    same!(only(store.accounts(own).await?, "account")?.trading.id, stranger.account, "accounts");
    let relationship = only(store.relationships(own).await?, "relationship")?;
    same!(relationship.id, stranger.relationship, "relationships");
    same!(only(store.reservations(own).await?, "reservation")?.0, at(&intents, 1)?, "reservations");
    same!(store.decisions_after(nobody, 0, 9).await?, [], "decisions of nobody");
    same!(store.accounts(nobody).await?, [], "accounts of nobody");
    same!(store.accounts(None).await?.len(), 2, "the operator's accounts");
    let all = store.ledger_after(None, 0, 9).await?;
    same!(all.len(), 4, "the operator's ledger");
    same!(
        store.ledger_after(None, at(&all.iter().collect::<Vec<_>>(), 1)?.id, 1).await?,
        all[2..3],
        "a page of it"
    );
    Ok(())
}

pub(crate) async fn an_owner_changes_his_own_rows_only(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (store, follower, now) = (&world.store, world.follower(0)?, world.now());
    let other = store.add_owner("other", now).await?;
    let version = store.config_version().await?;
    fn refused<T>(answer: &StoreResult<T>) -> bool {
        matches!(answer, Err(StoreError::NotFound { .. }))
    }
    let paused = store.set_status(other, follower.relationship, RelationshipStatus::Paused, now).await;
    holds!(refused(&paused), "pausing another's relationship: {paused:?}");
    let policy = domain::policy::Policy::careful();
    let set = store.set_policy(other, follower.relationship, &policy, now).await;
    holds!(refused(&set), "another's policy: {set:?}");
    let booked = store.book_deposit(other, follower.account, Usd(-1), now).await;
    holds!(refused(&booked), "another's money: {booked:?}");
    let new = engine::ports::following::NewRelationship {
        account: follower.account,
        leader: store.add_leader(super::world::wallet(8), now).await?,
        policy,
    };
    let followed = store.add_relationship(other, &new, now).await;
    holds!(refused(&followed), "following with another's account: {followed:?}");
    same!(store.config_version().await?, version + 1, "the version, which only the new leader raised");
    same!(store.ledger_after(None, 0, 9).await?, [], "the ledger");
    let stored = only(store.relationships(None).await?, "relationship")?;
    same!((stored.status, stored.policy_version), (RelationshipStatus::Active, 1), "the relationship");
    Ok(())
}

pub(crate) async fn events_wait_for_every_subscriber(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let first = world.store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    let event = |part| Event {
        owner: None,
        at: world.now(),
        kind: EventKind::TradeSeen { key: world.key(1, Side::Buy), part, shares: Shares(5) },
    };
    for part in 0..2 {
        world.commit(&DetectionCommit { events: vec![event(part)], ..Default::default() }).await?;
    }
    // By itself, and with a commit: all stand in one row.
    world.store.tell(&event(2)).await?;
    let events = world.store.events_after(first, 2).await?;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.clone()).collect();
    same!(kinds, [event(0), event(1)], "the oldest two events");
    let (last, _) = some(events.last(), "an event")?;
    let (_, third) = only(world.store.events_after(*last, 9).await?, "event after them")?;
    same!(third, event(2), "the third event");
    let store = &world.store;
    same!(store.event_cursor("pages").await?, 0, "a new subscriber's cursor");
    store.move_event_cursor("pages", *last).await?;
    store.move_event_cursor("pages", *last - 1).await?;
    same!(store.event_cursor("pages").await?, *last, "a cursor that was moved forward and back");
    same!(store.event_cursor("metrics").await?, 0, "another subscriber's cursor");
    Ok(())
}

pub(crate) async fn commits_are_counted(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (mut last, mark) = world.store.commit_mark().await?;
    let mut grew = async |what: &str| -> CaseResult {
        let (number, same_mark) = world.store.commit_mark().await?;
        holds!(number > last, "{what} must raise the commit number above {last}, it is {number}");
        same!(same_mark, mark, "the mark after {what}");
        last = number;
        Ok(())
    };
    let intent = world.intent(1, Side::Buy).await?;
    grew("commit 1").await?;
    world.sign("a", intent, 0).await?;
    grew("commit 2").await?;
    let order = world.order(intent, 0).await?;
    world.change(OrderUpdate { looked_up_at: Some(world.now()), ..world.unchanged(&order) }).await?;
    grew("an order update").await?;
    same!(world.store.all_markets().await?, [], "markets");
    same!(world.store.markets(&[token(6)]).await?, [], "markets of a token");
    Ok(())
}

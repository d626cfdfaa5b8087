//! Commit 1: decisions, intents, reservations and work in one step, once.

use domain::{Side, Usd, decide::Verdict, ids::RelationshipId};
use engine::ports::{
    detection::{DecidedBefore, DetectionCommit, DetectionOutcome, Lane, QueuedIntent, Source},
    execution::{EndReason, IntentCause, Why},
    following::RelationshipStatus,
    reports::DecisionRecord,
    store::{Event, EventKind, Lease, StoreError},
};

use super::{
    bench::{Bench, CaseResult, Failure, at, holds, only, same, some},
    world::{BUY, LIMIT, RESERVE, SALE, World, condition, worker},
};

/// Everything a repeated commit must not change.
async fn rows(world: &World) -> CaseResult<(Vec<DecisionRecord>, usize, usize)> {
    let decisions = world.store.decisions_after(None, 0, 1_000).await?;
    let intents = world.store.intents_after(None, domain::ids::IntentId(0), 1_000).await?.len();
    Ok((decisions, intents, world.store.reservations(None).await?.len()))
}

pub(crate) async fn a_copy_makes_intent_reservation_and_work(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (follower, key) = (world.follower(0)?, world.key(1, Side::Buy));
    let decided = world.copy(follower, key, 0)?;
    let queued = only(world.commit(&world.trade_of(key, &[follower])?).await?, "queued intent")?;
    same!(queued.lane, Lane::Entries, "lane of a buy");
    let intent = only(world.store.intents_after(None, domain::ids::IntentId(0), 10).await?, "intent")?;
    let account = only(world.store.accounts(None).await?, "account")?;
    same!((intent.id, intent.owner, &intent.account), (queued.id, world.owner, &account.trading), "keys");
    same!((intent.relationship, intent.leader), (follower.relationship, world.leader), "who copies whom");
    same!(intent.cause, IntentCause { key, part: 0, why: Why::Trade }, "cause");
    same!((intent.lane, intent.side, intent.token), (Lane::Entries, Side::Buy, key.token), "what");
    same!(intent.condition, condition(key.token)?, "condition");
    same!((intent.amount, intent.limit, intent.reserve), (BUY.0, LIMIT, RESERVE), "amounts");
    let facts = some(decided.intent, "facts of a copy")?;
    same!(
        (intent.leader_price, intent.traded_at, intent.seen_at, intent.decided_at, intent.expires_at),
        (facts.leader_price, facts.traded_at, facts.seen_at, decided.decided_at, facts.expires_at),
        "price and times"
    );
    same!(world.store.reservations(None).await?, [(queued.id, RESERVE)], "reservations");
    same!(account.reserved, RESERVE, "the account's reservation");
    same!(world.store.waiting(Lane::Entries, world.now(), 10).await?, [queued.id], "waiting entries");
    let stored = only(world.store.decisions_of(None, key).await?, "decision")?;
    same!(
        (stored.key, stored.part, stored.relationship, stored.owner),
        (key, 0, follower.relationship, world.owner),
        "keys of the decision"
    );
    same!(
        (stored.policy_version, stored.inputs, stored.verdict, stored.decided_at, stored.intent),
        (1, decided.inputs, decided.verdict, decided.decided_at, Some(queued.id)),
        "the decision"
    );
    Ok(())
}

pub(crate) async fn a_sale_reserves_nothing_and_goes_first(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let exit = world.intent(1, Side::Sell).await?;
    let waiting = only(world.store.load_waiting(&[exit]).await?, "waiting intent")?.intent;
    same!((waiting.lane, waiting.amount, waiting.expires_at), (Lane::Exits, SALE.0, None), "the exit");
    same!(world.store.reservations(None).await?, [], "reservations");
    same!(world.store.waiting(Lane::Exits, world.now(), 10).await?, [exit], "waiting exits");
    same!(world.store.waiting(Lane::Entries, world.now(), 10).await?, [], "waiting entries");
    Ok(())
}

pub(crate) async fn a_skip_makes_a_decision_only(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let key = world.key(1, Side::Buy);
    let skip = world.skip(world.follower(0)?, key, 0);
    let commit = DetectionCommit { decisions: vec![skip.clone()], ..world.trade_of(key, &[])? };
    same!(world.commit(&commit).await?, [], "queued intents");
    let (decisions, intents, reservations) = rows(&world).await?;
    same!((intents, reservations), (0, 0), "intents and reservations");
    let stored = only(decisions, "decision")?;
    same!((stored.inputs, stored.verdict, stored.intent), (skip.inputs, skip.verdict, None), "the decision");
    Ok(())
}

pub(crate) async fn a_repeated_commit_changes_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let key = world.key(1, Side::Buy);
    let mut commit = world.trade_of(key, &world.followers[..2])?;
    commit.decisions.push(world.skip(world.follower(2)?, key, 0));
    let queued = world.commit(&commit).await?;
    same!(queued.len(), 2, "queued intents");
    let before = rows(&world).await?;
    same!(world.commit(&commit).await?, queued, "queued intents of the repeated commit");
    same!(rows(&world).await?, before, "rows after the repeated commit");
    // What is being executed or has ended is not queued again.
    let (first, second) = (at(&queued, 0)?, at(&queued, 1)?);
    world.sign("a", first.id, 0).await?;
    same!(world.commit(&commit).await?, [second], "queued intents after one was signed");
    world.store.end_intents(&[(second.id, EndReason::TooOld)], world.now()).await?;
    same!(world.commit(&commit).await?, [], "queued intents after the other ended");
    same!(world.store.reservations(None).await?, [(first.id, RESERVE)], "reservations at the end");
    Ok(())
}

pub(crate) async fn the_stored_decision_stands(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let (first, second, key) = (world.follower(0)?, world.follower(1)?, world.key(1, Side::Buy));
    let mut commit = world.trade_of(key, &[first])?;
    commit.decisions.push(world.skip(second, key, 0));
    let queued = world.commit(&commit).await?;
    let before = rows(&world).await?;
    // Computed again after a lost answer, the answers may differ; what was stored counts.
    let mut again = world.trade_of(key, &[second])?;
    again.decisions.push(world.skip(first, key, 0));
    same!(world.commit(&again).await?, queued, "queued intents: those of the stored decisions");
    same!(rows(&world).await?, before, "rows");
    Ok(())
}

pub(crate) async fn intents_come_in_the_order_of_the_decisions(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let (buy, sell) = (world.key(1, Side::Buy), world.key(2, Side::Sell));
    let mut commit = world.trade_of(buy, &world.followers)?;
    commit.groups.push(world.group(sell));
    commit.parts.push(world.part(sell, 0)?);
    for follower in world.followers.iter().rev() {
        commit.decisions.push(world.copy(*follower, sell, 0)?);
    }
    let queued = world.commit(&commit).await?;
    same!(queued.len(), commit.decisions.len(), "queued intents");
    let ids: Vec<_> = queued.iter().map(|queued| queued.id).collect();
    let waiting = world.store.load_waiting(&ids).await?;
    let found: Vec<_> =
        waiting.iter().map(|item| (item.intent.relationship, item.intent.side, item.intent.lane)).collect();
    let expected: Vec<_> = commit
        .decisions
        .iter()
        .zip(&queued)
        .map(|(decision, queued)| (decision.relationship, decision.key.action.side(), queued.lane))
        .collect();
    same!(found, expected, "relationship, side and lane by the order of the decisions");
    Ok(())
}

pub(crate) async fn a_changed_configuration_writes_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let (follower, key) = (world.follower(0)?, world.key(1, Side::Buy));
    let version = world.store.config_version().await?;
    world
        .store
        .set_status(world.owner, follower.relationship, RelationshipStatus::Paused, world.now())
        .await?;
    let commit = DetectionCommit { cursors: vec![(Source::Chain, 9)], ..world.trade_of(key, &[follower])? };
    let outcome = world.store.commit_detection(&world.lease, version, &commit).await?;
    same!(outcome, DetectionOutcome::ConfigChanged, "a commit decided before the pause");
    same!(rows(&world).await?, (vec![], 0, 0), "rows");
    same!(world.store.cursor(Source::Chain).await?, None, "the cursor");
    same!(world.store.newest_groups(5).await?, [], "groups");
    same!(world.store.part(key, 0).await?, None, "the part");
    // Without decisions the configuration does not matter.
    let facts = DetectionCommit { decisions: vec![], ..commit };
    let outcome = world.store.commit_detection(&world.lease, version, &facts).await?;
    same!(outcome, DetectionOutcome::Committed(vec![]), "a commit without decisions");
    same!(world.store.cursor(Source::Chain).await?, Some(9), "the cursor after it");
    Ok(())
}

pub(crate) async fn a_lost_lease_writes_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let commit = world.trade_of(world.key(1, Side::Buy), &world.followers)?;
    world.pass(std::time::Duration::from_secs(3_601));
    let taken = world.store.take_lease("watcher", &worker("standby"), super::world::LEASE).await?;
    holds!(taken.is_some(), "the standby takes over a lease that ran out");
    let version = world.store.config_version().await?;
    let refused = world.store.commit_detection(&world.lease, version, &commit).await;
    same!(refused, Err(StoreError::LeaseLost("watcher".to_owned())), "a commit of the old holder");
    // Even where the configuration changed too, the lease is what it is told about.
    let refused = world.store.commit_detection(&world.lease, version + 1, &commit).await;
    same!(refused, Err(StoreError::LeaseLost("watcher".to_owned())), "a late commit of the old holder");
    let unknown = Lease { name: "nobody's".to_owned(), ..world.lease.clone() };
    let refused = world.store.commit_detection(&unknown, version, &commit).await;
    same!(refused, Err(StoreError::LeaseLost(unknown.name)), "a commit under a lease nobody ever took");
    same!(rows(&world).await?, (vec![], 0, 0), "rows");
    same!(world.store.newest_groups(5).await?, [], "groups");
    Ok(())
}

pub(crate) async fn a_refused_commit_writes_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let key = world.key(1, Side::Buy);
    let good = world.trade_of(key, &world.followers)?;
    let second = at(&world.followers, 1)?;
    let mut without = good.clone();
    if let Some(decision) = without.decisions.last_mut() {
        decision.intent = None;
    }
    let mut needless = good.clone();
    if let Some(decision) = needless.decisions.last_mut() {
        decision.verdict = world.skip(second, key, 0).verdict;
    }
    let version = world.store.config_version().await?;
    for (what, commit) in [("a copy without facts", without), ("a skip with facts", needless)] {
        let refused = world.store.commit_detection(&world.lease, version, &commit).await;
        holds!(matches!(refused, Err(StoreError::Conflict(_))), "{what}: {refused:?}");
        same!(rows(&world).await?, (vec![], 0, 0), "rows after {what}");
        same!(world.store.newest_groups(5).await?, [], "groups after {what}");
    }
    Ok(())
}

pub(crate) async fn earlier_parts_are_added_up(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let key = world.key(1, Side::Buy);
    let (first, second, third) = (world.follower(0)?, world.follower(1)?, world.follower(2)?);
    let copiers = [vec![first, second], vec![first], vec![first, third]];
    for (number, copiers) in (0..).zip(copiers) {
        let mut commit =
            DetectionCommit { parts: vec![world.part(key, number)?], ..world.trade_of(key, &[])? };
        commit.parts.extend((number == 0).then(|| world.part(key, 0)).transpose()?);
        for follower in &world.followers {
            let copies = copiers.contains(follower);
            let decision =
                if copies { world.copy(*follower, key, number)? } else { world.skip(*follower, key, number) };
            commit.decisions.push(decision);
        }
        world.commit(&commit).await?;
    }
    let line = |follower: super::world::Follower, times: i64| DecidedBefore {
        relationship: follower.relationship,
        amount: BUY.0 * times,
    };
    same!(world.store.decided_before(key, 0).await?, [], "before part 0");
    same!(world.store.decided_before(key, 1).await?, [line(first, 1), line(second, 1)], "before part 1");
    same!(world.store.decided_before(key, 2).await?, [line(first, 2), line(second, 1)], "before part 2");
    let all = [line(first, 3), line(second, 1), line(third, 1)];
    same!(world.store.decided_before(key, 9).await?, all, "before part 9");
    same!(world.store.decided_before(world.key(2, Side::Buy), 9).await?, [], "of another group");
    Ok(())
}

/// The largest chunk the watcher writes, and the second half of a trade of a thousand.
pub(crate) async fn chunks_of_five_hundred_are_taken(bench: Bench) -> CaseResult {
    const CHUNK: usize = 500;
    let world = World::new(bench, 1_000).await?;
    let key = world.key(1, Side::Buy);
    let mut queued: Vec<QueuedIntent> = Vec::new();
    for chunk in world.followers.chunks(CHUNK) {
        let last = chunk.last().map_or(RelationshipId(0), |follower| follower.relationship);
        let complete = queued.len() + CHUNK >= world.followers.len();
        let mut commit = world.trade_of(key, chunk)?;
        let part = commit.parts.first_mut().ok_or_else(|| Failure::new("the part is missing"))?;
        (part.decided_through, part.complete) = (last, complete);
        queued.extend(world.commit(&commit).await?);
        let open: Vec<_> =
            world.store.incomplete_parts().await?.iter().map(|part| part.decided_through).collect();
        same!(open, if complete { vec![] } else { vec![last] }, "progress of the part");
    }
    same!(queued.len(), 1_000, "queued intents");
    same!(world.store.count_waiting(Lane::Entries, world.now()).await?, 1_000, "waiting entries");
    let waiting = world.store.waiting(Lane::Entries, world.now(), CHUNK).await?;
    let firsts: Vec<_> = queued.iter().take(CHUNK).map(|queued| queued.id).collect();
    same!(waiting, firsts, "the oldest waiting entries");
    same!(world.store.load_waiting(&waiting).await?.len(), CHUNK, "loaded entries");
    let attempts: Vec<_> = waiting.iter().map(|intent| world.attempt(*intent, 0)).collect();
    let outcomes = world.store.commit_signed(&worker("a"), super::world::LEASE, &attempts).await?;
    same!(outcomes.len(), CHUNK, "outcomes of a batch");
    same!(world.store.count_waiting(Lane::Entries, world.now()).await?, CHUNK, "what still waits");
    let reserved: Usd = world.store.reservations(None).await?.iter().map(|(_, usd)| *usd).sum();
    same!(reserved, Usd(RESERVE.0 * 1_000), "reserved dollars");
    let copies = world.store.decisions_of(None, key).await?;
    holds!(copies.iter().all(|row| matches!(row.verdict, Verdict::Copy(_))), "every decision is a copy");
    same!(copies.len(), 1_000, "decisions");
    Ok(())
}

pub(crate) async fn events_are_written_with_the_commit(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let key = world.key(1, Side::Buy);
    let last = world.store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    let events = [
        Event { owner: None, at: world.now(), kind: EventKind::Phantom { key } },
        Event { owner: Some(world.owner), at: world.now(), kind: EventKind::Overcounted { key } },
    ];
    let commit = DetectionCommit { events: events.to_vec(), ..world.trade_of(key, &world.followers)? };
    let stale = world.store.commit_detection(&world.lease, -1, &commit).await?;
    same!(stale, DetectionOutcome::ConfigChanged, "a commit under another configuration");
    same!(world.store.events_after(last, 10).await?, [], "events of a commit that was not taken");
    world.commit(&commit).await?;
    let written: Vec<_> =
        world.store.events_after(last, 10).await?.into_iter().map(|(_, event)| event).collect();
    same!(written, events, "events of the commit");
    Ok(())
}

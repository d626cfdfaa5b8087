//! Periodic tasks: one runs each at a time, and what they remove.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock as _, Shares, Side, decide::Verdict, skip::SkipReason};
use engine::ports::{
    detection::DetectionCommit,
    reports::{SkipSum, SkipSumKey},
    store::{Event, EventKind, StoreError},
    tasks::TaskClaim,
};

use super::{
    bench::{Bench, CaseResult, holds, same, some},
    world::{Follower, LEASE, World, worker},
};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn a_task_is_claimed_when_due_and_free(bench: Bench) -> CaseResult {
    let (store, clock) = (&bench.store, &bench.clock);
    let claim = some(store.claim_task("sweep", &worker("a"), LEASE).await?, "a task nobody knows")?;
    same!((claim.name.as_str(), claim.failures), ("sweep", 0), "its name and failures");
    same!(store.claim_task("sweep", &worker("b"), LEASE).await?, None, "a task that runs");
    same!(store.claim_task("sweep", &worker("a"), LEASE).await?, None, "a task that its claimer runs");
    some(store.claim_task("count", &worker("b"), LEASE).await?, "another task")?;
    store.finish_task(&claim, HOUR, None).await?;
    clock.advance(HOUR - Duration::from_millis(1));
    same!(store.claim_task("sweep", &worker("b"), LEASE).await?, None, "a task before it is due");
    clock.advance(Duration::from_millis(1));
    let again = some(store.claim_task("sweep", &worker("b"), LEASE).await?, "a task that is due")?;
    holds!(again.fence > claim.fence, "the fence must grow: {again:?} after {claim:?}");
    Ok(())
}

pub(crate) async fn a_task_that_ran_out_is_somebody_elses(bench: Bench) -> CaseResult {
    let store = &bench.store;
    let late = some(store.claim_task("sweep", &worker("a"), LEASE).await?, "the first claim")?;
    bench.clock.advance(LEASE);
    let taken = some(store.claim_task("sweep", &worker("b"), LEASE).await?, "the claim after it ran out")?;
    let lost = Err(StoreError::LeaseLost("sweep".to_owned()));
    same!(store.finish_task(&late, HOUR, None).await, lost, "the end of a claim that was taken over");
    let before = bench.clock.now();
    let pruned = store.prune_events(&late, before, 10).await;
    same!(pruned, Err(StoreError::LeaseLost("sweep".to_owned())), "work under a claim that was taken over");
    store.finish_task(&taken, HOUR, None).await?;
    same!(store.finish_task(&taken, HOUR, None).await, lost, "the end of a claim that has ended");
    Ok(())
}

pub(crate) async fn only_one_of_many_runs_a_task(bench: Bench) -> CaseResult {
    let won: Arc<Mutex<Vec<TaskClaim>>> = Arc::default();
    let jobs: Vec<_> = (0..8)
        .map(|number| {
            let (store, won) = (Arc::clone(&bench.store), Arc::clone(&won));
            (bench.spawn)(Box::pin(async move {
                let claim = store.claim_task("sweep", &worker(&number.to_string()), LEASE).await;
                if let Ok(Some(claim)) = claim {
                    won.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
                }
            }))
        })
        .collect();
    for job in jobs {
        job.await;
    }
    let count = won.lock().unwrap_or_else(PoisonError::into_inner).len();
    same!(count, 1, "claims of one task");
    Ok(())
}

pub(crate) async fn a_failure_is_counted_and_told(bench: Bench) -> CaseResult {
    let (store, clock) = (&bench.store, &bench.clock);
    for failures in 1..3 {
        let claim = some(store.claim_task("sweep", &worker("a"), LEASE).await?, "a claim")?;
        same!(claim.failures, failures - 1, "failures before");
        store.finish_task(&claim, HOUR, Some("the disk is full")).await?;
        let told = store.events_after(0, 100).await?.pop().map(|(_, event)| (event.owner, event.kind));
        let (task, reason) = ("sweep".to_owned(), "the disk is full".to_owned());
        same!(told, Some((None, EventKind::TaskFailed { task, failures, reason })), "what is told");
        clock.advance(HOUR);
    }
    let claim = some(store.claim_task("sweep", &worker("a"), LEASE).await?, "the next claim")?;
    store.finish_task(&claim, Duration::ZERO, None).await?;
    let claim = some(store.claim_task("sweep", &worker("b"), LEASE).await?, "a claim at once")?;
    same!(claim.failures, 0, "failures after a success");
    same!(store.events_after(0, 100).await?.len(), 2, "events");
    Ok(())
}

pub(crate) async fn who_was_seen_to_end_runs_no_task(bench: Bench) -> CaseResult {
    let (store, now) = (&bench.store, domain::Timestamp(5));
    some(store.claim_task("sweep", &worker("a"), LEASE).await?, "a claim")?;
    some(store.claim_task("count", &worker("b"), LEASE).await?, "another one's claim")?;
    store.end_instance(&worker("a"), "its process is gone", now).await?;
    some(store.claim_task("sweep", &worker("c"), LEASE).await?, "the task of one that ended")?;
    same!(store.claim_task("count", &worker("c"), LEASE).await?, None, "the task of another");
    Ok(())
}

pub(crate) async fn old_events_go_once_everybody_has_read_them(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let store = &world.store;
    let first = store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    let start = world.now();
    for part in 0..6 {
        let kind = EventKind::TradeSeen { key: world.key(1, Side::Buy), part, shares: Shares(5) };
        let event = Event { owner: None, at: start.plus(HOUR * part), kind };
        world.commit(&DetectionCommit { events: vec![event], ..Default::default() }).await?;
    }
    let ids: Vec<i64> = store.events_after(first, 10).await?.into_iter().map(|(id, _)| id).collect();
    let left = async || -> CaseResult<Vec<i64>> {
        Ok(store.events_after(first, 10).await?.into_iter().map(|(id, _)| id).collect())
    };
    let claim = some(store.claim_task("prune", &worker("a"), LEASE).await?, "a claim")?;
    let whole = usize::try_from(first).unwrap_or_default();
    store.move_event_cursor("pages", ids[2]).await?;
    store.move_event_cursor("metrics", ids[4]).await?;
    same!(store.prune_events(&claim, start, 1_000).await?, 0, "events from before the first");
    // Of the oldest ones only: those of the set-up, and two.
    same!(store.prune_events(&claim, start.plus(HOUR * 5), whole + 2).await?, whole + 2, "the oldest");
    same!(left().await?, ids[2..], "events after them");
    same!(store.prune_events(&claim, start.plus(HOUR * 5), 10).await?, 1, "what the slowest has read");
    same!(left().await?, ids[3..], "events that somebody has not read");
    store.move_event_cursor("pages", ids[5]).await?;
    same!(store.prune_events(&claim, start.plus(HOUR * 4), 10).await?, 1, "what is old and read");
    same!(left().await?, ids[4..], "young and unread events");
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A trade of the day: the first follower copies it if `copied`, everybody else skips it.
async fn day(world: &World, tx: u8, copied: bool) -> CaseResult {
    world.pass(DAY);
    let key = world.key(tx, Side::Buy);
    let copying = if copied { &world.followers[..1] } else { &[] };
    let mut commit = world.trade_of(key, copying)?;
    let rest = world.followers.iter().skip(copying.len());
    commit.decisions.extend(rest.map(|follower| world.skip(*follower, key, 0)));
    if let Some(last) = commit.decisions.last_mut().filter(|_| tx == 1) {
        last.verdict = Verdict::Skip(SkipReason::Held);
    }
    world.commit(&commit).await.map(|_| ())
}

pub(crate) async fn old_skips_are_summed_and_copies_stay(bench: Bench) -> CaseResult {
    let mut world = World::new(bench, 2).await?;
    let other = world.store.add_owner("other", world.now()).await?;
    world.add_follower(other).await?;
    // On three days: one copy and two skips, three skips, one copy and two skips.
    for (tx, copied) in [(1, true), (2, false), (3, true)] {
        day(&world, tx, copied).await?;
    }
    let (store, third) = (&world.store, world.now());
    let ids: Vec<i64> = store.decisions_after(None, 0, 100).await?.iter().map(|row| row.id).collect();
    let left = async || -> CaseResult<Vec<i64>> {
        Ok(store.decisions_after(None, 0, 100).await?.iter().map(|row| row.id).collect())
    };
    let claim = some(store.claim_task("sum", &worker("a"), LEASE).await?, "a claim")?;
    same!(store.sum_skips(&claim, third.minus(DAY * 2), 100).await?, 0, "nothing is old");
    same!((left().await?, store.summed_skips().await?), (ids.clone(), vec![]), "nothing is summed");
    same!(store.sum_skips(&claim, third.minus(DAY), 2).await?, 2, "of the first day, two");
    same!(left().await?, [&ids[..1], &ids[2..]].concat(), "the copy and all but one skip");
    same!(store.sum_skips(&claim, third, 2).await?, 2, "the next two, of two days");
    same!(store.sum_skips(&claim, third, 100).await?, 2, "the rest of the second day");
    same!(store.sum_skips(&claim, third, 100).await?, 0, "nothing more is old");
    same!(left().await?, [&ids[..1], &ids[6..]].concat(), "copies, and the third day");
    let [first, second, last] = [0, 1, 2].map(|index| world.followers[index]);
    let days = [2, 1].map(|days| third.minus(DAY * days).day());
    let (small, held) =
        (SkipReason::SellBelowMinimum { shares: Shares(1), minimum: Shares(5) }, SkipReason::Held);
    let sum = |of: Follower, day, reason: SkipReason, skips| SkipSum {
        key: SkipSumKey { relationship: of.relationship.0, day, reason: reason.encode().0 },
        owner: of.owner,
        skips,
    };
    let sums = [
        sum(first, days[1], small, 1),
        sum(second, days[0], small, 1),
        sum(second, days[1], small, 1),
        sum(last, days[0], held, 1),
        sum(last, days[1], small, 1),
    ];
    same!(store.skip_sums_after(None, SkipSumKey::default(), 100).await?, sums, "the sums");
    same!(store.skip_sums_after(None, sums[1].key, 2).await?, sums[2..4], "a page of them");
    same!(store.skip_sums_after(Some(other), SkipSumKey::default(), 9).await?, sums[3..], "an owner's own");
    let of = async |tx| store.summed_skips_of(world.key(tx, Side::Buy)).await;
    same!((of(1).await?, of(2).await?, of(3).await?), (vec![(0, 2)], vec![(0, 3)], vec![]), "by part");
    same!(store.summed_skips().await?, [(world.leader, 5)], "by leader");
    let before = store.decided_before(world.key(1, Side::Buy), 1).await?;
    same!(before.len(), 1, "what was copied counts as decided before");
    Ok(())
}

pub(crate) async fn the_newest_decision_keeps_its_number(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let store = &world.store;
    for tx in [1, 2] {
        day(&world, tx, false).await?;
    }
    let newest = store.newest_decisions(None, 1).await?;
    let claim = some(store.claim_task("sum", &worker("a"), LEASE).await?, "a claim")?;
    world.pass(DAY);
    same!(store.sum_skips(&claim, world.now(), 100).await?, 1, "all but the newest");
    same!(store.sum_skips(&claim, world.now(), 100).await?, 0, "never the newest");
    same!(store.decisions_after(None, 0, 9).await?, newest, "what is left");
    day(&world, 3, false).await?;
    let added = store.newest_decisions(None, 1).await?;
    holds!(added[0].id > newest[0].id, "numbers must grow: {added:?} after {newest:?}");
    // The same skip on the same day is counted on.
    world.pass(DAY);
    same!(store.sum_skips(&claim, world.now(), 100).await?, 1, "the one that was the newest");
    same!(store.summed_skips().await?, [(world.leader, 2)], "by leader");
    let late = some(store.claim_task("late", &worker("b"), LEASE).await?, "another claim")?;
    world.pass(LEASE);
    some(store.claim_task("late", &worker("c"), LEASE).await?, "the claim after it ran out")?;
    let lost = Err(StoreError::LeaseLost("late".to_owned()));
    same!(store.sum_skips(&late, world.now(), 100).await, lost, "work under a claim that was taken over");
    Ok(())
}

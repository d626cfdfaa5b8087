//! Jobs that fail for reasons of their own, until they are dead letters.

use std::time::Duration;

use domain::{Side, ids::IntentId};
use engine::ports::{
    dead_letters::FailedIntent,
    detection::Lane,
    execution::{EndReason, SignedOutcome},
    store::{EventKind, StoreError},
};

use super::{
    bench::{Bench, CaseResult, at, holds, only, same},
    world::{RESERVE, World, worker},
};

pub(crate) async fn failures_are_counted_while_a_job_waits(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (first, second, third) = (at(&intents, 0)?, at(&intents, 1)?, at(&intents, 2)?);
    let failed = |intent, failures| FailedIntent { intent, lane: Lane::Entries, failures };
    let count = async |ids: &[IntentId]| world.store.count_failures(&worker("a"), ids, world.now()).await;
    same!(count(&[second, IntentId(77_777), first]).await?, [failed(second, 1), failed(first, 1)], "once");
    same!(count(&[first]).await?, [failed(first, 2)], "twice");
    same!(world.store.load_waiting(&intents).await?.len(), 3, "it waits as before");
    world.sign("a", third, 0).await?;
    same!(world.store.not_over(&[third]).await?, [], "what is signed waits for nobody");
    same!(count(&[third]).await?, [], "what is signed has not failed");
    // An ended instance finds that nothing works: that is no job's fault.
    world.store.end_instances(&[worker("a")], "a test said so", world.now()).await?;
    let refused = world.store.count_failures(&worker("a"), &[first], world.now()).await;
    holds!(matches!(refused, Err(StoreError::Conflict(_))), "an ended instance counts nothing: {refused:?}");
    let after = world.store.count_failures(&worker("b"), &[first], world.now()).await?;
    same!(after, [failed(first, 3)], "after that");
    Ok(())
}

pub(crate) async fn a_dead_letter_is_in_nobodys_way_and_keeps_its_money(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (dead, other) = (at(&intents, 0)?, at(&intents, 1)?);
    let letter = FailedIntent { intent: dead, lane: Lane::Entries, failures: 5 };
    let last = world.store.events_after(0, 1_000).await?.last().map_or(0, |(id, _)| *id);
    let letters = [(letter, "it makes no sense".to_owned())];
    same!(world.store.bury(&worker("a"), &letters, world.now()).await?, 1, "how many");
    same!(world.store.bury(&worker("b"), &letters, world.now()).await?, 0, "how many once more");
    let (_, told) = only(world.store.events_after(last, 10).await?, "event")?;
    let kind =
        EventKind::DeadLetter { intent: dead, lane: Lane::Entries, failures: 5, why: letters[0].1.clone() };
    same!((told.owner, told.kind), (Some(world.follower(0)?.owner), kind), "what is told, and whom");
    // Nobody takes it, whatever rings for it.
    same!(world.store.waiting(Lane::Entries, world.now(), 10).await?, [other], "what waits");
    same!(world.store.count_waiting(Lane::Entries, world.now()).await?, 1, "how many wait");
    let loaded = world.store.load_waiting(&intents).await?;
    same!(only(loaded, "loaded intent")?.intent.id, other, "what is loaded");
    same!(world.try_sign("a", dead, 0).await?, SignedOutcome::NotWaiting, "signing");
    same!(world.store.end_intents(&[(dead, EndReason::TooOld)], world.now()).await?, 0, "ends");
    world.store.put_off(&[dead], world.now()).await?;
    world.pass(Duration::from_secs(600));
    same!(world.store.claim_due(&worker("a"), Duration::from_secs(1), world.now(), 10).await?, [], "claims");
    same!(world.store.count_open_work().await?, 2, "it has its work row");
    let mut open = world.store.not_over(&[other, IntentId(77_777), dead]).await?;
    open.sort_unstable();
    same!(open, [dead, other], "what is not over");
    let reserved = world.store.reservations(None).await?;
    same!(reserved, [(dead, RESERVE), (other, RESERVE)], "reservations");
    Ok(())
}

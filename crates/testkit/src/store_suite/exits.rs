//! Exits of the same shares: together they never sell more than is held.

use std::sync::{Arc, Mutex, PoisonError};

use domain::{Shares, Side, ids::IntentId, lifecycle::OrderState};
use engine::ports::{
    detection::DetectionCommit,
    execution::{OrderUpdate, SignedOutcome, WorkChange},
};

use super::{
    bench::{Bench, CaseResult, at, holds, only, same},
    world::{LEASE, World, worker},
};

const WHOLE: i64 = 1_000_000;

async fn sign(world: &World, holder: &str, exit: IntentId, shares: i64) -> CaseResult<SignedOutcome> {
    let number = only(world.store.load_waiting(&[exit]).await?, "waiting exit")?.attempts;
    let attempt = world.sale(exit, number, shares * WHOLE);
    only(world.store.commit_signed(&worker(holder), LEASE, &[attempt]).await?, "outcome")
}

async fn promised(world: &World, exit: IntentId) -> CaseResult<Shares> {
    Ok(only(world.store.load_waiting(&[exit]).await?, "waiting exit")?.promised)
}

const fn is_won(outcome: SignedOutcome) -> bool {
    matches!(outcome, SignedOutcome::Won { .. })
}

/// Two exits of at most 20 shares each, and what is held.
async fn two_exits(bench: Bench, held: i64) -> CaseResult<(World, IntentId, IntentId)> {
    let world = World::new(bench, 1).await?;
    world.bought(8, (held - 10) * WHOLE).await?;
    world.bought(9, 10 * WHOLE).await?;
    let (one, other) = (world.intent(1, Side::Sell).await?, world.intent(2, Side::Sell).await?);
    Ok((world, one, other))
}

pub(crate) async fn what_another_exit_may_give_is_promised(bench: Bench) -> CaseResult {
    let (world, one, other) = two_exits(bench, 25).await?;
    same!(promised(&world, one).await?, Shares::ZERO, "promised before anything is signed");
    holds!(is_won(sign(&world, "a", other, 20).await?), "20 of 25 are free");
    same!(promised(&world, one).await?, Shares(20 * WHOLE), "promised while the other is open");
    same!(sign(&world, "b", one, 6).await?, SignedOutcome::Exceeds, "6 more of 25");
    same!(world.store.load_waiting(&[one]).await?.len(), 1, "exits that still wait");
    holds!(is_won(sign(&world, "b", one, 5).await?), "5 more of 25");
    Ok(())
}

pub(crate) async fn a_batch_sells_no_more_than_is_held(bench: Bench) -> CaseResult {
    let (world, one, other) = two_exits(bench, 25).await?;
    let batch = [world.sale(one, 0, 15 * WHOLE), world.sale(other, 0, 11 * WHOLE)];
    let outcomes = world.store.commit_signed(&worker("a"), LEASE, &batch).await?;
    holds!(is_won(at(&outcomes, 0)?), "the first: {outcomes:?}");
    same!(at(&outcomes, 1)?, SignedOutcome::Exceeds, "the second");
    holds!(is_won(sign(&world, "a", other, 10).await?), "what is left");
    Ok(())
}

pub(crate) async fn one_of_two_workers_sells_what_is_held(bench: Bench) -> CaseResult {
    let (world, one, other) = two_exits(bench, 20).await?;
    let world = Arc::new(world);
    let outcomes: Arc<Mutex<Vec<SignedOutcome>>> = Arc::default();
    let jobs: Vec<_> = [("a", one), ("b", other)]
        .map(|(name, exit)| {
            let (world, outcomes) = (Arc::clone(&world), Arc::clone(&outcomes));
            let spawn = world.bench.spawn;
            spawn(Box::pin(async move {
                let attempt = world.sale(exit, 0, 20 * WHOLE);
                let answer = world.store.commit_signed(&worker(name), LEASE, &[attempt]).await;
                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.extend(answer.unwrap_or_default());
            }))
        })
        .into();
    for job in jobs {
        job.await;
    }
    let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let won = outcomes.iter().filter(|outcome| is_won(**outcome)).count();
    let exceed = outcomes.iter().filter(|outcome| **outcome == SignedOutcome::Exceeds).count();
    same!((won, exceed), (1, 1), "winners and losers: {outcomes:?}");
    Ok(())
}

pub(crate) async fn what_is_promised_ends_with_its_attempt(bench: Bench) -> CaseResult {
    let (world, one, other) = two_exits(bench, 25).await?;
    sign(&world, "a", other, 20).await?;
    let order = world.order(other, 0).await?;
    let unknown = OrderUpdate { state: OrderState::Unknown, ..world.unchanged(&order) };
    let order = world.change(unknown).await?;
    same!(promised(&world, one).await?, Shares(20 * WHOLE), "promised while nobody knows");
    // It looks dead, but somebody may still be sending it.
    let killed = OrderUpdate { state: OrderState::Killed, ..world.unchanged(&order) };
    let order = world.change(killed).await?;
    same!(promised(&world, one).await?, Shares(20 * WHOLE), "promised while a permit is out");
    let part = OrderUpdate { state: OrderState::Matched, ..world.booking(&order, 8 * WHOLE).await? };
    let order = world.change(part).await?;
    same!(promised(&world, one).await?, Shares(12 * WHOLE), "promised after 8 of 20");
    let over = OrderUpdate {
        state: OrderState::Confirmed,
        permit_returned: Some(worker("a")),
        work: WorkChange::NextAttempt(world.now()),
        ..world.unchanged(&order)
    };
    world.change(over).await?;
    same!(promised(&world, one).await?, Shares::ZERO, "promised when it is over");
    holds!(is_won(sign(&world, "b", one, 17).await?), "17 of 17");
    Ok(())
}

pub(crate) async fn a_reversal_after_the_plan_is_noticed(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(8, 15 * WHOLE).await?;
    let bought = world.bought(9, 10 * WHOLE).await?;
    let exit = world.intent(1, Side::Sell).await?;
    let planned = world.sale(exit, 0, 20 * WHOLE);
    let order = world.order(bought, 0).await?;
    let failed = OrderUpdate {
        state: OrderState::Failed,
        work: WorkChange::Close,
        ..world.booking(&order, -10 * WHOLE).await?
    };
    world.change(failed).await?;
    let outcome = only(world.store.commit_signed(&worker("a"), LEASE, &[planned]).await?, "outcome")?;
    same!(outcome, SignedOutcome::Exceeds, "20 planned, 15 held");
    Ok(())
}

pub(crate) async fn a_sale_that_is_not_booked_yet_is_promised(bench: Bench) -> CaseResult {
    let (world, one, other) = two_exits(bench, 25).await?;
    sign(&world, "a", other, 20).await?;
    let order = world.order(other, 0).await?;
    let killed = OrderUpdate {
        state: OrderState::Killed,
        permit_returned: Some(worker("a")),
        work: WorkChange::NextAttempt(world.now()),
        ..world.unchanged(&order)
    };
    let order = world.change(killed).await?;
    let fills = vec![world.fill(&order, 7, 1, 9 * WHOLE)];
    world.commit(&DetectionCommit { fills, ..DetectionCommit::default() }).await?;
    for exit in [one, other] {
        same!(promised(&world, exit).await?, Shares(9 * WHOLE), "promised to who bought 9");
    }
    same!(sign(&world, "b", other, 17).await?, SignedOutcome::Exceeds, "17 of 16");
    holds!(is_won(sign(&world, "b", one, 16).await?), "16 of 16");
    Ok(())
}

pub(crate) async fn others_promise_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 2).await?;
    world.endow(9, 20 * WHOLE).await?;
    let exits = world.trade(1, Side::Sell).await?;
    for exit in &exits {
        holds!(is_won(sign(&world, "a", *exit, 20).await?), "each follower sells its own");
    }
    let next = world.intent(2, Side::Sell).await?;
    same!(promised(&world, next).await?, Shares(20 * WHOLE), "promised by the same follower's exit alone");
    // Buys promise nothing.
    let entries = world.trade(3, Side::Buy).await?;
    world.sign("a", at(&entries, 0)?, 0).await?;
    same!(promised(&world, next).await?, Shares(20 * WHOLE), "promised after a buy");
    Ok(())
}

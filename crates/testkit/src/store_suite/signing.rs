//! Waiting intents, and commit 2 with its one winner.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Shares, Side,
    ids::{AttemptId, IntentId},
    lifecycle::{Evidence, OrderState},
    position::Entry,
};
use engine::ports::{
    detection::{DetectionCommit, Lane},
    execution::{EndReason, OrderUpdate, SignedAttempt, SignedOutcome, StageTimes, WorkChange},
    reports::IntentEnd,
    store::StoreError,
};

use super::{
    bench::{Bench, CaseResult, at, holds, only, same},
    world::{LEASE, RESERVE, World, worker},
};

pub(crate) async fn a_signed_attempt_comes_back_bit_by_bit(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let waiting = only(world.store.load_waiting(&[intent]).await?, "waiting intent")?;
    same!((waiting.attempts, waiting.filled), (0, Shares::ZERO), "attempts so far");
    let attempt = world.attempt(intent, 0);
    let (key, fence) = world.sign("a", intent, 0).await?;
    let order = world.order(intent, 0).await?;
    same!((order.attempt, order.number, order.fence), (key, 0, fence), "keys and fence");
    same!(order.intent, waiting.intent, "its intent");
    same!(order.order, attempt.order, "id and bytes");
    same!((order.amounts, order.limit, order.salt), (attempt.amounts, attempt.limit, attempt.salt), "terms");
    same!(
        (order.timestamp, order.signed_at, order.resend_until),
        (attempt.timestamp, attempt.signed_at, attempt.resend_until),
        "times"
    );
    same!((order.state, order.version), (OrderState::Signed, 0), "state and version");
    same!((order.evidence, order.booked), (Evidence::default(), Entry::default()), "evidence and bookings");
    same!(order.permits_out, [worker("a")], "permits");
    same!((order.unseen_for, order.looked_up_at), (Duration::ZERO, None), "look-ups");
    same!((order.times, order.open_work), (StageTimes::default(), true), "stages and work");
    same!(only(world.store.orders(&[attempt.order.id]).await?, "order")?, order, "the order by its id");
    same!(world.store.attempts_of(&[intent]).await?, [order], "the order by its intent");
    same!(world.store.orders_of(&[(intent, 1)]).await?, [], "an attempt that is not there");
    same!(world.store.load_waiting(&[intent]).await?, [], "waiting intents");
    same!(world.store.reservations(None).await?, [(intent, RESERVE)], "the reservation");
    Ok(())
}

pub(crate) async fn outcomes_come_in_the_order_of_the_attempts(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (first, second, third) = (at(&intents, 0)?, at(&intents, 1)?, at(&intents, 2)?);
    world.sign("b", second, 0).await?;
    let attempts: Vec<_> =
        [(third, 0), (second, 0), (first, 1), (IntentId(77_777), 0), (third, 0), (first, 0)]
            .map(|(intent, number)| world.attempt(intent, number))
            .into();
    let outcomes = world.store.commit_signed(&worker("a"), LEASE, &attempts).await?;
    let won: Vec<_> = outcomes.iter().map(|outcome| matches!(outcome, SignedOutcome::Won { .. })).collect();
    same!(won, [true, false, false, false, false, true], "which attempts won: {outcomes:?}");
    let lost = outcomes.iter().filter(|outcome| **outcome == SignedOutcome::NotWaiting).count();
    same!(lost, 4, "which attempts were late or wrong");
    same!(world.order(second, 0).await?.permits_out, [worker("b")], "the other worker's order");
    same!(world.store.commit_signed(&worker("a"), LEASE, &[]).await?, [], "outcomes of nothing");
    Ok(())
}

pub(crate) async fn a_repeated_commit_two_loses_and_reads_again(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, _) = world.sign("a", intent, 0).await?;
    let stored = world.order(intent, 0).await?;
    same!(world.try_sign("a", intent, 0).await?, SignedOutcome::NotWaiting, "the same attempt again");
    same!(world.try_sign("a", intent, 1).await?, SignedOutcome::NotWaiting, "an attempt beside an open one");
    same!(world.order(intent, 0).await?, stored, "what is stored");
    same!((stored.attempt, stored.permits_out), (attempt, vec![worker("a")]), "whose it is");
    Ok(())
}

pub(crate) async fn one_of_many_workers_wins_each_intent(bench: Bench) -> CaseResult {
    let world = Arc::new(World::new(bench, 48).await?);
    let intents = world.trade(1, Side::Buy).await?;
    let wins: Arc<Mutex<Vec<(IntentId, AttemptId, String)>>> = Arc::default();
    let jobs: Vec<_> = (0..8_usize)
        .map(|number| {
            let (world, wins, mut intents) = (Arc::clone(&world), Arc::clone(&wins), intents.clone());
            let spawn = world.bench.spawn;
            // Everyone wants all of them, in an order of his own and in batches of two.
            intents.rotate_left(number * 5);
            spawn(Box::pin(async move {
                let name = format!("worker {number}");
                for batch in intents.chunks(2) {
                    let attempts: Vec<SignedAttempt> = batch.iter().map(|id| world.attempt(*id, 0)).collect();
                    let answer = world.store.commit_signed(&worker(&name), LEASE, &attempts).await;
                    for (intent, outcome) in batch.iter().zip(answer.unwrap_or_default()) {
                        if let SignedOutcome::Won { attempt, .. } = outcome {
                            let win = (*intent, attempt, name.clone());
                            wins.lock().unwrap_or_else(PoisonError::into_inner).push(win);
                        }
                    }
                }
            }))
        })
        .collect();
    for job in jobs {
        job.await;
    }
    let wins = wins.lock().unwrap_or_else(PoisonError::into_inner).clone();
    same!(wins.len(), intents.len(), "wins of all workers");
    let mut won: Vec<_> =
        wins.into_iter().map(|(intent, attempt, name)| (intent, attempt, vec![worker(&name)])).collect();
    won.sort();
    let stored = world.store.attempts_of(&intents).await?.into_iter();
    let stored: Vec<_> = stored.map(|order| (order.intent.id, order.attempt, order.permits_out)).collect();
    same!(stored, won, "the stored orders and who may send them");
    Ok(())
}

pub(crate) async fn an_order_id_exists_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (first, second, third) = (at(&intents, 0)?, at(&intents, 1)?, at(&intents, 2)?);
    world.sign("a", first, 0).await?;
    let stolen = SignedAttempt { order: world.attempt(first, 0).order, ..world.attempt(second, 0) };
    let batch = [world.attempt(third, 0), stolen];
    let refused = world.store.commit_signed(&worker("a"), LEASE, &batch).await;
    holds!(matches!(refused, Err(StoreError::Conflict(_))), "an order id twice: {refused:?}");
    same!(
        world.store.load_waiting(&[second, third]).await?.len(),
        2,
        "what still waits: the batch is one step"
    );
    same!(world.store.attempts_of(&[second, third]).await?, [], "orders of the refused batch");
    world.sign("a", second, 0).await?;
    Ok(())
}

pub(crate) async fn waiting_intents_come_by_due_time(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let mut entries = Vec::new();
    for tx in 1..=3 {
        entries.push(world.intent(tx, Side::Buy).await?);
        world.pass(Duration::from_secs(1));
    }
    let exit = world.intent(9, Side::Sell).await?;
    let (first, second, third) = (at(&entries, 0)?, at(&entries, 1)?, at(&entries, 2)?);
    let waiting = async |limit| world.store.waiting(Lane::Entries, world.now(), limit).await;
    same!(waiting(9).await?, [first, second, third], "entries, oldest first");
    same!(waiting(2).await?, [first, second], "the two oldest");
    same!(world.store.waiting(Lane::Exits, world.now(), 9).await?, [exit], "exits");
    let early = world.now().minus(Duration::from_secs(2));
    same!(world.store.waiting(Lane::Entries, early, 9).await?, [first, second], "entries due 2 s ago");
    same!(world.store.count_waiting(Lane::Entries, early).await?, 2, "their number");
    let soon = world.now().plus(Duration::from_secs(2));
    let take = |limit| world.store.take_waiting(Lane::Entries, world.now(), soon, limit);
    same!(take(2).await?, [first, second], "taken by one worker");
    same!(take(9).await?, [third], "what is left for another");
    same!(take(9).await?, [], "what is left then");
    same!(world.store.waiting(Lane::Exits, world.now(), 9).await?, [exit], "exits, which nobody took");
    world.store.put_off(&[first, second, third], world.now()).await?;
    same!(waiting(9).await?, [first, second, third], "entries that nobody signed");
    let later = world.now().plus(Duration::from_secs(5));
    world.store.put_off(&[first], later).await?;
    same!(waiting(9).await?, [second, third], "entries but for the one put off");
    same!(world.store.count_waiting(Lane::Entries, world.now()).await?, 2, "their number");
    same!(world.store.load_waiting(&[first]).await?.len(), 1, "what is put off still waits");
    world.pass(Duration::from_secs(5));
    same!(waiting(9).await?, [second, third, first], "entries after the time off");
    Ok(())
}

pub(crate) async fn only_what_waits_is_loaded_and_put_off(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (first, second, third) = (at(&intents, 0)?, at(&intents, 1)?, at(&intents, 2)?);
    world.sign("a", second, 0).await?;
    same!(world.store.count_open_work().await?, 3, "intents with work, waiting or not");
    same!(world.store.accounts_with_work().await?.len(), 3, "accounts with work, waiting or not");
    let wanted = [third, IntentId(77_777), second, first];
    let loaded: Vec<_> = world.store.load_waiting(&wanted).await?.iter().map(|item| item.intent.id).collect();
    same!(loaded, [third, first], "what waits, in the order asked for");
    let later = world.now().plus(Duration::from_secs(600));
    world.store.put_off(&[second, first], later).await?;
    world.pass(LEASE * 2);
    let due = world.store.claim_due(&worker("b"), LEASE, world.now(), 10).await?;
    same!(only(due, "due order")?.intent.id, second, "the signed order, which cannot be put off");
    Ok(())
}

pub(crate) async fn an_ended_intent_gives_its_money_back_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 3).await?;
    let intents = world.trade(1, Side::Buy).await?;
    let (first, second, third) = (at(&intents, 0)?, at(&intents, 1)?, at(&intents, 2)?);
    world.sign("a", third, 0).await?;
    let ends = [
        (first, EndReason::TooOld),
        (second, EndReason::Unbuildable),
        (third, EndReason::Blocked),
        (IntentId(77_777), EndReason::Done),
    ];
    same!(world.store.end_intents(&ends, world.now()).await?, 2, "how many ended");
    let ended_at = world.now();
    world.pass(Duration::from_secs(1));
    let again = [(first, EndReason::Blocked), (second, EndReason::Blocked)];
    same!(world.store.end_intents(&again, world.now()).await?, 0, "how many ended again");
    let ends = world.store.ends_of(&[third, second, first]).await?;
    let mut found: Vec<_> = ends.iter().map(|end| (end.intent, end.reason, end.at)).collect();
    found.sort_by_key(|(intent, ..)| *intent);
    let expected = [(first, EndReason::TooOld, ended_at), (second, EndReason::Unbuildable, ended_at)];
    same!(found, expected, "how they ended");
    same!(world.store.reservations(None).await?, [(third, RESERVE)], "reservations");
    same!(world.store.count_open_work().await?, 1, "intents with work after two ended");
    same!(world.store.accounts_with_work().await?, [world.follower(2)?.account], "accounts with work");
    same!(world.store.load_waiting(&intents).await?, [], "waiting intents");
    same!(world.try_sign("a", first, 0).await?, SignedOutcome::NotWaiting, "signing for an ended intent");
    Ok(())
}

pub(crate) async fn an_exit_has_one_attempt_after_the_other(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(1, 20_000_000).await?;
    let exit = world.intent(2, Side::Sell).await?;
    let (_, first_fence) = world.sign("a", exit, 0).await?;
    let order = world.order(exit, 0).await?;
    let next = world.now().plus(Duration::from_secs(3));
    let part_filled = OrderUpdate {
        state: OrderState::Confirmed,
        permit_returned: Some(worker("a")),
        work: WorkChange::NextAttempt(next),
        ..world.booking(&order, 6_000_000).await?
    };
    let closed = world.change(part_filled).await?;
    same!((closed.open_work, closed.permits_out.len()), (false, 0), "work and permits of the first attempt");
    same!(world.store.waiting(Lane::Exits, world.now(), 9).await?, [], "exits that are due");
    same!(world.store.waiting(Lane::Exits, next, 9).await?, [exit], "exits due later");
    let waiting = only(world.store.load_waiting(&[exit]).await?, "waiting intent")?;
    same!((waiting.attempts, waiting.filled), (1, Shares(6_000_000)), "attempts and shares so far");
    same!(world.try_sign("b", exit, 0).await?, SignedOutcome::NotWaiting, "the first attempt again");
    same!(world.try_sign("b", exit, 2).await?, SignedOutcome::NotWaiting, "an attempt too far");
    let (_, fence) = world.sign("b", exit, 1).await?;
    holds!(fence > first_fence, "the fence must grow: {fence} after {first_fence}");
    let numbers: Vec<_> = world.store.attempts_of(&[exit]).await?.iter().map(|order| order.number).collect();
    same!(numbers, [0, 1], "attempts by number");
    let second = world.order(exit, 1).await?;
    let sold = OrderUpdate {
        state: OrderState::Killed,
        permit_returned: Some(worker("b")),
        work: WorkChange::NextAttempt(world.now()),
        ..world.booking(&second, 2_000_000).await?
    };
    world.change(sold).await?;
    let waiting = only(world.store.load_waiting(&[exit]).await?, "waiting intent")?;
    same!((waiting.attempts, waiting.filled), (2, Shares(8_000_000)), "attempts and shares of both");
    same!(world.store.end_intents(&[(exit, EndReason::Done)], world.now()).await?, 1, "ending it");
    let end = only(world.store.ends_of(&[exit]).await?, "end")?;
    same!(end, IntentEnd { intent: exit, reason: EndReason::Done, at: world.now() }, "its end");
    Ok(())
}

pub(crate) async fn a_fill_on_its_way_is_not_sold_again(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.bought(1, 20_000_000).await?;
    let exit = world.intent(2, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let order = world.order(exit, 0).await?;
    let next =
        OrderUpdate { work: WorkChange::NextAttempt(world.now()), ..world.booking(&order, 2_000_000).await? };
    world.change(next).await?;
    let fills = vec![world.fill(&order, 7, 1, 5_000_000)];
    world.commit(&DetectionCommit { fills, ..DetectionCommit::default() }).await?;
    let waiting = only(world.store.load_waiting(&[exit]).await?, "waiting intent")?;
    same!(waiting.filled, Shares(5_000_000), "shares sold, though only 2 are booked");
    Ok(())
}

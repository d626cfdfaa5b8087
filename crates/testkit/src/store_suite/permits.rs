//! Who may send: send permits, work leases and their fences.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Side,
    ids::{AttemptId, IntentId},
    lifecycle::OrderState,
};
use engine::ports::{
    detection::Lane,
    execution::{OrderUpdate, SignedAttempt, SignedOutcome, WorkChange},
    store::{InstanceId, StoreError},
};

use super::{
    bench::{Bench, CaseResult, Failure, holds, only, same},
    world::{LEASE, World, worker},
};

pub(crate) async fn a_permit_is_out_until_it_comes_back(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    let unknown =
        OrderUpdate { state: OrderState::Unknown, ..world.unchanged(&world.order(intent, 0).await?) };
    let order = world.change(unknown).await?;
    same!(order.permits_out, [worker("a")], "a permit without a definitive reply");
    let strangers = OrderUpdate { permit_returned: Some(worker("b")), ..world.unchanged(&order) };
    let order = world.change(strangers).await?;
    same!(order.permits_out, [worker("a")], "after another's came back");
    let back = OrderUpdate { permit_returned: Some(worker("a")), ..world.unchanged(&order) };
    let order = world.change(back).await?;
    same!(order.permits_out, [], "after it came back");
    // Sending again takes it out again, for who has claimed the work anew.
    let refused = world.store.grant_permit(attempt, &worker("a"), fence, world.now()).await?.is_some();
    same!(refused, false, "a permit after the update gave the lease up");
    let claimed = world.store.claim_due(&worker("a"), LEASE, world.now(), 9).await?;
    let fence = only(claimed, "claimed order")?.fence;
    let granted = world.store.grant_permit(attempt, &worker("a"), fence, world.now()).await?.is_some();
    same!(granted, true, "a second permit");
    same!(world.order(intent, 0).await?.permits_out, [worker("a")], "after it was granted again");
    Ok(())
}

pub(crate) async fn a_permit_ends_with_its_instance(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    world.store.begin_instance(&worker("a"), world.now()).await?;
    let intent = world.intent(1, Side::Buy).await?;
    world.sign("a", intent, 0).await?;
    world.pass(LEASE * 100);
    same!(world.order(intent, 0).await?.permits_out, [worker("a")], "a lease that ran out proves nothing");
    world.store.end_instance(&worker("a"), "its process is gone", world.now()).await?;
    let order = world.order(intent, 0).await?;
    same!(order.permits_out, [], "after its end was seen");
    // What it wrote may still be on its way, until a reply says otherwise.
    same!(order.sender_ended_at, Some(world.now()), "when its end was seen");
    let back = OrderUpdate { permit_returned: Some(worker("a")), ..world.unchanged(&order) };
    same!(world.change(back).await?.sender_ended_at, None, "after a reply brought the permit back");
    Ok(())
}

pub(crate) async fn a_taken_over_order_is_not_sent_by_its_old_holder(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    world.pass(LEASE + Duration::from_millis(1));
    let grant = async |holder: &InstanceId, fence| {
        world.store.grant_permit(attempt, holder, fence, world.now()).await.map(|left| left.is_some())
    };
    same!(grant(&worker("a"), fence).await?, true, "a lease that ran out but was not taken");
    let taken = world.store.claim_due(&worker("b"), LEASE, world.now(), 9).await?;
    let taken = only(taken, "order taken over")?;
    holds!(taken.fence > fence, "the fence must grow with the holder: {} after {fence}", taken.fence);
    same!(grant(&worker("a"), fence).await?, false, "the old holder with its old fence");
    same!(grant(&worker("a"), taken.fence).await?, false, "the old holder with the new fence");
    same!(grant(&worker("b"), fence).await?, false, "the new holder with the old fence");
    same!(world.order(intent, 0).await?.permits_out, [worker("a")], "permits after refusals");
    same!(grant(&worker("b"), taken.fence).await?, true, "the new holder");
    same!(world.order(intent, 0).await?.permits_out, [worker("a"), worker("b")], "permits of both");
    same!(grant(&worker("b"), taken.fence).await?, true, "the new holder once more");
    same!(world.order(intent, 0).await?.permits_out.len(), 2, "one permit for each holder");
    let unknown = AttemptId(77_777);
    let refused = world.store.grant_permit(unknown, &worker("b"), taken.fence, world.now()).await?.is_some();
    same!(refused, false, "a permit for nothing");
    Ok(())
}

/// The time to send the same bytes is counted by the store, whatever the clocks of those say who sign and send.
pub(crate) async fn a_permit_lasts_as_long_as_the_bytes_since_they_were_committed(
    bench: Bench,
) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    // Signed by a clock that is nine seconds ahead, and sent again by one that is nine behind.
    let (second, ahead) = (Duration::from_secs(1), Duration::from_secs(9));
    let signed_at = world.now().plus(ahead);
    let resend_until = signed_at.plus(second * 5);
    let attempt = SignedAttempt { signed_at, resend_until, ..world.attempt(intent, 0) };
    let outcomes = world.store.commit_signed(&worker("a"), LEASE, &[attempt]).await?;
    let Some(SignedOutcome::Won { attempt, fence }) = outcomes.first().cloned() else {
        return Err(Failure::new(format!("not won: {outcomes:?}")));
    };
    let left =
        async || world.store.grant_permit(attempt, &worker("a"), fence, world.now().minus(ahead)).await;
    same!(left().await?, Some(second * 5), "at once");
    world.pass(second * 3);
    same!(left().await?, Some(second * 2), "three seconds later");
    world.pass(second * 4);
    same!(left().await?, Some(Duration::ZERO), "when its time is over");
    Ok(())
}

pub(crate) async fn a_granted_permit_raises_the_version(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    let read_before = world.order(intent, 0).await?;
    same!(
        world.store.grant_permit(attempt, &worker("a"), fence, world.now()).await?.is_some(),
        true,
        "the permit"
    );
    let order = world.order(intent, 0).await?;
    same!(order.version, read_before.version + 1, "the version");
    let blind = OrderUpdate { state: OrderState::Killed, ..world.unchanged(&read_before) };
    same!(world.apply(blind).await?, false, "an update by one who does not know of the permit");
    same!(
        world.store.grant_permit(attempt, &worker("b"), fence, world.now()).await?.is_some(),
        false,
        "a refused permit"
    );
    same!(world.order(intent, 0).await?, order, "the order after refusals");
    Ok(())
}

/// What `holder` can claim now, by intent, with its fence.
async fn claim(world: &World, holder: &str, limit: usize) -> CaseResult<Vec<(IntentId, i64)>> {
    let claimed = world.store.claim_due(&worker(holder), LEASE, world.now(), limit).await?;
    Ok(claimed.iter().map(|order| (order.intent.id, order.fence)).collect())
}

pub(crate) async fn work_is_claimed_when_due_and_free(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let first = world.intent(1, Side::Buy).await?;
    let second = world.intent(2, Side::Buy).await?;
    let waiting = world.intent(3, Side::Buy).await?;
    let (mut fences, now) = (Vec::new(), world.now());
    for (intent, due) in [(first, now.plus(Duration::from_secs(1))), (second, now)] {
        let (_, fence) = world.sign("a", intent, 0).await?;
        for holder in ["a", "b"] {
            same!(claim(&world, holder, 9).await?, [], "work of {holder} while the order is being sent");
        }
        let order = world.order(intent, 0).await?;
        world.change(OrderUpdate { work: WorkChange::Due(due), ..world.unchanged(&order) }).await?;
        fences.push(fence);
    }
    let claimed = claim(&world, "b", 9).await?;
    let (_, fence) = only(claimed.clone(), "order that is due")?;
    same!(claimed, [(second, fence)], "work that is due, which the update gave up");
    holds!(fences.iter().all(|old| fence > *old), "the fence must grow with the holder: {fence}, {fences:?}");
    same!(claim(&world, "a", 9).await?, [], "another's work");
    same!(claim(&world, "b", 9).await?, claimed, "its own work again");
    world.pass(Duration::from_secs(1));
    let both = claim(&world, "b", 9).await?;
    same!(both.iter().map(|(intent, _)| *intent).collect::<Vec<_>>(), [second, first], "by due time");
    same!(both.first(), claimed.first(), "the fence of what it held");
    same!(claim(&world, "b", 1).await?, claimed, "at most one");
    world.pass(LEASE - Duration::from_millis(1));
    same!(claim(&world, "a", 9).await?, [], "another's work whose lease was renewed by claiming");
    world.pass(Duration::from_millis(1));
    let taken = claim(&world, "a", 9).await?;
    same!(taken.iter().map(|(intent, _)| *intent).collect::<Vec<_>>(), [second, first], "after the lease");
    holds!(taken.iter().zip(&both).all(|(new, old)| new.1 > old.1), "fences: {taken:?} after {both:?}");
    same!(claim(&world, "b", 9).await?, [], "the old holder's work");
    same!(world.store.waiting(Lane::Entries, world.now(), 9).await?, [waiting], "what waits is not claimed");
    Ok(())
}

pub(crate) async fn work_of_an_ended_instance_is_free_at_once(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    same!(claim(&world, "b", 9).await?, [], "work of a running instance");
    world.store.end_instance(&worker("a"), "its process is gone", world.now()).await?;
    let (claimed, new) = only(claim(&world, "b", 9).await?, "order of the ended instance")?;
    same!(claimed, intent, "whose work was claimed");
    holds!(new > fence, "the fence must grow with the holder: {new} after {fence}");
    same!(claim(&world, "c", 9).await?, [], "work of the new holder");
    same!(
        world.store.grant_permit(attempt, &worker("b"), new, world.now()).await?.is_some(),
        true,
        "its permit"
    );
    same!(world.order(intent, 0).await?.permits_out, [worker("b")], "permits");
    Ok(())
}

/// Its permits count as returned, so it must not get another.
pub(crate) async fn an_ended_instance_goes_on_with_nothing(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let next = world.intent(2, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    same!(world.store.running_instances().await?, [worker("a")], "a signature begins an instance");
    world.store.end_instance(&worker("a"), "its process is gone", world.now()).await?;
    let granted = world.store.grant_permit(attempt, &worker("a"), fence, world.now()).await?.is_some();
    same!(granted, false, "a permit for an ended instance");
    let signed = world.store.commit_signed(&worker("a"), LEASE, &[world.attempt(next, 0)]).await;
    holds!(matches!(signed, Err(StoreError::Conflict(_))), "an ended instance signs: {signed:?}");
    world.pass(LEASE * 2);
    let claimed = world.store.claim_due(&worker("a"), LEASE, world.now(), 9).await;
    holds!(matches!(claimed, Err(StoreError::Conflict(_))), "an ended instance claims: {claimed:?}");
    same!(world.order(intent, 0).await?.permits_out, [], "permits");
    same!(world.store.load_waiting(&[next]).await?.len(), 1, "what it wanted to sign");
    same!(world.store.running_instances().await?, [], "running instances");
    Ok(())
}

/// Due times are the caller's, leases the store's: a worker whose clock is wrong steals nothing.
pub(crate) async fn a_wrong_clock_steals_no_work(bench: Bench) -> CaseResult {
    let world = World::new(bench, 1).await?;
    let intent = world.intent(1, Side::Buy).await?;
    let (attempt, fence) = world.sign("a", intent, 0).await?;
    let future = world.now().plus(Duration::from_secs(100_000));
    same!(world.store.claim_due(&worker("b"), LEASE, future, 9).await?, [], "work claimed from the future");
    same!(
        world.store.grant_permit(attempt, &worker("a"), fence, future).await?.is_some(),
        true,
        "the holder's permit"
    );
    let order = world.order(intent, 0).await?;
    same!(order.fence, fence, "the fence");
    world.change(OrderUpdate { work: WorkChange::Due(world.now()), ..world.unchanged(&order) }).await?;
    world.pass(LEASE * 2);
    let past = world.now().minus(LEASE * 3);
    same!(world.store.claim_due(&worker("b"), LEASE, past, 9).await?, [], "work claimed from the past");
    same!(world.store.claim_due(&worker("b"), LEASE, world.now(), 9).await?.len(), 1, "work claimed now");
    Ok(())
}

pub(crate) async fn only_one_of_many_claims_an_order(bench: Bench) -> CaseResult {
    let world = Arc::new(World::new(bench, 24).await?);
    for intent in world.trade(1, Side::Buy).await? {
        world.sign("signer", intent, 0).await?;
    }
    world.pass(LEASE * 2);
    let claimed = Arc::new(AtomicUsize::new(0));
    let jobs: Vec<_> = (0..8)
        .map(|number| {
            let (world, claimed) = (Arc::clone(&world), Arc::clone(&claimed));
            let spawn = world.bench.spawn;
            spawn(Box::pin(async move {
                // Twice, so that somebody claims after everybody has begun. The second claim of a holder
                // shows what it holds.
                let name = worker(&format!("worker {number}"));
                let mut held = 0;
                for limit in [5, 24] {
                    let answer = world.store.claim_due(&name, LEASE, world.now(), limit).await;
                    held = answer.map_or(0, |orders| orders.len());
                }
                claimed.fetch_add(held, Ordering::AcqRel);
            }))
        })
        .collect();
    for job in jobs {
        job.await;
    }
    same!(claimed.load(Ordering::Acquire), 24, "orders held by all workers together");
    Ok(())
}

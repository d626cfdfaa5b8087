//! Leases and the lives of instances.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::ports::store::{Lease, StoreError};

use super::{
    bench::{Bench, CaseResult, holds, same, some},
    world::{LEASE, World, worker},
};

const NEARLY: Duration = Duration::from_millis(9_999);

pub(crate) async fn a_lease_has_one_holder_at_a_time(bench: Bench) -> CaseResult {
    let (store, clock) = (&bench.store, &bench.clock);
    let first = some(store.take_lease("job", &worker("a"), LEASE).await?, "the first lease")?;
    same!(first.holder, worker("a"), "its holder");
    clock.advance(NEARLY);
    same!(store.take_lease("job", &worker("b"), LEASE).await?, None, "a held lease");
    let renewed = some(store.take_lease("job", &worker("a"), LEASE).await?, "the renewed lease")?;
    same!(renewed, first, "a renewed lease");
    clock.advance(NEARLY);
    same!(store.take_lease("job", &worker("b"), LEASE).await?, None, "a renewed lease for another");
    clock.advance(Duration::from_millis(1));
    let taken = some(store.take_lease("job", &worker("b"), LEASE).await?, "the lease after it ran out")?;
    holds!(taken.fence > first.fence, "the fence must grow with the holder: {taken:?} after {first:?}");
    same!(store.take_lease("job", &worker("a"), LEASE).await?, None, "the lease for its old holder");
    let other = some(store.take_lease("other", &worker("a"), LEASE).await?, "a lease of another name")?;
    same!(other.name, "other", "its name");
    Ok(())
}

pub(crate) async fn a_late_renewal_keeps_the_fence(bench: Bench) -> CaseResult {
    let first = some(bench.store.take_lease("job", &worker("a"), LEASE).await?, "the lease")?;
    bench.clock.advance(LEASE * 5);
    let again = bench.store.take_lease("job", &worker("a"), LEASE).await?;
    same!(again, Some(first), "a lease that ran out and nobody took");
    Ok(())
}

pub(crate) async fn a_released_lease_is_free_and_its_fence_dead(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let commit = Default::default();
    world.commit(&commit).await?;
    world.store.release_lease(&world.lease).await?;
    let refused = world.store.commit_detection(&world.lease, 0, &commit).await;
    same!(refused, Err(StoreError::LeaseLost("watcher".to_owned())), "a commit under a released lease");
    let again = world.store.take_lease("watcher", &world.lease.holder, LEASE).await?;
    let again = some(again, "the lease for its old holder")?;
    holds!(again.fence > world.lease.fence, "a release must end the fence");
    // Giving the old one back once more must not disturb the new one.
    world.store.release_lease(&world.lease).await?;
    same!(world.store.take_lease("watcher", &worker("b"), LEASE).await?, None, "the new lease");
    Ok(())
}

pub(crate) async fn who_was_seen_to_end_holds_no_lease(bench: Bench) -> CaseResult {
    let world = World::new(bench, 0).await?;
    let ended = world.lease.holder.clone();
    let kept = some(world.store.take_lease("job", &worker("a"), LEASE).await?, "a lease")?;
    world.store.end_instance(&ended, "its process is gone", world.now()).await?;
    let refused = world.commit(&Default::default()).await;
    holds!(refused.is_err(), "a commit under the lease of one that ended");
    holds!(!world.store.is_leased("watcher").await?, "a lease of one that ended stands");
    holds!(!world.store.is_leased("nobody's").await?, "a lease that nobody ever took stands");
    let next = some(world.store.take_lease("watcher", &worker("b"), LEASE).await?, "the lease at once")?;
    holds!(next.fence > world.lease.fence, "the fence must grow: {next:?} after {:?}", world.lease);
    same!(world.store.take_lease("job", &worker("b"), LEASE).await?, None, "the lease of another");
    same!(kept.holder, worker("a"), "its holder");
    holds!(world.store.is_leased("job").await?, "a lease that has not run out");
    world.pass(LEASE);
    holds!(!world.store.is_leased("job").await?, "a lease that has run out stands");
    Ok(())
}

pub(crate) async fn only_one_of_many_takes_a_lease(bench: Bench) -> CaseResult {
    let won: Arc<Mutex<Vec<Lease>>> = Arc::default();
    let jobs: Vec<_> = (0..8)
        .map(|number| {
            let (store, won) = (Arc::clone(&bench.store), Arc::clone(&won));
            (bench.spawn)(Box::pin(async move {
                if let Ok(Some(lease)) = store.take_lease("job", &worker(&number.to_string()), LEASE).await {
                    won.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
                }
            }))
        })
        .collect();
    for job in jobs {
        job.await;
    }
    let count = won.lock().unwrap_or_else(PoisonError::into_inner).len();
    same!(count, 1, "holders of one lease");
    Ok(())
}

pub(crate) async fn instances_run_until_they_are_seen_to_end(bench: Bench) -> CaseResult {
    let (store, now) = (&bench.store, domain::Timestamp(5));
    store.begin_instance(&worker("b"), now).await?;
    store.begin_instance(&worker("a"), now).await?;
    store.begin_instance(&worker("a"), now).await?;
    let mut running = store.running_instances().await?;
    running.sort();
    same!(running, [worker("a"), worker("b")], "running instances");
    bench.clock.advance(Duration::from_secs(1_000_000));
    same!(store.running_instances().await?.len(), 2, "running instances after a long silence");
    store.end_instance(&worker("a"), "its process is gone", now).await?;
    same!(store.running_instances().await?, [worker("b")], "running instances after one ended");
    let revived = store.begin_instance(&worker("a"), now).await;
    holds!(matches!(revived, Err(StoreError::Conflict(_))), "an ended instance begins again: {revived:?}");
    same!(store.running_instances().await?, [worker("b")], "running instances after a refused begin");
    Ok(())
}

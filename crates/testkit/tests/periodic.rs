//! Periodic tasks at work on a store with virtual time: old events go, one process at a time, hour after hour.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use domain::{Clock as _, Timestamp};
use engine::{
    limits::{EVENTS_KEPT, PRUNE_BATCH, PRUNE_EVENTS_EVERY, TASK_LEASE},
    ports::{
        detection::{Detection as _, DetectionCommit},
        reports::Reports as _,
        store::{Event, EventKind, InstanceId, Leases as _},
        tasks::Tasks as _,
    },
    tasks::TaskRunner,
};
use testkit::{executor::block_on, memory_store::MemoryStore, virtual_clock::VirtualClock};

fn instance(name: &str) -> InstanceId {
    InstanceId(name.to_owned())
}

#[test]
fn old_events_go_in_pieces_and_again_an_hour_later() {
    block_on(async {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_790_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let lease = store.take_lease("watcher", &instance("w"), TASK_LEASE).await.unwrap().unwrap();
        let happens = async |count: usize| {
            let kind = EventKind::FollowingChanged { what: "something".to_owned() };
            let event = Event { owner: None, at: clock.now(), kind };
            let commit = DetectionCommit { events: vec![event; count], ..DetectionCommit::default() };
            store.commit_detection(&lease, 0, &commit).await.unwrap();
        };
        let left = async || store.events_after(0, 10_000).await.unwrap().len();
        let runner =
            |name| TaskRunner { store: store.clone(), clock: clock.clone(), instance: instance(name) };
        let (one, two) = (runner("one"), runner("two"));
        happens(PRUNE_BATCH + 10).await;
        clock.advance(EVENTS_KEPT);
        happens(5).await;
        assert_eq!((one.round().await, left().await), (Ok(2), PRUNE_BATCH + 15), "nothing is old enough");
        clock.advance(Duration::from_millis(1));
        assert_eq!((one.round().await, two.round().await), (Ok(0), Ok(0)), "it is not due");
        clock.advance(PRUNE_EVENTS_EVERY);
        assert_eq!((one.round().await, left().await), (Ok(2), 15), "a piece");
        assert_eq!((two.round().await, left().await), (Ok(1), 5), "the rest, by whoever comes");
        assert_eq!((one.round().await, two.round().await), (Ok(0), Ok(0)), "done for an hour");
        // Somebody claims it and is never heard of again.
        clock.advance(PRUNE_EVENTS_EVERY);
        assert!(store.claim_task("prune events", &instance("dead"), TASK_LEASE).await.unwrap().is_some());
        assert_eq!(one.round().await, Ok(1), "the other task");
        assert_eq!(one.round().await, Ok(0));
        clock.advance(TASK_LEASE);
        assert_eq!(one.round().await, Ok(1));
    });
}

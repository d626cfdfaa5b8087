//! The memory store keeps every promise, and the suite notices a store that does not.

use std::sync::Arc;

use domain::Timestamp;

use super::*;
use crate::{executor::block_on, memory_store::MemoryStore, virtual_clock::VirtualClock};

/// Runs a job on a thread of its own.
fn on_a_thread(job: Job) -> Job {
    let thread = std::thread::spawn(move || block_on(job));
    Box::pin(async move { thread.join().unwrap() })
}

fn memory() -> Bench {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: on_a_thread }
}

#[test]
fn the_memory_store_conforms() {
    block_on(run_all(|| async { memory() }));
}

/// A store whose own clock stands still lets no lease and no hold end.
#[test]
fn a_store_with_a_stopped_clock_fails() {
    let stopped = || Bench { clock: VirtualClock::new(Timestamp::from_seconds(1_800_000_000)), ..memory() };
    let failed = CASES.iter().filter(|case| block_on(attempt(case, stopped())).is_err());
    let failed: Vec<_> = failed.map(|case| case.name).collect();
    for name in ["leases::a_lease_has_one_holder_at_a_time", "holds::a_hold_ends_by_itself"] {
        assert!(failed.contains(&name), "{name} does not notice");
    }
    assert!(failed.len() < CASES.len() / 4, "cases that time has nothing to do with fail: {failed:?}");
}

#[test]
#[should_panic(expected = "no_such::case: there is no such case")]
fn an_unknown_case_is_no_success() {
    block_on(run("no_such::case", memory()));
}

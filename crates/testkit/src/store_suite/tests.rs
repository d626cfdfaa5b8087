//! The memory store keeps every promise, and the suite notices stores that do not.

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
    Bench { store, clock, spawn: on_a_thread }
}

#[test]
fn the_memory_store_conforms() {
    block_on(run_all(|| async { memory() }));
}

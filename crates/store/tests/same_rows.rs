//! The same random histories on the memory store and on SQLite leave the same rows. `SLIPSTREAM_SEED=n`
//! plays one again; `SLIPSTREAM_SEEDS=n` plays a tenth of n, by default 30.

#![cfg(test)]

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::Clock;
use engine::ports::store::Store;
use store::SqliteStore;
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{histories::History, rows::rows, world::StoreFactory},
};
use tokio::runtime::Runtime;

/// Histories when nobody says how many.
const USUAL: u64 = 30;
/// A history on SQLite takes as long as this many in memory.
const SLOWER: u64 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn seeds() -> std::ops::Range<u64> {
    match number("SLIPSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SLIPSTREAM_SEEDS").map_or(USUAL, |seeds| (seeds / SLOWER).max(1)),
    }
}

/// What a history leaves in a store of this kind: its rows and the verdict.
fn played(history: &History, store: &StoreFactory) -> (Vec<String>, String) {
    let (run, world) = history.play(store);
    (block_on(rows(world.unwrap().store.as_ref())).unwrap(), format!("{:?}", run.judgement))
}

fn on_sqlite(history: &History) -> (Vec<String>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slipstream.db");
    let open = move |clock: Arc<dyn Clock>| -> Arc<dyn Store> {
        Arc::new(block_on(SqliteStore::open_unsynced(&file, clock)).unwrap())
    };
    played(history, &open)
}

/// What only one of them has, in words; `None` when both have the same.
fn difference(history: &History) -> Option<String> {
    let (memory, verdict) = played(history, &|clock| Arc::new(MemoryStore::new(clock)));
    let (sqlite, other) = on_sqlite(history);
    assert!(memory.len() > 10, "seed {}: nothing happened", history.seed);
    if (&memory, &verdict) == (&sqlite, &other) {
        return None;
    }
    let only = |mine: &[String], theirs: &[String]| {
        let theirs: HashSet<&String> = theirs.iter().collect();
        mine.iter().filter(|row| !theirs.contains(row)).take(3).cloned().collect::<Vec<_>>()
    };
    Some(format!(
        "SLIPSTREAM_SEED={}: only in memory: {:#?}\nonly in SQLite: {:#?}\n{verdict}\n{other}",
        history.seed,
        only(&memory, &sqlite),
        only(&sqlite, &memory)
    ))
}

#[test]
fn random_histories_leave_the_same_rows_in_memory_and_in_sqlite() {
    let runtime = Runtime::new().unwrap();
    let (range, different) = (seeds(), Mutex::new(Vec::new()));
    let next = AtomicU64::new(range.start);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let _context = runtime.enter();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= range.end {
                        return;
                    }
                    different.lock().unwrap().extend(difference(&History::of(seed)));
                }
            });
        }
    });
    let different = different.into_inner().unwrap();
    println!("{} histories, {} of them different", range.end - range.start, different.len());
    assert!(different.is_empty(), "{}", different.iter().take(3).cloned().collect::<Vec<_>>().join("\n"));
}

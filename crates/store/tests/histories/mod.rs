//! Random histories played on two kinds of stores, and what only one of them has afterwards.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{histories::History, rows::rows, world::StoreFactory},
};
use tokio::runtime::Runtime;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// The histories to play: `usual` many, or as the environment says, where one here is as long as `slower` in memory.
pub fn seeds(usual: u64, slower: u64) -> Range<u64> {
    match number("SLIPSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SLIPSTREAM_SEEDS").map_or(usual, |seeds| (seeds / slower).max(1)),
    }
}

/// What a history leaves in a store of this kind: its rows and the verdict.
fn played(history: &History, store: &StoreFactory) -> (Vec<String>, String) {
    let (run, world) = history.play(store);
    (block_on(rows(world.unwrap().store.as_ref())).unwrap(), format!("{:?}", run.judgement))
}

/// What only one of them has, in words; `None` when both have the same.
fn difference(history: &History, other: &StoreFactory) -> Option<String> {
    let (memory, verdict) = played(history, &|clock| std::sync::Arc::new(MemoryStore::new(clock)));
    let (database, other) = played(history, other);
    assert!(memory.len() > 10, "seed {}: nothing happened", history.seed);
    if (&memory, &verdict) == (&database, &other) {
        return None;
    }
    let only = |mine: &[String], theirs: &[String]| {
        let theirs: HashSet<&String> = theirs.iter().collect();
        mine.iter().filter(|row| !theirs.contains(row)).take(3).cloned().collect::<Vec<_>>()
    };
    Some(format!(
        "SLIPSTREAM_SEED={}: only in memory: {:#?}\nonly in the database: {:#?}\n{verdict}\n{other}",
        history.seed,
        only(&memory, &database),
        only(&database, &memory)
    ))
}

/// Plays histories in memory and in the stores that `make` makes for each.
///
/// # Panics
/// When one of them leaves other rows.
pub fn leave_the_same_rows(range: Range<u64>, make: impl Fn() -> Box<StoreFactory> + Sync) {
    let runtime = Runtime::new().unwrap();
    let different = Mutex::new(Vec::new());
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
                    different.lock().unwrap().extend(difference(&History::of(seed), &*make()));
                }
            });
        }
    });
    let different = different.into_inner().unwrap();
    println!("{} histories, {} of them different", range.end - range.start, different.len());
    assert!(different.is_empty(), "{}", different.iter().take(3).cloned().collect::<Vec<_>>().join("\n"));
}

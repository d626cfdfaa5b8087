//! Random histories. `SLIPSTREAM_SEED=n` plays one again; `SLIPSTREAM_SEEDS=n` plays more than by default.

use std::sync::Arc;

use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{histories::History, rows::rows},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn seeds() -> std::ops::Range<u64> {
    match number("SLIPSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SLIPSTREAM_SEEDS").unwrap_or(300),
    }
}

#[test]
fn random_histories_keep_every_rule() {
    keep_every_rule(History::of, seeds());
}

/// A third as many, with the live feed and workers for exits.
#[test]
fn random_histories_with_feeds_keep_every_rule() {
    let seeds = seeds();
    let third = if number("SLIPSTREAM_SEED").is_some() { seeds } else { 0..seeds.end.div_ceil(3) };
    keep_every_rule(History::with_feeds, third);
}

#[expect(clippy::print_stdout, reason = "how much happened is part of the result")]
fn keep_every_rule(history: fn(u64) -> History, seeds: std::ops::Range<u64>) {
    let (mut copies, mut bought, mut sold) = (0, 0, 0);
    let mut broken = Vec::new();
    for seed in seeds.clone() {
        let (run, _) = history(seed).play(&|clock| Arc::new(MemoryStore::new(clock)));
        copies += run.judgement.copies;
        bought += run.judgement.bought;
        sold += run.judgement.sold;
        if !run.judgement.broken.is_empty() {
            broken.push(format!("SLIPSTREAM_SEED={seed}: {}", run.story()));
        }
    }
    println!(
        "{} histories: {copies} copies, {} shares bought, {} sold",
        seeds.count(),
        bought / 1_000_000,
        sold / 1_000_000
    );
    assert!(broken.is_empty(), "{} broken: {:#?}", broken.len(), broken.iter().take(10).collect::<Vec<_>>());
    assert!(number("SLIPSTREAM_SEED").is_some() || (copies > 100 && bought > 0 && sold > 0));
}

#[test]
fn a_history_is_a_function_of_its_seed() {
    for seed in 0..20 {
        let play = || {
            let (_, world) = History::of(seed).play(&|clock| Arc::new(MemoryStore::new(clock)));
            block_on(rows(world.unwrap().store.as_ref())).unwrap()
        };
        assert_eq!(play(), play(), "seed {seed}");
    }
}

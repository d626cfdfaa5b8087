//! Random histories. `SLIPSTREAM_SEED=n` plays one again; `SLIPSTREAM_SEEDS=n` plays more than by default. The first ones that
//! break a rule are made small and printed as tests.

use std::sync::Arc;

use domain::Clock;
use engine::ports::store::Store;
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{histories::History, planted, rows::rows, shrinking::shrink, tampering::Honest},
};

/// Broken histories that are made small: it takes some hundred executions each.
const SHRUNK: usize = 3;

fn memory(clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(clock))
}

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
        let (run, _) = history(seed).play(&memory);
        copies += run.judgement.copies;
        bought += run.judgement.bought;
        sold += run.judgement.sold;
        if !run.judgement.broken.is_empty() {
            broken.push(format!("SLIPSTREAM_SEED={seed}: {}", run.story()));
            let small = (broken.len() <= SHRUNK).then(|| history(seed).shrunk(&Honest, &memory)).flatten();
            small.iter().for_each(|small| println!("{}", small.as_test()));
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
            let (_, world) = History::of(seed).play(&memory);
            block_on(rows(world.unwrap().store.as_ref())).unwrap()
        };
        assert_eq!(play(), play(), "seed {seed}");
    }
}

#[test]
fn what_is_left_of_a_list_is_what_it_takes() {
    let all: Vec<u32> = (0..100).collect();
    for needed in [&[][..], &[0], &[99], &[17, 18, 60], &[0, 25, 50, 75, 99]] {
        let mut asked = 0;
        let left = shrink(&all, |left| {
            asked += 1;
            needed.iter().all(|number| left.contains(number))
        });
        assert_eq!(left, needed);
        assert!(asked < 100, "{needed:?}: asked {asked} times");
    }
}

/// A planted bug and the first history that shows it: what is left shows it too, and nothing of it can be left out.
#[test]
fn a_history_that_shows_a_bug_is_made_small() {
    // The second takes two followers, between whose answers the restart comes.
    for (name, most) in [("logs are read twice", 4), ("decisions are repeated after a restart", 6)] {
        let bug = planted::all().into_iter().find(|bug| bug.name == name).unwrap();
        let shows = |history: &History| !history.play_with(&bug, &memory).0.judgement.broken.is_empty();
        let history = (0..100).map(History::of).find(shows).expect("a history that shows it");
        let small = history.shrunk(&bug, &memory).expect("it goes wrong");
        println!(
            "{name}: {} of {} after {} executions",
            small.pieces.len(),
            history.pieces().len(),
            small.executions
        );
        println!("{}", small.as_test());
        assert!(small.pieces.len() <= most, "{:?}", small.pieces);
        assert!(shows(&history.clone().only(&small.pieces)));
        for left_out in &small.pieces {
            let rest: Vec<_> = small.pieces.iter().copied().filter(|piece| piece != left_out).collect();
            assert!(!shows(&history.clone().only(&rest)), "goes wrong without {left_out:?} too");
        }
        let call = format!("History::of({}).only(&{:?})", history.seed, small.pieces);
        assert!(small.as_test().contains(&call), "{}", small.as_test());
        assert!(
            history.only(&small.pieces).shrunk(&Honest, &memory).is_none(),
            "the honest engine keeps every rule"
        );
    }
}

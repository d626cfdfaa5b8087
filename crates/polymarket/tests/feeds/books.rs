//! Whatever happens, a book put together from a feed is in the end the venue's own.

use engine::ports::feeds::MarketFeed;
use polymarket::limits::{MARKET_SILENCE, RECONNECT_LAST};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use simulator::world::faults::{FaultKind, FaultTarget};

use crate::harness::{Books, OTHER, TOKEN, Venue, run};

const FAULTS: [FaultKind; 8] = [
    FaultKind::Stall,
    FaultKind::MissPong,
    FaultKind::Malformed,
    FaultKind::Duplicate,
    FaultKind::Reorder,
    FaultKind::Disconnect,
    FaultKind::SlowReader,
    FaultKind::Oversized,
];

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.0.next_u64() % bound as u64).unwrap()
    }

    /// Some levels of a side between two prices in cents.
    fn levels(&mut self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let count = self.below(4);
        let mut prices: Vec<i64> = (0..count).map(|_| from + self.below(to - from)).collect();
        prices.sort_unstable();
        prices.dedup();
        prices.into_iter().map(|price| (price, 1 + self.below(9))).collect()
    }
}

/// One history: levels change at random, faults happen at random, and news are read at random.
async fn history(seed: u64) {
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(seed));
    let venue = Venue::new().await;
    let mut books = Books::of(&venue, &[TOKEN, OTHER]);
    for _ in 0..40 {
        match chance.below(6) {
            0 => {
                let kind = FAULTS[usize::try_from(chance.below(FAULTS.len() as i64)).unwrap()];
                venue.fault(FaultTarget::MarketSocket, kind, 1);
            }
            1 => venue.clock.advance(RECONNECT_LAST),
            _ => {
                let middle = 30 + chance.below(40);
                let (bids, asks) = (chance.levels(1, middle), chance.levels(middle, 99));
                venue.levels(&bids, &asks);
            }
        }
        if chance.below(2) == 0 && books.feed.health().open > 0 {
            tokio::select! {
                biased;
                _ = books.hear() => {}
                () = tokio::task::yield_now() => {}
            }
        }
    }
    venue.world.with(|world, _| world.faults.clear());
    // Enough silence for every stall, then a last change and time for every pause.
    venue.clock.advance(MARKET_SILENCE);
    for token in [TOKEN, OTHER] {
        while books.book(token) != Some(venue.book(token)) {
            tokio::select! {
                biased;
                _ = books.hear() => {}
                () = tokio::task::yield_now() => venue.clock.advance(RECONNECT_LAST / 100),
            }
        }
    }
}

#[test]
fn the_book_is_the_venues_own_after_every_history() {
    run(async {
        for seed in 0..60 {
            history(seed).await;
        }
    });
}

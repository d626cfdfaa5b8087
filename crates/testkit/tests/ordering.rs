//! Parts that build on each other are decided one after the other, also when each takes several chunks.

#![cfg(test)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Clock, Shares, Side, Timestamp, TokenId, decide::Verdict, ids::RelationshipId, money::ONE,
};
use engine::{
    limits::{DECISION_CHUNK, FOLLOWING_LAG, FOLLOWING_REFRESH},
    ports::{
        detection::Lane,
        execution::EndReason,
        reports::DecisionRecord,
        store::{Store, StoreResult},
        venue::{History, HistoryKind, TradeHistory, VenueError},
    },
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        faulty::{Layer, Layered},
        scenario::{self, Follower, Scenario, at, change, fill},
        tampering::Honest,
        venue::{LeaderTrade, Venue, VenueModel},
        world::{START, World},
    },
};

/// More followers than two chunks hold.
const MANY: usize = 2 * DECISION_CHUNK + 100;
const ALL: usize = 100_000;

fn trade(second: u64, side: Side, shares: i64) -> LeaderTrade {
    scenario::trade(at(second), 7, side, &[fill(shares, 50)])
}

/// Many followers who copy a tenth, and a book that is deep enough for all of them.
fn crowd(name: &str, followers: usize) -> Scenario {
    let usual = Scenario::one_follower(name);
    let one = usual.followers.first().cloned().unwrap();
    let deep = change(7, START, (50, 1_000_000), (50, 1_000_000));
    Scenario { followers: vec![Follower { ..one }; followers], books: vec![deep], ..usual }
}

/// What a side's decisions order for each follower, summed over their parts.
fn ordered(decisions: &[DecisionRecord], side: Side) -> BTreeMap<RelationshipId, i64> {
    let mut sums = BTreeMap::new();
    for decision in decisions.iter().filter(|decision| decision.key.action.side() == side) {
        let amount = match &decision.verdict {
            Verdict::Copy(order) => order.amount,
            Verdict::Skip(_) => 0,
        };
        *sums.entry(decision.relationship).or_default() += amount;
    }
    sums
}

fn decisions(store: &dyn Store) -> Vec<DecisionRecord> {
    block_on(store.decisions_after(None, 0, ALL)).unwrap()
}

/// The leader buys 400 and sells 100 twice in one block: 40 bought, 20 sold, by the first sale alone.
fn two_sales_in_one_block(followers: usize) {
    let mut scenario = crowd("two sales in one block", followers);
    let sale = trade(21, Side::Sell, 100);
    scenario.trades = vec![trade(4, Side::Buy, 400), sale.clone(), sale];
    let (run, world) =
        run(&scenario, VenueModel::PLAIN, &[], &Honest, &|clock| Arc::new(MemoryStore::new(clock)), false);
    let broken: Vec<_> = run.judgement.broken.iter().take(3).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let decisions = decisions(world.unwrap().store.as_ref());
    assert_eq!(decisions.len(), 3 * followers);
    let sold = ordered(&decisions, Side::Sell);
    assert_eq!(sold.len(), followers);
    let wrong: Vec<_> = sold.iter().filter(|(_, amount)| **amount != 20 * ONE).take(3).collect();
    assert!(wrong.is_empty(), "not 20 shares: {wrong:?}");
}

#[test]
fn two_sales_of_a_token_in_one_block() {
    two_sales_in_one_block(3);
}

#[test]
fn two_sales_of_a_token_in_one_block_for_several_chunks_of_followers() {
    two_sales_in_one_block(DECISION_CHUNK + 10);
}

/// The leader holds 100, buys 400 and sells 250 in one block: it keeps half, and so does everybody, whichever of the two
/// was seen first.
#[test]
fn a_sale_in_the_block_of_its_buy() {
    for sale_first in [false, true] {
        let mut scenario = crowd("bought and sold in one block", 3);
        scenario.leaders = vec![(1, Shares(100 * ONE))];
        scenario.trades = vec![trade(21, Side::Buy, 400), trade(21, Side::Sell, 250)];
        if sale_first {
            scenario.trades.reverse();
        }
        let memory = |clock| -> Arc<dyn Store> { Arc::new(MemoryStore::new(clock)) };
        let (run, world) = run(&scenario, VenueModel::PLAIN, &[], &Honest, &memory, false);
        let broken: Vec<_> = run.judgement.broken.iter().take(3).collect();
        assert!(broken.is_empty(), "{broken:#?}");
        let positions = block_on(world.unwrap().store.positions(None)).unwrap();
        let held: Vec<i64> = positions.iter().map(|row| row.position.shares.0 / ONE).collect();
        assert_eq!(held, [20, 20, 20], "of 40 copied each");
    }
}

/// The venue's history, which shows half of every trade.
struct Half(Arc<Venue>);

#[async_trait]
impl TradeHistory for Half {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        let mut history = self.0.activity(wallet, since).await?;
        for row in history.responses.iter_mut().flat_map(|response| &mut response.rows) {
            if let HistoryKind::Trade { shares, .. } = &mut row.kind {
                *shares = Shares(shares.0 / 2);
            }
        }
        Ok(history)
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.0.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.0.held(wallet, token, since).await
    }
}

fn watcher(world: &World, store: Arc<dyn Store>) -> Watcher {
    let history = Some(Arc::new(Half(world.venue.clone())) as _);
    Watcher::new(WatcherPorts { history, store, ..world.watcher_ports() })
}

/// A buy of the leader's that many copy, in a world in which nothing runs by itself.
fn large_buy(name: &str, shown_at: Option<Timestamp>) -> World {
    let mut scenario = crowd(name, MANY);
    scenario.trades = vec![LeaderTrade { shown_at, ..trade(4, Side::Buy, 400) }];
    World::by_hand(scenario).unwrap()
}

/// The chain shows the rest of a buy whose first half is decided for the first thousand followers: everybody
/// ends with a copy of the whole, nobody with a copy of the whole on top of the half.
#[test]
fn the_second_part_of_a_buy_while_the_first_is_still_being_decided() {
    let world = large_buy("half a buy, then the rest", Some(at(4)));
    let mut watcher = watcher(&world, world.store.clone());
    let step = |watcher: &mut Watcher| block_on(watcher.step()).unwrap();
    step(&mut watcher);
    world.clock.advance(Duration::from_secs(5));
    step(&mut watcher);
    assert_eq!(decisions(world.store.as_ref()).len(), DECISION_CHUNK, "a chunk from the history");
    world.clock.advance(Duration::from_secs(1));
    step(&mut watcher);
    let undecided = block_on(world.store.incomplete_parts()).unwrap();
    assert_eq!(undecided.len(), 2, "the chain brings the second part before the first is decided for all");
    while step(&mut watcher).busy {}

    let decisions = decisions(world.store.as_ref());
    assert_eq!(decisions.len(), 2 * MANY);
    let bought = ordered(&decisions, Side::Buy);
    assert_eq!(bought.len(), MANY);
    let wrong: Vec<_> = bought.iter().filter(|(_, amount)| **amount != 20 * ONE).collect();
    assert!(wrong.is_empty(), "{} of {MANY} followers do not buy for 20 $: {:?}", wrong.len(), wrong.first());
}

/// Counts how often the following is read.
struct Counting {
    store: Arc<dyn Store>,
    followings: Arc<AtomicUsize>,
}

#[async_trait]
impl Layer for Counting {
    fn inner(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn reads(&self, method: &'static str) -> StoreResult<()> {
        self.followings.fetch_add(usize::from(method == "following"), Ordering::Relaxed);
        Ok(())
    }
}

/// A large buy of which one chunk is decided, and how often the following was read for it.
struct Deciding {
    world: World,
    watcher: Watcher,
    followings: Arc<AtomicUsize>,
}

impl Deciding {
    fn begin(name: &str) -> Self {
        let world = large_buy(name, None);
        let followings = Arc::new(AtomicUsize::new(0));
        let counting = Counting { store: world.store.clone(), followings: followings.clone() };
        let watcher = watcher(&world, Arc::new(Layered(counting)));
        let mut begun = Self { world, watcher, followings };
        begun.step();
        begun.world.clock.advance(Duration::from_secs(6));
        begun.step();
        assert_eq!(begun.decided(), DECISION_CHUNK);
        begun
    }

    fn step(&mut self) -> bool {
        block_on(self.watcher.step()).unwrap().busy
    }

    fn decided(&self) -> usize {
        decisions(self.world.store.as_ref()).len()
    }

    fn read(&self) -> usize {
        self.followings.load(Ordering::Relaxed)
    }

    /// An intent ends, and its money is free again.
    fn give_back(&self) {
        let (store, now) = (&self.world.store, self.world.clock.now());
        let waiting = block_on(store.waiting(Lane::Entries, now, 1)).unwrap();
        let ends = [(waiting[0], EndReason::TooOld)];
        assert_eq!(block_on(store.end_intents(&ends, now)).unwrap(), 1);
    }
}

#[test]
fn what_is_given_back_while_a_large_trade_is_decided_is_read_after_its_last_chunk() {
    let mut deciding = Deciding::begin("money given back between two chunks");
    let before = deciding.read();
    for chunks in 1..=2 {
        assert_eq!(deciding.decided(), chunks * DECISION_CHUNK);
        deciding.give_back();
        deciding.world.clock.advance(FOLLOWING_REFRESH);
        assert!(deciding.step());
        assert_eq!(deciding.read(), before, "read again with {chunks} chunks decided");
    }
    while deciding.step() {}
    assert_eq!(deciding.decided(), MANY);
    deciding.world.clock.advance(FOLLOWING_REFRESH);
    deciding.step();
    assert_eq!(deciding.read(), before + 1);
}

/// It was read at the very beginning, six seconds before the first chunk.
#[test]
fn a_trade_that_takes_long_to_decide_is_interrupted_for_what_was_given_back() {
    let mut deciding = Deciding::begin("money given back long before the last chunk");
    let before = deciding.read();
    deciding.give_back();
    let left = FOLLOWING_LAG - Duration::from_secs(6) - Duration::from_millis(1);
    for (pause, read) in [(left, before), (Duration::from_millis(1), before + 1)] {
        assert!(deciding.decided() < MANY);
        deciding.world.clock.advance(pause);
        assert!(deciding.step());
        assert_eq!(deciding.read(), read);
    }
}

//! Who begins to follow inside a second. Blocks and the history tell whole seconds, an enrolment has
//! microseconds: what happened before it is never copied, and of what happened after it only trades of the
//! same second are missed, because nobody can tell on which side of it they were. And watchers that are late or
//! were away: they read what happened meanwhile, as it stands now.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, Clock, KeyRef, Shares, Side, Timestamp, TokenId, Usd, WalletKind,
    decide::Verdict,
    ids::{AccountId, OwnerId},
    money::ONE,
};
use engine::{
    market_cache::MarketCache,
    ports::{
        detection::Detection as _,
        following::{AccountMode, Following as _, NewAccount, NewRelationship},
        reports::Reports as _,
        store::InstanceId,
        venue::{BlockHeader, ChainReader, History, TradeHistory, VenueError},
    },
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        doorbell::Doorbell,
        over::{ChainLayer, Over},
        scenario::{Scenario, change, fill, follower_wallet, leader_wallet, market, token, trade},
        venue::{LeaderTrade, Venue, VenueModel},
        world::START,
    },
    virtual_clock::VirtualClock,
};

/// Every block is made this long after its second has begun.
const LATE: i64 = 700_000;
const SECOND: i64 = 1_000_000;
/// Between two blocks.
const BLOCK: i64 = 2 * SECOND;

fn start_plus(micros: i64) -> Timestamp {
    Timestamp(START.0 + micros)
}

/// The venue's chain, with times in whole seconds as a real one has them.
struct WholeSeconds(Arc<Venue>);

fn whole(header: BlockHeader) -> BlockHeader {
    BlockHeader { time: Timestamp::from_seconds(header.time.seconds()), ..header }
}

#[async_trait]
impl ChainLayer for WholeSeconds {
    fn inner(&self) -> &dyn ChainReader {
        self.0.as_ref()
    }

    async fn head(&self) -> Result<BlockHeader, VenueError> {
        self.0.head().await.map(whole)
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.0.finalized().await.map(whole)
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        Ok(self.0.header(number).await?.map(whole))
    }
}

/// What is read.
#[derive(Clone, Copy, Debug)]
enum Sources {
    Chain,
    History,
    Both,
}

struct Scene {
    clock: Arc<VirtualClock>,
    venue: Arc<Venue>,
    store: Arc<MemoryStore>,
    watcher: Watcher,
}

impl Scene {
    /// A leader who buys once in each of ten blocks, the k-th of them 2k + 0.7 s after the start.
    fn new(sources: Sources) -> Self {
        Self::with_history(sources, None)
    }

    fn with_history(sources: Sources, history: Option<Arc<dyn TradeHistory>>) -> Self {
        let clock = VirtualClock::new(start_plus(LATE));
        let venue = Venue::new(clock.clone(), VenueModel::PLAIN);
        venue.open(market(7).unwrap());
        venue.plan_book(change(7, START, (49, 100_000), (50, 100_000)));
        for block in 1..=10 {
            let at = start_plus(block * BLOCK + LATE - 1);
            let buy = trade(at, 7, Side::Buy, &[fill(400, 50)]);
            venue.plan_trade(LeaderTrade { shown_at: Some(at), ..buy });
        }
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let chain: Arc<dyn ChainReader> = Arc::new(Over(WholeSeconds(venue.clone())));
        let watcher = Watcher::new(WatcherPorts {
            store: store.clone(),
            queue: Doorbell::new(clock.clone()),
            chain: (!matches!(sources, Sources::History)).then_some(chain),
            history: (!matches!(sources, Sources::Chain))
                .then(|| history.unwrap_or_else(|| venue.clone() as _)),
            live: None,
            markets: Arc::new(MarketCache::new(venue.clone(), store.clone(), clock.clone())),
            clock: clock.clone(),
            instance: InstanceId("the watcher".to_owned()),
            history_every: Duration::ZERO,
        });
        Self { clock, venue, store, watcher }
    }

    /// Lets the watcher work until a moment.
    fn watch_until(&mut self, end: Timestamp) {
        while self.clock.now() < end {
            self.clock.advance(end.since(self.clock.now()).min(Duration::from_millis(100)));
            while block_on(self.watcher.step()).unwrap().busy {}
        }
    }

    /// Somebody has an account with this wallet from now on.
    async fn account(&self, wallet: Address) -> (OwnerId, AccountId) {
        let now = self.clock.now();
        let owner = self.store.add_owner("somebody", now).await.unwrap();
        let account = NewAccount {
            label: "an account".to_owned(),
            mode: AccountMode::Paper,
            wallet,
            signer: wallet,
            kind: WalletKind::Eoa,
            key: KeyRef("key".to_owned()),
            cap: None,
        };
        (owner, self.store.add_account(owner, &account, now).await.unwrap())
    }

    /// Somebody begins to follow the leader now.
    fn enrol(&self) {
        let now = self.clock.now();
        let policy = Scenario::one_follower("baseline").followers[0].policy.clone();
        block_on(async {
            let leader = self.store.add_leader(leader_wallet(1), now).await.unwrap();
            let (owner, account) = self.account(follower_wallet(0)).await;
            self.store.book_deposit(owner, account, Usd(100_000 * ONE), now).await.unwrap();
            let new = NewRelationship { account, leader, policy };
            self.store.add_relationship(owner, &new, now).await.unwrap();
        });
    }

    /// The blocks whose trade was copied, by the second they tell.
    fn copied(&self) -> Vec<i64> {
        let decisions = block_on(self.store.decisions_after(None, 0, 1_000)).unwrap();
        let copies = decisions.iter().filter(|decision| matches!(decision.verdict, Verdict::Copy(_)));
        let mut seconds: Vec<i64> = copies
            .map(|copy| {
                let group = block_on(self.store.group_with_fills(copy.key)).unwrap().unwrap().0;
                group.traded_at.seconds() - START.seconds()
            })
            .collect();
        seconds.sort_unstable();
        seconds
    }
}

/// Moments around the beginnings of seconds and the making of blocks.
fn moments() -> impl Iterator<Item = i64> {
    let around = [4 * SECOND, 4 * SECOND + LATE, 5 * SECOND, 6 * SECOND, 6 * SECOND + LATE, 7 * SECOND];
    let between = [4 * SECOND + 350_000, 4 * SECOND + 850_000, 5 * SECOND + 500_000];
    around.into_iter().flat_map(|at| [at - 1, at, at + 1]).chain(between)
}

fn expect(scene: &Scene, enrolled: i64, how: &str) {
    let copied = scene.copied();
    let made = |second: i64| second * SECOND + LATE;
    let old: Vec<i64> = copied.iter().copied().filter(|second| made(*second) < enrolled).collect();
    assert!(old.is_empty(), "{how}, enrolled at {enrolled}: copied what was made before: {old:?}");
    let due: Vec<i64> =
        (1..=10).map(|block| 2 * block).filter(|second| second * SECOND >= enrolled).collect();
    assert_eq!(copied, due, "{how}, enrolled at {enrolled}");
}

#[test]
fn a_follower_who_joins_while_a_watcher_reads() {
    for sources in [Sources::Chain, Sources::History, Sources::Both] {
        for enrolled in moments() {
            let mut scene = Scene::new(sources);
            scene.watch_until(start_plus(enrolled));
            scene.enrol();
            scene.watch_until(start_plus(30 * SECOND));
            expect(&scene, enrolled, &format!("{sources:?}, joining"));
        }
    }
}

#[test]
fn a_first_start_just_after_the_enrolment() {
    for sources in [Sources::Chain, Sources::History, Sources::Both] {
        for enrolled in moments() {
            let mut scene = Scene::new(sources);
            scene.clock.advance(start_plus(enrolled).since(scene.clock.now()));
            scene.enrol();
            assert!(block_on(scene.watcher.step()).unwrap().active);
            scene.watch_until(start_plus(30 * SECOND));
            expect(&scene, enrolled, &format!("{sources:?}, first start"));
        }
    }
}

/// Followers enrolled, and the watcher first came much later: trades in between were decided from the history,
/// called phantoms because their blocks were never read, and swallowed the trades after them.
#[test]
fn a_first_start_long_after_the_enrolment() {
    for sources in [Sources::Chain, Sources::History, Sources::Both] {
        let mut scene = Scene::new(sources);
        let enrolled = 5 * SECOND;
        scene.clock.advance(start_plus(enrolled).since(scene.clock.now()));
        scene.enrol();
        scene.clock.advance(Duration::from_secs(6));
        scene.watch_until(start_plus(40 * SECOND));
        expect(&scene, enrolled, &format!("{sources:?}, late first start"));
    }
}

/// The history does not name orders, so it cannot tell ours from others.
#[test]
fn a_leader_of_ours_is_decided_from_the_chain_alone() {
    for (sources, copies) in [(Sources::Chain, 10), (Sources::Both, 10), (Sources::History, 0)] {
        let mut scene = Scene::new(sources);
        scene.enrol();
        block_on(scene.account(leader_wallet(1)));
        scene.watch_until(start_plus(30 * SECOND));
        assert_eq!(scene.copied().len(), copies, "{sources:?}");
        for group in block_on(scene.store.newest_groups(100)).unwrap() {
            assert!(group.parts == 0 || group.chain.is_some(), "decided from a hint: {group:?}");
        }
    }
}

/// The newest blocks were replaced while the watcher was away for more blocks than one step reads: it caught up
/// from a tip that no longer stood, and what it had read of it counted for ever.
#[test]
fn a_reorganisation_while_the_watcher_is_away() {
    let mut scene = Scene::new(Sources::Chain);
    scene.enrol();
    scene.watch_until(start_plus(13 * SECOND));
    scene.venue.reorganise(3);
    scene.clock.advance(Duration::from_secs(300));
    scene.watch_until(start_plus(330 * SECOND));
    let groups = block_on(scene.store.newest_groups(100)).unwrap();
    assert_eq!(groups.len(), 10, "every trade of the leader");
    for group in groups {
        let tx = group.key.tx;
        assert_eq!(group.block, scene.venue.height_of_trade(tx), "the block of {tx}");
        let fills = block_on(scene.store.group_with_fills(group.key)).unwrap().unwrap().1;
        let blocks: Vec<_> = fills.iter().map(|fill| Some(fill.block)).collect();
        assert_eq!(blocks, [group.block], "canonical fills of {tx}");
    }
}

/// A history that never answers.
struct Silent;

#[async_trait]
impl TradeHistory for Silent {
    async fn activity(&self, _: Address, _: Timestamp) -> Result<History, VenueError> {
        std::future::pending().await
    }

    async fn positions(&self, _: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        std::future::pending().await
    }

    async fn held(&self, _: Address, _: TokenId, _: Timestamp) -> Result<Shares, VenueError> {
        std::future::pending().await
    }
}

/// A silent history held up every step by its deadline, and with it what the chain tells.
#[test]
fn a_silent_history_holds_nothing_up() {
    let mut scene = Scene::with_history(Sources::Both, Some(Arc::new(Silent)));
    scene.enrol();
    scene.watch_until(start_plus(3 * SECOND));
    assert_eq!(scene.copied(), [2], "copied within a second of its block");
}

/// Without a chain the balances around a sale are counted back from the position of now: of two sales read at
/// once each was taken for the last one, and followers sold too much.
#[test]
fn two_sales_read_at_once_without_a_chain() {
    let mut scene = Scene::new(Sources::History);
    for second in [30, 32] {
        let sale = trade(start_plus(second * SECOND), 7, Side::Sell, &[fill(1_600, 49)]);
        let shown_at = Some(start_plus(34 * SECOND));
        scene.venue.plan_trade(LeaderTrade { shown_at, ..sale });
    }
    scene.enrol();
    scene.watch_until(start_plus(60 * SECOND));
    let leader = block_on(scene.store.leaders()).unwrap()[0].id;
    let factors = block_on(scene.store.exit_basis(leader, token(7), None)).unwrap().factors;
    let kept: Vec<_> = factors.iter().map(|factor| (factor.before.0 / ONE, factor.after.0 / ONE)).collect();
    assert_eq!(kept, [(4_000, 2_400), (2_400, 800)]);
}

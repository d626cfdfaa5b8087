//! What sources beside the chain tell: trades that no block which was read shows yet, and dates that cannot be.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Clock, Rounding, Shares, Side, Timestamp, TokenId, TxHash, Usd, decide::Verdict, money::ONE,
    skip::SkipReason,
};
use engine::{
    ports::{
        feeds::FeedHealth,
        live::{LiveChannel, LiveFeed, LiveNews, LiveTrade},
        reports::DecisionRecord,
        store::{EventKind, Store},
        venue::{BlockHeader, ChainEvent, ChainEventKind, ChainReader, History, TradeHistory, VenueError},
    },
    sources::{SourceName, SourceWatch},
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        over::{ChainLayer, Over},
        scenario::{Scenario, at, fill, leader_wallet, token},
        tampering::Honest,
        venue::{LeaderTrade, Venue, VenueModel},
        world::World,
    },
};

/// When logs can be read again.
const LIGHT: u64 = 150;

fn buy(second: u64) -> LeaderTrade {
    LeaderTrade {
        at: at(second),
        wallet: leader_wallet(1),
        token: token(7),
        side: Side::Buy,
        moved: None,
        fills: vec![fill(100, 50)],
        shown_at: Some(at(second)),
        dropped: false,
    }
}

fn world(name: &str, trades: Vec<LeaderTrade>) -> World {
    World::by_hand(Scenario { trades, ..Scenario::one_follower(name) }).unwrap()
}

/// Steps every second up to this one. Errors are those of a source that cannot be read.
fn watch(world: &World, watcher: &mut Watcher, until: u64) {
    while world.clock.now() < at(until) {
        while block_on(watcher.step()).is_ok_and(|stepped| stepped.busy) {}
        world.clock.advance(Duration::from_secs(1));
    }
}

fn decided(world: &World) -> Vec<DecisionRecord> {
    block_on(world.store.decisions_after(None, 0, 100)).unwrap()
}

fn phantoms(world: &World) -> usize {
    let events = block_on(world.store.events_after(0, 1_000)).unwrap();
    events.iter().filter(|(_, event)| matches!(event.kind, EventKind::Phantom { .. })).count()
}

/// A chain whose blocks can be told, and whose logs cannot be read for a while.
struct Dark(Arc<Venue>, Arc<dyn Clock>);

#[async_trait]
impl ChainLayer for Dark {
    fn inner(&self) -> &dyn ChainReader {
        self.0.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        if self.1.now() < at(LIGHT) && block.time > at(2) {
            return Err(VenueError::Unavailable { what: "logs".to_owned(), reason: "dark".to_owned() });
        }
        self.0.block_events(block, wallets).await
    }
}

#[test]
fn a_trade_in_blocks_that_nobody_can_read_is_no_phantom() {
    let world = world("a trade in the dark", vec![buy(4)]);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let chain: Arc<dyn ChainReader> = Arc::new(Over(Dark(world.venue.clone(), clock)));
    let mut watcher = Watcher::new(WatcherPorts { chain: Some(chain), ..world.watcher_ports() });
    watch(&world, &mut watcher, 10);
    assert_eq!(decided(&world).len(), 1, "the Data API's hint was copied");
    watch(&world, &mut watcher, LIGHT);
    assert_eq!(phantoms(&world), 0, "it is in a block all the time");
    watch(&world, &mut watcher, 3 * LIGHT);
    assert_eq!((decided(&world).len(), phantoms(&world)), (1, 0));
}

/// Once blocks should have it, the second trade is told to be in none, and each follower has that as an answer.
fn is_denied_at_last(world: &World, watcher: &mut Watcher) {
    watch(world, watcher, 160);
    let answers: Vec<Verdict> = decided(world).into_iter().map(|one| one.verdict).collect();
    assert!(
        matches!(answers.as_slice(), [Verdict::Copy(_), Verdict::Skip(SkipReason::NotOnChain)]),
        "{answers:?}"
    );
    assert_eq!(phantoms(world), 1, "told once");
}

/// A sale that the Data API shows and no block has: followers keep what they hold, and nobody was told.
#[test]
fn a_sale_that_no_block_has_is_told() {
    let sale = LeaderTrade { side: Side::Sell, dropped: true, ..buy(20) };
    let world = world("a sale on no chain", vec![buy(4), sale]);
    let sources = Arc::<SourceWatch>::default();
    let mut watcher = Watcher::new(world.watcher_ports()).with_sources(sources.clone());
    watch(&world, &mut watcher, 100);
    assert_eq!((decided(&world).len(), phantoms(&world)), (1, 0), "it may come yet");
    is_denied_at_last(&world, &mut watcher);
    let health = sources.health(world.clock.now());
    let history = health.iter().find(|one| one.source == SourceName::History).unwrap();
    assert_eq!((history.compared, history.differs), (2, 1));
}

/// A buy that the Data API shows, that may be one of the chain's under another hash and so was not decided, and that is in
/// no block in the end: each follower has an answer to it.
#[test]
fn a_buy_that_no_block_has_and_nobody_decided_is_told() {
    let unshown = LeaderTrade { shown_at: None, ..buy(4) };
    let missing = LeaderTrade { fills: vec![fill(300, 50)], dropped: true, ..buy(20) };
    let world = world("a buy on no chain", vec![unshown, missing]);
    let mut watcher = Watcher::new(world.watcher_ports());
    watch(&world, &mut watcher, 100);
    assert_eq!((decided(&world).len(), phantoms(&world)), (1, 0), "it may be the chain's, or come yet");
    is_denied_at_last(&world, &mut watcher);
}

/// A step that need not ask for the head takes no hint: a block may have come since. Before, the hint of one trade was decided
/// first and the trade of that block taken for it, settling under another hash.
#[test]
fn a_hint_is_taken_after_the_block_that_is_there() {
    let in_block = LeaderTrade { shown_at: None, ..buy(20) };
    let hinted = LeaderTrade { shown_at: Some(at(20)), ..buy(28) };
    let world = world("a hint ahead of its block", vec![in_block, hinted]);
    let mut watcher = Watcher::new(world.watcher_ports());
    watch(&world, &mut watcher, 19);
    // It has nothing to wait for, since it asks for the history at each step, and knows that no block is there.
    block_on(watcher.rest());
    world.clock.advance(Duration::from_secs(3));
    block_on(watcher.step()).unwrap();
    assert_eq!(decided(&world).len(), 0, "the block is read first");
    watch(&world, &mut watcher, 60);
    let copies = decided(&world).iter().filter(|one| matches!(one.verdict, Verdict::Copy(_))).count();
    assert_eq!(copies, 2, "{:?}", decided(&world));
}

/// A chain whose blocks lack some events; whoever is asked for the transaction has them.
struct Lacks(Arc<Venue>, fn(&ChainEvent) -> bool);

#[async_trait]
impl ChainLayer for Lacks {
    fn inner(&self) -> &dyn ChainReader {
        self.0.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let mut events = self.0.block_events(block, wallets).await?;
        events.retain(|event| !(self.1)(event));
        Ok(events)
    }

    async fn transaction_events(
        &self,
        tx: TxHash,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let head = self.0.head().await?.number;
        let mut events = self.0.range_events(0, head, wallets).await?;
        events.retain(|event| event.tx == tx);
        Ok(events)
    }
}

fn lacking(world: &World, lacks: fn(&ChainEvent) -> bool) -> Watcher {
    let chain: Arc<dyn ChainReader> = Arc::new(Over(Lacks(world.venue.clone(), lacks)));
    Watcher::new(WatcherPorts { chain: Some(chain), ..world.watcher_ports() })
}

/// A trade that was told and that the provider which is read lacks swallows the next one of its size, because it may be that
/// one under another hash. When somebody has both, the swallowed one is decided.
#[test]
fn a_trade_that_was_swallowed_is_decided_when_the_chain_has_both() {
    let second = LeaderTrade { fills: vec![fill(100, 51)], ..buy(20) };
    let world = world("two trades, of which one provider lacks the first", vec![buy(4), second]);
    let first = |event: &ChainEvent| matches!(&event.kind, ChainEventKind::Fill(fill) if fill.usd.times(2, 1, Rounding::Down) == Ok(Usd(fill.shares.0)));
    let mut watcher = lacking(&world, first);
    let reasons = |world: &World| -> Vec<Option<&'static str>> {
        let label = |one: DecisionRecord| match one.verdict {
            Verdict::Copy(_) => None,
            Verdict::Skip(reason) => Some(reason.label()),
        };
        decided(world).into_iter().map(label).collect()
    };
    watch(&world, &mut watcher, 60);
    let settling = Some(SkipReason::MaySettle.label());
    assert_eq!(reasons(&world), [None, settling]);
    watch(&world, &mut watcher, 160);
    let answers = reasons(&world);
    assert!(answers.len() == 3 && answers[2] != settling, "{answers:?}");
    assert_eq!(phantoms(&world), 0);
}

/// A second sale of the size of the first, which the provider that is read lacks: it was taken for the first under another
/// hash, and nobody was asked.
#[test]
fn a_sale_of_the_size_of_another_is_looked_for_too() {
    let sale = |second| LeaderTrade { side: Side::Sell, fills: vec![fill(30, 50)], ..buy(second) };
    let last = LeaderTrade { fills: vec![fill(30, 49)], ..sale(40) };
    let world = world("two sales, of which one provider lacks the second", vec![buy(4), sale(20), last]);
    let mut watcher = lacking(
        &world,
        |event| matches!(&event.kind, ChainEventKind::Fill(fill) if fill.usd == Usd(14_700_000)),
    );
    watch(&world, &mut watcher, 100);
    assert_eq!(decided(&world).len(), 2, "the hint of a sale decides nothing");
    watch(&world, &mut watcher, 180);
    assert_eq!((decided(&world).len(), phantoms(&world)), (3, 0));
}

/// A sale that the provider which is read lacks, and another one has, is followed, and nobody is told that it is missing.
#[test]
fn a_sale_that_another_provider_has_is_followed() {
    let sale = LeaderTrade { side: Side::Sell, ..buy(20) };
    let world = world("a sale that one provider lacks", vec![buy(4), sale]);
    let mut watcher =
        lacking(&world, |event| matches!(&event.kind, ChainEventKind::Fill(fill) if fill.side == Side::Sell));
    watch(&world, &mut watcher, 100);
    assert_eq!(decided(&world).len(), 1, "the hint of a sale decides nothing");
    watch(&world, &mut watcher, 160);
    let sides: Vec<Side> = decided(&world).iter().map(|one| one.key.action.side()).collect();
    assert_eq!((sides, phantoms(&world)), (vec![Side::Buy, Side::Sell], 0));
}

/// The provider which is read lacks a buy in the block of a sale. When it is found, what the leader kept over that block is told
/// anew.
#[test]
fn a_buy_that_is_found_beside_a_sale_changes_what_was_kept() {
    let sale = LeaderTrade { side: Side::Sell, ..buy(20) };
    let lacked = LeaderTrade { fills: vec![fill(100, 51)], ..buy(20) };
    let world = world("a buy that one provider lacks beside a sale", vec![buy(4), sale, lacked]);
    let mut watcher = lacking(
        &world,
        |event| matches!(&event.kind, ChainEventKind::Fill(fill) if fill.usd == Usd(51_000_000)),
    );
    let leader = block_on(world.store.leaders()).unwrap()[0].id;
    let kept = |world: &World| -> Vec<[i64; 2]> {
        let basis = block_on(world.store.exit_basis(leader, token(7), None)).unwrap();
        basis.factors.iter().map(|kept| [kept.before.0, kept.after.0].map(|shares| shares / ONE)).collect()
    };
    watch(&world, &mut watcher, 100);
    assert_eq!(kept(&world), [[100, 100]], "the balances alone");
    watch(&world, &mut watcher, 180);
    assert_eq!(kept(&world), [[200, 100]]);
}

/// A row under a hash that was replaced is no missing trade.
#[test]
fn a_sale_under_a_replaced_hash_is_no_phantom() {
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let model = VenueModel { replaced_tx: true, ..VenueModel::PLAIN };
    let mut scenario = Scenario::exit();
    scenario.trades.push(LeaderTrade { fills: vec![fill(10, 50)], ..buy(200) });
    let (run, world) = run(&scenario, model, &[], &Honest, &memory, false);
    assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
    assert_eq!(phantoms(&world.unwrap()), 0);
}

/// A live feed that tells of trades so long after them.
struct Late {
    world: Arc<Venue>,
    clock: Arc<dyn Clock>,
    by: Duration,
    told: Mutex<usize>,
}

#[async_trait]
impl LiveFeed for Late {
    fn follow(&self, _: &BTreeSet<Address>) {}

    async fn next(&self, _: usize) -> Vec<LiveNews> {
        let since = self.clock.now().minus(self.by);
        let responses = self.world.activity(leader_wallet(1), at(0)).await.unwrap().responses;
        let mut rows = responses.into_iter().next().unwrap_or_default().rows;
        rows.retain(|row| row.traded_at <= since);
        let news: Vec<LiveNews> = {
            let mut told = self.told.lock().unwrap();
            let new = rows.split_off((*told).min(rows.len()));
            *told += new.len();
            let trade = |row| LiveNews::Trade(LiveTrade { channel: LiveChannel::Trades, row });
            new.into_iter().map(trade).collect()
        };
        if news.is_empty() {
            std::future::pending::<()>().await;
        }
        news
    }

    fn health(&self) -> FeedHealth {
        FeedHealth::default()
    }
}

/// What the feed told 40 minutes late was left out before it was noted: its lag stayed what it had been.
#[test]
fn a_feed_that_is_forty_minutes_late_is_noticed() {
    for with_chain in [true, false] {
        let world = world("a late feed", (0..6).map(|number| buy(4 + 10 * number)).collect());
        let by = Duration::from_secs(2_400);
        let (venue, clock): (_, Arc<dyn Clock>) = (world.venue.clone(), world.clock.clone());
        let live: Arc<dyn LiveFeed> = Arc::new(Late { world: venue, clock, by, told: Mutex::default() });
        let sources = Arc::<SourceWatch>::default();
        let mut ports = WatcherPorts { live: Some(live), ..world.watcher_ports() };
        ports.chain = ports.chain.filter(|_| with_chain);
        let mut watcher = Watcher::new(ports).with_sources(sources.clone());
        watch(&world, &mut watcher, 2_500);
        let turns = sources.turns(world.clock.uptime());
        let late = EventKind::SourceLate { source: SourceName::Live, seconds: 2_400 };
        assert!(turns.contains(&late), "with a chain: {with_chain}: {turns:?}");
    }
}

/// A history in which each page repeats its first row with another transaction and a date that is yet to come.
struct Prophet(Arc<Venue>);

const PROPHECY: TxHash = TxHash([0xfe; 32]);

#[async_trait]
impl TradeHistory for Prophet {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        let mut history = self.0.activity(wallet, since).await?;
        for response in &mut history.responses {
            let first = response.rows.first().cloned();
            response.rows.extend(first.map(|row| engine::ports::venue::HistoryRow {
                tx: PROPHECY,
                traded_at: Timestamp::from_seconds(4_102_444_800),
                ..row
            }));
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

#[test]
fn a_row_of_the_future_is_left_out_and_what_follows_is_told() {
    let world = world("a prophecy", vec![buy(4), buy(40)]);
    let history: Arc<dyn TradeHistory> = Arc::new(Prophet(world.venue.clone()));
    let ports = WatcherPorts { chain: None, history: Some(history), ..world.watcher_ports() };
    let mut watcher = Watcher::new(ports);
    watch(&world, &mut watcher, 80);
    let decided = decided(&world);
    assert_eq!(decided.len(), 2, "{decided:#?}");
    assert!(decided.iter().all(|decision| decision.key.tx != PROPHECY), "{decided:#?}");
}

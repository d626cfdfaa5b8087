//! What sources beside the chain tell: trades that no block which was read shows yet, and dates that cannot be.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Address, Clock, Shares, Side, Timestamp, TokenId, TxHash};
use engine::{
    ports::{
        reports::DecisionRecord,
        store::EventKind,
        venue::{BlockHeader, ChainEvent, ChainReader, History, TradeHistory, VenueError},
    },
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    simulation::{
        over::{ChainLayer, Over},
        scenario::{Scenario, at, fill, leader_wallet, token},
        venue::{LeaderTrade, Venue},
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

//! What the venue tells by itself: how long it takes to book what is told of an order, and how soon channels are
//! back after the venue's return.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use domain::{Clock, OrderId, TradingAccount, ids::IntentId};
use eip712::Chain;
use engine::{
    account_channels::{AccountChannels, Memory},
    ports::{
        feeds::{AccountEvent, AccountFeed, MarketNews},
        store::Store,
    },
};
use polymarket::{
    AccountSockets, Clob,
    socket::{Connection, Connector, Frame, SocketError},
};
use serde_json::json;
use simulator::{Knobs, Outage, Service, Simulator, SimulatorConfig, WorldHandle};
use tokio::sync::{Mutex, mpsc};

use super::{
    installation::{Keys, Running, SHARES, TOKENS, fill, furnish, lead, quiet},
    sample::median,
};
use crate::{channels::Channels, demo::SimulatorUrls};

/// The venue matches none of these orders by itself.
const HELD_BACK_MS: u64 = 86_400_000;
/// What is told of an order, each in a frame of its own: that it is matched, and where its trade is.
pub(super) const FRAMES: [&str; 4] = ["", "MATCHED", "MINED", "CONFIRMED"];
/// How long the venue holds an order back that is matched while it is away.
const MATCHED_AFTER: Duration = Duration::from_millis(300);
/// How long preparations may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long the venue is away, in each round.
pub(super) const AWAY_MS: [u64; 5] = [50, 400, 1_300, 2_900, 4_700];

/// A connector whose one connection brings what it is given.
struct Given(Mutex<Option<mpsc::UnboundedReceiver<String>>>);

#[async_trait]
impl Connector for Given {
    async fn connect(&self, _: &str) -> Result<Box<dyn Connection>, SocketError> {
        match self.0.lock().await.take() {
            Some(frames) => Ok(Box::new(GivenFrames(frames))),
            None => Err(SocketError::Connect("there was one connection".to_owned())),
        }
    }
}

struct GivenFrames(mpsc::UnboundedReceiver<String>);

#[async_trait]
impl Connection for GivenFrames {
    async fn send(&mut self, _: &str) -> Result<(), SocketError> {
        Ok(())
    }

    async fn receive(&mut self) -> Result<Frame, SocketError> {
        let text = self.0.recv().await.ok_or_else(|| SocketError::Closed("the end".to_owned()))?;
        Ok(Frame::Text(text.into()))
    }
}

/// Time per order to decode and book [`FRAMES`], each frame of all orders before the next one: a frame finds its
/// order as the one before left it. Every order's outcome is open before and confirmed after.
pub(super) async fn booked(
    directory: &Path,
    orders: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Duration> {
    let file = directory.join("told").join("slipstream.db");
    let keys = Keys::of_seed(2);
    let all = keys.followers(orders).await?;
    fill(&file, &all, clock).await.with_context(|| format!("filling {}", file.display()))?;
    let SimulatorConfig { knobs, .. } = quiet();
    let knobs = Knobs { fak_delay_ms: HELD_BACK_MS, ..knobs };
    let simulator = Simulator::start(SimulatorConfig { knobs, ..quiet() }, Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    let urls = SimulatorUrls::of(&simulator);
    let running = Running::start(&file, &urls, &keys, clock).await?;
    let store = Arc::clone(&running.store);
    delayed(store.as_ref(), &world, (orders, 1), clock.as_ref()).await?;
    running.shutdown().await?;
    let clob = clob(&keys, &urls, clock)?;
    let took = book(&store, clob, orders, clock).await;
    simulator.shutdown().await;
    took
}

fn clob(keys: &Keys, urls: &SimulatorUrls, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<Clob>> {
    let client = polymarket::local_client()?;
    let signer = Arc::clone(&keys.signer);
    Ok(Arc::new(Clob::new(client, &urls.clob, Chain::Polygon, signer, Arc::clone(clock))))
}

/// Waits until the venue holds an order of everybody back, after the leader's trade with this number.
async fn delayed(
    store: &dyn Store,
    world: &WorldHandle,
    (orders, trade): (usize, usize),
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    lead(world, trade)?;
    let limit = clock.uptime().saturating_add(PATIENCE);
    loop {
        let open = store.open_accounts(orders).await?.len();
        if open == orders {
            return Ok(());
        }
        ensure!(clock.uptime() < limit, "{open} of {orders} orders are held back");
        clock.sleep(LOOK_EVERY).await;
    }
}

async fn book(
    store: &Arc<dyn Store>,
    clob: Arc<Clob>,
    orders: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Duration> {
    let account = store.open_accounts(1).await?.pop().context("no account")?;
    let intents = store.intents_after(None, IntentId(0), orders).await?;
    let intents: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let attempts = store.attempts_of(&intents).await?;
    let ids: Vec<OrderId> = attempts.iter().map(|record| record.order.id).collect();
    let (frames, given) = mpsc::unbounded_channel();
    let connector = Arc::new(Given(Mutex::new(Some(given))));
    let feed = Arc::new(AccountSockets::new(clob, connector, "ws://bench", Arc::clone(clock), 1));
    feed.follow(std::slice::from_ref(&account));
    let channels = AccountChannels {
        store: Arc::clone(store),
        feed,
        clock: Arc::clone(clock),
        failures: Arc::default(),
        memory: Memory::default(),
    };
    // The connection.
    channels.book(channels.next().await).await?;
    let mut took = Duration::ZERO;
    for what in FRAMES {
        let texts: Vec<String> = ids.iter().map(|id| frame(*id, &account, what)).collect();
        let start = clock.uptime();
        for text in texts {
            frames.send(text).context("nobody listens")?;
        }
        let mut heard = 0_usize;
        while heard < ids.len() {
            let news = channels.next().await;
            heard += news.iter().filter(|news| matches!(news.what, AccountEvent::Order { .. })).count();
            channels.book(news).await?;
        }
        took += clock.uptime().saturating_sub(start);
    }
    let open = store.count_open_work().await?;
    ensure!(open == 0, "{open} of {orders} orders are not settled by their frames");
    Ok(took / u32::try_from(orders.max(1))?)
}

/// A frame of the user channel, as docs.polymarket.com/market-data/websocket/user-channel has it.
fn frame(id: OrderId, account: &TradingAccount, what: &str) -> String {
    let [token, _] = TOKENS;
    let size = SHARES.to_string();
    let market = format!("0x{}", "0c".repeat(32));
    let frame = if what.is_empty() {
        json!({
            "event_type": "order", "type": "UPDATE", "status": "MATCHED", "id": id, "asset_id": token,
            "market": market, "side": "BUY", "original_size": size, "size_matched": size, "price": "0.5",
            "owner": "", "order_owner": "", "outcome": "Yes", "associate_trades": [format!("trade {id}")],
            "created_at": "1795000000", "expiration": "0", "order_type": "FAK", "timestamp": "1795000000000",
            "maker_address": account.wallet,
        })
    } else {
        json!({
            "event_type": "trade", "type": "TRADE", "status": what, "id": format!("trade {id}"),
            "taker_order_id": id, "asset_id": token, "market": market, "side": "BUY", "size": size,
            "price": "0.5", "owner": "", "trade_owner": "", "maker_address": account.wallet, "outcome": "Yes",
            "maker_orders": [{
                "order_id": OrderId([9; 32]), "owner": "", "maker_address": domain::Address([9; 20]),
                "matched_amount": size, "price": "0.5", "asset_id": token, "outcome": "Yes", "side": "SELL",
            }],
            "transaction_hash": id, "match_time": "1795000000", "last_update": "1795000000",
            "timestamp": "1795000000000", "trader_side": "TAKER",
        })
    };
    frame.to_string()
}

/// How long after the venue's return both channels are open again, the book is read anew and it is known that
/// orders are to be looked up: the median and the longest.
pub(super) async fn back(clock: &Arc<dyn Clock>, away_ms: &[u64]) -> anyhow::Result<(Duration, Duration)> {
    let keys = Keys::of_seed(3);
    let all = keys.followers(1).await?;
    let simulator = Simulator::start(quiet(), Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    let urls = SimulatorUrls::of(&simulator);
    let channels = Channels::new(&urls.clob, &clob(&keys, &urls, clock)?, clock, 1);
    let accounts: Vec<TradingAccount> = all.iter().map(super::order_cost::account).collect();
    channels.market.follow(&BTreeSet::from([TOKENS[0]]));
    channels.accounts.follow(&accounts);
    both(&channels).await;
    let mut times = Vec::with_capacity(away_ms.len());
    for away in away_ms {
        world.set_outage(Service::Clob, Outage::Refused);
        while channels.market.health().open + channels.accounts.health().open > 0 {
            clock.sleep(LOOK_EVERY).await;
        }
        clock.sleep(Duration::from_millis(*away)).await;
        world.set_outage(Service::Clob, Outage::None);
        let start = clock.uptime();
        both(&channels).await;
        times.push(clock.uptime().saturating_sub(start));
    }
    simulator.shutdown().await;
    let longest = times.iter().max().copied().unwrap_or_default();
    Ok((median(times), longest))
}

/// How long after the venue's return it is booked what it told nobody meanwhile: an order that it held back is matched while
/// it is away. The median and the longest.
pub(super) async fn filled(
    directory: &Path,
    clock: &Arc<dyn Clock>,
    away_ms: &[u64],
) -> anyhow::Result<(Duration, Duration)> {
    let file = directory.join("away").join("slipstream.db");
    let keys = Keys::of_seed(4);
    let all = keys.followers(1).await?;
    fill(&file, &all, clock).await.with_context(|| format!("filling {}", file.display()))?;
    let SimulatorConfig { knobs, .. } = quiet();
    let held_back = u64::try_from(MATCHED_AFTER.as_millis())?;
    let knobs = Knobs { fak_delay_ms: held_back, ..knobs };
    let simulator = Simulator::start(SimulatorConfig { knobs, ..quiet() }, Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    let running = Running::start(&file, &SimulatorUrls::of(&simulator), &keys, clock).await?;
    let store = running.store.as_ref();
    let mut times = Vec::with_capacity(away_ms.len());
    for (trade, away) in (1..).zip(away_ms) {
        delayed(store, &world, (1, trade), clock.as_ref()).await?;
        world.set_outage(Service::Clob, Outage::Refused);
        clock.sleep(Duration::from_millis(*away).max(2 * MATCHED_AFTER)).await;
        ensure!(store.open_accounts(1).await?.len() == 1, "the order was booked while nobody told of it");
        world.set_outage(Service::Clob, Outage::None);
        let start = clock.uptime();
        wait(clock.as_ref(), async || Ok(store.open_accounts(1).await?.is_empty())).await?;
        times.push(clock.uptime().saturating_sub(start));
        // Final, before the next one.
        while store.count_open_work().await? > 0 {
            world.with(|world, now| world.mine(now));
            clock.sleep(LOOK_EVERY).await;
        }
    }
    running.shutdown().await?;
    simulator.shutdown().await;
    let longest = times.iter().max().copied().unwrap_or_default();
    Ok((median(times), longest))
}

/// Waits until something is so.
async fn wait(clock: &dyn Clock, mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let limit = clock.uptime().saturating_add(PATIENCE);
    while !is_so().await? {
        ensure!(clock.uptime() < limit, "what was to be booked is not there");
        clock.sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits for a book and for an account's connection.
async fn both(channels: &Channels) {
    let book = async {
        let is_book = |news: &MarketNews| matches!(news, MarketNews::Snapshot { .. });
        while !channels.market.next().await.iter().any(is_book) {}
    };
    let account = async {
        let is_gap = |what: &AccountEvent| *what == AccountEvent::Gap;
        while !channels.accounts.next(64).await.iter().any(|news| is_gap(&news.what)) {}
    };
    tokio::join!(book, account);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frames_settle_every_order() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        assert!(booked(directory.path(), 20, &clock).await.unwrap() > Duration::ZERO);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_missed_is_booked() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (usual, longest) = filled(directory.path(), &clock, &[50, 50]).await.unwrap();
        assert!(usual > Duration::ZERO && longest >= usual);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn channels_come_back() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        assert!(back(&clock, &[50]).await.unwrap().0 > Duration::ZERO);
    }
}

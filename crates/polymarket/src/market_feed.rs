//! The market channel as the engine reads it: tokens spread over sockets, frames into news.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, TokenId};
use engine::ports::feeds::{BestPrices, FeedHealth, LevelChange, MarketFeed, MarketNews};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};
use zeroize::Zeroizing;

use crate::{
    frames::market::{self, Kind, MarketEvent, PriceChanges},
    limits::{FEED_BUFFER, MARKET_SILENCE, TOKENS_PER_SOCKET},
    socket::{CLOB_KEEPALIVE, Channel, Connector, Counters, Socket, Taken},
};

/// The market channel of the CLOB. Its sockets are tasks of the runtime it is used in; they end with it.
pub struct MarketSockets {
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    url: String,
    counters: Arc<Counters>,
    sockets: Mutex<Vec<Slot>>,
    write: mpsc::Sender<Vec<MarketNews>>,
    read: tokio::sync::Mutex<mpsc::Receiver<Vec<MarketNews>>>,
}

/// One socket and what it is to follow.
struct Slot {
    wishes: Arc<Wishes>,
    task: AbortHandle,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a socket is asked for.
#[derive(Default)]
struct Wishes {
    state: Mutex<Wanted>,
    changed: Notify,
}

#[derive(Default)]
struct Wanted {
    tokens: BTreeSet<TokenId>,
    refresh: BTreeSet<TokenId>,
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MarketSockets {
    /// The channel at `origin` (`wss://host`); `seed` spreads the pauses between attempts to connect.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, origin: &str, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let (write, read) = mpsc::channel(FEED_BUFFER);
        Self {
            connector,
            clock,
            url: format!("{}/ws/market", origin.trim_end_matches('/')),
            counters: Counters::new(seed),
            sockets: Mutex::default(),
            write,
            read: tokio::sync::Mutex::new(read),
        }
    }

    fn open(&self, tokens: BTreeSet<TokenId>) -> Slot {
        let wishes = Arc::new(Wishes::default());
        wishes.lock().tokens = tokens;
        let socket = Socket {
            url: self.url.clone(),
            connector: Arc::clone(&self.connector),
            clock: Arc::clone(&self.clock),
            keepalive: CLOB_KEEPALIVE,
            counters: Arc::clone(&self.counters),
        };
        let mut channel = MarketChannel {
            wishes: Arc::clone(&wishes),
            followed: BTreeSet::new(),
            told: false,
            news: self.write.clone(),
        };
        let task = tokio::spawn(async move { socket.run(&mut channel).await }).abort_handle();
        Slot { wishes, task }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MarketFeed for MarketSockets {
    /// Tokens stay on the socket they are on, so that their books go on; sockets without tokens are closed.
    fn follow(&self, tokens: &BTreeSet<TokenId>) {
        let mut sockets = self.lock();
        let (mut new, mut changed) = (tokens.clone(), Vec::new());
        for slot in sockets.iter() {
            let mut wanted = slot.wishes.lock();
            let before = wanted.tokens.len();
            wanted.tokens.retain(|token| tokens.contains(token));
            wanted.tokens.iter().for_each(|token| {
                new.remove(token);
            });
            changed.push(wanted.tokens.len() < before);
        }
        let mut new = new.into_iter();
        for (slot, changed) in sockets.iter().zip(changed) {
            let mut wanted = slot.wishes.lock();
            if wanted.tokens.is_empty() {
                continue;
            }
            let before = wanted.tokens.len();
            wanted.tokens.extend(new.by_ref().take(TOKENS_PER_SOCKET.saturating_sub(before)));
            // Whoever wants the same as before wakes nobody: it would look like something new to be told.
            if changed || wanted.tokens.len() > before {
                drop(wanted);
                slot.wishes.changed.notify_one();
            }
        }
        sockets.retain(|slot| !slot.wishes.lock().tokens.is_empty());
        loop {
            let more: BTreeSet<TokenId> = new.by_ref().take(TOKENS_PER_SOCKET).collect();
            if more.is_empty() {
                break;
            }
            sockets.push(self.open(more));
        }
        self.counters.want(sockets.len());
    }

    fn refresh(&self, token: TokenId) {
        for slot in self.lock().iter() {
            let mut wanted = slot.wishes.lock();
            if wanted.tokens.contains(&token) {
                wanted.refresh.insert(token);
                drop(wanted);
                slot.wishes.changed.notify_one();
            }
        }
    }

    async fn next(&self) -> Vec<MarketNews> {
        match self.read.lock().await.recv().await {
            Some(news) => news,
            // Cannot happen while this side keeps a sender.
            None => std::future::pending().await,
        }
    }

    fn health(&self) -> FeedHealth {
        self.counters.health()
    }
}

/// One socket's conversation.
struct MarketChannel {
    wishes: Arc<Wishes>,
    /// What the server was asked for on this connection.
    followed: BTreeSet<TokenId>,
    /// Whether anything was told on this connection.
    told: bool,
    news: mpsc::Sender<Vec<MarketNews>>,
}

#[async_trait]
impl Channel for MarketChannel {
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String> {
        let mut wanted = self.wishes.lock();
        wanted.refresh.clear();
        self.followed = wanted.tokens.clone();
        let text = json!({
            "type": "market",
            "assets_ids": self.followed,
            "initial_dump": true,
            "custom_feature_enabled": true,
        });
        Ok(vec![Zeroizing::new(text.to_string())])
    }

    async fn more(&mut self) -> Vec<String> {
        self.wishes.changed.notified().await;
        let mut wanted = self.wishes.lock();
        let refresh = std::mem::take(&mut wanted.refresh);
        let again: BTreeSet<TokenId> = refresh.intersection(&self.followed).copied().collect();
        let gone: BTreeSet<TokenId> =
            self.followed.difference(&wanted.tokens).chain(&again).copied().collect();
        let new: BTreeSet<TokenId> =
            wanted.tokens.difference(&self.followed).chain(&again).copied().collect();
        self.followed = wanted.tokens.clone();
        let text = |operation: &str, tokens: BTreeSet<TokenId>| {
            let text = json!({
                "operation": operation,
                "assets_ids": tokens,
                "custom_feature_enabled": true,
            });
            (!tokens.is_empty()).then(|| text.to_string())
        };
        [text("unsubscribe", gone), text("subscribe", new)].into_iter().flatten().collect()
    }

    async fn take(&mut self, frame: &[u8]) -> Taken {
        let wanted = |kind| !matches!(kind, Kind::LastTrade | Kind::NewMarket);
        let decoded = match market::decode(frame, wanted) {
            Ok(decoded) => decoded,
            Err(error) if self.is_of_others(frame) => return Taken::Refused(error.to_string()),
            Err(error) => return Taken::Broken(error.to_string()),
        };
        self.told = true;
        let mut news = Vec::new();
        let mut passed_over = decoded.passed_over;
        for event in decoded.events {
            let before = news.len();
            self.note(event, &mut news);
            if news.len() == before {
                passed_over = passed_over.saturating_add(1);
            }
        }
        let events = news.len();
        // An error means that nobody reads any more.
        if !news.is_empty() && self.news.send(news).await.is_err() {
            std::future::pending::<()>().await;
        }
        // What is told of strangers, or of what is not listened for, does not show that books still come.
        if events == 0 { Taken::Aside { passed_over } } else { Taken::Understood { events, passed_over } }
    }

    async fn lost(&mut self) {
        if std::mem::take(&mut self.told) {
            let lost = MarketNews::Lost(self.followed.iter().copied().collect());
            // As above: then nobody has books that could be wrong.
            let _ = self.news.send(vec![lost]).await;
        }
    }

    fn silence(&self) -> Option<Duration> {
        Some(MARKET_SILENCE)
    }
}

impl MarketChannel {
    /// Whether a frame that cannot be read is about tokens that nobody follows: events of other markets come too, and
    /// nothing is missed with them. Each of its events must say so.
    fn is_of_others(&self, frame: &[u8]) -> bool {
        let Ok(value) = serde_json::from_slice::<Value>(frame) else { return false };
        let events = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
        let other = |text: &&str| text.parse().is_ok_and(|token: TokenId| !self.followed.contains(&token));
        events.iter().all(|event| {
            let tokens = named(event);
            !tokens.is_empty() && tokens.iter().all(other)
        })
    }

    /// What an event means for the tokens that are followed.
    fn note(&self, event: MarketEvent, news: &mut Vec<MarketNews>) {
        let follows = |token: &TokenId| self.followed.contains(token);
        match event {
            MarketEvent::Book(snapshot) if follows(&snapshot.token) => {
                let market::BookSnapshot { token, book, tick, at } = snapshot;
                news.push(MarketNews::Snapshot { token, book, tick, at });
            }
            MarketEvent::Changes(changes) => news.extend(by_token(changes, follows)),
            MarketEvent::Best(best) if follows(&best.token) => {
                let market::Best { bid, ask } = best.best;
                let best = MarketNews::Changed {
                    token: best.token,
                    changes: Vec::new(),
                    best: Some(BestPrices { bid, ask }),
                    at: best.at,
                };
                news.push(best);
            }
            MarketEvent::Tick(tick) if follows(&tick.token) => {
                news.push(MarketNews::Tick { token: tick.token, tick: tick.tick });
            }
            MarketEvent::Resolved(resolved) if resolved.tokens.iter().any(follows) => {
                let market::Resolution { condition, tokens, .. } = resolved;
                news.push(MarketNews::Resolved { condition, tokens });
            }
            _ => {}
        }
    }
}

/// Tokens that an event names, as text.
fn named(event: &Value) -> Vec<&str> {
    let list = |name: &str| event.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let own = event.get("asset_id").into_iter().chain(list("assets_ids"));
    let changed = list("price_changes").iter().filter_map(|change| change.get("asset_id"));
    own.chain(changed).filter_map(Value::as_str).collect()
}

/// The changes of each token that is followed.
fn by_token(changes: PriceChanges, follows: impl Fn(&TokenId) -> bool) -> Vec<MarketNews> {
    let mut tokens: BTreeMap<TokenId, (Vec<LevelChange>, Option<BestPrices>)> = BTreeMap::new();
    for change in changes.changes.into_iter().filter(|change| follows(&change.token)) {
        let market::PriceChange { token, side, price, size, best } = change;
        let (levels, newest) = tokens.entry(token).or_default();
        levels.push(LevelChange { side, price, size });
        *newest = best.map(|market::Best { bid, ask }| BestPrices { bid, ask });
    }
    let at = changes.at;
    tokens
        .into_iter()
        .map(|(token, (changes, best))| MarketNews::Changed { token, changes, best, at })
        .collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const OURS: &str = "7";

    fn taken(frame: &Value) -> Taken {
        let (news, _read) = mpsc::channel(9);
        let followed = BTreeSet::from([OURS.parse().unwrap()]);
        let mut channel = MarketChannel { wishes: Arc::default(), followed, told: false, news };
        channel.take(frame.to_string().as_bytes()).now_or_never().unwrap()
    }

    /// Events of other markets come every few seconds; they do not show that books of ours still do.
    #[test]
    fn what_strangers_do_ends_no_silence() {
        let condition = format!("0x{}", "0c".repeat(32));
        let level = json!([{ "price": "0.5", "size": "10" }]);
        let book = |asset: &str| {
            json!({
                "event_type": "book", "asset_id": asset, "market": condition, "timestamp": "1785163378339", "bids": level,
                "asks": [],
            })
        };
        let best = json!({
            "event_type": "best_bid_ask", "asset_id": "8", "market": condition, "best_bid": "0.5", "best_ask": "0.6",
            "spread": "0.1", "timestamp": "1785163378339",
        });
        let made = json!({ "event_type": "new_market", "assets_ids": ["8", "9"], "market": condition, "timestamp": "1785163378339" });
        for others in [book("8"), best.clone(), made, json!([book("8"), best])] {
            assert!(matches!(taken(&others), Taken::Aside { passed_over: 1.. }), "{others}");
        }
        let mixed = json!([book("8"), book(OURS)]);
        assert!(matches!(taken(&mixed), Taken::Understood { events: 1, passed_over: 1 }));
    }

    /// What cannot be read of somebody else's market is counted; of ours it ends the connection, whose books may be wrong.
    #[test]
    fn a_strangers_event_breaks_nothing() {
        let odd = |asset: &str| json!({ "event_type": "book", "asset_id": asset, "market": "0x01", "timestamp": "soon", "bids": 7 });
        let resolved = json!({ "event_type": "market_resolved", "assets_ids": ["8", "9"], "winner": {} });
        for others in [odd("8"), resolved.clone(), json!([odd("8"), resolved])] {
            assert!(matches!(taken(&others), Taken::Refused(_)), "{others}");
        }
        let nameless = json!({ "event_type": "book", "bids": 7 });
        let mixed = json!({ "event_type": "market_resolved", "assets_ids": ["8", OURS] });
        for ours in [odd(OURS), odd("x"), nameless, mixed, json!([odd("8"), odd(OURS)]), json!("odd")] {
            assert!(matches!(taken(&ours), Taken::Broken(_)), "{ours}");
        }
    }
}

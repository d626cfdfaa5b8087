//! `demo --leader`: a real wallet's trades of now, read from the public Data API, copied on paper.
//!
//! The venue is the simulator. Before a trade of the leader is handed to the engine, the simulator gets
//! its market with the real rules, and the real book where the venue's public pages tell it. It never keeps
//! the engine waiting for a market: a trade whose market is not there in time is answered without it.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use domain::{
    Address, Book, Clock, ConditionId, Market, Price, Shares, Side, TickSize, Timestamp, TokenId, TxHash,
    ids::IdError,
};
use engine::{
    deadline::{venue_call, within},
    ports::{
        detection::Lane,
        venue::{History, HistoryKind, HistoryResponse, HistoryRow, MarketData, TradeHistory, VenueError},
    },
};
use futures_util::{StreamExt, future::join, stream};
use serde::Serialize;
use simulator::world::{
    control::{Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};
use tracing::warn;

use super::{
    control::Control,
    player::{Played, book_around, token_of_era},
};
use crate::secrets::InstallationSecret;

/// Deadline of a question about a market.
const MARKET_DEADLINE: Duration = Duration::from_secs(3);
/// Deadline of the first question, which decides whether there is a network.
const PROBE_DEADLINE: Duration = Duration::from_secs(8);
/// Levels of a real book that are mirrored.
const LEVELS: usize = 50;
/// Tokens made ready for one answer, those of the newest trades: a bound on what the public services are
/// asked.
const TOKENS_AT_ONCE: usize = 64;
/// Tokens made ready at the same time.
const PARALLEL: usize = 8;
/// Everything is ready this long after the question, or is left: the engine would wait longer, but the leader's trades
/// grow old, and those whose markets are ready wait too.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// A book that was read after the trade is read again when it is older than this.
const BOOK_FRESH: Duration = Duration::from_secs(5);
/// An answer that took longer is told as late.
const LATE: Duration = Duration::from_secs(3);
/// Tokens that are remembered as ready. One that was forgotten is made ready again.
const REMEMBERED: usize = 1_000;

/// Whom to follow, and where the public services are.
#[derive(Clone, Debug)]
pub struct LiveLeader {
    /// The wallet.
    pub wallet: Address,
    /// Data API.
    pub data_url: String,
    /// Order book service.
    pub clob_url: String,
}

/// How it stands with the leader's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Following {
    /// Whose history it is.
    pub leader: Address,
    /// Since when it has not been answered, and why. What the leader did meanwhile is not known.
    pub silent: Option<(Timestamp, String)>,
    /// How long the newest answer took, with the markets it needed, where that is longer than it should.
    pub late: Option<Duration>,
}

/// A trade of the leader as a row tells it, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Trade {
    traded_at: Timestamp,
    tx: TxHash,
    token: TokenId,
    side: Side,
    price: Price,
    shares: Shares,
}

/// A token whose market the simulator has.
#[derive(Clone, Copy)]
struct Ready {
    tick: TickSize,
    /// When its book was asked for.
    book_at: Timestamp,
}

/// The leader's history, with the simulator made ready for every trade it tells.
pub struct MirroredHistory {
    following: Arc<Mutex<Following>>,
    real: Arc<dyn TradeHistory>,
    markets: Arc<dyn MarketData>,
    control: Control,
    clock: Arc<dyn Clock>,
    ready: Mutex<HashMap<TokenId, Ready>>,
    /// What the newest answer told.
    told: Mutex<BTreeSet<Trade>>,
    /// Since when the leader's trades are to be answered.
    followed_at: Mutex<Option<Timestamp>>,
    /// Where the transactions are noted that are to be answered.
    played: Arc<Mutex<Played>>,
}

impl MirroredHistory {
    /// A mirror of the `leader`'s history in `real`, whose markets are told by `markets`.
    #[must_use]
    pub fn new(
        leader: Address,
        real: Arc<dyn TradeHistory>,
        markets: Arc<dyn MarketData>,
        control: Control,
        clock: Arc<dyn Clock>,
        played: Arc<Mutex<Played>>,
    ) -> Self {
        let following = Arc::new(Mutex::new(Following { leader, silent: None, late: None }));
        let (ready, told, followed_at) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { following, real, markets, control, clock, ready, told, followed_at, played }
    }

    /// From now on the leader's trades are to be answered.
    pub fn begin(&self, at: Timestamp) {
        *lock(&self.followed_at) = Some(at);
    }

    /// Notes the transactions that are to be answered. Trades are dated in whole seconds: whether one of the first
    /// second was before is not known.
    fn expect(&self, told: &BTreeSet<Trade>) {
        let Some(followed_at) = *lock(&self.followed_at) else { return };
        let later = told.iter().filter(|trade| trade.traded_at.seconds() > followed_at.seconds());
        lock(&self.played).transactions.extend(later.map(|trade| trade.tx));
    }

    /// How it stands, from now on.
    #[must_use]
    pub fn following(&self) -> Arc<Mutex<Following>> {
        Arc::clone(&self.following)
    }

    /// Asks the Data API once, to know whether it can be reached.
    ///
    /// # Errors
    /// What it answered, or that it did not.
    pub async fn probe(&self) -> Result<(), VenueError> {
        let ask = self.real.positions(lock(&self.following).leader);
        venue_call(self.clock.as_ref(), "Data API", PROBE_DEADLINE, ask).await.map(drop)
    }

    /// Notes how a question went, and how long it took. That there was no answer is told by whoever asked.
    fn note(&self, trouble: Option<String>, took: Duration) {
        let now = self.clock.now();
        let mut following = lock(&self.following);
        let since = following.silent.take().map(|(since, _)| since);
        if let (None, Some(since)) = (&trouble, since) {
            let seconds = now.since(since).as_secs();
            warn!(
                "the Data API answers again, after {seconds} s; what was missed is copied if it is not too old"
            );
        }
        following.late = (trouble.is_none() && took > LATE).then_some(took);
        following.silent = trouble.map(|why| (since.unwrap_or(now), why));
    }

    /// Makes the simulator ready for what this answer tells and the one before did not. Returns by `until`,
    /// in uptime: whatever is not ready then, or cannot be, gets its answer from the engine.
    async fn make_all_ready(&self, responses: &[HistoryResponse], until: Duration) {
        let told = trades(responses);
        self.expect(&told);
        let mut newest = BTreeMap::new();
        for trade in told.difference(&lock(&self.told)) {
            newest.insert(trade.token, *trade);
        }
        let mut wanted: Vec<Trade> = newest.into_values().filter(|trade| !self.is_ready(trade)).collect();
        wanted.sort_unstable_by(|left, right| right.cmp(left));
        if wanted.len() > TOKENS_AT_ONCE {
            warn!(
                left = wanted.len() - TOKENS_AT_ONCE,
                "the leader trades more tokens at once than are asked for"
            );
            wanted.truncate(TOKENS_AT_ONCE);
        }
        let all = stream::iter(wanted).for_each_concurrent(PARALLEL, async |trade| {
            if let Err(error) = self.make_ready(trade).await {
                let error = format!("{error:#}");
                warn!(token = %trade.token, error, "the simulator has no market for a trade of the leader");
            }
        });
        let left = until.saturating_sub(self.clock.uptime());
        if within(self.clock.as_ref(), left, all).await.is_err() {
            warn!("not every market of the leader's newest trades was told in time");
        }
        *lock(&self.told) = told;
    }

    /// Whether nothing is to be asked for this trade.
    fn is_ready(&self, trade: &Trade) -> bool {
        let now = self.clock.now();
        lock(&self.ready).get(&trade.token).is_some_and(|ready| {
            // Trades are dated in whole seconds.
            ready.book_at.seconds() > trade.traded_at.seconds() && now.since(ready.book_at) < BOOK_FRESH
        })
    }

    async fn make_ready(&self, trade: Trade) -> anyhow::Result<()> {
        let Trade { token, side, price, shares, .. } = trade;
        let (clock, book_at) = (self.clock.as_ref(), self.clock.now());
        let known = lock(&self.ready).get(&token).map(|ready| ready.tick);
        let book = venue_call(clock, "book", MARKET_DEADLINE, self.markets.book(token, Lane::Entries));
        let (tick, added, book) = if let Some(tick) = known {
            (tick, Ok(()), book.await)
        } else {
            let market =
                venue_call(clock, "market", MARKET_DEADLINE, self.markets.market(token, Lane::Entries));
            let (market, book) = join(market, book).await;
            let market = market?.context("the venue does not know the token")?;
            let asked = venue_call(clock, "tokens", MARKET_DEADLINE, self.markets.tokens(market.condition));
            let pair = asked.await.unwrap_or_default();
            (market.tick, self.control.add_market(&spec(&market, &pair)?).await, book)
        };
        let levels = book
            .ok()
            .flatten()
            .and_then(|book| mirrored(token, &book))
            .unwrap_or_else(|| book_around(token, price, side, shares, tick.size()));
        // A token that was forgotten has its market already: it cannot be added again, and takes levels.
        let set = self.control.set_levels(&levels).await;
        set.map_err(|error| added.err().unwrap_or(error))?;
        self.remember(token, Ready { tick, book_at });
        Ok(())
    }

    fn remember(&self, token: TokenId, state: Ready) {
        let mut ready = lock(&self.ready);
        ready.insert(token, state);
        if ready.len() > REMEMBERED {
            let oldest = ready.iter().min_by_key(|(_, ready)| ready.book_at).map(|(token, _)| *token);
            oldest.and_then(|token| ready.remove(&token));
        }
    }
}

/// The live leader, if its history can be reached; else what to tell people while the tape is played.
pub async fn reachable(live: Option<MirroredHistory>) -> (Option<MirroredHistory>, Option<String>) {
    let Some(mirror) = live else { return (None, None) };
    match mirror.probe().await {
        Ok(()) => (Some(mirror), None),
        Err(error) => {
            let notice = format!(
                "The leader cannot be followed now: {error}. Check the network; playing the tape instead."
            );
            (None, Some(notice))
        }
    }
}

/// A question, noted when it is over with all it needed: whoever asks may give up and drop it.
struct Asked<'a> {
    history: &'a MirroredHistory,
    /// In uptime.
    at: Duration,
    trouble: Option<String>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let took = self.history.clock.uptime().saturating_sub(self.at);
        self.history.note(self.trouble.take(), took);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl TradeHistory for MirroredHistory {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        let (at, trouble) = (self.clock.uptime(), Some("no answer in time".to_owned()));
        let mut asked = Asked { history: self, at, trouble };
        let answer = self.real.activity(wallet, since).await;
        if let Ok(history) = &answer {
            self.make_all_ready(&history.responses, at + ANSWER_WITHIN).await;
        }
        let gap = answer.as_ref().map_or_else(Some, |history| history.gap.as_ref());
        asked.trouble = gap.map(ToString::to_string);
        answer
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.real.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.real.held(wallet, token, since).await
    }
}

fn trades(responses: &[HistoryResponse]) -> BTreeSet<Trade> {
    let rows = responses.iter().flat_map(|response| &response.rows);
    let trade = |row: &HistoryRow| match row.kind {
        HistoryKind::Trade { token, side, shares, price } => {
            Some(Trade { traded_at: row.traded_at, tx: row.tx, token, side, price, shares })
        }
        HistoryKind::Moved { .. } => None,
    };
    rows.filter_map(trade).collect()
}

/// The market of one token, with the other token of its condition as the venue tells the `pair`, so that a cap per
/// market counts both. Where it does not tell, condition and opposite token are made up, of the token's era.
fn spec(market: &Market, pair: &[TokenId]) -> Result<MarketSpec, IdError> {
    let (token, v3) = (market.token, market.token.is_v3());
    let (condition, opposite) = match pair {
        [first, second] if *first == token => (market.condition, *second),
        [first, second] if *second == token => (market.condition, *first),
        _ => made_up(token)?,
    };
    let first = pair.first().is_none_or(|first| *first != opposite);
    let ours = (token, market.outcome.clone());
    let other = (opposite, "opposite".to_owned());
    let [left, right] = if first { [ours, other] } else { [other, ours] };
    Ok(MarketSpec {
        condition,
        tokens: [left.0, right.0],
        outcomes: [left.1, right.1],
        tick: market.tick.size(),
        min_size: market.minimum_size,
        neg_risk: market.negative_risk && !v3,
        fee: FeeSchedule { rate: Price(market.fee.rate), exponent: market.fee.exponent },
        title: market.title.clone(),
        slug: market.slug.clone(),
        event_slug: String::new(),
        end_date: String::new(),
    })
}

fn made_up(token: TokenId) -> Result<(ConditionId, TokenId), IdError> {
    let secret = InstallationSecret::of_seed(0);
    let condition = secret.derive(&[b"live condition", &token.0]);
    let opposite = token_of_era(secret.derive(&[b"live opposite", &token.0]), token.is_v3());
    let condition = if token.is_v3() { &condition[1..] } else { &condition[..] };
    Ok((ConditionId::from_slice(condition)?, opposite))
}

/// The real book, if it has both sides; otherwise one is made around the leader's price.
fn mirrored(token: TokenId, book: &Book) -> Option<Levels> {
    let levels = |side: &[domain::Level]| -> Vec<Level> {
        side.iter().take(LEVELS).map(|level| Level { price: level.price, shares: level.size }).collect()
    };
    let (bids, asks) = (levels(&book.bids), levels(&book.asks));
    (!bids.is_empty() && !asks.is_empty()).then_some(Levels { token, bids, asks, extend: false })
}

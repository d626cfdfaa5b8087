//! `demo --leader`: a real wallet's trades of now, read from the public Data API, copied on paper.
//!
//! The venue is the simulator. Before a trade of the leader is handed to the engine, the simulator gets
//! its market, with the real rules and the real book where the venue's public pages tell them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Book, Clock, ConditionId, Market, Price, Shares, Side, TickSize, Timestamp, TokenId, money::ONE,
};
use engine::{
    deadline::venue_call,
    ports::venue::{HistoryKind, HistoryResponse, MarketData, TradeHistory, VenueError},
};
use serde::Serialize;
use simulator::world::{
    control::{Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};
use tracing::warn;

use super::{control::Control, player::book_around};
use crate::secrets::InstallationSecret;

/// Deadline of a question about a market.
const MARKET_DEADLINE: Duration = Duration::from_secs(3);
/// Deadline of the first question, which decides whether there is a network.
const PROBE_DEADLINE: Duration = Duration::from_secs(8);
/// Levels of a real book that are mirrored.
const LEVELS: usize = 50;

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
}

/// The leader's history, with the simulator made ready for every trade it tells.
pub struct MirroredHistory {
    following: Arc<Mutex<Following>>,
    real: Arc<dyn TradeHistory>,
    markets: Arc<dyn MarketData>,
    control: Control,
    clock: Arc<dyn Clock>,
    known: Mutex<HashSet<TokenId>>,
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
    ) -> Self {
        let following = Arc::new(Mutex::new(Following { leader, silent: None }));
        Self { following, real, markets, control, clock, known: Mutex::default() }
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

    /// Notes how a question went. That there was no answer is told by whoever asked.
    fn note(&self, trouble: Option<String>) {
        let now = self.clock.now();
        let mut following = lock(&self.following);
        let since = following.silent.take().map(|(since, _)| since);
        if let (None, Some(since)) = (&trouble, since) {
            let seconds = now.since(since).as_secs();
            warn!(
                "the Data API answers again, after {seconds} s; what was missed is copied if it is not too old"
            );
        }
        following.silent = trouble.map(|why| (since.unwrap_or(now), why));
    }

    async fn make_ready(
        &self,
        token: TokenId,
        side: Side,
        price: Price,
        shares: Shares,
    ) -> anyhow::Result<()> {
        let ask = self.markets.market(token);
        let market = venue_call(self.clock.as_ref(), "market", MARKET_DEADLINE, ask).await.ok().flatten();
        let tick = market.as_ref().map_or(TickSize::Thousandth, |market| market.tick);
        let new = lock(&self.known).insert(token);
        if new {
            self.control.add_market(&spec(token, market.as_ref(), tick)).await?;
        }
        let ask = self.markets.book(token);
        let book = venue_call(self.clock.as_ref(), "book", MARKET_DEADLINE, ask).await.ok().flatten();
        let levels = book
            .and_then(|book| mirrored(token, &book))
            .unwrap_or_else(|| book_around(token, price, side, shares, tick.size()));
        self.control.set_levels(&levels).await
    }
}

/// A question, noted when it is over: whoever asks may give up and drop it.
struct Asked<'a> {
    history: &'a MirroredHistory,
    trouble: Option<String>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.history.note(self.trouble.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl TradeHistory for MirroredHistory {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<Vec<HistoryResponse>, VenueError> {
        let mut asked = Asked { history: self, trouble: Some("no answer in time".to_owned()) };
        let answer = self.real.activity(wallet, since).await;
        asked.trouble = answer.as_ref().err().map(ToString::to_string);
        drop(asked);
        let responses = answer?;
        for row in responses.iter().flat_map(|response| &response.rows) {
            let HistoryKind::Trade { token, side, shares, price } = row.kind else { continue };
            if let Err(error) = self.make_ready(token, side, price, shares).await {
                warn!(%token, error = format!("{error:#}"), "the simulator has no market for a trade of the leader");
            }
        }
        Ok(responses)
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.real.positions(wallet).await
    }
}

/// The market of one token. Its condition and opposite token are made up, because a trade does not name
/// the opposite token and two trades may come in either order.
fn spec(token: TokenId, market: Option<&Market>, tick: TickSize) -> MarketSpec {
    let secret = InstallationSecret::of_seed(0);
    let condition = secret.derive(&[b"live condition", &token.0]);
    let opposite = TokenId(secret.derive(&[b"live opposite", &token.0]));
    MarketSpec {
        condition: ConditionId::from(condition),
        tokens: [token, opposite],
        outcomes: [
            market.map_or_else(|| "this outcome".to_owned(), |market| market.outcome.clone()),
            "opposite".to_owned(),
        ],
        tick: tick.size(),
        min_size: market.map_or(Shares(5 * ONE), |market| market.minimum_size),
        neg_risk: market.is_some_and(|market| market.negative_risk) && !token.is_v3(),
        fee: market.map_or_else(FeeSchedule::default, |market| FeeSchedule {
            rate: Price(market.fee.rate),
            exponent: market.fee.exponent,
        }),
        title: market.map(|market| market.title.clone()).unwrap_or_default(),
        slug: market.map(|market| market.slug.clone()).unwrap_or_default(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// The real book, if it has both sides; otherwise one is made around the leader's price.
fn mirrored(token: TokenId, book: &Book) -> Option<Levels> {
    let levels = |side: &[domain::Level]| -> Vec<Level> {
        side.iter().take(LEVELS).map(|level| Level { price: level.price, shares: level.size }).collect()
    };
    let (bids, asks) = (levels(&book.bids), levels(&book.asks));
    (!bids.is_empty() && !asks.is_empty()).then_some(Levels { token, bids, asks, extend: false })
}

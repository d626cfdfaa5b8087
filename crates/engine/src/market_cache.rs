//! Markets and books for deciding and signing: rules are remembered and stored; books come from a feed while
//! it keeps them fresh, and are asked for otherwise.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Book, Clock, ConditionId, Market, TokenId};
use tracing::{debug, info, warn};

use crate::{
    deadline::venue_call,
    limits,
    live_books::LiveBooks,
    ports::{
        detection::Lane,
        feeds::{FeedHealth, MarketFeed, MarketNews},
        store::{Store, StoreResult},
        venue::MarketData,
    },
};

/// Rules older than this are asked again when there is time.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// After a failure the last known rules are used this long before they are asked for again: whoever waits
/// for a silent venue waits once, not with each order.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// What is known of a token's market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// These, fresh or the last known.
    Known(Market),
    /// The venue knows no such token.
    NoSuchToken,
    /// Nobody ever knew them, and the venue could not be asked now.
    Unanswered,
}

impl Rules {
    /// The market, if it is known.
    #[must_use]
    pub fn known(self) -> Option<Market> {
        match self {
            Self::Known(market) => Some(market),
            Self::NoSuchToken | Self::Unanswered => None,
        }
    }
}

/// A cache in front of [`MarketData`], with the store behind it for the case that the venue is silent.
pub struct MarketCache {
    data: Arc<dyn MarketData>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Rules and the uptime until which nobody asks again.
    known: Mutex<HashMap<TokenId, (Market, Duration)>>,
    live: Option<Live>,
}

/// Books that a feed keeps.
struct Live {
    feed: Arc<dyn MarketFeed>,
    books: Mutex<LiveBooks>,
    /// Uptime when somebody asked for a token's book last.
    wanted: Mutex<HashMap<TokenId, Duration>>,
    /// Tokens of which followers hold shares.
    held: Mutex<Vec<TokenId>>,
    /// Books answered from memory, and by asking.
    answered: AtomicU64,
    fetched: AtomicU64,
}

/// How live books are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveHealth {
    /// The feed.
    pub feed: FeedHealth,
    /// Books answered from memory.
    pub answered: u64,
    /// Books that had to be asked for.
    pub fetched: u64,
    /// Books that were dropped because they might have been wrong.
    pub dropped: u64,
}

impl MarketCache {
    /// An empty cache.
    #[must_use]
    pub fn new(data: Arc<dyn MarketData>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { data, store, clock, known: Mutex::default(), live: None }
    }

    /// With books from a feed. Somebody must keep calling [`MarketCache::hear`].
    #[must_use]
    pub fn with_feed(self, feed: Arc<dyn MarketFeed>) -> Self {
        let live = Live {
            feed,
            books: Mutex::default(),
            wanted: Mutex::default(),
            held: Mutex::default(),
            answered: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
        };
        Self { live: Some(live), ..self }
    }

    /// The rules of a token's market: fresh ones if the venue answers in time, else the last known.
    ///
    /// # Errors
    /// Store errors.
    pub async fn get(&self, token: TokenId, lane: Lane) -> StoreResult<Option<Market>> {
        self.ask(token, lane).await.map(Rules::known)
    }

    /// [`MarketCache::get`] that says why a market is not known.
    ///
    /// # Errors
    /// Store errors.
    pub async fn ask(&self, token: TokenId, lane: Lane) -> StoreResult<Rules> {
        let told = self.ask_anew(token, lane).await;
        if !matches!(told, Rules::Unanswered) {
            return Ok(told);
        }
        let Some(market) = self.store.markets(&[token]).await?.pop() else { return Ok(told) };
        self.remember(&market, FAILED_FOR);
        Ok(Rules::Known(market))
    }

    /// [`MarketCache::ask`] about a market of which nothing is stored. It does not ask the store, so that whoever lets it
    /// stand for a while keeps none of the store's connections from others.
    pub async fn ask_anew(&self, token: TokenId, lane: Lane) -> Rules {
        let remembered = self.lock().get(&token).cloned();
        if let Some((market, until)) = &remembered
            && self.clock.uptime() < *until
        {
            return Rules::Known(market.clone());
        }
        let ask = self.data.market(token, lane);
        match venue_call(self.clock.as_ref(), "market", limits::READ_DEADLINE, ask).await {
            Ok(Some(market)) => {
                self.remember(&market, FRESH_FOR);
                Rules::Known(market)
            }
            Ok(None) => Rules::NoSuchToken,
            Err(error) => {
                warn!(token = %token, %error, "rules of a market cannot be read; using the last known");
                let Some((market, _)) = remembered else { return Rules::Unanswered };
                self.remember(&market, FAILED_FOR);
                Rules::Known(market)
            }
        }
    }

    /// The outcome tokens of a market; none when the venue does not know it or does not answer in time.
    pub async fn tokens(&self, condition: ConditionId) -> Vec<TokenId> {
        let ask = self.data.tokens(condition);
        match venue_call(self.clock.as_ref(), "tokens of a market", limits::READ_DEADLINE, ask).await {
            Ok(tokens) => tokens,
            Err(error) => {
                warn!(%condition, %error, "tokens of a market cannot be read");
                Vec::new()
            }
        }
    }

    /// The book now, from memory or asked for; `None` when there is none or it cannot be read in time.
    pub async fn book(&self, token: TokenId, lane: Lane) -> Option<Book> {
        if let Some(book) = self.live.as_ref().and_then(|live| live.book(token, self.clock.uptime())) {
            return Some(book);
        }
        let ask = self.data.book(token, lane);
        match venue_call(self.clock.as_ref(), "book", limits::READ_DEADLINE, ask).await {
            Ok(book) => book,
            Err(error) => {
                warn!(token = %token, %error, "book cannot be read");
                None
            }
        }
    }

    /// Waits for the feed's next news and takes them. Without a feed it waits for ever.
    pub async fn hear(&self) {
        let Some(live) = &self.live else { return std::future::pending().await };
        let news = live.feed.next().await;
        let uptime = self.clock.uptime();
        for news in &news {
            let ask = live.lock_books().hear(news, uptime);
            for token in ask {
                debug!(%token, "book is dropped; asking for a snapshot");
                live.feed.refresh(token);
            }
            self.note_rules(news);
        }
    }

    /// Forgets every book: whoever heard of changes may have missed some.
    pub fn forget_books(&self) {
        if let Some(live) = &self.live {
            live.lock_books().retain(&BTreeSet::new());
        }
    }

    /// What news say about rules takes effect at once.
    fn note_rules(&self, news: &MarketNews) {
        match news {
            MarketNews::Tick { token, tick } | MarketNews::Snapshot { token, tick: Some(tick), .. } => {
                if let Some((market, _)) = self.lock().get_mut(token)
                    && market.tick != *tick
                {
                    info!(%token, tick = ?tick, "the price grid of token {token} changed");
                    market.tick = *tick;
                }
            }
            MarketNews::Resolved { condition, tokens } => {
                info!(%condition, "market {condition} is resolved");
                let mut known = self.lock();
                for token in tokens {
                    if let Some((market, until)) = known.get_mut(token) {
                        market.accepting_orders = false;
                        // What it pays is asked for.
                        *until = Duration::ZERO;
                    }
                }
            }
            MarketNews::Lost(_) | MarketNews::Snapshot { tick: None, .. } | MarketNews::Changed { .. } => {}
        }
    }

    /// From now on follows the books of these tokens, which are held, and those that were asked for within
    /// [`limits::BOOK_KEPT`].
    pub fn follow(&self, held: Vec<TokenId>) {
        if let Some(live) = &self.live {
            *live.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
            live.follow(self.clock.uptime());
        }
    }

    /// How live books are doing; `None` without a feed.
    #[must_use]
    pub fn live_health(&self) -> Option<LiveHealth> {
        let live = self.live.as_ref()?;
        Some(LiveHealth {
            feed: live.feed.health(),
            answered: live.answered.load(Ordering::Relaxed),
            fetched: live.fetched.load(Ordering::Relaxed),
            dropped: live.lock_books().dropped().values().sum(),
        })
    }

    /// Forgets a market, so that it is asked again (after a refusal that its rules may explain).
    pub fn forget(&self, token: TokenId) {
        self.lock().remove(&token);
    }

    fn remember(&self, market: &Market, duration: Duration) {
        let uptime = self.clock.uptime();
        let mut known = self.lock();
        if known.len() >= limits::MARKETS_REMEMBERED && !known.contains_key(&market.token) {
            // What would be asked for anyway; the store knows the rest as well.
            known.retain(|_, (_, until)| uptime < *until);
            if known.len() >= limits::MARKETS_REMEMBERED {
                known.clear();
            }
        }
        known.insert(market.token, (market.clone(), uptime.saturating_add(duration)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, (Market, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn book(&self, token: TokenId, uptime: Duration) -> Option<Book> {
        let is_new = self.lock_wanted().insert(token, uptime).is_none();
        if is_new {
            self.follow(uptime);
        }
        let mut books = self.lock_books();
        let book = books.get(token, uptime);
        // What is new begins with a snapshot anyway.
        let asks = book.is_none() && books.asks_for(token, uptime) && !is_new;
        drop(books);
        if asks {
            self.feed.refresh(token);
        }
        let counter = if book.is_some() { &self.answered } else { &self.fetched };
        counter.fetch_add(1, Ordering::Relaxed);
        book
    }

    /// Follows what was asked for lately and what is held, at most [`limits::BOOKS_FOLLOWED`].
    fn follow(&self, uptime: Duration) {
        let mut wanted = self.lock_wanted();
        wanted.retain(|_, asked| uptime.saturating_sub(*asked) <= limits::BOOK_KEPT);
        let mut recent: Vec<(Duration, TokenId)> =
            wanted.iter().map(|(token, asked)| (*asked, *token)).collect();
        drop(wanted);
        recent.sort_unstable_by(|one, other| other.cmp(one));
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tokens = BTreeSet::new();
        for token in recent.into_iter().map(|(_, token)| token).chain(held) {
            if tokens.len() >= limits::BOOKS_FOLLOWED {
                break;
            }
            tokens.insert(token);
        }
        self.lock_books().retain(&tokens);
        self.feed.follow(&tokens);
    }

    fn lock_books(&self) -> MutexGuard<'_, LiveBooks> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_wanted(&self) -> MutexGuard<'_, HashMap<TokenId, Duration>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Markets and books for deciding and signing: rules are remembered and stored, books are always asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Book, Clock, Market, TokenId};
use tracing::warn;

use crate::{
    deadline::venue_call,
    limits,
    ports::{
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
}

impl MarketCache {
    /// An empty cache.
    #[must_use]
    pub fn new(data: Arc<dyn MarketData>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { data, store, clock, known: Mutex::default() }
    }

    /// The rules of a token's market: fresh ones if the venue answers in time, else the last known.
    ///
    /// # Errors
    /// Store errors.
    pub async fn get(&self, token: TokenId) -> StoreResult<Option<Market>> {
        self.ask(token).await.map(Rules::known)
    }

    /// [`MarketCache::get`] that says why a market is not known.
    ///
    /// # Errors
    /// Store errors.
    pub async fn ask(&self, token: TokenId) -> StoreResult<Rules> {
        let remembered = self.lock().get(&token).cloned();
        if let Some((market, until)) = &remembered
            && self.clock.uptime() < *until
        {
            return Ok(Rules::Known(market.clone()));
        }
        let ask = self.data.market(token);
        match venue_call(self.clock.as_ref(), "market", limits::READ_DEADLINE, ask).await {
            Ok(Some(market)) => {
                self.remember(&market, FRESH_FOR);
                Ok(Rules::Known(market))
            }
            Ok(None) => Ok(Rules::NoSuchToken),
            Err(error) => {
                warn!(token = %token, %error, "rules of a market cannot be read; using the last known");
                let market = match remembered {
                    Some((market, _)) => Some(market),
                    None => self.store.markets(&[token]).await?.pop(),
                };
                let Some(market) = market else { return Ok(Rules::Unanswered) };
                self.remember(&market, FAILED_FOR);
                Ok(Rules::Known(market))
            }
        }
    }

    /// The book now; `None` when it cannot be read in time.
    pub async fn book(&self, token: TokenId) -> Option<Book> {
        let ask = self.data.book(token);
        match venue_call(self.clock.as_ref(), "book", limits::READ_DEADLINE, ask).await {
            Ok(book) => book,
            Err(error) => {
                warn!(token = %token, %error, "book cannot be read");
                None
            }
        }
    }

    /// Forgets a market, so that it is asked again (after a refusal that its rules may explain).
    pub fn forget(&self, token: TokenId) {
        self.lock().remove(&token);
    }

    fn remember(&self, market: &Market, duration: Duration) {
        let until = self.clock.uptime().saturating_add(duration);
        self.lock().insert(market.token, (market.clone(), until));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenId, (Market, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

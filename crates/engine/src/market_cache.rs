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
        let remembered = self.lock().get(&token).cloned();
        if let Some((market, until)) = &remembered
            && self.clock.uptime() < *until
        {
            return Ok(Some(market.clone()));
        }
        let ask = self.data.market(token);
        match venue_call(self.clock.as_ref(), "market", limits::READ_DEADLINE, ask).await {
            Ok(Some(market)) => {
                self.remember(&market, FRESH_FOR);
                Ok(Some(market))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                warn!(token = %token, %error, "rules of a market cannot be read; using the last known");
                let market = match remembered {
                    Some((market, _)) => Some(market),
                    None => self.store.markets(&[token]).await?.pop(),
                };
                if let Some(market) = &market {
                    self.remember(market, FAILED_FOR);
                }
                Ok(market)
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

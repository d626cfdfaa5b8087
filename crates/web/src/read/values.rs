//! What held shares would bring now: asked of the venue for all pages together, and not more often than needed.

use std::sync::Arc;

use domain::{Clock, Timestamp};
use engine::ports::{store::Store, venue::MarketData};
use story::{Prices, prices};
use tokio::sync::Mutex;
use tracing::debug;

use crate::limits::PRICES_FRESH;

/// Best bids of what is held, by whomever.
pub(crate) struct Values {
    markets: Option<Arc<dyn MarketData>>,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<(std::time::Duration, Priced)>>,
}

/// Prices, and when they were asked for.
#[derive(Clone)]
pub(crate) struct Priced {
    pub(crate) prices: Arc<Prices>,
    /// `None` where nobody can be asked.
    pub(crate) at: Option<Timestamp>,
}

impl Values {
    pub(crate) fn new(markets: Option<Arc<dyn MarketData>>, clock: Arc<dyn Clock>) -> Self {
        Self { markets, clock, known: Mutex::default() }
    }

    /// Today's prices; without the venue, none.
    pub(crate) async fn now(&self, store: &dyn Store) -> Priced {
        let Some(markets) = &self.markets else { return Priced { prices: Arc::default(), at: None } };
        let mut known = self.known.lock().await;
        if let Some((at, priced)) = known.as_ref()
            && self.clock.uptime().saturating_sub(*at) < PRICES_FRESH
        {
            return priced.clone();
        }
        match prices::of_held(store, markets.as_ref(), self.clock.as_ref(), None).await {
            Ok(found) => {
                let priced = Priced { prices: Arc::new(found), at: Some(self.clock.now()) };
                *known = Some((self.clock.uptime(), priced.clone()));
                priced
            }
            Err(error) => {
                debug!(%error, "what is held cannot be valued now");
                known
                    .as_ref()
                    .map_or(Priced { prices: Arc::default(), at: None }, |(_, priced)| priced.clone())
            }
        }
    }
}

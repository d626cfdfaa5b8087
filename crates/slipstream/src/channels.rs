//! The venue's websocket channels as this process listens to them.

use std::sync::Arc;

use domain::Clock;
use engine::ports::feeds::{AccountFeed, MarketFeed};
use polymarket::{AccountSockets, Clob, MarketSockets, socket::WebSockets};

/// What the venue tells by itself.
#[derive(Clone)]
pub struct Channels {
    /// Books, price grids, resolutions.
    pub market: Arc<dyn MarketFeed>,
    /// What becomes of orders.
    pub accounts: Arc<dyn AccountFeed>,
}

impl Channels {
    /// The channels of the venue at `origin` (`wss://host`, or the `https://host` it is called at); accounts log in
    /// as `clob` does. `seed` spreads the pauses between attempts to connect. Nothing is opened before it is
    /// wanted.
    #[must_use]
    pub fn new(origin: &str, clob: &Arc<Clob>, clock: &Arc<dyn Clock>, seed: u64) -> Self {
        let origin = socket_origin(origin);
        let connector = Arc::new(WebSockets);
        let market = MarketSockets::new(connector.clone(), &origin, Arc::clone(clock), seed);
        let accounts = AccountSockets::new(
            Arc::clone(clob),
            connector,
            &origin,
            Arc::clone(clock),
            seed.rotate_left(32),
        );
        Self { market: Arc::new(market), accounts: Arc::new(accounts) }
    }
}

/// The same place by websocket.
fn socket_origin(origin: &str) -> String {
    match origin.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => origin.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_by_websocket() {
        for (origin, socket) in [
            ("http://127.0.0.1:80", "ws://127.0.0.1:80"),
            ("https://clob.polymarket.com", "wss://clob.polymarket.com"),
            ("wss://ws-subscriptions-clob.polymarket.com", "wss://ws-subscriptions-clob.polymarket.com"),
        ] {
            assert_eq!(socket_origin(origin), socket);
        }
    }
}

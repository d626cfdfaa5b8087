//! What a demo hears of the venue besides asking.

use std::sync::Arc;

use domain::Clock;
use engine::ports::live::LiveFeed;
use polymarket::{LiveSocket, socket::WebSockets};

use super::{Options, SimulatorUrls};

/// The real venue's feed. Source: npm @polymarket/real-time-data-client 1.4.0.
const VENUE: &str = "wss://ws-live-data.polymarket.com";

/// The feed of everybody's trades, of the simulator or of the real venue, if there is one.
pub(super) fn trades(
    options: &Options,
    urls: &SimulatorUrls,
    is_live: bool,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn LiveFeed>> {
    let usual = if is_live { VENUE } else { &urls.live };
    let url = options.live_url.as_deref().unwrap_or(usual);
    let open = || LiveSocket::new(Arc::new(WebSockets), url, Arc::clone(clock), options.seed);
    (!url.is_empty()).then(|| Arc::new(open()) as Arc<dyn LiveFeed>)
}

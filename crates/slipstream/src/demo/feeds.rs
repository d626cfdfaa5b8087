//! What a demo hears of the venue besides asking.

use std::sync::Arc;

use domain::Clock;
use engine::ports::live::LiveFeed;
use polymarket::{LiveSocket, socket::WebSockets};

use super::{Options, SimulatorUrls};

/// The feed of everybody's trades, of the simulator or of the real venue, if there is one.
pub(super) fn trades(
    options: &Options,
    urls: &SimulatorUrls,
    is_live: bool,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn LiveFeed>> {
    let real = options.leader.as_ref().filter(|_| is_live);
    let url = real.map_or(urls.live.as_str(), |leader| leader.live_url.as_str());
    let open = || LiveSocket::new(Arc::new(WebSockets), url, Arc::clone(clock), options.seed);
    (!url.is_empty()).then(|| Arc::new(open()) as Arc<dyn LiveFeed>)
}

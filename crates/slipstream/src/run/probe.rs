//! Whether the venue and the chain can be reached when a run begins: what people want to know first.

use std::{pin::Pin, sync::Arc, time::Duration};

use domain::Clock;
use engine::{
    deadline::{venue_call, within},
    ports::venue::{ChainReader, VenueClock},
};
use futures_util::{FutureExt as _, future::pending};
use tracing::warn;

/// Deadline of the questions.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long the first lines of the log wait for their answers; nothing else does.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// What cannot be reached, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unreachable {
    venue: Option<String>,
    chain: Option<String>,
}

impl Unreachable {
    /// What follows from it, and why; nothing while nothing is known to be wrong.
    pub(super) fn words(&self) -> Option<String> {
        let venue = self.venue.as_ref().map(|error| {
            format!("the venue cannot be reached: {error}. Look at the network, and at [run] clob_url")
        });
        let chain = self.chain.as_ref().map(|error| {
            format!("the chain cannot be read: {error}. Look at [chain] rpc_urls (`slipstream rpc check`)")
        });
        let what = match (&venue, &chain) {
            (None, None) => return None,
            (None, Some(_)) => "NO SALE IS COPIED, and a buy only where another source tells of it",
            (Some(_), _) => "NOTHING IS COPIED",
        };
        let why: Vec<String> = venue.into_iter().chain(chain).collect();
        Some(format!("{what}: {}. It is asked again and again", why.join(". Also, ")))
    }
}

/// The questions, until they are answered.
pub(super) struct Probe(Pin<Box<dyn Future<Output = Unreachable> + Send>>);

impl Probe {
    /// Asks.
    pub(super) fn begin(
        clock: &Arc<dyn Clock>,
        venue: Arc<dyn VenueClock>,
        chain: Option<Arc<dyn ChainReader>>,
    ) -> Self {
        let clock = Arc::clone(clock);
        let ask = async move {
            let head = async {
                let chain = chain.as_ref()?;
                let asked = venue_call(clock.as_ref(), "the chain's head", DEADLINE, chain.head()).await;
                asked.err().map(|error| error.to_string())
            };
            let time = async {
                let asked = venue_call(clock.as_ref(), "venue", DEADLINE, venue.server_time()).await;
                asked.err().map(|error| error.to_string())
            };
            let (chain, venue) = tokio::join!(head, time);
            Unreachable { venue, chain }
        };
        Self(ask.boxed())
    }

    /// What is known at once.
    pub(super) async fn first(&mut self, clock: &dyn Clock) -> Unreachable {
        match within(clock, FIRST_WORDS, &mut self.0).await {
            Ok(known) => {
                self.0 = pending().boxed();
                known
            }
            Err(_) => Unreachable::default(),
        }
    }

    /// Says what comes later, and nothing more.
    pub(super) async fn tell_later(self) {
        if let Some(words) = self.0.await.words() {
            warn!("{words}");
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_said_first_and_why_after_it() {
        let words = |venue: Option<&str>, chain: Option<&str>| {
            let [venue, chain] = [venue, chain].map(|error| error.map(str::to_owned));
            Unreachable { venue, chain }.words().unwrap_or_default()
        };
        assert_eq!(words(None, None), "");
        let both = words(Some("no route"), Some("chain 1, not 137"));
        assert!(both.starts_with("NOTHING IS COPIED: the venue") && both.contains("chain 1"), "{both}");
        let chain = words(None, Some("chain 1, not 137"));
        assert!(chain.starts_with("NO SALE IS COPIED") && chain.contains("rpc check"), "{chain}");
    }
}

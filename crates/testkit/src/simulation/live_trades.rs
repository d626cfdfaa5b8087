//! The feed of everybody's trades as an adversary has it: ahead of the block, under the hash that a trade was announced
//! with, twice, by both of its messages, late, also of what never reaches the chain; and for a while it says nothing.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock, Timestamp};
use engine::ports::{
    feeds::FeedHealth,
    live::{LiveChannel, LiveFeed, LiveNews, LiveTrade},
};

use super::venue::Venue;

/// A trade is told after each of these: in time, twice, and late.
const TOLD_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), TOLD_LAST];
/// How long after a trade the feed tells of it at last.
pub(super) const TOLD_LAST: Duration = Duration::from_secs(30);
/// How often the venue is looked at for trades.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// From when until when the feed says nothing, without a word of it.
pub type Silence = (Timestamp, Timestamp);

/// A connection to the feed; what was told before it is not told again.
pub struct LiveTrades {
    venue: Arc<Venue>,
    clock: Arc<dyn Clock>,
    silence: Silence,
    state: Mutex<State>,
}

struct State {
    followed: BTreeSet<Address>,
    /// What was told until then is queued.
    heard: Timestamp,
    coming: VecDeque<LiveNews>,
}

impl LiveTrades {
    /// A connection that is opened now.
    #[must_use]
    pub fn new(venue: Arc<Venue>, clock: Arc<dyn Clock>, silence: Silence) -> Arc<Self> {
        let coming = VecDeque::from([LiveNews::Gap]);
        let state = State { followed: BTreeSet::new(), heard: clock.now(), coming };
        Arc::new(Self { venue, clock, silence, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, limit: usize) -> Vec<LiveNews> {
        let (now, (from, until)) = (self.clock.now(), self.silence);
        let rows = self.venue.announced();
        let mut state = self.lock();
        let since = state.heard;
        let is_new = |at: Timestamp| since < at && at <= now;
        let mut told: Vec<(Timestamp, LiveNews)> = Vec::new();
        for (traded_at, row) in rows.iter().filter(|(_, row)| state.followed.contains(&row.wallet)) {
            for after in TOLD_AFTER {
                let at = traded_at.plus(after);
                if !is_new(at) || (from..until).contains(&at) {
                    continue;
                }
                let channels = [LiveChannel::Trades, LiveChannel::OrdersMatched];
                told.extend(
                    channels.map(|channel| (at, LiveNews::Trade(LiveTrade { channel, row: row.clone() }))),
                );
            }
        }
        if from < until && is_new(until) {
            told.push((until, LiveNews::Gap));
        }
        told.sort_by_key(|(at, _)| *at);
        state.heard = now;
        state.coming.extend(told.into_iter().map(|(_, news)| news));
        let count = state.coming.len().min(limit);
        state.coming.drain(..count).collect()
    }
}

#[async_trait]
impl LiveFeed for LiveTrades {
    fn follow(&self, wallets: &BTreeSet<Address>) {
        self.lock().followed.clone_from(wallets);
    }

    async fn next(&self, limit: usize) -> Vec<LiveNews> {
        loop {
            let due = self.due(limit);
            if !due.is_empty() {
                return due;
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    fn health(&self) -> FeedHealth {
        FeedHealth::default()
    }
}

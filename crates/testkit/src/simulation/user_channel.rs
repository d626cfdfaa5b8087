//! The venue's user channel as an adversary has it: every fact about an order is told by itself, at once, again
//! a little later, and once more when it has long been overtaken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, OrderId, Timestamp, TradingAccount, ids::AccountId};
use engine::ports::{
    feeds::{AccountEvent, AccountFeed, AccountNews, FeedHealth},
    venue::{OrderLookup, SettlementStatus, VenueTrade},
};

use super::venue::Venue;

/// A fact is told after each of these: in time, twice, and late.
const TOLD_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(40)];
/// How often the venue is looked at for new facts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A feed for simulations.
pub struct UserChannel {
    venue: Arc<Venue>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    followed: BTreeSet<AccountId>,
    /// Facts that were noticed, in words.
    noticed: BTreeSet<(OrderId, String)>,
    /// What will be told, and when.
    coming: BTreeMap<(Timestamp, u64), AccountNews>,
    number: u64,
}

impl State {
    fn tell(&mut self, at: Timestamp, account: AccountId, what: AccountEvent) {
        self.number += 1;
        self.coming.insert((at, self.number), AccountNews { account, what });
    }

    /// The order's record and each of its trades are facts of their own. A trade was matched, whatever it is now.
    fn notice(&mut self, now: Timestamp, account: AccountId, order: OrderId, shown: OrderLookup) {
        let record = OrderLookup { order: shown.order, trades: Vec::new() };
        let trades = shown.trades.into_iter().flat_map(|trade| {
            let matched = VenueTrade { status: SettlementStatus::Matched, tx: None, ..trade.clone() };
            [matched, trade].map(|trade| OrderLookup { order: None, trades: vec![trade] })
        });
        for facts in std::iter::once(record).chain(trades) {
            let is_new = self.noticed.insert((order, format!("{facts:?}")));
            if is_new && (facts.order.is_some() || !facts.trades.is_empty()) {
                for after in TOLD_AFTER {
                    self.tell(now.plus(after), account, AccountEvent::Order { order, facts: facts.clone() });
                }
            }
        }
    }
}

impl UserChannel {
    /// The channel of a venue.
    #[must_use]
    pub fn new(venue: Arc<Venue>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { venue, clock, state: Mutex::default() })
    }

    /// Whether everything that was noticed has been told.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.lock().coming.is_empty()
    }

    /// How much was noticed and how much is on its way: for comparing two moments.
    #[must_use]
    pub fn stand(&self) -> (usize, usize) {
        let state = self.lock();
        (state.noticed.len(), state.coming.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, limit: usize) -> Vec<AccountNews> {
        let now = self.clock.now();
        let told = self.venue.told();
        let mut state = self.lock();
        for (account, order, shown) in told {
            if state.followed.contains(&account) {
                state.notice(now, account, order, shown);
            }
        }
        let later = state.coming.split_off(&(now.plus(Duration::from_micros(1)), 0));
        let mut due = std::mem::replace(&mut state.coming, later);
        if let Some((&key, _)) = due.iter().nth(limit) {
            let rest = due.split_off(&key);
            state.coming.extend(rest);
        }
        due.into_values().collect()
    }
}

#[async_trait]
impl AccountFeed for UserChannel {
    fn follow(&self, accounts: &[TradingAccount]) {
        let now = self.clock.now();
        let mut state = self.lock();
        for account in accounts {
            if state.followed.insert(account.id) {
                state.tell(now, account.id, AccountEvent::Gap);
            }
        }
        state.followed.retain(|known| accounts.iter().any(|account| account.id == *known));
    }

    async fn next(&self, limit: usize) -> Vec<AccountNews> {
        loop {
            let due = self.due(limit);
            if !due.is_empty() {
                return due;
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    fn hears(&self, account: AccountId) -> bool {
        self.lock().followed.contains(&account)
    }

    fn health(&self) -> FeedHealth {
        let open = self.lock().followed.len();
        FeedHealth { wanted: open, open, ..FeedHealth::default() }
    }
}

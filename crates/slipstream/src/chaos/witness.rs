//! What the venue executes, as it tells its operator: heard of while it happens, kept as the venue's books.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Address, Clock, OrderId, Side, TokenId};

use crate::demo::control::{Control, SeenOrder};

/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// What was executed so far.
#[derive(Default)]
struct Heard {
    seen: usize,
    orders: BTreeMap<OrderId, SeenOrder>,
    makers: BTreeMap<(TokenId, bool), BTreeSet<Address>>,
    /// When the first order for a token was heard of, by uptime.
    first: BTreeMap<TokenId, Duration>,
}

/// Listens.
#[derive(Clone)]
pub(super) struct Witness {
    control: Control,
    heard: Arc<Mutex<Heard>>,
}

impl Witness {
    pub(super) fn new(control: Control) -> Self {
        Self { control, heard: Arc::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once.
    pub(super) async fn ask(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        let seen = self.heard().seen;
        let news = self.control.executions(seen).await?;
        let now = clock.uptime();
        let mut heard = self.heard();
        heard.seen = news.seen;
        for order in news.orders {
            heard.makers.entry((order.token, order.side == Side::Sell)).or_default().insert(order.maker);
            heard.first.entry(order.token).or_insert(now);
            heard.orders.insert(order.id, order);
        }
        Ok(())
    }

    /// Listens for ever.
    pub(super) async fn listen(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        loop {
            self.ask(clock).await?;
            clock.sleep(ASK_EVERY).await;
        }
    }

    /// How many wallets have bought, or sold, of a token.
    pub(super) fn makers(&self, token: TokenId, side: Side) -> usize {
        self.heard().makers.get(&(token, side == Side::Sell)).map_or(0, BTreeSet::len)
    }

    /// How many orders were executed, in part at least.
    pub(super) fn executed(&self) -> usize {
        self.heard().orders.len()
    }

    /// When the first order for a token was heard of, by uptime.
    pub(super) fn first_of(&self, token: TokenId) -> Option<Duration> {
        self.heard().first.get(&token).copied()
    }

    /// Every order of which anything was executed.
    pub(super) fn orders(&self) -> Vec<SeenOrder> {
        self.heard().orders.values().cloned().collect()
    }
}

//! What the venue tells of accounts' orders by itself, booked as a look-up's answer would be.
//!
//! A channel is opened for accounts whose orders have an open outcome, and closed some time after the last one. It
//! is faster than asking and never needed: whatever may have been missed is looked up, and look-ups go on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Clock, OrderId, TradingAccount, ids::AccountId};
use tracing::{debug, info};

use crate::{
    facts,
    failure_watch::FailureWatch,
    limits,
    orders::named,
    ports::{
        feeds::{AccountEvent, AccountFeed, AccountNews},
        store::{Store, StoreResult},
        venue::OrderLookup,
    },
    worker::apply,
};

/// Everything it works with.
pub struct AccountChannels {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// The channels.
    pub feed: Arc<dyn AccountFeed>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How settlements end of late; shared with settlement.
    pub failures: Arc<FailureWatch>,
    /// What it remembers.
    pub memory: Memory,
}

/// What is remembered between two calls.
#[derive(Debug, Default)]
pub struct Memory {
    /// Accounts with channels, and the uptime when one of their orders was open last.
    kept: Mutex<HashMap<AccountId, (TradingAccount, Duration)>>,
    /// Accounts some of whose news were lost here: they are looked up.
    missed: Mutex<BTreeSet<AccountId>>,
}

impl AccountChannels {
    /// Opens channels of accounts with open outcomes, and closes those that had none for
    /// [`limits::CHANNEL_KEPT`]; what was missed is looked up. Returns how many channels are wanted.
    ///
    /// # Errors
    /// Store errors.
    pub async fn follow(&self) -> StoreResult<usize> {
        self.look_up_missed().await?;
        let open = self.store.open_accounts(limits::CHANNELS_OPEN).await?;
        let uptime = self.clock.uptime();
        let mut kept = self.memory.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for account in open {
            kept.insert(account.id, (account, uptime));
        }
        kept.retain(|_, (_, seen)| uptime.saturating_sub(*seen) < limits::CHANNEL_KEPT);
        let mut newest: Vec<&(TradingAccount, Duration)> = kept.values().collect();
        newest.sort_unstable_by_key(|(account, seen)| (std::cmp::Reverse(*seen), account.id));
        newest.truncate(limits::CHANNELS_OPEN);
        let accounts: Vec<TradingAccount> = newest.into_iter().map(|(account, _)| account.clone()).collect();
        self.feed.follow(&accounts);
        Ok(accounts.len())
    }

    /// Waits for news. Nothing is lost when the call is given up.
    pub async fn next(&self) -> Vec<AccountNews> {
        self.feed.next(limits::NEWS_BATCH).await
    }

    /// Books news in one transaction. Returns how many orders changed or are to be looked up.
    ///
    /// # Errors
    /// Store errors; the orders of these accounts are then looked up, once the store can say so.
    pub async fn book(&self, news: Vec<AccountNews>) -> StoreResult<usize> {
        let accounts: BTreeSet<AccountId> = news.iter().map(|news| news.account).collect();
        let booked = self.try_to_book(news).await;
        if booked.is_err() {
            self.missed().extend(accounts);
        }
        booked
    }

    async fn look_up_missed(&self) -> StoreResult<()> {
        let missed: Vec<AccountId> = self.missed().iter().copied().collect();
        if !missed.is_empty() {
            self.store.hurry(&missed, self.clock.now()).await?;
            self.missed().retain(|account| !missed.contains(account));
        }
        Ok(())
    }

    /// All that was told of one order is booked together.
    async fn try_to_book(&self, news: Vec<AccountNews>) -> StoreResult<usize> {
        let mut gaps = BTreeSet::new();
        let mut told: BTreeMap<OrderId, (AccountId, OrderLookup)> = BTreeMap::new();
        for AccountNews { account, what } in news {
            match what {
                AccountEvent::Gap => {
                    gaps.insert(account);
                }
                AccountEvent::Order { order, facts } => {
                    let (_, known) = told.entry(order).or_insert_with(|| (account, OrderLookup::default()));
                    facts::add(known, facts);
                }
            }
        }
        let mut changed = self.book_orders(told).await?;
        // Last, because booking says anew when to look.
        if !gaps.is_empty() {
            let gaps: Vec<AccountId> = gaps.into_iter().collect();
            let hurried = self.store.hurry(&gaps, self.clock.now()).await?;
            debug!(
                ?gaps,
                hurried,
                "orders of {} accounts may have moved unheard; looking them up",
                gaps.len()
            );
            changed = changed.saturating_add(hurried);
        }
        Ok(changed)
    }

    async fn book_orders(&self, mut told: BTreeMap<OrderId, (AccountId, OrderLookup)>) -> StoreResult<usize> {
        if told.is_empty() {
            return Ok(0);
        }
        let ids: Vec<OrderId> = told.keys().copied().collect();
        let mut learned = Vec::with_capacity(ids.len());
        for record in self.store.orders(&ids).await? {
            if let Some((_, facts)) = told.remove(&record.order.id) {
                let what = facts::pushed(&record, facts);
                learned.push((record, what));
            }
        }
        let now = self.clock.now();
        let foreign: Vec<(AccountId, OrderId)> =
            told.into_iter().map(|(order, (account, _))| (account, order)).collect();
        if !foreign.is_empty() && self.store.note_foreign_orders(&foreign, now).await? > 0 {
            let orders: Vec<OrderId> = foreign.iter().map(|(_, order)| *order).collect();
            let orders = named(&orders);
            info!("accounts have orders that were not placed by this installation: {orders}");
        }
        apply(self.store.as_ref(), now, learned, Some(&self.failures)).await
    }

    fn missed(&self) -> std::sync::MutexGuard<'_, BTreeSet<AccountId>> {
        self.memory.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

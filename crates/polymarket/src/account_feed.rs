//! The user channel as the engine reads it: one socket per account, frames into facts about orders.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, OrderId, TradingAccount, ids::AccountId};
use engine::ports::{
    detection::Lane,
    feeds::{AccountEvent, AccountFeed, AccountNews, FeedHealth},
    venue::OrderLookup,
};
use tokio::{sync::mpsc, task::AbortHandle};
use zeroize::Zeroizing;

use crate::{
    clob::Clob,
    frames::user::{self, TradePart, UserEvent},
    limits::{FEED_BUFFER, USER_SILENCE},
    lookup::Role,
    socket::{CLOB_KEEPALIVE, Channel, Connector, Counters, Socket, Taken},
};

/// The user channel of the CLOB. Its sockets are tasks of the runtime it is used in; they end with it.
pub struct AccountSockets {
    clob: Arc<Clob>,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    url: String,
    counters: Arc<Counters>,
    sockets: Mutex<HashMap<AccountId, OpenSocket>>,
    write: mpsc::Sender<AccountNews>,
    read: tokio::sync::Mutex<mpsc::Receiver<AccountNews>>,
}

/// A socket's task; closed when dropped.
struct OpenSocket {
    /// Whose credentials opened it: another signer of the account is told of other orders.
    account: TradingAccount,
    task: AbortHandle,
    /// Whether the account's orders are told of now.
    hears: Arc<AtomicBool>,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AccountSockets {
    /// The channel at `origin` (`wss://host`), with the credentials of `clob`; `seed` spreads the pauses
    /// between attempts to connect.
    #[must_use]
    pub fn new(
        clob: Arc<Clob>,
        connector: Arc<dyn Connector>,
        origin: &str,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        let (write, read) = mpsc::channel(FEED_BUFFER);
        Self {
            clob,
            connector,
            clock,
            url: format!("{}/ws/user", origin.trim_end_matches('/')),
            counters: Counters::new(seed),
            sockets: Mutex::default(),
            write,
            read: tokio::sync::Mutex::new(read),
        }
    }

    fn open(&self, account: &TradingAccount) -> OpenSocket {
        let socket = Socket {
            url: self.url.clone(),
            connector: Arc::clone(&self.connector),
            clock: Arc::clone(&self.clock),
            keepalive: CLOB_KEEPALIVE,
            counters: Arc::clone(&self.counters),
        };
        let hears = Arc::new(AtomicBool::new(false));
        let mut channel = UserChannel {
            clob: Arc::clone(&self.clob),
            account: account.clone(),
            api_key: String::new(),
            hears: Arc::clone(&hears),
            news: self.write.clone(),
        };
        let task = tokio::spawn(async move { socket.run(&mut channel).await }).abort_handle();
        OpenSocket { account: account.clone(), task, hears }
    }
}

#[async_trait]
impl AccountFeed for AccountSockets {
    fn follow(&self, accounts: &[TradingAccount]) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|_, open| accounts.contains(&open.account));
        for account in accounts {
            sockets.entry(account.id).or_insert_with(|| self.open(account));
        }
        self.counters.want(sockets.len());
    }

    async fn next(&self, limit: usize) -> Vec<AccountNews> {
        let mut news = Vec::new();
        self.read.lock().await.recv_many(&mut news, limit).await;
        news
    }

    fn hears(&self, account: AccountId) -> bool {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get(&account).is_some_and(|socket| socket.hears.load(Ordering::Relaxed))
    }

    fn health(&self) -> FeedHealth {
        self.counters.health()
    }
}

/// One account's conversation.
struct UserChannel {
    clob: Arc<Clob>,
    account: TradingAccount,
    api_key: String,
    hears: Arc<AtomicBool>,
    news: mpsc::Sender<AccountNews>,
}

#[async_trait]
impl Channel for UserChannel {
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String> {
        let credentials =
            self.clob.credentials(&self.account, Lane::Entries).await.map_err(|error| error.to_string())?;
        credentials.api_key().clone_into(&mut self.api_key);
        let opening = credentials.channel_opening().map_err(|_| "credentials that are no text")?;
        Ok(vec![opening])
    }

    async fn opened(&mut self) {
        self.hears.store(true, Ordering::Relaxed);
        self.tell(AccountEvent::Gap).await;
    }

    async fn more(&mut self) -> Vec<String> {
        std::future::pending().await
    }

    /// What is not understood, or of which the fees cannot be told now, leaves a gap for this account, which looking up
    /// fills; what stands beside it and follows it is true all the same.
    async fn take(&mut self, frame: &[u8]) -> Taken {
        let decoded = match user::decode(frame) {
            Ok(decoded) => decoded,
            Err(error) => return self.refuse(error.to_string()).await,
        };
        let mut events = 0_usize;
        let mut passed_over = decoded.passed_over;
        let mut untold = None;
        for event in decoded.events {
            let facts = match self.facts(event).await {
                Ok(facts) => facts,
                Err(reason) => {
                    untold = Some(reason);
                    continue;
                }
            };
            if facts.is_empty() {
                passed_over = passed_over.saturating_add(1);
            }
            for (order, facts) in facts {
                events = events.saturating_add(1);
                self.tell(AccountEvent::Order { order, facts }).await;
            }
        }
        if let Some(reason) = untold {
            return self.refuse(reason).await;
        }
        Taken::Understood { events, passed_over }
    }

    async fn lost(&mut self) {
        self.hears.store(false, Ordering::Relaxed);
    }

    /// It is open for accounts with open outcomes, of which something is to be told.
    fn silence(&self) -> Option<Duration> {
        Some(USER_SILENCE)
    }
}

impl UserChannel {
    async fn facts(&self, event: UserEvent) -> Result<Vec<(OrderId, OrderLookup)>, String> {
        let trade = match event {
            UserEvent::Order(order) => {
                let facts = OrderLookup { order: Some(order.record), trades: Vec::new() };
                return Ok(vec![(order.order, facts)]);
            }
            UserEvent::Trade(trade) => trade,
        };
        let parts = trade.parts_of(&self.api_key, self.account.wallet).map_err(|error| error.to_string())?;
        let mut facts = Vec::with_capacity(parts.len());
        for TradePart { order, token, taker, trade } in parts {
            let role = if taker { Role::Taker } else { Role::Maker };
            let trades = self.clob.with_fees((token, Lane::Exits), vec![(trade, role)]).await;
            let trades = trades.map_err(|error| error.to_string())?;
            facts.push((order, OrderLookup { order: None, trades }));
        }
        Ok(facts)
    }

    async fn refuse(&self, reason: String) -> Taken {
        self.tell(AccountEvent::Gap).await;
        Taken::Refused(reason)
    }

    async fn tell(&self, what: AccountEvent) {
        // An error means that nobody reads any more.
        if self.news.send(AccountNews { account: self.account.id, what }).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

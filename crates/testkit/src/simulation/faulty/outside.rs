//! Venue, chain, history, market data and queue.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, Book, ConditionId, Market, OrderPlan, Shares, Timestamp, TokenId, TradingAccount, ids::IntentId,
};
use engine::{
    limits::ADMISSION_SOON,
    ports::{
        detection::{Lane, QueuedIntent},
        queue::{End, Queue, QueueError},
        store::{InstanceId, Store},
        venue::{
            Admission, Ask, BlockHeader, Cancel, Cancelled, ChainEvent, ChainReader, History, MarketData,
            OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder, TradeHistory,
            VenueError,
        },
        witness::{ExitClaim, Testimony},
    },
};

use super::super::{
    monitor::Monitor,
    probe::{Actor, Fault, Kind, LATE, Probe},
    venue::Venue,
};
use crate::executor::block_on;

/// The outside world as one actor sees it.
pub struct FaultyVenue {
    /// The venue.
    pub venue: Arc<Venue>,
    /// The faults.
    pub probe: Arc<Probe>,
    /// Watches what is sent.
    pub monitor: Arc<Monitor>,
    /// The store, for the monitor.
    pub store: Arc<dyn Store>,
    /// Who calls.
    pub actor: Actor,
    /// In whose name.
    pub instance: InstanceId,
}

impl FaultyVenue {
    async fn ask(&self, method: &'static str) -> Result<(), VenueError> {
        match self.probe.pass(self.actor, method, Kind::Ask).await {
            None => Ok(()),
            Some(_) => Err(VenueError::Unavailable { what: method.to_owned(), reason: "planned".to_owned() }),
        }
    }
}

fn unknown() -> PostReply {
    PostReply::Unknown { text: "connection reset".to_owned(), blocked: false }
}

fn not_now() -> PostReply {
    PostReply::NotAccepted { retry_after: None, text: "service not ready".to_owned() }
}

#[async_trait]
impl OrderGateway for FaultyVenue {
    /// There is no room: for a moment, or for so long that an entry is too old then.
    async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        let later = |wait| asks.iter().map(|_| Admission::Later(wait)).collect();
        match self.probe.pass(self.actor, "admit", Kind::Admit).await {
            Some(Fault::NotNow) => later(ADMISSION_SOON),
            Some(Fault::Late) => later(LATE),
            _ => self.venue.admit(asks, patience).await,
        }
    }

    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        match self.ask("prepare").await {
            Ok(()) => self.venue.prepare(plans).await,
            Err(error) => plans.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        block_on(self.monitor.sends(self.store.as_ref(), order, (&self.instance, self.actor)));
        match self.probe.pass(self.actor, "post", Kind::Post).await {
            None => self.venue.post(account, order, times).await,
            Some(Fault::FailAfter) => {
                self.venue.post(account, order, times).await;
                unknown()
            }
            Some(Fault::HangAfter) => {
                self.venue.post(account, order, times).await;
                pending().await
            }
            Some(Fault::CrashAfter) => {
                self.venue.post(account, order, times).await;
                self.probe.crash(self.actor).await
            }
            Some(Fault::Late) => {
                self.venue.deliver_later(&order.body, LATE);
                unknown()
            }
            Some(Fault::NotNow) => not_now(),
            Some(_) => unknown(),
        }
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        self.ask("look_up").await?;
        self.venue.look_up(account, query).await
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        for order in orders {
            block_on(self.monitor.sends(self.store.as_ref(), order, (&self.instance, self.actor)));
        }
        let lost = || orders.iter().map(|_| unknown()).collect();
        match self.probe.pass(self.actor, "post_batch", Kind::PostTogether).await {
            None => self.venue.post_batch(account, lane, orders, times).await,
            Some(Fault::FailAfter) => {
                self.venue.post_batch(account, lane, orders, times).await;
                lost()
            }
            Some(Fault::HangAfter) => {
                self.venue.post_batch(account, lane, orders, times).await;
                pending().await
            }
            Some(Fault::CrashAfter) => {
                self.venue.post_batch(account, lane, orders, times).await;
                self.probe.crash(self.actor).await
            }
            Some(Fault::Late) => {
                for order in orders {
                    self.venue.deliver_later(&order.body, LATE);
                }
                lost()
            }
            Some(Fault::Part) => {
                if let Some(first) = orders.first() {
                    self.venue.post(account, first, times).await;
                }
                lost()
            }
            Some(Fault::NotNow) => orders.iter().map(|_| not_now()).collect(),
            Some(_) => lost(),
        }
    }

    async fn cancel(&self, account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError> {
        self.ask("cancel").await?;
        self.venue.cancel(account, what).await
    }
}

#[async_trait]
impl ChainReader for FaultyVenue {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        self.ask("head").await?;
        self.venue.head().await
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.ask("finalized").await?;
        self.venue.finalized().await
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        self.ask("header").await?;
        self.venue.header(number).await
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.ask("block_events").await?;
        self.venue.block_events(block, wallets).await
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.ask("range_events").await?;
        self.venue.range_events(from, to, wallets).await
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        self.ask("balances").await?;
        self.venue.balances(queries, block).await
    }

    async fn witness(&self, claim: &ExitClaim) -> Result<Testimony, VenueError> {
        self.ask("witness").await?;
        self.venue.witness(claim).await
    }
}

#[async_trait]
impl TradeHistory for FaultyVenue {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        self.ask("activity").await?;
        self.venue.activity(wallet, since).await
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.ask("positions").await?;
        self.venue.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.ask("positions").await?;
        self.venue.held(wallet, token, since).await
    }
}

#[async_trait]
impl MarketData for FaultyVenue {
    async fn market(&self, token: TokenId, lane: Lane) -> Result<Option<Market>, VenueError> {
        self.ask("market").await?;
        self.venue.market(token, lane).await
    }

    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        self.ask("tokens").await?;
        self.venue.tokens(condition).await
    }

    async fn book(&self, token: TokenId, lane: Lane) -> Result<Option<Book>, VenueError> {
        self.ask("book").await?;
        self.venue.book(token, lane).await
    }
}

/// The queue as one actor sees it.
pub struct FaultyQueue {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The faults.
    pub probe: Arc<Probe>,
    /// Who calls.
    pub actor: Actor,
}

impl FaultyQueue {
    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, QueueError>> + Send,
        changes: impl Fn(&T) -> bool + Send,
    ) -> Result<T, QueueError> {
        let fault = self.probe.pass(self.actor, method, Kind::Ring).await;
        if fault == Some(Fault::FailBefore) {
            return Err(QueueError("planned".to_owned()));
        }
        let answer = call.await;
        if answer.as_ref().is_ok_and(&changes) {
            self.probe.changed();
        }
        if fault.is_some() {
            return Err(QueueError("planned, after its effect".to_owned()));
        }
        answer
    }
}

#[async_trait]
impl Queue for FaultyQueue {
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError> {
        self.around("push", self.queue.push(ids, end), |()| true).await
    }

    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        self.around("pop", self.queue.pop(limit, end, wait), |popped| !popped.is_empty()).await
    }

    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        self.around("pop_exits", self.queue.pop_exits(limit, wait), |popped| !popped.is_empty()).await
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        self.around("depth", self.queue.depth(lane), |_| false).await
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        self.around("replace", self.queue.replace(lane, ids), |()| true).await
    }
}

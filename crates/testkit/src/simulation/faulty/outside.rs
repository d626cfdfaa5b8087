//! Venue, chain, history, market data and queue.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, Book, Market, OrderId, OrderPlan, Shares, Timestamp, TokenId, TradingAccount, ids::IntentId,
};
use engine::ports::{
    detection::{Lane, QueuedIntent},
    queue::{End, Queue, QueueError},
    venue::{
        BlockHeader, ChainEvent, ChainReader, HistoryResponse, MarketData, OrderGateway, OrderLookup,
        OrderQuery, PostReply, PreparedOrder, TradeHistory, VenueError,
    },
};

use super::super::{
    probe::{Actor, Fault, Kind, LATE, Probe},
    venue::Venue,
};

/// The outside world as one actor sees it.
pub struct FaultyVenue {
    /// Answers look-ups, prepares and posts.
    pub gateway: Arc<dyn OrderGateway>,
    /// Answers about the chain.
    pub chain: Arc<dyn ChainReader>,
    /// Answers about wallets.
    pub history: Arc<dyn TradeHistory>,
    /// Answers about markets.
    pub markets: Arc<dyn MarketData>,
    /// The venue, for bytes that arrive late.
    pub venue: Arc<Venue>,
    /// The faults.
    pub probe: Arc<Probe>,
    /// Who calls.
    pub actor: Actor,
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
    PostReply::Unknown { text: "connection reset".to_owned() }
}

#[async_trait]
impl OrderGateway for FaultyVenue {
    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        match self.ask("prepare").await {
            Ok(()) => self.gateway.prepare(plans).await,
            Err(error) => plans.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, deadline: Duration) -> PostReply {
        match self.probe.pass(self.actor, "post", Kind::Post).await {
            None => self.gateway.post(account, order, deadline).await,
            Some(Fault::FailAfter) => {
                self.gateway.post(account, order, deadline).await;
                unknown()
            }
            Some(Fault::HangAfter) => {
                self.gateway.post(account, order, deadline).await;
                pending().await
            }
            Some(Fault::CrashAfter) => {
                self.gateway.post(account, order, deadline).await;
                self.probe.crash(self.actor).await
            }
            Some(Fault::Late) => {
                self.venue.deliver_later(&order.body, LATE);
                pending().await
            }
            Some(Fault::NotNow) => {
                PostReply::NotAccepted { retry_after: None, text: "service not ready".to_owned() }
            }
            Some(_) => unknown(),
        }
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        self.ask("look_up").await?;
        self.gateway.look_up(account, query).await
    }

    async fn cancel(&self, account: &TradingAccount, order: OrderId) -> Result<(), VenueError> {
        self.ask("cancel").await?;
        self.gateway.cancel(account, order).await
    }
}

#[async_trait]
impl ChainReader for FaultyVenue {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        self.ask("head").await?;
        self.chain.head().await
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.ask("finalized").await?;
        self.chain.finalized().await
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        self.ask("header").await?;
        self.chain.header(number).await
    }

    async fn block_events(&self, block: &BlockHeader) -> Result<Vec<ChainEvent>, VenueError> {
        self.ask("block_events").await?;
        self.chain.block_events(block).await
    }

    async fn range_events(&self, from: i64, to: i64) -> Result<Vec<ChainEvent>, VenueError> {
        self.ask("range_events").await?;
        self.chain.range_events(from, to).await
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        self.ask("balances").await?;
        self.chain.balances(queries, block).await
    }
}

#[async_trait]
impl TradeHistory for FaultyVenue {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<Vec<HistoryResponse>, VenueError> {
        self.ask("activity").await?;
        self.history.activity(wallet, since).await
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.ask("positions").await?;
        self.history.positions(wallet).await
    }
}

#[async_trait]
impl MarketData for FaultyVenue {
    async fn market(&self, token: TokenId) -> Result<Option<Market>, VenueError> {
        self.ask("market").await?;
        self.markets.market(token).await
    }

    async fn book(&self, token: TokenId) -> Result<Option<Book>, VenueError> {
        self.ask("book").await?;
        self.markets.book(token).await
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

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        self.around("depth", self.queue.depth(lane), |_| false).await
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        self.around("replace", self.queue.replace(lane, ids), |()| true).await
    }
}

//! Wrong gateways, chains, histories and queues.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, OrderId, OrderPlan, Rounding, Shares, Timestamp, TokenId, TradingAccount, TxHash, Usd,
    ids::{AccountId, IntentId},
};
use engine::ports::{
    detection::{Lane, QueuedIntent},
    feeds::{AccountEvent, AccountFeed, AccountNews, FeedHealth},
    live::{LiveChannel, LiveFeed, LiveNews, LiveTrade},
    queue::{End, Queue, QueueError},
    venue::{
        BlockHeader, ChainEvent, ChainEventKind, ChainFill, ChainMove, ChainReader, Counterparty, History,
        HistoryKind, HistoryResponse, OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes,
        PreparedOrder, SettlementStatus, TradeHistory, VenueError,
    },
    witness::{ExitClaim, Testimony},
};

use super::super::{
    over::{ChainLayer, GatewayLayer, Over},
    tampering::Bench,
};

/// Bugs outside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutsideBug {
    /// Answers an unknown outcome with a fresh salt.
    SignsAnew,
    /// Takes the answers to several orders of one request for answers to the wrong ones.
    MixesAnswersUp,
    /// Takes one order of a request that was taken for all of them taken.
    OneAnswerForAll,
    /// Joins pages before counting.
    CountsOverPages,
    /// Reads every log twice, under two indices.
    ReadsLogsTwice,
    /// Takes what an exchange moved for what the venue's contracts took and gave.
    CountsFillsAsMoves,
    /// Takes a transfer to anybody for a merge.
    SellsTransfers,
    /// Reads logs without their fee.
    ForgetsFee,
    /// Never hears that a settlement failed.
    NoFailure,
    /// Takes the word of one provider for that of two.
    BelievesOneProvider,
    /// Adds to the queue, which it believes to be empty.
    FloodsQueue,
    /// Takes each message of the live feed for another one.
    CountsMessagesTwice,
    /// Finds what was announced in the next block.
    MinesHints,
    /// Takes from both lanes where exits alone are asked for.
    TakesEntries,
    /// Takes a frame that tells of a match for another trade than the one it knows.
    RenamesMatches,
}

/// Puts the bug in its place.
pub(super) fn tamper(bug: OutsideBug, bench: Bench) -> Bench {
    match bug {
        OutsideBug::SignsAnew
        | OutsideBug::NoFailure
        | OutsideBug::MixesAnswersUp
        | OutsideBug::OneAnswerForAll => {
            Bench { gateway: Arc::new(Over(WrongGateway { bug, inner: bench.gateway })), ..bench }
        }
        OutsideBug::CountsOverPages => {
            Bench { history: Arc::new(WrongHistory { inner: bench.history }), ..bench }
        }
        OutsideBug::ReadsLogsTwice
        | OutsideBug::ForgetsFee
        | OutsideBug::BelievesOneProvider
        | OutsideBug::CountsFillsAsMoves
        | OutsideBug::SellsTransfers => {
            Bench { chain: Arc::new(Over(WrongChain { bug, inner: bench.chain })), ..bench }
        }
        OutsideBug::RenamesMatches => Bench { feed: Arc::new(WrongFeed { inner: bench.feed }), ..bench },
        OutsideBug::FloodsQueue | OutsideBug::TakesEntries => {
            Bench { queue: Arc::new(WrongQueue { bug, inner: bench.queue }), ..bench }
        }
        OutsideBug::CountsMessagesTwice => {
            let live = WrongLive { inner: bench.live, messages: AtomicI64::new(0) };
            Bench { live: Arc::new(live), ..bench }
        }
        OutsideBug::MinesHints => {
            let (live, heard) = (bench.live, Arc::<Mutex<Vec<LiveTrade>>>::default());
            let chain = Over(HintedChain { inner: bench.chain, heard: heard.clone() });
            Bench { live: Arc::new(Overheard { inner: live, heard }), chain: Arc::new(chain), ..bench }
        }
    }
}

/// A gateway with a bug.
struct WrongGateway {
    bug: OutsideBug,
    inner: Arc<dyn OrderGateway>,
}

#[async_trait]
impl GatewayLayer for WrongGateway {
    fn inner(&self) -> &dyn OrderGateway {
        self.inner.as_ref()
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let reply = self.inner.post(account, order, times).await;
        if self.bug != OutsideBug::SignsAnew || !matches!(reply, PostReply::Unknown { .. }) {
            return reply;
        }
        let Ok(mut plan) = serde_json::from_slice::<OrderPlan>(&order.body) else { return reply };
        plan.salt += 1;
        match self.inner.prepare(&[plan]).await.pop() {
            Some(Ok(again)) => self.inner.post(account, &again, times).await,
            _ => reply,
        }
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        let mut found = self.inner.look_up(account, query).await?;
        if self.bug == OutsideBug::NoFailure {
            for trade in &mut found.trades {
                trade.status = SettlementStatus::Confirmed;
            }
        }
        Ok(found)
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        if self.bug != OutsideBug::SignsAnew {
            let mut replies = self.inner.post_batch(account, lane, orders, times).await;
            match self.bug {
                OutsideBug::MixesAnswersUp => replies.reverse(),
                OutsideBug::OneAnswerForAll => {
                    let taken = replies.iter().find(|reply| matches!(reply, PostReply::Accepted(_))).cloned();
                    if let Some(taken) = taken {
                        replies.fill(taken);
                    }
                }
                _ => {}
            }
            return replies;
        }
        let mut replies = Vec::with_capacity(orders.len());
        for order in orders {
            replies.push(self.post(account, order, times).await);
        }
        replies
    }
}

/// A history with a bug.
struct WrongHistory {
    inner: Arc<dyn TradeHistory>,
}

#[async_trait]
impl TradeHistory for WrongHistory {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        let History { responses, gap } = self.inner.activity(wallet, since).await?;
        let rows = responses.into_iter().flat_map(|page| page.rows).collect();
        Ok(History { responses: vec![HistoryResponse { rows }], gap })
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.inner.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.inner.held(wallet, token, since).await
    }
}

/// A chain with a bug.
struct WrongChain {
    bug: OutsideBug,
    inner: Arc<dyn ChainReader>,
}

/// The movement of a fill, as an exchange makes it.
fn exchanged(event: ChainEvent) -> Option<ChainEvent> {
    let ChainEventKind::Fill(fill) = event.kind else { return None };
    let ChainFill { wallet, token, side, shares, .. } = fill;
    let moved = ChainMove { wallet, token, side, shares, with: Counterparty::Exchange };
    Some(ChainEvent { kind: ChainEventKind::Move(moved), ..event })
}

impl WrongChain {
    fn takes_for_venue(&self, with: Counterparty) -> bool {
        match self.bug {
            OutsideBug::CountsFillsAsMoves => with == Counterparty::Exchange,
            OutsideBug::SellsTransfers => with == Counterparty::Other,
            _ => false,
        }
    }

    fn wrong(&self, mut events: Vec<ChainEvent>) -> Vec<ChainEvent> {
        if self.bug == OutsideBug::ReadsLogsTwice {
            let again = events.clone().into_iter();
            events.extend(again.map(|event| ChainEvent { log_index: event.log_index + 500, ..event }));
            return events;
        }
        for event in &mut events {
            match &mut event.kind {
                ChainEventKind::Fill(fill) if self.bug == OutsideBug::ForgetsFee => fill.fee = Usd::ZERO,
                ChainEventKind::Move(moved) if self.takes_for_venue(moved.with) => {
                    moved.with = Counterparty::Venue;
                }
                _ => {}
            }
        }
        if self.bug == OutsideBug::CountsFillsAsMoves {
            // The fill stays explained, and its movement is counted beside it.
            events.extend(events.clone().into_iter().filter_map(exchanged));
        }
        events
    }
}

#[async_trait]
impl ChainLayer for WrongChain {
    fn inner(&self) -> &dyn ChainReader {
        self.inner.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.inner.block_events(block, wallets).await.map(|events| self.wrong(events))
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.inner.range_events(from, to, wallets).await.map(|events| self.wrong(events))
    }

    async fn witness(&self, claim: &ExitClaim) -> Result<Testimony, VenueError> {
        if self.bug == OutsideBug::BelievesOneProvider {
            return Ok(Testimony::Agreed);
        }
        self.inner.witness(claim).await
    }
}

/// A feed with a bug.
struct WrongFeed {
    inner: Arc<dyn AccountFeed>,
}

#[async_trait]
impl AccountFeed for WrongFeed {
    fn follow(&self, accounts: &[TradingAccount]) {
        self.inner.follow(accounts);
    }

    async fn next(&self, limit: usize) -> Vec<AccountNews> {
        let mut news = self.inner.next(limit).await;
        for one in &mut news {
            let AccountEvent::Order { facts, .. } = &mut one.what else { continue };
            for trade in facts.trades.iter_mut().filter(|trade| trade.status == SettlementStatus::Matched) {
                trade.id.push_str(" again");
            }
        }
        news
    }

    fn hears(&self, account: AccountId) -> bool {
        self.inner.hears(account)
    }

    fn health(&self) -> FeedHealth {
        self.inner.health()
    }
}

/// A live feed whose messages never look the same.
struct WrongLive {
    inner: Arc<dyn LiveFeed>,
    messages: AtomicI64,
}

#[async_trait]
impl LiveFeed for WrongLive {
    fn follow(&self, wallets: &BTreeSet<Address>) {
        self.inner.follow(wallets);
    }

    async fn next(&self, limit: usize) -> Vec<LiveNews> {
        let mut news = self.inner.next(limit).await;
        for one in &mut news {
            if let LiveNews::Trade(trade) = one
                && let HistoryKind::Trade { price, .. } = &mut trade.row.kind
            {
                price.0 -= self.messages.fetch_add(1, Ordering::Relaxed);
            }
        }
        news
    }

    fn health(&self) -> FeedHealth {
        self.inner.health()
    }
}

/// A live feed that somebody else listens to.
struct Overheard {
    inner: Arc<dyn LiveFeed>,
    heard: Arc<Mutex<Vec<LiveTrade>>>,
}

#[async_trait]
impl LiveFeed for Overheard {
    fn follow(&self, wallets: &BTreeSet<Address>) {
        self.inner.follow(wallets);
    }

    async fn next(&self, limit: usize) -> Vec<LiveNews> {
        let news = self.inner.next(limit).await;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for one in &news {
            if let LiveNews::Trade(trade) = one
                && !heard.contains(trade)
                && trade.channel == LiveChannel::Trades
            {
                heard.push(trade.clone());
            }
        }
        news
    }

    fn health(&self) -> FeedHealth {
        self.inner.health()
    }
}

/// A chain in whose next block is what the feed told.
struct HintedChain {
    inner: Arc<dyn ChainReader>,
    heard: Arc<Mutex<Vec<LiveTrade>>>,
}

#[async_trait]
impl ChainLayer for HintedChain {
    fn inner(&self) -> &dyn ChainReader {
        self.inner.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let mut events = self.inner.block_events(block, wallets).await?;
        let known: BTreeSet<TxHash> = events.iter().map(|event| event.tx).collect();
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let told = heard.into_iter().filter(|trade| !known.contains(&trade.row.tx)).zip(1_000..);
        events.extend(told.filter_map(|(trade, log_index)| {
            let HistoryKind::Trade { token, side, shares, price } = trade.row.kind else { return None };
            let (order, wallet, tx) = (OrderId(trade.row.tx.0), trade.row.wallet, trade.row.tx);
            let usd = price.cost(shares, Rounding::Down).ok()?;
            let fill = ChainFill { order, wallet, maker: false, token, side, shares, usd, fee: Usd::ZERO };
            let kind = ChainEventKind::Fill(fill);
            Some(ChainEvent { block: block.number, block_hash: block.hash, log_index, tx, kind })
        }));
        Ok(events)
    }
}

/// A queue with a bug.
struct WrongQueue {
    bug: OutsideBug,
    inner: Arc<dyn Queue>,
}

#[async_trait]
impl Queue for WrongQueue {
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError> {
        self.inner.push(ids, end).await
    }

    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        self.inner.pop(limit, end, wait).await
    }

    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        if self.bug == OutsideBug::TakesEntries {
            return self.inner.pop(limit, End::Serving, wait).await;
        }
        self.inner.pop_exits(limit, wait).await
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        if self.bug == OutsideBug::FloodsQueue { Ok(0) } else { self.inner.depth(lane).await }
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        if self.bug != OutsideBug::FloodsQueue {
            return self.inner.replace(lane, ids).await;
        }
        let queued: Vec<_> = ids.iter().map(|id| QueuedIntent { id: *id, lane }).collect();
        self.inner.push(&queued, End::Far).await
    }
}

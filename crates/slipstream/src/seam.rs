//! The seam between paper and live: an account's orders go to the venue or are filled on paper, by the name of its key
//! and by nothing else. Everything before it is the same for both.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{ConditionId, OrderPlan, Price, Redemption, TokenId, TradingAccount, ids::AccountId};
use engine::ports::{
    detection::Lane,
    feeds::{AccountFeed, AccountNews, FeedHealth},
    venue::{
        Admission, Ask, Cancel, Cancelled, OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes,
        PreparedOrder, VenueError,
    },
    wallets::{Redeemer, Taken, TransactionOutcome, WalletTransaction},
};

/// The gateway of an installation.
pub struct Seam {
    paper: Arc<dyn OrderGateway>,
    /// The venue; `None` while live trading is switched off.
    live: Option<Arc<dyn OrderGateway>>,
}

const OFF: &str = "live trading is switched off";

fn off() -> VenueError {
    VenueError::NotSigned { what: "orders of a live account".to_owned(), reason: OFF.to_owned() }
}

impl Seam {
    /// Orders of throw-away keys go to `paper`, all others to `live`.
    #[must_use]
    pub fn new(paper: Arc<dyn OrderGateway>, live: Option<Arc<dyn OrderGateway>>) -> Self {
        Self { paper, live }
    }

    fn of(&self, account: &TradingAccount) -> Option<&Arc<dyn OrderGateway>> {
        if paper::is_paper(&account.key) { Some(&self.paper) } else { self.live.as_ref() }
    }
}

/// Nothing was sent: as if the venue took no orders now.
fn not_sent() -> PostReply {
    PostReply::NotAccepted { retry_after: None, text: format!("not sent: {OFF}") }
}

#[async_trait]
impl OrderGateway for Seam {
    async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        self.live.as_ref().unwrap_or(&self.paper).admit(asks, patience).await
    }

    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        let split = |on_paper| {
            let of = move |plan: &&OrderPlan| paper::is_paper(&plan.account.key) == on_paper;
            plans.iter().filter(of).cloned().collect::<Vec<_>>()
        };
        let (on_paper, for_live) = (split(true), split(false));
        let mut paper = self.paper.prepare(&on_paper).await.into_iter();
        let live = match &self.live {
            Some(live) if !for_live.is_empty() => live.prepare(&for_live).await,
            _ => for_live.iter().map(|_| Err(off())).collect(),
        };
        let mut live = live.into_iter();
        let next = |plan: &OrderPlan| {
            let next = if paper::is_paper(&plan.account.key) { paper.next() } else { live.next() };
            next.unwrap_or_else(|| Err(off()))
        };
        plans.iter().map(next).collect()
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        match self.of(account) {
            Some(gateway) => gateway.post(account, order, times).await,
            None => not_sent(),
        }
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        match self.of(account) {
            Some(gateway) => gateway.post_batch(account, lane, orders, times).await,
            None => orders.iter().map(|_| not_sent()).collect(),
        }
    }

    async fn look_up(&self, account: &TradingAccount, order: &OrderQuery) -> Result<OrderLookup, VenueError> {
        self.of(account).ok_or_else(off)?.look_up(account, order).await
    }

    async fn look_again(&self, account: &TradingAccount, token: Option<TokenId>) -> Result<(), VenueError> {
        self.of(account).ok_or_else(off)?.look_again(account, token).await
    }

    async fn trades_here(&self) -> Result<bool, VenueError> {
        self.live.as_ref().ok_or_else(off)?.trades_here().await
    }

    async fn cancel(&self, account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError> {
        self.of(account).ok_or_else(off)?.cancel(account, what).await
    }
}

/// The redeemer of an installation: on paper by the venue's word, else by transactions, where they can be made.
pub struct SeamOfPayouts {
    paper: Arc<dyn Redeemer>,
    live: Option<Arc<dyn Redeemer>>,
}

impl SeamOfPayouts {
    /// Shares of throw-away keys are paid by `paper`, all others by `live`.
    #[must_use]
    pub fn new(paper: Arc<dyn Redeemer>, live: Option<Arc<dyn Redeemer>>) -> Self {
        Self { paper, live }
    }

    fn of(&self, account: &TradingAccount) -> &Arc<dyn Redeemer> {
        // The redeemer of paper refuses to make a transaction.
        self.live.as_ref().filter(|_| !paper::is_paper(&account.key)).unwrap_or(&self.paper)
    }
}

#[async_trait]
impl Redeemer for SeamOfPayouts {
    async fn payouts(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError> {
        self.live.as_ref().unwrap_or(&self.paper).payouts(condition).await
    }

    fn is_on_chain(&self, account: &TradingAccount) -> bool {
        self.of(account).is_on_chain(account)
    }

    async fn prepare(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        tokens: &[TokenId],
    ) -> Result<Option<WalletTransaction>, VenueError> {
        self.of(account).prepare(account, redemption, tokens).await
    }

    async fn outbid(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        waiting: &WalletTransaction,
    ) -> Result<Option<WalletTransaction>, VenueError> {
        self.of(account).outbid(account, redemption, waiting).await
    }

    async fn send(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
    ) -> Result<Taken, VenueError> {
        self.of(account).send(account, transaction).await
    }

    async fn outcome(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
        relayer_id: Option<&str>,
    ) -> Result<TransactionOutcome, VenueError> {
        self.of(account).outcome(account, transaction, relayer_id).await
    }
}

/// The venue's user channels without paper accounts: those have no login there, and nothing would be told of them.
pub struct LiveAccounts(pub Arc<dyn AccountFeed>);

#[async_trait]
impl AccountFeed for LiveAccounts {
    fn follow(&self, accounts: &[TradingAccount]) {
        let live = accounts.iter().filter(|account| !paper::is_paper(&account.key));
        self.0.follow(&live.cloned().collect::<Vec<_>>());
    }

    async fn next(&self, limit: usize) -> Vec<AccountNews> {
        self.0.next(limit).await
    }

    fn hears(&self, account: AccountId) -> bool {
        self.0.hears(account)
    }

    fn health(&self) -> FeedHealth {
        self.0.health()
    }
}

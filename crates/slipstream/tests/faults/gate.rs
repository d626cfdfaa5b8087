//! The venue adapter with turnstiles, so that a test can do something at an exact moment: after an order was
//! signed and before it is committed, after it was committed and before it is sent, before it is looked up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{OrderPlan, TokenId, TradingAccount};
use engine::ports::{
    detection::Lane,
    venue::{
        Admission, Ask, Cancel, Cancelled, OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes,
        PreparedOrder, VenueError,
    },
};
use tokio::sync::watch;

/// Stops whoever passes while it is closed.
pub struct Turnstile {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    passed: AtomicUsize,
}

impl Turnstile {
    fn new() -> Self {
        Self { open: watch::Sender::new(true), waiting: watch::Sender::new(0), passed: AtomicUsize::new(0) }
    }

    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Whether somebody stands before it.
    pub fn is_reached(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    /// How often somebody came to it.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.subscribe();
        if *open.borrow() {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        // An error means that the test is over.
        let _ = open.wait_for(|open| *open).await;
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// A gateway with turnstiles.
pub struct Gate {
    inner: Arc<dyn OrderGateway>,
    pub signed: Turnstile,
    pub committed: Turnstile,
    pub looks_up: Turnstile,
}

impl Gate {
    pub fn new(inner: Arc<dyn OrderGateway>) -> Self {
        let [signed, committed, looks_up] = std::array::from_fn(|_| Turnstile::new());
        Self { inner, signed, committed, looks_up }
    }
}

#[async_trait]
impl OrderGateway for Gate {
    async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        self.inner.admit(asks, patience).await
    }

    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        let prepared = self.inner.prepare(plans).await;
        self.signed.pass().await;
        prepared
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        self.committed.pass().await;
        self.inner.post(account, order, times).await
    }

    async fn look_up(&self, account: &TradingAccount, order: &OrderQuery) -> Result<OrderLookup, VenueError> {
        self.looks_up.pass().await;
        self.inner.look_up(account, order).await
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        self.committed.pass().await;
        self.inner.post_batch(account, lane, orders, times).await
    }

    async fn look_again(&self, account: &TradingAccount, token: Option<TokenId>) -> Result<(), VenueError> {
        self.inner.look_again(account, token).await
    }

    async fn trades_here(&self) -> Result<bool, VenueError> {
        self.inner.trades_here().await
    }

    async fn cancel(&self, account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError> {
        self.inner.cancel(account, what).await
    }
}

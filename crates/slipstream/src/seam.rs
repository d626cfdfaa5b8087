//! The seam between paper and live: an account's orders go to the venue or are filled on paper, by the name of its key
//! and by nothing else. Everything before it is the same for both.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{ConditionId, OrderPlan, Price, Redemption, Timestamp, TokenId, TradingAccount, ids::AccountId};
use engine::ports::{
    detection::Lane,
    feeds::{AccountFeed, AccountNews, FeedHealth},
    venue::{
        Admission, Ask, Cancel, Cancelled, FoundOrder, OrderGateway, OrderLookup, OrderQuery, PostReply,
        PostTimes, PreparedOrder, VenueError,
    },
    wallets::{Redeemer, Taken, TransactionOutcome, WalletTransaction},
};
use operations::flags::{Flags, LIVE_ENTRIES, PAPER_ENTRIES};

use crate::breakers::VenueBreakers;

/// The gateway of an installation.
pub struct Seam {
    paper: Arc<dyn OrderGateway>,
    /// The venue; `None` while live trading is switched off.
    live: Option<Arc<dyn OrderGateway>>,
    /// What stops entries while the venue does badly.
    breakers: Option<VenueBreakers>,
    /// What operators let through.
    flags: Arc<Flags>,
}

/// An entry that is stopped is looked at again after this time at the earliest, until it is too old: put off in the store, it
/// stands in nobody's way.
const FLAG_WAIT: Duration = engine::limits::ADMISSION_SOON.saturating_add(Duration::from_millis(1));

const OFF: &str = "live trading is switched off";

fn off() -> VenueError {
    VenueError::NotSigned { what: "orders of a live account".to_owned(), reason: OFF.to_owned() }
}

impl Seam {
    /// Orders of throw-away keys go to `paper`, all others to `live`.
    #[must_use]
    pub fn new(paper: Arc<dyn OrderGateway>, live: Option<Arc<dyn OrderGateway>>) -> Self {
        Self { paper, live, breakers: None, flags: Arc::default() }
    }

    /// Entries wait while these are open.
    #[must_use]
    pub fn stopped_by(self, breakers: VenueBreakers) -> Self {
        Self { breakers: Some(breakers), ..self }
    }

    /// Entries wait while these do not let their account through.
    #[must_use]
    pub fn by_flags(self, flags: Arc<Flags>) -> Self {
        Self { flags, ..self }
    }

    /// How long an entry waits for an operator's word, or for the venue to be well again. Exits never do.
    fn stopped(&self, ask: &Ask) -> Option<Duration> {
        if ask.lane != Lane::Entries {
            return None;
        }
        let on_paper = paper::is_paper(&ask.key);
        let flag = if on_paper { PAPER_ENTRIES } else { LIVE_ENTRIES };
        if !self.flags.lets(flag, &ask.signer.0) {
            return Some(FLAG_WAIT);
        }
        self.breakers.as_ref()?.stops_entry(on_paper).map(|wait| wait.max(FLAG_WAIT))
    }

    /// Tokens for those that nothing stops.
    async fn tokens(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        let Some(live) = &self.live else { return self.paper.admit(asks, patience).await };
        // What is filled on paper takes nothing of what the venue allows, and waits for nobody.
        let for_venue: Vec<Ask> = asks.iter().filter(|ask| !paper::is_paper(&ask.key)).cloned().collect();
        let patience = if for_venue.len() < asks.len() { Duration::ZERO } else { patience };
        let admitted = match for_venue.as_slice() {
            [] => Vec::new(),
            some => live.admit(some, patience).await,
        };
        let mut admitted = admitted.into_iter();
        let next = |ask: &Ask| match paper::is_paper(&ask.key) {
            true => Admission::Now,
            false => admitted.next().unwrap_or(Admission::Later(patience)),
        };
        asks.iter().map(next).collect()
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
        let stopped: Vec<Option<Duration>> = asks.iter().map(|ask| self.stopped(ask)).collect();
        let pass = asks.iter().zip(&stopped).filter(|(_, wait)| wait.is_none());
        let pass: Vec<Ask> = pass.map(|(ask, _)| ask.clone()).collect();
        let tokens = if pass.is_empty() { Vec::new() } else { self.tokens(&pass, patience).await };
        let mut tokens = tokens.into_iter();
        let answer = |wait: Option<Duration>| match wait {
            Some(wait) => Admission::Later(wait),
            None => tokens.next().unwrap_or(Admission::Later(patience)),
        };
        stopped.into_iter().map(answer).collect()
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

    async fn orders_since(
        &self,
        account: &TradingAccount,
        since: Timestamp,
    ) -> Result<Vec<FoundOrder>, VenueError> {
        self.of(account).ok_or_else(off)?.orders_since(account, since).await
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use domain::{Address, KeyRef, ids::OwnerId};
    use operations::flags::Flag;
    use polymarket::{AnswerWatch as _, End, Topic};
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    /// A venue whose limits are used up; it notes who asked, and for how long they would wait.
    #[derive(Default)]
    struct UsedUp(Mutex<Vec<(Vec<KeyRef>, Duration)>>);

    const WAIT: Duration = Duration::from_secs(9);

    #[async_trait]
    impl OrderGateway for UsedUp {
        async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
            self.0.lock().unwrap().push((asks.iter().map(|ask| ask.key.clone()).collect(), patience));
            asks.iter().map(|_| Admission::Later(WAIT)).collect()
        }

        async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
            plans.iter().map(|_| Err(off())).collect()
        }

        async fn post(&self, _: &TradingAccount, _: &PreparedOrder, _: PostTimes) -> PostReply {
            not_sent()
        }

        async fn post_batch(
            &self,
            _: &TradingAccount,
            _: Lane,
            orders: &[PreparedOrder],
            _: PostTimes,
        ) -> Vec<PostReply> {
            orders.iter().map(|_| not_sent()).collect()
        }

        async fn look_up(&self, _: &TradingAccount, _: &OrderQuery) -> Result<OrderLookup, VenueError> {
            Err(off())
        }

        async fn cancel(&self, _: &TradingAccount, _: &Cancel) -> Result<Cancelled, VenueError> {
            Err(off())
        }
    }

    /// Many follow on paper: they take none of the tokens that entries with real money wait for.
    #[tokio::test]
    async fn paper_takes_nothing_of_the_venue_s_limits() {
        let (paper, venue) = (Arc::new(UsedUp::default()), Arc::new(UsedUp::default()));
        let seam = Seam::new(Arc::clone(&paper) as _, Some(Arc::clone(&venue) as _));
        let ask = |key: &str| Ask {
            owner: OwnerId(1),
            key: KeyRef(key.to_owned()),
            signer: Address([1; 20]),
            lane: Lane::Entries,
        };
        let (on_paper, live) = (ask("paper:one:1"), ask("live:0x01"));
        let patience = Duration::from_millis(250);
        let admitted = seam.admit(&[on_paper.clone(), live.clone(), on_paper.clone()], patience).await;
        assert_eq!(admitted, [Admission::Now, Admission::Later(WAIT), Admission::Now]);
        assert_eq!(seam.admit(&[on_paper], patience).await, [Admission::Now]);
        assert_eq!(seam.admit(std::slice::from_ref(&live), patience).await, [Admission::Later(WAIT)]);
        let asked = venue.0.lock().unwrap().clone();
        assert_eq!(asked, [(vec![live.key.clone()], Duration::ZERO), (vec![live.key], patience)]);
        assert!(paper.0.lock().unwrap().is_empty());
    }

    /// A venue that is not reached costs an entry its time; what a follower holds can still be sold.
    #[tokio::test]
    async fn an_open_breaker_stops_entries_and_no_exit() {
        let (paper, venue) = (Arc::new(UsedUp::default()), Arc::new(UsedUp::default()));
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let breakers = VenueBreakers::new(Arc::clone(&clock) as _, 1);
        let seam = Seam::new(paper, Some(Arc::clone(&venue) as _)).stopped_by(breakers.clone());
        let ask = |key: &str, lane| Ask {
            owner: OwnerId(1),
            key: KeyRef(key.to_owned()),
            signer: Address([1; 20]),
            lane,
        };
        let asks = [
            ask("paper:one:1", Lane::Entries),
            ask("paper:one:1", Lane::Exits),
            ask("live:0x01", Lane::Entries),
        ];
        let admitted = seam.admit(&asks, Duration::ZERO).await;
        assert_eq!(admitted, [Admission::Now, Admission::Now, Admission::Later(WAIT)]);
        (0..5).for_each(|_| breakers.ended(Topic::Books, End::Unreachable, Duration::ZERO));
        let admitted = seam.admit(&asks, Duration::ZERO).await;
        assert!(matches!(admitted[0], Admission::Later(wait) if wait != WAIT), "{admitted:?}");
        assert_eq!(admitted[1], Admission::Now);
        assert!(matches!(admitted[2], Admission::Later(wait) if wait != WAIT), "{admitted:?}");
        assert_eq!(venue.0.lock().unwrap().len(), 1, "the venue's limits were not asked");
    }

    #[tokio::test]
    async fn a_flag_stops_entries_of_its_kind_and_no_exit() {
        let (paper, venue, flags) =
            (Arc::new(UsedUp::default()), Arc::new(UsedUp::default()), Arc::<Flags>::default());
        let seam = Seam::new(paper, Some(Arc::clone(&venue) as _)).by_flags(Arc::clone(&flags));
        let ask = |key: &str, lane| Ask {
            owner: OwnerId(1),
            key: KeyRef(key.to_owned()),
            signer: Address([1; 20]),
            lane,
        };
        let asks = [
            ask("paper:one:1", Lane::Entries),
            ask("live:0x01", Lane::Entries),
            ask("live:0x01", Lane::Exits),
        ];
        let (who, reason) = (String::new(), String::new());
        let name = LIVE_ENTRIES.name.to_owned();
        flags.learn(&[Flag { name, percent: 0, at: Timestamp(0), who, reason }]);
        let admitted = seam.admit(&asks, Duration::ZERO).await;
        let (now, flag, venue) = (Admission::Now, Admission::Later(FLAG_WAIT), Admission::Later(WAIT));
        assert_eq!(admitted, [now, flag, venue]);
    }
}

//! Transactions of wallets that are open: sent again, outbid, and ended by evidence, in virtual time.

#![cfg(test)]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Book, Clock, ConditionId, KeyRef, Market, OrderPlan, Price, Redemption, Timestamp, TokenId,
    TradingAccount, TxHash, WalletKind, clock::Sleep,
};
use engine::{
    limits,
    ports::{
        detection::Lane,
        following::{AccountMode, Following as _, HoldCause, HoldScope, NewAccount, NewHold},
        reports::Reports as _,
        store::{EventKind, Store},
        venue::{
            Cancel, Cancelled, MarketData, OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes,
            PreparedOrder, VenueError,
        },
        wallets::{
            Fees, NewTransaction, Redeemer, Taken, TransactionOutcome, TransactionState, WalletTransaction,
            WalletTransactions as _,
        },
    },
    redeeming::Redeeming,
};
use testkit::{executor::block_on, memory_store::MemoryStore};

/// Time that passes when the test says so; nobody waits.
struct Hand(Mutex<Duration>);

impl Hand {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000).plus(self.uptime())
    }

    fn uptime(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// Nobody holds anything, so nobody asks.
struct NoMarkets;

#[async_trait]
impl MarketData for NoMarkets {
    async fn market(&self, token: TokenId, _: Lane) -> Result<Option<Market>, VenueError> {
        panic!("asked for {token}");
    }

    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        panic!("asked for {condition}");
    }

    async fn book(&self, token: TokenId, _: Lane) -> Result<Option<Book>, VenueError> {
        panic!("asked for {token}");
    }
}

type Outcome = Result<TransactionOutcome, VenueError>;
type Answers = Box<dyn Fn(&WalletTransaction) -> Outcome + Send>;

/// Answers as told, and remembers what was sent.
struct Outside {
    outcome: Mutex<Answers>,
    sent: Mutex<Vec<Vec<u8>>>,
    taken: Mutex<Result<Taken, VenueError>>,
}

#[async_trait]
impl Redeemer for Outside {
    async fn payouts(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError> {
        panic!("asked for {condition}");
    }

    async fn prepare(
        &self,
        _: &TradingAccount,
        _: Redemption,
        _: &[TokenId],
    ) -> Result<Option<WalletTransaction>, VenueError> {
        panic!("nothing new is to be signed");
    }

    async fn outbid(
        &self,
        account: &TradingAccount,
        _: Redemption,
        waiting: &WalletTransaction,
    ) -> Result<Option<WalletTransaction>, VenueError> {
        let Some(fees) = waiting.fees.filter(|_| account.kind == WalletKind::Eoa) else { return Ok(None) };
        let body = [&waiting.body[..], b"+"].concat();
        let fees = Fees { most: fees.most * 2, tip: fees.tip * 2 };
        let tx = Some(TxHash([u8::try_from(body.len()).unwrap(); 32]));
        Ok(Some(WalletTransaction { body, fees: Some(fees), tx, ..waiting.clone() }))
    }

    async fn send(&self, _: &TradingAccount, sent: &WalletTransaction) -> Result<Taken, VenueError> {
        self.sent.lock().unwrap().push(sent.body.clone());
        self.taken.lock().unwrap().clone()
    }

    async fn outcome(&self, _: &TradingAccount, of: &WalletTransaction, _: Option<&str>) -> Outcome {
        self.outcome.lock().unwrap()(of)
    }
}

/// A store with one open transaction, and whoever looks after it.
struct Scene {
    store: Arc<MemoryStore>,
    clock: Arc<Hand>,
    outside: Arc<Outside>,
    redeeming: Redeeming,
}

fn unseen(_: &WalletTransaction) -> Outcome {
    Ok(TransactionOutcome::Unseen)
}

impl Scene {
    fn new(kind: WalletKind) -> Self {
        let clock = Arc::new(Hand(Mutex::new(Duration::ZERO)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let now = clock.now();
        let new = NewAccount {
            label: "a".to_owned(),
            mode: AccountMode::Paper,
            wallet: Address([5; 20]),
            signer: Address([5; 20]),
            kind,
            key: KeyRef("k".to_owned()),
            cap: None,
        };
        let owner = block_on(store.add_owner("o", now)).unwrap();
        let account = block_on(store.add_account(owner, &new, now)).unwrap();
        let fees = (kind == WalletKind::Eoa).then_some(Fees { most: 60, tip: 25 });
        let (body, tx) = (b"bytes".to_vec(), Some(TxHash([5; 32])));
        let transaction = WalletTransaction { nonce: 4, body, tx, fees, expires_at: None };
        let redemption = Redemption::Ordinary(ConditionId::from_slice(&[7; 32]).unwrap());
        let new = NewTransaction { account, redemption, attempt: 0, transaction, signed_at: now };
        block_on(store.commit_transaction(&new)).unwrap().unwrap();
        let outside = Arc::new(Outside {
            outcome: Mutex::new(Box::new(unseen)),
            sent: Mutex::default(),
            taken: Mutex::new(Ok(Taken::Yes(None))),
        });
        let ports = (Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&clock) as Arc<dyn Clock>);
        let redeeming = Redeeming::new(ports.0, Arc::new(NoMarkets), Arc::clone(&outside) as _, ports.1);
        Self { store, clock, outside, redeeming }
    }

    fn outcome(&self, outcome: impl Fn(&WalletTransaction) -> Outcome + Send + 'static) {
        *self.outside.outcome.lock().unwrap() = Box::new(outcome);
    }

    /// One look after this much time.
    fn after(&mut self, time: Duration) {
        self.clock.pass(time);
        block_on(self.redeeming.round()).unwrap();
    }

    fn sent(&self) -> Vec<String> {
        let sent = self.outside.sent.lock().unwrap();
        sent.iter().map(|body| String::from_utf8(body.clone()).unwrap()).collect()
    }

    fn states(&self) -> Vec<(u32, TransactionState)> {
        let newest = block_on(self.store.newest_transactions(None, 99)).unwrap();
        newest.iter().rev().map(|record| (record.attempt, record.state)).collect()
    }

    /// What people were told.
    fn told(&self) -> Vec<(TransactionState, String)> {
        let events = block_on(self.store.events_after(0, 999)).unwrap();
        let told = events.into_iter().filter_map(|(_, event)| match event.kind {
            EventKind::WalletTransaction { state, reason, .. } => Some((state, reason)),
            _ => None,
        });
        told.collect()
    }
}

/// Counts how often it is told to look at a wallet again; nothing else is asked of it.
#[derive(Default)]
struct Told(Mutex<Vec<TradingAccount>>);

#[async_trait]
impl OrderGateway for Told {
    async fn prepare(&self, _: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        panic!("nothing is ordered");
    }

    async fn post(&self, _: &TradingAccount, _: &PreparedOrder, _: PostTimes) -> PostReply {
        panic!("nothing is ordered");
    }

    async fn post_batch(
        &self,
        _: &TradingAccount,
        _: Lane,
        _: &[PreparedOrder],
        _: PostTimes,
    ) -> Vec<PostReply> {
        panic!("nothing is ordered");
    }

    async fn look_up(&self, _: &TradingAccount, _: &OrderQuery) -> Result<OrderLookup, VenueError> {
        panic!("nothing is ordered");
    }

    async fn cancel(&self, _: &TradingAccount, _: &Cancel) -> Result<Cancelled, VenueError> {
        panic!("nothing is ordered");
    }

    async fn look_again(&self, account: &TradingAccount, token: Option<TokenId>) -> Result<(), VenueError> {
        assert_eq!(token, None, "what came is money");
        self.0.lock().unwrap().push(account.clone());
        Ok(())
    }
}

/// The venue does not notice by itself what was paid out: it is made to look once, when the payout is final.
#[test]
fn the_venue_looks_at_a_wallet_again_when_it_was_paid() {
    let mut scene = Scene::new(WalletKind::Safe);
    let told = Arc::new(Told::default());
    let redeeming = std::mem::replace(&mut scene.redeeming, Scene::new(WalletKind::Safe).redeeming);
    scene.redeeming = redeeming.telling(Arc::clone(&told) as _);
    scene.after(Duration::ZERO);
    assert_eq!(told.0.lock().unwrap().len(), 0, "nothing is paid yet");
    scene.outcome(|of| Ok(TransactionOutcome::Confirmed(of.tx.unwrap())));
    for _ in 0..3 {
        scene.after(limits::TRANSACTION_LAST);
    }
    let told = told.0.lock().unwrap();
    assert_eq!((told.len(), told[0].wallet), (1, Address([5; 20])));
}

#[test]
fn what_nobody_knows_is_sent_again_and_again_the_same_bytes() {
    let mut scene = Scene::new(WalletKind::Safe);
    for _ in 0..20 {
        scene.after(limits::TRANSACTION_LAST);
    }
    assert!(scene.sent().len() > 10 && scene.sent().iter().all(|sent| sent == "bytes"), "{:?}", scene.sent());
    assert_eq!(scene.states(), [(0, TransactionState::Taken)]);
    // Others pay, so there is nothing to raise; it is told once.
    let told = scene.told();
    assert!(told.len() == 1 && told[0].1.contains("open for"), "{told:?}");
    scene.outcome(|_| Ok(TransactionOutcome::Confirmed(TxHash([1; 32]))));
    scene.after(limits::TRANSACTION_LAST);
    assert_eq!(scene.states(), [(0, TransactionState::Confirmed)]);
}

#[test]
fn an_eoa_offers_more_for_the_same_nonce_and_either_may_be_carried_out() {
    for winner in ["bytes", "bytes+"] {
        let mut scene = Scene::new(WalletKind::Eoa);
        scene.after(Duration::ZERO);
        assert_eq!(scene.sent(), ["bytes"]);
        scene.after(limits::TRANSACTION_STUCK);
        assert_eq!(scene.sent(), ["bytes", "bytes+"]);
        assert_eq!(scene.states(), [(0, TransactionState::Taken), (1, TransactionState::Taken)]);
        let told = scene.told();
        assert!(told.len() == 1 && told[0].1.contains("offered again at 120 wei"), "{told:?}");
        scene.outcome(move |of| match of.body == winner.as_bytes() {
            true => Ok(TransactionOutcome::Confirmed(of.tx.unwrap())),
            false => Ok(TransactionOutcome::Replaced),
        });
        scene.after(limits::TRANSACTION_LAST);
        let mut states = scene.states();
        states.sort_by_key(|(_, state)| *state != TransactionState::Confirmed);
        let carried = u32::from(winner == "bytes+");
        assert_eq!(
            states,
            [(carried, TransactionState::Confirmed), (1 - carried, TransactionState::Replaced)]
        );
        scene.after(limits::TRANSACTION_STUCK);
        assert_eq!(scene.sent().len(), 2, "nothing is sent once it is known");
    }
}

/// What was signed is sent again, whatever is held; another fee is another signature.
#[test]
fn nothing_is_signed_anew_for_an_account_whose_exits_are_held() {
    let mut scene = Scene::new(WalletKind::Eoa);
    scene.after(Duration::ZERO);
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Operator,
        reason: "a panic".to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    let hold = block_on(scene.store.place_hold(None, &hold, scene.clock.now())).unwrap();
    scene.after(limits::TRANSACTION_STUCK);
    assert_eq!(scene.sent(), ["bytes", "bytes"]);
    block_on(scene.store.lift_hold(None, hold, scene.clock.now())).unwrap();
    scene.after(limits::TRANSACTION_STUCK);
    assert_eq!(scene.sent().last().unwrap(), "bytes+");
}

#[test]
fn fees_are_raised_a_bounded_number_of_times() {
    let mut scene = Scene::new(WalletKind::Eoa);
    for _ in 0..40 {
        scene.after(limits::TRANSACTION_STUCK);
    }
    let newest = scene.states().into_iter().map(|(attempt, _)| attempt).max();
    assert_eq!(newest, Some(limits::FEE_ATTEMPTS));
}

#[test]
fn a_refusal_ends_only_what_nobody_has_taken() {
    let refused = || Err(VenueError::Refused { what: "send".to_owned(), reason: "no gas".to_owned() });
    let mut scene = Scene::new(WalletKind::Eoa);
    *scene.outside.taken.lock().unwrap() = refused();
    scene.after(Duration::ZERO);
    assert_eq!(scene.states(), [(0, TransactionState::Failed)]);
    assert_eq!(scene.told(), [(TransactionState::Failed, "no gas".to_owned())]);

    // First unseen; but by the time of the refusal it is in a block.
    let mut scene = Scene::new(WalletKind::Eoa);
    *scene.outside.taken.lock().unwrap() = refused();
    let asked = Mutex::new(0);
    scene.outcome(move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        Ok(if *asked == 1 { TransactionOutcome::Unseen } else { TransactionOutcome::Underway })
    });
    scene.after(Duration::ZERO);
    assert_eq!(scene.states(), [(0, TransactionState::Signed)]);
    scene.after(limits::TRANSACTION_LAST);
    assert_eq!(scene.states(), [(0, TransactionState::Taken)]);

    // A higher bid is refused: the lower one is still out, and may be carried out.
    let mut scene = Scene::new(WalletKind::Eoa);
    scene.after(Duration::ZERO);
    *scene.outside.taken.lock().unwrap() = refused();
    scene.after(limits::TRANSACTION_STUCK);
    assert_eq!(scene.states(), [(0, TransactionState::Taken), (1, TransactionState::Signed)]);
    scene.outcome(|of| match of.body == b"bytes" {
        true => Ok(TransactionOutcome::Confirmed(of.tx.unwrap())),
        false => Ok(TransactionOutcome::Replaced),
    });
    scene.after(limits::TRANSACTION_LAST);
    assert_eq!(scene.states(), [(0, TransactionState::Confirmed), (1, TransactionState::Replaced)]);
}

#[test]
fn failures_and_lost_nonces_are_told_and_silence_ends_nothing() {
    let ends = [
        (TransactionOutcome::Failed("undone".to_owned()), TransactionState::Failed),
        (TransactionOutcome::Replaced, TransactionState::Replaced),
    ];
    for (outcome, state) in ends {
        let mut scene = Scene::new(WalletKind::Deposit);
        let silent = VenueError::Timeout { what: "outcome".to_owned(), after: Duration::from_secs(30) };
        scene.outcome(move |_| Err(silent.clone()));
        for _ in 0..9 {
            scene.after(limits::TRANSACTION_LAST);
        }
        assert!(scene.sent().is_empty(), "while nobody answers nothing is sent");
        assert_eq!((scene.states(), scene.told().len()), (vec![(0, TransactionState::Signed)], 1));
        scene.outcome(move |_| Ok(outcome.clone()));
        scene.after(limits::TRANSACTION_LAST);
        assert_eq!(scene.states(), [(0, state)]);
        assert_eq!(scene.told().last().map(|(told, _)| *told), Some(state));
        assert!(scene.sent().is_empty());
    }
}

//! Resolved shares that the engine redeems by itself, for every kind of wallet.

use domain::{Address, Price, Shares, Side, Usd, money::ONE};
use engine::ports::{
    execution::LedgerCause,
    following::{Account, HoldCause, HoldScope, NewHold},
    store::EventKind,
    wallets::TransactionState,
};
use simulator::world::{
    control::Redeemers,
    faults::{Fault, FaultKind, FaultTarget},
    ledger::Asset,
};

use crate::scene::{Has, Scene, Setup, until, whole};

/// One follower of each kind.
const KINDS: usize = 4;

/// Every kind of wallet holds ten shares, and the engine redeems. Nothing is resolved yet.
async fn holding(setup: Setup) -> Scene {
    let scene = Scene::set(Setup { followers: KINDS, redeem: true, ..setup }).await;
    scene.leader_buys();
    scene.decided(KINDS).await;
    scene.settled().await;
    scene
}

impl Scene {
    fn resolve(&self, payouts: [Price; 2]) {
        let condition = &self.market.condition;
        self.world.with(|world, _| world.resolve(condition, payouts, &Redeemers::None)).expect("resolved");
    }

    fn break_relayer(&self, kind: FaultKind, depth: u64) {
        let fault = Fault { target: FaultTarget::Relayer, kind, count: 1, delay_ms: 0, depth };
        assert!(self.world.with(|world, _| world.faults.push(fault)), "{kind:?} breaks the relayer");
    }

    /// How often a wallet redeemed, as the venue's history shows it.
    fn redemptions(&self, wallet: Address) -> usize {
        self.world.with(|world, now| {
            let rows = world.visible_rows(Some(wallet), now);
            rows.filter(|(_, row)| row.row.kind.name() == "REDEEM").count()
        })
    }

    /// States of all transactions of wallets, oldest first.
    async fn transactions(&self) -> Vec<TransactionState> {
        let mut newest = self.store.newest_transactions(None, 100).await.expect("transactions");
        newest.reverse();
        newest.into_iter().map(|record| record.state).collect()
    }

    /// Waits until everybody has a dollar for each share, once, and nothing is open.
    async fn all_paid(&self) {
        until("everything is paid", async || {
            for follower in 0..KINDS {
                if self.has(follower).await.shares != Shares::ZERO {
                    return false;
                }
            }
            self.store.open_transactions().await.expect("transactions").is_empty()
        })
        .await;
        for follower in 0..KINDS {
            let (has, wallet) = (self.has(follower).await, self.followers[follower].wallet);
            let cash = Has::copied().cash.0 + 10 * ONE;
            assert_eq!((has.cash, has.cost), (Usd(cash), Usd::ZERO), "follower {follower}");
            let balance = self.world.with(|world, _| world.balance(wallet, Asset::Collateral));
            assert_eq!(balance, cash, "the chain has as much of follower {follower}");
            assert_eq!(self.redemptions(wallet), 1, "follower {follower}");
        }
        let paid = self.ledger().await.into_iter().filter(|(cause, _)| *cause == LedgerCause::Redeemed);
        assert_eq!(paid.collect::<Vec<_>>(), [(LedgerCause::Redeemed, whole(-10)); KINDS]);
    }
}

/// What is held altogether does nothing by itself, not even for its good; when the hold is lifted it is paid.
#[tokio::test]
async fn an_account_whose_exits_are_held_redeems_nothing_meanwhile() {
    let scene = holding(Setup::default()).await;
    let accounts = scene.store.accounts(None).await.expect("accounts");
    let of = |account: &&Account| account.trading.wallet == scene.followers[0].wallet;
    let account = accounts.iter().find(of).expect("an account").trading.id;
    let hold = NewHold {
        scope: HoldScope::Account(account),
        cause: HoldCause::Operator,
        reason: "a look at it".to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    let hold = scene.store.place_hold(None, &hold, scene.clock.now()).await.expect("a hold");
    scene.resolve([Price(ONE), Price(0)]);
    until("the others are paid", async || {
        for follower in 1..KINDS {
            if scene.has(follower).await.shares != Shares::ZERO {
                return false;
            }
        }
        true
    })
    .await;
    assert_eq!(scene.redemptions(scene.followers[0].wallet), 0);
    assert_eq!(scene.transactions().await.len(), KINDS - 1, "nothing was signed for it");
    scene.store.lift_hold(None, hold, scene.clock.now()).await.expect("no hold");
    scene.all_paid().await;
    scene.finish().await;
}

#[tokio::test]
async fn every_kind_of_wallet_is_paid_once() {
    for neg_risk in [false, true] {
        let scene = holding(Setup { neg_risk, ..Setup::default() }).await;
        scene.resolve([Price(ONE), Price(0)]);
        scene.all_paid().await;
        assert_eq!(scene.transactions().await, [TransactionState::Confirmed; KINDS]);
        scene.finish().await;
    }
}

/// The third exchange, its shares and their redemption, as far as the contracts' source tells of it: copied, left in part
/// when the leader does, and paid.
#[tokio::test]
async fn shares_of_the_v3_era_are_copied_left_and_redeemed() {
    let scene = holding(Setup { v3: true, ..Setup::default() }).await;
    assert!(scene.market.tokens[0].is_v3());
    for follower in 0..KINDS {
        assert_eq!(scene.has(follower).await, Has::copied(), "follower {follower}");
    }
    scene.leader_trades(&[(Side::Sell, 50, 49)]);
    scene.decided(2 * KINDS).await;
    scene.settled().await;
    let left: Vec<Has> =
        [scene.has(0).await, scene.has(1).await, scene.has(2).await, scene.has(3).await].into();
    assert_eq!(left.iter().map(|has| has.shares).collect::<Vec<_>>(), [whole(5); KINDS]);
    scene.resolve([Price(ONE), Price(0)]);
    for (follower, before) in left.into_iter().enumerate() {
        until("it is paid", async || scene.has(follower).await.shares == Shares::ZERO).await;
        let (has, wallet) = (scene.has(follower).await, scene.followers[follower].wallet);
        assert_eq!(has.cash, Usd(before.cash.0 + 5 * ONE), "follower {follower}");
        let balance = scene.world.with(|world, _| world.balance(wallet, Asset::Collateral));
        assert_eq!(balance, has.cash.0, "the chain has as much of follower {follower}");
    }
    until("nothing is open", async || {
        scene.store.open_transactions().await.expect("transactions").is_empty()
    })
    .await;
    assert_eq!(scene.transactions().await, [TransactionState::Confirmed; KINDS]);
    scene.finish().await;
}

#[tokio::test]
async fn what_pays_nothing_needs_no_transaction() {
    let scene = holding(Setup::default()).await;
    scene.resolve([Price(0), Price(ONE)]);
    let lost = async || {
        let ledger = scene.ledger().await;
        ledger.into_iter().filter(|(cause, _)| *cause == LedgerCause::Worthless).collect::<Vec<_>>()
    };
    until("all losses are booked", async || lost().await.len() == KINDS).await;
    assert_eq!(lost().await, [(LedgerCause::Worthless, whole(-10)); KINDS]);
    let copied = Has::copied();
    let has = scene.has(1).await;
    assert_eq!((has.cash, has.realised), (copied.cash, Usd(-copied.cost.0)));
    assert!(scene.transactions().await.is_empty());
    scene.finish().await;
}

#[tokio::test]
async fn replies_of_the_relayer_that_are_lost() {
    let scene = holding(Setup::default()).await;
    scene.break_relayer(FaultKind::AcceptThenDrop, 0);
    scene.break_relayer(FaultKind::Error500After, 0);
    scene.break_relayer(FaultKind::TruncateReply, 0);
    scene.resolve([Price(ONE), Price(0)]);
    scene.all_paid().await;
    assert_eq!(scene.transactions().await, [TransactionState::Confirmed; KINDS]);
    assert_eq!(scene.world.with(|world, _| world.relayer().records().len()), KINDS - 1);
    scene.finish().await;
}

#[tokio::test]
async fn a_relayer_that_is_down_and_comes_back() {
    let scene = holding(Setup::default()).await;
    for kind in [FaultKind::DropBefore, FaultKind::Error500Before, FaultKind::TooManyRequests] {
        scene.break_relayer(kind, 0);
        scene.break_relayer(kind, 0);
    }
    scene.resolve([Price(ONE), Price(0)]);
    scene.all_paid().await;
    // The same bytes until they were taken.
    assert_eq!(scene.transactions().await, [TransactionState::Confirmed; KINDS]);
    scene.finish().await;
}

#[tokio::test]
async fn a_relayed_transaction_that_fails_is_told_and_tried_again() {
    let scene = holding(Setup::default()).await;
    scene.break_relayer(FaultKind::Failed, 0);
    scene.resolve([Price(ONE), Price(0)]);
    scene.all_paid().await;
    let mut states = scene.transactions().await;
    states.sort_by_key(|state| *state == TransactionState::Failed);
    assert_eq!(states[..KINDS], [TransactionState::Confirmed; KINDS]);
    assert_eq!(states[KINDS..], [TransactionState::Failed]);
    let events = scene.store.events_after(0, 10_000).await.expect("events");
    let told = events.iter().filter(|(_, event)| {
        matches!(event.kind, EventKind::WalletTransaction { state: TransactionState::Failed, .. })
    });
    assert_eq!(told.count(), 1);
    scene.finish().await;
}

#[tokio::test]
async fn an_eoa_whose_reply_is_lost() {
    let scene = holding(Setup::default()).await;
    let fault = Fault {
        target: FaultTarget::Chain,
        kind: FaultKind::AcceptThenDrop,
        count: 1,
        delay_ms: 0,
        depth: 0,
    };
    assert!(scene.world.with(|world, _| world.faults.push(fault)));
    scene.resolve([Price(ONE), Price(0)]);
    scene.all_paid().await;
    assert_eq!(scene.transactions().await, [TransactionState::Confirmed; KINDS]);
    scene.finish().await;
}

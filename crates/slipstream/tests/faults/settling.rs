//! What can go wrong between match and finality, with the leader's transactions and with ours.

use domain::{
    Side, TxHash,
    lifecycle::{OrderAlarm, OrderState},
    money::ONE,
    skip::SkipReason,
    trade::GroupState,
};
use engine::ports::{execution::LedgerCause, store::EventKind};
use simulator::world::{faults::FaultKind, journal::TradeStatus, ledger::Asset};
use slipstream::demo::setup::DEPOSIT;

use crate::scene::{Has, Scene, Setup, until, whole};

/// One order, confirmed, booked once; the venue executed it once.
async fn is_copied_once(scene: &Scene) {
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted, seen[0].filled_maker), (1, 1, 5 * ONE));
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10))], "booked once");
}

fn reversed(events: &[EventKind]) -> usize {
    let is_reversal =
        |event: &&EventKind| matches!(event, EventKind::OrderAlarm { alarm: OrderAlarm::Reversed, .. });
    events.iter().filter(is_reversal).count()
}

#[tokio::test]
async fn settlement_is_tried_again_under_another_hash() {
    let scene = Scene::usual().await;
    scene.fault(FaultKind::Retrying, 1);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    is_copied_once(&scene).await;
    assert_eq!(reversed(&scene.events().await), 0);
    scene.finish().await;
}

#[tokio::test]
async fn settlement_fails() {
    let scene = Scene::usual().await;
    scene.fault(FaultKind::Failed, 1);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Failed]);
    assert_eq!(scene.has(0).await, Has::untouched(), "position and cash as before");
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10)), (LedgerCause::Reversal, whole(-10))]);
    assert_eq!(reversed(&scene.events().await), 1, "a person is told once");
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted), (1, 1));
    assert_eq!(seen[0].trades.iter().map(|trade| trade.status).collect::<Vec<_>>(), [TradeStatus::Failed]);
    let wallet = scene.followers[0].wallet;
    assert_eq!(scene.world.with(|world, _| world.balance(wallet, Asset::Collateral)), DEPOSIT.0);
    scene.finish().await;
}

/// The leader bought and the copy is at the venue, in a block of its own choice: not mined yet.
async fn leader_mined_copy_matched() -> (Scene, TxHash) {
    let scene = Scene::manual().await;
    let tx = scene.leader_buys();
    scene.decided(1).await;
    until("the copy is matched", async || scene.states().await == [OrderState::Matched]).await;
    (scene, tx)
}

#[tokio::test]
async fn the_leaders_transaction_disappears() {
    let (scene, tx) = leader_mined_copy_matched().await;
    scene.reorganise(1, &[tx], &[], &[]);
    scene.settled().await;
    assert_eq!(scene.skips().await, [None], "no second decision");
    is_copied_once(&scene).await;
    let group = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!(group.state, GroupState::Overcounted);
    let said = |event: &&EventKind| matches!(event, EventKind::Overcounted { key } if key.tx == tx);
    assert_eq!(scene.events().await.iter().filter(said).count(), 1);
    scene.finish().await;
}

#[tokio::test]
async fn the_leaders_transaction_comes_back_later() {
    let (scene, tx) = leader_mined_copy_matched().await;
    let block = scene.group(tx, Side::Buy).await.expect("a group").block.expect("a block");
    scene.reorganise(1, &[], &[], &[tx]);
    scene.settled().await;
    assert_eq!(scene.skips().await, [None], "no second decision");
    is_copied_once(&scene).await;
    let group = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!(group.state, GroupState::Final);
    assert!(group.block.is_some_and(|now| now > block), "it is in a later block");
    scene.finish().await;
}

#[tokio::test]
async fn the_leaders_transaction_comes_back_under_another_hash() {
    let (scene, tx) = leader_mined_copy_matched().await;
    scene.reorganise(1, &[], &[tx], &[]);
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::MaySettle)], "swallowed, and recorded");
    is_copied_once(&scene).await;
    let old = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!((old.state, old.given), (GroupState::Overcounted, old.decided));

    // What was swallowed is swallowed once: the next trade is copied.
    scene.leader_buys();
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.skips().await[2], None);
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    assert_eq!(scene.seen().len(), 2);
    scene.finish().await;
}

#[tokio::test]
async fn the_same_transaction_in_another_block() {
    let (scene, tx) = leader_mined_copy_matched().await;
    // Nothing is named: the same transactions at other log indices.
    scene.reorganise(1, &[], &[], &[]);
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    is_copied_once(&scene).await;
    assert_eq!(scene.group(tx, Side::Buy).await.map(|group| group.state), Some(GroupState::Final));
    scene.finish().await;
}

/// The copy is in a block that is not final. Also says its transaction.
async fn copy_mined() -> (Scene, TxHash) {
    let (scene, _) = leader_mined_copy_matched().await;
    scene.mine();
    until("the copy is mined", async || scene.states().await == [OrderState::Mined]).await;
    assert_eq!(scene.has(0).await, Has::copied());
    let tx = scene.seen()[0].trades[0].tx.expect("mined");
    (scene, tx)
}

#[tokio::test]
async fn our_transaction_disappears() {
    let (scene, tx) = copy_mined().await;
    scene.reorganise(1, &[tx], &[], &[]);
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Failed]);
    assert_eq!(scene.has(0).await, Has::untouched());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10)), (LedgerCause::Reversal, whole(-10))]);
    assert_eq!(scene.seen()[0].trades[0].status, TradeStatus::Failed);
    scene.finish().await;
}

#[tokio::test]
async fn our_transaction_comes_back_later() {
    let (scene, tx) = copy_mined().await;
    scene.reorganise(1, &[], &[], &[tx]);
    scene.settled().await;
    is_copied_once(&scene).await;
    scene.finish().await;
}

#[tokio::test]
async fn our_transaction_comes_back_under_another_hash() {
    let (scene, tx) = copy_mined().await;
    scene.reorganise(1, &[], &[tx], &[]);
    scene.settled().await;
    is_copied_once(&scene).await;
    assert_ne!(scene.seen()[0].trades[0].tx, Some(tx));
    scene.finish().await;
}

#[tokio::test]
async fn two_fills_in_one_transaction_are_one_trade() {
    let scene = Scene::usual().await;
    let tx = scene.leader_trades(&[(Side::Buy, 60, 50), (Side::Buy, 40, 50)]);
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    is_copied_once(&scene).await;
    let group = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!((group.parts, group.decided.0), (1, 100 * ONE));
    scene.finish().await;
}

#[tokio::test]
async fn seen_in_the_data_api_before_the_chain() {
    let scene = Scene::set(Setup { history: true, ..Setup::default() }).await;
    // The provider's head stands still while the venue's history goes on.
    scene.world.with(|world, _| world.stall_head(true));
    let tx = scene.leader_buys();
    scene.decided(1).await;
    let hinted = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!((hinted.chain, hinted.history.shares.0), (None, 100 * ONE));
    scene.world.with(|world, _| world.stall_head(false));
    scene.settled().await;
    assert_eq!(scene.skips().await, [None], "the chain adds nothing to the hint");
    let known = scene.group(tx, Side::Buy).await.expect("a group");
    assert_eq!(known.chain.map(|chain| chain.shares.0), Some(100 * ONE));
    assert_eq!(known.state, GroupState::Final);
    is_copied_once(&scene).await;
    scene.finish().await;
}

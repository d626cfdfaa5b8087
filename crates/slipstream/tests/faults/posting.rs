//! What can go wrong with the post of an order.

use domain::{lifecycle::OrderState, money::ONE};
use engine::{limits::ENTRY_RESEND, ports::execution::LedgerCause};
use simulator::world::faults::{Fault, FaultKind, FaultTarget};

use crate::scene::{Has, Scene, Setup, whole};

/// One trade of the leader under a fault: copied once, whatever the venue answered.
async fn is_copied_once(fault: FaultKind, delay_ms: u64) {
    let scene = Scene::usual().await;
    scene.delayed_fault(fault, 1, delay_ms);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;

    assert_eq!(scene.skips().await, [None], "one decision, to copy");
    let orders = scene.orders().await;
    assert_eq!(orders.len(), 1, "one order was signed");
    assert_eq!(orders[0].state, OrderState::Confirmed);
    let seen = scene.seen();
    assert_eq!(seen.len(), 1, "the venue saw one order");
    assert_eq!(seen[0].id, orders[0].order.id);
    assert_eq!(seen[0].posts.accepted, 1);
    assert_eq!(seen[0].posts.refused + seen[0].posts.killed, 0);
    assert_eq!((seen[0].filled_maker, seen[0].filled_taker), (5 * ONE, 10 * ONE));
    assert_eq!(seen[0].trades.len(), 1);
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10))], "booked once");
    let happened = scene.world.with(|world, _| world.faults.happened().get(&fault).copied());
    assert_eq!(happened, Some(1), "the fault happened");
    scene.finish().await;
}

/// Whoever shared a batch with an account whose login hung missed every trade, and was told nothing.
#[tokio::test]
async fn a_login_that_hangs_makes_nobody_else_miss_a_trade() {
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    let (target, kind) = (FaultTarget::Login, FaultKind::Slow);
    let slow = Fault { target, kind, count: 1, delay_ms: 7_000, depth: 0 };
    assert!(scene.world.with(|world, _| world.faults.push(slow)));
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    let orders = scene.orders().await;
    let mut waited: Vec<_> = orders
        .iter()
        .map(|order| order.times.sent.expect("it was sent").since(order.intent.decided_at))
        .collect();
    waited.sort_unstable();
    assert!(waited[0] < ENTRY_RESEND && waited[1] > ENTRY_RESEND, "{waited:?}");
    scene.check().await;
    scene.finish().await;
}

#[tokio::test]
async fn accepted_then_the_connection_drops() {
    is_copied_once(FaultKind::AcceptThenDrop, 0).await;
}

#[tokio::test]
async fn dropped_before_anything_was_read() {
    is_copied_once(FaultKind::DropBefore, 0).await;
}

#[tokio::test]
async fn error_500_before_the_order_is_taken() {
    is_copied_once(FaultKind::Error500Before, 0).await;
}

#[tokio::test]
async fn error_500_after_the_order_was_taken() {
    is_copied_once(FaultKind::Error500After, 0).await;
}

#[tokio::test]
async fn order_timed_out_and_was_not_taken() {
    is_copied_once(FaultKind::TimedOutText, 0).await;
}

#[tokio::test]
async fn order_timed_out_and_was_taken() {
    is_copied_once(FaultKind::TimedOutTextAfter, 0).await;
}

#[tokio::test]
async fn a_slow_reply() {
    is_copied_once(FaultKind::Slow, 2_000).await;
}

#[tokio::test]
async fn a_reply_that_breaks_off() {
    is_copied_once(FaultKind::TruncateReply, 0).await;
}

#[tokio::test]
async fn taken_only_after_the_connection_was_closed() {
    // The venue comes to it while the same bytes are sent again: one of the two is a duplicate.
    let scene = Scene::usual().await;
    scene.delayed_fault(FaultKind::AcceptLate, 1, 1_500);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted, seen[0].filled_maker), (1, 1, 5 * ONE));
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10))]);
    scene.finish().await;
}

#[tokio::test]
async fn asked_to_slow_down_once_the_same_bytes_go_again() {
    is_copied_once(FaultKind::TooManyRequests, 0).await;
}

/// An entry that the venue does not take within the deadline of its bytes is missed, and nothing stays.
async fn is_missed(fault: FaultKind, count: u32) {
    let scene = Scene::usual().await;
    scene.fault(fault, count);
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.states().await, [OrderState::Missed]);
    assert!(scene.seen().is_empty(), "the venue never took it");
    assert_eq!(scene.has(0).await, Has::untouched());
    assert!(scene.ledger().await.is_empty());

    // The next trade is copied as if nothing had been.
    scene.world.with(|world, _| world.faults.clear());
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Missed, OrderState::Confirmed]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn asked_to_slow_down_for_too_long() {
    is_missed(FaultKind::TooManyRequests, 1_000).await;
}

#[tokio::test]
async fn the_matching_engine_restarts() {
    // The venue says "in 5 seconds", which is as long as the bytes may be sent.
    is_missed(FaultKind::TooEarly, 1).await;
}

#[tokio::test]
async fn the_money_is_gone() {
    let scene = Scene::usual().await;
    let wallet = scene.followers[0].wallet;
    scene.world.with(|world, _| {
        world.credit(
            wallet,
            simulator::world::ledger::Asset::Collateral,
            -slipstream::demo::setup::DEPOSIT.0,
        );
    });
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.refused, seen[0].filled_maker), (1, 1, 0));
    assert!(seen[0].last_error.as_ref().is_some_and(|text| text.contains("not enough balance")));
    assert_eq!(scene.has(0).await, Has::untouched(), "the reservation is given back");
    scene.finish().await;
}

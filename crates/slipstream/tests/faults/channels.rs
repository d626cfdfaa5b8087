//! What the venue tells by itself, and every way in which that can go wrong: the books end as without it.

use domain::{Price, Side, lifecycle::OrderState, money::ONE, skip::SkipReason};
use engine::ports::execution::LedgerCause;
use simulator::{
    Knobs,
    world::{
        control::Redeemers,
        faults::{Fault, FaultKind, FaultTarget},
    },
};

use crate::scene::{Has, Scene, Setup, condition, until, whole};

/// How long the venue holds an order back before it matches it: time to listen.
const HELD_BACK_MS: u64 = 500;

/// A venue that answers `delayed`, and an engine that listens. Blocks are made by the test.
async fn delayed() -> Scene {
    let knobs = Knobs { data_lag_ms: 0, fak_delay_ms: HELD_BACK_MS, ..Knobs::default() };
    Scene::set(Setup { block_ms: 0, channels: true, knobs, ..Setup::default() }).await
}

fn break_frames(scene: &Scene, kind: FaultKind, count: u32) {
    let fault = Fault { target: FaultTarget::UserSocket, kind, count, delay_ms: 0, depth: 0 };
    assert!(scene.world.with(|world, _| world.faults.push(fault)));
}

fn happened(scene: &Scene, kind: FaultKind) -> bool {
    scene.world.with(|world, _| world.faults.happened().contains_key(&kind))
}

/// The leader's trade is copied, and nothing more: by our books and by the venue's.
async fn is_copied_once(scene: Scene) {
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted, seen[0].filled_maker), (1, 1, 5 * ONE));
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10))], "booked once");
    scene.gate.looks_up.open();
    scene.finish().await;
}

#[tokio::test]
async fn frames_alone_book_an_order() {
    let scene = delayed().await;
    scene.gate.looks_up.close();
    scene.leader_buys();
    until("a frame tells of the match", async || scene.states().await == [OrderState::Matched]).await;
    assert_eq!(scene.has(0).await, Has::copied(), "with the fee, before any block");
    is_copied_once(scene).await;
}

#[tokio::test]
async fn frames_alone_twice_and_out_of_order() {
    for (kind, count) in [(FaultKind::Duplicate, 20), (FaultKind::Reorder, 1)] {
        let scene = delayed().await;
        break_frames(&scene, kind, count);
        scene.gate.looks_up.close();
        scene.leader_buys();
        until("a frame tells of the match", async || scene.states().await == [OrderState::Matched]).await;
        assert!(happened(&scene, kind), "{kind:?}");
        is_copied_once(scene).await;
    }
}

#[tokio::test]
async fn look_ups_alone_book_an_order_whose_channel_says_nothing() {
    let scene = delayed().await;
    break_frames(&scene, FaultKind::Stall, 100);
    scene.leader_buys();
    until("a look-up tells of the match", async || scene.states().await == [OrderState::Matched]).await;
    is_copied_once(scene).await;
}

#[tokio::test]
async fn both_with_every_fault_of_a_socket() {
    // A missed pong needs ten quiet seconds: the socket client's own tests have it.
    for kind in [
        FaultKind::Stall,
        FaultKind::Malformed,
        FaultKind::Duplicate,
        FaultKind::Reorder,
        FaultKind::Disconnect,
        FaultKind::SlowReader,
        FaultKind::Oversized,
    ] {
        let scene = delayed().await;
        break_frames(&scene, kind, 2);
        scene.leader_buys();
        until("it happened", async || happened(&scene, kind)).await;
        is_copied_once(scene).await;
    }
}

#[tokio::test]
async fn a_failed_settlement_is_reversed_by_its_frame() {
    let scene = delayed().await;
    scene.fault(FaultKind::Failed, 1);
    scene.gate.looks_up.close();
    scene.leader_buys();
    until("a frame tells of the match", async || scene.states().await == [OrderState::Matched]).await;
    scene.mine();
    until("a frame tells of the failure", async || scene.states().await == [OrderState::Failed]).await;
    assert_eq!(scene.has(0).await, Has::untouched());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10)), (LedgerCause::Reversal, whole(-10))]);
    scene.gate.looks_up.open();
    scene.finish().await;
}

#[tokio::test]
async fn settlement_is_tried_again_under_another_hash_by_frames_alone() {
    let scene = delayed().await;
    scene.fault(FaultKind::Retrying, 1);
    scene.gate.looks_up.close();
    scene.leader_buys();
    until("a frame tells of the match", async || scene.states().await == [OrderState::Matched]).await;
    let told = scene.orders().await[0].trades[0].tx;
    scene.mine();
    until("a frame tells of it", async || scene.states().await == [OrderState::Retrying]).await;
    scene.mine();
    until("a frame tells of another hash", async || {
        let tx = scene.orders().await[0].trades[0].tx;
        tx.is_some() && tx != told
    })
    .await;
    is_copied_once(scene).await;
}

#[tokio::test]
async fn channels_open_only_for_open_outcomes() {
    let scene = Scene::set(Setup { channels: true, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    assert!(!scene.listens(), "the reply said all");
    scene.world.with(|world, _| world.knobs.fak_delay_ms = HELD_BACK_MS);
    scene.leader_buys();
    until("somebody listens", async || scene.listens()).await;
    scene.finish().await;
}

/// Orders are made on the price grid of now, without asking for it.
#[tokio::test]
async fn a_changed_tick_takes_effect_by_its_frame() {
    let scene = Scene::set(Setup { channels: true, ..Setup::default() }).await;
    scene.book(48, 49);
    scene.leader_trades(&[(Side::Buy, 100, 49)]);
    scene.decided(1).await;
    scene.settled().await;
    until("the book is put together", async || {
        scene.book_health().is_some_and(|health| health.feed.events > 0)
    })
    .await;
    let events = scene.book_health().map(|health| health.feed.events);
    scene.world.with(|world, _| world.set_tick(&condition(), Price(1_000))).expect("a finer grid");
    until("its frame came", async || scene.book_health().map(|health| health.feed.events) > events).await;
    scene.leader_trades(&[(Side::Buy, 100, 49)]);
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    // Rules are remembered for longer than this test takes: only the frame can have told.
    let on_cents: Vec<_> = scene.orders().await.iter().map(|order| order.limit.0 % 10_000 == 0).collect();
    assert_eq!(on_cents, [true, false], "two per cent above 0.49, on cents and on tenths of them");
    scene.finish().await;
}

/// A resolution is told by its frame, long before anybody would ask for the market's rules again: nothing is ordered there
/// any more.
#[tokio::test]
async fn a_resolution_takes_effect_by_its_frame() {
    let scene = Scene::set(Setup { channels: true, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    until("the book is put together", async || {
        scene.book_health().is_some_and(|health| health.feed.events > 0)
    })
    .await;
    let events = scene.book_health().map(|health| health.feed.events);
    let payouts = [Price(ONE), Price(0)];
    scene.world.with(|world, _| world.resolve(&condition(), payouts, &Redeemers::None)).expect("resolved");
    until("its frame came", async || scene.book_health().map(|health| health.feed.events) > events).await;
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    // Rules are remembered for longer than this test takes: only the frame can have told.
    assert_eq!(scene.skips().await, [None, Some(SkipReason::MarketClosed)]);
    assert_eq!(scene.states().await, [OrderState::Confirmed], "nothing was ordered");
    scene.finish().await;
}

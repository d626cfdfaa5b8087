//! A pause, a hold, or the death of a worker between signing and sending.

use domain::{Shares, Side, lifecycle::OrderState, money::ONE, skip::SkipReason};
use engine::ports::{
    execution::{EndReason, LedgerCause},
    following::{HoldCause, HoldScope, NewHold},
};
use slipstream::commands::{self, Request, Witnesses};

use crate::scene::{Has, Scene, Setup, until, whole};

async fn command(scene: &Scene, request: Request) {
    let answer =
        commands::answer(scene.store.as_ref(), scene.clock.as_ref(), &Witnesses::default(), &request).await;
    assert!(answer.expect("an answer").ok);
}

/// The leader bought, and the copy is signed but not committed.
async fn signed_not_committed() -> Scene {
    let scene = Scene::set(Setup { workers: 1, ..Setup::default() }).await;
    scene.gate.signed.close();
    scene.leader_buys();
    until("the copy is signed", async || scene.gate.signed.is_reached()).await;
    scene
}

/// The intent is over, nothing was sent and nothing stays behind.
async fn is_blocked(scene: &Scene) {
    scene.settled().await;
    let intent = scene.decisions().await[0].intent.expect("an intent");
    let ends = scene.store.ends_of(&[intent]).await.expect("ends");
    assert_eq!(ends.iter().map(|end| end.reason).collect::<Vec<_>>(), [EndReason::Blocked]);
    assert!(scene.orders().await.is_empty(), "no signature became an order");
    assert!(scene.seen().is_empty(), "nothing was sent");
    assert_eq!(scene.has(0).await, Has::untouched());
    assert!(scene.ledger().await.is_empty());
}

#[tokio::test]
async fn nothing_is_signed_after_pause_returned() {
    let scene = signed_not_committed().await;
    command(&scene, Request::Pause(scene.relationship(0).await)).await;
    scene.gate.signed.open();
    is_blocked(&scene).await;

    // While paused every trade is answered; after resuming the next one is copied, and no old one.
    scene.leader_buys();
    scene.decided(2).await;
    command(&scene, Request::Resume(scene.relationship(0).await)).await;
    scene.leader_buys();
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::NotActive), None]);
    assert_eq!(scene.seen().len(), 1);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_hold_at_the_moment_of_signing() {
    let scene = signed_not_committed().await;
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Operator,
        reason: "a drill".to_owned(),
        stops_exits: false,
        sells: false,
        expires_at: None,
    };
    let hold = scene.store.place_hold(None, &hold, scene.clock.now()).await.expect("a hold");
    scene.gate.signed.open();
    is_blocked(&scene).await;
    scene.leader_buys();
    scene.decided(2).await;
    assert!(scene.store.lift_hold(None, hold, scene.clock.now()).await.expect("lifted"));
    scene.leader_buys();
    scene.decided(3).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, Some(SkipReason::Held), None]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_paused_exit_waits_and_is_sold_after_resuming() {
    let scene = Scene::set(Setup { workers: 1, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.gate.signed.close();
    scene.leader_trades(&[(Side::Sell, 100, 49)]);
    until("the exit is signed", async || scene.gate.signed.is_reached()).await;
    command(&scene, Request::Pause(scene.relationship(0).await)).await;
    scene.gate.signed.open();
    // The signature is thrown away and the intent ends; the exit is looked at again.
    let exit = scene.decisions().await.last().and_then(|record| record.intent).expect("an intent");
    until("the exit ended", async || {
        let ends = scene.store.ends_of(&[exit]).await.expect("ends");
        ends.iter().any(|end| end.reason == EndReason::Blocked)
    })
    .await;
    assert_eq!(scene.orders().await.len(), 1, "only the buy");
    assert_eq!(scene.seen().len(), 1);
    command(&scene, Request::Resume(scene.relationship(0).await)).await;
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    assert_eq!(scene.has(0).await.shares, Shares::ZERO);
    assert_eq!(scene.seen().len(), 2);
    scene.finish().await;
}

#[tokio::test]
async fn a_worker_dies_after_signing() {
    let scene = signed_not_committed().await;
    assert!(scene.kill_worker());
    scene.gate.signed.open();
    scene.settled().await;
    is_copied_once(&scene).await;
    scene.finish().await;
}

#[tokio::test]
async fn a_worker_dies_after_the_commit() {
    let scene = Scene::set(Setup { workers: 1, ..Setup::default() }).await;
    scene.gate.committed.close();
    scene.leader_buys();
    until("the copy is committed", async || scene.gate.committed.is_reached()).await;
    let committed = scene.orders().await;
    assert_eq!(committed.len(), 1);
    assert!(scene.kill_worker());
    scene.gate.committed.open();
    scene.settled().await;
    is_copied_once(&scene).await;
    assert_eq!(scene.seen()[0].id, committed[0].order.id, "the committed bytes were sent, by somebody else");
    scene.finish().await;
}

async fn is_copied_once(scene: &Scene) {
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted, seen[0].filled_maker), (1, 1, 5 * ONE));
    assert_eq!(scene.has(0).await, Has::copied());
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10))]);
}

//! Exits: followers keep the share that the leader keeps.

use domain::{Shares, Side, Usd, lifecycle::OrderState, money::ONE, skip::SkipReason};
use engine::ports::execution::LedgerCause;
use slipstream::verify::Check;

use crate::scene::{Has, Scene, Setup, until, whole};

/// Two followers who hold a copy of 10 shares each.
async fn two_followers() -> Scene {
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    for follower in 0..2 {
        assert_eq!(scene.has(follower).await, Has::copied());
    }
    scene
}

/// After a sale of 5 of 10 shares at 0.49: proceeds 2.45, fee 5 x 0.04 x 0.49 x 0.51.
fn half() -> Has {
    let copied = Has::copied();
    let fee = 49_980;
    Has {
        shares: whole(5),
        cost: Usd(2_500_000),
        realised: Usd(-50_000),
        fees: Usd(copied.fees.0 + fee),
        cash: Usd(copied.cash.0 + 2_450_000 - fee),
        reserved: Usd::ZERO,
    }
}

/// After a sale of all 10 shares at 0.49, in one order or two.
fn all() -> Has {
    let copied = Has::copied();
    let fee = 99_960;
    Has {
        shares: Shares::ZERO,
        cost: Usd::ZERO,
        realised: Usd(-100_000),
        fees: Usd(copied.fees.0 + fee),
        cash: Usd(copied.cash.0 + 4_900_000 - fee),
        reserved: Usd::ZERO,
    }
}

#[tokio::test]
async fn the_leader_sells_half() {
    let scene = two_followers().await;
    scene.leader_trades(&[(Side::Sell, 50, 49)]);
    scene.decided(4).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None; 4]);
    let report = scene.verified().await;
    let targets = report.checks.iter().find(|result| result.check == Check::Targets).expect("a check");
    assert_eq!((targets.compared, targets.differences, targets.gone), (2, 0, 0), "{report}");
    assert_eq!(scene.states().await, [OrderState::Confirmed; 4]);
    for follower in 0..2 {
        assert_eq!(scene.has(follower).await, half());
    }
    let sold: Vec<i64> =
        scene.seen().iter().filter(|seen| seen.side == Side::Sell).map(|seen| seen.filled_maker).collect();
    assert_eq!(sold, [5 * ONE; 2]);
    scene.finish().await;
}

#[tokio::test]
async fn the_leader_sells_all_in_two_blocks() {
    let scene = two_followers().await;
    scene.leader_trades(&[(Side::Sell, 50, 49)]);
    scene.decided(4).await;
    scene.leader_trades(&[(Side::Sell, 50, 49)]);
    scene.decided(6).await;
    scene.settled().await;
    for follower in 0..2 {
        assert_eq!(scene.has(follower).await, all());
    }
    let sold: i64 =
        scene.seen().iter().filter(|seen| seen.side == Side::Sell).map(|seen| seen.filled_maker).sum();
    assert_eq!(sold, 20 * ONE, "as much as was bought");
    scene.finish().await;
}

#[tokio::test]
async fn the_leader_sells_all_in_two_transactions_of_one_block() {
    let scene = Scene::manual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.two_in_one_block(&[(Side::Sell, 50, 49)], &[(Side::Sell, 50, 49)]);
    scene.decided(3).await;
    scene.settled().await;
    // Which of the two depends on whether the sale was filled by then.
    let kept = |reason: &Option<SkipReason>| {
        matches!(reason, Some(SkipReason::NothingToSell { .. } | SkipReason::NothingHeld))
    };
    let skips = scene.skips().await;
    assert_eq!((skips.len(), skips.iter().filter(|one| kept(one)).count()), (3, 1), "{skips:?}");
    assert_eq!(scene.has(0).await, all(), "the block's factor sells everything, once");
    let sold: Vec<i64> =
        scene.seen().iter().filter(|seen| seen.side == Side::Sell).map(|seen| seen.filled_maker).collect();
    assert_eq!(sold, [10 * ONE]);
    scene.finish().await;
}

#[tokio::test]
async fn a_killed_exit_is_tried_again_at_the_new_book() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.gate.committed.close();
    scene.leader_trades(&[(Side::Sell, 100, 49)]);
    until("the exit is about to be sent", async || scene.gate.committed.is_reached()).await;
    // The bid it was decided on is gone.
    scene.book(39, 41);
    scene.gate.committed.open();
    scene.settled().await;
    assert_eq!(
        scene.states().await,
        [OrderState::Confirmed, OrderState::Killed, OrderState::Confirmed],
        "a buy, a killed exit, and the exit at the new price"
    );
    let orders = scene.orders().await;
    assert_eq!((orders[1].number, orders[2].number), (0, 1));
    assert_eq!(orders[1].intent.id, orders[2].intent.id);
    let copied = Has::copied();
    // 10 shares at 0.39: fee 10 x 0.04 x 0.39 x 0.61.
    let fee = 95_160;
    let now = scene.has(0).await;
    assert_eq!((now.shares, now.realised), (Shares::ZERO, Usd(-1_100_000)));
    assert_eq!(now.cash, Usd(copied.cash.0 + 3_900_000 - fee));
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10)), (LedgerCause::Fill, whole(-10))]);
    let sold: i64 =
        scene.seen().iter().filter(|seen| seen.side == Side::Sell).map(|seen| seen.filled_maker).sum();
    assert_eq!(sold, 10 * ONE);
    scene.finish().await;
}

#[tokio::test]
async fn an_exit_accepted_without_a_reply_is_not_sold_twice() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.fault(simulator::world::faults::FaultKind::AcceptThenDrop, 1);
    scene.leader_trades(&[(Side::Sell, 100, 49)]);
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 2]);
    assert_eq!(scene.has(0).await, all());
    assert_eq!(scene.seen().len(), 2);
    scene.finish().await;
}

#[tokio::test]
async fn an_exit_whose_settlement_failed_is_held_again_and_sold_again() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.fault(simulator::world::faults::FaultKind::Failed, 1);
    scene.leader_trades(&[(Side::Sell, 100, 49)]);
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(
        scene.states().await,
        [OrderState::Confirmed, OrderState::Failed, OrderState::Confirmed],
        "what came back is sold by the next attempt"
    );
    assert_eq!(scene.has(0).await, all());
    assert_eq!(
        scene.ledger().await,
        [
            (LedgerCause::Fill, whole(10)),
            (LedgerCause::Fill, whole(-10)),
            (LedgerCause::Reversal, whole(10)),
            (LedgerCause::Fill, whole(-10)),
        ]
    );
    scene.finish().await;
}

//! Markets that change under a copy: unknown, resolved, with another tick.

use std::time::Duration;

use domain::{Price, Shares, Usd, lifecycle::OrderState, money::ONE, policy::Policy, skip::SkipReason};
use engine::ports::execution::LedgerCause;
use simulator::{Knobs, Outage, Service, world::control::Redeemers};

use crate::scene::{Has, Scene, Setup, cents, condition, tenth, until, whole};

/// While the venue is away the leader buys in a market nobody knows.
async fn waiting_for_its_market(setup: Setup) -> Scene {
    let scene = Scene::set(setup).await;
    scene.world.set_outage(Service::Clob, Outage::Unavailable);
    scene.leader_buys();
    let waits = async || !scene.store.incomplete_parts().await.expect("parts").is_empty();
    until("the copy waits for its market", waits).await;
    assert!(scene.decisions().await.is_empty());
    scene
}

#[tokio::test]
async fn a_market_that_the_venue_tells_late() {
    let scene = waiting_for_its_market(Setup::default()).await;
    scene.world.set_outage(Service::Clob, Outage::None);
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_market_that_the_venue_tells_too_late() {
    let maximum = Duration::from_secs(3);
    let policy = Policy { maximum_age: maximum, ..tenth() };
    let scene = waiting_for_its_market(Setup { policy, ..Setup::default() }).await;
    scene.decided(1).await;
    scene.world.set_outage(Service::Clob, Outage::None);
    scene.settled().await;
    let skips = scene.skips().await;
    let [Some(SkipReason::TooOld { age, maximum: allowed })] = skips[..] else { panic!("{skips:?}") };
    assert!(allowed == maximum && age > maximum, "{age:?}");
    assert!(scene.orders().await.is_empty() && scene.seen().is_empty());
    assert_eq!(scene.has(0).await, Has::untouched());
    scene.finish().await;
}

#[tokio::test]
async fn a_market_that_resolves_between_decision_and_order() {
    let scene = Scene::usual().await;
    scene.gate.committed.close();
    scene.leader_buys();
    until("the copy is committed", async || scene.gate.committed.is_reached()).await;
    let payouts = [Price(ONE), Price(0)];
    scene.world.with(|world, _| world.resolve(&condition(), payouts, &Redeemers::None)).expect("resolved");
    scene.gate.committed.open();
    scene.settled().await;
    assert_eq!(scene.skips().await, [None]);
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    assert!(scene.seen().iter().all(|seen| seen.filled_maker == 0));
    assert_eq!(scene.has(0).await, Has::untouched());
    scene.finish().await;
}

/// A copy of 10 shares is held until the market pays `payout` per share.
async fn is_redeemed(payouts: [Price; 2]) {
    is_redeemed_in(Setup::default(), payouts).await;
}

async fn is_redeemed_in(setup: Setup, payouts: [Price; 2]) {
    let scene = Scene::set(setup).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.world.with(|world, _| world.resolve(&condition(), payouts, &Redeemers::All)).expect("resolved");
    until("the redemption is booked", async || scene.has(0).await.shares == Shares::ZERO).await;
    let copied = Has::copied();
    let paid = Usd(payouts[0].0 * 10);
    let expected = Has {
        shares: Shares::ZERO,
        cost: Usd::ZERO,
        realised: Usd(paid.0 - copied.cost.0),
        cash: Usd(copied.cash.0 + paid.0),
        ..copied
    };
    assert_eq!(scene.has(0).await, expected);
    assert_eq!(scene.ledger().await, [(LedgerCause::Fill, whole(10)), (LedgerCause::Redeemed, whole(-10))]);
    let wallet = scene.followers[0].wallet;
    let collateral = simulator::world::ledger::Asset::Collateral;
    assert_eq!(scene.world.with(|world, _| world.balance(wallet, collateral)), expected.cash.0);
    scene.finish().await;
}

#[tokio::test]
async fn a_redemption_of_the_winner() {
    is_redeemed([Price(ONE), Price(0)]).await;
}

#[tokio::test]
async fn a_redemption_of_the_loser() {
    is_redeemed([Price(0), Price(ONE)]).await;
}

/// Redeemed through a collateral adapter unless said otherwise: then the adapter is the redeemer that the chain
/// names, and in a neg-risk market another contract tells of it.
#[tokio::test]
async fn a_redemption_in_a_neg_risk_market() {
    is_redeemed_in(Setup { neg_risk: true, ..Setup::default() }, [Price(ONE), Price(0)]).await;
}

#[tokio::test]
async fn redemptions_by_the_wallet_itself() {
    for neg_risk in [false, true] {
        let knobs = Knobs { redeem_directly: true, ..Knobs::default() };
        is_redeemed_in(Setup { neg_risk, knobs, ..Setup::default() }, [Price(ONE), Price(0)]).await;
    }
}

#[tokio::test]
async fn a_redemption_at_half() {
    is_redeemed([Price(ONE / 2), Price(ONE / 2)]).await;
}

#[tokio::test]
async fn a_coarser_tick_between_decision_and_order() {
    let scene = Scene::usual().await;
    scene.gate.committed.close();
    scene.leader_buys();
    until("the copy is committed", async || scene.gate.committed.is_reached()).await;
    assert_eq!(scene.orders().await[0].limit, cents(51));
    scene.world.with(|world, _| world.set_tick(&condition(), cents(10))).expect("a tick");
    scene.gate.committed.open();
    scene.settled().await;
    // 0.51 is no price any more: refused, and never replaced by a worse one.
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.refused, seen[0].filled_maker), (1, 1, 0));
    assert_eq!(scene.has(0).await, Has::untouched());

    // The refusal makes the market's rules be asked again: the next copy is on the new tick.
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    let errors: Vec<_> = scene.seen().into_iter().map(|seen| seen.last_error).collect();
    assert_eq!(scene.states().await, [OrderState::Rejected, OrderState::Confirmed], "{errors:?}");
    assert_eq!(scene.orders().await[1].limit, cents(50));
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

//! Accounts that the venue refuses, and modes in which it takes nothing.

use std::time::Duration;

use domain::{
    Shares, Side,
    lifecycle::{OrderAlarm, OrderState},
    skip::SkipReason,
};
use engine::{
    ports::{
        following::{Hold, HoldCause, HoldScope, RelationshipStatus},
        store::EventKind,
    },
    refusals::look_at_region,
};
use simulator::{
    Knobs,
    config::{Geo, GeoRefusal},
    world::{
        Mode,
        faults::FaultKind,
        registry::{Standing, Wallet},
    },
};
use slipstream::commands::{Request, Witnesses, answer};

use crate::scene::{Has, Scene, Setup, until};

const SELLS_ALL: [(Side, i64, i64); 1] = [(Side::Sell, 100, 49)];

impl Scene {
    fn stands(&self, follower: usize, standing: Standing) {
        let follower = &self.followers[follower];
        let wallet = Wallet {
            address: follower.wallet,
            owner: follower.owner,
            signature_type: follower.kind.signature_type(),
            approved: true,
            standing,
        };
        self.world.with(|world, _| world.add_wallet(wallet)).expect("a wallet");
    }

    fn mode(&self, mode: Mode, lasts: Option<Duration>) {
        self.world.with(|world, now| world.set_mode(now, mode, lasts));
    }

    async fn alarms(&self) -> Vec<OrderAlarm> {
        let alarm = |kind| match kind {
            EventKind::OrderAlarm { alarm, .. } => Some(alarm),
            _ => None,
        };
        self.events().await.into_iter().filter_map(alarm).collect()
    }

    async fn holds(&self) -> Vec<Hold> {
        self.store.following(self.clock.now()).await.expect("a snapshot").holds
    }

    /// An operator lifts the only hold.
    async fn lift(&self) {
        let holds = self.holds().await;
        assert_eq!(holds.len(), 1, "{holds:?}");
        let request = Request::Lift { hold: holds[0].id, unchecked: false };
        let said = answer(self.store.as_ref(), self.clock.as_ref(), &Witnesses::default(), &request).await;
        assert!(said.expect("an answer").ok);
    }
}

/// Two trades of the leader while one of two followers is refused: told once, held once, and the other one is
/// served; then it is lifted.
async fn is_held_once(standing: Standing, alarm: OrderAlarm) {
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    scene.stands(0, standing);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected, OrderState::Confirmed]);
    scene.leader_buys();
    scene.decided(4).await;
    scene.settled().await;
    assert_eq!(scene.skips().await, [None, None, Some(SkipReason::Held), None]);
    assert_eq!(scene.alarms().await, [alarm], "one alarm");
    let holds = scene.holds().await;
    let account = scene.store.relationships(None).await.expect("relationships")[0].account;
    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!((holds[0].scope, holds[0].cause), (HoldScope::Account(account), HoldCause::Venue));
    assert!(!holds[0].stops_exits && holds[0].expires_at.is_some(), "{holds:?}");
    scene.stands(0, Standing::Good);
    scene.lift().await;
    scene.leader_buys();
    scene.decided(6).await;
    scene.settled().await;
    assert_eq!(scene.skips().await[4..], [None, None]);
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

#[tokio::test]
async fn a_banned_account_is_told_once_and_held() {
    is_held_once(Standing::Banned, OrderAlarm::Banned).await;
}

#[tokio::test]
async fn a_wallet_that_may_not_trade_is_told_once_and_held() {
    is_held_once(Standing::NotAllowed, OrderAlarm::WalletKindRefused).await;
}

/// Buys are held, exits go on; and lifting the hold resumes nothing that the user has paused.
#[tokio::test]
async fn an_account_in_closed_only_mode_still_sells() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.stands(0, Standing::ClosedOnly);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    scene.leader_trades(&[(Side::Sell, 200, 49)]);
    scene.decided(3).await;
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    let states = [OrderState::Confirmed, OrderState::Rejected, OrderState::Confirmed];
    assert_eq!(scene.states().await, states);
    assert_eq!(scene.alarms().await, [OrderAlarm::ClosedOnly]);

    let relationship = scene.store.relationships(None).await.expect("relationships").remove(0);
    let (owner, id) = (relationship.owner, relationship.id);
    let paused = scene.store.set_status(owner, id, RelationshipStatus::Paused, scene.clock.now());
    assert!(paused.await.expect("paused"));
    scene.stands(0, Standing::Good);
    scene.lift().await;
    scene.leader_buys();
    scene.decided(4).await;
    assert_eq!(scene.skips().await[3], Some(SkipReason::NotActive));
    scene.finish().await;
}

/// A refused sale stops exits too; they go on where they stopped once the hold is lifted.
#[tokio::test]
async fn a_banned_account_sells_once_it_may() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.stands(0, Standing::Banned);
    scene.leader_trades(&SELLS_ALL);
    until("the account is held", async || !scene.holds().await.is_empty()).await;
    scene.settled().await;
    assert!(scene.holds().await[0].stops_exits);
    scene.stands(0, Standing::Good);
    scene.lift().await;
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert_eq!(scene.alarms().await, [OrderAlarm::Banned]);
    scene.finish().await;
}

/// Where the venue does not trade everybody is held, and told once.
#[tokio::test]
async fn a_region_the_venue_does_not_trade_with_holds_everybody() {
    let geo =
        Geo { blocked: true, refuses: GeoRefusal::All, country: "US".to_owned(), region: "NY".to_owned() };
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    scene.world.with(|world, _| world.knobs.geo = geo);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    scene.leader_buys();
    scene.decided(4).await;
    scene.settled().await;
    let held = Some(SkipReason::Held);
    let skips = scene.skips().await;
    // The second may have been decided when the first was refused already.
    assert!(skips[0].is_none() && skips[2..] == [held, held], "{skips:?}");
    assert_eq!(scene.alarms().await, [OrderAlarm::RegionBlocked]);
    let holds = scene.holds().await;
    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!(holds[0].scope, HoldScope::Installation);
    assert!(scene.seen().is_empty(), "no order was taken");
    // It is asked again: still blocked, then nothing that can be read, then open.
    let look = async || {
        let (store, gateway) = (scene.store.as_ref(), scene.gate.as_ref());
        look_at_region(store, gateway, scene.clock.as_ref()).await.expect("a look")
    };
    assert_eq!(look().await, 0);
    scene.world.with(|world, _| world.knobs.geo = Geo { country: "<here>".to_owned(), ..Geo::default() });
    assert_eq!((look().await, scene.holds().await.len()), (0, 1));
    scene.world.with(|world, _| world.knobs.geo = Geo::default());
    assert_eq!((look().await, scene.holds().await.len()), (1, 0));
    scene.leader_buys();
    scene.decided(6).await;
    scene.settled().await;
    assert_eq!(scene.skips().await[4..], [None, None]);
    assert_eq!(scene.seen().len(), 2, "both are copied");
    scene.finish().await;
}

/// The venue has moved on and takes no order of this version: everybody is held, and told once.
#[tokio::test]
async fn an_order_version_that_is_no_more_holds_everybody() {
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    scene.world.with(|world, _| world.knobs.order_version = 3);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    scene.leader_buys();
    scene.decided(4).await;
    scene.settled().await;
    let skips = scene.skips().await;
    assert!(skips[0].is_none() && skips[2..] == [Some(SkipReason::Held); 2], "{skips:?}");
    assert_eq!(scene.alarms().await, [OrderAlarm::OrderVersionRefused]);
    let holds = scene.holds().await;
    assert_eq!(holds.iter().map(|hold| hold.scope).collect::<Vec<_>>(), [HoldScope::Installation]);
    assert!(scene.seen().is_empty(), "no order was taken");
    scene.finish().await;
}

/// One order is refused for its version by a venue that takes what was sent: nobody is held, and the exit goes on.
#[tokio::test]
async fn one_refused_version_holds_nobody() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.fault(FaultKind::VersionMismatch, 1);
    scene.leader_trades(&SELLS_ALL);
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert!(scene.states().await.contains(&OrderState::Rejected), "it was refused once");
    assert!(scene.alarms().await.is_empty() && scene.holds().await.is_empty());
    scene.finish().await;
}

/// An approval of one exchange is missing: buys are held, and exits are tried on.
#[tokio::test]
async fn a_sale_without_an_approval_holds_buys_alone() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let wallet = scene.followers[0].wallet;
    scene.world.with(|world, _| world.approve(wallet, false)).expect("a wallet");
    scene.leader_trades(&SELLS_ALL);
    until("it is told", async || scene.alarms().await == [OrderAlarm::ApprovalMissing]).await;
    let holds = scene.holds().await;
    assert!(holds.iter().all(|hold| !hold.stops_exits) && !holds.is_empty(), "{holds:?}");
    scene.world.with(|world, _| world.approve(wallet, true)).expect("a wallet");
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert_eq!(scene.alarms().await, [OrderAlarm::ApprovalMissing], "one alarm");
    scene.finish().await;
}

/// The venue takes cancels only: an exit goes on when it takes orders again.
#[tokio::test]
async fn an_exit_waits_for_the_end_of_cancel_only_mode() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    let before = scene.gate.committed.passed();
    scene.mode(Mode::CancelOnly, None);
    scene.leader_trades(&SELLS_ALL);
    until("the exit was refused once", async || scene.gate.committed.passed() > before + 1).await;
    scene.mode(Mode::Normal, None);
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert!(scene.alarms().await.is_empty() && scene.holds().await.is_empty());
    scene.finish().await;
}

/// A window that ends within the deadline of the bytes delays a buy, and no more.
#[tokio::test]
async fn a_post_only_window_that_ends_in_time_delays_a_buy() {
    let scene = Scene::usual().await;
    scene.mode(Mode::PostOnly, Some(Duration::from_millis(1_500)));
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed]);
    let seen = scene.seen();
    assert_eq!((seen.len(), seen[0].posts.accepted), (1, 1));
    assert_eq!(scene.has(0).await, Has::copied());
    scene.finish().await;
}

/// A restart of the matching engine ends in two minutes of post-only mode, longer than any buy may wait.
#[tokio::test]
async fn a_restart_and_the_window_after_it_miss_a_buy() {
    let scene = Scene::usual().await;
    scene.mode(Mode::Restarting, Some(Duration::from_millis(500)));
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Missed]);
    assert!(scene.seen().iter().all(|order| order.posts.accepted == 0), "no post was taken");
    assert_eq!(scene.has(0).await, Has::untouched());
    scene.finish().await;
}

/// Complaint 23: the front end refuses with a page that is no text of the venue. What became of the order is not
/// known, but everybody is held and told once; when it is over the same bytes are sent, or the order is given up.
#[tokio::test]
async fn a_region_that_the_front_end_refuses_holds_everybody_too() {
    let geo =
        Geo { blocked: true, refuses: GeoRefusal::Edge, country: "US".to_owned(), region: "NY".to_owned() };
    let scene = Scene::set(Setup { followers: 2, ..Setup::default() }).await;
    scene.world.with(|world, _| world.knobs.geo = geo);
    scene.leader_buys();
    scene.decided(2).await;
    until("everybody is held", async || !scene.holds().await.is_empty()).await;
    scene.leader_buys();
    scene.decided(4).await;
    let held = Some(SkipReason::Held);
    assert_eq!(scene.skips().await[2..], [held, held]);
    let holds = scene.holds().await;
    assert_eq!((holds.len(), holds[0].scope), (1, HoldScope::Installation), "{holds:?}");
    scene.world.with(|world, _| world.knobs.geo = Geo::default());
    scene.settled().await;
    assert_eq!(scene.alarms().await, [OrderAlarm::RegionBlocked]);
    assert!(!scene.states().await.contains(&OrderState::Rejected), "nobody knows that it was refused");
    scene.finish().await;
}

/// Complaint 17: money and shares that the venue does not notice by itself. The first order that is refused for them
/// makes it look; the next one is taken.
#[tokio::test]
async fn what_the_venue_has_not_noticed_is_missed_once() {
    let knobs = Knobs { balances_lag: true, data_lag_ms: 0, ..Knobs::default() };
    let scene = Scene::set(Setup { knobs, ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    scene.leader_buys();
    scene.decided(2).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected, OrderState::Confirmed]);
    // The shares are new to the venue too. A refused exit is decided again.
    scene.leader_trades(&[(Side::Sell, 200, 49)]);
    until("the shares are sold", async || scene.has(0).await.shares == Shares::ZERO).await;
    scene.settled().await;
    assert_eq!(scene.alarms().await, [], "nothing is wrong with the account");
    assert_eq!(scene.holds().await, []);
    scene.finish().await;
}

/// An approval that is missing is told and held once; one that the venue has only not noticed is not.
#[tokio::test]
async fn a_missing_approval_is_told_once_and_held() {
    let scene = Scene::usual().await;
    let wallet = scene.followers[0].wallet;
    scene.world.with(|world, _| world.approve(wallet, false)).expect("a wallet");
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Rejected]);
    assert_eq!(scene.alarms().await, [OrderAlarm::ApprovalMissing]);
    scene
        .world
        .with(|world, _| {
            world.knobs.balances_lag = true;
            world.approve(wallet, true)
        })
        .expect("a wallet");
    scene.lift().await;
    for (trades, last) in [(2, OrderState::Rejected), (3, OrderState::Confirmed)] {
        scene.leader_buys();
        scene.decided(trades).await;
        scene.settled().await;
        assert_eq!(scene.states().await.last(), Some(&last));
    }
    assert_eq!(scene.alarms().await, [OrderAlarm::ApprovalMissing], "one alarm");
    scene.finish().await;
}

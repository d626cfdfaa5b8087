//! Orders of one account that share a request, and the pace of requests.

use std::{collections::BTreeSet, time::Duration};

use domain::{Shares, Side, lifecycle::OrderState};
use polymarket::{Endpoint, VenueLimits};
use simulator::{
    Knobs,
    world::{
        Mode,
        endpoints::{Group, Quota},
        faults::FaultKind,
        rates::Rates,
    },
};

use crate::scene::{OTHER, Scene, Setup, TOKEN, until};

impl Scene {
    /// A scene in which both outcomes can be bought.
    async fn both(setup: Setup) -> Self {
        let scene = Self::set(setup).await;
        scene.book_of(OTHER, 49, 50);
        scene
    }

    /// How often the venue was sent one order, and several.
    fn requests(&self) -> (u64, u64) {
        let of = |group| {
            self.world.with(|world, _| world.traffic.counts().get(&group).map_or(0, |counts| counts.requests))
        };
        (of(Group::PostOrder), of(Group::PostOrders))
    }

    /// Both were bought, each with one order that the venue took once.
    async fn both_are_copied(&self) {
        self.settled().await;
        assert_eq!(self.states().await, [OrderState::Confirmed; 2]);
        let seen = self.seen();
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|order| order.posts.accepted == 1), "{seen:?}");
        // What the leader bought, yes and no alike.
        let bought: BTreeSet<_> = seen.iter().map(|order| order.token).collect();
        assert_eq!(bought, BTreeSet::from([TOKEN, OTHER]));
    }
}

#[tokio::test]
async fn two_copies_of_one_account_share_a_request() {
    let scene = Scene::both(Setup::default()).await;
    scene.leader_buys_both();
    scene.decided(2).await;
    scene.both_are_copied().await;
    assert_eq!(scene.requests(), (0, 1));
    scene.finish().await;
}

#[tokio::test]
async fn one_of_a_request_is_killed_and_the_other_is_not() {
    let scene = Scene::both(Setup::default()).await;
    scene.gate.committed.close();
    scene.leader_buys_both();
    until("both are committed", async || scene.gate.committed.is_reached()).await;
    scene.book_of(OTHER, 49, 60);
    scene.gate.committed.open();
    scene.settled().await;
    let mut states = scene.states().await;
    states.sort_by_key(|state| *state == OrderState::Killed);
    assert_eq!(states, [OrderState::Confirmed, OrderState::Killed]);
    assert_eq!(scene.requests(), (0, 1));
    scene.finish().await;
}

/// Whatever is lost of the request or its answer, each order ends by what is seen of it.
async fn both_are_copied_once(fault: FaultKind) {
    let scene = Scene::both(Setup::default()).await;
    scene.fault(fault, 1);
    scene.leader_buys_both();
    scene.decided(2).await;
    scene.both_are_copied().await;
    let happened = scene.world.with(|world, _| world.faults.happened().get(&fault).copied());
    assert_eq!((happened, scene.requests().1), (Some(1), 1));
    scene.finish().await;
}

#[tokio::test]
async fn a_request_of_two_is_taken_and_its_answer_lost() {
    both_are_copied_once(FaultKind::AcceptThenDrop).await;
}

#[tokio::test]
async fn a_request_of_two_never_arrives() {
    both_are_copied_once(FaultKind::DropBefore).await;
}

#[tokio::test]
async fn the_answer_to_a_request_of_two_breaks_off() {
    both_are_copied_once(FaultKind::TruncateReply).await;
}

/// What is not taken now goes again by itself, within the deadline of its bytes.
#[tokio::test]
async fn a_request_of_two_in_a_post_only_window() {
    let scene = Scene::both(Setup::default()).await;
    let window = Some(Duration::from_millis(1_500));
    scene.world.with(|world, now| world.set_mode(now, Mode::PostOnly, window));
    scene.leader_buys_both();
    scene.decided(2).await;
    scene.both_are_copied().await;
    assert_eq!(scene.requests().1, 1);
    scene.finish().await;
}

/// Six orders a window are allowed, five are sent: nobody is told to slow down, and nothing is lost.
#[tokio::test]
async fn a_venue_with_a_small_limit_is_called_at_its_pace() {
    let quota = Quota { per_10s: Some(6), per_10min: None };
    let rates = Rates { per_ip: true, quotas: [(Group::PostOrder, quota)].into(), ..Rates::default() };
    let knobs = Knobs { data_lag_ms: 0, rates, ..Knobs::default() };
    let limits = VenueLimits { other: vec![(Endpoint::Post, 6, None)], ..VenueLimits::default() };
    let scene = Scene::set(Setup { followers: 4, knobs, limits: Some(limits), ..Setup::default() }).await;
    scene.leader_buys();
    scene.decided(4).await;
    scene.settled().await;
    scene.leader_trades(&[(Side::Sell, 100, 49)]);
    until("everything is sold", async || {
        let mut held = Shares::ZERO;
        for follower in 0..4 {
            held = Shares(held.0 + scene.has(follower).await.shares.0);
        }
        scene.seen().len() == 8 && held == Shares::ZERO
    })
    .await;
    scene.settled().await;
    assert_eq!(scene.states().await, [OrderState::Confirmed; 8]);
    let counts = scene.world.with(|world, _| world.traffic.counts().clone());
    assert_eq!(counts[&Group::PostOrder].requests, 8);
    assert!(counts.values().all(|counts| counts.throttled + counts.delayed == 0), "{counts:?}");
    scene.finish().await;
}

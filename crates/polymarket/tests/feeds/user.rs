//! The user channel: what is told of an account's orders, and each way a socket can fail.

use std::{sync::Arc, time::Duration};

use domain::{OrderAmounts, OrderId, OrderPlan, Shares, Side, Timestamp, TradingAccount, money::ONE};
use engine::ports::{
    detection::Lane,
    feeds::{AccountEvent, AccountFeed, AccountNews},
    venue::{
        OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes, SettlementStatus, VenueOrderStatus,
    },
};
use polymarket::{AccountSockets, Clob};
use simulator::world::faults::{FaultKind, FaultTarget};

use crate::harness::{Books, TOKEN, Venue, account, accounts, clob, run};

const SOCKET: FaultTarget = FaultTarget::UserSocket;
/// Nothing more than this at once is asked for.
const ALL: usize = 1_000;

/// A venue with an account that listens.
struct Scene {
    venue: Venue,
    clob: Arc<Clob>,
    account: TradingAccount,
    feed: AccountSockets,
}

impl Scene {
    async fn new() -> Self {
        let venue = Venue::new().await;
        let (clob, signer) = clob(&venue);
        let account = account(&venue, &signer, "trader", 1).await;
        let feed = accounts(&venue, &clob);
        feed.follow(std::slice::from_ref(&account));
        let scene = Self { venue, clob, account, feed };
        assert_eq!(scene.next().await, AccountEvent::Gap, "a connection begins with a gap");
        // The venue has taken the opening when it has answered something that was said after it.
        scene.venue.pulse().await;
        scene
    }

    async fn next(&self) -> AccountEvent {
        let [AccountNews { account, what }] = self.feed.next(1).await.try_into().unwrap();
        assert_eq!(account, self.account.id);
        what
    }

    /// Facts about orders as they come, until they are enough.
    async fn until(&self, enough: impl Fn(&OrderLookup) -> bool) -> Vec<OrderLookup> {
        let mut seen = Vec::new();
        loop {
            if let AccountEvent::Order { facts, .. } = self.next().await {
                seen.push(facts);
                if seen.last().is_some_and(&enough) {
                    return seen;
                }
            }
        }
    }

    /// Posts a fill-and-kill buy of 5 shares at 51 cents.
    async fn buy(&self, salt: u64) -> (OrderId, PostReply) {
        let plan = OrderPlan {
            account: self.account.clone(),
            token: TOKEN,
            side: Side::Buy,
            amounts: OrderAmounts { maker: ONE * 255 / 100, taker: 5 * ONE },
            negative_risk: false,
            salt,
            timestamp: self.now(),
            order_type: domain::OrderType::FillAndKill,
            defer: false,
            builder: domain::Hash([0; 32]),
        };
        let order = self.clob.prepare(&[plan]).await.remove(0).unwrap();
        let reply = self.clob.post(&self.account, &order, PostTimes::whenever(Duration::from_secs(5))).await;
        (order.id, reply)
    }

    fn now(&self) -> Timestamp {
        domain::Clock::now(self.venue.clock.as_ref())
    }

    fn mine(&self, blocks: usize) {
        for _ in 0..blocks {
            self.venue.clock.advance(Duration::from_millis(1));
            self.venue.world.with(|world, now| world.mine(now));
        }
    }
}

fn status(facts: &OrderLookup) -> Option<SettlementStatus> {
    facts.trades.first().map(|trade| trade.status)
}

#[test]
fn an_order_from_match_to_finality_as_a_look_up_tells_it() {
    run(async {
        for prefixed in [false, true] {
            let scene = Scene::new().await;
            scene.venue.knobs(|knobs| knobs.prefixed_statuses = prefixed);
            let (id, reply) = scene.buy(1).await;
            assert!(matches!(reply, PostReply::Accepted(_)), "{reply:?}");
            scene.mine(6);
            let seen = scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
            let statuses: Vec<_> = seen.iter().filter_map(status).collect();
            assert_eq!(
                statuses,
                [SettlementStatus::Matched, SettlementStatus::Mined, SettlementStatus::Confirmed]
            );
            let order = seen.iter().find_map(|facts| facts.order).unwrap();
            assert_eq!(order.status, VenueOrderStatus::Matched);
            let query = OrderQuery { id, token: TOKEN, signed_at: scene.now(), lane: Lane::Entries };
            let looked_up = scene.clob.look_up(&scene.account, &query).await.unwrap();
            assert_eq!(looked_up.trades, seen.last().unwrap().trades, "shares, dollars, fee and hash");
            assert_eq!(looked_up.order, Some(order));
            assert!(looked_up.trades[0].fee.is_positive());
        }
    });
}

/// A session key that was replaced: each key is told of its own orders alone.
#[test]
fn another_signer_of_the_account_opens_a_connection_of_its_own() {
    run(async {
        let scene = Scene::new().await;
        let (_, signer) = clob(&scene.venue);
        let renewed = account(&scene.venue, &signer, "renewed", 1).await;
        assert_ne!(renewed.signer, scene.account.signer);
        scene.feed.follow(std::slice::from_ref(&renewed));
        assert_eq!(scene.next().await, AccountEvent::Gap, "a connection begins with a gap");
    });
}

#[test]
fn a_killed_order_and_a_failed_settlement() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.levels(&[(49, 5)], &[]);
        let (_, reply) = scene.buy(1).await;
        assert!(matches!(reply, PostReply::Killed { .. }));
        let seen = scene.until(|facts| facts.order.is_some()).await;
        let order = seen.last().unwrap().order.unwrap();
        assert_eq!((order.status, order.matched), (VenueOrderStatus::Cancelled, Shares::ZERO));

        scene.venue.levels(&[(49, 5)], &[(51, 500)]);
        scene.venue.fault(FaultTarget::Settlement, FaultKind::Failed, 1);
        scene.buy(2).await;
        scene.mine(1);
        scene.until(|facts| status(facts) == Some(SettlementStatus::Failed)).await;
        scene.venue.fault(FaultTarget::Settlement, FaultKind::Retrying, 1);
        scene.buy(3).await;
        scene.mine(6);
        let seen = scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        assert!(seen.iter().any(|facts| status(facts) == Some(SettlementStatus::Retrying)));
    });
}

#[test]
fn accounts_hear_of_their_own_orders_only() {
    run(async {
        let venue = Venue::new().await;
        let (clob, signer) = clob(&venue);
        let one = account(&venue, &signer, "one", 1).await;
        let other = account(&venue, &signer, "other", 2).await;
        let feed = accounts(&venue, &clob);
        feed.follow(&[one.clone(), other.clone()]);
        let mut gaps = 0;
        while gaps < 2 {
            gaps += feed.next(ALL).await.len();
        }
        venue.pulse().await;
        let scene = Scene { venue, clob, account: other, feed };
        scene.buy(1).await;
        scene.mine(6);
        scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        let health = scene.feed.health();
        assert_eq!((health.wanted, health.open, health.errors), (2, 2, 0));
        scene.feed.follow(std::slice::from_ref(&scene.account));
        assert_eq!(scene.feed.health().wanted, 1);
    });
}

#[test]
fn a_frame_that_cannot_be_read_is_a_gap_and_what_follows_is_told() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.fault(SOCKET, FaultKind::Malformed, 1);
        scene.buy(1).await;
        assert_eq!(scene.next().await, AccountEvent::Gap);
        scene.mine(6);
        scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        let health = scene.feed.health();
        assert_eq!((health.errors, health.failures), (1, 0), "the connection stays");
    });
}

#[test]
fn a_connection_that_breaks_comes_back_with_a_gap() {
    run(async {
        for kind in [FaultKind::Disconnect, FaultKind::SlowReader, FaultKind::Oversized] {
            let scene = Scene::new().await;
            scene.venue.fault(SOCKET, kind, 1);
            scene.buy(1).await;
            while scene.feed.health().failures == 0 {
                scene.venue.pulse().await;
            }
            let books = Books::of(&scene.venue, &[]);
            while scene.feed.health().open == 0 {
                scene.venue.clock.advance(Duration::from_millis(50));
                scene.venue.pulse().await;
            }
            drop(books);
            assert_eq!(scene.next().await, AccountEvent::Gap, "{kind:?}");
            scene.venue.pulse().await;
            scene.mine(6);
            scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        }
    });
}

/// The channel stalls with its socket open and its pings answered: it is made again, and what was missed is looked up.
#[test]
fn a_silent_stall_is_noticed_although_pings_are_answered() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.fault(SOCKET, FaultKind::Stall, 1);
        scene.buy(1).await;
        scene.venue.happened(FaultKind::Stall).await;
        let (second, mut seconds) = (Duration::from_secs(1), 0);
        while scene.feed.health().failures == 0 {
            assert!(seconds <= 62, "nobody notices");
            scene.venue.clock.advance(second);
            scene.venue.pulse().await;
            seconds += 1;
        }
        assert!(seconds >= 60, "{seconds}");
        assert_eq!(scene.venue.while_time_passes(scene.next()).await, AccountEvent::Gap);
        scene.venue.pulse().await;
        scene.mine(6);
        scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        assert_eq!(scene.feed.health().reconnects, 1);
    });
}

#[test]
fn frames_twice_and_out_of_order_are_all_told() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.fault(SOCKET, FaultKind::Duplicate, 2);
        scene.venue.fault(SOCKET, FaultKind::Reorder, 1);
        scene.buy(1).await;
        scene.mine(6);
        let seen = scene.until(|facts| status(facts) == Some(SettlementStatus::Confirmed)).await;
        assert!(seen.len() >= 5, "{seen:?}");
        assert_eq!(scene.feed.health().errors, 0);
    });
}

#[test]
fn without_credentials_nothing_is_opened() {
    run(async {
        let scene = Scene::new().await;
        let mut stranger = scene.account.clone();
        stranger.id = domain::ids::AccountId(9);
        stranger.key = domain::KeyRef(String::new());
        stranger.signer = domain::Address([3; 20]);
        scene.feed.follow(&[stranger]);
        while scene.feed.health().failures == 0 {
            scene.venue.pulse().await;
        }
        assert_eq!(scene.feed.health().open, 0);
    });
}

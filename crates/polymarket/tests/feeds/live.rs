//! The live trade feed on a clock that stands: what it tells, and how its silence is noticed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{Address, Clock, Shares, Side, TxHash, money::ONE};
use engine::ports::live::{LiveChannel, LiveFeed, LiveNews};
use polymarket::{LiveSocket, limits::RECONNECT_LAST, socket::WebSockets};
use simulator::world::{
    control::{ForeignFill, ForeignTrade},
    faults::{FaultKind, FaultTarget},
};

use crate::harness::{TOKEN, Venue, cents, run};

const LEADER: Address = Address([0x1e; 20]);
const OTHER: Address = Address([0x1f; 20]);
const SECOND: Duration = Duration::from_secs(1);

/// A venue with somebody who listens.
struct Scene {
    venue: Venue,
    feed: LiveSocket,
}

impl Scene {
    async fn new() -> Self {
        let venue = Venue::new().await;
        let clock = Arc::clone(&venue.clock) as Arc<dyn Clock>;
        let feed = LiveSocket::new(Arc::new(WebSockets), &venue.running.live_url, clock, 7);
        feed.follow(&BTreeSet::from([LEADER]));
        let scene = Self { venue, feed };
        scene.is_connected(0).await;
        scene
    }

    /// A connection begins with a gap; it is ready when the blank frame after the subscription has come.
    async fn is_connected(&self, frames: u64) {
        assert_eq!(self.feed.next(1).await, [LiveNews::Gap]);
        while self.feed.health().frames == frames {
            self.venue.pulse().await;
        }
    }

    fn trade(&self, number: u8, wallet: Address) {
        let fill = ForeignFill {
            wallet,
            token: TOKEN,
            side: Side::Buy,
            price: cents(50),
            shares: Shares(10 * ONE),
            maker: false,
        };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        self.venue.world.with(|world, _| world.foreign_trade(&trade)).unwrap();
    }

    async fn told(&self) -> (LiveChannel, TxHash) {
        match self.feed.next(1).await.remove(0) {
            LiveNews::Trade(trade) => (trade.channel, trade.row.tx),
            LiveNews::Gap => panic!("a gap"),
        }
    }

    /// Lets time pass until the connection is given up; how long that took.
    async fn given_up(&self) -> Duration {
        let began = self.venue.clock.uptime();
        while self.feed.health().failures == 0 {
            self.venue.clock.advance(SECOND);
            self.venue.pulse().await;
        }
        self.venue.clock.uptime() - began
    }

    async fn comes_back(&self) {
        let frames = self.feed.health().frames;
        while self.feed.health().open == 0 {
            self.venue.clock.advance(RECONNECT_LAST / 10);
            self.venue.pulse().await;
        }
        self.is_connected(frames).await;
        assert_eq!(self.feed.health().reconnects, 1);
    }
}

#[test]
fn trades_of_the_followed_are_told_and_nobody_elses() {
    run(async {
        let scene = Scene::new().await;
        scene.trade(1, OTHER);
        scene.trade(2, LEADER);
        assert_eq!(scene.told().await, (LiveChannel::Trades, TxHash([2; 32])));
        assert_eq!(scene.told().await, (LiveChannel::OrdersMatched, TxHash([2; 32])));
        // A frame is counted after it was told.
        while scene.feed.health().events < 2 {
            scene.venue.pulse().await;
        }
        let health = scene.feed.health();
        assert_eq!((health.events, health.passed_over, health.errors), (2, 2, 0));
        scene.feed.follow(&BTreeSet::from([OTHER]));
        scene.trade(3, LEADER);
        scene.trade(4, OTHER);
        assert_eq!(scene.told().await, (LiveChannel::Trades, TxHash([4; 32])));
    });
}

#[test]
fn a_silent_stall_is_noticed_although_pings_are_answered() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.fault(FaultTarget::LiveSocket, FaultKind::Stall, 1);
        scene.trade(1, LEADER);
        scene.venue.happened(FaultKind::Stall).await;
        let took = scene.given_up().await;
        assert!((30 * SECOND..=32 * SECOND).contains(&took), "{took:?}");
        scene.comes_back().await;
        scene.trade(2, LEADER);
        assert_eq!(scene.told().await, (LiveChannel::Trades, TxHash([2; 32])));
    });
}

#[test]
fn a_feed_that_says_nothing_at_all_is_left_sooner() {
    run(async {
        let scene = Scene::new().await;
        scene.venue.fault(FaultTarget::LiveSocket, FaultKind::MissPong, 100);
        let took = scene.given_up().await;
        assert!((15 * SECOND..=21 * SECOND).contains(&took), "{took:?}");
        scene.comes_back().await;
    });
}

#[test]
fn each_frame_that_is_broken_is_a_gap_and_the_connection_stays() {
    run(async {
        let scene = Scene::new().await;
        for kind in [FaultKind::Malformed, FaultKind::Duplicate] {
            scene.venue.fault(FaultTarget::LiveSocket, kind, 1);
        }
        scene.trade(1, LEADER);
        assert_eq!(scene.feed.next(1).await, [LiveNews::Gap]);
        for _ in 0..2 {
            assert_eq!(scene.told().await, (LiveChannel::OrdersMatched, TxHash([1; 32])));
        }
        let health = scene.feed.health();
        assert_eq!((health.errors, health.failures, health.open), (1, 0, 1));
    });
}

//! A source that stops altogether is told once, and once when it is back.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Address, Clock, Shares, Timestamp, TokenId};
use engine::{
    limits::{STANDBY_LOOK, STANDS_ASIDE, WATCHER_LEASE, WATCHES_IN_VAIN},
    ports::{
        store::{EventKind, InstanceId},
        venue::{BlockHeader, ChainReader, History, TradeHistory, VenueError},
    },
    sources::{SourceName, SourceWatch},
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    simulation::{
        over::{ChainLayer, Over},
        scenario::{Scenario, at},
        venue::Venue,
        world::World,
    },
};

/// When a source stops, longer after the start than blocks are kept …
const STOPS: u64 = 600;
/// … and when it is back.
const BACK: u64 = 700;

fn stopped_now(clock: &dyn Clock) -> bool {
    (at(STOPS)..at(BACK)).contains(&clock.now())
}

fn gone<T>() -> Result<T, VenueError> {
    Err(VenueError::Unavailable { what: "everything".to_owned(), reason: "gone".to_owned() })
}

/// What is told of sources until a minute after this one is back, and in which second.
fn told(world: &World, ports: WatcherPorts) -> Vec<(u64, EventKind)> {
    let sources = Arc::<SourceWatch>::default();
    let mut watcher = Watcher::new(ports).with_sources(sources.clone());
    let mut told = Vec::new();
    for second in 1..BACK + 60 {
        world.clock.advance(Duration::from_secs(1));
        while block_on(watcher.step()).is_ok_and(|stepped| stepped.busy) {}
        told.extend(sources.turns(world.clock.uptime()).into_iter().map(|kind| (second, kind)));
    }
    told
}

fn assert_told(told: &[(u64, EventKind)], source: SourceName, why: &str) {
    let [(stopped, EventKind::SourceStopped { source: first, seconds, reason }), (back, last)] = told else {
        panic!("{told:?}")
    };
    assert_eq!((*first, last), (source, &EventKind::SourceBack { source }));
    assert!(reason.contains(why), "{reason}");
    assert!((60..63).contains(seconds) && (STOPS + 58..STOPS + 63).contains(stopped), "{told:?}");
    assert!((BACK..BACK + 5).contains(back), "{told:?}");
}

fn world(name: &str) -> World {
    World::by_hand(Scenario::one_follower(name)).unwrap()
}

/// All providers are gone, or every block they have is another one than we read.
struct Stops {
    chain: Arc<Venue>,
    clock: Arc<dyn Clock>,
    other_chain: bool,
}

#[async_trait]
impl ChainLayer for Stops {
    fn inner(&self) -> &dyn ChainReader {
        self.chain.as_ref()
    }

    async fn head(&self) -> Result<BlockHeader, VenueError> {
        let head = self.chain.head().await?;
        match (stopped_now(self.clock.as_ref()), self.other_chain) {
            (true, true) => Ok(other(head)),
            (true, false) => gone(),
            (false, _) => Ok(head),
        }
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        let header = self.chain.header(number).await?;
        Ok(if stopped_now(self.clock.as_ref()) { header.map(other) } else { header })
    }
}

fn other(mut header: BlockHeader) -> BlockHeader {
    header.hash.0[0] ^= 1;
    header
}

#[test]
fn a_chain_that_nobody_can_read_is_told_once_and_once_when_it_is_back() {
    for (other_chain, why) in [(false, "gone"), (true, "reorganised by more than")] {
        let world = world("a chain that stops");
        let chain = Stops { chain: world.venue.clone(), clock: world.clock.clone(), other_chain };
        let chain: Arc<dyn ChainReader> = Arc::new(Over(chain));
        let told = told(&world, WatcherPorts { chain: Some(chain), ..world.watcher_ports() });
        assert_told(&told, SourceName::Chain, why);
    }
}

/// The venue's history, while it is there.
struct Leaves(Arc<Venue>, Arc<dyn Clock>);

#[async_trait]
impl TradeHistory for Leaves {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        if stopped_now(self.1.as_ref()) { gone() } else { self.0.activity(wallet, since).await }
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.0.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.0.held(wallet, token, since).await
    }
}

#[test]
fn a_data_api_that_answers_nobody_is_told_once_and_once_when_it_is_back() {
    for with_chain in [false, true] {
        let world = world("a history that stops");
        let history: Arc<dyn TradeHistory> = Arc::new(Leaves(world.venue.clone(), world.clock.clone()));
        let mut ports = WatcherPorts {
            history: Some(history),
            history_every: Duration::from_secs(1),
            ..world.watcher_ports()
        };
        ports.chain = ports.chain.filter(|_| with_chain);
        assert_told(&told(&world, ports), SourceName::History, "gone");
    }
}

/// A watcher beside others, which loses its sources while they stop if it is `cut_off`.
fn beside_others(world: &World, name: &str, cut_off: bool) -> Watcher {
    let mut ports = WatcherPorts { instance: InstanceId(name.to_owned()), ..world.watcher_ports() };
    if cut_off {
        let clock: Arc<dyn Clock> = world.clock.clone();
        let chain = Stops { chain: world.venue.clone(), clock: clock.clone(), other_chain: false };
        ports.chain = Some(Arc::new(Over(chain)));
        ports.history = Some(Arc::new(Leaves(world.venue.clone(), clock)));
    }
    Watcher::new(ports).beside_others()
}

/// Whether it has succeeded with something.
fn works(watcher: &mut Watcher) -> bool {
    loop {
        match block_on(watcher.step()) {
            Ok(report) if report.busy => {}
            Ok(report) => return report.active,
            Err(_) => return false,
        }
    }
}

/// Looks, each [`STANDBY_LOOK`] apart, until one that stands by works.
fn looks_until_it_works(world: &World, standby: &mut Watcher, mut others: impl FnMut()) -> u32 {
    for look in 1.. {
        world.clock.advance(STANDBY_LOOK);
        others();
        if works(standby) {
            return look;
        }
        assert!(look < 1_000, "nobody works");
    }
    unreachable!()
}

fn looks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / STANDBY_LOOK.as_millis()).unwrap()
}

/// It renewed its lease for as long as it could reach the database, while the other one stood by.
#[test]
fn a_watcher_that_is_cut_off_from_its_sources_leaves_its_lease_to_one_that_is_not() {
    let world = world("a watcher that is cut off");
    let (mut cut_off, mut standby) =
        (beside_others(&world, "cut off", true), beside_others(&world, "other", false));
    world.clock.advance(at(STOPS - 1).since(world.clock.now()));
    assert!(works(&mut cut_off) && !works(&mut standby));
    world.clock.advance(Duration::from_secs(1));
    assert!(!works(&mut cut_off));
    let took = looks_until_it_works(&world, &mut standby, || assert!(!works(&mut cut_off)));
    assert_eq!(took, looks(WATCHES_IN_VAIN));
    // For good: the other one has it.
    while world.clock.now() < at(BACK + 10) {
        world.clock.advance(STANDBY_LOOK);
        assert!(!works(&mut cut_off) && works(&mut standby));
    }
}

#[test]
fn a_watcher_that_nobody_stands_by_for_goes_on_when_its_sources_are_back() {
    let world = world("a watcher alone");
    let mut alone = beside_others(&world, "alone", true);
    assert!(works(&mut alone));
    while world.clock.now() < at(BACK) {
        world.clock.advance(STANDBY_LOOK);
        works(&mut alone);
    }
    assert!(looks_until_it_works(&world, &mut alone, || {}) <= looks(STANDS_ASIDE) + 1);
}

/// Of one that stands still nobody knows more than that its lease is over.
#[test]
fn whoever_stands_by_takes_over_within_a_lease_and_a_look() {
    let world = world("a watcher that stands still");
    let (mut first, mut standby) =
        (beside_others(&world, "first", false), beside_others(&world, "other", false));
    assert!(works(&mut first) && !works(&mut standby));
    assert!(looks_until_it_works(&world, &mut standby, || {}) <= looks(WATCHER_LEASE) + 1);
    assert!(!works(&mut first), "another one is active");
}

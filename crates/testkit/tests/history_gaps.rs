//! A history of which a page does not come: what came is taken, and the rest stays asked for.

#![cfg(test)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Shares, Side, Timestamp, TokenId, decide::Verdict};
use engine::{
    limits,
    ports::{
        detection::Source,
        following::NewRelationship,
        venue::{ChainReader, History, TradeHistory, VenueError},
    },
    watcher::{Watcher, WatcherError, WatcherPorts},
};
use testkit::{
    executor::block_on,
    simulation::{
        scenario::{Scenario, at, change, fill, token, trade},
        venue::{LeaderTrade, Venue},
        world::{START, World},
    },
};

/// The venue's history, of which only the newest rows come while there is a gap.
struct Gappy {
    venue: Arc<Venue>,
    /// How many rows come.
    comes: Mutex<Option<usize>>,
    since: Mutex<Vec<Timestamp>>,
}

#[async_trait]
impl TradeHistory for Gappy {
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError> {
        self.since.lock().unwrap().push(since);
        let mut history = self.venue.activity(wallet, since).await?;
        if let Some(comes) = *self.comes.lock().unwrap() {
            history.responses.truncate(1);
            let rows = &mut history.responses[0].rows;
            rows.reverse();
            rows.truncate(comes);
            history.gap = Some(VenueError::Timeout { what: "a page".to_owned(), after: Duration::ZERO });
        }
        Ok(history)
    }

    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        self.venue.positions(wallet).await
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        self.venue.held(wallet, token, since).await
    }
}

struct Scene {
    world: World,
    watcher: Watcher,
    history: Arc<Gappy>,
}

impl Scene {
    /// The leader buys a token, sells half of it and buys another one, with so many milliseconds in between; then the
    /// history shows it, of which only the newest row comes.
    fn new(reads_chain: bool, pause: u64) -> Self {
        let mut scenario = Scenario::one_follower("a gap");
        scenario.tokens = vec![7, 8];
        scenario.books = [7, 8].map(|number| change(number, START, (49, 100_000), (50, 100_000))).into();
        let after = |times| at(4).plus(Duration::from_millis(pause * times));
        let trade = |times, number, side, shares| LeaderTrade {
            shown_at: Some(after(4)),
            ..trade(after(times), number, side, &[fill(shares, 50)])
        };
        scenario.trades =
            vec![trade(1, 7, Side::Buy, 400), trade(2, 7, Side::Sell, 200), trade(3, 8, Side::Buy, 400)];
        let world = World::by_hand(scenario).unwrap();
        let comes = Mutex::new(Some(1));
        let history = Arc::new(Gappy { venue: world.venue.clone(), comes, since: Mutex::default() });
        let watcher = Watcher::new(WatcherPorts {
            chain: reads_chain.then(|| world.venue.clone() as Arc<dyn ChainReader>),
            history: Some(history.clone()),
            history_every: Duration::from_secs(1),
            ..world.watcher_ports()
        });
        Self { world, watcher, history }
    }

    /// Lets so many milliseconds pass, step by step; how often a step told of the gap.
    fn watch(&mut self, milliseconds: u64) -> usize {
        let mut told = 0;
        for _ in 0..milliseconds / 100 {
            self.world.clock.advance(Duration::from_millis(100));
            loop {
                match block_on(self.watcher.step()) {
                    Ok(report) if report.busy => {}
                    Ok(_) => break,
                    Err(WatcherError::Venue(VenueError::Timeout { .. })) => told += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        told
    }

    /// What was copied, in the order of the decisions.
    fn copied(&self) -> Vec<(Side, TokenId)> {
        let decisions = block_on(self.world.store.decisions_after(None, 0, 100)).unwrap();
        let copies = decisions.iter().filter(|one| matches!(one.verdict, Verdict::Copy(_)));
        copies.map(|one| (one.key.action.side(), one.key.token)).collect()
    }

    fn cursor(&self) -> Option<i64> {
        let leader = block_on(self.world.store.leaders()).unwrap()[0].id;
        block_on(self.world.store.cursor(Source::History(leader))).unwrap()
    }
}

/// One page that did not come in time took the others with it.
#[test]
fn what_came_is_copied_and_the_gap_stays_asked_for() {
    let mut scene = Scene::new(true, 100);
    assert_eq!(scene.watch(3_000), 0, "no block waits for a history");
    assert_eq!(scene.copied(), []);
    // The second buy is the newest row; its block is not there yet.
    scene.watch(2_900);
    assert_eq!(scene.copied(), [(Side::Buy, token(8))]);
    assert_eq!(scene.cursor(), None, "nothing in the gap counts as read");
    *scene.history.comes.lock().unwrap() = None;
    assert_eq!(scene.watch(2_000), 0);
    assert_eq!(scene.cursor(), Some(at(4).seconds()));
    let since = scene.history.since.lock().unwrap().clone();
    assert!(since.windows(2).all(|two| two[0] == two[1]), "asked from where it was: {since:?}");
    assert_eq!(scene.copied().len(), 2, "the chain has told the rest");
}

/// Without a chain the buy that an exit counts may be in the gap.
#[test]
fn without_a_chain_exits_wait_for_the_whole_history() {
    let mut scene = Scene::new(false, 2_000);
    assert!(scene.watch(14_000) > 0);
    let decided = |scene: &Scene| {
        let decisions = block_on(scene.world.store.decisions_after(None, 0, 100)).unwrap();
        decisions.iter().map(|one| (one.key.action.side(), one.key.token)).collect::<Vec<_>>()
    };
    assert_eq!(decided(&scene), [(Side::Buy, token(8))], "the newest rows");
    *scene.history.comes.lock().unwrap() = Some(2);
    scene.watch(1_500);
    assert_eq!(decided(&scene).len(), 1, "an exit was decided before its buy was known");
    *scene.history.comes.lock().unwrap() = None;
    assert_eq!(scene.watch(2_000), 0);
    assert_eq!(decided(&scene)[1..], [(Side::Buy, token(7)), (Side::Sell, token(7))]);
}

/// Never answers; counts how many it was asked for, and about whom.
#[derive(Default)]
struct Silent(Mutex<Vec<Address>>);

#[async_trait]
impl TradeHistory for Silent {
    async fn activity(&self, wallet: Address, _: Timestamp) -> Result<History, VenueError> {
        self.0.lock().unwrap().push(wallet);
        std::future::pending().await
    }

    async fn positions(&self, _: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        std::future::pending().await
    }

    async fn held(&self, _: Address, _: TokenId, _: Timestamp) -> Result<Shares, VenueError> {
        std::future::pending().await
    }
}

/// A history that does not answer is asked about so many leaders at once and no more; when it has been given up, the
/// others have their turn first.
#[test]
fn so_many_leaders_are_asked_for_at_once_and_those_who_waited_come_next() {
    let scene = Scene::new(false, 0);
    let Scene { world, .. } = scene;
    let store = world.store.clone();
    let now = domain::Clock::now(world.clock.as_ref());
    let known = block_on(store.following(now)).unwrap();
    let (first, account) = (&known.relationships[0], &known.accounts[0]);
    let leaders = limits::IN_FLIGHT + limits::IN_FLIGHT / 2;
    for number in 1..leaders {
        let mut wallet = [0xee; 20];
        wallet[0] = u8::try_from(number).unwrap();
        let wallet = Address(wallet);
        let leader = block_on(store.add_leader(wallet, now)).unwrap();
        let policy = first.policy.clone();
        let new = NewRelationship { account: account.trading.id, leader, policy };
        block_on(store.add_relationship(account.owner, &new, now)).unwrap();
    }
    let silent = Arc::new(Silent::default());
    let mut watcher = Watcher::new(WatcherPorts {
        chain: None,
        history: Some(silent.clone()),
        history_every: Duration::from_secs(1),
        ..world.watcher_ports()
    });
    let mut watch = |time: Duration| {
        world.clock.advance(time);
        for _ in 0..10 {
            let _ = block_on(watcher.step());
        }
        silent.0.lock().unwrap().clone()
    };
    let asked = watch(Duration::from_secs(2));
    assert_eq!(asked.len(), limits::IN_FLIGHT);
    assert_eq!(watch(Duration::from_secs(60)).len(), limits::IN_FLIGHT, "nobody has answered");
    let again = watch(limits::HISTORY_DEADLINE);
    let new: std::collections::HashSet<&Address> = again.iter().filter(|one| !asked.contains(one)).collect();
    assert_eq!((again.len(), new.len()), (2 * limits::IN_FLIGHT, leaders - limits::IN_FLIGHT));
}

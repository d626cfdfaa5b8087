//! Copies of buys in markets nobody knows wait for the venue, each follower as long as its age limit says.

#![cfg(test)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Book, Clock, ConditionId, Market, Side, TokenId, decide::Verdict, ids::RelationshipId, money::ONE,
    policy::Policy, skip::SkipReason,
};
use engine::{
    ports::{
        detection::Lane,
        following::RelationshipStatus,
        store::InstanceId,
        venue::{MarketData, VenueError},
    },
    watcher::{Watcher, WatcherPorts},
};
use testkit::{
    executor::block_on,
    simulation::{
        scenario::{Follower, Scenario, at, change, fill, token, trade},
        venue::Venue,
        world::{START, World},
    },
};

/// What the venue says of token 7's market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Silence,
    NoSuchToken,
    Known,
}

/// Market data that knows every token but one.
struct Rules {
    venue: Arc<Venue>,
    word: Mutex<Word>,
    asked: AtomicUsize,
}

#[async_trait]
impl MarketData for Rules {
    async fn market(&self, asked: TokenId, lane: Lane) -> Result<Option<Market>, VenueError> {
        if asked != token(7) {
            return self.venue.market(asked, lane).await;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let word = *self.word.lock().unwrap();
        match word {
            Word::Silence => {
                Err(VenueError::Unavailable { what: "market".to_owned(), reason: "silent".to_owned() })
            }
            Word::NoSuchToken => Ok(None),
            Word::Known => self.venue.market(asked, lane).await,
        }
    }

    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        self.venue.tokens(condition).await
    }

    async fn book(&self, token: TokenId, lane: Lane) -> Result<Option<Book>, VenueError> {
        self.venue.book(token, lane).await
    }
}

struct Scene {
    world: World,
    rules: Arc<Rules>,
    watcher: Watcher,
}

const PATIENT: Duration = Duration::from_secs(60);
const IMPATIENT: Duration = Duration::from_secs(20);

impl Scene {
    /// A leader buys token 7, whose market nobody knows, and then token 8; two followers.
    fn new(word: Word) -> Self {
        Self::with_sales(word, &[])
    }

    /// The same, and then it sells token 7 at these seconds.
    fn with_sales(word: Word, sales: &[u64]) -> Self {
        let mut scenario = Scenario::one_follower("unknown market");
        let one = scenario.followers[0].clone();
        let aged =
            |maximum_age| Follower { policy: Policy { maximum_age, ..one.policy.clone() }, ..one.clone() };
        scenario.followers = vec![aged(PATIENT), aged(IMPATIENT)];
        scenario.tokens = vec![7, 8];
        scenario.books = [7, 8].map(|number| change(number, START, (49, 1_000_000), (50, 1_000_000))).into();
        let fills = [fill(400, 50)];
        scenario.trades = [7, 8].map(|number| trade(at(4), number, Side::Buy, &fills)).into();
        scenario.trades.extend(sales.iter().map(|second| trade(at(*second), 7, Side::Sell, &fills)));
        let world = World::by_hand(scenario).unwrap();
        let rules = Arc::new(Rules {
            venue: world.venue.clone(),
            word: Mutex::new(word),
            asked: AtomicUsize::new(0),
        });
        let watcher = watcher(&world, &rules, "the watcher");
        let mut scene = Self { world, rules, watcher };
        scene.watch(0);
        scene.watch(7_000);
        scene
    }

    fn says(&self, word: Word) {
        *self.rules.word.lock().unwrap() = word;
    }

    /// Lets time pass and the watcher see what happened.
    fn watch(&mut self, millis: u64) {
        self.world.clock.advance(Duration::from_millis(millis));
        while block_on(self.watcher.step()).unwrap().busy {}
    }

    /// Time passes until the leader's trade has this age.
    fn watch_until(&mut self, age: Duration) {
        while self.world.clock.now() < at(4).plus(age) {
            self.watch(100);
        }
    }

    /// What was decided about a token, in the order of the followers.
    fn verdicts(&self, number: u8) -> Vec<Verdict> {
        let decisions = block_on(self.world.store.decisions_after(None, 0, 100)).unwrap();
        let mut of_token: Vec<(RelationshipId, Verdict)> = decisions
            .into_iter()
            .filter(|decision| decision.key.token == token(number))
            .map(|decision| (decision.relationship, decision.verdict))
            .collect();
        of_token.sort_by_key(|(relationship, _)| *relationship);
        of_token.into_iter().map(|(_, verdict)| verdict).collect()
    }

    /// Dollars of the copies; a skip is told by its reason.
    fn answers(&self, number: u8) -> Vec<Result<i64, SkipReason>> {
        let answer = |verdict| match verdict {
            Verdict::Copy(order) => Ok(order.amount / ONE),
            Verdict::Skip(reason) => Err(reason),
        };
        self.verdicts(number).into_iter().map(answer).collect()
    }

    fn undecided(&self) -> usize {
        block_on(self.world.store.incomplete_parts()).unwrap().len()
    }
}

fn watcher(world: &World, rules: &Arc<Rules>, name: &str) -> Watcher {
    let (markets, instance) = (world.cache(rules.clone()), InstanceId(name.to_owned()));
    Watcher::new(WatcherPorts { history: None, markets, instance, ..world.watcher_ports() })
}

#[test]
fn a_copy_waits_for_its_market_and_holds_up_no_other() {
    let mut scene = Scene::new(Word::Silence);
    assert_eq!(scene.answers(8), [Ok(20), Ok(20)], "the other market is known");
    assert_eq!((scene.answers(7).len(), scene.undecided()), (0, 1), "this one waits");
    scene.says(Word::Known);
    scene.watch_until(Duration::from_secs(10));
    assert_eq!(scene.answers(7), [Ok(20), Ok(20)]);
    assert_eq!(scene.undecided(), 0);
    let key = block_on(scene.world.store.newest_decisions(None, 1)).unwrap()[0].key;
    let part = block_on(scene.world.store.part(key, 0)).unwrap().unwrap();
    assert!(part.snapshot.market.is_some() && part.snapshot.top.is_some(), "what they were decided from");
}

/// A sale that was read while nobody knew its market is decided with the market, after the buy before it.
#[test]
fn a_sale_behind_a_copy_that_waits_is_decided_from_what_is_told_at_last() {
    let mut scene = Scene::with_sales(Word::Silence, &[8]);
    scene.watch_until(Duration::from_secs(8));
    assert_eq!((scene.answers(7).len(), scene.undecided()), (0, 2), "the sale waits for the buy");
    scene.says(Word::Known);
    scene.watch_until(Duration::from_secs(15));
    assert_eq!(scene.undecided(), 0);
    let decisions = block_on(scene.world.store.newest_decisions(None, 1)).unwrap();
    assert_eq!(decisions[0].key.action.side(), Side::Sell);
    let part = block_on(scene.world.store.part(decisions[0].key, 0)).unwrap().unwrap();
    assert!(part.snapshot.market.is_some() && part.snapshot.top.is_some(), "what it was decided from");
}

#[test]
fn a_copy_is_too_old_when_its_follower_would_wait_no_longer() {
    let mut scene = Scene::new(Word::Silence);
    scene.watch_until(IMPATIENT + Duration::from_secs(5));
    scene.says(Word::Known);
    scene.watch_until(IMPATIENT + Duration::from_secs(15));
    let answers = scene.answers(7);
    let [Ok(20), Err(SkipReason::TooOld { age, maximum: IMPATIENT })] = answers[..] else {
        panic!("{answers:?}");
    };
    assert!(age > IMPATIENT && age < IMPATIENT + Duration::from_secs(15), "{age:?}");
}

#[test]
fn a_market_that_is_never_told_is_asked_for_now_and_then_until_everybody_would_be_too_late() {
    let mut scene = Scene::new(Word::Silence);
    scene.watch_until(PATIENT);
    assert_eq!(scene.answers(7), []);
    // Twice as long each time, up to the last pause.
    let asked = scene.rules.asked.load(Ordering::Relaxed);
    assert!((12..=18).contains(&asked), "asked {asked} times in a minute");
    scene.watch(5_000);
    let answers = scene.answers(7);
    let [
        Err(SkipReason::TooOld { maximum: PATIENT, .. }),
        Err(SkipReason::TooOld { maximum: IMPATIENT, .. }),
    ] = answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(scene.undecided(), 0);
    let asked = scene.rules.asked.load(Ordering::Relaxed);
    scene.watch(60_000);
    assert_eq!(scene.rules.asked.load(Ordering::Relaxed), asked, "nobody asks on");
}

#[test]
fn a_token_that_the_venue_does_not_know_is_no_reason_to_wait() {
    let scene = Scene::new(Word::NoSuchToken);
    assert_eq!(scene.answers(7), [Err(SkipReason::MarketUnknown); 2]);
    // Also when it says so later.
    let mut scene = Scene::new(Word::Silence);
    assert_eq!(scene.answers(7), []);
    scene.says(Word::NoSuchToken);
    scene.watch_until(Duration::from_secs(10));
    assert_eq!(scene.answers(7), [Err(SkipReason::MarketUnknown); 2]);
}

#[test]
fn a_copy_that_waits_survives_its_watcher() {
    let mut scene = Scene::new(Word::Silence);
    scene.watcher = watcher(&scene.world, &scene.rules, "the next watcher");
    scene.watch_until(Duration::from_secs(15));
    assert_eq!((scene.answers(7).len(), scene.undecided()), (0, 1), "it waits on");
    scene.says(Word::Known);
    scene.watch_until(IMPATIENT);
    assert_eq!(scene.answers(7), [Ok(20), Ok(20)]);
}

#[test]
fn nobody_waits_for_followers_who_have_paused() {
    let mut scene = Scene::new(Word::Silence);
    for (owner, relationship) in scene.world.relationships.clone() {
        let now = scene.world.clock.now();
        let pause = scene.world.store.set_status(owner, relationship, RelationshipStatus::Paused, now);
        block_on(pause).unwrap();
    }
    scene.watch(100);
    assert_eq!(scene.answers(7), [Err(SkipReason::NotActive); 2]);
}

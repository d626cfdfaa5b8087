//! Worker and settlement driven step by step, against a venue that is slow, silent or forgetful.

#![cfg(test)]

mod deadlines;

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Book, Clock, ConditionId, Hash, Market, OrderId, OrderPlan, Price, Shares, Side, TokenId, TradingAccount,
    Usd,
    ids::IntentId,
    lifecycle::{OrderAlarm, OrderState},
    position::Position,
    trade::Quantity,
};
use engine::{
    head_watch::HeadWatch,
    limits::{ENTRY_RESEND, ROUNDED_AWAY, SETTLE_BATCH},
    orders::{self, Learned},
    ports::{
        detection::{DetectionCommit, Lane, StoredRedemption},
        execution::{OrderRecord, OrderUpdate, WorkChange},
        store::InstanceId,
        venue::{
            MarketData, OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder,
            SettlementStatus, VenueError, VenueOrder, VenueOrderStatus, VenueTrade,
        },
    },
    redemptions::Redemptions,
    salt::Salts,
    settlement::{Round, Settlement, Settling},
    steady_time::SteadyTime,
    watcher::Watcher,
    worker::{Batches, Worker},
};
use testkit::{
    executor::block_on,
    simulation::{
        scenario::{Scenario, at, change, fill, market, token, trade},
        venue::{LeaderTrade, Venue},
        world::{START, World},
    },
    virtual_clock::VirtualClock,
};

const WORKER: &str = "the worker";

/// Salts that count.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Salts for Counted {
    fn salt(&self, _: &[u8]) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) as u64
    }
}

/// A gateway whose posts bring no reply, and whose look-ups are told beforehand.
struct Silent {
    venue: Arc<Venue>,
    /// Whether the venue gets the n-th post.
    delivers: fn(usize) -> bool,
    /// How long the next preparation takes.
    slow: Mutex<Option<(Arc<VirtualClock>, Duration)>>,
    posts: Mutex<Vec<OrderId>>,
    lookups: Mutex<VecDeque<OrderLookup>>,
}

#[async_trait]
impl OrderGateway for Silent {
    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        if let Some((clock, pause)) = self.slow.lock().unwrap().take() {
            clock.advance(pause);
        }
        self.venue.prepare(plans).await
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let number = self.posts.lock().unwrap().len();
        self.posts.lock().unwrap().push(order.id);
        if (self.delivers)(number) {
            self.venue.post(account, order, times).await;
        }
        PostReply::Unknown { text: "no reply".to_owned(), blocked: false }
    }

    async fn look_up(&self, _: &TradingAccount, _: &OrderQuery) -> Result<OrderLookup, VenueError> {
        Ok(self.lookups.lock().unwrap().pop_front().unwrap_or_default())
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        _: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        let mut replies = Vec::new();
        for order in orders {
            replies.push(self.post(account, order, times).await);
        }
        replies
    }

    async fn cancel(
        &self,
        account: &TradingAccount,
        what: &engine::ports::venue::Cancel,
    ) -> Result<engine::ports::venue::Cancelled, VenueError> {
        self.venue.cancel(account, what).await
    }
}

/// How a market's rules are answered.
enum Answers {
    /// After this long.
    After(Arc<VirtualClock>, Duration),
    /// Only once so many have asked.
    Together(usize),
    /// As long as this many have asked at most; later ones get an error.
    Times(usize),
}

struct Rules {
    venue: Arc<Venue>,
    answers: Answers,
    asked: AtomicUsize,
}

impl Rules {
    fn new(world: &World, answers: Answers) -> Arc<Self> {
        Arc::new(Self { venue: world.venue.clone(), answers, asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl MarketData for Rules {
    async fn market(&self, token: TokenId, lane: Lane) -> Result<Option<Market>, VenueError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let unavailable =
            || VenueError::Unavailable { what: "market".to_owned(), reason: "silent".to_owned() };
        match &self.answers {
            Answers::After(clock, pause) => clock.advance(*pause),
            Answers::Times(times) if asked > *times => return Err(unavailable()),
            Answers::Times(_) => {}
            Answers::Together(all) => {
                let mut turns = 0;
                let together = poll_fn(|context| {
                    turns += 1;
                    context.waker().wake_by_ref();
                    let here = self.asked.load(Ordering::Relaxed) >= *all;
                    if here || turns > 100 { Poll::Ready(here) } else { Poll::Pending }
                });
                if !together.await {
                    return Err(unavailable());
                }
            }
        }
        self.venue.market(token, lane).await
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
    watcher: Watcher,
    gateway: Arc<Silent>,
    salts: Arc<Counted>,
}

impl Scene {
    /// `followers` copy a leader's buy of each token; the decisions are made.
    fn new(followers: usize, tokens: &[u8], delivers: fn(usize) -> bool) -> Self {
        let mut scenario = Scenario::one_follower("by hand");
        let one = scenario.followers[0].clone();
        scenario.followers = vec![one; followers];
        scenario.tokens = tokens.to_vec();
        let opens = |number: &u8| change(*number, START, (49, 1_000_000), (50, 1_000_000));
        scenario.books = tokens.iter().map(opens).collect();
        let buys = |number: &u8| LeaderTrade {
            shown_at: Some(at(4)),
            ..trade(at(4), *number, Side::Buy, &[fill(400, 50)])
        };
        scenario.trades = tokens.iter().map(buys).collect();
        let world = World::by_hand(scenario).unwrap();
        let watcher = Watcher::new(world.watcher_ports());
        let (slow, posts, lookups) = Default::default();
        let gateway = Arc::new(Silent { venue: world.venue.clone(), delivers, slow, posts, lookups });
        let mut scene = Self { world, watcher, gateway, salts: Arc::default() };
        scene.watch(Duration::ZERO);
        scene.watch(Duration::from_secs(7));
        scene
    }

    /// Lets time pass and the watcher see what happened.
    fn watch(&mut self, pause: Duration) {
        self.world.clock.advance(pause);
        while block_on(self.watcher.step()).unwrap().busy {}
    }

    /// One batch of a worker that reads these rules; how many orders it sent.
    fn work(&self, rules: Arc<dyn MarketData>) -> usize {
        let world = &self.world;
        let worker = Worker {
            store: world.store.clone(),
            gateway: self.gateway.clone(),
            markets: world.cache(rules),
            queue: world.doorbell.clone(),
            clock: world.clock.clone(),
            salts: self.salts.clone(),
            instance: InstanceId(WORKER.to_owned()),
            batches: Batches::default(),
        };
        block_on(async {
            world.store.begin_instance(&worker.instance, world.clock.now()).await.unwrap();
            let waiting: Vec<IntentId> =
                world.store.waiting(Lane::Entries, world.clock.now(), 1_000).await.unwrap();
            worker.execute(&waiting).await.unwrap()
        })
    }

    /// Settlement on a clock of its own.
    fn settlement(&self, clock: Arc<dyn Clock>) -> Settlement {
        let instance = InstanceId("settlement".to_owned());
        block_on(self.world.store.begin_instance(&instance, clock.now())).unwrap();
        Settlement {
            failures: Default::default(),
            store: self.world.store.clone(),
            gateway: self.gateway.clone(),
            chain: Some(self.world.venue.clone()),
            feed: None,
            head: HeadWatch::default(),
            round: Round::default(),
            silent: Default::default(),
            clock,
            steady: SteadyTime::default(),
            instance,
        }
    }

    /// The orders that were posted, in that order.
    fn orders(&self) -> Vec<OrderRecord> {
        block_on(self.world.store.orders(&self.gateway.posts.lock().unwrap())).unwrap()
    }
}

/// The head's block time was compared with our clock: with one that is a minute ahead, look-ups never counted.
#[test]
fn an_order_nobody_has_seen_is_given_up_also_by_a_clock_that_is_ahead() {
    let mut scene = Scene::new(1, &[7], |_| false);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let settlement = scene.settlement(scene.world.clock.skewed(90_000_000));
    let mut settling = Settling::new(&settlement);
    for _ in 0..60 {
        scene.watch(Duration::from_secs(5));
        block_on(settling.run_once()).unwrap();
    }
    assert_eq!(scene.orders()[0].state, OrderState::ExpiredUnseen);
}

/// The reply was lost. What the order record said was matched was booked at the limit price, and the dollars of
/// the trades that were listed later never counted.
#[test]
fn listed_trades_outrank_an_estimate_at_the_limit_price() {
    let scene = Scene::new(1, &[7], |_| false);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let matched = Some(VenueOrder { status: VenueOrderStatus::Matched, matched: Shares(10_000_000) });
    let trade = VenueTrade {
        id: "a trade".to_owned(),
        status: SettlementStatus::Matched,
        shares: Shares(10_000_000),
        usd: Usd(5_000_000),
        fee: Usd(0),
        tx: None,
    };
    let listed = OrderLookup { order: matched, trades: vec![trade] };
    let lookups = [OrderLookup { order: matched, trades: Vec::new() }, listed];
    *scene.gateway.lookups.lock().unwrap() = lookups.into();
    let settlement = scene.settlement(scene.world.clock.clone());
    let mut settling = Settling::new(&settlement);
    let mut cash = || {
        scene.world.clock.advance(Duration::from_secs(31));
        assert_eq!(block_on(settling.run_once()).unwrap(), 1);
        scene.orders()[0].booked.cash
    };
    let estimated = cash();
    assert!(estimated < Usd(-5_000_000), "at the limit: {estimated:?}");
    assert_eq!(cash(), Usd(-5_000_000));
}

/// The reply was lost in a crash, and the listed trades come to a few millionths more than was signed for, because each is
/// rounded against us: that was an alarm. What the chain says is exact, and any excess there is one.
#[test]
fn rounding_of_listed_trades_is_no_overfill_and_what_the_chain_tells_is() {
    let scene = Scene::new(1, &[7], |_| false);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let order = scene.orders().remove(0);
    let most = order.amounts.maker;
    let update = |record: &OrderRecord, parts: [i64; 2]| {
        let trade = |(number, usd)| VenueTrade {
            id: format!("trade {number}"),
            status: SettlementStatus::Matched,
            shares: Shares(1_000_000),
            usd: Usd(usd),
            fee: Usd(0),
            tx: None,
        };
        let trades = (0..).zip(parts).map(trade).collect();
        let learned = Learned { trades, unseen: Some(false), ..Learned::default() };
        orders::update(record, &learned, &Position::default(), scene.world.clock.now()).unwrap()
    };
    let rounded = update(&order, [most / 2, most - most / 2 + 3]);
    assert_eq!(rounded.alarms, []);
    assert_eq!(rounded.booking.unwrap().1.cash, Usd(-most), "as much as it can have cost");
    let beyond = update(&order, [most / 2, most - most / 2 + ROUNDED_AWAY + 1]);
    assert_eq!((beyond.alarms, beyond.booking), (vec![OrderAlarm::NotBelieved], None));
    let mut chain = order;
    chain.evidence.chain.quantity = Quantity { shares: Shares(2_000_000), usd: Usd(most + 3) };
    assert_eq!(update(&chain, [0, 0]).alarms, [OrderAlarm::Overfilled]);
}

/// Each round asked for the payouts of every redemption, one after the other, before any order was settled.
#[test]
fn a_redemption_that_nobody_resolves_is_asked_for_less_and_less_and_holds_up_no_other() {
    let mut scene = Scene::new(1, &[7, 8], |_| true);
    assert_eq!(scene.work(scene.world.venue.clone()), 2);
    scene.watch(Duration::from_secs(30));
    let settlement = scene.settlement(scene.world.clock.clone());
    let mut settling = Settling::new(&settlement);
    block_on(settling.book_chain_fills()).unwrap();
    let (store, venue) = (scene.world.store.clone(), scene.world.venue.clone());
    let pays =
        |number| venue.change_market(Market { payout: Some(Price(1_000_000)), ..market(number).unwrap() });
    pays(8);
    let account = scene.orders()[0].intent.account.id;
    let redeemed = |number: u8| StoredRedemption {
        block_hash: Hash([number; 32]),
        log_index: 0,
        block: i64::from(number),
        account,
        condition: market(number).unwrap().condition,
        payout: Usd(0),
    };
    scene.world.clock.advance(Duration::from_secs(60));
    let open = || block_on(store.unbooked_redemptions(i64::MAX, 9)).unwrap().len();
    let commit = DetectionCommit { redemptions: vec![redeemed(7), redeemed(8)], ..Default::default() };
    block_on(async {
        let (me, hour) = (InstanceId("another watcher".to_owned()), Duration::from_secs(3_600));
        store.begin_instance(&me, scene.world.clock.now()).await.unwrap();
        let lease = store.take_lease("watcher", &me, hour).await.unwrap().unwrap();
        let version = store.config_version().await.unwrap();
        store.commit_detection(&lease, version, &commit).await.unwrap();
    });
    assert_eq!(open(), 2);
    let rules = Rules::new(&scene.world, Answers::Times(usize::MAX));
    let mut redemptions = Redemptions::new(store.clone(), rules.clone(), scene.world.clock.clone());
    assert_eq!(block_on(redemptions.round()).unwrap(), 1);
    for _ in 0..60 {
        scene.world.clock.advance(Duration::from_secs(1));
        assert_eq!(block_on(redemptions.round()).unwrap(), 0);
    }
    // At 0 s both, then the one after 2, 6, 14 and 30 s.
    assert_eq!(rules.asked.load(Ordering::Relaxed), 2 + 4);
    pays(7);
    scene.world.clock.advance(Duration::from_secs(2));
    assert_eq!((block_on(redemptions.round()).unwrap(), open()), (1, 0));
}

/// Orders with news that nothing can be said about: as many as a page, and one more with a fill.
fn left_behind() -> (Scene, Settlement) {
    let mut scene = Scene::new(SETTLE_BATCH + 1, &[7], |number| number == SETTLE_BATCH);
    assert_eq!(scene.work(scene.world.venue.clone()), SETTLE_BATCH + 1);
    let now = scene.world.clock.now();
    let leave = |record: &OrderRecord| OrderUpdate {
        work: WorkChange::Close,
        unbooked: true,
        ..orders::update(record, &Learned::default(), &Position::default(), now).unwrap()
    };
    let updates: Vec<_> = scene.orders().iter().map(leave).collect();
    let applied = block_on(scene.world.store.update_orders(&updates)).unwrap();
    assert_eq!(applied, vec![true; SETTLE_BATCH + 1]);
    scene.watch(Duration::from_secs(30));
    let settlement = scene.settlement(scene.world.clock.clone());
    (scene, settlement)
}

/// The first page of orders with news was read again and again.
#[test]
fn orders_nothing_can_be_said_about_keep_no_fill_behind_them_from_being_booked() {
    let (scene, settlement) = left_behind();
    let mut settling = Settling::new(&settlement);
    for _ in 0..2 {
        block_on(settling.book_chain_fills()).unwrap();
    }
    let states: Vec<OrderState> = scene.orders().iter().map(|order| order.state).collect();
    let filled = states.iter().filter(|state| **state != OrderState::Unknown).count();
    assert_eq!(filled, 1, "{states:?}");
}

/// The work row belongs to the newest attempt: an open earlier one was never due and stayed unknown for ever.
#[test]
fn an_open_earlier_attempt_is_looked_up_until_it_is_given_up() {
    let mut scene = Scene::new(1, &[7], |_| false);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let now = scene.world.clock.now();
    let again = OrderUpdate {
        work: WorkChange::NextAttempt(now),
        unbooked: true,
        ..orders::update(&scene.orders()[0], &Learned::default(), &Position::default(), now).unwrap()
    };
    assert_eq!(block_on(scene.world.store.update_orders(&[again])).unwrap(), [true]);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let settlement = scene.settlement(scene.world.clock.clone());
    let mut settling = Settling::new(&settlement);
    for _ in 0..60 {
        scene.watch(Duration::from_secs(5));
        block_on(settling.book_chain_fills()).unwrap();
    }
    let states: Vec<OrderState> = scene.orders().iter().map(|order| order.state).collect();
    assert_eq!(states, [OrderState::ExpiredUnseen, OrderState::Unknown]);
}

/// A read of six seconds was taken from the five seconds in which an order may be sent.
#[test]
fn a_slow_read_does_not_use_up_the_time_for_sending() {
    let scene = Scene::new(1, &[7], |_| true);
    let slow = Rules::new(&scene.world, Answers::After(scene.world.clock.clone(), Duration::from_secs(6)));
    scene.work(slow);
    assert_eq!(scene.gateway.posts.lock().unwrap().len(), 1);
}

/// Whatever held signing up, its orders were committed when their time was over: missed, each of them.
#[test]
fn what_could_not_be_sent_any_more_is_not_committed() {
    let mut scene = Scene::new(2, &[7], |_| true);
    *scene.gateway.slow.lock().unwrap() = Some((scene.world.clock.clone(), ENTRY_RESEND));
    assert_eq!(scene.work(scene.world.venue.clone()), 0);
    let waiting = |scene: &Scene| block_on(scene.world.store.waiting(Lane::Entries, at(60), 9)).unwrap();
    let (intents, posts) = (waiting(&scene), scene.gateway.posts.lock().unwrap().len());
    assert_eq!((intents.len(), posts), (2, 0));
    assert!(block_on(scene.world.store.attempts_of(&intents)).unwrap().is_empty());
    scene.watch(Duration::from_secs(1));
    assert_eq!(scene.work(scene.world.venue.clone()), 2, "nothing was spent");
}

/// A batch was served in the order in which it was taken: one trade after the other.
#[test]
fn trades_of_a_batch_take_turns() {
    let scene = Scene::new(20, &[7, 8], |_| true);
    assert_eq!(scene.work(scene.world.venue.clone()), 40);
    let mut orders = scene.orders();
    orders.sort_by_key(|order| order.salt);
    assert_eq!(orders.iter().take(20).filter(|order| order.intent.token == token(7)).count(), 10);
}

/// A batch asked for one market after the other, and for each one's deadline.
#[test]
fn a_batch_asks_for_its_markets_together_and_for_each_once() {
    let scene = Scene::new(2, &[7, 8], |_| true);
    let rules = Rules::new(&scene.world, Answers::Together(2));
    assert_eq!(scene.work(rules.clone()), 4);
    assert_eq!(rules.asked.load(Ordering::Relaxed), 2);
}

/// Each order waited anew for rules that could not be read.
#[test]
fn rules_that_cannot_be_read_are_not_asked_for_with_each_order() {
    let scene = Scene::new(1, &[7], |_| true);
    let rules = Rules::new(&scene.world, Answers::Times(1));
    let cache = scene.world.cache(rules.clone());
    let known = || block_on(cache.get(token(7), Lane::Entries)).unwrap().is_some();
    assert!(known());
    let after = |seconds| {
        scene.world.clock.advance(Duration::from_secs(seconds));
        assert!(known());
        rules.asked.load(Ordering::Relaxed)
    };
    assert_eq!([after(29), after(1), after(0), after(4), after(1)], [1, 2, 2, 2, 3]);
}

//! A busy wallet on slow public services: everything is ready in time, and little is asked for.

use std::{
    future::pending,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use domain::{Level, clock::Sleep, money::ONE};

use super::*;
use crate::{clock::SystemClock, demo::urls::start_simulator};

const LEADER: Address = Address([0x1e; 20]);
/// What each call to a public service takes.
const CALL: Duration = Duration::from_millis(100);
/// The engine's own deadline for a history.
const PATIENCE: Duration = Duration::from_secs(10);

/// The system's clock, some time ahead.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn by(&self) -> Duration {
        Duration::from_millis(self.0.load(SeqCst))
    }

    fn go(&self, further: Duration) {
        self.0.fetch_add(u64::try_from(further.as_millis()).unwrap(), SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.by())
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime() + self.by()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

/// The public services, each call of which takes a while and is counted.
#[derive(Default)]
struct Services {
    clock: Arc<Ahead>,
    rows: Mutex<Vec<HistoryRow>>,
    /// A token whose market is never told.
    dead: Option<TokenId>,
    /// How much longer the history takes.
    slow: Duration,
    histories: AtomicUsize,
    markets: AtomicUsize,
    books: AtomicUsize,
}

impl Services {
    fn trade(&self, number: u16, token: TokenId) {
        let mut tx = [0; 32];
        tx[..2].copy_from_slice(&number.to_be_bytes());
        let kind =
            HistoryKind::Trade { token, side: Side::Buy, shares: Shares(100 * ONE), price: Price(400_000) };
        let condition = ConditionId::from([0xc0; 32]);
        let traded_at = self.clock.now();
        lock(&self.rows).push(HistoryRow { wallet: LEADER, tx: TxHash(tx), condition, traded_at, kind });
    }

    /// Calls since the last time: histories, markets, books.
    fn calls(&self) -> [usize; 3] {
        [&self.histories, &self.markets, &self.books].map(|calls| calls.swap(0, SeqCst))
    }
}

#[async_trait]
impl TradeHistory for Services {
    async fn activity(&self, _: Address, _: Timestamp) -> Result<History, VenueError> {
        self.histories.fetch_add(1, SeqCst);
        SystemClock.sleep(CALL).await;
        self.clock.go(self.slow);
        let rows = lock(&self.rows).clone();
        // Two views of the same fills, as the Data API has them.
        Ok(History::whole(vec![HistoryResponse { rows: rows.clone() }, HistoryResponse { rows }]))
    }

    async fn positions(&self, _: Address) -> Result<Vec<(TokenId, Shares)>, VenueError> {
        Ok(vec![])
    }

    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError> {
        unreachable!("asked for {token} of {wallet} since {since}")
    }
}

#[async_trait]
impl MarketData for Services {
    async fn market(&self, token: TokenId, _: Lane) -> Result<Option<Market>, VenueError> {
        self.markets.fetch_add(1, SeqCst);
        SystemClock.sleep(CALL).await;
        if self.dead == Some(token) {
            pending::<()>().await;
        }
        Ok(Some(Market {
            token,
            condition: ConditionId::from([0xc0; 32]),
            tick: TickSize::Hundredth,
            minimum_size: Shares(5 * ONE),
            negative_risk: false,
            fee: domain::market::FeeSchedule::default(),
            taker_delay_ms: 0,
            accepting_orders: true,
            payout: None,
            title: "Will it hold?".to_owned(),
            slug: String::new(),
            outcome: "Yes".to_owned(),
        }))
    }

    async fn tokens(&self, _: ConditionId) -> Result<Vec<TokenId>, VenueError> {
        Ok(Vec::new())
    }

    async fn book(&self, _: TokenId, _: Lane) -> Result<Option<Book>, VenueError> {
        self.books.fetch_add(1, SeqCst);
        SystemClock.sleep(CALL).await;
        let level = |cents: i64| vec![Level { price: Price(cents * 10_000), size: Shares(900 * ONE) }];
        Ok(Some(Book { bids: level(39), asks: level(40) }))
    }
}

/// A mirror of these services, and the simulator that it makes ready.
struct World {
    services: Arc<Services>,
    mirror: MirroredHistory,
    clob: String,
    _simulator: simulator::Running,
}

impl World {
    async fn of(services: Services) -> Self {
        let services = Arc::new(services);
        let clock: Arc<dyn Clock> = Arc::clone(&services.clock) as Arc<dyn Clock>;
        let (urls, simulator) = start_simulator(1, &clock).await.unwrap();
        let control = Control::new(polymarket::client().unwrap(), &urls.control);
        let (real, markets) = (Arc::clone(&services), Arc::clone(&services));
        let mirror = MirroredHistory::new(LEADER, real, markets, control, clock, Arc::default());
        Self { services, mirror, clob: urls.clob, _simulator: simulator.unwrap() }
    }

    /// Asks as the engine does.
    async fn ask(&self, patience: Duration) -> Result<usize, VenueError> {
        let ask = self.mirror.activity(LEADER, Timestamp(0));
        let answer = venue_call(&SystemClock, "history", patience, ask).await;
        answer.map(|history| history.responses.iter().map(|response| response.rows.len()).sum())
    }

    /// Whether the venue on which followers trade has a book of this token.
    async fn has_book(&self, token: TokenId) -> bool {
        let url = format!("{}/book?token_id={token}", self.clob);
        polymarket::client().unwrap().get(url).send().await.unwrap().status().is_success()
    }

    fn following(&self) -> Following {
        lock(&self.mirror.following).clone()
    }
}

fn token(number: u8) -> TokenId {
    TokenId([number + 1; 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_wallet_is_answered_in_time_and_what_is_known_costs_nothing() {
    let world = World::of(Services::default()).await;
    let services = &world.services;
    for number in 0..60 {
        services.trade(number, token(u8::try_from(number).unwrap()));
    }
    assert_eq!(world.ask(PATIENCE).await, Ok(120));
    assert_eq!(services.calls(), [1, 60, 60]);
    for number in 0..60 {
        assert!(world.has_book(token(number)).await, "{number}");
    }
    assert_eq!((world.following().silent, world.following().late), (None, None));

    // The same rows again, as every poll tells them for two minutes.
    services.clock.go(Duration::from_secs(60));
    assert_eq!(world.ask(PATIENCE).await, Ok(120));
    assert_eq!(services.calls(), [1, 0, 0]);
    // Ten trades of one token: its book is read once, and not again for rows that come late.
    for number in 60..70 {
        services.trade(number, token(0));
    }
    assert_eq!(world.ask(PATIENCE).await, Ok(140));
    assert_eq!(services.calls(), [1, 0, 1]);
    services.clock.go(Duration::from_secs(2));
    services.trade(70, token(1));
    let late = HistoryRow { tx: TxHash([0xaa; 32]), ..lock(&services.rows)[0].clone() };
    lock(&services.rows).push(late);
    assert_eq!(world.ask(PATIENCE).await, Ok(144));
    assert_eq!(services.calls(), [1, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_asks_the_public_services_for_a_bounded_number_of_tokens() {
    let world = World::of(Services::default()).await;
    for number in 0..200 {
        world.services.trade(number, token(u8::try_from(number).unwrap()));
    }
    assert_eq!(world.ask(PATIENCE).await, Ok(400));
    assert_eq!(world.services.calls(), [1, TOKENS_AT_ONCE, TOKENS_AT_ONCE]);
    assert!(world.has_book(token(199)).await && !world.has_book(token(0)).await, "the newest first");
    assert_eq!(world.ask(PATIENCE).await, Ok(400));
    assert_eq!(world.services.calls(), [1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_made_ready_holds_up_no_other() {
    let world = World::of(Services { dead: Some(token(3)), ..Services::default() }).await;
    for number in 0..20 {
        world.services.trade(number, token(u8::try_from(number).unwrap()));
    }
    assert_eq!(world.ask(PATIENCE).await, Ok(40));
    for number in 0..20 {
        assert_eq!(world.has_book(token(number)).await, number != 3, "{number}");
    }
    assert_eq!(world.ask(PATIENCE).await, Ok(40));
    assert_eq!(world.services.calls(), [2, 20, 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_late_or_given_up_is_noted() {
    let services = Services { dead: Some(token(0)), slow: Duration::from_secs(4), ..Services::default() };
    let world = World::of(services).await;
    assert_eq!(world.ask(PATIENCE).await, Ok(0));
    let Following { silent, late, .. } = world.following();
    assert!(silent.is_none() && late.is_some_and(|took| took >= world.services.slow), "{late:?}");
    // The history has answered, a market has not, and the engine gives up.
    world.services.trade(1, token(0));
    world.ask(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(world.services.calls(), [2, 1, 1]);
    let Following { silent, late, .. } = world.following();
    assert_eq!((silent.map(|(_, why)| why).as_deref(), late), (Some("no answer in time"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_bounded_and_what_was_forgotten_is_made_ready_again() {
    let world = World::of(Services::default()).await;
    world.services.trade(1, token(0));
    assert_eq!(world.ask(PATIENCE).await, Ok(2));
    let soon = world.services.clock.now().plus(Duration::from_secs(1));
    for number in 0..2 * u32::try_from(REMEMBERED).unwrap() {
        let mut bytes = [0xff; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let book_at = soon.plus(Duration::from_millis(number.into()));
        world.mirror.remember(TokenId(bytes), Ready { tick: TickSize::Hundredth, book_at });
    }
    assert_eq!(lock(&world.mirror.ready).len(), REMEMBERED);
    world.services.clock.go(Duration::from_secs(10));
    // Rows are remembered as long as they are told.
    lock(&world.services.rows).clear();
    world.services.trade(2, token(0));
    assert_eq!(world.ask(PATIENCE).await, Ok(2));
    assert_eq!(lock(&world.mirror.told).len(), 1);
    assert_eq!(world.services.calls(), [2, 2, 2]);
    let remembered = lock(&world.mirror.ready).contains_key(&token(0));
    assert!(remembered && world.has_book(token(0)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_third_exchange_have_markets_too() {
    let world = World::of(Services::default()).await;
    let mut bytes = [0x11; 32];
    bytes[19..27].fill(0);
    let token = TokenId(bytes);
    assert!(token.is_v3());
    world.services.trade(1, token);
    assert_eq!(world.ask(PATIENCE).await, Ok(2));
    assert!(world.has_book(token).await);
}

#[test]
fn both_outcomes_are_of_one_market_where_the_venue_tells() {
    let id = |mark: u8| TokenId([mark; 32]);
    let market = Market {
        token: id(2),
        condition: ConditionId::from([0xc0; 32]),
        tick: TickSize::Hundredth,
        minimum_size: Shares(5 * ONE),
        negative_risk: false,
        fee: domain::market::FeeSchedule::default(),
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: String::new(),
        slug: String::new(),
        outcome: "No".to_owned(),
    };
    let told = spec(&market, &[id(1), id(2)]).unwrap();
    assert_eq!((told.condition, told.tokens), (market.condition, [id(1), id(2)]));
    assert_eq!(told.outcomes, ["opposite", "No"]);
    let first = spec(&Market { token: id(1), ..market.clone() }, &[id(1), id(2)]).unwrap();
    assert_eq!((first.tokens, &*first.outcomes[0]), ([id(1), id(2)], "No"));
    // Not told, or told of another market: made up.
    for pair in [&[][..], &[id(3), id(4)]] {
        let alone = spec(&market, pair).unwrap();
        assert_eq!(alone.tokens[0], market.token);
        assert_ne!(alone.condition, market.condition);
    }
}

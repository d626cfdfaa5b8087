//! A venue, its channels and books put together from them.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use domain::{
    Address, Book, Clock, ConditionId, KeyRef, Level, Price, Shares, Side, Timestamp, TokenId,
    TradingAccount, WalletKind, ids::AccountId, money::ONE,
};
use eip712::Chain;
use engine::{
    live_books::LiveBooks,
    ports::{
        feeds::{MarketFeed, MarketNews},
        venue::Signer,
    },
};
use polymarket::{AccountSockets, Clob, MarketSockets, limits::RECONNECT_LAST, socket::WebSockets};
use signer::{DerivedKeys, LocalSigner};
use simulator::{
    Knobs, Running, Simulator, SimulatorConfig, WorldHandle,
    world::{
        control::Levels,
        faults::{Fault, FaultKind, FaultTarget},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use testkit::virtual_clock::VirtualClock;
use zeroize::Zeroizing;

pub const TOKEN: TokenId = TokenId([0x10; 32]);
pub const OTHER: TokenId = TokenId([0x11; 32]);
/// No test takes longer unless it hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test and fails it when it hangs.
pub fn run(test: impl Future<Output = ()> + Send + 'static) {
    let (done, end) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test);
        done.send(()).expect("somebody waits");
    });
    match end.recv_timeout(WATCHDOG) {
        Ok(()) => {}
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it panicked"));
        }
    }
}

pub fn condition() -> ConditionId {
    ConditionId::from_slice(&[0xc0; 32]).unwrap()
}

pub fn cents(cents: i64) -> Price {
    Price(cents * 10_000)
}

/// A venue with one market, on a clock that stands.
pub struct Venue {
    pub clock: Arc<VirtualClock>,
    pub world: WorldHandle,
    pub running: Running,
}

impl Venue {
    pub async fn new() -> Self {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_795_449_790));
        let config = SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() };
        let running = Simulator::start(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let world = running.world();
        world.with(|world, _| world.add_market(market())).unwrap();
        let venue = Self { clock, world, running };
        venue.levels(&[(49, 5), (48, 7)], &[(51, 500), (52, 9)]);
        venue
    }

    pub fn origin(&self) -> String {
        self.running.clob_url.replace("http://", "ws://")
    }

    /// Sets the house's levels, a millisecond later: cents and shares.
    pub fn levels(&self, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        self.clock.advance(Duration::from_millis(1));
        let side = |levels: &[(i64, i64)]| {
            let level = |(price, shares): &(i64, i64)| simulator::world::control::Level {
                price: cents(*price),
                shares: Shares(shares * ONE),
            };
            levels.iter().map(level).collect()
        };
        let levels = Levels { token: TOKEN, bids: side(bids), asks: side(asks), extend: false };
        self.world.with(|world, _| world.set_levels(&levels)).unwrap();
    }

    pub fn fault(&self, target: FaultTarget, kind: FaultKind, count: u32) {
        let fault = Fault { target, kind, count, delay_ms: 0, depth: 0 };
        assert!(self.world.with(|world, _| world.faults.push(fault)));
    }

    /// Waits until a fault has happened.
    pub async fn happened(&self, kind: FaultKind) {
        while self.world.with(|world, _| !world.faults.happened().contains_key(&kind)) {
            tokio::task::yield_now().await;
        }
    }

    /// Asks the venue for something by HTTP and waits for the answer: time for what is on other sockets.
    pub async fn pulse(&self) {
        for _ in 0..5 {
            let client = polymarket::client().unwrap();
            client.get(&self.running.control_url).send().await.unwrap().bytes().await.unwrap();
        }
    }

    /// Lets time pass until something is done.
    pub async fn while_time_passes<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.pulse() => self.clock.advance(Duration::from_millis(250)),
            }
        }
    }

    /// Lets pauses pass until a socket is open.
    pub async fn until_open(&self, books: &Books) {
        while books.feed.health().open == 0 {
            self.clock.advance(RECONNECT_LAST / 10);
            self.pulse().await;
        }
    }

    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        self.world.with(|world, _| change(&mut world.knobs));
    }

    /// A token's book as the venue has it.
    pub fn book(&self, token: TokenId) -> Book {
        self.world.with(|world, _| {
            let side = |side| -> Vec<Level> {
                let levels = world.book(&token).map_or_else(Vec::new, |book| book.levels(side));
                levels.into_iter().map(|(price, size)| Level { price, size }).collect()
            };
            Book { bids: side(Side::Buy), asks: side(Side::Sell) }
        })
    }
}

pub fn market() -> MarketSpec {
    MarketSpec {
        condition: condition(),
        tokens: [TOKEN, OTHER],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: cents(1),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
        title: "Is \"event_type\":\"book\" a question?".to_owned(),
        slug: "question".to_owned(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// A follower of books.
pub struct Books {
    pub feed: MarketSockets,
    pub books: LiveBooks,
    clock: Arc<VirtualClock>,
}

impl Books {
    pub fn of(venue: &Venue, tokens: &[TokenId]) -> Self {
        let clock = Arc::clone(&venue.clock) as Arc<dyn Clock>;
        let feed = MarketSockets::new(Arc::new(WebSockets), &venue.origin(), clock, 7);
        feed.follow(&tokens.iter().copied().collect::<BTreeSet<_>>());
        Self { feed, books: LiveBooks::default(), clock: Arc::clone(&venue.clock) }
    }

    /// Takes the next news. Also says them.
    pub async fn hear(&mut self) -> Vec<MarketNews> {
        let news = self.feed.next().await;
        for news in &news {
            for token in self.books.hear(news, self.clock.uptime()) {
                self.feed.refresh(token);
            }
        }
        news
    }

    pub fn book(&self, token: TokenId) -> Option<Book> {
        self.books.get(token, self.clock.uptime())
    }

    /// Takes news until the token's book is the venue's.
    pub async fn until_equal(&mut self, venue: &Venue, token: TokenId) {
        while self.book(token) != Some(venue.book(token)) {
            self.hear().await;
        }
    }

    /// Takes news until some of them are as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&MarketNews) -> bool) {
        while !self.hear().await.iter().any(&wanted) {}
    }
}

/// An account of the venue, with money.
pub async fn account(venue: &Venue, signer: &LocalSigner, name: &str, id: i64) -> TradingAccount {
    let key = KeyRef(name.to_owned());
    let owner: Address = signer.address(&key).await.unwrap();
    venue.world.with(|world, now| {
        let wallet = Wallet {
            address: owner,
            owner,
            signature_type: 0,
            approved: true,
            standing: Standing::default(),
        };
        world.add_wallet(wallet).unwrap();
        world.credit(owner, Asset::Collateral, 1_000 * ONE);
        world.mine(now);
    });
    TradingAccount { id: AccountId(id), wallet: owner, signer: owner, kind: WalletKind::Eoa, key }
}

/// The venue's adapter with a signer.
pub fn clob(venue: &Venue) -> (Arc<Clob>, Arc<LocalSigner>) {
    let (clob, signer) = adapter(venue);
    (Arc::new(clob), signer)
}

/// The same, to be set up further.
pub fn adapter(venue: &Venue) -> (Clob, Arc<LocalSigner>) {
    let signer =
        Arc::new(LocalSigner::new(Chain::Polygon, Box::new(DerivedKeys::new(Zeroizing::new([7; 32])))));
    let clock = Arc::clone(&venue.clock) as Arc<dyn Clock>;
    let client = polymarket::client().unwrap();
    let port = Arc::clone(&signer) as Arc<dyn Signer>;
    (Clob::new(client, &venue.running.clob_url, Chain::Polygon, port, clock), signer)
}

/// The user channel.
pub fn accounts(venue: &Venue, clob: &Arc<Clob>) -> AccountSockets {
    let clock = Arc::clone(&venue.clock) as Arc<dyn Clock>;
    AccountSockets::new(Arc::clone(clob), Arc::new(WebSockets), &venue.origin(), clock, 7)
}

//! One market, one leader, a few followers, the engine and the simulated venue.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock, atomic::AtomicU64},
    time::Duration,
};

use domain::{
    Address, Clock, ConditionId, Price, Shares, Side, Timestamp, TokenId, TxHash,
    decide::Verdict,
    ids::{AttemptId, IntentId, RelationshipId},
    lifecycle::OrderState,
    money::ONE,
    policy::{Policy, Sizing},
    skip::SkipReason,
    trade::GroupKey,
};
use eip712::Chain;
use engine::{
    market_cache::LiveHealth,
    ports::{
        detection::Source,
        execution::OrderRecord,
        live::LiveFeed,
        reports::DecisionRecord,
        store::{EventKind, Store},
        venue::{ChainReader, OrderGateway},
    },
};
use polymarket::{Answers, Rpc, VenueLimits};
use simulator::{
    Knobs, RpcView, Running, Simulator, SimulatorConfig, World, WorldHandle,
    world::{
        control::{Level, Levels},
        faults::{Fault, FaultKind},
        fees::FeeSchedule,
        registry::MarketSpec,
        settlement::{ReorgSpec, TxName},
        verdict::OrderReport,
    },
};
use slipstream::{
    chain::ChainProviders,
    channels::Channels,
    clock::SystemClock,
    commands::DATABASE,
    composition::{Composed, Foundation, Hosts, Pace, derived_signer},
    demo::{
        SimulatorUrls,
        control::Control,
        setup::{self, Follower},
        wallets,
    },
    instance::this_process,
    runtime::{Runtime, Settings},
    secrets::InstallationSecret,
    venue_clock::ClockWatch,
};
use store::SqlStore;
use testkit::quick_clock::QuickClock;

pub use crate::has::Has;

use crate::gate::Gate;

/// Nothing here takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So much faster than real time passes for engine and venue: most of what happens here is waiting.
const TIMES: u32 = 2;
/// Between blocks, usually: long enough to be read one by one.
pub const BLOCK_MS: u64 = 500;
/// Seed of keys, salts and pauses.
pub const SEED: u64 = 7;
/// The token that is traded.
pub const TOKEN: TokenId = TokenId([0x10; 32]);
/// The other outcome.
pub const OTHER: TokenId = TokenId([0x11; 32]);
/// The leader's wallet.
pub const LEADER: Address = Address([0x1e; 20]);

/// How a scene is set.
pub struct Setup {
    /// Milliseconds of [`clock`] between blocks; 0 = only when the test says so.
    pub block_ms: u64,
    pub followers: usize,
    pub workers: usize,
    pub policy: Policy,
    /// The engine's clock; the venue always has the right time.
    pub clock: Arc<dyn Clock>,
    pub knobs: Knobs,
    /// Whether the market is a neg-risk one.
    pub neg_risk: bool,
    /// Whether its shares are of the V3 era.
    pub v3: bool,
    /// Whether the Data API is read.
    pub history: bool,
    /// Whether the chain is read.
    pub chain: bool,
    /// Whether the live trade feed is heard.
    pub live: bool,
    /// How often the Data API is asked.
    pub history_every: Duration,
    /// How many providers of the chain there are.
    pub providers: usize,
    /// Whether the venue's channels are listened to.
    pub channels: bool,
    /// Whether followers redeem resolved shares by themselves.
    pub redeem: bool,
    /// How fast the venue is called, if not at any pace.
    pub limits: Option<VenueLimits>,
    /// The data directory, if it is not to be a temporary one.
    pub directory: Option<PathBuf>,
}

impl Default for Setup {
    /// A follower who buys for a tenth of the leader's dollars.
    fn default() -> Self {
        Self {
            block_ms: BLOCK_MS,
            followers: 1,
            workers: 2,
            policy: tenth(),
            clock: clock(),
            knobs: Knobs { data_lag_ms: 0, ..Knobs::default() },
            neg_risk: false,
            v3: false,
            history: false,
            chain: true,
            live: false,
            history_every: Duration::from_millis(50),
            providers: 2,
            channels: false,
            redeem: false,
            limits: None,
            directory: None,
        }
    }
}

/// A tenth of the leader's dollars, at most 30 s old.
pub fn tenth() -> Policy {
    Policy { sizing: Sizing::Ratio(ONE / 10), maximum_age: Duration::from_secs(30), ..Policy::careful() }
}

/// Everything at work.
pub struct Scene {
    pub clock: Arc<dyn Clock>,
    pub world: WorldHandle,
    pub control: Control,
    pub store: Arc<dyn Store>,
    pub gate: Arc<Gate>,
    /// The chain without whatever stands between it and the engine.
    pub chain: Arc<dyn ChainReader>,
    /// What the engine reads the chain through.
    pub providers: ChainProviders,
    pub answers: Arc<Answers>,
    pub followers: Vec<Follower>,
    /// The market; its first token is traded.
    pub market: MarketSpec,
    pub directory: PathBuf,
    channels: Option<Channels>,
    pub live: Arc<dyn LiveFeed>,
    simulator: Running,
    pub runtime: Runtime,
    manual: bool,
    pub next_tx: AtomicU64,
    _temporary: tempfile::TempDir,
}

/// The time of engine and venue.
pub fn clock() -> Arc<dyn Clock> {
    static CLOCK: LazyLock<Arc<QuickClock<SystemClock>>> =
        LazyLock::new(|| Arc::new(QuickClock::new(SystemClock, TIMES)));
    Arc::clone(&*CLOCK) as Arc<dyn Clock>
}

pub fn condition() -> ConditionId {
    ConditionId::from_slice(&[0xc0; 32]).expect("32 bytes")
}

pub fn cents(cents: i64) -> Price {
    Price(cents * 10_000)
}

pub fn whole(shares: i64) -> Shares {
    Shares(shares * ONE)
}

pub fn market() -> MarketSpec {
    MarketSpec {
        condition: condition(),
        tokens: [TOKEN, OTHER],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: cents(1),
        min_size: whole(5),
        neg_risk: false,
        fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
        title: "Will it hold?".to_owned(),
        slug: "will-it-hold".to_owned(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// The same question with shares of the V3 era: a token's id is its condition's and the number of the outcome.
pub fn market_v3() -> MarketSpec {
    let mut id = [0; 32];
    (id[0], id[1]) = (1, 0xc3);
    let condition = ConditionId::from_slice(&id[..31]).expect("31 bytes");
    let tokens = [0, 1].map(|outcome| {
        id[31] = outcome;
        TokenId(id)
    });
    MarketSpec { condition, tokens, ..market() }
}

/// Waits until `holds`, looking again and again; fails after a long time.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = SystemClock.uptime() + PATIENCE;
    while !holds().await {
        assert!(SystemClock.uptime() < limit, "not within {PATIENCE:?}: {what}");
        SystemClock.sleep(LOOK_EVERY).await;
    }
}

impl Scene {
    /// A scene as usual.
    pub async fn usual() -> Self {
        Self::set(Setup::default()).await
    }

    /// A scene in which blocks are made by the test.
    pub async fn manual() -> Self {
        Self::set(Setup { block_ms: 0, ..Setup::default() }).await
    }

    pub async fn set(setup: Setup) -> Self {
        let config = SimulatorConfig {
            block_interval_ms: setup.block_ms,
            knobs: setup.knobs.clone(),
            rpc_listeners: setup.providers,
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::start(config, clock()).await.expect("free ports");
        let rpc = simulator.rpc_urls.join(",");
        let urls = [simulator.clob_url.clone(), simulator.data_url.clone(), rpc];
        Self::with(setup, simulator, urls).await
    }

    /// As [`Scene::set`] against a simulator that runs, reached at `urls` (CLOB, Data API, RPC providers).
    pub async fn with(setup: Setup, simulator: Running, urls: [String; 3]) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = setup.directory.unwrap_or_else(|| temporary.path().to_owned());
        let clock = setup.clock;
        let client = polymarket::client().expect("a client");
        let control = Control::new(client.clone(), &simulator.control_url);
        let secret = Arc::new(InstallationSecret::of_seed(SEED));
        let signer = derived_signer(&secret);
        let followers = setup::followers(setup.followers, SEED, &secret, &signer).await.expect("followers");
        let opened = SqlStore::open(&directory.join(DATABASE), Arc::clone(&clock)).await.expect("a store");
        let store: Arc<dyn Store> = Arc::new(opened);
        let market = if setup.v3 { market_v3() } else { MarketSpec { neg_risk: setup.neg_risk, ..market() } };
        control.add_market(&market).await.expect("a market");
        let now = Timestamp::from_seconds(clock.now().seconds());
        let styles = setup::built_in_styles();
        setup::enrol(store.as_ref(), &control, &followers, &styles, &[LEADER], now).await.expect("enrolled");
        for relationship in store.relationships(None).await.expect("relationships") {
            let set = store.set_policy(relationship.owner, relationship.id, &setup.policy, now);
            set.await.expect("a policy");
        }
        let [clob, data, rpc] = urls;
        let foundation = Foundation {
            client: client.clone(),
            clock: Arc::clone(&clock),
            store: Arc::clone(&store),
            signer: Arc::clone(&signer) as _,
            salts: Arc::clone(&secret) as _,
            seed: SEED,
        };
        let hosts = Hosts {
            clob,
            geoblock: Some(simulator.clob_url.clone()),
            data: setup.history.then_some(data),
            channels: setup.channels.then(|| simulator.clob_url.clone()),
            live: Some(simulator.live_url.clone()),
            rpc: Some(rpc),
        };
        let pace = Pace { clob: setup.limits, ..Pace::default() };
        let Composed { mut ports, providers, answers, .. } =
            foundation.at(&hosts, pace, None).expect("an engine's ports");
        let providers = providers.expect("providers");
        let parts = wallets::Parts {
            client: client.clone(),
            control: &control,
            urls: &SimulatorUrls::of(&simulator),
            secret: &secret,
            signer: &signer,
            providers: &providers,
            clock: &clock,
            answers: &answers,
        };
        let redeemer = wallets::redeemer(&parts).await.expect("a redeemer");
        let straight = Arc::new(Rpc::new(client, &simulator.rpc_url, Chain::Polygon));
        let gate = Arc::new(Gate::new(Arc::clone(&ports.gateway)));
        ports.gateway = Arc::clone(&gate) as Arc<dyn OrderGateway>;
        ports.redeemer = setup.redeem.then_some(redeemer);
        let live = ports.live.clone().expect("a live feed");
        ports.live = ports.live.filter(|_| setup.live);
        ports.chain = ports.chain.filter(|_| setup.chain);
        let channels = ports.channels.clone();
        let settings = Settings::alone(setup.workers, setup.history_every);
        let runtime = Runtime::start(ports, settings, this_process()).await.expect("an engine");
        let scene = Self {
            clock,
            world: simulator.world(),
            control,
            store,
            gate,
            chain: straight,
            providers,
            answers,
            followers,
            market,
            directory,
            channels,
            live,
            simulator,
            runtime,
            manual: setup.block_ms == 0,
            next_tx: AtomicU64::new(1),
            _temporary: temporary,
        };
        scene.book(49, 50);
        if setup.chain {
            until("detection has its baseline", async || scene.cursor(Source::Chain).await.is_some()).await;
        }
        // The followers' money is on the chain.
        scene.mine();
        scene
    }

    async fn cursor(&self, source: Source) -> Option<i64> {
        self.store.cursor(source).await.expect("a cursor")
    }

    /// 1,000 shares on each side, in cents.
    pub fn book(&self, bid: i64, ask: i64) {
        self.book_of(self.market.tokens[0], bid, ask);
    }

    pub fn book_of(&self, token: TokenId, bid: i64, ask: i64) {
        let level = |price| vec![Level { price: cents(price), shares: whole(1_000) }];
        let levels = Levels { token, bids: level(bid), asks: level(ask), extend: false };
        self.world.with(|world, _| world.set_levels(&levels)).expect("levels");
    }

    /// How books from the market channel are doing.
    pub fn book_health(&self) -> Option<LiveHealth> {
        self.runtime.book_health()
    }

    /// Whether the follower's user channel is open.
    pub fn listens(&self) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.accounts.health().open > 0)
    }

    /// How the engine's clock compares with the venue's.
    pub fn clock_watch(&self) -> ClockWatch {
        self.runtime.clock_watch()
    }

    /// URLs of the chain's providers.
    pub fn rpc_urls(&self) -> Vec<String> {
        self.simulator.rpc_urls.clone()
    }

    /// Kills the first worker, wherever it is.
    pub fn kill_worker(&self) -> bool {
        self.runtime.kill_worker()
    }

    /// Makes a block, where the test makes them.
    pub fn mine(&self) {
        if self.manual {
            self.world.with(|world, now| world.mine(now));
        }
    }

    pub fn fault(&self, kind: FaultKind, count: u32) {
        self.delayed_fault(kind, count, 0);
    }

    pub fn delayed_fault(&self, kind: FaultKind, count: u32, delay_ms: u64) {
        let fault = Fault { target: kind.target(), kind, count, delay_ms, depth: 0 };
        assert!(self.world.with(|world, _| world.faults.push(fault)));
    }

    /// Replaces the newest `depth` blocks.
    pub fn reorganise(&self, depth: u64, drop: &[TxHash], replace: &[TxHash], delay: &[TxHash]) {
        let names = |hashes: &[TxHash]| hashes.iter().map(|hash| TxName::Hash(*hash)).collect();
        let spec = ReorgSpec { depth, drop: names(drop), replace: names(replace), delay: names(delay) };
        self.world.with(|world, now| world.reorganise(now, &spec)).expect("a reorganisation");
    }

    /// Decisions, oldest first.
    pub async fn decisions(&self) -> Vec<DecisionRecord> {
        self.store.decisions_after(None, 0, 1_000).await.expect("decisions")
    }

    /// Verdicts in the order they were made: `None` for a copy.
    pub async fn skips(&self) -> Vec<Option<SkipReason>> {
        let reason = |record: DecisionRecord| match record.verdict {
            Verdict::Copy(_) => None,
            Verdict::Skip(reason) => Some(reason),
        };
        self.decisions().await.into_iter().map(reason).collect()
    }

    /// Our orders, by intent and attempt.
    pub async fn orders(&self) -> Vec<OrderRecord> {
        let mut intents: Vec<IntentId> =
            self.decisions().await.into_iter().filter_map(|record| record.intent).collect();
        intents.sort();
        self.store.attempts_of(&intents).await.expect("orders")
    }

    /// States of our orders, by intent and attempt.
    pub async fn states(&self) -> Vec<OrderState> {
        self.orders().await.into_iter().map(|order| order.state).collect()
    }

    /// The venue's own record of every order it ever saw.
    pub fn seen(&self) -> Vec<OrderReport> {
        self.world.with(|world, _| world.order_reports())
    }

    pub async fn relationship(&self, follower: usize) -> RelationshipId {
        self.store.relationships(None).await.expect("relationships")[follower].id
    }

    pub async fn events(&self) -> Vec<EventKind> {
        let events = self.store.events_after(0, 1_000).await.expect("events");
        events.into_iter().map(|(_, event)| event.kind).collect()
    }

    /// The leader's group of a transaction.
    pub async fn group(&self, tx: TxHash, side: Side) -> Option<domain::trade::TradeGroup> {
        let leader = self.store.leaders().await.expect("leaders")[0].id;
        let key = GroupKey { leader, tx, token: self.market.tokens[0], action: side.into() };
        self.store.group_with_fills(key).await.expect("a group").map(|(group, _)| group)
    }

    /// Waits until this many decisions are made.
    pub async fn decided(&self, count: usize) {
        until(&format!("{count} decisions"), async || self.decisions().await.len() >= count).await;
    }

    /// Waits until nothing is left to do: everything mined is read and final, every order settled.
    pub async fn settled(&self) {
        until("everything is settled", async || {
            // A block a look would be faster than anybody reads them.
            if self.cursor(Source::Chain).await >= Some(self.height(|world| world.chain().head())) {
                self.mine();
            }
            self.is_settled().await
        })
        .await;
    }

    fn height(&self, of: impl Fn(&World) -> u64) -> i64 {
        i64::try_from(self.world.with(|world, _| of(world))).expect("a height")
    }

    async fn is_settled(&self) -> bool {
        let store = &self.store;
        let now = self.clock.now();
        self.world.with(|world, _| world.chain().pending.is_empty())
            && self.cursor(Source::Chain).await >= Some(self.height(World::finalized))
            && store.incomplete_parts().await.expect("parts").is_empty()
            && store.unsettled_groups(i64::MAX, now, 1).await.expect("groups").is_empty()
            && store.unbooked_redemptions(i64::MAX, 1).await.expect("redemptions").is_empty()
            && store.count_open_work().await.expect("work") == 0
            && store.unbooked_orders(AttemptId(0), 1).await.expect("orders").is_empty()
    }

    /// Waits until everything is settled and holds our rows and the venue's books against each other.
    pub async fn finish(self) {
        self.settled().await;
        // The check reads the chain itself, from a provider that is well.
        for number in 0..self.simulator.rpc_urls.len() {
            self.world.set_provider(number, RpcView::default());
        }
        self.check().await;
        self.runtime.shutdown().await.expect("no task of the engine panicked");
        self.simulator.shutdown().await;
    }
}

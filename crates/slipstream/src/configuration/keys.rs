//! The table of keys. Parsing, the refusal of unknown keys, the names of environment variables, the
//! reference and `config check` all come from it: a key that is not here does not exist, and a key that is
//! here has the setter that makes it take effect.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use domain::{
    Hash, MarketOrderType, Price, Usd,
    downtime::DowntimeRule,
    money::ONE,
    policy::{BASIS_POINTS, MinimumRule, PhantomRule, Policy, Sizing},
};

use polymarket::{RpcUrl, VenueLimits};

mod access;
mod live;
mod run;
mod servers;
mod venue;
mod web;

use super::kind::Kind;
pub use access::{ACCESS, AccessSettings};
pub use live::{LIVE, LiveSettings};
pub use run::{RUN, RunSettings};
pub use servers::{DATABASE, DatabaseSettings, QUEUE, QueueSettings};
pub use venue::VENUE;
pub use web::{WEB, WebSettings};

/// How many times faster than recorded a tape may be played.
pub const SPEEDS: RangeInclusive<u16> = 1..=1_000;
/// How many followers a demo may have.
pub const FOLLOWERS: RangeInclusive<u16> = 1..=200;
/// Followers of a demo whose configuration describes none.
pub const BUILT_IN_FOLLOWERS: u16 = 5;

/// One basis point in millionths.
const BASIS_POINT: i64 = ONE / BASIS_POINTS;

/// A key of a section that is read into `S`.
pub struct Key<S: 'static> {
    /// Its name.
    pub name: &'static str,
    /// What holds without it.
    pub sample: Sample,
    /// What it takes.
    pub kind: Kind<S>,
    /// What it does, for people.
    pub about: &'static str,
}

/// A value as the environment would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Holds when the key is left out.
    Default(&'static str),
    /// Merely an example: without the key there is no value.
    Example(&'static str),
}

impl Sample {
    /// The value.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Default(word) | Self::Example(word) => word,
        }
    }
}

/// `[demo]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoSettings {
    /// How many times faster than recorded.
    pub speed: u16,
    /// Number of followers.
    pub followers: Option<u16>,
    /// Seed of keys and of the simulated venue.
    pub seed: u64,
    /// Whether something breaks every few seconds.
    pub faults: bool,
    /// Another tape.
    pub tape: Option<PathBuf>,
    /// Whether leaders sell at the end of the tape what they still hold.
    pub synthetic_exits: bool,
    /// Where the data is kept.
    pub data_dir: Option<PathBuf>,
}

/// `[engine]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Worker tasks.
    pub workers: u16,
    /// How often each leader's history is asked for.
    pub history_interval: Option<Duration>,
    /// Where the live trade feed is; empty for none.
    pub live_url: Option<String>,
    /// Where the venue's channels are; empty for none.
    pub channel_url: Option<String>,
}

/// `[chain]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainSettings {
    /// Providers of Polygon, and websockets that tell of new blocks.
    pub rpc_urls: Vec<RpcUrl>,
}

/// `[venue]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenueSettings {
    /// How fast it may be called.
    pub limits: VenueLimits,
    /// The builder named in every order.
    pub builder: Option<Hash>,
    /// Whether each machine reaches the venue from an internet address of its own.
    pub own_address: bool,
}

/// One `[[follower]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerSettings {
    /// Name for people.
    pub name: String,
    /// How it copies.
    pub policy: Policy,
    /// The most money its account may have at risk.
    pub cap_account: Option<Usd>,
}

impl Default for FollowerSettings {
    fn default() -> Self {
        Self { name: String::new(), policy: Policy::careful(), cap_account: None }
    }
}

const fn key<S: 'static>(name: &'static str, sample: Sample, kind: Kind<S>, about: &'static str) -> Key<S> {
    Key { name, sample, kind, about }
}

use Sample::{Default as Or, Example};

/// Keys of `[demo]`.
pub const DEMO: &[Key<DemoSettings>] = &[
    key(
        "speed",
        Or("30"),
        Kind::Count(SPEEDS, |demo, value| demo.speed = value),
        "How many times faster than it was recorded the tape is played.",
    ),
    key(
        "followers",
        Example("5"),
        Kind::Count(FOLLOWERS, |demo, value| demo.followers = Some(value)),
        "Number of paper followers, at least one for each [[follower]]; more take turns in being like them. \
         Without it: one for each, or 5 if none is described.",
    ),
    key(
        "seed",
        Or("1"),
        Kind::Seed(|demo, value| demo.seed = value),
        "Seed of keys and of the simulated venue. The same seed gives the same answers.",
    ),
    key(
        "faults",
        Or("false"),
        Kind::Flag(|demo, value| demo.faults = value),
        "Whether a worker, the venue or the chain is broken every few seconds.",
    ),
    key(
        "tape",
        Example("tape.json"),
        Kind::File(|demo, value| demo.tape = Some(value)),
        "Another tape, or any trades or activity file of Polymarket's Data API. Without it: the bundled tape.",
    ),
    key(
        "synthetic_exits",
        Or("false"),
        Kind::Flag(|demo, value| demo.synthetic_exits = value),
        "Whether leaders sell at the end of the tape what they still hold, at the last price. These sales are \
         made up; the report counts them apart.",
    ),
    key(
        "data_dir",
        Example("data"),
        Kind::Directory(|demo, value| demo.data_dir = Some(value)),
        "Where the data is kept. Without it: in a temporary directory that is removed at the end.",
    ),
];

/// Keys of `[engine]`.
pub const ENGINE: &[Key<EngineSettings>] = &[
    key(
        "workers",
        Or("2"),
        Kind::Count(1..=64, |engine, value| engine.workers = value),
        "Number of workers that sign and send orders side by side; one more takes exits only.",
    ),
    key(
        "history_interval",
        Example("5s"),
        Kind::Time(Duration::from_millis(100)..=Duration::from_hours(1), |engine, value| {
            engine.history_interval = Some(value);
        }),
        "How often the Data API is asked for each leader's trades. Without it: 5s, and 2s where no chain is \
         read (`demo --leader`).",
    ),
    key(
        "channel_url",
        Example("wss://ws-subscriptions-clob.polymarket.com"),
        Kind::Socket(|engine, value| engine.channel_url = Some(value)),
        "Where the venue's websocket channels are (books, and what becomes of orders); empty for none: then both are \
         only asked for. Without it: with `run` the venue's own, else where the venue itself is, which is right for the \
         simulator.",
    ),
    key(
        "live_url",
        Example("wss://ws-live-data.polymarket.com"),
        Kind::Socket(|engine, value| engine.live_url = Some(value)),
        "Where the feed of everybody's trades is, which is ahead of the chain; empty for none. Without it: the \
         simulator's own, and with `run` and `demo --leader` the venue's.",
    ),
];

/// Keys of `[chain]`.
pub const CHAIN: &[Key<ChainSettings>] = &[key(
    "rpc_urls",
    Example("https://polygon-bor-rpc.publicnode.com,https://polygon.drpc.org"),
    Kind::Urls(|chain, urls| chain.rpc_urls = urls),
    "Providers of Polygon's JSON-RPC, the preferred one first; one that fails, lags or answers wrongly is left for \
     the next. A ws:// or wss:// URL among them only tells of new blocks, so that they are read sooner. \
     `slipstream rpc reload` gives the list to a running process. Without any, `run` believes the venue's own services. \
     Those of the example are public: they want no key, promise nothing and limit how often they are asked, which is \
     enough for a beginning on paper; `slipstream doctor` says how many calls a day go to the one that is asked first. For \
     real money have one with a key of yours. (The demo has a chain of its own.)",
)];

/// Variables that are called as everybody calls them: section, key, name.
pub const NAMED_VARIABLES: [(&str, &str, &str); 4] = [
    ("chain", "rpc_urls", "POLYGON_RPC_URL"),
    ("run", "data_dir", "SLIPSTREAM_DATA_DIR"),
    ("database", "url", "DATABASE_URL"),
    ("queue", "url", "REDIS_URL"),
];

/// Other names of variables: the variable, what it is called too.
pub const OTHER_NAMES: [(&str, &str); 1] = [("DATABASE_URL", "PRODUCTION_DATABASE_URL")];

/// Why orders that rest are refused.
const RESTS: &str = "is an order that rests on the book, which copies cannot be yet: nothing watches over it while this \
     program is down (docs/order-lifecycle.md); use \"fak\" or \"fok\"";

/// Keys of a `[[follower]]`.
pub const FOLLOWER: &[Key<FollowerSettings>] = &[
    key(
        "name",
        Example("small and careful"),
        Kind::Name(|follower, value| follower.name = value),
        "What it is called in reports. Every follower has one.",
    ),
    key(
        "ratio",
        Example("0.1"),
        Kind::Decimal {
            range: 1..=100 * ONE,
            step: 1,
            set: |follower, value| follower.policy.sizing = Sizing::Ratio(value),
        },
        "Buys this share of the leader's dollars: 0.1 is a tenth. Every follower has either this or `fixed`.",
    ),
    key(
        "fixed",
        Example("5"),
        Kind::Dollars(|follower, value| follower.policy.sizing = Sizing::Fixed(value)),
        "Buys for these dollars whatever the leader pays.",
    ),
    key(
        "cap_order",
        Example("50"),
        Kind::Dollars(|follower, value| follower.policy.caps.order = Some(value)),
        "The most dollars in one order; fees come on top. Without it: no such cap.",
    ),
    key(
        "cap_market",
        Example("100"),
        Kind::Dollars(|follower, value| follower.policy.caps.market = Some(value)),
        "The most dollars at risk in one market through one leader; fees come on top. Without it: no such cap.",
    ),
    key(
        "cap_leader",
        Example("300"),
        Kind::Dollars(|follower, value| follower.policy.caps.leader = Some(value)),
        "The most dollars at risk through one leader; fees come on top. Without it: no such cap.",
    ),
    key(
        "cap_account",
        Example("1000"),
        Kind::Dollars(|follower, value| follower.cap_account = Some(value)),
        "The most dollars at risk in the whole account; fees come on top. Without it: no such cap.",
    ),
    key(
        "price_from",
        Or("0"),
        Kind::Decimal {
            range: 0..=ONE,
            step: 1,
            set: |follower, value| follower.policy.band.from = Price(value),
        },
        "Buys at this price or above only. Prices are dollars per share, from 0 to 1.",
    ),
    key(
        "price_to",
        Or("1"),
        Kind::Decimal {
            range: 0..=ONE,
            step: 1,
            set: |follower, value| follower.policy.band.to = Price(value),
        },
        "Buys at this price or below only.",
    ),
    key(
        "slippage_to_leader",
        Or("0.05"),
        Kind::Decimal {
            range: 0..=ONE,
            step: BASIS_POINT,
            set: |follower, value| follower.policy.slippage_to_leader_bps = value / BASIS_POINT,
        },
        "How far above the leader's price it may buy, as a share of that price: 0.05 is five per cent.",
    ),
    key(
        "slippage_to_book",
        Or("0.02"),
        Kind::Decimal {
            range: 0..=ONE,
            step: BASIS_POINT,
            set: |follower, value| follower.policy.slippage_to_book_bps = value / BASIS_POINT,
        },
        "How far above the best offer it may buy, as a share of that offer.",
    ),
    key(
        "below_minimum",
        Or("skip"),
        Kind::Choice(
            &[
                ("skip", |follower| follower.policy.below_minimum = MinimumRule::Skip),
                ("raise", |follower| follower.policy.below_minimum = MinimumRule::Raise),
            ],
            &[],
        ),
        "What happens to a copy below the venue's minimum: it is skipped, or raised to the minimum where every \
         cap allows it.",
    ),
    key(
        "order_type",
        Or("fak"),
        Kind::Choice(
            &[
                ("fak", |follower| follower.policy.entry_type = MarketOrderType::FillAndKill),
                ("fok", |follower| follower.policy.entry_type = MarketOrderType::FillOrKill),
            ],
            &[("gtc", RESTS), ("gtd", RESTS)],
        ),
        "What becomes of what a buy does not get at once: \"fak\" buys what is there and kills the rest, \"fok\" buys \
         all of it or nothing. Exits always sell what they can.",
    ),
    key(
        "maximum_age",
        Or("60s"),
        Kind::Time(Duration::from_secs(1)..=Duration::from_hours(24), |follower, value| {
            follower.policy.maximum_age = value;
        }),
        "Buys of the leader that are older are late; what becomes of them says `downtime`. Exits have no age.",
    ),
    key(
        "downtime",
        Or("skip"),
        Kind::Choice(
            &[
                ("skip", |follower| follower.policy.downtime = DowntimeRule::Skip),
                ("late", |follower| follower.policy.downtime = DowntimeRule::Late),
                ("sync", |follower| follower.policy.downtime = DowntimeRule::Sync),
            ],
            &[],
        ),
        "What becomes of buys that are found late, because nothing ran or nothing could be read: \"skip\" leaves them \
         out. \"late\" copies each of them, also one that the leader has sold since. \"sync\" waits until everything was \
         read, and then buys at once what the leader still holds of them. Both within every cap, and only near the \
         leader's price (`slippage_when_late`).",
    ),
    key(
        "slippage_when_late",
        Example("0.02"),
        Kind::Decimal {
            range: 0..=ONE,
            step: BASIS_POINT,
            set: |follower, value| follower.policy.late_slippage_bps = Some(value / BASIS_POINT),
        },
        "How far above the leader's price it may buy what is late, as a share of that price. Without it: \
         `slippage_to_leader`.",
    ),
    key(
        "follow_exits",
        Or("true"),
        Kind::Flag(|follower, value| follower.policy.follow_exits = value),
        "Whether the leader's exits are followed.",
    ),
    key(
        "copy_own_orders",
        Or("false"),
        Kind::Flag(|follower, value| follower.policy.copy_own_orders = value),
        "Whether buys of a leader whose wallet is managed here are copied also where Slipstream itself ordered them. \
         Wallets that would copy each other in a circle are refused either way.",
    ),
    key(
        "phantoms",
        Or("keep"),
        Kind::Choice(
            &[
                ("keep", |follower| follower.policy.phantoms = PhantomRule::Keep),
                ("exit", |follower| follower.policy.phantoms = PhantomRule::Exit),
            ],
            &[],
        ),
        "What becomes of copies of a trade that the Data API or the live feed showed and that is not on the chain 90 s later: they are \
         kept until the leader sells, or sold. Either way an event says so, and the trade is not copied again if it \
         turns up within ten minutes. \"exit\" needs follow_exits.",
    ),
];

//! The deterministic core: one plain struct with the whole venue and chain. No async, no IO, no clock;
//! every method takes `now`. The same seed and the same calls give the same answers.

mod accounts;
mod allowances;
mod announcing;
mod balances;
pub mod book;
pub mod calls;
pub mod cancels;
pub mod chain;
mod checks;
pub mod contract_state;
pub mod control;
pub mod data;
pub mod delays;
pub mod endpoints;
pub mod events;
pub mod extra_keys;
pub mod faults;
pub mod fees;
pub mod foreign_moves;
pub mod frames;
mod heartbeats;
pub mod journal;
pub mod ledger;
pub mod logs;
pub mod lookup;
mod match_tx;
pub mod matching;
mod modes;
pub mod orders;
pub mod portfolio;
pub mod prices;
pub mod rates;
pub mod redemption_logs;
pub mod registry;
pub mod relay;
pub mod rules;
mod sessions;
pub mod settlement;
pub mod transactions;
pub mod verdict;
pub mod wallets;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod properties;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{Address, ConditionId, OrderId, Timestamp, TokenId};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde::{Deserialize, Serialize};

use self::{
    book::Book,
    chain::Chain,
    data::DataIndex,
    delays::Later,
    events::EventLog,
    faults::Faults,
    heartbeats::Heartbeats,
    journal::Journal,
    ledger::{Asset, Ledger},
    orders::Placed,
    prices::PriceHistory,
    rates::Traffic,
    registry::Registry,
    relay::Relayer,
};
use crate::config::{Knobs, Profile, SimulatorConfig};

/// A request the venue refuses, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Text of `error`.
    pub error: String,
    /// Text of `code`.
    pub code: Option<&'static str>,
    /// Seconds until it makes sense to come back.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// With this status and text.
    #[must_use]
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), code: None, retry_after: None }
    }

    /// Status 400.
    #[must_use]
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(400, error)
    }
}

/// A control request that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No such market.
    #[error("market {0} is not known: add it first")]
    UnknownMarket(ConditionId),
    /// No such token.
    #[error("token {0} belongs to no known market: add its market first")]
    UnknownToken(TokenId),
    /// No such wallet.
    #[error("wallet {0} is not known: register it first")]
    UnknownWallet(Address),
    /// Already there.
    #[error("{0} exists already")]
    Exists(String),
    /// Nonsense.
    #[error("{0}")]
    Invalid(String),
}

/// What the venue accepts at all. Source: docs.polymarket.com/resources/error-codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything.
    #[default]
    Normal,
    /// Neither orders nor cancels.
    Disabled,
    /// Cancels only.
    CancelOnly,
    /// Cancels and post-only orders.
    PostOnly,
    /// The matching engine restarts (425).
    Restarting,
}

/// What time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Mode,
    Late,
    Expiry,
    Sweep,
    Block,
}

/// The venue and its chain.
#[derive(Debug)]
pub struct World {
    seed: u64,
    /// The time of what is being done.
    now: Timestamp,
    interval: Option<Duration>,
    next_block_at: Timestamp,
    /// Behaviour.
    pub knobs: Knobs,
    /// What is accepted.
    pub mode: Mode,
    mode_until: Option<Timestamp>,
    /// Faults waiting to happen.
    pub faults: Faults,
    rng: ChaCha8Rng,
    registry: Registry,
    books: BTreeMap<TokenId, Book>,
    ledger: Ledger,
    reserved: BTreeMap<(Address, Asset), i64>,
    chain: Chain,
    confirmed: u64,
    stalled_head: Option<u64>,
    data: DataIndex,
    journal: Journal,
    late: BTreeMap<(Timestamp, u64), Later>,
    answers: BTreeMap<u64, Result<Placed, Refusal>>,
    heartbeats: Heartbeats,
    /// What moved without the venue noticing yet, while its balances lag.
    unseen: BTreeMap<(Address, Asset), i64>,
    /// Allowances as the venue still sees them, while its balances lag.
    unseen_allowances: BTreeMap<contract_state::Slot, alloy_primitives::U256>,
    sessions: sessions::Sessions,
    prices: PriceHistory,
    /// Orders that their makers cancelled in the exchange's contract.
    contract_cancels: BTreeSet<OrderId>,
    /// Requests and limits.
    pub traffic: Traffic,
    profile: Profile,
    expiries: BTreeSet<(Timestamp, OrderId)>,
    arrivals: u64,
    events: EventLog,
    /// Wallets whose operator was told that everything is approved.
    trusting: BTreeSet<Address>,
    relayer: Relayer,
    extra_keys: extra_keys::ExtraKeys,
}

impl World {
    /// An empty venue on a chain of one block.
    #[must_use]
    pub fn new(config: &SimulatorConfig, now: Timestamp) -> Self {
        let interval = Some(Duration::from_millis(config.block_interval_ms)).filter(|time| !time.is_zero());
        Self {
            seed: config.seed,
            now,
            interval,
            next_block_at: now.plus(interval.unwrap_or_default()),
            knobs: config.knobs.clone(),
            mode: Mode::Normal,
            mode_until: None,
            faults: Faults::default(),
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            registry: Registry::default(),
            books: BTreeMap::new(),
            ledger: Ledger::default(),
            reserved: BTreeMap::new(),
            chain: Chain::new(config.seed, config.first_block, now),
            confirmed: config.first_block,
            stalled_head: None,
            data: DataIndex::default(),
            journal: Journal::default(),
            late: BTreeMap::new(),
            answers: BTreeMap::new(),
            heartbeats: Heartbeats::default(),
            unseen: BTreeMap::new(),
            unseen_allowances: BTreeMap::new(),
            sessions: sessions::Sessions::default(),
            prices: PriceHistory::default(),
            traffic: Traffic::default(),
            profile: config.profile,
            expiries: BTreeSet::new(),
            contract_cancels: BTreeSet::new(),
            arrivals: 0,
            events: EventLog::default(),
            trusting: BTreeSet::new(),
            relayer: Relayer::default(),
            extra_keys: extra_keys::ExtraKeys::default(),
        }
    }

    /// Wallets, markets and keys.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Rows of the Data API.
    #[must_use]
    pub const fn data(&self) -> &DataIndex {
        &self.data
    }

    /// Prices at which tokens traded.
    #[must_use]
    pub const fn prices(&self) -> &PriceHistory {
        &self.prices
    }

    /// Orders, posts and trades.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The venue's view of a balance, in millionths.
    #[must_use]
    pub fn balance(&self, wallet: Address, asset: Asset) -> i64 {
        self.ledger.balance(wallet, asset)
    }

    /// Does what time brings: blocks, late orders, expirations, sweeps, ends of modes, in the order they are due.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((due, what)) = self.next_step().filter(|(due, _)| *due <= now) {
            self.now = due;
            match what {
                Due::Late => {
                    if let Some(((_, number), what)) = self.late.pop_first() {
                        self.do_later(due, number, what);
                    }
                }
                Due::Mode => self.end_mode(due),
                Due::Expiry => self.expire(due),
                Due::Sweep => self.sweep(due),
                Due::Block => {
                    self.mine(due);
                    self.next_block_at = self.next_block_at.plus(self.interval.unwrap_or_default());
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_step().map(|(due, _)| due)
    }

    /// What is due next; of two things at the same time, the one that stands first here.
    fn next_step(&self) -> Option<(Timestamp, Due)> {
        let late = self.late.first_key_value().map(|((due, _), _)| (*due, Due::Late));
        let expiry = self.expiries.first().map(|(due, _)| (*due, Due::Expiry));
        let block = self.interval.map(|_| (self.next_block_at, Due::Block));
        let mode = self.mode_ends().map(|due| (due, Due::Mode));
        let sweep = self.next_sweep().map(|due| (due, Due::Sweep));
        [mode, late, expiry, sweep, block].into_iter().flatten().min()
    }

    /// What the order book service's clock says, in Unix seconds.
    #[must_use]
    pub fn told_seconds(&self, now: Timestamp) -> i64 {
        now.seconds().saturating_add(self.knobs.clock_ahead_s)
    }

    /// Whether it is only a stub of a venue.
    #[must_use]
    pub fn is_stub(&self) -> bool {
        self.profile == Profile::Stub
    }

    /// Whether signatures of orders and logins are checked.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.knobs.verify_signatures && !self.is_stub()
    }

    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

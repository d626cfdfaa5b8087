//! The watcher: the one active role that detects and decides.
//!
//! A step takes the lease, finishes what an earlier watcher left undecided, reads the chain and the
//! history, and judges finality. Everything it makes true goes through commit 1. It never signs or sends.

mod balances;
mod chain;
mod deciding;
mod finality;
mod following;
mod groups;
mod head_pace;
mod history;
mod holders;
mod live;
mod markets;
mod moves;
mod rest;
mod revisits;
mod syncing;
mod witness;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    Address, Clock, Timestamp, TxHash,
    ids::{LeaderId, RelationshipId},
    money::MoneyError,
    policy::PhantomRule,
    trade::{GroupKey, Part, SURPLUS_WINDOW},
};

use futures_util::stream::FuturesUnordered;
use tracing::warn;

use crate::{
    in_vain::InVain,
    limits,
    market_cache::MarketCache,
    ports::{
        detection::DetectionCommit,
        following::Leader,
        live::LiveFeed,
        queue::Queue,
        store::{InstanceId, Lease, Store, StoreError},
        venue::{BlockHeader, ChainReader, History, TradeHistory, VenueError},
    },
    sources::{SourceName, SourceWatch},
};

use self::{
    deciding::{Basis, Pending, builds_on},
    following::Following,
    groups::GroupSet,
    head_pace::HeadPace,
    history::Traded,
    live::Live,
    markets::{UnknownMarkets, needs_market},
    witness::Witnesses,
};

/// Name of the watcher's lease.
pub const WATCHER: &str = "watcher";

/// Why a step did not finish. Every step can be taken again.
#[derive(Debug, thiserror::Error)]
pub enum WatcherError {
    /// Another watcher is active.
    #[error("another watcher is active")]
    NotActive,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A source.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// Amounts beyond computing.
    #[error("amounts of a trade are beyond computing: {0}")]
    Money(#[from] MoneyError),
    /// The chain was reorganised deeper than is followed.
    #[error("the chain was reorganised by more than {0} blocks; detection stops, check the RPC provider")]
    ReorganisedTooDeep(usize),
}

/// What a watcher works with.
pub struct WatcherPorts {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// The doorbell.
    pub queue: Arc<dyn Queue>,
    /// Polygon, if there is access.
    pub chain: Option<Arc<dyn ChainReader>>,
    /// Data API.
    pub history: Option<Arc<dyn TradeHistory>>,
    /// Live trade feed.
    pub live: Option<Arc<dyn LiveFeed>>,
    /// Markets, shared.
    pub markets: Arc<MarketCache>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who we are.
    pub instance: InstanceId,
    /// How often each leader's history is asked for.
    pub history_every: Duration,
}

/// A leader, how far its history was read, and the answer about the rest.
type HistoryRows = (Leader, Option<i64>, Result<History, VenueError>);
type HistoryAnswer = Pin<Box<dyn Future<Output = HistoryRows> + Send>>;

/// A watcher; active while it holds the lease.
pub struct Watcher {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    chain: Option<Arc<dyn ChainReader>>,
    history: Option<Arc<dyn TradeHistory>>,
    live: Live,
    sources: Arc<SourceWatch>,
    markets: Arc<MarketCache>,
    clock: Arc<dyn Clock>,
    instance: InstanceId,
    history_every: Duration,
    lease: Option<Lease>,
    /// Uptime at which the lease was taken or renewed; `None` when it may be lost.
    renewed_at: Option<Duration>,
    /// Whether parts an earlier watcher left were taken up.
    recovered: bool,
    following: Option<Following>,
    following_stale: bool,
    /// Uptime at which the following was read, and how long that took.
    following_read: (Duration, Duration),
    headers: VecDeque<BlockHeader>,
    /// Headers of the blocks that are being taken.
    reading: Vec<BlockHeader>,
    witnesses: Witnesses,
    head_time: Option<Timestamp>,
    /// A head that was told since the last step, which reads it.
    head_told: Option<BlockHeader>,
    /// Uptime when the head was asked for last, and how fast blocks come.
    head_asked: Option<Duration>,
    head_pace: HeadPace,
    /// No other head was told, and none can be there yet: the next step need not ask.
    head_is_quiet: bool,
    /// Whether this step takes what others than the chain tell: not where it did not ask for the head, because a hint that is
    /// ahead of a block which came meanwhile could be taken for another trade of that block.
    hears: bool,
    finalized: Option<i64>,
    /// Time of the head and height read when nothing was left to judge.
    judged_at: Option<(Timestamp, i64)>,
    pending: VecDeque<Pending>,
    /// Counts parts in the order they were taken up.
    sequence: u64,
    asked_history: HashMap<LeaderId, Duration>,
    /// Rows of the Data API that were left out for being of the future, and told.
    future_rows: HashSet<TxHash>,
    /// Leaders whose history was asked for and is not answered yet, and the answers to come.
    asking: BTreeSet<LeaderId>,
    /// (A lock makes them shareable; nobody shares them.)
    answers: Mutex<FuturesUnordered<HistoryAnswer>>,
    /// Answers that came while this watcher rested.
    answered: Vec<HistoryRows>,
    /// Markets that parts wait for.
    unknown: UnknownMarkets,
    /// Tokens that leaders traded; noted without a chain.
    traded: Traded,
    /// Uptime at which exits were looked at again last.
    revisited: Option<Duration>,
    /// Uptime at which buys left to a sync were looked at last.
    synced: Option<Duration>,
    /// Whether it leaves its lease to others when nothing succeeds.
    in_vain: Option<InVain>,
}

/// What a step found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// Something was read or decided; take the next step at once.
    pub busy: bool,
    /// This watcher is the active one.
    pub active: bool,
}

impl Watcher {
    /// A watcher that has not asked for the lease yet.
    #[must_use]
    pub fn new(ports: WatcherPorts) -> Self {
        Self {
            store: ports.store,
            queue: ports.queue,
            chain: ports.chain,
            history: ports.history,
            live: Live::of(ports.live),
            sources: Arc::default(),
            markets: ports.markets,
            clock: ports.clock,
            instance: ports.instance,
            history_every: ports.history_every,
            lease: None,
            renewed_at: None,
            recovered: false,
            following: None,
            following_stale: false,
            following_read: (Duration::ZERO, Duration::ZERO),
            headers: VecDeque::new(),
            reading: Vec::new(),
            witnesses: Witnesses::default(),
            head_time: None,
            head_told: None,
            head_asked: None,
            head_is_quiet: false,
            hears: true,
            head_pace: HeadPace::default(),
            finalized: None,
            judged_at: None,
            pending: VecDeque::new(),
            sequence: 0,
            asked_history: HashMap::new(),
            future_rows: HashSet::new(),
            asking: BTreeSet::new(),
            answers: Mutex::default(),
            answered: Vec::new(),
            unknown: UnknownMarkets::default(),
            traded: Traded::default(),
            revisited: None,
            synced: None,
            in_vain: None,
        }
    }

    /// Leaves the lease to one that stands by while no step of its own succeeds.
    #[must_use]
    pub fn beside_others(mut self) -> Self {
        self.in_vain = Some(InVain::after(limits::WATCHES_IN_VAIN));
        self
    }

    /// Takes note of when each source shows a trade in `sources`.
    #[must_use]
    pub fn with_sources(mut self, sources: Arc<SourceWatch>) -> Self {
        self.sources = sources;
        self
    }

    /// One step. Errors leave nothing half done; call again.
    ///
    /// # Errors
    /// [`WatcherError`].
    pub async fn step(&mut self) -> Result<StepReport, WatcherError> {
        let began = self.clock.uptime();
        if self.in_vain.is_some_and(|in_vain| in_vain.stands_aside(began)) {
            return Ok(StepReport::default());
        }
        let report = self.take_step().await;
        if let Some(in_vain) = &mut self.in_vain {
            match &report {
                Ok(report) if report.active => in_vain.worked(),
                Ok(_) => in_vain.waits(),
                Err(_) if in_vain.failed(began, self.clock.uptime()) => self.leave().await,
                Err(_) => {}
            }
        }
        report
    }

    /// Gives the lease up. Whoever stands by takes it at its next look; with nobody there, it is taken again.
    async fn leave(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        warn!("nothing that this watcher tries succeeds: another one may have its turn");
        if let Err(error) = self.store.release_lease(&lease).await {
            warn!(%error, "the watcher's lease could not be given up and runs out: {error}");
        }
        self.sources.given_up();
        self.forget();
    }

    async fn take_step(&mut self) -> Result<StepReport, WatcherError> {
        if !self.hold_lease().await? {
            return Ok(StepReport::default());
        }
        if self.chain.is_some() {
            self.sources.waited_for(SourceName::Chain, self.clock.uptime());
        }
        self.refresh_following().await?;
        self.recover().await?;
        self.market_step().await?;
        self.hear_witnesses().await?;
        let decided = self.decide_next_chunk().await?;
        let read = self.read_chain().await;
        let told = self.live_step().await;
        let asked = self.history_step().await;
        let judged = self.finality_step().await;
        let revisited = self.revisit_step().await;
        let nothing_new = matches!(read, Ok(false));
        let synced = if nothing_new { self.sync_step().await } else { Ok(false) };
        let busy = decided | read? | told? | asked? | judged? | revisited? | synced?;
        Ok(StepReport { busy, active: true })
    }

    /// Takes the lease, or renews it when a good part of it has passed: every commit checks its fence, so
    /// that one who lost it unawares changes nothing.
    async fn hold_lease(&mut self) -> Result<bool, WatcherError> {
        let now = self.clock.uptime();
        let fresh = self.renewed_at.is_some_and(|at| now.saturating_sub(at) < limits::WATCHER_RENEWAL);
        if fresh && self.lease.is_some() {
            return Ok(true);
        }
        self.renewed_at = None;
        let lease = self.store.take_lease(WATCHER, &self.instance, limits::WATCHER_LEASE).await?;
        self.renewed_at = Some(now);
        let changed = match (&self.lease, &lease) {
            (Some(old), Some(new)) => old.fence != new.fence,
            (None, None) => false,
            _ => true,
        };
        if changed {
            self.forget();
        }
        if lease.is_none() {
            self.sources.given_up();
        }
        self.lease = lease;
        Ok(self.lease.is_some())
    }

    /// What was remembered is of another reign, or of commits that the store does not have.
    fn forget(&mut self) {
        self.forget_following();
        self.headers.clear();
        self.witnesses.forget();
        self.pending.clear();
        self.recovered = false;
    }

    /// Takes up parts that an earlier watcher (or an earlier life of this one) stored but did not decide
    /// for everybody.
    async fn recover(&mut self) -> Result<(), WatcherError> {
        if self.recovered {
            return Ok(());
        }
        self.pending.clear();
        for stored in self.store.incomplete_parts().await? {
            let groups = self.store.groups(&[stored.part.key], self.clock.now()).await?;
            let Some(group) = groups.into_iter().find(|group| group.key == stored.part.key) else { continue };
            self.sequence += 1;
            let sequence = self.sequence;
            let basis = if needs_market(&stored) { Basis::Market } else { Basis::Later };
            self.pending.push_back(Pending { stored, group, basis, orders: 0, new: false, sequence });
        }
        self.recovered = true;
        Ok(())
    }

    /// Reads the following again: at once when it was changed, and from time to time when money was booked
    /// or given back since; if possible not while a trade is decided for many, who would all wait for it.
    async fn refresh_following(&mut self) -> Result<(), WatcherError> {
        if let Some(known) = self.following.as_ref().filter(|_| !self.following_stale) {
            let (config, booked) = (known.config_version, known.booked_version);
            let (at, took) = self.following_read;
            let pause = limits::FOLLOWING_REFRESH.max(took.saturating_mul(limits::FOLLOWING_REFRESH_SHARE));
            let deciding = self.pending.iter().any(|pending| pending.orders > 0);
            let pause = if deciding { pause.max(limits::FOLLOWING_LAG) } else { pause };
            let old = self.clock.uptime().saturating_sub(at) >= pause;
            let changed = self.store.config_version().await? != config;
            if changed || (old && self.store.booked_version().await? != booked) {
                self.forget_following();
            }
        }
        self.following().await.map(|_| ())
    }

    async fn following(&mut self) -> Result<&mut Following, WatcherError> {
        if self.following.is_none() || self.following_stale {
            let began = self.clock.uptime();
            let snapshot = self.store.following(self.clock.now()).await?;
            self.following_read = (began, self.clock.uptime().saturating_sub(began));
            self.following = Some(Following::of(snapshot));
            self.following_stale = false;
        }
        self.following.as_mut().ok_or(WatcherError::NotActive)
    }

    /// Whoever needs it next reads it anew. Until then the old one stays: who the leaders are must be known when blocks
    /// are read, or what they did there would be passed over.
    const fn forget_following(&mut self) {
        self.following_stale = true;
    }

    fn leader_of(&self, wallet: &Address) -> Option<&Leader> {
        self.following.as_ref().and_then(|following| following.leader(wallet))
    }

    /// What becomes of a follower's copies of phantoms; kept for one nobody knows any more.
    fn phantom_rule(&self, leader: LeaderId, id: RelationshipId) -> PhantomRule {
        let known = self.following.as_ref().and_then(|following| following.relationship(leader, id));
        known.map(|known| known.policy.phantoms).unwrap_or_default()
    }

    /// Wallets whose movements of shares are read.
    fn leaders_wallets(&self) -> Vec<Address> {
        let leaders = self.following.iter().flat_map(|following| following.leaders());
        leaders.map(|leader| leader.wallet).collect()
    }

    fn wallet_of(&self, id: LeaderId) -> Option<Address> {
        let following = self.following.as_ref()?;
        following.leaders().find(|leader| leader.id == id).map(|leader| leader.wallet)
    }

    /// Prepares parts side by side: the time to read markets and books is the slowest one's, not the sum.
    /// A part that builds on what is still being decided, or written with it, is left for its turn; an exit also
    /// when there are entries, which do not wait for the leader's balances.
    async fn prepare_all(
        &self,
        parts: &[Part],
        groups: &GroupSet,
        own: &BTreeSet<GroupKey>,
        commit: &mut DetectionCommit,
    ) -> Result<Vec<Pending>, WatcherError> {
        let entries = parts.iter().any(|part| !part.key.action.is_exit());
        let prepare = parts.iter().enumerate().filter_map(|(index, part)| {
            let earlier = self.pending.iter().map(|pending| &pending.stored.part);
            let later = entries && part.key.action.is_exit()
                || earlier.chain(parts.iter().take(index)).any(|other| builds_on(part, &other.key))
                || groups.changed_keys().any(|key| *key != part.key && builds_on(part, key));
            groups.get(&part.key).map(|group| self.prepare(*part, group, own.contains(&part.key), later))
        });
        let mut prepared = Vec::with_capacity(parts.len());
        for result in futures_util::future::join_all(prepare).await {
            let (pending, factors) = result?;
            commit.factors.extend(factors);
            prepared.push(pending);
        }
        Ok(prepared)
    }

    async fn stored_groups(&self, keys: &[GroupKey]) -> Result<GroupSet, WatcherError> {
        let since = self.clock.now().minus(SURPLUS_WINDOW);
        Ok(GroupSet::of(self.store.groups(keys, since).await?))
    }
}

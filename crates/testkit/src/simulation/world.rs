//! The engine whole, in processes that can be paused and killed, on virtual time.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use domain::{
    Clock, Timestamp,
    ids::{IntentId, OwnerId, RelationshipId},
};
use engine::{
    account_channels::{AccountChannels, Memory},
    deadline::within,
    head_watch::HeadWatch,
    market_cache::MarketCache,
    ports::{
        detection::{Lane, Source},
        following::RelationshipStatus,
        store::{InstanceId, Store, StoreError, StoreResult},
    },
    rescuer::Rescuer,
    salt::{SALT_MASK, Salts},
    settlement::{Round, Settlement},
    steady_time::SteadyTime,
    watcher::{Watcher, WatcherPorts},
    worker::Worker,
};

use futures_util::FutureExt;

use super::{
    doorbell::Doorbell,
    faulty::{FaultyQueue, FaultyStore, FaultyVenue, Layered},
    monitor::Monitor,
    probe::{Actor, Look, Planned, Probe, Role},
    scenario::{Action, Scenario},
    tampering::{Bench, StoreClock, Tampering},
    user_channel::UserChannel,
    venue::{Venue, VenueModel, digest},
};
use crate::{
    executor::{Executor, TaskId, block_on},
    virtual_clock::VirtualClock,
};

/// When a simulation begins.
pub const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
/// No fault strikes before: by then everybody has started, and a first start has taken its baseline.
pub const WARM: Duration = Duration::from_secs(3);
/// A run that is not resolved this long after its last planned event never will be.
const PATIENCE: Duration = Duration::from_secs(7_200);
/// How often the loops of a process come round when there is nothing to do.
const TICK: Duration = Duration::from_secs(1);

/// Makes the store of a run; the clock is the store's own.
pub type StoreFactory = dyn Fn(Arc<dyn Clock>) -> Arc<dyn Store> + Send + Sync;

/// Everything a run is made of.
pub struct Experiment<'a> {
    /// What happens.
    pub scenario: &'a Scenario,
    /// How the venue behaves.
    pub model: VenueModel,
    /// What goes wrong.
    pub faults: &'a [Planned],
    /// What is wrong with the engine, if anything.
    pub tampering: &'a dyn Tampering,
    /// Where it is stored.
    pub store: &'a StoreFactory,
    /// Whether call sites carry a digest of what is stored (a store whose futures never wait only).
    pub digests: bool,
}

/// A run.
pub struct World {
    /// Time.
    pub clock: Arc<VirtualClock>,
    /// The venue.
    pub venue: Arc<Venue>,
    /// The store, without faults.
    pub store: Arc<dyn Store>,
    /// The queue, without faults.
    pub doorbell: Arc<Doorbell>,
    /// The faults.
    pub probe: Arc<Probe>,
    /// What the venue tells by itself.
    pub channel: Arc<UserChannel>,
    /// The watch at signing.
    pub monitor: Arc<Monitor>,
    /// Relationships, in the order of the scenario's followers.
    pub relationships: Vec<(OwnerId, RelationshipId)>,
    store_clock: Arc<StoreClock>,
    executor: Executor,
    tasks: Vec<(Actor, TaskId)>,
    script: Option<TaskId>,
    lives: Vec<u32>,
    shared_instances: bool,
    ends: Timestamp,
}

struct DigestSalts;

impl Salts for DigestSalts {
    fn salt(&self, key: &[u8]) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(digest(key).split_at(8).0);
        u64::from_be_bytes(first) & SALT_MASK
    }
}

impl World {
    /// Sets everything up; no time has passed yet.
    ///
    /// # Errors
    /// Store errors.
    pub fn new(experiment: &Experiment<'_>) -> StoreResult<Self> {
        let clock = VirtualClock::new(START);
        let venue = Venue::new(clock.clone(), experiment.model);
        let store_clock = StoreClock::new(clock.clone());
        let store = (experiment.store)(store_clock.clone());
        let relationships = block_on(experiment.scenario.set_up(&venue, store.as_ref()))?;
        let channel = UserChannel::new(venue.clone(), clock.clone());
        let look = experiment.digests.then(|| look(store.clone(), venue.clone(), channel.clone()));
        let mut world = Self {
            probe: Probe::new(clock.clone(), venue.clone(), experiment.faults, look),
            channel,
            monitor: Monitor::new(venue.clone(), clock.clone()),
            doorbell: Doorbell::new(clock.clone()),
            ends: experiment.scenario.ends().plus(PATIENCE),
            clock,
            venue,
            store,
            relationships,
            store_clock,
            executor: Executor::default(),
            tasks: Vec::new(),
            script: None,
            lives: vec![0; experiment.scenario.processes.len()],
            shared_instances: experiment.scenario.shared_instances,
        };
        for process in 0..world.lives.len() {
            world.start(process, experiment)?;
        }
        world.script = Some(world.play(&experiment.scenario.actions));
        Ok(world)
    }

    /// Lets everything happen until nothing more will, or patience ends. Says whether it is resolved.
    ///
    /// # Errors
    /// Store errors of the judge's own reads.
    pub fn run(&mut self, experiment: &Experiment<'_>) -> StoreResult<bool> {
        let mut next_look = self.clock.now();
        loop {
            self.poll_all(experiment)?;
            let now = self.clock.now();
            if now >= next_look {
                next_look = now.plus(TICK);
                if self.unresolved()?.is_none() {
                    return Ok(true);
                }
                if now > self.ends {
                    return Ok(false);
                }
            }
            if self.clock.advance_to_next_timer().is_none() {
                return Ok(false);
            }
        }
    }

    /// What still has to happen; `None` when nothing.
    ///
    /// # Errors
    /// Store errors.
    pub fn unresolved(&self) -> StoreResult<Option<String>> {
        let waits = |what: &str| Ok(Some(what.to_owned()));
        if self.executor.unfinished().iter().any(|task| Some(*task) == self.script) {
            return waits("the script goes on");
        }
        if self.probe.anybody_frozen() {
            return waits("somebody is paused");
        }
        if self.probe.anybody_hangs() {
            return waits("somebody waits for an answer that never comes");
        }
        if !self.venue.is_quiet() {
            return waits("the venue is not quiet");
        }
        if !self.channel.is_quiet() {
            return waits("there are frames on their way");
        }
        block_on(async {
            let store = self.store.as_ref();
            if store.cursor(Source::Finalized).await? < Some(self.venue.last_fill_height()) {
                return waits("the chain is not read to its last final fill");
            }
            let groups = store.unsettled_groups(i64::MAX, Timestamp(i64::MAX), 1).await?;
            if let Some(group) = groups.first() {
                return Ok(Some(format!("group {} is open", group.key.tx)));
            }
            if !store.incomplete_parts().await?.is_empty() {
                return waits("a part is not decided for everybody");
            }
            if !store.unbooked_orders(domain::ids::AttemptId(0), 1).await?.is_empty() {
                return waits("a fill is not booked");
            }
            if store.count_open_work().await? > 0 {
                return waits("there is open work");
            }
            let far = Timestamp(i64::MAX);
            let waiting = store.count_waiting(Lane::Exits, far).await?
                + store.count_waiting(Lane::Entries, far).await?;
            if waiting > 0 {
                return waits("an intent waits");
            }
            // Who is paused, or finds nobody who buys, is looked at for ever.
            let relationships = store.relationships(None).await?;
            let active =
                |id| relationships.iter().any(|one| one.id == id && one.status == RelationshipStatus::Active);
            let revisits = store.due_revisits(far, usize::MAX).await?;
            if revisits.iter().any(|one| active(one.relationship) && self.venue.buys(one.token)) {
                return waits("an exit is to be looked at again");
            }
            Ok((!self.doorbell.is_empty()).then(|| "the queue is not empty".to_owned()))
        })
    }

    fn poll_all(&mut self, experiment: &Experiment<'_>) -> StoreResult<()> {
        loop {
            let mut progress = self.script.is_some_and(|script| self.executor.poll(script));
            for (actor, task) in self.tasks.clone() {
                if !self.probe.is_frozen(actor) {
                    progress |= self.executor.poll(task);
                }
            }
            for process in self.probe.take_crashed() {
                progress = true;
                self.end(process)?;
                self.start(process, experiment)?;
            }
            if !progress {
                return Ok(());
            }
        }
    }

    /// The process dies: its tasks are dropped where they stand, and its end is seen.
    fn end(&mut self, process: usize) -> StoreResult<()> {
        let (dead, alive) =
            std::mem::take(&mut self.tasks).into_iter().partition(|(actor, _)| actor.process == process);
        self.tasks = alive;
        let dead: Vec<(Actor, TaskId)> = dead;
        let now = self.clock.now();
        for (actor, task) in dead {
            self.executor.kill(task);
            self.probe.thaw(actor);
            self.monitor.ended(&self.instance(actor));
            block_on(self.store.end_instance(&self.instance(actor), "killed by the simulation", now))?;
        }
        if let Some(life) = self.lives.get_mut(process) {
            *life += 1;
        }
        Ok(())
    }

    fn instance(&self, actor: Actor) -> InstanceId {
        let life = self.lives.get(actor.process).copied().unwrap_or_default();
        let role = if self.shared_instances { String::new() } else { format!(" {:?}", actor.role) };
        InstanceId(format!("process {} life {life}{role}", actor.process))
    }

    fn ports(&self, actor: Actor, experiment: &Experiment<'_>) -> StoreResult<Bench> {
        let (probe, venue) = (&self.probe, &self.venue);
        let instance = self.instance(actor);
        block_on(self.store.begin_instance(&instance, self.clock.now()))?;
        let outside = Arc::new(FaultyVenue {
            venue: venue.clone(),
            probe: probe.clone(),
            monitor: self.monitor.clone(),
            store: self.store.clone(),
            actor,
            instance: instance.clone(),
        });
        let store = Arc::new(Layered(FaultyStore {
            store: self.store.clone(),
            probe: probe.clone(),
            monitor: self.monitor.clone(),
            actor,
        }));
        Ok(experiment.tampering.tamper(Bench {
            store,
            gateway: outside.clone(),
            chain: outside.clone(),
            history: outside.clone(),
            markets: outside,
            feed: self.channel.clone(),
            queue: Arc::new(FaultyQueue { queue: self.doorbell.clone(), probe: probe.clone(), actor }),
            clock: self.clock.clone(),
            actor,
            instance,
            store_clock: self.store_clock.clone(),
            first_life: self.lives.get(actor.process) == Some(&0),
        }))
    }

    fn start(&mut self, process: usize, experiment: &Experiment<'_>) -> StoreResult<()> {
        let roles = experiment.scenario.processes.get(process).cloned().unwrap_or_default();
        for role in roles {
            let actor = Actor { process, role };
            let ports = self.ports(actor, experiment)?;
            let scenario = experiment.scenario;
            let task = match role {
                Role::Watcher => {
                    self.executor.spawn(watch(ports, scenario.reads_chain, scenario.reads_history))
                }
                Role::Worker => self.executor.spawn(work(ports)),
                Role::Settlement => self.executor.spawn(settle(ports, scenario.reads_chain)),
                Role::Rescuer => self.executor.spawn(rescue(ports)),
                Role::Listener => self.executor.spawn(listen(ports)),
            };
            self.tasks.push((actor, task));
        }
        Ok(())
    }

    /// What users, operators and accidents do, at their times.
    fn play(&mut self, actions: &[(Timestamp, Action)]) -> TaskId {
        let (clock, store, venue) = (self.clock.clone(), self.store.clone(), self.venue.clone());
        let (doorbell, monitor) = (self.doorbell.clone(), self.monitor.clone());
        let (relationships, actions) = (self.relationships.clone(), actions.to_vec());
        self.executor.spawn(async move {
            for (at, action) in actions {
                clock.sleep(at.since(clock.now())).await;
                let of = |follower: usize| relationships.get(follower).copied();
                match action {
                    Action::DeleteQueue => doorbell.delete(),
                    Action::Reorganise(depth) => venue.reorganise(depth),
                    Action::Pause(follower) => {
                        let Some((owner, id)) = of(follower) else { continue };
                        let pause = store.set_status(owner, id, RelationshipStatus::Paused, clock.now());
                        if block_on(pause).is_ok() {
                            monitor.paused(id);
                        }
                    }
                    Action::Resume(follower) => {
                        let Some((owner, id)) = of(follower) else { continue };
                        monitor.resumed(id);
                        let resume = store.set_status(owner, id, RelationshipStatus::Active, clock.now());
                        let _resumed = block_on(resume);
                    }
                }
            }
        })
    }
}

async fn watch(ports: Bench, reads_chain: bool, reads_history: bool) {
    let clock = ports.clock.clone();
    let markets = Arc::new(MarketCache::new(ports.markets.clone(), ports.store.clone(), clock.clone()));
    let mut watcher = Watcher::new(WatcherPorts {
        store: ports.store,
        queue: ports.queue,
        chain: reads_chain.then(|| ports.chain.clone()),
        history: reads_history.then(|| ports.history.clone()),
        live: None,
        markets,
        clock: clock.clone(),
        instance: ports.instance,
        history_every: TICK.saturating_mul(5),
    });
    loop {
        if !watcher.step().await.is_ok_and(|report| report.busy) {
            clock.sleep(TICK).await;
        }
    }
}

async fn work(ports: Bench) {
    let clock = ports.clock.clone();
    let worker = Worker {
        markets: Arc::new(MarketCache::new(ports.markets.clone(), ports.store.clone(), clock.clone())),
        store: ports.store,
        gateway: ports.gateway,
        queue: ports.queue,
        clock: clock.clone(),
        salts: Arc::new(DigestSalts),
        instance: ports.instance,
        batches: Default::default(),
    };
    loop {
        if worker.run_once(TICK.saturating_mul(5)).await.is_err() {
            clock.sleep(TICK).await;
        }
    }
}

async fn settle(ports: Bench, reads_chain: bool) {
    let clock = ports.clock.clone();
    let settlement = Settlement {
        failures: Default::default(),
        store: ports.store,
        gateway: ports.gateway,
        chain: reads_chain.then_some(ports.chain),
        feed: None,
        clock: clock.clone(),
        head: HeadWatch::default(),
        round: Round::default(),
        steady: SteadyTime::default(),
        instance: ports.instance,
    };
    loop {
        // Errors leave nothing half done: the next round finds it again.
        let resolved = settlement.run_once().await;
        let booked = settlement.book_chain_fills().await;
        if resolved.is_err() || booked.is_err() || !matches!((resolved, booked), (Ok(0), Ok(0))) {
            clock.sleep(Duration::from_millis(250)).await;
        } else {
            clock.sleep(TICK).await;
        }
    }
}

async fn listen(ports: Bench) {
    let channels = AccountChannels {
        store: ports.store,
        feed: ports.feed,
        clock: ports.clock.clone(),
        failures: Default::default(),
        memory: Memory::default(),
    };
    loop {
        // Errors are made good by looking up.
        let _followed = channels.follow().await;
        if let Ok(news) = within(ports.clock.as_ref(), TICK, channels.next()).await {
            let _booked = channels.book(news).await;
        }
    }
}

async fn rescue(ports: Bench) {
    let rescuer = |lane| Rescuer::new(ports.store.clone(), ports.queue.clone(), ports.clock.clone(), lane);
    let (mut exits, mut entries) = (rescuer(Lane::Exits), rescuer(Lane::Entries));
    for round in 1_u64.. {
        ports.clock.sleep(TICK).await;
        let _exits = exits.round().await;
        if round.is_multiple_of(3) {
            let _entries = entries.round().await;
        }
    }
}

/// A digest of orders, permits, decisions, waiting work and the venue's books; no times, versions or fences.
fn look(store: Arc<dyn Store>, venue: Arc<Venue>, channel: Arc<UserChannel>) -> Look {
    Box::new(move || {
        let read = async {
            let intents = store.intents_after(None, IntentId(0), usize::MAX).await?;
            let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
            let attempts = store.attempts_of(&ids).await?;
            let orders: Vec<_> = attempts
                .iter()
                .map(|record| {
                    let stands =
                        (record.state, &record.permits_out, record.open_work, record.unseen_for.is_zero());
                    format!("{stands:?} {:?} {:?}", record.booked, record.evidence)
                })
                .collect();
            let groups = store.newest_groups(usize::MAX).await?;
            let groups: Vec<_> =
                groups.iter().map(|group| (group.state, group.decided.0, group.chain)).collect();
            let open = (store.count_open_work().await?, store.ends_of(&ids).await?.len(), ids.len());
            let chain = store.cursor(Source::Finalized).await? >= Some(venue.last_fill_height());
            StoreResult::Ok(format!("{orders:?} {groups:?} {open:?} {chain}"))
        };
        let mut hasher = DefaultHasher::new();
        read.now_or_never().map(|read| read.unwrap_or_default()).hash(&mut hasher);
        (venue.stand(), channel.stand()).hash(&mut hasher);
        hasher.finish()
    })
}

/// A store error in words, for a judge's report.
pub(crate) fn in_words(error: &StoreError) -> String {
    format!("the judge cannot read the store: {error}")
}

//! The engine whole, in processes that can be paused and killed, on virtual time.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Timestamp,
    ids::{OwnerId, RelationshipId},
};
use engine::{
    ports::{
        detection::{Lane, Source},
        following::RelationshipStatus,
        store::{InstanceId, Store, StoreError, StoreResult},
    },
    worker::Batches,
};

use super::{
    doorbell::Doorbell,
    faulty::{FaultyQueue, FaultyStore, FaultyVenue, Layered},
    live_trades::{LiveTrades, TOLD_LAST},
    look::look,
    monitor::Monitor,
    probe::{Actor, Planned, Probe, Role},
    roles::{Sources, TICK, listen, rescue, settle, watch, work},
    scenario::{Action, Scenario},
    stage::Stage,
    tampering::{Bench, StoreClock, Tampering},
    user_channel::UserChannel,
    venue::{Venue, VenueModel},
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
    /// Whether calls are noted, with a digest of what is stored (a store whose futures never wait only).
    pub digests: bool,
    /// The moment from which it goes on, if not from the beginning.
    pub stage: Option<&'a Stage>,
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
    reads_chain: bool,
    /// The live feed tells of trades until then.
    told_until: Timestamp,
    ends: Timestamp,
}

/// What a run begins with.
struct Begun {
    venue: Arc<Venue>,
    store: Arc<dyn Store>,
    monitor: Arc<Monitor>,
    relationships: Vec<(OwnerId, RelationshipId)>,
    lives: Vec<u32>,
}

impl Begun {
    fn of(
        experiment: &Experiment<'_>,
        clock: &Arc<VirtualClock>,
        store_clock: &Arc<StoreClock>,
    ) -> StoreResult<Self> {
        if let Some(stage) = experiment.stage {
            let venue = stage.venue.fork(clock.clone());
            return Ok(Self {
                monitor: stage.monitor.fork(venue.clone(), clock.clone()),
                venue,
                store: Arc::new(stage.store.fork(store_clock.clone())),
                relationships: stage.relationships.clone(),
                lives: stage.lives.clone(),
            });
        }
        let venue = Venue::new(clock.clone(), experiment.model);
        let store = (experiment.store)(store_clock.clone());
        let relationships = block_on(experiment.scenario.set_up(&venue, store.as_ref()))?;
        Ok(Self {
            monitor: Monitor::new(venue.clone(), clock.clone()),
            venue,
            store,
            relationships,
            lives: vec![0; experiment.scenario.processes.len()],
        })
    }
}

impl World {
    /// Sets everything up; no time has passed yet.
    ///
    /// # Errors
    /// Store errors.
    pub fn new(experiment: &Experiment<'_>) -> StoreResult<Self> {
        let clock = VirtualClock::new(experiment.stage.map_or(START, |stage| stage.now));
        let store_clock = StoreClock::new(clock.clone());
        let Begun { venue, store, monitor, relationships, lives } =
            Begun::of(experiment, &clock, &store_clock)?;
        let doorbell = Doorbell::new(clock.clone());
        let channel = UserChannel::new(venue.clone(), clock.clone());
        let look =
            experiment.digests.then(|| look(store.clone(), venue.clone(), doorbell.clone(), channel.clone()));
        let mut world = Self {
            probe: Probe::new(clock.clone(), venue.clone(), experiment.faults, look),
            channel,
            monitor,
            doorbell,
            ends: experiment.scenario.ends().plus(PATIENCE),
            clock,
            venue,
            store,
            relationships,
            store_clock,
            executor: Executor::default(),
            tasks: Vec::new(),
            script: None,
            lives,
            shared_instances: experiment.scenario.shared_instances,
            reads_chain: experiment.scenario.reads_chain,
            told_until: match experiment.scenario.live {
                Some(_) => experiment.scenario.ends().plus(TOLD_LAST),
                None => START,
            },
        };
        for process in 0..world.lives.len() {
            world.start(process, experiment)?;
        }
        world.script = Some(world.play(&experiment.scenario.actions));
        Ok(world)
    }

    /// Lets everything happen up to a moment and ends the processes. Says what is not at rest.
    ///
    /// # Errors
    /// Store errors of the judge's own reads.
    pub(super) fn run_until(
        &mut self,
        experiment: &Experiment<'_>,
        until: Timestamp,
    ) -> StoreResult<Option<String>> {
        self.poll_all(experiment)?;
        while self.clock.now() < until && self.clock.advance_to_next_timer().is_some() {
            self.poll_all(experiment)?;
        }
        let rest = block_on(self.open_work())?;
        for process in 0..self.lives.len() {
            self.end(process)?;
        }
        Ok(rest)
    }

    /// How often each process has ended.
    pub(super) fn lives(&self) -> &[u32] {
        &self.lives
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
        if self.clock.now() <= self.told_until {
            return waits("the live feed has not told everything");
        }
        if !self.channel.is_quiet() {
            return waits("there are frames on their way");
        }
        block_on(self.open_work())
    }

    /// What the engine still has to do.
    async fn open_work(&self) -> StoreResult<Option<String>> {
        let waits = |what: &str| Ok(Some(what.to_owned()));
        let store = self.store.as_ref();
        if self.reads_chain {
            if store.cursor(Source::Finalized).await? < Some(self.venue.last_fill_height()) {
                return waits("the chain is not read to its last final fill");
            }
            let groups = store.unsettled_groups(i64::MAX, Timestamp(i64::MAX), 1).await?;
            if let Some(group) = groups.first() {
                return Ok(Some(format!("group {} is open", group.key.tx)));
            }
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
        let waiting =
            store.count_waiting(Lane::Exits, far).await? + store.count_waiting(Lane::Entries, far).await?;
        if waiting > 0 {
            return waits("an intent waits");
        }
        if !store.missed_buys(1).await?.is_empty() {
            return waits("a buy is left to a sync");
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
        let silence = experiment.scenario.live.unwrap_or((START, START));
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
            reads_chain: self.reads_chain,
        }));
        Ok(experiment.tampering.tamper(Bench {
            store,
            gateway: outside.clone(),
            chain: outside.clone(),
            history: outside.clone(),
            markets: outside,
            feed: self.channel.clone(),
            live: LiveTrades::new(venue.clone(), self.clock.clone(), silence),
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
                    let (chain, history) = (scenario.reads_chain, scenario.reads_history);
                    let reads = Sources { chain, history, live: scenario.live.is_some() };
                    self.executor.spawn(watch(ports, reads))
                }
                Role::Worker => self.executor.spawn(work(ports, Batches::default())),
                Role::ExitWorker => self.executor.spawn(work(ports, Batches::of_exits())),
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
        let relationships = self.relationships.clone();
        let actions: Vec<_> = actions.iter().copied().filter(|(at, _)| *at >= clock.now()).collect();
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

/// A store error in words, for a judge's report.
pub(crate) fn in_words(error: &StoreError) -> String {
    format!("the judge cannot read the store: {error}")
}

//! The engine at work in this process: loops, supervision, shutdown. The same for every shape of the
//! installation; only the ports differ.

mod alarms;
mod channels;
mod company;
mod loops;
mod sharing;
mod supervisor;
mod turn;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Duration,
};

use domain::Clock;
use engine::{
    failure_watch::FailureWatch,
    market_cache::{LiveHealth, MarketCache},
    ports::{
        detection::Lane,
        live::LiveFeed,
        queue::Queue,
        store::{InstanceId, Store, StoreError},
        venue::{ChainReader, MarketData, OrderGateway, TradeHistory, VenueClock},
        wallets::Redeemer,
    },
    salt::Salts,
    sources::SourceWatch,
    worker::{Batches, Unheard},
};
use futures_util::future::BoxFuture;
use tokio::{sync::Notify, task::JoinHandle};
use tracing::{error, info};

use alarms::Rounds;
pub use sharing::Sharing;
pub use supervisor::{Killed, RECORDED_WITHIN, TaskPanicked};
use supervisor::{Supervisor, Task};
pub(crate) use turn::Turn;

use crate::{channels::Channels, instance::end_others, sources_command::Sources, venue_clock::ClockWatch};

/// Pause after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// Rounds of the rescuers.
const RESCUE_EXITS: Duration = Duration::from_secs(1);
const RESCUE_ENTRIES: Duration = Duration::from_secs(3);

/// Everything the engine needs of the world.
#[derive(Clone)]
pub struct Ports {
    /// System of record.
    pub store: Arc<dyn Store>,
    /// Doorbell.
    pub queue: Arc<dyn Queue>,
    /// Orders.
    pub gateway: Arc<dyn OrderGateway>,
    /// Markets.
    pub markets: Arc<dyn MarketData>,
    /// Polygon.
    pub chain: Option<Arc<dyn ChainReader>>,
    /// Data API.
    pub history: Option<Arc<dyn TradeHistory>>,
    /// Redeems resolved shares; without one only what others redeem is booked.
    pub redeemer: Option<Arc<dyn Redeemer>>,
    /// Live trade feed.
    pub live: Option<Arc<dyn LiveFeed>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The venue's time, to compare ours with.
    pub venue_clock: Arc<dyn VenueClock>,
    /// Salts.
    pub salts: Arc<dyn Salts>,
    /// What the venue tells by itself, if it is listened to.
    pub channels: Option<Channels>,
    /// Tells other processes that this one takes its part of the venue's limits.
    pub sharing: Option<Arc<Sharing>>,
    /// While this is so its workers take nothing but exits: buying from this machine would be wrong.
    pub buys_elsewhere: Arc<AtomicBool>,
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Worker tasks.
    pub workers: usize,
    /// How often each leader's history is asked for.
    pub history_every: Duration,
    /// What this process does.
    pub role: Role,
    /// Whether other processes may work on the same store. Without them whoever was running before is gone.
    pub shared: bool,
}

impl Settings {
    /// A process that does everything, alone.
    #[must_use]
    pub const fn alone(workers: usize, history_every: Duration) -> Self {
        Self { workers, history_every, role: Role::All, shared: false }
    }
}

/// What a process does of what an installation does ([decision 0024](../../../docs/decisions/0024-roles.md)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Signs, sends and settles.
    Worker,
    /// Detects and decides, or stands by.
    Watcher,
    /// Answers commands and tells what happens.
    Backend,
}

impl Role {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "process",
            Self::Worker => "worker",
            Self::Watcher => "watcher",
            Self::Backend => "backend",
        }
    }

    /// What its connections to the database are called.
    #[must_use]
    pub const fn connections(self) -> &'static str {
        match self {
            Self::All => "run",
            _ => self.name(),
        }
    }

    const fn watches(self) -> bool {
        matches!(self, Self::All | Self::Watcher)
    }

    /// Whether it signs.
    #[must_use]
    pub const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// The running engine.
pub struct Runtime {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    ports: Ports,
    settings: Settings,
    cache: Arc<MarketCache>,
    clock_watch: ClockWatch,
    sources: Arc<SourceWatch>,
    supervisor: Arc<Supervisor>,
    rounds: Rounds,
    /// How settlements end of late, whoever learns of it.
    failures: Arc<FailureWatch>,
    /// Rung whenever settlement may have something to do before the time it knows of.
    to_settle: Arc<Notify>,
    /// Rung when something was sent, whose outcome may be open.
    to_listen: Notify,
}

impl Shared {
    /// Runs a task for as long as the engine runs.
    fn keep<F>(
        self: &Arc<Self>,
        task: Task,
        start: impl Fn(Arc<Self>, InstanceId) -> F + Send + Sync + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let run = move |instance| start(Arc::clone(&shared), instance);
        tokio::spawn(Arc::clone(&self.supervisor).keep(task, run))
    }

    /// Waits until `bell` rings, the engine stops, or this time has passed.
    async fn rest(&self, bell: &Notify, duration: Duration) {
        tokio::select! {
            () = bell.notified() => {}
            () = self.supervisor.pause(duration) => {}
        }
    }
}

/// The tasks of the roles.
impl Shared {
    /// What every process does.
    fn common(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![
            self.keep(Task::named("look at the clock"), loops::clock_loop),
            self.keep(Task::named("look at the region"), loops::region_loop),
            self.keep(Task::named("periodic tasks"), loops::task_loop),
            self.keep(Task::named("look at tasks"), loops::look_loop),
        ];
        if self.settings.shared {
            tasks.push(self.keep(Task::named("signs of life"), company::life_loop));
            tasks.push(self.keep(Task::named("look at processes"), company::company_loop));
        }
        tasks
    }

    fn watching(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![self.keep(Task::named("watcher"), loops::watch_loop)];
        if self.ports.channels.is_some() {
            tasks.push(self.keep(Task::named("market channel"), channels::market_loop));
        }
        tasks
    }

    fn working(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![
            self.keep(Task::named("settlement"), loops::settle_loop),
            self.keep(Task::named("redemptions"), loops::redeem_loop),
        ];
        if self.ports.channels.is_some() {
            tasks.push(self.keep(Task::named("user channels"), channels::account_loop));
        }
        if let Some(redeemer) = self.ports.redeemer.clone() {
            let start = move |shared, instance| loops::payout_loop(shared, instance, Arc::clone(&redeemer));
            tasks.push(self.keep(Task::named("redeeming"), start));
        }
        // A queue of many processes is another program's, which may be full and say that nothing waits.
        let unheard = self.settings.shared.then(Arc::<Unheard>::default);
        // The last one is kept for exits, so that they wait for no buy.
        for slot in 0..=self.settings.workers {
            let exits_only = slot == self.settings.workers;
            let name = if exits_only { "worker of exits".to_owned() } else { format!("worker {slot}") };
            let under_way = Arc::<AtomicUsize>::default();
            let victim = (!exits_only).then(|| Arc::clone(&under_way));
            let task = Task { victim, ..Task::named(&name) };
            let (unheard, buys_elsewhere) = (unheard.clone(), Arc::clone(&self.ports.buys_elsewhere));
            let run = move |shared, instance| {
                let batches = if exits_only { Batches::of_exits() } else { Batches::default() };
                let batches = batches.buying_unless(Arc::clone(&buys_elsewhere));
                let batches = match &unheard {
                    Some(unheard) => batches.doubting(Arc::clone(unheard)),
                    None => batches,
                };
                loops::work_loop(shared, instance, batches.counting(Arc::clone(&under_way)))
            };
            tasks.push(self.keep(task, run));
        }
        tasks
    }

    fn rescuing(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let lanes = [
            ("rescuer of exits", Lane::Exits, RESCUE_EXITS),
            ("rescuer of entries", Lane::Entries, RESCUE_ENTRIES),
        ];
        let keep = |(name, lane, every)| {
            self.keep(Task::named(name), move |shared, instance| {
                loops::rescue_loop(shared, instance, lane, every)
            })
        };
        lanes.into_iter().map(keep).collect()
    }
}

impl Runtime {
    /// Starts the loops of a role. `process` names this process for ever; where it is alone, instances that were running
    /// before are recorded as ended, because whoever holds the data directory's lock is the only process.
    ///
    /// # Errors
    /// Store errors.
    pub fn start(
        ports: Ports,
        settings: Settings,
        process: InstanceId,
    ) -> BoxFuture<'static, Result<Self, StoreError>> {
        Box::pin(Self::started(ports, settings, process))
    }

    async fn started(ports: Ports, settings: Settings, process: InstanceId) -> Result<Self, StoreError> {
        let now = ports.clock.now();
        if !settings.shared {
            end_others(ports.store.as_ref(), Some(&process), now).await?;
        }
        let (markets, store) = (Arc::clone(&ports.markets), Arc::clone(&ports.store));
        let cache = MarketCache::new(markets, store, Arc::clone(&ports.clock));
        // Whoever watches keeps the books; others ask for one when they need it.
        let cache = Arc::new(match &ports.channels {
            Some(channels) if settings.role.watches() => cache.with_feed(Arc::clone(&channels.market)),
            _ => cache,
        });
        let to_settle = Arc::new(Notify::new());
        let (store, clock) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
        let supervisor = Arc::new(Supervisor::new(store, clock, process, Arc::clone(&to_settle)));
        let (clock_watch, rounds) = (ClockWatch::default(), Rounds::new(Arc::clone(&ports.clock)));
        let shared = Arc::new(Shared {
            ports,
            settings,
            cache,
            clock_watch,
            sources: Arc::default(),
            supervisor,
            rounds,
            failures: Arc::default(),
            to_settle,
            to_listen: Notify::new(),
        });
        let mut tasks = shared.common();
        if settings.role.watches() {
            tasks.extend(shared.watching());
        }
        if settings.role.works() {
            tasks.extend(shared.working());
        }
        if settings.role != Role::Backend {
            tasks.extend(shared.rescuing());
        }
        Ok(Self { shared, tasks })
    }

    /// Kills a worker task wherever it is; another one takes its place. Returns whether there was one to kill.
    pub fn kill_worker(&self) -> bool {
        self.shared.supervisor.kill_one()
    }

    /// Kills the next worker task that has committed orders and not recorded what became of them; after a while without
    /// one, any.
    pub fn kill_worker_mid_order(&self) -> impl Future<Output = Killed> + Send + 'static {
        let supervisor = Arc::clone(&self.shared.supervisor);
        async move { supervisor.kill_mid_order().await }
    }

    /// How often a task was started again because it had panicked.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared.supervisor.restarts()
    }

    /// Whether every task runs as it should.
    ///
    /// # Errors
    /// The first task that panicked since the start, also if another one took its place.
    pub fn check(&self) -> Result<(), TaskPanicked> {
        self.shared.supervisor.check()
    }

    /// How the books are doing that are put together from the market channel; `None` where nobody listens.
    #[must_use]
    pub fn book_health(&self) -> Option<LiveHealth> {
        self.shared.cache.live_health()
    }

    /// How the sources of leaders' trades do.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let Ports { live, channels, .. } = &self.shared.ports;
        Sources { watch: Arc::clone(&self.shared.sources), live: live.clone(), channels: channels.clone() }
    }

    /// Tells which tasks hang.
    pub fn stuck(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.rounds.stuck()
    }

    /// The turn of work that is done beside the engine's tasks.
    pub(crate) fn turn(&self, name: &'static str) -> Turn {
        Turn::new(&self.shared, name, &self.shared.supervisor.named(name))
    }

    /// How this machine's clock compares with the venue's.
    #[must_use]
    pub fn clock_watch(&self) -> ClockWatch {
        self.shared.clock_watch.clone()
    }

    /// [`Runtime::shutdown`] within this time, and [`RECORDED_WITHIN`] more. What has not come to its end then is ended where
    /// it is, and that is recorded, so that others take it over at once, on whatever machine they are: `false`.
    ///
    /// # Errors
    /// As [`Runtime::check`]; everything is stopped all the same.
    pub async fn shutdown_within(self, limit: Duration) -> Result<bool, TaskPanicked> {
        let Self { shared, tasks } = self;
        shared.supervisor.stop();
        let ended = shared.supervisor.wait_or_end(join(tasks), limit).await;
        shared.supervisor.check().map(|()| ended)
    }

    /// Stops detection and execution after the batch at hand and waits for it.
    ///
    /// # Errors
    /// As [`Runtime::check`]; everything is stopped all the same.
    pub async fn shutdown(self) -> Result<(), TaskPanicked> {
        self.shared.supervisor.stop();
        join(self.tasks).await;
        self.shared.supervisor.check()
    }
}

async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        if let Err(error) = task.await {
            error!(%error, "a task of the engine had ended badly");
        }
    }
    info!("engine stopped");
}

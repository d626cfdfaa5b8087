//! The engine at work in this process: loops, supervision, shutdown. The same for every shape of the
//! installation; only the ports differ.

mod alarms;
mod channels;
mod supervisor;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use domain::Clock;
use engine::{
    failure_watch::FailureWatch,
    head_watch::HeadWatch,
    market_cache::{LiveHealth, MarketCache},
    ports::{
        detection::Lane,
        live::LiveFeed,
        queue::Queue,
        store::{InstanceId, Store, StoreError},
        venue::{ChainReader, MarketData, OrderGateway, TradeHistory, VenueClock},
        wallets::Redeemer,
    },
    redeeming::Redeeming,
    redemptions::Redemptions,
    rescuer::Rescuer,
    salt::Salts,
    settlement::{Round, Settlement, Settling, Silent},
    sources::SourceWatch,
    steady_time::SteadyTime,
    tasks::TaskRunner,
    watcher::{Watcher, WatcherError, WatcherPorts},
    worker::{Batches, Worker},
};
use tokio::{sync::Notify, task::JoinHandle};
use tracing::{debug, error, info, warn};

use alarms::{PAYOUTS_HANG_AFTER, Rounds};
pub use supervisor::{Killed, TaskPanicked};
use supervisor::{Supervisor, Task};

use crate::{
    channels::Channels,
    sources_command::Sources,
    venue_clock::{ClockWatch, MEASURE_EVERY},
};

/// Pause after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// Time between two lines of the log that say the same about a source.
const SAID_AGAIN: Duration = Duration::from_secs(30);
/// Pause of redemptions when nothing was booked or begun.
const REDEEM_PAUSE: Duration = Duration::from_secs(1);
/// Time between two looks at which periodic task is due.
const TASK_LOOK: Duration = Duration::from_secs(30);
/// How long a worker waits at the queue.
const POP_WAIT: Duration = Duration::from_millis(500);
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
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Worker tasks.
    pub workers: usize,
    /// How often each leader's history is asked for.
    pub history_every: Duration,
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

impl Runtime {
    /// Starts all loops. `process` names this process for ever; instances that were running before are
    /// recorded as ended, because whoever holds the data directory's lock is the only process.
    ///
    /// # Errors
    /// Store errors.
    pub async fn start(ports: Ports, settings: Settings, process: InstanceId) -> Result<Self, StoreError> {
        let now = ports.clock.now();
        for instance in ports.store.running_instances().await? {
            ports.store.end_instance(&instance, "its process gave up the data directory's lock", now).await?;
        }
        let (markets, store) = (Arc::clone(&ports.markets), Arc::clone(&ports.store));
        let cache = MarketCache::new(markets, store, Arc::clone(&ports.clock));
        let cache = Arc::new(match &ports.channels {
            Some(channels) => cache.with_feed(Arc::clone(&channels.market)),
            None => cache,
        });
        let to_settle = Arc::new(Notify::new());
        let (store, clock) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
        let supervisor = Arc::new(Supervisor::new(store, clock, process, Arc::clone(&to_settle)));
        let (clock_watch, rounds) = (ClockWatch::default(), Rounds::new(Arc::clone(&ports.clock)));
        let listens = ports.channels.is_some();
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
        let mut tasks = vec![
            shared.keep(Task::named("watcher"), watch_loop),
            shared.keep(Task::named("settlement"), settle_loop),
            shared.keep(Task::named("redemptions"), redeem_loop),
            shared.keep(Task::named("look at the clock"), clock_loop),
            shared.keep(Task::named("periodic tasks"), task_loop),
            shared.keep(Task::named("look at tasks"), look_loop),
        ];
        if listens {
            tasks.push(shared.keep(Task::named("market channel"), channels::market_loop));
            tasks.push(shared.keep(Task::named("user channels"), channels::account_loop));
        }
        if let Some(redeemer) = shared.ports.redeemer.clone() {
            let start = move |shared, instance| payout_loop(shared, instance, Arc::clone(&redeemer));
            tasks.push(shared.keep(Task::named("redeeming"), start));
        }
        for (name, lane, every) in [
            ("rescuer of exits", Lane::Exits, RESCUE_EXITS),
            ("rescuer of entries", Lane::Entries, RESCUE_ENTRIES),
        ] {
            let task = Task::named(name);
            tasks.push(shared.keep(task, move |shared, instance| rescue_loop(shared, instance, lane, every)));
        }
        // The last one is kept for exits, so that they wait for no buy.
        for slot in 0..=settings.workers {
            let exits_only = slot == settings.workers;
            let name = if exits_only { "worker of exits".to_owned() } else { format!("worker {slot}") };
            let under_way = Arc::<AtomicUsize>::default();
            let victim = (!exits_only).then(|| Arc::clone(&under_way));
            let task = Task { victim, ..Task::named(&name) };
            let run = move |shared, instance| {
                let batches = if exits_only { Batches::of_exits() } else { Batches::default() };
                work_loop(shared, instance, batches.counting(Arc::clone(&under_way)))
            };
            tasks.push(shared.keep(task, run));
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

    /// How this machine's clock compares with the venue's.
    #[must_use]
    pub fn clock_watch(&self) -> ClockWatch {
        self.shared.clock_watch.clone()
    }

    /// Stops detection and execution after the batch at hand and waits for it.
    ///
    /// # Errors
    /// As [`Runtime::check`]; everything is stopped all the same.
    pub async fn shutdown(self) -> Result<(), TaskPanicked> {
        self.shared.supervisor.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                error!(%error, "a task of the engine had ended badly");
            }
        }
        info!("engine stopped");
        self.shared.supervisor.check()
    }
}

async fn watch_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let watcher = Watcher::new(WatcherPorts {
        store: Arc::clone(&ports.store),
        queue: Arc::clone(&ports.queue),
        chain: ports.chain.clone(),
        history: ports.history.clone(),
        live: ports.live.clone(),
        markets: Arc::clone(&shared.cache),
        clock: Arc::clone(&ports.clock),
        instance: instance.clone(),
        history_every: shared.settings.history_every,
    });
    let mut watcher = watcher.with_sources(Arc::clone(&shared.sources));
    let mut said = None;
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, watcher.step()).await {
            // Blocks may have brought fills of our orders.
            Ok(report) if report.busy => shared.to_settle.notify_one(),
            Ok(_) => tokio::select! {
                () = watcher.rest() => {}
                () = shared.supervisor.stopped() => {}
            },
            Err(error) => {
                report_watcher(&error, &mut said, ports.clock.uptime());
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

/// Says what holds detection up. A source may be gone for hours: that is `said` from time to time.
fn report_watcher(error: &WatcherError, said: &mut Option<Duration>, now: Duration) {
    match error {
        WatcherError::NotActive => debug!("another watcher is active"),
        WatcherError::Venue(error) if said.is_none_or(|at| now.saturating_sub(at) >= SAID_AGAIN) => {
            *said = Some(now);
            warn!("detection waits for a source: {error}");
        }
        WatcherError::Venue(error) => debug!("detection still waits for a source: {error}"),
        error => error!(%error, "detection failed: {error}"),
    }
}

async fn settle_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let settlement = Settlement {
        failures: Arc::clone(&shared.failures),
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        chain: ports.chain.clone(),
        feed: ports.channels.as_ref().map(|channels| Arc::clone(&channels.accounts)),
        clock: Arc::clone(&ports.clock),
        head: HeadWatch::default(),
        round: Round::default(),
        silent: Silent::default(),
        steady: SteadyTime::default(),
        instance: instance.clone(),
    };
    let mut settling = Settling::new(&settlement);
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, settle_once(&mut settling)).await {
            Ok(Some(rest)) => tokio::select! {
                () = shared.rest(&shared.to_settle, rest) => {}
                () = settling.heard() => {}
            },
            Ok(None) => {}
            Err(error) => {
                error!(%error, "settlement failed: {error}");
                let resting = shared.supervisor.pause(ERROR_PAUSE);
                tokio::pin!(resting);
                // What is under way goes on meanwhile.
                loop {
                    tokio::select! {
                        () = &mut resting => break,
                        () = settling.heard() => {}
                    }
                }
            }
        }
    }
    if let Err(error) = settling.finish().await {
        error!(%error, "the last look-ups cannot be recorded: {error}");
    }
}

/// One round; how long there is nothing to do after it, if nothing was done.
async fn settle_once(settling: &mut Settling<'_>) -> Result<Option<Duration>, StoreError> {
    if settling.book_chain_fills().await? + settling.run_once().await? > 0 {
        return Ok(None);
    }
    settling.rest().await.map(Some)
}

async fn redeem_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let (store, markets) = (Arc::clone(&ports.store), Arc::clone(&ports.markets));
    let mut redemptions = Redemptions::new(store, markets, Arc::clone(&ports.clock));
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, redemptions.round()).await {
            Ok(0) => shared.supervisor.pause(REDEEM_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "redemptions cannot be booked: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

async fn payout_loop(shared: Arc<Shared>, instance: InstanceId, redeemer: Arc<dyn Redeemer>) {
    let ports = &shared.ports;
    let (store, markets) = (Arc::clone(&ports.store), Arc::clone(&ports.markets));
    let mut redeeming = Redeeming::new(store, markets, redeemer, Arc::clone(&ports.clock))
        .telling(Arc::clone(&ports.gateway));
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of_at_most(&instance, PAYOUTS_HANG_AFTER, redeeming.round()).await {
            Ok(0) => shared.supervisor.pause(REDEEM_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "resolved shares cannot be redeemed: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

async fn task_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let (store, clock) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
    let runner = TaskRunner { store, clock, instance: instance.clone() };
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&instance, runner.round()).await {
            Ok(0) => shared.supervisor.pause(TASK_LOOK).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "periodic tasks cannot be run: {error}");
                shared.supervisor.pause(TASK_LOOK).await;
            }
        }
    }
}

async fn rescue_loop(shared: Arc<Shared>, instance: InstanceId, lane: Lane, every: Duration) {
    let ports = &shared.ports;
    let mut rescuer =
        Rescuer::new(Arc::clone(&ports.store), Arc::clone(&ports.queue), Arc::clone(&ports.clock), lane);
    while !shared.supervisor.is_stopped() {
        if let Err(error) = shared.rounds.of(&instance, rescuer.round()).await {
            warn!(%error, "the rescuer cannot read the store: {error}");
        }
        shared.supervisor.pause(every).await;
    }
}

async fn look_loop(shared: Arc<Shared>, _: InstanceId) {
    while !shared.supervisor.is_stopped() {
        alarms::look(&shared.rounds, &shared.sources, shared.ports.store.as_ref()).await;
        shared.supervisor.pause(alarms::LOOK_EVERY).await;
    }
}

async fn clock_loop(shared: Arc<Shared>, _: InstanceId) {
    let ports = &shared.ports;
    while !shared.supervisor.is_stopped() {
        tokio::select! {
            () = shared.clock_watch.look(ports.clock.as_ref(), ports.venue_clock.as_ref()) => {}
            () = shared.supervisor.stopped() => return,
        }
        shared.supervisor.pause(MEASURE_EVERY).await;
    }
}

async fn work_loop(shared: Arc<Shared>, instance: InstanceId, batches: Batches) {
    let ports = &shared.ports;
    let worker = Worker {
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        markets: Arc::clone(&shared.cache),
        queue: Arc::clone(&ports.queue),
        clock: Arc::clone(&ports.clock),
        salts: Arc::clone(&ports.salts),
        instance,
        batches,
    };
    while !shared.supervisor.is_stopped() {
        match shared.rounds.of(&worker.instance, worker.run_once(POP_WAIT)).await {
            Ok(0) => {}
            // What was sent is to be settled, perhaps soon.
            Ok(_) => {
                shared.to_settle.notify_one();
                shared.to_listen.notify_one();
            }
            Err(error) => {
                error!(worker = %worker.instance, %error, "a batch failed: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}

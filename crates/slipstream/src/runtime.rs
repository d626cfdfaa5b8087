//! The engine at work in this process: loops, supervision, shutdown. The same for every shape of the
//! installation; only the ports differ.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Clock;
use engine::{
    head_watch::HeadWatch,
    market_cache::MarketCache,
    ports::{
        detection::Lane,
        queue::Queue,
        store::{InstanceId, Store, StoreError},
        venue::{ChainReader, MarketData, OrderGateway, TradeHistory, VenueClock},
    },
    redemptions::Redemptions,
    rescuer::Rescuer,
    salt::Salts,
    settlement::{Round, Settlement},
    steady_time::SteadyTime,
    watcher::{Watcher, WatcherError, WatcherPorts},
    worker::{Batches, Worker},
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinError, JoinHandle},
};
use tracing::{debug, error, info, warn};

use crate::venue_clock::{ClockWatch, MEASURE_EVERY};

/// Pause of the watcher when a step found nothing.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// Pause of settlement when nothing was due.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// Pause after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// Time between two lines of the log that say the same about a source.
const SAID_AGAIN: Duration = Duration::from_secs(30);
/// Pause of redemptions when nothing was booked.
const REDEEM_PAUSE: Duration = Duration::from_secs(1);
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
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The venue's time, to compare ours with.
    pub venue_clock: Arc<dyn VenueClock>,
    /// Salts.
    pub salts: Arc<dyn Salts>,
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Worker tasks.
    pub workers: usize,
    /// How often each leader's history is asked for.
    pub history_every: Duration,
}

/// A task of the engine panicked, which none ever should: what the engine does from then on proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's {task} panicked: {reason}; this is a bug, report it with the log")]
pub struct TaskPanicked {
    /// Which task.
    pub task: String,
    /// The words of the panic.
    pub reason: String,
}

/// The first panic of a task, for whoever asks.
#[derive(Default)]
struct Panics(Mutex<Option<TaskPanicked>>);

impl Panics {
    /// Notes how a task ended, if it was by a panic; a task that was killed was killed on purpose.
    fn note(&self, task: &str, error: JoinError) {
        let Ok(panic) = error.try_into_panic() else { return };
        let panicked = TaskPanicked { task: task.to_owned(), reason: words(panic.as_ref()) };
        error!("{panicked}");
        lock(&self.0).get_or_insert(panicked);
    }

    fn check(&self) -> Result<(), TaskPanicked> {
        lock(&self.0).clone().map_or(Ok(()), Err)
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

/// The running engine.
pub struct Runtime {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    workers: Arc<Mutex<Vec<AbortHandle>>>,
    stop: watch::Sender<bool>,
}

struct Shared {
    ports: Ports,
    cache: Arc<MarketCache>,
    process: InstanceId,
    next_instance: AtomicU64,
    panics: Panics,
    clock_watch: ClockWatch,
}

impl Shared {
    /// A new instance of a role in this process.
    fn instance(&self, role: &str) -> InstanceId {
        let number = self.next_instance.fetch_add(1, Ordering::Relaxed);
        InstanceId(format!("{}/{role}-{number}", self.process))
    }

    async fn pause(&self, stopped: &mut watch::Receiver<bool>, duration: Duration) {
        tokio::select! {
            () = self.ports.clock.sleep(duration) => {}
            // An error means that the runtime is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => {}
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
        let cache = Arc::new(MarketCache::new(
            Arc::clone(&ports.markets),
            Arc::clone(&ports.store),
            Arc::clone(&ports.clock),
        ));
        let (next_instance, panics) = (AtomicU64::new(1), Panics::default());
        let clock_watch = ClockWatch::default();
        let shared = Arc::new(Shared { ports, cache, process, next_instance, panics, clock_watch });
        let (stop, stopped) = watch::channel(false);
        let workers = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        let watching = watch_loop(Arc::clone(&shared), settings, stopped.clone());
        tasks.push(spawn(&shared, "watcher", watching));
        tasks.push(spawn(&shared, "settlement", settle_loop(Arc::clone(&shared), stopped.clone())));
        tasks.push(spawn(&shared, "redemptions", redeem_loop(Arc::clone(&shared), stopped.clone())));
        tasks.push(spawn(&shared, "look at the clock", clock_loop(Arc::clone(&shared), stopped.clone())));
        for (lane, every) in [(Lane::Exits, RESCUE_EXITS), (Lane::Entries, RESCUE_ENTRIES)] {
            let rescuing = rescue_loop(Arc::clone(&shared), lane, every, stopped.clone());
            tasks.push(spawn(&shared, "rescuer", rescuing));
        }
        for slot in 0..settings.workers {
            let supervisor =
                supervise_worker(Arc::clone(&shared), slot, Arc::clone(&workers), stopped.clone());
            tasks.push(spawn(&shared, "supervisor of a worker", supervisor));
        }
        Ok(Self { shared, tasks, workers, stop })
    }

    /// Kills a worker task wherever it is, mid-order if it has one; its supervisor starts another.
    /// Returns whether there was one to kill.
    pub fn kill_worker(&self) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let victim = workers.first();
        if let Some(victim) = victim {
            victim.abort();
        }
        victim.is_some()
    }

    /// Whether every task runs as it should.
    ///
    /// # Errors
    /// The first task that panicked since the start, also if another one took its place.
    pub fn check(&self) -> Result<(), TaskPanicked> {
        self.shared.panics.check()
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
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                error!(%error, "a task of the engine had ended badly");
            }
        }
        info!(instance = %self.shared.process, "engine stopped");
        self.shared.panics.check()
    }
}

/// Runs a task of the engine and notes its panic.
fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Err(error) = tokio::spawn(task).await {
            shared.panics.note(name, error);
        }
    })
}

async fn watch_loop(shared: Arc<Shared>, settings: Settings, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    let instance = shared.instance("watcher");
    if let Err(error) = ports.store.begin_instance(&instance, ports.clock.now()).await {
        error!(%error, "the watcher cannot register");
    }
    let mut watcher = Watcher::new(WatcherPorts {
        store: Arc::clone(&ports.store),
        queue: Arc::clone(&ports.queue),
        chain: ports.chain.clone(),
        history: ports.history.clone(),
        markets: Arc::clone(&shared.cache),
        clock: Arc::clone(&ports.clock),
        instance: instance.clone(),
        history_every: settings.history_every,
    });
    let mut said = None;
    while !*stopped.borrow() {
        match watcher.step().await {
            Ok(report) if report.busy => {}
            Ok(_) => shared.pause(&mut stopped, WATCH_PAUSE).await,
            Err(error) => {
                report_watcher(&error, &mut said, ports.clock.uptime());
                shared.pause(&mut stopped, ERROR_PAUSE).await;
            }
        }
    }
    end(&shared, &instance).await;
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

async fn settle_loop(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    let instance = shared.instance("settlement");
    if let Err(error) = ports.store.begin_instance(&instance, ports.clock.now()).await {
        error!(%error, "settlement cannot register");
    }
    let settlement = Settlement {
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        chain: ports.chain.clone(),
        clock: Arc::clone(&ports.clock),
        head: HeadWatch::default(),
        round: Round::default(),
        steady: SteadyTime::default(),
        instance: instance.clone(),
    };
    while !*stopped.borrow() {
        match settle_once(&settlement).await {
            Ok(0) => shared.pause(&mut stopped, SETTLE_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "settlement failed: {error}");
                shared.pause(&mut stopped, ERROR_PAUSE).await;
            }
        }
    }
    end(&shared, &instance).await;
}

async fn settle_once(settlement: &Settlement) -> Result<usize, StoreError> {
    Ok(settlement.book_chain_fills().await? + settlement.run_once().await?)
}

async fn redeem_loop(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    let (store, markets) = (Arc::clone(&ports.store), Arc::clone(&ports.markets));
    let mut redemptions = Redemptions::new(store, markets, Arc::clone(&ports.clock));
    while !*stopped.borrow() {
        match redemptions.round().await {
            Ok(0) => shared.pause(&mut stopped, REDEEM_PAUSE).await,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "redemptions cannot be booked: {error}");
                shared.pause(&mut stopped, ERROR_PAUSE).await;
            }
        }
    }
}

async fn rescue_loop(shared: Arc<Shared>, lane: Lane, every: Duration, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    let mut rescuer =
        Rescuer::new(Arc::clone(&ports.store), Arc::clone(&ports.queue), Arc::clone(&ports.clock), lane);
    while !*stopped.borrow() {
        if let Err(error) = rescuer.round().await {
            warn!(%error, "the rescuer cannot read the store: {error}");
        }
        shared.pause(&mut stopped, every).await;
    }
}

async fn clock_loop(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    while !*stopped.borrow() {
        tokio::select! {
            () = shared.clock_watch.look(ports.clock.as_ref(), ports.venue_clock.as_ref()) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        shared.pause(&mut stopped, MEASURE_EVERY).await;
    }
}

/// Runs a worker in a task of its own. When the task ends, however it ended, its instance is recorded as
/// ended (it was seen to end) and a new one takes its place.
async fn supervise_worker(
    shared: Arc<Shared>,
    slot: usize,
    running: Arc<Mutex<Vec<AbortHandle>>>,
    mut stopped: watch::Receiver<bool>,
) {
    while !*stopped.borrow() {
        let instance = shared.instance(&format!("worker-{slot}"));
        if let Err(error) = shared.ports.store.begin_instance(&instance, shared.ports.clock.now()).await {
            error!(%error, "a worker cannot register: {error}");
            shared.pause(&mut stopped, ERROR_PAUSE).await;
            continue;
        }
        let task = tokio::spawn(work_loop(Arc::clone(&shared), instance.clone(), stopped.clone()));
        let handle = task.abort_handle();
        lock(&running).push(handle.clone());
        let result = task.await;
        lock(&running).retain(|other| other.id() != handle.id());
        if let Err(error) = result {
            warn!(worker = %instance, %error, "worker {instance} died; starting another");
            shared.panics.note(&format!("worker {slot}"), error);
        }
        end(&shared, &instance).await;
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work_loop(shared: Arc<Shared>, instance: InstanceId, mut stopped: watch::Receiver<bool>) {
    let ports = &shared.ports;
    let worker = Worker {
        store: Arc::clone(&ports.store),
        gateway: Arc::clone(&ports.gateway),
        markets: Arc::clone(&shared.cache),
        queue: Arc::clone(&ports.queue),
        clock: Arc::clone(&ports.clock),
        salts: Arc::clone(&ports.salts),
        instance,
        batches: Batches::default(),
    };
    while !*stopped.borrow() {
        if let Err(error) = worker.run_once(POP_WAIT).await {
            error!(worker = %worker.instance, %error, "a batch failed: {error}");
            shared.pause(&mut stopped, ERROR_PAUSE).await;
        }
    }
}

async fn end(shared: &Shared, instance: &InstanceId) {
    let now = shared.ports.clock.now();
    if let Err(error) = shared.ports.store.end_instance(instance, "its task ended", now).await {
        error!(%error, %instance, "the end of {instance} could not be recorded");
    }
}

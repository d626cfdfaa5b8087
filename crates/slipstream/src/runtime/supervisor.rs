//! Keeps the tasks of the engine running: one that panics is told loudly, counted, and started again.

use std::{
    any::Any,
    collections::HashMap,
    fmt::{self, Display},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::Clock;
use engine::{
    deadline::within,
    ports::store::{InstanceId, Store, StoreResult},
};
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinError},
};
use tracing::{error, info, warn};

use crate::wording;

/// Pause before a task that panicked is started again; then twice as long …
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// … and at last this long.
const RESTART_LAST: Duration = Duration::from_secs(30);
/// A task that had run this long before it panicked is started again after the first pause.
const RESTART_CALM: Duration = Duration::from_secs(60);
/// A worker that is to be killed mid-order is waited for this long …
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// … and looked for this often: orders are under way for some milliseconds.
const KILL_LOOK: Duration = Duration::from_millis(1);
/// Pause before a task or its end is registered again after the store could not do it.
const REGISTER_PAUSE: Duration = Duration::from_millis(500);

/// How long it may take to record that tasks were ended.
pub const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// A task of the engine panicked, which none ever should: what the engine does from then on proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's {task} panicked: {reason}; this is a bug, report it with the log")]
pub struct TaskPanicked {
    /// Which task.
    pub task: String,
    /// The words of the panic.
    pub reason: String,
}

/// Runs tasks under instances of their own, and remembers how they ended.
pub(super) struct Supervisor {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    process: InstanceId,
    next_instance: AtomicU64,
    /// The first panic of a task, for whoever asks.
    panicked: Mutex<Option<TaskPanicked>>,
    restarts: AtomicU64,
    /// Those that run now.
    running: Mutex<HashMap<InstanceId, AbortHandle>>,
    /// Those that may be killed on purpose.
    victims: Mutex<Vec<Victim>>,
    /// Instances that have ended without a record of it.
    unrecorded: Mutex<Vec<InstanceId>>,
    stage: watch::Sender<Stage>,
    /// Rung when an instance has ended: what it held is free.
    ended: Arc<Notify>,
}

/// How far everything is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Runs,
    /// Every task ends after what it has at hand.
    Stops,
    /// Every task was ended where it was.
    Ended,
}

/// A task that may be killed on purpose.
struct Victim {
    handle: AbortHandle,
    /// Orders it has committed and not recorded yet.
    under_way: Arc<AtomicUsize>,
}

/// What was killed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// A worker with so many orders that were committed and not recorded yet.
    MidOrder(usize),
    /// One that had nothing under way, because none had.
    Idle,
    /// There was none.
    Nobody,
}

impl Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MidOrder(orders) => {
                write!(f, "killed a worker with {} on the way", wording::count(*orders, "order"))
            }
            Self::Idle => f.write_str("killed a worker; nobody had an order on the way"),
            Self::Nobody => f.write_str("no worker to kill"),
        }
    }
}

/// A task to keep running.
pub(super) struct Task {
    /// For people; the instance is named after it.
    pub(super) name: String,
    /// Whether it may be killed on purpose: the orders it has under way.
    pub(super) victim: Option<Arc<AtomicUsize>>,
}

impl Task {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), victim: None }
    }
}

impl Supervisor {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        process: InstanceId,
        ended: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            clock,
            process,
            next_instance: AtomicU64::new(1),
            panicked: Mutex::default(),
            restarts: AtomicU64::new(0),
            running: Mutex::default(),
            victims: Mutex::default(),
            unrecorded: Mutex::default(),
            stage: watch::Sender::new(Stage::Runs),
            ended,
        }
    }

    /// Runs what `start` makes until everything is stopped: as often as it ends, however it ended, its instance
    /// is recorded as ended (it was seen to end), and another takes its place.
    pub(super) async fn keep<F>(self: Arc<Self>, task: Task, start: impl Fn(InstanceId) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = RESTART_FIRST;
        while !self.is_stopped() {
            let instance = self.instance(&task.name);
            if let Err(error) = self.store.begin_instance(&instance, self.clock.now()).await {
                error!(task = %task.name, %error, "the {} cannot be registered: {error}", task.name);
                self.pause(REGISTER_PAUSE).await;
                continue;
            }
            let began = self.clock.uptime();
            let result = self.run(&task, &instance, start(instance.clone())).await;
            self.end(&instance).await;
            let Err(error) = result else { continue };
            if error.is_cancelled() {
                // On purpose: another one at once.
                warn!(instance = %instance, "{instance} was killed; starting another");
                continue;
            }
            if self.clock.uptime().saturating_sub(began) >= RESTART_CALM {
                pause = RESTART_FIRST;
            }
            let restarts = self.restarts.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            self.note(&task.name, error);
            error!(
                task = %task.name,
                restarts, "starting the {} again in {pause:?}; restarts so far: {restarts}", task.name
            );
            self.pause(pause).await;
            pause = pause.saturating_mul(2).min(RESTART_LAST);
        }
    }

    async fn run(
        &self,
        task: &Task,
        instance: &InstanceId,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), JoinError> {
        let running = tokio::spawn(future);
        let handle = running.abort_handle();
        lock(&self.running).insert(instance.clone(), handle.clone());
        if let Some(under_way) = task.victim.clone() {
            lock(&self.victims).push(Victim { handle: handle.clone(), under_way });
        }
        let result = running.await;
        lock(&self.running).remove(instance);
        lock(&self.victims).retain(|other| other.handle.id() != handle.id());
        result
    }

    /// Records an end. Until that is done the instance counts as running, and nobody signs anew what it may
    /// still be sending: so it is tried until it is done, or everything stops.
    async fn end(&self, instance: &InstanceId) {
        let recorded = async {
            while let Err(error) = self.record(std::slice::from_ref(instance)).await {
                error!(%error, %instance, "the end of {instance} cannot be recorded: {error}");
                if self.is_stopped() {
                    return false;
                }
                self.pause(REGISTER_PAUSE).await;
            }
            true
        };
        let recorded = tokio::select! {
            biased;
            // With all the others, at once.
            () = self.reaches(Stage::Ended) => false,
            recorded = recorded => recorded,
        };
        if !recorded {
            lock(&self.unrecorded).push(instance.clone());
        }
    }

    async fn record(&self, instances: &[InstanceId]) -> StoreResult<()> {
        self.store.end_instances(instances, "its task ended", self.clock.now()).await?;
        self.ended.notify_one();
        Ok(())
    }

    /// Records in one commit what has ended without a record, as often as it takes.
    async fn record_rest(&self) {
        let rest = std::mem::take(&mut *lock(&self.unrecorded));
        if rest.is_empty() {
            return;
        }
        while let Err(error) = self.record(&rest).await {
            error!(%error, "the ends of {} cannot be recorded: {error}", wording::count(rest.len(), "task"));
            self.clock.sleep(REGISTER_PAUSE).await;
        }
    }

    /// The process whose tasks these are.
    pub(super) const fn process(&self) -> &InstanceId {
        &self.process
    }

    /// What is no task, and has one name as long as this process lives.
    pub(super) fn named(&self, name: &str) -> InstanceId {
        InstanceId(format!("{}/{name}", self.process))
    }

    /// A new instance of a task in this process.
    fn instance(&self, name: &str) -> InstanceId {
        let number = self.next_instance.fetch_add(1, Ordering::Relaxed);
        InstanceId(format!("{}/{}-{number}", self.process, name.replace(' ', "-")))
    }

    /// Notes a panic; the first one stands.
    fn note(&self, task: &str, error: JoinError) {
        let Ok(panic) = error.try_into_panic() else { return };
        let panicked = TaskPanicked { task: task.to_owned(), reason: words(panic.as_ref()) };
        error!("{panicked}");
        lock(&self.panicked).get_or_insert(panicked);
    }

    /// Whether no task has panicked so far.
    pub(super) fn check(&self) -> Result<(), TaskPanicked> {
        lock(&self.panicked).clone().map_or(Ok(()), Err)
    }

    /// How often a task was started again after a panic.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Kills one of those that may be killed, wherever it is. Returns whether there was one.
    pub(super) fn kill_one(&self) -> bool {
        let victims = lock(&self.victims);
        let victim = victims.first();
        if let Some(victim) = victim {
            victim.handle.abort();
        }
        victim.is_some()
    }

    /// Kills the next one that has orders under way; after [`KILL_PATIENCE`] without one, any.
    pub(super) async fn kill_mid_order(&self) -> Killed {
        let limit = self.clock.uptime().saturating_add(KILL_PATIENCE);
        loop {
            if let Some(orders) = self.kill_busy() {
                return Killed::MidOrder(orders);
            }
            if self.is_stopped() || self.clock.uptime() >= limit {
                return if self.kill_one() { Killed::Idle } else { Killed::Nobody };
            }
            self.clock.sleep(KILL_LOOK).await;
        }
    }

    /// Kills one that has orders under way, if there is one; how many.
    fn kill_busy(&self) -> Option<usize> {
        let victims = lock(&self.victims);
        let mut each = victims.iter().map(|victim| (victim, victim.under_way.load(Ordering::SeqCst)));
        let (victim, orders) = each.find(|(_, orders)| *orders > 0)?;
        victim.handle.abort();
        Some(orders)
    }

    /// Instances that run now; each of them has begun in the store.
    pub(super) fn running(&self) -> Vec<InstanceId> {
        lock(&self.running).keys().cloned().collect()
    }

    /// Ends the task of an instance wherever it is; another one takes its place.
    pub(super) fn end_task(&self, instance: &InstanceId) {
        if let Some(handle) = lock(&self.running).get(instance) {
            handle.abort();
        }
    }

    /// Ends every task wherever it is, after a stop: none takes its place, and [`Self::record_rest`] records them all.
    fn end_all(&self) {
        self.stage.send_replace(Stage::Ended);
        lock(&self.running).values().for_each(AbortHandle::abort);
    }

    /// After a stop: waits for the tasks at most so long, then ends them where they are, and records that. Returns whether they
    /// came to their end.
    pub(super) async fn wait_or_end(&self, tasks: impl Future<Output = ()>, limit: Duration) -> bool {
        let clock = self.clock.as_ref();
        tokio::pin!(tasks);
        if within(clock, limit, &mut tasks).await.is_ok() {
            return true;
        }
        self.end_all();
        let recorded = async {
            tasks.await;
            self.record_rest().await;
        };
        if within(clock, RECORDED_WITHIN, recorded).await.is_err() {
            error!("the end of this process's tasks is not recorded: whoever sees that it is gone does that");
        }
        false
    }

    /// Tells every task to end after what it has at hand.
    pub(super) fn stop(&self) {
        self.stage.send_replace(Stage::Stops);
        info!(process = %self.process, "stopping the engine");
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stage.borrow() >= Stage::Stops
    }

    /// Returns when everything is stopped.
    pub(super) async fn stopped(&self) {
        self.reaches(Stage::Stops).await;
    }

    async fn reaches(&self, stage: Stage) {
        // The sender is ours, so it is never gone.
        let _ = self.stage.subscribe().wait_for(|reached| *reached >= stage).await;
    }

    /// Waits, but no longer than until everything is stopped.
    pub(super) async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = self.clock.sleep(duration) => {}
            () = self.stopped() => {}
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;

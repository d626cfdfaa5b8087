//! Tasks that panic, are killed, are taken for ended, and are told to end.

use std::future::pending;

use async_trait::async_trait;
use domain::Timestamp;
use engine::ports::store::{Leases as _, StoreError, StoreResult};
use testkit::{
    memory_store::MemoryStore,
    simulation::faulty::{Layer, Layered},
    virtual_clock::VirtualClock,
};
use tokio::sync::mpsc;

use super::*;

/// A store that cannot record so many ends, and counts the tries.
struct Failing {
    store: Arc<MemoryStore>,
    fails: AtomicUsize,
    tries: Arc<AtomicUsize>,
}

#[async_trait]
impl Layer for Failing {
    fn inner(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn end_instances(&self, instances: &[InstanceId], how: &str, now: Timestamp) -> StoreResult<()> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let fails = self.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match fails {
            Ok(_) => Err(StoreError::Unavailable("disk full".to_owned())),
            Err(_) => self.store.end_instances(instances, how, now).await,
        }
    }
}

struct Scene {
    clock: Arc<VirtualClock>,
    store: Arc<MemoryStore>,
    supervisor: Arc<Supervisor>,
    under_way: Arc<AtomicUsize>,
    /// How often an end was to be recorded.
    tries: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        Self::failing(0)
    }

    /// The store cannot record the first ends.
    fn failing(ends: usize) -> Self {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let process = InstanceId("process".to_owned());
        let tries = Arc::<AtomicUsize>::default();
        let failing =
            Failing { store: Arc::clone(&store), fails: AtomicUsize::new(ends), tries: Arc::clone(&tries) };
        let port = Arc::new(Layered(failing));
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let supervisor = Arc::new(Supervisor::new(port, time, process, Arc::default()));
        Self { clock, store, supervisor, under_way: Arc::default(), tries }
    }

    /// Keeps a task that says when it starts, then panics as long as it is told to and waits for the end.
    fn keep(&self, may_be_killed: bool, panics: usize) -> mpsc::UnboundedReceiver<InstanceId> {
        let (started, starts) = mpsc::unbounded_channel();
        let left = Arc::new(AtomicUsize::new(panics));
        let supervisor = Arc::clone(&self.supervisor);
        let task =
            Task { victim: may_be_killed.then(|| Arc::clone(&self.under_way)), ..Task::named("look out") };
        let start = move |instance| {
            let (left, supervisor, started) = (left.clone(), supervisor.clone(), started.clone());
            async move {
                started.send(instance).unwrap();
                let wanted = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                assert!(wanted.is_err(), "asked to");
                supervisor.stopped().await;
            }
        };
        tokio::spawn(Arc::clone(&self.supervisor).keep(task, start));
        starts
    }

    /// Lets time pass in small steps until the task has started `count` times more; how long that took.
    async fn starts(&self, starts: &mut mpsc::UnboundedReceiver<InstanceId>, count: usize) -> Duration {
        let began = self.clock.uptime();
        for _ in 0..count {
            loop {
                tokio::task::yield_now().await;
                if starts.try_recv().is_ok() {
                    break;
                }
                self.clock.advance(Duration::from_millis(10));
            }
        }
        self.clock.uptime().saturating_sub(began)
    }
}

#[tokio::test]
async fn what_panics_is_started_again_after_pauses_that_double() {
    let scene = Scene::new();
    let mut starts = scene.keep(false, 3);
    let took = scene.starts(&mut starts, 4).await;
    let pauses = RESTART_FIRST * (1 + 2 + 4);
    assert!((pauses..pauses * 2).contains(&took), "{took:?}");
    assert_eq!(scene.supervisor.restarts(), 3);
    let panicked = scene.supervisor.check().unwrap_err();
    assert_eq!((panicked.task.as_str(), panicked.reason.as_str()), ("look out", "asked to"));
    let running = scene.store.running_instances().await.unwrap();
    assert_eq!(running, [InstanceId("process/look-out-4".to_owned())], "those that ended are known to");
}

#[tokio::test]
async fn a_task_that_is_taken_for_ended_goes_on_under_another_name() {
    let scene = Scene::new();
    let mut starts = scene.keep(false, 0);
    scene.starts(&mut starts, 1).await;
    let [first] = scene.supervisor.running().try_into().unwrap();
    scene.supervisor.end_task(&first);
    scene.starts(&mut starts, 1).await;
    let [second] = scene.supervisor.running().try_into().unwrap();
    assert_ne!(first, second);
    assert_eq!(scene.store.running_instances().await.unwrap(), [second]);
}

#[tokio::test]
async fn pauses_have_an_end_and_calm_shortens_them() {
    let scene = Scene::new();
    let mut starts = scene.keep(false, 12);
    let took = scene.starts(&mut starts, 13).await;
    let doubling: Duration = (0..9).map(|n| RESTART_FIRST * (1 << n)).sum();
    let least = doubling + RESTART_LAST * 3;
    assert!((least..least + RESTART_CALM).contains(&took), "{took:?} instead of {least:?}");
    assert_eq!(scene.supervisor.restarts(), 12);
}

#[tokio::test]
async fn what_is_killed_is_replaced_at_once_and_is_no_panic() {
    let scene = Scene::new();
    let mut starts = scene.keep(true, 0);
    scene.starts(&mut starts, 1).await;
    assert!(scene.supervisor.kill_one());
    let took = scene.starts(&mut starts, 1).await;
    assert!(took < RESTART_FIRST, "{took:?}");
    assert_eq!((scene.supervisor.restarts(), scene.supervisor.check()), (0, Ok(())));
    let others = Scene::new();
    let mut starts = others.keep(false, 0);
    others.starts(&mut starts, 1).await;
    assert!(!others.supervisor.kill_one(), "nobody who may be killed");
}

#[tokio::test]
async fn who_has_an_order_under_way_is_killed_and_waited_for_a_while() {
    let scene = Scene::new();
    let mut starts = scene.keep(true, 0);
    scene.starts(&mut starts, 1).await;
    let begins = async {
        scene.clock.advance(KILL_PATIENCE / 2);
        tokio::task::yield_now().await;
        assert_eq!(lock(&scene.supervisor.victims).len(), 1, "nobody is killed meanwhile");
        scene.under_way.store(3, Ordering::SeqCst);
        scene.clock.advance(KILL_LOOK);
    };
    let (killed, ()) = tokio::join!(scene.supervisor.kill_mid_order(), begins);
    assert_eq!(killed, Killed::MidOrder(3));
    scene.starts(&mut starts, 1).await;
    scene.under_way.store(0, Ordering::SeqCst);
    let waits = async { scene.clock.advance(KILL_PATIENCE) };
    let (killed, ()) = tokio::join!(scene.supervisor.kill_mid_order(), waits);
    assert_eq!(killed, Killed::Idle);
    scene.starts(&mut starts, 1).await;
}

/// Only the first try was made: the dead one counted as running until the process ended.
#[tokio::test]
async fn an_end_is_recorded_when_the_store_can_do_it_again() {
    let scene = Scene::failing(3);
    let mut starts = scene.keep(true, 0);
    scene.starts(&mut starts, 1).await;
    assert!(scene.supervisor.kill_one());
    let took = scene.starts(&mut starts, 1).await;
    assert!(took >= REGISTER_PAUSE * 3, "{took:?}");
    let running = scene.store.running_instances().await.unwrap();
    assert_eq!(running, [InstanceId("process/look-out-2".to_owned())]);
}

/// Stops a scene in which three tasks hang; how long that took.
async fn stop_what_hangs(scene: &Scene) -> Duration {
    let keep = |name| tokio::spawn(Arc::clone(&scene.supervisor).keep(Task::named(name), |_| pending()));
    let kept = ["one", "two", "three"].map(keep);
    while scene.supervisor.running().len() < kept.len() {
        tokio::task::yield_now().await;
    }
    scene.supervisor.stop();
    let began = scene.clock.uptime();
    let supervisor = Arc::clone(&scene.supervisor);
    let tasks = async {
        for task in kept {
            task.await.unwrap();
        }
    };
    let stopping = tokio::spawn(async move { supervisor.wait_or_end(tasks, AT_HAND).await });
    while !stopping.is_finished() {
        scene.clock.advance(Duration::from_millis(100));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert!(!stopping.await.unwrap(), "they hang");
    scene.clock.uptime() - began
}

const AT_HAND: Duration = Duration::from_secs(25);

/// What hangs at the end of everything is handed over: it counts as ended for whoever comes, on whatever machine. One commit
/// says so of all: there is little time.
#[tokio::test]
async fn what_does_not_end_after_a_stop_is_ended_and_recorded_at_once() {
    let scene = Scene::new();
    let took = stop_what_hangs(&scene).await;
    assert_eq!(scene.store.running_instances().await.unwrap(), []);
    assert_eq!((scene.tries.load(Ordering::Relaxed), scene.supervisor.check()), (1, Ok(())));
    assert!(took < AT_HAND + REGISTER_PAUSE, "{took:?}");
}

#[tokio::test]
async fn a_stop_waits_for_no_store_longer_than_it_says() {
    let scene = Scene::failing(usize::MAX);
    let took = stop_what_hangs(&scene).await;
    assert_eq!(scene.store.running_instances().await.unwrap().len(), 3, "the next who looks records them");
    assert!((AT_HAND..=AT_HAND + RECORDED_WITHIN + REGISTER_PAUSE).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_stop_ends_the_task_and_its_pauses() {
    let scene = Scene::new();
    let mut starts = scene.keep(false, 1);
    scene.starts(&mut starts, 1).await;
    scene.supervisor.stop();
    while !scene.store.running_instances().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(starts.recv().await.is_none(), "nobody is started after a stop");
}

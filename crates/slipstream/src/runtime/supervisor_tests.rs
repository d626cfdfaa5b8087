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

/// A store that cannot record so many ends.
struct Failing(Arc<MemoryStore>, AtomicUsize);

#[async_trait]
impl Layer for Failing {
    fn inner(&self) -> &dyn Store {
        self.0.as_ref()
    }

    async fn end_instance(&self, instance: &InstanceId, how: &str, now: Timestamp) -> StoreResult<()> {
        let fails = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match fails {
            Ok(_) => Err(StoreError::Unavailable("disk full".to_owned())),
            Err(_) => self.0.end_instance(instance, how, now).await,
        }
    }
}

struct Scene {
    clock: Arc<VirtualClock>,
    store: Arc<MemoryStore>,
    supervisor: Arc<Supervisor>,
    under_way: Arc<AtomicUsize>,
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
        let port = Arc::new(Layered(Failing(Arc::clone(&store), AtomicUsize::new(ends))));
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let supervisor = Arc::new(Supervisor::new(port, time, process, Arc::default()));
        Self { clock, store, supervisor, under_way: Arc::default() }
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

/// What hangs at the end of everything is handed over: it counts as ended for whoever comes, on whatever machine.
#[tokio::test]
async fn what_does_not_end_after_a_stop_is_ended_and_recorded() {
    let scene = Scene::new();
    let kept = tokio::spawn(Arc::clone(&scene.supervisor).keep(Task::named("hang"), |_| pending()));
    while scene.store.running_instances().await.unwrap().is_empty() || scene.supervisor.running().is_empty() {
        tokio::task::yield_now().await;
    }
    scene.supervisor.stop();
    scene.supervisor.end_all();
    kept.await.unwrap();
    assert_eq!(scene.store.running_instances().await.unwrap(), []);
    assert_eq!(scene.supervisor.check(), Ok(()));
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

//! Looks whether the engine gets anywhere: whether its tasks come to the end of what they do, and whether the sources of
//! leaders' trades are in time. Tells once of what is not so; it ends nothing and starts nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::Clock;
use engine::{
    deadline::within,
    ports::store::{Event, EventKind, InstanceId, Store},
    sources::SourceWatch,
};
use tracing::{info, warn};

use crate::wording::harmless;

/// Every call of a task has a deadline, and a round makes some of them one after the other; a round of this length is no
/// round.
const HANGS_AFTER: Duration = Duration::from_secs(300);
/// The same of payouts: the relayer takes a few calls a minute, and each account's turn is waited for.
pub(super) const PAYOUTS_HANG_AFTER: Duration = Duration::from_secs(3_600);
/// Time between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the store may take for an alarm.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Rounds of tasks that have begun and not ended.
pub(super) struct Rounds {
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<InstanceId, Round>>,
}

struct Round {
    /// Uptime.
    began: Duration,
    may_last: Duration,
    told: bool,
}

/// Ends a round, also that of a task that was killed or panicked.
struct Ends<'a>(&'a Rounds, &'a InstanceId);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let Self(rounds, task) = self;
        if let Some(round) = rounds.lock().remove(*task)
            && round.told
        {
            info!(instance = %task, "{task} has come to the end of what it did, and goes on");
        }
    }
}

impl Rounds {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, open: Mutex::default() }
    }

    /// Does what a task does before it looks again what there is to do.
    pub(super) async fn of<T>(&self, task: &InstanceId, work: impl Future<Output = T>) -> T {
        self.of_at_most(task, HANGS_AFTER, work).await
    }

    /// The same, for one that may last so long.
    pub(super) async fn of_at_most<T>(
        &self,
        task: &InstanceId,
        may_last: Duration,
        work: impl Future<Output = T>,
    ) -> T {
        self.lock().insert(task.clone(), Round { began: self.clock.uptime(), may_last, told: false });
        let _ends = Ends(self, task);
        work.await
    }

    /// Tasks that hang, each once.
    fn hanging(&self) -> Vec<EventKind> {
        let now = self.clock.uptime();
        let mut open = self.lock();
        let hangs = open.iter_mut().filter_map(|(task, round)| {
            let time = now.saturating_sub(round.began);
            if time < round.may_last || std::mem::replace(&mut round.told, true) {
                return None;
            }
            Some(EventKind::TaskHangs { task: short(task).to_owned(), seconds: time.as_secs() })
        });
        hangs.collect()
    }

    /// Tasks that hang now.
    pub(super) fn stuck(&self) -> Vec<String> {
        let now = self.clock.uptime();
        let open = self.lock();
        let stuck = open.iter().filter(|(_, round)| now.saturating_sub(round.began) >= round.may_last);
        let mut names: Vec<String> = stuck.map(|(task, _)| short(task).to_owned()).collect();
        names.sort();
        names
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Round>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without its process.
fn short(InstanceId(name): &InstanceId) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Looks once, and tells what is new. The log is told here and now: the store may be what hangs.
pub(super) async fn look(rounds: &Rounds, sources: &SourceWatch, store: &dyn Store) {
    let clock = rounds.clock.as_ref();
    for kind in rounds.hanging().into_iter().chain(sources.turns(clock.uptime())) {
        match &kind {
            EventKind::TaskHangs { task, seconds } => warn!(
                task,
                seconds,
                "{task} of the engine has been at one thing for {seconds} s: please report it with the log"
            ),
            EventKind::SourceLate { source, seconds } => warn!(
                ?source,
                seconds,
                "the {} shows leaders' trades {seconds} s late; `slipstream sources` tells more",
                source.name()
            ),
            EventKind::SourceStopped { source, seconds, reason } => warn!(
                ?source,
                seconds,
                "nothing new could be read of the {} for {seconds} s; {}",
                source.name(),
                why(reason)
            ),
            EventKind::SourceBack { source } => info!(?source, "the {} is read again", source.name()),
            EventKind::SourceInTime { source } => info!(?source, "the {} is in time again", source.name()),
            _ => {}
        }
        let event = Event { owner: None, at: clock.now(), kind };
        match within(clock, TELL_WITHIN, store.tell(&event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "an alarm is in this log alone: {error}"),
            Err(_) => warn!("an alarm is in this log alone: the store does not answer"),
        }
    }
}

fn why(reason: &str) -> String {
    match reason {
        "" => "it answers and has nothing new".to_owned(),
        reason => harmless(reason),
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        Shares, Timestamp, TokenId, TxHash,
        ids::LeaderId,
        trade::{Action, GroupKey},
    };
    use engine::{ports::reports::Reports as _, sources::SourceName};
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::*;

    struct Scene {
        clock: Arc<VirtualClock>,
        store: MemoryStore,
        rounds: Rounds,
        sources: SourceWatch,
    }

    impl Scene {
        fn new() -> Self {
            let clock = VirtualClock::new(Timestamp::from_seconds(1_000));
            let time = Arc::clone(&clock) as Arc<dyn Clock>;
            let store = MemoryStore::new(Arc::clone(&time));
            Self { clock, store, rounds: Rounds::new(time), sources: SourceWatch::default() }
        }

        /// Looks, and what is in the store then.
        async fn told(&self) -> Vec<EventKind> {
            look(&self.rounds, &self.sources, &self.store).await;
            let events = self.store.events_after(0, 100).await.unwrap();
            events.into_iter().map(|(_, event)| event.kind).collect()
        }
    }

    /// It stopped after forty minutes, and nothing said so (Crypto-Copy-Trader #65).
    #[tokio::test]
    async fn a_task_whose_port_hangs_is_told_once() {
        let scene = Scene::new();
        let task = InstanceId("process/watcher-7".to_owned());
        let hangs = |seconds| EventKind::TaskHangs { task: "watcher-7".to_owned(), seconds };
        {
            let port = scene.rounds.of(&task, std::future::pending::<()>());
            tokio::pin!(port);
            assert!(futures_util::poll!(port.as_mut()).is_pending());
            scene.clock.advance(HANGS_AFTER - LOOK_EVERY);
            assert_eq!(scene.told().await, []);
            scene.clock.advance(LOOK_EVERY);
            assert_eq!(scene.told().await, [hangs(300)]);
            scene.clock.advance(HANGS_AFTER);
            assert_eq!(scene.told().await, [hangs(300)], "once");
            assert_eq!(scene.rounds.stuck(), ["watcher-7"], "it still does");
        }
        // It was killed; another one is at work, and done in time.
        scene.rounds.of(&task, async {}).await;
        scene.clock.advance(HANGS_AFTER);
        assert_eq!(scene.told().await.len(), 1);
        assert_eq!(scene.rounds.stuck(), [""; 0]);
        let again = scene.rounds.of(&task, std::future::pending::<()>());
        tokio::pin!(again);
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        scene.clock.advance(HANGS_AFTER);
        assert_eq!(scene.told().await.len(), 2, "another time");
    }

    /// The feed was up to an hour late (real-time-data-client #36).
    #[tokio::test]
    async fn a_late_source_is_an_event() {
        let scene = Scene::new();
        let show = |tx: u8, lag: u64| {
            let key = GroupKey {
                leader: LeaderId(1),
                tx: TxHash([tx; 32]),
                token: TokenId([7; 32]),
                action: Action::Buy,
            };
            let now = scene.clock.now();
            scene.clock.advance(Duration::from_secs(lag));
            scene.sources.heard(SourceName::Live, (key, now), Shares(1), scene.clock.now());
        };
        show(1, 0);
        (2..8).for_each(|tx| show(tx, 3_600));
        let source = SourceName::Live;
        assert_eq!(scene.told().await, [EventKind::SourceLate { source, seconds: 3_600 }]);
        assert_eq!(scene.told().await.len(), 1, "once");
        (8..14).for_each(|tx| show(tx, 1));
        assert_eq!(scene.told().await.pop(), Some(EventKind::SourceInTime { source }));
    }
}

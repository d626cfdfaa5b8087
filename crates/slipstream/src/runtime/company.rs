//! Looks at the other processes of an installation: which of them are gone, whether any of ours is taken for gone, and what was
//! committed last, whoever did it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use domain::Clock;
use engine::ports::store::{InstanceId, Store, StoreResult};
use tracing::warn;

use super::Shared;
use crate::{
    instance::{
        end_gone,
        succession::{SIGN_EVERY, give_sign},
    },
    wording::count,
};

/// Time between two looks: the same bytes of an order may be sent for some seconds only.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn company_loop(shared: Arc<Shared>, instance: InstanceId) {
    while !shared.supervisor.is_stopped() {
        if let Err(error) = shared.rounds.of(&instance, look(&shared)).await {
            warn!(%error, "other processes cannot be looked at: {error}");
        }
        shared.supervisor.pause(LOOK_EVERY).await;
    }
}

async fn look(shared: &Shared) -> StoreResult<()> {
    let ports = &shared.ports;
    // Read before the store: each of these has begun by then.
    let ours = shared.supervisor.running();
    let seen = look_at(ports.store.as_ref(), ports.clock.as_ref()).await;
    let Seen { running, ended } = seen.others?;
    if let Some(sharing) = &ports.sharing {
        sharing.look(&shared.supervisor.process().0, &running, ports.clock.uptime()).await;
    }
    if ended > 0 {
        warn!("{} of processes that are gone from this machine recorded as ended", count(ended, "task"));
        shared.to_settle.notify_one();
    }
    let known: HashSet<&InstanceId> = running.iter().collect();
    for instance in ours.iter().filter(|instance| !known.contains(instance)) {
        warn!(%instance, "somebody has recorded {instance} as ended: it may sign nothing any more, and another takes its place");
        shared.supervisor.end_task(instance);
    }
    seen.newest
}

/// What a look at the store came to. One part that fails keeps no other from being done.
struct Looked {
    /// Whether what was committed last is there.
    newest: StoreResult<()>,
    others: StoreResult<Seen>,
}

struct Seen {
    running: Vec<InstanceId>,
    /// How many of them are recorded as ended now, because their process is gone.
    ended: usize,
}

async fn look_at(store: &dyn Store, clock: &dyn Clock) -> Looked {
    // Whoever commits nothing knows of the newest commit, too: the process that made it may be lost with it.
    let newest = store.look_back().await;
    let others = async {
        let running = store.running_instances().await?;
        let ended = end_gone(store, clock, &running).await?;
        Ok(Seen { running, ended })
    };
    Looked { newest, others: others.await }
}

/// Says that this process lives, as long as it does.
pub(super) async fn life_loop(shared: Arc<Shared>, instance: InstanceId) {
    let process = shared.supervisor.process();
    while !shared.supervisor.is_stopped() {
        let signs = give_sign(shared.ports.store.as_ref(), process);
        if let Err(error) = shared.rounds.of(&instance, signs).await {
            warn!(%error, "this process can give no sign of life: {error}");
        }
        shared.supervisor.pause(SIGN_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use async_trait::async_trait;
    use domain::Timestamp;
    use engine::ports::store::{Leases as _, StoreError};
    use testkit::{
        memory_store::MemoryStore,
        simulation::faulty::{Layer, Layered},
        virtual_clock::VirtualClock,
    };

    use super::*;
    use crate::instance::name_of;

    /// A store that cannot tell whether the newest commit is there.
    struct Blind(MemoryStore);

    #[async_trait]
    impl Layer for Blind {
        fn inner(&self) -> &dyn Store {
            &self.0
        }

        async fn look_back(&self) -> StoreResult<()> {
            Err(StoreError::Unavailable("it is slow".to_owned()))
        }
    }

    #[tokio::test]
    async fn who_is_gone_is_seen_though_the_newest_commit_cannot_be_looked_for() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let store = Layered(Blind(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>)));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let instance = InstanceId(format!("{}/worker-0-1", name_of(child.id().cast_signed())));
        store.begin_instance(&instance, clock.now()).await.unwrap();
        let looked = look_at(&store, clock.as_ref()).await;
        assert_eq!(looked.others.unwrap().ended, 0);
        child.kill().unwrap();
        child.wait().unwrap();
        let looked = look_at(&store, clock.as_ref()).await;
        assert!(looked.newest.is_err());
        assert_eq!((looked.others.unwrap().ended, store.running_instances().await.unwrap()), (1, vec![]));
    }
}

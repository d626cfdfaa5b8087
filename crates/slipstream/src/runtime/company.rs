//! Looks at the other processes of an installation: which of them are gone, whether any of ours is taken for gone, and what was
//! committed last, whoever did it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use engine::ports::store::{InstanceId, StoreResult};
use tracing::warn;

use super::Shared;
use crate::{
    instance::{end_gone, process_of},
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
    // Whoever commits nothing knows of the newest commit, too: the process that made it may be lost with it.
    ports.store.look_back().await?;
    // Read before the store: each of these has begun by then.
    let ours = shared.supervisor.running();
    let running = ports.store.running_instances().await?;
    if let (Some(sharing), Some(one)) = (&ports.sharing, ours.first()) {
        sharing.look(process_of(one), &running, ports.clock.uptime()).await;
    }
    let ended = end_gone(ports.store.as_ref(), ports.clock.as_ref(), &running).await?;
    if ended > 0 {
        warn!("{} of processes that are gone from this machine recorded as ended", count(ended, "task"));
        shared.to_settle.notify_one();
    }
    let known: HashSet<&InstanceId> = running.iter().collect();
    for instance in ours.iter().filter(|instance| !known.contains(instance)) {
        warn!(%instance, "somebody has recorded {instance} as ended: it may sign nothing any more, and another takes its place");
        shared.supervisor.end_task(instance);
    }
    Ok(())
}

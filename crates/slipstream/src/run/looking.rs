//! Which of many processes looks whether accounts with real money may buy, and under which names in the store: what it holds
//! ends with them.

use std::sync::{Arc, atomic::AtomicBool};

use domain::Clock;
use engine::ports::store::{InstanceId, Store, StoreResult};

/// What is looked at is called so among the tasks of a process.
const TASK: &str = "readiness";

/// Which of many processes this is: what one finds wrong is not right because another finds nothing.
pub(super) struct Who {
    /// The process.
    pub(super) process: InstanceId,
    /// What reasons begin with; nothing where one process works alone.
    pub(super) words: String,
    /// Set while this machine is one to buy nothing from, where others may; where there are none, accounts are held.
    pub(super) buys_elsewhere: Option<Arc<AtomicBool>>,
}

impl Who {
    /// Its instance of this number.
    pub(super) fn instance(&self, number: u32) -> InstanceId {
        InstanceId(format!("{}/{TASK}-{number}", self.process))
    }
}

/// Records that a process which ends looks no longer: nothing is held for it any more.
pub(super) async fn end(store: &dyn Store, clock: &dyn Clock, process: &InstanceId) -> StoreResult<()> {
    end_but(store, clock, process, None).await
}

/// The same of all its instances but one.
pub(super) async fn end_but(
    store: &dyn Store,
    clock: &dyn Clock,
    process: &InstanceId,
    but: Option<&InstanceId>,
) -> StoreResult<()> {
    let ours = format!("{process}/{TASK}-");
    let running = store.running_instances().await?;
    for instance in running.iter().filter(|name| name.0.starts_with(&ours) && Some(*name) != but) {
        store.end_instance(instance, "its process looks no longer", clock.now()).await?;
    }
    Ok(())
}

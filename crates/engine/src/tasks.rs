//! Runs the periodic tasks of an installation ([`crate::ports::tasks`]). Each is idempotent: whoever dies in the
//! middle of one leaves it to the next.

use std::{sync::Arc, time::Duration};

use domain::Clock;
use tracing::{debug, info, warn};

use crate::{
    limits,
    ports::{
        store::{InstanceId, Store, StoreError, StoreResult},
        tasks::TaskClaim,
    },
};

/// Everything that is done from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Removes old events.
    PruneEvents,
    /// Sums old skips.
    SumSkips,
}

impl Task {
    const ALL: [Self; 2] = [Self::PruneEvents, Self::SumSkips];

    /// Its name in the store, for ever.
    const fn name(self) -> &'static str {
        match self {
            Self::PruneEvents => "prune events",
            Self::SumSkips => "sum skips",
        }
    }

    const fn every(self) -> Duration {
        match self {
            Self::PruneEvents => limits::PRUNE_EVENTS_EVERY,
            Self::SumSkips => limits::SUM_SKIPS_EVERY,
        }
    }
}

/// The one who runs them in this process.
pub struct TaskRunner {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who we are.
    pub instance: InstanceId,
}

impl TaskRunner {
    /// Runs every task that is due and nobody else runs. A task that fails is told and tried again later, less and
    /// less often. Returns how many were run.
    ///
    /// # Errors
    /// When the store cannot be asked, or not told how a task ended; it is free again when its lease runs out.
    pub async fn round(&self) -> StoreResult<usize> {
        let mut ran: usize = 0;
        for task in Task::ALL {
            let claim = self.store.claim_task(task.name(), &self.instance, limits::TASK_LEASE).await?;
            let Some(claim) = claim else { continue };
            ran = ran.saturating_add(1);
            let (next, failed) = match self.run(task, &claim).await {
                Ok(true) => (Duration::ZERO, None),
                Ok(false) => (task.every(), None),
                // Somebody else runs it by now.
                Err(StoreError::LeaseLost(_)) => continue,
                Err(error) => (retry_after(claim.failures), Some(error.to_string())),
            };
            if let Some(reason) = &failed {
                warn!(
                    task = task.name(),
                    "`{}` failed and is tried again in {next:?}: {reason}",
                    task.name()
                );
            }
            match self.store.finish_task(&claim, next, failed.as_deref()).await {
                Err(StoreError::LeaseLost(_)) => debug!(task = task.name(), "somebody else runs it by now"),
                ended => ended?,
            }
        }
        Ok(ran)
    }

    /// A piece of a task; whether more of it is left.
    async fn run(&self, task: Task, claim: &TaskClaim) -> StoreResult<bool> {
        match task {
            Task::PruneEvents => {
                let before = self.clock.now().minus(limits::EVENTS_KEPT);
                let gone = self.store.prune_events(claim, before, limits::PRUNE_BATCH).await?;
                if gone > 0 {
                    info!("{gone} events from before {before} removed");
                }
                Ok(gone == limits::PRUNE_BATCH)
            }
            Task::SumSkips => {
                let before = self.clock.now().minus(limits::SKIPS_KEPT);
                let looked_at = self.store.sum_skips(claim, before, limits::SUM_BATCH).await?;
                Ok(looked_at == limits::SUM_BATCH)
            }
        }
    }
}

/// Doubles from the first pause to the last.
fn retry_after(failures: u32) -> Duration {
    limits::TASK_RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(limits::TASK_RETRY_LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let pauses: Vec<u64> = [0, 1, 2, 5, 6, 40].map(|failures| retry_after(failures).as_secs()).into();
        assert_eq!(pauses, [60, 120, 240, 1_920, 3_600, 3_600]);
    }
}

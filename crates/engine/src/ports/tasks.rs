//! Periodic work of an installation: each task has a name, a time when it is due and a lease, so that of any number
//! of processes one runs it.

use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;

use super::store::{InstanceId, StoreResult};

/// A task that was claimed: whoever holds this may run it until the lease runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskClaim {
    /// Which task.
    pub name: String,
    /// Who runs it.
    pub holder: InstanceId,
    /// Grows with every claim: an older one ends nothing and removes nothing.
    pub fence: i64,
    /// How often it has failed since it last succeeded.
    pub failures: u32,
}

/// The table of periodic tasks, and what they do. Times are the store's own clock's.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Claims a task if it is due and nobody's lease on it stands. One that nobody has claimed before is due.
    async fn claim_task(
        &self,
        name: &str,
        holder: &InstanceId,
        lease: Duration,
    ) -> StoreResult<Option<TaskClaim>>;

    /// Ends a claim: the task is due again after `next`. With the reason of a failure it counts as failed, and an
    /// event says so. [`super::store::StoreError::LeaseLost`] when somebody else has claimed it since.
    async fn finish_task(&self, claim: &TaskClaim, next: Duration, failed: Option<&str>) -> StoreResult<()>;

    /// Removes events from before `before` that every subscriber has read, of the oldest `limit` events. Returns
    /// how many; the same error.
    async fn prune_events(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize>;

    /// Of the next `limit` decisions, in the order of their numbers, adds the skips to the sums of their relationship,
    /// day and reason, and to what their parts gave up, and removes them; copies stay. It ends before the first one from
    /// `before` or later, and before the newest of all, so that numbers grow. Returns how many were looked at; the
    /// same error.
    async fn sum_skips(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize>;
}

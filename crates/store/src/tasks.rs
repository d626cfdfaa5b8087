//! Periodic tasks: claims, and what the tasks remove. Their times are the store's own clock's.

use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use engine::ports::{
    store::{Event, EventKind, InstanceId, StoreError, StoreResult},
    tasks::{TaskClaim, Tasks},
};

use crate::{
    SqlStore,
    column::Fields,
    dialect::Connection,
    events, skips,
    sql::{self, values},
};

#[async_trait]
impl Tasks for SqlStore {
    async fn claim_task(
        &self,
        name: &str,
        holder: &InstanceId,
        lease: Duration,
    ) -> StoreResult<Option<TaskClaim>> {
        const CLAIM: &str = "INSERT INTO tasks (name, due, lease_until, holder, fence, failures) \
            VALUES ($1, $4, $3, $2, 1, 0) \
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until, \
                fence = tasks.fence + 1 \
            WHERE tasks.due <= $4 AND tasks.lease_until <= $4 RETURNING fence, failures";
        let mut write = self.write().await?;
        let now = self.now(write.connection()).await?;
        let values = values![name, holder.0.as_str(), now.plus(lease), now];
        let Some(row) = sql::row(write.connection(), CLAIM, values).await? else {
            return write.undo().await.map(|()| None);
        };
        let mut fields = Fields::of(&row);
        let (fence, failures) = (fields.get()?, fields.number()?);
        write.commit().await?;
        Ok(Some(TaskClaim { name: name.to_owned(), holder: holder.clone(), fence, failures }))
    }

    async fn finish_task(&self, claim: &TaskClaim, next: Duration, failed: Option<&str>) -> StoreResult<()> {
        const FINISH: &str = "UPDATE tasks SET due = $4, lease_until = 0, holder = NULL, failures = $5 \
            WHERE name = $1 AND holder = $2 AND fence = $3";
        let mut write = self.write().await?;
        let now = self.now(write.connection()).await?;
        let failures = failed.map_or(0, |_| claim.failures.saturating_add(1));
        let (name, holder) = (claim.name.as_str(), claim.holder.0.as_str());
        let values = values![name, holder, claim.fence, now.plus(next), failures];
        if sql::execute(write.connection(), FINISH, values).await? == 0 {
            write.undo().await?;
            return Err(StoreError::LeaseLost(claim.name.clone()));
        }
        if let Some(reason) = failed {
            let task = claim.name.clone();
            let kind = EventKind::TaskFailed { task, failures, reason: reason.to_owned() };
            events::write(write.connection(), &[Event { owner: None, at: now, kind }]).await?;
        }
        write.commit().await
    }

    async fn prune_events(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize> {
        let mut write = self.write().await?;
        check(write.connection(), claim).await?;
        let gone = events::prune(write.connection(), before, limit).await?;
        write.commit().await?;
        Ok(gone)
    }

    async fn sum_skips(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize> {
        let mut write = self.write().await?;
        check(write.connection(), claim).await?;
        let looked_at = skips::sum(write.connection(), before, limit).await?;
        write.commit().await?;
        Ok(looked_at)
    }
}

/// Whether a claim still stands, in the transaction that depends on it.
async fn check(connection: &mut Connection, claim: &TaskClaim) -> StoreResult<()> {
    const CHECK: &str =
        concat!("SELECT 1 FROM tasks WHERE name = $1 AND holder = $2 AND fence = $3", for_update!());
    let values = values![claim.name.as_str(), claim.holder.0.as_str(), claim.fence];
    match sql::row(connection, CHECK, values).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::LeaseLost(claim.name.clone())),
    }
}

/// Whoever was seen to end runs no task.
pub(crate) async fn give_back(connection: &mut Connection, holder: &str) -> StoreResult<()> {
    const GIVE_BACK: &str = "UPDATE tasks SET holder = NULL, lease_until = 0 WHERE holder = $1";
    sql::execute(connection, GIVE_BACK, values![holder]).await?;
    Ok(())
}

//! Leases by name. Their times are the store's own clock's.

use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use engine::ports::store::{InstanceId, Lease, Leases, StoreError, StoreResult};

use crate::{
    SqlStore,
    column::Fields,
    dialect::Connection,
    holds, instances,
    sql::{self, values},
    tasks, work,
};

#[async_trait]
impl Leases for SqlStore {
    async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
        // A released lease has no holder, so that taking it again is a change of holder.
        const TAKE: &str = "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3) \
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, \
                fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END \
            WHERE leases.holder = excluded.holder OR leases.until <= $4 \
            RETURNING fence";
        let mut write = self.write().await?;
        let now = self.now(write.connection()).await?;
        let values = values![name, holder.0.as_str(), now.plus(ttl), now];
        let Some(row) = sql::row(write.connection(), TAKE, values).await? else {
            return write.undo().await.map(|()| None);
        };
        let fence = Fields::of(&row).get()?;
        write.commit().await?;
        Ok(Some(Lease { name: name.to_owned(), holder: holder.clone(), fence }))
    }

    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        const RELEASE: &str = "UPDATE leases SET holder = NULL, until = 0 \
            WHERE name = $1 AND holder = $2 AND fence = $3";
        let mut write = self.write().await?;
        let values = values![lease.name.as_str(), lease.holder.0.as_str(), lease.fence];
        if sql::execute(write.connection(), RELEASE, values).await? == 0 {
            return write.undo().await;
        }
        write.commit().await
    }

    async fn is_leased(&self, name: &str) -> StoreResult<bool> {
        const LEASED: &str = "SELECT 1 FROM leases WHERE name = $1 AND holder IS NOT NULL AND until > $2";
        let mut read = self.snapshot().await?;
        let now = self.now(&mut read).await?;
        Ok(sql::row(&mut read, LEASED, values![name, now]).await?.is_some())
    }

    async fn begin_instance(&self, instance: &InstanceId, now: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        instances::running(write.connection(), instance, now).await?;
        write.commit().await
    }

    async fn end_instances(&self, instances: &[InstanceId], how: &str, now: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        for instance in instances {
            instances::end(write.connection(), instance, how, now).await?;
            give_back(write.connection(), instance).await?;
            work::leave(write.connection(), instance, now).await?;
            holds::lift_of(write.connection(), instance, now).await?;
        }
        write.commit().await
    }

    async fn running_instances(&self) -> StoreResult<Vec<InstanceId>> {
        instances::all_running(&mut self.read().await?).await
    }
}

/// Whoever was seen to end holds no lease and runs no task.
async fn give_back(connection: &mut Connection, holder: &InstanceId) -> StoreResult<()> {
    const GIVE_BACK: &str = "UPDATE leases SET holder = NULL, until = 0 WHERE holder = $1";
    sql::execute(connection, GIVE_BACK, values![holder.0.as_str()]).await?;
    tasks::give_back(connection, &holder.0).await
}

/// Whether the lease's fence still stands, in the transaction that depends on it.
pub(crate) async fn check(connection: &mut Connection, lease: &Lease) -> StoreResult<()> {
    const CHECK: &str =
        concat!("SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND fence = $3", for_update!());
    let values = values![lease.name.as_str(), lease.holder.0.as_str(), lease.fence];
    match sql::row(connection, CHECK, values).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::LeaseLost(lease.name.clone())),
    }
}

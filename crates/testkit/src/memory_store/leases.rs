//! Leases and the lives of instances.

use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use engine::ports::store::{InstanceId, Lease, Leases, StoreError, StoreResult};

use super::{
    MemoryStore,
    state::{LeaseRow, State},
};

#[async_trait]
impl Leases for MemoryStore {
    async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
        let now = self.now();
        let mut state = self.write();
        let row =
            state.leases.entry(name.to_owned()).or_insert(LeaseRow { holder: None, until: now, fence: 0 });
        let renews = row.holder.as_ref() == Some(holder);
        if !renews && row.holder.is_some() && row.until > now {
            return Ok(None);
        }
        if !renews {
            row.fence += 1;
            row.holder = Some(holder.clone());
        }
        row.until = now.plus(ttl);
        let fence = row.fence;
        state.committed();
        Ok(Some(Lease { name: name.to_owned(), holder: holder.clone(), fence }))
    }

    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        let mut state = self.write();
        if state.holds_lease(lease)
            && let Some(row) = state.leases.get_mut(&lease.name)
        {
            row.holder = None;
            state.committed();
        }
        Ok(())
    }

    async fn is_leased(&self, name: &str) -> StoreResult<bool> {
        let (now, state) = (self.now(), self.read());
        Ok(state.leases.get(name).is_some_and(|row| row.holder.is_some() && row.until > now))
    }

    async fn begin_instance(&self, instance: &InstanceId, _now: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        state.begin(instance)?;
        state.committed();
        Ok(())
    }

    async fn end_instances(&self, instances: &[InstanceId], _how: &str, now: Timestamp) -> StoreResult<()> {
        let mut state = self.write();
        for instance in instances {
            // The first word stands.
            state.instances.entry(instance.clone()).or_default().get_or_insert(now);
            for row in state.leases.values_mut().filter(|row| row.holder.as_ref() == Some(instance)) {
                row.holder = None;
            }
            for row in state.tasks.values_mut() {
                row.held.take_if(|held| held.0 == *instance);
            }
            state.lift_holds_of(instance, now)?;
        }
        state.committed();
        Ok(())
    }

    async fn running_instances(&self) -> StoreResult<Vec<InstanceId>> {
        let state = self.read();
        Ok(state
            .instances
            .iter()
            .filter(|(_, ended)| ended.is_none())
            .map(|(instance, _)| instance.clone())
            .collect())
    }
}

impl State {
    /// Registers an instance, unless it was seen to end: others already act on that.
    pub(super) fn begin(&mut self, instance: &InstanceId) -> StoreResult<()> {
        if self.has_ended(instance) {
            return Err(StoreError::Conflict(format!("instance {instance} has ended; begin a new one")));
        }
        self.instances.entry(instance.clone()).or_default();
        Ok(())
    }

    /// Whether an instance was seen to end.
    pub(super) fn has_ended(&self, instance: &InstanceId) -> bool {
        self.ended_at(instance).is_some()
    }

    /// When an instance was seen to end.
    pub(super) fn ended_at(&self, instance: &InstanceId) -> Option<Timestamp> {
        self.instances.get(instance).copied().flatten()
    }

    /// Whether nobody has taken the lease over and it was not given back. One that has run out counts until
    /// somebody takes it.
    pub(super) fn holds_lease(&self, lease: &Lease) -> bool {
        self.leases
            .get(&lease.name)
            .is_some_and(|row| row.fence == lease.fence && row.holder.as_ref() == Some(&lease.holder))
    }
}

//! Periodic tasks.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Timestamp, decide::Verdict};
use engine::ports::{
    reports::{DecisionRecord, SkipSum, SkipSumKey},
    store::{EventKind, InstanceId, StoreError, StoreResult},
    tasks::{TaskClaim, Tasks},
};

use super::{MemoryStore, state::State};

/// A task.
#[derive(Clone)]
pub(super) struct TaskRow {
    due: Timestamp,
    /// Who runs it, until when.
    pub(super) held: Option<(InstanceId, Timestamp)>,
    fence: i64,
    failures: u32,
}

#[async_trait]
impl Tasks for MemoryStore {
    async fn claim_task(
        &self,
        name: &str,
        holder: &InstanceId,
        lease: Duration,
    ) -> StoreResult<Option<TaskClaim>> {
        let now = self.now();
        let mut state = self.write();
        let fresh = TaskRow { due: now, held: None, fence: 0, failures: 0 };
        let row = state.tasks.entry(name.to_owned()).or_insert(fresh);
        if row.due > now || row.held.as_ref().is_some_and(|(_, until)| *until > now) {
            return Ok(None);
        }
        row.fence += 1;
        row.held = Some((holder.clone(), now.plus(lease)));
        let (fence, failures) = (row.fence, row.failures);
        state.committed();
        Ok(Some(TaskClaim { name: name.to_owned(), holder: holder.clone(), fence, failures }))
    }

    async fn finish_task(&self, claim: &TaskClaim, next: Duration, failed: Option<&str>) -> StoreResult<()> {
        let now = self.now();
        let mut state = self.write();
        let row = state.claimed(claim)?;
        let failures = failed.map_or(0, |_| claim.failures.saturating_add(1));
        *row = TaskRow { due: now.plus(next), held: None, fence: row.fence, failures };
        if let Some(reason) = failed {
            let kind =
                EventKind::TaskFailed { task: claim.name.clone(), failures, reason: reason.to_owned() };
            state.event(None, now, kind);
        }
        state.committed();
        Ok(())
    }

    async fn prune_events(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize> {
        let mut state = self.write();
        state.claimed(claim)?;
        let read = state.event_cursors.values().min().copied().unwrap_or(i64::MAX);
        let oldest = state.events.iter().take(limit);
        let old: Vec<i64> =
            oldest.filter(|(id, event)| *id <= read && event.at < before).map(|(id, _)| id).collect();
        for id in &old {
            state.events.remove(*id);
        }
        state.committed();
        Ok(old.len())
    }

    async fn sum_skips(&self, claim: &TaskClaim, before: Timestamp, limit: usize) -> StoreResult<usize> {
        let mut state = self.write();
        state.claimed(claim)?;
        let newest = state.decisions.rows().next_back().map_or(0, |row| row.id);
        let next = state.decisions.after(state.skips_summed).map(|(_, row)| row).take(limit);
        let old: Vec<DecisionRecord> =
            next.take_while(|row| row.id < newest && row.decided_at < before).cloned().collect();
        for row in &old {
            state.skips_summed = row.id;
            let Verdict::Skip(reason) = row.verdict else { continue };
            let key = SkipSumKey {
                relationship: row.relationship.0,
                day: row.decided_at.day(),
                reason: reason.encode().0,
            };
            let new = SkipSum { key, owner: row.owner, skips: 0 };
            state.skip_sums.entry(key).or_insert(new).skips += 1;
            *state.summed_of_parts.entry((row.key, row.part)).or_default() += 1;
            state.decisions.remove(row.id);
            state.decision_keys.remove(&(row.key, row.part, row.relationship));
        }
        state.committed();
        Ok(old.len())
    }
}

impl State {
    /// The row of a claim that still stands.
    fn claimed(&mut self, claim: &TaskClaim) -> StoreResult<&mut TaskRow> {
        let row = self.tasks.get_mut(&claim.name).filter(|row| {
            row.fence == claim.fence && row.held.as_ref().is_some_and(|(holder, _)| *holder == claim.holder)
        });
        row.ok_or_else(|| StoreError::LeaseLost(claim.name.clone()))
    }
}

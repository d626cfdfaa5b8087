//! Jobs that fail for reasons of their own.

use async_trait::async_trait;
use domain::{Timestamp, ids::IntentId};
use engine::ports::{
    dead_letters::{DeadLetters, FailedIntent},
    store::{EventKind, InstanceId, StoreResult},
};

use super::{MemoryStore, state::WorkState};

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn count_failures(
        &self,
        holder: &InstanceId,
        intents: &[IntentId],
        _now: Timestamp,
    ) -> StoreResult<Vec<FailedIntent>> {
        let mut state = self.write();
        state.begin(holder)?;
        let mut failed = Vec::new();
        for intent in intents {
            let Some(work) = state.work.get_mut(intent).filter(|work| work.state == WorkState::Waiting)
            else {
                continue;
            };
            work.failures += 1;
            failed.push(FailedIntent { intent: *intent, lane: work.lane, failures: work.failures });
            state.committed();
        }
        Ok(failed)
    }

    async fn not_over(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentId>> {
        let state = self.read();
        let open = |id: &IntentId| state.work.get(id).is_some_and(|work| work.state != WorkState::Signed);
        Ok(intents.iter().copied().filter(open).collect())
    }

    async fn bury(
        &self,
        holder: &InstanceId,
        letters: &[(FailedIntent, String)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut state = self.write();
        state.begin(holder)?;
        let mut buried = 0;
        for (FailedIntent { intent, lane, failures }, why) in letters {
            let Some(work) = state.work.get_mut(intent).filter(|work| work.state == WorkState::Waiting)
            else {
                continue;
            };
            work.state = WorkState::Dead;
            let owner = state.intents.get(intent.0).map(|intent| intent.owner);
            let (intent, lane, failures, why) = (*intent, *lane, *failures, why.clone());
            state.event(owner, now, EventKind::DeadLetter { intent, lane, failures, why });
            buried += 1;
            state.committed();
        }
        Ok(buried)
    }
}

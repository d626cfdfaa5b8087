//! Jobs that fail for reasons of their own, until they are dead letters.

use async_trait::async_trait;
use domain::{Timestamp, ids::IntentId};

use super::{
    detection::Lane,
    store::{InstanceId, StoreResult},
};

/// A waiting intent that failed for a reason of its own, and how often it has by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedIntent {
    /// Which.
    pub intent: IntentId,
    /// Its lane.
    pub lane: Lane,
    /// How often, this time included; nothing is counted any more once it was signed.
    pub failures: u32,
}

/// What keeps count of them.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Counts a failure of each of these intents that wait: how often each has failed by now, in the order given. `Conflict`, and
    /// nothing counted, when `holder` has ended: then nothing that it does succeeds.
    async fn count_failures(
        &self,
        holder: &InstanceId,
        intents: &[IntentId],
        now: Timestamp,
    ) -> StoreResult<Vec<FailedIntent>>;

    /// Of these intents, those that are not over and of which no attempt is out: they wait for a worker, or for an operator, who
    /// set them aside or is to decide about a dead letter.
    async fn not_over(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentId>>;

    /// Makes dead letters of those of these intents that wait: they keep their work rows and reservations, and nobody takes
    /// them until an operator puts them back or gives them up. Why is kept, with `holder`, and told to their owners. How many.
    async fn bury(
        &self,
        holder: &InstanceId,
        letters: &[(FailedIntent, String)],
        now: Timestamp,
    ) -> StoreResult<usize>;
}

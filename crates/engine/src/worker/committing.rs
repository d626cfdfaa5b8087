//! Commit 2: what is signed is made durable, before its first byte is sent.

use std::{slice, time::Duration};

use tracing::warn;

use super::{Worker, apart::is_about_content, plan::Planned, sending::Won};
use crate::{
    crash_points, limits,
    ports::{
        detection::QueuedIntent,
        execution::{EndReason, OrderRecord, SignedAttempt, SignedOutcome},
        store::{StoreError, StoreResult},
        venue::PreparedOrder,
    },
};

impl Worker {
    /// Commit 2. What the store refuses together is committed one by one.
    pub(super) async fn commit(
        &self,
        signed: &[(Planned, PreparedOrder)],
        uptime: Duration,
    ) -> StoreResult<Vec<Won>> {
        if signed.is_empty() {
            return Ok(Vec::new());
        }
        match self.commit_together(signed, uptime).await {
            Err(error) if is_about_content(&error) => {
                warn!(%error, "orders cannot be committed together: {error}");
                self.commit_apart(signed, uptime).await
            }
            committed => committed,
        }
    }

    /// After a lost answer the rows are read again, and only what is stored as ours is sent.
    async fn commit_together(
        &self,
        signed: &[(Planned, PreparedOrder)],
        uptime: Duration,
    ) -> StoreResult<Vec<Won>> {
        let attempts: Vec<SignedAttempt> =
            signed.iter().map(|(planned, order)| planned.attempt(order.clone())).collect();
        crash_points::reach("worker.before_commit");
        let outcomes = match self.store.commit_signed(&self.instance, limits::WORK_LEASE, &attempts).await {
            Ok(outcomes) => outcomes,
            Err(StoreError::OutcomeUnknown(reason)) => {
                warn!(%reason, "answer to a commit was lost; reading what is stored");
                return self.read_own(&attempts, uptime).await;
            }
            Err(error) => return Err(error),
        };
        let mut won = Vec::new();
        let (mut blocked, mut again) = (Vec::new(), Vec::new());
        for ((planned, order), outcome) in signed.iter().zip(outcomes) {
            match outcome {
                SignedOutcome::Won { attempt, fence } => {
                    let record = planned.record(attempt, fence, order.clone(), &self.instance);
                    won.push(Won::of(record, uptime, planned.taker_delay));
                }
                SignedOutcome::NotWaiting => {}
                SignedOutcome::Blocked => blocked.push((planned.waiting.intent.id, EndReason::Blocked)),
                SignedOutcome::Exceeds => {
                    let intent = &planned.waiting.intent;
                    again.push(QueuedIntent { id: intent.id, lane: intent.lane });
                }
            }
        }
        // Planned anew, with what is held now.
        self.put_back(&again).await;
        if !blocked.is_empty() {
            // Missed entries are never replayed stale; exits are looked at again when nothing blocks them.
            self.store.end_intents(&blocked, self.clock.now()).await?;
        }
        Ok(won)
    }

    async fn read_own(&self, attempts: &[SignedAttempt], uptime: Duration) -> StoreResult<Vec<Won>> {
        let keys: Vec<_> = attempts.iter().map(|attempt| (attempt.intent, attempt.attempt)).collect();
        let stored = self.store.orders_of(&keys).await?;
        let ours = |record: &OrderRecord| {
            record.permits_out.contains(&self.instance)
                && attempts.iter().any(|attempt| attempt.order.id == record.order.id)
        };
        Ok(stored.into_iter().filter(ours).map(|record| Won::of(record, uptime, Duration::ZERO)).collect())
    }

    /// Commits each by itself, after the store refused them together.
    async fn commit_apart(
        &self,
        signed: &[(Planned, PreparedOrder)],
        uptime: Duration,
    ) -> StoreResult<Vec<Won>> {
        let (mut won, mut failed) = (Vec::with_capacity(signed.len()), Vec::new());
        for one in signed {
            match self.commit_together(slice::from_ref(one), uptime).await {
                Err(error) if is_about_content(&error) => {
                    failed.push((one.0.waiting.intent.id, error.to_string()));
                }
                committed => won.extend(committed?),
            }
        }
        self.count_failed(failed).await?;
        Ok(won)
    }
}

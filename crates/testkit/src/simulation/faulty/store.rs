//! The store as one actor sees it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Hash, OrderId, Timestamp,
    ids::{AccountId, AttemptId, IntentId},
};
use engine::ports::{
    detection::{DetectionCommit, DetectionOutcome, Lane},
    execution::{
        EndReason, OrderRecord, OrderUpdate, RedemptionPayout, SignedAttempt, SignedOutcome, WorkChange,
    },
    store::{InstanceId, Lease, Store, StoreError, StoreResult},
};

use super::{
    super::{
        monitor::Monitor,
        probe::{Actor, Fault, Kind, Probe},
    },
    layer::Layer,
};
use crate::executor::block_on;

/// The store behind planned faults. What takes effect is reported to the monitor.
pub struct FaultyStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The faults.
    pub probe: Arc<Probe>,
    /// Watches what is signed.
    pub monitor: Arc<Monitor>,
    /// Who calls.
    pub actor: Actor,
    /// Whether the chain is read, so that hints are no more than that.
    pub reads_chain: bool,
}

impl FaultyStore {
    async fn write<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = StoreResult<T>>,
        note: impl FnOnce(&T),
    ) -> StoreResult<T> {
        let fault = self.probe.pass(self.actor, method, Kind::Write).await;
        match fault {
            Some(Fault::FailBefore) => return Err(StoreError::Unavailable("planned".to_owned())),
            Some(Fault::LostBefore) => return Err(StoreError::OutcomeUnknown("planned".to_owned())),
            _ => {}
        }
        let answer = block_on(call);
        if let Ok(answer) = &answer {
            note(answer);
        }
        if fault == Some(Fault::LostAfter) {
            return Err(StoreError::OutcomeUnknown("planned".to_owned()));
        }
        answer
    }
}

#[async_trait]
impl Layer for FaultyStore {
    fn inner(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn reads(&self, method: &'static str) -> StoreResult<()> {
        match self.probe.pass(self.actor, method, Kind::Read).await {
            None => Ok(()),
            Some(_) => Err(StoreError::Unavailable("planned".to_owned())),
        }
    }

    fn is_lowest(&self) -> bool {
        true
    }

    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        let call = async {
            let outcome = self.store.commit_detection(lease, config_version, commit).await?;
            if self.reads_chain && matches!(outcome, DetectionOutcome::Committed(_)) {
                self.monitor.detected(self.store.as_ref(), commit).await?;
            }
            Ok(outcome)
        };
        let says = !(commit.fills.is_empty()
            && commit.orphaned.is_empty()
            && commit.groups.is_empty()
            && commit.parts.is_empty()
            && commit.decisions.is_empty());
        self.write("commit_detection", call, |_| {
            if says {
                self.probe.changed()
            }
        })
        .await
    }

    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        let call = async {
            let outcomes = self.store.commit_signed(holder, lease, attempts).await?;
            self.monitor.signed(self.store.as_ref(), attempts, &outcomes).await?;
            for outcome in &outcomes {
                if let SignedOutcome::Won { attempt, .. } = outcome {
                    self.monitor.leased(format!("work on {attempt}"), holder, lease);
                }
            }
            Ok(outcomes)
        };
        self.write("commit_signed", call, |_| self.probe.changed()).await
    }

    async fn end_intents(&self, ends: &[(IntentId, EndReason)], now: Timestamp) -> StoreResult<usize> {
        self.write("end_intents", self.store.end_intents(ends, now), |_| self.probe.changed()).await
    }

    async fn put_off(&self, ids: &[IntentId], due: Timestamp) -> StoreResult<()> {
        self.write("put_off", self.store.put_off(ids, due), |()| self.probe.changed()).await
    }

    async fn take_waiting(
        &self,
        lane: Lane,
        due: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<IntentId>> {
        let call = self.store.take_waiting(lane, due, until, limit);
        self.write("take_waiting", call, |taken| {
            if !taken.is_empty() {
                self.probe.changed();
            }
        })
        .await
    }

    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        let call = self.store.claim_due(holder, lease, now, limit);
        self.write("claim_due", call, |claimed| {
            for record in claimed {
                self.monitor.leased(format!("work on {}", record.attempt), holder, lease);
                self.probe.said("claim", record.attempt.0, record.fence.to_string());
            }
        })
        .await
    }

    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        now: Timestamp,
    ) -> StoreResult<Option<Duration>> {
        let call = self.store.grant_permit(attempt, holder, fence, now);
        self.write("grant_permit", call, |_| self.probe.changed()).await
    }

    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        self.write("update_orders", self.store.update_orders(updates), |applied| {
            for (update, applied) in updates.iter().zip(applied) {
                if *applied {
                    self.monitor.released(&format!("work on {}", update.attempt));
                }
                self.probe.said("update", update.attempt.0, what(update));
            }
        })
        .await
    }

    async fn hurry(&self, accounts: &[AccountId], now: Timestamp) -> StoreResult<usize> {
        self.write("hurry", self.store.hurry(accounts, now), |_| self.probe.changed()).await
    }

    async fn note_foreign_orders(
        &self,
        orders: &[(AccountId, OrderId)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let call = self.store.note_foreign_orders(orders, now);
        self.write("note_foreign_orders", call, |_| self.probe.changed()).await
    }

    async fn book_redemption(
        &self,
        block_hash: Hash,
        log_index: i64,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool> {
        let call = self.store.book_redemption(block_hash, log_index, payouts, now);
        self.write("book_redemption", call, |_| self.probe.changed()).await
    }

    async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
        self.write("take_lease", self.store.take_lease(name, holder, ttl), |lease| {
            if let Some(lease) = lease {
                self.monitor.leased(name.to_owned(), holder, ttl);
                self.probe.said("take_lease", 0, lease.fence.to_string());
            }
        })
        .await
    }

    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        self.write("release_lease", self.store.release_lease(lease), |()| {
            self.monitor.released(&lease.name);
            self.probe.changed();
        })
        .await
    }
}

/// What an update says beyond when to look again.
fn what(update: &OrderUpdate) -> String {
    let work = match update.work {
        WorkChange::Due(_) => "due",
        WorkChange::NextAttempt(_) => "next",
        WorkChange::Close => "close",
    };
    format!(
        "{:?} {:?} {:?} {:?} {:?} {work}",
        update.state, update.reply, update.trades, update.booking, update.permit_returned
    )
}

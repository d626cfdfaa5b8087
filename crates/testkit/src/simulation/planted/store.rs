//! Wrong stores: what the engine would do if it read or wrote otherwise than it does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Address, Clock, Shares, Timestamp, TokenId, TxHash,
    exits::ExitFactor,
    ids::{AttemptId, IntentId, LeaderId, RelationshipId},
    lifecycle::OrderState,
    position::Entry,
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    detection::{DecidedBefore, DetectionCommit, DetectionOutcome, ExitBasis},
    execution::{OrderRecord, OrderUpdate, SignedAttempt, SignedOutcome, WorkChange},
    following::{Account, RelationshipStatus},
    store::{InstanceId, Lease, Store, StoreError, StoreResult},
};

use super::super::{
    faulty::Layer,
    tampering::{Bench, StoreClock},
};

/// How long a commit takes where two are to race for it.
const RACE: Duration = Duration::from_secs(3);

/// Bugs that show at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreBug {
    TriesKilledEntryAgain,
    NextAttemptAtOnce,
    TakesLostCommitForDone,
    TakesLostRaceForWon,
    GivesUpAtOnce,
    ForgetsLateBytes,
    ForgetsDeadline,
    ReturnsPermitOnTimeout,
    SkewsLeases,
    SignsWhilePaused,
    AddsSourcesUp,
    ForgetsRelatedGroups,
    DecidesAgainAfterRestart,
    IgnoresReorganisation,
    KnowsFillsByLogIndex,
    SkipsFollowers,
    AbsorbsLateFills,
    ReleasesTwice,
    CountsHeldTwice,
    ForgetsBookings,
    ForgetsOwnWallets,
    ForgetsEarlierAttempts,
    KeepsFactorsOfGoneBlocks,
    TakesToldForShown,
}

/// A store with a bug.
pub(super) struct WrongStore {
    bug: StoreBug,
    inner: Arc<dyn Store>,
    clock: Arc<StoreClock>,
    process: usize,
    first_life: bool,
    instance: InstanceId,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    released: BTreeSet<AttemptId>,
    filled: BTreeSet<(TxHash, i64)>,
    /// What leaders kept, by block.
    factors: BTreeMap<(LeaderId, TokenId), BTreeMap<i64, ExitFactor>>,
}

impl WrongStore {
    pub fn new(bug: StoreBug, bench: &Bench) -> Self {
        Self {
            bug,
            inner: bench.store.clone(),
            clock: bench.store_clock.clone(),
            process: bench.actor.process,
            first_life: bench.first_life,
            instance: bench.instance.clone(),
            memory: Mutex::default(),
        }
    }

    fn is(&self, bug: StoreBug) -> bool {
        self.bug == bug
    }

    /// Whether what was decided before is not remembered now.
    fn forgets_decisions(&self) -> bool {
        self.is(StoreBug::AddsSourcesUp) || (self.is(StoreBug::DecidesAgainAfterRestart) && !self.first_life)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine of process 1 is an hour ahead, and its word on leases counts.
    fn skew(&self) -> i64 {
        let skewed = self.is(StoreBug::SkewsLeases) && self.process == 1;
        if skewed { 3_600_000_000 } else { 0 }
    }

    fn wrong_update(&self, update: &OrderUpdate, states: &BTreeMap<AttemptId, OrderState>) -> OrderUpdate {
        let mut wrong = update.clone();
        match self.bug {
            StoreBug::TriesKilledEntryAgain if update.state == OrderState::Killed => {
                wrong.work = WorkChange::NextAttempt(update.at);
            }
            StoreBug::NextAttemptAtOnce if update.state.is_open() => {
                wrong.work = WorkChange::NextAttempt(update.at);
            }
            StoreBug::ReturnsPermitOnTimeout if update.state == OrderState::Unknown => {
                wrong.permit_returned = Some(self.instance.clone());
            }
            StoreBug::AbsorbsLateFills => {
                if let Some(before) = states.get(&update.attempt).filter(|state| state.is_given_up()) {
                    wrong.state = *before;
                    wrong.booking = None;
                    wrong.work = WorkChange::Close;
                }
            }
            _ => {}
        }
        wrong
    }

    /// Books a reservation back as money when it is given back again.
    async fn release_again(&self, updates: &[OrderUpdate]) -> StoreResult<()> {
        for update in updates.iter().filter(|update| update.release_reserve) {
            if self.memory().released.insert(update.attempt) {
                continue;
            }
            for intent in self.inner.intents_after(None, IntentId(0), 1).await? {
                self.inner.book_deposit(intent.owner, intent.account.id, intent.reserve, update.at).await?;
            }
        }
        Ok(())
    }

    /// Lifts the pause for the moment of signing.
    async fn sign_anyway(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
        at: Timestamp,
    ) -> StoreResult<Vec<SignedOutcome>> {
        let intents = self.inner.intents_after(None, IntentId(0), 1).await?;
        for intent in &intents {
            let active = RelationshipStatus::Active;
            self.inner.set_status(intent.owner, intent.relationship, active, at).await?;
        }
        let outcomes = self.inner.commit_signed(holder, lease, attempts).await;
        for intent in &intents {
            let paused = RelationshipStatus::Paused;
            self.inner.set_status(intent.owner, intent.relationship, paused, at).await?;
        }
        outcomes
    }
}

#[async_trait]
impl Layer for WrongStore {
    fn inner(&self) -> &dyn Store {
        self.inner.as_ref()
    }

    async fn groups(&self, keys: &[GroupKey], related_since: Timestamp) -> StoreResult<Vec<TradeGroup>> {
        let mut groups = self.inner.groups(keys, related_since).await?;
        if self.is(StoreBug::ForgetsRelatedGroups) {
            groups.retain(|group| keys.contains(&group.key));
        }
        if self.is(StoreBug::TakesToldForShown) {
            for group in groups.iter_mut().filter(|group| !keys.contains(&group.key)) {
                group.history.shares = group.chain.map_or(group.history.shares, |chain| chain.shares);
            }
        }
        if self.forgets_decisions() {
            for group in groups.iter_mut().filter(|group| group.chain.is_none()) {
                group.decided = Shares::ZERO;
            }
        }
        Ok(groups)
    }

    async fn decided_before(&self, key: GroupKey, part: u32) -> StoreResult<Vec<DecidedBefore>> {
        if self.forgets_decisions() {
            return Ok(Vec::new());
        }
        self.inner.decided_before(key, part).await
    }

    async fn accounts_of_wallets(&self, wallets: &[Address]) -> StoreResult<Vec<Account>> {
        if self.is(StoreBug::ForgetsOwnWallets) {
            return Ok(Vec::new());
        }
        self.inner.accounts_of_wallets(wallets).await
    }

    async fn exit_basis(
        &self,
        leader: LeaderId,
        token: TokenId,
        only: Option<&[RelationshipId]>,
    ) -> StoreResult<ExitBasis> {
        let mut basis = self.inner.exit_basis(leader, token, only).await?;
        if self.is(StoreBug::KeepsFactorsOfGoneBlocks) {
            let mut kept = self.memory().factors.get(&(leader, token)).cloned().unwrap_or_default();
            kept.retain(|block, _| basis.factors.iter().all(|factor| factor.block != *block));
            basis.factors.extend(kept.into_values());
            basis.factors.sort_by_key(|factor| factor.block);
        }
        if self.is(StoreBug::CountsHeldTwice) {
            for holder in &mut basis.holders {
                holder.held = Shares(holder.held.0 * 2);
            }
        }
        Ok(basis)
    }

    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        let mut wrong = commit.clone();
        if self.is(StoreBug::IgnoresReorganisation) {
            wrong.orphaned.clear();
        }
        if self.is(StoreBug::KnowsFillsByLogIndex) {
            // Blocks do not matter: what comes back is known by its transaction and index.
            wrong.orphaned.clear();
            let mut memory = self.memory();
            wrong.fills.retain(|fill| memory.filled.insert((fill.tx, fill.log_index)));
        }
        if self.is(StoreBug::SkipsFollowers) {
            wrong.decisions.clear();
        }
        for (leader, token, factor) in &wrong.factors {
            let mut memory = self.memory();
            memory.factors.entry((*leader, *token)).or_default().insert(factor.block, *factor);
        }
        self.inner.commit_detection(lease, config_version, &wrong).await
    }

    async fn unbooked_orders(&self, after: AttemptId, limit: usize) -> StoreResult<Vec<OrderRecord>> {
        let mut page = self.inner.unbooked_orders(after, limit).await?;
        if self.is(StoreBug::ForgetsEarlierAttempts) {
            page.retain(|record| record.open_work || record.state != OrderState::Mined);
        }
        Ok(page)
    }

    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        let won = |_: &SignedAttempt| SignedOutcome::Won { attempt: AttemptId(1_000_000), fence: 1 };
        if self.is(StoreBug::TakesLostRaceForWon) {
            // A race needs two who hold the same intent: slow enough for the rescuer to hand it out again,
            // and quicker than the deadline that would keep the loser from sending.
            self.clock.sleep(RACE).await;
        }
        let answer = self.inner.commit_signed(holder, lease, attempts).await;
        match (self.bug, answer) {
            (StoreBug::TakesLostCommitForDone, Err(StoreError::OutcomeUnknown(_))) => {
                Ok(attempts.iter().map(won).collect())
            }
            (StoreBug::TakesLostRaceForWon, Ok(outcomes)) => {
                let lost = |outcome: &SignedOutcome| *outcome == SignedOutcome::NotWaiting;
                let wrong = attempts.iter().zip(outcomes);
                Ok(wrong
                    .map(|(attempt, outcome)| if lost(&outcome) { won(attempt) } else { outcome })
                    .collect())
            }
            (StoreBug::SignsWhilePaused, Ok(outcomes)) if outcomes.contains(&SignedOutcome::Blocked) => {
                let at = attempts.first().map_or(Timestamp(0), |attempt| attempt.signed_at);
                self.sign_anyway(holder, lease, attempts, at).await
            }
            (_, answer) => answer,
        }
    }

    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        self.clock.skew(self.skew());
        let claimed = self.inner.claim_due(holder, lease, now, limit).await;
        self.clock.skew(0);
        let mut claimed = claimed?;
        for record in &mut claimed {
            match self.bug {
                StoreBug::GivesUpAtOnce => {
                    record.resend_until = record.signed_at;
                    record.unseen_for = Duration::from_secs(3_600);
                    record.permits_out.clear();
                }
                StoreBug::ForgetsLateBytes => record.sender_ended_at = None,
                StoreBug::ForgetsDeadline => {
                    record.resend_until = record.resend_until.plus(Duration::from_secs(3_600));
                }
                StoreBug::ForgetsBookings => record.booked = Entry::default(),
                _ => {}
            }
        }
        Ok(claimed)
    }

    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        now: Timestamp,
    ) -> StoreResult<Option<Duration>> {
        let left = self.inner.grant_permit(attempt, holder, fence, now).await?;
        let forgets = self.is(StoreBug::ForgetsDeadline);
        Ok(left.map(|left| if forgets { Duration::from_secs(3_600) } else { left }))
    }

    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        if self.is(StoreBug::ReleasesTwice) {
            self.release_again(updates).await?;
        }
        let intents = self.inner.intents_after(None, IntentId(0), usize::MAX).await?;
        let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
        let stored = self.inner.attempts_of(&ids).await?;
        let states = stored.iter().map(|record| (record.attempt, record.state)).collect();
        let wrong: Vec<OrderUpdate> =
            updates.iter().map(|update| self.wrong_update(update, &states)).collect();
        self.inner.update_orders(&wrong).await
    }

    async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
        self.clock.skew(self.skew());
        let lease = self.inner.take_lease(name, holder, ttl).await;
        self.clock.skew(0);
        lease
    }
}

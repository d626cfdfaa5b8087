//! The store as one actor sees it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, ConditionId, Hash, Market, OrderId, Timestamp, TokenId, Usd,
    ids::{AccountId, AttemptId, HoldId, IntentId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
    position::Position,
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    detection::{
        DecidedBefore, Detection, DetectionCommit, DetectionOutcome, ExitBasis, Lane, Source, StoredFill,
        StoredPart, StoredRedemption,
    },
    execution::{
        EndReason, Execution, Intent, OrderRecord, OrderUpdate, RedemptionPayout, SignedAttempt,
        SignedOutcome, WaitingIntent, WorkChange,
    },
    following::{
        Account, Following, FollowingSnapshot, Leader, NewAccount, NewHold, NewRelationship, Relationship,
        RelationshipStatus,
    },
    reports::{DecisionRecord, IntentEnd, LedgerRecord, PositionRecord, Reports},
    store::{Event, InstanceId, Lease, Leases, Store, StoreError, StoreResult},
    venue::BlockHeader,
};

use super::super::{
    monitor::Monitor,
    probe::{Actor, Fault, Kind, Probe},
};

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
}

impl FaultyStore {
    async fn read<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        match self.probe.pass(self.actor, method, Kind::Read).await {
            None => {
                let _flight = self.probe.flight();
                call.await
            }
            Some(_) => Err(StoreError::Unavailable("planned".to_owned())),
        }
    }

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
        let flight = self.probe.flight();
        let answer = call.await;
        drop(flight);
        if let Ok(answer) = &answer {
            note(answer);
        }
        if fault == Some(Fault::LostAfter) {
            return Err(StoreError::OutcomeUnknown("planned".to_owned()));
        }
        answer
    }
}

/// A port: reads that faults strike, calls of the set-up and the judge that they spare, and writes.
macro_rules! through {
    ($port:ident, reads { $($read:ident($($a:ident: $at:ty),*) -> $ao:ty;)* }
        free { $($free:ident($($b:ident: $bt:ty),*) -> $bo:ty;)* } writes { $($writes:tt)* }) => {
        #[async_trait]
        impl $port for FaultyStore {
            $(async fn $read(&self, $($a: $at),*) -> StoreResult<$ao> {
                self.read(stringify!($read), self.store.$read($($a),*)).await
            })*
            $(async fn $free(&self, $($b: $bt),*) -> StoreResult<$bo> {
                self.store.$free($($b),*).await
            })*
            $($writes)*
        }
    };
}

through! { Following,
    reads {
        following(now: Timestamp) -> FollowingSnapshot;
        config_version() -> i64;
        accounts_of_wallets(wallets: &[Address]) -> Vec<Account>;
        conditions_of(tokens: &[TokenId]) -> Vec<(TokenId, ConditionId)>;
    }
    free {
        add_owner(name: &str, now: Timestamp) -> OwnerId;
        add_account(owner: OwnerId, account: &NewAccount, now: Timestamp) -> AccountId;
        add_leader(wallet: Address, baseline: Timestamp) -> LeaderId;
        add_relationship(owner: OwnerId, new: &NewRelationship, now: Timestamp) -> RelationshipId;
        set_status(owner: OwnerId, of: RelationshipId, status: RelationshipStatus, now: Timestamp) -> bool;
        set_policy(owner: OwnerId, of: RelationshipId, policy: &Policy, now: Timestamp) -> ();
        place_hold(hold: &NewHold, now: Timestamp) -> HoldId;
        lift_hold(hold: HoldId, now: Timestamp) -> bool;
        book_deposit(owner: OwnerId, account: AccountId, usd: Usd, now: Timestamp) -> ();
    }
    writes {}
}

through! { Detection,
    reads {
        cursor(source: Source) -> Option<i64>;
        headers(limit: usize) -> Vec<BlockHeader>;
        groups(keys: &[GroupKey], related_since: Timestamp) -> Vec<TradeGroup>;
        fills_of_blocks(blocks: &[Hash]) -> Vec<StoredFill>;
        unsettled_groups(block: i64, hinted_before: Timestamp, limit: usize) -> Vec<TradeGroup>;
        exit_basis(leader: LeaderId, token: TokenId) -> ExitBasis;
        decided_before(key: GroupKey, part: u32) -> Vec<DecidedBefore>;
        incomplete_parts() -> Vec<StoredPart>;
        markets(tokens: &[TokenId]) -> Vec<Market>;
        own_orders(orders: &[OrderId]) -> Vec<OrderId>;
    }
    free {}
    writes {
        async fn commit_detection(
            &self,
            lease: &Lease,
            config_version: i64,
            commit: &DetectionCommit,
        ) -> StoreResult<DetectionOutcome> {
            let call = self.store.commit_detection(lease, config_version, commit);
            let says = !(commit.fills.is_empty()
                && commit.orphaned.is_empty()
                && commit.groups.is_empty()
                && commit.parts.is_empty()
                && commit.decisions.is_empty());
            self.write("commit_detection", call, |_| if says { self.probe.changed() }).await
        }
    }
}

through! { Execution,
    reads {
        waiting(lane: Lane, now: Timestamp, limit: usize) -> Vec<IntentId>;
        count_waiting(lane: Lane, now: Timestamp) -> usize;
        count_open_work() -> usize;
        load_waiting(ids: &[IntentId]) -> Vec<WaitingIntent>;
        orders(ids: &[OrderId]) -> Vec<OrderRecord>;
        orders_of(attempts: &[(IntentId, u32)]) -> Vec<OrderRecord>;
        unbooked_orders(limit: usize) -> Vec<OrderRecord>;
        unbooked_redemptions(finalized: i64, limit: usize) -> Vec<StoredRedemption>;
        held_tokens(account: AccountId, condition: ConditionId) -> Vec<TokenId>;
        position(account: AccountId, relationship: RelationshipId, token: TokenId) -> Position;
    }
    free {}
    writes {
        async fn commit_signed(
            &self,
            holder: &InstanceId,
            lease: Duration,
            attempts: &[SignedAttempt],
        ) -> StoreResult<Vec<SignedOutcome>> {
            let call = async {
                let outcomes = self.store.commit_signed(holder, lease, attempts).await?;
                self.monitor.signed(self.store.as_ref(), attempts, &outcomes).await?;
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
        ) -> StoreResult<bool> {
            let call = self.store.grant_permit(attempt, holder, fence, now);
            self.write("grant_permit", call, |_| self.probe.changed()).await
        }

        async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
            self.write("update_orders", self.store.update_orders(updates), |_| {
                for update in updates {
                    self.probe.said("update", update.attempt.0, what(update));
                }
            })
            .await
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

through! { Leases,
    reads {
        running_instances() -> Vec<InstanceId>;
    }
    free {
        begin_instance(instance: &InstanceId, now: Timestamp) -> ();
        end_instance(instance: &InstanceId, how: &str, now: Timestamp) -> ();
    }
    writes {
        async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
            self.write("take_lease", self.store.take_lease(name, holder, ttl), |lease| {
                if let Some(lease) = lease {
                    self.probe.said("take_lease", 0, lease.fence.to_string());
                }
            })
            .await
        }

        async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
            self.write("release_lease", self.store.release_lease(lease), |()| self.probe.changed()).await
        }
    }
}

through! { Reports,
    reads {
        commit_mark() -> (i64, Hash);
    }
    free {
        decisions_after(owner: Option<OwnerId>, after: i64, limit: usize) -> Vec<DecisionRecord>;
        newest_decisions(owner: Option<OwnerId>, limit: usize) -> Vec<DecisionRecord>;
        decisions_of(owner: Option<OwnerId>, key: GroupKey) -> Vec<DecisionRecord>;
        part(key: GroupKey, part: u32) -> Option<StoredPart>;
        group_with_fills(key: GroupKey) -> Option<(TradeGroup, Vec<StoredFill>)>;
        find_groups(tx_prefix: &[u8], limit: usize) -> Vec<TradeGroup>;
        newest_groups(limit: usize) -> Vec<TradeGroup>;
        policy(relationship: RelationshipId, version: i64) -> Option<Policy>;
        intents_after(owner: Option<OwnerId>, after: IntentId, limit: usize) -> Vec<Intent>;
        ends_of(intents: &[IntentId]) -> Vec<IntentEnd>;
        attempts_of(intents: &[IntentId]) -> Vec<OrderRecord>;
        find_orders(owner: Option<OwnerId>, id_prefix: &[u8], limit: usize) -> Vec<OrderRecord>;
        ledger_after(owner: Option<OwnerId>, after: i64, limit: usize) -> Vec<LedgerRecord>;
        positions(owner: Option<OwnerId>) -> Vec<PositionRecord>;
        accounts(owner: Option<OwnerId>) -> Vec<Account>;
        relationships(owner: Option<OwnerId>) -> Vec<Relationship>;
        leaders() -> Vec<Leader>;
        all_markets() -> Vec<Market>;
        reservations(owner: Option<OwnerId>) -> Vec<(IntentId, Usd)>;
        events_after(after: i64, limit: usize) -> Vec<(i64, Event)>;
        event_cursor(subscriber: &str) -> i64;
        move_event_cursor(subscriber: &str, to: i64) -> ();
    }
    writes {}
}

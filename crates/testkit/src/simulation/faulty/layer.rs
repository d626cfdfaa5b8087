//! One layer over a store: everything goes through, but for what the layer does otherwise.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Address, ConditionId, Hash, Market, OrderId, Shares, Timestamp, TokenId, TradingAccount, Usd,
    ids::{AccountId, AttemptId, HoldId, IntentId, LeaderId, OwnerId, RelationshipId, TransactionId},
    policy::Policy,
    position::Position,
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    dead_letters::{DeadLetters, FailedIntent},
    detection::{
        DecidedBefore, Detection, DetectionCommit, DetectionOutcome, ExitBasis, ExitRevisit, Lane,
        MissedNote, Source, StoredFill, StoredPart, StoredRedemption,
    },
    execution::{
        EndReason, Execution, Intent, OrderRecord, OrderUpdate, RedemptionPayout, SignedAttempt,
        SignedOutcome, WaitingIntent,
    },
    following::{
        Account, Following, FollowingSnapshot, Leader, NewAccount, NewHold, NewRelationship, Relationship,
        RelationshipStatus,
    },
    reports::{
        DecisionRecord, IntentEnd, LedgerRecord, LedgerSum, PositionRecord, Reports, SkipSum, SkipSumKey,
    },
    store::{Event, InstanceId, Lease, Leases, Store, StoreResult},
    tasks::{TaskClaim, Tasks},
    venue::{BlockHeader, LostOrder},
    wallets::{NewTransaction, TransactionRecord, TransactionState, WalletTransactions},
};

use crate::executor::block_on;

/// What a layer does otherwise. Reads pass [`Layer::reads`] first; every write is the layer's own.
#[async_trait]
pub trait Layer: Send + Sync {
    /// What is below.
    fn inner(&self) -> &dyn Store;

    /// Asked before every read.
    async fn reads(&self, _method: &'static str) -> StoreResult<()> {
        Ok(())
    }

    /// Whether what is below is the store itself. Its calls are waited for on the spot: virtual time stands and
    /// nobody else moves, so that a run is the same on a store that answers in real time.
    fn is_lowest(&self) -> bool {
        false
    }

    /// See the port.
    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        self.inner().commit_detection(lease, config_version, commit).await
    }

    /// See the port.
    async fn load_waiting(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>> {
        self.reads("load_waiting").await?;
        answer(self.is_lowest(), self.inner().load_waiting(ids)).await
    }

    /// See the port.
    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        self.inner().commit_signed(holder, lease, attempts).await
    }

    /// See the port.
    async fn end_intents(&self, ends: &[(IntentId, EndReason)], now: Timestamp) -> StoreResult<usize> {
        self.inner().end_intents(ends, now).await
    }

    /// See the port.
    async fn put_off(&self, ids: &[IntentId], due: Timestamp) -> StoreResult<()> {
        self.inner().put_off(ids, due).await
    }

    /// See the port.
    async fn take_waiting(
        &self,
        lane: Lane,
        due: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<IntentId>> {
        self.inner().take_waiting(lane, due, until, limit).await
    }

    /// See the port.
    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        self.inner().claim_due(holder, lease, now, limit).await
    }

    /// See the port.
    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        now: Timestamp,
    ) -> StoreResult<Option<Duration>> {
        self.inner().grant_permit(attempt, holder, fence, now).await
    }

    /// See the port.
    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        self.inner().update_orders(updates).await
    }

    /// See the port.
    async fn hurry(&self, accounts: &[AccountId], now: Timestamp) -> StoreResult<usize> {
        self.inner().hurry(accounts, now).await
    }

    /// See the port.
    async fn note_foreign_orders(
        &self,
        orders: &[(AccountId, OrderId)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        self.inner().note_foreign_orders(orders, now).await
    }

    /// See the port.
    async fn book_redemption(
        &self,
        block_hash: Hash,
        log_index: i64,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool> {
        self.inner().book_redemption(block_hash, log_index, payouts, now).await
    }

    /// See the port.
    async fn take_lease(&self, name: &str, holder: &InstanceId, ttl: Duration) -> StoreResult<Option<Lease>> {
        self.inner().take_lease(name, holder, ttl).await
    }

    /// See the port.
    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        self.inner().release_lease(lease).await
    }

    /// See the port.
    async fn end_instances(&self, instances: &[InstanceId], how: &str, now: Timestamp) -> StoreResult<()> {
        self.inner().end_instances(instances, how, now).await
    }

    /// See the port.
    async fn look_back(&self) -> StoreResult<()> {
        self.inner().look_back().await
    }

    /// See the port.
    async fn groups(&self, keys: &[GroupKey], related_since: Timestamp) -> StoreResult<Vec<TradeGroup>> {
        self.reads("groups").await?;
        answer(self.is_lowest(), self.inner().groups(keys, related_since)).await
    }

    /// See the port.
    async fn accounts_of_wallets(&self, wallets: &[Address]) -> StoreResult<Vec<Account>> {
        self.reads("accounts_of_wallets").await?;
        answer(self.is_lowest(), self.inner().accounts_of_wallets(wallets)).await
    }

    /// See the port.
    async fn decided_before(&self, key: GroupKey, part: u32) -> StoreResult<Vec<DecidedBefore>> {
        self.reads("decided_before").await?;
        answer(self.is_lowest(), self.inner().decided_before(key, part)).await
    }

    /// See the port.
    async fn exit_basis(
        &self,
        leader: LeaderId,
        token: TokenId,
        only: Option<&[RelationshipId]>,
    ) -> StoreResult<ExitBasis> {
        self.reads("exit_basis").await?;
        answer(self.is_lowest(), self.inner().exit_basis(leader, token, only)).await
    }

    /// See the port.
    async fn unbooked_orders(&self, after: AttemptId, limit: usize) -> StoreResult<Vec<OrderRecord>> {
        self.reads("unbooked_orders").await?;
        answer(self.is_lowest(), self.inner().unbooked_orders(after, limit)).await
    }

    /// See the port.
    async fn orders_of(&self, attempts: &[(IntentId, u32)]) -> StoreResult<Vec<OrderRecord>> {
        self.reads("orders_of").await?;
        answer(self.is_lowest(), self.inner().orders_of(attempts)).await
    }
}

/// The answer of a call, waited for on the spot or not.
async fn answer<T>(on_the_spot: bool, call: impl Future<Output = T>) -> T {
    if on_the_spot { block_on(call) } else { call.await }
}

/// A store with a layer over it.
pub struct Layered<L>(pub L);

/// A port: reads, calls of the set-up and the judge that pass untouched, and calls the layer answers.
macro_rules! through {
    ($port:ident, reads { $($read:ident($($a:ident: $at:ty),*) -> $ao:ty;)* }
        free { $($free:ident($($b:ident: $bt:ty),*) -> $bo:ty;)* }
        layer { $($own:ident($($c:ident: $ct:ty),*) -> $co:ty;)* }) => {
        #[async_trait]
        impl<L: Layer> $port for Layered<L> {
            $(async fn $read(&self, $($a: $at),*) -> StoreResult<$ao> {
                self.0.reads(stringify!($read)).await?;
                answer(self.0.is_lowest(), self.0.inner().$read($($a),*)).await
            })*
            $(async fn $free(&self, $($b: $bt),*) -> StoreResult<$bo> {
                self.0.inner().$free($($b),*).await
            })*
            $(async fn $own(&self, $($c: $ct),*) -> StoreResult<$co> {
                self.0.$own($($c),*).await
            })*
        }
    };
}

through! { Following,
    reads {
        following(now: Timestamp) -> FollowingSnapshot;
        config_version() -> i64;
        booked_version() -> i64;
        conditions_of(tokens: &[TokenId]) -> Vec<(TokenId, ConditionId)>;
    }
    free {
        add_owner(name: &str, now: Timestamp) -> OwnerId;
        add_account(owner: OwnerId, account: &NewAccount, now: Timestamp) -> AccountId;
        add_leader(wallet: Address, baseline: Timestamp) -> LeaderId;
        add_relationship(owner: OwnerId, new: &NewRelationship, now: Timestamp) -> RelationshipId;
        set_status(owner: OwnerId, of: RelationshipId, status: RelationshipStatus, now: Timestamp) -> bool;
        set_policy(owner: OwnerId, of: RelationshipId, policy: &Policy, now: Timestamp) -> ();
        place_hold(owner: Option<OwnerId>, hold: &NewHold, now: Timestamp) -> HoldId;
        place_hold_of(instance: &InstanceId, hold: &NewHold, now: Timestamp) -> HoldId;
        hold_once(hold: &NewHold, now: Timestamp) -> Option<HoldId>;
        lift_hold(owner: Option<OwnerId>, hold: HoldId, now: Timestamp) -> bool;
        book_deposit(owner: OwnerId, account: AccountId, usd: Usd, now: Timestamp) -> ();
        book_difference(owner: OwnerId, account: AccountId, cash: Usd, wallet: Usd, now: Timestamp) -> bool;
    }
    layer {
        accounts_of_wallets(wallets: &[Address]) -> Vec<Account>;
    }
}

through! { Detection,
    reads {
        cursor(source: Source) -> Option<i64>;
        headers(limit: usize) -> Vec<BlockHeader>;
        groups_from(block: i64) -> Vec<TradeGroup>;
        unsettled_groups(block: i64, hinted_before: Timestamp, limit: usize) -> Vec<TradeGroup>;
        newest_sale(leader: LeaderId, token: TokenId) -> Option<TradeGroup>;
        missed_buys(limit: usize) -> Vec<MissedNote>;
        due_revisits(now: Timestamp, limit: usize) -> Vec<ExitRevisit>;
        incomplete_parts() -> Vec<StoredPart>;
        markets(tokens: &[TokenId]) -> Vec<Market>;
        own_orders(orders: &[OrderId]) -> Vec<OrderId>;
    }
    free {}
    layer {
        commit_detection(lease: &Lease, config_version: i64, commit: &DetectionCommit) -> DetectionOutcome;
        groups(keys: &[GroupKey], related_since: Timestamp) -> Vec<TradeGroup>;
        decided_before(key: GroupKey, part: u32) -> Vec<DecidedBefore>;
        exit_basis(leader: LeaderId, token: TokenId, only: Option<&[RelationshipId]>) -> ExitBasis;
    }
}

through! { Execution,
    reads {
        waiting(lane: Lane, now: Timestamp, limit: usize) -> Vec<IntentId>;
        count_waiting(lane: Lane, now: Timestamp) -> usize;
        count_open_work() -> usize;
        accounts_with_work() -> Vec<AccountId>;
        next_due() -> Option<Timestamp>;
        orders(ids: &[OrderId]) -> Vec<OrderRecord>;
        unbooked_redemptions(finalized: i64, limit: usize) -> Vec<StoredRedemption>;
        open_accounts(limit: usize) -> Vec<TradingAccount>;
        tokens_held(limit: usize) -> Vec<TokenId>;
        known_until(account: AccountId) -> Timestamp;
        adopted_shares(account: AccountId) -> Vec<(TokenId, Shares)>;
        held_tokens(account: AccountId, condition: ConditionId) -> Vec<TokenId>;
        positions_of(holdings: &[(AccountId, RelationshipId, TokenId)]) -> Vec<Position>;
    }
    free {
        adopt(account: AccountId, order: &LostOrder, now: Timestamp) -> bool;
    }
    layer {
        load_waiting(ids: &[IntentId]) -> Vec<WaitingIntent>;
        commit_signed(holder: &InstanceId, lease: Duration, attempts: &[SignedAttempt]) -> Vec<SignedOutcome>;
        end_intents(ends: &[(IntentId, EndReason)], now: Timestamp) -> usize;
        put_off(ids: &[IntentId], due: Timestamp) -> ();
        take_waiting(lane: Lane, due: Timestamp, until: Timestamp, limit: usize) -> Vec<IntentId>;
        claim_due(holder: &InstanceId, lease: Duration, now: Timestamp, limit: usize) -> Vec<OrderRecord>;
        grant_permit(attempt: AttemptId, holder: &InstanceId, fence: i64, now: Timestamp) -> Option<Duration>;
        update_orders(updates: &[OrderUpdate]) -> Vec<bool>;
        book_redemption(block_hash: Hash, log_index: i64, payouts: &[RedemptionPayout], now: Timestamp) -> bool;
        orders_of(attempts: &[(IntentId, u32)]) -> Vec<OrderRecord>;
        unbooked_orders(after: AttemptId, limit: usize) -> Vec<OrderRecord>;
        hurry(accounts: &[AccountId], now: Timestamp) -> usize;
        note_foreign_orders(orders: &[(AccountId, OrderId)], now: Timestamp) -> usize;
    }
}

through! { DeadLetters,
    reads {
        not_over(intents: &[IntentId]) -> Vec<IntentId>;
    }
    free {
        count_failures(holder: &InstanceId, intents: &[IntentId], now: Timestamp) -> Vec<FailedIntent>;
        bury(holder: &InstanceId, letters: &[(FailedIntent, String)], now: Timestamp) -> usize;
    }
    layer {}
}

through! { WalletTransactions,
    reads {
        open_transactions() -> Vec<TransactionRecord>;
    }
    free {
        newest_transactions(owner: Option<OwnerId>, limit: usize) -> Vec<TransactionRecord>;
        commit_transaction(new: &NewTransaction) -> Option<TransactionId>;
        take_transaction(id: TransactionId, relayer_id: Option<&str>) -> ();
        end_transaction(id: TransactionId, state: TransactionState, reason: &str, now: Timestamp) -> bool;
        tell_stuck(id: TransactionId, reason: &str, now: Timestamp) -> ();
        book_payouts(account: AccountId, payouts: &[RedemptionPayout], now: Timestamp) -> usize;
    }
    layer {}
}

through! { Leases,
    reads {
        running_instances() -> Vec<InstanceId>;
        is_leased(name: &str) -> bool;
    }
    free {
        begin_instance(instance: &InstanceId, now: Timestamp) -> ();
    }
    layer {
        end_instances(instances: &[InstanceId], how: &str, now: Timestamp) -> ();
        take_lease(name: &str, holder: &InstanceId, ttl: Duration) -> Option<Lease>;
        release_lease(lease: &Lease) -> ();
    }
}

through! { Reports,
    reads {
        commit_mark() -> (i64, Hash);
    }
    free {
        decisions_after(owner: Option<OwnerId>, after: i64, limit: usize) -> Vec<DecisionRecord>;
        decisions_before(owner: Option<OwnerId>, before: i64, limit: usize) -> Vec<DecisionRecord>;
        decisions_of(owner: Option<OwnerId>, key: GroupKey) -> Vec<DecisionRecord>;
        skip_sums_after(owner: Option<OwnerId>, after: SkipSumKey, limit: usize) -> Vec<SkipSum>;
        summed_skips_of(key: GroupKey) -> Vec<(u32, i64)>;
        summed_skips() -> Vec<(LeaderId, i64)>;
        part(key: GroupKey, part: u32) -> Option<StoredPart>;
        group_with_fills(key: GroupKey) -> Option<(TradeGroup, Vec<StoredFill>)>;
        find_groups(tx_prefix: &[u8], limit: usize) -> Vec<TradeGroup>;
        newest_groups(limit: usize) -> Vec<TradeGroup>;
        newest_event() -> i64;
        ledger_sums(owner: Option<OwnerId>, since: Timestamp, width: Duration) -> Vec<LedgerSum>;
        groups_of(leader: LeaderId, limit: usize) -> Vec<TradeGroup>;
        policy(relationship: RelationshipId, version: i64) -> Option<Policy>;
        intents_after(owner: Option<OwnerId>, after: IntentId, limit: usize) -> Vec<Intent>;
        ends_of(intents: &[IntentId]) -> Vec<IntentEnd>;
        attempts_of(intents: &[IntentId]) -> Vec<OrderRecord>;
        find_orders(owner: Option<OwnerId>, id_prefix: &[u8], limit: usize) -> Vec<OrderRecord>;
        ledger_after(owner: Option<OwnerId>, after: i64, limit: usize) -> Vec<LedgerRecord>;
        ledger_of(owner: Option<OwnerId>, intents: &[IntentId]) -> Vec<LedgerRecord>;
        positions(owner: Option<OwnerId>) -> Vec<PositionRecord>;
        accounts(owner: Option<OwnerId>) -> Vec<Account>;
        relationships(owner: Option<OwnerId>) -> Vec<Relationship>;
        leaders() -> Vec<Leader>;
        all_markets() -> Vec<Market>;
        reservations(owner: Option<OwnerId>) -> Vec<(IntentId, Usd)>;
        tell(event: &Event) -> ();
        events_after(after: i64, limit: usize) -> Vec<(i64, Event)>;
        event_cursor(subscriber: &str) -> i64;
        move_event_cursor(subscriber: &str, to: i64) -> ();
    }
    layer {
        look_back() -> ();
    }
}

through! { Tasks,
    reads {}
    free {
        claim_task(name: &str, holder: &InstanceId, lease: Duration) -> Option<TaskClaim>;
        finish_task(claim: &TaskClaim, next: Duration, failed: Option<&str>) -> ();
        prune_events(claim: &TaskClaim, before: Timestamp, limit: usize) -> usize;
        sum_skips(claim: &TaskClaim, before: Timestamp, limit: usize) -> usize;
    }
    layer {}
}

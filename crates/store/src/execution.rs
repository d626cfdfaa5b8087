//! The [`Execution`] port: waiting intents, commit 2, claims, updates, redemptions.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ConditionId, Hash, OrderId, Shares, Timestamp, TokenId, TradingAccount,
    ids::{AccountId, AttemptId, IntentId, RelationshipId},
    position::Position,
};
use engine::ports::{
    detection::{Lane, StoredRedemption},
    execution::{
        EndReason, Execution, OrderRecord, OrderUpdate, RedemptionPayout, SignedAttempt, SignedOutcome,
        WaitingIntent,
    },
    store::{InstanceId, StoreResult},
    venue::LostOrder,
};

use crate::{
    SqlStore, accounts, adopted, chain, foreign_orders, instances, ledger, order_update, orders, signing,
    work::{self, Claim},
};

#[async_trait]
impl Execution for SqlStore {
    async fn waiting(&self, lane: Lane, now: Timestamp, limit: usize) -> StoreResult<Vec<IntentId>> {
        work::waiting(&mut self.read().await?, lane, now, limit).await
    }

    async fn take_waiting(
        &self,
        lane: Lane,
        due: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<IntentId>> {
        // Whoever finds nothing writes nothing.
        if work::waiting(&mut self.read().await?, lane, due, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut write = self.write().await?;
        let taken = work::waiting(write.connection(), lane, due, limit).await?;
        work::put_off(write.connection(), &taken, until).await?;
        write.commit().await?;
        Ok(taken)
    }

    async fn count_waiting(&self, lane: Lane, now: Timestamp) -> StoreResult<usize> {
        work::count_waiting(&mut self.read().await?, lane, now).await
    }

    async fn next_due(&self) -> StoreResult<Option<Timestamp>> {
        work::next_due(&mut self.read().await?).await
    }

    async fn count_open_work(&self) -> StoreResult<usize> {
        work::count_open(&mut self.read().await?).await
    }

    async fn accounts_with_work(&self) -> StoreResult<Vec<AccountId>> {
        work::accounts(&mut self.read().await?).await
    }

    async fn load_waiting(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>> {
        let mut snapshot = self.snapshot().await?;
        let now = self.now(&mut snapshot).await?;
        work::load_waiting(&mut snapshot, ids, now).await
    }

    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        let mut write = self.write().await?;
        let now = self.now(write.connection()).await?;
        let outcomes = signing::commit(write.connection(), holder, now, lease, attempts).await?;
        if outcomes.iter().any(|outcome| matches!(outcome, SignedOutcome::Won { .. })) {
            write.commit().await?;
        } else {
            write.undo().await?;
        }
        Ok(outcomes)
    }

    async fn end_intents(&self, ends: &[(IntentId, EndReason)], now: Timestamp) -> StoreResult<usize> {
        let mut write = self.write().await?;
        let ended = work::end(write.connection(), ends, now).await?;
        if ended == 0 {
            return write.undo().await.map(|()| 0);
        }
        write.commit().await?;
        Ok(ended)
    }

    async fn put_off(&self, ids: &[IntentId], due: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        if work::put_off(write.connection(), ids, due).await? == 0 {
            return write.undo().await;
        }
        write.commit().await
    }

    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        // Asked twenty times a second of a store where hardly ever anything is due: reading is cheaper.
        if !work::any_due(&mut self.read().await?, now).await? {
            return Ok(Vec::new());
        }
        let mut write = self.write().await?;
        let connection = write.connection();
        let own_now = self.now(connection).await?;
        let holder = instances::running(connection, holder, own_now).await?;
        let claim = Claim { holder, now: own_now, until: own_now.plus(lease) };
        let intents = work::claim(connection, &claim, now, limit).await?;
        if intents.is_empty() {
            return write.undo().await.map(|()| Vec::new());
        }
        let records = orders::newest_of(connection, &intents).await?;
        write.commit().await?;
        Ok(records)
    }

    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        now: Timestamp,
    ) -> StoreResult<Option<Duration>> {
        let mut write = self.write().await?;
        let own_now = self.now(write.connection()).await?;
        let left = signing::grant(write.connection(), attempt, holder, fence, (now, own_now)).await?;
        if left.is_none() {
            return write.undo().await.map(|()| None);
        }
        write.commit().await?;
        Ok(left)
    }

    async fn orders(&self, ids: &[OrderId]) -> StoreResult<Vec<OrderRecord>> {
        orders::by_order_ids(&mut self.snapshot().await?, ids).await
    }

    async fn orders_of(&self, attempts: &[(IntentId, u32)]) -> StoreResult<Vec<OrderRecord>> {
        // The transaction whose answer was lost may still be on its way into the database, and no snapshot shows it: it
        // has the lock of whoever writes until it ends.
        let mut write = self.write().await?;
        let stored = orders::by_attempts(write.connection(), attempts).await?;
        write.undo().await?;
        Ok(stored)
    }

    async fn unbooked_orders(&self, after: AttemptId, limit: usize) -> StoreResult<Vec<OrderRecord>> {
        if !orders::any_unbooked(&mut self.read().await?).await? {
            return Ok(Vec::new());
        }
        orders::unbooked(&mut self.snapshot().await?, after, limit).await
    }

    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        let mut write = self.write().await?;
        let applied = order_update::apply(write.connection(), updates).await?;
        if applied.contains(&true) {
            write.commit().await?;
        } else {
            write.undo().await?;
        }
        Ok(applied)
    }

    async fn unbooked_redemptions(&self, finalized: i64, limit: usize) -> StoreResult<Vec<StoredRedemption>> {
        chain::unbooked_redemptions(&mut self.read().await?, finalized, limit).await
    }

    async fn book_redemption(
        &self,
        block_hash: Hash,
        log_index: i64,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut write = self.write().await?;
        if !ledger::redeem(write.connection(), (block_hash, log_index), payouts, now).await? {
            return write.undo().await.map(|()| false);
        }
        write.commit().await?;
        Ok(true)
    }

    async fn open_accounts(&self, limit: usize) -> StoreResult<Vec<TradingAccount>> {
        accounts::open(&mut self.read().await?, limit).await
    }

    async fn hurry(&self, accounts: &[AccountId], now: Timestamp) -> StoreResult<usize> {
        let mut write = self.write().await?;
        let hurried = work::hurry(write.connection(), accounts, now).await?;
        if hurried == 0 {
            return write.undo().await.map(|()| 0);
        }
        write.commit().await?;
        Ok(usize::try_from(hurried).unwrap_or(usize::MAX))
    }

    async fn note_foreign_orders(
        &self,
        orders: &[(AccountId, OrderId)],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut write = self.write().await?;
        let new = foreign_orders::note(write.connection(), orders, now).await?;
        if new == 0 {
            return write.undo().await.map(|()| 0);
        }
        write.commit().await?;
        Ok(new)
    }

    async fn known_until(&self, account: AccountId) -> StoreResult<Timestamp> {
        adopted::known_until(&mut self.read().await?, account).await
    }

    async fn adopt(&self, account: AccountId, order: &LostOrder, now: Timestamp) -> StoreResult<bool> {
        let mut write = self.change().await?;
        if !adopted::adopt(write.connection(), account, order, now).await? {
            return write.undo().await.map(|()| false);
        }
        write.commit().await?;
        Ok(true)
    }

    async fn adopted_shares(&self, account: AccountId) -> StoreResult<Vec<(TokenId, Shares)>> {
        adopted::shares(&mut self.read().await?, account).await
    }

    async fn tokens_held(&self, limit: usize) -> StoreResult<Vec<TokenId>> {
        ledger::tokens_held(&mut self.read().await?, limit).await
    }

    async fn held_tokens(&self, account: AccountId, condition: ConditionId) -> StoreResult<Vec<TokenId>> {
        ledger::held_tokens(&mut self.read().await?, account, condition).await
    }

    async fn positions_of(
        &self,
        holdings: &[(AccountId, RelationshipId, TokenId)],
    ) -> StoreResult<Vec<Position>> {
        ledger::positions_of(&mut self.read().await?, holdings).await
    }
}

//! The reports of a store, with rows changed on their way out.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Hash, Market, Timestamp, Usd,
    ids::{IntentId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    detection::{StoredFill, StoredPart},
    execution::{Intent, OrderRecord},
    following::{Account, Leader, Relationship},
    reports::{
        DecisionRecord, IntentEnd, LedgerRecord, LedgerSum, PositionRecord, Reports, SkipSum, SkipSumKey,
    },
    store::{Event, StoreResult},
};
use testkit::memory_store::MemoryStore;

/// Rows that were just read.
pub(super) enum Rows<'a> {
    Decisions(&'a mut Vec<DecisionRecord>),
    SkipSums(&'a mut Vec<SkipSum>),
    Part(&'a mut Option<StoredPart>),
    Policy(&'a mut Option<Policy>),
    Intents(&'a mut Vec<Intent>),
    Orders(&'a mut Vec<OrderRecord>),
    Ledger(&'a mut Vec<LedgerRecord>),
    Positions(&'a mut Vec<PositionRecord>),
    Accounts(&'a mut Vec<Account>),
    Reservations(&'a mut Vec<(IntentId, Usd)>),
    Markets(&'a mut Vec<Market>),
    CommitMark(&'a mut (i64, Hash)),
}

pub(super) struct Tampered<'a, F> {
    pub(super) inner: &'a MemoryStore,
    pub(super) change: F,
}

impl<F: Fn(Rows<'_>)> Tampered<'_, F> {
    fn changed<T>(&self, mut rows: T, name: impl FnOnce(&mut T) -> Rows<'_>) -> T {
        (self.change)(name(&mut rows));
        rows
    }
}

#[async_trait]
impl<F: Fn(Rows<'_>) + Send + Sync> Reports for Tampered<'_, F> {
    async fn decisions_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        let rows = self.inner.decisions_after(owner, after, limit).await?;
        Ok(self.changed(rows, |rows| Rows::Decisions(rows)))
    }

    async fn decisions_before(
        &self,
        owner: Option<OwnerId>,
        before: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        let rows = self.inner.decisions_before(owner, before, limit).await?;
        Ok(self.changed(rows, |rows| Rows::Decisions(rows)))
    }

    async fn decisions_of(&self, owner: Option<OwnerId>, key: GroupKey) -> StoreResult<Vec<DecisionRecord>> {
        let rows = self.inner.decisions_of(owner, key).await?;
        Ok(self.changed(rows, |rows| Rows::Decisions(rows)))
    }

    async fn skip_sums_after(
        &self,
        owner: Option<OwnerId>,
        after: SkipSumKey,
        limit: usize,
    ) -> StoreResult<Vec<SkipSum>> {
        let rows = self.inner.skip_sums_after(owner, after, limit).await?;
        Ok(self.changed(rows, |rows| Rows::SkipSums(rows)))
    }

    async fn summed_skips_of(&self, key: GroupKey) -> StoreResult<Vec<(u32, i64)>> {
        self.inner.summed_skips_of(key).await
    }

    async fn summed_skips(&self) -> StoreResult<Vec<(LeaderId, i64)>> {
        self.inner.summed_skips().await
    }

    async fn part(&self, key: GroupKey, part: u32) -> StoreResult<Option<StoredPart>> {
        let row = self.inner.part(key, part).await?;
        Ok(self.changed(row, |row| Rows::Part(row)))
    }

    async fn group_with_fills(&self, key: GroupKey) -> StoreResult<Option<(TradeGroup, Vec<StoredFill>)>> {
        self.inner.group_with_fills(key).await
    }

    async fn find_groups(&self, tx_prefix: &[u8], limit: usize) -> StoreResult<Vec<TradeGroup>> {
        self.inner.find_groups(tx_prefix, limit).await
    }

    async fn newest_groups(&self, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        self.inner.newest_groups(limit).await
    }

    async fn groups_of(&self, leader: LeaderId, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        self.inner.groups_of(leader, limit).await
    }

    async fn policy(&self, relationship: RelationshipId, version: i64) -> StoreResult<Option<Policy>> {
        let row = self.inner.policy(relationship, version).await?;
        Ok(self.changed(row, |row| Rows::Policy(row)))
    }

    async fn intents_after(
        &self,
        owner: Option<OwnerId>,
        after: IntentId,
        limit: usize,
    ) -> StoreResult<Vec<Intent>> {
        let rows = self.inner.intents_after(owner, after, limit).await?;
        Ok(self.changed(rows, |rows| Rows::Intents(rows)))
    }

    async fn ends_of(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentEnd>> {
        self.inner.ends_of(intents).await
    }

    async fn attempts_of(&self, intents: &[IntentId]) -> StoreResult<Vec<OrderRecord>> {
        let rows = self.inner.attempts_of(intents).await?;
        Ok(self.changed(rows, |rows| Rows::Orders(rows)))
    }

    async fn find_orders(
        &self,
        owner: Option<OwnerId>,
        id_prefix: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        self.inner.find_orders(owner, id_prefix, limit).await
    }

    async fn ledger_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<LedgerRecord>> {
        let rows = self.inner.ledger_after(owner, after, limit).await?;
        Ok(self.changed(rows, |rows| Rows::Ledger(rows)))
    }

    async fn ledger_of(
        &self,
        owner: Option<OwnerId>,
        intents: &[IntentId],
    ) -> StoreResult<Vec<LedgerRecord>> {
        let rows = self.inner.ledger_of(owner, intents).await?;
        Ok(self.changed(rows, |rows| Rows::Ledger(rows)))
    }

    async fn positions(&self, owner: Option<OwnerId>) -> StoreResult<Vec<PositionRecord>> {
        let rows = self.inner.positions(owner).await?;
        Ok(self.changed(rows, |rows| Rows::Positions(rows)))
    }

    async fn accounts(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Account>> {
        let rows = self.inner.accounts(owner).await?;
        Ok(self.changed(rows, |rows| Rows::Accounts(rows)))
    }

    async fn relationships(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Relationship>> {
        self.inner.relationships(owner).await
    }

    async fn leaders(&self) -> StoreResult<Vec<Leader>> {
        self.inner.leaders().await
    }

    async fn all_markets(&self) -> StoreResult<Vec<Market>> {
        let rows = self.inner.all_markets().await?;
        Ok(self.changed(rows, |rows| Rows::Markets(rows)))
    }

    async fn reservations(&self, owner: Option<OwnerId>) -> StoreResult<Vec<(IntentId, Usd)>> {
        let rows = self.inner.reservations(owner).await?;
        Ok(self.changed(rows, |rows| Rows::Reservations(rows)))
    }

    async fn tell(&self, event: &Event) -> StoreResult<()> {
        self.inner.tell(event).await
    }

    async fn events_after(&self, after: i64, limit: usize) -> StoreResult<Vec<(i64, Event)>> {
        self.inner.events_after(after, limit).await
    }

    async fn newest_event(&self) -> StoreResult<i64> {
        self.inner.newest_event().await
    }

    async fn ledger_sums(
        &self,
        owner: Option<OwnerId>,
        since: Timestamp,
        width: Duration,
    ) -> StoreResult<Vec<LedgerSum>> {
        self.inner.ledger_sums(owner, since, width).await
    }

    async fn event_cursor(&self, subscriber: &str) -> StoreResult<i64> {
        self.inner.event_cursor(subscriber).await
    }

    async fn move_event_cursor(&self, subscriber: &str, to: i64) -> StoreResult<()> {
        self.inner.move_event_cursor(subscriber, to).await
    }

    async fn commit_mark(&self) -> StoreResult<(i64, Hash)> {
        let mark = self.inner.commit_mark().await?;
        Ok(self.changed(mark, |mark| Rows::CommitMark(mark)))
    }

    async fn look_back(&self) -> StoreResult<()> {
        self.inner.look_back().await
    }
}

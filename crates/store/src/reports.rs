//! The [`Reports`] port: read models.

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

use crate::{
    SqlStore, accounts, chain, decisions, events, groups, installation, intents, ledger, markets, orders,
    parts, relationships, skips, work,
};

#[async_trait]
impl Reports for SqlStore {
    async fn decisions_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        decisions::after(&mut self.read().await?, owner, after, limit).await
    }

    async fn decisions_before(
        &self,
        owner: Option<OwnerId>,
        before: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        decisions::before(&mut self.read().await?, owner, before, limit).await
    }

    async fn decisions_of(&self, owner: Option<OwnerId>, key: GroupKey) -> StoreResult<Vec<DecisionRecord>> {
        decisions::of_group(&mut self.snapshot().await?, owner, key).await
    }

    async fn skip_sums_after(
        &self,
        owner: Option<OwnerId>,
        after: SkipSumKey,
        limit: usize,
    ) -> StoreResult<Vec<SkipSum>> {
        skips::after(&mut self.read().await?, owner, after, limit).await
    }

    async fn summed_skips_of(&self, key: GroupKey) -> StoreResult<Vec<(u32, i64)>> {
        skips::of_group(&mut self.snapshot().await?, key).await
    }

    async fn summed_skips(&self) -> StoreResult<Vec<(LeaderId, i64)>> {
        skips::by_leader(&mut self.read().await?).await
    }

    async fn part(&self, key: GroupKey, part: u32) -> StoreResult<Option<StoredPart>> {
        parts::one(&mut self.read().await?, key, part).await
    }

    async fn group_with_fills(&self, key: GroupKey) -> StoreResult<Option<(TradeGroup, Vec<StoredFill>)>> {
        let mut snapshot = self.snapshot().await?;
        let Some(group) = groups::one(&mut snapshot, key).await? else { return Ok(None) };
        Ok(Some((group, chain::fills_of_group(&mut snapshot, key).await?)))
    }

    async fn find_groups(&self, tx_prefix: &[u8], limit: usize) -> StoreResult<Vec<TradeGroup>> {
        groups::by_prefix(&mut self.read().await?, tx_prefix, limit).await
    }

    async fn newest_groups(&self, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        groups::newest(&mut self.read().await?, limit).await
    }

    async fn groups_of(&self, leader: LeaderId, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        groups::of_leader(&mut self.read().await?, leader, limit).await
    }

    async fn policy(&self, relationship: RelationshipId, version: i64) -> StoreResult<Option<Policy>> {
        relationships::policy(&mut self.read().await?, relationship, version).await
    }

    async fn intents_after(
        &self,
        owner: Option<OwnerId>,
        after: IntentId,
        limit: usize,
    ) -> StoreResult<Vec<Intent>> {
        intents::after(&mut self.read().await?, owner, after, limit).await
    }

    async fn ends_of(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentEnd>> {
        intents::ends_of(&mut self.read().await?, intents).await
    }

    async fn attempts_of(&self, intents: &[IntentId]) -> StoreResult<Vec<OrderRecord>> {
        orders::of_intents(&mut self.snapshot().await?, intents).await
    }

    async fn find_orders(
        &self,
        owner: Option<OwnerId>,
        id_prefix: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        orders::by_prefix(&mut self.snapshot().await?, owner, id_prefix, limit).await
    }

    async fn ledger_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<LedgerRecord>> {
        ledger::after(&mut self.read().await?, owner, after, limit).await
    }

    async fn ledger_of(
        &self,
        owner: Option<OwnerId>,
        intents: &[IntentId],
    ) -> StoreResult<Vec<LedgerRecord>> {
        ledger::of_intents(&mut self.read().await?, owner, intents).await
    }

    async fn ledger_sums(
        &self,
        owner: Option<OwnerId>,
        since: Timestamp,
        width: Duration,
    ) -> StoreResult<Vec<LedgerSum>> {
        ledger::sums(&mut self.read().await?, owner, since, width).await
    }

    async fn positions(&self, owner: Option<OwnerId>) -> StoreResult<Vec<PositionRecord>> {
        ledger::positions(&mut self.read().await?, owner).await
    }

    async fn accounts(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Account>> {
        accounts::all(&mut self.read().await?, owner).await
    }

    async fn relationships(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Relationship>> {
        relationships::all(&mut self.read().await?, owner).await
    }

    async fn leaders(&self) -> StoreResult<Vec<Leader>> {
        accounts::leaders(&mut self.read().await?).await
    }

    async fn all_markets(&self) -> StoreResult<Vec<Market>> {
        markets::all(&mut self.read().await?).await
    }

    async fn reservations(&self, owner: Option<OwnerId>) -> StoreResult<Vec<(IntentId, Usd)>> {
        work::reservations(&mut self.read().await?, owner).await
    }

    async fn tell(&self, event: &Event) -> StoreResult<()> {
        let mut write = self.write().await?;
        events::write(write.connection(), std::slice::from_ref(event)).await?;
        write.commit().await
    }

    async fn events_after(&self, after: i64, limit: usize) -> StoreResult<Vec<(i64, Event)>> {
        events::after(&mut self.read().await?, after, limit).await
    }

    async fn newest_event(&self) -> StoreResult<i64> {
        events::newest(&mut self.read().await?).await
    }

    async fn event_cursor(&self, subscriber: &str) -> StoreResult<i64> {
        events::cursor(&mut self.read().await?, subscriber).await
    }

    async fn move_event_cursor(&self, subscriber: &str, to: i64) -> StoreResult<()> {
        let mut write = self.write().await?;
        events::move_cursor(write.connection(), subscriber, to).await?;
        write.commit().await
    }

    async fn commit_mark(&self) -> StoreResult<(i64, Hash)> {
        installation::mark(&mut self.read().await?).await
    }

    async fn look_back(&self) -> StoreResult<()> {
        self.look_for_newest().await
    }
}

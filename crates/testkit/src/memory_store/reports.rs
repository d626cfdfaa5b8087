//! Read models.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use async_trait::async_trait;
use domain::{
    Hash, Market, OrderId, Timestamp, TxHash, Usd,
    ids::{AccountId, AttemptId, IntentId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    detection::{StoredFill, StoredPart},
    execution::{Intent, LedgerCause, OrderRecord},
    following::{Account, Leader, Relationship},
    reports::{
        DecisionRecord, IntentEnd, LedgerRecord, LedgerSum, PositionRecord, Reports, SkipSum, SkipSumKey,
    },
    store::{Event, StoreResult},
};

use super::{MemoryStore, state::State};

/// Whether a row of `owner` may be seen by `reader`.
fn visible(reader: Option<OwnerId>, owner: OwnerId) -> bool {
    reader.is_none_or(|reader| reader == owner)
}

#[async_trait]
impl Reports for MemoryStore {
    async fn decisions_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        let state = self.read();
        let rows = state.decisions.after(after).map(|(_, row)| row);
        Ok(rows.filter(|row| visible(owner, row.owner)).take(limit).cloned().collect())
    }

    async fn decisions_before(
        &self,
        owner: Option<OwnerId>,
        before: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        let state = self.read();
        let rows = state.decisions.rows().rev().filter(|row| row.id < before);
        Ok(rows.filter(|row| visible(owner, row.owner)).take(limit).cloned().collect())
    }

    async fn decisions_of(&self, owner: Option<OwnerId>, key: GroupKey) -> StoreResult<Vec<DecisionRecord>> {
        let state = self.read();
        let first = (key, 0, RelationshipId(i64::MIN));
        let last = (key, u32::MAX, RelationshipId(i64::MAX));
        let rows = state.decision_keys.range(first..=last).filter_map(|(_, id)| state.decisions.get(*id));
        Ok(rows.filter(|row| visible(owner, row.owner)).cloned().collect())
    }

    async fn skip_sums_after(
        &self,
        owner: Option<OwnerId>,
        after: SkipSumKey,
        limit: usize,
    ) -> StoreResult<Vec<SkipSum>> {
        let state = self.read();
        let rows = state.skip_sums.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, row)| *row);
        Ok(rows.filter(|row| visible(owner, row.owner)).take(limit).collect())
    }

    async fn summed_skips_of(&self, key: GroupKey) -> StoreResult<Vec<(u32, i64)>> {
        let state = self.read();
        let rows = state.summed_of_parts.range((key, 0)..=(key, u32::MAX));
        Ok(rows.map(|((_, part), skips)| (*part, *skips)).collect())
    }

    async fn summed_skips(&self) -> StoreResult<Vec<(LeaderId, i64)>> {
        let state = self.read();
        let mut sums: BTreeMap<LeaderId, i64> = BTreeMap::new();
        for ((key, _), skips) in &state.summed_of_parts {
            *sums.entry(key.leader).or_default() += skips;
        }
        Ok(sums.into_iter().collect())
    }

    async fn part(&self, key: GroupKey, part: u32) -> StoreResult<Option<StoredPart>> {
        let state = self.read();
        Ok(state.part_keys.get(&(key, part)).and_then(|id| state.parts.get(*id)).cloned())
    }

    async fn group_with_fills(&self, key: GroupKey) -> StoreResult<Option<(TradeGroup, Vec<StoredFill>)>> {
        let state = self.read();
        let Some(group) = state.groups.get(&key) else { return Ok(None) };
        let canonical = state.fills.values().filter(|row| row.canonical).map(|row| row.fill);
        let mut fills: Vec<_> = canonical.filter(|fill| fill.group == Some(key)).collect();
        fills.sort_by_key(|fill| (fill.block, fill.log_index));
        Ok(Some((*group, fills)))
    }

    async fn find_groups(&self, tx_prefix: &[u8], limit: usize) -> StoreResult<Vec<TradeGroup>> {
        let begins = |tx: &TxHash| tx.0.starts_with(tx_prefix);
        Ok(self.read().newest(limit, |group| begins(&group.key.tx)))
    }

    async fn newest_groups(&self, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        Ok(self.read().newest(limit, |_| true))
    }

    async fn groups_of(&self, leader: LeaderId, limit: usize) -> StoreResult<Vec<TradeGroup>> {
        Ok(self.read().newest(limit, |group| group.key.leader == leader))
    }

    async fn policy(&self, relationship: RelationshipId, version: i64) -> StoreResult<Option<Policy>> {
        let state = self.read();
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let row = state.relationships.get(relationship.0);
        Ok(row.zip(index).and_then(|(row, index)| row.policies.get(index)).cloned())
    }

    async fn intents_after(
        &self,
        owner: Option<OwnerId>,
        after: IntentId,
        limit: usize,
    ) -> StoreResult<Vec<Intent>> {
        let state = self.read();
        let rows = state.intents.after(after.0).map(|(_, row)| row);
        Ok(rows.filter(|row| visible(owner, row.owner)).take(limit).cloned().collect())
    }

    async fn ends_of(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentEnd>> {
        let state = self.read();
        Ok(intents.iter().filter_map(|intent| state.ends.get(intent)).copied().collect())
    }

    async fn attempts_of(&self, intents: &[IntentId]) -> StoreResult<Vec<OrderRecord>> {
        let state = self.read();
        let mut intents = intents.to_vec();
        intents.sort_unstable();
        intents.dedup();
        state.records(intents.iter().flat_map(|intent| state.attempts_of(*intent)).copied())
    }

    async fn find_orders(
        &self,
        owner: Option<OwnerId>,
        id_prefix: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>> {
        let state = self.read();
        let begins = |id: &OrderId| id.0.starts_with(id_prefix);
        let seen =
            |intent: IntentId| state.intents.get(intent.0).is_some_and(|row| visible(owner, row.owner));
        let orders = state.orders.iter();
        let found = orders.filter(|(_, row)| begins(&row.signed.order.id) && seen(row.signed.intent));
        state.records(found.map(|(id, _)| AttemptId(id)).take(limit))
    }

    async fn ledger_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<LedgerRecord>> {
        let state = self.read();
        let rows = state.ledger.after(after).map(|(_, row)| row);
        Ok(rows.filter(|row| visible(owner, row.owner)).take(limit).cloned().collect())
    }

    async fn ledger_of(
        &self,
        owner: Option<OwnerId>,
        intents: &[IntentId],
    ) -> StoreResult<Vec<LedgerRecord>> {
        let state = self.read();
        let of = |row: &&LedgerRecord| row.intent.is_some_and(|intent| intents.contains(&intent));
        Ok(state.ledger.rows().filter(|row| visible(owner, row.owner)).filter(of).cloned().collect())
    }

    async fn ledger_sums(
        &self,
        owner: Option<OwnerId>,
        since: Timestamp,
        width: Duration,
    ) -> StoreResult<Vec<LedgerSum>> {
        let (state, micros) = (self.read(), i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1));
        let mut sums: BTreeMap<i64, LedgerSum> = BTreeMap::new();
        for row in state.ledger.rows().filter(|row| visible(owner, row.owner) && row.at >= since) {
            let slot = row.at.0 / micros;
            let begin = LedgerSum {
                at: Timestamp(slot.saturating_mul(micros)),
                realised: Usd::ZERO,
                fees: Usd::ZERO,
                deposited: Usd::ZERO,
            };
            let sum = sums.entry(slot).or_insert(begin);
            sum.realised = [sum.realised, row.entry.realised].into_iter().sum();
            sum.fees = [sum.fees, row.entry.fee].into_iter().sum();
            if row.cause == LedgerCause::Deposit {
                sum.deposited = [sum.deposited, row.entry.cash].into_iter().sum();
            }
        }
        Ok(sums.into_values().collect())
    }

    async fn positions(&self, owner: Option<OwnerId>) -> StoreResult<Vec<PositionRecord>> {
        let state = self.read();
        let rows = state.positions.iter().filter(|(_, row)| visible(owner, row.owner));
        Ok(rows
            .map(|((account, relationship, token), row)| PositionRecord {
                owner: row.owner,
                account: *account,
                relationship: *relationship,
                token: *token,
                position: row.position,
            })
            .collect())
    }

    async fn accounts(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Account>> {
        let state = self.read();
        let rows = state.accounts.iter().filter(|(_, row)| visible(owner, row.owner));
        Ok(rows.map(|(id, row)| state.account(AccountId(id), row)).collect())
    }

    async fn relationships(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Relationship>> {
        let state = self.read();
        let rows = state.relationships.rows().map(|row| &row.relationship);
        Ok(rows.filter(|row| visible(owner, row.owner)).cloned().collect())
    }

    async fn leaders(&self) -> StoreResult<Vec<Leader>> {
        Ok(self.read().leaders.rows().cloned().collect())
    }

    async fn all_markets(&self) -> StoreResult<Vec<Market>> {
        Ok(self.read().markets.values().cloned().collect())
    }

    async fn reservations(&self, owner: Option<OwnerId>) -> StoreResult<Vec<(IntentId, Usd)>> {
        let state = self.read();
        let seen = |id: &IntentId| state.intents.get(id.0).is_some_and(|intent| visible(owner, intent.owner));
        Ok(state.reservations.iter().filter(|(id, _)| seen(id)).map(|(id, usd)| (*id, *usd)).collect())
    }

    async fn tell(&self, event: &Event) -> StoreResult<()> {
        let mut state = self.write();
        state.committed();
        state.events.insert(event.clone());
        Ok(())
    }

    async fn events_after(&self, after: i64, limit: usize) -> StoreResult<Vec<(i64, Event)>> {
        let state = self.read();
        Ok(state.events.after(after).take(limit).map(|(id, event)| (id, event.clone())).collect())
    }

    async fn newest_event(&self) -> StoreResult<i64> {
        Ok(self.read().events.after(0).last().map_or(0, |(id, _)| id))
    }

    async fn event_cursor(&self, subscriber: &str) -> StoreResult<i64> {
        Ok(self.read().event_cursors.get(subscriber).copied().unwrap_or(0))
    }

    async fn move_event_cursor(&self, subscriber: &str, to: i64) -> StoreResult<()> {
        let mut state = self.write();
        state.committed();
        let cursor = state.event_cursors.entry(subscriber.to_owned()).or_default();
        *cursor = to.max(*cursor);
        Ok(())
    }

    /// The mark is always the same: a store that dies with its process cannot go back in time, and runs
    /// must not differ by chance.
    async fn commit_mark(&self) -> StoreResult<(i64, Hash)> {
        Ok((self.read().commits, Hash([0; 32])))
    }

    async fn look_back(&self) -> StoreResult<()> {
        Ok(())
    }
}

impl State {
    fn newest(&self, limit: usize, wanted: impl Fn(&TradeGroup) -> bool) -> Vec<TradeGroup> {
        let mut groups: Vec<_> = self.groups.values().filter(|group| wanted(group)).copied().collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.first_seen_at, group.key)));
        groups.truncate(limit);
        groups
    }
}

//! What the watcher reads.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::{
    Market, OrderId, Shares, Side, Timestamp, TokenId,
    decide::Verdict,
    exits::CopiedBuy,
    ids::{IntentId, LeaderId, RelationshipId},
    trade::{GroupKey, GroupState, TradeGroup},
};
use engine::ports::{
    detection::{
        DecidedBefore, Detection, DetectionCommit, DetectionOutcome, ExitBasis, ExitHolder, ExitRevisit,
        MissedNote, Source, StoredPart,
    },
    execution::{Intent, Why},
    store::{Lease, StoreResult},
    venue::BlockHeader,
};

use super::{MemoryStore, state::State};

#[async_trait]
impl Detection for MemoryStore {
    async fn cursor(&self, source: Source) -> StoreResult<Option<i64>> {
        Ok(self.read().cursors.get(&source).copied())
    }

    async fn headers(&self, limit: usize) -> StoreResult<Vec<BlockHeader>> {
        let state = self.read();
        let mut newest: Vec<_> = state.headers.values().rev().take(limit).copied().collect();
        newest.reverse();
        Ok(newest)
    }

    async fn groups(&self, keys: &[GroupKey], related_since: Timestamp) -> StoreResult<Vec<TradeGroup>> {
        let state = self.read();
        let wanted = |group: &&TradeGroup| {
            let same = |key: &GroupKey| {
                (key.leader, key.token, key.action) == (group.key.leader, group.key.token, group.key.action)
            };
            let related = group.first_seen_at >= related_since && keys.iter().any(same);
            related || keys.contains(&group.key)
        };
        Ok(oldest_first(state.groups.values().filter(wanted)))
    }

    async fn groups_from(&self, block: i64) -> StoreResult<Vec<TradeGroup>> {
        let state = self.read();
        let from = |group: &&TradeGroup| group.chain.is_some() && group.block.is_some_and(|own| own >= block);
        Ok(oldest_first(state.groups.values().filter(from)))
    }

    async fn unsettled_groups(
        &self,
        block: i64,
        hinted_before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<TradeGroup>> {
        let state = self.read();
        let unsettled = |group: &&TradeGroup| {
            let final_now = group.block.is_some_and(|at| at <= block);
            let overdue = group.chain.is_none() && group.traded_at <= hinted_before;
            group.state == GroupState::Open && (final_now || overdue)
        };
        let mut groups = oldest_first(state.groups.values().filter(unsettled));
        groups.truncate(limit);
        Ok(groups)
    }

    async fn exit_basis(
        &self,
        leader: LeaderId,
        token: TokenId,
        only: Option<&[RelationshipId]>,
    ) -> StoreResult<ExitBasis> {
        let state = self.read();
        let factors = state.factors.range((leader, token, i64::MIN)..=(leader, token, i64::MAX));
        let mut holders = state.exit_holders(leader, token)?;
        holders.retain(|holder| only.is_none_or(|only| only.contains(&holder.relationship)));
        Ok(ExitBasis {
            holders,
            factors: factors.map(|(_, factor)| *factor).collect(),
            ledger_through: state.ledger.next_key() - 1,
        })
    }

    async fn newest_sale(&self, leader: LeaderId, token: TokenId) -> StoreResult<Option<TradeGroup>> {
        let state = self.read();
        let sales = state.groups.values().filter(|group| {
            let of = (group.key.leader, group.key.token);
            let answered = group.parts > 0 && group.state != GroupState::Phantom;
            of == (leader, token) && group.key.action.is_exit() && answered
        });
        let newest = sales.max_by_key(|group| {
            (group.block.unwrap_or(-1), group.first_seen_at, group.key.tx, group.key.action)
        });
        Ok(newest.copied())
    }

    async fn due_revisits(&self, now: Timestamp, limit: usize) -> StoreResult<Vec<ExitRevisit>> {
        let state = self.read();
        let mut due: Vec<_> = state.revisits.iter().filter(|(_, row)| row.due <= now).collect();
        due.sort_by_key(|(key, row)| (row.due, **key));
        Ok(due.into_iter().take(limit).map(|(_, row)| row.revisit).collect())
    }

    async fn missed_buys(&self, limit: usize) -> StoreResult<Vec<MissedNote>> {
        let state = self.read();
        let mut notes: Vec<MissedNote> =
            state.missed.iter().filter(|(_, synced)| !synced).map(|(note, _)| *note).collect();
        notes.sort_by_key(|note| note.relationship);
        notes.truncate(limit);
        Ok(notes)
    }

    async fn decided_before(&self, key: GroupKey, part: u32) -> StoreResult<Vec<DecidedBefore>> {
        let state = self.read();
        let mut sums: BTreeMap<RelationshipId, i64> = BTreeMap::new();
        let (from, to) = ((key, 0, RelationshipId(i64::MIN)), (key, part, RelationshipId(i64::MIN)));
        for ((_, _, relationship), decision) in state.decision_keys.range(from..to) {
            if let Verdict::Copy(order) = state.decisions.row("decision", *decision)?.verdict {
                let sum = sums.entry(*relationship).or_default();
                *sum = sum.saturating_add(order.amount);
            }
        }
        Ok(sums.into_iter().map(|(relationship, amount)| DecidedBefore { relationship, amount }).collect())
    }

    async fn incomplete_parts(&self) -> StoreResult<Vec<StoredPart>> {
        Ok(self.read().parts.rows().filter(|part| !part.complete).cloned().collect())
    }

    async fn markets(&self, tokens: &[TokenId]) -> StoreResult<Vec<Market>> {
        let state = self.read();
        Ok(tokens.iter().filter_map(|token| state.markets.get(token)).cloned().collect())
    }

    async fn own_orders(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        let state = self.read();
        Ok(orders.iter().filter(|order| state.order_keys.contains_key(order)).copied().collect())
    }

    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        self.write().commit(lease, config_version, commit)
    }
}

fn oldest_first<'a>(groups: impl Iterator<Item = &'a TradeGroup>) -> Vec<TradeGroup> {
    let mut groups: Vec<_> = groups.copied().collect();
    groups.sort_by_key(|group| (group.first_seen_at, group.key));
    groups
}

impl State {
    fn exit_holders(&self, leader: LeaderId, token: TokenId) -> StoreResult<Vec<ExitHolder>> {
        let mut holders: BTreeMap<RelationshipId, ExitHolder> = BTreeMap::new();
        let mut with_work = BTreeSet::new();
        let empty = |relationship| ExitHolder {
            relationship,
            held: Shares::ZERO,
            buys: Vec::new(),
            open_exits: Shares::ZERO,
            open_entries: false,
        };
        for ((_, relationship, held), row) in &self.positions {
            let of_leader =
                self.relationships.get(relationship.0).is_some_and(|row| row.relationship.leader == leader);
            if of_leader && *held == token && row.position.shares != Shares::ZERO {
                holders.entry(*relationship).or_insert_with(|| empty(*relationship)).held =
                    row.position.shares;
            }
        }
        let of_token = |intent: &&Intent| (intent.leader, intent.token) == (leader, token);
        for intent in self.intents.rows().filter(of_token) {
            let open = self.work.contains_key(&intent.id);
            if open {
                with_work.insert(intent.relationship);
            }
            let filled = self.filled(intent.id)?;
            let may_fill = open && intent.side == Side::Buy && self.may_fill(intent.id)?;
            let holder = holders.entry(intent.relationship).or_insert_with(|| empty(intent.relationship));
            holder.open_entries |= may_fill;
            match intent.side {
                Side::Buy if filled.is_positive() => {
                    let group = self.groups.get(&intent.cause.key);
                    let block = match intent.cause.why {
                        Why::Target { through } => through.saturating_add(1),
                        // After every other while its block is not known.
                        _ => group.and_then(|group| group.block).unwrap_or(i64::MAX),
                    };
                    let phantom = group.is_some_and(TradeGroup::is_phantom);
                    holder.buys.push(CopiedBuy { block, filled, phantom });
                }
                Side::Sell if open => {
                    let left = Shares(intent.amount).less(filled);
                    holder.open_exits = Shares(holder.open_exits.0.saturating_add(left.0));
                }
                Side::Buy | Side::Sell => {}
            }
        }
        let counts =
            |holder: &ExitHolder| holder.held != Shares::ZERO || with_work.contains(&holder.relationship);
        Ok(holders.into_values().filter(counts).collect())
    }

    /// Whether an intent waits to be signed or the outcome of its newest order is open.
    fn may_fill(&self, intent: IntentId) -> StoreResult<bool> {
        match self.attempts_of(intent).last() {
            Some(newest) if !self.waits(intent) => Ok(self.orders.row("order", newest.0)?.state.is_open()),
            _ => Ok(true),
        }
    }
}

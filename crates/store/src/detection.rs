//! The [`Detection`] port: what the watcher knows, and commit 1.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use domain::{
    Market, OrderId, Timestamp, TokenId,
    ids::{LeaderId, RelationshipId},
    trade::{GroupKey, TradeGroup},
};
use engine::ports::{
    detection::{
        DecidedBefore, Detection, DetectionCommit, DetectionOutcome, ExitBasis, ExitRevisit, MissedNote,
        NewDecision, QueuedIntent, Source, StoredPart,
    },
    store::{Lease, StoreResult},
    venue::BlockHeader,
};

use crate::{
    SqlStore, chain, config,
    decisions::{self, DecisionKey},
    dialect::Connection,
    events, exits, groups,
    intents::{self, NewIntent},
    leases, markets, missed, orders, parts, revisits, work,
};

#[async_trait]
impl Detection for SqlStore {
    async fn cursor(&self, source: Source) -> StoreResult<Option<i64>> {
        chain::cursor(&mut self.read().await?, source).await
    }

    async fn headers(&self, limit: usize) -> StoreResult<Vec<BlockHeader>> {
        chain::headers(&mut self.read().await?, limit).await
    }

    async fn groups(&self, keys: &[GroupKey], related_since: Timestamp) -> StoreResult<Vec<TradeGroup>> {
        groups::with_related(&mut self.snapshot().await?, keys, related_since).await
    }

    async fn groups_from(&self, block: i64) -> StoreResult<Vec<TradeGroup>> {
        groups::from_block(&mut self.read().await?, block).await
    }

    async fn unsettled_groups(
        &self,
        block: i64,
        hinted_before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<TradeGroup>> {
        groups::unsettled(&mut self.read().await?, block, hinted_before, limit).await
    }

    async fn exit_basis(
        &self,
        leader: LeaderId,
        token: TokenId,
        only: Option<&[RelationshipId]>,
    ) -> StoreResult<ExitBasis> {
        exits::basis(&mut self.snapshot().await?, leader, token, only).await
    }

    async fn newest_sale(&self, leader: LeaderId, token: TokenId) -> StoreResult<Option<TradeGroup>> {
        groups::newest_sale(&mut self.read().await?, leader, token).await
    }

    async fn due_revisits(&self, now: Timestamp, limit: usize) -> StoreResult<Vec<ExitRevisit>> {
        revisits::due(&mut self.read().await?, now, limit).await
    }

    async fn missed_buys(&self, limit: usize) -> StoreResult<Vec<MissedNote>> {
        missed::to_sync(&mut self.read().await?, limit).await
    }

    async fn decided_before(&self, key: GroupKey, part: u32) -> StoreResult<Vec<DecidedBefore>> {
        decisions::decided_before(&mut self.snapshot().await?, key, part).await
    }

    async fn incomplete_parts(&self) -> StoreResult<Vec<StoredPart>> {
        parts::incomplete(&mut self.read().await?).await
    }

    async fn markets(&self, tokens: &[TokenId]) -> StoreResult<Vec<Market>> {
        markets::of_tokens(&mut self.read().await?, tokens).await
    }

    async fn own_orders(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        orders::own(&mut self.read().await?, orders).await
    }

    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        let mut write = self.write().await?;
        let connection = write.connection();
        leases::check(connection, lease).await?;
        if commit.rests_on_following() && config::shared(connection).await? != config_version {
            return write.undo().await.map(|()| DetectionOutcome::ConfigChanged);
        }
        write_chain(connection, commit).await?;
        groups::write(connection, &commit.groups).await?;
        exits::write_factors(connection, &commit.factors).await?;
        revisits::note(connection, &commit.exit_notes).await?;
        revisits::write(connection, &commit.revisited).await?;
        markets::write(connection, &commit.markets).await?;
        let of_parts = commit.parts.iter().map(|stored| stored.part.key);
        let of_decisions = commit.decisions.iter().map(|decision| decision.key);
        let of_notes = commit.missed.iter().chain(&commit.synced).map(|note| note.key);
        let ids = groups::ids(connection, of_parts.chain(of_decisions).chain(of_notes)).await?;
        parts::write(connection, &commit.parts, &ids).await?;
        missed::write(connection, &commit.missed, &commit.synced, &ids).await?;
        let queued = write_decisions(connection, &commit.decisions, &ids).await?;
        events::write(connection, &commit.events).await?;
        write.commit().await?;
        Ok(DetectionOutcome::Committed(queued))
    }
}

async fn write_chain(connection: &mut Connection, commit: &DetectionCommit) -> StoreResult<()> {
    let mut changed: HashSet<OrderId> = chain::orphan(connection, &commit.orphaned).await?;
    chain::write_headers(connection, &commit.headers).await?;
    chain::write_cursors(connection, &commit.cursors).await?;
    changed.extend(chain::write_fills(connection, &commit.fills).await?);
    chain::write_redemptions(connection, &commit.redemptions).await?;
    orders::note_fills(connection, &changed).await
}

/// Stores what is new and answers with the stored intents that wait, in the order of the decisions.
async fn write_decisions(
    connection: &mut Connection,
    decisions: &[NewDecision],
    groups: &HashMap<GroupKey, i64>,
) -> StoreResult<Vec<QueuedIntent>> {
    let mut copies = Vec::new();
    for decision in decisions {
        copies.extend(NewIntent::of(decision, groups)?);
    }
    let new = decisions::write(connection, decisions, groups).await?;
    copies.retain(|copy| new.contains(&copy.key()));
    let mut waiting: HashMap<DecisionKey, QueuedIntent> = intents::write(connection, &copies).await?;
    if new.len() < decisions.len() {
        waiting.extend(work::waiting_of_groups(connection, groups.values().copied()).await?);
    }
    let mut queued = Vec::with_capacity(waiting.len());
    for decision in decisions {
        queued.extend(waiting.remove(&decisions::key_of(decision, groups)?));
    }
    Ok(queued)
}

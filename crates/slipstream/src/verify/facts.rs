//! What a pass keeps in memory: configuration, markets, open reservations, and a little of what was read
//! last.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
};

use domain::{
    OrderId, TokenId, Usd,
    ids::{AccountId, IntentId, LeaderId, OwnerId, RelationshipId},
};
use engine::ports::{execution::Execution, reports::Reports, store::StoreResult};

use super::Sources;

/// Unbooked orders asked for; with more than this the rest counts as different, not as waiting.
const UNBOOKED: usize = 10_000;

/// Facts of the whole installation.
pub(super) struct Facts {
    followers: HashMap<RelationshipId, (OwnerId, LeaderId)>,
    negative_risk: HashMap<TokenId, bool>,
    /// Open reservations that no intent has claimed yet.
    pub(super) unclaimed: BTreeMap<IntentId, Usd>,
    /// Claimed reservations by account.
    pub(super) reserved: HashMap<AccountId, Usd>,
    unbooked: Option<HashSet<OrderId>>,
}

impl Facts {
    pub(super) async fn load(sources: &Sources<'_>) -> StoreResult<Self> {
        let reports = sources.reports;
        let relationships = reports.relationships(None).await?;
        let markets = reports.all_markets().await?;
        Ok(Self {
            followers: relationships.into_iter().map(|row| (row.id, (row.owner, row.leader))).collect(),
            negative_risk: markets.into_iter().map(|market| (market.token, market.negative_risk)).collect(),
            unclaimed: reports.reservations(None).await?.into_iter().collect(),
            reserved: HashMap::new(),
            unbooked: None,
        })
    }

    pub(super) fn owner_of(&self, relationship: RelationshipId) -> Option<OwnerId> {
        self.followers.get(&relationship).map(|(owner, _)| *owner)
    }

    pub(super) fn leader_of(&self, relationship: RelationshipId) -> Option<LeaderId> {
        self.followers.get(&relationship).map(|(_, leader)| *leader)
    }

    pub(super) fn negative_risk(&self, token: &TokenId) -> Option<bool> {
        self.negative_risk.get(token).copied()
    }

    /// Takes the open reservation of an intent and counts it for its account.
    pub(super) fn claim(&mut self, intent: IntentId, account: AccountId) -> Option<Usd> {
        let usd = self.unclaimed.remove(&intent)?;
        let total = self.reserved.entry(account).or_default();
        *total = Usd(total.0.saturating_add(usd.0));
        Some(usd)
    }

    /// Whether settlement knows that fills of this order are still to be booked.
    pub(super) async fn is_unbooked(
        &mut self,
        execution: &dyn Execution,
        order: &OrderId,
    ) -> StoreResult<bool> {
        if self.unbooked.is_none() {
            let orders = execution.unbooked_orders(domain::ids::AttemptId(0), UNBOOKED).await?;
            self.unbooked = Some(orders.into_iter().map(|record| record.order.id).collect());
        }
        Ok(self.unbooked.as_ref().is_some_and(|known| known.contains(order)))
    }
}

/// Whether an intent is stored; for ids beyond the ones that were read.
pub(super) async fn intent_exists(reports: &dyn Reports, id: IntentId) -> StoreResult<bool> {
    let found = reports.intents_after(None, IntentId(id.0.saturating_sub(1)), 1).await?;
    Ok(found.first().is_some_and(|intent| intent.id == id))
}

/// What was read last, up to a bound; forgotten as a whole when full.
pub(super) struct Recent<K, V> {
    rows: HashMap<K, V>,
    bound: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(bound: usize) -> Self {
        Self { rows: HashMap::new(), bound }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(super) fn keep(&mut self, key: K, value: V) {
        if self.rows.len() >= self.bound {
            self.rows.clear();
        }
        self.rows.insert(key, value);
    }
}

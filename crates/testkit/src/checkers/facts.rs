//! All rows the checks need, read once.

use std::collections::{BTreeMap, BTreeSet};

use domain::{OrderId, Timestamp, Usd, ids::IntentId, trade::GroupKey};
use engine::ports::{
    detection::StoredPart,
    execution::{Intent, OrderRecord},
    following::{Account, Exposure, Relationship},
    reports::{DecisionRecord, LedgerRecord, PositionRecord, SkipSum, SkipSumKey},
    store::{EventKind, Store, StoreResult},
};

/// Rows per call.
const PAGE: usize = 500;
/// More than any store has, and a number every database understands.
const ALL: usize = i32::MAX as usize;

pub(super) struct Facts {
    pub(super) decisions: Vec<DecisionRecord>,
    pub(super) intents: BTreeMap<IntentId, Intent>,
    /// Attempts by intent, in the order of the store.
    pub(super) orders: BTreeMap<IntentId, Vec<OrderRecord>>,
    pub(super) waiting: BTreeSet<IntentId>,
    pub(super) ended: BTreeSet<IntentId>,
    pub(super) parts: Vec<StoredPart>,
    /// Skips that parts gave up to the sums.
    pub(super) given_up: BTreeMap<(GroupKey, u32), i64>,
    pub(super) skip_sums: Vec<SkipSum>,
    pub(super) relationships: Vec<Relationship>,
    pub(super) accounts: Vec<Account>,
    pub(super) ledger: Vec<LedgerRecord>,
    pub(super) positions: Vec<PositionRecord>,
    pub(super) reservations: Vec<(IntentId, Usd)>,
    pub(super) exposures: Vec<Exposure>,
    /// Orders that were in a state other than open once.
    pub(super) left_open: BTreeSet<OrderId>,
    /// Orders whose canonical fills changed since their last update.
    pub(super) news: Vec<OrderRecord>,
}

impl Facts {
    pub(super) async fn read(store: &dyn Store) -> StoreResult<Self> {
        let intents = intents(store).await?;
        let ids: Vec<_> = intents.keys().copied().collect();
        let mut orders: BTreeMap<IntentId, Vec<OrderRecord>> = BTreeMap::new();
        let (mut waiting, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for page in ids.chunks(PAGE) {
            for order in store.attempts_of(page).await? {
                orders.entry(order.intent.id).or_default().push(order);
            }
            waiting.extend(store.not_over(page).await?);
            ended.extend(store.ends_of(page).await?.into_iter().map(|end| end.intent));
        }
        Ok(Self {
            decisions: decisions(store).await?,
            intents,
            orders,
            waiting,
            ended,
            parts: parts(store).await?,
            given_up: given_up(store).await?,
            skip_sums: store.skip_sums_after(None, SkipSumKey::default(), ALL).await?,
            relationships: store.relationships(None).await?,
            accounts: store.accounts(None).await?,
            ledger: ledger(store).await?,
            positions: store.positions(None).await?,
            reservations: store.reservations(None).await?,
            // The time only chooses holds.
            exposures: store.following(Timestamp(0)).await?.exposures,
            left_open: left_open(store).await?,
            news: store.unbooked_orders(domain::ids::AttemptId(0), ALL).await?,
        })
    }

    pub(super) fn orders_of(&self, intent: IntentId) -> &[OrderRecord] {
        self.orders.get(&intent).map_or(&[], Vec::as_slice)
    }
}

async fn decisions(store: &dyn Store) -> StoreResult<Vec<DecisionRecord>> {
    let mut rows: Vec<DecisionRecord> = Vec::new();
    loop {
        let page = store.decisions_after(None, rows.last().map_or(0, |row| row.id), PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

async fn ledger(store: &dyn Store) -> StoreResult<Vec<LedgerRecord>> {
    let mut rows: Vec<LedgerRecord> = Vec::new();
    loop {
        let page = store.ledger_after(None, rows.last().map_or(0, |row| row.id), PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

async fn intents(store: &dyn Store) -> StoreResult<BTreeMap<IntentId, Intent>> {
    let mut rows: BTreeMap<IntentId, Intent> = BTreeMap::new();
    loop {
        let last = rows.last_key_value().map_or(IntentId(0), |(id, _)| *id);
        let page = store.intents_after(None, last, PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page.into_iter().map(|intent| (intent.id, intent)));
    }
}

/// Parts of all groups, by the number of parts each group says it has.
async fn parts(store: &dyn Store) -> StoreResult<Vec<StoredPart>> {
    let mut parts = Vec::new();
    for group in store.newest_groups(ALL).await? {
        for number in 0..group.parts {
            parts.extend(store.part(group.key, number).await?);
        }
    }
    Ok(parts)
}

async fn given_up(store: &dyn Store) -> StoreResult<BTreeMap<(GroupKey, u32), i64>> {
    let mut given_up = BTreeMap::new();
    for group in store.newest_groups(ALL).await? {
        let parts = store.summed_skips_of(group.key).await?;
        given_up.extend(parts.into_iter().map(|(part, skips)| ((group.key, part), skips)));
    }
    Ok(given_up)
}

async fn left_open(store: &dyn Store) -> StoreResult<BTreeSet<OrderId>> {
    let (mut orders, mut last) = (BTreeSet::new(), 0);
    loop {
        let page = store.events_after(last, PAGE).await?;
        let Some((id, _)) = page.last() else { return Ok(orders) };
        last = *id;
        orders.extend(page.into_iter().filter_map(|(_, event)| match event.kind {
            EventKind::OrderChanged { order, state } => (!state.is_open()).then_some(order),
            _ => None,
        }));
    }
}

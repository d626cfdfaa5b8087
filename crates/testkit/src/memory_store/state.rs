//! The tables, and the facts derived from them that several calls need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    ConditionId, Hash, Market, OrderId, Shares, Timestamp, TokenId, Usd,
    exits::ExitFactor,
    ids::{AccountId, AttemptId, IntentId, LeaderId, OwnerId, RelationshipId},
    lifecycle::{Evidence, Filled, OrderState},
    policy::Policy,
    position::{Entry, Position},
    trade::{GroupKey, Quantity, TradeGroup},
};
use engine::ports::{
    detection::{ExitRevisit, Lane, MissedNote, Source, StoredFill, StoredPart, StoredRedemption},
    execution::{Intent, OrderRecord, SignedAttempt, StageTimes},
    following::{Account, AccountMode, Hold, HoldScope, Leader, Relationship, RelationshipStatus},
    reports::{DecisionRecord, IntentEnd, LedgerRecord, SkipSum, SkipSumKey},
    secrets::SealedKey,
    store::{Event, EventKind, InstanceId, StoreError, StoreResult},
    venue::{BlockHeader, SettlementStatus, VenueTrade},
    wallets::TransactionRecord,
};

use super::{corrupt, people::PeopleState, table::Table, tasks::TaskRow};

#[derive(Clone, Default)]
pub(super) struct State {
    /// Raised by every write.
    pub(super) commits: i64,
    pub(super) config_version: i64,
    /// Wrong on purpose ([`super::MemoryStore::selling_twice`]).
    pub(super) sells_twice: bool,
    pub(super) owners: Table<String>,
    pub(super) accounts: Table<AccountRow>,
    pub(super) key_header: Option<String>,
    pub(super) sealed_keys: BTreeMap<String, SealedKey>,
    pub(super) leaders: Table<Leader>,
    pub(super) relationships: Table<RelationshipRow>,
    pub(super) holds: Table<HoldRow>,
    pub(super) cursors: HashMap<Source, i64>,
    /// Canonical headers by height.
    pub(super) headers: BTreeMap<i64, BlockHeader>,
    pub(super) fills: BTreeMap<(Hash, i64), FillRow>,
    pub(super) fills_of_order: HashMap<OrderId, BTreeSet<(Hash, i64)>>,
    pub(super) redemptions: BTreeMap<(Hash, i64), RedemptionRow>,
    pub(super) groups: BTreeMap<GroupKey, TradeGroup>,
    pub(super) factors: BTreeMap<(LeaderId, TokenId, i64), ExitFactor>,
    pub(super) revisits: BTreeMap<(RelationshipId, TokenId), RevisitRow>,
    /// Buys left to a sync, in the order they were noted; whether it is decided.
    pub(super) missed: Vec<(MissedNote, bool)>,
    pub(super) parts: Table<StoredPart>,
    pub(super) part_keys: BTreeMap<(GroupKey, u32), i64>,
    pub(super) decisions: Table<DecisionRecord>,
    pub(super) decision_keys: BTreeMap<(GroupKey, u32, RelationshipId), i64>,
    /// Skips among the decisions up to this one are summed.
    pub(super) skips_summed: i64,
    pub(super) skip_sums: BTreeMap<SkipSumKey, SkipSum>,
    /// What parts gave up to the sums.
    pub(super) summed_of_parts: BTreeMap<(GroupKey, u32), i64>,
    pub(super) intents: Table<Intent>,
    pub(super) ends: BTreeMap<IntentId, IntentEnd>,
    pub(super) reservations: BTreeMap<IntentId, Usd>,
    /// Reservations that were given back.
    pub(super) released: i64,
    pub(super) work: BTreeMap<IntentId, Work>,
    pub(super) orders: Table<OrderRow>,
    pub(super) order_keys: HashMap<OrderId, AttemptId>,
    /// Attempts of each intent, by number.
    pub(super) attempts: BTreeMap<IntentId, Vec<AttemptId>>,
    pub(super) foreign_orders: BTreeSet<OrderId>,
    /// Each with what of it belongs to no relationship.
    pub(super) adopted: BTreeMap<OrderId, (AccountId, TokenId, Shares)>,
    pub(super) positions: BTreeMap<PositionKey, PositionRow>,
    pub(super) ledger: Table<LedgerRecord>,
    pub(super) transactions: Table<TransactionRecord>,
    pub(super) markets: BTreeMap<TokenId, Market>,
    pub(super) leases: BTreeMap<String, LeaseRow>,
    /// When it was seen to end.
    pub(super) instances: BTreeMap<InstanceId, Option<Timestamp>>,
    pub(super) tasks: BTreeMap<String, TaskRow>,
    pub(super) events: Table<Event>,
    pub(super) event_cursors: BTreeMap<String, i64>,
    pub(super) people: PeopleState,
}

/// An exit to look at again.
#[derive(Clone)]
pub(super) struct RevisitRow {
    pub(super) revisit: ExitRevisit,
    pub(super) due: Timestamp,
}

pub(super) type PositionKey = (AccountId, RelationshipId, TokenId);

#[derive(Clone)]
pub(super) struct AccountRow {
    pub(super) owner: OwnerId,
    pub(super) trading: domain::TradingAccount,
    pub(super) label: String,
    pub(super) mode: AccountMode,
    pub(super) cap: Option<Usd>,
    pub(super) removed: bool,
    pub(super) added: Timestamp,
}

#[derive(Clone)]
pub(super) struct RelationshipRow {
    pub(super) relationship: Relationship,
    /// Version n is at index n - 1.
    pub(super) policies: Vec<Policy>,
}

#[derive(Clone)]
pub(super) struct HoldRow {
    pub(super) hold: Hold,
    pub(super) lifted: bool,
    /// Whose end lifts it.
    pub(super) instance: Option<InstanceId>,
}

#[derive(Clone)]
pub(super) struct FillRow {
    pub(super) fill: StoredFill,
    pub(super) canonical: bool,
}

#[derive(Clone)]
pub(super) struct RedemptionRow {
    pub(super) redemption: StoredRedemption,
    pub(super) canonical: bool,
    pub(super) booked: bool,
}

#[derive(Clone)]
pub(super) struct PositionRow {
    pub(super) owner: OwnerId,
    pub(super) condition: ConditionId,
    pub(super) position: Position,
}

#[derive(Clone)]
pub(super) struct LeaseRow {
    /// `None` after a release.
    pub(super) holder: Option<InstanceId>,
    pub(super) until: Timestamp,
    pub(super) fence: i64,
}

/// What the work row of an intent is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkState {
    /// To be signed.
    Waiting,
    /// Its newest attempt is to be settled.
    Signed,
    /// It failed too often.
    Dead,
}

#[derive(Clone)]
pub(super) struct Work {
    pub(super) state: WorkState,
    pub(super) lane: Lane,
    pub(super) due: Timestamp,
    pub(super) holder: Option<InstanceId>,
    pub(super) until: Timestamp,
    pub(super) fence: i64,
    pub(super) failures: u32,
}

#[derive(Clone)]
pub(super) struct OrderRow {
    pub(super) signed: SignedAttempt,
    pub(super) committed_at: Timestamp,
    pub(super) state: OrderState,
    pub(super) version: i64,
    pub(super) reply: Quantity,
    pub(super) reply_estimated: bool,
    pub(super) trades: BTreeMap<String, VenueTrade>,
    pub(super) booked: Entry,
    pub(super) permits: BTreeMap<InstanceId, Permit>,
    pub(super) unseen_for: std::time::Duration,
    pub(super) looked_up_at: Option<Timestamp>,
    pub(super) doubts: u32,
    pub(super) times: StageTimes,
    /// Its canonical fills changed since the last update.
    pub(super) news: bool,
}

#[derive(Clone)]
pub(super) struct Permit {
    pub(super) fence: i64,
    pub(super) returned: bool,
}

pub(super) fn in_force(row: &HoldRow, now: Timestamp) -> bool {
    !row.lifted && row.hold.expires_at.is_none_or(|end| end > now)
}

impl State {
    pub(super) fn raise_config(&mut self) {
        self.config_version = self.config_version.saturating_add(1);
        self.committed();
    }

    /// Gives an intent's reservation back, if it has one.
    pub(super) fn release(&mut self, intent: IntentId) {
        if self.reservations.remove(&intent).is_some() {
            self.released = self.released.saturating_add(1);
        }
    }

    /// Differs after a booking and after a release.
    pub(super) fn booked_version(&self) -> i64 {
        self.released.saturating_add(self.ledger.next_key())
    }

    /// A call changed something: as in a database, one that did not is no commit.
    pub(super) fn committed(&mut self) {
        self.commits = self.commits.saturating_add(1);
    }

    pub(super) fn event(&mut self, owner: Option<OwnerId>, at: Timestamp, kind: EventKind) {
        self.events.insert(Event { owner, at, kind });
    }

    /// The relationship, if it is the owner's.
    pub(super) fn own_relationship(
        &self,
        owner: OwnerId,
        id: RelationshipId,
    ) -> StoreResult<&RelationshipRow> {
        let not_found = StoreError::NotFound { what: "relationship", id: id.0 };
        self.relationships.get(id.0).filter(|row| row.relationship.owner == owner).ok_or(not_found)
    }

    /// The account, if it is the owner's and was not removed.
    pub(super) fn own_account(&self, owner: OwnerId, id: AccountId) -> StoreResult<&AccountRow> {
        let not_found = StoreError::NotFound { what: "account", id: id.0 };
        self.accounts.get(id.0).filter(|row| row.owner == owner && !row.removed).ok_or(not_found)
    }

    pub(super) fn account(&self, id: AccountId, row: &AccountRow) -> Account {
        let cash = self.ledger.rows().filter(|row| row.account == id).map(|row| row.entry.cash).sum();
        let of_account =
            |intent: &IntentId| self.intents.get(intent.0).is_some_and(|intent| intent.account.id == id);
        let reserved =
            self.reservations.iter().filter(|(intent, _)| of_account(intent)).map(|(_, usd)| *usd).sum();
        Account {
            owner: row.owner,
            trading: row.trading.clone(),
            label: row.label.clone(),
            mode: row.mode,
            cap: row.cap,
            cash,
            reserved,
            removed: row.removed,
        }
    }

    /// Whether the user's word or a hold forbids to sign for the intent.
    pub(super) fn is_blocked(&self, intent: &Intent, now: Timestamp) -> bool {
        let active = self
            .relationships
            .get(intent.relationship.0)
            .is_some_and(|row| row.relationship.status == RelationshipStatus::Active);
        let concerned = |row: &&HoldRow| {
            let scope = match row.hold.scope {
                HoldScope::Installation => true,
                HoldScope::Account(account) => account == intent.account.id,
                HoldScope::Leader(leader) => leader == intent.leader,
                HoldScope::Relationship(relationship) => relationship == intent.relationship,
            };
            scope && in_force(row, now)
        };
        let exits = intent.lane == Lane::Exits;
        let sold_out = exits && self.holds.rows().filter(concerned).any(|row| row.hold.sells);
        let held = self.holds.rows().filter(concerned).any(|row| row.hold.stops_exits || !exits);
        held || (!active && !sold_out)
    }

    pub(super) fn attempts_of(&self, intent: IntentId) -> &[AttemptId] {
        self.attempts.get(&intent).map_or(&[], Vec::as_slice)
    }

    /// Shares that all attempts of an intent have booked, without sign.
    pub(super) fn filled(&self, intent: IntentId) -> StoreResult<Shares> {
        let mut total = Shares::ZERO;
        for attempt in self.attempts_of(intent) {
            let booked = self.orders.row("order", attempt.0)?.booked.shares;
            total = total.plus(booked).map_err(corrupt)?;
        }
        Ok(Shares(total.0.saturating_abs()))
    }

    pub(super) fn waits(&self, intent: IntentId) -> bool {
        self.work.get(&intent).is_some_and(|work| work.state == WorkState::Waiting)
    }

    /// Whether `attempt` is the newest of its intent, whose work row settles it.
    pub(super) fn is_newest(&self, intent: IntentId, attempt: AttemptId) -> bool {
        self.attempts_of(intent).last() == Some(&attempt)
    }

    fn chain_of(&self, order: OrderId) -> StoreResult<(Filled, bool)> {
        let finalized = self.cursors.get(&Source::Finalized).copied();
        let mut chain = Filled::default();
        let mut last = None;
        for key in self.fills_of_order.get(&order).into_iter().flatten() {
            let Some(row) = self.fills.get(key).filter(|row| row.canonical) else { continue };
            let fill = Quantity { shares: row.fill.shares, usd: row.fill.usd };
            chain.quantity = chain.quantity.plus(fill).map_err(corrupt)?;
            chain.fee = chain.fee.plus(row.fill.fee).map_err(corrupt)?;
            last = last.max(Some(row.fill.block));
        }
        let is_final = last.zip(finalized).is_some_and(|(last, finalized)| last <= finalized);
        Ok((chain, is_final))
    }

    fn evidence(&self, order: &OrderRow) -> StoreResult<Evidence> {
        let (chain, chain_final) = self.chain_of(order.signed.order.id)?;
        let mut evidence = Evidence {
            reply: order.reply,
            reply_estimated: order.reply_estimated,
            chain,
            chain_final,
            ..Evidence::default()
        };
        let mut confirmed = true;
        let mut alive = 0_usize;
        for trade in order.trades.values() {
            let quantity = Quantity { shares: trade.shares, usd: trade.usd };
            if trade.status == SettlementStatus::Failed {
                evidence.failed = evidence.failed.plus(quantity).map_err(corrupt)?;
                continue;
            }
            alive += 1;
            evidence.trades.quantity = evidence.trades.quantity.plus(quantity).map_err(corrupt)?;
            evidence.trades.fee = evidence.trades.fee.plus(trade.fee).map_err(corrupt)?;
            evidence.retrying |= trade.status == SettlementStatus::Retrying;
            confirmed &= trade.status == SettlementStatus::Confirmed;
        }
        evidence.trades_confirmed = alive > 0 && confirmed;
        Ok(evidence)
    }

    /// Everything known about an order.
    pub(super) fn record(&self, attempt: AttemptId) -> StoreResult<OrderRecord> {
        let order = self.orders.row("order", attempt.0)?;
        let intent = self.intents.row("intent", order.signed.intent.0)?;
        let work = self.work.get(&intent.id);
        let settles = |work: &Work| work.state == WorkState::Signed && self.is_newest(intent.id, attempt);
        let out = || order.permits.iter().filter(|(_, permit)| !permit.returned).map(|(holder, _)| holder);
        Ok(OrderRecord {
            attempt,
            number: order.signed.attempt,
            intent: intent.clone(),
            order: order.signed.order.clone(),
            amounts: order.signed.amounts,
            limit: order.signed.limit,
            timestamp: order.signed.timestamp,
            salt: order.signed.salt,
            signed_at: order.signed.signed_at,
            resend_until: order.signed.resend_until,
            state: order.state,
            version: order.version,
            fence: work.map_or(0, |work| work.fence),
            trades: order.trades.values().cloned().collect(),
            evidence: self.evidence(order)?,
            booked: order.booked,
            permits_out: out().filter(|holder| !self.has_ended(holder)).cloned().collect(),
            sender_ended_at: out().filter_map(|holder| self.ended_at(holder)).max(),
            unseen_for: order.unseen_for,
            looked_up_at: order.looked_up_at,
            doubts: order.doubts,
            times: order.times,
            open_work: work.is_some_and(settles),
        })
    }

    /// Records of attempts, in their order.
    pub(super) fn records(
        &self,
        attempts: impl IntoIterator<Item = AttemptId>,
    ) -> StoreResult<Vec<OrderRecord>> {
        attempts.into_iter().map(|attempt| self.record(attempt)).collect()
    }
}

//! What people and checks read: activity, positions, stories, and everything `verify` recomputes.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Hash, Market, Timestamp, TokenId, Usd,
    decide::Verdict,
    ids::{AccountId, IntentId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
    position::{Entry, Position},
    trade::{GroupKey, TradeGroup},
};

use super::{
    detection::{DecisionInputs, StoredFill, StoredPart},
    execution::{EndReason, Intent, LedgerCause, OrderRecord},
    following::{Account, Leader, Relationship},
    store::{Event, StoreResult},
};

/// A decision as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Its number; grows.
    pub id: i64,
    /// The group.
    pub key: GroupKey,
    /// The part's number.
    pub part: u32,
    /// For whom.
    pub relationship: RelationshipId,
    /// Whose.
    pub owner: OwnerId,
    /// Under which policy.
    pub policy_version: i64,
    /// From which numbers.
    pub inputs: DecisionInputs,
    /// The answer.
    pub verdict: Verdict,
    /// When.
    pub decided_at: Timestamp,
    /// The intent, for a copy.
    pub intent: Option<IntentId>,
}

/// A ledger row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Its number; grows.
    pub id: i64,
    /// Whose.
    pub owner: OwnerId,
    /// Which account.
    pub account: AccountId,
    /// Through which relationship, if any.
    pub relationship: Option<RelationshipId>,
    /// Which token, if any.
    pub token: Option<TokenId>,
    /// Which order's intent, if any.
    pub intent: Option<IntentId>,
    /// Why.
    pub cause: LedgerCause,
    /// How much.
    pub entry: Entry,
    /// When it was booked.
    pub at: Timestamp,
}

/// What was booked in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSum {
    /// When the span begins.
    pub at: Timestamp,
    /// Profit of what was sold or redeemed, without fees.
    pub realised: Usd,
    /// Fees.
    pub fees: Usd,
    /// Money from outside, less money to outside.
    pub deposited: Usd,
}

/// A position as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionRecord {
    /// Whose.
    pub owner: OwnerId,
    /// Which account.
    pub account: AccountId,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// Which token.
    pub token: TokenId,
    /// What.
    pub position: Position,
}

/// How an intent ended, if without (further) orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentEnd {
    /// Which.
    pub intent: IntentId,
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
}

/// What old skips are summed by. The default comes before all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkipSumKey {
    /// Number of the relationship.
    pub relationship: i64,
    /// The day they were decided ([`Timestamp::day`]).
    pub day: i64,
    /// Code of the reason ([`domain::skip::SkipReason::encode`]); its numbers are gone.
    pub reason: i64,
}

/// Skips that are not kept one by one any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkipSum {
    /// Which.
    pub key: SkipSumKey,
    /// Whose.
    pub owner: OwnerId,
    /// How many.
    pub skips: i64,
}

/// Read models. `owner: None` is the installation's own view (operator, checks); a user's command
/// passes its owner.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Decisions after a number, ascending.
    async fn decisions_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>>;

    /// Decisions before a number, newest first.
    async fn decisions_before(
        &self,
        owner: Option<OwnerId>,
        before: i64,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>>;

    /// The newest decisions of an owner, newest first.
    async fn newest_decisions(
        &self,
        owner: Option<OwnerId>,
        limit: usize,
    ) -> StoreResult<Vec<DecisionRecord>> {
        self.decisions_before(owner, i64::MAX, limit).await
    }

    /// Decisions of a group, by part and relationship.
    async fn decisions_of(&self, owner: Option<OwnerId>, key: GroupKey) -> StoreResult<Vec<DecisionRecord>>;

    /// Sums of old skips after a key, ascending.
    async fn skip_sums_after(
        &self,
        owner: Option<OwnerId>,
        after: SkipSumKey,
        limit: usize,
    ) -> StoreResult<Vec<SkipSum>>;

    /// How many skips each part of a group gave up to the sums; parts that gave up none are absent.
    async fn summed_skips_of(&self, key: GroupKey) -> StoreResult<Vec<(u32, i64)>>;

    /// How many skips the parts of each leader's groups gave up to the sums, by leader.
    async fn summed_skips(&self) -> StoreResult<Vec<(LeaderId, i64)>>;

    /// A part as stored.
    async fn part(&self, key: GroupKey, part: u32) -> StoreResult<Option<StoredPart>>;

    /// A group with its canonical fills.
    async fn group_with_fills(&self, key: GroupKey) -> StoreResult<Option<(TradeGroup, Vec<StoredFill>)>>;

    /// Groups whose transaction hash begins with these bytes, newest first, at most `limit`.
    async fn find_groups(&self, tx_prefix: &[u8], limit: usize) -> StoreResult<Vec<TradeGroup>>;

    /// Groups newest first.
    async fn newest_groups(&self, limit: usize) -> StoreResult<Vec<TradeGroup>>;

    /// A leader's groups newest first.
    async fn groups_of(&self, leader: LeaderId, limit: usize) -> StoreResult<Vec<TradeGroup>>;

    /// A policy by its version.
    async fn policy(&self, relationship: RelationshipId, version: i64) -> StoreResult<Option<Policy>>;

    /// Intents after a key, ascending.
    async fn intents_after(
        &self,
        owner: Option<OwnerId>,
        after: IntentId,
        limit: usize,
    ) -> StoreResult<Vec<Intent>>;

    /// How these intents ended; those that have not, or whose last order closed them, are absent.
    async fn ends_of(&self, intents: &[IntentId]) -> StoreResult<Vec<IntentEnd>>;

    /// All attempts of these intents, by intent and number.
    async fn attempts_of(&self, intents: &[IntentId]) -> StoreResult<Vec<OrderRecord>>;

    /// Orders whose id begins with these bytes, at most `limit`.
    async fn find_orders(
        &self,
        owner: Option<OwnerId>,
        id_prefix: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>>;

    /// Ledger rows after a number, ascending.
    async fn ledger_after(
        &self,
        owner: Option<OwnerId>,
        after: i64,
        limit: usize,
    ) -> StoreResult<Vec<LedgerRecord>>;

    /// Ledger rows of these intents, ascending.
    async fn ledger_of(&self, owner: Option<OwnerId>, intents: &[IntentId])
    -> StoreResult<Vec<LedgerRecord>>;

    /// Sums of ledger rows since a moment, for each span of time of this width in which there are any, ascending.
    async fn ledger_sums(
        &self,
        owner: Option<OwnerId>,
        since: Timestamp,
        width: Duration,
    ) -> StoreResult<Vec<LedgerSum>>;

    /// All positions.
    async fn positions(&self, owner: Option<OwnerId>) -> StoreResult<Vec<PositionRecord>>;

    /// All accounts.
    async fn accounts(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Account>>;

    /// All relationships, stopped ones included.
    async fn relationships(&self, owner: Option<OwnerId>) -> StoreResult<Vec<Relationship>>;

    /// All leaders.
    async fn leaders(&self) -> StoreResult<Vec<Leader>>;

    /// All stored markets.
    async fn all_markets(&self) -> StoreResult<Vec<Market>>;

    /// Open reservations by intent.
    async fn reservations(&self, owner: Option<OwnerId>) -> StoreResult<Vec<(IntentId, Usd)>>;

    /// Writes an event that belongs to no other change.
    async fn tell(&self, event: &Event) -> StoreResult<()>;

    /// Events after a number, ascending.
    async fn events_after(&self, after: i64, limit: usize) -> StoreResult<Vec<(i64, Event)>>;

    /// The number of the newest event; 0 where there never was one.
    async fn newest_event(&self) -> StoreResult<i64>;

    /// A subscriber's cursor in the events; 0 at first.
    async fn event_cursor(&self, subscriber: &str) -> StoreResult<i64>;

    /// Moves a subscriber's cursor forward, never back.
    async fn move_event_cursor(&self, subscriber: &str, to: i64) -> StoreResult<()>;

    /// Commit number and random mark of the installation, to notice a database that went back in time. The
    /// number grows at least with every commit 1, commit 2 and order update; the mark never changes.
    async fn commit_mark(&self) -> StoreResult<(i64, Hash)>;

    /// Looks whether the newest commit that this process knows of is still there, and learns which one is the newest by now.
    /// A database that went back in time is held then. Where one process works alone there is nothing to look at.
    async fn look_back(&self) -> StoreResult<()>;
}

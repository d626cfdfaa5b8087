//! What the watcher reads and writes: chain headers, trade groups, parts, decisions, intents.

use async_trait::async_trait;
use domain::{
    Address, ConditionId, Hash, Market, OrderId, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd,
    decide::{EntryInputs, ExitInputs, TradeSnapshot, Verdict},
    exits::{CopiedBuy, ExitFactor},
    ids::{AccountId, IntentId, LeaderId, OwnerId, RelationshipId},
    trade::{Action, GroupKey, Part, TradeGroup},
};
use serde::{Deserialize, Serialize};

use super::{
    execution::Why,
    store::{Event, Lease, StoreResult},
    venue::BlockHeader,
};

/// A canonical or orphaned `OrderFilled` log that concerns a leader or an order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFill {
    /// Hash of its block; with the log index its identity.
    pub block_hash: Hash,
    /// Position in the block.
    pub log_index: i64,
    /// Height.
    pub block: i64,
    /// Its transaction.
    pub tx: TxHash,
    /// The filled order.
    pub order: OrderId,
    /// Whose order.
    pub wallet: Address,
    /// Token.
    pub token: TokenId,
    /// Side.
    pub side: Side,
    /// Shares.
    pub shares: Shares,
    /// Dollars without fee.
    pub usd: Usd,
    /// Fee.
    pub fee: Usd,
    /// The leader's group it counts for, if it is a leader's.
    pub group: Option<GroupKey>,
}

/// A redemption by a wallet of ours, booked once its block is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRedemption {
    /// Hash of its block; with the log index its identity.
    pub block_hash: Hash,
    /// Position in the block.
    pub log_index: i64,
    /// Height.
    pub block: i64,
    /// Which account.
    pub account: AccountId,
    /// The resolved condition.
    pub condition: ConditionId,
    /// Dollars paid out.
    pub payout: Usd,
}

/// How far a source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Polygon blocks; position = height of the last block read.
    Chain,
    /// Height of the last block known to be final.
    Finalized,
    /// Data API of one leader; position = newest row's time in Unix seconds.
    History(LeaderId),
}

/// A part with the facts it was decided from, stored once for all followers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// Which part.
    pub part: Part,
    /// When it was detected.
    pub seen_at: Timestamp,
    /// What was known of trade, market and book.
    pub snapshot: TradeSnapshot,
    /// Relationships up to this id have their decisions; the next chunk begins after it.
    pub decided_through: RelationshipId,
    /// Whether every relationship has its decision.
    pub complete: bool,
}

/// The inputs of a decision that differ between followers, kept so that it can be recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionInputs {
    /// For an entry.
    Entry(EntryInputs),
    /// For an exit, and what its target was computed from.
    Exit(ExitInputs, TargetBasis),
    /// Nothing was computed (paused, held, settling, dust, not a trade, balance unknown).
    None,
}

/// What the target of an exit ([`ExitInputs::target`]) was computed from, so that it can be computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetBasis {
    /// Filled shares are sums of ledger rows up to this one; 0 when nothing was held, bought or sold, so that
    /// nothing was computed.
    pub ledger_through: i64,
    /// [`domain::exits::mark_of_basis`] of the buys and factors.
    pub mark: i64,
}

/// A decision to store. Unique per (group, part, relationship).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDecision {
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
    /// The answer. A copy makes an intent, a reservation and a work row in the same transaction.
    pub verdict: Verdict,
    /// When.
    pub decided_at: Timestamp,
    /// The intent's facts beyond the verdict; present exactly when the verdict is a copy (else `Conflict`
    /// and nothing is written).
    pub intent: Option<IntentFacts>,
}

/// What an intent needs beyond its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentFacts {
    /// What it is for.
    pub why: Why,
    /// The trading account.
    pub account: AccountId,
    /// The market, for exposure.
    pub condition: ConditionId,
    /// The leader's average price; zero for a merge or a phantom's exit, which have none.
    pub leader_price: Price,
    /// When the leader traded.
    pub traded_at: Timestamp,
    /// When we saw it.
    pub seen_at: Timestamp,
    /// Entries are not signed after this.
    pub expires_at: Option<Timestamp>,
}

/// Everything one step of the watcher wants to make true: commit 1.
#[derive(Clone, Debug, Default)]
pub struct DetectionCommit {
    /// New canonical headers, ascending.
    pub headers: Vec<BlockHeader>,
    /// Hashes of blocks that are no longer canonical; their headers, fills and redemptions no longer count,
    /// and factors of their heights are gone. Applied before everything else here.
    pub orphaned: Vec<Hash>,
    /// Source positions.
    pub cursors: Vec<(Source, i64)>,
    /// Fills seen. A fill known before (same block hash and log index) becomes canonical again. An order
    /// of ours whose canonical fills change here gets a higher version and is news to settlement
    /// ([`super::execution::Execution::unbooked_orders`]).
    pub fills: Vec<StoredFill>,
    /// Redemptions seen; same identity rule.
    pub redemptions: Vec<StoredRedemption>,
    /// Groups as they are now (insert or replace).
    pub groups: Vec<TradeGroup>,
    /// Balance factors of leaders; the newest word for a (leader, token, block) stands.
    pub factors: Vec<(LeaderId, TokenId, ExitFactor)>,
    /// Parts, new ones and progress on old ones (insert, or update of progress, which never goes back). The
    /// newest snapshot stands while nobody was decided from one (`decided_through` is 0 and it is not complete).
    pub parts: Vec<StoredPart>,
    /// Decisions; those that exist are left as they are.
    pub decisions: Vec<NewDecision>,
    /// Exits to look at again.
    pub exit_notes: Vec<ExitNote>,
    /// Exits looked at, while their version stands: to be looked at again, or settled (`None`).
    pub revisited: Vec<(ExitRevisit, Option<NextLook>)>,
    /// Buys that followers leave to a sync; one noted before is left as it is.
    pub missed: Vec<MissedNote>,
    /// Of those, buys whose sync is decided.
    pub synced: Vec<MissedNote>,
    /// Markets learned (insert or replace).
    pub markets: Vec<Market>,
    /// What happened.
    pub events: Vec<Event>,
}

impl DetectionCommit {
    /// Whether it was computed from the following: what was decided, and what was found blocked and put off.
    #[must_use]
    pub const fn rests_on_following(&self) -> bool {
        !self.decisions.is_empty() || !self.revisited.is_empty()
    }
}

/// What became of a [`DetectionCommit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectionOutcome {
    /// Done. The intents of the decisions handed in that wait for execution (due or not), in their order: the
    /// *stored* decisions, whether this call or an earlier one stored them.
    Committed(Vec<QueuedIntent>),
    /// The configuration changed since the decisions were computed; nothing was written.
    ConfigChanged,
}

/// An intent that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueuedIntent {
    /// Its key.
    pub id: IntentId,
    /// Its lane.
    pub lane: Lane,
}

/// Which queue an intent waits in. Exits go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Sells and cancels.
    Exits,
    /// Buys.
    Entries,
}

impl Lane {
    /// The lane of what copies such an action.
    #[must_use]
    pub const fn of(action: Action) -> Self {
        match action.side() {
            Side::Sell => Self::Exits,
            Side::Buy => Self::Entries,
        }
    }
}

/// What followers of a leader hold of a token, for deciding an exit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitBasis {
    /// One line per relationship (stopped ones too) that holds the token or has an intent for it with a
    /// work row, by relationship.
    pub holders: Vec<ExitHolder>,
    /// The leader's factors of the token, by block.
    pub factors: Vec<ExitFactor>,
    /// The newest ledger row (0 without one): every row up to it is counted here, and none after it.
    pub ledger_through: i64,
}

/// One follower's side of an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitHolder {
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// Shares held.
    pub held: Shares,
    /// Copied buys that filled something, by intent; one of a sync with the block that it counts from
    /// ([`Why::Target`]). A buy whose group has no block yet is later than
    /// every factor (`i64::MAX`): its block is known before the block of any later sale is decided, because
    /// the chain shows its transaction, or another that inherits it, or it becomes a phantom with the block
    /// of its time.
    pub buys: Vec<CopiedBuy>,
    /// Shares that open exit intents (those with a work row) may still sell: for each, its amount less
    /// what it filled.
    pub open_exits: Shares,
    /// A buy of the token waits to be signed or its outcome is open: more may come to be held.
    pub open_entries: bool,
}

/// What a follower holds of a token may differ from what it should hold, and no open exit answers that: it
/// is to be looked at. At most one per relationship and token; noted again, it is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitNote {
    /// Whose.
    pub owner: OwnerId,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// What is held.
    pub token: TokenId,
    /// Look then. The first note's word stands.
    pub due: Timestamp,
}

/// A note whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRevisit {
    /// Whose.
    pub owner: OwnerId,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// Following whom.
    pub leader: LeaderId,
    /// What is held.
    pub token: TokenId,
    /// How often it was looked at in vain.
    pub tries: u32,
    /// Raised by every note and every look: what was noted meanwhile is not lost.
    pub version: i64,
}

/// A buy of a leader that a follower leaves to a sync with the leader's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissedNote {
    /// Whose.
    pub owner: OwnerId,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// The buy.
    pub key: GroupKey,
}

/// When an exit is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextLook {
    /// Then.
    pub due: Timestamp,
    /// Looks in vain so far.
    pub tries: u32,
}

/// What earlier parts of a group decided for one relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedBefore {
    /// For whom.
    pub relationship: RelationshipId,
    /// Sum of the dollars (or shares) of the copies.
    pub amount: i64,
}

/// The watcher's side of the store.
#[async_trait]
pub trait Detection: Send + Sync {
    /// Position of a source; `None` before its first commit.
    async fn cursor(&self, source: Source) -> StoreResult<Option<i64>>;

    /// The newest canonical headers, ascending, at most `limit`.
    async fn headers(&self, limit: usize) -> StoreResult<Vec<BlockHeader>>;

    /// The groups with these keys, and every group of the same (leader, token, action) first seen at or
    /// after `related_since`; each once, by time first seen, then by key.
    async fn groups(&self, keys: &[GroupKey], related_since: Timestamp) -> StoreResult<Vec<TradeGroup>>;

    /// Groups of which the chain said something and whose block is at `block` or above, by time first seen,
    /// then by key: what a reorganisation from there takes back.
    async fn groups_from(&self, block: i64) -> StoreResult<Vec<TradeGroup>>;

    /// Groups in state open whose block is at or below `block`, or that have no chain quantity and were
    /// traded at or before `hinted_before` (also open ones only); by time first seen, then by key, at most
    /// `limit`.
    async fn unsettled_groups(
        &self,
        block: i64,
        hinted_before: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<TradeGroup>>;

    /// What followers hold of a leader's token: all of them, or these alone.
    async fn exit_basis(
        &self,
        leader: LeaderId,
        token: TokenId,
        only: Option<&[RelationshipId]>,
    ) -> StoreResult<ExitBasis>;

    /// The leader's newest sale or merge of the token: of these groups with parts the one with the highest
    /// block, then the one seen last.
    async fn newest_sale(&self, leader: LeaderId, token: TokenId) -> StoreResult<Option<TradeGroup>>;

    /// Exits to look at, by due time, then by relationship and token, at most `limit`.
    async fn due_revisits(&self, now: Timestamp, limit: usize) -> StoreResult<Vec<ExitRevisit>>;

    /// Buys left to a sync that is not decided, by relationship, then as they were noted, at most `limit`.
    async fn missed_buys(&self, limit: usize) -> StoreResult<Vec<MissedNote>>;

    /// Amounts that parts before `part` of a group decided, by relationship (those with none are absent).
    async fn decided_before(&self, key: GroupKey, part: u32) -> StoreResult<Vec<DecidedBefore>>;

    /// Parts that are not complete, oldest first.
    async fn incomplete_parts(&self) -> StoreResult<Vec<StoredPart>>;

    /// Stored markets of these tokens.
    async fn markets(&self, tokens: &[TokenId]) -> StoreResult<Vec<Market>>;

    /// Which of these order ids are ours.
    async fn own_orders(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>>;

    /// Commit 1. Checks the lease's fence and, when there are decisions, that the configuration is still
    /// `config_version`. [`super::store::StoreError::LeaseLost`] when fenced out.
    async fn commit_detection(
        &self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome>;
}

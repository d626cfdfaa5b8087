//! What workers and settlement read and write: intents, signed orders, permits, evidence, the ledger.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ConditionId, Hash, MarketOrderType, OrderAmounts, OrderId, Price, Shares, Side, Timestamp, TokenId,
    TradingAccount, Usd,
    ids::{AccountId, AttemptId, IntentId, LeaderId, OwnerId, RelationshipId},
    lifecycle::{Evidence, OrderAlarm, OrderState},
    position::{Entry, Position},
    trade::GroupKey,
};
use serde::{Deserialize, Serialize};

use super::{
    detection::{Lane, StoredRedemption},
    store::{InstanceId, StoreResult},
    venue::{LostOrder, PreparedOrder, VenueTrade},
};

/// A decided wish to trade. Insert-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its key.
    pub id: IntentId,
    /// Whose.
    pub owner: OwnerId,
    /// Account to trade for.
    pub account: TradingAccount,
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// Following whom.
    pub leader: LeaderId,
    /// Why.
    pub cause: IntentCause,
    /// Exits or entries.
    pub lane: Lane,
    /// What to trade.
    pub token: TokenId,
    /// In which market.
    pub condition: ConditionId,
    /// Which way.
    pub side: Side,
    /// The bound: micro-dollars to give for a buy, micro-shares for a sell.
    pub amount: i64,
    /// The worst price.
    pub limit: Price,
    /// Dollars set aside.
    pub reserve: Usd,
    /// The leader's average price.
    pub leader_price: Price,
    /// When the leader traded.
    pub traded_at: Timestamp,
    /// When we saw it.
    pub seen_at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Not signed after this (entries).
    pub expires_at: Option<Timestamp>,
}

/// What an intent comes from: a part of a trade, which is unique together with the relationship, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IntentCause {
    /// The group.
    pub key: GroupKey,
    /// The part's number.
    pub part: u32,
    /// What the part asked for.
    pub why: Why,
}

/// What an intent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// To follow a leader's trade.
    Trade,
    /// To hold what following would hold now ([`domain::downtime`]). What the leader sold up to this block is taken off
    /// already, so that exits count from there.
    Target {
        /// The block.
        through: i64,
    },
    /// To sell everything, because somebody said so.
    Panic,
}

/// An intent that waits to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingIntent {
    /// The intent.
    pub intent: Intent,
    /// Attempts signed so far; the next one has this number.
    pub attempts: u32,
    /// Of a sell: shares of earlier attempts that were filled: what is booked or what the evidence says,
    /// whichever is more, so that a fill whose booking is on its way is not sold again.
    pub filled: Shares,
    /// Of a sell: shares that are booked as held …
    pub held: Shares,
    /// … and those of them that it must leave ([`promised`](crate::open_exits::promised)).
    pub promised: Shares,
    /// How far below the best bid the relationship's policy in force lets an exit go, in basis points.
    pub slippage_to_book_bps: i64,
    /// What that policy says about what an entry does not match at once.
    pub entry_type: MarketOrderType,
}

/// When an order passed its stages; `None` until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// First byte to the venue.
    pub sent: Option<Timestamp>,
    /// First reply of the venue.
    pub replied: Option<Timestamp>,
    /// First seen filled in a block.
    pub mined: Option<Timestamp>,
    /// First seen final.
    pub confirmed: Option<Timestamp>,
}

/// One attempt to make durable before its first byte is sent: commit 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAttempt {
    /// The intent; must be waiting with exactly `attempt` attempts.
    pub intent: IntentId,
    /// Number of this attempt, from 0.
    pub attempt: u32,
    /// Identity and bytes.
    pub order: PreparedOrder,
    /// Its amounts.
    pub amounts: OrderAmounts,
    /// Its limit price.
    pub limit: Price,
    /// Its salt.
    pub salt: u64,
    /// Its hashed timestamp.
    pub timestamp: Timestamp,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The same bytes may be sent until then.
    pub resend_until: Timestamp,
}

/// What became of one attempt in commit 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOutcome {
    /// Ours: these bytes may be sent by this holder.
    Won {
        /// The attempt's key.
        attempt: AttemptId,
        /// Fence of the permit.
        fence: i64,
    },
    /// Somebody else has it, or it is closed.
    NotWaiting,
    /// The user paused or stopped the relationship, or a hold is in force; still waiting.
    Blocked,
    /// It would sell more than is held less what is promised ([`WaitingIntent::promised`]), because something
    /// was sold, signed or reversed since it was planned; still waiting.
    Exceeds,
}

/// Why an intent ends without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Too old when its turn came.
    TooOld,
    /// Paused, stopped or on hold when its turn came.
    Blocked,
    /// The order cannot be built (the market changed, the amount is below a minimum).
    Unbuildable,
    /// The last attempt is final and nothing more is to be done.
    Done,
    /// The signer refuses it: the account is not armed, or a cap would be passed.
    Unsigned,
    /// An operator gave it up.
    GivenUp,
}

/// A signed order with everything known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    /// Its key.
    pub attempt: AttemptId,
    /// Number of the attempt within its intent, from 0.
    pub number: u32,
    /// Its intent.
    pub intent: Intent,
    /// Identity and bytes.
    pub order: PreparedOrder,
    /// Its amounts.
    pub amounts: OrderAmounts,
    /// Its limit price.
    pub limit: Price,
    /// Its hashed timestamp.
    pub timestamp: Timestamp,
    /// Its salt.
    pub salt: u64,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The same bytes may be sent until then.
    pub resend_until: Timestamp,
    /// Where it is.
    pub state: OrderState,
    /// 0 when signed. Raised by one by every update, every granted permit and every commit 1 that changes
    /// its canonical fills; compared before the next update.
    pub version: i64,
    /// Fence of its work row; 0 when there is none.
    pub fence: i64,
    /// The venue's trades as far as they were told, by id.
    pub trades: Vec<VenueTrade>,
    /// What is known of fills: `trades` summed with the rest. `chain` is summed from canonical fills at reading time; `chain_final` says
    /// whether all of them are at or below the finalized height.
    pub evidence: Evidence,
    /// Sum of its ledger entries.
    pub booked: Entry,
    /// Who may still be sending it: instances with a permit that is not returned and that are not known to
    /// have ended.
    pub permits_out: Vec<InstanceId>,
    /// When the last one of those with a permit out ended, if any did: bytes it wrote may still be on
    /// their way.
    pub sender_ended_at: Option<Timestamp>,
    /// How long look-ups have been answered "no" so far.
    pub unseen_for: Duration,
    /// When it was looked up last.
    pub looked_up_at: Option<Timestamp>,
    /// How often something was told of it that was not believed ([`crate::plausible`]).
    pub doubts: u32,
    /// When it passed its stages.
    pub times: StageTimes,
    /// Whether its work row is there and settles this attempt (it is not waiting for the next one).
    pub open_work: bool,
}

/// What to change about an order, if it still has `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderUpdate {
    /// Which.
    pub attempt: AttemptId,
    /// The version it was computed from.
    pub version: i64,
    /// New state.
    pub state: OrderState,
    /// Replaces what the post's reply said was filled, when `Some`.
    pub reply: Option<domain::trade::Quantity>,
    /// Whether what is then stored as the reply was estimated ([`Evidence::reply_estimated`]).
    pub reply_estimated: bool,
    /// The venue's trades, to insert or replace by id.
    pub trades: Vec<VenueTrade>,
    /// Ids of those that are no more: the venue's list has others in their place.
    pub trades_gone: Vec<String>,
    /// A ledger entry to book, with its cause.
    pub booking: Option<(LedgerCause, Entry)>,
    /// The position the booking was computed from, where it depends on one: a sale takes its cost at the
    /// average of what is held.
    pub held: Option<Position>,
    /// Whose permit came back with a definitive reply.
    pub permit_returned: Option<InstanceId>,
    /// New `unseen_for`.
    pub unseen_for: Duration,
    /// New `looked_up_at`.
    pub looked_up_at: Option<Timestamp>,
    /// New `doubts`.
    pub doubts: u32,
    /// Stage times to note where none is stored yet; the first word stands.
    pub times: StageTimes,
    /// Give the reservation back (the order can no longer cost money beyond what is booked).
    pub release_reserve: bool,
    /// Keep it among the orders whose fills are to be booked ([`Execution::unbooked_orders`]): it is not
    /// settled, and no work row of its own will settle it.
    pub unbooked: bool,
    /// What becomes of the work row.
    pub work: WorkChange,
    /// Note the intent's exit (or the exit of what a late buy brought) to be looked at then
    /// ([`super::detection::ExitNote`]).
    pub revisit: Option<Timestamp>,
    /// For the outbox.
    pub alarms: Vec<OrderAlarm>,
    /// Now.
    pub at: Timestamp,
}

/// What becomes of an intent's work row. The row belongs to the newest attempt: updates of earlier ones
/// leave it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkChange {
    /// Look again then, leased by nobody: whoever updated the order is done with it for now. A row that
    /// was deleted is made again, with a fence above all permits.
    Due(Timestamp),
    /// Wait for the next attempt (exits), not before then, leased by nobody.
    NextAttempt(Timestamp),
    /// Nothing more to do; the row is deleted.
    Close,
}

/// Cause of a ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerCause {
    /// Money from or to outside.
    Deposit,
    /// A fill, or more of one.
    Fill,
    /// A fill that was undone.
    Reversal,
    /// Resolved shares paid out.
    Redeemed,
    /// Resolved shares that pay nothing.
    Worthless,
    /// An order that was lost when the store went back in time, and found again at the venue.
    Adopted,
}

/// One token's part of a redemption to book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedemptionPayout {
    /// The token.
    pub token: TokenId,
    /// What one share pays.
    pub payout: Price,
}

/// Workers' and settlement's side of the store.
#[async_trait]
pub trait Execution: Send + Sync {
    /// Ids that wait in a lane and are due, by due time, then by id, at most `limit`: the queue's truth.
    /// A new intent is due from `decided_at`.
    async fn waiting(&self, lane: Lane, now: Timestamp, limit: usize) -> StoreResult<Vec<IntentId>>;

    /// Takes what waits in a lane, as [`Self::waiting`] tells it, where no queue tells whose it is: it is due again only at
    /// `until`, so that no other worker signs it meanwhile.
    async fn take_waiting(
        &self,
        lane: Lane,
        due: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<IntentId>>;

    /// How many wait and are due in a lane.
    async fn count_waiting(&self, lane: Lane, now: Timestamp) -> StoreResult<usize>;

    /// How many intents have a work row: waiting, out, or settling.
    async fn count_open_work(&self) -> StoreResult<usize>;

    /// Accounts with work: of which an order waits, is under way or is not settled yet, by account.
    async fn accounts_with_work(&self) -> StoreResult<Vec<AccountId>>;

    /// Of these ids, those that still wait (due or not), in the order of the ids, with all that signing
    /// needs.
    async fn load_waiting(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>>;

    /// Commit 2, one transaction for the batch, one compare-and-set per attempt. `holder` gets a send
    /// permit and a lease of `lease` on what it wins, whose work is due when that runs out. A relationship
    /// that is not active blocks both lanes; a hold blocks entries, and exits if it says so. A sale never exceeds
    /// what is held less what is promised, those it wins earlier in the batch included. Leases and the
    /// ends of holds are judged by the store's own clock. `Conflict` when a winner's order id is known
    /// already; then nothing is written.
    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>>;

    /// Ends waiting intents without an order and gives their reservations back; an exit that ends so is noted
    /// to be looked at ([`super::detection::ExitNote`], due at once). Those no longer waiting are left alone.
    /// Returns how many ended.
    async fn end_intents(&self, ends: &[(IntentId, EndReason)], now: Timestamp) -> StoreResult<usize>;

    /// Puts waiting intents off until `due`.
    async fn put_off(&self, ids: &[IntentId], due: Timestamp) -> StoreResult<()>;

    /// Claims orders whose work is due at `now` and whose lease is free, run out (by the store's own clock)
    /// or held by `holder` already; and, due or not, orders leased by an instance that has ended. The claim
    /// raises the fence when the holder changes. By due time, then by intent, at most `limit`. Intents that
    /// wait to be signed are not among them.
    async fn claim_due(
        &self,
        holder: &InstanceId,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<OrderRecord>>;

    /// When the next order's work is due, whoever holds it; `None` without one.
    async fn next_due(&self) -> StoreResult<Option<Timestamp>>;

    /// Notes durably that `holder` is about to send the bytes of an attempt again. How long, from now on, it may still send
    /// them by the store's own clock, which has counted since commit 2: whoever signed and whoever sends again may have
    /// clocks that differ. `None` when it does not hold the attempt's work under this fence any more (taken over, given up
    /// with an update, gone, or the row of a later attempt): then it must not send.
    /// There is one permit per attempt and holder: granting a returned one takes it out again. Raises the
    /// order's version by one, so that nobody acts on a record that does not show the permit.
    async fn grant_permit(
        &self,
        attempt: AttemptId,
        holder: &InstanceId,
        fence: i64,
        now: Timestamp,
    ) -> StoreResult<Option<Duration>>;

    /// Orders by id; unknown ids are absent.
    async fn orders(&self, ids: &[OrderId]) -> StoreResult<Vec<OrderRecord>>;

    /// Orders of attempts, to read again after a lost commit: as they are once whatever was being written when this was
    /// called is written or undone.
    async fn orders_of(&self, attempts: &[(IntentId, u32)]) -> StoreResult<Vec<OrderRecord>>;

    /// Orders whose canonical fills changed since an update was last applied to them, or whose last update
    /// keeps them here, by attempt, those after `after`, at most `limit`: settlement's durable to-do list,
    /// whatever became of their work rows.
    async fn unbooked_orders(&self, after: AttemptId, limit: usize) -> StoreResult<Vec<OrderRecord>>;

    /// Applies updates in one transaction, one after the other, each only if its version and the position it
    /// was computed from ([`OrderUpdate::held`]) still stand, those before it in the batch included.
    /// Says which were applied. A reservation is given back at most once. A booking that raises the cost or
    /// takes cash while the intent has no open reservation adds exposure nobody expects, and so raises
    /// `config_version`.
    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>>;

    /// Canonical redemptions at or below the finalized height that are not booked yet, by height and log
    /// index.
    async fn unbooked_redemptions(&self, finalized: i64, limit: usize) -> StoreResult<Vec<StoredRedemption>>;

    /// Books a redemption once: every positive position of the account in these tokens at its payout, or as much of
    /// them as was paid for ([`domain::position::Redeemed`]); what differs is told.
    /// `false` when it was booked before, is not canonical or is not known.
    async fn book_redemption(
        &self,
        block_hash: Hash,
        log_index: i64,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// Accounts with orders that were posted and whose outcome is open (unknown, live, delayed), by account, at
    /// most `limit`.
    async fn open_accounts(&self, limit: usize) -> StoreResult<Vec<TradingAccount>>;

    /// Makes what is to be settled of these accounts' orders due at `now`, where nobody holds it and it is not due
    /// sooner. Returns how many.
    async fn hurry(&self, accounts: &[AccountId], now: Timestamp) -> StoreResult<usize>;

    /// Notes orders of an account that are not ours, each once for ever, with an event of the account's owner
    /// ([`super::store::EventKind::ForeignOrder`]). Returns how many are new.
    async fn note_foreign_orders(
        &self,
        orders: &[(AccountId, OrderId)],
        now: Timestamp,
    ) -> StoreResult<usize>;

    /// When the newest order of an account that is known here was signed, or, without one, when the account was added: orders
    /// that were lost are later.
    async fn known_until(&self, account: AccountId) -> StoreResult<Timestamp>;

    /// Books an order that was lost ([`domain::position::Adopted`]), once for ever: `false` when it is known or was adopted
    /// before.
    async fn adopt(&self, account: AccountId, order: &LostOrder, now: Timestamp) -> StoreResult<bool>;

    /// What was adopted of an account and belongs to no relationship, summed by token. Less than nothing where more was sold
    /// than was known to be held.
    async fn adopted_shares(&self, account: AccountId) -> StoreResult<Vec<(TokenId, Shares)>>;

    /// Tokens of which anybody holds shares, at most `limit`.
    async fn tokens_held(&self, limit: usize) -> StoreResult<Vec<TokenId>>;

    /// Tokens of a condition of which an account holds shares.
    async fn held_tokens(&self, account: AccountId, condition: ConditionId) -> StoreResult<Vec<TokenId>>;

    /// Positions of relationships in tokens, in the given order, for computing ledger entries; an empty one where there
    /// is none.
    async fn positions_of(
        &self,
        holdings: &[(AccountId, RelationshipId, TokenId)],
    ) -> StoreResult<Vec<Position>>;

    /// [`positions_of`](Self::positions_of) one.
    async fn position(
        &self,
        account: AccountId,
        relationship: RelationshipId,
        token: TokenId,
    ) -> StoreResult<Position> {
        let found = self.positions_of(&[(account, relationship, token)]).await?;
        Ok(found.first().copied().unwrap_or_default())
    }
}

//! The system of record. One implementation per database, all behind the same conformance suite
//! (`testkit::store_suite`). Every method is one transaction; the engine computes, the store keeps.

use async_trait::async_trait;
use domain::{Timestamp, ids::OwnerId};
use serde::{Deserialize, Serialize};

use super::wallets::TransactionState;
pub use super::{
    dead_letters::DeadLetters, detection::Detection, execution::Execution, following::Following,
    reports::Reports, tasks::Tasks, wallets::WalletTransactions,
};

/// A failed store call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The commit was sent but its answer was lost: it may or may not have happened. Read again on
    /// another connection before acting.
    #[error("the outcome of a commit is unknown: {0}")]
    OutcomeUnknown(String),
    /// The lease was taken over; whoever holds this must stop.
    #[error("lease `{0}` is held by somebody else")]
    LeaseLost(String),
    /// No such row of this owner.
    #[error("no {what} {id}")]
    NotFound {
        /// Kind of row.
        what: &'static str,
        /// Which.
        id: i64,
    },
    /// The call contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// A relationship would make wallets managed here copy each other in a circle.
    #[error(
        "wallets managed here would copy each other in a circle: {0}; stop one of these relationships first, or follow \
         somebody else"
    )]
    FollowingCycle(domain::cycle::Cycle),
    /// Stored data cannot be understood.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// No space left; nothing was written.
    #[error("the disk is full: {0}")]
    Full(String),
}

/// Result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// The whole system of record.
pub trait Store:
    Following + Detection + Execution + DeadLetters + WalletTransactions + Leases + Reports + Tasks
{
}
impl<T: Following + Detection + Execution + DeadLetters + WalletTransactions + Leases + Reports + Tasks> Store
    for T
{
}

/// A running copy of a role: whoever can hold a lease or a send permit. Unique for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl std::fmt::Display for InstanceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lease that was won. Its fence grows with every change of holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Who holds it.
    pub holder: InstanceId,
    /// Fencing number.
    pub fence: i64,
}

/// Leases and the lives of instances. Lease times are the store's own clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes or renews a lease: `None` while another holder's has not run out. Renewing keeps the fence,
    /// also after running out, if nobody else took it meanwhile; taking it after a release raises it.
    async fn take_lease(
        &self,
        name: &str,
        holder: &InstanceId,
        ttl: std::time::Duration,
    ) -> StoreResult<Option<Lease>>;

    /// Gives a lease back early: its fence passes no check any more. Nothing happens if it is no longer
    /// held.
    async fn release_lease(&self, lease: &Lease) -> StoreResult<()>;

    /// Whether somebody holds this lease now, and it has not run out.
    async fn is_leased(&self, name: &str) -> StoreResult<bool>;

    /// Registers a running instance, as its first signature or claim does. Again is harmless; what has ended
    /// never runs again: beginning, signing and claiming are a `Conflict` for it, and no permit is granted.
    async fn begin_instance(&self, instance: &InstanceId, now: Timestamp) -> StoreResult<()>;

    /// Records that an instance was *seen to end* (or an operator's statement). Only then do its send
    /// permits count as returned, its leases and tasks are free, and the holds that it placed for itself
    /// ([`Following::place_hold_of`]) are lifted.
    async fn end_instance(&self, instance: &InstanceId, how: &str, now: Timestamp) -> StoreResult<()> {
        self.end_instances(std::slice::from_ref(instance), how, now).await
    }

    /// [`Leases::end_instance`] of several at once.
    async fn end_instances(&self, instances: &[InstanceId], how: &str, now: Timestamp) -> StoreResult<()>;

    /// Instances that have begun and are not known to have ended.
    async fn running_instances(&self) -> StoreResult<Vec<InstanceId>>;
}

/// Something that happened, for pages, messages and metrics: written in the transaction that made it
/// true, read by each subscriber behind its own cursor. The watcher hands in what it saw with commit 1
/// (a commit repeated after an unknown outcome may write them twice); the store itself writes order and
/// following events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whose it is; `None` for the installation.
    pub owner: Option<OwnerId>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// Kinds of [`Event`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A leader's trade part was recorded.
    TradeSeen {
        /// The group.
        key: domain::trade::GroupKey,
        /// Part number.
        part: u32,
        /// Shares of the part.
        shares: domain::Shares,
    },
    /// A group of hints is not on the chain.
    Phantom {
        /// The group.
        key: domain::trade::GroupKey,
    },
    /// The chain has less than was decided.
    Overcounted {
        /// The group.
        key: domain::trade::GroupKey,
    },
    /// Providers of the chain differ in what a leader did; told once for each group.
    Disputed {
        /// The group.
        key: domain::trade::GroupKey,
        /// What they differ in.
        about: domain::trade::Dispute,
        /// Who says what.
        words: String,
    },
    /// An update changed the state of an order (signing alone writes none).
    OrderChanged {
        /// The order.
        order: domain::OrderId,
        /// Its new state.
        state: domain::lifecycle::OrderState,
    },
    /// Something about an order that a person must know.
    OrderAlarm {
        /// The order.
        order: domain::OrderId,
        /// What.
        alarm: domain::lifecycle::OrderAlarm,
    },
    /// An account has an order at the venue that was not placed by this installation.
    ForeignOrder {
        /// Whose.
        account: domain::ids::AccountId,
        /// The order.
        order: domain::OrderId,
    },
    /// A transaction of a wallet ended, or is still open after a long time.
    WalletTransaction {
        /// Which.
        transaction: domain::ids::TransactionId,
        /// Whose.
        account: domain::ids::AccountId,
        /// Where it is.
        state: TransactionState,
        /// Why, where that is to be told.
        reason: String,
    },
    /// A redemption paid something else than what the books say is held: less was booked, or more is unknown.
    PayoutDiffers {
        /// Whose.
        account: domain::ids::AccountId,
        /// Of which condition.
        condition: domain::ConditionId,
        /// What the chain paid.
        paid: domain::Usd,
        /// What everything booked pays.
        due: domain::Usd,
    },
    /// A periodic task failed; it is tried again.
    TaskFailed {
        /// Its name.
        task: String,
        /// How often, since it last succeeded.
        failures: u32,
        /// Why.
        reason: String,
    },
    /// A source of leaders' trades shows them late.
    SourceLate {
        /// Which.
        source: crate::sources::SourceName,
        /// How late its newest trades came, in the middle.
        seconds: u64,
    },
    /// A source that was late shows trades in time again.
    SourceInTime {
        /// Which.
        source: crate::sources::SourceName,
    },
    /// Nothing of a source can be read any more: no new block, or no history of any leader.
    SourceStopped {
        /// Which.
        source: crate::sources::SourceName,
        /// For how long.
        seconds: u64,
        /// Why, in the words of what was tried last; empty where it answers and has nothing new.
        reason: String,
    },
    /// A source that had stopped is read again.
    SourceBack {
        /// Which.
        source: crate::sources::SourceName,
    },
    /// A task of the engine does not come to the end of what it does.
    TaskHangs {
        /// Which.
        task: String,
        /// How long it has been at it.
        seconds: u64,
    },
    /// A lane of the queue was emptied and what was on it still waits: it was deleted, or taken by a worker that ended or
    /// is slow. It was made again from the store.
    QueueRefilled {
        /// Which lane.
        lane: super::detection::Lane,
        /// How many ids it had.
        had: u64,
        /// How many jobs wait.
        waiting: u64,
    },
    /// A job failed too often for a reason of its own: a dead letter, which waits for an operator.
    DeadLetter {
        /// Its intent.
        intent: domain::ids::IntentId,
        /// Its lane: what an exit was to sell is held until then.
        lane: super::detection::Lane,
        /// How often.
        failures: u32,
        /// The last time.
        why: String,
    },
    /// An operator set jobs aside, put them back or gave them up.
    QueueChanged {
        /// In words.
        what: String,
    },
    /// An operator overrode something: a breaker, a flag, an alert.
    Operated {
        /// In words, with who and why.
        what: String,
    },
    /// A relationship was added or changed, or a hold was placed or lifted.
    FollowingChanged {
        /// In words.
        what: String,
    },
    /// What a newer version tells in words that this one does not know. Never written.
    Other {
        /// What is stored.
        text: String,
    },
}

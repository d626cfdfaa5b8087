//! Owners, accounts, leaders, relationships and holds.
//!
//! Every change here takes the `config_version` row exclusively and raises it, so that a pause is
//! effective the moment its call returns: commits 1 and 2 check the version and the state. A call that
//! changes nothing raises nothing.

use async_trait::async_trait;
use domain::{
    Address, ConditionId, KeyRef, Timestamp, TokenId, TradingAccount, Usd, WalletKind,
    ids::{AccountId, HoldId, LeaderId, OwnerId, RelationshipId},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

use super::store::{InstanceId, StoreResult};

/// Whether an account trades with real money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountMode {
    /// Throw-away keys and play money.
    Paper,
    /// Real money.
    Live,
}

/// A new account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Name for people.
    pub label: String,
    /// Paper or live.
    pub mode: AccountMode,
    /// The wallet that holds the money. Unique over the installation.
    pub wallet: Address,
    /// Address of the signing key.
    pub signer: Address,
    /// Kind of wallet.
    pub kind: WalletKind,
    /// The signer's name of the key.
    pub key: KeyRef,
    /// Upper bound of money at risk in the account.
    pub cap: Option<Usd>,
}

/// An account with its money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub owner: OwnerId,
    /// What is needed to trade.
    pub trading: TradingAccount,
    /// Name for people.
    pub label: String,
    /// Paper or live.
    pub mode: AccountMode,
    /// Upper bound of money at risk.
    pub cap: Option<Usd>,
    /// Sum of its ledger.
    pub cash: Usd,
    /// Sum of open reservations.
    pub reserved: Usd,
    /// Whether its user removed it: it follows nobody, and only its books are left.
    pub removed: bool,
}

/// A followed wallet, shared by all who follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its key.
    pub id: LeaderId,
    /// Its wallet.
    pub wallet: Address,
    /// Trades before this moment are never copied.
    pub baseline: Timestamp,
}

/// The user's own word on a relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationshipStatus {
    /// Copies.
    Active,
    /// Copies nothing until resumed.
    Paused,
    /// Ended.
    Stopped,
}

/// A new relationship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRelationship {
    /// The follower's account; must be the owner's.
    pub account: AccountId,
    /// Whom it follows.
    pub leader: LeaderId,
    /// How.
    pub policy: Policy,
}

/// A relationship as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    /// Its key; relationships of a leader are decided in this order.
    pub id: RelationshipId,
    /// Whose.
    pub owner: OwnerId,
    /// The follower's account.
    pub account: AccountId,
    /// Whom it follows.
    pub leader: LeaderId,
    /// The user's word.
    pub status: RelationshipStatus,
    /// The policy in force.
    pub policy: Policy,
    /// Number of that policy; earlier ones are kept, because decisions name them.
    pub policy_version: i64,
    /// Trades before this moment are not its business.
    pub since: Timestamp,
}

/// What a hold stops. It belongs to a cause and never changes the user's own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "id", rename_all = "snake_case")]
pub enum HoldScope {
    /// Everything.
    Installation,
    /// One account.
    Account(AccountId),
    /// All who follow a leader.
    Leader(LeaderId),
    /// One relationship.
    Relationship(RelationshipId),
}

/// Who or what placed a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// An open incident.
    Incident,
    /// A circuit breaker.
    Breaker,
    /// A risk rule.
    Risk,
    /// An operator.
    Operator,
    /// The database went back in time or orders are unaccounted for.
    Reconciliation,
    /// The venue refuses the account.
    Venue,
    /// What buying with real money needs is not as it should be: clock, chain, place, wallet or login.
    NotReady,
    /// What a newer version calls by a name that this one does not know. Never placed.
    NewerVersion,
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its key.
    pub id: HoldId,
    /// What it stops.
    pub scope: HoldScope,
    /// Why, typed.
    pub cause: HoldCause,
    /// Why, in words.
    pub reason: String,
    /// Whether exits stop too. Default holds stop entries only.
    pub stops_exits: bool,
    /// Whether what is held in its scope is sold meanwhile, whatever leaders do and whether its user paused or stopped.
    pub sells: bool,
    /// When it ends by itself; `None` = until lifted.
    pub expires_at: Option<Timestamp>,
}

/// Money at risk: cost of positions plus open reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// In which account.
    pub account: AccountId,
    /// In which market.
    pub condition: ConditionId,
    /// Dollars.
    pub usd: Usd,
}

/// Everything the watcher decides from, as of one `config_version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowingSnapshot {
    /// The version this is of.
    pub config_version: i64,
    /// What [`Following::booked_version`] was.
    pub booked_version: i64,
    /// Leaders with at least one relationship that is not stopped.
    pub leaders: Vec<Leader>,
    /// Relationships that are not stopped, by id.
    pub relationships: Vec<Relationship>,
    /// Their accounts.
    pub accounts: Vec<Account>,
    /// Stopped relationships that hold something, by id.
    pub left_over: Vec<Relationship>,
    /// Holds in force at the moment asked for.
    pub holds: Vec<Hold>,
    /// Money at risk, where there is any. Stopped relationships are included: they count for their account.
    pub exposures: Vec<Exposure>,
}

/// Accounts and who follows whom.
#[async_trait]
pub trait Following: Send + Sync {
    /// A new tenant.
    async fn add_owner(&self, name: &str, now: Timestamp) -> StoreResult<OwnerId>;

    /// A new account. `Conflict` when the wallet has one already, or had one that was removed.
    async fn add_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        now: Timestamp,
    ) -> StoreResult<AccountId>;

    /// The leader with this wallet, made if new; an existing one keeps its baseline.
    async fn add_leader(&self, wallet: Address, baseline: Timestamp) -> StoreResult<LeaderId>;

    /// A new relationship. `Conflict` when the account follows the leader already (and it is not stopped),
    /// `NotFound` when the account is not the owner's, `FollowingCycle` when wallets of accounts here would copy each
    /// other in a circle (relationships that are not stopped count).
    async fn add_relationship(
        &self,
        owner: OwnerId,
        relationship: &NewRelationship,
        now: Timestamp,
    ) -> StoreResult<RelationshipId>;

    /// Sets the user's word; `false` when it was so already. Stopped is for ever (`Conflict`). Whoever is
    /// resumed has its exits that wait to be looked at due at once.
    async fn set_status(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        status: RelationshipStatus,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// A new policy in force; the old one is kept.
    async fn set_policy(
        &self,
        owner: OwnerId,
        relationship: RelationshipId,
        policy: &Policy,
        now: Timestamp,
    ) -> StoreResult<()>;

    /// Places a hold, and if it sells notes everything that is held in its scope to be looked at: the installation's own (`None`), or an owner's, who holds nothing but accounts and
    /// relationships of its own. `NotFound` when what it names does not exist or is not the owner's.
    async fn place_hold(&self, owner: Option<OwnerId>, hold: &NewHold, now: Timestamp)
    -> StoreResult<HoldId>;

    /// [`Following::place_hold`] by the installation, for what an instance finds where it is: it is lifted at the latest when
    /// that one is recorded as ended. `Conflict` when it is already.
    async fn place_hold_of(
        &self,
        instance: &InstanceId,
        hold: &NewHold,
        now: Timestamp,
    ) -> StoreResult<HoldId>;

    /// [`Following::place_hold`] by the installation, unless a hold with the same scope and cause that stops as much,
    /// and sells if this one does, is in force: `None` then.
    async fn hold_once(&self, hold: &NewHold, now: Timestamp) -> StoreResult<Option<HoldId>>;

    /// Lifts a hold (what it sold stays sold), and makes the exits of its scope that wait to be looked at due at once; `false` when it
    /// was not in force, or holds something that is not the owner's (if one is named).
    async fn lift_hold(&self, owner: Option<OwnerId>, hold: HoldId, now: Timestamp) -> StoreResult<bool>;

    /// Books money that came (or, negative, went) from outside.
    async fn book_deposit(
        &self,
        owner: OwnerId,
        account: AccountId,
        usd: Usd,
        now: Timestamp,
    ) -> StoreResult<()>;

    /// Books as money from outside what an account's wallet was found to have beyond its cash (or, less than it), if its
    /// cash is still `cash`, with which it was compared; `false`, and nothing booked, when it is not: compare again.
    async fn book_difference(
        &self,
        owner: OwnerId,
        account: AccountId,
        cash: Usd,
        wallet: Usd,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// Everything the watcher needs.
    async fn following(&self, now: Timestamp) -> StoreResult<FollowingSnapshot>;

    /// The version that every change above raises.
    async fn config_version(&self) -> StoreResult<i64>;

    /// A number that differs after money was booked or a reservation was given back. While it stands,
    /// nobody's exposure or cash fell.
    async fn booked_version(&self) -> StoreResult<i64>;

    /// Accounts by their wallets, for matching chain events.
    async fn accounts_of_wallets(&self, wallets: &[Address]) -> StoreResult<Vec<Account>>;

    /// Which condition each of these tokens belongs to, as far as markets are stored.
    async fn conditions_of(&self, tokens: &[TokenId]) -> StoreResult<Vec<(TokenId, ConditionId)>>;
}

/// A hold to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// What it stops.
    pub scope: HoldScope,
    /// Why, typed.
    pub cause: HoldCause,
    /// Why, in words.
    pub reason: String,
    /// Whether exits stop too.
    pub stops_exits: bool,
    /// Whether what is held is sold; not together with stopping exits.
    pub sells: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

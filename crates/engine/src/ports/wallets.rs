//! Transactions of our own wallets: the port through which they are signed, sent and looked up, and what the store
//! keeps of them.
//!
//! A wallet has one transaction open at a time. Its bytes are stored before the first of them is sent, and until it is
//! known what became of them the same bytes are sent again: a nonce is used once, so they are carried out at most once.

use async_trait::async_trait;
use domain::{
    ConditionId, Price, Redemption, Timestamp, TokenId, TradingAccount, TxHash,
    ids::{AccountId, OwnerId, TransactionId},
};
use serde::{Deserialize, Serialize};

use super::{execution::RedemptionPayout, store::StoreResult, venue::VenueError};

/// A signed transaction of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WalletTransaction {
    /// The wallet's nonce, at its contract, at the relay hub, or of an EOA's transactions.
    pub nonce: u64,
    /// What is sent, to the byte. Only whoever prepared it reads it.
    pub body: Vec<u8>,
    /// Its hash on the chain, where that is known before somebody carries it out.
    pub tx: Option<TxHash>,
    /// What an EOA offers for it.
    pub fees: Option<Fees>,
    /// Nobody can carry it out in a block after this.
    pub expires_at: Option<Timestamp>,
}

/// What is offered for a unit of gas, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fees {
    /// At most, the tip included.
    pub most: u64,
    /// To whoever takes it into a block.
    pub tip: u64,
}

/// What sending came to. An error leaves it open, but for [`VenueError::Refused`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken, or was taken before; with the relayer's id, where a relayer takes it.
    Yes(Option<String>),
    /// Not now: another transaction of the wallet is under way, or too many were asked for.
    NotNow(String),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// Nobody knows it, and its nonce is not used.
    Unseen,
    /// It is on its way, or in a block that is not final.
    Underway,
    /// It was carried out, in a final block.
    Confirmed(TxHash),
    /// It was undone, or is not carried out any more.
    Failed(String),
    /// Another transaction has used its nonce: it is never carried out.
    Replaced,
}

/// Redeems shares of resolved markets: by the relayer, or as a transaction of an EOA.
#[async_trait]
pub trait Redeemer: Send + Sync {
    /// What a share of each outcome pays, as final blocks have it; `None` while the condition is not resolved there.
    async fn payouts(&self, condition: ConditionId) -> Result<Option<[Price; 2]>, VenueError>;

    /// Whether shares of this account are on the chain. If not, what they pay is booked without a transaction.
    fn is_on_chain(&self, _: &TradingAccount) -> bool {
        true
    }

    /// Signs the redemption of all shares of a condition; `None` when the chain shows none of these tokens.
    async fn prepare(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        tokens: &[TokenId],
    ) -> Result<Option<WalletTransaction>, VenueError>;

    /// Signs the same once more with the same nonce at a higher fee, which takes the place of what waits; `None` where
    /// others pay.
    async fn outbid(
        &self,
        account: &TradingAccount,
        redemption: Redemption,
        waiting: &WalletTransaction,
    ) -> Result<Option<WalletTransaction>, VenueError>;

    /// Sends the bytes once.
    async fn send(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
    ) -> Result<Taken, VenueError>;

    /// What became of it, by its id where the relayer gave one.
    async fn outcome(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
        relayer_id: Option<&str>,
    ) -> Result<TransactionOutcome, VenueError>;
}

/// Where a stored transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// Stored; whether anybody has it is open.
    Signed,
    /// Whoever carries it out has said so.
    Taken,
    /// Carried out, in a final block.
    Confirmed,
    /// Undone, refused, or not carried out in time.
    Failed,
    /// Its nonce went to another transaction.
    Replaced,
}

impl TransactionState {
    /// All of them; the position is the number stored.
    pub const ALL: [Self; 5] = [Self::Signed, Self::Taken, Self::Confirmed, Self::Failed, Self::Replaced];

    /// Whether it is not known yet what becomes of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Signed | Self::Taken)
    }
}

/// A transaction to store before its first byte is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTransaction {
    /// Whose.
    pub account: AccountId,
    /// What it redeems.
    pub redemption: Redemption,
    /// 0, or one more than that of the open one with the same nonce whose place it takes.
    pub attempt: u32,
    /// The bytes.
    pub transaction: WalletTransaction,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A stored transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Its key.
    pub id: TransactionId,
    /// Whose.
    pub owner: OwnerId,
    /// Whose wallet.
    pub account: TradingAccount,
    /// What it redeems.
    pub redemption: Redemption,
    /// See [`NewTransaction::attempt`].
    pub attempt: u32,
    /// The bytes.
    pub transaction: WalletTransaction,
    /// The relayer's id of it.
    pub relayer_id: Option<String>,
    /// Where it is.
    pub state: TransactionState,
    /// Why it failed, in words.
    pub reason: String,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// When it was known what became of it.
    pub ended_at: Option<Timestamp>,
}

/// The store's side.
#[async_trait]
pub trait WalletTransactions: Send + Sync {
    /// Stores a transaction. `None`, and nothing is written, while the account has an open one, unless this takes the
    /// place of the newest of them.
    async fn commit_transaction(&self, new: &NewTransaction) -> StoreResult<Option<TransactionId>>;

    /// Those of which it is not known what became of them, by account, then by attempt.
    async fn open_transactions(&self) -> StoreResult<Vec<TransactionRecord>>;

    /// Notes that an open transaction is taken. Nothing happens to others.
    async fn take_transaction(&self, id: TransactionId, relayer_id: Option<&str>) -> StoreResult<()>;

    /// Ends an open transaction, and as [`TransactionState::Replaced`] the other open ones of its account, and tells
    /// it. `false` when it was not open any more.
    async fn end_transaction(
        &self,
        id: TransactionId,
        state: TransactionState,
        reason: &str,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// Tells people that an open transaction takes long.
    async fn tell_stuck(&self, id: TransactionId, reason: &str, now: Timestamp) -> StoreResult<()>;

    /// The newest transactions, newest first.
    async fn newest_transactions(
        &self,
        owner: Option<OwnerId>,
        limit: usize,
    ) -> StoreResult<Vec<TransactionRecord>>;

    /// Books what every positive position of the account in these tokens pays, where no transaction is needed for
    /// that: nothing, or paper money. Returns how many there were.
    async fn book_payouts(
        &self,
        account: AccountId,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<usize>;
}

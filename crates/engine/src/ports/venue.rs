//! The outside world of trading: signer, chain, trade history, market data; orders are in [`super::gateway`].

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Address, Book, ConditionId, Hash, KeyRef, Market, OrderId, OrderPlan, Price, RelayPlan, Shares, Side,
    Timestamp, TokenId, TransactionPlan, TxHash, Usd, trade::Action,
};

use serde::{Deserialize, Serialize};

pub use super::gateway::{
    Acceptance, AcceptedStatus, Admission, Ask, Cancel, Cancelled, FoundOrder, LostOrder, NotCancelled,
    OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder, RejectReason,
    SettlementStatus, VenueOrder, VenueOrderStatus, VenueTrade,
};

use super::{
    detection::Lane,
    witness::{ExitClaim, Testimony},
};

/// A call to the venue, the chain or the signer that brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// No answer within the deadline.
    #[error("{what}: no answer within {after:?}")]
    Timeout {
        /// The call.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// Not reachable, or an answer of the kind 5xx.
    #[error("{what}: unavailable: {reason}")]
    Unavailable {
        /// The call.
        what: String,
        /// What was seen.
        reason: String,
    },
    /// Asked to slow down.
    #[error("{what}: asked to slow down")]
    RateLimited {
        /// The call.
        what: String,
        /// How long to wait, when told.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be understood or breaks a limit.
    #[error("{what}: bad answer: {reason}")]
    Malformed {
        /// The call.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A definite no (wrong credentials, unknown method, history pruned).
    #[error("{what}: refused: {reason}")]
    Refused {
        /// The call.
        what: String,
        /// The answer's text.
        reason: String,
    },
    /// Nobody was asked, because what was to be asked makes no sense: that is nobody's fault but its own, and another try
    /// ends likewise.
    #[error("{what}: cannot be built: {reason}")]
    Senseless {
        /// The call.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody was asked, because it may not be signed: the signer's policy, or a switch.
    #[error("{what}: not signed: {reason}")]
    NotSigned {
        /// The call.
        what: String,
        /// Who says so, and why.
        reason: String,
    },
}

impl VenueError {
    /// The call.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Timeout { what, .. }
            | Self::Unavailable { what, .. }
            | Self::RateLimited { what, .. }
            | Self::Malformed { what, .. }
            | Self::Refused { what, .. }
            | Self::Senseless { what, .. }
            | Self::NotSigned { what, .. } => what,
        }
    }
}

/// The venue's clock, by which it judges what is dated.
#[async_trait]
pub trait VenueClock: Send + Sync {
    /// The venue's time, to the second it has begun.
    async fn server_time(&self) -> Result<Timestamp, VenueError>;
}

/// Opens keys and signs. Requests are structured, never bare digests, so that the signer can keep
/// a policy of its own.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs 1 to 500 requests, answers in their order.
    async fn sign(&self, requests: &[SignRequest]) -> Vec<Result<Signature, SignerError>>;

    /// The address of a key.
    async fn address(&self, key: &KeyRef) -> Result<Address, SignerError>;
}

/// One thing to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignRequest {
    /// An order; the signer computes the digest itself (wrapped for deposit wallets).
    Order(OrderPlan),
    /// The venue's login message, to create or derive API credentials.
    ApiLogin {
        /// Key to sign with.
        key: KeyRef,
        /// Unix seconds, as in the header.
        timestamp: i64,
        /// Nonce of the credentials.
        nonce: u64,
    },
    /// A transaction that the relayer carries out for a wallet; only named actions of the venue's contracts.
    Relay(RelayPlan),
    /// A transaction that an EOA sends itself; only the same named actions.
    Transaction(TransactionPlan),
}

/// A signature: 65 bytes `r || s || v` with v 27 or 28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 65]);

/// A signature that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SignerError {
    /// No such key.
    #[error("the signer has no key `{0}`; import it or correct the account")]
    UnknownKey(KeyRef),
    /// The signer's own policy says no.
    #[error("the signer refuses: {0}")]
    Policy(String),
    /// The signer cannot be reached or broke.
    #[error("the signer failed: {0}")]
    Unavailable(String),
}

/// A block's header, as far as detection needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Height.
    pub number: i64,
    /// Its hash.
    pub hash: Hash,
    /// Hash of the block before.
    pub parent: Hash,
    /// Block time.
    pub time: Timestamp,
}

/// Reads the chain. Logs are read by whole block; a subscription is only a doorbell to read again.
#[async_trait]
pub trait ChainReader: Send + Sync {
    /// The newest header.
    async fn head(&self) -> Result<BlockHeader, VenueError>;

    /// The newest final header.
    async fn finalized(&self) -> Result<BlockHeader, VenueError>;

    /// The header at a height on the provider's canonical chain; `None` above its head.
    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError>;

    /// Every fill and redemption of one block, asked by its hash, and every movement of shares of `wallets`;
    /// an error when the provider does not have the block.
    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError>;

    /// The same of the blocks `from..=to`, for catching up below finality.
    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError>;

    /// ERC-1155 balances at the end of a block, in the order of the queries.
    /// [`VenueError::Refused`] when the provider has pruned that state.
    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError>;

    /// Waits until somebody tells that the chain has changed; for ever when nobody does. What changed is asked.
    async fn rung(&self) {
        std::future::pending().await
    }

    /// Whether a new block would be told: then the head need not be asked for all the time.
    fn would_ring(&self) -> bool {
        false
    }

    /// The same at the end of the block with this hash (and height), on whichever branch it is. A reader that
    /// cannot be asked by hash reads by height.
    async fn balances_of_block(
        &self,
        queries: &[(Address, TokenId)],
        block: i64,
        _hash: Hash,
    ) -> Result<Vec<Shares>, VenueError> {
        self.balances(queries, block).await
    }

    /// What a transaction did that nobody knows the block of: all its fills, and every movement of shares of `wallets`;
    /// nothing where nobody has it. A reader of one provider has said what it knows.
    async fn transaction_events(
        &self,
        _tx: TxHash,
        _wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        Ok(Vec::new())
    }

    /// Whether two providers say what is claimed. A reader of one provider knows nobody to ask.
    async fn witness(&self, _claim: &ExitClaim) -> Result<Testimony, VenueError> {
        Ok(Testimony::Nobody)
    }
}

/// One decoded log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEvent {
    /// Height of its block.
    pub block: i64,
    /// Hash of its block.
    pub block_hash: Hash,
    /// Position in the block; with the block hash the log's identity. One log can move several tokens.
    pub log_index: i64,
    /// Its transaction.
    pub tx: TxHash,
    /// What happened.
    pub kind: ChainEventKind,
}

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEventKind {
    /// `OrderFilled`: the order of `wallet` was filled.
    Fill(ChainFill),
    /// `PayoutRedemption`: `wallet` redeemed its shares of a resolved condition.
    Redemption {
        /// Who redeemed.
        wallet: Address,
        /// The resolved condition.
        condition: ConditionId,
        /// Dollars paid out.
        payout: Usd,
    },
    /// ERC-1155 transfer: shares of a wallet that was asked for came or went.
    Move(ChainMove),
}

/// Shares that came to a wallet or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainMove {
    /// Whose.
    pub wallet: Address,
    /// Of which token.
    pub token: TokenId,
    /// Whether they came (buy) or left (sell).
    pub side: Side,
    /// How many.
    pub shares: Shares,
    /// By whom, or with whom.
    pub with: Counterparty,
}

/// The other side of a [`ChainMove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counterparty {
    /// An exchange moved them: they belong to fills.
    Exchange,
    /// Nobody (a mint or a burn), or a contract of the venue that splits, merges, converts or redeems.
    Venue,
    /// Anybody else.
    Other,
}

/// One `OrderFilled` log, from the view of its `maker` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainFill {
    /// The filled order.
    pub order: OrderId,
    /// Whose order it was.
    pub wallet: Address,
    /// Whether the order rested on the book. The taker's log names the exchange as counterparty.
    pub maker: bool,
    /// The order's token.
    pub token: TokenId,
    /// The order's side.
    pub side: Side,
    /// Shares filled.
    pub shares: Shares,
    /// Dollars, without fee.
    pub usd: Usd,
    /// Fee charged to the order.
    pub fee: Usd,
}

/// The venue's public history of wallets (Data API).
#[async_trait]
pub trait TradeHistory: Send + Sync {
    /// What a wallet did since `since`. Each page has a deadline of its own: what came before one that did not come
    /// is told, with the gap. An error says that nothing came.
    async fn activity(&self, wallet: Address, since: Timestamp) -> Result<History, VenueError>;

    /// What a wallet holds now, for a baseline.
    async fn positions(&self, wallet: Address) -> Result<Vec<(TokenId, Shares)>, VenueError>;

    /// What a wallet holds of a token after what it did at `since`. Nothing only where the position is known to be
    /// closed: rows come late, and are missing at times.
    ///
    /// # Errors
    /// [`VenueError::Unavailable`] while that cannot be told yet.
    async fn held(&self, wallet: Address, token: TokenId, since: Timestamp) -> Result<Shares, VenueError>;
}

/// What was read of a wallet's history, as separate responses: rows are counted inside one response and never across
/// responses, because pages overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What came, the newest rows of each list first.
    pub responses: Vec<HistoryResponse>,
    /// Why older rows did not come; `None` when all are there.
    pub gap: Option<VenueError>,
}

impl History {
    /// All of a history.
    #[must_use]
    pub const fn whole(responses: Vec<HistoryResponse>) -> Self {
        Self { responses, gap: None }
    }
}

/// The rows of one HTTP response, as they came: equal rows are separate fills.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryResponse {
    /// The rows.
    pub rows: Vec<HistoryRow>,
}

/// One row of a wallet's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Whose row.
    pub wallet: Address,
    /// The transaction.
    pub tx: TxHash,
    /// The market.
    pub condition: ConditionId,
    /// When, to the second.
    pub traded_at: Timestamp,
    /// What.
    pub kind: HistoryKind,
}

/// What a history row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    /// A fill. The price is an average and rounded.
    Trade {
        /// The token.
        token: TokenId,
        /// The wallet's side.
        side: Side,
        /// Shares.
        shares: Shares,
        /// Price.
        price: Price,
    },
    /// A split, merge, conversion or redemption.
    Moved {
        /// Which: received, merged or redeemed.
        action: Action,
        /// The token; `None` when the row is about every outcome of its market.
        token: Option<TokenId>,
        /// Shares, of each token.
        shares: Shares,
    },
}

/// Rules and books of markets.
#[async_trait]
pub trait MarketData: Send + Sync {
    /// The market of a token; `None` when the venue does not know the token. The lane says whose turn it is when
    /// calls wait for the venue's limits.
    async fn market(&self, token: TokenId, lane: Lane) -> Result<Option<Market>, VenueError>;

    /// The outcome tokens of a market; none when the venue does not know it.
    async fn tokens(&self, condition: ConditionId) -> Result<Vec<TokenId>, VenueError>;

    /// The token's book; `None` when there is none.
    async fn book(&self, token: TokenId, lane: Lane) -> Result<Option<Book>, VenueError>;
}

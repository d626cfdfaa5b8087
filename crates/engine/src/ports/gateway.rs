//! The venue's side of orders: preparing, posting, looking up, cancelling, and what each answer means.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Address, ConditionId, KeyRef, OrderId, OrderPlan, Shares, Side, Timestamp, TokenId, TradingAccount,
    TxHash, Usd,
    ids::OwnerId,
    lifecycle::{BookingDelta, OrderAlarm},
};

use super::{detection::Lane, venue::VenueError};

/// An order ready to be sent: its identity and the exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedOrder {
    /// The order's EIP-712 hash.
    pub id: OrderId,
    /// The request body. What is stored, sent and sent again are these bytes.
    pub body: Vec<u8>,
}

/// Until when an order may be sent, and how long its answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostTimes {
    /// Uptime from which on none of its bytes is written.
    pub send_before: Duration,
    /// The longest wait for the answer.
    pub reply_within: Duration,
}

impl PostTimes {
    /// Whenever, for whoever has no time of its own to keep.
    #[must_use]
    pub const fn whenever(reply_within: Duration) -> Self {
        Self { send_before: Duration::MAX, reply_within }
    }
}

/// Posting, looking up and cancelling orders.
#[async_trait]
pub trait OrderGateway: Send + Sync {
    /// Takes one rate token for each order that is about to be signed and posted, exits first, owners in turn and their
    /// accounts in turn; waits up to `patience` while there is none at all. One token is good for one post. A venue without
    /// limits admits everybody.
    async fn admit(&self, asks: &[Ask], _patience: Duration) -> Vec<Admission> {
        asks.iter().map(|_| Admission::Now).collect()
    }

    /// Builds, hashes and signs orders (through the [`Signer`](super::venue::Signer) the adapter was given),
    /// answers in the order of the plans. Sends no order. May ask the venue for the account's API credentials.
    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>>;

    /// Sends the bytes once: no retry, no redirect. Whatever happens is a [`PostReply`]: [`PostReply::NotAccepted`] where
    /// the time to send was over before the first byte, however long a login or a connection took.
    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply;

    /// Sends the bytes of several orders of one account once, in one request, at most
    /// [`POST_BATCH`](crate::limits::POST_BATCH). A reply for each, in their order: what is not said of an
    /// order without doubt is unknown, and without an answer all are.
    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply>;

    /// What the venue knows of an order. Answers `Ok` only when every question was answered.
    async fn look_up(&self, account: &TradingAccount, order: &OrderQuery) -> Result<OrderLookup, VenueError>;

    /// Orders of an account that have traded since a moment, with all those trades, and its orders that are open. A venue on
    /// paper knows none that the store does not.
    async fn orders_since(
        &self,
        _: &TradingAccount,
        _since: Timestamp,
    ) -> Result<Vec<FoundOrder>, VenueError> {
        Ok(Vec::new())
    }

    /// Has the venue look again at what a wallet holds and allows: its dollars, or its shares of a token. Its copy is
    /// old after a deposit, an approval or a payout. A venue without a copy has nothing to do.
    async fn look_again(&self, _: &TradingAccount, _token: Option<TokenId>) -> Result<(), VenueError> {
        Ok(())
    }

    /// Whether the venue says that it trades with the place this program runs in; an error while that is not known.
    async fn trades_here(&self) -> Result<bool, VenueError> {
        let reason = "nobody is asked".to_owned();
        Err(VenueError::Unavailable { what: "region".to_owned(), reason })
    }

    /// Asks for cancellation. What the venue says of each order is advice; the outcome is learned by looking
    /// up.
    async fn cancel(&self, account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError>;
}

/// A wish to post one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose order: owners take turns, however many accounts they have.
    pub owner: OwnerId,
    /// The key's name, which tells whether anything goes to the venue.
    pub key: KeyRef,
    /// The address that signs; the venue counts by it.
    pub signer: Address,
    /// Exits have a share of every limit to themselves.
    pub lane: Lane,
}

impl Ask {
    /// For an order of this account.
    #[must_use]
    pub fn of(owner: OwnerId, account: &TradingAccount, lane: Lane) -> Self {
        Self { owner, key: account.key.clone(), signer: account.signer, lane }
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The token is taken.
    Now,
    /// No token, and none before this long from now.
    Later(Duration),
}

/// Which orders of an account to cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// These.
    Orders(Vec<OrderId>),
    /// All of them.
    All,
    /// All in one market, or of one token of it.
    Market {
        /// The market.
        condition: ConditionId,
        /// Only this token's.
        token: Option<TokenId>,
    },
}

/// What came of a cancellation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Cancelled now.
    pub cancelled: Vec<OrderId>,
    /// Not cancelled, and why.
    pub kept: Vec<(OrderId, NotCancelled)>,
}

/// Why an order was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCancelled {
    /// Cancelled or matched before.
    Done,
    /// The venue does not know it, or not as ours.
    NotFound,
    /// Held back by the venue, which lets nobody cancel it meanwhile.
    Delayed,
    /// Anything else, in the venue's words.
    Other(String),
}

/// Which order to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQuery {
    /// Its id.
    pub id: OrderId,
    /// Its token, to narrow the search for trades.
    pub token: TokenId,
    /// When it was signed; no trade of it is older.
    pub signed_at: Timestamp,
    /// What waits for the answer: an exit's next attempt does.
    pub lane: Lane,
}

/// What a post came to. The strict acceptance rule and the texts are the adapter's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostReply {
    /// Taken by the venue.
    Accepted(Acceptance),
    /// Definitely not executed: nothing to match.
    Killed {
        /// The venue's words.
        text: String,
    },
    /// Definitely refused.
    Rejected {
        /// Why, typed.
        reason: RejectReason,
        /// The venue's words.
        text: String,
    },
    /// The venue knows this id already; the outcome is open.
    Duplicated,
    /// Definitely not taken now (restart, rate limit, restricted mode); the same bytes may be sent
    /// again within their deadline.
    NotAccepted {
        /// How long to wait, when told.
        retry_after: Option<Duration>,
        /// The venue's words.
        text: String,
    },
    /// Anything else: it may or may not have been taken.
    Unknown {
        /// What was seen.
        text: String,
        /// Whether the venue says that it trades with nobody where this program runs: the next orders will fare the
        /// same.
        blocked: bool,
    },
}

/// The venue's acceptance of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Its state at acceptance.
    pub status: AcceptedStatus,
    /// What the order gave so far (dollars for a buy, shares for a sell), millionths, if told.
    pub making: Option<i64>,
    /// What the order got so far, millionths, if told.
    pub taking: Option<i64>,
    /// Ids of the trades, if told.
    pub trade_ids: Vec<String>,
}

/// State of an order at acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedStatus {
    /// On the book. For a fill-and-kill order this is unresolved, not resting.
    Live,
    /// Matched, at least in part; settlement follows.
    Matched,
    /// Held back by the venue; the outcome follows.
    Delayed,
}

/// Why the venue refused an order for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Money or shares are missing, or the venue has not noticed them yet.
    Money,
    /// The venue's contracts may not move the wallet's money or shares.
    Approval,
    /// The price does not fit the market's tick.
    Tick,
    /// The amounts have more decimals than the tick allows.
    Amounts,
    /// Below the market's minimum.
    Minimum,
    /// There is no such market.
    MarketUnknown,
    /// The market takes no orders now.
    MarketClosed,
    /// The address is banned.
    Banned,
    /// The address may only sell what it holds.
    ClosedOnly,
    /// The venue does not let wallets of this kind trade (any more).
    WalletKind,
    /// The venue does not trade with this server's region.
    Region,
    /// API credentials are wrong, or our clock.
    Credentials,
    /// The signature does not fit the order, its wallet or its exchange.
    Signature,
    /// The venue takes orders of another version.
    OrderVersion,
    /// The venue could not read the order.
    Payload,
    /// The date until which the order stands.
    Expiration,
    /// A post-only order would match.
    Crosses,
    /// The order was cancelled in the exchange contract.
    CancelledOnChain,
}

impl RejectReason {
    /// In a few words, for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Money => "money or shares missing",
            Self::Approval => "approval missing",
            Self::Tick => "price off the tick",
            Self::Amounts => "amounts too fine",
            Self::Minimum => "below the minimum",
            Self::MarketUnknown => "market unknown",
            Self::MarketClosed => "market closed",
            Self::Banned => "address banned",
            Self::ClosedOnly => "closed-only mode",
            Self::WalletKind => "wallet kind not allowed",
            Self::Region => "region blocked",
            Self::Credentials => "credentials refused",
            Self::Signature => "signature refused",
            Self::OrderVersion => "order version refused",
            Self::Payload => "order unreadable",
            Self::Expiration => "expiration refused",
            Self::Crosses => "would match at once",
            Self::CancelledOnChain => "cancelled on chain",
        }
    }

    /// What is done about it, in a sentence.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Tick | Self::Amounts => {
                "The order is over. The market's rules are read anew, and an exit's next attempt is made on them."
            }
            Self::Minimum => {
                "The order is over. The market's rules are read anew; what is left of an exit stays until its leader sells \
                 again."
            }
            Self::MarketUnknown | Self::MarketClosed | Self::Payload => {
                "The order is over. The market's rules are read anew; an exit is decided again."
            }
            Self::Banned | Self::ClosedOnly | Self::WalletKind | Self::Region => {
                "The order is over. One alarm, and one hold on the account (on everything, where it is about the \
                 region), which ends by itself; no way around it is tried."
            }
            Self::Credentials => {
                "The order is over. The account logs in anew before its next call, and the message names this \
                 machine's clock; an exit is decided again."
            }
            Self::Signature => {
                "The order is over. The market's rules are read anew (it may be on another exchange); an exit is \
                 decided again."
            }
            Self::OrderVersion => {
                "The order is over. The venue's version is asked for. If it is another one than ours: one alarm says that \
                 this program is too old for the venue, and everybody is held for a while, buys by a refused buy, exits \
                 by a refused sale. Else the market's rules are read anew; an exit is decided again."
            }
            Self::Money => {
                "The order is over. The venue is asked to look at the wallet again, in case its copy of the balance is \
                 old; an exit is decided again."
            }
            Self::Approval => {
                "The order is over. The venue is asked to look at the wallet again. If the approval is missing still: \
                 one alarm, and one hold on the account's buys, which ends by itself (exits go on, because each exchange has an \
                 approval of its own); `slipstream account check` names the approval and gives it. If it is there, as if money were missing."
            }
            Self::Expiration | Self::Crosses | Self::CancelledOnChain => {
                "The order is over; an exit is decided again."
            }
        }
    }

    /// Whether it may come from rules of the market that changed since they were read. A coarser tick allows
    /// fewer decimals of amounts, which the venue may complain about first.
    #[must_use]
    pub const fn may_be_new_rules(self) -> bool {
        use RejectReason::{Amounts, MarketClosed, MarketUnknown, Minimum, Payload, Signature, Tick};
        matches!(self, Tick | Amounts | Minimum | MarketUnknown | MarketClosed | Payload | Signature)
    }

    /// Whether another attempt of an exit, on the rules of now, is likely to be taken.
    #[must_use]
    pub const fn is_cured_by_new_rules(self) -> bool {
        matches!(self, Self::Tick | Self::Amounts)
    }

    /// What a person must be told, if anything.
    #[must_use]
    pub const fn alarm(self) -> Option<OrderAlarm> {
        match self {
            Self::Approval => Some(OrderAlarm::ApprovalMissing),
            Self::Banned => Some(OrderAlarm::Banned),
            Self::ClosedOnly => Some(OrderAlarm::ClosedOnly),
            Self::WalletKind => Some(OrderAlarm::WalletKindRefused),
            Self::Region => Some(OrderAlarm::RegionBlocked),
            Self::OrderVersion => Some(OrderAlarm::OrderVersionRefused),
            _ => None,
        }
    }
}

/// What the venue answered about an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderLookup {
    /// The order itself, if the venue shows it.
    pub order: Option<VenueOrder>,
    /// Its trades. Ids are unique within the list.
    pub trades: Vec<VenueTrade>,
}

/// An order of an account, as the venue's lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundOrder {
    /// The order.
    pub id: OrderId,
    /// Its token.
    pub token: TokenId,
    /// Its side.
    pub side: Side,
    /// Whether it may trade still.
    pub is_open: bool,
    /// Its trades. Ids are unique within the list.
    pub trades: Vec<VenueTrade>,
}

/// An order of an account that the store does not know, because it has gone back in time, as the venue tells it. It is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostOrder {
    /// The order.
    pub id: OrderId,
    /// Its token.
    pub token: TokenId,
    /// Its side.
    pub side: Side,
    /// All that it came to.
    pub filled: BookingDelta,
}

/// The venue's record of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueOrder {
    /// Its status.
    pub status: VenueOrderStatus,
    /// Shares matched so far.
    pub matched: Shares,
}

/// Status of an order at the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueOrderStatus {
    /// Open.
    Live,
    /// Held back.
    Delayed,
    /// Completely matched, or a fill-and-kill order that matched in part.
    Matched,
    /// Cancelled, killed or invalidated; what matched before stays matched.
    Cancelled,
}

/// One trade of an order as the venue tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueTrade {
    /// The venue's id.
    pub id: String,
    /// Where its settlement is.
    pub status: SettlementStatus,
    /// Shares of our order in it.
    pub shares: Shares,
    /// Dollars of our order in it, without fee.
    pub usd: Usd,
    /// Our fee; estimated from the market's schedule when the venue does not tell it.
    pub fee: Usd,
    /// The transaction, once known. It can be replaced until confirmed.
    pub tx: Option<TxHash>,
}

/// Settlement of a trade. Source: docs.polymarket.com (trade statuses).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettlementStatus {
    /// Matched off chain.
    Matched,
    /// In a block.
    Mined,
    /// Final.
    Confirmed,
    /// Being sent again, perhaps with another transaction hash.
    Retrying,
    /// Will not settle; the fill is undone.
    Failed,
}

//! What the venue pushes. A feed is faster than asking and may stop at any moment: everything it tells can
//! also be asked for.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use domain::{
    Book, ConditionId, OrderId, Price, Shares, Side, TickSize, Timestamp, TokenId, TradingAccount,
    ids::AccountId,
};

use super::venue::OrderLookup;

/// How a feed is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedHealth {
    /// Sockets that are wanted.
    pub wanted: usize,
    /// Sockets that are open.
    pub open: usize,
    /// Frames received, answers to pings not counted.
    pub frames: u64,
    /// Events understood.
    pub events: u64,
    /// Events passed over, because nobody needs them or their kind is not known.
    pub passed_over: u64,
    /// Frames that could not be understood.
    pub errors: u64,
    /// Connections that were lost and attempts that failed.
    pub failures: u64,
    /// Connections that were made again.
    pub reconnects: u64,
    /// Uptime when the newest event came.
    pub newest: Option<Duration>,
}

impl FeedHealth {
    /// How old the newest event is at this moment of uptime; `None` before the first one.
    #[must_use]
    pub fn age(&self, uptime: Duration) -> Option<Duration> {
        self.newest.map(|newest| uptime.saturating_sub(newest))
    }
}

/// What a [`MarketFeed`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketNews {
    /// What was told of these tokens may have gaps: each begins anew with its next snapshot.
    Lost(Vec<TokenId>),
    /// A whole book.
    Snapshot {
        /// The token.
        token: TokenId,
        /// Its book.
        book: Book,
        /// Its price grid, if told.
        tick: Option<TickSize>,
        /// The venue's time of it.
        at: Timestamp,
    },
    /// Levels that changed, in their order.
    Changed {
        /// The token.
        token: TokenId,
        /// The changes.
        changes: Vec<LevelChange>,
        /// Best prices after them, if told.
        best: Option<BestPrices>,
        /// The venue's time of them.
        at: Timestamp,
    },
    /// A new price grid; the book under the old one is void.
    Tick {
        /// The token.
        token: TokenId,
        /// Its grid from now on.
        tick: TickSize,
    },
    /// A market takes no orders any more.
    Resolved {
        /// Which.
        condition: ConditionId,
        /// Its tokens.
        tokens: Vec<TokenId>,
    },
}

/// A level's new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange {
    /// Whose level: buyers' or sellers'.
    pub side: Side,
    /// Its price.
    pub price: Price,
    /// Shares there now; zero removes it.
    pub size: Shares,
}

/// Best prices of a token; `None` for an empty side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestPrices {
    /// Highest bid.
    pub bid: Option<Price>,
    /// Lowest ask.
    pub ask: Option<Price>,
}

/// Books as they change. One reader.
#[async_trait]
pub trait MarketFeed: Send + Sync {
    /// The tokens to tell of from now on, instead of those before.
    fn follow(&self, tokens: &BTreeSet<TokenId>);

    /// Asks for a snapshot of a token that is followed.
    fn refresh(&self, token: TokenId);

    /// The next news, in their order; waits for them. Nothing is lost when the call is given up.
    async fn next(&self) -> Vec<MarketNews>;

    /// How it is doing.
    fn health(&self) -> FeedHealth;
}

/// What an [`AccountFeed`] tells of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountNews {
    /// Whose.
    pub account: AccountId,
    /// What.
    pub what: AccountEvent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// From here on orders are told of; whatever happened before may not have been. Comes with every
    /// connection, and after a frame that could not be understood.
    Gap,
    /// Facts about an order, in the form of a look-up's answer. The list of trades may be a part of all.
    Order {
        /// Which.
        order: OrderId,
        /// The facts.
        facts: OrderLookup,
    },
}

/// What happens to the orders of accounts. One reader.
#[async_trait]
pub trait AccountFeed: Send + Sync {
    /// The accounts to tell of from now on, instead of those before.
    fn follow(&self, accounts: &[TradingAccount]);

    /// The next news, at most `limit`, in their order; waits for the first. Nothing is lost when the call is
    /// given up.
    async fn next(&self, limit: usize) -> Vec<AccountNews>;

    /// Whether an account's orders are told of at this moment, as far as anybody can know.
    fn hears(&self, account: AccountId) -> bool;

    /// How it is doing.
    fn health(&self) -> FeedHealth;
}

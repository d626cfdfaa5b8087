//! The venue's feed of everybody's trades: hints, ahead of the chain, that may stop at any moment.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::Address;

use super::{feeds::FeedHealth, venue::HistoryRow};

/// By which of its messages the feed tells of a trade. What distinguishes them is not documented, so that each is
/// counted by itself and the larger one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiveChannel {
    /// `trades`.
    Trades,
    /// `orders_matched`.
    OrdersMatched,
}

/// One message about a trade of a wallet that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTrade {
    /// Of which kind.
    pub channel: LiveChannel,
    /// What it says, in the form of the history; always a trade.
    pub row: HistoryRow,
}

/// What a [`LiveFeed`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveNews {
    /// Whatever happened before this may not have been told. Comes with every connection, and after a message that
    /// could not be understood.
    Gap,
    /// A trade. It may come twice, late, or for a transaction that never reaches the chain.
    Trade(LiveTrade),
}

/// Trades as they are matched. One reader.
#[async_trait]
pub trait LiveFeed: Send + Sync {
    /// The wallets to tell of from now on, instead of those before.
    fn follow(&self, wallets: &BTreeSet<Address>);

    /// The next news, at most `limit`, in their order; waits for the first. Nothing is lost when the call is given
    /// up.
    async fn next(&self, limit: usize) -> Vec<LiveNews>;

    /// How it is doing.
    fn health(&self) -> FeedHealth;
}

//! Paper trading: how orders that are not for the venue are built, and where what became of them is kept.
//!
//! A paper order takes the way of a real one (built, hashed, signed, stored, then posted); a simulated match on the
//! real book stands in for the venue. What was matched is stored before anybody is told, so that a look-up after a
//! restart answers as a venue does.

use async_trait::async_trait;
use domain::{OrderId, OrderPlan, Shares, Timestamp, Usd, ids::AccountId};

use super::{gateway::PreparedOrder, store::StoreResult, venue::VenueError};

/// Builds orders to the byte as they would be sent.
#[async_trait]
pub trait PaperOrders: Send + Sync {
    /// As [`OrderGateway::prepare`](super::gateway::OrderGateway::prepare), but asks the venue for nothing: throw-away
    /// keys have no account there.
    async fn prepare_on_paper(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>>;
}

/// A paper order that reached the simulated match, and what it came to. Nothing of it ever rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperMatch {
    /// The order.
    pub order: OrderId,
    /// Whose.
    pub account: AccountId,
    /// What was filled; zero when it was killed.
    pub shares: Shares,
    /// Dollars of that, without fee.
    pub usd: Usd,
    /// The venue's and the builder's fee.
    pub fee: Usd,
    /// When.
    pub at: Timestamp,
}

/// What became of paper orders: the memory of a venue that is not there.
#[async_trait]
pub trait PaperBook: Send + Sync {
    /// Keeps a match. `false`, and nothing is kept, when the order is known already.
    async fn keep_match(&self, one: &PaperMatch) -> StoreResult<bool>;

    /// What became of an order; `None` for one that never got there.
    async fn find_match(&self, order: OrderId) -> StoreResult<Option<PaperMatch>>;
}

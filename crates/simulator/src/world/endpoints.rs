//! The CLOB's endpoints as its rate limits group them.
//!
//! Source: docs.polymarket.com api-reference/rate-limits.

use serde::{Deserialize, Serialize};

/// Endpoints that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// All of the CLOB together.
    General,
    /// `POST /order`.
    PostOrder,
    /// `POST /orders`.
    PostOrders,
    /// `DELETE /order`.
    DeleteOrder,
    /// `DELETE /orders`.
    DeleteOrders,
    /// `DELETE /cancel-all`.
    CancelAll,
    /// `DELETE /cancel-market-orders`.
    CancelMarketOrders,
    /// Single orders and notifications.
    Ledger,
    /// `GET /data/orders`.
    DataOrders,
    /// `GET /data/trades`.
    DataTrades,
    /// `GET /balance-allowance`.
    BalanceAllowance,
    /// `GET /balance-allowance/update`.
    BalanceUpdate,
    /// One book, price or midpoint.
    Book,
    /// Several of them.
    Books,
    /// `GET /prices-history`.
    PricesHistory,
    /// `GET /tick-size`.
    TickSize,
    /// API keys.
    Auth,
    /// Everything else.
    Other,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Places orders.
    Order,
    /// Cancels.
    Cancel,
    /// Reads.
    Read,
    /// Logs in.
    Auth,
}

impl Group {
    /// The group of a request.
    #[must_use]
    pub fn of(method: &str, path: &str) -> Self {
        match (method, path) {
            ("POST", "/order") => Self::PostOrder,
            ("POST", "/orders") => Self::PostOrders,
            ("DELETE", "/order") => Self::DeleteOrder,
            ("DELETE", "/orders") => Self::DeleteOrders,
            ("DELETE", "/cancel-all") => Self::CancelAll,
            ("DELETE", "/cancel-market-orders") => Self::CancelMarketOrders,
            (_, "/data/orders") => Self::DataOrders,
            (_, "/data/trades") => Self::DataTrades,
            (_, "/balance-allowance") => Self::BalanceAllowance,
            (_, "/balance-allowance/update") => Self::BalanceUpdate,
            (_, "/book" | "/price" | "/midpoint" | "/spread" | "/last-trade-price") => Self::Book,
            (_, "/books" | "/prices" | "/midpoints" | "/spreads" | "/last-trades-prices") => Self::Books,
            (_, "/prices-history") => Self::PricesHistory,
            (_, "/tick-size") => Self::TickSize,
            (_, "/notifications") => Self::Ledger,
            (_, path) if path.starts_with("/data/order/") || path.starts_with("/order/") => Self::Ledger,
            (_, path) if path.starts_with("/auth/") => Self::Auth,
            _ => Self::Other,
        }
    }

    /// What its requests are for.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::PostOrder | Self::PostOrders => Class::Order,
            Self::DeleteOrder | Self::DeleteOrders | Self::CancelAll | Self::CancelMarketOrders => {
                Class::Cancel
            }
            Self::Auth => Class::Auth,
            _ => Class::Read,
        }
    }

    /// Published limits: requests in 10 s, and in 10 min where there is such a limit.
    pub(super) const fn published(self) -> [Option<u32>; 2] {
        match self {
            Self::General => [Some(9_000), None],
            Self::PostOrder | Self::DeleteOrder => [Some(5_000), Some(120_000)],
            Self::PostOrders => [Some(2_000), Some(21_000)],
            Self::DeleteOrders => [Some(2_000), Some(15_000)],
            Self::CancelAll => [Some(250), Some(6_000)],
            Self::CancelMarketOrders => [Some(1_500), Some(21_000)],
            Self::Ledger => [Some(900), None],
            Self::DataOrders | Self::DataTrades | Self::Books => [Some(500), None],
            Self::BalanceAllowance | Self::TickSize => [Some(200), None],
            Self::BalanceUpdate => [Some(50), None],
            Self::Book => [Some(1_500), None],
            Self::PricesHistory => [Some(1_000), None],
            Self::Auth => [Some(100), None],
            Self::Other => [None, None],
        }
    }
}

/// A limit of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Requests in 10 s; none = any.
    pub per_10s: Option<u32>,
    /// Requests in 10 min; none = any.
    pub per_10min: Option<u32>,
}

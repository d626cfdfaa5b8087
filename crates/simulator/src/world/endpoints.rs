//! The services' endpoints as their rate limits group them.
//!
//! Source: docs.polymarket.com api-reference/rate-limits.

use std::time::Duration;

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
    /// All of the Data API together.
    DataApi,
    /// `GET /trades` of the Data API, both versions.
    DataApiTrades,
    /// `GET /positions` of the Data API.
    DataApiPositions,
    /// `GET /closed-positions` of the Data API.
    DataApiClosed,
    /// All of Gamma together.
    Gamma,
    /// Its events.
    GammaEvents,
    /// Its markets.
    GammaMarkets,
    /// Its search.
    GammaSearch,
    /// All of the relayer together.
    Relayer,
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

    /// The group of a request to the Data API.
    #[must_use]
    pub fn of_data_api(path: &str) -> Self {
        match path.strip_prefix("/v2").unwrap_or(path) {
            "/trades" => Self::DataApiTrades,
            "/positions" => Self::DataApiPositions,
            "/closed-positions" => Self::DataApiClosed,
            _ => Self::DataApi,
        }
    }

    /// The group of a request to Gamma.
    #[must_use]
    pub fn of_gamma(path: &str) -> Self {
        if path.starts_with("/events") {
            Self::GammaEvents
        } else if path.starts_with("/markets") {
            Self::GammaMarkets
        } else if path == "/public-search" {
            Self::GammaSearch
        } else {
            Self::Gamma
        }
    }

    /// The group of all requests to its service.
    #[must_use]
    pub const fn service(self) -> Self {
        match self {
            Self::DataApi | Self::DataApiTrades | Self::DataApiPositions | Self::DataApiClosed => {
                Self::DataApi
            }
            Self::Gamma | Self::GammaEvents | Self::GammaMarkets | Self::GammaSearch => Self::Gamma,
            Self::Relayer => Self::Relayer,
            _ => Self::General,
        }
    }

    /// How long its windows are: 10 s and 10 min, the relayer's first one a minute.
    #[must_use]
    pub const fn windows(self) -> [Duration; 2] {
        let short = if matches!(self, Self::Relayer) { 60 } else { 10 };
        [Duration::from_secs(short), Duration::from_secs(600)]
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

    /// Published limits: requests in the short window, and in 10 min where there is such a limit.
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
            Self::DataApi => [Some(1_000), None],
            Self::DataApiTrades => [Some(200), None],
            Self::DataApiPositions | Self::DataApiClosed => [Some(150), None],
            Self::Gamma => [Some(4_000), None],
            Self::GammaEvents => [Some(500), None],
            Self::GammaMarkets => [Some(300), None],
            Self::GammaSearch => [Some(350), None],
            // Source: crate polyoxide-core 0.26.1.
            Self::Relayer => [Some(25), None],
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

//! The venue's rate limits as published; each number can be set otherwise.
//!
//! Sources: docs.polymarket.com/api-reference/rate-limits and trading-rate-limits, as of 2026-08.

use std::time::Duration;

use crate::limits::{KEPT_FOR_EXITS, PACED_SHARE, POSITIONS_LAG, RELAYER_WINDOW, SHORT_WINDOW};

/// What is called: the venue counts each by itself, and all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /order`.
    Post,
    /// `POST /orders`.
    PostBatch,
    /// `DELETE /order`.
    Cancel,
    /// `DELETE /orders`.
    CancelBatch,
    /// `DELETE /cancel-all`.
    CancelAll,
    /// `DELETE /cancel-market-orders`.
    CancelMarket,
    /// `GET /data/order/…`.
    Ledger,
    /// `GET /data/orders`.
    Orders,
    /// `GET /data/trades`.
    Trades,
    /// `GET /balance-allowance`.
    Balance,
    /// `GET /balance-allowance/update`.
    BalanceUpdate,
    /// `GET /book`.
    Book,
    /// `/auth/…`.
    Login,
    /// Everything else of the order book service, and all of the above together.
    Other,
    /// `GET /trades` of the Data API.
    HistoryTrades,
    /// `GET /positions` of the Data API.
    HistoryPositions,
    /// Everything else of the Data API, and all of it together.
    History,
    /// All of the relayer.
    Relayer,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Post,
        Self::PostBatch,
        Self::Cancel,
        Self::CancelBatch,
        Self::CancelAll,
        Self::CancelMarket,
        Self::Ledger,
        Self::Orders,
        Self::Trades,
        Self::Balance,
        Self::BalanceUpdate,
        Self::Book,
        Self::Login,
        Self::Other,
        Self::HistoryTrades,
        Self::HistoryPositions,
        Self::History,
        Self::Relayer,
    ];

    /// What counts every call of its service.
    pub(crate) const fn service(self) -> Self {
        match self {
            Self::HistoryTrades | Self::HistoryPositions | Self::History => Self::History,
            Self::Relayer => Self::Relayer,
            _ => Self::Other,
        }
    }

    /// How long its short window is.
    pub(crate) const fn short_window(self) -> Duration {
        match self {
            Self::Relayer => RELAYER_WINDOW,
            _ => SHORT_WINDOW,
        }
    }

    /// Whether it takes from the signer's bucket for cancels.
    #[must_use]
    pub const fn is_cancel(self) -> bool {
        matches!(self, Self::Cancel | Self::CancelBatch | Self::CancelAll | Self::CancelMarket)
    }

    /// The published limits: calls in 10 seconds (the relayer's in a minute), and in 10 minutes where there is one.
    const fn published(self) -> (u32, Option<u32>) {
        match self {
            Self::Post | Self::Cancel => (5_000, Some(120_000)),
            Self::PostBatch => (2_000, Some(21_000)),
            Self::CancelBatch => (2_000, Some(15_000)),
            Self::CancelAll => (250, Some(6_000)),
            Self::CancelMarket => (1_500, Some(21_000)),
            Self::Ledger => (900, None),
            Self::Orders | Self::Trades => (500, None),
            Self::Balance => (200, None),
            Self::BalanceUpdate => (50, None),
            Self::Book => (1_500, None),
            Self::Login => (100, None),
            Self::Other => (9_000, None),
            Self::HistoryTrades => (200, None),
            Self::HistoryPositions => (150, None),
            Self::History => (1_000, None),
            Self::Relayer => (25, None),
        }
    }
}

/// How fast one signing address may order. Cancels have a bucket of twice the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Tokens per second.
    pub per_second: u32,
    /// Tokens at once.
    pub burst: u32,
}

impl Tier {
    /// Where everybody begins.
    pub const STANDARD: Self = Self { per_second: 40, burst: 60 };

    /// The tier that the venue calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (per_second, burst) = match name.trim().to_ascii_lowercase().as_str() {
            "standard" => return Some(Self::STANDARD),
            "copper" => (60, 90),
            "bronze" => (80, 120),
            "silver" => (200, 300),
            "gold" => (400, 600),
            "platinum" => (450, 675),
            "diamond" => (525, 787),
            "elite" => (600, 900),
            _ => return None,
        };
        Some(Self { per_second, burst })
    }

    /// Its bucket for cancels.
    #[must_use]
    pub const fn of_cancels(self) -> Self {
        Self { per_second: self.per_second.saturating_mul(2), burst: self.burst.saturating_mul(2) }
    }
}

/// The limits to keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueLimits {
    /// How much of each limit is used, in per cent.
    pub share: u64,
    /// The part of each pace that only exits and cancels may use, in per cent.
    pub kept_for_exits: u64,
    /// The tier that signers are in until the venue names another.
    pub signer: Tier,
    /// Other limits than the published ones.
    pub other: Vec<(Endpoint, u32, Option<u32>)>,
    /// How long after a trade the Data API may still show the positions before it.
    pub positions_lag: Duration,
}

impl Default for VenueLimits {
    fn default() -> Self {
        Self {
            share: PACED_SHARE,
            kept_for_exits: KEPT_FOR_EXITS,
            signer: Tier::STANDARD,
            other: Vec::new(),
            positions_lag: POSITIONS_LAG,
        }
    }
}

impl VenueLimits {
    /// Calls in 10 seconds and in 10 minutes.
    #[must_use]
    pub fn of(&self, endpoint: Endpoint) -> (u32, Option<u32>) {
        let other = self.other.iter().rev().find(|(of, ..)| *of == endpoint);
        other.map_or_else(|| endpoint.published(), |(_, short, long)| (*short, *long))
    }
}

//! Limits of the simulated venue. Those of the real venue name their source.

use std::time::Duration;

use domain::Shares;

/// Events that followers of the log can still read.
pub const EVENTS_KEPT: usize = 65_536;
/// Frames that a socket can say again.
pub const FRAMES_REPLAYED: usize = 100;
/// Orders in one `POST /orders`. Source: docs.polymarket.com/resources/error-codes.
pub const MAX_ORDERS: usize = 15;
/// Orders in one `DELETE /orders`. Source: docs.polymarket.com manage-orders, official Python client.
pub const MAX_CANCELS: usize = 3_000;
/// Without a heartbeat for this long, everything of the API key is cancelled. Source: docs.polymarket.com
/// manage-orders.
pub const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(10);
/// How often the venue looks for missing heartbeats. Source: as above.
pub const HEARTBEAT_SWEEP: Duration = Duration::from_secs(5);
/// Post-only mode after a restart of the matching engine. Source: docs.polymarket.com trading/matching-engine.
pub const POST_ONLY_AFTER_RESTART: Duration = Duration::from_secs(120);
/// Answers to held orders that nobody fetched; older ones are forgotten.
pub const ANSWERS_KEPT: usize = 4_096;
/// Prices kept of each token for `/prices-history`.
pub const PRICES_KEPT: usize = 10_000;
/// A stated expiration must lie this far ahead. Source: docs.polymarket.com place-orders.
pub const MIN_EXPIRATION_AHEAD: Duration = Duration::from_secs(180);
/// An order expires this long before its stated expiration. Source: docs.polymarket.com place-orders.
pub const EXPIRES_EARLIER: Duration = Duration::from_secs(60);

// Pages of the Data API and Gamma: the largest, and the one that is sent unless told. Sources:
// docs.polymarket.com/api-reference and the official clients.

/// v1 `/trades`.
pub const TRADES_PAGE: (usize, usize) = (10_000, 100);
/// v1 `/activity` and `/positions`.
pub const ACTIVITY_PAGE: (usize, usize) = (500, 100);
/// v1 `/closed-positions`.
pub const CLOSED_POSITIONS_PAGE: (usize, usize) = (50, 10);
/// v1 `/v1/leaderboard`.
pub const LEADERBOARD_PAGE: (usize, usize) = (50, 25);
/// Holders of a token in v1, at most and unless told.
pub const HOLDERS_PAGE: usize = 20;
/// Every page of v2; more is refused.
pub const DATA_V2_PAGE: (usize, usize) = (1_000, 100);
/// Gamma.
pub const GAMMA_PAGE: (usize, usize) = (500, 20);
/// Largest offset of v1 feeds.
pub const MAX_DATA_OFFSET: usize = 10_000;
/// Largest offset of the v1 leaderboard.
pub const MAX_LEADERBOARD_OFFSET: usize = 1_000;
/// Tokens asked for at once in v2.
pub const MAX_TOKENS: usize = 50;
/// Conditions whose tokens are asked for at once in v2.
pub const MAX_CONDITIONS: usize = 10;
/// How far the v2 feed of all wallets reaches back, in seconds: this month and the one before.
pub const DATA_GLOBAL_WINDOW_S: i64 = 62 * 86_400;
/// Smallest trade that v2 lists unless told.
pub const DATA_DUST: Shares = Shares(10_000);
/// Points of a user's profit over time.
pub const PNL_POINTS: usize = 1_000;
/// Submissions that the relayer lists.
pub const RECENT_TRANSACTIONS: usize = 100;
/// Bytes of what a client may say on a websocket: a subscription of some thousand tokens.
pub const LONGEST_SUBSCRIPTION: usize = 1024 * 1024;
/// Bytes by which an oversized frame is too long for every client that has a limit.
pub const OVERSIZED_FRAME: usize = 8 * 1024 * 1024;
/// How long a session key is authorised: 180 days, less the hour of a changed clock. Source: the official clients.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(4_315 * 3_600);
/// How far an authorisation's end may be from that. A guess: only that other values are refused is documented.
pub const SESSION_TOLERANCE: Duration = Duration::from_secs(600);

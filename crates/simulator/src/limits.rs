//! Limits of the simulated venue. Those of the real venue name their source.

use std::time::Duration;

/// Events that followers of the log can still read.
pub const EVENTS_KEPT: usize = 65_536;
/// A stated expiration must lie this far ahead. Source: docs.polymarket.com place-orders.
pub const MIN_EXPIRATION_AHEAD: Duration = Duration::from_secs(180);
/// An order expires this long before its stated expiration. Source: docs.polymarket.com place-orders.
pub const EXPIRES_EARLIER: Duration = Duration::from_secs(60);

//! Limits of paper trading.

use std::time::Duration;

/// What paper orders took from a level counts this long while the level shows the size they saw: in the real book
/// nothing was taken, so after it the level is there again.
pub(crate) const TAKEN_FOR: Duration = Duration::from_secs(60);
/// Deadline of a look at the market and its book.
pub(crate) const READ_DEADLINE: Duration = Duration::from_secs(3);

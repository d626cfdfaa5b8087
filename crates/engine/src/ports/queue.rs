//! The queue: a doorbell that carries ids. Losing it loses nothing; the store is the truth.

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::IntentId;

use super::detection::{Lane, QueuedIntent};

/// At which end of a lane to put ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Served next: trades with few orders.
    Serving,
    /// Served last: trades with many.
    Far,
}

/// The queue cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is unavailable: {0}")]
pub struct QueueError(pub String);

/// Delivery of ids to workers. Popping is not claiming: the same id may be delivered twice or never.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts ids into their lanes.
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError>;

    /// Takes at most `limit` ids, exits first, entries from `end`; waits up to `wait` for the first.
    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError>;

    /// Takes at most `limit` exits; waits up to `wait` for the first.
    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError>;

    /// Ids waiting in a lane.
    async fn depth(&self, lane: Lane) -> Result<usize, QueueError>;

    /// Replaces a lane's content at once (the rescuer's rebuild).
    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError>;
}

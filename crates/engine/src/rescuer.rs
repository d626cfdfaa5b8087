//! The rescuer: the queue is a doorbell, so whatever happens to it, it is made again from the store.
//!
//! It compares a lane's length with the number of waiting intents; when they differ in two rounds it
//! rebuilds the lane at once. It never adds to a lane, so the queue does not grow by being announced again.

use std::sync::Arc;

use domain::Clock;
use tracing::{info, warn};

use crate::ports::{
    detection::Lane,
    queue::Queue,
    store::{Store, StoreResult},
};

/// Most ids put into a rebuilt lane; the rest waits in the store for the next round.
const REBUILD_LIMIT: usize = 100_000;

/// Keeps one lane's doorbell true.
pub struct Rescuer {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    lane: Lane,
    suspicious: bool,
}

impl Rescuer {
    /// A rescuer of `lane`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, lane: Lane) -> Self {
        Self { store, queue, clock, lane, suspicious: false }
    }

    /// One round. Returns how many ids were put back, if the lane was rebuilt.
    ///
    /// # Errors
    /// Store errors; a queue that cannot be reached is logged and left for the next round.
    pub async fn round(&mut self) -> StoreResult<Option<usize>> {
        let now = self.clock.now();
        let waiting = self.store.count_waiting(self.lane, now).await?;
        let depth = match self.queue.depth(self.lane).await {
            Ok(depth) => depth,
            Err(error) => {
                warn!(%error, "the queue cannot be asked for its depth");
                return Ok(None);
            }
        };
        // A difference in one round is ids on their way.
        let differs = waiting != depth;
        if !differs || !std::mem::replace(&mut self.suspicious, differs) {
            self.suspicious = differs;
            return Ok(None);
        }
        let ids = self.store.waiting(self.lane, now, REBUILD_LIMIT).await?;
        match self.queue.replace(self.lane, &ids).await {
            Ok(()) => {
                self.suspicious = false;
                info!(lane = ?self.lane, waiting, depth, "the queue had {depth} of {waiting} waiting; refilled {}", ids.len());
                Ok(Some(ids.len()))
            }
            Err(error) => {
                warn!(%error, "the queue cannot be refilled");
                Ok(None)
            }
        }
    }
}

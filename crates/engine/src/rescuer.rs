//! The rescuer: the queue is a doorbell, so whatever happens to it, it is made again from the store.
//!
//! It compares a lane's length with the number of waiting intents; when they differ in two rounds it
//! rebuilds the lane at once. It never adds to a lane, so the queue does not grow by being announced again.

use std::sync::Arc;

use domain::Clock;
use tracing::{info, warn};

use crate::{
    limits::REBUILD_LIMIT,
    ports::{
        detection::Lane,
        queue::Queue,
        store::{Event, EventKind, Store, StoreResult},
    },
};

/// Keeps one lane's doorbell true.
pub struct Rescuer {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    lane: Lane,
    suspicious: bool,
    /// How long it was when it was right last.
    right: usize,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescued {
    /// The lane was left as it is.
    Nothing,
    /// It was made again, with so many ids.
    Refilled(usize),
    /// The queue cannot be reached from here.
    Unreachable,
}

impl Rescuer {
    /// A rescuer of `lane`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, lane: Lane) -> Self {
        Self { store, queue, clock, lane, suspicious: false, right: 0 }
    }

    /// One round.
    ///
    /// # Errors
    /// Store errors; a queue that cannot be reached is logged and left for the next round.
    pub async fn round(&mut self) -> StoreResult<Rescued> {
        let now = self.clock.now();
        let waiting = self.store.count_waiting(self.lane, now).await?;
        let depth = match self.queue.depth(self.lane).await {
            Ok(depth) => depth,
            Err(error) => {
                warn!(%error, "the queue cannot be asked for its depth");
                return Ok(Rescued::Unreachable);
            }
        };
        // A difference in one round is ids on their way.
        let differs = differs(waiting, depth);
        if !differs {
            self.right = depth;
        }
        if !differs || !std::mem::replace(&mut self.suspicious, differs) {
            self.suspicious = differs;
            return Ok(Rescued::Nothing);
        }
        let ids = self.store.waiting(self.lane, now, REBUILD_LIMIT).await?;
        match self.queue.replace(self.lane, &ids).await {
            Ok(()) => {
                self.suspicious = false;
                self.tell(waiting, depth).await;
                info!(lane = ?self.lane, waiting, depth, "the queue had {depth} of {waiting} waiting; refilled {}", ids.len());
                Ok(Rescued::Refilled(ids.len()))
            }
            Err(error) => {
                warn!(%error, "the queue cannot be refilled");
                Ok(Rescued::Unreachable)
            }
        }
    }

    /// A lane that is empty although as many wait as it had was not worked off. It was deleted, which is for the timeline,
    /// because whoever did it may believe that nothing waits; or a worker took all and ended, or is slow, which looks the
    /// same. What comes due again is no such thing.
    async fn tell(&mut self, waiting: usize, depth: usize) {
        let had = std::mem::take(&mut self.right);
        if depth > 0 || had == 0 || waiting < had {
            return;
        }
        let (had, waiting) = (had as u64, waiting as u64);
        let kind = EventKind::QueueRefilled { lane: self.lane, had, waiting };
        let event = Event { owner: None, at: self.clock.now(), kind };
        if let Err(error) = self.store.tell(&event).await {
            warn!(%error, "that the queue was refilled is in this log alone");
        }
    }
}

/// Whether a lane is not what it should be. One with more to come than it takes is not made again until it is half
/// empty: its ids are on their way all the time.
const fn differs(waiting: usize, depth: usize) -> bool {
    if waiting > REBUILD_LIMIT { depth < REBUILD_LIMIT / 2 || depth > waiting } else { waiting != depth }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full lane was made again every other round while more waited than it takes.
    #[test]
    fn a_lane_at_its_limit_is_left_until_it_is_half_empty() {
        assert!(!differs(5, 5) && differs(5, 4) && differs(0, 1));
        assert!(!differs(REBUILD_LIMIT, REBUILD_LIMIT) && differs(REBUILD_LIMIT, REBUILD_LIMIT - 1));
        let many = 3 * REBUILD_LIMIT;
        for (depth, wrong) in [
            (0, true),
            (REBUILD_LIMIT / 2 - 1, true),
            (REBUILD_LIMIT / 2, false),
            (REBUILD_LIMIT, false),
            (many, false),
            (many + 1, true),
        ] {
            assert_eq!(differs(many, depth), wrong, "{depth} of {many}");
        }
    }
}

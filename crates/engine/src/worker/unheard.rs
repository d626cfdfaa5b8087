//! Work that no queue told of. A server of queues that is full, or that forbids what fills a list, answers whoever takes
//! from it that nothing waits, as one does that is empty and well.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::warn;

use super::Worker;
use crate::{limits, ports::store::StoreResult};

/// When the workers of a process look into the store next although the queue works: for entries and exits, and for exits
/// alone. One looks at a time: each look asks the database.
#[derive(Debug, Default)]
pub struct Unheard {
    next: Mutex<[Duration; 2]>,
}

impl Unheard {
    fn next(&self) -> MutexGuard<'_, [Duration; 2]> {
        // Nothing under the lock can panic half-way.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this worker's to look now.
    fn take(&self, exits_only: bool, uptime: Duration) -> bool {
        let mut next = self.next();
        let next = &mut next[usize::from(exits_only)];
        let due = uptime >= *next;
        if due {
            *next = uptime.saturating_add(limits::UNHEARD_EVERY);
        }
        due
    }

    /// There may be more.
    fn again(&self, exits_only: bool) {
        self.next()[usize::from(exits_only)] = Duration::ZERO;
    }
}

impl Worker {
    /// After the queue had nothing: executes what has been waiting for longer than any queue takes to tell. Returns how
    /// many orders were sent.
    pub(super) async fn execute_unheard(&self) -> StoreResult<usize> {
        let Some(unheard) = &self.batches.unheard else { return Ok(0) };
        let exits_only = self.batches.exits_only();
        if !unheard.take(exits_only, self.clock.uptime()) {
            return Ok(0);
        }
        let ids = self.take_from_store(self.clock.now().minus(limits::UNHEARD_AFTER)).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        warn!(
            jobs = ids.len(),
            "the queue has nothing, and {} jobs wait; taking them from the store",
            ids.len()
        );
        let sent = self.execute(&ids).await?;
        unheard.again(exits_only);
        Ok(sent)
    }
}

//! The queue in memory: two lanes, lost with the process that holds it or whenever a test says so.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, ids::IntentId};
use engine::{
    deadline::within,
    ports::{
        detection::{Lane, QueuedIntent},
        queue::{End, Queue, QueueError},
    },
};

/// A queue for simulations.
pub struct Doorbell {
    clock: Arc<dyn Clock>,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    exits: VecDeque<IntentId>,
    entries: VecDeque<IntentId>,
    waiting: Vec<Waker>,
    longest: usize,
}

impl Doorbell {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, lanes: Mutex::default() })
    }

    /// Deletes everything, as an outsider would.
    pub fn delete(&self) {
        let mut lanes = self.lock();
        lanes.exits.clear();
        lanes.entries.clear();
    }

    /// The most ids that ever waited at once.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.lock().longest
    }

    /// Ids waiting now.
    #[must_use]
    pub fn len(&self) -> usize {
        let lanes = self.lock();
        lanes.exits.len() + lanes.entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<IntentId> {
        match lane {
            Lane::Exits => &mut self.exits,
            Lane::Entries => &mut self.entries,
        }
    }

    fn rung(&mut self) {
        self.longest = self.longest.max(self.exits.len() + self.entries.len());
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn take_exits(&mut self, limit: usize) -> Vec<QueuedIntent> {
        let exits = self.exits.len().min(limit);
        self.exits.drain(..exits).map(|id| QueuedIntent { id, lane: Lane::Exits }).collect()
    }

    fn take(&mut self, limit: usize, end: End) -> Vec<QueuedIntent> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let exit = self.exits.pop_front().map(|id| QueuedIntent { id, lane: Lane::Exits });
            let mut entry = || match end {
                End::Serving => self.entries.pop_front(),
                End::Far => self.entries.pop_back(),
            };
            let next = exit.or_else(|| entry().map(|id| QueuedIntent { id, lane: Lane::Entries }));
            let Some(next) = next else { break };
            taken.push(next);
        }
        taken
    }
}

#[async_trait]
impl Queue for Doorbell {
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError> {
        let mut lanes = self.lock();
        for queued in ids {
            let lane = lanes.lane(queued.lane);
            match end {
                End::Serving => lane.push_front(queued.id),
                End::Far => lane.push_back(queued.id),
            }
        }
        lanes.rung();
        Ok(())
    }

    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        let next = poll_fn(|context| {
            let mut lanes = self.lock();
            let taken = lanes.take(limit, end);
            if taken.is_empty() {
                lanes.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(taken)
        });
        Ok(within(self.clock.as_ref(), wait, pin!(next)).await.unwrap_or_default())
    }

    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        let next = poll_fn(|context| {
            let mut lanes = self.lock();
            let taken = lanes.take_exits(limit);
            if taken.is_empty() {
                lanes.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(taken)
        });
        Ok(within(self.clock.as_ref(), wait, pin!(next)).await.unwrap_or_default())
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        Ok(self.lock().lane(lane).len())
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        let mut lanes = self.lock();
        *lanes.lane(lane) = ids.iter().copied().collect();
        lanes.rung();
        Ok(())
    }
}

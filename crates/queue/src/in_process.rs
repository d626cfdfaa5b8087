//! Two lanes in memory, and the workers that wait for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use tokio::sync::Notify;

/// Most ids in one lane. What does not fit waits in the store and is announced by the rescuer.
pub const LANE_CAPACITY: usize = 100_000;

/// A queue for workers of the same process.
pub struct InProcessQueue {
    clock: Arc<dyn Clock>,
    lanes: Mutex<Lanes>,
    arrived: Notify,
}

#[derive(Default)]
struct Lanes {
    exits: VecDeque<IntentId>,
    entries: VecDeque<IntentId>,
}

impl InProcessQueue {
    /// An empty queue; waits are measured on `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lanes: Mutex::default(), arrived: Notify::new() }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // Nothing under the lock can panic half-way, and ids are no truth anyway.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self, take: impl Fn(&mut Lanes) -> Vec<QueuedIntent>) -> Vec<QueuedIntent> {
        loop {
            let arrived = self.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            // From here on an arrival wakes us, so that none is missed between looking and waiting.
            arrived.as_mut().enable();
            let taken = take(&mut self.lanes());
            if !taken.is_empty() {
                return taken;
            }
            arrived.await;
        }
    }
}

impl Lanes {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<IntentId> {
        match lane {
            Lane::Exits => &mut self.exits,
            Lane::Entries => &mut self.entries,
        }
    }

    /// Exits first, always from their serving end; entries from `end`.
    fn take(&mut self, limit: usize, end: End) -> Vec<QueuedIntent> {
        let mut taken = self.take_exits(limit);
        while taken.len() < limit {
            let id = match end {
                End::Serving => self.entries.pop_front(),
                End::Far => self.entries.pop_back(),
            };
            let Some(id) = id else { break };
            taken.push(QueuedIntent { id, lane: Lane::Entries });
        }
        taken
    }

    fn take_exits(&mut self, limit: usize) -> Vec<QueuedIntent> {
        let exits = self.exits.len().min(limit);
        self.exits.drain(..exits).map(|id| QueuedIntent { id, lane: Lane::Exits }).collect()
    }

    /// Puts ids in, in their order as seen from the serving end; how many did not fit.
    fn put(&mut self, ids: &[QueuedIntent], end: End) -> usize {
        let mut left_out = 0;
        let mut put = |queued: &QueuedIntent| {
            let lane = self.lane(queued.lane);
            if lane.len() >= LANE_CAPACITY {
                left_out += 1;
                return;
            }
            match end {
                End::Serving => lane.push_front(queued.id),
                End::Far => lane.push_back(queued.id),
            }
        };
        match end {
            End::Serving => ids.iter().rev().for_each(&mut put),
            End::Far => ids.iter().for_each(&mut put),
        }
        left_out
    }
}

#[async_trait]
impl Queue for InProcessQueue {
    async fn push(&self, ids: &[QueuedIntent], end: End) -> Result<(), QueueError> {
        let left_out = self.lanes().put(ids, end);
        self.arrived.notify_waiters();
        if left_out == 0 {
            return Ok(());
        }
        let text = format!(
            "{left_out} of {} ids do not fit into a lane of {LANE_CAPACITY}; they wait in the store",
            ids.len()
        );
        Err(QueueError(text))
    }

    async fn pop(&self, limit: usize, end: End, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        Ok(within(self.clock.as_ref(), wait, self.next(|lanes| lanes.take(limit, end)))
            .await
            .unwrap_or_default())
    }

    async fn pop_exits(&self, limit: usize, wait: Duration) -> Result<Vec<QueuedIntent>, QueueError> {
        let next = self.next(|lanes| lanes.take_exits(limit));
        Ok(within(self.clock.as_ref(), wait, next).await.unwrap_or_default())
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        Ok(self.lanes().lane(lane).len())
    }

    async fn replace(&self, lane: Lane, ids: &[IntentId]) -> Result<(), QueueError> {
        *self.lanes().lane(lane) = ids.iter().copied().take(LANE_CAPACITY).collect();
        self.arrived.notify_waiters();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn queue() -> (Arc<VirtualClock>, Arc<InProcessQueue>) {
        let clock = VirtualClock::new(Timestamp(0));
        (clock.clone(), Arc::new(InProcessQueue::new(clock)))
    }

    fn entries(ids: impl IntoIterator<Item = i64>) -> Vec<QueuedIntent> {
        ids.into_iter().map(|id| QueuedIntent { id: IntentId(id), lane: Lane::Entries }).collect()
    }

    fn exits(ids: impl IntoIterator<Item = i64>) -> Vec<QueuedIntent> {
        ids.into_iter().map(|id| QueuedIntent { id: IntentId(id), lane: Lane::Exits }).collect()
    }

    #[tokio::test]
    async fn it_keeps_what_a_queue_promises() {
        testkit::queue_suite::run_all(async || queue().1 as Arc<dyn Queue>).await;
    }

    #[tokio::test]
    async fn a_wait_ends_on_the_clock() {
        let (clock, queue) = queue();
        let mut waiting = Box::pin(queue.pop(9, End::Serving, WAIT));
        assert!(poll_once(waiting.as_mut()).await.is_none());
        clock.advance(WAIT);
        assert_eq!(waiting.await.unwrap(), []);
        // A worker that gave up takes nothing with it.
        queue.push(&entries([7]), End::Far).await.unwrap();
        assert_eq!(queue.depth(Lane::Entries).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_full_lane_says_what_it_left_out() {
        let (_, queue) = queue();
        let many = i64::try_from(LANE_CAPACITY).unwrap();
        queue.push(&entries(0..many - 1), End::Far).await.unwrap();
        let refused = queue.push(&entries([-1, -2, -3]), End::Far).await.unwrap_err();
        assert!(refused.to_string().contains("2 of 3"), "{refused}");
        assert_eq!(queue.depth(Lane::Entries).await.unwrap(), LANE_CAPACITY);
        assert_eq!(queue.pop(1, End::Far, WAIT).await.unwrap(), entries([-1]));
        queue.push(&exits([5]), End::Far).await.unwrap();
        assert_eq!(queue.depth(Lane::Exits).await.unwrap(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_workers_take_each_id_once() {
        let (_, queue) = queue();
        let worker = |queue: Arc<InProcessQueue>| async move {
            let mut taken: Vec<i64> = Vec::new();
            loop {
                let batch = queue.pop(7, End::Serving, WAIT).await.unwrap();
                let ids = batch.iter().map(|queued| queued.id.0);
                taken.extend(ids.clone().filter(|id| *id >= 0));
                if ids.clone().any(|id| id < 0) {
                    // One stop sign per worker: give back those of others.
                    let others: Vec<i64> = ids.filter(|id| *id < 0).skip(1).collect();
                    queue.push(&entries(others), End::Far).await.unwrap();
                    return taken;
                }
            }
        };
        let workers: Vec<_> = (0..4).map(|_| tokio::spawn(worker(Arc::clone(&queue)))).collect();
        for id in 0..500 {
            queue.push(&entries([id]), End::Far).await.unwrap();
        }
        queue.push(&entries([-1, -2, -3, -4]), End::Far).await.unwrap();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<_>>());
    }

    /// Polls once.
    async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}

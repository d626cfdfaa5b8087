//! A deterministic executor: one thread, tasks polled in the order they were spawned.
//!
//! It owns tasks and says when all of them wait. It knows no time and no IO: pair it with a
//! [`VirtualClock`](crate::virtual_clock::VirtualClock).

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

/// Names a task of one [`Executor`]; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(usize);

/// Runs tasks until all of them wait.
#[derive(Default)]
pub struct Executor {
    tasks: Vec<Task>,
}

struct Task {
    /// `None` when it has ended or was killed.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    ready: Arc<Ready>,
}

/// Set by wakers, from any thread.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Executor {
    /// Adds a task; it runs with the next [`run_until_stalled`](Self::run_until_stalled).
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let id = TaskId(self.tasks.len());
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        self.tasks.push(Task { future: Some(Box::pin(future)), ready });
        id
    }

    /// Polls ready tasks, round after round in the order they were spawned, until none is ready. Returns
    /// how many have not ended.
    pub fn run_until_stalled(&mut self) -> usize {
        loop {
            let mut progress = false;
            for task in &mut self.tasks {
                progress |= task.poll();
            }
            if !progress {
                return self.unfinished().len();
            }
        }
    }

    /// Polls one task once, if it is ready; says whether it was.
    pub fn poll(&mut self, id: TaskId) -> bool {
        self.tasks.get_mut(id.0).is_some_and(Task::poll)
    }

    /// Drops a task where it stands, as a crash does. Nothing happens when it has ended.
    pub fn kill(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(id.0) {
            task.future = None;
        }
    }

    /// Tasks that have not ended, in the order they were spawned.
    #[must_use]
    pub fn unfinished(&self) -> Vec<TaskId> {
        let alive = self.tasks.iter().enumerate().filter(|(_, task)| task.future.is_some());
        alive.map(|(number, _)| TaskId(number)).collect()
    }
}

impl Task {
    fn poll(&mut self) -> bool {
        let Some(future) = &mut self.future else { return false };
        if !self.ready.0.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.ready));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.future = None;
        }
        true
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread, which sleeps while the future waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// Waits once and wakes itself.
    async fn let_others_run() {
        let mut waited = false;
        std::future::poll_fn(move |context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn tasks_take_turns_in_a_fixed_order() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut executor = Executor::default();
        for name in ["a", "b"] {
            let log = Rc::clone(&log);
            executor.spawn(async move {
                for turn in 0..2 {
                    log.borrow_mut().push(format!("{name}{turn}"));
                    let_others_run().await;
                }
            });
        }
        assert_eq!(executor.run_until_stalled(), 0);
        assert_eq!(*log.borrow(), ["a0", "b0", "a1", "b1"]);
    }

    #[test]
    fn a_killed_task_drops_what_it_holds() {
        let held = Rc::new(());
        let mut executor = Executor::default();
        let inside = Rc::clone(&held);
        let task = executor.spawn(async move {
            std::future::pending::<()>().await;
            drop(inside);
        });
        assert_eq!(executor.run_until_stalled(), 1);
        assert!(!executor.poll(task));
        executor.kill(task);
        assert_eq!(Rc::strong_count(&held), 1);
        assert!(executor.unfinished().is_empty());
    }
}

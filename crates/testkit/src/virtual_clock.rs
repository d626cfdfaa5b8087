//! Time that passes only when told.
//!
//! It owns a wall clock, an uptime and the sleeping futures. It never reads the machine's clock and needs
//! no runtime: whoever polls the futures is woken when their time has come.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use domain::{Clock, Timestamp, clock::Sleep};

/// A clock for tests and simulations. Clones of the `Arc` share the time.
pub struct VirtualClock {
    state: Arc<Mutex<State>>,
}

struct State {
    wall: Timestamp,
    uptime: Duration,
    next_timer: u64,
    /// By deadline, then by age: equal deadlines fire in the order of their creation.
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualClock {
    /// A clock that stands at `now`, with no uptime.
    #[must_use]
    pub fn new(now: Timestamp) -> Arc<Self> {
        let state = State { wall: now, uptime: Duration::ZERO, next_timer: 0, timers: BTreeMap::new() };
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// Lets time pass and wakes, in the order of their deadlines, the sleeps it reaches. They see the new
    /// time, as after a pause of the whole machine; go timer by timer with
    /// [`advance_to_next_timer`](Self::advance_to_next_timer) where that matters.
    pub fn advance(&self, duration: Duration) {
        let mut state = lock(&self.state);
        state.wall = state.wall.plus(duration);
        state.uptime = state.uptime.saturating_add(duration);
        let due = state.take_due();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// Lets time pass up to the earliest deadline of the sleeps and wakes those that end there. Returns how
    /// much time passed; `None`, and no time passes, when nobody sleeps.
    pub fn advance_to_next_timer(&self) -> Option<Duration> {
        let state = lock(&self.state);
        let (deadline, _) = *state.timers.first_key_value()?.0;
        let step = deadline.saturating_sub(state.uptime);
        drop(state);
        self.advance(step);
        Some(step)
    }

    /// Moves the wall clock alone, forward or (negative) back, as a correction of the machine's time does.
    /// Sleeps and uptime know nothing of it.
    pub fn shift_wall(&self, micros: i64) {
        let mut state = lock(&self.state);
        state.wall = Timestamp(state.wall.0.saturating_add(micros));
    }

    /// A view of the same time whose wall clock is off by `micros`: the clock of another machine.
    #[must_use]
    pub fn skewed(&self, micros: i64) -> Arc<dyn Clock> {
        Arc::new(SkewedClock { clock: Self { state: Arc::clone(&self.state) }, micros })
    }

    /// Sleeps that have not ended and were not dropped.
    #[must_use]
    pub fn sleeping(&self) -> usize {
        lock(&self.state).timers.len()
    }
}

impl State {
    /// Removes the timers whose deadline is reached.
    fn take_due(&mut self) -> Vec<Waker> {
        let later = self.timers.split_off(&(self.uptime, u64::MAX));
        std::mem::replace(&mut self.timers, later).into_values().flatten().collect()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        lock(&self.state).wall
    }

    fn uptime(&self) -> Duration {
        lock(&self.state).uptime
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = lock(&self.state);
        let deadline = state.uptime.saturating_add(duration);
        let timer = (deadline, state.next_timer);
        state.next_timer = state.next_timer.saturating_add(1);
        if deadline > state.uptime {
            state.timers.insert(timer, None);
        }
        Box::pin(VirtualSleep { state: Arc::downgrade(&self.state), timer })
    }
}

struct SkewedClock {
    clock: VirtualClock,
    micros: i64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now().0.saturating_add(self.micros))
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

/// A sleep. When its clock is gone nobody can let time pass any more, and it ends.
struct VirtualSleep {
    state: Weak<Mutex<State>>,
    timer: (Duration, u64),
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(state) = self.state.upgrade() else { return Poll::Ready(()) };
        let mut state = lock(&state);
        match state.timers.get_mut(&self.timer) {
            None => Poll::Ready(()),
            Some(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            lock(&state).timers.remove(&self.timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Tasks that note their name when their sleep is over.
    fn sleepers(
        clock: &Arc<VirtualClock>,
        sleeps: &[(&'static str, u64)],
    ) -> (Executor, Arc<Mutex<Vec<String>>>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut executor = Executor::default();
        for (name, after) in sleeps.iter().copied() {
            let (clock, log) = (Arc::clone(clock), Arc::clone(&log));
            executor.spawn(async move {
                clock.sleep(seconds(after)).await;
                log.lock().unwrap().push(format!("{name} at {}", clock.uptime().as_secs()));
            });
        }
        (executor, log)
    }

    #[test]
    fn time_stands_still_until_told() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_000));
        let (mut executor, log) = sleepers(&clock, &[("late", 5), ("early", 2), ("same", 5)]);
        assert_eq!(executor.run_until_stalled(), 3);
        assert!(log.lock().unwrap().is_empty());
        assert_eq!(clock.advance_to_next_timer(), Some(seconds(2)));
        assert_eq!(executor.run_until_stalled(), 2);
        assert_eq!(clock.advance_to_next_timer(), Some(seconds(3)));
        assert_eq!(executor.run_until_stalled(), 0);
        assert_eq!(*log.lock().unwrap(), ["early at 2", "late at 5", "same at 5"]);
        assert_eq!(clock.now(), Timestamp::from_seconds(1_005));
        assert_eq!(clock.advance_to_next_timer(), None);
    }

    #[test]
    fn one_step_may_pass_many_deadlines() {
        let clock = VirtualClock::new(Timestamp(0));
        let (mut executor, log) = sleepers(&clock, &[("a", 5), ("b", 2), ("c", 9)]);
        executor.run_until_stalled();
        clock.advance(seconds(8));
        assert_eq!(executor.run_until_stalled(), 1);
        assert_eq!(*log.lock().unwrap(), ["a at 8", "b at 8"]);
        assert_eq!(clock.sleeping(), 1);
    }

    #[test]
    fn dropped_sleeps_are_forgotten_and_short_ones_are_over() {
        let clock = VirtualClock::new(Timestamp(0));
        drop(clock.sleep(seconds(1)));
        assert_eq!(clock.sleeping(), 0);
        crate::executor::block_on(clock.sleep(Duration::ZERO));
    }

    #[test]
    fn clocks_of_two_machines_differ_in_the_wall_only() {
        let clock = VirtualClock::new(Timestamp::from_seconds(100));
        let other = clock.skewed(-30_000_000);
        clock.advance(seconds(1));
        assert_eq!((other.now(), other.uptime()), (Timestamp::from_seconds(71), seconds(1)));
        clock.shift_wall(5_000_000);
        assert_eq!((other.now(), clock.uptime()), (Timestamp::from_seconds(76), seconds(1)));
        drop(clock);
        let sleep = other.sleep(seconds(1));
        drop(other);
        crate::executor::block_on(sleep);
    }

    #[test]
    fn sleeps_end_across_threads() {
        let clock = VirtualClock::new(Timestamp(0));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4)
                .map(|after| {
                    let sleep = clock.sleep(seconds(after));
                    scope.spawn(move || crate::executor::block_on(sleep))
                })
                .collect();
            while clock.advance_to_next_timer().is_some() {}
            for thread in threads {
                thread.join().unwrap();
            }
        });
        assert_eq!(clock.uptime(), seconds(4));
    }
}

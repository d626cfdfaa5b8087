//! What a worker takes next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::Unheard;
use crate::{limits, ports::queue::End};

/// From which end the next batch is taken, and how large it may be.
#[derive(Debug, Default)]
pub struct Batches {
    taken: AtomicU64,
    /// The last one took longer than [`limits::QUICK_BATCH`].
    slow: AtomicBool,
    /// Nothing but exits is taken.
    exits_only: bool,
    /// Nor while this is so: buying from this machine would be wrong.
    buys_elsewhere: Arc<AtomicBool>,
    /// Orders that are committed and not recorded yet.
    pub(super) under_way: Arc<AtomicUsize>,
    /// Of the process, where the queue is another program.
    pub(super) unheard: Option<Arc<Unheard>>,
}

impl Batches {
    /// Of a worker that is kept for exits, so that they wait for no buy.
    #[must_use]
    pub fn of_exits() -> Self {
        Self { exits_only: true, ..Self::default() }
    }

    /// The same, counting the orders that are committed and not recorded yet.
    #[must_use]
    pub fn counting(self, under_way: Arc<AtomicUsize>) -> Self {
        under_way.store(0, Ordering::SeqCst);
        Self { under_way, ..self }
    }

    /// The same, which takes nothing but exits while `elsewhere` says so.
    #[must_use]
    pub fn buying_unless(self, elsewhere: Arc<AtomicBool>) -> Self {
        Self { buys_elsewhere: elsewhere, ..self }
    }

    /// The same, not believing a queue that has nothing.
    #[must_use]
    pub fn doubting(self, unheard: Arc<Unheard>) -> Self {
        Self { unheard: Some(unheard), ..self }
    }

    pub(super) fn exits_only(&self) -> bool {
        self.exits_only || self.buys_elsewhere.load(Ordering::SeqCst)
    }

    pub(super) fn next(&self) -> (usize, End) {
        // What a batch that failed had under way is settlement's now.
        self.under_way.store(0, Ordering::SeqCst);
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let far = number % limits::FAR_END_EVERY == limits::FAR_END_EVERY - 1;
        let slow = self.slow.load(Ordering::Relaxed);
        let limit = if slow { limits::POP_BATCH } else { limits::POP_LARGE_BATCH };
        (limit, if far { End::Far } else { End::Serving })
    }

    pub(super) fn took(&self, duration: Duration) {
        self.slow.store(duration > limits::QUICK_BATCH, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_large_while_they_are_quick_and_every_fourth_is_from_the_far_end() {
        let batches = Batches::default();
        let ends: Vec<End> = (0..4).map(|_| batches.next().1).collect();
        assert_eq!(ends, [End::Serving, End::Serving, End::Serving, End::Far]);
        assert_eq!(batches.next().0, limits::POP_LARGE_BATCH);
        batches.took(limits::QUICK_BATCH + Duration::from_millis(1));
        assert_eq!(batches.next().0, limits::POP_BATCH);
        batches.took(limits::QUICK_BATCH);
        assert_eq!(batches.next().0, limits::POP_LARGE_BATCH);
    }

    #[test]
    fn nothing_but_exits_is_taken_while_buying_is_for_others() {
        let elsewhere = Arc::<AtomicBool>::default();
        let batches = Batches::default().buying_unless(Arc::clone(&elsewhere));
        let told = [false, true, false].map(|now| {
            elsewhere.store(now, Ordering::SeqCst);
            batches.exits_only()
        });
        assert_eq!(told, [false, true, false]);
        assert!(Batches::of_exits().buying_unless(elsewhere).exits_only());
    }
}

//! How the connections to a server are used: how many there are, who waits for one, and for how long.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Connections of one process to the database, and the waits for them since it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolFigures {
    /// Open connections.
    pub open: u32,
    /// Those that nobody uses now.
    pub idle: u32,
    /// As many as may be open.
    pub limit: u32,
    /// Who waits for one now.
    pub waiting: u32,
    /// How often one was taken.
    pub taken: u64,
    /// How often nobody got one in time.
    pub refused: u64,
    /// Sum of all waits.
    pub waited: Duration,
    /// The longest of them.
    pub longest_wait: Duration,
}

impl PoolFigures {
    /// The share of the connections that is in use, in percent: at 100 the next one waits.
    #[must_use]
    pub fn saturation_percent(&self) -> u32 {
        let used = u64::from(self.open.saturating_sub(self.idle)) * 100;
        u32::try_from(used / u64::from(self.limit.max(1))).unwrap_or(u32::MAX)
    }
}

/// Counts waits.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    waiting: AtomicU32,
    taken: AtomicU64,
    refused: AtomicU64,
    /// Microseconds.
    waited: AtomicU64,
    longest: AtomicU64,
}

/// Somebody waits, until this is dropped.
struct Waiting<'a>(&'a Meter, Instant);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.1.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.waited.fetch_add(micros, Relaxed);
        self.0.longest.fetch_max(micros, Relaxed);
    }
}

impl Meter {
    /// Waits for a connection.
    pub(crate) async fn measure<T, E>(&self, wait: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.waiting.fetch_add(1, Relaxed);
        #[expect(clippy::disallowed_methods, reason = "measures a wait and decides nothing")]
        let waiting = Waiting(self, Instant::now());
        let taken = wait.await;
        drop(waiting);
        let counter = if taken.is_ok() { &self.taken } else { &self.refused };
        counter.fetch_add(1, Relaxed);
        taken
    }

    pub(crate) fn figures(&self, open: u32, idle: u32, limit: u32) -> PoolFigures {
        PoolFigures {
            open,
            idle,
            limit,
            waiting: self.waiting.load(Relaxed),
            taken: self.taken.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waited: Duration::from_micros(self.waited.load(Relaxed)),
            longest_wait: Duration::from_micros(self.longest.load(Relaxed)),
        }
    }
}

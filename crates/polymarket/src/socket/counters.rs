//! What the sockets of a feed count together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use engine::ports::feeds::FeedHealth;

/// No event yet.
const NEVER: u64 = u64::MAX;

/// Counters of a feed.
#[derive(Debug)]
pub struct Counters {
    wanted: AtomicUsize,
    open: AtomicUsize,
    frames: AtomicU64,
    events: AtomicU64,
    passed_over: AtomicU64,
    errors: AtomicU64,
    failures: AtomicU64,
    reconnects: AtomicU64,
    /// Micros of uptime.
    newest: AtomicU64,
    chance: AtomicU64,
}

/// A socket that is wanted, as long as this lives.
pub(super) struct Open {
    counters: Arc<Counters>,
    open: std::sync::atomic::AtomicBool,
}

impl Open {
    /// It is open now.
    pub(super) fn is_open(&self) {
        if !self.open.swap(true, Relaxed) {
            self.counters.open.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.open.load(Relaxed) {
            self.counters.open.fetch_sub(1, Relaxed);
        }
    }
}

impl Counters {
    /// All at zero; `seed` begins the chance by which pauses differ.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            wanted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            frames: AtomicU64::new(0),
            events: AtomicU64::new(0),
            passed_over: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            newest: AtomicU64::new(NEVER),
            chance: AtomicU64::new(seed),
        })
    }

    /// What is counted so far.
    #[must_use]
    pub fn health(&self) -> FeedHealth {
        let newest = self.newest.load(Relaxed);
        FeedHealth {
            wanted: self.wanted.load(Relaxed),
            open: self.open.load(Relaxed),
            frames: self.frames.load(Relaxed),
            events: self.events.load(Relaxed),
            passed_over: self.passed_over.load(Relaxed),
            errors: self.errors.load(Relaxed),
            failures: self.failures.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            newest: (newest != NEVER).then(|| Duration::from_micros(newest)),
        }
    }

    /// How many sockets are wanted from now on.
    pub fn want(&self, sockets: usize) {
        self.wanted.store(sockets, Relaxed);
    }

    /// Something beside a frame could not be understood.
    pub fn error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    pub(super) fn opening(self: &Arc<Self>) -> Open {
        Open { counters: Arc::clone(self), open: false.into() }
    }

    pub(super) fn frame(&self) {
        self.frames.fetch_add(1, Relaxed);
    }

    pub(super) fn understood(&self, events: usize, passed_over: usize, uptime: Duration) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.events.fetch_add(count(events), Relaxed);
        self.passed_over.fetch_add(count(passed_over), Relaxed);
        if events > 0 {
            self.newest.store(u64::try_from(uptime.as_micros()).unwrap_or(NEVER), Relaxed);
        }
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// A number below `bound`, different from call to call (SplitMix64). Good enough to spread pauses.
    pub(super) fn chance(&self, bound: u32) -> u32 {
        let state = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        u32::try_from(mixed.checked_rem(u64::from(bound)).unwrap_or(0)).unwrap_or(0)
    }
}

//! Where planted bugs get in: between the engine and the faulty ports, never in the engine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Timestamp, clock::Sleep};
use engine::ports::{
    feeds::AccountFeed,
    live::LiveFeed,
    queue::Queue,
    store::{InstanceId, Store},
    venue::{ChainReader, MarketData, OrderGateway, TradeHistory},
};

use super::probe::Actor;
use crate::virtual_clock::VirtualClock;

/// The ports of one actor, faults and all, before they are handed to the engine.
pub struct Bench {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The venue's gateway.
    pub gateway: Arc<dyn OrderGateway>,
    /// The chain.
    pub chain: Arc<dyn ChainReader>,
    /// The history.
    pub history: Arc<dyn TradeHistory>,
    /// Rules and books.
    pub markets: Arc<dyn MarketData>,
    /// What the venue tells by itself.
    pub feed: Arc<dyn AccountFeed>,
    /// Everybody's trades, as they are told.
    pub live: Arc<dyn LiveFeed>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The actor's clock.
    pub clock: Arc<dyn Clock>,
    /// Who will use them.
    pub actor: Actor,
    /// Its name.
    pub instance: InstanceId,
    /// The clock by which the store judges leases.
    pub store_clock: Arc<StoreClock>,
    /// Whether its process has not ended yet in this run.
    pub first_life: bool,
}

/// The store's own clock, which a planted bug can put wrong.
pub struct StoreClock {
    clock: Arc<VirtualClock>,
    skew: AtomicI64,
}

impl StoreClock {
    /// True time.
    #[must_use]
    pub fn new(clock: Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self { clock, skew: AtomicI64::new(0) })
    }

    /// Goes wrong by so many microseconds from now on.
    pub fn skew(&self, micros: i64) {
        self.skew.store(micros, Ordering::SeqCst);
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now().0 + self.skew.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

/// A way to be wrong.
pub trait Tampering: Send + Sync {
    /// Replaces ports by wrong ones.
    fn tamper(&self, bench: Bench) -> Bench;
}

/// The engine as it is.
pub struct Honest;

impl Tampering for Honest {
    fn tamper(&self, bench: Bench) -> Bench {
        bench
    }
}

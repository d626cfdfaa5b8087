//! Where planted bugs get in: between the engine and the faulty ports, never in the engine.

use std::sync::Arc;

use domain::Clock;
use engine::ports::{
    queue::Queue,
    store::{InstanceId, Store},
    venue::{ChainReader, OrderGateway, TradeHistory},
};

use super::probe::Actor;

/// The ports of one actor before they are handed to the engine.
pub struct Bench {
    /// The store, behind faults.
    pub store: Arc<dyn Store>,
    /// The venue's gateway; faults come in front of it.
    pub gateway: Arc<dyn OrderGateway>,
    /// The chain; faults come in front of it.
    pub chain: Arc<dyn ChainReader>,
    /// The history; faults come in front of it.
    pub history: Arc<dyn TradeHistory>,
    /// The queue, behind faults.
    pub queue: Arc<dyn Queue>,
    /// The actor's clock.
    pub clock: Arc<dyn Clock>,
    /// Who will use them.
    pub actor: Actor,
    /// Its name.
    pub instance: InstanceId,
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

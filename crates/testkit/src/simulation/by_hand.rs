//! Worlds in which nothing runs by itself, for tests that drive parts of the engine step by step.

use std::{sync::Arc, time::Duration};

use engine::{
    market_cache::MarketCache,
    ports::{
        store::{InstanceId, StoreResult},
        venue::MarketData,
    },
    watcher::WatcherPorts,
};

use super::{
    scenario::Scenario,
    tampering::Honest,
    venue::VenueModel,
    world::{Experiment, World},
};
use crate::memory_store::MemoryStore;

impl World {
    /// What happens in the scenario, on a plain venue and the store in memory, without any process.
    ///
    /// # Errors
    /// Store errors.
    pub fn by_hand(scenario: Scenario) -> StoreResult<Self> {
        Self::new(&Experiment {
            scenario: &Scenario { processes: Vec::new(), ..scenario },
            model: VenueModel::PLAIN,
            faults: &[],
            tampering: &Honest,
            store: &|clock| Arc::new(MemoryStore::new(clock)),
            digests: false,
            stage: None,
        })
    }

    /// The engine's memory of these rules.
    #[must_use]
    pub fn cache(&self, rules: Arc<dyn MarketData>) -> Arc<MarketCache> {
        Arc::new(MarketCache::new(rules, self.store.clone(), self.clock.clone()))
    }

    /// What a watcher watches this world through, asking for the history at each step.
    #[must_use]
    pub fn watcher_ports(&self) -> WatcherPorts {
        WatcherPorts {
            store: self.store.clone(),
            queue: self.doorbell.clone(),
            chain: Some(self.venue.clone()),
            history: Some(self.venue.clone()),
            live: None,
            markets: self.cache(self.venue.clone()),
            clock: self.clock.clone(),
            instance: InstanceId("the watcher".to_owned()),
            history_every: Duration::ZERO,
        }
    }
}

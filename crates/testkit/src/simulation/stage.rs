//! A moment of rest from which many runs go on: what came before is the same in all of them, and happens once.

use std::sync::{Arc, OnceLock};

use domain::{
    Clock, Timestamp,
    ids::{OwnerId, RelationshipId},
};

use super::{
    monitor::Monitor,
    scenario::Scenario,
    tampering::Tampering,
    venue::{Venue, VenueModel},
    world::{Experiment, START, StoreFactory, World, in_words},
};
use crate::memory_store::MemoryStore;

/// Store and venue after a run whose processes have ended.
pub struct Stage {
    pub(super) now: Timestamp,
    pub(super) store: Arc<MemoryStore>,
    pub(super) venue: Arc<Venue>,
    pub(super) monitor: Arc<Monitor>,
    pub(super) relationships: Vec<(OwnerId, RelationshipId)>,
    pub(super) lives: Vec<u32>,
}

impl Stage {
    /// Plays a scenario without faults up to a moment, and ends its processes.
    ///
    /// # Errors
    /// What is not done yet at that moment, in words.
    pub fn of(
        scenario: &Scenario,
        model: VenueModel,
        tampering: &dyn Tampering,
        until: Timestamp,
    ) -> Result<Self, String> {
        let kept: Arc<OnceLock<Arc<MemoryStore>>> = Arc::default();
        let keeps = kept.clone();
        let store: &StoreFactory =
            &move |clock| keeps.get_or_init(|| Arc::new(MemoryStore::new(clock))).clone();
        let experiment =
            Experiment { scenario, model, faults: &[], tampering, store, digests: false, stage: None };
        let mut world = World::new(&experiment).map_err(|error| in_words(&error))?;
        if let Some(what) = world.run_until(&experiment, until).map_err(|error| in_words(&error))? {
            return Err(format!("no rest {} s after the beginning: {what}", until.since(START).as_secs()));
        }
        let (venue, monitor) = (world.venue.clone(), world.monitor.clone());
        let (now, relationships) = (world.clock.now(), world.relationships.clone());
        let lives = world.lives().to_vec();
        drop(world);
        let store = kept.get().cloned().ok_or("no store was made")?;
        Ok(Self { now, store, venue, monitor, relationships, lives })
    }
}

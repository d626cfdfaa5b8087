//! Watches every signature as it becomes durable: what must hold at that moment cannot be seen at the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{Side, ids::RelationshipId, lifecycle::OrderState};
use engine::{
    orders::{booked_so_far, given},
    ports::{
        execution::{OrderRecord, SignedAttempt, SignedOutcome},
        store::{Store, StoreResult},
    },
};

use super::venue::Venue;

/// Collects what was broken.
pub struct Monitor {
    venue: Arc<Venue>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    broken: Vec<String>,
    /// Relationships whose pause has returned, and that were not resumed.
    paused: BTreeMap<RelationshipId, ()>,
}

impl Monitor {
    /// A monitor of one run.
    #[must_use]
    pub fn new(venue: Arc<Venue>) -> Arc<Self> {
        Arc::new(Self { venue, state: Mutex::default() })
    }

    /// Notes that `pause` has returned.
    pub fn paused(&self, relationship: RelationshipId) {
        self.lock().paused.insert(relationship, ());
    }

    /// Notes that the user resumed.
    pub fn resumed(&self, relationship: RelationshipId) {
        self.lock().paused.remove(&relationship);
    }

    /// Everything broken so far.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// Commit 2 has taken effect.
    ///
    /// # Errors
    /// Store errors.
    pub async fn signed(
        &self,
        store: &dyn Store,
        attempts: &[SignedAttempt],
        outcomes: &[SignedOutcome],
    ) -> StoreResult<()> {
        for (attempt, outcome) in attempts.iter().zip(outcomes) {
            if !matches!(outcome, SignedOutcome::Won { .. }) {
                continue;
            }
            let all = store.attempts_of(&[attempt.intent]).await?;
            self.judge(&all);
        }
        Ok(())
    }

    fn judge(&self, attempts: &[OrderRecord]) {
        let Some((newest, earlier)) = attempts.split_last() else { return };
        let mut state = self.lock();
        let id = newest.intent.id;
        if state.paused.contains_key(&newest.intent.relationship) {
            state.broken.push(format!("intent {id}: signed although its relationship is paused"));
        }
        if newest.intent.side == Side::Buy && !earlier.is_empty() {
            state.broken.push(format!("intent {id}: an entry was signed {} times", attempts.len()));
        }
        let mut taken = newest.amounts.maker;
        for record in earlier {
            if record.state.is_open() {
                state.broken.push(format!(
                    "intent {id}: attempt {} signed while attempt {} is {}",
                    newest.number,
                    record.number,
                    record.state.label()
                ));
            }
            let booked = booked_so_far(newest.intent.side, record.booked).unwrap_or_default();
            let at_venue = self.venue.lines().get(&record.order.id).map_or(0, super::venue::VenueLine::given);
            taken += if record.state == OrderState::Failed {
                at_venue
            } else {
                given(newest.intent.side, &booked).max(at_venue)
            };
        }
        if taken > newest.intent.amount {
            state.broken.push(format!(
                "intent {id}: filled and open together are {taken}, allowed are {}",
                newest.intent.amount
            ));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

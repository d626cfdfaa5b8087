//! The dead-man switch: after the first heartbeat of an API key, everything it has open is cancelled once none
//! came for ten seconds.
//!
//! Source: docs.polymarket.com manage-orders, official Python client.

use std::collections::BTreeMap;

use domain::Timestamp;

use super::World;
use crate::{
    limits::{HEARTBEAT_PATIENCE, HEARTBEAT_SWEEP},
    signing::uuid_text,
};

/// A key's last heartbeat.
#[derive(Clone, Debug)]
struct Beat {
    /// What the next one must name.
    expected: String,
    at: Timestamp,
}

/// The heartbeats of all keys.
#[derive(Debug, Default)]
pub(super) struct Heartbeats(BTreeMap<String, Beat>);

impl World {
    /// Takes a heartbeat: empty for the first one, then the id of the last reply. Says the next id.
    ///
    /// # Errors
    /// The id that was expected.
    pub fn heartbeat(&mut self, now: Timestamp, owner: &str, sent: &str) -> Result<String, String> {
        let expected = self.heartbeats.0.get(owner).map_or("", |beat| beat.expected.as_str());
        if expected != sent {
            return Err(expected.to_owned());
        }
        let next = uuid_text(&self.random());
        self.heartbeats.0.insert(owner.to_owned(), Beat { expected: next.clone(), at: now });
        Ok(next)
    }

    /// Takes a heartbeat of the older kind, which has no id.
    pub fn plain_heartbeat(&mut self, now: Timestamp, owner: &str) {
        self.heartbeats.0.insert(owner.to_owned(), Beat { expected: String::new(), at: now });
    }

    /// When the venue will next cancel something for want of a heartbeat.
    pub(super) fn next_sweep(&self) -> Option<Timestamp> {
        let armed = self.heartbeats.0.iter().filter(|(owner, _)| self.journal.has_live(owner));
        armed.map(|(_, beat)| self.sweep_after(beat.at.plus(HEARTBEAT_PATIENCE))).min()
    }

    /// The first sweep not before `at`; sweeps come at fixed times. Nothing is swept before this moment.
    fn sweep_after(&self, at: Timestamp) -> Timestamp {
        let at = at.max(self.now);
        let step = i64::try_from(HEARTBEAT_SWEEP.as_micros()).unwrap_or(i64::MAX).max(1);
        let into = at.0.rem_euclid(step);
        if into == 0 { at } else { Timestamp(at.0.saturating_add(step - into)) }
    }

    /// Cancels everything of keys whose heartbeat is missing.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let silent = self.heartbeats.0.iter().filter(|(_, beat)| beat.at.plus(HEARTBEAT_PATIENCE) <= now);
        let owners: Vec<String> = silent.map(|(owner, _)| owner.clone()).collect();
        for owner in owners {
            self.cancel_open(&owner, None, None);
        }
    }
}

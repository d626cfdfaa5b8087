//! Work that one process of an installation does, whoever it is.
//!
//! The lease saves work, it makes nothing safe: each of these tasks may be done by two processes at once, for as long as
//! one of them does not know that it has lost its turn.

use std::{sync::Arc, time::Duration};

use engine::ports::store::InstanceId;
use tracing::{debug, warn};

use super::Shared;

/// A turn lasts this long …
const LASTS: Duration = Duration::from_secs(5);
/// … and is taken again when it is this old: two times may fail before it is over.
const TAKEN_AGAIN: Duration = Duration::from_millis(1_500);
/// Whoever waits for its turn asks this often.
const ASKED: Duration = Duration::from_secs(1);

/// The turn of a task. Its end gives it back.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    name: &'static str,
    instance: InstanceId,
    /// Uptime at which it was taken last.
    taken: Option<Duration>,
}

impl Turn {
    /// Nobody has asked for it yet.
    pub(super) fn new(shared: &Arc<Shared>, name: &'static str, instance: &InstanceId) -> Self {
        Self { shared: Arc::clone(shared), name, instance: instance.clone(), taken: None }
    }

    /// Waits for the turn. Returns whether it has come; otherwise everything stops.
    pub(super) async fn comes(&mut self) -> bool {
        while !self.shared.supervisor.is_stopped() {
            if self.is_ours().await {
                return true;
            }
            self.shared.supervisor.pause(ASKED).await;
        }
        false
    }

    /// Whether it is ours now. Where a process works alone it always is.
    pub(crate) async fn is_ours(&mut self) -> bool {
        let ports = &self.shared.ports;
        let now = ports.clock.uptime();
        if !self.shared.settings.shared || self.taken.is_some_and(|at| now.saturating_sub(at) < TAKEN_AGAIN) {
            return true;
        }
        let had = self.taken.take().is_some();
        match ports.store.take_lease(self.name, &self.instance, LASTS).await {
            Ok(lease) => self.taken = lease.map(|_| now),
            Err(error) => warn!(%error, "whose turn {} is cannot be told: {error}", self.name),
        }
        match (had, self.taken.is_some()) {
            (false, true) => debug!(instance = %self.instance, "{} is done here now", self.name),
            (true, false) => debug!(instance = %self.instance, "{} is done elsewhere now", self.name),
            _ => {}
        }
        self.taken.is_some()
    }
}

//! Work that one process of an installation does, whoever it is.
//!
//! The lease saves work, it makes nothing safe: each of these tasks may be done by two processes at once, for as long as
//! one of them does not know that it has lost its turn.

use std::{sync::Arc, time::Duration};

use engine::{
    in_vain::InVain,
    ports::store::{InstanceId, Lease},
};
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
    /// Uptime at which it was taken last, and what says so.
    taken: Option<(Duration, Lease)>,
    /// Whether it is left to others when nothing succeeds.
    in_vain: Option<InVain>,
}

impl Turn {
    /// Nobody has asked for it yet.
    pub(super) fn new(shared: &Arc<Shared>, name: &'static str, instance: &InstanceId) -> Self {
        Self { shared: Arc::clone(shared), name, instance: instance.clone(), taken: None, in_vain: None }
    }

    /// It is left to others when nothing succeeds.
    pub(super) fn leaving(self, in_vain: InVain) -> Self {
        Self { in_vain: Some(in_vain), ..self }
    }

    /// Notes how it went with what began at this uptime, and gives the turn back when that is in vain.
    pub(super) async fn went(&mut self, began: Duration, worked: bool) {
        let ports = &self.shared.ports;
        let (Some(in_vain), true) = (&mut self.in_vain, self.shared.settings.shared) else { return };
        if worked {
            in_vain.worked();
        } else if in_vain.failed(began, ports.clock.uptime())
            && let Some((_, lease)) = self.taken.take()
        {
            warn!("{} is in vain here: another process may have its turn", self.name);
            if let Err(error) = ports.store.release_lease(&lease).await {
                warn!(%error, "the turn of {} could not be given back and runs out: {error}", self.name);
            }
        }
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
        let fresh = self.taken.as_ref().is_some_and(|(at, _)| now.saturating_sub(*at) < TAKEN_AGAIN);
        if !self.shared.settings.shared || fresh {
            return true;
        }
        if self.in_vain.is_some_and(|in_vain| in_vain.stands_aside(now)) {
            return false;
        }
        let had = self.taken.take().is_some();
        match ports.store.take_lease(self.name, &self.instance, LASTS).await {
            Ok(lease) => self.taken = lease.map(|lease| (now, lease)),
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

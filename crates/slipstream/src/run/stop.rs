//! The signals that end a run.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Exit status of a command that was interrupted, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// Signals that end a run.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("no signal handler");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Does what comes before anything is begun; `None` when one of them comes meanwhile.
    pub(super) async fn unless<T>(
        &mut self,
        begin: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        tokio::select! {
            begun = begin => begun.map(Some),
            name = self.wanted() => {
                info!("{name}: nothing was begun");
                Ok(None)
            }
        }
    }

    pub(super) async fn wanted(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to end",
            _ = self.hangup.recv() => "terminal closed",
        }
    }
}

//! The signals that end a run.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

    pub(super) async fn wanted(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to end",
            _ = self.hangup.recv() => "terminal closed",
        }
    }
}

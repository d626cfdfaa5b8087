//! What the venue accepts at all, for a while or until told otherwise. After a restart of the matching engine
//! come two minutes of post-only mode.

use std::time::Duration;

use domain::Timestamp;

use super::{Mode, World};
use crate::limits::POST_ONLY_AFTER_RESTART;

impl World {
    /// Switches the mode, for good or for some time.
    pub fn set_mode(&mut self, now: Timestamp, mode: Mode, lasts: Option<Duration>) {
        self.mode = mode;
        self.mode_until = lasts.map(|lasts| now.plus(lasts));
    }

    /// When the mode ends by itself.
    pub(super) const fn mode_ends(&self) -> Option<Timestamp> {
        self.mode_until
    }

    /// What follows a mode whose time is over.
    pub(super) fn end_mode(&mut self, now: Timestamp) {
        match self.mode {
            Mode::Restarting => self.set_mode(now, Mode::PostOnly, Some(POST_ONLY_AFTER_RESTART)),
            _ => self.set_mode(now, Mode::Normal, None),
        }
    }

    /// Whole seconds until the mode ends by itself.
    pub(super) fn mode_left(&self) -> Option<u64> {
        self.mode_until.map(|until| {
            let left = until.since(self.now);
            left.as_secs().saturating_add(u64::from(left.subsec_micros() > 0)).max(1)
        })
    }
}

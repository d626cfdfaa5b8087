//! Pauses that double: when to look at something again.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// By key: until when it waits, by uptime, and the pause before that.
pub(crate) struct Waits<K>(pub(crate) HashMap<K, (Duration, Duration)>);

impl<K: Hash + Eq> Waits<K> {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether it need not wait any longer, or never had to.
    pub(crate) fn is_due(&self, key: &K, now: Duration) -> bool {
        self.0.get(key).is_none_or(|(until, _)| *until <= now)
    }

    /// Puts it off for `first`, the next time for twice as long, at last for `last`.
    pub(crate) fn put_off(&mut self, key: K, now: Duration, first: Duration, last: Duration) {
        let before = self.0.get(&key).map(|(_, pause)| pause.saturating_mul(2));
        let pause = before.unwrap_or(first).min(last);
        self.0.insert(key, (now.saturating_add(pause), pause));
    }
}

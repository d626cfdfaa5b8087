//! Salts of orders: unguessable, so that outsiders cannot link followers, and a function of the cause,
//! so that the same attempt never has two.

use domain::trade::Action;

use crate::ports::execution::{Intent, IntentCause};

/// Largest salt the venue reads exactly (a JSON number).
pub const SALT_MASK: u64 = (1 << 53) - 1;

/// HMAC of the installation's secret.
pub trait Salts: Send + Sync {
    /// At most 53 bits of the HMAC of `key`.
    fn salt(&self, key: &[u8]) -> u64;
}

/// The natural key of an attempt: cause, relationship, attempt number. Surrogate ids are in it only
/// where they are for ever (relationships, leaders).
#[must_use]
pub fn natural_key(intent: &Intent, attempt: u32) -> Vec<u8> {
    let IntentCause { key, part, .. } = intent.cause;
    let mut bytes = Vec::with_capacity(96);
    bytes.extend_from_slice(b"trade");
    bytes.extend_from_slice(&key.tx.0);
    bytes.extend_from_slice(&key.token.0);
    bytes.push(match key.action {
        Action::Buy => 0,
        Action::Sell => 1,
        Action::Receive => 2,
        Action::Merge => 3,
        Action::Redeem => 4,
        Action::Send => 5,
    });
    bytes.extend_from_slice(&part.to_be_bytes());
    bytes.extend_from_slice(&intent.relationship.0.to_be_bytes());
    bytes.extend_from_slice(&attempt.to_be_bytes());
    bytes
}

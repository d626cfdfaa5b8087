//! A private key on its way to the installation: whoever carries it cannot read it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A private key that was encrypted with age.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncryptedKey(pub(super) String);

impl EncryptedKey {
    /// Of a file of age's.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        Self(hex::encode(file))
    }
}

impl fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptedKey(…)")
    }
}

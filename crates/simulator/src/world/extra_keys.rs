//! Keys that a signer makes beside its API key: read-only ones and builders' keys.
//! Source: the official clients (`readonly-api-key`, `builder-api-key`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use domain::{Address, Timestamp};

use super::World;
use crate::signing::{derive, uuid_text};

/// A builder's key of a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderKey {
    /// Key (UUID).
    pub key: String,
    /// Secret, base64.
    pub secret: String,
    /// Passphrase.
    pub passphrase: String,
    /// Who made it.
    pub owner: Address,
    /// When.
    pub created: Timestamp,
    /// Since when it is of no use.
    pub revoked: Option<Timestamp>,
}

/// All of them, oldest first.
#[derive(Debug, Default)]
pub struct ExtraKeys {
    read_only: Vec<(String, Address)>,
    builders: Vec<BuilderKey>,
    made: u64,
}

impl World {
    /// Makes a read-only key. What it may read is documented nowhere, so it opens nothing here.
    pub fn create_read_only_key(&mut self, owner: Address) -> String {
        let key = uuid_text(&self.new_key(b"read-only key", owner));
        self.extra_keys.read_only.push((key.clone(), owner));
        key
    }

    /// A signer's read-only keys.
    #[must_use]
    pub fn read_only_keys(&self, owner: Address) -> Vec<String> {
        let keys = self.extra_keys.read_only.iter();
        keys.filter(|(_, of)| *of == owner).map(|(key, _)| key.clone()).collect()
    }

    /// Forgets a signer's read-only key; `false` if there is none of this name.
    pub fn delete_read_only_key(&mut self, owner: Address, key: &str) -> bool {
        let before = self.extra_keys.read_only.len();
        self.extra_keys.read_only.retain(|(name, of)| !(name == key && *of == owner));
        self.extra_keys.read_only.len() < before
    }

    /// Makes a builder's key. The relayer takes it at once: nobody has to approve it here.
    pub fn create_builder_key(&mut self, owner: Address) -> BuilderKey {
        let key = uuid_text(&self.new_key(b"builder key", owner));
        let secret = URL_SAFE.encode(self.new_key(b"builder secret", owner));
        let passphrase = hex::encode(self.new_key(b"builder passphrase", owner));
        self.add_builder_key(key.clone(), secret.clone(), passphrase.clone());
        let key = BuilderKey { key, secret, passphrase, owner, created: self.now, revoked: None };
        self.extra_keys.builders.push(key.clone());
        key
    }

    /// A signer's builder's keys, also revoked ones.
    #[must_use]
    pub fn builder_keys(&self, owner: Address) -> Vec<BuilderKey> {
        self.extra_keys.builders.iter().filter(|key| key.owner == owner).cloned().collect()
    }

    /// Revokes a builder's key; without a name the newest one of the signer. `false` if there is none.
    pub fn revoke_builder_key(&mut self, owner: Option<Address>, name: Option<&str>) -> bool {
        let now = self.now;
        let found = self.extra_keys.builders.iter_mut().rev().find(|key| {
            key.revoked.is_none()
                && owner.is_none_or(|owner| key.owner == owner)
                && name.is_none_or(|name| key.key == name)
        });
        let Some(key) = found else { return false };
        key.revoked = Some(now);
        let name = key.key.clone();
        self.forget_builder_key(&name);
        true
    }

    fn new_key(&mut self, what: &[u8], owner: Address) -> [u8; 32] {
        self.extra_keys.made = self.extra_keys.made.saturating_add(1);
        derive(self.seed, &[what, &owner.0, &self.extra_keys.made.to_be_bytes()])
    }
}

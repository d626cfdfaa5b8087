//! What opens an installation's keys: a passphrase or an age identity, and the keys derived from it.

use argon2::{Algorithm, Argon2, Params, Version};
use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{
    cipher::{NoRandomness, Secret32, derive, random},
    limits::{
        ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES, LEAST_ARGON2_MEMORY_KIB, LEAST_ARGON2_PASSES,
        MOST_ARGON2_LANES, MOST_ARGON2_MEMORY_KIB, MOST_ARGON2_PASSES, SHORTEST_PASSPHRASE,
    },
};

/// How age writes identities and recipients. Source: age-encryption.org/v1.
const IDENTITY: &str = "AGE-SECRET-KEY-";
const RECIPIENT: &str = "age";

/// What the person or the service manager who starts a signer has in hand. No `Debug`.
pub struct Unlock(Material);

enum Material {
    Passphrase(Zeroizing<String>),
    Identity(Secret32),
}

/// Nothing that opens keys. Says nothing of what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// Not text.
    #[error("it is no text: it must hold a passphrase, or an age identity as `age-keygen` writes it")]
    NoText,
    /// Too easily guessed.
    #[error("the passphrase is shorter than {SHORTEST_PASSPHRASE} characters; use several random words")]
    Short,
    /// An age identity with a mistake.
    #[error("the age identity in it is damaged, or of another kind than X25519; make one with `age-keygen`")]
    Identity,
}

impl Unlock {
    /// Of a passphrase.
    ///
    /// # Errors
    /// [`UnlockError::Short`].
    pub fn passphrase(text: Zeroizing<String>) -> Result<Self, UnlockError> {
        if text.chars().count() < SHORTEST_PASSPHRASE {
            return Err(UnlockError::Short);
        }
        Ok(Self(Material::Passphrase(text)))
    }

    /// Of what a file or a credential holds: an age identity among comments, or else a passphrase.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn read(bytes: &[u8]) -> Result<Self, UnlockError> {
        let text = std::str::from_utf8(bytes).map_err(|_| UnlockError::NoText)?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        match lines.find(|line| line.to_ascii_uppercase().starts_with(IDENTITY)) {
            Some(line) => identity(line).map(|secret| Self(Material::Identity(secret))),
            None => Self::passphrase(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        }
    }

    /// How a new installation's keys are to be opened with this.
    pub(crate) fn new_source(&self) -> Result<Source, NoRandomness> {
        Ok(match &self.0 {
            Material::Identity(_) => Source::AgeIdentity,
            Material::Passphrase(_) => Source::Argon2id {
                memory_kib: ARGON2_MEMORY_KIB,
                passes: ARGON2_PASSES,
                lanes: ARGON2_LANES,
                salt: hex::encode(random::<16>()?.as_slice()),
            },
        })
    }

    /// The keys, `None` when this is not what `source` asks for, or when it asks for what nobody should do.
    pub(crate) fn keys(&self, source: &Source) -> Option<Keys> {
        let material = match (&self.0, source) {
            (Material::Identity(secret), Source::AgeIdentity) => secret.clone(),
            (Material::Passphrase(text), Source::Argon2id { memory_kib, passes, lanes, salt }) => {
                stretch(text, *memory_kib, *passes, *lanes, salt)?
            }
            _ => return None,
        };
        Some(Keys {
            wrapping: derive(material.as_slice(), b"", b"slipstream key encryption v1"),
            import: StaticSecret::from(*derive(material.as_slice(), b"", b"slipstream import v1")),
        })
    }
}

/// How the key-encryption key comes from what the person has in hand. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// A passphrase, by Argon2id version 1.3.
    Argon2id {
        /// KiB of memory.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// 16 random bytes in hex.
        salt: String,
    },
    /// The 32 bytes of an age identity.
    AgeIdentity,
}

impl Source {
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Argon2id { .. } => "a passphrase",
            Self::AgeIdentity => "an age identity",
        }
    }
}

/// Keys that the person's secret stands for.
pub(crate) struct Keys {
    /// Encrypts data keys.
    pub(crate) wrapping: Secret32,
    /// Opens what was encrypted for this installation.
    pub(crate) import: StaticSecret,
}

fn stretch(text: &str, memory: u32, passes: u32, lanes: u32, salt: &str) -> Option<Secret32> {
    // Whoever writes the header must neither make guessing cheap nor the program stand still.
    if !(LEAST_ARGON2_MEMORY_KIB..=MOST_ARGON2_MEMORY_KIB).contains(&memory)
        || !(LEAST_ARGON2_PASSES..=MOST_ARGON2_PASSES).contains(&passes)
        || !(1..=MOST_ARGON2_LANES).contains(&lanes)
    {
        return None;
    }
    let salt = hex::decode(salt).ok()?;
    let parameters = Params::new(memory, passes, lanes, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(text.as_bytes(), &salt, key.as_mut_slice())
        .ok()?;
    Some(key)
}

fn identity(line: &str) -> Result<Secret32, UnlockError> {
    let (kind, bytes) = bech32::decode(line).map_err(|_| UnlockError::Identity)?;
    let bytes = Zeroizing::new(bytes);
    let ours = kind.to_string().eq_ignore_ascii_case(IDENTITY);
    let secret = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| UnlockError::Identity)?;
    if ours { Ok(Zeroizing::new(secret)) } else { Err(UnlockError::Identity) }
}

/// A public key as age writes it.
pub(crate) fn recipient_text(key: &PublicKey) -> String {
    let kind = Hrp::parse_unchecked(RECIPIENT);
    bech32::encode::<Bech32>(kind, key.as_bytes()).unwrap_or_default()
}

/// The public key that age writes like this.
pub(crate) fn recipient(text: &str) -> Option<PublicKey> {
    let (kind, bytes) = bech32::decode(text).ok()?;
    let bytes = <[u8; 32]>::try_from(bytes.as_slice()).ok()?;
    (kind.as_str() == RECIPIENT).then(|| PublicKey::from(bytes))
}

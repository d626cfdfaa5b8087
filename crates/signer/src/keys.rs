//! Where keys come from and what an opened key can do.

use alloy_primitives::keccak256;
use domain::{Address, Hash, KeyRef};
use engine::ports::venue::SignerError;
use hmac::{Hmac, KeyInit, Mac};
use secp256k1::{Message, SECP256K1, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::limits::MAX_KEY_REF;

/// Finds the secret of a key reference.
pub trait KeySource: Send + Sync {
    /// The 32 secret bytes.
    ///
    /// # Errors
    /// [`SignerError::UnknownKey`], or [`SignerError::Unavailable`] when the source is broken.
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError>;
}

/// Keys derived from an installation's seed: throw-away keys for paper trading and the demo. The same
/// seed and reference give the same key on every machine.
pub struct DerivedKeys {
    seed: Zeroizing<[u8; 32]>,
}

/// Separates these keys from everything else that is derived from the same seed.
const DERIVATION_LABEL: &[u8] = b"slipstream signing key v1";

impl DerivedKeys {
    /// Keys of this seed.
    #[must_use]
    pub const fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self { seed }
    }

    fn candidate(&self, key: &KeyRef, counter: u8) -> Option<Zeroizing<[u8; 32]>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.seed.as_slice()).ok()?;
        mac.update(DERIVATION_LABEL);
        mac.update(&[counter]);
        mac.update(key.0.as_bytes());
        let bytes = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        OpenKey::new(&bytes).is_some().then_some(bytes)
    }
}

impl KeySource for DerivedKeys {
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        if key.0.is_empty() || key.0.len() > MAX_KEY_REF {
            return Err(SignerError::UnknownKey(key.clone()));
        }
        // One candidate in 2^128 is no valid key; then the next is taken.
        (0..=u8::MAX)
            .find_map(|counter| self.candidate(key, counter))
            .ok_or_else(|| SignerError::UnknownKey(key.clone()))
    }
}

/// A key ready to sign. Erased when dropped.
pub(crate) struct OpenKey {
    secret: SecretKey,
    pub(crate) address: Address,
}

impl OpenKey {
    /// Opens 32 secret bytes; `None` when they are no valid key.
    pub(crate) fn new(bytes: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_byte_array(*bytes).ok()?;
        let public = secret.public_key(SECP256K1).serialize_uncompressed();
        // The first byte tags the encoding; the address is the tail of the hash of the rest.
        let hash = keccak256(public.split_first()?.1);
        Some(Self { secret, address: Address(*hash.last_chunk()?) })
    }

    /// `r ‖ s ‖ v` with a deterministic nonce (RFC 6979), low `s` and `v` 27 or 28.
    pub(crate) fn sign(&self, digest: &Hash) -> [u8; 65] {
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        let (body, v) = bytes.split_at_mut(64);
        body.copy_from_slice(&compact);
        // The library numbers recovery ids 0 to 3; 2 and 3 do not occur in practice.
        v.fill(27_u8.saturating_add(u8::try_from(i32::from(recovery)).unwrap_or(u8::MAX)));
        bytes
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Public Hardhat/Anvil test key 0.
    pub(crate) const TEST_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn reference(text: &str) -> KeyRef {
        KeyRef(text.to_owned())
    }

    #[test]
    fn the_address_of_the_public_test_key() {
        let bytes = hex::decode(TEST_KEY).unwrap().try_into().unwrap();
        let key = OpenKey::new(&bytes).unwrap();
        assert_eq!(key.address.to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        assert!(OpenKey::new(&[0; 32]).is_none());
        assert!(OpenKey::new(&[0xff; 32]).is_none());
    }

    #[test]
    fn derived_keys_depend_on_seed_and_reference_alone() {
        let keys = DerivedKeys::new(Zeroizing::new([1; 32]));
        let again = DerivedKeys::new(Zeroizing::new([1; 32]));
        let other = DerivedKeys::new(Zeroizing::new([2; 32]));
        let open = |keys: &DerivedKeys, text: &str| *keys.open(&reference(text)).unwrap();
        assert_eq!(open(&keys, "a"), open(&again, "a"));
        assert_ne!(open(&keys, "a"), open(&keys, "b"));
        assert_ne!(open(&keys, "a"), open(&other, "a"));
        for bad in ["", &"x".repeat(MAX_KEY_REF + 1)] {
            assert_eq!(keys.open(&reference(bad)), Err(SignerError::UnknownKey(reference(bad))));
        }
    }
}

//! Where keys come from and what an opened key can do.

use alloy_primitives::keccak256;
use domain::{Address, Hash, KeyRef};
use engine::ports::venue::SignerError;
use hmac::{Hmac, KeyInit, Mac};
use secp256k1::{Message, SECP256K1, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{limits::MAX_KEY_REF, policy::Binding};

/// Finds the secret of a key reference.
pub trait KeySource: Send + Sync {
    /// The 32 secret bytes.
    ///
    /// # Errors
    /// [`SignerError::UnknownKey`], or [`SignerError::Unavailable`] when the source is broken.
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError>;

    /// The one wallet a key was sealed for. Such a key stands for real money: it signs orders only for an account that
    /// is armed, within its caps. `None` for keys that nobody sealed.
    fn sealed_for(&self, key: &KeyRef) -> Option<Binding> {
        let _ = key;
        None
    }
}

impl<S: KeySource + ?Sized> KeySource for std::sync::Arc<S> {
    fn open(&self, key: &KeyRef) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        (**self).open(key)
    }

    fn sealed_for(&self, key: &KeyRef) -> Option<Binding> {
        (**self).sealed_for(key)
    }
}

/// A private key on its way from a person into a vault. Has no `Debug`, and is erased when dropped.
pub struct PrivateKey {
    bytes: Zeroizing<[u8; 32]>,
    address: Address,
}

/// A text that is no private key. Says what it is instead, and nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormat {
    /// Nothing.
    #[error("it is empty; a private key is 64 hex digits, with or without 0x")]
    Empty,
    /// Words.
    #[error(
        "it is a recovery phrase; export the private key of the one account that is to trade (64 hex digits)"
    )]
    Words,
    /// 20 bytes.
    #[error("it is an address, which everybody may know; the private key is 64 hex digits")]
    Address,
    /// JSON.
    #[error("it is JSON, perhaps an encrypted keystore; export the private key itself (64 hex digits)")]
    Json,
    /// Another count of digits.
    #[error("it has {0} characters; a private key is 64 hex digits, with or without 0x")]
    Length(usize),
    /// Something that is no hex digit.
    #[error("it has characters that are no hex digits; a private key is 64 of them, with or without 0x")]
    NotHex,
    /// Zero, or beyond the curve's order.
    #[error("it is 64 hex digits, but no key of secp256k1; was it mistyped?")]
    OffCurve,
}

impl PrivateKey {
    /// Reads 64 hex digits, with or without `0x`, among blanks.
    ///
    /// # Errors
    /// [`KeyFormat`], with what it is instead.
    pub fn parse(text: &[u8]) -> Result<Self, KeyFormat> {
        let text = text.trim_ascii();
        let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
        if digits.len() != 64 {
            return Err(match digits {
                [] => KeyFormat::Empty,
                [b'{', ..] => KeyFormat::Json,
                _ if text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count() >= 12 => {
                    KeyFormat::Words
                }
                _ if digits.len() == 40 && digits.iter().all(u8::is_ascii_hexdigit) => KeyFormat::Address,
                _ => KeyFormat::Length(text.len()),
            });
        }
        let mut bytes = Zeroizing::new([0; 32]);
        alloy_primitives::hex::decode_to_slice(digits, bytes.as_mut_slice())
            .map_err(|_| KeyFormat::NotHex)?;
        let address = OpenKey::new(&bytes).ok_or(KeyFormat::OffCurve)?.address;
        Ok(Self { bytes, address })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    pub(crate) const fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.bytes
    }
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
    fn what_is_no_private_key_is_told_what_it_is() {
        for good in
            [TEST_KEY.to_owned(), format!("0x{TEST_KEY}\n"), format!("  0X{} ", TEST_KEY.to_uppercase())]
        {
            let key = PrivateKey::parse(good.as_bytes()).ok().unwrap();
            assert_eq!(key.address().to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        }
        let phrase = "test test test test test test test test test test test junk";
        let bad = [
            ("", KeyFormat::Empty),
            ("0x", KeyFormat::Empty),
            (phrase, KeyFormat::Words),
            ("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", KeyFormat::Address),
            (r#"{"crypto":{}}"#, KeyFormat::Json),
            ("abc", KeyFormat::Length(3)),
            (&"z".repeat(64), KeyFormat::NotHex),
            (&"0".repeat(64), KeyFormat::OffCurve),
            (&"f".repeat(64), KeyFormat::OffCurve),
        ];
        for (text, expected) in bad {
            assert_eq!(PrivateKey::parse(text.as_bytes()).err(), Some(expected), "{text}");
        }
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

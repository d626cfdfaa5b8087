//! Secrets that are handed out once, and what is kept of them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use domain::Hash;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::access::Randomness;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// A secret of 256 random bits as text, on its way to whoever it is for. No `Debug`, erased when dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new one behind these letters, which tell people what it is.
    pub(crate) fn new(random: &dyn Randomness, prefix: &str) -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(bytes.as_mut_slice())?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Zeroizing::new(format!("{prefix}{}", text.as_str()))))
    }

    /// A new one of 128 bits, of letters and digits alone.
    pub(crate) fn letters(random: &dyn Randomness) -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; 16]);
        random.fill(bytes.as_mut_slice())?;
        Ok(Self(Zeroizing::new(hex::encode(bytes.as_slice()))))
    }

    /// The text: for a cookie, a link or a page that shows it once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

/// SHA-256 of a secret's text. Nobody finds 256 random bits from it, so it needs no salt and no passes.
#[must_use]
pub fn digest(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

/// A value for a purpose that follows from a text and tells nothing of it.
pub(crate) fn derived(purpose: &str, text: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(purpose.as_bytes());
    hash.update([0]);
    hash.update(text.as_bytes());
    Hash(hash.finalize().into())
}

/// Whether two byte strings are the same, in a time that does not say where they differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

/// Seals what must be read again: the secrets of authenticator apps. No `Debug`.
pub(crate) struct SealingKey(Zeroizing<[u8; 32]>);

/// Bytes of a nonce that is random: so many that none comes twice.
const NONCE: usize = 24;

impl SealingKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// XChaCha20-Poly1305 with its nonce before the text; `context` is authenticated and not contained.
    pub(crate) fn seal(
        &self,
        random: &dyn Randomness,
        context: &str,
        plain: &[u8],
    ) -> Result<Vec<u8>, NoRandomness> {
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce)?;
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        // What we seal is far from too long.
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| NoRandomness)?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// What was sealed; `None` when key, context or text is another.
    pub(crate) fn open(&self, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_strings_are_the_same() {
        assert!(same(b"", b"") && same(b"ab", b"ab"));
        for (one, other) in [("ab", "aa"), ("ab", "a"), ("", "a"), ("ba", "ab")] {
            assert!(!same(one.as_bytes(), other.as_bytes()), "{one} {other}");
        }
    }

    #[test]
    fn purposes_do_not_run_into_texts() {
        assert_ne!(derived("ab", "c"), derived("a", "bc"));
        assert_ne!(derived("", "text"), digest("text"));
    }
}

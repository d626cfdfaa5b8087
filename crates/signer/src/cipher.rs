//! The few cryptographic steps that sealing is made of, each of a library. Nothing here knows what is sealed.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 secret bytes.
pub(crate) type Secret32 = Zeroizing<[u8; 32]>;

/// Bytes of a nonce that is random: so many that none comes twice.
const NONCE: usize = 24;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; N]);
    let mut filled = 0;
    while filled < N {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        filled +=
            rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).map_err(|_| NoRandomness)?;
    }
    Ok(bytes)
}

/// HKDF-SHA-256: a key for one purpose.
pub(crate) fn derive(material: &[u8], salt: &[u8], purpose: &[u8]) -> Secret32 {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are far from the most that it gives.
    let expanded = Hkdf::<Sha256>::new(Some(salt), material).expand(purpose, key.as_mut_slice());
    debug_assert!(expanded.is_ok());
    key
}

/// XChaCha20-Poly1305 with a random nonce before the text. `context` is authenticated and not contained.
pub(crate) fn encrypt(key: &Secret32, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
    let nonce = random::<NONCE>()?;
    let cipher = XChaCha20Poly1305::new(&(**key).into());
    let text = cipher
        .encrypt(&XNonce::from(*nonce), Payload { msg: plain, aad: context })
        // What we seal is far from too long.
        .map_err(|_| NoRandomness)?;
    Ok([nonce.as_slice(), &text].concat())
}

/// What [`encrypt`] took; `None` when key, context or text is not the same.
pub(crate) fn decrypt(key: &Secret32, context: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = bytes.split_first_chunk::<NONCE>()?;
    let cipher = XChaCha20Poly1305::new(&(**key).into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: context }).ok().map(Zeroizing::new)
}

/// Fields one after another, each with its length, so that no two lists read alike.
pub(crate) fn fields(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

/// HMAC-SHA-256 over `text`.
pub(crate) fn mac(key: &Secret32, text: &[u8]) -> Hmac<Sha256> {
    // A key that is shorter than a block is one with zeros behind it, by the definition of HMAC.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.iter()) {
        *to = *from;
    }
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new(&(*block).into());
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_context_only() {
        let (key, other) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let sealed = encrypt(&key, b"here", b"secret").unwrap();
        assert_eq!(decrypt(&key, b"here", &sealed).unwrap().as_slice(), b"secret");
        assert_ne!(encrypt(&key, b"here", b"secret").unwrap(), sealed, "a nonce of its own");
        assert!(decrypt(&other, b"here", &sealed).is_none());
        assert!(decrypt(&key, b"there", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(decrypt(&key, b"here", &changed).is_none(), "byte {at}");
            assert!(decrypt(&key, b"here", &sealed[..at]).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn no_two_lists_read_alike() {
        assert_ne!(fields(&[b"ab", b"c"]), fields(&[b"a", b"bc"]));
        assert_ne!(fields(&[b"", b"a"]), fields(&[b"a", b""]));
    }

    /// RFC 4231, test case 2, with its key filled up; RFC 5869, appendix A.3.
    #[test]
    fn codes_and_derived_keys_are_those_of_the_standards() {
        let mut key = Zeroizing::new([0; 32]);
        key[..4].copy_from_slice(b"Jefe");
        let code = mac(&key, b"what do ya want for nothing?").finalize().into_bytes();
        assert_eq!(hex::encode(code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let derived = derive(&[0x0b; 22], b"", b"");
        assert_eq!(
            hex::encode(derived.as_slice()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }
}

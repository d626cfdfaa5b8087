//! What a bare signature costs on this machine, for measurements. Uses one key that never held anything
//! and digests of its own making; nothing can be signed through here.

use domain::Hash;

use crate::keys::OpenKey;

/// Makes this many recoverable signatures of different digests and nothing else. The answer is a byte of
/// all of them, so that no compiler leaves one out.
#[must_use]
pub fn bare_signatures(count: u64) -> u8 {
    let Some(key) = OpenKey::new(&[0x77; 32]) else { return 0 };
    let mut mixed = 0;
    for number in 0..count {
        let mut digest = [0x55; 32];
        for (to, from) in digest.iter_mut().zip(number.to_be_bytes()) {
            *to = from;
        }
        let signature = key.sign(&Hash(digest));
        mixed ^= signature.iter().fold(0, |mixed, byte| mixed ^ byte);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_counts() {
        let one = bare_signatures(1);
        assert_eq!(one, bare_signatures(1));
        assert!((2..40).any(|count| bare_signatures(count) != one));
    }
}

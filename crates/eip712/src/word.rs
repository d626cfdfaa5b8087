//! 32-byte words of an EIP-712 encoding, and the hash over them.

use alloy_primitives::keccak256;
use domain::Address;

/// One encoded field.
pub(crate) type Word = [u8; 32];

/// An unsigned number as a big-endian word.
pub(crate) fn number(value: u64) -> Word {
    let mut word = [0; 32];
    if let Some(tail) = word.last_chunk_mut() {
        *tail = value.to_be_bytes();
    }
    word
}

/// An address, left-padded.
pub(crate) fn address(value: Address) -> Word {
    let mut word = [0; 32];
    if let Some(tail) = word.last_chunk_mut() {
        *tail = value.0;
    }
    word
}

/// `keccak256` of a struct's words, its type hash first.
pub(crate) fn hash_struct<const N: usize>(words: &[Word; N]) -> Word {
    keccak256(words.as_flattened()).0
}

/// `keccak256(0x1901 ‖ domain separator ‖ struct hash)`: what is signed.
pub(crate) fn digest(domain_separator: &Word, struct_hash: &Word) -> Word {
    let mut message = [0; 66];
    let (prefix, body) = message.split_at_mut(2);
    prefix.copy_from_slice(&[0x19, 0x01]);
    let (domain, hash) = body.split_at_mut(32);
    domain.copy_from_slice(domain_separator);
    hash.copy_from_slice(struct_hash);
    keccak256(message).0
}

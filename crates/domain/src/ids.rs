//! Identifiers of the chain and the venue, as bytes. Text only at the edge.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An identifier that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `0x` and hex digits, two of them a byte.
    #[error("`{text}` is not `0x` and {expected} hex digits")]
    NotHex {
        /// What was given, shortened.
        text: String,
        /// Digits needed.
        expected: usize,
    },
    /// Hex of the wrong length.
    #[error("`{text}` has {found} bytes where {expected} are needed")]
    Length {
        /// What was given, shortened.
        text: String,
        /// Bytes needed.
        expected: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// Not a decimal number below 2^256.
    #[error("`{0}` is not a decimal number below 2^256")]
    NotDecimal(String),
}

fn parse_hex(text: &str, bytes: usize) -> Result<Vec<u8>, IdError> {
    let not_hex = || IdError::NotHex { text: shorten(text), expected: bytes.saturating_mul(2) };
    let digits = text.strip_prefix("0x").ok_or_else(not_hex)?;
    if digits.len() % 2 != 0 || !digits.is_ascii() {
        return Err(not_hex());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    digits.as_bytes().as_chunks().0.iter().map(byte).collect::<Option<_>>().ok_or_else(not_hex)
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let digit =
        |number: u8| if number < 10 { b'0'.saturating_add(number) } else { b'W'.saturating_add(number) };
    // At most 32 bytes, written at once: writing each by itself takes many times as long.
    let mut text = [0; 64];
    for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0x0f)];
    }
    let digits =
        text.get(..bytes.len().saturating_mul(2)).and_then(|digits| std::str::from_utf8(digits).ok());
    f.write_str("0x")?;
    f.write_str(digits.unwrap_or_default())
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// From a slice, as a store or a decoder has it.
            ///
            /// # Errors
            /// [`IdError::Length`] when the slice has another length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError::Length {
                    text: stringify!($name).to_owned(),
                    expected: stringify!($length),
                    found: bytes.len(),
                })
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = parse_hex(text, $length)?;
                bytes.as_slice().try_into().map(Self).map_err(|_| IdError::Length {
                    text: shorten(text),
                    expected: stringify!($length),
                    found: bytes.len(),
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        text_impls!($name);
    };
}

/// `Debug` and serde as the text form, so that logs and JSON show what people search for.
macro_rules! text_impls {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fixed_bytes!(
    /// A wallet or contract on Polygon.
    Address, 20
);
fixed_bytes!(
    /// Any 32-byte hash without a more specific name (block hash, digest).
    Hash, 32
);
fixed_bytes!(
    /// A transaction hash.
    TxHash, 32
);
fixed_bytes!(
    /// The EIP-712 hash of an order, which is the venue's order id and the contract's `orderHash`.
    OrderId, 32
);

/// An outcome token (ERC-1155 id, "asset id"): 256 bits, big-endian; decimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 32]);

impl TokenId {
    /// From a slice of 32 big-endian bytes.
    ///
    /// # Errors
    /// [`IdError::Length`] when the slice has another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        Hash::from_slice(bytes).map(|hash| Self(hash.0))
    }

    /// Whether this is an id of the Exchange V3 era ("V2 positions"): bits 40 to 103 are zero.
    /// Source: Polymarket/py-sdk `_internal/protocol.py` `is_v2_position_id`.
    #[must_use]
    pub fn is_v3(&self) -> bool {
        // Bits 40..104 counted from the least significant end are the bytes 19..27.
        self.0.iter().skip(19).take(8).all(|byte| *byte == 0)
    }
}

/// Digits that are read or written at once: the most that fit into a limb.
const DIGITS: usize = 9;
/// 10 to the power of [`DIGITS`].
const RADIX: u64 = 1_000_000_000;

impl TokenId {
    /// The number in limbs of 32 bits, the greatest first.
    fn limbs(&self) -> [u32; 8] {
        let mut limbs = [0; 8];
        for (limb, bytes) in limbs.iter_mut().zip(self.0.as_chunks().0) {
            *limb = u32::from_be_bytes(*bytes);
        }
        limbs
    }

    fn of_limbs(limbs: [u32; 8]) -> Self {
        let mut id = [0; 32];
        for (bytes, limb) in id.as_chunks_mut().0.iter_mut().zip(limbs) {
            *bytes = limb.to_be_bytes();
        }
        Self(id)
    }
}

impl FromStr for TokenId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::NotDecimal(shorten(text));
        if text.is_empty() || text.len() > 78 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let mut limbs = [0_u32; 8];
        // The first group is the odd one, so that the others are full.
        for group in text.as_bytes().rchunks(DIGITS).rev() {
            let add = |sum: u64, digit: &u8| {
                sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
            };
            let mut carry = group.iter().fold(0, add);
            for limb in limbs.iter_mut().rev() {
                let next = u64::from(*limb).saturating_mul(RADIX).saturating_add(carry);
                *limb = low_half(next);
                carry = next >> 32;
            }
            if carry != 0 {
                return Err(bad());
            }
        }
        Ok(Self::of_limbs(limbs))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let mut text = [b'0'; 81];
        for group in text.as_chunks_mut::<DIGITS>().0.iter_mut().rev() {
            if limbs.iter().all(|limb| *limb == 0) {
                break;
            }
            let mut rest = 0;
            for limb in &mut limbs {
                let current = rest << 32 | u64::from(*limb);
                *limb = low_half(current.div_euclid(RADIX));
                rest = current.rem_euclid(RADIX);
            }
            for digit in group.iter_mut().rev() {
                *digit = b'0'.saturating_add(u8::try_from(rest.rem_euclid(10)).unwrap_or_default());
                rest = rest.div_euclid(10);
            }
        }
        let first = text.iter().position(|digit| *digit != b'0').unwrap_or(text.len().saturating_sub(1));
        let digits = text.get(first..).and_then(|digits| std::str::from_utf8(digits).ok());
        f.write_str(digits.unwrap_or_default())
    }
}

fn low_half(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

text_impls!(TokenId);

/// A market condition. Conditional Tokens ids have 32 bytes, ids of the Exchange V3 era 31, and both
/// lengths are kept as they came: the same bytes with another length are another condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionId {
    bytes: [u8; 32],
    length: u8,
}

impl ConditionId {
    /// From 31 or 32 bytes.
    ///
    /// # Errors
    /// [`IdError::Length`] for any other length.
    pub fn from_slice(slice: &[u8]) -> Result<Self, IdError> {
        let length_error =
            || IdError::Length { text: "condition id".to_owned(), expected: "31 or 32", found: slice.len() };
        if !matches!(slice.len(), 31 | 32) {
            return Err(length_error());
        }
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(slice) {
            *to = *from;
        }
        Ok(Self { bytes, length: u8::try_from(slice.len()).map_err(|_| length_error())? })
    }

    /// The 31 or 32 bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl From<[u8; 32]> for ConditionId {
    fn from(bytes: [u8; 32]) -> Self {
        Self { bytes, length: 32 }
    }
}

impl FromStr for ConditionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_slice(&parse_hex(text, 32)?)
    }
}

impl fmt::Display for ConditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_slice())
    }
}

text_impls!(ConditionId);

/// Surrogate keys of the system of record. Only a store makes them.
macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

row_id!(
    /// A tenant: whoever a row belongs to.
    OwnerId,
    /// A trading account of an owner.
    AccountId,
    /// A followed wallet.
    LeaderId,
    /// One follower account following one leader under one policy.
    RelationshipId,
    /// A hold on an installation, account, leader or relationship.
    HoldId,
    /// A trade group: (leader, transaction, token, side).
    GroupId,
    /// A decision's intent to trade.
    IntentId,
    /// One signed attempt of an intent.
    AttemptId,
    /// A transaction of a wallet.
    TransactionId,
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_ids_are_decimal() {
        let text = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
        assert_eq!(text.parse::<TokenId>().unwrap().to_string(), text);
        assert_eq!("0".parse::<TokenId>().unwrap().to_string(), "0");
        let largest = TokenId([0xff; 32]).to_string();
        assert_eq!(largest.parse::<TokenId>().unwrap(), TokenId([0xff; 32]));
        for bad in ["", "12x", "-1", "0x10", "+5", &format!("{largest}0")] {
            assert!(bad.parse::<TokenId>().is_err(), "{bad}");
        }
        // One above the largest.
        let above = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert!(above.parse::<TokenId>().is_err());
    }

    #[test]
    fn conditions_keep_their_length() {
        let long = format!("0x{}", "ab".repeat(32));
        let short = format!("0x{}", "ab".repeat(31));
        assert_eq!(long.parse::<ConditionId>().unwrap().to_string(), long);
        assert_eq!(short.parse::<ConditionId>().unwrap().to_string(), short);
        assert_ne!(long.parse::<ConditionId>().unwrap(), short.parse().unwrap());
        assert!(format!("0x{}", "ab".repeat(30)).parse::<ConditionId>().is_err());
    }

    #[test]
    fn hex_is_strict() {
        for bad in ["", "0x", "ab", "0x+1", "0x0g", "0xé0", "0x123"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn v3_ids_have_a_hole() {
        let mut id = [0x11; 32];
        assert!(!TokenId(id).is_v3());
        id[19..27].fill(0);
        assert!(TokenId(id).is_v3());
        id[26] = 1;
        assert!(!TokenId(id).is_v3());
    }

    proptest! {
        #[test]
        fn token_text_round_trips(bytes in any::<[u8; 32]>()) {
            let id = TokenId(bytes);
            prop_assert_eq!(id.to_string().parse::<TokenId>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<TokenId>(&json).unwrap(), id);
        }
    }
}

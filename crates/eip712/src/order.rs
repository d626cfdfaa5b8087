//! The order of V2 and V3 (one struct, domains differ) and the nested signature of deposit wallets.

use alloy_primitives::hex;
use domain::{Address, Hash, OrderId, Side, TokenId};

use crate::{
    exchange::{Chain, Exchange},
    word::{Word, address, digest, hash_struct, number},
};

/// `encodeType(Order)`. Source: identical in clob-client-v2, py-clob-client-v2 and rs-clob-client-v2.
const ORDER_TYPE: &str = "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)";
/// `ORDER_TYPE.len()` as the wrapped signature ends with it.
const ORDER_TYPE_LENGTH: [u8; 2] = 186_u16.to_be_bytes();
const ORDER_TYPE_HASH: Word = hex!("bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589");

/// `keccak256` of the ERC-7739 `TypedDataSign` type around [`ORDER_TYPE`].
const TYPED_DATA_SIGN_TYPE_HASH: Word =
    hex!("6ba028565cb324c2aa02bb714b9816d0bddd557a2f33bb36cf13272a4256bd42");
/// `keccak256("DepositWallet")`, the wallet domain's name.
const WALLET_NAME_HASH: Word = hex!("d682b529a17cda19aa275f3a050608f9e9401fadd1b0d233d81519972295828b");
/// `keccak256("1")`, the wallet domain's version.
const WALLET_VERSION_HASH: Word = hex!("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");

/// Who signs for the maker, as the contract numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignatureType {
    /// The maker is the key's own address.
    Eoa = 0,
    /// The maker is a Polymarket proxy wallet of the key.
    Proxy = 1,
    /// The maker is a Safe of the key.
    Safe = 2,
    /// Maker and signer are a deposit wallet (ERC-1271); the key signs in its name.
    DepositWallet = 3,
}

impl SignatureType {
    /// The type with this number; `None` for numbers the contract does not know.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Eoa),
            1 => Some(Self::Proxy),
            2 => Some(Self::Safe),
            3 => Some(Self::DepositWallet),
            _ => None,
        }
    }

    /// The number on the wire and in the signed struct.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Eoa => 0,
            Self::Proxy => 1,
            Self::Safe => 2,
            Self::DepositWallet => 3,
        }
    }
}

/// The signed fields of an order, in plain form. Expiration, order type and owner travel beside it and
/// are not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderToSign {
    /// Makes the id unique; below 2^53, because it travels as a JSON number.
    pub salt: u64,
    /// The wallet that gives and gets.
    pub maker: Address,
    /// The key's address, or the deposit wallet itself for [`SignatureType::DepositWallet`].
    pub signer: Address,
    /// The outcome token.
    pub token: TokenId,
    /// What the maker gives, in millionths: dollars for a buy, shares for a sell.
    pub maker_amount: u64,
    /// What the maker gets, in millionths.
    pub taker_amount: u64,
    /// Buy or sell.
    pub side: Side,
    /// Who signs.
    pub signature_type: SignatureType,
    /// Creation time in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Free for the client; zero as a rule.
    pub metadata: Hash,
    /// The builder code; zero for none.
    pub builder: Hash,
}

impl OrderToSign {
    /// `hashStruct(Order)`, independent of the exchange.
    fn struct_hash(&self) -> Word {
        hash_struct(&[
            ORDER_TYPE_HASH,
            number(self.salt),
            address(self.maker),
            address(self.signer),
            self.token.0,
            number(self.maker_amount),
            number(self.taker_amount),
            number(match self.side {
                Side::Buy => 0,
                Side::Sell => 1,
            }),
            number(u64::from(self.signature_type.number())),
            number(self.timestamp_ms),
            self.metadata.0,
            self.builder.0,
        ])
    }
}

/// The order's id: its EIP-712 hash, which the venue answers with and the contract emits as `orderHash`.
/// For every signature type it is the hash of the plain order.
#[must_use]
pub fn order_id(order: &OrderToSign, exchange: Exchange, chain: Chain) -> OrderId {
    OrderId(digest(&exchange.domain_separator(chain), &order.struct_hash()))
}

/// What the key signs: the order's id, and for deposit wallets the order nested in `TypedDataSign`
/// (ERC-7739) with the wallet's own domain inside and the exchange's domain outside.
#[must_use]
pub fn signing_digest(order: &OrderToSign, exchange: Exchange, chain: Chain) -> Hash {
    let separator = exchange.domain_separator(chain);
    let contents = order.struct_hash();
    let signed = match order.signature_type {
        SignatureType::DepositWallet => hash_struct(&[
            TYPED_DATA_SIGN_TYPE_HASH,
            contents,
            WALLET_NAME_HASH,
            WALLET_VERSION_HASH,
            number(chain.id()),
            address(order.signer),
            [0; 32],
        ]),
        SignatureType::Eoa | SignatureType::Proxy | SignatureType::Safe => contents,
    };
    Hash(digest(&separator, &signed))
}

/// The signature as the venue and the contract take it: the 65 bytes `r ‖ s ‖ v` themselves, and for
/// deposit wallets those followed by domain separator, contents hash, order type and its length.
#[must_use]
pub fn wrap_signature(
    order: &OrderToSign,
    exchange: Exchange,
    chain: Chain,
    signature: &[u8; 65],
) -> Vec<u8> {
    match order.signature_type {
        SignatureType::DepositWallet => [
            signature.as_slice(),
            &exchange.domain_separator(chain),
            &order.struct_hash(),
            ORDER_TYPE.as_bytes(),
            &ORDER_TYPE_LENGTH,
        ]
        .concat(),
        SignatureType::Eoa | SignatureType::Proxy | SignatureType::Safe => signature.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn constants_are_the_hashes_of_their_texts() {
        let nested = format!(
            "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt){ORDER_TYPE}"
        );
        assert_eq!(ORDER_TYPE_HASH, keccak256(ORDER_TYPE).0);
        assert_eq!(usize::from(u16::from_be_bytes(ORDER_TYPE_LENGTH)), ORDER_TYPE.len());
        assert_eq!(TYPED_DATA_SIGN_TYPE_HASH, keccak256(nested).0);
        assert_eq!(WALLET_NAME_HASH, keccak256("DepositWallet").0);
        assert_eq!(WALLET_VERSION_HASH, keccak256("1").0);
    }

    #[test]
    fn signature_types_are_the_contract_s_numbers() {
        for number in 0..=3 {
            assert_eq!(SignatureType::from_number(number).unwrap().number(), number);
        }
        assert_eq!(SignatureType::from_number(4), None);
    }
}

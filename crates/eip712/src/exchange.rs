//! Chains, exchange contracts and their signing domains.

use alloy_primitives::hex;
use domain::{Address, TokenId};

use crate::word::Word;

/// A chain the venue runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// Polygon, chain id 137.
    Polygon,
    /// The test network Amoy, chain id 80002.
    Amoy,
}

impl Chain {
    /// The chain with this id.
    ///
    /// # Errors
    /// [`ExchangeError::UnknownChain`].
    pub const fn from_id(id: u64) -> Result<Self, ExchangeError> {
        match id {
            137 => Ok(Self::Polygon),
            80_002 => Ok(Self::Amoy),
            other => Err(ExchangeError::UnknownChain(other)),
        }
    }

    /// The EIP-155 chain id.
    #[must_use]
    pub const fn id(self) -> u64 {
        match self {
            Self::Polygon => 137,
            Self::Amoy => 80_002,
        }
    }
}

/// A chain or contract no order can be signed for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Not Polygon and not Amoy.
    #[error("chain {0} is not supported; use 137 (Polygon) or 80002 (Amoy)")]
    UnknownChain(u64),
    /// An exchange of the first era: the venue refuses its orders since 2026-04-28.
    #[error("{0} is a retired V1 exchange; the venue refuses its orders, so none is signed")]
    RetiredV1(Address),
    /// Not an exchange at all.
    #[error("{address} is not an exchange of chain {chain}")]
    UnknownContract {
        /// The contract asked for.
        address: Address,
        /// The chain id.
        chain: u64,
    },
}

/// An exchange contract that orders are signed for. There is no other signing domain for orders.
/// Source: docs.polymarket.com/resources/contracts and the official clients' configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// CTF Exchange V2: ordinary markets.
    CtfV2,
    /// Neg-risk CTF Exchange V2: markets of which at most one wins.
    NegRiskV2,
    /// Exchange V3: every token of the "V2 positions" era.
    V3,
}

/// The V1 exchanges on Polygon and Amoy; the neg-risk one has one address on both.
const RETIRED_V1: [Address; 3] = [
    Address(hex!("4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e")),
    Address(hex!("c5d563a36ae78145c45a50134d48a1215220f80a")),
    Address(hex!("dfe02eb6733538f8ea35d585af8de5958ad99e40")),
];

impl Exchange {
    /// All exchanges of the era.
    pub const ALL: [Self; 3] = [Self::CtfV2, Self::NegRiskV2, Self::V3];

    /// The exchange a token trades on: V3 ids say so themselves, for the others the market's neg-risk
    /// flag decides.
    #[must_use]
    pub fn for_token(token: &TokenId, neg_risk: bool) -> Self {
        match (token.is_v3(), neg_risk) {
            (true, _) => Self::V3,
            (false, true) => Self::NegRiskV2,
            (false, false) => Self::CtfV2,
        }
    }

    /// The exchange at a contract address.
    ///
    /// # Errors
    /// [`ExchangeError::RetiredV1`] for the contracts of the first era,
    /// [`ExchangeError::UnknownContract`] for anything else that is not an exchange.
    pub fn at(address: Address, chain: Chain) -> Result<Self, ExchangeError> {
        if RETIRED_V1.contains(&address) {
            return Err(ExchangeError::RetiredV1(address));
        }
        Self::ALL
            .into_iter()
            .find(|exchange| exchange.address(chain) == address)
            .ok_or(ExchangeError::UnknownContract { address, chain: chain.id() })
    }

    /// The contract, which is the `verifyingContract` of the signing domain.
    #[must_use]
    pub const fn address(self, chain: Chain) -> Address {
        Address(match (self, chain) {
            (Self::CtfV2, _) => hex!("e111180000d2663c0091e4f400237545b87b996b"),
            (Self::NegRiskV2, _) => hex!("e2222d279d744050d28e00520010520000310f59"),
            (Self::V3, Chain::Polygon) => hex!("e3333700ca9d93003f00f0f71f8515005f6c00aa"),
            (Self::V3, Chain::Amoy) => hex!("9fe6e61422adb6f610d8597f9684b16912d50c3d"),
        })
    }

    /// `hashStruct(EIP712Domain)` of the domain "Polymarket CTF Exchange" with the version ("2", or "3"
    /// for V3), chain id and contract.
    #[must_use]
    pub const fn domain_separator(self, chain: Chain) -> Word {
        match (self, chain) {
            (Self::CtfV2, Chain::Polygon) => CTF_V2_POLYGON,
            (Self::CtfV2, Chain::Amoy) => CTF_V2_AMOY,
            (Self::NegRiskV2, Chain::Polygon) => NEG_RISK_V2_POLYGON,
            (Self::NegRiskV2, Chain::Amoy) => NEG_RISK_V2_AMOY,
            (Self::V3, Chain::Polygon) => V3_POLYGON,
            (Self::V3, Chain::Amoy) => V3_AMOY,
        }
    }
}

const CTF_V2_POLYGON: Word = hex!("3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2");
const CTF_V2_AMOY: Word = hex!("a440cbd865bc0c6243d7a8df9a8bf48a8827b0a4abbb61c30e96d305423af148");
const NEG_RISK_V2_POLYGON: Word = hex!("9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a");
const NEG_RISK_V2_AMOY: Word = hex!("1468e39841f0a0e05d3762b235cb7acecabf8cd7b6d3a672965a5d415bf9378e");
const V3_POLYGON: Word = hex!("466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b");
const V3_AMOY: Word = hex!("df8b5fd204134b8d562677d7fc9346884e8f02ef2fd43358239393723e8833e6");

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;
    use crate::word::{address, hash_struct, number};

    #[test]
    fn domain_separators_are_the_hashes_of_their_texts() {
        let type_hash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        for chain in [Chain::Polygon, Chain::Amoy] {
            for (exchange, version) in
                [(Exchange::CtfV2, "2"), (Exchange::NegRiskV2, "2"), (Exchange::V3, "3")]
            {
                let separator = hash_struct(&[
                    type_hash.0,
                    keccak256("Polymarket CTF Exchange").0,
                    keccak256(version).0,
                    number(chain.id()),
                    address(exchange.address(chain)),
                ]);
                assert_eq!(exchange.domain_separator(chain), separator, "{exchange:?} {chain:?}");
            }
        }
    }

    #[test]
    fn the_token_decides_the_exchange() {
        let ctf = TokenId([0x11; 32]);
        let mut bytes = [0x11; 32];
        bytes[19..27].fill(0);
        let v3 = TokenId(bytes);
        assert_eq!(Exchange::for_token(&ctf, false), Exchange::CtfV2);
        assert_eq!(Exchange::for_token(&ctf, true), Exchange::NegRiskV2);
        assert_eq!(Exchange::for_token(&v3, false), Exchange::V3);
        assert_eq!(Exchange::for_token(&v3, true), Exchange::V3);
    }

    #[test]
    fn only_exchanges_of_the_era_are_found() {
        for chain in [Chain::Polygon, Chain::Amoy] {
            for exchange in Exchange::ALL {
                assert_eq!(Exchange::at(exchange.address(chain), chain), Ok(exchange));
            }
            for retired in RETIRED_V1 {
                assert_eq!(Exchange::at(retired, chain), Err(ExchangeError::RetiredV1(retired)));
            }
            let stranger = Address([7; 20]);
            assert_eq!(
                Exchange::at(stranger, chain),
                Err(ExchangeError::UnknownContract { address: stranger, chain: chain.id() })
            );
            assert_eq!(Chain::from_id(chain.id()), Ok(chain));
        }
        assert_eq!(Chain::from_id(1), Err(ExchangeError::UnknownChain(1)));
        // The V3 exchange of one network is no exchange on the other.
        assert!(Exchange::at(Exchange::V3.address(Chain::Amoy), Chain::Polygon).is_err());
    }
}

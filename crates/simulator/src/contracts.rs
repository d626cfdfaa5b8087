//! Addresses and event shapes of the contracts the simulated chain speaks for.
//! Owns constants only; never decides anything.
//!
//! Source: the venue's contract page (docs.polymarket.com/resources/contracts) and the events that the
//! V2 and V3 exchanges, ConditionalTokens and ERC-20/ERC-1155 declare.

use alloy_primitives::address;
use domain::{Address, TokenId};

/// Polygon's chain id.
pub const CHAIN_ID: u64 = 137;
/// ConditionalTokens, the ERC-1155 of the V2 era.
pub const CONDITIONAL_TOKENS: Address = known(address!("4D97DCd97eC945f40cF65F87097ACe5EA0476045"));
/// PositionManager, the ERC-1155 of the V3 era.
pub const POSITION_MANAGER: Address = known(address!("006F54F7f9A22e0000CC2AB60031000000ae9fEF"));
/// pUSD, the collateral: ERC-20 with six decimals.
pub const COLLATERAL: Address = known(address!("C011a7E12a19f7B1f670d46F03B03f3342E82DFB"));
/// USDC.e, the collateral of ConditionalTokens' ordinary positions.
pub const USDC_E: Address = known(address!("2791Bca1f2de4661ED88A30C99A7a9449Aa84174"));
/// The collateral of ConditionalTokens' neg-risk positions. Made up: the address was not recorded, and nobody
/// reads it.
pub const WRAPPED_COLLATERAL: Address = known(address!("00000000000000000000000000000000000c0117"));
/// Splits, merges and redeems ordinary positions in pUSD, in its own name.
pub const COLLATERAL_ADAPTER: Address = known(address!("AdA100Db00Ca00073811820692005400218FcE1f"));
/// The same for neg-risk positions.
pub const NEG_RISK_COLLATERAL_ADAPTER: Address = known(address!("adA2005600Dec949baf300f4C6120000bDB6eAab"));
/// Redeems neg-risk positions.
pub const NEG_RISK_ADAPTER: Address = known(address!("d91E80cF2E7be2e162c6513ceD06f1dD0dA35296"));
/// Who receives taker fees. Source: `FeeCharged` of a recorded V2 settlement (block 89,010,807).
pub const FEE_RECEIVER: Address = known(address!("115f48dc2a731aa16251c6d6e1befc42f92accc9"));
/// The liquidity of the venue itself: the one wallet whose balance has no floor.
pub const HOUSE: Address = known(address!("00000000000000000000000000000000000b00c5"));
/// Source and sink of minted and burned tokens.
pub const NOBODY: Address = Address([0; 20]);

const fn known(address: alloy_primitives::Address) -> Address {
    Address(address.0.0)
}

/// The exchange contract an order is signed for and settled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// CTF Exchange V2.
    V2,
    /// Neg-risk CTF Exchange V2.
    V2NegRisk,
    /// Exchange V3, for all position ids of that era.
    V3,
}

impl Exchange {
    /// The exchange of a token: V3 ids say so themselves, older ones follow their market's kind.
    #[must_use]
    pub fn of(token: &TokenId, neg_risk: bool) -> Self {
        match (token.is_v3(), neg_risk) {
            (true, _) => Self::V3,
            (false, true) => Self::V2NegRisk,
            (false, false) => Self::V2,
        }
    }

    /// The contract's address.
    #[must_use]
    pub const fn address(self) -> Address {
        known(match self {
            Self::V2 => address!("E111180000d2663C0091e4f400237545B87B996B"),
            Self::V2NegRisk => address!("e2222d279d744050d28e00520010520000310F59"),
            Self::V3 => address!("e3333700cA9d93003F00f0F71f8515005F6c00Aa"),
        })
    }

    /// The version in the contract's EIP-712 domain.
    #[must_use]
    pub const fn domain_version(self) -> &'static str {
        match self {
            Self::V2 | Self::V2NegRisk => "2",
            Self::V3 => "3",
        }
    }
}

/// The ERC-1155 contract that holds a token.
#[must_use]
pub fn token_contract(token: &TokenId) -> Address {
    if token.is_v3() { POSITION_MANAGER } else { CONDITIONAL_TOKENS }
}

/// Contract events and calls. The macro's output has no documentation of its own.
pub mod abi {
    use alloy_sol_types::sol;

    sol! {
        event OrderFilled(bytes32 indexed orderHash, address indexed maker, address indexed taker, uint8 side,
            uint256 tokenId, uint256 makerAmountFilled, uint256 takerAmountFilled, uint256 fee,
            bytes32 builder, bytes32 metadata);
        event OrdersMatched(bytes32 indexed takerOrderHash, address indexed takerOrderMaker, uint8 side,
            uint256 tokenId, uint256 makerAmountFilled, uint256 takerAmountFilled);
        event FeeCharged(address indexed receiver, uint256 amount);
        event TransferSingle(address indexed operator, address indexed from, address indexed to,
            uint256 id, uint256 value);
        event TransferBatch(address indexed operator, address indexed from, address indexed to,
            uint256[] ids, uint256[] values);
        event Transfer(address indexed from, address indexed to, uint256 value);
        event PayoutRedemption(address indexed redeemer, address indexed collateralToken,
            bytes32 indexed parentCollectionId, bytes32 conditionId, uint256[] indexSets, uint256 payout);

        interface NegRisk {
            event PayoutRedemption(address indexed redeemer, bytes32 indexed conditionId, uint256[] amounts,
                uint256 payout);
        }

        interface Erc20 {
            function balanceOf(address owner) external view returns (uint256);
        }

        interface Erc1155 {
            function balanceOf(address account, uint256 id) external view returns (uint256);
            function balanceOfBatch(address[] accounts, uint256[] ids) external view returns (uint256[]);
        }

        interface Conditions {
            function payoutDenominator(bytes32 conditionId) external view returns (uint256);
            function payoutNumerators(bytes32 conditionId, uint256 index) external view returns (uint256);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolEvent;

    use super::{abi, *};

    #[test]
    fn topics_are_the_ones_seen_on_polygon() {
        // Topic 0 of logs of the V2 neg-risk exchange in block 89,010,807.
        let seen = [
            (
                abi::OrderFilled::SIGNATURE_HASH,
                "d543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
            ),
            (
                abi::OrdersMatched::SIGNATURE_HASH,
                "174b3811690657c217184f89418266767c87e4805d09680c39fc9c031c0cab7c",
            ),
            (
                abi::FeeCharged::SIGNATURE_HASH,
                "55bb3cade9d43b798a4fe5ffdd05024b2d7870df53920673bfc7e68047cd0ab1",
            ),
        ];
        for (hash, expected) in seen {
            assert_eq!(hex::encode(hash), expected);
        }
        assert!(hex::encode(abi::TransferSingle::SIGNATURE_HASH).starts_with("c3d58168"));
        assert!(hex::encode(abi::TransferBatch::SIGNATURE_HASH).starts_with("4a39dc06"));
        assert!(hex::encode(abi::PayoutRedemption::SIGNATURE_HASH).starts_with("2682012a"));
        // Of the neg-risk adapter, block 90,715,039.
        assert!(hex::encode(abi::NegRisk::PayoutRedemption::SIGNATURE_HASH).starts_with("9140a6a2"));
    }

    #[test]
    fn the_token_says_which_exchange() {
        let old = TokenId([0x11; 32]);
        let mut v3 = [0x11; 32];
        v3[19..27].fill(0);
        assert_eq!(Exchange::of(&old, false), Exchange::V2);
        assert_eq!(Exchange::of(&old, true), Exchange::V2NegRisk);
        assert_eq!(Exchange::of(&TokenId(v3), true), Exchange::V3);
        assert_eq!(token_contract(&TokenId(v3)), POSITION_MANAGER);
    }
}

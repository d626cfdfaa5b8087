//! Addresses, event topics and call selectors of the venue's contracts. Constants only.
//!
//! Sources: docs.polymarket.com/resources/contracts; topics and selector are recomputed from their
//! signatures in the tests.

use alloy_primitives::hex;
use domain::{Address, Hash, TokenId};
use eip712::Chain;

/// `OrderFilled` of the V2 and V3 exchanges.
pub const ORDER_FILLED: Hash = Hash(hex!("d543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"));
/// `PayoutRedemption` of ConditionalTokens.
pub const PAYOUT_REDEMPTION: Hash =
    Hash(hex!("2682012a4a4f1973119f1c9b90745d1bd91fa2bab387344f044cb3586864d18d"));
/// `PayoutRedemption` of the neg-risk adapter, an event of its own. Source: a recorded log, `neg_risk_redemption`
/// in `tests/vectors/logs.json`.
pub const NEG_RISK_REDEMPTION: Hash =
    Hash(hex!("9140a6a270ef945260c03894b3c6b3b2695e9d5101feef0ff24fec960cfd3224"));
/// `PositionRedeemed` of the modules of the V3 era. Source: Polymarket/polymarket-v2-external,
/// `src/modules/abstract/BaseModule.sol`.
pub const POSITION_REDEEMED: Hash =
    Hash(hex!("4fd474b703f46b453536518b4cbc159dfbea6fd663233763d321a9bc8ccdf97f"));
/// `TransferBatch` of ERC-1155.
pub const TRANSFER_BATCH: Hash =
    Hash(hex!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"));
/// `TransferSingle` of ERC-1155.
pub const TRANSFER_SINGLE: Hash =
    Hash(hex!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"));
/// `balanceOfBatch(address[],uint256[])` of ERC-1155.
pub const BALANCE_OF_BATCH: [u8; 4] = hex!("4e1273f4");

/// `payoutDenominator(bytes32)` of ConditionalTokens: 0 while a condition is not resolved.
pub const PAYOUT_DENOMINATOR: [u8; 4] = hex!("dd34de67");
/// `payoutNumerators(bytes32,uint256)` of ConditionalTokens.
pub const PAYOUT_NUMERATORS: [u8; 4] = hex!("0504c814");

/// `getResult(bytes31)` of the modules of the V3 era: what a share of each outcome pays, in millionths; an empty list while
/// a condition is not resolved. Source: as of [`POSITION_REDEEMED`].
pub const GET_RESULT: [u8; 4] = hex!("e4939c77");

/// ConditionalTokens, the ERC-1155 of the V2 era.
#[must_use]
pub const fn conditional_tokens(chain: Chain) -> Address {
    Address(match chain {
        Chain::Polygon => hex!("4d97dcd97ec945f40cf65f87097ace5ea0476045"),
        Chain::Amoy => hex!("69308fb512518e39f9b16112fa8d994f4e2bf8bb"),
    })
}

/// The neg-risk adapter, which redeems shares of neg-risk markets. Known for Polygon only.
#[must_use]
pub const fn neg_risk_adapter(chain: Chain) -> Option<Address> {
    match chain {
        Chain::Polygon => Some(Address(hex!("d91e80cf2e7be2e162c6513ced06f1dd0da35296"))),
        Chain::Amoy => None,
    }
}

/// The adapters through which wallets split, merge and redeem in pUSD: they take the shares and redeem them in
/// their own name. Ordinary markets, then neg-risk ones. Known for Polygon only.
#[must_use]
pub const fn collateral_adapters(chain: Chain) -> &'static [Address] {
    match chain {
        Chain::Polygon => &[
            Address(hex!("ada100db00ca00073811820692005400218fce1f")),
            Address(hex!("ada2005600dec949baf300f4c6120000bdb6eaab")),
        ],
        Chain::Amoy => &[],
    }
}

/// PositionManager, the ERC-1155 of the V3 era. Known for Polygon only.
const POSITION_MANAGER: Address = Address(hex!("006f54f7f9a22e0000cc2ab60031000000ae9fef"));

/// Where the neg-risk adapter leaves the No shares of a conversion: the first 20 bytes of the hash of
/// `NO_TOKEN_BURN_ADDRESS`. Source: its contract (Polymarket/neg-risk-ctf-adapter).
const CONVERTED: Address = Address(hex!("a5ef39c3d3e10d0b270233af41cac69796b12966"));

/// The modules of the V3 era, in the order of the numbers with which their condition ids begin: binary, neg-risk,
/// combinatorial. Known for Polygon only.
const MODULES: [Address; 3] = [
    Address(hex!("1000008dd9001b968442c1000017eae6e0da00ba")),
    Address(hex!("200000900045e3b6259600682756002200028933")),
    Address(hex!("30000034706c7d8e12009dab006be20000c031a8")),
];
/// Who redeems at the modules for others, who get what it pays: the router and the AutoRedeemer. Known for Polygon only.
const REDEEMERS: [Address; 2] = [
    Address(hex!("12121212006e4cd160d18e3f00711da5c3372600")),
    Address(hex!("a1200000d0002264c9a1698e001292d00e1b00af")),
];

/// The modules of the V3 era.
#[must_use]
pub const fn modules(chain: Chain) -> &'static [Address] {
    match chain {
        Chain::Polygon => &MODULES,
        Chain::Amoy => &[],
    }
}

/// The module of a condition of the V3 era, by the first byte of its id.
#[must_use]
pub fn module_of(condition: &[u8], chain: Chain) -> Option<Address> {
    let number = usize::from(*condition.first()?);
    modules(chain).get(number.checked_sub(1)?).copied()
}

/// Whether a contract redeems in the name of who gets the payout.
#[must_use]
pub fn redeems_for_others(address: Address, chain: Chain) -> bool {
    chain == Chain::Polygon && REDEEMERS.contains(&address)
}

/// The ERC-1155 contracts whose transfers are read.
#[must_use]
pub fn token_contracts(chain: Chain) -> Vec<Address> {
    match chain {
        Chain::Polygon => vec![conditional_tokens(chain), POSITION_MANAGER],
        Chain::Amoy => vec![conditional_tokens(chain)],
    }
}

/// Whether shares that go to an address, or come from it, are split, merged, converted or redeemed: nobody,
/// or a contract of the venue for that.
#[must_use]
pub fn gives_and_takes(address: Address, chain: Chain) -> bool {
    let v3 = MODULES.contains(&address) || REDEEMERS.contains(&address);
    let polygon = [CONVERTED, POSITION_MANAGER].contains(&address) || v3;
    address == Address([0; 20])
        || address == conditional_tokens(chain)
        || Some(address) == neg_risk_adapter(chain)
        || collateral_adapters(chain).contains(&address)
        || (polygon && chain == Chain::Polygon)
}

/// The ERC-1155 contract that holds a token; `None` where its address is not known.
#[must_use]
pub fn token_contract(token: &TokenId, chain: Chain) -> Option<Address> {
    match (token.is_v3(), chain) {
        (false, _) => Some(conditional_tokens(chain)),
        (true, Chain::Polygon) => Some(POSITION_MANAGER),
        (true, Chain::Amoy) => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn constants_are_the_hashes_of_their_signatures() {
        let filled =
            "OrderFilled(bytes32,address,address,uint8,uint256,uint256,uint256,uint256,bytes32,bytes32)";
        assert_eq!(ORDER_FILLED.0, keccak256(filled).0);
        let redemption = "PayoutRedemption(address,address,bytes32,bytes32,uint256[],uint256)";
        assert_eq!(PAYOUT_REDEMPTION.0, keccak256(redemption).0);
        let neg_risk = "PayoutRedemption(address,bytes32,uint256[],uint256)";
        assert_eq!(NEG_RISK_REDEMPTION.0, keccak256(neg_risk).0);
        let single = "TransferSingle(address,address,address,uint256,uint256)";
        assert_eq!(TRANSFER_SINGLE.0, keccak256(single).0);
        assert_eq!(CONVERTED.0, keccak256("NO_TOKEN_BURN_ADDRESS")[..20]);
        let batch = "TransferBatch(address,address,address,uint256[],uint256[])";
        assert_eq!(TRANSFER_BATCH.0, keccak256(batch).0);
        let redeemed = "PositionRedeemed(address,uint256,address,uint256,uint256)";
        assert_eq!(POSITION_REDEEMED.0, keccak256(redeemed).0);
        assert_eq!(GET_RESULT, keccak256("getResult(bytes31)")[..4]);
        assert_eq!(PAYOUT_DENOMINATOR, keccak256("payoutDenominator(bytes32)")[..4]);
        assert_eq!(PAYOUT_NUMERATORS, keccak256("payoutNumerators(bytes32,uint256)")[..4]);
        assert_eq!(BALANCE_OF_BATCH, keccak256("balanceOfBatch(address[],uint256[])")[..4]);
    }

    #[test]
    fn the_token_says_which_contract_holds_it() {
        let mut v3 = [0x11; 32];
        v3[19..27].fill(0);
        assert_eq!(token_contract(&TokenId(v3), Chain::Polygon), Some(POSITION_MANAGER));
        assert_eq!(token_contract(&TokenId(v3), Chain::Amoy), None);
        let old = TokenId([0x11; 32]);
        assert_eq!(token_contract(&old, Chain::Polygon), Some(conditional_tokens(Chain::Polygon)));
    }
}

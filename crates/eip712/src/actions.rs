//! What a wallet's action is as a call of a contract. Only contracts of the venue can be named.
//!
//! Sources: docs.polymarket.com/resources/contracts; calls and the approvals of trading and redeeming as the official
//! clients have them (PyPI `polymarket-client` 0.14.0). Those clients ask for more: see [`DOLLAR_SPENDERS`].

use alloy_primitives::hex;
use domain::{Address, Redemption, Usd, WalletAction};

use crate::word::{Word, address, number};

/// USDC.e, of which pUSD is made.
pub const USDC_E: Address = Address(hex!("2791bca1f2de4661ed88a30c99a7a9449aa84174"));
/// Makes pUSD of other dollars.
pub const ONRAMP: Address = Address(hex!("93070a847efef7f70739046a929d47a521f5b8ee"));
/// pUSD.
pub const COLLATERAL: Address = Address(hex!("c011a7e12a19f7b1f670d46f03b03f3342e82dfb"));
/// ConditionalTokens, the ERC-1155 of the V2 era, on Polygon.
const CONDITIONAL_TOKENS: Address = Address(hex!("4d97dcd97ec945f40cf65f87097ace5ea0476045"));
/// PositionManager, the ERC-1155 of the V3 era.
const POSITION_MANAGER: Address = Address(hex!("006f54f7f9a22e0000cc2ab60031000000ae9fef"));
const EXCHANGE_V2: Address = Address(hex!("e111180000d2663c0091e4f400237545b87b996b"));
const EXCHANGE_NEG_RISK: Address = Address(hex!("e2222d279d744050d28e00520010520000310f59"));
const EXCHANGE_V3: Address = Address(hex!("e3333700ca9d93003f00f0f71f8515005f6c00aa"));
const ADAPTER: Address = Address(hex!("ada100db00ca00073811820692005400218fce1f"));
const NEG_RISK_ADAPTER: Address = Address(hex!("ada2005600dec949baf300f4c6120000bdb6eaab"));
const ROUTER: Address = Address(hex!("12121212006e4cd160d18e3f00711da5c3372600"));

/// What trading and redeeming need, on Polygon: who may take pUSD.
///
/// An approval is without limit, so nothing is approved that this program does not use: not the deposit contract of
/// perpetuals, nor, for shares, the AutoRedeemer (it would pay out beside our own redemptions) and the two modules that
/// move shares to the V3 era. The official clients ask for these too and call a wallet without them not fully approved.
pub const DOLLAR_SPENDERS: [Address; 6] =
    [EXCHANGE_V2, EXCHANGE_NEG_RISK, ADAPTER, NEG_RISK_ADAPTER, ROUTER, EXCHANGE_V3];
/// What trading and redeeming need, on Polygon: who may move shares, by the contract that holds them.
pub const SHARE_OPERATORS: [(Address, Address); 6] = [
    (CONDITIONAL_TOKENS, EXCHANGE_V2),
    (CONDITIONAL_TOKENS, EXCHANGE_NEG_RISK),
    (CONDITIONAL_TOKENS, ADAPTER),
    (CONDITIONAL_TOKENS, NEG_RISK_ADAPTER),
    (POSITION_MANAGER, ROUTER),
    (POSITION_MANAGER, EXCHANGE_V3),
];

/// `approve(address,uint256)`.
const APPROVE: [u8; 4] = hex!("095ea7b3");
/// `setApprovalForAll(address,bool)`.
const SET_APPROVAL_FOR_ALL: [u8; 4] = hex!("a22cb465");
/// `wrap(address,address,uint256)`: which dollars, for whom, how many.
const WRAP: [u8; 4] = hex!("62355638");
/// `redeemPositions(address,bytes32,bytes32,uint256[])`.
const REDEEM_POSITIONS: [u8; 4] = hex!("01b7037c");
/// `redeem(bytes31,uint256,uint256)`.
const ROUTER_REDEEM: [u8; 4] = hex!("d217a3cc");

/// An action that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// A contract that needs no approval of ours.
    #[error("{0} is no contract of the venue that a wallet approves")]
    Stranger(Address),
    /// An id of another era, an outcome that there is not, or no shares.
    #[error("{0} cannot be redeemed so")]
    Redemption(String),
    /// A Safe is made by its factory, before it can do anything.
    #[error("the making of a Safe is no call of the Safe")]
    NotACall,
    /// No dollars, or less than none.
    #[error("{0} $ cannot be wrapped")]
    Dollars(Usd),
}

/// A call without value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Contract.
    pub to: Address,
    /// Selector and arguments.
    pub data: Vec<u8>,
}

fn call(to: Address, selector: [u8; 4], words: &[Word]) -> Call {
    Call { to, data: [selector.as_slice(), words.as_flattened()].concat() }
}

/// The call by which `wallet` does something. What it makes of its money stays its own.
///
/// # Errors
/// [`ActionError`] for a contract that is not the venue's, or an amount or redemption that cannot be.
pub fn call_of(wallet: Address, action: &WalletAction) -> Result<Call, ActionError> {
    match action {
        WalletAction::AllowDollars { spender } if DOLLAR_SPENDERS.contains(spender) => {
            Ok(call(COLLATERAL, APPROVE, &[address(*spender), [0xff; 32]]))
        }
        WalletAction::AllowShares { token, operator } if SHARE_OPERATORS.contains(&(*token, *operator)) => {
            Ok(call(*token, SET_APPROVAL_FOR_ALL, &[address(*operator), number(1)]))
        }
        WalletAction::AllowDollars { spender: stranger }
        | WalletAction::AllowShares { operator: stranger, .. } => Err(ActionError::Stranger(*stranger)),
        WalletAction::AllowOnramp(usd) => Ok(call(USDC_E, APPROVE, &[address(ONRAMP), dollars(*usd)?])),
        WalletAction::Wrap(usd) => {
            Ok(call(ONRAMP, WRAP, &[address(USDC_E), address(wallet), dollars(*usd)?]))
        }
        WalletAction::Redeem(redemption) => redeem(redemption),
        WalletAction::MakeSafe => Err(ActionError::NotACall),
    }
}

fn dollars(usd: Usd) -> Result<Word, ActionError> {
    let amount = u64::try_from(usd.0).ok().filter(|amount| *amount > 0);
    amount.map(number).ok_or(ActionError::Dollars(usd))
}

fn redeem(redemption: &Redemption) -> Result<Call, ActionError> {
    let bad = |what: &dyn std::fmt::Display| ActionError::Redemption(what.to_string());
    let (adapter, condition) = match redemption {
        Redemption::Ordinary(condition) => (ADAPTER, condition),
        Redemption::NegativeRisk(condition) => (NEG_RISK_ADAPTER, condition),
        Redemption::V3 { condition, outcome, shares } => {
            let id = condition.as_slice();
            let amount = u64::try_from(shares.0).ok().filter(|amount| *amount > 0);
            let (Some(amount), true, 31) = (amount, *outcome < 2, id.len()) else {
                return Err(bad(condition));
            };
            let mut word = [0; 32];
            word.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
            return Ok(call(ROUTER, ROUTER_REDEEM, &[word, number(u64::from(*outcome)), number(amount)]));
        }
    };
    let id: Word = condition.as_slice().try_into().map_err(|_| bad(condition))?;
    // pUSD, no parent, the condition, then the list of both outcomes at byte 128.
    let words = [address(COLLATERAL), [0; 32], id, number(128), number(2), number(1), number(2)];
    Ok(call(adapter, REDEEM_POSITIONS, &words))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{hex, keccak256};
    use domain::{ConditionId, Shares};

    use super::*;

    const WALLET: Address = Address([9; 20]);

    #[test]
    fn selectors_are_the_hashes_of_their_signatures() {
        for (selector, text) in [
            (APPROVE, "approve(address,uint256)"),
            (SET_APPROVAL_FOR_ALL, "setApprovalForAll(address,bool)"),
            (REDEEM_POSITIONS, "redeemPositions(address,bytes32,bytes32,uint256[])"),
            (ROUTER_REDEEM, "redeem(bytes31,uint256,uint256)"),
            (WRAP, "wrap(address,address,uint256)"),
        ] {
            assert_eq!(selector, keccak256(text)[..4], "{text}");
        }
    }

    /// Source: what PyPI `polymarket-client` 0.14.0 makes of the same arguments.
    #[test]
    fn calls_are_those_of_the_official_client() {
        let condition = ConditionId::from_slice(&[5; 32]).unwrap();
        let made = call_of(WALLET, &WalletAction::Redeem(Redemption::Ordinary(condition))).unwrap();
        assert_eq!(
            (made.to, hex::encode(made.data)),
            (
                ADAPTER,
                format!(
                    "01b7037c000000000000000000000000c011a7e12a19f7b1f670d46f03b03f3342e82dfb{}{}{}{}{}{}",
                    "0".repeat(64),
                    "05".repeat(32),
                    format_args!("{:064x}", 128),
                    format_args!("{:064x}", 2),
                    format_args!("{:064x}", 1),
                    format_args!("{:064x}", 2),
                )
            )
        );
        let condition = ConditionId::from_slice(&[3; 31]).unwrap();
        let v3 = Redemption::V3 { condition, outcome: 1, shares: Shares(5_000_000) };
        let made = call_of(WALLET, &WalletAction::Redeem(v3)).unwrap();
        let expected = format!("d217a3cc{}00{:064x}{:064x}", "03".repeat(31), 1, 5_000_000);
        assert_eq!((made.to, hex::encode(made.data)), (ROUTER, expected));
        let made =
            call_of(WALLET, &WalletAction::AllowShares { token: CONDITIONAL_TOKENS, operator: ADAPTER })
                .unwrap();
        let expected = format!("a22cb465{:0>64}{:064x}", hex::encode(ADAPTER.0), 1);
        assert_eq!(hex::encode(made.data), expected);
        let made = call_of(WALLET, &WalletAction::AllowOnramp(Usd(7))).unwrap();
        assert_eq!((made.to, made.data.len()), (USDC_E, 68));
        let made = call_of(WALLET, &WalletAction::Wrap(Usd(7))).unwrap();
        let expected = format!("62355638{:0>64}{:0>64}{:064x}", hex::encode(USDC_E.0), "09".repeat(20), 7);
        assert_eq!((made.to, hex::encode(made.data)), (ONRAMP, expected));
    }

    #[test]
    fn strangers_and_other_eras_are_refused() {
        let stranger = Address([7; 20]);
        assert!(call_of(WALLET, &WalletAction::AllowDollars { spender: stranger }).is_err());
        assert!(
            call_of(WALLET, &WalletAction::AllowShares { token: COLLATERAL, operator: ADAPTER }).is_err()
        );
        for usd in [Usd(0), Usd(-1)] {
            assert!(call_of(WALLET, &WalletAction::Wrap(usd)).is_err());
            assert!(call_of(WALLET, &WalletAction::AllowOnramp(usd)).is_err());
        }
        let short = ConditionId::from_slice(&[3; 31]).unwrap();
        assert!(call_of(WALLET, &WalletAction::Redeem(Redemption::Ordinary(short))).is_err());
        for (condition, outcome, shares) in
            [(ConditionId::from_slice(&[3; 32]).unwrap(), 0, 1), (short, 2, 1), (short, 0, 0), (short, 0, -1)]
        {
            let v3 = Redemption::V3 { condition, outcome, shares: Shares(shares) };
            assert!(call_of(WALLET, &WalletAction::Redeem(v3)).is_err());
        }
    }
}

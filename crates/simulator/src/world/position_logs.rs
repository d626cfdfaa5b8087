//! The event logs of splits and merges through a collateral adapter, which does them in its own name and hands the
//! shares on.
//!
//! Source: the order in which CtfCollateralAdapter (Polymarket/ctf-exchange-v2) and ConditionalTokens call each
//! other. Those of the V3 era's modules are not known.

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use domain::{Address, TokenId};

use super::logs::{Log, evm, log, number};
use crate::contracts::{CONDITIONAL_TOKENS, NOBODY, USDC_E, abi, token_contract};

fn batch(operator: Address, from: Address, to: Address, tokens: [TokenId; 2], amount: i64) -> Log {
    let event = abi::TransferBatch {
        operator: evm(operator),
        from: evm(from),
        to: evm(to),
        ids: tokens.iter().map(|token| U256::from_be_bytes(token.0)).collect(),
        values: vec![number(amount); 2],
    };
    let [first, _] = &tokens;
    log(token_contract(first), &event.encode_log_data())
}

fn partition() -> Vec<U256> {
    vec![U256::from(1), U256::from(2)]
}

/// Dollars became shares of both outcomes.
#[must_use]
pub fn split(
    adapter: Address,
    wallet: Address,
    condition: &[u8],
    tokens: [TokenId; 2],
    amount: i64,
) -> Vec<Log> {
    let Ok(condition) = <[u8; 32]>::try_from(condition) else { return Vec::new() };
    let event = abi::PositionSplit {
        stakeholder: evm(adapter),
        collateralToken: evm(USDC_E),
        parentCollectionId: B256::ZERO,
        conditionId: B256::from(condition),
        partition: partition(),
        amount: number(amount),
    };
    vec![
        batch(adapter, NOBODY, adapter, tokens, amount),
        log(CONDITIONAL_TOKENS, &event.encode_log_data()),
        batch(adapter, adapter, wallet, tokens, amount),
    ]
}

/// Shares of both outcomes became dollars.
#[must_use]
pub fn merge(
    adapter: Address,
    wallet: Address,
    condition: &[u8],
    tokens: [TokenId; 2],
    amount: i64,
) -> Vec<Log> {
    let Ok(condition) = <[u8; 32]>::try_from(condition) else { return Vec::new() };
    let event = abi::PositionsMerge {
        stakeholder: evm(adapter),
        collateralToken: evm(USDC_E),
        parentCollectionId: B256::ZERO,
        conditionId: B256::from(condition),
        partition: partition(),
        amount: number(amount),
    };
    vec![
        batch(adapter, wallet, adapter, tokens, amount),
        batch(adapter, adapter, NOBODY, tokens, amount),
        log(CONDITIONAL_TOKENS, &event.encode_log_data()),
    ]
}

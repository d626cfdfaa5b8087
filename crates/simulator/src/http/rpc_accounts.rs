//! JSON-RPC of accounts and contracts: nonces, gas, code, allowances, raw transactions.

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use domain::Address;
use serde_json::{Value, json};

use super::rpc::{Answer, RpcError, block_number, bytes, input, invalid, param, parse, quantity};
use crate::{
    contracts::{
        COLLATERAL, CONDITIONAL_TOKENS, DEPOSIT_WALLET_BEACON, DEPOSIT_WALLET_FACTORY, POSITION_MANAGER,
        USDC_E, abi,
    },
    world::{
        World,
        calls::Call,
        contract_state::Slot,
        ledger::Asset,
        transactions::{GAS_PRICE, WEI_PER_MICRO},
    },
};

/// Tip that is asked for, in wei.
const TIP: u64 = 25_000_000_000;

/// Answers a method of this kind; `None` for others.
pub(super) fn call(world: &mut World, method: &str, params: &[Value], head: u64) -> Option<Answer> {
    Some(match method {
        "eth_gasPrice" => Ok(quantity(GAS_PRICE)),
        "eth_maxPriorityFeePerGas" => Ok(quantity(TIP)),
        "eth_feeHistory" => fee_history(world, params, head),
        "eth_getTransactionCount" => transaction_count(world, params, head),
        "eth_getBalance" => balance(world, params, head),
        "eth_getCode" => code(world, params, head),
        "eth_estimateGas" => estimate(world, params),
        "eth_sendRawTransaction" => send_raw(world, params),
        _ => return None,
    })
}

fn fee_history(world: &World, params: &[Value], head: u64) -> Answer {
    let count = parse_quantity(param(params, 0))?.clamp(1, 1_024);
    let newest = block_number(world, param(params, 1), head)?;
    let oldest = newest.saturating_sub(count.saturating_sub(1)).max(world.chain().first());
    let blocks = usize::try_from(newest.saturating_sub(oldest).saturating_add(1)).unwrap_or(1);
    let base = quantity(GAS_PRICE.saturating_sub(TIP));
    Ok(json!({
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": vec![base; blocks.saturating_add(1)],
        "gasUsedRatio": vec![0.5; blocks],
        "reward": vec![vec![quantity(TIP)]; blocks],
    }))
}

/// A quantity, as hex text or (for counts, which some clients send so) a number.
fn parse_quantity(value: &Value) -> Result<u64, RpcError> {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let parsed = text.and_then(|digits| u64::from_str_radix(digits, 16).ok()).or_else(|| value.as_u64());
    parsed.ok_or_else(|| invalid(&value.to_string()))
}

fn transaction_count(world: &World, params: &[Value], head: u64) -> Answer {
    let eoa: Address = parse(param(params, 0))?;
    if param(params, 1).as_str() == Some("pending") {
        return Ok(quantity(world.next_nonce(eoa)));
    }
    let block = block_number(world, param(params, 1), head)?;
    Ok(quantity(world.word_at(&Slot::Nonce(eoa), block).saturating_to()))
}

fn balance(world: &World, params: &[Value], head: u64) -> Answer {
    let (wallet, block) = (parse(param(params, 0))?, block_number(world, param(params, 1), head)?);
    let micros = world.chain().history.at(wallet, Asset::Pol, block).max(0).unsigned_abs();
    let wei = U256::from(micros).saturating_mul(U256::from(WEI_PER_MICRO));
    Ok(json!(format!("{wei:#x}")))
}

fn code(world: &World, params: &[Value], head: u64) -> Answer {
    let address: Address = parse(param(params, 0))?;
    let block = block_number(world, param(params, 1), head)?;
    let there = !world.word_at(&Slot::Code(address), block).is_zero() || is_contract(address);
    // What the code is, nobody here asks.
    Ok(json!(if there { "0x60" } else { "0x" }))
}

const fn is_contract(address: Address) -> bool {
    matches!(address, COLLATERAL | CONDITIONAL_TOKENS | POSITION_MANAGER | USDC_E | DEPOSIT_WALLET_FACTORY)
}

fn estimate(world: &World, params: &[Value]) -> Answer {
    let request = param(params, 0);
    let from = parse(request.get("from").unwrap_or(&Value::Null))?;
    let call = Call { to: parse(request.get("to").unwrap_or(&Value::Null))?, data: input(request)? };
    let gas = world.estimate_gas(from, &call);
    gas.map(quantity).map_err(|reason| (3, format!("execution reverted: {reason}")))
}

fn send_raw(world: &mut World, params: &[Value]) -> Answer {
    let text = param(params, 0).as_str().and_then(|text| text.strip_prefix("0x"));
    let raw = text.and_then(|digits| hex::decode(digits).ok()).ok_or_else(|| invalid("raw transaction"))?;
    world.send_raw(&raw).map(|hash| json!(hash)).map_err(|error| (-32_000, error.to_string()))
}

/// `eth_call` of allowances, operators, the wallet factory and deposit wallets; `None` for other calls.
pub(super) fn view(world: &World, to: Address, data: &[u8], block: u64) -> Option<Value> {
    let word = |slot| Some(bytes(&world.word_at(&slot, block).to_be_bytes::<32>()));
    let plain = |address: alloy_primitives::Address| Address(address.0.0);
    match to {
        COLLATERAL | USDC_E => {
            let call = abi::Erc20::allowanceCall::abi_decode(data).ok()?;
            word(Slot::Allowance { token: to, owner: plain(call.owner), spender: plain(call.spender) })
        }
        CONDITIONAL_TOKENS | POSITION_MANAGER => {
            let call = abi::Erc1155::isApprovedForAllCall::abi_decode(data).ok()?;
            word(Slot::Operator { token: to, owner: plain(call.account), operator: plain(call.operator) })
        }
        DEPOSIT_WALLET_FACTORY => {
            abi::Factory::beaconCall::abi_decode(data).ok()?;
            Some(bytes(alloy_primitives::Address::new(DEPOSIT_WALLET_BEACON.0).into_word().as_slice()))
        }
        wallet => {
            let known = world.registry().wallet(&wallet).filter(|known| known.signature_type == 3)?;
            if abi::DepositWallet::ownerCall::abi_decode(data).is_ok() {
                return Some(bytes(alloy_primitives::Address::new(known.owner.0).into_word().as_slice()));
            }
            let call = abi::DepositWallet::sessionSignerAuthorizedUntilCall::abi_decode(data).ok()?;
            word(Slot::Session { wallet, signer: plain(call.signer) })
        }
    }
}

//! Polygon JSON-RPC over HTTP, single requests and batches.

use std::sync::Arc;

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolEvent};
use axum::{
    Json, Router,
    extract::{ConnectInfo, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use domain::{Address, Hash, TokenId, TxHash};
use serde_json::{Value, json};

use super::{Shared, connection::Connection, cut, rpc_view::RpcView};
use crate::{
    contracts::{
        BINARY_MODULE, CHAIN_ID, COLLATERAL, COMBINATORIAL_MODULE, CONDITIONAL_TOKENS, NEG_RISK_MODULE,
        POSITION_MANAGER, USDC_E, abi, token_contract,
    },
    world::{
        World,
        chain::{Block, PlacedLog},
        faults::{FaultKind, FaultTarget},
        ledger::Asset,
        registry::MarketState,
    },
};

/// A JSON-RPC error: code and message.
pub(super) type RpcError = (i64, String);
pub(super) type Answer = Result<Value, RpcError>;

/// The provider with this number.
pub(super) fn router(shared: &Arc<Shared>, listener: usize) -> Router {
    Router::new().route("/", post(serve).get(super::heads::open)).with_state((Arc::clone(shared), listener))
}

async fn serve(
    State((shared, listener)): State<(Arc<Shared>, usize)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    body: axum::body::Bytes,
) -> Response {
    let view = shared.views.get(listener);
    let failed =
        shared.with(|world, _| world.faults.take(FaultTarget::Chain, |kind| kind == FaultKind::RpcError));
    if failed.is_some() {
        let error =
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": "internal error" } });
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response();
    }
    let lost = is_send(&body)
        && shared
            .with(|world, _| world.faults.take(FaultTarget::Chain, |kind| kind == FaultKind::AcceptThenDrop))
            .is_some();
    let reply = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(requests)) => {
            shared.with(|world, _| requests.iter().map(|request| answer(world, &view, request)).collect())
        }
        Ok(request) => shared.with(|world, _| answer(world, &view, &request)),
        Err(_) => {
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "parse error" } })
        }
    };
    shared.due_changed.notify_one();
    if lost { cut(&connection) } else { Json(reply).into_response() }
}

/// Whether a request sends a transaction: the only one whose reply can be lost after an effect.
fn is_send(body: &[u8]) -> bool {
    let name = b"eth_sendRawTransaction";
    body.windows(name.len()).any(|window| window == name)
}

pub(super) fn answer(world: &mut World, view: &RpcView, request: &Value) -> Value {
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    let empty = Vec::new();
    let params = request.get("params").and_then(Value::as_array).unwrap_or(&empty);
    match call(world, view, method, params) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    }
}

fn call(world: &mut World, view: &RpcView, method: &str, params: &[Value]) -> Answer {
    let head = view.head(rpc_head(world, method, params), world.chain().first());
    let chain = view.chain.unwrap_or(CHAIN_ID);
    match method {
        "eth_chainId" => Ok(quantity(chain)),
        "net_version" => Ok(json!(chain.to_string())),
        "eth_blockNumber" => Ok(quantity(head)),
        "eth_getBlockByNumber" => {
            let number = block_number(world, param(params, 0), head)?;
            let block = world.chain().block(number).filter(|_| number <= head);
            Ok(block.map_or(Value::Null, |block| block_json(block, view)))
        }
        "eth_getBlockByHash" => {
            let hash: Hash = parse(param(params, 0))?;
            let block = world.chain().block_by_hash(&hash).filter(|block| block.number <= head);
            Ok(block.map_or(Value::Null, |block| block_json(block, view)))
        }
        "eth_getLogs" => {
            let logs = get_logs(world, view, param(params, 0), head)?;
            let found = logs.as_array().is_some_and(|logs| !logs.is_empty());
            let missing = |kind| found && kind == FaultKind::MissingLogs;
            Ok(world.faults.take(FaultTarget::Chain, missing).map_or(logs, |_| json!([])))
        }
        "eth_getTransactionReceipt" => receipt(world, view, param(params, 0), head),
        "eth_call" => eth_call(world, view, param(params, 0), param(params, 1), head),
        _ => super::rpc_accounts::call(world, method, params, head)
            .unwrap_or_else(|| Err((-32601, format!("the method {method} does not exist/is not available")))),
    }
}

/// The head this request sees, with the faults that make a provider look backwards.
fn rpc_head(world: &mut World, method: &str, params: &[Value]) -> u64 {
    let asks_head = method == "eth_blockNumber"
        || (method == "eth_getBlockByNumber" && param(params, 0).as_str() == Some("latest"));
    let head = world.visible_head();
    if !asks_head {
        return head;
    }
    let back = world.faults.take(FaultTarget::Chain, |kind| kind == FaultKind::HeadBack);
    let depth = back.map_or(0, |fault| if fault.depth == 0 { 2 } else { fault.depth });
    head.saturating_sub(depth).max(world.chain().first())
}

pub(super) fn param(params: &[Value], index: usize) -> &Value {
    params.get(index).unwrap_or(&Value::Null)
}

pub(super) fn invalid(what: &str) -> RpcError {
    (-32602, format!("invalid argument: {what}"))
}

pub(super) fn parse<T: std::str::FromStr>(value: &Value) -> Result<T, RpcError> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| invalid(&value.to_string()))
}

pub(super) fn quantity(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

pub(super) fn bytes(data: &[u8]) -> Value {
    json!(format!("0x{}", hex::encode(data)))
}

pub(super) fn block_number(world: &World, value: &Value, head: u64) -> Result<u64, RpcError> {
    match value.as_str() {
        None if value.is_null() => Ok(head),
        Some("latest" | "pending") => Ok(head),
        Some("finalized" | "safe") => Ok(world.finalized().min(head)),
        Some("earliest") => Ok(world.chain().first()),
        Some(text) => text
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| invalid(&format!("block number {text}"))),
        None => Err(invalid(&format!("block number {value}"))),
    }
}

pub(super) fn block_json(block: &Block, view: &RpcView) -> Value {
    json!({
        "number": quantity(block.number),
        "hash": block.hash,
        "parentHash": view.parent(block.number, block.parent),
        "timestamp": quantity(block.timestamp.unsigned_abs()),
        "transactions": block.txs.iter().map(|tx| tx.hash).collect::<Vec<_>>(),
        "logsBloom": format!("0x{}", "f".repeat(512)),
        "gasUsed": "0x0",
        "gasLimit": "0x1c9c380",
    })
}

fn log_json(placed: &PlacedLog<'_>, view: &RpcView) -> Value {
    json!({
        "address": bytes(&placed.log.address.0),
        "topics": placed.log.topics.iter().map(|topic| bytes(topic)).collect::<Vec<_>>(),
        "data": bytes(&view.data(placed, is_fill(placed))),
        "blockNumber": quantity(placed.block.number),
        "blockHash": bytes(&placed.block.hash.0),
        "blockTimestamp": quantity(placed.block.timestamp.unsigned_abs()),
        "transactionHash": bytes(&placed.tx.hash.0),
        "transactionIndex": quantity(u64::try_from(placed.tx_index).unwrap_or(u64::MAX)),
        "logIndex": quantity(placed.index),
        "removed": false,
    })
}

/// One place of a log filter: anything, or one of these.
type OneOf = Option<Vec<Vec<u8>>>;

fn one_of(value: &Value) -> Result<OneOf, RpcError> {
    let one = |value: &Value| -> Result<Vec<u8>, RpcError> {
        let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
        text.and_then(|text| hex::decode(text).ok()).ok_or_else(|| invalid(&value.to_string()))
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(values) if values.is_empty() => Ok(None),
        Value::Array(values) => values.iter().map(one).collect::<Result<_, _>>().map(Some),
        value => Ok(Some(vec![one(value)?])),
    }
}

fn fits(place: &OneOf, found: &[u8]) -> bool {
    place.as_ref().is_none_or(|wanted| wanted.iter().any(|one| one == found))
}

pub(super) fn get_logs(world: &World, view: &RpcView, filter: &Value, head: u64) -> Answer {
    let field = |name: &str| filter.get(name).unwrap_or(&Value::Null);
    let addresses = one_of(field("address"))?;
    let topics = match field("topics") {
        Value::Null => Vec::new(),
        Value::Array(topics) => topics.iter().map(one_of).collect::<Result<Vec<_>, _>>()?,
        other => return Err(invalid(&other.to_string())),
    };
    let blocks: Vec<&Block> = if field("blockHash").is_null() {
        let from = block_number(world, field("fromBlock"), head)?;
        let to = block_number(world, field("toBlock"), head)?;
        let limit = world.knobs.max_log_range;
        if from > to {
            return Err((-32000, "invalid block range params".to_owned()));
        }
        if to.saturating_sub(from) >= limit {
            return Err((-32005, format!("eth_getLogs is limited to a {limit} blocks range")));
        }
        (from..=to.min(head)).filter_map(|number| world.chain().block(number)).collect()
    } else {
        let hash: Hash = parse(field("blockHash"))?;
        let block = world.chain().block_by_hash(&hash).filter(|block| block.number <= head);
        vec![block.ok_or((-32000, "unknown block".to_owned()))?]
    };
    let matches = |placed: &PlacedLog<'_>| {
        fits(&addresses, &placed.log.address.0)
            && topics.iter().enumerate().all(|(index, place)| match placed.log.topics.get(index) {
                Some(topic) => fits(place, topic),
                None => false,
            })
    };
    let told = |placed: &PlacedLog<'_>| matches(placed) && !view.no_logs && !is_hidden(world, placed);
    let logs = blocks.into_iter().flat_map(Block::logs).filter(told);
    Ok(logs.map(|placed| log_json(&placed, view)).collect())
}

/// Whether a log is left out because its order's fills are (`hidden_fills`).
fn is_hidden(world: &World, placed: &PlacedLog<'_>) -> bool {
    let hidden = &world.knobs.hidden_fills;
    !hidden.is_empty() && is_fill(placed) && hidden.iter().any(|id| placed.log.topics.get(1) == Some(&id.0))
}

fn is_fill(placed: &PlacedLog<'_>) -> bool {
    placed.log.topics.first() == Some(&abi::OrderFilled::SIGNATURE_HASH.0)
}

fn receipt(world: &World, view: &RpcView, hash: &Value, head: u64) -> Answer {
    let hash: TxHash = parse(hash)?;
    let Some((block, index)) = world.chain().tx(&hash).filter(|(block, _)| block.number <= head) else {
        return Ok(Value::Null);
    };
    let logs: Vec<Value> = block.logs_of(index).map(|placed| log_json(&placed, view)).collect();
    let reverted = block.txs.get(index).is_some_and(|tx| tx.reverted);
    Ok(json!({
        "transactionHash": hash,
        "transactionIndex": quantity(u64::try_from(index).unwrap_or(u64::MAX)),
        "blockHash": block.hash,
        "blockNumber": quantity(block.number),
        "status": if reverted { "0x0" } else { "0x1" },
        "gasUsed": "0x0",
        "logs": logs,
    }))
}

fn eth_call(world: &World, view: &RpcView, request: &Value, block: &Value, head: u64) -> Answer {
    let block = state_block(world, view, block, head)?;
    let to: Address = parse(request.get("to").unwrap_or(&Value::Null))?;
    let data = input(request)?;
    if let Some(told) = super::rpc_accounts::view(world, to, &data, block) {
        return Ok(told);
    }
    let reverted = || (3, "execution reverted".to_owned());
    match to {
        COLLATERAL | USDC_E => {
            let call = abi::Erc20::balanceOfCall::abi_decode(&data).map_err(|_| reverted())?;
            let asset = if to == COLLATERAL { Asset::Collateral } else { Asset::Usdce };
            let balance = world.chain().history.at(Address(call.owner.0.0), asset, block);
            Ok(bytes(&word(balance)))
        }
        CONDITIONAL_TOKENS | POSITION_MANAGER => {
            token_call(world, view, to, &data, block).ok_or_else(reverted)
        }
        BINARY_MODULE | NEG_RISK_MODULE | COMBINATORIAL_MODULE => {
            result_call(world, &data).ok_or_else(reverted)
        }
        // A call to an address without code returns nothing.
        _ => Ok(json!("0x")),
    }
}

/// The input of a call.
pub(super) fn input(request: &Value) -> Result<Vec<u8>, RpcError> {
    let data =
        request.get("data").or_else(|| request.get("input")).and_then(Value::as_str).unwrap_or_default();
    data.strip_prefix("0x").and_then(|text| hex::decode(text).ok()).ok_or_else(|| invalid(data))
}

/// The block whose state a call reads, if it is still kept.
fn state_block(world: &World, view: &RpcView, block: &Value, head: u64) -> Result<u64, RpcError> {
    let by_hash = block.get("blockHash").filter(|hash| !hash.is_null());
    let block = match by_hash {
        Some(hash) => world.chain().block_by_hash(&parse(hash)?).map(|block| block.number),
        None => Some(block_number(world, block.get("blockNumber").unwrap_or(block), head)?),
    };
    let Some(block) = block.filter(|number| *number <= head && *number >= world.chain().first()) else {
        return Err((-32000, "header not found".to_owned()));
    };
    let kept = view.kept(head, world.knobs.state_blocks);
    if block < kept {
        let root = hex::encode(crate::signing::derive(block, &[b"state"]));
        return Err((-32000, format!("missing trie node {root} (path ) state 0x{root} is not available")));
    }
    Ok(block)
}

fn token_call(world: &World, view: &RpcView, contract: Address, data: &[u8], block: u64) -> Option<Value> {
    let balance = |account: alloy_primitives::Address, id: U256| {
        let token = TokenId(id.to_be_bytes());
        if view.empties(Address(account.0.0), block) {
            return word(0);
        }
        let amount = world.chain().history.at(Address(account.0.0), Asset::Token(token), block);
        if token_contract(&token) == contract { word(amount) } else { word(0) }
    };
    if let Ok(call) = abi::Erc1155::balanceOfCall::abi_decode(data) {
        return Some(bytes(&balance(call.account, call.id)));
    }
    if let Ok(call) = abi::Erc1155::balanceOfBatchCall::abi_decode(data) {
        if call.accounts.len() != call.ids.len() {
            return None;
        }
        let balances = call
            .accounts
            .iter()
            .zip(&call.ids)
            .map(|(account, id)| U256::from_be_bytes(balance(*account, *id)));
        let encoded = abi::Erc1155::balanceOfBatchCall::abi_encode_returns(&balances.collect());
        return Some(bytes(&encoded));
    }
    payout_call(world, data)
}

fn payout_call(world: &World, data: &[u8]) -> Option<Value> {
    let payouts = |condition: alloy_primitives::B256| {
        let condition = domain::ConditionId::from_slice(condition.as_slice()).ok()?;
        match world.registry().market(&condition)?.state {
            MarketState::Resolved(payouts) => Some(payouts),
            _ => None,
        }
    };
    if let Ok(call) = abi::Conditions::payoutDenominatorCall::abi_decode(data) {
        return Some(bytes(&word(payouts(call.conditionId).map_or(0, |_| domain::money::ONE))));
    }
    let call = abi::Conditions::payoutNumeratorsCall::abi_decode(data).ok()?;
    let index: usize = call.index.try_into().ok()?;
    let numerator = payouts(call.conditionId).and_then(|payouts| payouts.get(index).copied());
    Some(bytes(&word(numerator.map_or(0, |price| price.0))))
}

/// What a condition of the V3 era pays; nothing while it is not resolved.
fn result_call(world: &World, data: &[u8]) -> Option<Value> {
    let call = abi::Module::getResultCall::abi_decode(data).ok()?;
    let condition = domain::ConditionId::from_slice(call.conditionId.as_slice()).ok()?;
    let result = match world.registry().market(&condition).map(|market| market.state) {
        Some(MarketState::Resolved(payouts)) => {
            payouts.map(|price| U256::from(price.0.unsigned_abs())).to_vec()
        }
        _ => Vec::new(),
    };
    Some(bytes(&abi::Module::getResultCall::abi_encode_returns(&result)))
}

/// A balance as an ABI word; the house's negative ones show as nothing.
fn word(amount: i64) -> [u8; 32] {
    U256::from(amount.max(0).unsigned_abs()).to_be_bytes()
}

//! Reads the chain by JSON-RPC over HTTP: headers, logs of whole blocks, balances.
//!
//! The URL of a provider often carries its key; it appears in no error. Before the first answer is
//! believed the provider must say that it serves our chain.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use alloy_primitives::hex;
use async_trait::async_trait;
use domain::{Address, Hash, Shares, Timestamp, TokenId};
use eip712::{Chain, Exchange};
use engine::ports::venue::{BlockHeader, ChainEvent, ChainReader, VenueError};
use reqwest::{Client, Method, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::OnceCell;
use tracing::debug;

use crate::{
    contracts::{
        BALANCE_OF_BATCH, NEG_RISK_REDEMPTION, ORDER_FILLED, PAYOUT_REDEMPTION, POSITION_REDEEMED,
        TRANSFER_BATCH, TRANSFER_SINGLE, collateral_adapters, conditional_tokens, modules, neg_risk_adapter,
        token_contract, token_contracts,
    },
    http::{Service, malformed, send, shorten},
    limits::{BALANCE_BATCH, LOG_RANGE, LOG_WALLETS, RPC_BODY, RPC_DEADLINE},
    logs::{Handover, RawLog, amount, attribute, decode, handover, is_by_adapter, number, quantity},
    moves::moves,
};

/// One provider of one chain.
pub struct Rpc {
    service: Service,
    path: String,
    chain: Chain,
    next_id: AtomicU64,
    chain_checked: OnceCell<()>,
    /// It was seen to take no block hash in `eth_call` (EIP-1898).
    by_height_only: AtomicBool,
}

#[derive(Deserialize)]
struct Reply {
    id: Option<u64>,
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHeader {
    number: String,
    hash: Hash,
    parent_hash: Hash,
    timestamp: String,
}

/// Whose balance of which token, with its place in the answer.
type Placed = (usize, (Address, TokenId));

impl Rpc {
    /// The provider at `url`, which may have a path.
    #[must_use]
    pub fn new(client: Client, url: &str, chain: Chain) -> Self {
        // Everything from the path on is appended as it is; a trailing slash matters to some providers.
        let host_start = url.find("://").map_or(0, |at| at.saturating_add(3));
        let host_end = url.get(host_start..).and_then(|rest| rest.find(['/', '?']));
        let split = host_end.map_or(url.len(), |at| at.saturating_add(host_start));
        let (origin, path) = url.split_at_checked(split).unwrap_or((url, ""));
        Self {
            service: Service::new(client, origin),
            path: path.to_owned(),
            chain,
            next_id: AtomicU64::new(1),
            chain_checked: OnceCell::new(),
            by_height_only: AtomicBool::new(false),
        }
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls_made(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Calls a method; `None` when the result is `null`.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Option<T>, VenueError> {
        self.chain_checked.get_or_try_init(|| self.check_chain()).await?;
        self.call_unchecked(method, params).await
    }

    async fn check_chain(&self) -> Result<(), VenueError> {
        let what = "eth_chainId";
        let id: Option<String> = self.call_unchecked(what, json!([])).await?;
        let id = quantity(&id.unwrap_or_default(), "chain id").map_err(|error| malformed(what, &error))?;
        if u64::try_from(id).ok() == Some(self.chain.id()) {
            return Ok(());
        }
        let reason = format!("the provider serves chain {id}, not {}; correct its URL", self.chain.id());
        Err(VenueError::Refused { what: what.to_owned(), reason })
    }

    async fn call_unchecked<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Option<T>, VenueError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = self
            .service
            .request(Method::POST, &self.path)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer =
            send(request, RPC_DEADLINE, RPC_BODY).await.map_err(|failure| failure.into_error(method))?;
        // Some providers send their error object with a 4xx, and with a text that says more.
        let parsed = serde_json::from_slice::<Reply>(&answer.body);
        let refused = parsed.as_ref().is_ok_and(|reply| reply.error.is_some());
        let reply: Reply = match parsed {
            Ok(reply) if answer.is_success() || (refused && answer.is_refusal()) => reply,
            _ => answer.json(method)?,
        };
        if let Some(error) = reply.error {
            return Err(refusal(method, &error));
        }
        if reply.id != Some(id) {
            return Err(malformed(method, &"the answer to another question"));
        }
        let result = reply.result.map(|raw| serde_json::from_str(raw.get())).transpose();
        result.map_err(|error| malformed(method, &error))
    }

    async fn block(&self, tag: &str) -> Result<Option<BlockHeader>, VenueError> {
        let what = "eth_getBlockByNumber";
        let raw: Option<RawHeader> = self.call(what, json!([tag, false])).await?;
        raw.map(|raw| read_header(&raw).map_err(|error| malformed(what, &error))).transpose()
    }

    async fn tagged(&self, tag: &str) -> Result<BlockHeader, VenueError> {
        self.block(tag).await?.ok_or_else(|| malformed("eth_getBlockByNumber", &format!("no {tag} block")))
    }

    /// Logs of every contract and event we know, and what moved of `wallets`, sorted by their place in the
    /// chain.
    async fn events(&self, blocks: &Value, wallets: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        let what = "eth_getLogs";
        let exchanges = Exchange::ALL.map(|exchange| exchange.address(self.chain));
        let others = [Some(conditional_tokens(self.chain)), neg_risk_adapter(self.chain)];
        let others = others.into_iter().flatten().chain(modules(self.chain).iter().copied());
        let addresses: Vec<_> = exchanges.into_iter().chain(others).collect();
        let topics = json!([[ORDER_FILLED, PAYOUT_REDEMPTION, NEG_RISK_REDEMPTION, POSITION_REDEEMED]]);
        let logs = self.logs(blocks, json!(addresses), topics).await?;
        let decoded = logs.iter().map(|log| decode(log, self.chain)).collect::<Result<Vec<_>, _>>();
        let mut events: Vec<ChainEvent> =
            decoded.map_err(|error| malformed(what, &error))?.into_iter().flatten().collect();
        if events.iter().any(|event| is_by_adapter(event, self.chain)) {
            attribute(&mut events, &self.handovers(blocks).await?);
        }
        events.sort_by_key(|event| (event.block, event.log_index));
        let twice = events
            .iter()
            .zip(events.iter().skip(1))
            .any(|(one, next)| (one.block, one.log_index) == (next.block, next.log_index));
        if twice {
            return Err(malformed(what, &"two logs at one place"));
        }
        events.extend(self.moves(blocks, wallets).await?);
        events.sort_by_key(|event| (event.block, event.log_index));
        Ok(events)
    }

    /// What moved to and from wallets. The provider filters: a block has hundreds of transfers, hardly one of
    /// a leader.
    async fn moves(&self, blocks: &Value, wallets: &[Address]) -> Result<Vec<ChainEvent>, VenueError> {
        let what = "eth_getLogs";
        let mut found: BTreeMap<(i64, i64), (RawLog, Vec<ChainEvent>)> = BTreeMap::new();
        for some in wallets.chunks(LOG_WALLETS) {
            let words: Vec<String> = some.iter().map(topic).collect();
            let events = json!([TRANSFER_SINGLE, TRANSFER_BATCH]);
            let ask = |topics| self.logs(blocks, json!(token_contracts(self.chain)), topics);
            let (gone, come) =
                tokio::try_join!(ask(json!([events, null, words])), ask(json!([events, null, null, words])))?;
            for log in gone.into_iter().chain(come) {
                let read = moves(&log, self.chain, wallets).map_err(|error| malformed(what, &error))?;
                let Some(first) = read.first() else { continue };
                let place = (first.block, first.log_index);
                // One between two of the wallets is found from both ends.
                if found.get(&place).is_some_and(|(known, _)| *known != log) {
                    return Err(malformed(what, &"two logs at one place"));
                }
                found.insert(place, (log, read));
            }
        }
        Ok(found.into_values().flat_map(|(_, events)| events).collect())
    }

    /// Shares handed to collateral adapters in the same blocks.
    async fn handovers(&self, blocks: &Value) -> Result<Vec<Handover>, VenueError> {
        let adapters: Vec<String> = collateral_adapters(self.chain).iter().map(topic).collect();
        let topics = json!([[TRANSFER_BATCH], null, null, adapters]);
        let logs = self.logs(blocks, json!([conditional_tokens(self.chain)]), topics).await?;
        let read = logs.iter().map(|log| handover(log, self.chain)).collect::<Result<Vec<_>, _>>();
        read.map_err(|error| malformed("eth_getLogs", &error))
    }

    async fn logs(&self, blocks: &Value, addresses: Value, topics: Value) -> Result<Vec<RawLog>, VenueError> {
        let what = "eth_getLogs";
        let mut filter = blocks.clone();
        if let Some(filter) = filter.as_object_mut() {
            filter.insert("address".to_owned(), addresses);
            filter.insert("topics".to_owned(), topics);
        }
        let logs: Option<Vec<RawLog>> = self.call(what, json!([filter])).await?;
        logs.ok_or_else(|| malformed(what, &"no list of logs"))
    }

    /// As [`Rpc::events`] for a range; a range the provider finds too large is asked in halves.
    async fn events_between(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let mut events = Vec::new();
        let mut ranges = vec![(from, to)];
        while let Some((from, to)) = ranges.pop() {
            let filter = json!({ "fromBlock": hex_number(from), "toBlock": hex_number(to) });
            match self.events(&filter, wallets).await {
                Ok(found) if found.iter().all(|event| (from..=to).contains(&event.block)) => {
                    events.extend(found);
                }
                Ok(_) => return Err(malformed("eth_getLogs", &"a log outside the range asked for")),
                Err(VenueError::Refused { reason, .. }) if from < to && is_too_large(&reason) => {
                    let middle = from.midpoint(to);
                    ranges.push((middle.saturating_add(1), to));
                    ranges.push((from, middle));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(events)
    }

    /// Balances at a block: a height, or a hash as EIP-1898 has it.
    async fn balances_at(
        &self,
        queries: &[(Address, TokenId)],
        block: &Value,
    ) -> Result<Vec<Shares>, VenueError> {
        // By contract, each query with its place in the answer.
        let mut groups: HashMap<Address, Vec<Placed>> = HashMap::new();
        for (place, query) in queries.iter().enumerate() {
            let contract = token_contract(&query.1, self.chain).ok_or_else(|| VenueError::Refused {
                what: "balances".to_owned(),
                reason: format!("the contract of V3 tokens on chain {} is not known", self.chain.id()),
            })?;
            groups.entry(contract).or_default().push((place, *query));
        }
        let mut answers = vec![Shares::ZERO; queries.len()];
        for (contract, group) in groups {
            for batch in group.chunks(BALANCE_BATCH) {
                let asked: Vec<_> = batch.iter().map(|(_, query)| *query).collect();
                let balances = self.balances_of(contract, &asked, block).await?;
                for ((place, _), balance) in batch.iter().zip(balances) {
                    if let Some(answer) = answers.get_mut(*place) {
                        *answer = balance;
                    }
                }
            }
        }
        Ok(answers)
    }

    async fn balances_of(
        &self,
        contract: Address,
        queries: &[(Address, TokenId)],
        block: &Value,
    ) -> Result<Vec<Shares>, VenueError> {
        let what = "balanceOfBatch";
        let call = json!({ "to": contract, "data": hex::encode_prefixed(balance_call(queries)) });
        let result: Option<String> = self.call("eth_call", json!([call, block])).await?;
        let text = result.ok_or_else(|| malformed(what, &"no result"))?;
        let data = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        let data = data.ok_or_else(|| malformed(what, &"the result is not hex"))?;
        read_balances(&data, queries.len()).map_err(|reason| malformed(what, &reason))
    }
}

/// An address as an indexed field.
fn topic(address: &Address) -> String {
    format!("0x{:0>64}", hex::encode(address.0))
}

fn hex_number(number: i64) -> String {
    format!("{:#x}", number.max(0))
}

/// JSON-RPC 2.0: the request itself is wrong (not JSON-RPC, no such method, wrong parameters).
const WRONG_REQUEST: [i64; 3] = [-32600, -32601, -32602];

fn refusal(method: &str, error: &RpcError) -> VenueError {
    let (what, text) = (method.to_owned(), error.message.to_ascii_lowercase());
    if ["rate limit", "too many requests", "request limit"].iter().any(|part| text.contains(part)) {
        return VenueError::RateLimited { what, retry_after: None };
    }
    let reason = format!("{} ({})", shorten(&error.message), error.code);
    let for_good = WRONG_REQUEST.contains(&error.code)
        || is_pruned(&text)
        || is_too_large(&text)
        || is_of_transaction(method, &text);
    // Everything else may pass: a node behind its siblings does not know the newest block yet.
    if for_good { VenueError::Refused { what, reason } } else { VenueError::Unavailable { what, reason } }
}

/// Whether a refusal says that the request itself is wrong, and not that its answer is gone.
fn is_wrong_request(reason: &str) -> bool {
    let coded = WRONG_REQUEST.iter().any(|code| reason.ends_with(&format!("({code})")));
    coded && !is_pruned(&reason.to_ascii_lowercase())
}

/// How nodes word it that the transaction itself is at fault: nobody else would take it.
fn is_of_transaction(method: &str, lower: &str) -> bool {
    ["eth_estimateGas", "eth_sendRawTransaction"].contains(&method)
        && ["revert", "nonce too", "already known", "known transaction", "underpriced", "insufficient funds"]
            .iter()
            .any(|part| lower.contains(part))
}

/// How nodes word it that they no longer keep the state of a block.
fn is_pruned(lower: &str) -> bool {
    ["missing trie node", "pruned", "state is not available", "historical state", "archive"]
        .iter()
        .any(|part| lower.contains(part))
}

/// How the large providers word it that a log query should be smaller.
fn is_too_large(reason: &str) -> bool {
    let lower = reason.to_ascii_lowercase();
    [
        "block range",
        "blocks range",
        "query returned more than",
        "response size",
        "too many results",
        "exceeds the limit",
        "range limit",
    ]
    .iter()
    .any(|part| lower.contains(part))
}

fn read_header(raw: &RawHeader) -> Result<BlockHeader, crate::logs::LogError> {
    Ok(BlockHeader {
        number: quantity(&raw.number, "block number")?,
        hash: raw.hash,
        parent: raw.parent_hash,
        time: Timestamp::from_seconds(quantity(&raw.timestamp, "block time")?),
    })
}

/// `balanceOfBatch(address[] owners, uint256[] ids)`: two offsets, then both lists with their lengths.
fn balance_call(queries: &[(Address, TokenId)]) -> Vec<u8> {
    let count = queries.len();
    let word = |number: usize| {
        let mut word = [0; 32];
        if let Some(tail) = word.last_chunk_mut() {
            *tail = u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        }
        word
    };
    let second_list = count.saturating_add(3).saturating_mul(32);
    let mut data = BALANCE_OF_BATCH.to_vec();
    for head in [word(64), word(second_list), word(count)] {
        data.extend(head);
    }
    for (owner, _) in queries {
        data.extend([0; 12]);
        data.extend(owner.0);
    }
    data.extend(word(count));
    for (_, token) in queries {
        data.extend(token.0);
    }
    data
}

/// `uint256[]`: offset, length, items.
fn read_balances(data: &[u8], expected: usize) -> Result<Vec<Shares>, String> {
    let (words, rest) = data.as_chunks::<32>();
    let [offset, length, items @ ..] = words else {
        return Err("too short for a list".to_owned());
    };
    let header = [offset, length].map(|word| number(word, "list header").ok());
    let fits =
        header == [Some(32), i64::try_from(expected).ok()] && items.len() == expected && rest.is_empty();
    if !fits {
        return Err(format!("not a list of {expected} balances"));
    }
    let read = |word: &[u8; 32]| amount(word, "balance").map(Shares).map_err(|error| error.to_string());
    items.iter().map(read).collect()
}

#[async_trait]
impl ChainReader for Rpc {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        self.tagged("latest").await
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        self.tagged("finalized").await
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        let header = self.block(&hex_number(number)).await?;
        if header.is_some_and(|header| header.number != number) {
            return Err(malformed("eth_getBlockByNumber", &"another block than the one asked for"));
        }
        Ok(header)
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let events = self.events(&json!({ "blockHash": block.hash }), wallets).await?;
        let ours = |event: &ChainEvent| event.block_hash == block.hash && event.block == block.number;
        if events.iter().all(ours) {
            return Ok(events);
        }
        Err(malformed("eth_getLogs", &"a log of another block than the one asked for"))
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        // Who does not have the last block yet would answer with what it has, as if that were all.
        if from <= to && self.header(to).await?.is_none() {
            let reason = format!("block {to} is not there yet");
            return Err(VenueError::Unavailable { what: "eth_getLogs".to_owned(), reason });
        }
        let mut events = Vec::new();
        let mut start = from;
        while start <= to {
            let end = start.saturating_add(LOG_RANGE).saturating_sub(1).min(to);
            events.extend(self.events_between(start, end, wallets).await?);
            start = end.saturating_add(1);
        }
        Ok(events)
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        self.balances_at(queries, &json!(hex_number(block))).await
    }

    async fn balances_of_block(
        &self,
        queries: &[(Address, TokenId)],
        block: i64,
        hash: Hash,
    ) -> Result<Vec<Shares>, VenueError> {
        if !self.by_height_only.load(Ordering::Relaxed) {
            match self.balances_at(queries, &json!({ "blockHash": hash })).await {
                Err(VenueError::Refused { reason, .. }) if is_wrong_request(&reason) => {
                    debug!("a provider refuses a block's hash in eth_call; asking it by height: {reason}");
                }
                answer => return answer,
            }
        }
        if self.header(block).await?.is_none_or(|header| header.hash != hash) {
            let reason = format!("its block {block} is another one");
            return Err(VenueError::Unavailable { what: "balances".to_owned(), reason });
        }
        let balances = self.balances(queries, block).await?;
        self.by_height_only.store(true, Ordering::Relaxed);
        Ok(balances)
    }
}

#[cfg(test)]
#[path = "rpc_tests.rs"]
mod tests;

//! The chain reader against a canned provider.

use domain::{OrderId, Side};
use engine::ports::venue::ChainEventKind;
use proptest::prelude::*;

use super::*;
use crate::{
    JsonRpc as _,
    logs::tests::{address_word, taker_sell, word},
    test_server::{Action, Request, TestServer, reply},
};

/// A provider of Polygon whose other methods answer what `handler` says (a result or an error object).
async fn provider(
    handler: impl Fn(&str, &Value) -> Result<Value, Value> + Send + Sync + 'static,
) -> (TestServer, Rpc) {
    let server = TestServer::start(move |request| {
        let (method, params, id) = read(request);
        let answer = match method.as_str() {
            "eth_chainId" => Ok(json!("0x89")),
            method => handler(method, &params),
        };
        let body = match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        };
        reply(200, body.to_string())
    })
    .await;
    let rpc = Rpc::new(crate::client().unwrap(), &server.origin, Chain::Polygon);
    (server, rpc)
}

fn read(request: &Request) -> (String, Value, u64) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    (body["method"].as_str().unwrap().to_owned(), body["params"].clone(), body["id"].as_u64().unwrap())
}

fn header_json(number: i64) -> Value {
    json!({"number": hex_number(number), "hash": Hash([number as u8; 32]), "parentHash": Hash([number as u8 - 1; 32]),
        "timestamp": "0x6a3a8996", "transactions": []})
}

fn log_json(block: i64, index: i64) -> Value {
    let log = taker_sell(Exchange::CtfV2, Address([0x77; 20]));
    json!({"address": log.address, "topics": log.topics, "data": log.data, "blockNumber": hex_number(block),
        "blockHash": Hash([block as u8; 32]), "transactionHash": log.transaction_hash, "logIndex": hex_number(index),
        "removed": false})
}

/// A provider that has every block.
async fn full_provider(
    handler: impl Fn(&Value) -> Result<Value, Value> + Send + Sync + 'static,
) -> (TestServer, Rpc) {
    provider(move |method, params| match method {
        "eth_getBlockByNumber" => Ok(header_json(quantity(params[0].as_str().unwrap(), "number").unwrap())),
        _ => handler(params),
    })
    .await
}

#[tokio::test]
async fn headers_by_tag_and_number() {
    let (server, rpc) = provider(|_, params| match params[0].as_str().unwrap() {
        "latest" => Ok(header_json(20)),
        "finalized" => Ok(header_json(10)),
        "0xf" => Ok(header_json(15)),
        "0x10" => Ok(header_json(17)),
        _ => Ok(Value::Null),
    })
    .await;
    let head = rpc.head().await.unwrap();
    assert_eq!((head.number, head.hash, head.parent), (20, Hash([20; 32]), Hash([19; 32])));
    assert_eq!(head.time, Timestamp::from_seconds(0x6a3a_8996));
    assert_eq!(rpc.finalized().await.unwrap().number, 10);
    assert_eq!(rpc.header(15).await.unwrap().unwrap().number, 15);
    assert_eq!(rpc.header(99).await, Ok(None));
    assert!(matches!(rpc.header(16).await, Err(VenueError::Malformed { .. })));
    // The chain was asked for once.
    let chain_calls = server.seen().iter().filter(|request| read(request).0 == "eth_chainId").count();
    assert_eq!(chain_calls, 1);
}

#[tokio::test]
async fn a_provider_of_another_chain_is_refused() {
    let server = TestServer::start(|request| {
        let (_, _, id) = read(request);
        reply(200, json!({"jsonrpc": "2.0", "id": id, "result": "0x1"}).to_string())
    })
    .await;
    let rpc = Rpc::new(crate::client().unwrap(), &server.origin, Chain::Polygon);
    let error = rpc.head().await.unwrap_err();
    assert!(matches!(&error, VenueError::Refused { reason, .. } if reason.contains("chain 1")), "{error}");
}

#[tokio::test]
async fn events_of_a_block_are_sorted_and_ours() {
    let (server, rpc) = provider(|_, _| Ok(json!([log_json(15, 7), log_json(15, 3)]))).await;
    let block = read_header(&serde_json::from_value(header_json(15)).unwrap()).unwrap();
    let events = rpc.block_events(&block, &[]).await.unwrap();
    assert_eq!(events.iter().map(|event| event.log_index).collect::<Vec<_>>(), [3, 7]);
    let ChainEventKind::Fill(fill) = events[0].kind.clone() else { panic!("no fill") };
    assert_eq!((fill.order, fill.side), (OrderId([0xaa; 32]), Side::Sell));
    let filter = read(server.seen().last().unwrap()).1;
    assert_eq!(filter[0]["blockHash"], json!(block.hash));
    assert_eq!(filter[0]["address"].as_array().unwrap().len(), 8);
    let topics = [ORDER_FILLED, PAYOUT_REDEMPTION, NEG_RISK_REDEMPTION, POSITION_REDEEMED];
    assert_eq!(filter[0]["topics"], json!([topics]));
    let other = BlockHeader { hash: Hash([1; 32]), ..block };
    assert!(matches!(rpc.block_events(&other, &[]).await, Err(VenueError::Malformed { .. })));
}

/// The provider is asked who handed shares over only where an adapter redeemed.
#[tokio::test]
async fn an_adapter_s_redemption_is_of_who_handed_it_the_shares() {
    let adapter = crate::contracts::collateral_adapters(Chain::Polygon)[0];
    let tokens = conditional_tokens(Chain::Polygon);
    let log = |index: i64, topics: [Value; 4], words: &[[u8; 32]]| {
        json!({"address": tokens, "topics": topics, "data": hex::encode_prefixed(words.concat()),
            "blockNumber": "0xf", "blockHash": Hash([15; 32]), "transactionHash": Hash([9; 32]),
            "logIndex": hex_number(index), "removed": false})
    };
    let topic = |address: Address| json!(hex::encode_prefixed(address_word(address)));
    let (wallet, other) = (Address([0x77; 20]), json!(Hash([0; 32])));
    let redeemed = log(
        7,
        [json!(crate::contracts::PAYOUT_REDEMPTION), topic(adapter), other.clone(), other],
        &[[0xcd; 32], word(96), word(7_000_000), word(2), word(1), word(2)],
    );
    let handed = log(5, [json!(TRANSFER_BATCH), topic(adapter), topic(wallet), topic(adapter)], &[]);
    let (server, rpc) = provider(move |_, params| {
        let transfers = params[0]["topics"][0] == json!([TRANSFER_BATCH]);
        Ok(json!([if transfers { &handed } else { &redeemed }]))
    })
    .await;
    let block = read_header(&serde_json::from_value(header_json(15)).unwrap()).unwrap();
    let events = rpc.block_events(&block, &[]).await.unwrap();
    let ChainEventKind::Redemption { wallet: redeemer, payout, .. } = events[0].kind else {
        panic!("{events:?}")
    };
    assert_eq!((redeemer, payout, events.len()), (wallet, domain::Usd(7_000_000), 1));
    let filter = read(server.seen().last().unwrap()).1;
    assert_eq!((&filter[0]["blockHash"], &filter[0]["address"]), (&json!(block.hash), &json!([tokens])));
    assert_eq!((&filter[0]["topics"][1], &filter[0]["topics"][3][0]), (&Value::Null, &topic(adapter)));
    let (server, rpc) = provider(|_, _| Ok(json!([log_json(15, 7)]))).await;
    rpc.block_events(&block, &[]).await.unwrap();
    let asked = server.seen().iter().filter(|request| read(request).0 == "eth_getLogs").count();
    assert_eq!(asked, 1);
}

/// A transfer between two leaders is found from both ends, and told of each once.
#[tokio::test]
async fn movements_are_asked_by_wallet_and_told_once() {
    let (one, other) = (Address([0x77; 20]), Address([0x78; 20]));
    let word_of = |address: Address| json!(hex::encode_prefixed(address_word(address)));
    let words = hex::encode_prefixed([[0x11; 32], word(5_000_000)].concat());
    let log = json!({"address": conditional_tokens(Chain::Polygon),
        "topics": [TRANSFER_SINGLE, word_of(one), word_of(one), word_of(other)], "data": words,
        "blockNumber": "0xf", "blockHash": Hash([15; 32]), "transactionHash": Hash([9; 32]),
        "logIndex": "0x9", "removed": false});
    let (server, rpc) = provider(move |_, params| {
        let transfers = params[0]["topics"][0] == json!([TRANSFER_SINGLE, TRANSFER_BATCH]);
        Ok(if transfers { json!([log]) } else { json!([log_json(15, 7)]) })
    })
    .await;
    let block = read_header(&serde_json::from_value(header_json(15)).unwrap()).unwrap();
    let events = rpc.block_events(&block, &[one, other]).await.unwrap();
    let moved: Vec<_> = events
        .iter()
        .filter_map(|event| match event.kind {
            ChainEventKind::Move(moved) => Some((event.log_index, moved.wallet, moved.side)),
            _ => None,
        })
        .collect();
    assert_eq!((events.len(), moved), (3, vec![(9, one, Side::Sell), (9, other, Side::Buy)]));
    let filters: Vec<Value> =
        server.seen().iter().map(|request| read(request).1[0]["topics"].clone()).collect();
    let both = json!([word_of(one), word_of(other)]);
    let events = json!([TRANSFER_SINGLE, TRANSFER_BATCH]);
    assert!(
        filters.contains(&json!([events, null, both]))
            && filters.contains(&json!([events, null, null, both]))
    );
}

#[tokio::test]
async fn two_logs_at_one_place_or_an_unknown_block_are_errors() {
    let (_server, rpc) = full_provider(|_| Ok(json!([log_json(15, 3), log_json(15, 3)]))).await;
    assert!(matches!(rpc.range_events(15, 15, &[]).await, Err(VenueError::Malformed { .. })));
    let (_server, rpc) = provider(|_, _| Err(json!({"code": -32000, "message": "unknown block"}))).await;
    let block = read_header(&serde_json::from_value(header_json(15)).unwrap()).unwrap();
    assert!(matches!(rpc.block_events(&block, &[]).await, Err(VenueError::Unavailable { .. })));
}

/// Many nodes answer with what they have, as if that were all there is.
#[tokio::test]
async fn a_range_that_ends_beyond_what_the_provider_has_is_not_read() {
    let (_server, rpc) = provider(|method, _| match method {
        "eth_getBlockByNumber" => Ok(Value::Null),
        _ => Ok(json!([log_json(15, 3)])),
    })
    .await;
    assert!(matches!(rpc.range_events(10, 20, &[]).await, Err(VenueError::Unavailable { .. })));
}

fn range(params: &Value) -> (i64, i64) {
    let bound = |name: &str| quantity(params[0][name].as_str().unwrap(), "bound").unwrap();
    (bound("fromBlock"), bound("toBlock"))
}

#[tokio::test]
async fn a_large_range_is_asked_in_pieces_the_provider_takes() {
    let (server, rpc) = full_provider(|params| {
        let (from, to) = range(params);
        if to - from >= 100 {
            return Err(json!({"code": -32005, "message": "query returned more than 10000 results"}));
        }
        Ok((from..=to).filter(|block| block % 50 == 0).map(|block| log_json(block, 1)).collect())
    })
    .await;
    let events = rpc.range_events(1, 1_100, &[]).await.unwrap();
    let blocks: Vec<_> = events.iter().map(|event| event.block).collect();
    assert_eq!(blocks, (1..=1_100).filter(|block| block % 50 == 0).collect::<Vec<_>>());
    assert!(server.seen().len() < 40);
    assert_eq!(rpc.range_events(5, 4, &[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn other_refusals_are_not_split_and_strangers_are_refused() {
    let (server, rpc) = full_provider(|_| Err(json!({"code": -32602, "message": "invalid params"}))).await;
    assert!(matches!(rpc.range_events(1, 100, &[]).await, Err(VenueError::Refused { .. })));
    assert_eq!(server.seen().iter().filter(|request| read(request).0 == "eth_getLogs").count(), 1);
    let (_server, rpc) = full_provider(|_| Ok(json!([log_json(200, 1)]))).await;
    assert!(matches!(rpc.range_events(1, 100, &[]).await, Err(VenueError::Malformed { .. })));
}

#[tokio::test]
async fn balances_come_back_in_the_order_of_the_queries() {
    // Answers a balance of (first byte of owner) + (first byte of id).
    let (server, rpc) = provider(|_, params| {
        let data = hex::decode(params[0]["data"].as_str().unwrap()).unwrap();
        let words = data[4..].as_chunks::<32>().0;
        let count = number(&words[2], "count").unwrap() as usize;
        assert_eq!(words.len(), 4 + 2 * count);
        let balances =
            (0..count).map(|at| word(u64::from(words[3 + at][12]) + u64::from(words[4 + count + at][0])));
        let items: Vec<_> = [word(32), word(count as u64)].into_iter().chain(balances).collect();
        Ok(json!(hex::encode_prefixed(items.concat())))
    })
    .await;
    let mut v3 = [2; 32];
    v3[19..27].fill(0);
    let queries: Vec<_> = (0..250_u8)
        .map(|at| (Address([at; 20]), if at % 2 == 0 { TokenId([1; 32]) } else { TokenId(v3) }))
        .collect();
    let balances = rpc.balances(&queries, 300).await.unwrap();
    let expected: Vec<_> = (0..250_i64).map(|at| Shares(at + 1 + at % 2)).collect();
    assert_eq!(balances, expected);
    // One call per contract, at the block asked for.
    let calls: Vec<_> = server.seen().iter().map(read).filter(|call| call.0 == "eth_call").collect();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.1[1] == "0x12c"));
    let contracts: std::collections::BTreeSet<_> =
        calls.iter().map(|call| call.1[0]["to"].to_string()).collect();
    assert_eq!(contracts.len(), 2);
}

/// EIP-1898: `eth_call` at the block with a hash. Who does not take one is asked by height, where it still has
/// that block.
#[tokio::test]
async fn balances_of_a_block_are_asked_by_its_hash() {
    let list = |held: u64| json!(hex::encode_prefixed([word(32), word(1), word(held)].concat()));
    let query = [(Address([1; 20]), TokenId([1; 32]))];
    let asked = |server: &TestServer| -> Vec<Value> {
        let calls = server.seen().iter().map(read).filter(|call| call.0 == "eth_call").collect::<Vec<_>>();
        calls.into_iter().map(|call| call.1[1].clone()).collect()
    };
    let (server, rpc) = provider(move |_, _| Ok(list(7))).await;
    assert_eq!(rpc.balances_of_block(&query, 200, Hash([2; 32])).await, Ok(vec![Shares(7)]));
    assert_eq!(asked(&server), [json!({ "blockHash": Hash([2; 32]) })]);
    let (server, rpc) = provider(move |method, params| match method {
        "eth_call" if params[1].is_object() => {
            Err(json!({"code": -32602, "message": "invalid argument 1: cannot unmarshal object"}))
        }
        "eth_call" => Ok(list(9)),
        _ => Ok(header_json(200)),
    })
    .await;
    for _ in 0..2 {
        assert_eq!(rpc.balances_of_block(&query, 200, Hash([200; 32])).await, Ok(vec![Shares(9)]));
    }
    assert_eq!(asked(&server)[1..], [json!("0xc8"), json!("0xc8")], "it is asked by hash once");
    let other = rpc.balances_of_block(&query, 200, Hash([3; 32])).await;
    assert!(matches!(other, Err(VenueError::Unavailable { .. })), "{other:?}");
    let (_server, rpc) = provider(|_, _| Err(json!({"code": -32602, "message": "state is pruned"}))).await;
    let pruned = rpc.balances_of_block(&query, 200, Hash([2; 32])).await;
    assert!(matches!(pruned, Err(VenueError::Refused { .. })), "{pruned:?}");
}

#[tokio::test]
async fn pruned_state_and_rate_limits_are_told_apart() {
    let query = [(Address([1; 20]), TokenId([1; 32]))];
    let (_server, rpc) = provider(|_, _| Err(json!({"code": -32000, "message": "missing trie node"}))).await;
    let error = rpc.balances(&query, 5).await.unwrap_err();
    assert!(matches!(&error, VenueError::Refused { reason, .. } if reason.contains("missing trie node")));
    let (_server, rpc) =
        provider(|_, _| Err(json!({"code": -32005, "message": "rate limit exceeded"}))).await;
    assert!(matches!(rpc.balances(&query, 5).await, Err(VenueError::RateLimited { .. })));
}

#[tokio::test]
async fn a_transaction_at_fault_is_refused_and_nobody_else_is_asked() {
    for (method, message) in [
        ("eth_estimateGas", "execution reverted: caller is not token owner"),
        ("eth_sendRawTransaction", "already known"),
        ("eth_sendRawTransaction", "insufficient funds for gas * price + value"),
    ] {
        let (_server, rpc) = provider(move |_, _| Err(json!({"code": -32000, "message": message}))).await;
        let asked = rpc.ask(method, json!([])).await;
        assert!(matches!(asked, Err(VenueError::Refused { .. })), "{method}: {asked:?}");
    }
    let (_server, rpc) = provider(|_, _| Err(json!({"code": -32000, "message": "header not found"}))).await;
    let asked = rpc.ask("eth_sendRawTransaction", json!([])).await;
    assert!(matches!(asked, Err(VenueError::Unavailable { .. })), "{asked:?}");
}

#[tokio::test]
async fn broken_answers_are_errors_and_the_url_stays_secret() {
    let actions: [fn() -> Action; 7] = [
        || reply(500, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"internal error"}}"#),
        || reply(200, "not json"),
        || reply(200, r#"{"jsonrpc":"2.0","id":999999,"result":"0x89"}"#),
        || reply(200, "[]"),
        || reply(502, "<html>"),
        || reply(429, ""),
        || Action::Drop,
    ];
    for action in actions {
        let server = TestServer::start(move |_| action()).await;
        let url = format!("{}/v2/secret-key", server.origin);
        let rpc = Rpc::new(crate::client().unwrap(), &url, Chain::Polygon);
        let error = rpc.head().await.unwrap_err();
        assert!(!error.to_string().contains("secret-key"), "{error}");
        assert_eq!(server.seen()[0].target, "/v2/secret-key");
    }
}

#[tokio::test]
async fn failures_of_the_provider_are_not_refusals() {
    let query = [(Address([1; 20]), TokenId([1; 32]))];
    // The second is said by a node that is a block behind its siblings.
    for (code, message) in [(-32603, "oops"), (-32000, "header not found")] {
        let (_server, rpc) = provider(move |_, _| Err(json!({"code": code, "message": message}))).await;
        assert!(matches!(rpc.balances(&query, 5).await, Err(VenueError::Unavailable { .. })));
    }
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"archive plan needed"}}"#;
    for (status, refused) in [(403, true), (500, false)] {
        let server = TestServer::start(move |_| reply(status, error)).await;
        let rpc = Rpc::new(crate::client().unwrap(), &server.origin, Chain::Polygon);
        let answer = rpc.head().await;
        assert_eq!(matches!(answer, Err(VenueError::Refused { .. })), refused, "{answer:?}");
        assert_eq!(matches!(answer, Err(VenueError::Unavailable { .. })), !refused, "{answer:?}");
    }
}

#[test]
fn lists_of_balances_are_strict() {
    let list = |words: &[[u8; 32]]| read_balances(&words.concat(), 2);
    assert_eq!(list(&[word(32), word(2), word(5), word(6)]), Ok(vec![Shares(5), Shares(6)]));
    assert!(list(&[word(32), word(2), word(5)]).is_err());
    assert!(list(&[word(32), word(3), word(5), word(6)]).is_err());
    assert!(list(&[word(64), word(2), word(5), word(6)]).is_err());
    assert!(list(&[word(32), word(2), word(5), [0xff; 32]]).is_err());
    assert!(list(&[word(32), word(2), word(5), address_word(Address([1; 20]))]).is_err());
    assert!(list(&[]).is_err());
}

proptest! {
    #[test]
    fn any_result_is_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..300), expected in 0_usize..10) {
        let _ = read_balances(&data, expected);
    }

    #[test]
    fn any_reply_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<Reply>(&bytes);
        let _ = serde_json::from_slice::<RawHeader>(&bytes);
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let hash = format!("0x{}", "ab".repeat(32));
    let sample = json!({ "number": "0x64", "hash": hash, "parentHash": hash, "timestamp": "0x65000000" });
    let header = |bytes: &[u8]| read_header(&serde_json::from_slice::<RawHeader>(bytes).ok()?).ok();
    crate::hostile::survives(&sample.to_string(), header, |header| {
        let known = Hash([0xab; 32]);
        header.number >= 0 && header.time.0 >= 0 && (header.hash, header.parent) == (known, known)
    });
}

/// Every word of a list of balances in turn becomes one of these.
#[test]
fn hostile_balances_are_no_balances() {
    let good = [word(32), word(2), word(5), word(7)];
    let list = |words: &[[u8; 32]]| read_balances(&words.concat(), 2);
    assert_eq!(list(&good), Ok(vec![Shares(5), Shares(7)]));
    for place in 0..good.len() {
        for hostile in crate::logs::tests::hostile_words() {
            let mut words = good;
            words[place] = hostile;
            if let Ok(balances) = list(&words) {
                assert_eq!(balances.len(), 2);
                assert!(crate::hostile::amounts(balances.iter().map(|shares| shares.0)), "{balances:?}");
            }
        }
    }
    for length in 0..good.len() {
        assert!(list(&good[..length]).is_err(), "{length} words");
    }
}

//! The JSON-RPC, the Data API and the control API around leaders' trades, reorganisations, resolutions.

use std::time::Duration;

use domain::Side;
use serde_json::{Value, json};
use simulator::contracts::{COLLATERAL_ADAPTER, CONDITIONAL_TOKENS, Exchange};

use super::harness::{START, Trader, Venue, market_v2, market_v3};

const LEADER: &str = "0x3333333333333333333333333333333333333333";
const PAYOUT_REDEMPTION: &str = "0x2682012a";
const TRANSFER_BATCH: &str = "0x4a39dc06";

fn hash(byte: u8) -> String {
    format!("0x{}", hex::encode([byte; 32]))
}

/// A leader buys twice in one transaction, with two equal fills.
async fn leader_trade(venue: &Venue, tx: u8) -> u64 {
    let token = market_v2(false).tokens[0];
    let fill = json!({ "wallet": LEADER, "token": token, "side": "BUY", "price": "0.52", "shares": 30 });
    let (status, reply) =
        venue.control("/trades", json!({ "tx_hash": hash(tx), "fills": [fill, fill] })).await;
    assert_eq!(status, 200, "{reply}");
    venue.mine()
}

fn leader_logs(number: u64) -> Value {
    let topic = format!("0x{:0>64}", LEADER.trim_start_matches("0x"));
    json!([{ "topics": [null, null, topic], "fromBlock": format!("{number:#x}"), "toBlock": format!("{number:#x}") }])
}

#[tokio::test]
async fn a_leaders_fills_are_logged_and_indexed() {
    let venue = Venue::manual().await;
    let number = leader_trade(&venue, 7).await;
    let logs = venue.rpc("eth_getLogs", leader_logs(number)).await["result"].clone();
    // Two `OrderFilled` with the leader as maker; the other two events with this topic are
    // `OrdersMatched` and the token transfers, which have it elsewhere.
    let filled: Vec<&Value> = logs
        .as_array()
        .unwrap()
        .iter()
        .filter(|log| {
            log["topics"].as_array().unwrap().len() == 4
                && log["topics"][0].as_str().unwrap().starts_with("0xd543adfd")
        })
        .collect();
    assert_eq!(filled.len(), 2, "{logs}");
    assert_ne!(filled[0]["logIndex"], filled[1]["logIndex"]);
    assert!(filled.iter().all(|log| log["transactionHash"] == json!(hash(7))));

    let data = &venue.running.data_url;
    let trades = format!("{data}/trades?user={LEADER}&takerOnly=false");
    assert_eq!(venue.get(trades.clone()).await.1, json!([]), "the indexer lags");
    venue.clock.advance(Duration::from_secs(1));
    let (_, rows) = venue.get(trades).await;
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0], rows[1], "equal fills are indistinguishable");
    assert_eq!(
        (&rows[0]["size"], &rows[0]["price"], &rows[0]["timestamp"]),
        (&json!(30), &json!(0.52), &json!(START.seconds()))
    );
    assert_eq!((&rows[0]["outcome"], &rows[0]["side"]), (&json!("Yes"), &json!("BUY")));
    let (_, activity) = venue.get(format!("{data}/activity?user={LEADER}&type=TRADE&limit=1")).await;
    assert_eq!((&activity[0]["usdcSize"], activity.as_array().unwrap().len()), (&json!(15.6), 1));
    let (_, positions) = venue.get(format!("{data}/positions?user={LEADER}")).await;
    assert_eq!((&positions[0]["size"], &positions[0]["avgPrice"]), (&json!(60), &json!(0.52)));
    let (_, makers) = venue.get(format!("{data}/trades")).await;
    assert_eq!(makers.as_array().unwrap().len(), 2, "takers only, unless told");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn fills_can_be_hidden_from_the_logs_and_shown_again() {
    let venue = Venue::manual().await;
    let number = leader_trade(&venue, 7).await;
    let filled = async || {
        let logs = venue.rpc("eth_getLogs", leader_logs(number)).await["result"].clone();
        let logs = logs.as_array().unwrap().iter();
        let filled = logs.filter(|log| log["topics"][0].as_str().unwrap().starts_with("0xd543adfd"));
        filled.map(|log| (log["topics"][1].clone(), log["logIndex"].clone())).collect::<Vec<_>>()
    };
    let all = filled().await;
    let (first, _) = &all[0];
    assert_eq!(venue.control("/knobs", json!({ "hidden_fills": [first] })).await.0, 200);
    assert_eq!(filled().await, all[1..], "the others stay where they are");
    assert_eq!(venue.control("/knobs", json!({ "hidden_fills": [] })).await.0, 200);
    assert_eq!(filled().await, all);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn the_state_names_the_newest_block_with_a_transaction() {
    let venue = Venue::manual().await;
    let number = leader_trade(&venue, 7).await;
    venue.mine();
    let (_, state) = venue.get(format!("{}/", venue.running.control_url)).await;
    assert_eq!((&state["newest_tx"], &state["head"]), (&json!(number), &json!(number + 1)));
    assert_eq!((&state["pending"], &state["late"]), (&json!([]), &json!(0)));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn v2_pages_by_cursor_while_rows_arrive() {
    let venue = Venue::manual().await;
    leader_trade(&venue, 7).await;
    leader_trade(&venue, 8).await;
    venue.clock.advance(Duration::from_secs(1));
    let url = format!("{}/v2/activity?user={LEADER}&limit=3", venue.running.data_url);
    let (_, first) = venue.get(url.clone()).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&first["data"][0]["transaction_hash"], &first["data"][0]["usdc_size"]),
        (&json!(hash(8)), &json!(15.6))
    );
    assert!(first["data"][0]["token_id"].is_string());
    assert_eq!(first["pagination"]["has_more"], true);
    leader_trade(&venue, 9).await;
    venue.clock.advance(Duration::from_secs(1));
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    let (_, second) = venue.get(format!("{url}&cursor={cursor}")).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&second["data"][0]["transaction_hash"], &second["pagination"]["has_more"]),
        (&json!(hash(7)), &json!(false))
    );
    let oldest = venue.get(format!("{url}&sort_direction=ASC")).await.1;
    assert_eq!(oldest["data"][0]["transaction_hash"], hash(7));
    let data = &venue.running.data_url;
    let since = START.seconds() + 1;
    let (_, recent) = venue.get(format!("{data}/activity?user={LEADER}&start={since}&offset=1")).await;
    assert_eq!((recent.as_array().unwrap().len(), &recent[0]["transactionHash"]), (1, &json!(hash(9))));
    assert_eq!(venue.get(format!("{}/v2/activity", venue.running.data_url)).await.0, 400);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_reorg_moves_logs_and_may_lose_a_transaction() {
    let venue = Venue::manual().await;
    let number = leader_trade(&venue, 7).await;
    let block = async || {
        venue.rpc("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await["result"].clone()
    };
    let logs = async || venue.rpc("eth_getLogs", leader_logs(number)).await["result"].clone();
    let (old_block, old_logs) = (block().await, logs().await);
    assert_eq!(old_block["transactions"], json!([hash(7)]));
    let (_, report) = venue.control("/reorg", json!({ "depth": 1 })).await;
    assert_eq!(report["head"], json!(number + 1));
    let (new_block, new_logs) = (block().await, logs().await);
    assert_ne!(new_block["hash"], old_block["hash"]);
    assert_eq!(new_block["parentHash"], old_block["parentHash"]);
    assert_ne!(new_logs[0]["logIndex"], old_logs[0]["logIndex"]);
    assert_eq!(new_logs[0]["data"], old_logs[0]["data"]);
    let gone = venue.rpc("eth_getBlockByHash", json!([old_block["hash"], false])).await;
    assert_eq!(gone["result"], Value::Null);
    let stale = venue.rpc("eth_getLogs", json!([{ "blockHash": old_block["hash"] }])).await;
    assert_eq!(stale["error"]["message"], "unknown block");

    let (_, report) = venue.control("/reorg", json!({ "depth": 2, "drop": ["last"] })).await;
    assert_eq!(report["dropped"], json!([hash(7)]));
    assert_eq!(logs().await, json!([]));
    assert_eq!(venue.rpc("eth_getTransactionReceipt", json!([hash(7)])).await["result"], Value::Null);
    let (status, reply) = venue.control("/reorg", json!({ "depth": 9 })).await;
    assert_eq!(status, 400, "{reply}");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn providers_have_limits_and_bad_moments() {
    let venue = Venue::manual().await;
    let number = leader_trade(&venue, 7).await;
    assert_eq!(venue.rpc("eth_chainId", json!([])).await["result"], "0x89");
    (0..5).for_each(|_| {
        venue.mine();
    });
    let head = number + 5;
    let block = venue.rpc("eth_getBlockByNumber", json!(["finalized", false])).await;
    assert_eq!(block["result"]["number"], json!(format!("{:#x}", head - 3)));
    let wide = json!([{ "fromBlock": "0x1", "toBlock": "latest" }]);
    assert_eq!(venue.rpc("eth_getLogs", wide).await["error"]["code"], -32_005);
    assert_eq!(venue.rpc("eth_mining", json!([])).await["error"]["code"], -32_601);
    let future = json!([{ "to": CONDITIONAL_TOKENS, "data": "0x" }, format!("{:#x}", head + 1)]);
    assert_eq!(venue.rpc("eth_call", future).await["error"]["message"], "header not found");
    venue.control("/knobs", json!({ "state_blocks": 2 })).await;
    let old = json!([{ "to": CONDITIONAL_TOKENS, "data": "0x" }, format!("{number:#x}")]);
    let error = venue.rpc("eth_call", old).await["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.starts_with("missing trie node"), "{error}");

    let chain =
        async |kind: &str| venue.control("/faults", json!({ "target": "chain", "kind": kind })).await.0;
    assert_eq!(chain("missing_logs").await, 200);
    assert_eq!(venue.rpc("eth_getLogs", leader_logs(number)).await["result"], json!([]));
    assert_ne!(venue.rpc("eth_getLogs", leader_logs(number)).await["result"], json!([]));
    assert_eq!(chain("head_back").await, 200);
    assert_eq!(venue.rpc("eth_blockNumber", json!([])).await["result"], json!(format!("{:#x}", head - 2)));
    assert_eq!(chain("rpc_error").await, 200);
    assert_eq!(venue.rpc("eth_blockNumber", json!([])).await["error"]["code"], -32_000);
    venue.control("/stall", json!({ "stalled": true })).await;
    venue.mine();
    assert_eq!(venue.rpc("eth_blockNumber", json!([])).await["result"], json!(format!("{head:#x}")));
    let beyond = venue.rpc("eth_getBlockByNumber", json!([format!("{:#x}", head + 1), false])).await;
    assert_eq!(beyond["result"], Value::Null);
    venue.control("/stall", json!({ "stalled": false })).await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "id": "b", "method": "eth_chainId" },
    ]);
    let (_, replies) = venue.send_json(venue.http.post(&venue.running.rpc_url), &batch).await;
    assert_eq!((&replies[0]["result"], &replies[1]["id"]), (&json!(format!("{:#x}", head + 1)), &json!("b")));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_resolution_redeems_and_shows() {
    let venue = Venue::manual().await;
    leader_trade(&venue, 7).await;
    let market = market_v2(false);
    let (status, reply) =
        venue.control("/resolve", json!({ "condition": market.condition, "payouts": ["1", 0] })).await;
    assert_eq!((status.as_u16(), reply), (200, json!({ "redeemed": 1 })));
    let number = venue.mine();
    let range = format!("{number:#x}");
    let filter = json!([{ "address": CONDITIONAL_TOKENS, "fromBlock": range, "toBlock": range }]);
    let logs = venue.rpc("eth_getLogs", filter).await["result"].clone();
    let find = |event: &str| {
        let mut logs = logs.as_array().unwrap().iter();
        logs.find(|log| log["topics"][0].as_str().unwrap().starts_with(event)).unwrap()
    };
    let ends = |log: &Value, topic: usize, address: &str| {
        let topic = log["topics"][topic].as_str().unwrap();
        assert!(topic.ends_with(address.trim_start_matches("0x")), "{log}");
    };
    let adapter = COLLATERAL_ADAPTER.to_string();
    ends(find(PAYOUT_REDEMPTION), 1, &adapter);
    ends(find(TRANSFER_BATCH), 2, LEADER);
    ends(find(TRANSFER_BATCH), 3, &adapter);
    let data = format!("0x0504c814{}{:0>64}", market.condition.to_string().trim_start_matches("0x"), "0");
    let numerator =
        venue.rpc("eth_call", json!([{ "to": CONDITIONAL_TOKENS, "data": data }, "latest"])).await;
    assert_eq!(
        u64::from_str_radix(numerator["result"].as_str().unwrap().trim_start_matches("0x"), 16),
        Ok(1_000_000)
    );
    venue.clock.advance(Duration::from_secs(1));
    let (_, rows) = venue.get(format!("{}/activity?user={LEADER}&type=REDEEM", venue.running.data_url)).await;
    assert_eq!(
        (&rows[0]["usdcSize"], &rows[0]["asset"], &rows[0]["outcomeIndex"]),
        (&json!(60), &json!(""), &json!(999))
    );
    let (_, shown) = venue.get(format!("{}/markets/{}", venue.running.clob_url, market.condition)).await;
    assert_eq!(
        (&shown["closed"], &shown["tokens"][0]["winner"], &shown["tokens"][1]["winner"]),
        (&json!(true), &json!(true), &json!(false))
    );
    venue.running.shutdown().await;
}

#[tokio::test]
async fn everything_can_be_set_up_over_http() {
    let venue = Venue::manual().await;
    let post = async |path: &str, body: Value| {
        let (status, reply) = venue.control(path, body).await;
        assert_eq!(status, 200, "{path}: {reply}");
    };
    let (condition, token) =
        (hash(0x77), "1157920892373161954235709850086879078532699846656405640394575840079131296399");
    let market = json!({ "condition": condition, "tokens": [token, format!("{token}1")], "tick": 0.001, "min_size": "5",
        "fee": { "rate": 0.04, "exponent": 1 } });
    post("/markets", market.clone()).await;
    assert_eq!(venue.control("/markets", market).await.0, 400);
    post("/levels", json!({ "token": token, "bids": [], "asks": [{ "price": 0.123, "shares": 100 }] })).await;
    let trader = Trader::logged_in(&venue, 9, 3).await;
    post("/credit", json!({ "wallet": trader.wallet, "usd": "12.5" })).await;
    post("/credit", json!({ "wallet": trader.wallet, "token": token, "shares": 3 })).await;
    post("/tick", json!({ "condition": condition, "tick": "0.0001" })).await;
    post("/approve", json!({ "wallet": trader.wallet, "approved": false })).await;
    let allowance = trader.get(&venue, "/balance-allowance?asset_type=COLLATERAL&signature_type=3").await.1;
    assert_eq!(allowance["balance"], "1012500000");
    assert_eq!(allowance["allowances"][Exchange::V3.address().to_string()], "0");
    post("/transfer", json!({ "from": trader.wallet, "to": LEADER, "token": token, "shares": "1.5" })).await;
    post("/state", json!({ "condition": condition, "state": "closed" })).await;
    assert_eq!(venue.get(format!("{}/book?token_id={token}", venue.running.clob_url)).await.0, 404);
    post("/mine", json!({})).await;
    let v3 = market_v3();
    post("/resolve", json!({ "condition": v3.condition, "payouts": [0.5, 0.5], "redeem": "none" })).await;
    let mistakes = [
        ("/credit", json!({ "wallet": trader.wallet, "token": "5", "shares": 1 })),
        ("/levels", json!({ "token": token, "asks": [{ "price": 2, "shares": 1 }] })),
        ("/transfer", json!({ "from": LEADER, "to": LEADER, "token": token, "shares": 2 })),
        ("/wallets", json!({ "address": LEADER, "owner": trader.eoa, "signature_type": 0 })),
        ("/faults", json!({ "target": "chain", "kind": "slow" })),
        ("/resolve", json!({ "condition": condition, "payouts": [1, 1] })),
        ("/redeem", json!({ "condition": condition, "wallet": LEADER })),
        ("/tick", json!({ "condition": hash(0x78), "tick": 0.1 })),
        ("/mode", json!({ "mode": "sleepy" })),
    ];
    for (path, body) in mistakes {
        let (status, reply) = venue.control(path, body).await;
        assert_eq!(status, 400, "{path}");
        assert!(reply["error"].is_string(), "{path}: {reply}");
    }
    let (_, verdict) = venue.get(format!("{}/verdict", venue.running.control_url)).await;
    assert_eq!(verdict["sound"], true, "{verdict}");
    let side = Side::Buy;
    let (_, body) =
        trader.body(&trader.order(v3.tokens[0], side, 5_000_000, 10_000_000), Exchange::V3, "FAK");
    assert_eq!(trader.post(&venue, &body).await.0, 404, "resolved markets have no book");
    venue.running.shutdown().await;
}

//! `eth_subscribe` to logs at the simulated provider, over a websocket.

#![cfg(test)]

use std::sync::Arc;

use domain::{Address, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use polymarket::socket::{Connection, Connector as _, Frame, WebSockets};
use serde_json::{Value, json};
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{ForeignFill, ForeignTrade},
        fees::FeeSchedule,
        registry::MarketSpec,
        settlement::{ReorgSpec, TxName},
    },
};
use slipstream::clock::SystemClock;

const TOKEN: TokenId = TokenId([0x9d; 32]);
/// `OrderFilled` of the present exchanges.
const ORDER_FILLED: &str = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee";

async fn set() -> Running {
    let config = SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() };
    let running = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
    let market = MarketSpec {
        condition: ConditionId::from_slice(&[0x0c; 32]).unwrap(),
        tokens: [TOKEN, TokenId([0x9e; 32])],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(ONE / 100),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule::default(),
        title: String::new(),
        slug: String::new(),
        event_slug: String::new(),
        end_date: String::new(),
    };
    running.world().with(|world, _| world.add_market(market).unwrap());
    running
}

fn trade(running: &Running, wallet: u8, number: u8) -> TxHash {
    let tx_hash = TxHash([number; 32]);
    let (side, price, shares) = (Side::Buy, Price(ONE / 2), Shares(5 * ONE));
    let fill = ForeignFill { wallet: Address([wallet; 20]), token: TOKEN, side, price, shares, maker: false };
    let trade = ForeignTrade { tx_hash, fills: vec![fill], moves: Vec::new() };
    running.world().with(|world, now| {
        world.foreign_trade(&trade).unwrap();
        world.mine(now);
    });
    tx_hash
}

async fn next(connection: &mut dyn Connection) -> Value {
    let Frame::Text(text) = connection.receive().await.unwrap() else { panic!("no text") };
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn logs_that_fit_the_filter_are_told_once_also_after_a_reorganisation() {
    let running = set().await;
    trade(&running, 1, 1);
    let url = running.rpc_url.replacen("http", "ws", 1);
    let mut connection = WebSockets.connect(&url).await.unwrap();
    let leader = format!("0x{}{}", "00".repeat(12), "02".repeat(20));
    let subscribe = json!({
        "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe",
        "params": ["logs", { "topics": [ORDER_FILLED, null, leader] }],
    });
    connection.send(&subscribe.to_string()).await.unwrap();
    let subscription = next(connection.as_mut()).await["result"].clone();
    assert!(subscription.is_string());
    // Another one's trade is not told, nor is what was there before.
    trade(&running, 1, 2);
    let hash = trade(&running, 2, 3);
    let told = next(connection.as_mut()).await;
    assert_eq!(
        (&told["method"], &told["params"]["subscription"]),
        (&json!("eth_subscription"), &subscription)
    );
    let log = &told["params"]["result"];
    assert_eq!((&log["transactionHash"], &log["topics"][2]), (&json!(hash), &json!(leader)));
    assert_eq!(log["removed"], json!(false));
    // Its block is replaced by another one with the same transaction: taken back, and told again with the new block's
    // hash.
    let depth = ReorgSpec { depth: 1, ..ReorgSpec::default() };
    running.world().with(|world, now| world.reorganise(now, &depth).unwrap());
    let gone = next(connection.as_mut()).await["params"]["result"].clone();
    assert_eq!((&gone["removed"], &gone["blockHash"]), (&json!(true), &log["blockHash"]));
    assert_eq!((&gone["transactionHash"], &gone["logIndex"]), (&log["transactionHash"], &log["logIndex"]));
    let again = next(connection.as_mut()).await["params"]["result"].clone();
    assert_eq!((&again["removed"], &again["transactionHash"]), (&json!(false), &log["transactionHash"]));
    assert_ne!(again["blockHash"], log["blockHash"]);
    // And by one without it: taken back for good. What is told next is another transaction.
    let drop = ReorgSpec { depth: 2, drop: vec![TxName::Hash(hash)], ..ReorgSpec::default() };
    running.world().with(|world, now| world.reorganise(now, &drop).unwrap());
    let gone = next(connection.as_mut()).await["params"]["result"].clone();
    assert_eq!((&gone["removed"], &gone["blockHash"]), (&json!(true), &again["blockHash"]));
    let other = trade(&running, 2, 4);
    assert_eq!(next(connection.as_mut()).await["params"]["result"]["transactionHash"], json!(other));
    running.shutdown().await;
}

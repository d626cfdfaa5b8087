//! The whole path over real sockets: login, order, look-ups, chain logs, Data API.

use domain::{Side, TokenId};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::contracts::{COLLATERAL, CONDITIONAL_TOKENS, Exchange, POSITION_MANAGER};

use super::harness::{Trader, Venue, market_v2, market_v3};

const ORDER_FILLED: &str = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee";

/// $10 at up to 0.56: 17.8571 shares at the limit.
const BUY: (Side, i64, i64) = (Side::Buy, 10_000_000, 17_857_100);

fn topic(address: impl ToString) -> String {
    format!("0x{:0>64}", address.to_string().trim_start_matches("0x"))
}

#[tokio::test]
async fn keys_are_created_once_and_derived_again() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let (status, again) = trader.login(&venue, Method::POST, "/auth/api-key").await;
    assert_eq!((status.as_u16(), &again["error"]), (400, &json!("Could not create api key")));
    let (status, derived) = trader.login(&venue, Method::GET, "/auth/derive-api-key").await;
    assert_eq!((status.as_u16(), &derived["apiKey"]), (200, &json!(trader.key)));
    let other = Trader::new(&venue, 2, 0);
    let (status, _) = other.login(&venue, Method::GET, "/auth/derive-api-key").await;
    assert_eq!(status.as_u16(), 400);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn an_order_of_every_wallet_type_and_exchange_is_matched_and_settled() {
    let venue = Venue::manual().await;
    let markets = [
        (market_v2(false), Exchange::V2, CONDITIONAL_TOKENS),
        (market_v2(true), Exchange::V2NegRisk, CONDITIONAL_TOKENS),
        (market_v3(), Exchange::V3, POSITION_MANAGER),
    ];
    for kind in 0..=3 {
        let trader = Trader::logged_in(&venue, kind + 1, kind).await;
        for (market, exchange, tokens) in &markets {
            let token = market.tokens[0];
            let (side, maker, taker) = BUY;
            let (id, body) = trader.body(&trader.order(token, side, maker, taker), *exchange, "FAK");
            let (status, reply) = trader.post(&venue, &body).await;
            assert_eq!(status, 200, "type {kind} on {exchange:?}: {reply}");
            assert_eq!(reply["orderID"], json!(id));
            assert_eq!(reply["status"], "matched");
            assert_eq!(reply["makingAmount"], "10");
            assert_eq!(reply["transactionsHashes"], json!([]));
            let trade = reply["tradeIDs"][0].as_str().unwrap();
            check_look_ups(&venue, &trader, &id.to_string(), trade).await;
            check_chain(&venue, &trader, &id.to_string(), *exchange, &tokens.to_string(), token).await;
        }
    }
    let verdict = venue.running.world().with(|world, _| world.verdict());
    assert!(verdict.sound, "{:?}", verdict.violations);
    assert_eq!((verdict.orders, verdict.filled_orders, verdict.posts), (12, 12, 12));
    venue.running.shutdown().await;
}

async fn check_look_ups(venue: &Venue, trader: &Trader, id: &str, trade: &str) {
    let (status, order) = trader.get(venue, &format!("/data/order/{id}")).await;
    assert_eq!((status.as_u16(), &order["status"]), (200, &json!("MATCHED")));
    assert_eq!(order["associate_trades"], json!([trade]));
    let (_, page) = trader.get(venue, &format!("/data/orders?id={id}")).await;
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!(id), &json!("LTE=")));
    let status = async || {
        let (_, page) = trader.get(venue, &format!("/data/trades?id={trade}")).await;
        assert_eq!(page["data"][0]["taker_order_id"], json!(id));
        let row = &page["data"][0];
        (row["status"].clone(), row["transaction_hash"] != "")
    };
    assert_eq!(status().await, (json!("MATCHED"), false));
    venue.mine();
    assert_eq!(status().await, (json!("MINED"), true));
    let head = venue.running.world().with(|world, _| world.chain().head());
    (0..3).for_each(|_| {
        venue.mine();
    });
    assert_eq!(status().await, (json!("CONFIRMED"), true));
    assert_eq!(venue.rpc("eth_blockNumber", json!([])).await["result"], json!(format!("{:#x}", head + 3)));
}

/// Logs of the order, its receipt, and the balances before and after its block.
async fn check_chain(
    venue: &Venue,
    trader: &Trader,
    id: &str,
    exchange: Exchange,
    tokens: &str,
    token: TokenId,
) {
    let from = venue.running.world().with(|world, _| world.chain().first());
    let filter = json!([{
        "address": [exchange.address()],
        "topics": [[ORDER_FILLED], id, topic(trader.wallet)],
        "fromBlock": format!("{from:#x}"),
        "toBlock": "latest",
    }]);
    let logs = venue.rpc("eth_getLogs", filter).await;
    let [log] = logs["result"].as_array().unwrap().as_slice() else { panic!("{logs}") };
    assert_eq!(log["topics"][3], json!(topic(exchange.address())), "a taker names the exchange");
    let receipt = venue.rpc("eth_getTransactionReceipt", json!([log["transactionHash"]])).await;
    let filled: Vec<&Value> = receipt["result"]["logs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|log| log["topics"][0] == ORDER_FILLED)
        .collect();
    // Two levels of the house, then the taker.
    assert_eq!(filled.last().unwrap()["logIndex"], log["logIndex"]);
    assert!(filled.len() >= 2);

    let number =
        u64::from_str_radix(log["blockNumber"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let shares = i64::from_str_radix(&log["data"].as_str().unwrap()[2 + 3 * 64..2 + 4 * 64], 16).unwrap();
    let data = format!(
        "0x00fdd58e{:0>64}{}",
        trader.wallet.to_string().trim_start_matches("0x"),
        hex::encode(token.0)
    );
    let balance = async |block: u64| {
        let call = json!([{ "to": tokens, "data": data }, format!("{block:#x}")]);
        let reply = venue.rpc("eth_call", call).await;
        i64::from_str_radix(reply["result"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    assert_eq!((balance(number - 1).await, balance(number).await), (0, shares));
    let data = format!("0x70a08231{:0>64}", trader.wallet.to_string().trim_start_matches("0x"));
    let dollars = venue.rpc("eth_call", json!([{ "to": COLLATERAL, "data": data }, "latest"])).await;
    let dollars =
        i64::from_str_radix(dollars["result"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(
        dollars,
        venue
            .running
            .world()
            .with(|world, _| world.balance(trader.wallet, simulator::world::ledger::Asset::Collateral))
    );
}

#[tokio::test]
async fn both_sides_of_a_trade_see_it_as_their_own() {
    let venue = Venue::manual().await;
    let (maker, taker) = (Trader::logged_in(&venue, 1, 0).await, Trader::logged_in(&venue, 2, 3).await);
    let market = market_v2(false);
    let token = market.tokens[0];
    let bid = maker.order(token, Side::Buy, 10_400_000, 20_000_000);
    let (bid_id, body) = maker.body(&bid, Exchange::V2, "GTC");
    assert_eq!(maker.post(&venue, &body).await.1["status"], "live");
    venue.control("/credit", json!({ "wallet": taker.wallet, "token": token, "shares": 20 })).await;
    let (_, body) = taker.body(&taker.order(token, Side::Sell, 20_000_000, 10_400_000), Exchange::V2, "FAK");
    let (_, reply) = taker.post(&venue, &body).await;
    assert_eq!((&reply["makingAmount"], &reply["takingAmount"]), (&json!("20"), &json!("10.4")));
    let row = async |trader: &Trader, filter: String| {
        let (_, page) = trader.get(&venue, &format!("/data/trades?{filter}")).await;
        page["data"][0].clone()
    };
    let seen = row(&taker, format!("asset_id={token}&market={}", market.condition)).await;
    assert_eq!(
        (&seen["trader_side"], &seen["maker_orders"][0]["order_id"]),
        (&json!("TAKER"), &json!(bid_id))
    );
    assert_eq!(seen["maker_orders"][0]["owner"], json!(maker.key));
    let seen = row(&maker, format!("maker={}", maker.wallet)).await;
    assert_eq!(
        (&seen["trader_side"], &seen["size"], &seen["price"]),
        (&json!("MAKER"), &json!("20"), &json!("0.52"))
    );
    assert_eq!(row(&maker, format!("taker={}", maker.wallet)).await, Value::Null);
    assert_eq!(row(&taker, format!("after={}", super::harness::START.seconds())).await, Value::Null);
    venue.running.shutdown().await;
}

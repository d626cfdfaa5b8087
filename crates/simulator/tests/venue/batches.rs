//! Batches, cancels of every kind, pages and filters of look-ups, heartbeats.

use std::time::Duration;

use domain::{OrderId, Side, TokenId};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{SimulatorConfig, contracts::Exchange};

use super::harness::{Trader, Venue, json_reply, market_v2, market_v3};

fn yes() -> TokenId {
    market_v2(false).tokens[0]
}

/// Body of a GTC buy of 20 shares at this price in cents.
fn bid(trader: &Trader, token: TokenId, exchange: Exchange, salt: u64, cents: i64) -> (OrderId, Value) {
    let mut order = trader.order(token, Side::Buy, cents * 200_000, 20_000_000);
    order.salt = salt;
    let (id, body) = trader.body(&order, exchange, "GTC");
    (id, serde_json::from_str(&body).unwrap())
}

async fn batch(venue: &Venue, trader: &Trader, bodies: &[Value]) -> (u16, Value) {
    let body = json!(bodies).to_string();
    let (status, reply) = json_reply(trader.request(venue, Method::POST, "/orders", &body)).await;
    (status.as_u16(), reply)
}

async fn delete(venue: &Venue, trader: &Trader, path: &str, body: &str) -> (u16, Value) {
    let (status, reply) = json_reply(trader.request(venue, Method::DELETE, path, body)).await;
    (status.as_u16(), reply)
}

async fn open_ids(venue: &Venue, trader: &Trader, query: &str) -> Vec<String> {
    let (_, page) = trader.get(venue, &format!("/data/orders{query}")).await;
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn orders_of_a_batch_succeed_and_fail_on_their_own() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let (first, good) = bid(&trader, yes(), Exchange::V2, 1, 40);
    let (_, mut stranger) = bid(&trader, yes(), Exchange::V2, 2, 40);
    stranger["owner"] = json!("someone");
    let (_, dear) = bid(&trader, yes(), Exchange::V2, 3, 54);
    let (_, wrong) = bid(&trader, yes(), Exchange::V3, 4, 40);
    let mut crossing = bid(&trader, yes(), Exchange::V2, 5, 60).1;
    crossing["postOnly"] = json!(true);
    let (matched, taker) = bid(&trader, yes(), Exchange::V2, 6, 56);
    let (status, reply) =
        batch(&venue, &trader, &[good.clone(), stranger, dear, wrong, crossing, taker]).await;
    assert_eq!(status, 200, "{reply}");
    let seen: Vec<(&str, &str)> = reply
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["status"].as_str().unwrap(), row["errorMsg"].as_str().unwrap()))
        .collect();
    let expected = [
        ("live", ""),
        ("", "the order owner has to be the owner of the API KEY"),
        ("live", ""),
        ("", "invalid signature"),
        ("", "invalid post-only order: order crosses book"),
        ("matched", ""),
    ];
    assert_eq!(seen, expected);
    assert_eq!((&reply[0]["orderID"], &reply[5]["orderID"]), (&json!(first), &json!(matched)));
    assert_eq!((&reply[1]["success"], &reply[1]["orderID"]), (&json!(true), &json!("")));
    // The same again: known ids are duplicates, one by one.
    let (_, again) = batch(&venue, &trader, &[good]).await;
    assert_eq!(again[0]["errorMsg"], json!(format!("order {first} is invalid. Duplicated.")));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_batch_has_a_limit_and_is_all_orders_or_nothing() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let bodies: Vec<Value> = (0..16).map(|salt| bid(&trader, yes(), Exchange::V2, salt, 10).1).collect();
    let refused = async |bodies: &[Value]| {
        let (status, reply) = batch(&venue, &trader, bodies).await;
        (status, reply["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(&bodies).await, (400, "Too many orders in payload: 16, max allowed: 15".to_owned()));
    assert_eq!(refused(&[]).await, (400, "Invalid order payload".to_owned()));
    assert_eq!(refused(&[bodies[0].clone(), json!({})]).await, (400, "Invalid order payload".to_owned()));
    let mut old = bodies[1].clone();
    old["order"]["nonce"] = json!("0");
    assert_eq!(refused(&[bodies[0].clone(), old]).await, (400, "order_version_mismatch".to_owned()));
    assert_eq!(open_ids(&venue, &trader, "").await.len(), 0);
    let (status, reply) = batch(&venue, &trader, &bodies[..15]).await;
    assert_eq!((status, reply.as_array().unwrap().len()), (200, 15));
    assert_eq!(open_ids(&venue, &trader, "").await.len(), 15);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn cancels_by_list_by_market_and_all() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let other = Trader::logged_in(&venue, 2, 0).await;
    let no = market_v2(false).tokens[1];
    let v3 = market_v3();
    let mut ids = Vec::new();
    for (salt, (token, exchange)) in (1..).zip([
        (yes(), Exchange::V2),
        (yes(), Exchange::V2),
        (no, Exchange::V2),
        (v3.tokens[0], Exchange::V3),
    ]) {
        let (id, body) = bid(&trader, token, exchange, salt, 10);
        assert_eq!(trader.post(&venue, &body.to_string()).await.1["status"], "live");
        ids.push(id.to_string());
    }
    let market = format!("?market={}", v3.condition);
    assert_eq!(open_ids(&venue, &trader, &market).await, [ids[3].clone()]);
    assert_eq!(open_ids(&venue, &trader, &format!("?asset_id={no}")).await, [ids[2].clone()]);

    // Not the other trader's to cancel, and no ids at all.
    let lost = "order can't be found - already canceled or matched";
    let list = json!([ids[0], "nonsense"]).to_string();
    let (status, reply) = delete(&venue, &other, "/orders", &list).await;
    let reasons = json!({ ids[0].clone(): lost, "nonsense": lost });
    assert_eq!((status, reply), (200, json!({ "canceled": [], "not_canceled": reasons })));
    let (_, reply) = delete(&venue, &trader, "/orders", &list).await;
    assert_eq!(reply, json!({ "canceled": [ids[0]], "not_canceled": { "nonsense": lost } }));
    let body = json!({ "market": v3.condition }).to_string();
    let (_, reply) = delete(&venue, &trader, "/cancel-market-orders", &body).await;
    assert_eq!(reply, json!({ "canceled": [ids[3]], "not_canceled": {} }));
    let body = json!({ "asset_id": no }).to_string();
    let (_, reply) = delete(&venue, &trader, "/cancel-market-orders", &body).await;
    assert_eq!(reply["canceled"], json!([ids[2]]));
    assert_eq!(delete(&venue, &trader, "/cancel-market-orders", "{}").await.0, 400);
    let (_, reply) = delete(&venue, &trader, "/cancel-all", "").await;
    assert_eq!(reply, json!({ "canceled": [ids[1]], "not_canceled": {} }));
    assert_eq!(delete(&venue, &trader, "/cancel-all", "").await.1["canceled"], json!([]));

    // The id filter and both paths still show what is over.
    assert_eq!(open_ids(&venue, &trader, &format!("?id={}", ids[1])).await, [ids[1].clone()]);
    for path in ["/order", "/data/order"] {
        assert_eq!(trader.get(&venue, &format!("{path}/{}", ids[1])).await.1["status"], "CANCELED");
    }
    let too_many = json!(vec!["0x00"; 3_001]).to_string();
    assert_eq!(delete(&venue, &trader, "/orders", &too_many).await.0, 400);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_market_that_resolves_cancels_what_rests() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let (id, body) = bid(&trader, yes(), Exchange::V2, 1, 10);
    trader.post(&venue, &body.to_string()).await;
    let condition = market_v2(false).condition;
    venue.control("/resolve", json!({ "condition": condition, "payouts": ["1", "0"] })).await;
    let status = trader.get(&venue, &format!("/data/order/{id}")).await.1["status"].clone();
    assert_eq!(status, "CANCELED_MARKET_RESOLVED");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn look_ups_come_in_pages() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    for first in (0..510).step_by(15) {
        let bodies: Vec<Value> =
            (first..first + 15).map(|salt| bid(&trader, yes(), Exchange::V2, salt, 1).1).collect();
        assert_eq!(batch(&venue, &trader, &bodies).await.0, 200);
    }
    let (_, page) = trader.get(&venue, "/data/orders?next_cursor=MA==").await;
    assert_eq!((&page["limit"], &page["count"]), (&json!(500), &json!(500)));
    let next = page["next_cursor"].as_str().unwrap();
    let (_, page) = trader.get(&venue, &format!("/data/orders?next_cursor={next}")).await;
    assert_eq!((&page["count"], &page["next_cursor"]), (&json!(10), &json!("LTE=")));
    assert_eq!(trader.get(&venue, "/data/orders?next_cursor=LTE=").await.1["count"], 0);
    assert_eq!(trader.get(&venue, "/data/orders?next_cursor=%3F").await.0, 400);
    venue.running.shutdown().await;
}

async fn beat(venue: &Venue, trader: &Trader, id: &str) -> (u16, Value) {
    let body = json!({ "heartbeat_id": id }).to_string();
    let (status, reply) = json_reply(trader.request(venue, Method::POST, "/v1/heartbeats", &body)).await;
    (status.as_u16(), reply)
}

#[tokio::test]
async fn without_a_heartbeat_everything_of_the_key_is_cancelled() {
    let venue = Venue::start(SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() }).await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let other = Trader::logged_in(&venue, 2, 0).await;
    for (salt, who) in [(1, &trader), (2, &other)] {
        let (_, body) = bid(who, yes(), Exchange::V2, salt, 10);
        who.post(&venue, &body.to_string()).await;
    }
    // Nobody who never sent one is cancelled.
    venue.clock.advance(Duration::from_secs(40));
    assert_eq!(open_ids(&venue, &trader, "").await.len(), 1);
    let (status, reply) = beat(&venue, &trader, "").await;
    let first = reply["heartbeat_id"].as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    let (status, reply) = beat(&venue, &trader, "").await;
    let expected = json!({ "error_msg": "Invalid Heartbeat ID", "heartbeat_id": first });
    assert_eq!((status, reply), (400, expected));
    venue.clock.advance(Duration::from_secs(9));
    let (_, reply) = beat(&venue, &trader, &first).await;
    let second = reply["heartbeat_id"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    venue.clock.advance(Duration::from_secs(9));
    assert_eq!(open_ids(&venue, &trader, "").await.len(), 1);
    // Ten seconds without one, and the next sweep within five more.
    venue.clock.advance(Duration::from_secs(6));
    assert_eq!((open_ids(&venue, &trader, "").await.len(), open_ids(&venue, &other, "").await.len()), (0, 1));
    assert_eq!(beat(&venue, &trader, &first).await.0, 400, "a wrong id is no heartbeat");
    let (status, reply) = json_reply(trader.request(&venue, Method::POST, "/heartbeats", "{}")).await;
    assert_eq!((status.as_u16(), reply), (200, json!({ "status": "ok" })));
    assert_eq!(beat(&venue, &trader, "").await.0, 200, "after the older kind nothing is expected");
    venue.running.shutdown().await;
}

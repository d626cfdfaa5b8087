//! Faults of the CLOB: what the client sees, and what the venue's books say about it.

use std::time::Duration;

use domain::{OrderId, Side};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{SimulatorConfig, contracts::Exchange};

use super::harness::{Trader, Venue, json_reply, market_v2};

/// One fault, one post of a fresh order.
struct Shot {
    /// What the client saw: status and error text, or nothing.
    reply: Option<(u16, String)>,
    /// What the venue's books say.
    report: Value,
}

async fn shoot(venue: &Venue, trader: &Trader, kind: &str, salt: u64) -> (OrderId, String, Shot) {
    let (status, reply) =
        venue.control("/faults", json!({ "target": "order", "kind": kind, "delay_ms": 5_000 })).await;
    assert_eq!(status, 200, "{reply}");
    let mut order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_000_000, 17_857_100);
    order.salt = salt;
    let (id, body) = trader.body(&order, Exchange::V2, "FAK");
    let shot = post(venue, trader, id, &body).await;
    (id, body, shot)
}

async fn post(venue: &Venue, trader: &Trader, id: OrderId, body: &str) -> Shot {
    let reply = match trader.request(venue, Method::POST, "/order", body).send().await {
        Ok(reply) => {
            let status = reply.status().as_u16();
            // A reply that breaks off counts as none.
            reply.text().await.ok().map(|text| {
                let body: Value = serde_json::from_str(&text).unwrap();
                (status, body["error"].as_str().unwrap_or_default().to_owned())
            })
        }
        Err(_) => None,
    };
    let (_, report) = venue.get(format!("{}/orders/{id}", venue.running.control_url)).await;
    Shot { reply, report }
}

#[tokio::test]
async fn faults_before_acceptance_leave_no_trace() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let internal = "Internal server error";
    let cases = [
        ("drop_before", None),
        ("500_before", Some((500, internal))),
        ("timed_out_text", Some((500, "order timed out"))),
        ("429", Some((429, "Too Many Requests"))),
        ("425", Some((425, "Too Early"))),
    ];
    for (salt, (kind, seen)) in (0..).zip(cases) {
        let (id, body, shot) = shoot(&venue, &trader, kind, salt).await;
        assert_eq!(shot.reply, seen.map(|(status, text)| (status, text.to_owned())), "{kind}");
        assert_eq!(shot.report["error"], json!(format!("order {id} never arrived")), "{kind}");
        let again = post(&venue, &trader, id, &body).await;
        assert_eq!(again.reply, Some((200, String::new())), "{kind}");
    }
    venue.running.shutdown().await;
}

#[tokio::test]
async fn faults_after_acceptance_hide_a_fill() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let cases = [
        ("accept_then_drop", None),
        ("500_after", Some((500, "Internal server error"))),
        ("timed_out_text_after", Some((500, "order timed out"))),
        ("truncate_reply", None),
    ];
    for (salt, (kind, seen)) in (0..).zip(cases) {
        let (id, body, shot) = shoot(&venue, &trader, kind, salt).await;
        assert_eq!(shot.reply, seen.map(|(status, text)| (status, text.to_owned())), "{kind}");
        assert_eq!(shot.report["filled_maker"], 10_000_000, "{kind}");
        let again = post(&venue, &trader, id, &body).await;
        assert!(again.reply.unwrap().1.ends_with("Duplicated."), "{kind}");
        assert_eq!(
            again.report["posts"],
            json!({ "accepted": 1, "killed": 0, "duplicate": 1, "refused": 0 })
        );
    }
    let (_, verdict) = venue.get(format!("{}/verdict", venue.running.control_url)).await;
    assert_eq!((&verdict["sound"], &verdict["filled_orders"]), (&json!(true), &json!(4)), "{verdict}");
    assert_eq!(verdict["faults"]["truncate_reply"], 1);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_slow_reply_comes_when_the_clock_says_so() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let mut shot = Box::pin(shoot(&venue, &trader, "slow", 1));
    let control = venue.running.world();
    // The order is processed although its reply is not there.
    loop {
        tokio::select! {
            _ = &mut shot => panic!("the reply did not wait"),
            () = tokio::task::yield_now() => {}
        }
        if control.with(|world, _| world.journal().orders.len()) == 1 {
            break;
        }
    }
    venue.clock.advance(Duration::from_secs(5));
    let (_, _, seen) = shot.as_mut().await;
    drop(shot);
    assert_eq!(seen.reply, Some((200, String::new())));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn an_order_accepted_late_fills_although_its_connection_was_cut() {
    let venue =
        Venue::start(SimulatorConfig { block_interval_ms: 2_000, ..SimulatorConfig::default() }).await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let (id, _, shot) = shoot(&venue, &trader, "accept_late", 1).await;
    assert_eq!(shot.reply, None);
    assert!(shot.report["error"].is_string());
    assert_eq!(trader.get(&venue, &format!("/data/order/{id}")).await.0, 404);
    venue.clock.advance(Duration::from_secs(5));
    let (_, report) = venue.get(format!("{}/orders/{id}", venue.running.control_url)).await;
    assert_eq!(report["filled_maker"], 10_000_000);
    let (_, status) = venue.get(venue.running.control_url.clone()).await;
    assert_eq!(status["head"], 90_000_002, "two blocks came with the time");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn look_ups_may_lag_hide_and_prefix() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_000_000, 17_857_100);
    let (id, body) = trader.body(&order, Exchange::V2, "FAK");
    venue.control("/knobs", json!({ "lookup_lag_ms": 10_000, "reply_with_hashes": true })).await;
    let (_, reply) = trader.post(&venue, &body).await;
    assert_eq!(reply["transactionsHashes"].as_array().unwrap().len(), 1);
    assert_eq!(trader.get(&venue, &format!("/data/order/{id}")).await.0, 404);
    assert_eq!(trader.get(&venue, "/data/trades").await.1["count"], 0);
    venue.clock.advance(Duration::from_secs(10));
    venue.control("/knobs", json!({ "prefixed_statuses": true })).await;
    let (_, order) = trader.get(&venue, &format!("/data/order/{id}")).await;
    assert_eq!(
        (&order["status"], &order["original_size"]),
        (&json!("ORDER_STATUS_MATCHED"), &json!("17857100"))
    );
    assert_eq!(trader.get(&venue, "/data/trades").await.1["data"][0]["status"], "TRADE_STATUS_MATCHED");
    venue.control("/knobs", json!({ "lookup_hides_finished": true })).await;
    assert_eq!(trader.get(&venue, &format!("/data/orders?id={id}")).await.1["data"], json!([]));
    let (status, reply) = venue.control("/knobs", json!({ "no_such_knob": 1 })).await;
    assert_eq!(status, 400);
    assert!(reply["error"].as_str().unwrap().contains("no_such_knob"));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn outages_and_modes() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let time = format!("{}/time", venue.running.clob_url);
    let switch = async |outage: &str| {
        let (status, _) = venue.control("/outage", json!({ "service": "clob", "outage": outage })).await;
        assert_eq!(status, 200);
    };
    switch("unavailable").await;
    assert_eq!(venue.get(time.clone()).await.0, 503);
    switch("refused").await;
    assert!(venue.http.get(&time).send().await.is_err());
    switch("silent").await;
    let pending = venue.http.get(&time).send();
    tokio::pin!(pending);
    tokio::select! {
        biased;
        _ = &mut pending => panic!("nobody should answer"),
        _ = venue.rpc("eth_chainId", json!([])) => {}
    }
    switch("none").await;
    assert!(pending.await.is_err(), "requests read during the silence stay unanswered");
    assert_eq!(venue.get(time).await.0, 200);

    venue.control("/mode", json!({ "mode": "post_only" })).await;
    let order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_000_000, 17_857_100);
    let (_, body) = trader.body(&order, Exchange::V2, "FAK");
    let reply = trader.request(&venue, Method::POST, "/order", &body).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "60"));
    let reply: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert_eq!((&reply["code"], &reply["retry_after_seconds"]), (&json!("post_only_mode"), &json!(60)));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_resting_order_can_be_cancelled_by_its_owner() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_400_000, 20_000_000);
    let (id, body) = trader.body(&order, Exchange::V2, "GTC");
    let (_, reply) = trader.post(&venue, &body).await;
    assert_eq!((&reply["status"], &reply["makingAmount"]), (&json!("live"), &json!("")));
    assert_eq!(trader.get(&venue, "/data/orders").await.1["data"][0]["id"], json!(id));
    let cancel = json!({ "orderID": id }).to_string();
    let (_, reply) = json_reply(trader.request(&venue, Method::DELETE, "/order", &cancel)).await;
    assert_eq!(reply, json!({ "canceled": [id], "not_canceled": {} }));
    let (_, reply) = json_reply(trader.request(&venue, Method::DELETE, "/order", &cancel)).await;
    assert_eq!(reply["not_canceled"][id.to_string()], "order can't be found - already canceled or matched");
    let (_, order) = trader.get(&venue, &format!("/data/order/{id}")).await;
    assert_eq!(order["status"], "CANCELED");
    venue.running.shutdown().await;
}

/// Status of a request's reply; nothing when there was none.
async fn status(trader: &Trader, venue: &Venue, method: Method, path: &str, body: &str) -> Option<u16> {
    let reply = trader.request(venue, method, path, body).send().await.ok()?;
    let status = reply.status().as_u16();
    reply.bytes().await.ok().map(|_| status)
}

#[tokio::test]
async fn cancels_look_ups_logins_and_balances_fail_by_themselves() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let resting = trader.order(market_v2(false).tokens[0], Side::Buy, 2_000_000, 20_000_000);
    let (id, body) = trader.body(&resting, Exchange::V2, "GTC");
    assert_eq!(trader.post(&venue, &body).await.1["status"], "live");
    let fault = async |target: &str, kind: &str| {
        let (status, reply) = venue.control("/faults", json!({ "target": target, "kind": kind })).await;
        assert_eq!(status, 200, "{reply}");
    };
    let state =
        async || venue.get(format!("{}/orders/{id}", venue.running.control_url)).await.1["state"].clone();
    let cancel = json!({ "orderID": id }).to_string();
    for (kind, expected) in [("drop_before", None), ("500_before", Some(500)), ("429", Some(429))] {
        fault("cancel", kind).await;
        assert_eq!(status(&trader, &venue, Method::DELETE, "/order", &cancel).await, expected, "{kind}");
        assert_eq!(state().await, "live", "{kind}");
    }
    // Cancelled, and nobody is told.
    fault("cancel", "accept_then_drop").await;
    assert_eq!(status(&trader, &venue, Method::DELETE, "/cancel-all", "").await, None);
    assert_eq!(state().await, "canceled");
    let balance = "/balance-allowance?asset_type=COLLATERAL&signature_type=0";
    for (target, path) in [("look_up", "/data/orders"), ("look_up", "/data/trades"), ("balance", balance)] {
        for (kind, expected) in [("500_before", Some(500)), ("truncate_reply", None)] {
            fault(target, kind).await;
            assert_eq!(status(&trader, &venue, Method::GET, path, "").await, expected, "{kind} {path}");
        }
        assert_eq!(status(&trader, &venue, Method::GET, path, "").await, Some(200), "{path}");
    }
    fault("login", "429").await;
    assert_eq!(trader.login(&venue, Method::GET, "/auth/derive-api-key").await.0.as_u16(), 429);
    assert_eq!(trader.login(&venue, Method::GET, "/auth/derive-api-key").await.0.as_u16(), 200);
    let (wrong, _) =
        venue.control("/faults", json!({ "target": "look_up", "kind": "accept_then_drop" })).await;
    assert_eq!(wrong.as_u16(), 400, "a look-up accepts nothing");
    venue.running.shutdown().await;
}

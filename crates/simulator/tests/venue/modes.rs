//! What the venue refuses as a whole: modes, regions, standings, texts that are set; and rate limits.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, Side, Timestamp, TokenId, clock::Sleep};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use simulator::{
    Simulator, SimulatorConfig,
    contracts::Exchange,
    world::registry::{Standing, Wallet},
};

use super::harness::{START, Trader, Venue, json_reply, market_v2};

fn yes() -> TokenId {
    market_v2(false).tokens[0]
}

fn gtc(trader: &Trader, salt: u64, post_only: bool) -> String {
    let mut order = trader.order(yes(), Side::Buy, 2_000_000, 20_000_000);
    order.salt = salt;
    let mut body: Value = serde_json::from_str(&trader.body(&order, Exchange::V2, "GTC").1).unwrap();
    body["postOnly"] = json!(post_only);
    body.to_string()
}

async fn refusal(venue: &Venue, trader: &Trader, body: &str) -> (u16, String) {
    let (status, reply) = trader.post(venue, body).await;
    (status.as_u16(), reply["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_restart_ends_in_two_minutes_of_post_only_mode() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    venue.control("/mode", json!({ "mode": "restarting", "lasts_ms": 90_000 })).await;
    assert_eq!(refusal(&venue, &trader, &gtc(&trader, 1, true)).await.0, 425);
    let cancel = json_reply(trader.request(&venue, Method::DELETE, "/cancel-all", "")).await;
    assert_eq!(cancel.0, 425, "cancels are refused as well");
    venue.clock.advance(Duration::from_secs(90));
    let (status, text) = refusal(&venue, &trader, &gtc(&trader, 1, false)).await;
    assert_eq!(
        (status, text.as_str()),
        (503, "post-only mode: only post-only orders and cancels are allowed")
    );
    assert_eq!(trader.post(&venue, &gtc(&trader, 2, true)).await.1["status"], "live");
    let batch = format!("[{},{}]", gtc(&trader, 3, false), gtc(&trader, 4, true));
    venue.control("/knobs", json!({ "refused_in_batch_is_success": false })).await;
    let (status, reply) = json_reply(trader.request(&venue, Method::POST, "/orders", &batch)).await;
    let refused = json!({
        "errorMsg": "post-only mode: only post-only orders and cancels are allowed", "orderID": "",
        "takingAmount": "", "makingAmount": "", "status": "", "success": true,
    });
    assert_eq!((status.as_u16(), &reply[0], &reply[1]["status"]), (200, &refused, &json!("live")));
    venue.clock.advance(Duration::from_secs(60));
    let reply = trader.request(&venue, Method::POST, "/order", &gtc(&trader, 1, false)).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), header(&reply, "retry-after")), (503, "60"));
    venue.clock.advance(Duration::from_secs(60));
    assert_eq!(trader.post(&venue, &gtc(&trader, 1, false)).await.1["status"], "live");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn cancel_only_and_disabled_trading() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    trader.post(&venue, &gtc(&trader, 1, false)).await;
    let batch = format!("[{}]", gtc(&trader, 2, true));
    for (mode, text, cancel) in [
        ("disabled", "Trading is currently disabled. Check polymarket.com for updates", 503),
        (
            "cancel_only",
            "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
            200,
        ),
    ] {
        venue.control("/mode", json!({ "mode": mode })).await;
        assert_eq!(refusal(&venue, &trader, &gtc(&trader, 2, true)).await, (503, text.to_owned()));
        let (status, reply) = json_reply(trader.request(&venue, Method::POST, "/orders", &batch)).await;
        assert_eq!((status.as_u16(), &reply["error"]), (503, &json!(text)));
        let (status, _) = json_reply(trader.request(&venue, Method::DELETE, "/cancel-all", "")).await;
        assert_eq!(status.as_u16(), cancel, "{mode}");
    }
    venue.running.shutdown().await;
}

#[tokio::test]
async fn standings_are_told_and_enforced() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 3).await;
    let address = trader.wallet;
    let closed_only =
        async || trader.get(&venue, "/auth/ban-status/closed-only").await.1["closed_only"].clone();
    assert_eq!(closed_only().await, false);
    for (standing, text) in [
        (Standing::ClosedOnly, format!("'{address}' address in closed only mode")),
        (Standing::Banned, format!("'{address}' address banned")),
        (Standing::NotAllowed, "maker address not allowed, please use the deposit wallet flow".to_owned()),
    ] {
        let wallet = Wallet { address, owner: trader.eoa, signature_type: 3, approved: true, standing };
        venue.running.world().with(|world, _| world.add_wallet(wallet).unwrap());
        assert_eq!(refusal(&venue, &trader, &gtc(&trader, 1, false)).await, (400, text));
        assert_eq!(closed_only().await, standing == Standing::ClosedOnly);
    }
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_blocked_region_is_told_so() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let path = format!("{}/api/geoblock", venue.running.clob_url);
    let (_, reply) = venue.get(path.clone()).await;
    assert_eq!(reply, json!({ "blocked": false, "ip": "127.0.0.1", "country": "IE", "region": "L" }));
    venue.control("/knobs", json!({ "geo": { "blocked": true, "refuses": "all", "country": "CU" } })).await;
    let (_, reply) = venue.get(path).await;
    assert_eq!((&reply["blocked"], &reply["country"]), (&json!(true), &json!("CU")));
    let (status, text) = refusal(&venue, &trader, "not even an order").await;
    assert!(status == 403 && text.starts_with("Trading restricted in your region"), "{text}");
    assert_eq!(trader.get(&venue, "/data/orders").await.0, 200, "reading is allowed");
    venue.control("/knobs", json!({ "geo": { "refuses": "buys" } })).await;
    assert_eq!(refusal(&venue, &trader, &gtc(&trader, 1, false)).await.0, 403);
    let (_, sell) =
        trader.body(&trader.order(yes(), Side::Sell, 20_000_000, 10_000_000), Exchange::V2, "FAK");
    assert_eq!(refusal(&venue, &trader, &sell).await.0, 400, "refused for want of shares only");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn every_documented_text_can_be_brought_about() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    for (status, text) in [
        (400, "order match delayed due to market conditions"),
        (400, "invalid nonce"),
        (500, "could not insert order"),
        (500, "could not run the execution"),
        (500, "the trade contains rounding issues"),
    ] {
        let refuse = json!({ "refuse_orders_with": { "status": status, "error": text } });
        assert_eq!(venue.control("/knobs", refuse).await.0, 200);
        assert_eq!(refusal(&venue, &trader, &gtc(&trader, 1, false)).await, (status, text.to_owned()));
    }
    venue.control("/knobs", json!({ "refuse_orders_with": null })).await;
    // Cancelled in the contract before the venue has seen it, and while it rests.
    venue.control("/state", json!({ "condition": market_v2(false).condition, "state": "paused" })).await;
    assert_eq!(refusal(&venue, &trader, &gtc(&trader, 7, false)).await.0, 400);
    let seen = venue.running.world().with(|world, _| world.order_reports());
    let early = seen.iter().find(|order| order.posts.refused == 1 && order.posts.accepted == 0).unwrap().id;
    venue.control("/contract-cancel", json!({ "id": early })).await;
    venue.control("/state", json!({ "condition": market_v2(false).condition, "state": "open" })).await;
    let cancelled = (400, "order canceled in the CTF exchange contract".to_owned());
    assert_eq!(refusal(&venue, &trader, &gtc(&trader, 7, false)).await, cancelled);
    let (_, placed) = trader.post(&venue, &gtc(&trader, 8, false)).await;
    venue.control("/contract-cancel", json!({ "id": placed["orderID"] })).await;
    let (_, order) =
        trader.get(&venue, &format!("/data/order/{}", placed["orderID"].as_str().unwrap())).await;
    assert_eq!(order["status"], "CANCELED", "it has left the book");
    venue.control("/knobs", json!({ "min_marketable_buy": 15_000_000 })).await;
    let (_, small) =
        trader.body(&trader.order(yes(), Side::Buy, 10_000_000, 17_857_100), Exchange::V2, "FAK");
    let text = refusal(&venue, &trader, &small).await.1;
    assert_eq!(text, "invalid amount for a marketable BUY order ($10), min size: $15");
    venue.control("/faults", json!({ "target": "order", "kind": "version_mismatch" })).await;
    assert_eq!(refusal(&venue, &trader, &small).await.1, "order_version_mismatch");
    venue.running.shutdown().await;
}

fn header<'a>(reply: &'a Response, name: &str) -> &'a str {
    reply.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn addresses_that_send_too_much_wait_or_are_refused_and_are_counted() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    assert_eq!(
        venue.http.delete(format!("{}/traffic", venue.running.control_url)).send().await.unwrap().status(),
        200
    );
    let quotas = json!({ "post_order": { "per_10s": 2 }, "tick_size": { "per_10s": 1 } });
    venue.control("/knobs", json!({ "rates": { "per_ip": true, "quotas": quotas } })).await;
    for salt in 1..=2 {
        assert_eq!(trader.post(&venue, &gtc(&trader, salt, false)).await.1["status"], "live");
    }
    let reply = trader.request(&venue, Method::POST, "/order", &gtc(&trader, 3, false)).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), header(&reply, "retry-after")), (429, "10"));
    let quotas = json!({ "post_order": { "per_10s": 2 } });
    venue
        .control("/knobs", json!({ "rates": { "per_ip": true, "quotas": quotas, "most_delay_ms": 60_000 } }))
        .await;
    let body = gtc(&trader, 3, false);
    let mut late = Box::pin(trader.post(&venue, &body));
    let control = venue.running.world();
    loop {
        tokio::select! {
            _ = &mut late => panic!("it did not wait"),
            () = tokio::task::yield_now() => {}
        }
        if control.with(|world, _| world.traffic.classes().values().any(|counts| counts.delayed == 1)) {
            break;
        }
    }
    venue.clock.advance(Duration::from_secs(10));
    assert_eq!(late.await.1["status"], "live");
    let (_, traffic) = venue.get(format!("{}/traffic", venue.running.control_url)).await;
    let counts = json!({ "requests": 4, "delayed": 1, "throttled": 1, "throttled_signer": 0 });
    assert_eq!((&traffic["endpoints"]["post_order"], &traffic["classes"]["order"]), (&counts, &counts));
    assert!(traffic["cpu_seconds"].is_number(), "{traffic}");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn signers_have_buckets_of_their_own() {
    let venue = Venue::manual().await;
    let (trader, other) = (Trader::logged_in(&venue, 1, 0).await, Trader::logged_in(&venue, 2, 0).await);
    let post = async |trader: &Trader, first: u64, count: u64| {
        let bodies: Vec<String> = (first..first + count).map(|salt| gtc(trader, salt, false)).collect();
        let body = format!("[{}]", bodies.join(","));
        trader.request(&venue, Method::POST, "/orders", &body).send().await.unwrap()
    };
    venue.control("/knobs", json!({ "rates": { "signers": "warn" } })).await;
    for round in 0..4 {
        let reply = post(&trader, round * 15, 15).await;
        let left = (45 - 15 * i64::try_from(round).unwrap()).to_string();
        assert_eq!(
            (header(&reply, "poly-ratelimit-remaining"), header(&reply, "poly-ratelimit-tier")),
            (left.as_str(), "Standard")
        );
        assert_eq!(header(&reply, "poly-ratelimit-warning"), "");
    }
    let reply = post(&trader, 60, 1).await;
    assert_eq!((reply.status().as_u16(), header(&reply, "poly-ratelimit-warning")), (200, "true"));
    venue.control("/knobs", json!({ "rates": { "signers": "enforce" } })).await;
    let reply = post(&trader, 61, 10).await;
    assert_eq!((reply.status().as_u16(), header(&reply, "retry-after")), (429, "1"));
    let start = super::harness::START.seconds();
    assert_eq!(header(&reply, "poly-ratelimit-reset"), (start + 1).to_string());
    assert_eq!(post(&other, 100, 15).await.status(), 200);
    venue.clock.advance(Duration::from_millis(250));
    assert_eq!(post(&trader, 61, 10).await.status(), 200);
    // What a cancel of everything cost is known afterwards, and may leave a debt.
    let reply = trader.request(&venue, Method::DELETE, "/cancel-all", "").send().await.unwrap();
    assert_eq!((reply.status().as_u16(), header(&reply, "poly-ratelimit-remaining")), (200, "48"));
    let (_, traffic) = venue.get(format!("{}/traffic", venue.running.control_url)).await;
    assert_eq!(traffic["endpoints"]["post_orders"]["throttled_signer"], 2);
    venue.running.shutdown().await;
}

/// Time that passes whenever somebody looks.
#[derive(Default)]
struct Passing(AtomicI64);

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        START.plus(Duration::from_micros(u64::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()))
    }

    fn uptime(&self) -> Duration {
        self.now().since(Timestamp(0))
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// Or the rate limits would hold back a request that came a moment before the one that was counted last.
#[tokio::test]
async fn of_requests_at_the_same_time_the_later_one_comes_with_the_later_time() {
    let running = Simulator::start(SimulatorConfig::default(), Arc::new(Passing::default())).await.unwrap();
    let (world, seen) = (running.world(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    world.with(|_, now| seen.lock().unwrap().push(now));
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 20_000);
    assert!(seen.is_sorted());
    running.shutdown().await;
}

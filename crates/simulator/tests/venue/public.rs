//! What anybody may ask: prices, batches, markets in pages, history; and builders, keys, the stub.

use std::time::Duration;

use domain::{Address, Side};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Profile, SimulatorConfig, contracts::Exchange, world::ledger::Asset};

use super::harness::{START, Trader, Venue, json_reply, levels, market_v2, market_v3};

#[tokio::test]
async fn prices_one_by_one_and_in_batches() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let clob = venue.running.clob_url.clone();
    let [yes, no] = market_v2(false).tokens;
    let get = async |path: String| venue.get(format!("{clob}{path}")).await.1;
    let post = async |path: &str, body: Value| {
        venue.send_json(venue.http.post(format!("{clob}{path}")), &body).await.1
    };
    assert_eq!(get(format!("/spread?token_id={yes}")).await, json!({ "spread": "0.05" }));
    assert_eq!(get(format!("/last-trade-price?token_id={yes}")).await, json!({ "price": "0.5", "side": "" }));
    let order = trader.order(yes, Side::Buy, 10_000_000, 17_857_100);
    trader.post(&venue, &trader.body(&order, Exchange::V2, "FAK").1).await;
    assert_eq!(
        get(format!("/last-trade-price?token_id={yes}")).await,
        json!({ "price": "0.56", "side": "BUY" })
    );
    let both =
        json!([{ "token_id": yes, "side": "BUY" }, { "token_id": no, "side": "SELL" }, { "token_id": "9" }]);
    let (yes, no) = (yes.to_string(), no.to_string());
    assert_eq!(post("/midpoints", both.clone()).await, json!({ yes.clone(): "0.53", no.clone(): "0.47" }));
    assert_eq!(post("/spreads", both.clone()).await, json!({ yes.clone(): "0.06", no.clone(): "0.06" }));
    let prices = json!({ yes.clone(): { "BUY": "0.5" }, no.clone(): { "SELL": "0.5" } });
    assert_eq!(post("/prices", both.clone()).await, prices);
    let last = json!([
        { "token_id": yes, "price": "0.56", "side": "BUY" },
        { "token_id": no, "price": "0.44", "side": "SELL" },
    ]);
    assert_eq!(post("/last-trades-prices", both).await, last);
    assert_eq!(post("/books", json!("nonsense")).await, json!({ "error": "Invalid payload" }));
    venue.running.shutdown().await;
}

/// Some clients look with it whether the venue is there.
#[tokio::test]
async fn the_head_of_the_markets_is_their_answer_without_a_body() {
    let venue = Venue::manual().await;
    let url = format!("{}/markets", venue.running.clob_url);
    let head = venue.http.head(&url).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    assert!(head.bytes().await.unwrap().is_empty());
    let body = venue.get(url).await.1;
    assert!(body["count"].as_u64() > Some(0), "{body}");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn the_history_of_prices_has_spans_and_steps() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let yes = market_v2(false).tokens[0];
    for salt in 1..=3 {
        let mut order = trader.order(yes, Side::Buy, 5_600_000, 10_000_000);
        order.salt = salt;
        trader.post(&venue, &trader.body(&order, Exchange::V2, "FAK").1).await;
        venue.clock.advance(Duration::from_secs(120));
    }
    let history = async |query: &str| {
        let path = format!("{}/prices-history?market={yes}&{query}", venue.running.clob_url);
        venue.get(path).await
    };
    let (_, reply) = history("interval=1h").await;
    let points: Vec<_> = reply["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["t"].as_i64().unwrap() - START.seconds())
        .collect();
    assert_eq!(points, [0, 120, 240]);
    assert!(reply["history"][0]["p"].is_number());
    let (from, to) = (START.seconds() + 100, START.seconds() + 130);
    let (_, reply) = history(&format!("startTs={from}&endTs={to}&fidelity=60")).await;
    assert_eq!(reply["history"].as_array().unwrap().len(), 1);
    assert_eq!(
        (history("fidelity=1").await.0, history("interval=2y").await.0),
        (400.try_into().unwrap(), 400.try_into().unwrap())
    );
    venue.running.shutdown().await;
}

#[tokio::test]
async fn markets_come_in_pages_and_in_two_forms() {
    let venue = Venue::manual().await;
    let clob = venue.running.clob_url.clone();
    let get = async |path: &str| venue.get(format!("{clob}{path}")).await.1;
    let page = get("/markets?next_cursor=MA==").await;
    assert_eq!((&page["count"], &page["next_cursor"]), (&json!(3), &json!("LTE=")));
    let v3 = market_v3().condition.to_string();
    assert_eq!(v3.len(), 64, "31 bytes");
    assert!(page["data"].as_array().unwrap().iter().any(|market| market["condition_id"] == json!(v3)));
    assert_eq!(get(&format!("/clob-markets/{v3}")).await["c"], json!(v3));
    let simple = get("/simplified-markets").await["data"][0].clone();
    let fields: Vec<&String> = simple.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["accepting_orders", "active", "archived", "closed", "condition_id", "rewards", "tokens"]
    );
    assert_eq!(get("/sampling-markets").await["count"], 0);
    venue.control("/terms", json!({ "condition": v3, "terms": { "sampled": true } })).await;
    assert_eq!(get("/sampling-simplified-markets").await["data"][0]["condition_id"], json!(v3));
    assert_eq!(get("/markets?next_cursor=LTE=").await["data"], json!([]));
    let head = venue.http.head(format!("{clob}/markets")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    let (status, reply) =
        venue.control("/terms", json!({ "condition": v3, "terms": { "no_such": 1 } })).await;
    assert_eq!(status, 400, "{reply}");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn builders_earn_their_part_of_what_their_takers_trade() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let (code, receiver) = (format!("0x{}", "b1".repeat(32)), Address([0xbb; 20]));
    let path = format!("{}/fees/builder-fees/{code}", venue.running.clob_url);
    assert_eq!(venue.get(path.clone()).await.0, 404);
    let fees = json!({ "maker_bps": 5, "taker_bps": 100, "receiver": receiver });
    venue.control("/builders", json!({ "code": code, "fees": fees })).await;
    let told = json!({ "builder_maker_fee_rate_bps": 5, "builder_taker_fee_rate_bps": 100 });
    assert_eq!(venue.get(path).await.1, told);
    let mut order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_000_000, 17_857_100);
    order.builder = [0xb1; 32];
    trader.post(&venue, &trader.body(&order, Exchange::V2, "FAK").1).await;
    let earned = venue.running.world().with(|world, now| {
        world.mine(now);
        assert_eq!(world.violations(), Vec::<String>::new());
        world.balance(receiver, Asset::Collateral)
    });
    assert_eq!(earned, 100_000, "one per cent of $10");
    let (_, page) = venue.get(format!("{}/builder/trades?builder_code={code}", venue.running.clob_url)).await;
    let row = &page["data"][0];
    assert_eq!(
        (&row["builderFee"], &row["sizeUsdc"], &row["tradeType"]),
        (&json!("0.1"), &json!("10"), &json!("TAKER"))
    );
    let condition = market_v2(false).condition;
    let (_, activity) =
        venue.get(format!("{}/markets/live-activity/{condition}", venue.running.clob_url)).await;
    assert_eq!(
        (&activity[0]["user"]["address"], &activity[0]["side"]),
        (&json!(trader.wallet), &json!("BUY"))
    );
    venue.running.shutdown().await;
}

#[tokio::test]
async fn keys_are_listed_and_deleted() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    assert_eq!(trader.get(&venue, "/auth/api-keys").await.1, json!({ "apiKeys": [trader.key] }));
    let (status, reply) = json_reply(trader.request(&venue, Method::DELETE, "/auth/api-key", "")).await;
    assert_eq!((status.as_u16(), reply), (200, json!("OK")));
    assert_eq!(trader.get(&venue, "/auth/api-keys").await.0, 401);
    let (status, again) = trader.login(&venue, Method::POST, "/auth/api-key").await;
    assert_eq!(status, 200);
    assert_ne!(again["apiKey"], json!(trader.key));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn look_ups_that_clients_make_besides() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let id = format!("0x{}", "00".repeat(32));
    assert_eq!(
        trader.get(&venue, &format!("/order-scoring?order_id={id}")).await.1,
        json!({ "scoring": false })
    );
    let body = json!([id]).to_string();
    let (_, reply) = json_reply(trader.request(&venue, Method::POST, "/orders-scoring", &body)).await;
    assert_eq!(reply, json!({ id: false }));
    assert_eq!(trader.get(&venue, "/notifications?signature_type=0").await.1, json!([]));
    assert_eq!(trader.get(&venue, "/data/pre-migration-orders").await.1["next_cursor"], "LTE=");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn followers_read_events_over_control() {
    let venue = Venue::manual().await;
    let token = market_v2(false).tokens[0];
    let mut newest = venue.running.world().newest_event();
    newest.mark_unchanged();
    venue.running.world().with(|world, _| world.set_levels(&levels(token, &[("0.3", "5")], &[])).unwrap());
    assert!(newest.has_changed().unwrap());
    let seen = *newest.borrow_and_update();
    let (_, reply) = venue.get(format!("{}/events?seen={}", venue.running.control_url, seen - 1)).await;
    assert_eq!(
        (&reply["seen"], &reply["lost"], &reply["events"][0]["event"]),
        (&json!(seen), &json!(0), &json!("book"))
    );
    venue.running.shutdown().await;
}

#[tokio::test]
async fn the_stub_fills_everything_at_its_limit_without_looking() {
    let config =
        SimulatorConfig { block_interval_ms: 0, profile: Profile::Stub, ..SimulatorConfig::default() };
    let venue = Venue::start(config).await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let mut order = trader.order(market_v2(false).tokens[0], Side::Sell, 5_000_000_000, 100_000_000);
    for salt in 1..=2 {
        order.salt = salt;
        let (id, body) = trader.body(&order, Exchange::V2, "FAK");
        let mut request = trader.request(&venue, Method::POST, "/order", &body).build().unwrap();
        request.headers_mut().insert("POLY_SIGNATURE", "none".parse().unwrap());
        let reply = venue.http.execute(request).await.unwrap();
        let status = reply.status();
        let reply: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        assert_eq!((status.as_u16(), &reply["orderID"]), (200, &json!(id)), "{reply}");
        assert_eq!((&reply["makingAmount"], &reply["takingAmount"]), (&json!("5000"), &json!("100")));
        assert!(trader.post(&venue, &body).await.1["error"].as_str().unwrap().ends_with("Duplicated."));
    }
    venue.mine();
    let verdict = venue.running.world().with(|world, _| world.verdict());
    assert!(verdict.sound, "{:?}", verdict.violations);
    venue.running.shutdown().await;
}

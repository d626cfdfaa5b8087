//! What the CLOB refuses before its book: logins, keys, bodies, signers, signatures.

use domain::{Side, TokenId};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Knobs, SimulatorConfig, contracts::Exchange};

use super::harness::{Trader, Venue, json_reply, market_v2};

const BUY: (i64, i64) = (10_000_000, 17_857_100);

async fn trader(venue: &Venue, number: u8, kind: u8) -> Trader {
    Trader::logged_in(venue, number, kind).await
}

fn good(trader: &Trader) -> Value {
    let order = trader.order(market_v2(false).tokens[0], Side::Buy, BUY.0, BUY.1);
    serde_json::from_str(&trader.body(&order, Exchange::V2, "FAK").1).unwrap()
}

async fn refused(venue: &Venue, trader: &Trader, body: &Value) -> (u16, String) {
    let (status, reply) = trader.post(venue, &body.to_string()).await;
    (status.as_u16(), reply["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn requests_need_their_own_fresh_hmac() {
    let venue = Venue::manual().await;
    let trader = trader(&venue, 1, 0).await;
    let body = good(&trader).to_string();
    let unauthorized = (401, json!({ "error": "Unauthorized/Invalid api key" }));
    for header in ["POLY_SIGNATURE", "POLY_API_KEY", "POLY_PASSPHRASE", "POLY_ADDRESS", "POLY_TIMESTAMP"] {
        let mut request = trader.request(&venue, Method::POST, "/order", &body).build().unwrap();
        request.headers_mut().insert(header, "1".parse().unwrap());
        let reply = venue.http.execute(request).await.unwrap();
        assert_eq!(reply.status().as_u16(), 401, "{header}");
    }
    // Another body under the same signature.
    let other = trader.request(&venue, Method::POST, "/order", &body).body(format!("{body} "));
    let (status, reply) = json_reply(other).await;
    assert_eq!((status.as_u16(), reply), unauthorized);
    // A request that was signed a while ago.
    let old = trader.request(&venue, Method::POST, "/order", &body);
    venue.clock.advance(std::time::Duration::from_secs(61));
    let (status, reply) = json_reply(old).await;
    assert_eq!((status.as_u16(), reply), unauthorized);
    assert_eq!(trader.post(&venue, &body).await.0, 200);
    let (status, _) = trader.login(&venue, Method::GET, "/auth/derive-api-key").await;
    assert_eq!(status.as_u16(), 401, "the login is stale as well");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn the_path_is_signed_without_its_query() {
    let venue = Venue::manual().await;
    let trader = trader(&venue, 1, 0).await;
    assert_eq!(trader.get(&venue, "/data/trades?asset_id=1").await.0, 200);
    let (status, allowance) =
        trader.get(&venue, "/balance-allowance?asset_type=COLLATERAL&signature_type=0").await;
    assert_eq!((status.as_u16(), &allowance["balance"]), (200, &json!("1000000000")));
    let (status, empty) = trader.get(&venue, "/balance-allowance/update?asset_type=COLLATERAL").await;
    assert_eq!((status.as_u16(), empty), (200, json!("")));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn bodies_must_be_orders_of_this_version_and_owner() {
    let venue = Venue::manual().await;
    let trader = trader(&venue, 1, 0).await;
    let good = good(&trader);
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut v1 = good.clone();
    v1["order"]["nonce"] = json!("0");
    v1["order"]["feeRateBps"] = json!("0");
    v1["order"]["timestamp"].take();
    let cases = [
        (json!([]), 400, "Invalid order payload"),
        (changed("/order/salt", json!("7")), 400, "Invalid order payload"),
        (changed("/order/makerAmount", json!(10_000_000)), 400, "Invalid order payload"),
        (changed("/order/side", json!(0)), 400, "Invalid order payload"),
        (changed("/orderType", json!("IOC")), 400, "Invalid order payload"),
        (v1, 400, "order_version_mismatch"),
        (changed("/owner", json!("someone")), 400, "the order owner has to be the owner of the API KEY"),
        (changed("/order/tokenId", json!("77")), 404, "No orderbook exists for the requested token id"),
        (changed("/order/salt", json!(43)), 400, "invalid signature"),
        (changed("/order/signatureType", json!(2)), 400, "invalid signature"),
        (changed("/order/signature", json!("0x00")), 400, "invalid signature"),
    ];
    let count = cases.len();
    for (body, status, text) in cases {
        assert_eq!(refused(&venue, &trader, &body).await, (status, text.to_owned()), "{body}");
    }
    let verdict = venue.running.world().with(|world, _| world.verdict());
    assert_eq!((verdict.orders, verdict.strange_posts), (0, u64::try_from(count).unwrap()));
    assert_eq!(trader.post(&venue, &good.to_string()).await.0, 200);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn an_order_signed_for_another_exchange_has_an_invalid_signature() {
    let venue = Venue::manual().await;
    for kind in [0, 3] {
        let trader = trader(&venue, kind + 1, kind).await;
        let token = market_v2(true).tokens[0];
        for exchange in [Exchange::V2, Exchange::V3] {
            let (_, body) = trader.body(&trader.order(token, Side::Buy, BUY.0, BUY.1), exchange, "FAK");
            let (status, reply) = trader.post(&venue, &body).await;
            assert_eq!((status.as_u16(), &reply["error"]), (400, &json!("invalid signature")));
        }
    }
    venue.running.shutdown().await;
}

#[tokio::test]
async fn nobody_trades_for_another_wallet() {
    let venue = Venue::manual().await;
    let (alice, bob) = (trader(&venue, 1, 2).await, trader(&venue, 2, 2).await);
    let mut order = alice.order(market_v2(false).tokens[0], Side::Buy, BUY.0, BUY.1);
    // Alice signs for Bob's wallet with her own key, then names Bob's.
    order.maker = bob.wallet;
    let (_, body) = alice.body(&order, Exchange::V2, "FAK");
    assert_eq!(refused(&venue, &alice, &serde_json::from_str(&body).unwrap()).await.1, "invalid signature");
    order.signer = bob.eoa;
    let (_, body) = alice.body(&order, Exchange::V2, "FAK");
    let text = refused(&venue, &alice, &serde_json::from_str(&body).unwrap()).await.1;
    assert_eq!(text, "the order signer address has to be the address of the API KEY");
    // Look-ups show nothing of others.
    let (id, body) =
        bob.body(&bob.order(market_v2(false).tokens[0], Side::Buy, BUY.0, BUY.1), Exchange::V2, "FAK");
    assert_eq!(bob.post(&venue, &body).await.0, 200);
    assert_eq!(alice.get(&venue, &format!("/data/order/{id}")).await.0, 404);
    assert_eq!(alice.get(&venue, "/data/trades").await.1["count"], 0);
    assert_eq!(bob.get(&venue, "/data/trades").await.1["count"], 1);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_load_test_may_leave_signatures_out() {
    let knobs = Knobs { verify_signatures: false, ..Knobs::default() };
    let venue =
        Venue::start(SimulatorConfig { block_interval_ms: 0, knobs, ..SimulatorConfig::default() }).await;
    let trader = trader(&venue, 1, 0).await;
    let mut body = good(&trader);
    body["order"]["signature"] = json!("0x00");
    assert_eq!(trader.post(&venue, &body.to_string()).await.0, 200);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn books_and_markets_are_public() {
    let venue = Venue::manual().await;
    let market = market_v2(true);
    let [yes, no] = market.tokens;
    let clob = &venue.running.clob_url;
    let get = async |path: String| venue.get(format!("{clob}{path}")).await.1;
    assert_eq!(get("/ok".to_owned()).await, json!("OK"));
    assert_eq!(get("/time".to_owned()).await, json!(super::harness::START.seconds()));
    assert_eq!(get("/version".to_owned()).await, json!({ "version": 2 }));
    assert_eq!(get(format!("/tick-size?token_id={yes}")).await, json!({ "minimum_tick_size": 0.01 }));
    assert_eq!(get(format!("/neg-risk?token_id={yes}")).await, json!({ "neg_risk": true }));
    assert_eq!(get(format!("/fee-rate?token_id={yes}")).await, json!({ "base_fee": 500 }));
    let book = get(format!("/book?token_id={yes}")).await;
    assert_eq!(book["asks"], json!([{ "price": "0.56", "size": "1000" }, { "price": "0.55", "size": "10" }]));
    assert_eq!(book["bids"].as_array().unwrap().last().unwrap()["price"], "0.5");
    assert_eq!(get(format!("/midpoint?token_id={yes}")).await, json!({ "mid": "0.525" }));
    assert_eq!(get(format!("/price?token_id={yes}&side=SELL")).await, json!({ "price": "0.55" }));
    let compact = get(format!("/clob-markets/{}", market.condition)).await;
    assert_eq!(compact["t"][1], json!({ "t": no, "o": "No" }));
    assert_eq!((&compact["mts"], &compact["mos"], &compact["nr"]), (&json!(0.01), &json!(5), &json!(true)));
    assert_eq!(compact["fd"], json!({ "r": 0.05, "e": 1, "to": true }));
    let whole = get(format!("/markets/{}", market.condition)).await;
    assert_eq!((&whole["closed"], &whole["tokens"][0]["token_id"]), (&json!(false), &json!(yes)));
    assert_eq!(get(format!("/markets-by-token/{no}")).await["condition_id"], json!(market.condition));
    let queries = json!([{ "token_id": yes }, { "token_id": TokenId([9; 32]) }]);
    let (_, books) = venue.send_json(venue.http.post(format!("{clob}/books")), &queries).await;
    assert_eq!(books.as_array().unwrap().len(), 1);
    assert_eq!(venue.get(format!("{clob}/book?token_id=9")).await.0, 404);
    venue.running.shutdown().await;
}

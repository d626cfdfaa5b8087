//! Bodies, paths and queries that no client of good will sends: each is refused with a text, and the venue goes
//! on as before.

use domain::Side;
use reqwest::Method;
use serde_json::json;
use simulator::contracts::Exchange;

use super::harness::{Trader, Venue, json_reply, market_v2};

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let venue = Venue::manual().await;
    let trader = Trader::logged_in(&venue, 1, 0).await;
    let deep = "[".repeat(100_000);
    let long = format!("\"{}\"", "9".repeat(200_000));
    let many = json!(vec![json!({}); 5_000]).to_string();
    let bodies = [
        "",
        "null",
        "{}",
        "[]",
        "[[]]",
        "\u{0}",
        "{\"orderID\":1}",
        deep.as_str(),
        long.as_str(),
        many.as_str(),
    ];
    let paths = [
        (Method::POST, "/order"),
        (Method::POST, "/orders"),
        (Method::DELETE, "/order"),
        (Method::DELETE, "/orders"),
        (Method::DELETE, "/cancel-market-orders"),
        (Method::POST, "/v1/heartbeats"),
        (Method::POST, "/orders-scoring"),
    ];
    for (method, path) in paths {
        for body in bodies {
            let (status, reply) = json_reply(trader.request(&venue, method.clone(), path, body)).await;
            let status = status.as_u16();
            assert!([200, 400, 413].contains(&status), "{method} {path}: {status} {reply}");
            // An empty list of ids is a request like any other, and a heartbeat without an id the first one.
            let harmless =
                matches!((path, body), ("/orders" | "/orders-scoring", "[]") | ("/v1/heartbeats", "{}"));
            assert!(status != 200 || (harmless && method != Method::PUT), "{method} {path}: {reply}");
        }
    }
    for path in [
        "/book?token_id=-1",
        "/book?token_id=99999999999999999999999999999999999999999999999999999999999999999999999999999999999",
        "/price?token_id=1&side=HOLD",
        "/markets/0x",
        "/clob-markets/%00",
        "/markets?next_cursor=%F0%9F%92%A9",
        "/prices-history?market=x",
        "/prices-history?market=1&startTs=9223372036854775807&endTs=-9223372036854775808&fidelity=-5",
        "/fees/builder-fees/0x00",
        "/builder/trades",
    ] {
        let (status, _) = venue.get(format!("{}{path}", venue.running.clob_url)).await;
        assert!(status.is_client_error() || path.contains("startTs"), "{path}: {status}");
    }
    for path in
        ["/data/order/0x", "/data/orders?id=zz", "/data/trades?before=never", "/data/trades?next_cursor=LTI="]
    {
        assert!(trader.get(&venue, path).await.0.is_client_error(), "{path}");
    }
    let order = trader.order(market_v2(false).tokens[0], Side::Buy, 10_000_000, 17_857_100);
    let (_, body) = trader.body(&order, Exchange::V2, "FAK");
    assert_eq!(trader.post(&venue, &body).await.1["status"], "matched");
    venue.mine();
    let verdict = venue.running.world().with(|world, _| world.verdict());
    assert!(verdict.sound && verdict.orders == 1, "{verdict:?}");
    venue.running.shutdown().await;
}

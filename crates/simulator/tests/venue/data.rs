//! The Data API and Gamma over real sockets: shapes, pages, windows, profit, faults.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::world::registry::Profile;

use super::harness::{Venue, market_v2, market_v3};

const LEADER: &str = "0x3333333333333333333333333333333333333333";
const OTHER: &str = "0x4444444444444444444444444444444444444444";

fn hash(byte: u8) -> String {
    format!("0x{}", hex::encode([byte; 32]))
}

/// One fill of a wallet in a block of its own, seen by the indexer.
async fn trade(venue: &Venue, tx: u8, wallet: &str, side: &str, (price, shares): (&str, i64)) {
    let fill = json!({
        "wallet": wallet, "token": market_v2(false).tokens[0], "side": side, "price": price, "shares": shares,
    });
    let (status, reply) = venue.control("/trades", json!({ "tx_hash": hash(tx), "fills": [fill] })).await;
    assert_eq!(status, 200, "{reply}");
    venue.mine();
    venue.clock.advance(Duration::from_secs(2));
}

async fn resolve(venue: &Venue, redeem: Value) {
    let condition = market_v2(false).condition;
    let body = json!({ "condition": condition, "payouts": ["1", "0"], "redeem": redeem });
    assert_eq!(venue.control("/resolve", body).await.0, 200);
    venue.mine();
    venue.clock.advance(Duration::from_secs(2));
}

async fn data(venue: &Venue, path: &str) -> Value {
    let (status, reply) = venue.get(format!("{}{path}", venue.running.data_url)).await;
    assert_eq!(status, 200, "{path}: {reply}");
    reply
}

async fn refused(venue: &Venue, path: &str) -> String {
    let (status, reply) = venue.get(format!("{}{path}", venue.running.data_url)).await;
    assert_eq!(status, 400, "{path}: {reply}");
    reply["error"].as_str().unwrap().to_owned()
}

/// Bought 100 at 0.40, sold 40 at 0.60.
async fn traded(venue: &Venue) {
    trade(venue, 1, LEADER, "BUY", ("0.4", 100)).await;
    trade(venue, 2, LEADER, "SELL", ("0.6", 40)).await;
}

#[tokio::test]
async fn positions_tell_cost_value_and_profit_in_both_versions() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    let v1 = data(&venue, &format!("/positions?user={LEADER}")).await;
    let row = &v1[0];
    assert_eq!((&row["size"], &row["avgPrice"], &row["curPrice"]), (&json!(60), &json!(0.4), &json!(0.5)));
    assert_eq!((&row["initialValue"], &row["currentValue"]), (&json!(24), &json!(30)));
    assert_eq!(
        (&row["cashPnl"], &row["percentPnl"], &row["realizedPnl"]),
        (&json!(6), &json!(25), &json!(8))
    );
    assert_eq!((&row["redeemable"], &row["endDate"]), (&json!(false), &json!("2026-12-31")));

    let v2 = data(&venue, &format!("/v2/positions?user={LEADER}")).await;
    let row = &v2["data"][0];
    assert_eq!((&row["current_size"], &row["total_size"]), (&json!(60), &json!(100)));
    assert_eq!((&row["unrealized_pnl"], &row["total_pnl"]), (&json!(6), &json!(14)));
    assert_eq!((&row["status"], &row["redeemable"]), (&json!("OPEN"), &json!(false)));
    assert_eq!(row["opposite_token_id"], json!(market_v2(false).tokens[1]));
    assert_eq!(v2["pagination"], json!({ "limit": 100, "has_more": false, "next_cursor": null }));

    let value = data(&venue, &format!("/value?user={LEADER}")).await;
    assert_eq!(value, json!([{ "user": LEADER, "value": 30 }]));
    let value = data(&venue, &format!("/v2/value?user={LEADER}")).await;
    assert_eq!(value["data"], json!({ "proxy_wallet": LEADER, "value": 30 }));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn a_resolved_position_is_redeemable_until_it_is_redeemed_and_then_closed() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    resolve(&venue, json!("none")).await;
    let listed = async |status: &str| {
        let path = format!("/v2/positions?user={LEADER}&status={status}");
        data(&venue, &path).await["data"].as_array().unwrap().len()
    };
    let counts = async || {
        [
            listed("OPEN").await,
            listed("REDEEMABLE").await,
            listed("REDEEMABLE_LOST").await,
            listed("CLOSED").await,
        ]
    };
    assert_eq!(counts().await, [1, 1, 0, 0]);
    let v1 = data(&venue, &format!("/positions?user={LEADER}&redeemable=true")).await;
    assert_eq!((&v1[0]["curPrice"], &v1[0]["redeemable"]), (&json!(1), &json!(true)));

    let body = json!({ "condition": market_v2(false).condition, "wallet": LEADER });
    assert_eq!(venue.control("/redeem", body).await.1, json!({ "redeemed": true }));
    venue.mine();
    venue.clock.advance(Duration::from_secs(2));
    assert_eq!(counts().await, [0, 0, 0, 1]);
    let closed = data(&venue, &format!("/closed-positions?user={LEADER}")).await;
    // 8 by the sale, 60 less 24 by the redemption.
    assert_eq!((&closed[0]["realizedPnl"], &closed[0]["totalBought"]), (&json!(44), &json!(100)));
    let activity = data(&venue, &format!("/v2/activity?user={LEADER}&type=REDEEM")).await;
    let row = &activity["data"][0];
    assert_eq!(
        (&row["type"], &row["usdc_size"], &row["token_id"]),
        (&json!("REDEEM"), &json!(60), &json!(""))
    );
    assert_eq!(row["outcome_index"], 999);
    let found = data(&venue, &format!("/v2/resolutions?condition_id={}", market_v2(false).condition)).await;
    assert_eq!(found["data"][0]["payouts"], json!([1_000_000, 0]));
    assert_eq!(found["data"][0]["status"], "resolved");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn leaders_are_ranked_by_profit_and_volume() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    trade(&venue, 3, OTHER, "BUY", ("0.5", 500)).await;
    venue.running.world().with(|world, _| {
        let profile = Profile { name: "leader".to_owned(), verified: true, ..Profile::default() };
        world.set_profile(LEADER.parse().unwrap(), profile);
    });
    let v1 = data(&venue, "/v1/leaderboard?timePeriod=ALL").await;
    let top = (&v1[0]["rank"], &v1[0]["proxyWallet"], &v1[0]["pnl"], &v1[0]["userName"]);
    assert_eq!(top, (&json!("1"), &json!(LEADER), &json!(14), &json!("leader")));
    let volume = data(&venue, "/v1/leaderboard?timePeriod=ALL&orderBy=VOL&limit=1").await;
    assert_eq!((&volume[0]["proxyWallet"], &volume[0]["vol"]), (&json!(OTHER), &json!(250)));
    let one = data(&venue, &format!("/v1/leaderboard?timePeriod=ALL&user={OTHER}")).await;
    assert_eq!((&one[0]["rank"], one.as_array().unwrap().len()), (&json!("2"), 1));

    let first = data(&venue, "/v2/leaderboard?time_period=all&limit=1").await;
    assert_eq!((&first["data"][0]["rank"], &first["data"][0]["user_id"]), (&json!(1), &json!(LEADER)));
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    let second = data(&venue, &format!("/v2/leaderboard?time_period=all&cursor={cursor}")).await;
    assert_eq!((&second["data"][0]["rank"], &second["data"][0]["volume"]), (&json!(2), &json!(500)));
    assert_eq!(second["pagination"]["limit"], 1, "the cursor keeps the size");
    let standing = data(&venue, &format!("/v2/leaderboard?time_period=all&user={OTHER}")).await;
    assert_eq!((&standing["data"]["rank_pnl"], &standing["data"]["rank_volume"]), (&json!(2), &json!(1)));
    let stranger = data(&venue, "/v2/leaderboard?user=0x5555555555555555555555555555555555555555").await;
    assert_eq!(stranger["data"], Value::Null);

    let stats = data(&venue, &format!("/v2/user-stats?user={LEADER}")).await;
    assert_eq!((&stats["data"]["trades"], &stats["data"]["biggest_win"]), (&json!(1), &json!(8)));
    let volume = data(&venue, &format!("/v2/user-volume?user={LEADER}&start=1")).await;
    assert_eq!(volume["data"], json!({ "volume": 140, "volume_usdc": 64, "trade_count": 2 }));
    assert!(refused(&venue, "/v1/leaderboard?timePeriod=YEAR").await.contains("YEAR"));
    venue.running.shutdown().await;
}

#[tokio::test]
async fn holders_tokens_and_freshness() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    trade(&venue, 3, OTHER, "BUY", ("0.5", 5)).await;
    let spec = market_v2(false);
    let v1 = data(&venue, &format!("/holders?market={}", spec.condition)).await;
    assert_eq!(v1[0]["token"], json!(spec.tokens[0]));
    let amounts: Vec<_> =
        v1[0]["holders"].as_array().unwrap().iter().map(|row| row["amount"].clone()).collect();
    assert_eq!(amounts, [60, 5]);
    let v2 = data(&venue, &format!("/v2/holders?condition_id={}&limit=1", spec.condition)).await;
    assert_eq!(v2["data"][0]["holders"][0]["proxy_wallet"], LEADER);
    assert_eq!(v2["pagination"]["has_more"], true);

    let tokens = data(&venue, &format!("/v2/tokens?token_id={}", spec.tokens[1])).await;
    assert_eq!(tokens["data"][0]["opposite_token_id"], json!(spec.tokens[0]));
    assert_eq!(
        (&tokens["data"][0]["module"], &tokens["data"][0]["outcome"]),
        (&json!("v1_ctf"), &json!("No"))
    );
    let v3 = market_v3();
    let tokens = data(&venue, &format!("/v2/tokens?condition={}", v3.condition)).await;
    // V3 conditions have 31 bytes on chain and 32 here.
    assert_eq!(tokens["data"][0]["condition_id"], format!("{}00", v3.condition));
    assert_eq!(tokens["data"].as_array().unwrap().len(), 2);

    assert_eq!(data(&venue, "/v2/status").await["data"]["serving"]["lag_seconds"], 2);
    venue.control("/knobs", json!({ "data_lag_ms": 60_000 })).await;
    venue.mine();
    let status = data(&venue, "/v2/status").await;
    let head = status["data"]["ingestion"]["max_synced_block"].as_u64().unwrap();
    assert!(status["data"]["serving"]["mechanisms"][0]["blocks_behind"].as_u64().unwrap() > 0, "{head}");
    let gone = data(&venue, &format!("/positions?user={LEADER}")).await;
    assert_eq!(gone, json!([]), "positions lag as rows do");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn feeds_without_a_start_are_bounded_in_time() {
    let venue = Venue::manual().await;
    trade(&venue, 1, LEADER, "BUY", ("0.4", 100)).await;
    venue.clock.advance(Duration::from_secs(90 * 86_400));
    trade(&venue, 2, LEADER, "BUY", ("0.4", 100)).await;
    let count = async |path: &str| data(&venue, path).await["data"].as_array().unwrap().len();
    assert_eq!(count(&format!("/v2/trades?user={LEADER}")).await, 2, "three years");
    assert_eq!(count("/v2/trades").await, 1, "two months for everybody");
    assert_eq!(count("/v2/trades?start=1").await, 1, "whatever start is asked for");
    venue.control("/knobs", json!({ "data_window_s": 86_400 })).await;
    assert_eq!(count(&format!("/v2/activity?user={LEADER}")).await, 1);
    assert_eq!(count(&format!("/v2/activity?user={LEADER}&start=1")).await, 2, "full history");
    assert_eq!(
        data(&venue, &format!("/activity?user={LEADER}")).await.as_array().unwrap().len(),
        2,
        "v1 has no window"
    );
    venue.running.shutdown().await;
}

#[tokio::test]
async fn rows_go_missing_pages_overlap_and_limits_hold() {
    let venue = Venue::manual().await;
    for tx in 1..=5 {
        trade(&venue, tx, LEADER, "BUY", ("0.4", 10)).await;
    }
    let hashes = |page: &Value| -> Vec<Value> {
        page["data"].as_array().unwrap().iter().map(|row| row["transaction_hash"].clone()).collect()
    };
    let feed = format!("/v2/activity?user={LEADER}&limit=2");
    let first = data(&venue, &feed).await;
    assert_eq!(hashes(&first), [hash(5), hash(4)]);
    venue.control("/knobs", json!({ "page_overlap": 1 })).await;
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    let second = data(&venue, &format!("{feed}&cursor={cursor}")).await;
    assert_eq!(hashes(&second), [hash(4), hash(3), hash(2)], "the end of the page before comes again");
    let cursor = second["pagination"]["next_cursor"].as_str().unwrap();
    let third = data(&venue, &format!("{feed}&cursor={cursor}")).await;
    assert_eq!(hashes(&third), [hash(2), hash(1)]);
    assert_eq!(third["pagination"]["has_more"], false);

    venue.control("/knobs", json!({ "page_overlap": 0, "hidden_rows": [hash(3)] })).await;
    let rest = data(&venue, &format!("/v2/activity?user={LEADER}")).await;
    assert_eq!(hashes(&rest), [hash(5), hash(4), hash(2), hash(1)]);
    assert_eq!(
        data(&venue, &format!("/positions?user={LEADER}")).await[0]["size"],
        50,
        "what is held is held"
    );

    assert!(refused(&venue, "/v2/trades?limit=1001").await.contains("1001"));
    assert!(refused(&venue, "/v2/trades?cursor=nonsense").await.contains("cursor"));
    assert!(refused(&venue, &format!("/activity?user={LEADER}&offset=10001")).await.contains("10000"));
    assert!(refused(&venue, &format!("/v2/activity?user={LEADER}&type=GIFT")).await.contains("GIFT"));
    assert!(refused(&venue, "/v2/positions").await.contains("user or condition"));
    assert!(refused(&venue, "/trades?user=0x12").await.contains("user"));
    let dust = data(&venue, "/v2/trades?filter_type=CASH&filter_amount=5").await;
    assert_eq!(dust["data"], json!([]), "each fill was 4 $");
    venue.running.shutdown().await;
}

#[tokio::test]
async fn gamma_tells_markets_events_search_and_profiles() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    let gamma = async |path: &str| venue.get(format!("{}{path}", venue.running.gamma_url)).await;
    let (_, markets) = gamma("/markets?limit=100").await;
    let markets = markets.as_array().unwrap().clone();
    assert_eq!(markets.len(), 3);
    let spec = market_v2(false);
    let market = markets.iter().find(|market| market["conditionId"] == json!(spec.condition)).unwrap();
    // Lists are JSON in a string.
    let list = |name: &str| serde_json::from_str::<Value>(market[name].as_str().unwrap()).unwrap();
    assert_eq!(list("clobTokenIds"), json!(spec.tokens));
    assert_eq!((list("outcomes"), list("outcomePrices")), (json!(["Yes", "No"]), json!(["0.525", "0.47"])));
    assert_eq!(
        (&market["volumeNum"], &market["bestBid"], &market["closed"]),
        (&json!(64), &json!(0.5), &json!(false))
    );
    let id = market["id"].as_str().unwrap();
    assert_eq!(gamma(&format!("/markets/{id}")).await.1["conditionId"], json!(spec.condition));
    assert_eq!(gamma("/markets/1").await.0, 404);
    assert_eq!(
        gamma(&format!("/markets?clob_token_ids={}", spec.tokens[1])).await.1.as_array().unwrap().len(),
        1
    );

    let (_, first) = gamma("/markets/keyset?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = gamma(&format!("/markets/keyset?limit=2&after_cursor={cursor}")).await;
    assert_eq!(
        (first["markets"].as_array().unwrap().len(), second["markets"].as_array().unwrap().len()),
        (2, 1)
    );
    assert!(second.get("next_cursor").is_none(), "none at the end");

    // The three markets share an event.
    let (_, events) = gamma("/events").await;
    assert_eq!((events.as_array().unwrap().len(), events[0]["markets"].as_array().unwrap().len()), (1, 3));
    assert_eq!(gamma("/events/slug/rain").await.1["id"], events[0]["id"]);
    resolve(&venue, json!("none")).await;
    assert_eq!(gamma("/markets?closed=true").await.1[0]["umaResolutionStatus"], "resolved");

    venue.running.world().with(|world, _| {
        let profile = Profile { name: "Rainmaker".to_owned(), ..Profile::default() };
        world.set_profile(LEADER.parse().unwrap(), profile);
    });
    let (_, found) = gamma("/public-search?q=rain&search_profiles=true").await;
    assert_eq!(
        (&found["profiles"][0]["proxyWallet"], &found["events"][0]["slug"]),
        (&json!(LEADER), &json!("rain"))
    );
    let (_, nobody) = gamma("/public-search?q=snow&search_profiles=true").await;
    assert_eq!((&nobody["events"], &nobody["pagination"]["hasMore"]), (&json!([]), &json!(false)));
    assert_eq!(gamma(&format!("/public-profile?address={LEADER}")).await.1["name"], "Rainmaker");
    assert_eq!(gamma(&format!("/public-profile?address={OTHER}")).await.0, 404);
    venue.running.shutdown().await;
}

#[tokio::test]
async fn services_that_are_read_fail_on_command() {
    let venue = Venue::manual().await;
    traded(&venue).await;
    let path = format!("{}/v2/trades?user={LEADER}", venue.running.data_url);
    let fault = async |target: &str, kind: &str| {
        venue.control("/faults", json!({ "target": target, "kind": kind })).await.0
    };
    assert_eq!(fault("data", "500_before").await, 200);
    assert_eq!(venue.get(path.clone()).await.0, 500);
    assert_eq!(fault("data", "429").await, 200);
    assert_eq!(venue.get(path.clone()).await.0, 429);
    assert_eq!(fault("data", "drop_before").await, 200);
    assert!(venue.http.get(&path).send().await.is_err());
    assert_eq!(fault("data", "truncate_reply").await, 200);
    let cut = venue.http.get(&path).send().await;
    assert!(match cut {
        Ok(reply) => reply.bytes().await.is_err(),
        Err(_) => true,
    });
    assert_eq!(venue.get(path).await.0, 200, "all four are used up");
    assert_eq!(fault("data", "500_after").await, 400, "nothing is processed by reading");
    assert_eq!(fault("gamma", "429").await, 200);
    assert_eq!(venue.get(format!("{}/markets", venue.running.gamma_url)).await.0, 429);
    venue.running.shutdown().await;
}

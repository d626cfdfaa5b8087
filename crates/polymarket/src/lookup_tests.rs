//! Looking up orders against a canned server, and rows of every form.

use domain::{Timestamp, TxHash};
use proptest::prelude::*;

use super::*;
use crate::{
    VenueLimits,
    clob::tests::{LOGIN, account, clob},
    hostile,
    test_server::{Action, Request, TestServer, reply},
};

const ID: OrderId = OrderId([0xab; 32]);
pub(crate) const TOKEN: &str =
    "71321045679252212594626385532706912750332728571942532289631379312455583992563";
pub(crate) const OTHER: &str =
    "52114319501245915516055106046884209969926127482827954674443846427813813222426";

fn query() -> OrderQuery {
    let signed_at = Timestamp::from_seconds(1_777_400_000);
    OrderQuery { id: ID, token: TOKEN.parse().unwrap(), signed_at, lane: Lane::Entries }
}

pub(crate) fn trade_json(id: &str, status: &str) -> serde_json::Value {
    serde_json::json!({
        "id": id, "taker_order_id": ID.to_string(), "market": "0x01", "asset_id": TOKEN, "side": "BUY",
        "size": "25.0000", "fee_rate_bps": "0", "price": "0.5200", "status": status, "match_time": "1777400001",
        "last_update": "1777400002", "outcome": "Yes", "bucket_index": 0, "owner": "o",
        "maker_address": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "transaction_hash": "", "trader_side": "TAKER",
        "maker_orders": [
            {"order_id": "0x01", "owner": "o", "maker_address": "0x70", "matched_amount": "20", "price": "0.5",
             "fee_rate_bps": "0", "asset_id": TOKEN, "outcome": "Yes", "side": "SELL"},
            {"order_id": "0x02", "owner": "o", "maker_address": "0x71", "matched_amount": "5", "price": "0.4",
             "fee_rate_bps": "0", "asset_id": OTHER, "outcome": "No", "side": "BUY"},
        ],
    })
}

fn row(json: serde_json::Value) -> TradeRow {
    serde_json::from_value::<serde_json::Value>(json)
        .and_then(|value| serde_json::from_str(&value.to_string()))
        .unwrap()
}

pub(crate) fn page(rows: &[serde_json::Value], cursor: &str) -> String {
    serde_json::json!({"data": rows, "next_cursor": cursor, "limit": 100, "count": rows.len()}).to_string()
}

/// Answers logins, the market and whatever `handler` is for.
pub(crate) async fn server(handler: impl Fn(&Request) -> Action + Send + Sync + 'static) -> TestServer {
    let condition = format!("0x{}", "cc".repeat(32));
    TestServer::start(move |request| match request.path() {
        "/auth/api-key" => reply(200, LOGIN),
        path if path.starts_with("/markets-by-token/") => {
            reply(200, serde_json::json!({ "condition_id": condition }).to_string())
        }
        path if path.starts_with("/clob-markets/") => reply(
            200,
            serde_json::json!({"c": condition, "t": [{"t": TOKEN, "o": "Yes"}], "mts": 0.01, "mos": 5, "nr": false,
                "fd": {"r": 0.05, "e": 1, "to": true}})
            .to_string(),
        ),
        path if path.starts_with("/markets/") => reply(200, "{}"),
        _ => handler(request),
    })
    .await
}

#[tokio::test]
async fn an_order_nobody_knows_is_not_there() {
    for direct in [(404, r#"{"error":"not found"}"#), (200, "null"), (200, "")] {
        let server = server(move |request| match request.path() {
            "/data/orders" | "/data/trades" => reply(200, page(&[], "LTE=")),
            _ => reply(direct.0, direct.1),
        })
        .await;
        assert_eq!(clob(&server).find(&account(1), &query()).await, Ok(OrderLookup::default()), "{direct:?}");
        let asked: Vec<_> =
            server.seen().into_iter().filter(|request| request.path() == "/data/trades").collect();
        assert_eq!(asked[0].query("after"), Some("1777399940"));
        assert_eq!(asked[0].query("asset_id"), Some(TOKEN));
        assert_eq!(server.count("/data/orders"), 1);
    }
}

#[tokio::test]
async fn one_unanswered_question_is_an_error() {
    for failing in ["/data/order/", "/data/orders", "/data/trades"] {
        let server = server(move |request| match request.path() {
            path if path.starts_with(failing) && (failing != "/data/order" || path != "/data/orders") => {
                reply(500, "")
            }
            path if path.starts_with("/data/order/") => reply(404, ""),
            _ => reply(200, page(&[], "")),
        })
        .await;
        let answer = clob(&server).find(&account(1), &query()).await;
        assert!(matches!(answer, Err(VenueError::Unavailable { .. })), "{failing}: {answer:?}");
    }
}

/// An exit's next attempt waits for its look-up, its rules and its book.
#[tokio::test]
async fn questions_of_exits_are_answered_while_those_of_entries_wait_for_the_pace() {
    let server = server(|request| match request.path() {
        "/data/orders" | "/data/trades" => reply(200, page(&[], "LTE=")),
        _ => reply(404, ""),
    })
    .await;
    let other = vec![(Endpoint::Ledger, 100, None), (Endpoint::Book, 100, None)];
    let clob = clob(&server).paced(VenueLimits { other, ..VenueLimits::default() });
    let ask = async |lane| {
        let query = OrderQuery { lane, ..query() };
        (clob.find(&account(1), &query).await, clob.book(query.token, lane).await)
    };
    // 90 of 100, of these 80 % for entries.
    for _ in 0..72 {
        assert_eq!(ask(Lane::Entries).await, (Ok(OrderLookup::default()), Ok(None)));
    }
    let (look_up, book) = ask(Lane::Entries).await;
    assert!(matches!(look_up, Err(VenueError::RateLimited { .. })), "{look_up:?}");
    assert!(matches!(book, Err(VenueError::RateLimited { .. })), "{book:?}");
    for _ in 0..18 {
        assert_eq!(ask(Lane::Exits).await, (Ok(OrderLookup::default()), Ok(None)));
    }
}

#[tokio::test]
async fn order_and_trades_over_overlapping_pages() {
    let server = server(|request| match (request.path(), request.query("next_cursor")) {
        ("/data/trades", None) => {
            let stranger = serde_json::json!({"taker_order_id": "0x99", "maker_orders": null});
            let mut other = trade_json("t-9", "CONFIRMED");
            other.as_object_mut().unwrap().extend(stranger.as_object().unwrap().clone());
            reply(200, page(&[trade_json("t-1", "MATCHED"), other], "MTAw"))
        }
        ("/data/trades", Some("MTAw")) => {
            reply(200, page(&[trade_json("t-1", "TRADE_STATUS_MINED"), trade_json("t-2", "FAILED")], "LTE="))
        }
        _ => reply(
            200,
            serde_json::json!({"id": ID.to_string(), "status": "MATCHED", "size_matched": "50"}).to_string(),
        ),
    })
    .await;
    let found = clob(&server).find(&account(1), &query()).await.unwrap();
    let matched = Shares(50_000_000);
    assert_eq!(found.order, Some(VenueOrder { status: VenueOrderStatus::Matched, matched }));
    let states: Vec<_> = found.trades.iter().map(|trade| (trade.id.as_str(), trade.status)).collect();
    assert_eq!(states, [("t-1", SettlementStatus::Mined), ("t-2", SettlementStatus::Failed)]);
    // 20 at 0.5 and 5 minted against a No at 0.4: 10 + 3 dollars; fee 25 x 0.05 x 0.52 x 0.48.
    let trade = &found.trades[0];
    assert_eq!((trade.shares, trade.usd, trade.fee), (Shares(25_000_000), Usd(13_000_000), Usd(312_000)));
    assert_eq!(trade.tx, None);
}

#[tokio::test]
async fn endless_or_hostile_cursors_end() {
    for cursor in ["AAAA", "a&b=c"] {
        let server = server(move |request| match request.path() {
            "/data/trades" => reply(200, page(&[], cursor)),
            _ => reply(200, page(&[], "")),
        })
        .await;
        let answer = clob(&server).order_trades(&account(1), &query()).await;
        assert!(matches!(answer, Err(VenueError::Malformed { .. })), "{answer:?}");
        assert!(server.count("/data/trades") <= 2);
    }
}

#[test]
fn both_forms_of_an_order_are_read() {
    let read = |status: &str, size: &str| {
        let json = serde_json::json!({"id": "x", "status": status, "size_matched": size}).to_string();
        order_state(&serde_json::from_str(&json).unwrap()).map(|order| (order.status, order.matched))
    };
    use VenueOrderStatus::{Cancelled, Delayed, Live, Matched};
    for (status, size, expected) in [
        ("LIVE", "10", (Live, Shares(10_000_000))),
        ("live", "0.0000", (Live, Shares(0))),
        ("ORDER_STATUS_LIVE", "10000000", (Live, Shares(10_000_000))),
        ("ORDER_STATUS_MATCHED", "10.5", (Matched, Shares(10_500_000))),
        ("DELAYED", "0", (Delayed, Shares(0))),
        ("ORDER_STATUS_CANCELED_MARKET_RESOLVED", "0", (Cancelled, Shares(0))),
        ("CANCELED_order couldn't be fully filled.", "", (Cancelled, Shares(0))),
        ("INVALID", "0", (Cancelled, Shares(0))),
    ] {
        assert_eq!(read(status, size), Ok(expected), "{status} {size}");
    }
    for (status, size) in
        [("UNMATCHED", "0"), ("", "0"), ("LIVE", "-1"), ("LIVE", "x"), ("ORDER_STATUS_LIVE", "1e3")]
    {
        assert!(read(status, size).is_err(), "{status} {size}");
    }
}

#[test]
fn the_original_size_tells_decimals_from_millionths() {
    for (original, matched, expected) in [
        ("25", "10", 10_000_000),
        ("25000000", "10000000", 10_000_000),
        ("25000000", "5", 5),
        ("25.5", "10", 10_000_000),
    ] {
        let status = "ORDER_STATUS_LIVE";
        let json = serde_json::json!({"id": "x", "status": status, "original_size": original, "size_matched": matched});
        let order = order_state(&serde_json::from_str(&json.to_string()).unwrap()).unwrap();
        assert_eq!(order.matched, Shares(expected), "{json}");
    }
}

#[test]
fn a_trade_of_a_resting_order_is_its_own_part() {
    let mut json = trade_json("t-1", "CONFIRMED");
    json["taker_order_id"] = "0x99".into();
    json["maker_orders"][1]["order_id"] = ID.to_string().into();
    json["transaction_hash"] = format!("0x{}", "12".repeat(32)).into();
    let (trade, role) = trade_of(&row(json), ID).unwrap().unwrap();
    assert_eq!(role, Role::Maker);
    assert_eq!((trade.shares, trade.usd), (Shares(5_000_000), Usd(2_000_000)));
    assert_eq!(trade.tx, Some(TxHash([0x12; 32])));
}

#[test]
fn makers_that_do_not_add_up_are_not_summed() {
    let mut json = trade_json("t-1", "MATCHED");
    json["size"] = "26".into();
    let (trade, _) = trade_of(&row(json), ID).unwrap().unwrap();
    // 26 x 0.52
    assert_eq!(trade.usd, Usd(13_520_000));
}

#[test]
fn hostile_trades_are_errors() {
    let changes: [fn(&mut serde_json::Value); 5] = [
        |json| json["status"] = "WON".into(),
        |json| json["size"] = "-1".into(),
        |json| json["price"] = "1.5".into(),
        |json| json["transaction_hash"] = "0x12".into(),
        |json| json["maker_orders"][0]["matched_amount"] = "9999999999999999999".into(),
    ];
    for change in changes {
        let mut json = trade_json("t-1", "MATCHED");
        // Without a sum of makers the price of the row counts.
        json["maker_orders"][1]["matched_amount"] = "6".into();
        change(&mut json);
        assert!(trade_of(&row(json.clone()), ID).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn any_row_is_read_or_refused(size in ".{0,12}", price in ".{0,12}", status in ".{0,24}", tx in ".{0,70}") {
        let mut json = trade_json("t", &status);
        json["size"] = size.as_str().into();
        json["price"] = price.into();
        json["transaction_hash"] = tx.into();
        let _ = trade_of(&row(json), ID);
        let order = serde_json::json!({"id": "x", "status": status, "size_matched": size}).to_string();
        let _ = order_state(&serde_json::from_str(&order).unwrap());
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let trade = trade_json("t-1", "MATCHED").to_string();
    let ours = |bytes: &[u8]| trade_of(&serde_json::from_slice::<TradeRow>(bytes).ok()?, ID).ok();
    hostile::survives(&trade, ours, |ours| {
        ours.as_ref().is_none_or(|(trade, _)| {
            // It costs no more than a dollar a share, but for the rounding.
            hostile::amounts([trade.shares.0, trade.usd.0]) && trade.usd.0 <= trade.shares.0 + 1
        })
    });
    let order = r#"{"id":"0x01","status":"LIVE","owner":"o","maker_address":"0x70","asset_id":"1","side":"BUY","original_size":"10","size_matched":"0","price":"0.5","associate_trades":["t-1"],"created_at":1777400001,"expiration":"0"}"#;
    let state = |bytes: &[u8]| order_state(&serde_json::from_slice::<OrderRow>(bytes).ok()?).ok();
    hostile::survives(order, state, |order| hostile::amounts([order.matched.0]));
}

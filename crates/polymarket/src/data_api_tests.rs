//! Recorded rows in both spellings, pages that end inside a second, hostile rows.

use domain::{Price, Side, money::ONE, trade::Action};
use engine::ports::venue::{HistoryKind, HistoryRow};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::test_server::{Request, TestServer, reply};

const WALLET: &str = "0x476639d9845d7a0261cb005dae6473f089ff5a03";

fn wallet() -> Address {
    WALLET.parse().unwrap()
}

fn recorded(name: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("../tests/vectors/data_api_v1.json")).unwrap();
    file[name].clone()
}

/// A v1 row as v2 spells it.
fn snake(row: &Value) -> Value {
    let rename = |name: &str| match name {
        "proxyWallet" => "proxy_wallet".to_owned(),
        "conditionId" => "condition_id".to_owned(),
        "transactionHash" => "transaction_hash".to_owned(),
        "usdcSize" => "usdc_size".to_owned(),
        "asset" => "token_id".to_owned(),
        other => other.to_owned(),
    };
    Value::Object(
        row.as_object().unwrap().iter().map(|(name, value)| (rename(name), value.clone())).collect(),
    )
}

fn v2(rows: &[Value], next: Option<&str>) -> String {
    json!({"data": rows, "pagination": {"limit": V2_PAGE, "has_more": next.is_some(), "next_cursor": next}})
        .to_string()
}

/// A trade of `second`, told from others by its transaction.
fn trade(second: i64, number: usize) -> Value {
    let mut row = recorded("activity")[0].clone();
    row["timestamp"] = second.into();
    row["transactionHash"] = format!("0x{number:064x}").into();
    row
}

async fn history(
    handler: impl Fn(&Request) -> crate::test_server::Action + Send + Sync + 'static,
) -> (TestServer, DataApi) {
    let server = TestServer::start(handler).await;
    let api = DataApi::new(crate::client().unwrap(), &server.origin);
    (server, api)
}

fn kinds(responses: &[HistoryResponse]) -> Vec<HistoryKind> {
    responses.iter().flat_map(|response| &response.rows).map(|row| row.kind).collect()
}

/// The whole history, without a gap.
async fn all_of(api: &DataApi) -> Vec<HistoryResponse> {
    let history = api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap();
    assert_eq!(history.gap, None);
    history.responses
}

#[tokio::test]
async fn both_versions_tell_the_same() {
    let (_v1_server, v1_api) = history(|request| match request.path() {
        "/activity" => reply(200, recorded("activity").to_string()),
        "/trades" => reply(200, recorded("trades").to_string()),
        _ => reply(404, ""),
    })
    .await;
    let (v2_server, v2_api) = history(|request| {
        let rows: Vec<_> = match request.path() {
            "/v2/activity" => recorded("activity").as_array().unwrap().iter().map(snake).collect(),
            "/v2/trades" => recorded("trades").as_array().unwrap().iter().map(snake).collect(),
            _ => return reply(404, ""),
        };
        reply(200, v2(&rows, None))
    })
    .await;
    let since = Timestamp::from_seconds(1_779_000_000);
    let one = v1_api.activity(wallet(), since).await.unwrap().responses;
    let two = v2_api.activity(wallet(), since).await.unwrap().responses;
    assert_eq!(one, two);
    // Activity and trades are separate responses.
    assert_eq!(one.iter().map(|response| response.rows.len()).collect::<Vec<_>>(), [3, 1]);
    let redeemed = HistoryKind::Moved { action: Action::Redeem, token: None, shares: Shares(270_000_000) };
    assert!(kinds(&one).contains(&redeemed));
    let last = kinds(&one)[3];
    let HistoryKind::Trade { side, shares, price, .. } = last else { panic!("{last:?}") };
    assert_eq!((side, shares, price), (Side::Buy, Shares(30_000_000), Price(131_553)));
    let asked = v2_server.seen();
    let of = |path: &str| asked.iter().find(|request| request.path() == path).unwrap();
    assert_eq!(of("/v2/trades").query("taker_only"), Some("false"));
    assert_eq!(of("/v2/activity").query("user"), Some(WALLET));
    assert_eq!(of("/v2/activity").query("start"), Some("1778999999"));
}

/// Rows of a whole market name no token; a conversion is believed where its row says which side it is.
#[tokio::test]
async fn what_moves_shares_without_an_order() {
    let row = |kind: &str, token: &str, outcome: i64, size: i64| {
        let mut row = trade(100, 1);
        for (name, value) in [
            ("type", json!(kind)),
            ("size", json!(size)),
            ("token_id", json!(token)),
            ("side", json!("")),
            ("outcome_index", json!(outcome)),
        ] {
            row[name] = value;
        }
        for name in ["asset", "outcomeIndex"] {
            row.as_object_mut().unwrap().remove(name);
        }
        row
    };
    let rows = [
        row("MERGE", "", 999, 5),
        row("SPLIT", "", 999, 6),
        row("REDEEM", "", 999, 0),
        row("CONVERSION", "", 999, 7),
        row("CONVERSION", "77", 1, 8),
        row("CONVERSION", "78", 0, 9),
        row("CONVERSION", "78", 999, 9),
        row("YIELD", "", 999, 9),
    ];
    let (server, api) = history(move |request| match request.path() {
        "/v2/activity" => reply(200, v2(&rows, None)),
        "/v2/trades" => reply(200, v2(&[], None)),
        _ => reply(404, ""),
    })
    .await;
    let responses = api.activity(wallet(), Timestamp::from_seconds(99)).await.unwrap().responses;
    let moved = |action, token: Option<&str>, shares: i64| HistoryKind::Moved {
        action,
        token: token.map(|token| token.parse().unwrap()),
        shares: Shares(shares * 1_000_000),
    };
    let expected = [
        moved(Action::Merge, None, 5),
        moved(Action::Receive, None, 6),
        moved(Action::Merge, Some("77"), 8),
        moved(Action::Receive, Some("78"), 9),
    ];
    assert_eq!(kinds(&responses), expected);
    let seen = server.seen();
    let asked = seen.iter().find(|request| request.path() == "/v2/activity").unwrap();
    assert_eq!(asked.query("type"), Some("TRADE,REDEEM,SPLIT,MERGE,CONVERSION"));
}

#[tokio::test]
async fn equal_rows_stay_separate_and_old_rows_are_left_out() {
    let (_server, api) = history(|request| match request.path() {
        "/v2/activity" => reply(200, v2(&[trade(100, 1), trade(100, 1), trade(99, 2), trade(98, 3)], None)),
        "/v2/trades" => reply(200, v2(&[], None)),
        _ => reply(404, ""),
    })
    .await;
    let responses = api.activity(wallet(), Timestamp::from_seconds(99)).await.unwrap().responses;
    assert_eq!(responses[0].rows.len(), 3);
    assert_eq!(responses[0].rows[0], responses[0].rows[1]);
}

/// Fills: number and second, newest first. Serves `limit` of those not younger than `end`.
fn serve(fills: &[(i64, usize)], request: &Request, limit: usize) -> String {
    // v1 of `/trades` knows no span of time.
    let spans = request.path() != "/trades";
    let ask = |name: &str| {
        request.query(name).filter(|_| spans || name != "end").map(|text| text.parse::<i64>().unwrap())
    };
    let window: Vec<_> =
        fills.iter().filter(|(second, _)| ask("end").is_none_or(|end| *second <= end)).collect();
    let skip = ask("cursor").or(ask("offset")).unwrap_or(0) as usize;
    let rows: Vec<_> =
        window.iter().skip(skip).take(limit).map(|(second, number)| trade(*second, *number)).collect();
    let next = (skip + rows.len() < window.len()).then(|| (skip + rows.len()).to_string());
    if request.path().starts_with("/v2") { v2(&rows, next.as_deref()) } else { json!(rows).to_string() }
}

#[tokio::test]
async fn the_second_in_which_a_page_ends_is_read_again_whole() {
    // Pages of four; second 50 lies across the end of the first page, second 20 fills more than a page.
    let seconds = [60, 60, 50, 50, 50, 40, 20, 20, 20, 20, 20, 20, 10];
    let fills: Vec<_> = seconds.iter().copied().zip(0..).collect();
    let (_server, api) = history(move |request| match request.path() {
        "/v2/activity" => reply(200, serve(&fills, request, 4)),
        "/v2/trades" => reply(200, v2(&[], None)),
        _ => reply(404, ""),
    })
    .await;
    let responses = all_of(&api).await;
    let of_second = |response: &HistoryResponse, second| {
        response.rows.iter().filter(|row| row.traded_at.seconds() == second).count()
    };
    let most = |second| responses.iter().map(|response| of_second(response, second)).max().unwrap();
    assert_eq!((most(60), most(50), most(40), most(10)), (2, 3, 1, 1));
    let distinct: std::collections::BTreeSet<_> =
        responses.iter().flat_map(|response| &response.rows).map(|row| row.tx).collect();
    assert_eq!(distinct.len(), seconds.len());
}

#[tokio::test]
async fn v1_pages_are_read_to_the_end() {
    let fills: Vec<_> = (0..1_203_usize).map(|number| (9_000 - (number / 3) as i64, number)).collect();
    let (server, api) = history(move |request| match request.path() {
        "/activity" | "/trades" => reply(200, serve(&fills, request, V1_PAGE)),
        _ => reply(404, ""),
    })
    .await;
    let responses = all_of(&api).await;
    let distinct: std::collections::BTreeSet<_> =
        responses.iter().flat_map(|response| &response.rows).map(|row| row.tx).collect();
    assert_eq!(distinct.len(), 1_203);
    assert_eq!((server.count("/activity"), server.count("/trades")), (3, 3));
    let asked = server.seen();
    let trades = asked.iter().find(|request| request.path() == "/trades").unwrap();
    assert_eq!(trades.query("takerOnly"), Some("false"));
    assert_eq!((trades.query("start"), trades.query("end")), (None, None));
    // Rows come newest first: whoever asks for the newest reads no further than these.
    let responses = api.activity(wallet(), Timestamp::from_seconds(8_990)).await.unwrap().responses;
    assert!(responses.iter().flat_map(|response| &response.rows).all(|row| row.traded_at.seconds() >= 8_990));
    assert_eq!(server.count("/trades"), 4);
}

/// A history longer than v1 can be asked for costs neither feed.
#[tokio::test]
async fn v1_trades_end_at_the_last_offset() {
    let (server, api) = history(|request| match request.path() {
        "/activity" => reply(200, json!([trade(50, 1)]).to_string()),
        "/trades" => reply(200, json!(vec![trade(50, 1); V1_PAGE]).to_string()),
        _ => reply(404, ""),
    })
    .await;
    let responses = api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap().responses;
    assert_eq!(responses[0].rows.len(), 1);
    assert_eq!(server.count("/trades"), V1_LAST_OFFSET / V1_PAGE + 1);
}

/// One that asks to slow down is not asked again before it said, by whatever wallet.
#[tokio::test]
async fn the_data_api_is_asked_at_its_pace_and_not_before_it_said() {
    let (server, api) = history(|request| match (request.path(), request.query("user")) {
        ("/v2/activity", Some(WALLET)) => {
            crate::test_server::Action::Reply(429, "retry-after: 20\r\n", String::new())
        }
        _ => reply(200, v2(&[], None)),
    })
    .await;
    let clock = Arc::new(crate::test_server::StoppedClock(Timestamp::from_seconds(1_777_400_000)));
    let api = api.paced(clock, VenueLimits::default());
    let other = Address([7; 20]);
    // 135 are nine tenths of 150, and a tenth of these is left to the other lane.
    for _ in 0..122 {
        assert_eq!(api.positions(other).await, Ok(Vec::new()));
    }
    let limited = api.positions(other).await;
    assert!(matches!(limited, Err(VenueError::RateLimited { retry_after: Some(_), .. })), "{limited:?}");
    assert_eq!(server.seen().len(), 122);
    let none = Timestamp::from_seconds(0);
    let half = api.activity(wallet(), none).await.unwrap();
    assert!(matches!(half.gap, Some(VenueError::RateLimited { .. })), "{half:?}");
    let seen = server.seen().len();
    assert!(matches!(api.activity(other, none).await, Err(VenueError::RateLimited { .. })));
    assert_eq!(server.seen().len(), seen, "both feeds are closed for 20 s");
}

/// One page of one list was slow, and nothing of either list was taken.
#[tokio::test]
async fn a_page_that_does_not_come_takes_no_other_with_it() {
    let fills: Vec<_> = [60, 50, 40, 30, 20, 10].into_iter().zip(0..).collect();
    let (_server, api) = history(move |request| match request.path() {
        "/v2/activity" if request.query("end").is_some_and(|end| end < "31") => reply(503, ""),
        "/v2/activity" | "/v2/trades" => reply(200, serve(&fills, request, 3)),
        _ => reply(404, ""),
    })
    .await;
    let history = api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap();
    assert!(history.gap.is_some());
    let seconds = |response: &HistoryResponse| -> Vec<i64> {
        response.rows.iter().map(|row| row.traded_at.seconds()).collect()
    };
    let pages: Vec<_> = history.responses.iter().map(seconds).collect();
    let all = [vec![60, 50, 40], vec![40, 30, 20], vec![20, 10]];
    assert_eq!(pages, [&all[..2], &all[..]].concat());
    let (_server, api) = history_without_trades().await;
    assert_eq!(api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap().responses.len(), 1);
}

async fn history_without_trades() -> (TestServer, DataApi) {
    history(|request| match request.path() {
        "/v2/activity" => reply(200, v2(&[trade(50, 1)], None)),
        "/v2/trades" => reply(500, ""),
        _ => reply(404, ""),
    })
    .await
}

#[tokio::test]
async fn a_server_that_never_ends_is_left() {
    let (server, api) = history(|request| match request.path() {
        "/v2/activity" | "/v2/trades" => reply(200, v2(&[trade(50, 1)], Some("again & again"))),
        _ => reply(404, ""),
    })
    .await;
    let history = api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap();
    assert!(matches!(history.gap, Some(VenueError::Malformed { .. })), "{:?}", history.gap);
    assert!(server.seen().iter().any(|request| request.query("cursor") == Some("again%20%26%20again")));
}

#[tokio::test]
async fn positions_of_both_versions() {
    let token = recorded("positions")[0]["asset"].as_str().unwrap().parse().unwrap();
    for version in ["", "/v2"] {
        let (server, api) = history(move |request| {
            let row = recorded("positions")[0].clone();
            let mut nothing = row.clone();
            nothing["size"] = 0.into();
            match request.path().strip_prefix(version) {
                Some("/positions") if version.is_empty() => reply(200, json!([row, nothing]).to_string()),
                Some("/positions") => reply(200, v2(&[snake(&row), snake(&nothing)], None)),
                _ => reply(404, ""),
            }
        })
        .await;
        assert_eq!(api.positions(wallet()).await, Ok(vec![(token, Shares(60_000_000))]));
        assert!(server.seen().last().unwrap().query("user").is_some());
    }
}

/// It would come again with every answer, and nothing would ever be heard of this wallet.
#[tokio::test]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let (_server, api) = history(|request| {
        let mut rows = [trade(61, 3), trade(60, 2), trade(50, 1)];
        rows[1]["price"] = 1.000_001.into();
        reply(200, v2(if request.path() == "/v2/activity" { &rows } else { &[] }, None))
    })
    .await;
    let History { responses, gap } = api.activity(wallet(), Timestamp::from_seconds(0)).await.unwrap();
    assert_eq!((gap, kinds(&responses).len()), (None, 2));
}

/// Rows that come late or are missing prove nothing: only a closed position is nothing.
#[tokio::test]
async fn what_is_held_is_told_late_and_never_guessed() {
    for version in ["", "/v2"] {
        let row = recorded("positions")[0].clone();
        let held: TokenId = row["asset"].as_str().unwrap().parse().unwrap();
        let (other, sold) = (TokenId([9; 32]), TokenId([8; 32]));
        let (_server, api) = history(move |request| {
            let mut gone = recorded("positions")[0].clone();
            gone["asset"] = sold.to_string().into();
            let closed = request.query("status") == Some("CLOSED");
            match request.path().strip_prefix(version) {
                Some("/closed-positions") if version.is_empty() => reply(200, json!([gone]).to_string()),
                Some("/positions") if version.is_empty() => reply(200, json!([row]).to_string()),
                Some("/positions") if closed => reply(200, v2(&[snake(&gone)], None)),
                Some("/positions") => reply(200, v2(&[snake(&row)], None)),
                _ => reply(404, ""),
            }
        })
        .await;
        let sale = Timestamp::from_seconds(1_777_400_000);
        let clock = testkit::virtual_clock::VirtualClock::new(sale);
        let api = api.paced(clock.clone(), VenueLimits::default());
        let early = api.held(wallet(), held, sale).await;
        assert!(matches!(early, Err(VenueError::Unavailable { .. })), "{early:?}");
        clock.advance(VenueLimits::default().positions_lag);
        assert_eq!(api.held(wallet(), held, sale).await, Ok(Shares(60_000_000)));
        assert_eq!(api.held(wallet(), sold, sale).await, Ok(Shares::ZERO));
        let missing = api.held(wallet(), other, sale).await;
        assert!(matches!(missing, Err(VenueError::Unavailable { .. })), "{missing:?}");
    }
}

#[tokio::test]
async fn no_version_or_an_overloaded_one_is_an_error() {
    let (_server, api) = history(|_| reply(404, "")).await;
    let answer = api.activity(wallet(), Timestamp::from_seconds(0)).await;
    assert!(matches!(answer, Err(VenueError::Refused { .. })));
    let (server, api) = history(|_| reply(429, "")).await;
    assert!(matches!(api.positions(wallet()).await, Err(VenueError::RateLimited { .. })));
    // A refusal is no reason to bother the other version.
    assert_eq!(server.seen().len(), 1);
}

fn read(row: &Value) -> Result<Option<engine::ports::venue::HistoryRow>, String> {
    let row: ActivityRow = serde_json::from_str(&row.to_string()).map_err(|error| error.to_string())?;
    row.read(wallet())
}

#[test]
fn rows_of_other_kinds_are_passed_over() {
    for kind in ["REWARD", "CONVERSION", "YIELD", "SOMETHING_NEW"] {
        let row = json!({"proxyWallet": WALLET, "timestamp": 5, "type": kind});
        assert_eq!(read(&row), Ok(None), "{kind}");
    }
    let mut nothing = trade(5, 1);
    nothing["size"] = 0.into();
    assert_eq!(read(&nothing), Ok(None));
}

#[test]
fn hostile_rows_are_refused() {
    let changes: [fn(&mut Value); 12] = [
        |row| row["proxyWallet"] = format!("0x{}", "01".repeat(20)).into(),
        |row| row["timestamp"] = "soon".into(),
        |row| row["timestamp"] = (-1).into(),
        |row| row["transactionHash"] = "".into(),
        |row| row["conditionId"] = "0x12".into(),
        |row| row["asset"] = "0x12".into(),
        |row| row["side"] = "".into(),
        |row| row["size"] = (-1).into(),
        |row| row["size"] = 1e300.into(),
        |row| row["price"] = 1.5.into(),
        |row| row["price"] = Value::Null,
        |row| row["size"] = Value::Null,
    ];
    for change in changes {
        let mut row = trade(5, 1);
        change(&mut row);
        assert!(read(&row).is_err(), "{row}");
    }
    for kind in ["SPLIT", "MERGE", "REDEEM"] {
        let mut row = recorded("activity")[2].clone();
        row["type"] = kind.into();
        row["size"] = Value::Null;
        assert!(read(&row).is_err(), "{row}");
    }
}

proptest! {
    #[test]
    fn any_row_is_read_or_refused(
        field in prop::sample::select(vec!["timestamp", "size", "price", "side", "asset", "type", "transactionHash"]),
        value in prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(Value::Null),
            Just(json!([[]])),
        ],
    ) {
        let mut row = trade(5, 1);
        row[field] = value;
        let _ = read(&row);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_v1::<ActivityRow>(&bytes).is_ok(), read_v2::<PositionRow>(&bytes).is_ok());
    }
}

/// Hostile sizes, depths and numbers, in both versions' rows. What is understood is possible.
#[test]
fn the_corpus_is_survived() {
    use crate::hostile::{amounts, survives};
    let activity = |page: Result<Page<ActivityRow>, String>| {
        page.ok()?.rows.iter().map(|row| row.read(wallet()).ok()).collect::<Option<Vec<_>>>()
    };
    let traded = |rows: &Vec<Option<HistoryRow>>| {
        rows.iter().flatten().all(|row| match row.kind {
            HistoryKind::Trade { shares, price, .. } => {
                shares.0 > 0 && price.0 <= ONE && amounts([shares.0, price.0])
            }
            HistoryKind::Moved { shares, .. } => shares.0 > 0 && amounts([shares.0]),
        })
    };
    let positions = |page: Result<Page<PositionRow>, String>| {
        page.ok()?.rows.iter().map(|row| row.read(wallet()).ok()).collect::<Option<Vec<_>>>()
    };
    let held = |rows: &Vec<Option<(TokenId, Shares)>>| {
        rows.iter().flatten().all(|(_, shares)| shares.0 > 0 && amounts([shares.0]))
    };
    let position = json!({ "proxyWallet": WALLET, "asset": "7", "size": 5.5 });
    survives(&json!([trade(5, 1)]).to_string(), |bytes| activity(read_v1(bytes)), traded);
    survives(&v2(&[snake(&trade(5, 1))], Some("next")), |bytes| activity(read_v2(bytes)), traded);
    survives(&json!([position]).to_string(), |bytes| positions(read_v1(bytes)), held);
    survives(&v2(&[snake(&position)], None), |bytes| positions(read_v2(bytes)), held);
    let closed = |page: Result<Page<ClosedRow>, String>| {
        page.ok()?.rows.iter().map(|row| row.read(wallet()).ok()).collect::<Option<Vec<_>>>()
    };
    // Whichever token it names: a wallet's own, or nothing is understood.
    let gone = json!({ "proxyWallet": WALLET, "asset": "7" });
    let named = |tokens: &Vec<TokenId>| tokens.len() <= 1;
    survives(&json!([gone]).to_string(), |bytes| closed(read_v1(bytes)), named);
    survives(&v2(&[snake(&gone)], None), |bytes| closed(read_v2(bytes)), named);
}

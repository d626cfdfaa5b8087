//! Markets and books: the joined record, the hash vector, hostile input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    clob::tests::clob,
    hostile,
    test_server::{TestServer, reply},
};

const TOKEN: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
const OTHER: &str = "52114319501245915516055106046884209969926127482827954674443846427813813222426";

fn token() -> TokenId {
    TOKEN.parse().unwrap()
}

fn compact(condition: &str) -> Value {
    json!({"c": condition, "t": [{"t": TOKEN, "o": "Yes"}, {"t": OTHER, "o": "No"}], "mts": 0.001, "mos": "5",
        "nr": true, "fd": {"r": 0.07, "e": 1, "to": true}, "mbf": 0, "tbf": 0})
}

fn words() -> Value {
    json!({"enable_order_book": true, "active": true, "closed": false, "accepting_orders": true,
        "question": "Will it?", "market_slug": "will-it", "is_50_50_outcome": false,
        "tokens": [{"token_id": TOKEN, "outcome": "Yes", "price": 0.5, "winner": false},
                   {"token_id": OTHER, "outcome": "No", "price": 0.5, "winner": false}]})
}

fn read(compact: Value, words: Value, condition: &str) -> Result<Market, String> {
    let compact = serde_json::from_str(&compact.to_string()).map_err(|error| error.to_string())?;
    let words = serde_json::from_str(&words.to_string()).map_err(|error| error.to_string())?;
    join(token(), condition.parse().unwrap(), compact, words, 0)
}

fn condition(bytes: usize) -> String {
    format!("0x{}", "cd".repeat(bytes))
}

#[tokio::test]
async fn a_market_is_joined_from_its_three_records() {
    // A condition of the V3 era has 31 bytes.
    let server = TestServer::start(|request| match request.path() {
        path if path == format!("/markets-by-token/{TOKEN}") => {
            reply(200, json!({"condition_id": condition(31), "primary_token_id": TOKEN}).to_string())
        }
        path if path == format!("/clob-markets/{}", condition(31)) => {
            reply(200, compact(&condition(31)).to_string())
        }
        path if path == format!("/markets/{}", condition(31)) => reply(200, words().to_string()),
        _ => reply(404, ""),
    })
    .await;
    let clob = clob(&server);
    let market = clob.market(token(), Lane::Entries).await.unwrap().unwrap();
    assert_eq!(market.condition.to_string(), condition(31));
    assert_eq!((market.tick, market.minimum_size), (TickSize::Thousandth, Shares(5_000_000)));
    assert_eq!(market.fee, FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() });
    assert_eq!(
        (market.title.as_str(), market.slug.as_str(), market.outcome.as_str()),
        ("Will it?", "will-it", "Yes")
    );
    assert!(market.negative_risk && market.accepting_orders);
    assert_eq!(market.payout, None);
    assert_eq!(clob.market(OTHER.parse().unwrap(), Lane::Entries).await, Ok(None));
    let tokens = clob.tokens(market.condition).await.unwrap();
    assert!(tokens.len() == 2 && tokens.contains(&token()), "{tokens:?}");
    let unknown = condition(32).parse().unwrap();
    assert_eq!(clob.tokens(unknown).await, Ok(Vec::new()));
}

#[test]
fn a_resolved_market_has_payouts_and_takes_no_orders() {
    let condition = condition(32);
    let mut closed = words();
    closed["closed"] = true.into();
    assert_eq!(read(compact(&condition), closed.clone(), &condition).unwrap().payout, None);
    closed["tokens"][0]["winner"] = true.into();
    let market = read(compact(&condition), closed.clone(), &condition).unwrap();
    assert_eq!((market.payout, market.accepting_orders), (Some(Price(ONE)), false));
    closed["tokens"][0]["winner"] = false.into();
    closed["tokens"][1]["winner"] = true.into();
    assert_eq!(read(compact(&condition), closed.clone(), &condition).unwrap().payout, Some(Price(0)));
    closed["tokens"][1]["winner"] = false.into();
    closed["is_50_50_outcome"] = true.into();
    assert_eq!(read(compact(&condition), closed, &condition).unwrap().payout, Some(Price(500_000)));
}

#[test]
fn a_market_without_fees_is_free() {
    let condition = condition(32);
    let mut free = compact(&condition);
    free["fd"] = Value::Null;
    assert_eq!(read(free, words(), &condition).unwrap().fee, FeeSchedule::default());
}

#[test]
fn what_makers_and_builders_pay_is_the_market_s_word() {
    let condition = condition(32);
    let mut both = compact(&condition);
    both["fd"]["to"] = false.into();
    let parsed = serde_json::from_str(&both.to_string()).unwrap();
    let words = serde_json::from_str(&words().to_string()).unwrap();
    let market = join(token(), condition.parse().unwrap(), parsed, words, 25).unwrap();
    let expected = FeeSchedule { rate: 70_000, exponent: 1, taker_only: false, builder_bps: 25 };
    assert_eq!(market.fee, expected);
}

#[test]
fn delays_of_takers_are_known() {
    let condition = condition(32);
    let delay = |holds: Value, seconds: Value| {
        let (mut compact, mut words) = (compact(&condition), words());
        compact["itode"] = holds;
        words["seconds_delay"] = seconds;
        read(compact, words, &condition).map(|market| market.taker_delay_ms)
    };
    assert_eq!(delay(Value::Null, Value::Null), Ok(0));
    assert_eq!(delay(true.into(), 0.into()), Ok(TAKER_HOLD));
    assert_eq!(delay(false.into(), 3.into()), Ok(3_000));
    assert_eq!(delay(true.into(), "3".into()), Ok(3_000));
    for hostile in [json!(-1), json!(1e9), json!(121), json!("soon"), json!(9_999_999_999_999_i64)] {
        assert!(delay(false.into(), hostile.clone()).is_err(), "{hostile}");
    }
}

#[test]
fn contradicting_or_hostile_markets_are_refused() {
    let condition = condition(32);
    let changes: [fn(&mut Value); 8] = [
        |compact| compact["c"] = format!("0x{}", "ee".repeat(32)).into(),
        |compact| compact["t"] = json!([{"t": OTHER, "o": "No"}]),
        |compact| compact["mts"] = 0.02.into(),
        |compact| compact["mts"] = Value::Null,
        |compact| compact["mos"] = (-5).into(),
        |compact| compact["fd"]["r"] = 7.into(),
        |compact| compact["fd"]["e"] = 1_000_000.into(),
        |compact| compact["fd"]["e"] = 0.5.into(),
    ];
    for change in changes {
        let mut changed = compact(&condition);
        change(&mut changed);
        assert!(read(changed.clone(), words(), &condition).is_err(), "{changed}");
    }
}

#[test]
fn the_book_hash_is_the_venue_s() {
    let file: Value = serde_json::from_str(include_str!("../tests/vectors/orderbook_hash.json")).unwrap();
    let mut row: BookRow = serde_json::from_str(&file["book"].to_string()).unwrap();
    // A parsed file loses the order of fields; the row has the venue's.
    row.hash.clear();
    assert_eq!(book_hash(&row).unwrap(), file["hash"]);
    row.bids[0].size.push('0');
    assert_ne!(book_hash(&row).unwrap(), file["hash"]);
}

fn book(bids: Value, asks: Value) -> Result<Book, String> {
    let json = json!({"market": "0x01", "asset_id": TOKEN, "timestamp": "1", "hash": null, "bids": bids, "asks": asks});
    let row = serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())?;
    read_book(row, token())
}

#[test]
fn the_best_level_comes_first_whatever_the_order() {
    let level = |price: &str, size: &str| json!({"price": price, "size": size});
    let bids = json!([level("0.01", "1000"), level("0.1", "125"), level("0.06", "200"), level("0.2", "0")]);
    let asks = json!([level("0.98", "5000"), level("0.14", "705"), level("0.2", "70.25")]);
    let book = book(bids, asks).unwrap();
    let prices = |levels: &[Level]| levels.iter().map(|level| level.price.0).collect::<Vec<_>>();
    assert_eq!(prices(&book.bids), [100_000, 60_000, 10_000]);
    assert_eq!(prices(&book.asks), [140_000, 200_000, 980_000]);
    assert_eq!(book.asks[1].size, Shares(70_250_000));
}

#[test]
fn hostile_books_are_refused() {
    for level in [
        json!([{"price": "1.01", "size": "1"}]),
        json!([{"price": "0.5", "size": "-1"}]),
        json!([{"price": "0.5", "size": "NaN"}]),
        json!([{"price": "0.5"}]),
        json!(vec![json!({"price": "0.5", "size": "1"}); MAX_LEVELS + 1]),
    ] {
        assert!(book(level.clone(), json!([])).is_err());
        assert!(book(json!([]), level).is_err());
    }
    let other = json!({"asset_id": OTHER, "bids": [], "asks": []}).to_string();
    assert!(read_book(serde_json::from_str(&other).unwrap(), token()).is_err());
}

#[tokio::test]
async fn a_missing_book_is_none() {
    let missing = r#"{"error":"No orderbook exists for the requested token id"}"#;
    let server = TestServer::start(move |_| reply(404, missing)).await;
    assert_eq!(clob(&server).book(token(), Lane::Entries).await, Ok(None));
}

proptest! {
    #[test]
    fn any_level_is_read_or_refused(price in ".{0,20}", size in ".{0,20}") {
        let _ = book(json!([{"price": price, "size": size}]), json!([]));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<BookRow>(&bytes);
        let _ = serde_json::from_slice::<CompactMarket>(&bytes);
        let _ = serde_json::from_slice::<MarketRow>(&bytes);
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let level = json!([{"price": "0.5", "size": "10"}]);
    let sample = json!({"market": "0x01", "asset_id": TOKEN, "timestamp": "1", "bids": level, "asks": []});
    let book = |bytes: &[u8]| read_book(serde_json::from_slice::<BookRow>(bytes).ok()?, token()).ok();
    hostile::survives(&sample.to_string(), book, hostile::is_book);
}

/// Each of the three answers that make a market, the other two being good.
#[test]
fn the_corpus_of_market_rules_is_survived() {
    let condition = format!("0x{}", "0c".repeat(31));
    let token_row = json!({ "condition_id": condition }).to_string();
    let compact = json!({
        "c": condition, "t": [{ "t": TOKEN, "o": "Yes" }], "mts": 0.01, "mos": 5, "nr": false,
        "fd": { "r": 0.07, "e": 1, "to": true }, "itode": false,
    });
    let words = json!({
        "enable_order_book": true, "active": true, "closed": true, "accepting_orders": false,
        "is_50_50_outcome": false, "tokens": [{ "token_id": TOKEN, "winner": true }], "question": "?",
        "market_slug": "q", "seconds_delay": 1,
    });
    let (compact, words) = (compact.to_string(), words.to_string());
    let of = |compact: &[u8], words: &[u8]| {
        let (compact, words) = (serde_json::from_slice(compact).ok()?, serde_json::from_slice(words).ok()?);
        join(token(), condition.parse().unwrap(), compact, words, 0).ok()
    };
    let sound = |market: &Market| {
        let known = (market.token, market.condition) == (token(), condition.parse().unwrap());
        let rate = hostile::prices([market.fee.rate].into_iter().chain(market.payout.map(|payout| payout.0)));
        let fee = rate && i64::from(market.fee.exponent) <= MAX_FEE_EXPONENT;
        let delay = i64::from(market.taker_delay_ms) <= i64::from(MAX_TAKER_DELAY) * 1_000;
        known && fee && delay && hostile::amounts([market.minimum_size.0])
    };
    hostile::survives(&compact, |bytes| of(bytes, words.as_bytes()), sound);
    hostile::survives(&words, |bytes| of(compact.as_bytes(), bytes), sound);
    let named = |bytes: &[u8]| serde_json::from_slice::<TokenRow>(bytes).ok();
    hostile::survives(&token_row, named, |row| row.condition_id == condition.parse().unwrap());
}

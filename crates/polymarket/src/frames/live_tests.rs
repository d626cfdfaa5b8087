//! The live trade feed: recorded form, hostile frames, and the rejection of what is not wanted.

use domain::{Price, Shares, Side, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{frames::corpus, hostile};

const FOLLOWED: &str = "0x1015bb260154f51e5f432cb0a3227c1619fcbac8";

fn wallets() -> Wallets {
    Wallets::of([FOLLOWED.parse().unwrap(), Address([7; 20])])
}

fn recorded() -> String {
    String::from_utf8(corpus::one("live/trades.json")).unwrap()
}

fn decoded(frame: &str) -> Decoded<LiveTrade> {
    decode(frame.as_bytes(), &wallets()).unwrap().unwrap()
}

/// With a filter nothing came at all (real-time-data-client #34).
#[test]
fn everything_is_subscribed_to_without_a_filter() {
    let said: serde_json::Value = serde_json::from_str(SUBSCRIBE).unwrap();
    let wanted = said["subscriptions"].as_array().unwrap();
    assert_eq!(wanted.len(), 2);
    for one in wanted {
        assert_eq!(one.as_object().unwrap().keys().collect::<Vec<_>>(), ["topic", "type"]);
    }
}

#[test]
fn a_recorded_trade_is_read() {
    let Decoded { events, passed_over } = decoded(&recorded());
    let [LiveTrade { channel, row }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((*channel, passed_over, row.wallet.to_string().as_str()), (LiveChannel::Trades, 0, FOLLOWED));
    assert_eq!(row.traded_at, Timestamp::from_seconds(1_785_027_308));
    let HistoryKind::Trade { side, shares, price, .. } = row.kind else { panic!("{row:?}") };
    assert_eq!((side, shares, price), (Side::Buy, Shares(4_330_000), Price(450_000)));
    let matched = recorded().replace(r#""type":"trades""#, r#""type":"orders_matched""#);
    let other = decoded(&matched).events.remove(0);
    assert_eq!((other.channel, other.row), (LiveChannel::OrdersMatched, row.clone()));
}

#[test]
fn times_and_numbers_may_be_written_in_other_ways() {
    let frame = recorded()
        .replace(r#""timestamp":1785027308,"#, r#""timestamp":"1785027308000","#)
        .replace(r#""size":4.33"#, r#""size":"4.330""#);
    assert_eq!(decoded(&frame), decoded(&recorded()));
}

#[test]
fn what_is_not_wanted_is_passed_over_unread() {
    let other = recorded().replace("0x1015bb26", "0x2015bb26");
    assert_eq!(decoded(&other), Decoded { events: vec![], passed_over: 1 });
    // Not even what is wrong with it is seen.
    assert_eq!(decoded(&other.replace("\"BUY\"", "\"HOLD\"")).passed_over, 1);
    // A wallet that is merely spoken of is looked at, and passed over as well.
    let spoken = other.replace(r#""name":"""#, &format!(r#""name":"{FOLLOWED}""#));
    assert_eq!(decoded(&spoken), Decoded { events: vec![], passed_over: 1 });
}

#[test]
fn what_is_no_trade_is_passed_over() {
    for frame in [
        r#"{"message":"Invalid request body","connectionId":"c0ffee","requestId":"1"}"#,
        r#"{"statusCode":400,"body":{"message":"Invalid request body"}}"#,
        r#"{"topic":"crypto_prices","type":"update","payload":{"symbol":"btcusdt","value":1.5}}"#,
        r#"{"topic":"activity","type":"splits","payload":null}"#,
        "[]",
    ] {
        assert!(decoded(frame).events.is_empty(), "{frame}");
    }
    for blank in ["", " ", "\n"] {
        assert_eq!(decode(blank.as_bytes(), &wallets()), Ok(None));
    }
}

#[test]
fn a_list_of_trades_is_read_as_one_after_the_other() {
    let list = format!("[{},{},{}]", recorded(), recorded().replace("0x1015bb26", "0x2015bb26"), recorded());
    let Decoded { events, passed_over } = decoded(&list);
    assert_eq!((events.len(), passed_over), (2, 1));
}

#[test]
fn hostile_frames_are_refused() {
    for (name, frame) in corpus::all_of("hostile_live") {
        let refused = decode(&frame, &wallets());
        assert!(refused.is_err(), "{name}: {refused:?}");
    }
}

#[test]
fn a_frame_that_breaks_off_is_refused_wherever_it_does() {
    let whole = recorded();
    let whole = whole.trim_end();
    for length in 1..whole.len() {
        if whole.is_char_boundary(length) {
            let cut = decode(&whole.as_bytes()[..length], &wallets());
            assert!(cut.is_err(), "{length}: {cut:?}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_followed_is_passed_over(before in "[ -~]{0,40}", after in "[ -~]{0,40}", upper: bool) {
        let wallet = if upper { FOLLOWED.to_uppercase().replace("0X", "0x") } else { FOLLOWED.to_owned() };
        let frame = format!("{before}\"{wallet}\"{after}");
        prop_assert_eq!(wallets().named(frame.as_bytes()), Named::Wanted);
    }

    #[test]
    fn reading_never_panics(frame in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..700, with: u8) {
        let _ = decode(&frame, &wallets());
        let mut altered = recorded().into_bytes();
        let length = altered.len();
        altered[at % length] = with;
        let _ = decode(&altered, &wallets());
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let events =
        |bytes: &[u8]| Some(decode(bytes, &wallets()).ok()??.events).filter(|events| !events.is_empty());
    crate::hostile::survives(&recorded(), events, |events| {
        events.iter().all(|event| {
            let HistoryKind::Trade { shares, price, .. } = event.row.kind else { return false };
            let followed = event.row.wallet.to_string() == FOLLOWED;
            followed && shares.is_positive() && hostile::amounts([shares.0]) && hostile::prices([price.0])
        })
    });
}

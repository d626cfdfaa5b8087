//! Frames of the market channel: recorded, hostile and random.

use domain::Level;
use proptest::prelude::*;

use super::*;
use crate::{
    frames::corpus::{all_of, one},
    hostile,
};

fn all(frame: &[u8]) -> Result<Vec<MarketEvent>, FrameError> {
    decode(frame, |_| true).map(|decoded| decoded.events)
}

const TOKEN: &str = "71321045679252212594626385532706912750332728571942532289631379312455583992563";

fn token() -> TokenId {
    TOKEN.parse().unwrap()
}

#[test]
fn recorded_books_and_changes() {
    let text = String::from_utf8(one("market/recorded.jsonl")).unwrap();
    let mut lines = text.lines();
    let books = all(lines.next().unwrap().as_bytes()).unwrap();
    let [MarketEvent::Book(first), MarketEvent::Book(_)] = books.as_slice() else { panic!("{books:?}") };
    let level = |price, size| Level { price: Price(price), size: Shares(size) };
    assert_eq!(first.book.bids[0], level(428_000, 59_302_520_000), "best first");
    assert_eq!(first.book.asks[0], level(429_000, 16_025_060_000));
    assert_eq!((first.book.bids.len(), first.book.asks.len()), (12, 12));
    assert_eq!(
        (first.at.millis(), first.tick),
        (1_785_163_378_339, Some(TickSize::from_price(Price(1_000)).unwrap()))
    );
    let mut seen = 0;
    for line in lines {
        let events = all(line.as_bytes()).unwrap();
        let [MarketEvent::Changes(changes)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(changes.changes.len(), 2, "both outcomes of the market");
        assert!(changes.changes.iter().all(|change| change.best.is_some()) && changes.at > first.at);
        seen += 1;
    }
    assert_eq!(seen, 40);
}

#[test]
fn every_other_kind() {
    let event = |name| all(&one(&format!("market/{name}.json"))).unwrap().remove(0);
    let MarketEvent::Tick(tick) = event("tick") else { panic!() };
    assert_eq!((tick.token, tick.tick.size()), (token(), Price(1_000)));
    let MarketEvent::LastTrade(trade) = event("last_trade") else { panic!() };
    assert_eq!((trade.side, trade.price, trade.size), (Side::Sell, Price(491_000), Shares(85_360_000)));
    let MarketEvent::Best(best) = event("best") else { panic!() };
    assert_eq!(best.best, Best { bid: Some(Price(730_000)), ask: None }, "an ask of 1 is none");
    let MarketEvent::NewMarket(new) = event("new_market") else { panic!() };
    assert_eq!(new.tokens.len(), 2);
    let MarketEvent::Resolved(resolved) = event("resolved") else { panic!() };
    assert_eq!((resolved.winner, resolved.tokens.len()), (Some(token()), 2));
    let MarketEvent::Book(book) = event("dots") else { panic!() };
    assert_eq!(book.book.bids[0].price, Price(500_000), "numbers may begin with a dot");
}

#[test]
fn what_nobody_wants_is_not_parsed() {
    let broken = br#"{"event_type":"last_trade_price","price":"#;
    let decoded = decode(broken, |kind| kind != Kind::LastTrade).unwrap();
    assert_eq!(decoded, Decoded { events: Vec::new(), passed_over: 1 });
    assert!(matches!(all(broken), Err(FrameError::Content { kind: "last_trade_price", .. })));
    assert_eq!(
        decode(br#"{"event_type":"tomorrow"}"#, |_| true).unwrap().passed_over,
        1,
        "unknown kinds pass"
    );
}

#[test]
fn hostile_frames_are_refused() {
    let frames = all_of("hostile_market");
    assert!(frames.len() >= 25, "the corpus is there");
    for (name, frame) in frames {
        assert!(all(&frame).is_err(), "{name}");
    }
}

#[test]
fn sizes_and_depths_are_bounded() {
    let frame = vec![b' '; MAX_FRAME_BYTES + 1];
    assert_eq!(all(&frame), Err(FrameError::TooLarge(frame.len())));
    let many = format!("[{}]", vec!["{}"; 1_001].join(","));
    assert_eq!(all(many.as_bytes()), Err(FrameError::TooMany(1_001)));
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(all(&deep).is_err());
    let within = format!(
        r#"{{"event_type":"book","asset_id":"7","timestamp":"1","bids":{deep},"asks":[]}}"#,
        deep = String::from_utf8(deep).unwrap()
    );
    assert!(all(within.as_bytes()).is_err());
    let level = r#"{"price":"0.5","size":"1"}"#;
    let levels = vec![level; crate::limits::MAX_LEVELS + 1].join(",");
    let long =
        format!(r#"{{"event_type":"book","asset_id":"7","timestamp":"1","bids":[{levels}],"asks":[]}}"#);
    assert!(all(long.as_bytes()).is_err());
}

const MAX_FRAME_BYTES: usize = crate::limits::MAX_FRAME;

proptest! {
    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = all(&bytes);
    }

    /// A good frame with one byte changed is read or refused, and what is read has prices between 0 and 1.
    #[test]
    fn one_wrong_byte(at in 0_usize..2_000, byte in any::<u8>()) {
        let text = String::from_utf8(one("market/recorded.jsonl")).unwrap();
        let mut frame = text.lines().nth(1).unwrap().as_bytes().to_vec();
        let at = at % frame.len();
        frame[at] = byte;
        for event in all(&frame).unwrap_or_default() {
            if let MarketEvent::Changes(changes) = event {
                for change in changes.changes {
                    prop_assert!((1..ONE).contains(&change.price.0) && change.size.0 >= 0);
                }
            }
        }
    }

    /// What is written is what is read.
    #[test]
    fn changes_round_trip(price in 1_i64..1_000, size in 0_i64..1_000_000_000, buy in any::<bool>()) {
        let side = if buy { "BUY" } else { "SELL" };
        let (price, size) = (Price(price * 1_000), Shares(size));
        let frame = format!(
            r#"{{"event_type":"price_change","timestamp":"1766790415550","price_changes":[{{"asset_id":"{TOKEN}","price":"{price}","size":"{size}","side":"{side}"}}]}}"#
        );
        let events = all(frame.as_bytes());
        if price.0 >= ONE {
            prop_assert!(events.is_err());
        } else {
            let side = if buy { Side::Buy } else { Side::Sell };
            let changes = vec![PriceChange { token: token(), side, price, size, best: None }];
            let at = Timestamp::from_millis(1_766_790_415_550);
            prop_assert_eq!(events, Ok(vec![MarketEvent::Changes(PriceChanges { changes, at })]));
        }
    }
}

fn is_sound(event: &MarketEvent) -> bool {
    let best = |best: &Best| hostile::prices(best.bid.iter().chain(&best.ask).map(|price| price.0));
    match event {
        MarketEvent::Book(snapshot) => hostile::is_book(&snapshot.book),
        MarketEvent::Changes(changes) => changes.changes.iter().all(|change| {
            hostile::prices([change.price.0])
                && hostile::amounts([change.size.0])
                && change.best.as_ref().is_none_or(best)
        }),
        MarketEvent::LastTrade(trade) => hostile::prices([trade.price.0]) && hostile::amounts([trade.size.0]),
        MarketEvent::Best(prices) => best(&prices.best),
        MarketEvent::Tick(_) | MarketEvent::NewMarket(_) => true,
        MarketEvent::Resolved(end) => end.winner.is_none_or(|winner| end.tokens.contains(&winner)),
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let mut samples: Vec<String> = ["market/tick.json", "market/resolved.json", "market/best.json"]
        .map(|name| String::from_utf8(one(name)).unwrap())
        .to_vec();
    // A book, and a change of levels.
    let level = serde_json::json!([{ "price": "0.5", "size": "10" }]);
    samples.push(
        serde_json::json!({
            "event_type": "book", "asset_id": TOKEN, "market": format!("0x{}", "0c".repeat(32)),
            "timestamp": "1785163378339", "hash": "ab", "tick_size": "0.01", "bids": level,
            "asks": [{ "price": "0.52", "size": "7.5" }],
        })
        .to_string(),
    );
    samples.push(
        serde_json::json!({
            "event_type": "price_change", "market": format!("0x{}", "0c".repeat(32)), "timestamp": "1785163378339",
            "price_changes": [{
                "asset_id": TOKEN, "price": "0.5", "size": "10", "side": "BUY", "hash": "ab", "best_bid": "0.5",
                "best_ask": "0.52",
            }],
        })
        .to_string(),
    );
    for sample in samples {
        hostile::survives(
            &sample,
            |bytes| all(bytes).ok().filter(|events| !events.is_empty()),
            |events| events.iter().all(is_sound),
        );
    }
}

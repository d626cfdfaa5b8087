//! Every text of the table, recorded answers, and the document that is written from it.

use std::{collections::BTreeSet, fs, path::Path};

use engine::ports::venue::PostReply;

use super::*;
use crate::{http::Answer, reply};

const ID: domain::OrderId = domain::OrderId([0xab; 32]);

fn answer(status: u16, body: &str) -> PostReply {
    reply::classify(&Answer::of(status, body), ID)
}

fn fits(reply: &PostReply, meaning: Meaning) -> bool {
    match (reply, meaning) {
        (PostReply::Killed { .. }, Meaning::Killed)
        | (PostReply::Duplicated, Meaning::Duplicated)
        | (PostReply::NotAccepted { .. }, Meaning::NotNow(_))
        | (PostReply::Unknown { .. }, Meaning::Open) => true,
        (PostReply::Rejected { reason, .. }, Meaning::Refused(expected)) => *reason == expected,
        _ => false,
    }
}

#[test]
fn every_text_is_read_as_its_row_says() {
    for text in TEXTS {
        let body = serde_json::json!({ "error": text.whole }).to_string();
        let reply = answer(text.status, &body);
        assert!(fits(&reply, text.meaning), "{}: {reply:?}", text.whole);
        // The text belongs to this row and to none before it.
        assert_eq!(meaning(text.whole), Some(text.meaning), "{}", text.whole);
        assert!(text.whole.to_ascii_lowercase().contains(text.part), "{}", text.whole);
    }
    let parts: BTreeSet<&str> = TEXTS.iter().map(|text| text.part).collect();
    assert_eq!(parts.len(), TEXTS.len(), "a part stands twice");
}

/// Under another 5xx than 503 no text is believed.
#[test]
fn a_known_text_under_a_server_error_is_unknown() {
    for text in TEXTS {
        let body = serde_json::json!({ "error": text.whole }).to_string();
        assert!(matches!(answer(502, &body), PostReply::Unknown { .. }), "{}", text.whole);
    }
}

/// Answers as public logs of other people's bots recorded them (repository, file): the quotes are Python's,
/// because their clients printed them so.
#[test]
fn recorded_answers_are_understood() {
    for (status, body, expected) in [
        // abdul6603/polymarket-bot data/bot.log; thevalerka/PolyMarket_15MIN_Bot_Collection.
        (400, "{'error': 'not enough balance / allowance'}", Refused(Why::Money)),
        // ckoyuncu/polymarket_research.
        (404, "{'error': 'No orderbook exists for the requested token id'}", Refused(Why::MarketUnknown)),
        // thesaddestlandscape/polymarket-research data/live/trades.csv.
        (
            400,
            "{'error': 'invalid order version, please use the latest clob-client'}",
            Refused(Why::OrderVersion),
        ),
        // ZhdanovAlexey/polymarket-copybot: the body was not recorded.
        (404, "Not Found", Open),
    ] {
        let reply = answer(status, &body.replace('\'', "\""));
        assert!(fits(&reply, expected), "{body}: {reply:?}");
    }
}

#[test]
fn venue_errors_are_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/venue-errors.md");
    if std::env::var_os("SLIPSTREAM_WRITE_DOCS").is_some() {
        fs::write(&path, markdown()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == markdown(),
        "write it again: SLIPSTREAM_WRITE_DOCS=1 cargo test --release -p polymarket venue_errors"
    );
}

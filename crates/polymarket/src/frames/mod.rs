//! Frames of the venue's websocket channels: bytes in, typed events out. Pure: no socket, no clock, no state.
//!
//! A frame is one event or a list of them. What cannot be understood is a [`FrameError`], never a guess.
//! Sources: docs.polymarket.com/market-data/websocket, and recorded frames (`tests/frames/PROVENANCE.md`).

pub mod live;
pub mod market;
pub mod user;

use domain::Timestamp;
use memchr::memmem;
use serde_json::value::RawValue;

use crate::{
    http::shorten,
    json::Scalar,
    limits::{MAX_FRAME, MAX_FRAME_EVENTS},
};

/// The server's answer to a text `PING`.
pub const PONG: &[u8] = b"PONG";

/// A frame that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too many bytes.
    #[error("a frame of {0} bytes; at most {MAX_FRAME} are read")]
    TooLarge(usize),
    /// Too many events in one frame.
    #[error("{0} events in one frame; at most {MAX_FRAME_EVENTS} are read")]
    TooMany(usize),
    /// Neither an object nor a list of objects.
    #[error("not JSON of events: {0}")]
    NotJson(String),
    /// An event that does not say what it is.
    #[error("an event without `event_type`: {0}")]
    Untyped(String),
    /// An event of a known kind whose content is wrong.
    #[error("event `{kind}`: {reason}")]
    Content {
        /// Its kind.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl FrameError {
    fn content(kind: &'static str, reason: impl ToString) -> Self {
        Self::Content { kind, reason: shorten(&reason.to_string()) }
    }

    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson(shorten(&error.to_string()))
    }
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// Events, in their order.
    pub events: Vec<T>,
    /// Events that were passed over: of an unknown kind, or of one nobody asked for.
    pub passed_over: usize,
}

impl<T> Default for Decoded<T> {
    fn default() -> Self {
        Self { events: Vec::new(), passed_over: 0 }
    }
}

/// The events of a frame as they stand there; one object is looked at without being parsed.
fn split(frame: &[u8]) -> Result<Vec<&[u8]>, FrameError> {
    if frame.len() > MAX_FRAME {
        return Err(FrameError::TooLarge(frame.len()));
    }
    let frame = frame.trim_ascii();
    match frame.first() {
        Some(b'{') => Ok(vec![frame]),
        Some(b'[') => {
            let events: Vec<&RawValue> =
                serde_json::from_slice(frame).map_err(|error| FrameError::not_json(&error))?;
            if events.len() > MAX_FRAME_EVENTS {
                return Err(FrameError::TooMany(events.len()));
            }
            Ok(events.into_iter().map(|event| event.get().as_bytes()).collect())
        }
        _ => Err(FrameError::NotJson(shorten(&String::from_utf8_lossy(frame)))),
    }
}

/// The text value of a key, found without parsing. Inside a JSON string a key cannot stand between plain
/// quotes and be followed by a colon, so no text of a market passes for one.
fn peek<'a>(event: &'a [u8], quoted_key: &[u8]) -> Option<&'a str> {
    for at in memmem::find_iter(event, quoted_key) {
        let after = event.get(at.checked_add(quoted_key.len())?..)?.trim_ascii_start();
        let Some(value) = after.strip_prefix(b":") else { continue };
        let text = value.trim_ascii_start().strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', text)?;
        return std::str::from_utf8(text.get(..end)?).ok();
    }
    None
}

fn kind_of(event: &[u8]) -> Option<&str> {
    peek(event, b"\"event_type\"")
}

/// A time as the venue writes it: Unix seconds or milliseconds, as text or number, or RFC 3339. Empty text is
/// no time.
fn time(scalar: &Scalar) -> Result<Option<Timestamp>, String> {
    let text = scalar.0.as_str();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("`{}` is not a time", shorten(text));
    if let Ok(number) = scalar.whole() {
        return match text.len() {
            ..=11 => Ok(Some(Timestamp::from_seconds(number))),
            12..=14 => Ok(Some(Timestamp::from_millis(number))),
            15..=17 => Ok(Some(Timestamp(number))),
            _ => Err(wrong()),
        };
    }
    rfc_3339(text).map(Some).ok_or_else(wrong)
}

/// The first time that is there.
fn first_time(times: &[&Option<Scalar>]) -> Result<Option<Timestamp>, String> {
    for scalar in times.iter().copied().flatten() {
        if let Some(time) = time(scalar)? {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// `2024-01-01T00:00:00Z`, with a fraction or none, in UTC.
fn rfc_3339(text: &str) -> Option<Timestamp> {
    let rest = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (date, clock) = rest.split_once(['T', ' '])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let numbers = |text: &str, separator: char| -> Option<[i64; 3]> {
        let mut parts = text.split(separator).map(|part| {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
        });
        let found = [parts.next()??, parts.next()??, parts.next()??].map(i64::from);
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?;
    let days = days_from_civil(year, month, day)?;
    let minutes = days.checked_mul(1_440)?.checked_add(hour.checked_mul(60)?.checked_add(minute)?)?;
    let seconds = minutes.checked_mul(60)?.checked_add(second)?;
    Some(Timestamp(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
}

/// Days from 1970-01-01 to a Gregorian date. Years are counted from 1 March, so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year.checked_div(400)?, year.checked_rem(400)?);
    let month_from_march = month.checked_add(9)?.checked_rem(12)?;
    let before_month = month_from_march.checked_mul(153)?.checked_add(2)?.checked_div(5)?;
    let day_of_year = before_month.checked_add(day)?.checked_sub(1)?;
    let leaps = year_of_era.checked_div(4)?.checked_sub(year_of_era.checked_div(100)?)?;
    let day_of_era = year_of_era.checked_mul(365)?.checked_add(leaps)?.checked_add(day_of_year)?;
    era.checked_mul(146_097)?.checked_add(day_of_era)?.checked_sub(719_468)
}

/// Frames in files, for the tests.
#[cfg(test)]
mod corpus {
    use std::{fs, path::PathBuf};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/frames")
    }

    pub fn one(name: &str) -> Vec<u8> {
        fs::read(folder().join(name)).unwrap()
    }

    pub fn all_of(name: &str) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_time() {
        let read = |text: &str| time(&Scalar(text.to_owned()));
        for (text, micros) in [
            ("1725842520", 1_725_842_520_000_000),
            ("1725842520990", 1_725_842_520_990_000),
            ("1725842520990123", 1_725_842_520_990_123),
            ("2024-01-01T00:00:00Z", 1_704_067_200_000_000),
            ("2024-02-29 23:59:59.5+00:00", 1_709_251_199_500_000),
            ("2000-03-01T00:00:00.000001Z", 951_868_800_000_001),
        ] {
            assert_eq!(read(text), Ok(Some(Timestamp(micros))), "{text}");
        }
        assert_eq!(read(""), Ok(None));
        for text in [
            "-1",
            "1e9",
            "soon",
            "2024-13-01T00:00:00Z",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "99999999999999999999",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_kind_is_seen_without_parsing() {
        for (event, kind) in [
            (r#"{"market":"0x1","event_type":"book"}"#, Some("book")),
            (r#"{ "event_type" : "price_change" }"#, Some("price_change")),
            (
                r#"{"question":"is \"event_type\":\"book\" text?","event_type":"new_market"}"#,
                Some("new_market"),
            ),
            (r#"{"a":"event_type","event_type":"book"}"#, Some("book")),
            (r#"{"event_type":7}"#, None),
            (r#"{"event_type":"book"#, None),
            ("{}", None),
        ] {
            assert_eq!(kind_of(event.as_bytes()), kind, "{event}");
        }
    }
}

//! The live trade feed (RTDS): everybody's trades as they are matched, of which few are wanted.
//!
//! An event is passed over before it is parsed when it names none of the wallets that are followed. Sources: npm
//! @polymarket/real-time-data-client 1.4.0 (README), and frames as public bots recorded them in July 2026
//! (`tests/frames/PROVENANCE.md`): wallets are written with the checksum in their capitals, and blank frames occur.

use domain::Address;
use engine::ports::{
    live::{LiveChannel, LiveTrade},
    venue::HistoryKind,
};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, FrameError, split, time};
use crate::{data_rows::ActivityRow, http::shorten, json::null_as_default, limits::MAX_FRAME};

const TRADE: &str = "activity";

/// What to say to be told of trades. Of the two types each was seen to stop while the other went on.
pub const SUBSCRIBE: &str = r#"{"action":"subscribe","subscriptions":[{"topic":"activity","type":"trades"},{"topic":"activity","type":"orders_matched"}]}"#;

/// Wallets to look for in frames.
pub struct Wallets {
    /// Sorted.
    wallets: Vec<Address>,
    prefix: Finder<'static>,
}

/// Whom a frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// One of the wallets, perhaps among others.
    Wanted,
    /// Others.
    Others,
    /// Nobody.
    Nobody,
}

impl Default for Wallets {
    fn default() -> Self {
        Self::of([])
    }
}

impl Wallets {
    /// These.
    #[must_use]
    pub fn of(wallets: impl IntoIterator<Item = Address>) -> Self {
        let mut wallets: Vec<Address> = wallets.into_iter().collect();
        wallets.sort_unstable();
        wallets.dedup();
        Self { wallets, prefix: Finder::new(b"\"0x") }
    }

    /// Whom a frame names. An address is 40 hex digits of either case between quotes, which cannot stand inside a
    /// JSON text: there quotes are escaped.
    #[must_use]
    pub fn named(&self, frame: &[u8]) -> Named {
        let mut named = Named::Nobody;
        for at in self.prefix.find_iter(frame) {
            let after = frame.get(at..).and_then(|rest| rest.get(self.prefix.needle().len()..));
            let Some((digits, b"\"")) = after.and_then(|rest| rest.get(..41)).map(|rest| rest.split_at(40))
            else {
                continue;
            };
            let Some(wallet) = address(digits) else { continue };
            if self.wallets.binary_search(&wallet).is_ok() {
                return Named::Wanted;
            }
            named = Named::Others;
        }
        named
    }
}

fn address(digits: &[u8]) -> Option<Address> {
    let mut bytes = [0; 20];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(Address(bytes))
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit & 0x0f),
        b'a'..=b'f' | b'A'..=b'F' => Some((digit & 0x0f).saturating_add(9)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, deserialize_with = "null_as_default")]
    topic: String,
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    kind: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Trades of these wallets in a frame. `None` for a blank frame, which tells nothing. What is no trade (replies to
/// subscriptions, other topics) is passed over.
///
/// # Errors
/// [`FrameError`]; a frame that is cut off is one, whomever it names.
pub fn decode(frame: &[u8], wallets: &Wallets) -> Result<Option<Decoded<LiveTrade>>, FrameError> {
    if frame.len() > MAX_FRAME {
        return Err(FrameError::TooLarge(frame.len()));
    }
    let text = frame.trim_ascii();
    match (text.first(), text.last()) {
        (None, _) => return Ok(None),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => {}
        _ => return Err(FrameError::NotJson(shorten(&String::from_utf8_lossy(text)))),
    }
    let named = wallets.named(text);
    if named == Named::Others {
        return Ok(Some(Decoded { events: Vec::new(), passed_over: 1 }));
    }
    let mut decoded = Decoded::default();
    for event in split(text)? {
        match trade(event, wallets, named)? {
            Some(trade) => decoded.events.push(trade),
            None => decoded.passed_over = decoded.passed_over.saturating_add(1),
        }
    }
    Ok(Some(decoded))
}

fn trade(event: &[u8], wallets: &Wallets, named: Named) -> Result<Option<LiveTrade>, FrameError> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(event).map_err(|error| FrameError::not_json(&error))?;
    let channel = match (envelope.topic.as_str(), envelope.kind.as_str()) {
        ("activity", "trades") => LiveChannel::Trades,
        ("activity", "orders_matched") => LiveChannel::OrdersMatched,
        _ => return Ok(None),
    };
    let wrong = |reason: &dyn ToString| FrameError::content(TRADE, reason.to_string());
    if named == Named::Nobody {
        return Err(wrong(&"a trade that names no wallet"));
    }
    let payload = envelope.payload.ok_or_else(|| wrong(&"a trade without payload"))?;
    let row: ActivityRow = serde_json::from_str(payload.get()).map_err(|error| wrong(&error))?;
    let wallet = row.wallet();
    if wallets.wallets.binary_search(&wallet).is_err() {
        return Ok(None);
    }
    let traded_at = time(row.timestamp()).map_err(|reason| wrong(&reason))?;
    let traded_at = traded_at.ok_or_else(|| wrong(&"a trade without a time"))?;
    let row = row.at(traded_at).read(wallet).map_err(|reason| wrong(&reason))?;
    let row = row.filter(|row| matches!(row.kind, HistoryKind::Trade { .. }));
    Ok(row.map(|row| LiveTrade { channel, row }))
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;

//! The venue's JSON of an order, page cursors, and decimals in control requests. Parses and prints;
//! never judges an order.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Address, Side, TokenId};
use serde::Deserialize;

use crate::signing::SignedFields;

/// Last page.
pub const END_CURSOR: &str = "LTE=";

/// Body of `POST /order`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostOrder {
    order: OrderJson,
    /// API key of the sender.
    pub owner: String,
    /// `GTC`, `GTD`, `FOK` or `FAK`.
    pub order_type: OrderType,
    /// Only rest, never take.
    #[serde(default)]
    pub post_only: bool,
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderType {
    /// Rests until cancelled.
    Gtc,
    /// Rests until its expiration.
    Gtd,
    /// All at once or nothing.
    Fok,
    /// What is there at once, the rest is killed.
    Fak,
}

impl OrderType {
    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Gtd => "GTD",
            Self::Fok => "FOK",
            Self::Fak => "FAK",
        }
    }

    /// FOK and FAK.
    #[must_use]
    pub const fn is_immediate(self) -> bool {
        matches!(self, Self::Fok | Self::Fak)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderJson {
    salt: u64,
    maker: Address,
    signer: Address,
    token_id: TokenId,
    maker_amount: String,
    taker_amount: String,
    side: Side,
    signature_type: u8,
    timestamp: Option<String>,
    expiration: Option<String>,
    metadata: Option<domain::Hash>,
    builder: Option<domain::Hash>,
    signature: String,
    /// Fields of V1 orders, by which they are told apart.
    nonce: Option<serde_json::Value>,
    fee_rate_bps: Option<serde_json::Value>,
}

/// Why a body is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Not the documented shape.
    Payload,
    /// An order of the V1 era.
    Version,
    /// This many orders are too many.
    TooMany(usize),
}

/// The order of a body: signed fields, signature bytes, expiration in Unix seconds.
pub type ParsedOrder = (PostOrder, SignedFields, Vec<u8>, u64);

/// Reads the body of `POST /order`.
///
/// # Errors
/// [`WireError`].
pub fn parse_order(body: &[u8]) -> Result<ParsedOrder, WireError> {
    read_order(serde_json::from_slice(body).map_err(|_| WireError::Payload)?)
}

/// Reads the body of `POST /orders`, of at most `most` orders.
///
/// # Errors
/// [`WireError`], also when only one of them is no order.
pub fn parse_orders(body: &[u8], most: usize) -> Result<Vec<ParsedOrder>, WireError> {
    let posts: Vec<PostOrder> = serde_json::from_slice(body).map_err(|_| WireError::Payload)?;
    match posts.len() {
        0 => Err(WireError::Payload),
        count if count > most => Err(WireError::TooMany(count)),
        _ => posts.into_iter().map(read_order).collect(),
    }
}

fn read_order(post: PostOrder) -> Result<ParsedOrder, WireError> {
    let order = &post.order;
    if order.nonce.is_some() || order.fee_rate_bps.is_some() {
        return Err(WireError::Version);
    }
    let (Some(timestamp), Some(metadata), Some(builder)) = (&order.timestamp, order.metadata, order.builder)
    else {
        return Err(WireError::Version);
    };
    let fields = SignedFields {
        salt: order.salt,
        maker: order.maker,
        signer: order.signer,
        token: order.token_id,
        maker_amount: amount(&order.maker_amount)?,
        taker_amount: amount(&order.taker_amount)?,
        side: order.side,
        signature_type: order.signature_type,
        timestamp_ms: digits(timestamp)?,
        metadata: metadata.0,
        builder: builder.0,
    };
    if order.signature_type > 3 {
        return Err(WireError::Payload);
    }
    let signature = order.signature.strip_prefix("0x").and_then(|text| hex::decode(text).ok());
    let signature = signature.ok_or(WireError::Payload)?;
    let expiration = order.expiration.as_deref().map_or(Ok(0), digits)?;
    Ok((post, fields, signature, expiration))
}

fn amount(text: &str) -> Result<i64, WireError> {
    let value = i64::try_from(digits(text)?).map_err(|_| WireError::Payload)?;
    if value > 0 { Ok(value) } else { Err(WireError::Payload) }
}

fn digits(text: &str) -> Result<u64, WireError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WireError::Payload);
    }
    text.parse().map_err(|_| WireError::Payload)
}

/// Cursor of a page that starts at `offset`.
#[must_use]
pub fn cursor(offset: usize) -> String {
    STANDARD.encode(offset.to_string())
}

/// Where the page of a cursor starts; `None` for a cursor that is none, and for the last page's.
#[must_use]
pub fn offset(cursor: &str) -> Option<usize> {
    if cursor.is_empty() {
        return Some(0);
    }
    String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?.parse().ok()
}

/// Cursor of a v2 page of the Data API: what it starts after, and how many rows it has.
#[must_use]
pub fn cursor_of_size(after: usize, limit: usize) -> String {
    STANDARD.encode(format!("{after}:{limit}"))
}

/// What the page of such a cursor starts after, and its size.
#[must_use]
pub fn sized_cursor(cursor: &str) -> Option<(usize, usize)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (after, limit) = text.split_once(':')?;
    Some((after.parse().ok()?, limit.parse().ok().filter(|limit| *limit > 0)?))
}

/// Decimal numbers of control requests: `"0.56"`, `0.56` or `5` are accepted, text is printed.
pub mod decimal {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Prints the decimal text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads text or a JSON number.
    ///
    /// # Errors
    /// What the type's parser says.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            other => return Err(D::Error::custom(format!("`{other}` is not a decimal number"))),
        };
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip() {
        assert_eq!(offset(""), Some(0));
        assert_eq!(offset("MA=="), Some(0));
        assert_eq!(offset(&cursor(500)), Some(500));
        assert_eq!(offset(END_CURSOR), None);
        assert_eq!(offset("???"), None);
        assert_eq!(sized_cursor(&cursor_of_size(7, 100)), Some((7, 100)));
        for bad in ["", "MA==", "???", &cursor_of_size(7, 0)] {
            assert_eq!(sized_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn amounts_are_digits() {
        assert_eq!(amount("5000000"), Ok(5_000_000));
        for bad in ["", "0", "-1", "+1", "1.0", "99999999999999999999"] {
            assert_eq!(amount(bad), Err(WireError::Payload), "{bad}");
        }
    }
}

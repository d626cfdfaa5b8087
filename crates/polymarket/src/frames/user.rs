//! The user channel: what happened to an account's orders, and its trades.
//!
//! It tells of every order of the account's API key. Which of them are ours is the reader's business.

use domain::{Address, OrderId, Timestamp, TokenId};
use engine::ports::venue::{VenueOrder, VenueOrderStatus, VenueTrade};
use serde::Deserialize;

use super::{Decoded, FrameError, first_time, kind_of, peek, split};
use crate::{
    http::shorten,
    json::{Scalar, null_as_default},
    lookup::{OrderRow, Role, TradeRow, order_state, settlement, trade_of},
};

const ORDER: &str = "order";
const TRADE: &str = "trade";

/// One event of the user channel.
#[derive(Clone, Debug)]
pub enum UserEvent {
    /// An order was placed, matched in part or whole, or ended.
    Order(OrderEvent),
    /// A trade was matched or its settlement moved on.
    Trade(TradeEvent),
}

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// The order.
    pub order: OrderId,
    /// Its token.
    pub token: TokenId,
    /// Why it was told.
    pub change: OrderChange,
    /// Where it stands.
    pub record: VenueOrder,
    /// The venue's words about its end, if there are any.
    pub words: Option<String>,
    /// When, if told.
    pub at: Option<Timestamp>,
}

/// Why the venue tells of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderChange {
    /// It was placed.
    Placement,
    /// Some of it was matched.
    Update,
    /// It was cancelled, killed or invalidated.
    Cancellation,
}

/// A trade with everybody who took part.
#[derive(Clone, Debug)]
pub struct TradeEvent {
    row: TradeRow,
    /// When, if told.
    pub at: Option<Timestamp>,
}

/// One order's part of a trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradePart {
    /// The order.
    pub order: OrderId,
    /// Its token.
    pub token: TokenId,
    /// Whether it came to resting orders, and so pays the fee.
    pub taker: bool,
    /// The trade as this order saw it, without its fee.
    pub trade: VenueTrade,
}

impl TradeEvent {
    /// The parts of the orders that were placed with this API key or for this wallet.
    ///
    /// # Errors
    /// [`FrameError::Content`] when one of them cannot be read.
    pub fn parts_of(&self, api_key: &str, wallet: Address) -> Result<Vec<TradePart>, FrameError> {
        let wallet = wallet.to_string();
        let is_ours = |owner: &str, maker: &str| {
            (!owner.is_empty() && owner == api_key) || maker.eq_ignore_ascii_case(&wallet)
        };
        let row = &self.row;
        let taker =
            (row.owner.as_str(), row.maker_address.as_str(), row.taker_order_id.as_str(), row.asset_id);
        let makers = row.maker_orders.iter().map(|maker| {
            (maker.owner.as_str(), maker.maker_address.as_str(), maker.order_id.as_str(), maker.asset_id)
        });
        let mut parts = Vec::new();
        for (owner, maker, id, token) in std::iter::once(taker).chain(makers) {
            if !is_ours(owner, maker) {
                continue;
            }
            let order: OrderId = id.parse().map_err(|error| FrameError::content(TRADE, error))?;
            let read = trade_of(row, order).map_err(|reason| FrameError::content(TRADE, reason))?;
            if let Some((trade, role)) = read {
                parts.push(TradePart { order, token, taker: role == Role::Taker, trade });
            }
        }
        Ok(parts)
    }
}

/// The events of a frame.
///
/// # Errors
/// [`FrameError`].
pub fn decode(frame: &[u8]) -> Result<Decoded<UserEvent>, FrameError> {
    let mut decoded = Decoded::default();
    for event in split(frame)? {
        match family(event)? {
            Some(ORDER) => {
                let order = order_event(event).map_err(|reason| FrameError::content(ORDER, reason))?;
                decoded.events.push(UserEvent::Order(order));
            }
            Some(_) => {
                let trade = trade_event(event).map_err(|reason| FrameError::content(TRADE, reason))?;
                decoded.events.push(UserEvent::Trade(trade));
            }
            None => decoded.passed_over = decoded.passed_over.saturating_add(1),
        }
    }
    Ok(decoded)
}

/// What an event is about; some recorded order events lack `event_type` and are told by their `type`.
fn family(event: &[u8]) -> Result<Option<&'static str>, FrameError> {
    let by_type = || match peek(event, b"\"type\"") {
        Some("PLACEMENT" | "UPDATE" | "CANCELLATION") => Some(ORDER),
        Some("TRADE") => Some(TRADE),
        _ => None,
    };
    match kind_of(event) {
        Some(ORDER) => Ok(Some(ORDER)),
        Some(TRADE) => Ok(Some(TRADE)),
        Some(_) => Ok(None),
        None => {
            by_type().map(Some).ok_or_else(|| FrameError::Untyped(shorten(&String::from_utf8_lossy(event))))
        }
    }
}

#[derive(Deserialize)]
struct OrderFrame {
    id: OrderId,
    asset_id: TokenId,
    #[serde(rename = "type")]
    change: OrderChange,
    /// Older frames have none: `type` tells.
    #[serde(default, deserialize_with = "null_as_default")]
    status: String,
    original_size: Option<Scalar>,
    size_matched: Option<Scalar>,
    timestamp: Option<Scalar>,
    created_at: Option<Scalar>,
}

#[derive(Deserialize)]
struct TradeTimes {
    timestamp: Option<Scalar>,
    last_update: Option<Scalar>,
    match_time: Option<Scalar>,
    #[serde(default, deserialize_with = "null_as_default")]
    market: String,
}

fn order_event(event: &[u8]) -> Result<OrderEvent, String> {
    let frame: OrderFrame = serde_json::from_slice(event).map_err(|error| error.to_string())?;
    // "CANCELED_order couldn't be fully filled…": the reason follows the status.
    let words = frame.status.split_once('_').filter(|_| frame.status.starts_with("CANCEL"));
    let words = words.map(|(_, words)| shorten(words));
    let untold = if frame.change == OrderChange::Cancellation { "CANCELED" } else { "LIVE" };
    let status = if frame.status.is_empty() { untold.to_owned() } else { frame.status };
    let size_matched = frame.size_matched.unwrap_or(Scalar(String::new()));
    let row = OrderRow { id: String::new(), status, original_size: frame.original_size, size_matched };
    let mut record = order_state(&row).map_err(|error| error.to_string())?;
    if frame.change == OrderChange::Cancellation {
        record.status = VenueOrderStatus::Cancelled;
    }
    Ok(OrderEvent {
        order: frame.id,
        token: frame.asset_id,
        change: frame.change,
        record,
        words,
        at: first_time(&[&frame.timestamp, &frame.created_at])?,
    })
}

fn trade_event(event: &[u8]) -> Result<TradeEvent, String> {
    let row: TradeRow = serde_json::from_slice(event).map_err(|error| error.to_string())?;
    let times: TradeTimes = serde_json::from_slice(event).map_err(|error| error.to_string())?;
    if row.id.is_empty() || times.market.is_empty() {
        return Err("a trade without id or market".to_owned());
    }
    settlement(&row.status)?;
    Ok(TradeEvent { row, at: first_time(&[&times.timestamp, &times.last_update, &times.match_time])? })
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;

//! The market channel: books, their changes, ticks, last trades, best prices, new and resolved markets.

use domain::{Book, ConditionId, Price, Shares, Side, TickSize, Timestamp, TokenId, money::ONE};
use serde::Deserialize;

use super::{Decoded, FrameError, kind_of, split, time};
use crate::{
    http::shorten,
    json::{NumberError, Scalar, null_as_default},
    limits::MAX_FRAME_CHANGES,
    market::{LevelRow, book_of},
};

/// One event of the market channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarketEvent {
    /// A whole book.
    Book(BookSnapshot),
    /// Levels that changed.
    Changes(PriceChanges),
    /// A token's price grid changed.
    Tick(TickChange),
    /// A trade.
    LastTrade(LastTrade),
    /// Best prices changed.
    Best(BestPrices),
    /// A market was made.
    NewMarket(NewMarket),
    /// A market was resolved.
    Resolved(Resolution),
}

/// The kinds there are, as `event_type` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `book`.
    Book,
    /// `price_change`.
    Changes,
    /// `tick_size_change`.
    Tick,
    /// `last_trade_price`.
    LastTrade,
    /// `best_bid_ask`.
    Best,
    /// `new_market`.
    NewMarket,
    /// `market_resolved`.
    Resolved,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "book" => Self::Book,
            "price_change" => Self::Changes,
            "tick_size_change" => Self::Tick,
            "last_trade_price" => Self::LastTrade,
            "best_bid_ask" => Self::Best,
            "new_market" => Self::NewMarket,
            "market_resolved" => Self::Resolved,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Changes => "price_change",
            Self::Tick => "tick_size_change",
            Self::LastTrade => "last_trade_price",
            Self::Best => "best_bid_ask",
            Self::NewMarket => "new_market",
            Self::Resolved => "market_resolved",
        }
    }
}

/// A whole book of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSnapshot {
    /// The token.
    pub token: TokenId,
    /// Its levels, best first.
    pub book: Book,
    /// Its price grid, if told.
    pub tick: Option<TickSize>,
    /// When the venue took it.
    pub at: Timestamp,
}

/// Levels that changed at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChanges {
    /// The changes, in their order.
    pub changes: Vec<PriceChange>,
    /// When.
    pub at: Timestamp,
}

/// One level that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceChange {
    /// The token.
    pub token: TokenId,
    /// Whose level: buyers' or sellers'.
    pub side: Side,
    /// Its price.
    pub price: Price,
    /// Shares there now; zero removes the level.
    pub size: Shares,
    /// Best prices after all changes of the frame, if told.
    pub best: Option<Best>,
}

/// Best prices of a token; `None` for an empty side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Best {
    /// Highest bid.
    pub bid: Option<Price>,
    /// Lowest ask.
    pub ask: Option<Price>,
}

/// A new price grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickChange {
    /// The token.
    pub token: TokenId,
    /// The grid from now on.
    pub tick: TickSize,
    /// When.
    pub at: Timestamp,
}

/// A trade as everybody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    /// The token.
    pub token: TokenId,
    /// The taker's side.
    pub side: Side,
    /// The price.
    pub price: Price,
    /// Shares.
    pub size: Shares,
    /// When.
    pub at: Timestamp,
}

/// Best prices of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestPrices {
    /// The token.
    pub token: TokenId,
    /// The prices.
    pub best: Best,
    /// When.
    pub at: Timestamp,
}

/// A market that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMarket {
    /// Its condition.
    pub condition: ConditionId,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// When.
    pub at: Timestamp,
}

/// A market that was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Its condition.
    pub condition: ConditionId,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// The token that pays, if one was named.
    pub winner: Option<TokenId>,
    /// When.
    pub at: Timestamp,
}

/// The events of a frame whose kind is `wanted`; the others are looked at, not parsed.
///
/// # Errors
/// [`FrameError`].
pub fn decode(frame: &[u8], wanted: impl Fn(Kind) -> bool) -> Result<Decoded<MarketEvent>, FrameError> {
    let mut decoded = Decoded::default();
    for event in split(frame)? {
        let name =
            kind_of(event).ok_or_else(|| FrameError::Untyped(shorten(&String::from_utf8_lossy(event))))?;
        match Kind::of(name).filter(|kind| wanted(*kind)) {
            Some(kind) => decoded
                .events
                .push(read(kind, event).map_err(|reason| FrameError::content(kind.name(), reason))?),
            None => decoded.passed_over = decoded.passed_over.saturating_add(1),
        }
    }
    Ok(decoded)
}

fn read(kind: Kind, event: &[u8]) -> Result<MarketEvent, String> {
    match kind {
        Kind::Book => parse::<BookRow>(event)?.event().map(MarketEvent::Book),
        Kind::Changes => parse::<ChangesRow>(event)?.event().map(MarketEvent::Changes),
        Kind::Tick => parse::<TickRow>(event)?.event().map(MarketEvent::Tick),
        Kind::LastTrade => parse::<TradeRow>(event)?.event().map(MarketEvent::LastTrade),
        Kind::Best => parse::<BestRow>(event)?.event().map(MarketEvent::Best),
        Kind::NewMarket => parse::<MarketRow>(event)?.created().map(MarketEvent::NewMarket),
        Kind::Resolved => parse::<MarketRow>(event)?.resolved().map(MarketEvent::Resolved),
    }
}

fn parse<'a, T: Deserialize<'a>>(event: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(event).map_err(|error| error.to_string())
}

fn number(error: NumberError) -> String {
    error.to_string()
}

fn moment(scalar: &Scalar) -> Result<Timestamp, String> {
    time(scalar)?.ok_or_else(|| "no timestamp".to_owned())
}

/// A price strictly between 0 and 1: an order's.
fn order_price(scalar: &Scalar) -> Result<Price, String> {
    let price = scalar.price().map_err(number)?;
    if (1..ONE).contains(&price) { Ok(Price(price)) } else { Err(format!("a price of {}", Price(price))) }
}

/// Best prices: an empty side of bids reads 0, one of asks 0 or 1, or the text is empty.
fn best(bid: &Scalar, ask: &Scalar) -> Result<Best, String> {
    let side = |scalar: &Scalar| -> Result<Option<Price>, String> {
        if scalar.0.is_empty() {
            return Ok(None);
        }
        let price = scalar.price().map_err(number)?;
        Ok((1..ONE).contains(&price).then_some(Price(price)))
    };
    Ok(Best { bid: side(bid)?, ask: side(ask)? })
}

fn tick(scalar: &Scalar) -> Result<TickSize, String> {
    TickSize::from_price(Price(scalar.price().map_err(number)?)).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct BookRow {
    asset_id: TokenId,
    timestamp: Scalar,
    #[serde(deserialize_with = "null_as_default")]
    bids: Vec<LevelRow>,
    #[serde(deserialize_with = "null_as_default")]
    asks: Vec<LevelRow>,
    tick_size: Option<Scalar>,
}

impl BookRow {
    fn event(self) -> Result<BookSnapshot, String> {
        let told = self.tick_size.filter(|tick| !tick.0.is_empty());
        Ok(BookSnapshot {
            token: self.asset_id,
            book: book_of(&self.bids, &self.asks)?,
            tick: told.as_ref().map(tick).transpose()?,
            at: moment(&self.timestamp)?,
        })
    }
}

#[derive(Deserialize)]
struct ChangesRow {
    timestamp: Scalar,
    price_changes: Vec<ChangeRow>,
}

#[derive(Deserialize)]
struct ChangeRow {
    asset_id: TokenId,
    price: Scalar,
    size: Scalar,
    side: Side,
    best_bid: Option<Scalar>,
    best_ask: Option<Scalar>,
}

impl ChangesRow {
    fn event(self) -> Result<PriceChanges, String> {
        if self.price_changes.len() > MAX_FRAME_CHANGES {
            return Err(format!(
                "{} changes, at most {MAX_FRAME_CHANGES} are read",
                self.price_changes.len()
            ));
        }
        let change = |row: ChangeRow| -> Result<PriceChange, String> {
            Ok(PriceChange {
                token: row.asset_id,
                side: row.side,
                price: order_price(&row.price)?,
                size: Shares(row.size.amount().map_err(number)?),
                best: match (row.best_bid, row.best_ask) {
                    (Some(bid), Some(ask)) => Some(best(&bid, &ask)?),
                    _ => None,
                },
            })
        };
        let changes = self.price_changes.into_iter().map(change).collect::<Result<_, _>>()?;
        Ok(PriceChanges { changes, at: moment(&self.timestamp)? })
    }
}

#[derive(Deserialize)]
struct TickRow {
    asset_id: TokenId,
    new_tick_size: Scalar,
    timestamp: Scalar,
}

impl TickRow {
    fn event(self) -> Result<TickChange, String> {
        Ok(TickChange {
            token: self.asset_id,
            tick: tick(&self.new_tick_size)?,
            at: moment(&self.timestamp)?,
        })
    }
}

#[derive(Deserialize)]
struct TradeRow {
    asset_id: TokenId,
    price: Scalar,
    size: Scalar,
    side: Side,
    timestamp: Scalar,
}

impl TradeRow {
    fn event(self) -> Result<LastTrade, String> {
        Ok(LastTrade {
            token: self.asset_id,
            side: self.side,
            price: order_price(&self.price)?,
            size: Shares(self.size.amount().map_err(number)?),
            at: moment(&self.timestamp)?,
        })
    }
}

#[derive(Deserialize)]
struct BestRow {
    asset_id: TokenId,
    best_bid: Scalar,
    best_ask: Scalar,
    timestamp: Scalar,
}

impl BestRow {
    fn event(self) -> Result<BestPrices, String> {
        let best = best(&self.best_bid, &self.best_ask)?;
        Ok(BestPrices { token: self.asset_id, best, at: moment(&self.timestamp)? })
    }
}

#[derive(Deserialize)]
struct MarketRow {
    market: ConditionId,
    assets_ids: Vec<TokenId>,
    #[serde(default, deserialize_with = "null_as_default")]
    winning_asset_id: String,
    timestamp: Scalar,
}

impl MarketRow {
    fn created(self) -> Result<NewMarket, String> {
        Ok(NewMarket { condition: self.market, at: moment(&self.timestamp)?, tokens: self.assets_ids })
    }

    fn resolved(self) -> Result<Resolution, String> {
        let winner = match self.winning_asset_id.as_str() {
            "" => None,
            text => Some(text.parse::<TokenId>().map_err(|error| error.to_string())?),
        };
        if winner.is_some_and(|winner| !self.assets_ids.contains(&winner)) {
            return Err("a winner that is none of the market's tokens".to_owned());
        }
        Ok(Resolution {
            condition: self.market,
            at: moment(&self.timestamp)?,
            tokens: self.assets_ids,
            winner,
        })
    }
}

#[cfg(test)]
#[path = "market_tests.rs"]
mod tests;

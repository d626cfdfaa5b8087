//! Books and prices, one by one and in batches, and the history of prices.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use domain::{ConditionId, Price, Shares, Side, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

use super::{
    Shared,
    clob::{TokenQuery, number},
    reply,
};
use crate::world::{Refusal, World, book::BookView, registry::MarketState};

type App = State<Arc<Shared>>;

/// What the venue names as the last price of a token that never traded.
const NEVER_TRADED: Price = Price(500_000);

fn no_book() -> Refusal {
    Refusal::new(404, "No orderbook exists for the requested token id")
}

/// A book as the venue writes it. Fields stand in the order over which its hash is taken: clients check it.
/// Source: `generate_orderbook_summary_hash` of py-clob-client-v2.
#[derive(Serialize)]
struct BookAnswer {
    market: ConditionId,
    asset_id: TokenId,
    timestamp: String,
    hash: String,
    bids: Vec<LevelAnswer>,
    asks: Vec<LevelAnswer>,
    min_order_size: String,
    tick_size: String,
    neg_risk: bool,
    last_trade_price: String,
}

#[derive(Serialize)]
struct LevelAnswer {
    price: String,
    size: String,
}

impl BookAnswer {
    fn of(world: &World, token: &TokenId, now: Timestamp) -> Result<Self, Refusal> {
        let market = world.registry().market_of(token).ok_or_else(no_book)?;
        if matches!(market.state, MarketState::Closed | MarketState::Resolved(_)) {
            return Err(no_book());
        }
        let book = world.book(token);
        // The venue lists the worst level first and the best one last.
        let side = |side| -> Vec<LevelAnswer> {
            let levels = book.map_or_else(Vec::new, |book| book.levels(side));
            let row = |(price, size): (Price, Shares)| LevelAnswer {
                price: price.to_string(),
                size: size.to_string(),
            };
            levels.into_iter().rev().map(row).collect()
        };
        let last = book.and_then(|book| book.last_trade());
        let mut answer = Self {
            market: market.spec.condition,
            asset_id: *token,
            timestamp: now.millis().to_string(),
            hash: String::new(),
            bids: side(Side::Buy),
            asks: side(Side::Sell),
            min_order_size: market.spec.min_size.to_string(),
            tick_size: market.tick.size().to_string(),
            neg_risk: market.spec.neg_risk,
            last_trade_price: last.map_or_else(String::new, |(price, _)| price.to_string()),
        };
        let hashed = serde_json::to_vec(&answer).map_err(|error| Refusal::new(500, error.to_string()))?;
        answer.hash = hex::encode(Sha1::digest(hashed));
        Ok(answer)
    }
}

pub(super) async fn book(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    let answer = shared.with(|world, now| BookAnswer::of(world, &query.token_id, now));
    answer.map(Json).into_response()
}

pub(super) async fn books(State(shared): App, body: Bytes) -> Response {
    let queries = match queries(&body) {
        Ok(queries) => queries,
        Err(refusal) => return refusal.into_response(),
    };
    let found = shared.with(|world, now| {
        // Tokens without a book are left out of the reply.
        queries
            .iter()
            .filter_map(|query| BookAnswer::of(world, &query.token_id, now).ok())
            .collect::<Vec<_>>()
    });
    Json(found).into_response()
}

/// The body of a batch, of any content type.
fn queries(body: &[u8]) -> Result<Vec<TokenQuery>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::bad("Invalid payload"))
}

/// The price of side BUY is the best bid.
fn best(book: BookView<'_>, side: Option<Side>) -> Option<String> {
    book.best(side?).map(|price| price.to_string())
}

fn middle(book: BookView<'_>) -> Option<String> {
    let (bid, ask) = book.best(Side::Buy).zip(book.best(Side::Sell))?;
    Some(Price(bid.0.saturating_add(ask.0) / 2).to_string())
}

fn spread(book: BookView<'_>) -> Option<String> {
    let (bid, ask) = book.best(Side::Buy).zip(book.best(Side::Sell))?;
    Some(Price(ask.0.saturating_sub(bid.0)).to_string())
}

fn one(
    shared: &Shared,
    token: &TokenId,
    name: &str,
    read: impl Fn(BookView<'_>) -> Option<String>,
) -> Response {
    let found = shared.with(|world, _| world.book(token).and_then(read));
    reply(found.map(|value| json!({ name: value })).ok_or_else(no_book))
}

/// One value per token; tokens that have none are left out of the reply.
fn many(shared: &Shared, body: &[u8], read: impl Fn(BookView<'_>) -> Option<String>) -> Response {
    let queries = match queries(body) {
        Ok(queries) => queries,
        Err(refusal) => return refusal.into_response(),
    };
    let found: Map<String, Value> = shared.with(|world, _| {
        let values = queries.iter().filter_map(|query| {
            Some((query.token_id.to_string(), json!(world.book(&query.token_id).and_then(&read)?)))
        });
        values.collect()
    });
    Json(found).into_response()
}

pub(super) async fn price(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    if query.side.is_none() {
        return Refusal::bad("Invalid side").into_response();
    }
    one(&shared, &query.token_id, "price", |book| best(book, query.side))
}

pub(super) async fn prices(State(shared): App, body: Bytes) -> Response {
    let queries = match queries(&body) {
        Ok(queries) => queries,
        Err(refusal) => return refusal.into_response(),
    };
    let mut found: Map<String, Value> = Map::new();
    shared.with(|world, _| {
        for query in &queries {
            let sides = query.side.map_or_else(|| vec![Side::Buy, Side::Sell], |side| vec![side]);
            for side in sides {
                let Some(price) = world.book(&query.token_id).and_then(|book| best(book, Some(side))) else {
                    continue;
                };
                let prices = found.entry(query.token_id.to_string()).or_insert_with(|| json!({}));
                if let Some(prices) = prices.as_object_mut() {
                    prices.insert(side.to_string(), json!(price));
                }
            }
        }
    });
    Json(found).into_response()
}

pub(super) async fn midpoint(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    one(&shared, &query.token_id, "mid", middle)
}

pub(super) async fn midpoints(State(shared): App, body: Bytes) -> Response {
    many(&shared, &body, middle)
}

pub(super) async fn spread_of(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    one(&shared, &query.token_id, "spread", spread)
}

pub(super) async fn spreads(State(shared): App, body: Bytes) -> Response {
    many(&shared, &body, spread)
}

fn last_trade(world: &World, token: &TokenId) -> Option<(Price, Side)> {
    world.book(token).and_then(|book| book.last_trade())
}

pub(super) async fn last_trade_price(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    reply(shared.with(|world, _| {
        world.registry().market_of(&query.token_id).ok_or_else(no_book)?;
        Ok(match last_trade(world, &query.token_id) {
            Some((price, side)) => json!({ "price": price.to_string(), "side": side.to_string() }),
            None => json!({ "price": NEVER_TRADED.to_string(), "side": "" }),
        })
    }))
}

pub(super) async fn last_trades_prices(State(shared): App, body: Bytes) -> Response {
    let queries = match queries(&body) {
        Ok(queries) => queries,
        Err(refusal) => return refusal.into_response(),
    };
    let found: Vec<Value> = shared.with(|world, _| {
        let last = queries.iter().filter_map(|query| {
            let (price, side) = last_trade(world, &query.token_id)?;
            let (price, side) = (price.to_string(), side.to_string());
            Some(json!({ "token_id": query.token_id, "price": price, "side": side }))
        });
        last.collect()
    });
    Json(found).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryQuery {
    market: TokenId,
    interval: Option<String>,
    start_ts: Option<i64>,
    end_ts: Option<i64>,
    /// Minutes between points.
    fidelity: Option<i64>,
}

pub(super) async fn prices_history(State(shared): App, Query(query): Query<HistoryQuery>) -> Response {
    reply(shared.with(|world, now| {
        let (from, to) = span(&query, now)?;
        let step = query.fidelity.unwrap_or(1).clamp(1, 1_000_000).saturating_mul(60);
        let points = world.prices().points(&query.market, from, to, step);
        let point = |(time, price): (i64, Price)| json!({ "t": time, "p": number(&price.to_string()) });
        Ok(json!({ "history": points.into_iter().map(point).collect::<Vec<_>>() }))
    }))
}

fn span(query: &HistoryQuery, now: Timestamp) -> Result<(i64, i64), Refusal> {
    let seconds = match query.interval.as_deref() {
        None => {
            return query.start_ts.zip(query.end_ts).ok_or_else(|| {
                Refusal::bad("invalid filters: either interval or startTs and endTs are required")
            });
        }
        Some("1h") => 3_600,
        Some("6h") => 21_600,
        Some("1d") => 86_400,
        Some("1w") => 604_800,
        Some("1m") => 2_592_000,
        Some("max" | "all") => i64::MAX,
        Some(_) => return Err(Refusal::bad("invalid interval")),
    };
    Ok((now.seconds().saturating_sub(seconds), now.seconds()))
}

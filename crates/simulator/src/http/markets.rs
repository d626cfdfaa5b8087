//! Markets: one, by token, compact, and in pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use domain::{ConditionId, Price, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    clob::{base_fee, number, with_market},
    reply,
};
use crate::{
    wire::{self, END_CURSOR},
    world::{
        Refusal,
        registry::{Market, MarketState},
    },
};

type App = State<Arc<Shared>>;

/// Markets per page.
const PAGE: usize = 1_000;

pub(super) async fn clob_market(State(shared): App, Path(condition): Path<String>) -> Response {
    reply(find_market(&shared, &condition, |market| {
        let tokens: Vec<Value> = market
            .spec
            .tokens
            .iter()
            .map(|token| json!({ "t": token, "o": market.outcome(token) }))
            .collect();
        let fee = market.spec.fee;
        json!({
            "c": market.spec.condition,
            "t": tokens,
            "mts": number(&market.tick.size().to_string()),
            "mos": number(&market.spec.min_size.to_string()),
            "nr": market.spec.neg_risk,
            "fd": { "r": number(&fee.rate.to_string()), "e": fee.exponent, "to": true },
            "mbf": 0,
            "tbf": base_fee(market),
            "rfqe": false,
            "itode": market.terms.taker_hold_ms > 0,
            "sd": market.terms.seconds_delay,
            "ao": matches!(market.state, MarketState::Open),
            "r": null,
        })
    }))
}

fn find_market(
    shared: &Shared,
    condition: &str,
    work: impl FnOnce(&Market) -> Value,
) -> Result<Value, Refusal> {
    let missing = || Refusal::new(404, "market not found");
    let condition: ConditionId = condition.parse().map_err(|_| missing())?;
    shared.with(|world, _| world.registry().market(&condition).map(work).ok_or_else(missing))
}

pub(super) async fn market(State(shared): App, Path(condition): Path<String>) -> Response {
    reply(find_market(&shared, &condition, market_json))
}

/// A market in full.
fn market_json(market: &Market) -> Value {
    let payouts = match market.state {
        MarketState::Resolved(payouts) => Some(payouts),
        _ => None,
    };
    let tokens: Vec<Value> = market
            .spec
            .tokens
            .iter()
            .enumerate()
            .map(|(index, token)| {
                let payout = payouts.and_then(|payouts| payouts.get(index).copied());
                let price = payout.unwrap_or(Price(500_000)).to_string();
                let winner = payout == Some(Price(domain::money::ONE));
                json!({ "token_id": token, "outcome": market.outcome(token), "price": number(&price), "winner": winner })
            })
            .collect();
    let open = matches!(market.state, MarketState::Open);
    let closed = matches!(market.state, MarketState::Closed | MarketState::Resolved(_));
    json!({
        "enable_order_book": true,
        "active": true,
        "closed": closed,
        "archived": false,
        "accepting_orders": open,
        "accepting_order_timestamp": null,
        "minimum_order_size": number(&market.spec.min_size.to_string()),
        "minimum_tick_size": number(&market.tick.size().to_string()),
        "condition_id": market.spec.condition,
        "question_id": "",
        "question": market.spec.title,
        "description": "",
        "market_slug": market.spec.slug,
        "end_date_iso": market.spec.end_date,
        "game_start_time": null,
        "seconds_delay": market.terms.seconds_delay,
        "fpmm": "",
        "maker_base_fee": 0,
        "taker_base_fee": base_fee(market),
        "notifications_enabled": true,
        "neg_risk": market.spec.neg_risk,
        "neg_risk_market_id": "",
        "neg_risk_request_id": "",
        "icon": "",
        "image": "",
        "rewards": { "rates": null, "min_size": 0, "max_spread": 0 },
        "is_50_50_outcome": payouts == Some([Price(domain::money::ONE / 2); 2]),
        "tokens": tokens,
        "tags": [],
    })
}

/// A market in the short form.
fn simplified_json(market: &Market) -> Value {
    let mut whole = market_json(market);
    let fields = ["condition_id", "rewards", "tokens", "active", "closed", "archived", "accepting_orders"];
    let picked = fields
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), whole.get_mut(field).map(Value::take)?)));
    Value::Object(picked.collect())
}

#[derive(Deserialize)]
pub(super) struct PageQuery {
    #[serde(default)]
    next_cursor: String,
}

type Cursor = Query<PageQuery>;

pub(super) async fn markets(State(shared): App, Query(query): Cursor) -> Response {
    page(&shared, &query.next_cursor, |_| true, market_json)
}

pub(super) async fn simplified_markets(State(shared): App, Query(query): Cursor) -> Response {
    page(&shared, &query.next_cursor, |_| true, simplified_json)
}

pub(super) async fn sampling_markets(State(shared): App, Query(query): Cursor) -> Response {
    page(&shared, &query.next_cursor, is_sampled, market_json)
}

pub(super) async fn sampling_simplified_markets(State(shared): App, Query(query): Cursor) -> Response {
    page(&shared, &query.next_cursor, is_sampled, simplified_json)
}

const fn is_sampled(market: &Market) -> bool {
    market.terms.sampled && matches!(market.state, MarketState::Open)
}

/// One page, made only of its own markets.
fn page(
    shared: &Shared,
    cursor: &str,
    listed: impl Fn(&Market) -> bool,
    print: impl Fn(&Market) -> Value,
) -> Response {
    let start = match wire::offset(cursor) {
        Some(start) => start,
        None if cursor == END_CURSOR => usize::MAX,
        None => return Refusal::bad("invalid next_cursor").into_response(),
    };
    let (data, total) = shared.with(|world, _| {
        let all: Vec<&Market> = world.registry().markets().filter(|market| listed(market)).collect();
        let data: Vec<Value> = all.iter().skip(start).take(PAGE).map(|market| print(market)).collect();
        (data, all.len())
    });
    let next = start.saturating_add(PAGE);
    let next_cursor = if next < total { wire::cursor(next) } else { END_CURSOR.to_owned() };
    let count = data.len();
    Json(json!({ "limit": PAGE, "count": count, "next_cursor": next_cursor, "data": data })).into_response()
}

pub(super) async fn market_by_token(State(shared): App, Path(token): Path<String>) -> Response {
    let Ok(token) = token.parse::<TokenId>() else { return Refusal::bad("Invalid token id").into_response() };
    with_market(&shared, &token, |market| {
        let [primary, secondary] = market.spec.tokens;
        json!({
            "condition_id": market.spec.condition,
            "primary_token_id": primary,
            "secondary_token_id": secondary,
        })
    })
}

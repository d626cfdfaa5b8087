//! Public CLOB endpoints, balances, and the route table of the CLOB.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{ConditionId, Price, Side, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    auth::{api_key, authenticate},
    orders::{cancel_order, one_order, orders, post_order, trades},
    reply,
};
use crate::{
    contracts::Exchange,
    world::{
        Refusal, World,
        ledger::Asset,
        registry::{Market, MarketState},
    },
};

type App = State<Arc<Shared>>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || Json("OK")))
        .route("/ok", get(async || Json("OK")))
        .route("/time", get(time))
        .route("/version", get(async || Json(json!({ "version": 2 }))))
        .route("/tick-size", get(tick_size))
        .route("/neg-risk", get(neg_risk))
        .route("/fee-rate", get(fee_rate))
        .route("/clob-markets/{condition}", get(clob_market))
        .route("/markets/{condition}", get(market))
        .route("/markets-by-token/{token}", get(market_by_token))
        .route("/book", get(book))
        .route("/books", post(books))
        .route("/price", get(price))
        .route("/midpoint", get(midpoint))
        .route("/auth/api-key", post(api_key))
        .route("/auth/derive-api-key", get(api_key))
        .route("/order", post(post_order).delete(cancel_order))
        .route("/data/order/{id}", get(one_order))
        .route("/data/orders", get(orders))
        .route("/data/trades", get(trades))
        .route("/v1/user/session-signers", get(session_signers))
        .route("/balance-allowance", get(balance_allowance))
        .route("/balance-allowance/update", get(update_balance_allowance))
        .with_state(Arc::clone(shared))
}

/// Prices and sizes that the venue sends as JSON numbers.
pub(super) fn number(text: &str) -> Value {
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

async fn time(State(shared): App) -> Json<i64> {
    Json(shared.with(|_, now| now.seconds()))
}

#[derive(Deserialize)]
struct TokenQuery {
    token_id: TokenId,
    side: Option<Side>,
}

fn with_market(shared: &Shared, token: &TokenId, work: impl FnOnce(&Market) -> Value) -> Response {
    reply(shared.with(|world, _| {
        world.registry().market_of(token).map(work).ok_or_else(|| Refusal::new(404, "market not found"))
    }))
}

async fn tick_size(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    with_market(
        &shared,
        &query.token_id,
        |market| json!({ "minimum_tick_size": number(&market.tick.size().to_string()) }),
    )
}

async fn neg_risk(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    with_market(&shared, &query.token_id, |market| json!({ "neg_risk": market.spec.neg_risk }))
}

async fn fee_rate(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    with_market(&shared, &query.token_id, |market| json!({ "base_fee": base_fee(market) }))
}

/// Basis points, in which the V1 fields of the venue still count.
const fn base_fee(market: &Market) -> i64 {
    market.spec.fee.rate.0 / 100
}

async fn clob_market(State(shared): App, Path(condition): Path<String>) -> Response {
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

async fn market(State(shared): App, Path(condition): Path<String>) -> Response {
    reply(find_market(&shared, &condition, |market| {
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
            "seconds_delay": 0,
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
    }))
}

async fn market_by_token(State(shared): App, Path(token): Path<String>) -> Response {
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

fn book_json(world: &World, token: &TokenId, now: domain::Timestamp) -> Result<Value, Refusal> {
    let missing = || Refusal::new(404, "No orderbook exists for the requested token id");
    let market = world.registry().market_of(token).ok_or_else(missing)?;
    if matches!(market.state, MarketState::Closed | MarketState::Resolved(_)) {
        return Err(missing());
    }
    let book = world.book(token);
    // The venue lists the worst level first and the best one last.
    let side = |side| -> Vec<Value> {
        let levels = book.map_or_else(Vec::new, |book| book.levels(side));
        let rows = levels.into_iter().rev();
        rows.map(|(price, size)| json!({ "price": price.to_string(), "size": size.to_string() })).collect()
    };
    let (bids, asks) = (side(Side::Buy), side(Side::Sell));
    let seen = crate::signing::derive(0, &[format!("{token}{bids:?}{asks:?}").as_bytes()]);
    let last =
        book.and_then(|book| book.last_trade()).map_or_else(String::new, |(price, _)| price.to_string());
    Ok(json!({
        "market": market.spec.condition,
        "asset_id": token,
        "timestamp": now.millis().to_string(),
        "hash": hex::encode(seen.get(..20).unwrap_or_default()),
        "bids": bids,
        "asks": asks,
        "min_order_size": market.spec.min_size.to_string(),
        "tick_size": market.tick.size().to_string(),
        "neg_risk": market.spec.neg_risk,
        "last_trade_price": last,
    }))
}

async fn book(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    reply(shared.with(|world, now| book_json(world, &query.token_id, now)))
}

async fn books(State(shared): App, Json(queries): Json<Vec<TokenQuery>>) -> Response {
    let found = shared.with(|world, now| {
        // Tokens without a book are left out of the reply.
        queries.iter().filter_map(|query| book_json(world, &query.token_id, now).ok()).collect::<Vec<_>>()
    });
    Json(found).into_response()
}

fn no_book() -> Refusal {
    Refusal::new(404, "No orderbook exists for the requested token id")
}

async fn price(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    let Some(side) = query.side else { return Refusal::bad("Invalid side").into_response() };
    // The price of side BUY is the best bid.
    let best = shared.with(|world, _| world.book(&query.token_id).and_then(|book| book.best(side)));
    reply(best.map(|price| json!({ "price": price.to_string() })).ok_or_else(no_book))
}

async fn midpoint(State(shared): App, Query(query): Query<TokenQuery>) -> Response {
    let best = shared.with(|world, _| {
        let book = world.book(&query.token_id)?;
        book.best(Side::Buy).zip(book.best(Side::Sell))
    });
    let middle = best.map(|(bid, ask)| Price(bid.0.saturating_add(ask.0) / 2));
    reply(middle.map(|price| json!({ "mid": price.to_string() })).ok_or_else(no_book))
}

#[derive(Deserialize)]
struct BalanceQuery {
    asset_type: String,
    token_id: Option<TokenId>,
    #[serde(default)]
    signature_type: u8,
}

async fn balance_allowance(
    State(shared): App,
    Query(query): Query<BalanceQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let key = match authenticate(&shared, &headers, "GET", uri.path(), b"") {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    let asset = match (query.asset_type.as_str(), query.token_id) {
        ("COLLATERAL", _) => Asset::Collateral,
        ("CONDITIONAL" | "CONDITIONAL-V2", Some(token)) => Asset::Token(token),
        _ => return Refusal::bad("Invalid asset type").into_response(),
    };
    let (balance, approved) = shared.with(|world, _| {
        let wallet = world.registry().wallet_of(key.address, query.signature_type);
        let approved =
            wallet.and_then(|wallet| world.registry().wallet(&wallet)).is_some_and(|wallet| wallet.approved);
        (wallet.map_or(0, |wallet| world.balance(wallet, asset)), approved)
    });
    let allowance = if approved { alloy_primitives::U256::MAX.to_string() } else { "0".to_owned() };
    let allowances: serde_json::Map<String, Value> = [Exchange::V2, Exchange::V2NegRisk, Exchange::V3]
        .into_iter()
        .map(|exchange| (exchange.address().to_string(), json!(allowance)))
        .collect();
    Json(json!({ "balance": balance.to_string(), "allowances": allowances })).into_response()
}

async fn update_balance_allowance(State(shared): App, uri: Uri, headers: HeaderMap) -> Response {
    match authenticate(&shared, &headers, "GET", uri.path(), b"") {
        // Balances are never stale here, so there is nothing to refresh. The reply has no body.
        Ok(_) => axum::http::StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Session signers of the caller's deposit wallet.
async fn session_signers(State(shared): App, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let wallet = shared.with(|world, now| {
        let wallet = world.registry().wallet_of(key.address, 3)?;
        Some(super::relayer::sessions_json(world, wallet, now))
    });
    Ok(Json(wallet.ok_or_else(|| Refusal::new(404, "deposit wallet not found"))?).into_response())
}

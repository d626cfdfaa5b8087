//! The route table of the CLOB, and its smallest endpoints.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    middleware,
    response::Response,
    routing::{any, delete, get, post},
};
use domain::{Side, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Service, Shared, account,
    auth::api_key,
    books, cancels, edge, extra_keys, lookups, markets,
    orders::{post_order, post_orders},
    reads, reply,
};
use crate::world::{Refusal, registry::Market};

type App = State<Arc<Shared>>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let limit = middleware::from_fn_with_state((Arc::clone(shared), Service::Clob), edge::limit);
    let faults = middleware::from_fn_with_state(Arc::clone(shared), reads::with_clob_faults);
    public().merge(private()).layer(faults).layer(limit).with_state(Arc::clone(shared))
}

/// What anybody may ask.
fn public() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(async || Json("OK")))
        .route("/ok", get(async || Json("OK")))
        .route("/time", get(time))
        .route("/version", get(version))
        .route("/tick-size", get(tick_size))
        .route("/neg-risk", get(neg_risk))
        .route("/fee-rate", get(fee_rate))
        .route("/fees/builder-fees/{code}", get(account::builder_fees))
        .route("/api/geoblock", get(account::geoblock))
        .route("/clob-markets/{condition}", get(markets::clob_market))
        .route("/markets", get(markets::markets))
        .route("/markets/{condition}", get(markets::market))
        .route("/markets/live-activity/{condition}", get(lookups::live_activity))
        .route("/markets-by-token/{token}", get(markets::market_by_token))
        .route("/simplified-markets", get(markets::simplified_markets))
        .route("/sampling-markets", get(markets::sampling_markets))
        .route("/sampling-simplified-markets", get(markets::sampling_simplified_markets))
        .route("/book", get(books::book))
        .route("/books", post(books::books))
        .route("/price", get(books::price))
        .route("/prices", post(books::prices))
        .route("/midpoint", get(books::midpoint))
        .route("/midpoints", post(books::midpoints))
        .route("/spread", get(books::spread_of))
        .route("/spreads", post(books::spreads))
        .route("/last-trade-price", get(books::last_trade_price))
        .route("/last-trades-prices", post(books::last_trades_prices))
        .route("/prices-history", get(books::prices_history))
        .route("/builder/trades", get(lookups::builder_trades))
        .route("/ws/market", any(super::sockets::market))
        .route("/ws/user", any(super::sockets::user))
}

/// What needs a signature.
fn private() -> Router<Arc<Shared>> {
    Router::new()
        .route("/auth/api-key", post(api_key).delete(account::delete_api_key))
        .route("/auth/derive-api-key", get(api_key))
        .route("/auth/api-keys", get(account::api_keys))
        .route("/auth/ban-status/closed-only", get(account::closed_only))
        .route(
            "/auth/readonly-api-key",
            post(extra_keys::create_read_only).delete(extra_keys::delete_read_only),
        )
        .route("/auth/readonly-api-keys", get(extra_keys::read_only_keys))
        .route(
            "/auth/builder-api-key",
            post(extra_keys::create_builder).get(extra_keys::builder_keys).delete(extra_keys::revoke_builder),
        )
        .route("/order", post(post_order).delete(cancels::cancel_order))
        .route("/orders", post(post_orders).delete(cancels::cancel_orders))
        .route("/cancel-all", delete(cancels::cancel_all))
        .route("/cancel-market-orders", delete(cancels::cancel_market_orders))
        .route("/v1/heartbeats", post(cancels::heartbeat))
        .route("/heartbeats", post(cancels::plain_heartbeat))
        .route("/order/{id}", get(lookups::one_order))
        .route("/data/order/{id}", get(lookups::one_order))
        .route("/data/orders", get(lookups::orders))
        .route("/data/trades", get(lookups::trades))
        .route("/data/pre-migration-orders", get(lookups::pre_migration_orders))
        .route("/order-scoring", get(lookups::order_scoring))
        .route("/orders-scoring", post(lookups::orders_scoring))
        .route("/notifications", get(lookups::notifications).delete(lookups::drop_notifications))
        .route("/v1/user/session-signers", get(account::session_signers))
        .route("/balance-allowance", get(account::balance_allowance))
        .route("/balance-allowance/update", get(account::update_balance_allowance))
}

/// Prices and sizes that the venue sends as JSON numbers.
pub(super) fn number(text: &str) -> Value {
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

async fn version(State(shared): App) -> Json<Value> {
    Json(json!({ "version": shared.with(|world, _| world.knobs.order_version) }))
}

async fn time(State(shared): App) -> Json<i64> {
    Json(shared.with(|world, now| world.told_seconds(now)))
}

#[derive(Deserialize)]
pub(super) struct TokenQuery {
    pub(super) token_id: TokenId,
    pub(super) side: Option<Side>,
}

pub(super) fn with_market(shared: &Shared, token: &TokenId, work: impl FnOnce(&Market) -> Value) -> Response {
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
pub(super) const fn base_fee(market: &Market) -> i64 {
    market.spec.fee.rate.0 / 100
}

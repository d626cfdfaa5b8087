//! Look-ups of a key's orders and trades, in pages.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use domain::{Address, ConditionId, Hash, OrderId, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, auth::authenticate};
use crate::{
    wire::{self, END_CURSOR},
    world::{Refusal, lookup::TradeFilter},
};

/// Trades of `/markets/live-activity`.
const ACTIVITY: usize = 100;

/// `GET /data/order/{id}`, and the older `GET /order/{id}`.
pub(super) async fn one_order(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let id: OrderId = id.parse().map_err(|_| Refusal::bad("Invalid orderID"))?;
    let order = shared.with(|world, now| world.order_json(now, &key, id));
    Ok(Json(order.ok_or_else(|| Refusal::new(404, "order not found"))?).into_response())
}

#[derive(Deserialize)]
pub(super) struct OrdersQuery {
    id: Option<OrderId>,
    market: Option<String>,
    asset_id: Option<String>,
    #[serde(default)]
    next_cursor: String,
}

pub(super) async fn orders(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<OrdersQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let mut rows = shared.with(|world, now| match query.id {
        Some(id) => world.order_json(now, &key, id).into_iter().collect(),
        None => world.open_orders_json(now, &key),
    });
    let passes = |row: &Value, field: &str, wanted: &Option<String>| {
        wanted.as_deref().is_none_or(|wanted| row.get(field).and_then(Value::as_str) == Some(wanted))
    };
    rows.retain(|row| passes(row, "market", &query.market) && passes(row, "asset_id", &query.asset_id));
    Ok(page(&shared, rows, &query.next_cursor))
}

#[derive(Deserialize)]
pub(super) struct TradesQuery {
    id: Option<String>,
    taker: Option<Address>,
    maker: Option<Address>,
    maker_address: Option<Address>,
    market: Option<ConditionId>,
    asset_id: Option<TokenId>,
    before: Option<i64>,
    after: Option<i64>,
    #[serde(default)]
    next_cursor: String,
}

pub(super) async fn trades(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TradesQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    let filter = TradeFilter {
        id: query.id,
        taker: query.taker,
        maker: query.maker.or(query.maker_address),
        market: query.market,
        asset: query.asset_id,
        before: query.before,
        after: query.after,
    };
    let rows = shared.with(|world, now| world.trades_json(now, &key, &filter));
    Ok(page(&shared, rows, &query.next_cursor))
}

#[derive(Deserialize)]
pub(super) struct ScoringQuery {
    order_id: String,
}

/// Rewards are not simulated: no order scores.
pub(super) async fn order_scoring(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ScoringQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    query.order_id.parse::<OrderId>().map_err(|_| Refusal::bad("Invalid orderID"))?;
    Ok(Json(json!({ "scoring": false })).into_response())
}

pub(super) async fn orders_scoring(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    authenticate(&shared, &headers, "POST", uri.path(), &body)?;
    let ids: Vec<String> = serde_json::from_slice(&body).map_err(|_| Refusal::bad("Invalid payload"))?;
    let scoring: serde_json::Map<String, Value> = ids.into_iter().map(|id| (id, json!(false))).collect();
    Ok(Json(Value::Object(scoring)).into_response())
}

/// Nobody is notified of anything here, so the list is empty.
pub(super) async fn notifications(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    Ok(Json(json!([])).into_response())
}

pub(super) async fn drop_notifications(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    authenticate(&shared, &headers, "DELETE", uri.path(), b"")?;
    Ok(Json("OK").into_response())
}

/// There are no orders from before the present exchanges.
pub(super) async fn pre_migration_orders(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    authenticate(&shared, &headers, "GET", uri.path(), b"")?;
    Ok(page(&shared, Vec::new(), ""))
}

/// One page of rows, as the CLOB pages.
fn page(shared: &Shared, rows: Vec<Value>, cursor: &str) -> Response {
    let limit = shared.with(|world, _| world.knobs.clob_page.max(1));
    let start = match wire::offset(cursor) {
        Some(start) => start,
        None if cursor == END_CURSOR => usize::MAX,
        None => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid next_cursor" })))
                .into_response();
        }
    };
    let total = rows.len();
    let data: Vec<Value> = rows.into_iter().skip(start).take(limit).collect();
    let next = start.saturating_add(limit);
    let next_cursor = if next < total { wire::cursor(next) } else { END_CURSOR.to_owned() };
    Json(json!({ "limit": limit, "count": data.len(), "next_cursor": next_cursor, "data": data }))
        .into_response()
}

#[derive(Deserialize)]
pub(super) struct BuilderQuery {
    builder_code: Hash,
    id: Option<String>,
    maker_address: Option<Address>,
    market: Option<ConditionId>,
    asset_id: Option<TokenId>,
    before: Option<i64>,
    after: Option<i64>,
    #[serde(default)]
    next_cursor: String,
}

/// Trades whose taker named this builder. Public.
pub(super) async fn builder_trades(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BuilderQuery>,
) -> Response {
    let filter = TradeFilter {
        id: query.id,
        taker: None,
        maker: query.maker_address,
        market: query.market,
        asset: query.asset_id,
        before: query.before,
        after: query.after,
    };
    let rows = shared.with(|world, _| world.builder_trades_json(query.builder_code, &filter));
    page(&shared, rows, &query.next_cursor)
}

/// The newest trades of a market. Public.
pub(super) async fn live_activity(
    State(shared): State<Arc<Shared>>,
    Path(condition): Path<String>,
) -> Response {
    let Ok(condition) = condition.parse::<ConditionId>() else {
        return Refusal::new(404, "market not found").into_response();
    };
    Json(shared.with(|world, _| world.live_activity_json(&condition, ACTIVITY))).into_response()
}

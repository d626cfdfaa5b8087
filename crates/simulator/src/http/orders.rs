//! `POST /order` with its faults, `DELETE /order`, and look-ups of orders and trades.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use domain::{Address, ConditionId, OrderId, TokenId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, auth::authenticate, connection::Connection, cut};
use crate::{
    wire::{self, END_CURSOR, WireError},
    world::{
        Refusal, World,
        faults::{Fault, FaultKind, FaultTarget},
        lookup::TradeFilter,
        orders::{Placed, Submission},
    },
};

/// Rows per page of `/data/orders` and `/data/trades`.
const PAGE: usize = 500;
/// Bytes of a reply that get through when it is truncated: status line, headers, a piece of the body.
const TRUNCATED_BODY: usize = 20;

pub(super) async fn post_order(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = shared.with(|world, _| world.faults.take(FaultTarget::Order, |_| true));
    if let Some(kind) = fault.map(|fault| fault.kind).filter(|kind| kind.keeps_order_out()) {
        return refusal_of(kind).map_or_else(|| cut(&connection), IntoResponse::into_response);
    }
    let submission = match prepare(&shared, &headers, &body) {
        Ok(submission) => submission,
        Err(refusal) => {
            shared.with(|world, _| world.note_strange_post());
            return refusal.into_response();
        }
    };
    if let Some(fault) = fault.filter(|fault| fault.kind == FaultKind::AcceptLate) {
        let delay = Duration::from_millis(fault.delay_ms);
        shared.with(|world, now| world.defer(now.plus(delay), submission));
        shared.due_changed.notify_one();
        return cut(&connection);
    }
    let reply = shared.with(|world, now| match world.place(now, &submission) {
        Ok(placed) => Json(placed_json(world, &placed)).into_response(),
        Err(refusal) => refusal.into_response(),
    });
    answer(&shared, &connection, fault, reply).await
}

/// What becomes of the reply to an order that was processed.
async fn answer(shared: &Shared, connection: &Connection, fault: Option<Fault>, reply: Response) -> Response {
    let Some(fault) = fault else { return reply };
    match fault.kind {
        FaultKind::AcceptThenDrop => cut(connection),
        FaultKind::Slow => {
            let mut stopped = shared.stopped.clone();
            tokio::select! {
                () = shared.clock.0.sleep(Duration::from_millis(fault.delay_ms)) => reply,
                // An error means that the simulator was dropped.
                _ = stopped.wait_for(|stop| *stop) => cut(connection),
            }
        }
        FaultKind::TruncateReply => {
            // Status line and headers of these replies take between 90 and 130 bytes.
            connection.cut_after(130 + TRUNCATED_BODY);
            reply
        }
        kind => refusal_of(kind).map_or(reply, IntoResponse::into_response),
    }
}

/// What a fault answers in the venue's place, whether or not the order was processed; `None` when it cuts
/// the connection or lets the venue's own reply through.
fn refusal_of(kind: FaultKind) -> Option<Refusal> {
    match kind {
        FaultKind::Error500Before | FaultKind::Error500After => {
            Some(Refusal::new(500, "Internal server error"))
        }
        FaultKind::TimedOutText | FaultKind::TimedOutTextAfter => Some(Refusal::new(500, "order timed out")),
        FaultKind::TooManyRequests => {
            Some(Refusal { retry_after: Some(1), ..Refusal::new(429, "Too Many Requests") })
        }
        FaultKind::TooEarly => Some(Refusal { retry_after: Some(5), ..Refusal::new(425, "Too Early") }),
        _ => None,
    }
}

fn prepare(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Submission, Refusal> {
    let key = authenticate(shared, headers, "POST", "/order", body)?;
    let (post, fields, signature, expiration) = wire::parse_order(body).map_err(|error| match error {
        WireError::Payload => Refusal::bad("Invalid order payload"),
        WireError::Version => Refusal::bad("order_version_mismatch"),
    })?;
    if post.owner != key.key {
        return Err(Refusal::bad("the order owner has to be the owner of the API KEY"));
    }
    if post.post_only && post.order_type.is_immediate() {
        return Err(Refusal::bad("Invalid order payload"));
    }
    let (exchange, owner, verify) = shared.with(|world, _| {
        let registry = world.registry();
        let market = registry.market_of(&fields.token);
        let market =
            market.ok_or_else(|| Refusal::new(404, "No orderbook exists for the requested token id"))?;
        // A maker nobody registered has no key that could have signed for it.
        let wallet = registry.wallet(&fields.maker).ok_or_else(|| Refusal::bad("invalid signature"))?;
        wallet.allows(&fields, key.address)?;
        Ok((market.exchange(), wallet.owner, world.knobs.verify_signatures))
    })?;
    if verify && !fields.is_signed_by(owner, exchange, &signature) {
        return Err(Refusal::bad("invalid signature"));
    }
    Ok(Submission {
        id: fields.id(exchange),
        fields,
        exchange,
        owner: post.owner,
        order_type: post.order_type,
        post_only: post.post_only,
        expiration,
    })
}

fn placed_json(world: &World, placed: &Placed) -> Value {
    let trade = placed.trade.and_then(|number| world.journal().trades.get(number));
    let hashes: Vec<String> = trade.and_then(|trade| trade.tx).iter().map(ToString::to_string).collect();
    let amount = |micros: i64| if micros == 0 { String::new() } else { domain::Shares(micros).to_string() };
    json!({
        "success": true,
        "errorMsg": "",
        "orderID": placed.id,
        "status": placed.answer.name(),
        "makingAmount": amount(placed.making),
        "takingAmount": amount(placed.taking),
        "tradeIDs": trade.iter().map(|trade| trade.id.as_str()).collect::<Vec<_>>(),
        "transactionsHashes": hashes,
    })
}

#[derive(Deserialize)]
struct Cancel {
    #[serde(rename = "orderID")]
    order: OrderId,
}

pub(super) async fn cancel_order(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let key = authenticate(&shared, &headers, "DELETE", "/order", &body)?;
    let cancel: Cancel = serde_json::from_slice(&body).map_err(|_| Refusal::bad("Invalid order payload"))?;
    let id = cancel.order.to_string();
    let reply = shared.with(|world, _| match world.cancel(cancel.order, &key.key) {
        Ok(()) => json!({ "canceled": [id], "not_canceled": {} }),
        Err(reason) => json!({ "canceled": [], "not_canceled": { id: reason } }),
    });
    Ok(Json(reply).into_response())
}

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
    Ok(page(rows, &query.next_cursor))
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
    Ok(page(rows, &query.next_cursor))
}

/// One page of rows, as the CLOB pages.
fn page(rows: Vec<Value>, cursor: &str) -> Response {
    let start = match wire::offset(cursor) {
        Some(start) => start,
        None if cursor == END_CURSOR => usize::MAX,
        None => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid next_cursor" })))
                .into_response();
        }
    };
    let total = rows.len();
    let data: Vec<Value> = rows.into_iter().skip(start).take(PAGE).collect();
    let next = start.saturating_add(PAGE);
    let next_cursor = if next < total { wire::cursor(next) } else { END_CURSOR.to_owned() };
    Json(json!({ "limit": PAGE, "count": data.len(), "next_cursor": next_cursor, "data": data }))
        .into_response()
}

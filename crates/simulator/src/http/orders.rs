//! `POST /order` and `POST /orders`, with their faults, holds and the two shapes of a refusal.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{Side, Timestamp};
use serde_json::{Value, json};

use super::{
    Shared,
    auth::authenticate,
    connection::Connection,
    cut,
    edge::{spend, with_tokens},
};
use crate::{
    config::GeoRefusal,
    limits::MAX_ORDERS,
    relay_signing,
    wire::{self, ParsedOrder, WireError},
    world::{
        Mode, Refusal, World,
        delays::Arrival,
        endpoints::Group,
        faults::{Fault, FaultKind, FaultTarget},
        orders::{Placed, Submission},
        rates::{Bucket, Spent},
        registry::ApiKey,
    },
};

/// Bytes of a reply that get through when it is truncated: status line, headers, a piece of the body.
const TRUNCATED_BODY: usize = 20;
/// The version of the orders that can be read here.
const ORDER_VERSION: u32 = 2;
/// Refusal of a region. Text of the live venue.
const RESTRICTED: &str = "Trading restricted in your region, please refer to available regions - https://docs.polymarket.com/developers/CLOB/geoblock";

/// One order, or an array of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Batch,
}

type Request = (Arc<Shared>, Connection, HeaderMap, Bytes);

pub(super) async fn post_order(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    post(Form::One, (shared, connection, headers, body)).await
}

pub(super) async fn post_orders(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    post(Form::Batch, (shared, connection, headers, body)).await
}

/// Orders of one request whose sender is in order.
struct Batch {
    orders: Vec<Result<Submission, Refusal>>,
    spent: Option<Spent>,
}

async fn post(form: Form, (shared, connection, headers, body): Request) -> Response {
    let fault = shared.with(|world, _| world.faults.take(FaultTarget::Order, |_| true));
    if let Some(kind) = fault.map(|fault| fault.kind).filter(|kind| kind.keeps_order_out()) {
        return refusal_of(kind).map_or_else(|| cut(&connection), IntoResponse::into_response);
    }
    let batch = match prepare(&shared, form, &headers, &body) {
        Ok(batch) => batch,
        Err(reply) => return *reply,
    };
    if let Some(fault) = fault.filter(|fault| fault.kind == FaultKind::AcceptLate) {
        let delay = Duration::from_millis(fault.delay_ms);
        shared.with(|world, now| {
            batch.orders.into_iter().flatten().for_each(|order| world.defer(now.plus(delay), order));
        });
        shared.due_changed.notify_one();
        return cut(&connection);
    }
    let arrivals: Vec<Arrival> = shared.with(|world, now| {
        let arrive = |order| match order {
            Ok(order) => world.arrive(now, &order),
            Err(refusal) => Arrival::Answered(Err(refusal)),
        };
        batch.orders.into_iter().map(arrive).collect()
    });
    let Some(results) = answers(&shared, arrivals).await else { return cut(&connection) };
    shared.due_changed.notify_one();
    let reply = shared.with(|world, _| match form {
        Form::One => results.into_iter().next().map_or_else(
            || Refusal::bad("Invalid order payload").into_response(),
            |result| match result {
                Ok(placed) => Json(placed_json(world, &placed)).into_response(),
                Err(refusal) => refusal.into_response(),
            },
        ),
        Form::Batch => {
            Json(results.iter().map(|result| result_json(world, result)).collect::<Vec<_>>()).into_response()
        }
    });
    answer(&shared, &connection, fault, with_tokens(reply, batch.spent)).await
}

/// Waits for the answers to orders that the venue holds; `None` when it stops before.
async fn answers(shared: &Shared, arrivals: Vec<Arrival>) -> Option<Vec<Result<Placed, Refusal>>> {
    let mut results = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        results.push(match arrival {
            Arrival::Answered(result) => result,
            Arrival::Held { ticket, until } => held(shared, ticket, until).await?,
        });
    }
    Some(results)
}

async fn held(shared: &Shared, ticket: u64, until: Timestamp) -> Option<Result<Placed, Refusal>> {
    shared.due_changed.notify_one();
    let mut stopped = shared.stopped.clone();
    loop {
        let (now, answer) = shared.with(|world, now| (now, world.take_answer(ticket)));
        if answer.is_some() || now >= until {
            return answer;
        }
        tokio::select! {
            () = shared.clock.0.sleep(until.since(now)) => {}
            // An error means that the simulator was dropped.
            _ = stopped.wait_for(|stop| *stop) => return None,
        }
    }
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
        FaultKind::VersionMismatch => Some(Refusal::bad("order_version_mismatch")),
        _ => None,
    }
}

/// Checks everything about a request that its orders share, then who may send each of them.
///
/// # Errors
/// The reply to a request that is refused as a whole.
fn prepare(shared: &Shared, form: Form, headers: &HeaderMap, body: &[u8]) -> Result<Batch, Box<Response>> {
    let whole = |refusal: Refusal| {
        shared.with(|world, _| world.note_strange_post());
        Box::new(refusal.into_response())
    };
    let path = if form == Form::One { "/order" } else { "/orders" };
    shared.with(|world, _| region_allows_any(world)).map_err(whole)?;
    let key = authenticate(shared, headers, "POST", path, body).map_err(whole)?;
    let parsed = match form {
        Form::One => wire::parse_order(body).map(|order| vec![order]),
        Form::Batch => wire::parse_orders(body, MAX_ORDERS),
    };
    let parsed = parsed.map_err(|error| {
        whole(Refusal::bad(match error {
            WireError::Payload => "Invalid order payload".to_owned(),
            WireError::Version => "order_version_mismatch".to_owned(),
            WireError::TooMany(count) => {
                format!("Too many orders in payload: {count}, max allowed: {MAX_ORDERS}")
            }
        }))
    })?;
    let group = if form == Form::One { Group::PostOrder } else { Group::PostOrders };
    let spent = spend(shared, key.address, (Bucket::Order, group), parsed.len())?;
    if form == Form::Batch {
        shared.with(|world, _| batch_is_open(world)).map_err(|refusal| Box::new(refusal.into_response()))?;
    }
    let one = |order| {
        let result = submission(shared, &key, order);
        if result.is_err() {
            shared.with(|world, _| world.note_strange_post());
        }
        result
    };
    let mut orders: Vec<Result<Submission, Refusal>> = parsed.into_iter().map(one).collect();
    if form == Form::One && orders.first().is_some_and(Result::is_err) {
        let refusal = orders.pop().and_then(Result::err);
        return Err(Box::new(with_tokens(
            refusal.unwrap_or_else(|| Refusal::bad("Invalid order payload")).into_response(),
            spent,
        )));
    }
    Ok(Batch { orders, spent })
}

fn region_allows_any(world: &World) -> Result<(), Refusal> {
    match world.knobs.geo.refuses {
        GeoRefusal::All => Err(Refusal::new(403, RESTRICTED)),
        GeoRefusal::None | GeoRefusal::Buys | GeoRefusal::Edge => Ok(()),
    }
}

/// Modes that refuse a batch as a whole; post-only mode refuses its orders one by one.
fn batch_is_open(world: &World) -> Result<(), Refusal> {
    if world.mode == Mode::PostOnly { Ok(()) } else { world.check_mode(true) }
}

fn submission(shared: &Shared, key: &ApiKey, order: ParsedOrder) -> Result<Submission, Refusal> {
    let (post, fields, signature, expiration) = order;
    if post.owner != key.key {
        return Err(Refusal::bad("the order owner has to be the owner of the API KEY"));
    }
    if post.post_only && post.order_type.is_immediate() {
        return Err(Refusal::bad("Invalid order payload"));
    }
    let (exchange, owner, by_session, verify) = shared.with(|world, now| {
        if fields.side == Side::Buy && world.knobs.geo.refuses == GeoRefusal::Buys {
            return Err(Refusal::new(403, RESTRICTED));
        }
        if world.knobs.order_version != ORDER_VERSION {
            return Err(Refusal::bad("order_version_mismatch"));
        }
        if let Some(refuse) = &world.knobs.refuse_orders_with {
            return Err(Refusal::new(refuse.status, refuse.error.clone()));
        }
        let registry = world.registry();
        let market = registry.market_of(&fields.token);
        let market =
            market.ok_or_else(|| Refusal::new(404, "No orderbook exists for the requested token id"))?;
        // A maker nobody registered has no key that could have signed for it.
        let wallet = registry.wallet(&fields.maker).ok_or_else(|| Refusal::bad("invalid signature"))?;
        let by_session = world.is_session_signer(wallet.address, key.address, now);
        wallet.allows(&fields, key.address, by_session)?;
        Ok((market.exchange(), wallet.owner, by_session, world.verifies()))
    })?;
    let signed = || match relay_signing::session(&signature) {
        Some((signer, inner)) if by_session => {
            signer == key.address && fields.is_signed_by(signer, exchange, &inner)
        }
        _ => !by_session && fields.is_signed_by(owner, exchange, &signature),
    };
    if verify && !signed() {
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

fn result_json(world: &World, result: &Result<Placed, Refusal>) -> Value {
    match result {
        Ok(placed) => placed_json(world, placed),
        Err(refusal) => json!({
            "success": refusal.code == Some("post_only_mode") || world.knobs.refused_in_batch_is_success,
            "errorMsg": refusal.error,
            "orderID": "",
            "status": "",
            "makingAmount": "",
            "takingAmount": "",
        }),
    }
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

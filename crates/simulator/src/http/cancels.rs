//! Everything that cancels orders: by id, by list, by market, all; and the heartbeats that keep them.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{ConditionId, OrderId, Timestamp, TokenId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Shared,
    auth::authenticate,
    edge::{spend, with_tokens},
};
use crate::{
    limits::MAX_CANCELS,
    world::{
        Refusal, World,
        cancels::{Canceled, NOT_FOUND},
        endpoints::Group,
        rates::Bucket,
        registry::ApiKey,
    },
};

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
struct One {
    #[serde(rename = "orderID")]
    order: String,
}

pub(super) async fn cancel_order(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request { path: "/order", group: Group::DeleteOrder, headers: &headers, body: &body };
    request.run(&shared, |One { order }| Ok(Wanted::Ids(vec![order]))).await
}

pub(super) async fn cancel_orders(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request { path: "/orders", group: Group::DeleteOrders, headers: &headers, body: &body };
    request
        .run(&shared, |ids: Vec<String>| {
            if ids.len() > MAX_CANCELS {
                let count = ids.len();
                return Err(format!("Too many orders in payload: {count}, max allowed: {MAX_CANCELS}"));
            }
            Ok(Wanted::Ids(ids))
        })
        .await
}

pub(super) async fn cancel_all(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request { path: "/cancel-all", group: Group::CancelAll, headers: &headers, body: &body };
    request.cancel(&shared, Wanted::Open { market: None, token: None })
}

#[derive(Deserialize)]
struct OfMarket {
    market: Option<ConditionId>,
    asset_id: Option<TokenId>,
}

pub(super) async fn cancel_market_orders(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let (path, group) = ("/cancel-market-orders", Group::CancelMarketOrders);
    let request = Request { path, group, headers: &headers, body: &body };
    request
        .run(&shared, |OfMarket { market, asset_id: token }| match (market, token) {
            (None, None) => Err("Invalid order payload".to_owned()),
            (market, token) => Ok(Wanted::Open { market, token }),
        })
        .await
}

/// What shall be cancelled.
enum Wanted {
    Ids(Vec<String>),
    Open { market: Option<ConditionId>, token: Option<TokenId> },
}

struct Request<'a> {
    path: &'static str,
    group: Group,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Request<'_> {
    async fn run<T: DeserializeOwned>(
        &self,
        shared: &Shared,
        wanted: impl FnOnce(T) -> Result<Wanted, String>,
    ) -> Response {
        let key = match authenticate(shared, self.headers, "DELETE", self.path, self.body) {
            Ok(key) => key,
            Err(refusal) => return refusal.into_response(),
        };
        let parsed = serde_json::from_slice(self.body).map_err(|_| "Invalid order payload".to_owned());
        match parsed.and_then(wanted) {
            Ok(wanted) => self.cancel_for(shared, &key, wanted),
            Err(error) => Refusal::bad(error).into_response(),
        }
    }

    fn cancel(&self, shared: &Shared, wanted: Wanted) -> Response {
        match authenticate(shared, self.headers, "DELETE", self.path, self.body) {
            Ok(key) => self.cancel_for(shared, &key, wanted),
            Err(refusal) => refusal.into_response(),
        }
    }

    fn cancel_for(&self, shared: &Shared, key: &ApiKey, wanted: Wanted) -> Response {
        let cost = match &wanted {
            Wanted::Ids(ids) => ids.len(),
            Wanted::Open { .. } => 1,
        };
        let mut spent = match spend(shared, key.address, (Bucket::Cancel, self.group), cost) {
            Ok(spent) => spent,
            Err(reply) => return *reply,
        };
        let is_open = matches!(wanted, Wanted::Open { .. });
        let result = shared.with(|world, now| {
            world.check_open()?;
            let canceled = carry_out(world, key, wanted);
            let left = if is_open { world.charge(now, key.address, canceled.1) } else { None };
            if let Some((spent, left)) = spent.as_mut().zip(left) {
                spent.remaining = left;
            }
            Ok::<_, Refusal>(canceled.0)
        });
        shared.due_changed.notify_one();
        let reply = result.map_or_else(IntoResponse::into_response, |reply| Json(reply).into_response());
        with_tokens(reply, spent)
    }
}

/// The reply, and how many were cancelled. Ids that are no ids are not found either.
fn carry_out(world: &mut World, key: &ApiKey, wanted: Wanted) -> (Value, usize) {
    let mut reasons = serde_json::Map::new();
    let Canceled { done, not } = match wanted {
        Wanted::Ids(ids) => {
            let mut known = Vec::new();
            for id in ids {
                match id.parse::<OrderId>() {
                    Ok(id) => known.push(id),
                    Err(_) => {
                        reasons.insert(id, json!(NOT_FOUND));
                    }
                }
            }
            world.cancel_each(known, &key.key)
        }
        Wanted::Open { market, token } => world.cancel_open(&key.key, market.as_ref(), token.as_ref()),
    };
    reasons.extend(not.into_iter().map(|(id, reason)| (id.to_string(), json!(reason))));
    let count = done.len();
    (json!({ "canceled": done, "not_canceled": reasons }), count)
}

#[derive(Deserialize)]
struct Beat {
    #[serde(default)]
    heartbeat_id: Option<String>,
}

/// `POST /v1/heartbeats`: the id of the last reply, and the next one in return.
pub(super) async fn heartbeat(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let key = match authenticate(&shared, &headers, "POST", "/v1/heartbeats", &body) {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(beat) = serde_json::from_slice::<Beat>(&body) else {
        return Refusal::bad("Invalid payload").into_response();
    };
    let sent = beat.heartbeat_id.unwrap_or_default();
    let result = beat_with(&shared, |world, now| world.heartbeat(now, &key.key, &sent));
    match result {
        Ok(next) => Json(json!({ "heartbeat_id": next })).into_response(),
        Err(expected) => {
            let body = json!({ "error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

/// `POST /heartbeats`, the older kind.
pub(super) async fn plain_heartbeat(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    match authenticate(&shared, &headers, "POST", "/heartbeats", &body) {
        Ok(key) => {
            beat_with(&shared, |world, now| world.plain_heartbeat(now, &key.key));
            Json(json!({ "status": "ok" })).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn beat_with<T>(shared: &Shared, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
    let result = shared.with(work);
    shared.due_changed.notify_one();
    result
}

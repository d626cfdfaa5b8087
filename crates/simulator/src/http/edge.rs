//! In front of the services: counts requests, delays and refuses those of addresses that send too many, and puts
//! a signer's tokens into the headers of replies.

use std::sync::Arc;

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use domain::Address;

use super::{Service, Shared, connection::Connection, cut};
use crate::config::GeoRefusal;
use crate::world::{
    Refusal,
    endpoints::Group,
    rates::{Admission, Bucket, Spent},
};

/// What the edge says to places that it lets nobody trade from.
const FORBIDDEN: &str =
    "<!DOCTYPE html><html><head><title>Forbidden</title></head><body>Access denied</body></html>";

pub(super) async fn limit(
    State((shared, service)): State<(Arc<Shared>, Service)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let group = match service {
        Service::Data => Group::of_data_api(path),
        Service::Gamma => Group::of_gamma(path),
        Service::Relayer => Group::Relayer,
        _ => Group::of(request.method().as_str(), path),
    };
    if matches!(group, Group::PostOrder | Group::PostOrders)
        && shared.with(|world, _| world.knobs.geo.refuses == GeoRefusal::Edge)
    {
        return (StatusCode::FORBIDDEN, Html(FORBIDDEN)).into_response();
    }
    let admission = shared.with(|world, now| world.admit(now, connection.peer(), group));
    match admission {
        Admission::After(delay) if delay.is_zero() => next.run(request).await,
        Admission::After(delay) => {
            let mut stopped = shared.stopped.clone();
            let goes_on = tokio::select! {
                () = shared.clock.0.sleep(delay) => true,
                // An error means that the simulator was dropped.
                _ = stopped.wait_for(|stop| *stop) => false,
            };
            if goes_on { next.run(request).await } else { cut(&connection) }
        }
        Admission::Refused(seconds) => too_many(Some(seconds)).into_response(),
    }
}

fn too_many(retry_after: Option<u64>) -> Refusal {
    Refusal { retry_after, ..Refusal::new(429, "Too Many Requests") }
}

/// Takes a signer's tokens for a request, before it is looked at.
///
/// # Errors
/// The reply with status 429.
pub(super) fn spend(
    shared: &Shared,
    signer: Address,
    (bucket, group): (Bucket, Group),
    cost: usize,
) -> Result<Option<Spent>, Box<Response>> {
    let spent = shared.with(|world, now| world.spend(now, signer, (bucket, group), cost));
    match spent {
        Some(spent) if spent.refused => {
            Err(Box::new(with_tokens(too_many(spent.retry_after).into_response(), Some(spent))))
        }
        spent => Ok(spent),
    }
}

/// Says in a reply's headers how many tokens are left.
pub(super) fn with_tokens(mut reply: Response, spent: Option<Spent>) -> Response {
    let Some(spent) = spent else { return reply };
    let headers = reply.headers_mut();
    put(headers, "poly-ratelimit-remaining", &spent.remaining.to_string());
    put(headers, "poly-ratelimit-reset", &spent.reset.to_string());
    put(headers, "poly-ratelimit-tier", spent.tier.name());
    if spent.over && !spent.refused {
        put(headers, "poly-ratelimit-warning", "true");
    }
    reply
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

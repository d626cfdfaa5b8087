//! Events as they happen.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response, Sse},
};

use crate::{Shared, Tenant, problem::Problem};

/// A stream of the tenant's events; after a break it goes on behind `Last-Event-ID`.
pub(super) async fn events(State(web): State<Shared>, tenant: Tenant, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()).map(str::parse::<i64>);
    let after = match last.transpose() {
        Ok(after) => after.filter(|after| *after >= 0),
        Err(_) => return Problem::unreadable("Last-Event-ID is the number of an event").into_response(),
    };
    match web.feed.listen(tenant, after).await {
        Ok(Some(listener)) => Sse::new(listener.lines()).into_response(),
        Ok(None) => {
            Problem::unavailable("as many as can be are listening; try again in a minute").into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

//! Faults of what is asked for: Data API, Gamma, and the order book's cancels, look-ups, logins and balances.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Shared, connection::Connection, cut};
use crate::world::{
    Refusal,
    faults::{FaultKind, FaultTarget},
};

/// Bytes of a reply that get through when it is truncated: status line, headers and a piece of the body.
const TRUNCATED_REPLY: usize = 150;

/// What of the order book a request is; orders have faults of their own.
fn of_clob(method: &Method, path: &str) -> Option<FaultTarget> {
    match (method.as_str(), path) {
        ("DELETE", "/order" | "/orders" | "/cancel-all" | "/cancel-market-orders") => {
            Some(FaultTarget::Cancel)
        }
        ("GET", "/data/orders" | "/data/trades") => Some(FaultTarget::LookUp),
        ("GET", path) if path.starts_with("/data/order/") || path.starts_with("/order/") => {
            Some(FaultTarget::LookUp)
        }
        (_, "/auth/api-key" | "/auth/derive-api-key") => Some(FaultTarget::Login),
        (_, "/balance-allowance" | "/balance-allowance/update") => Some(FaultTarget::Balance),
        _ => None,
    }
}

/// The same for the order book.
pub(super) async fn with_clob_faults(
    State(shared): State<Arc<Shared>>,
    connection: ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    match of_clob(request.method(), request.uri().path()) {
        Some(target) => with_faults(State((shared, target)), connection, request, next).await,
        None => next.run(request).await,
    }
}

/// Lets a request happen as the next fault of its service wants it.
pub(super) async fn with_faults(
    State((shared, target)): State<(Arc<Shared>, FaultTarget)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let fault = shared.with(|world, _| world.faults.take(target, |_| true));
    let Some(fault) = fault else { return next.run(request).await };
    match fault.kind {
        FaultKind::Error500Before => Refusal::new(500, "Internal server error").into_response(),
        FaultKind::TooManyRequests => {
            Refusal { retry_after: Some(1), ..Refusal::new(429, "Too Many Requests") }.into_response()
        }
        FaultKind::Slow => {
            let mut stopped = shared.stopped.clone();
            let slept = tokio::select! {
                () = shared.clock.0.sleep(Duration::from_millis(fault.delay_ms)) => true,
                // An error means that the simulator was dropped.
                _ = stopped.wait_for(|stop| *stop) => false,
            };
            if slept { next.run(request).await } else { cut(&connection) }
        }
        FaultKind::Error500After => {
            next.run(request).await;
            Refusal::new(500, "Internal server error").into_response()
        }
        FaultKind::AcceptThenDrop => {
            next.run(request).await;
            cut(&connection)
        }
        FaultKind::TruncateReply => {
            let reply = next.run(request).await;
            connection.cut_after(TRUNCATED_REPLY);
            reply
        }
        _ => cut(&connection),
    }
}

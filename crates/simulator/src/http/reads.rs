//! Faults of services that are only read: Data API and Gamma.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request, State},
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
        FaultKind::TruncateReply => {
            let reply = next.run(request).await;
            connection.cut_after(TRUNCATED_REPLY);
            reply
        }
        _ => cut(&connection),
    }
}

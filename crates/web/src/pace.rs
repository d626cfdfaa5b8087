//! How fast one client may ask.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderName, HeaderValue, header::RETRY_AFTER},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::Clock;

use crate::{
    Shared,
    limits::{BURST, CLIENTS, PER_SECOND},
    problem::Problem,
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A bucket for each client, filled at a steady pace.
pub(crate) struct Pacer {
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket>>,
}

/// Thousandths of requests that are left, at some uptime.
struct Bucket {
    left: u64,
    at: Duration,
}

const FULL: u64 = BURST as u64 * 1_000;

impl Pacer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buckets: Mutex::default() }
    }

    /// Takes one request: how many are left, or none.
    fn take(&self, client: Option<IpAddr>) -> Option<u32> {
        let now = self.clock.uptime();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CLIENTS {
            // Whoever's bucket is full again is as good as unknown.
            let filled = Duration::from_secs(u64::from(BURST / PER_SECOND));
            buckets.retain(|_, bucket| now.saturating_sub(bucket.at) < filled);
        }
        let bucket = buckets.entry(client).or_insert(Bucket { left: FULL, at: now });
        let since = u64::try_from(now.saturating_sub(bucket.at).as_millis()).unwrap_or(u64::MAX);
        bucket.left = bucket.left.saturating_add(since.saturating_mul(u64::from(PER_SECOND))).min(FULL);
        bucket.at = now;
        bucket.left = bucket.left.checked_sub(1_000)?;
        u32::try_from(bucket.left / 1_000).ok()
    }
}

/// Lets a request through, or says when to come again.
pub(crate) async fn paced(State(web): State<Shared>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/assets/") {
        return next.run(request).await;
    }
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let left = web.pacer.take(client);
    let mut response = match left {
        Some(_) => next.run(request).await,
        None => Problem::too_many(format!("{PER_SECOND} requests a second are answered; wait a second"))
            .into_response(),
    };
    let left = left.unwrap_or(0);
    let headers = response.headers_mut();
    if left == 0 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    headers.insert(LIMIT, HeaderValue::from(BURST));
    headers.insert(REMAINING, HeaderValue::from(left));
    headers.insert(RESET, HeaderValue::from(BURST.saturating_sub(left).div_ceil(PER_SECOND)));
    response
}

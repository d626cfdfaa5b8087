//! A write that is repeated with the same `Idempotency-Key` is done once, and answered as it was.
//!
//! Kept in the memory of this process: over a restart, and among several backends, the writes themselves are what is safe to
//! repeat (who is followed already is a conflict, who is paused stays paused, an account's name is taken).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::ids::OwnerId;
use sha2::{Digest, Sha256};

use crate::{
    Shared, Tenant,
    limits::{BODY, KEY_LETTERS, REPLIES, REPLIES_KEPT},
    problem::Problem,
};

/// The header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whose key it is.
type Key = (Option<OwnerId>, String);

/// What was answered to whom.
#[derive(Default)]
pub(crate) struct Replies(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_key: HashMap<Key, Reply>,
    order: VecDeque<Key>,
}

struct Reply {
    /// Of method, path and body.
    request: [u8; 32],
    /// Uptime when it came.
    at: Duration,
    /// None while it is under way.
    answer: Option<(StatusCode, HeaderMap, Bytes)>,
}

/// Whether a request is new.
enum Seen {
    New,
    Before((StatusCode, HeaderMap, Bytes)),
    UnderWay,
    Other,
}

impl Replies {
    fn begin(&self, key: &Key, request: [u8; 32], now: Duration) -> Seen {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |reply: &&Reply| now.saturating_sub(reply.at) < REPLIES_KEPT;
        match kept.by_key.get(key).filter(fresh) {
            Some(reply) if reply.request != request => return Seen::Other,
            Some(Reply { answer: Some(answer), .. }) => return Seen::Before(answer.clone()),
            Some(_) => return Seen::UnderWay,
            None => {}
        }
        while kept.order.len() >= REPLIES {
            if let Some(oldest) = kept.order.pop_front() {
                kept.by_key.remove(&oldest);
            }
        }
        kept.order.push_back(key.clone());
        kept.by_key.insert(key.clone(), Reply { request, at: now, answer: None });
        Seen::New
    }

    /// Keeps an answer; none, where it may be tried again.
    fn end(&self, key: &Key, answer: Option<(StatusCode, HeaderMap, Bytes)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => {
                if let Some(reply) = kept.by_key.get_mut(key) {
                    reply.answer = Some(answer);
                }
            }
            None => {
                kept.by_key.remove(key);
                kept.order.retain(|other| other != key);
            }
        }
    }
}

/// Does a write once for each key.
pub(crate) async fn once(
    State(web): State<Shared>,
    tenant: Tenant,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let Some(key) = request.headers().get(KEY) else { return next.run(request).await };
    let Some(key) = key.to_str().ok().filter(|key| (1..=KEY_LETTERS).contains(&key.len())) else {
        return Problem::unreadable(format!("an Idempotency-Key has 1 to {KEY_LETTERS} letters"))
            .into_response();
    };
    let key = (tenant.owner(), key.to_owned());
    let (head, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY).await else {
        return Problem::unreadable(format!("a body has at most {BODY} bytes")).into_response();
    };
    let mut digest = Sha256::new();
    digest.update(head.method.as_str());
    digest.update([0]);
    digest.update(head.uri.path());
    digest.update([0]);
    digest.update(&bytes);
    match web.replies.begin(&key, digest.finalize().into(), web.clock.uptime()) {
        Seen::New => {}
        Seen::Before((status, headers, body)) => return (status, headers, body).into_response(),
        Seen::UnderWay => {
            return Problem::conflict("a request with this Idempotency-Key is under way; ask again")
                .into_response();
        }
        Seen::Other => {
            return Problem::invalid("this Idempotency-Key belongs to another request").into_response();
        }
    }
    let response = next.run(Request::from_parts(head, Body::from(bytes))).await;
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let again = head.status.is_server_error();
    web.replies.end(&key, (!again).then(|| (head.status, head.headers.clone(), bytes.clone())));
    (head.status, head.headers, bytes).into_response()
}

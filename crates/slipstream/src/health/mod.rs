//! How this process and what it needs do, over HTTP: for whoever starts it again, sends it work or looks after it.
//!
//! `/health/live` says that the process answers and that its tasks come to the end of what they do. It says nothing of the
//! venue, the database or the queue: a process that waits for them is well, and starting it again helps nobody.
//! `/health/ready` says whether it can serve, `/health` how everything does, `/health/detailed` what was seen of each thing:
//! all of it from what probes saw last, so that a question costs nothing and makes nobody look. Strangers are told how things
//! do, and not what they are.

pub(crate) mod probes;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use operations::{
    health::{Board, Detail, Status},
    metrics::Format,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::measuring::Measures;

/// Where it is asked whether the process lives.
const LIVE: &str = "/health/live";
/// Headers that a proxy adds: whoever is asked through one is asked by a stranger, wherever the proxy is.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// What is told, and of what.
#[derive(Clone)]
pub(crate) struct Health {
    /// What the process does.
    pub(crate) role: &'static str,
    /// Its name among those of the installation.
    pub(crate) process: String,
    /// Tasks that are at one thing for too long.
    pub(crate) hanging: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What probes saw.
    pub(crate) board: Arc<Board>,
    /// A hash of what operators show to be told everything; without one only this machine is.
    pub(crate) token: Option<[u8; 32]>,
}

impl Health {
    /// Reads the token of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is too short to be guessed by nobody.
    pub(crate) fn token(path: &std::path::Path) -> anyhow::Result<[u8; 32]> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} ([run] health_token) cannot be read", path.display()))?;
        let token = text.trim();
        anyhow::ensure!(
            token.len() >= SHORTEST_TOKEN,
            "{} ([run] health_token) holds {} letters, and fewer than {SHORTEST_TOKEN} can be guessed: `openssl rand -hex 32` makes \
             a good one",
            path.display(),
            token.len()
        );
        Ok(Sha256::digest(token.as_bytes()).into())
    }

    /// Whom everything is told: who is on this machine, and who shows the token.
    fn detail_for(&self, headers: &HeaderMap, from: Option<SocketAddr>) -> Detail {
        let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        let is_here = from.is_some_and(|from| from.ip().to_canonical().is_loopback()) && !forwarded;
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
        // Hashes are compared: how long that takes tells nothing of the token.
        let is_ours = shown
            .zip(self.token)
            .is_some_and(|(shown, token)| <[u8; 32]>::from(Sha256::digest(shown.trim().as_bytes())) == token);
        if is_here || is_ours { Detail::Everything } else { Detail::Statuses }
    }

    /// What every answer begins with.
    fn answer(&self, status: &str, detail: Detail) -> Map<String, Value> {
        let mut answer = Map::new();
        answer.insert("status".to_owned(), json!(status));
        answer.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        answer.insert("description".to_owned(), json!(format!("{} of Slipstream", self.role)));
        if detail == Detail::Everything {
            answer.insert("serviceId".to_owned(), json!(self.process));
        }
        answer
    }

    fn live(&self, detail: Detail) -> Response {
        let hanging = (self.hanging)();
        let status = if hanging.is_empty() { Status::Pass } else { Status::Fail };
        let mut answer = self.answer(status.word(), detail);
        if !hanging.is_empty() && detail == Detail::Everything {
            answer.insert("output".to_owned(), json!(format!("hangs: {}", hanging.join(", "))));
        }
        said(status, answer)
    }

    fn ready(&self, detail: Detail) -> Response {
        let report = self.board.report();
        // Who does not know whether it can serve is not sent work.
        let status = if report.ready == Status::Unknown { Status::Fail } else { report.ready };
        said(status, self.answer(status.word(), detail))
    }

    fn whole(&self, detail: Detail, keys: &[&str]) -> Response {
        let report = self.board.report();
        let mut answer = self.answer(report.status.word(), detail);
        if let Value::Object(document) = report.document(detail) {
            answer.extend(document.into_iter().filter(|(key, _)| keys.contains(&key.as_str())));
        }
        said(report.status, answer)
    }
}

/// Fewer letters than this can be tried.
const SHORTEST_TOKEN: usize = 24;

/// As draft-inadarei-api-health-check has it: 200 while it works, however badly.
fn said(status: Status, answer: Map<String, Value>) -> Response {
    let code = if status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut response = (code, Json(answer)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/health+json"));
    response
}

/// The routes, for whoever listens; what is measured is told where it is.
pub(crate) fn routes(health: Health, measures: Option<Measures>) -> Router {
    let detail = |health: &Health, request: &Request| {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        health.detail_for(request.headers(), from)
    };
    let live = move |State(health): State<Health>, request: Request| async move {
        health.live(detail(&health, &request))
    };
    let ready = move |State(health): State<Health>, request: Request| async move {
        health.ready(detail(&health, &request))
    };
    let brief = move |State(health): State<Health>, request: Request| async move {
        health.whole(detail(&health, &request), &["status", "components"])
    };
    let detailed = move |State(health): State<Health>, request: Request| async move {
        health.whole(detail(&health, &request), &["status", "components", "checks"])
    };
    let metrics = move |State(health): State<Health>, request: Request| {
        let measures = measures.clone();
        async move { measured(measures.as_ref(), detail(&health, &request), request.headers()) }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route(LIVE, get(live))
        .route("/health/ready", get(ready))
        .route("/health", get(brief))
        .route("/health/detailed", get(detailed))
        .with_state(health)
}

/// What is measured names processes, providers and wallets' orders: strangers are told nothing of it.
fn measured(measures: Option<&Measures>, detail: Detail, headers: &HeaderMap) -> Response {
    let Some(measures) = measures else { return StatusCode::NOT_FOUND.into_response() };
    if detail != Detail::Everything {
        let words = "metrics are told on this machine, and to who shows the token of [run] health_token\n";
        return (StatusCode::UNAUTHORIZED, words).into_response();
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted_by(accept);
    let text = measures.collect().text(format);
    ([(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))], text).into_response()
}

/// Takes the address.
///
/// # Errors
/// When nobody can listen there.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} ([run] health_address): is it another process's, or another machine's?")
    })
}

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    if let Ok(address) = listener.local_addr() {
        info!("http://{address}{LIVE} tells whether this process is alive");
    }
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        error!(%error, "nobody can ask any more whether this process is alive: {error}");
    }
}

#[cfg(test)]
mod tests;

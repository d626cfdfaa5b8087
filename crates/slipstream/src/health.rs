//! Whether this process is alive, over HTTP: for whoever starts it again when it is not.
//!
//! It says that the process answers and that its tasks come to the end of what they do. It says nothing of the venue, the
//! database or the queue: a process that waits for them is well, and starting it again helps nobody.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{error, info};

/// Where it is asked for.
const LIVE: &str = "/health/live";

/// Who answers, and what of it hangs now.
#[derive(Clone)]
pub(crate) struct Alive {
    /// What the process does.
    pub(crate) role: &'static str,
    /// Its name among those of the installation.
    pub(crate) process: String,
    /// Tasks that are at one thing for too long.
    pub(crate) hanging: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
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

/// Answers until aborted.
pub(crate) fn serve(listener: TcpListener, alive: Alive) -> JoinHandle<()> {
    if let Ok(address) = listener.local_addr() {
        info!("http://{address}{LIVE} tells whether this process is alive");
    }
    let answer = move || {
        let alive = alive.clone();
        async move { said(&alive) }
    };
    let router = Router::new().route(LIVE, get(answer));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!(%error, "nobody can ask any more whether this process is alive: {error}");
        }
    })
}

/// As draft-inadarei-api-health-check has it.
fn said(alive: &Alive) -> Response {
    let hanging = (alive.hanging)();
    let (code, status) = match hanging.is_empty() {
        true => (StatusCode::OK, "pass"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "serviceId": alive.process,
        "description": format!("{} of Slipstream", alive.role),
        "output": if hanging.is_empty() { String::new() } else { format!("hangs: {}", hanging.join(", ")) },
    });
    let mut response = (code, Json(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/health+json"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    /// Head and body of the answer.
    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {LIVE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_process_says_that_it_lives_until_a_task_hangs() {
        let hangs = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&hangs);
        let hanging = move || -> Vec<String> {
            if seen.load(Ordering::Relaxed) { vec!["watcher-1".to_owned()] } else { Vec::new() }
        };
        let alive = Alive { role: "backend", process: "host-1".to_owned(), hanging: Arc::new(hanging) };
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = listen(address).await.unwrap_err();
        assert!(refused.to_string().contains("health_address"), "{refused:#}");
        let server = serve(listener, alive);
        let lives = ask(address).await;
        let told =
            ["HTTP/1.1 200", "application/health+json", "\"status\":\"pass\"", "\"serviceId\":\"host-1\""];
        assert!(told.iter().all(|words| lives.contains(words)), "{lives}");
        hangs.store(true, Ordering::Relaxed);
        let hangs = ask(address).await;
        let told = ["HTTP/1.1 503", "\"status\":\"fail\"", "hangs: watcher-1"];
        assert!(told.iter().all(|words| hangs.contains(words)), "{hangs}");
        server.abort();
    }
}

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

    use super::*;

    #[tokio::test]
    async fn a_process_says_that_it_lives_until_a_task_hangs() {
        let hangs = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&hangs);
        let hanging =
            move || seen.load(Ordering::Relaxed).then(|| "watcher-1".to_owned()).into_iter().collect();
        let alive = Alive { role: "backend", process: "host-1".to_owned(), hanging: Arc::new(hanging) };
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = listen(address).await.unwrap_err();
        assert!(refused.to_string().contains("health_address"), "{refused:#}");
        let server = serve(listener, alive);
        let ask = async || reqwest::get(format!("http://{address}{LIVE}")).await.unwrap();
        let answer = ask().await;
        assert_eq!(answer.headers()["content-type"], "application/health+json");
        let (code, said) = (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap());
        assert_eq!(
            (code, said["status"].as_str(), said["serviceId"].as_str()),
            (200, Some("pass"), Some("host-1"))
        );
        hangs.store(true, Ordering::Relaxed);
        let answer = ask().await;
        let (code, said) = (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap());
        assert_eq!((code, said["output"].as_str()), (503, Some("hangs: watcher-1")));
        server.abort();
    }
}

//! What is told over HTTP, and whom.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use domain::{Clock, Timestamp};
use operations::health::{Check, Kind, Reading, Weight};
use testkit::virtual_clock::VirtualClock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;

const VENUE: Check = Check {
    component: "polymarket_api",
    measurement: "responseTime",
    kind: Kind::Component,
    unit: "ms",
    weight: Weight::Major,
};
const DATABASE: Check =
    Check { component: "database", kind: Kind::Datastore, weight: Weight::Ready, ..VENUE };

struct Scene {
    address: SocketAddr,
    clock: Arc<VirtualClock>,
    board: Arc<Board>,
    hangs: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl Scene {
    async fn new() -> Self {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_000));
        let board = Arc::new(Board::new(Arc::clone(&clock) as Arc<dyn Clock>));
        for check in [VENUE, DATABASE] {
            board.expect(check, Duration::from_secs(30));
        }
        let hangs = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&hangs);
        let hanging = move || -> Vec<String> {
            if seen.load(Ordering::Relaxed) { vec!["watcher-1".to_owned()] } else { Vec::new() }
        };
        let health = Health {
            role: "backend",
            process: "host-1".to_owned(),
            hanging: Arc::new(hanging),
            board: Arc::clone(&board),
            token: Some(Sha256::digest(b"correct horse battery staple").into()),
        };
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, routes(health, None)));
        Self { address, clock, board, hangs, server }
    }

    /// Head and body of the answer.
    async fn ask(&self, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn see(&self, venue: Reading, database: Reading) {
        self.board.put(VENUE, vec![venue.of("clob.example")], Duration::from_millis(3));
        self.board.put(DATABASE, vec![database], Duration::from_millis(3));
    }
}

fn has(answer: &str, words: &[&str]) {
    assert!(words.iter().all(|words| answer.contains(words)), "{words:?} in {answer}");
}

#[tokio::test]
async fn a_process_says_that_it_lives_until_a_task_hangs() {
    let scene = Scene::new().await;
    let refused = listen(scene.address).await.unwrap_err();
    assert!(refused.to_string().contains("health_address"), "{refused:#}");
    let lives = scene.ask(LIVE, "").await;
    has(
        &lives,
        &["HTTP/1.1 200", "application/health+json", "\"status\":\"pass\"", "\"serviceId\":\"host-1\""],
    );
    scene.hangs.store(true, Ordering::Relaxed);
    has(&scene.ask(LIVE, "").await, &["HTTP/1.1 503", "\"status\":\"fail\"", "hangs: watcher-1"]);
    scene.server.abort();
}

#[tokio::test]
async fn it_is_ready_while_its_database_is_and_ill_while_the_venue_is() {
    let scene = Scene::new().await;
    has(&scene.ask("/health/ready", "").await, &["HTTP/1.1 503"]);
    has(&scene.ask("/health", "").await, &["HTTP/1.1 200", "\"polymarket_api\":{\"status\":\"unknown\"}"]);
    scene.see(Reading::pass(Some(12.0)), Reading::pass(None));
    has(&scene.ask("/health/ready", "").await, &["HTTP/1.1 200", "pass"]);
    has(&scene.ask("/health", "").await, &["HTTP/1.1 200", "\"status\":\"pass\""]);
    scene.see(Reading::fail(None, "no route to host"), Reading::pass(None));
    has(&scene.ask("/health/ready", "").await, &["HTTP/1.1 200"]);
    let ill = scene.ask("/health/detailed", "").await;
    has(&ill, &["HTTP/1.1 503", "polymarket_api:responseTime", "no route to host", "clob.example"]);
    scene.see(Reading::pass(Some(12.0)), Reading::fail(None, "gone"));
    has(&scene.ask("/health/ready", "").await, &["HTTP/1.1 503"]);
    scene.clock.advance(Duration::from_secs(31));
    has(&scene.ask("/health/detailed", "").await, &["HTTP/1.1 200", "\"unknown\"", "31 s ago"]);
    has(&scene.ask("/health/ready", "").await, &["HTTP/1.1 503"]);
    scene.server.abort();
}

/// Whoever comes through a proxy on this machine seems to be on it.
#[tokio::test]
async fn strangers_are_told_statuses_alone() {
    let scene = Scene::new().await;
    scene.see(Reading::fail(Some(9.0), "no route to 10.1.2.3"), Reading::pass(None));
    let open = ["clob.example", "10.1.2.3", "observedValue", "host-1"];
    for header in
        ["X-Forwarded-For: 203.0.113.9\r\n", "Forwarded: for=203.0.113.9\r\nAuthorization: Bearer wrong\r\n"]
    {
        for path in ["/health/detailed", "/health", LIVE, "/health/ready"] {
            let told = scene.ask(path, header).await;
            assert!(open.iter().all(|word| !told.contains(word)), "{path}: {told}");
        }
        has(&scene.ask("/health/detailed", header).await, &["HTTP/1.1 503", "polymarket_api:responseTime"]);
    }
    let shown = "X-Forwarded-For: 203.0.113.9\r\nAuthorization: Bearer correct horse battery staple\r\n";
    has(&scene.ask("/health/detailed", shown).await, &open);
    scene.server.abort();
}

#[test]
fn a_token_that_can_be_guessed_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let refused = Health::token(file.path()).unwrap_err().to_string();
    assert!(refused.contains("6 letters") && !refused.contains("s3cret"), "{refused}");
    std::fs::write(file.path(), "correct horse battery staple\n").unwrap();
    assert_eq!(
        Health::token(file.path()).unwrap(),
        <[u8; 32]>::from(Sha256::digest(b"correct horse battery staple"))
    );
}

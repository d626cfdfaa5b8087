//! A tiny HTTP server between the engine and a service of the venue: passes requests on, or answers with
//! whatever bytes the test gives it. One request per connection.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What to answer to the requests whose first line begins so.
struct Hostile {
    beginning: &'static str,
    bytes: Arc<Vec<u8>>,
    /// How often.
    left: usize,
}

/// How the body of a real answer is changed.
pub type Change = fn(&str) -> String;

#[derive(Default)]
struct State {
    hostile: Mutex<Option<Hostile>>,
    /// For answers to requests that begin so and say so.
    changed: Mutex<Option<(&'static str, &'static str, Change)>>,
    answered: AtomicUsize,
}

/// The server; stops when dropped.
pub struct Front {
    pub url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// In front of the service at `upstream` (`http://host:port`).
    pub async fn of(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream: Arc<str> = upstream.trim_start_matches("http://").into();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, state) = (Arc::clone(&upstream), Arc::clone(&shared));
                // A connection that breaks is the client's business.
                tokio::spawn(async move { serve(stream, &upstream, &state).await.ok() });
            }
        });
        Self { url, state, task }
    }

    /// Answers the next `count` requests that begin with `beginning` with these bytes.
    pub fn answer(&self, beginning: &'static str, bytes: Vec<u8>, count: usize) {
        *self.state.hostile.lock().expect("a lock") =
            Some(Hostile { beginning, bytes: Arc::new(bytes), left: count });
    }

    /// Changes the answers to requests that begin with `beginning` and say `word`. One that comes out otherwise
    /// than it was counts as hostile.
    pub fn change(&self, beginning: &'static str, word: &'static str, change: Change) {
        *self.state.changed.lock().expect("a lock") = Some((beginning, word, change));
    }

    /// Passes everything on again.
    pub fn behave(&self) {
        *self.state.hostile.lock().expect("a lock") = None;
        *self.state.changed.lock().expect("a lock") = None;
    }

    /// How many requests got a hostile answer.
    pub fn answered(&self) -> usize {
        self.state.answered.load(Ordering::SeqCst)
    }
}

impl State {
    fn hostile_answer(&self, request: &[u8]) -> Option<Arc<Vec<u8>>> {
        let mut hostile = self.hostile.lock().expect("a lock");
        let found = hostile.as_mut()?;
        if found.left == 0 || !request.starts_with(found.beginning.as_bytes()) {
            return None;
        }
        found.left -= 1;
        Some(Arc::clone(&found.bytes))
    }
}

impl State {
    fn changed(&self, request: &[u8], reply: Vec<u8>) -> Vec<u8> {
        let Some((beginning, word, change)) = *self.changed.lock().expect("a lock") else { return reply };
        let (asked, said) = (String::from_utf8_lossy(request), String::from_utf8_lossy(&reply));
        let Some((_, body)) = said.split_once("\r\n\r\n") else { return reply };
        let told = change(body);
        if !said.starts_with("HTTP/1.1 200")
            || !asked.starts_with(beginning)
            || !asked.contains(word)
            || told == body
        {
            return reply;
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        self::reply("200 OK", "application/json", told.as_bytes())
    }
}

async fn serve(mut stream: TcpStream, upstream: &str, state: &State) -> std::io::Result<()> {
    let request = read_request(&mut stream).await?;
    if let Some(bytes) = state.hostile_answer(&request) {
        // Counted first: a client may hang up before the last byte.
        state.answered.fetch_add(1, Ordering::SeqCst);
        stream.write_all(&bytes).await?;
        return stream.shutdown().await;
    }
    let mut behind = TcpStream::connect(upstream).await?;
    behind.write_all(&request).await?;
    let mut reply = Vec::new();
    behind.read_to_end(&mut reply).await?;
    stream.write_all(&state.changed(&request, reply)).await?;
    stream.shutdown().await
}

/// One whole request, with a header that ends the connection after its answer.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    let head = loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while request.len() < head + length {
        match stream.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    request.splice(head - 2..head - 2, *b"connection: close\r\n");
    Ok(request)
}

/// A complete answer with this status line, type and body.
fn reply(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Answers that no service should give, with a name each.
pub fn hostile_answers() -> Vec<(&'static str, Vec<u8>)> {
    let json = "application/json";
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let mut deep_object = b"{\"result\":".repeat(50_000);
    deep_object.extend(vec![b'}'; 50_000]);
    vec![
        ("garbage", reply("200 OK", json, b"\x00\xff{{{ nonsense")),
        ("10 MB", reply("200 OK", json, &vec![b' '; 10 * 1024 * 1024])),
        ("deep lists", reply("200 OK", json, &deep)),
        ("deep objects", reply("200 OK", json, &deep_object)),
        ("a page", reply("200 OK", "text/html", b"<html>down for maintenance</html>")),
        ("a number", reply("200 OK", json, b"-1e999")),
        ("null", reply("200 OK", json, b"null")),
        ("other content", reply("200 OK", json, br#"{"success":true,"status":"matched","orderID":"0x00","data":[{}],"jsonrpc":"2.0","id":-1,"result":{"number":"0xfffffffffffffffffffff"}}"#)),
        ("an empty body", reply("200 OK", json, b"")),
        ("no answer", Vec::new()),
        ("a cut answer", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"da".to_vec()),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("a redirect", b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("an error", reply("500 Internal Server Error", "text/plain", b"oops")),
    ]
}

/// A refusal of credentials, as the venue words it.
pub fn unauthorized() -> Vec<u8> {
    reply("401 Unauthorized", "application/json", br#"{"error":"Unauthorized/Invalid api key"}"#)
}

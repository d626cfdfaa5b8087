//! A proxy before the database, which can cut a connection in the middle of a commit: whoever commits does not learn
//! whether it was done.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU64, Ordering},
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Bytes that are passed on at a time.
const PIECE: usize = 16 * 1024;
/// What a commit is called on the wire.
const COMMIT: &[u8] = b"COMMIT";

/// Commits that are to be cut, and those that were.
#[derive(Debug, Default)]
struct Cuts {
    wanted: AtomicU64,
    done: AtomicU64,
}

/// The proxy. It listens for as long as this process runs.
pub(super) struct Proxy {
    port: u16,
    /// The server's.
    server: Arc<AtomicU16>,
    cuts: Arc<Cuts>,
}

impl Proxy {
    /// Listens before the server at this port of the loopback address.
    pub(super) fn before(server: u16) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
        listener.set_nonblocking(true).context("a socket")?;
        let port = listener.local_addr().context("a socket")?.port();
        let listener = TcpListener::from_std(listener).context("a socket")?;
        let cuts = Arc::<Cuts>::default();
        let server = Arc::new(AtomicU16::new(server));
        let (shared, turned) = (Arc::clone(&cuts), Arc::clone(&server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = turned.load(Ordering::SeqCst);
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Ok(Self { port, server, cuts })
    }

    /// Where it listens.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Whoever connects from now on gets to the server at another port.
    pub(super) fn turn_to(&self, server: u16) {
        self.server.store(server, Ordering::SeqCst);
    }

    /// Cuts the next commits: every other one before the server hears of it, and every other one before it can answer.
    pub(super) fn cut(&self, count: u64) {
        self.cuts.wanted.fetch_add(count, Ordering::SeqCst);
    }

    /// How many commits were cut.
    pub(super) fn done(&self) -> u64 {
        self.cuts.done.load(Ordering::SeqCst)
    }
}

impl Cuts {
    /// Whether this piece is a commit that is to be cut: its number then.
    fn take(&self, piece: &[u8]) -> Option<u64> {
        // Usually nothing is looked for.
        if self.wanted.load(Ordering::SeqCst) == 0
            || !piece.windows(COMMIT.len()).any(|window| window == COMMIT)
        {
            return None;
        }
        let less = |wanted: u64| wanted.checked_sub(1);
        self.wanted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok()?;
        Some(self.done.fetch_add(1, Ordering::SeqCst))
    }
}

/// Passes everything on until either end has gone, or the connection is cut.
async fn pass(client: TcpStream, server: u16, cuts: Arc<Cuts>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    // Small pieces are waited for on the other side.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        _ = copy(&mut from_server, &mut to_client) => {}
        () = forward(from_client, to_server, &cuts) => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cuts: &Cuts) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let Some(bytes) = piece.get(..length) else { return };
        match cuts.take(bytes) {
            None => {
                if to.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Some(number) => {
                if number % 2 == 0 {
                    // The server reads it before it sees the end.
                    let _ = to.write_all(bytes).await;
                    let _ = to.shutdown().await;
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that notes what it hears and answers each piece.
    async fn noting() -> (u16, Arc<std::sync::Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, heard) =
            (listener.local_addr().unwrap().port(), Arc::<std::sync::Mutex<Vec<u8>>>::default());
        let notes = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut piece = [0; 64];
                while let Ok(length @ 1..) = client.read(&mut piece).await {
                    notes.lock().unwrap().extend_from_slice(&piece[..length]);
                    if client.write_all(b"done").await.is_err() {
                        break;
                    }
                }
            }
        });
        (port, heard)
    }

    async fn says(proxy: &Proxy, what: &[u8]) -> Option<Vec<u8>> {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        client.write_all(what).await.unwrap();
        let mut answer = vec![0; 4];
        client.read_exact(&mut answer).await.ok().map(|_| answer)
    }

    #[tokio::test]
    async fn a_commit_is_cut_before_or_after_the_server_hears_of_it() {
        let (port, heard) = noting().await;
        let proxy = Proxy::before(port).unwrap();
        assert_eq!(says(&proxy, b"COMMIT 0").await.as_deref(), Some(&b"done"[..]));
        proxy.cut(2);
        assert_eq!(says(&proxy, b"SELECT 1").await.as_deref(), Some(&b"done"[..]), "no commit");
        let _ = says(&proxy, b"COMMIT 1").await;
        assert_eq!(says(&proxy, b"COMMIT 2").await, None);
        assert_eq!(says(&proxy, b"COMMIT 3").await.as_deref(), Some(&b"done"[..]));
        assert_eq!(proxy.done(), 2);
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains("COMMIT 1") && !heard.contains("COMMIT 2"), "{heard}");
    }
}

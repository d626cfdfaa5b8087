//! Websockets of Polygon that tell of new blocks. They only ring: what is in a block is asked over HTTP, from whoever
//! answers best, whatever a notice says, also one of a log that was removed. A doorbell that says nothing is not
//! believed, and whoever waits at it looks by himself.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::Clock;
use engine::ports::feeds::FeedHealth;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::Notify, task::AbortHandle};
use zeroize::Zeroizing;

use crate::{
    http::shorten,
    limits::{BELL_BELIEVED, BELL_PING_EVERY, BELL_PONG_WITHIN, BELL_SILENCE},
    providers::RpcUrl,
    socket::{Channel, Connector, Counters, Keepalive, Socket, Taken},
};

/// Source: ethereum.org/developers/docs/apis/json-rpc, geth's real-time events.
const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;

/// A question instead of a ping: every text has to be a request.
const KEEPALIVE: Keepalive = Keepalive {
    ping: r#"{"jsonrpc":"2.0","id":2,"method":"eth_chainId","params":[]}"#,
    pong: b"",
    every: BELL_PING_EVERY,
    within: BELL_PONG_WITHIN,
    anything_answers: true,
};

/// No ring yet.
const NEVER: u64 = u64::MAX;

/// Doorbells of a chain. Their sockets are tasks of the runtime they are hung in; they end with it.
pub struct Doorbells {
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    bell: Arc<Bell>,
    open: Mutex<Vec<(RpcUrl, AbortHandle)>>,
}

struct Bell {
    rung: Notify,
    /// Uptime of the newest ring, in microseconds.
    newest: AtomicU64,
}

impl Doorbells {
    /// None hung yet; `seed` spreads the pauses between attempts to connect.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let bell = Arc::new(Bell { rung: Notify::new(), newest: AtomicU64::new(NEVER) });
        Self { connector, clock, counters: Counters::new(seed), bell, open: Mutex::default() }
    }

    /// Hangs up doorbells at these URLs instead of those before.
    pub fn hang(&self, urls: &[RpcUrl]) {
        let mut open = self.lock();
        open.retain(|(url, task)| {
            let stays = urls.contains(url);
            if !stays {
                task.abort();
            }
            stays
        });
        for url in urls {
            if !open.iter().any(|(known, _)| known == url) {
                open.push((url.clone(), self.open(url)));
            }
        }
        self.counters.want(open.len());
    }

    fn open(&self, url: &RpcUrl) -> AbortHandle {
        let socket = Socket {
            url: url.expose().to_owned(),
            connector: Arc::clone(&self.connector),
            clock: Arc::clone(&self.clock),
            keepalive: KEEPALIVE,
            counters: Arc::clone(&self.counters),
        };
        let mut channel = Heads { bell: Arc::clone(&self.bell), clock: Arc::clone(&self.clock) };
        tokio::spawn(async move { socket.run(&mut channel).await }).abort_handle()
    }

    /// How they do, all together.
    #[must_use]
    pub fn health(&self) -> FeedHealth {
        self.counters.health()
    }

    /// Waits for a ring; one that nobody waited for is not lost.
    pub async fn rung(&self) {
        self.bell.rung.notified().await;
    }

    /// Whether a new block would ring: one did a short time ago.
    #[must_use]
    pub fn works(&self) -> bool {
        let newest = self.bell.newest.load(Relaxed);
        newest != NEVER
            && self.clock.uptime().saturating_sub(Duration::from_micros(newest)) < BELL_BELIEVED
            && !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(RpcUrl, AbortHandle)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Doorbells {
    fn drop(&mut self) {
        self.lock().drain(..).for_each(|(_, task)| task.abort());
    }
}

/// One doorbell's conversation.
struct Heads {
    bell: Arc<Bell>,
    clock: Arc<dyn Clock>,
}

/// A reply or a notice.
#[derive(Deserialize)]
struct Message<'a> {
    method: Option<String>,
    id: Option<u64>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[async_trait]
impl Channel for Heads {
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String> {
        Ok(vec![Zeroizing::new(SUBSCRIBE.to_owned())])
    }

    async fn more(&mut self) -> Vec<String> {
        std::future::pending().await
    }

    async fn take(&mut self, frame: &[u8]) -> Taken {
        let message: Message<'_> = match serde_json::from_slice(frame) {
            Ok(message) => message,
            Err(error) => return Taken::Refused(shorten(&error.to_string())),
        };
        match message {
            Message { id: Some(1), error: Some(error), .. } => {
                Taken::Broken(format!("no subscription to new blocks: {}", shorten(error.get())))
            }
            Message { method: Some(method), .. } if method == "eth_subscription" => {
                let micros = u64::try_from(self.clock.uptime().as_micros()).unwrap_or(NEVER);
                self.bell.newest.store(micros, Relaxed);
                self.bell.rung.notify_one();
                Taken::Understood { events: 1, passed_over: 0 }
            }
            _ => Taken::Blank,
        }
    }

    async fn lost(&mut self) {}

    fn silence(&self) -> Option<Duration> {
        Some(BELL_SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use futures_util::FutureExt;
    use testkit::virtual_clock::VirtualClock;

    use super::*;
    use crate::socket::WebSockets;

    #[test]
    fn every_notice_rings_and_nothing_else_does() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_795_449_790));
        let doorbells = Doorbells::new(Arc::new(WebSockets), Arc::clone(&clock) as Arc<dyn Clock>, 7);
        let mut heads = Heads { bell: Arc::clone(&doorbells.bell), clock: clock as Arc<dyn Clock> };
        let mut rings = |frame: &str| {
            let taken = heads.take(frame.as_bytes()).now_or_never().unwrap();
            (taken, doorbells.rung().now_or_never().is_some())
        };
        let head = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":{"number":"0x7"}}}"#;
        let removed = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x2","result":{"removed":true}}}"#;
        for notice in [head, removed] {
            assert_eq!(rings(notice), (Taken::Understood { events: 1, passed_over: 0 }, true));
        }
        for reply in [
            r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":2,"result":"0x89"}"#,
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no"}}"#,
        ] {
            assert_eq!(rings(reply), (Taken::Blank, false));
        }
        let refused = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no newHeads here"}}"#;
        assert!(
            matches!(rings(refused), (Taken::Broken(reason), false) if reason.contains("no newHeads here"))
        );
        for odd in ["", "[]", "7", "{", "\u{0}", r#"{"method":7}"#] {
            assert!(matches!(rings(odd), (Taken::Refused(_), false)), "{odd}");
        }
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let mut heads = Heads {
            bell: Arc::new(Bell { rung: Notify::new(), newest: AtomicU64::new(NEVER) }),
            clock: VirtualClock::new(Timestamp::from_seconds(1_790_000_000)),
        };
        let heads = std::cell::RefCell::new(&mut heads);
        let sample = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":{"number":"0x64"}}}"#;
        crate::hostile::survives(
            sample,
            |bytes| {
                let taken =
                    heads.borrow_mut().take(bytes).now_or_never().expect("taking a frame waits for nobody");
                matches!(taken, Taken::Understood { .. }).then_some(())
            },
            |()| true,
        );
    }
}

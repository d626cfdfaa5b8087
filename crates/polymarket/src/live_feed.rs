//! The live trade feed as the engine reads it: one socket for all wallets, frames into hints.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock};
use engine::ports::{
    feeds::FeedHealth,
    live::{LiveFeed, LiveNews},
};
use tokio::{sync::mpsc, task::AbortHandle};
use zeroize::Zeroizing;

use crate::{
    frames::{
        PONG,
        live::{self, Named, Wallets},
    },
    limits::{FEED_BUFFER, LIVE_OLDEST, LIVE_PING_EVERY, LIVE_PONG_WITHIN, LIVE_SILENCE},
    socket::{Channel, Connector, Counters, Keepalive, Socket, Taken},
};

/// How the feed proves to be alive.
const KEEPALIVE: Keepalive = Keepalive {
    ping: "PING",
    pong: PONG,
    every: LIVE_PING_EVERY,
    within: LIVE_PONG_WITHIN,
    anything_answers: true,
};

/// The live trade feed. Its socket is a task of the runtime it is used in, open while anybody is followed.
pub struct LiveSocket {
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    url: String,
    counters: Arc<Counters>,
    wallets: Arc<Mutex<Arc<Wallets>>>,
    task: Mutex<Option<AbortHandle>>,
    write: mpsc::Sender<LiveNews>,
    read: tokio::sync::Mutex<mpsc::Receiver<LiveNews>>,
}

impl LiveSocket {
    /// The feed at `url` (`wss://host`); `seed` spreads the pauses between attempts to connect.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, url: &str, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let (write, read) = mpsc::channel(FEED_BUFFER);
        Self {
            connector,
            clock,
            url: url.to_owned(),
            counters: Counters::new(seed),
            wallets: Arc::default(),
            task: Mutex::default(),
            write,
            read: tokio::sync::Mutex::new(read),
        }
    }

    fn open(&self) -> AbortHandle {
        let socket = Socket {
            url: self.url.clone(),
            connector: Arc::clone(&self.connector),
            clock: Arc::clone(&self.clock),
            keepalive: KEEPALIVE,
            counters: Arc::clone(&self.counters),
        };
        let mut channel = TradeChannel { wallets: Arc::clone(&self.wallets), news: self.write.clone() };
        tokio::spawn(async move { socket.run(&mut channel).await }).abort_handle()
    }
}

impl Drop for LiveSocket {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl LiveFeed for LiveSocket {
    fn follow(&self, wallets: &BTreeSet<Address>) {
        *lock(&self.wallets) = Arc::new(Wallets::of(wallets.iter().copied()));
        let mut task = lock(&self.task);
        if wallets.is_empty() {
            if let Some(task) = task.take() {
                task.abort();
            }
        } else if task.is_none() {
            *task = Some(self.open());
        }
        self.counters.want(usize::from(task.is_some()));
    }

    async fn next(&self, limit: usize) -> Vec<LiveNews> {
        let mut news = Vec::new();
        self.read.lock().await.recv_many(&mut news, limit).await;
        news
    }

    fn health(&self) -> FeedHealth {
        self.counters.health()
    }
}

/// The conversation.
struct TradeChannel {
    wallets: Arc<Mutex<Arc<Wallets>>>,
    news: mpsc::Sender<LiveNews>,
}

#[async_trait]
impl Channel for TradeChannel {
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String> {
        Ok(vec![Zeroizing::new(live::SUBSCRIBE.to_owned())])
    }

    async fn opened(&mut self) {
        self.tell(LiveNews::Gap).await;
    }

    async fn more(&mut self) -> Vec<String> {
        std::future::pending().await
    }

    /// A frame that is not understood may have been a trade; what follows it is true all the same.
    async fn take(&mut self, frame: &[u8]) -> Taken {
        let wallets = Arc::clone(&lock(&self.wallets));
        match live::decode(frame, &wallets) {
            Ok(None) => Taken::Blank,
            Ok(Some(decoded)) => {
                let (events, passed_over) = (decoded.events.len(), decoded.passed_over);
                for trade in decoded.events {
                    self.tell(LiveNews::Trade(trade)).await;
                }
                if events == 0 && wallets.named(frame) == Named::Nobody {
                    return Taken::Aside { passed_over: 1 };
                }
                Taken::Understood { events, passed_over }
            }
            Err(error) => {
                self.tell(LiveNews::Gap).await;
                Taken::Refused(error.to_string())
            }
        }
    }

    async fn lost(&mut self) {}

    fn silence(&self) -> Option<Duration> {
        Some(LIVE_SILENCE)
    }

    fn oldest(&self) -> Option<Duration> {
        Some(LIVE_OLDEST)
    }
}

impl TradeChannel {
    async fn tell(&self, news: LiveNews) {
        // An error means that nobody reads any more.
        if self.news.send(news).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

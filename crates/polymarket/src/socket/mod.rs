//! One websocket that is kept open: connect within a deadline, say what is wanted, ping, notice silence,
//! connect again with growing pauses.
//!
//! It knows nothing of what frames mean: a [`Channel`] says what to send and takes what comes. It reads no
//! frame before the one before was taken, so a slow reader slows the server down and no buffer grows.

mod counters;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Clock;
use engine::deadline::within;
use tracing::{debug, warn};
use zeroize::Zeroizing;

pub use self::{
    counters::Counters,
    wire::{Connection, Connector, Frame, SocketError, WebSockets},
};
use crate::{
    limits::{
        PING_EVERY, PONG_WITHIN, RECONNECT_FIRST, RECONNECT_LAST, SOCKET_CONNECT, SOCKET_SEND, STEADY_AFTER,
    },
    providers::host,
};

/// How a socket proves that it is alive.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Text to send.
    pub ping: &'static str,
    /// Text that answers it.
    pub pong: &'static [u8],
    /// How often to send it.
    pub every: Duration,
    /// Without an answer for this long the connection is dead.
    pub within: Duration,
    /// Whether everything that is said answers a ping as well: how the server answers is not documented.
    pub anything_answers: bool,
}

/// The CLOB's channels. Source: docs.polymarket.com/market-data/websocket (heartbeats).
pub const CLOB_KEEPALIVE: Keepalive = Keepalive {
    ping: "PING",
    pong: crate::frames::PONG,
    every: PING_EVERY,
    within: PONG_WITHIN,
    anything_answers: false,
};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Blank: it tells nothing and ends no silence.
    Blank,
    /// Understood.
    Understood {
        /// Events taken.
        events: usize,
        /// Events passed over.
        passed_over: usize,
    },
    /// Nothing of what is listened for, as a reply to what was said: it ends no silence.
    Aside {
        /// Events passed over.
        passed_over: usize,
    },
    /// Not understood, and what follows can be: the connection stays. It ends no silence.
    Refused(String),
    /// Not understood, and what follows would be built on a gap: the connection is made again.
    Broken(String),
}

/// What is said and heard over one socket. Calls that wait lose nothing when they are given up.
#[async_trait]
pub trait Channel: Send + Sync {
    /// What to say first on a new connection.
    ///
    /// # Errors
    /// In words, when it cannot be said now; the connection is tried again later.
    async fn opening(&mut self) -> Result<Vec<Zeroizing<String>>, String>;

    /// The connection is made and the opening is said.
    async fn opened(&mut self) {}

    /// What to say besides, as soon as there is something; waits for it.
    async fn more(&mut self) -> Vec<String>;

    /// Takes a text frame that is not the answer to a ping.
    async fn take(&mut self, frame: &[u8]) -> Taken;

    /// The connection is gone.
    async fn lost(&mut self);

    /// Longest silence that is believed, if any is suspicious now.
    fn silence(&self) -> Option<Duration> {
        None
    }

    /// How old a connection may become. It is made again then: some stop to tell a part of what they should.
    fn oldest(&self) -> Option<Duration> {
        None
    }
}

/// A socket to one address.
pub struct Socket {
    /// Where to. It may hold a key: only its host is ever shown.
    pub url: String,
    /// How to get there.
    pub connector: Arc<dyn Connector>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How it proves to be alive.
    pub keepalive: Keepalive,
    /// What is counted, shared by the sockets of a feed; also spreads their pauses.
    pub counters: Arc<Counters>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It could not be made, broke, or was closed.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// It took too long to make it or to write to it.
    #[error("{0} took longer than {1:?}")]
    Slow(&'static str, Duration),
    /// Nothing can be said now.
    #[error("not ready: {0}")]
    NotReady(String),
    /// No answer to pings.
    #[error("no answer to a ping within {0:?}")]
    NoPong(Duration),
    /// Answers to pings, and nothing else.
    #[error("nothing was told for {0:?}")]
    Silent(Duration),
    /// So old that it may have stopped to tell everything.
    #[error("it has lived for {0:?}")]
    Old(Duration),
    /// A frame that leaves a gap.
    #[error("a frame was not understood: {0}")]
    Broken(String),
}

/// What happens next on a connection.
enum Next {
    Frame(Result<Frame, SocketError>),
    More(Vec<String>),
    Time,
}

/// Moments of uptime that a connection lives by.
struct Times {
    /// When to ping next.
    ping: Duration,
    /// Since when an answer to a ping is owed; the opening counts as one.
    owed: Option<Duration>,
    /// When something was heard last.
    heard: Duration,
    /// When the connection is so old that it is made again.
    old: Option<Duration>,
}

impl Socket {
    /// Keeps the connection open for ever. Dropping the future closes it.
    pub async fn run(&self, channel: &mut dyn Channel) {
        let mut failures = 0_u32;
        let mut connected_before = false;
        loop {
            let began = self.clock.uptime();
            let open = self.counters.opening();
            let ended = self.connection(channel, &mut connected_before, &open).await;
            drop(open);
            channel.lost().await;
            if !matches!(ended, Ended::Old(_)) {
                self.counters.failed();
            }
            let lived = self.clock.uptime().saturating_sub(began);
            failures = if lived >= STEADY_AFTER { 0 } else { failures.saturating_add(1) };
            let pause = self.pause(failures);
            // A silence may be no more than a quiet hour: it is worth a word if nobody answers afterwards.
            if matches!(ended, Ended::Old(_) | Ended::Silent(_)) {
                debug!(host = host(&self.url), "a connection is made again: {ended}");
            } else if failures <= 1 {
                let host = host(&self.url);
                warn!(%host, reason = %ended, "connection to {host} is gone: {ended}");
            } else {
                debug!(host = host(&self.url), reason = %ended, ?pause, failures, "no connection");
            }
            self.clock.sleep(pause).await;
        }
    }

    /// Twice as long after each failure in a row; half of it is left to chance, so that many clients do not
    /// come back at once.
    fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = RECONNECT_FIRST.saturating_mul(factor).min(RECONNECT_LAST);
        let thousandths = self.counters.chance(500).saturating_add(500);
        whole.saturating_mul(thousandths).checked_div(1_000).unwrap_or(whole)
    }

    async fn connection(
        &self,
        channel: &mut dyn Channel,
        connected_before: &mut bool,
        open: &counters::Open,
    ) -> Ended {
        match self.talk(channel, connected_before, open).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn talk(
        &self,
        channel: &mut dyn Channel,
        connected_before: &mut bool,
        open: &counters::Open,
    ) -> Result<std::convert::Infallible, Ended> {
        let opening = channel.opening().await.map_err(Ended::NotReady)?;
        let connecting = self.connector.connect(&self.url);
        let mut connection = within(self.clock.as_ref(), SOCKET_CONNECT, connecting)
            .await
            .map_err(|_| Ended::Slow("connecting", SOCKET_CONNECT))??;
        for text in opening {
            self.send(connection.as_mut(), &text).await?;
        }
        open.is_open();
        channel.opened().await;
        if std::mem::replace(connected_before, true) {
            self.counters.reconnected();
        }
        let now = self.clock.uptime();
        let mut times = Times {
            ping: now.saturating_add(self.keepalive.every),
            owed: Some(now),
            heard: now,
            old: channel.oldest().map(|oldest| now.saturating_add(oldest)),
        };
        loop {
            self.stay_alive(connection.as_mut(), channel, &mut times).await?;
            match self.next(connection.as_mut(), channel, &times).await {
                Next::Frame(frame) => self.take(channel, frame?, &mut times).await?,
                Next::More(texts) => {
                    // What is new deserves its own time to answer.
                    if !texts.is_empty() {
                        times.heard = self.clock.uptime();
                    }
                    for text in texts {
                        self.send(connection.as_mut(), &text).await?;
                    }
                }
                Next::Time => {}
            }
        }
    }

    /// Pings when it is time to, and judges whether the other side is alive.
    async fn stay_alive(
        &self,
        connection: &mut dyn Connection,
        channel: &dyn Channel,
        times: &mut Times,
    ) -> Result<(), Ended> {
        let now = self.clock.uptime();
        let within = self.keepalive.within;
        if times.owed.is_some_and(|since| now >= since.saturating_add(within)) {
            return Err(Ended::NoPong(within));
        }
        if let Some(silence) = channel.silence().filter(|silence| now >= times.heard.saturating_add(*silence))
        {
            return Err(Ended::Silent(silence));
        }
        if times.old.is_some_and(|old| now >= old) {
            return Err(Ended::Old(channel.oldest().unwrap_or_default()));
        }
        if now >= times.ping {
            self.send(connection, self.keepalive.ping).await?;
            times.ping = now.saturating_add(self.keepalive.every);
            times.owed.get_or_insert(now);
        }
        Ok(())
    }

    async fn next(&self, connection: &mut dyn Connection, channel: &mut dyn Channel, times: &Times) -> Next {
        let mut wake = times.old.map_or(times.ping, |old| times.ping.min(old));
        if let Some(since) = times.owed {
            wake = wake.min(since.saturating_add(self.keepalive.within));
        }
        if let Some(silence) = channel.silence() {
            wake = wake.min(times.heard.saturating_add(silence));
        }
        let sleep = self.clock.sleep(wake.saturating_sub(self.clock.uptime()));
        tokio::select! {
            // Frames first: what is here already is no silence.
            biased;
            frame = connection.receive() => Next::Frame(frame),
            texts = channel.more() => Next::More(texts),
            () = sleep => Next::Time,
        }
    }

    async fn take(&self, channel: &mut dyn Channel, frame: Frame, times: &mut Times) -> Result<(), Ended> {
        let text = match frame {
            Frame::Text(text) => text,
            // Pings and pongs of the protocol itself are answered below; they prove life as well.
            Frame::Control => return Ok(()),
        };
        let uptime = self.clock.uptime();
        let pong = text.as_bytes().eq_ignore_ascii_case(self.keepalive.pong);
        if pong || self.keepalive.anything_answers {
            times.owed = None;
        }
        if pong {
            return Ok(());
        }
        self.counters.frame();
        let taken = channel.take(text.as_bytes()).await;
        // While the reader was busy nobody listened: that time is not held against the other side.
        let now = self.clock.uptime();
        let spent = now.saturating_sub(uptime);
        times.owed = times.owed.map(|since| since.saturating_add(spent));
        times.heard = times.heard.saturating_add(spent);
        match taken {
            Taken::Blank => Ok(()),
            Taken::Aside { passed_over } => {
                self.counters.understood(0, passed_over, uptime);
                Ok(())
            }
            Taken::Understood { events, passed_over } => {
                times.heard = now;
                self.counters.understood(events, passed_over, uptime);
                Ok(())
            }
            Taken::Refused(reason) => {
                self.counters.error();
                let host = host(&self.url);
                warn!(%host, %reason, "a frame of {host} was not understood: {reason}");
                Ok(())
            }
            Taken::Broken(reason) => {
                self.counters.error();
                Err(Ended::Broken(reason))
            }
        }
    }

    async fn send(&self, connection: &mut dyn Connection, text: &str) -> Result<(), Ended> {
        within(self.clock.as_ref(), SOCKET_SEND, connection.send(text))
            .await
            .map_err(|_| Ended::Slow("writing", SOCKET_SEND))?
            .map_err(Ended::Socket)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

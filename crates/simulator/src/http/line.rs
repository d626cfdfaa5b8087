//! A websocket of the simulator: keepalive, outages, and the ways it can misbehave. What is said and heard is the
//! business of a [`Session`].

use std::{collections::VecDeque, future::Future, sync::Arc};

use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    response::Response,
};
use futures_util::SinkExt as _;
use tokio::sync::watch;

use super::{Outage, Shared};
use crate::{
    limits::{FRAMES_REPLAYED, LONGEST_SUBSCRIPTION, OVERSIZED_FRAME},
    world::faults::{FaultKind, FaultTarget},
};

/// Close code for whoever reads too slowly ("try again later").
const TRY_AGAIN: u16 = 1013;

/// Why a session ends.
pub(super) struct Gone;

/// What is said and heard on a socket.
pub(super) trait Session: Send + 'static {
    /// Takes a text that is no ping.
    fn hear(&mut self, line: &mut Line, text: &str) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Tells what has happened since the last time.
    fn tell(&mut self, line: &mut Line) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// One open socket.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    target: FaultTarget,
    socket: WebSocket,
    /// Says nothing more but answers to pings.
    stalled: bool,
    /// A frame that waits for the next one to overtake it.
    held: Option<String>,
    /// The newest frames, for a fault that says them again.
    said: VecDeque<String>,
}

/// Opens a socket for a session: it tells when `news` change, and is broken while `outage_of` what is watched says so.
pub(super) fn open<S: Session, N: Send + Sync + 'static, W: Send + Sync + 'static>(
    (shared, upgrade): (Arc<Shared>, WebSocketUpgrade),
    target: FaultTarget,
    session: S,
    news: watch::Receiver<N>,
    (watched, outage_of): (watch::Receiver<W>, fn(&W) -> Outage),
) -> Response {
    upgrade.max_message_size(LONGEST_SUBSCRIPTION).on_upgrade(move |socket| async move {
        let (held, said) = (None, VecDeque::new());
        let line = Line { shared, target, socket, stalled: false, held, said };
        // Whoever is gone is gone; they come back if they want to.
        let _ = run(line, session, news, (watched, outage_of)).await;
    })
}

/// Whether this text asks for a `PONG`. The order book's channels know `PING` only (docs.polymarket.com
/// market-data/websocket); on the live feed the official client says `ping`, where the documentation says `PING`; and
/// JSON-RPC knows neither.
fn is_ping(target: FaultTarget, text: &str) -> bool {
    match target {
        FaultTarget::LiveSocket => matches!(text, "PING" | "ping"),
        FaultTarget::MarketSocket | FaultTarget::UserSocket => text == "PING",
        _ => false,
    }
}

async fn run<S: Session, N: Send + Sync, W: Send + Sync>(
    mut line: Line,
    mut session: S,
    mut news: watch::Receiver<N>,
    (mut watched, outage_of): (watch::Receiver<W>, fn(&W) -> Outage),
) -> Result<(), Gone> {
    let mut stopped = line.shared.stopped.clone();
    loop {
        tokio::select! {
            message = line.socket.recv() => match message {
                Some(Ok(Message::Text(text))) if is_ping(line.target, &text) => line.pong().await?,
                Some(Ok(Message::Text(text))) => session.hear(&mut line, &text).await?,
                Some(Ok(_)) => {}
                // Closed or broken.
                _ => return Err(Gone),
            },
            // Errors mean that the simulator was dropped.
            changed = news.changed() => {
                changed.map_err(|_| Gone)?;
                session.tell(&mut line).await?;
            }
            () = begins(&mut watched, outage_of) => break,
            () = stop(&mut stopped) => return Err(Gone),
        }
        line.flush().await?;
    }
    // Silent: neither reads nor writes until it is over.
    let _ = watched.wait_for(|watched| outage_of(watched) != Outage::Silent).await;
    Err(Gone)
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the simulator was dropped, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Waits for an outage, or until nobody can begin one any more.
async fn begins<W>(watched: &mut watch::Receiver<W>, outage_of: fn(&W) -> Outage) {
    let _ = watched.wait_for(|watched| outage_of(watched) != Outage::None).await;
}

impl Line {
    async fn pong(&mut self) -> Result<(), Gone> {
        let target = self.target;
        let missed =
            self.shared.with(|world, _| world.faults.take(target, |kind| kind == FaultKind::MissPong));
        if missed.is_some() { Ok(()) } else { self.send("PONG".to_owned()).await }
    }

    /// Sends a frame, or what a fault makes of it.
    pub(super) async fn push(&mut self, text: String) -> Result<(), Gone> {
        if self.stalled {
            return Ok(());
        }
        let target = self.target;
        let fault =
            self.shared.with(|world, _| world.faults.take(target, |kind| kind != FaultKind::MissPong));
        match fault.map(|fault| fault.kind) {
            Some(FaultKind::Stall) => {
                self.stalled = true;
                Ok(())
            }
            Some(FaultKind::Disconnect) => self.flush().await.and(Err(Gone)),
            Some(FaultKind::SlowReader) => self.close(TRY_AGAIN, "reads too slowly").await,
            Some(FaultKind::Malformed) => self.send(text.chars().take(text.len() / 2).collect()).await,
            Some(FaultKind::Oversized) => self.send(" ".repeat(OVERSIZED_FRAME) + &text).await,
            Some(FaultKind::Reorder) => {
                if let Some(before) = self.held.replace(text) {
                    self.send(before).await?;
                }
                Ok(())
            }
            Some(FaultKind::Duplicate) => {
                self.send(text.clone()).await?;
                self.send_in_turn(text).await
            }
            Some(FaultKind::Replay) => {
                for before in self.said.clone() {
                    self.send(before).await?;
                }
                self.send_in_turn(text).await
            }
            _ => self.send_in_turn(text).await,
        }
    }

    /// Sends a frame and then the one that was held back for it.
    async fn send_in_turn(&mut self, text: String) -> Result<(), Gone> {
        if self.said.len() == FRAMES_REPLAYED {
            self.said.pop_front();
        }
        self.said.push_back(text.clone());
        self.send(text).await?;
        match self.held.take() {
            Some(held) => self.send(held).await,
            None => Ok(()),
        }
    }

    /// Sends a text as it is, with what else is said in this turn.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.socket.feed(Message::text(text)).await.map_err(|_| Gone)
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        self.socket.flush().await.map_err(|_| Gone)
    }

    /// Closes the socket for a client that is too slow.
    pub(super) async fn close_slow(&mut self) -> Result<(), Gone> {
        self.close(TRY_AGAIN, "reads too slowly").await
    }

    /// Closes the socket with a reason.
    pub(super) async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Gone> {
        let frame = CloseFrame { code, reason: reason.into() };
        // Whether or not they hear it, they are closed.
        let _ = self.socket.send(Message::Close(Some(frame))).await;
        Err(Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_what_the_venue_takes_for_one() {
        for target in [FaultTarget::MarketSocket, FaultTarget::UserSocket] {
            assert!(is_ping(target, "PING"));
            assert!(!["ping", "Ping", " PING", "PING\n", ""].into_iter().any(|text| is_ping(target, text)));
        }
        assert!(is_ping(FaultTarget::LiveSocket, "PING") && is_ping(FaultTarget::LiveSocket, "ping"));
        assert!(!is_ping(FaultTarget::LiveSocket, "Ping") && !is_ping(FaultTarget::HeadSocket, "PING"));
    }
}

//! The CLOB's websockets, `/ws/market` and `/ws/user`: what was subscribed, what the event log tells of it,
//! keepalive, and the ways a socket can misbehave. What happens in the world is decided elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use domain::{ConditionId, TokenId};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{Outage, Shared};
use crate::{
    limits::{LONGEST_SUBSCRIPTION, OVERSIZED_FRAME},
    world::{
        World,
        events::Event,
        faults::{FaultKind, FaultTarget},
        frames::Audience,
    },
};

/// Close code for whoever reads too slowly ("try again later").
const TRY_AGAIN: u16 = 1013;
/// Close code for whoever may not listen.
const POLICY: u16 = 1008;

pub(super) async fn market(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    open(shared, upgrade, FaultTarget::MarketSocket)
}

pub(super) async fn user(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    open(shared, upgrade, FaultTarget::UserSocket)
}

fn open(shared: Arc<Shared>, upgrade: WebSocketUpgrade, channel: FaultTarget) -> Response {
    upgrade.max_message_size(LONGEST_SUBSCRIPTION).on_upgrade(move |socket| async move {
        let session = Session::new(shared, channel, socket);
        // Whoever is gone is gone; they come back if they want to.
        let _ = session.run().await;
    })
}

/// Why a session ends.
struct Gone;

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the simulator was dropped, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What a client says.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(rename = "type", default)]
    channel: String,
    operation: Option<Operation>,
    #[serde(default)]
    assets_ids: Vec<TokenId>,
    #[serde(default)]
    markets: Vec<ConditionId>,
    custom_feature_enabled: Option<bool>,
    auth: Option<Auth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Subscribe,
    Unsubscribe,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    api_key: String,
    secret: String,
    passphrase: String,
}

/// One open socket.
struct Session {
    shared: Arc<Shared>,
    channel: FaultTarget,
    socket: WebSocket,
    /// Number of the newest event that was told or is not to be told.
    seen: u64,
    tokens: BTreeSet<TokenId>,
    custom: bool,
    /// API key of the listener on the user channel.
    key: Option<String>,
    markets: BTreeSet<ConditionId>,
    /// Says nothing more but answers to pings.
    stalled: bool,
    /// A frame that waits for the next one to overtake it.
    held: Option<String>,
}

impl Session {
    fn new(shared: Arc<Shared>, channel: FaultTarget, socket: WebSocket) -> Self {
        Self {
            shared,
            channel,
            socket,
            seen: 0,
            tokens: BTreeSet::new(),
            custom: false,
            key: None,
            markets: BTreeSet::new(),
            stalled: false,
            held: None,
        }
    }

    async fn run(mut self) -> Result<(), Gone> {
        let mut newest = self.shared.newest_event.subscribe();
        let mut outage = self.shared.clob_outage.subscribe();
        let mut stopped = self.shared.stopped.clone();
        loop {
            tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.hear(message).await?,
                    // Closed or broken.
                    _ => return Err(Gone),
                },
                // Errors mean that the simulator was dropped.
                changed = newest.changed() => {
                    changed.map_err(|_| Gone)?;
                    self.tell().await?;
                }
                changed = outage.changed() => {
                    changed.map_err(|_| Gone)?;
                    let present = *outage.borrow_and_update();
                    match present {
                        Outage::None => {}
                        Outage::Unavailable | Outage::Refused => return Err(Gone),
                        Outage::Silent => {
                            // Neither reads nor writes until it is over.
                            while *outage.borrow_and_update() == Outage::Silent {
                                outage.changed().await.map_err(|_| Gone)?;
                            }
                            return Err(Gone);
                        }
                    }
                }
                () = stop(&mut stopped) => return Err(Gone),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Gone> {
        let Message::Text(text) = message else { return Ok(()) };
        if text.as_str() == "PING" {
            let missed = self
                .shared
                .with(|world, _| world.faults.take(self.channel, |kind| kind == FaultKind::MissPong));
            return if missed.is_some() { Ok(()) } else { self.send("PONG".to_owned()).await };
        }
        match serde_json::from_str::<Said>(&text) {
            Ok(said) if self.channel == FaultTarget::UserSocket => self.listen(said).await,
            Ok(said) => self.subscribe(said).await,
            Err(_) => self.send("INVALID OPERATION".to_owned()).await,
        }
    }

    async fn subscribe(&mut self, said: Said) -> Result<(), Gone> {
        // What happened before belongs to what was subscribed before.
        self.tell().await?;
        self.custom = said.custom_feature_enabled.unwrap_or(self.custom);
        if said.operation == Some(Operation::Unsubscribe) {
            said.assets_ids.iter().for_each(|token| {
                self.tokens.remove(token);
            });
            return Ok(());
        }
        if said.operation.is_none() && !said.channel.eq_ignore_ascii_case("market") {
            return self.send("INVALID OPERATION".to_owned()).await;
        }
        let books = self.shared.with(|world, now| {
            self.seen = world.events().newest();
            said.assets_ids.iter().filter_map(|token| world.book_frame(token, now)).collect::<Vec<_>>()
        });
        self.tokens.extend(said.assets_ids);
        // All books of a subscription come as one list.
        if books.is_empty() { Ok(()) } else { self.push(Value::Array(books)).await }
    }

    async fn listen(&mut self, said: Said) -> Result<(), Gone> {
        let Some(auth) = said.auth else {
            match said.operation {
                Some(Operation::Subscribe) => self.markets.extend(said.markets),
                Some(Operation::Unsubscribe) => said.markets.iter().for_each(|market| {
                    self.markets.remove(market);
                }),
                None => return self.close(POLICY, "auth is missing").await,
            }
            return Ok(());
        };
        let known = self.shared.with(|world, _| {
            self.seen = world.events().newest();
            let key = world.registry().key(&auth.api_key)?;
            (key.secret == auth.secret && key.passphrase == auth.passphrase).then(|| key.key.clone())
        });
        if known.is_none() {
            return self.close(POLICY, "Unauthorized/Invalid api key").await;
        }
        self.key = known;
        self.markets = said.markets.into_iter().collect();
        Ok(())
    }

    /// Tells what has happened since the last time.
    async fn tell(&mut self) -> Result<(), Gone> {
        let shared = Arc::clone(&self.shared);
        let (lost, frames) = shared.with(|world, _| self.frames(world));
        if lost {
            return self.close(TRY_AGAIN, "reads too slowly").await;
        }
        for frame in frames {
            self.push(frame).await?;
        }
        Ok(())
    }

    /// Whether events are gone that were not told, and the frames of the others.
    fn frames(&mut self, world: &World) -> (bool, Vec<Value>) {
        let (lost, entries) = world.events().since(self.seen);
        let entries: Vec<_> = entries.collect();
        let listens = !self.tokens.is_empty() || self.custom || self.key.is_some();
        let frames = match &self.key {
            Some(key) => {
                let frames = entries.iter().filter_map(|entry| world.user_frame(entry, key, &self.markets));
                frames.collect()
            }
            None if listens => self.market_frames(world, &entries),
            None => Vec::new(),
        };
        self.seen = world.events().newest();
        (listens && lost > 0, frames)
    }

    fn market_frames(&self, world: &World, entries: &[&crate::world::events::Entry]) -> Vec<Value> {
        let watched = |condition: &ConditionId| {
            let market = world.registry().market(condition);
            market.is_some_and(|market| market.spec.tokens.iter().any(|token| self.tokens.contains(token)))
        };
        let mut frames = Vec::new();
        // Between two changes of the grid the frames are made together.
        for stretch in entries.chunk_by(|_, next| !matches!(next.event, Event::Tick { .. })) {
            let ticks = stretch.iter().flat_map(|entry| world.tick_frames(entry));
            frames.extend(ticks.filter(|(token, _)| self.tokens.contains(token)).map(|(_, frame)| frame));
            let told = world.market_frames(stretch.iter().copied());
            let for_us = told.into_iter().filter(|(audience, _)| match audience {
                Audience::Market(condition) => watched(condition),
                Audience::Custom(condition) => self.custom && watched(condition),
                Audience::Everybody => self.custom,
            });
            frames.extend(for_us.map(|(_, frame)| frame));
        }
        frames
    }

    /// Sends a frame, or what a fault makes of it.
    async fn push(&mut self, frame: Value) -> Result<(), Gone> {
        if self.stalled {
            return Ok(());
        }
        let (fault, lists) = self.shared.with(|world, _| {
            let fault = world.faults.take(self.channel, |kind| kind != FaultKind::MissPong);
            (fault.map(|fault| fault.kind), world.knobs.frames_in_lists)
        });
        let frame = if lists && frame.is_object() { Value::Array(vec![frame]) } else { frame };
        let text = frame.to_string();
        match fault {
            Some(FaultKind::Stall) => {
                self.stalled = true;
                Ok(())
            }
            Some(FaultKind::Disconnect) => Err(Gone),
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
            _ => self.send_in_turn(text).await,
        }
    }

    /// Sends a frame and then the one that was held back for it.
    async fn send_in_turn(&mut self, text: String) -> Result<(), Gone> {
        self.send(text).await?;
        match self.held.take() {
            Some(held) => self.send(held).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.socket.send(Message::text(text)).await.map_err(|_| Gone)
    }

    async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Gone> {
        let frame = CloseFrame { code, reason: reason.into() };
        // Whether or not they hear it, they are closed.
        let _ = self.socket.send(Message::Close(Some(frame))).await;
        Err(Gone)
    }
}

//! The CLOB's websockets, `/ws/market` and `/ws/user`: what was subscribed, and what the event log tells of it.
//! What happens in the world is decided elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{State, ws::WebSocketUpgrade},
    response::Response,
};
use domain::{ConditionId, TokenId};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Outage, Shared,
    line::{self, Gone, Line},
};
use crate::world::{World, events::Event, faults::FaultTarget, frames::Audience};

/// Close code for whoever may not listen.
const POLICY: u16 = 1008;

pub(super) async fn market(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    open(shared, upgrade, FaultTarget::MarketSocket)
}

pub(super) async fn user(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    open(shared, upgrade, FaultTarget::UserSocket)
}

fn open(shared: Arc<Shared>, upgrade: WebSocketUpgrade, channel: FaultTarget) -> Response {
    let (news, outage) = (shared.newest_event.subscribe(), shared.clob_outage.subscribe());
    let outage: (_, fn(&Outage) -> Outage) = (outage, |outage| *outage);
    line::open((shared, upgrade), channel, Session::new(channel), news, outage)
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

/// What one client listens to.
struct Session {
    channel: FaultTarget,
    /// Number of the newest event that was told or is not to be told.
    seen: u64,
    tokens: BTreeSet<TokenId>,
    custom: bool,
    /// API key of the listener on the user channel.
    key: Option<String>,
    markets: BTreeSet<ConditionId>,
}

impl line::Session for Session {
    async fn hear(&mut self, line: &mut Line, text: &str) -> Result<(), Gone> {
        match serde_json::from_str::<Said>(text) {
            Ok(said) if self.channel == FaultTarget::UserSocket => self.listen(line, said).await,
            Ok(said) => self.subscribe(line, said).await,
            Err(_) => line.send("INVALID OPERATION".to_owned()).await,
        }
    }

    async fn tell(&mut self, line: &mut Line) -> Result<(), Gone> {
        let shared = Arc::clone(&line.shared);
        let (lists, (lost, frames)) =
            shared.with(|world, _| (world.knobs.frames_in_lists, self.frames(world)));
        if lost {
            return line.close_slow().await;
        }
        for frame in frames {
            let frame = if lists { Value::Array(vec![frame]) } else { frame };
            line.push(frame.to_string()).await?;
        }
        Ok(())
    }
}

impl Session {
    const fn new(channel: FaultTarget) -> Self {
        Self { channel, seen: 0, tokens: BTreeSet::new(), custom: false, key: None, markets: BTreeSet::new() }
    }

    async fn subscribe(&mut self, line: &mut Line, said: Said) -> Result<(), Gone> {
        // What happened before belongs to what was subscribed before.
        line::Session::tell(self, line).await?;
        self.custom = said.custom_feature_enabled.unwrap_or(self.custom);
        if said.operation == Some(Operation::Unsubscribe) {
            said.assets_ids.iter().for_each(|token| {
                self.tokens.remove(token);
            });
            return Ok(());
        }
        if said.operation.is_none() && !said.channel.eq_ignore_ascii_case("market") {
            return line.send("INVALID OPERATION".to_owned()).await;
        }
        let books = line.shared.with(|world, now| {
            self.seen = world.events().newest();
            said.assets_ids.iter().filter_map(|token| world.book_frame(token, now)).collect::<Vec<_>>()
        });
        self.tokens.extend(said.assets_ids);
        // All books of a subscription come as one list.
        if books.is_empty() { Ok(()) } else { line.push(Value::Array(books).to_string()).await }
    }

    async fn listen(&mut self, line: &mut Line, said: Said) -> Result<(), Gone> {
        let Some(auth) = said.auth else {
            match said.operation {
                Some(Operation::Subscribe) => self.markets.extend(said.markets),
                Some(Operation::Unsubscribe) => said.markets.iter().for_each(|market| {
                    self.markets.remove(market);
                }),
                None => return line.close(POLICY, "auth is missing").await,
            }
            return Ok(());
        };
        let known = line.shared.with(|world, _| {
            self.seen = world.events().newest();
            let key = world.registry().key(&auth.api_key)?;
            (key.secret == auth.secret && key.passphrase == auth.passphrase).then(|| key.key.clone())
        });
        if known.is_none() {
            return line.close(POLICY, "Unauthorized/Invalid api key").await;
        }
        self.key = known;
        self.markets = said.markets.into_iter().collect();
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
            let for_us = |audience| match audience {
                Audience::Market(condition) => watched(&condition),
                Audience::Custom(condition) => self.custom && watched(&condition),
                Audience::Everybody => self.custom,
            };
            frames.extend(world.market_frames(stretch.iter().copied(), for_us));
        }
        frames
    }
}

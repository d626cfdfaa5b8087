//! The live trade feed (RTDS): everybody's matches to whoever subscribed to them, before they are in a block. The form
//! of its frames is that of npm @polymarket/real-time-data-client 1.4.0; keys in the order the venue writes them.

use std::sync::Arc;

use alloy_primitives::Address as Checksummed;
use axum::{
    Router,
    extract::{State, ws::WebSocketUpgrade},
    response::Response,
    routing::any,
};
use domain::{Price, money::Rounding};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Outage, Shared,
    clob::number,
    line::{self, Gone, Line},
};
use crate::world::{
    World,
    events::{Entry, Event},
    faults::FaultTarget,
};

/// The topic of trades.
const ACTIVITY: &str = "activity";
/// Its types. What distinguishes them is not documented: both tell the same here.
const TRADES: &str = "trades";
const ORDERS_MATCHED: &str = "orders_matched";

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    Router::new().route("/", any(open)).with_state(Arc::clone(shared))
}

async fn open(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    let (news, outage) = (shared.newest_event.subscribe(), shared.live_outage.subscribe());
    let outage: (_, fn(&Outage) -> Outage) = (outage, |outage| *outage);
    line::open((shared, upgrade), FaultTarget::LiveSocket, Session::default(), news, outage)
}

/// What a client says.
#[derive(Debug, Deserialize)]
struct Said {
    action: Action,
    subscriptions: Vec<Subscription>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Subscribe,
    Unsubscribe,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    topic: String,
    #[serde(rename = "type")]
    kind: String,
    /// With any the venue was seen to tell nothing at all (real-time-data-client #34), and so does this one.
    #[serde(default)]
    filters: String,
}

#[derive(Default)]
struct Session {
    /// Number of the newest event that was told or is not to be told.
    seen: u64,
    trades: bool,
    orders_matched: bool,
}

impl line::Session for Session {
    async fn hear(&mut self, line: &mut Line, text: &str) -> Result<(), Gone> {
        let Ok(said) = serde_json::from_str::<Said>(text) else {
            return line
                .send(json!({ "message": "Invalid request body", "statusCode": 400 }).to_string())
                .await;
        };
        self.tell(line).await?;
        let on = said.action == Action::Subscribe;
        for wanted in
            said.subscriptions.iter().filter(|wanted| wanted.topic == ACTIVITY && wanted.filters.is_empty())
        {
            let all = wanted.kind == "*";
            self.trades = if all || wanted.kind == TRADES { on } else { self.trades };
            self.orders_matched = if all || wanted.kind == ORDERS_MATCHED { on } else { self.orders_matched };
        }
        self.seen = line.shared.with(|world, _| world.events().newest());
        // A blank frame, as the venue sends from time to time.
        line.send(String::new()).await
    }

    async fn tell(&mut self, line: &mut Line) -> Result<(), Gone> {
        let shared = Arc::clone(&line.shared);
        let (lost, frames, newest) = shared.with(|world, _| {
            let (lost, entries) = world.events().since(self.seen);
            let mut frames = Vec::new();
            for entry in entries.filter_map(|entry| payload(world, entry).map(|payload| (entry, payload))) {
                let trades = self.trades && !world.knobs.live_without_trades;
                for (kind, wanted) in [(TRADES, trades), (ORDERS_MATCHED, self.orders_matched)] {
                    frames.extend(wanted.then(|| frame(kind, entry.0, &entry.1)));
                }
            }
            (lost, frames, world.events().newest())
        });
        self.seen = newest;
        if lost > 0 && (self.trades || self.orders_matched) {
            return line.close_slow().await;
        }
        for frame in frames {
            line.push(frame.to_string()).await?;
        }
        Ok(())
    }
}

fn frame(kind: &str, entry: &Entry, payload: &Value) -> Value {
    json!({
        "connection_id": "c0ffee",
        "payload": payload,
        "timestamp": entry.at.millis(),
        "topic": ACTIVITY,
        "type": kind,
    })
}

fn payload(world: &World, entry: &Entry) -> Option<Value> {
    let Event::Activity { wallet, condition, token, side, shares, usd, tx } = &entry.event else {
        return None;
    };
    let market = world.registry().market(condition)?;
    let price = Price::of(*usd, *shares, Rounding::Down).unwrap_or_default();
    let name = world.registry().profile(wallet).map_or("", |profile| profile.name.as_str());
    Some(json!({
        "asset": token,
        "bio": "",
        "conditionId": condition,
        "eventSlug": market.spec.event_slug,
        "icon": "",
        "name": name,
        "outcome": market.outcome(token),
        "outcomeIndex": market.outcome_index(token),
        "price": number(&price.to_string()),
        "profileImage": "",
        // With the checksum in its capitals, unlike everywhere else.
        "proxyWallet": Checksummed::from(wallet.0).to_checksum(None),
        "pseudonym": "",
        "side": side.to_string(),
        "size": number(&shares.to_string()),
        "slug": market.spec.slug,
        "timestamp": entry.at.seconds(),
        "title": market.spec.title,
        "transactionHash": tx,
    }))
}

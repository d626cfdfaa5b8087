//! The control API of the order side: modes, what is special about markets, builders; requests so far, and
//! the log of events.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use domain::{ConditionId, Hash};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    control::{Body, Reply, change, done, print},
    cpu,
};
use crate::world::{
    Mode,
    registry::{BuilderFees, Terms},
};

type App = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/mode", post(mode))
        .route("/terms", post(terms))
        .route("/builders", post(builders))
        .route("/traffic", get(traffic).delete(reset_traffic))
        .route("/events", get(events))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMode {
    mode: Mode,
    /// Milliseconds until it ends by itself; none = never.
    lasts_ms: Option<u64>,
}

async fn mode(State(shared): App, Body(new): Body<NewMode>) -> Json<Value> {
    let lasts = new.lasts_ms.map(Duration::from_millis);
    change(&shared, |world, now| world.set_mode(now, new.mode, lasts));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTerms {
    condition: ConditionId,
    terms: Terms,
}

async fn terms(State(shared): App, Body(new): Body<NewTerms>) -> Reply {
    change(&shared, |world, _| world.set_terms(&new.condition, new.terms))?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBuilder {
    code: Hash,
    fees: BuilderFees,
}

async fn builders(State(shared): App, Body(new): Body<NewBuilder>) -> Reply {
    change(&shared, |world, _| world.set_builder(new.code.0, new.fees))?;
    Ok(done())
}

/// Requests so far by endpoint and by what they were for, and the processor time of this process.
async fn traffic(State(shared): App) -> Json<Value> {
    let (endpoints, classes) =
        shared.with(|world, _| (world.traffic.counts().clone(), world.traffic.classes()));
    Json(json!({ "endpoints": endpoints, "classes": classes, "cpu_seconds": cpu::seconds() }))
}

async fn reset_traffic(State(shared): App) -> Json<Value> {
    change(&shared, |world, _| world.traffic.reset_counts());
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    seen: u64,
}

/// Events after number `seen`, how many of them are lost, and what to ask for next.
async fn events(State(shared): App, Query(after): Query<After>) -> Reply {
    shared.with(|world, _| {
        let (lost, entries) = world.events().since(after.seen);
        let entries: Vec<_> = entries.collect();
        print(&json!({ "seen": world.events().newest(), "lost": lost, "events": entries }))
    })
}

//! The control API of the order side: modes, what is special about markets, builders; requests so far, and
//! the log of events.

use std::{sync::Arc, time::Duration};

use alloy_primitives::U256;
use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use domain::{Address, ConditionId, Hash, OrderId, Usd};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    control::{Body, Reply, change, done, print},
    cpu,
};
use crate::{
    contracts::Exchange,
    world::{
        Mode, WorldError,
        registry::{BuilderFees, Terms},
    },
};

type App = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/approve", post(approve))
        .route("/sessions", post(authorise_session))
        .route("/mode", post(mode))
        .route("/terms", post(terms))
        .route("/builders", post(builders))
        .route("/contract-cancel", post(contract_cancel))
        .route("/traffic", get(traffic).delete(reset_traffic))
        .route("/events", get(events))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    wallet: Address,
    approved: bool,
    /// Only this exchange.
    spender: Option<Address>,
    /// The most it may take of the dollars; none = without limit.
    usd: Option<String>,
}

async fn approve(State(shared): App, Body(approval): Body<Approval>) -> Reply {
    let Approval { wallet, approved, spender, usd } = approval;
    let Some(spender) = spender else {
        change(&shared, |world, _| world.approve(wallet, approved))?;
        return Ok(done());
    };
    let exchange =
        Exchange::at(spender).ok_or_else(|| WorldError::Invalid(format!("{spender} is no exchange")))?;
    let dollars = match (approved, usd) {
        (false, _) => U256::ZERO,
        (true, None) => U256::MAX,
        (true, Some(text)) => {
            let usd: Usd = text.parse().map_err(|_| WorldError::Invalid(format!("`{text}` is no amount")))?;
            U256::from(usd.0.max(0).unsigned_abs())
        }
    };
    change(&shared, |world, _| world.allow(wallet, exchange, (dollars, approved)))?;
    Ok(done())
}

/// Lets a session key trade for a deposit wallet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    wallet: Address,
    signer: Address,
    /// Unix seconds.
    valid_until: u64,
    #[serde(default = "everywhere")]
    scopes: Vec<String>,
}

fn everywhere() -> Vec<String> {
    vec!["ALL".to_owned()]
}

async fn authorise_session(State(shared): App, Body(new): Body<NewSession>) -> Reply {
    change(&shared, |world, _| world.authorise_session(new.wallet, new.signer, new.valid_until, new.scopes))?;
    Ok(done())
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContractCancel {
    id: OrderId,
}

async fn contract_cancel(State(shared): App, Body(of): Body<ContractCancel>) -> Json<Value> {
    change(&shared, |world, _| world.cancel_in_contract(of.id));
    done()
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

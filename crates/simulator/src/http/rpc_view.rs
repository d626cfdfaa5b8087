//! Several JSON-RPC providers over one world: how each of them differs from an honest one. Owns what a
//! provider leaves out or makes up; never what is true.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::RETRY_AFTER},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use domain::{Address, Hash};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Outage, Shared, connection::Connection, cut};
use crate::world::chain::PlacedLog;

/// How a provider answers. By default honestly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcView {
    /// How it fails as a whole.
    pub outage: Outage,
    /// Blocks that it does not have yet.
    pub behind: u64,
    /// The chain it says it serves, if not Polygon.
    pub chain: Option<u64>,
    /// Blocks of state that `eth_call` can see, if fewer than the world keeps.
    pub state_blocks: Option<u64>,
    /// Answers 429 with this many seconds in `Retry-After`.
    pub limited: Option<u64>,
    /// Leaves out every log.
    pub no_logs: bool,
    /// Doubles the amounts of every `OrderFilled`.
    pub doubled_fills: bool,
    /// Says that these wallets hold nothing from this block on.
    pub emptied: Option<Emptied>,
    /// Tells another parent of every block with an odd number.
    pub unlinked: bool,
}

/// A lie about balances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emptied {
    /// Whose.
    pub wallet: Address,
    /// From this block on.
    pub from: u64,
}

/// The views of all listeners, by number.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<Vec<tokio::sync::watch::Sender<RpcView>>>);

impl Views {
    /// One more listener; returns its number.
    pub(super) fn add(&self) -> usize {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.push(tokio::sync::watch::Sender::default());
        views.len() - 1
    }

    pub(super) fn get(&self, listener: usize) -> RpcView {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.get(listener).map(|view| view.borrow().clone()).unwrap_or_default()
    }

    pub(super) fn all(&self) -> Vec<RpcView> {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().map(|view| view.borrow().clone()).collect()
    }

    /// `false` when there is no such listener.
    pub(super) fn set(&self, listener: usize, view: RpcView) -> bool {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.get(listener).is_some_and(|sender| {
            sender.send_replace(view);
            true
        })
    }

    /// What a listener says as it changes. (Every number that is asked for is one of [`Self::add`].)
    pub(super) fn subscribe(&self, listener: usize) -> tokio::sync::watch::Receiver<RpcView> {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = views.get(listener).cloned().unwrap_or_default();
        sender.subscribe()
    }
}

impl RpcView {
    /// The head this provider has.
    pub(super) fn head(&self, head: u64, first: u64) -> u64 {
        head.saturating_sub(self.behind).max(first)
    }

    /// The oldest block whose state it can see.
    pub(super) fn kept(&self, head: u64, world: Option<u64>) -> u64 {
        let blocks = [self.state_blocks, world].into_iter().flatten().min();
        blocks.map_or(0, |blocks| head.saturating_sub(blocks))
    }

    /// Whether it says that a wallet holds nothing at a block.
    pub(super) fn empties(&self, wallet: Address, block: u64) -> bool {
        self.emptied.as_ref().is_some_and(|lie| lie.wallet == wallet && block >= lie.from)
    }

    pub(super) fn parent(&self, number: u64, parent: Hash) -> Hash {
        if self.unlinked && number % 2 == 1 { Hash([0xee; 32]) } else { parent }
    }

    /// The data of a log; of an `OrderFilled` the third and fourth word are the amounts.
    pub(super) fn data(&self, placed: &PlacedLog<'_>, fills: bool) -> Vec<u8> {
        let mut data = placed.log.data.clone();
        if self.doubled_fills && fills {
            for amount in data.chunks_exact_mut(32).skip(2).take(2) {
                if let Some(tail) = amount.last_chunk_mut::<8>() {
                    *tail = u64::from_be_bytes(*tail).saturating_mul(2).to_be_bytes();
                }
            }
        }
        data
    }
}

/// Lets a listener fail as its view says.
pub(super) fn failing(router: Router, shared: &Arc<Shared>, listener: usize) -> Router {
    let state = (Arc::clone(shared), listener);
    router.layer(middleware::from_fn_with_state(state, fail))
}

async fn fail(
    State((shared, listener)): State<(Arc<Shared>, usize)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let mut view = shared.views.subscribe(listener);
    let present = view.borrow_and_update().clone();
    match present.outage {
        Outage::None => {}
        Outage::Unavailable => {
            return (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response();
        }
        Outage::Refused => return cut(&connection),
        Outage::Silent => {
            // An error means that the simulator is gone.
            let _ = view.wait_for(|view| view.outage != Outage::Silent).await;
            return cut(&connection);
        }
    }
    if let Some(seconds) = present.limited {
        let error: Value = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32005, "message": "rate limit exceeded" } });
        let headers = [(RETRY_AFTER, seconds.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, headers, Json(error)).into_response();
    }
    next.run(request).await
}

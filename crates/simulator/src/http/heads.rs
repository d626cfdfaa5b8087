//! The JSON-RPC over a websocket: everything that is answered over HTTP, and `eth_subscribe` to new heads.

use std::sync::Arc;

use axum::{
    extract::{State, ws::WebSocketUpgrade},
    response::Response,
};
use domain::Hash;
use serde_json::{Value, json};

use super::{
    Shared,
    line::{self, Gone, Line},
    rpc::{answer, block_json},
    rpc_view::RpcView,
};
use crate::world::faults::FaultTarget;

/// The one subscription of a socket.
const SUBSCRIPTION: &str = "0x1";

pub(super) async fn open(
    State((shared, listener)): State<(Arc<Shared>, usize)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let (news, view) = (shared.newest_block.subscribe(), shared.views.subscribe(listener));
    let view: (_, fn(&RpcView) -> _) = (view, |view| view.outage);
    let session = Session { listener, told: None };
    line::open((shared, upgrade), FaultTarget::HeadSocket, session, news, view)
}

struct Session {
    listener: usize,
    /// The newest head that was told; `None` before the subscription.
    told: Option<Hash>,
}

impl line::Session for Session {
    async fn hear(&mut self, line: &mut Line, text: &str) -> Result<(), Gone> {
        let view = line.shared.views.get(self.listener);
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let id = request.get("id").cloned().unwrap_or_default();
        let reply = if request.get("method").and_then(Value::as_str) == Some("eth_subscribe") {
            let wanted = request.pointer("/params/0").and_then(Value::as_str).unwrap_or_default();
            if wanted == "newHeads" {
                self.told = Some(line.shared.with(|world, _| self.head(world, &view)).0);
                json!({ "jsonrpc": "2.0", "id": id, "result": SUBSCRIPTION })
            } else {
                let message = format!("no \"{wanted}\" subscription in eth namespace");
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": message } })
            }
        } else {
            line.shared.with(|world, _| answer(world, &view, &request))
        };
        line.send(reply.to_string()).await
    }

    async fn tell(&mut self, line: &mut Line) -> Result<(), Gone> {
        let view = line.shared.views.get(self.listener);
        let (hash, header) = line.shared.with(|world, _| self.head(world, &view));
        if self.told.is_none_or(|told| told == hash) {
            return Ok(());
        }
        self.told = Some(hash);
        let params = json!({ "subscription": SUBSCRIPTION, "result": header });
        line.push(json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string())
            .await
    }
}

impl Session {
    /// The head as this provider has it.
    fn head(&self, world: &crate::world::World, view: &RpcView) -> (Hash, Value) {
        let chain = world.chain();
        let head = view.head(world.visible_head(), chain.first());
        chain.block(head).map_or((Hash([0; 32]), Value::Null), |block| (block.hash, block_json(block, view)))
    }
}

//! The JSON-RPC over a websocket: everything that is answered over HTTP, and `eth_subscribe` to new heads and to logs.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{State, ws::WebSocketUpgrade},
    response::Response,
};
use domain::Hash;
use serde_json::{Value, json};

use super::{
    Shared,
    line::{self, Gone, Line},
    rpc::{answer, block_json, get_logs},
    rpc_view::RpcView,
};
use crate::world::{World, faults::FaultTarget};

/// The subscriptions of a socket: one to heads, one to logs.
const HEADS: &str = "0x1";
const LOGS: &str = "0x2";
/// Blocks whose hashes a subscription to logs remembers: what takes the place of one is told as well.
const BLOCKS_REMEMBERED: u64 = 64;

pub(super) async fn open(
    State((shared, listener)): State<(Arc<Shared>, usize)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let (news, view) = (shared.newest_block.subscribe(), shared.views.subscribe(listener));
    let view: (_, fn(&RpcView) -> _) = (view, |view| view.outage);
    let session = Session { listener, told: None, logs: None };
    line::open((shared, upgrade), FaultTarget::HeadSocket, session, news, view)
}

struct Session {
    listener: usize,
    /// The newest head that was told; `None` before the subscription.
    told: Option<Hash>,
    logs: Option<Logs>,
}

/// A subscription to logs.
struct Logs {
    filter: Value,
    /// Blocks with what was told of them.
    told: BTreeMap<u64, (Hash, Vec<Value>)>,
}

impl Logs {
    /// With this filter; what is there already is not told, unless it is taken back.
    fn new(filter: Value, world: &World, view: &RpcView) -> Self {
        let mut logs = Self { filter, told: BTreeMap::new() };
        logs.take(world, view);
        logs
    }

    /// Hashes of the newest blocks that this provider has, less those that were told.
    fn news(&self, world: &World, view: &RpcView) -> BTreeMap<u64, Hash> {
        let chain = world.chain();
        let head = view.head(world.visible_head(), chain.first());
        let newest = head.saturating_sub(BLOCKS_REMEMBERED).saturating_add(1)..=head;
        newest
            .filter_map(|number| Some((number, chain.block(number)?.hash)))
            .filter(|(number, hash)| self.told.get(number).is_none_or(|(told, _)| told != hash))
            .collect()
    }

    /// The logs that were not told yet, after those of blocks that are gone, newest first: they are told once more as
    /// removed. Source: geth's real-time events.
    fn take(&mut self, world: &World, view: &RpcView) -> Vec<Value> {
        let news = self.news(world, view);
        let mut found = Vec::new();
        for number in news.keys().rev() {
            let gone = self.told.remove(number).map(|(_, logs)| logs).unwrap_or_default();
            found.extend(gone.into_iter().rev().map(|mut log| {
                log["removed"] = json!(true);
                log
            }));
        }
        for (number, hash) in news {
            let mut filter = self.filter.clone();
            filter["blockHash"] = json!(hash);
            let told = get_logs(world, view, &filter, number).ok();
            let logs = told.and_then(|told| told.as_array().cloned()).unwrap_or_default();
            found.extend(logs.iter().cloned());
            self.told.insert(number, (hash, logs));
        }
        while self.told.len() > usize::try_from(BLOCKS_REMEMBERED).unwrap_or(usize::MAX) {
            self.told.pop_first();
        }
        found
    }
}

impl line::Session for Session {
    async fn hear(&mut self, line: &mut Line, text: &str) -> Result<(), Gone> {
        let view = line.shared.views.get(self.listener);
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let id = request.get("id").cloned().unwrap_or_default();
        let reply = if request.get("method").and_then(Value::as_str) == Some("eth_subscribe") {
            let wanted = request.pointer("/params/0").and_then(Value::as_str).unwrap_or_default();
            match wanted {
                "newHeads" => {
                    self.told = Some(line.shared.with(|world, _| self.head(world, &view)).0);
                    json!({ "jsonrpc": "2.0", "id": id, "result": HEADS })
                }
                "logs" => {
                    let filter = request.pointer("/params/1").filter(|filter| filter.is_object());
                    let filter = filter.cloned().unwrap_or_else(|| json!({}));
                    self.logs = Some(line.shared.with(|world, _| Logs::new(filter, world, &view)));
                    json!({ "jsonrpc": "2.0", "id": id, "result": LOGS })
                }
                _ => {
                    let message = format!("no \"{wanted}\" subscription in eth namespace");
                    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": message } })
                }
            }
        } else {
            line.shared.with(|world, _| answer(world, &view, &request))
        };
        line.send(reply.to_string()).await
    }

    async fn tell(&mut self, line: &mut Line) -> Result<(), Gone> {
        let view = line.shared.views.get(self.listener);
        let (hash, header) = line.shared.with(|world, _| self.head(world, &view));
        if self.told.is_some_and(|told| told != hash) {
            self.told = Some(hash);
            line.push(notice(HEADS, &header)).await?;
        }
        if let Some(logs) = &mut self.logs {
            for log in line.shared.with(|world, _| logs.take(world, &view)) {
                line.push(notice(LOGS, &log)).await?;
            }
        }
        Ok(())
    }
}

/// What a subscription tells.
fn notice(subscription: &str, result: &Value) -> String {
    let params = json!({ "subscription": subscription, "result": result });
    json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string()
}

impl Session {
    /// The head as this provider has it.
    fn head(&self, world: &World, view: &RpcView) -> (Hash, Value) {
        let chain = world.chain();
        let head = view.head(world.visible_head(), chain.first());
        chain.block(head).map_or((Hash([0; 32]), Value::Null), |block| (block.hash, block_json(block, view)))
    }
}

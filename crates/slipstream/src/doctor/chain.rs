//! The chain's providers: each by itself, because a pool of them hides what one of them lacks.

use std::{sync::Arc, time::Duration};

use domain::Clock;
use eip712::{Chain, Exchange};
use engine::{
    deadline::{venue_call, within},
    ports::venue::{BlockHeader, ChainReader as _, VenueError},
};
use futures_util::future::join_all;
use polymarket::{
    JsonRpc, Rpc, RpcUrl,
    limits::{HEAD_LAG, LOG_RANGE},
    socket::{Connector as _, Frame, WebSockets},
};
use reqwest::Client;
use serde_json::{Value, json};

use super::finding::Finding;
use crate::{
    chain::{CALLS_A_DAY, public_providers},
    venue_clock::ClockSkew,
    wording::grouped,
};

const AREA: &str = "chain";
/// How long one provider may take for one question.
const PATIENCE: Duration = Duration::from_secs(6);
/// A head that is older is of a provider that lags, or of a chain that stands still.
const OLDEST_HEAD: Duration = Duration::from_secs(30);
/// Blocks back at which state is asked for: half an hour, which a restart may take.
const STATE_BACK: i64 = 1_000;
/// Tells of new blocks. Source: ethereum.org/developers/docs/apis/json-rpc, geth's real-time events.
const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;

/// Looks at each provider. `live`: whether real money needs one; `skew` is how far this machine's clock is off, where that is known.
pub(super) async fn look(
    clock: &Arc<dyn Clock>,
    client: &Client,
    (urls, live): (&[RpcUrl], bool),
    skew: Option<ClockSkew>,
) -> Vec<Finding> {
    if urls.is_empty() {
        return vec![nobody(live)];
    }
    let (bells, providers): (Vec<_>, Vec<_>) = urls.iter().partition(|url| url.is_socket());
    let heads = join_all(providers.iter().map(|url| head(clock.as_ref(), client, url)));
    let rings = join_all(bells.iter().map(|url| ring(clock.as_ref(), url)));
    let (heads, rings) = tokio::join!(heads, rings);
    let best = heads.iter().filter_map(|(head, ..)| head.as_ref().ok()).map(|head| head.number).max();
    let mut findings = Vec::new();
    for (url, (head, took, rpc)) in providers.iter().zip(heads) {
        let judged = judge(clock.as_ref(), url, &head, (best, skew)).after(took);
        findings.push(judged);
        if let Ok(head) = head {
            findings.extend(reach(clock.as_ref(), url, &rpc, &head).await);
        }
    }
    findings.extend(rings);
    findings.push(Finding::ok(
        (AREA, "calls"),
        format!(
            "`run` asks the provider that does best about {} times a day, and more while there is much to copy; `slipstream \
             rpc status` counts them",
            grouped(CALLS_A_DAY),
        ),
    ));
    findings
}

fn nobody(live: bool) -> Finding {
    let what = (AREA, "providers");
    let fix = format!(
        "name some in `rpc_urls` of [chain]. Public ones, good for a beginning on paper, not for about {} calls a day \
         without fail: {}",
        grouped(CALLS_A_DAY),
        public_providers()
    );
    let seen = "none is configured: trades come from the Data API and are not held against the chain, and exits come late";
    match live {
        true => {
            let seen = format!(
                "{seen}; live trading is on, and `run` does not start so with an account with real money"
            );
            Finding::fail(what, seen, fix)
        }
        false => Finding::warn(what, seen, fix),
    }
}

type Told = (Result<BlockHeader, VenueError>, Duration, Rpc);

async fn head(clock: &dyn Clock, client: &Client, url: &RpcUrl) -> Told {
    let rpc = Rpc::new(client.clone(), url.expose(), Chain::Polygon);
    let begin = clock.uptime();
    // It says first which chain it serves.
    let head = venue_call(clock, "head", PATIENCE, rpc.head()).await;
    (head, clock.uptime().saturating_sub(begin), rpc)
}

fn judge(
    clock: &dyn Clock,
    url: &RpcUrl,
    head: &Result<BlockHeader, VenueError>,
    (best, skew): (Option<i64>, Option<ClockSkew>),
) -> Finding {
    let what = (AREA, url.host());
    let head = match head {
        Ok(head) => head,
        Err(error @ VenueError::Refused { .. }) => {
            return Finding::fail(
                what,
                error.to_string(),
                "correct its URL in `rpc_urls` of [chain], or leave it out",
            );
        }
        Err(error) => {
            let fix =
                "look at the network and at the provider's own status page, or leave it out of `rpc_urls`";
            return Finding::fail(what, error.to_string(), fix);
        }
    };
    // By the venue's clock, where it is known: this machine's may be wrong.
    let now = clock.now().0.saturating_sub(skew.map_or(0, |skew| skew.micros));
    let age = Duration::from_micros(u64::try_from(now.saturating_sub(head.time.0)).unwrap_or(0));
    let behind = best.map_or(0, |best| best.saturating_sub(head.number));
    let seen = format!("chain 137, head {}, {} s old", head.number, age.as_secs());
    if behind > HEAD_LAG {
        let seen = format!("{seen}, {behind} blocks behind the best of the others");
        return Finding::fail(
            what,
            seen,
            "it lags: what it tells comes late; leave it out, or ask its operator",
        );
    }
    if age > OLDEST_HEAD {
        let fix = "it lags, or the chain stands still (polygonscan.com shows its newest block); name another provider";
        return Finding::fail(what, seen, fix);
    }
    Finding::ok(what, seen)
}

/// How far back a provider can be asked.
async fn reach(clock: &dyn Clock, url: &RpcUrl, rpc: &Rpc, head: &BlockHeader) -> Vec<Finding> {
    let what = |of: &str| (AREA, format!("{} {of}", url.host()));
    let hex = |number: i64| format!("{:#x}", number.max(0));
    let ask = async |method: &'static str, params: Value| {
        let begin = clock.uptime();
        let told = venue_call(clock, method, PATIENCE, JsonRpc::ask(rpc, method, params)).await;
        (told, clock.uptime().saturating_sub(begin))
    };
    // Nothing has this topic: the range alone is asked.
    let filter = json!([{
        "fromBlock": hex(head.number.saturating_sub(LOG_RANGE - 1)), "toBlock": hex(head.number),
        "address": Exchange::ALL[0].address(Chain::Polygon), "topics": [format!("0x{:064}", 0)],
    }]);
    let state = json!([domain::Address([0; 20]), hex(head.number.saturating_sub(STATE_BACK))]);
    let ((logs, logs_took), (state, state_took), (last, last_took)) = tokio::join!(
        ask("eth_getLogs", filter),
        ask("eth_getBalance", state),
        ask("eth_getBlockByNumber", json!(["finalized", false])),
    );
    let logs = match logs {
        Ok(_) => Finding::ok(what("logs"), format!("{LOG_RANGE} blocks at once")),
        Err(VenueError::Refused { reason, .. }) => Finding::warn(
            what("logs"),
            format!("not {LOG_RANGE} blocks at once: {reason}"),
            "smaller ranges are asked then, which takes longer after a pause; a provider with a key takes more",
        ),
        Err(error) => Finding::unknown(what("logs"), error.to_string(), "run this again"),
    };
    let state = match state {
        Ok(_) => Finding::ok(what("state"), format!("{STATE_BACK} blocks back is there")),
        Err(error) => Finding::warn(
            what("state"),
            format!("{STATE_BACK} blocks back is not there: {error}"),
            "after a longer pause what a leader kept is counted back from newer blocks, and where that cannot be done the exit is \
             told as `balance unknown`; a provider with older state knows it",
        ),
    };
    let last = match last {
        Ok(Value::Object(_)) => Finding::ok(what("finality"), "tells the final block"),
        Ok(_) => Finding::fail(
            what("finality"),
            "tells no final block",
            "name another provider: orders end when final",
        ),
        Err(error) => {
            Finding::warn(what("finality"), error.to_string(), "name another provider: orders end when final")
        }
    };
    vec![logs.after(logs_took), state.after(state_took), last.after(last_took)]
}

/// Whether a websocket tells of the next block.
async fn ring(clock: &dyn Clock, url: &RpcUrl) -> Finding {
    let what = (AREA, format!("{} websocket", url.host()));
    let begin = clock.uptime();
    let rung = within(clock, PATIENCE, async {
        let mut connection = WebSockets.connect(url.expose()).await.map_err(|error| error.to_string())?;
        connection.send(SUBSCRIBE).await.map_err(|error| error.to_string())?;
        loop {
            if let Frame::Text(text) = connection.receive().await.map_err(|error| error.to_string())? {
                let told: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                if let Some(error) = told.get("error") {
                    return Err(format!("no subscription to new blocks: {error}"));
                }
                if told.get("method").is_some_and(|method| method == "eth_subscription") {
                    return Ok(());
                }
            }
        }
    })
    .await;
    let took = clock.uptime().saturating_sub(begin);
    let fix =
        "nothing is lost without it, but the others are asked more often; correct its URL, or leave it out";
    let found = match rung {
        Ok(Ok(())) => Finding::ok(what, "told of a new block"),
        Ok(Err(why)) => Finding::warn(what, why, fix),
        Err(_) => Finding::warn(what, format!("told of no block within {PATIENCE:?}"), fix),
    };
    found.after(took)
}

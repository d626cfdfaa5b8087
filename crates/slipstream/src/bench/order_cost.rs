//! What one order costs in CPU time: the bare signature, the bare HMAC, and our whole path of building,
//! hashing, signing, serialising and authenticating, everything but the socket.
//!
//! One thread, its own CPU time: other load on the machine hardly shows.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use domain::{Clock, OrderAmounts, OrderPlan, Side, TokenId, TradingAccount, ids::AccountId, money::ONE};
use eip712::Chain;
use engine::ports::venue::OrderGateway as _;
use futures_util::FutureExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use polymarket::Clob;
use sha2::Sha256;
use signer::measure::bare_signatures;
use simulator::Simulator;

use super::{
    installation::Keys,
    sample::{median, thread_cpu},
};

/// Orders in one run.
const ORDERS: usize = 4_096;
/// Orders prepared in one call, as a worker does.
const BATCH: usize = 64;
/// Runs; the median counts.
const RUNS: usize = 7;

/// CPU time per order.
pub(super) struct OrderCost {
    /// A recoverable signature of libsecp256k1.
    pub(super) signature: Duration,
    /// An HMAC-SHA256 of the body.
    pub(super) hmac: Duration,
    /// All of our own path.
    pub(super) whole: Duration,
    /// Bytes of the last body.
    pub(super) body: usize,
}

/// Measures; the simulator is only asked for API credentials, before.
pub(super) async fn measure(clock: &Arc<dyn Clock>) -> anyhow::Result<OrderCost> {
    let keys = Keys::of_seed(1);
    let simulator = Simulator::start(super::installation::quiet(), Arc::clone(clock)).await?;
    let client = polymarket::local_client()?;
    let clob = Clob::new(client, &simulator.clob_url, Chain::Polygon, keys.signer.clone(), Arc::clone(clock));
    // One of each kind of wallet.
    let accounts: Vec<TradingAccount> = keys.followers(4).await?.iter().map(account).collect();
    let plans: Vec<OrderPlan> = accounts.iter().cycle().zip(0..).take(ORDERS).map(plan).collect();
    for prepared in clob.prepare(plans.get(..4).unwrap_or_default()).await {
        prepared.context("an order cannot be prepared")?;
    }
    // Outside of the runtime everything runs on the one thread whose time is taken.
    let thread = std::thread::spawn(move || all_runs(&clob, &plans));
    let cost = thread.join().map_err(|_| anyhow!("the measuring thread died"))?;
    simulator.shutdown().await;
    cost
}

pub(super) fn account(follower: &crate::demo::setup::Follower) -> TradingAccount {
    TradingAccount {
        id: AccountId(1),
        wallet: follower.wallet,
        signer: follower.owner,
        kind: follower.kind,
        key: follower.key.clone(),
    }
}

pub(super) fn plan((account, number): (&TradingAccount, u64)) -> OrderPlan {
    OrderPlan {
        // As long as real ones.
        salt: (1 << 52) + number,
        account: account.clone(),
        token: TokenId([0x9d; 32]),
        side: Side::Buy,
        amounts: OrderAmounts { maker: 25 * ONE, taker: 50 * ONE },
        timestamp: domain::Timestamp::from_seconds(1_795_000_000),
        negative_risk: false,
        order_type: domain::OrderType::FillAndKill,
        defer: false,
        builder: domain::Hash([0; 32]),
    }
}

fn all_runs(clob: &Clob, plans: &[OrderPlan]) -> anyhow::Result<OrderCost> {
    let (mut signatures, mut hmacs, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    let mut body = Vec::new();
    for _ in 0..RUNS {
        wholes.push(per_order(|| orders(clob, plans).map(|last| body = last))?);
        signatures.push(per_order(|| {
            std::hint::black_box(bare_signatures(ORDERS as u64));
            Ok(())
        })?);
        hmacs.push(per_order(|| bare_hmacs(&body))?);
    }
    Ok(OrderCost {
        signature: median(signatures),
        hmac: median(hmacs),
        whole: median(wholes),
        body: body.len(),
    })
}

fn per_order(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = thread_cpu();
    run()?;
    let took = thread_cpu().saturating_sub(start);
    Ok(took / u32::try_from(ORDERS).unwrap_or(u32::MAX))
}

/// Prepares every plan and makes its request; the last body.
fn orders(clob: &Clob, plans: &[OrderPlan]) -> anyhow::Result<Vec<u8>> {
    let not_ready = || anyhow!("preparing an order waited for something");
    let mut last = Vec::new();
    for batch in plans.chunks(BATCH) {
        let prepared = clob.prepare(batch).now_or_never().ok_or_else(not_ready)?;
        for (plan, prepared) in batch.iter().zip(prepared) {
            let prepared = prepared?;
            let request = clob.order_request(&plan.account, &prepared).now_or_never();
            std::hint::black_box(request.ok_or_else(not_ready)??);
            last = prepared.body;
        }
    }
    Ok(last)
}

fn bare_hmacs(body: &[u8]) -> anyhow::Result<()> {
    let keyed = Hmac::<Sha256>::new_from_slice(&[0x31; 32])?;
    for _ in 0..ORDERS {
        let mut mac = keyed.clone();
        mac.update(std::hint::black_box(body));
        std::hint::black_box(mac.finalize());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn the_whole_costs_more_than_its_parts() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cost = measure(&clock).await.unwrap();
        assert!(cost.whole > cost.signature && cost.signature > Duration::ZERO);
        assert!(cost.whole > cost.hmac && cost.hmac > Duration::ZERO);
        assert!((700..1_500).contains(&cost.body), "{} bytes", cost.body);
    }
}

//! A provider of the chain that stops answering: how soon the next block is read through another one.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::{Address, Clock};
use eip712::Chain;
use engine::{
    limits::HEAD_EVERY,
    ports::venue::{BlockHeader, ChainReader as _},
};
use polymarket::{Provider, Providers, rpc_urls};
use simulator::{Outage, RpcView, Running, Simulator, SimulatorConfig};

use super::{installation::quiet, sample::median};

/// Providers.
const PROVIDERS: usize = 2;
/// Heads read before one fails.
const WARM: usize = 5;
/// A block that takes longer to be read is a fault, no figure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the provider that was asked first stops answering.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// Takes connections and says nothing.
    Hangs,
    /// Ends connections.
    Refuses,
}

impl Failure {
    const fn outage(self) -> Outage {
        match self {
            Self::Hangs => Outage::Silent,
            Self::Refuses => Outage::Refused,
        }
    }
}

/// From a block that is mined just after the first of two providers failed to having read its header and logs,
/// asking for the head as often as the watcher does: the median of so many rounds and the longest.
pub(super) async fn measure(
    failure: Failure,
    rounds: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Duration, Duration)> {
    let simulator =
        Simulator::start(SimulatorConfig { rpc_listeners: PROVIDERS, ..quiet() }, Arc::clone(clock)).await?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        times.push(round(&simulator, failure, clock).await?);
    }
    simulator.shutdown().await;
    let longest = times.iter().max().copied().unwrap_or_default();
    Ok((median(times), longest))
}

/// With a pool that knows both.
async fn round(simulator: &Running, failure: Failure, clock: &Arc<dyn Clock>) -> anyhow::Result<Duration> {
    let (client, world) = (polymarket::local_client()?, simulator.world());
    let urls = rpc_urls(&simulator.rpc_urls.join(","))?;
    let providers = urls.iter().map(|url| Provider::at(&client, url, Chain::Polygon)).collect();
    let pool = Providers::new(Arc::clone(clock), providers);
    pool.look().await;
    let mut known = pool.head().await?;
    for _ in 0..WARM {
        world.with(|world, now| world.mine(now));
        known = read(&pool, known, clock.as_ref()).await?;
    }
    let first = pool.health().iter().position(|provider| provider.first).context("nobody is asked first")?;
    let view = RpcView { outage: failure.outage(), ..RpcView::default() };
    ensure!(world.set_provider(first, view), "there is no provider {first}");
    world.with(|world, now| world.mine(now));
    let start = clock.uptime();
    read(&pool, known, clock.as_ref()).await?;
    let took = clock.uptime().saturating_sub(start);
    world.set_provider(first, RpcView::default());
    Ok(took)
}

/// Reads the block after a known one.
async fn read(pool: &Providers, known: BlockHeader, clock: &dyn Clock) -> anyhow::Result<BlockHeader> {
    let limit = clock.uptime().saturating_add(PATIENCE);
    loop {
        let head = pool.head().await;
        if let Ok(head) = head
            && head.number > known.number
        {
            pool.block_events(&head, &[Address([7; 20])]).await?;
            return Ok(head);
        }
        ensure!(clock.uptime() < limit, "no block after {} was read: {head:?}", known.number);
        clock.sleep(HEAD_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_next_block_is_read_through_the_other_provider() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for failure in [Failure::Hangs, Failure::Refuses] {
            let (usual, longest) = measure(failure, 1, &clock).await.unwrap();
            assert!(usual > Duration::ZERO && usual == longest, "{failure:?}: {usual:?}, {longest:?}");
        }
    }
}

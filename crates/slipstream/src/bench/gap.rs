//! The live feed's gap: how soon a trade is decided that was made while the feed was away, so that only the venue's history
//! tells of it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::Clock;
use engine::limits::LIVE_HURRY;
use simulator::{Outage, Service, Simulator};

use super::{
    installation::{By, Keys, Running, fill, furnish, lead, quiet},
    sample::median,
};
use crate::demo::SimulatorUrls;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// From the feed's return, after it was away for so long, to the decision of the trade made at the beginning of that; its
/// row is in the history a second after the trade. The median and the longest.
pub(super) async fn decided(
    directory: &Path,
    clock: &Arc<dyn Clock>,
    away_ms: &[u64],
) -> anyhow::Result<(Duration, Duration)> {
    let file = directory.join("gap").join("slipstream.db");
    let keys = Keys::of_seed(6);
    let all = keys.followers(1).await?;
    fill(&file, &all, clock).await.with_context(|| format!("filling {}", file.display()))?;
    let simulator = Simulator::start(quiet(), Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    let urls = SimulatorUrls::of(&simulator);
    let running = Running::started(By::LiveFeed, &file, &urls, &keys, clock).await?;
    let decisions = async || -> anyhow::Result<usize> {
        Ok(running.store.decisions_after(None, 0, usize::from(u16::MAX)).await?.len())
    };
    let mut times = Vec::with_capacity(away_ms.len());
    for (trade, away) in (1..).zip(away_ms) {
        let before = decisions().await?;
        world.set_outage(Service::Live, Outage::Refused);
        while running.feed().open > 0 {
            clock.sleep(LOOK_EVERY).await;
        }
        lead(&world, trade)?;
        clock.sleep(Duration::from_millis(*away)).await;
        ensure!(decisions().await? == before, "the trade was decided while nobody told of it");
        world.set_outage(Service::Live, Outage::None);
        let start = clock.uptime();
        while decisions().await? == before {
            ensure!(clock.uptime().saturating_sub(start) < PATIENCE, "a trade made in a gap is not decided");
            clock.sleep(LOOK_EVERY).await;
        }
        times.push(clock.uptime().saturating_sub(start));
        // Until then the history is asked for often because of this gap.
        clock.sleep(LIVE_HURRY).await;
    }
    running.shutdown().await?;
    simulator.shutdown().await;
    let longest = times.iter().max().copied().unwrap_or_default();
    Ok((median(times), longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_the_feed_did_not_tell_is_decided() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (usual, longest) = decided(directory.path(), &clock, &[50]).await.unwrap();
        assert!(usual > Duration::ZERO && longest == usual);
    }
}

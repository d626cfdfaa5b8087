//! From a leader's trade to the last follower's order at the venue: engine, store and simulator in this
//! process, on real sockets, every commit waiting for the disk.
//!
//! Start is the moment detection has read the block (how long it took to look is told apart), end the
//! moment the simulator has the last order.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::{Clock, Timestamp, ids::IntentId};
use engine::ports::execution::OrderRecord;
use serde::Serialize;
use simulator::{Simulator, WorldHandle};
use tracing::debug;

use super::{
    installation::{Keys, Running, fill, furnish, lead, quiet},
    sample::{median, micros, millis, process_cpu},
};
use crate::demo::SimulatorUrls;

/// How long a round may take, and settling after it.
const PATIENCE: Duration = Duration::from_secs(180);
/// Time between looks at the venue's books.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Time between blocks while a round settles.
const BLOCK_EVERY: Duration = Duration::from_millis(100);
/// Intents read back at once.
const PAGE: usize = 500;

/// Medians over the rounds with one number of followers. Stages are medians over the orders of a round,
/// first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FanOut {
    /// Followers of the one leader.
    pub(super) followers: usize,
    /// Rounds after the first one, in which API credentials are made.
    pub(super) rounds: usize,
    /// From the block mined to detection having read it: mostly waiting for the next look.
    pub(super) noticed_ms: f64,
    /// From detection having read the block to the last order at the venue.
    pub(super) total_ms: f64,
    /// The same divided by the orders.
    pub(super) per_order_us: f64,
    /// CPU time of the process meanwhile, simulator included, divided by the orders: what other load on the
    /// machine does not change much.
    pub(super) cpu_per_order_us: f64,
    /// Commits meanwhile, of whatever kind.
    pub(super) commits: usize,
    /// Read to decided: market and book.
    pub(super) decided_ms: f64,
    /// Decided to first byte: commit 1, the queue, signing, commit 2.
    pub(super) sent_ms: f64,
    /// First byte to reply.
    pub(super) replied_ms: f64,
}

/// One leader's trade.
struct Round {
    noticed: Duration,
    total: Duration,
    cpu: Duration,
    commits: usize,
    decided: Duration,
    sent: Duration,
    replied: Duration,
}

/// An installation between rounds.
struct Scene {
    running: Running,
    world: WorldHandle,
    clock: Arc<dyn Clock>,
    followers: usize,
    /// Rounds played.
    played: usize,
    /// The newest intent of the rounds before.
    newest: IntentId,
}

/// Measures `rounds` trades with this many followers in a fresh directory, after one to warm up.
pub(super) async fn measure(
    directory: &Path,
    followers: usize,
    rounds: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<FanOut> {
    let file = directory.join(format!("{followers}-followers")).join("slipstream.db");
    let keys = Keys::of_seed(1);
    let all = keys.followers(followers).await?;
    fill(&file, &all, clock).await.with_context(|| format!("filling {}", file.display()))?;
    let simulator = Simulator::start(quiet(), Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    drop(all);
    let running = Running::start(&file, &SimulatorUrls::of(&simulator), &keys, clock).await?;
    let clock = Arc::clone(clock);
    let mut scene = Scene { running, world, clock, followers, played: 0, newest: IntentId(0) };
    scene.play().await.context("the first round")?;
    let mut measured = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        measured.push(scene.play().await.with_context(|| format!("round {number}"))?);
    }
    scene.running.shutdown().await?;
    simulator.shutdown().await;
    Ok(summary(followers, &measured))
}

fn summary(followers: usize, rounds: &[Round]) -> FanOut {
    let of = |pick: fn(&Round) -> Duration| median(rounds.iter().map(pick).collect());
    let total = of(|round| round.total);
    let orders = f64::from(u32::try_from(followers).unwrap_or(u32::MAX));
    let mut commits: Vec<usize> = rounds.iter().map(|round| round.commits).collect();
    commits.sort_unstable();
    FanOut {
        followers,
        rounds: rounds.len(),
        noticed_ms: millis(of(|round| round.noticed)),
        total_ms: millis(total),
        per_order_us: micros(total) / orders,
        cpu_per_order_us: micros(of(|round| round.cpu)) / orders,
        commits: commits.get(commits.len().saturating_sub(1) / 2).copied().unwrap_or(0),
        decided_ms: millis(of(|round| round.decided)),
        sent_ms: millis(of(|round| round.sent)),
        replied_ms: millis(of(|round| round.replied)),
    }
}

impl Scene {
    /// One trade of the leader, copied by everybody, and settled.
    async fn play(&mut self) -> anyhow::Result<Round> {
        self.wait_for_next_second().await;
        let before = self.commits().await?;
        self.played += 1;
        lead(&self.world, self.played)?;
        let (mined, cpu) = (self.clock.now(), process_cpu());
        debug!(uptime = ?self.clock.uptime(), "the leader's trade is mined");
        let wanted = self.played * self.followers;
        let limit = self.clock.uptime() + PATIENCE;
        while self.orders_at_venue() < wanted {
            ensure!(self.clock.uptime() < limit, "{} of {wanted} orders arrived", self.orders_at_venue());
            self.clock.sleep(LOOK_EVERY).await;
        }
        let cpu = process_cpu().saturating_sub(cpu);
        debug!(uptime = ?self.clock.uptime(), "every order is at the venue");
        let commits = usize::try_from(self.commits().await? - before)?;
        let last = self.last_arrival(mined).context("no order arrived")?;
        self.settle().await?;
        let records = self.records().await?;
        ensure!(records.len() == self.followers, "{} orders of this round are stored", records.len());
        let seen = records.first().map_or(mined, |record| record.intent.seen_at);
        let stage =
            |pick: fn(&OrderRecord) -> Option<Duration>| median(records.iter().filter_map(pick).collect());
        Ok(Round {
            noticed: seen.since(mined),
            total: last.since(seen),
            cpu,
            commits,
            decided: stage(|record| Some(record.intent.decided_at.since(record.intent.seen_at))),
            sent: stage(|record| Some(record.times.sent?.since(record.intent.decided_at))),
            replied: stage(|record| Some(record.times.replied?.since(record.times.sent?))),
        })
    }

    /// Blocks are dated in whole seconds: a trade in the second in which somebody began to follow is none
    /// of theirs.
    async fn wait_for_next_second(&self) {
        let now = self.clock.now();
        let next = Timestamp::from_seconds(now.seconds() + 1);
        self.clock.sleep(next.since(now)).await;
    }

    async fn commits(&self) -> anyhow::Result<i64> {
        Ok(self.running.store.commit_mark().await?.0)
    }

    fn orders_at_venue(&self) -> usize {
        self.world.with(|world, _| world.journal().orders.len())
    }

    /// When the newest order of a round reached the book.
    fn last_arrival(&self, since: Timestamp) -> Option<Timestamp> {
        self.world.with(|world, _| {
            let known = world.journal().orders.values().filter_map(|order| order.known_since);
            known.filter(|at| *at >= since).max()
        })
    }

    /// Lets blocks pass until nothing is left to do.
    async fn settle(&self) -> anyhow::Result<()> {
        let limit = self.clock.uptime() + PATIENCE;
        loop {
            let open = self.running.store.count_open_work().await?;
            if open == 0 {
                return Ok(());
            }
            ensure!(self.clock.uptime() < limit, "{open} orders were not settled within {PATIENCE:?}");
            self.world.with(|world, now| world.mine(now));
            self.clock.sleep(BLOCK_EVERY).await;
        }
    }

    /// The stored orders since the last call.
    async fn records(&mut self) -> anyhow::Result<Vec<OrderRecord>> {
        let mut records = Vec::with_capacity(self.followers);
        loop {
            let intents = self.running.store.intents_after(None, self.newest, PAGE).await?;
            let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
            let Some(newest) = ids.last() else { return Ok(records) };
            self.newest = *newest;
            records.extend(self.running.store.attempts_of(&ids).await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everybody_copies_once_in_few_commits() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let measured = measure(directory.path(), 30, 1, &clock).await.unwrap();
        assert_eq!((measured.followers, measured.rounds), (30, 1));
        assert!(measured.total_ms > 0.0 && measured.sent_ms > 0.0);
        // Far fewer than one for each order: they are signed and sent in batches.
        assert!((2..20).contains(&measured.commits), "{} commits", measured.commits);
    }
}

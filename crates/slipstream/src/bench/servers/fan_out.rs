//! From a leader's trade to the last follower's order at the venue, in a team on servers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::{
    Address, Clock, Timestamp,
    ids::{IntentId, LeaderId},
};
use engine::ports::{
    execution::{Execution as _, OrderRecord},
    reports::Reports as _,
};
use serde::Serialize;

use super::{
    part::{Ask, VenueKind},
    stack::{Cpu, Servers, Stack},
};
use crate::bench::sample::{median, micros, millis, quantile};

/// How long a round may take, and settling after it.
const PATIENCE: Duration = Duration::from_secs(180);
/// Time between looks at the venue, which is asked over a pipe.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Time between blocks while a round settles.
const BLOCK_EVERY: Duration = Duration::from_millis(50);
/// Intents read back at once.
const PAGE: usize = 500;
/// Fewer orders than these say nothing of what the database does for them: it does something all the time.
const ENOUGH: usize = 1_000;
/// How long after the large leader's trade the small one trades, one after the other: early, in the middle and late.
const BESIDE: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(450),
    Duration::from_millis(700),
    Duration::from_millis(1_000),
];
/// A session tells the server's statistics what it did within ten seconds after the last of it. Source: PostgreSQL,
/// pgstat.c, PGSTAT_IDLE_INTERVAL.
const TOLD_WITHIN: Duration = Duration::from_secs(11);
const ACTIVE_TIME: &str = "SELECT active_time FROM pg_stat_database WHERE datname = current_database()";
const SIZE: &str = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND \
     relnamespace = 'public'::regnamespace";

/// CPU time of an order until it is settled, in µs, by process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::bench) struct CpuPerOrder {
    pub(in crate::bench) watcher: f64,
    pub(in crate::bench) worker: f64,
    pub(in crate::bench) postgres: f64,
    pub(in crate::bench) redis: f64,
    pub(in crate::bench) venue: f64,
}

/// Rounds with one number of followers.
#[derive(Clone, Debug, Serialize)]
pub(in crate::bench) struct Copied {
    pub(in crate::bench) followers: usize,
    pub(in crate::bench) rounds: usize,
    pub(in crate::bench) noticed_ms: f64,
    pub(in crate::bench) decided_ms: f64,
    pub(in crate::bench) sent_ms: f64,
    pub(in crate::bench) replied_ms: f64,
    /// From detection having read the block to the last order at the venue.
    pub(in crate::bench) total_ms: f64,
    /// The same, of a hundred rounds the slowest but one; of fewer, the slowest.
    pub(in crate::bench) p99_ms: f64,
    pub(in crate::bench) cpu: CpuPerOrder,
}

/// A leader with one follower beside one with many, in ms.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::bench) struct Fairness {
    pub(in crate::bench) many: usize,
    /// From the block read to the reply, alone and beside.
    pub(in crate::bench) alone_ms: f64,
    pub(in crate::bench) beside_ms: f64,
    /// The same from the block mined.
    pub(in crate::bench) mined_alone_ms: f64,
    pub(in crate::bench) mined_beside_ms: f64,
}

/// What the database spends on orders.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::bench) struct Database {
    /// Active time of its sessions for 10,000 orders, what they do without orders taken off.
    pub(in crate::bench) active_ms: f64,
    /// CPU time of its processes for 10,000 orders.
    pub(in crate::bench) cpu_ms: f64,
    /// Tables and indexes that 10,000 orders add.
    pub(in crate::bench) megabytes: f64,
    /// Active time without orders, in per cent of one session.
    pub(in crate::bench) idle_percent: f64,
}

/// All of one team.
#[derive(Clone, Debug, Serialize)]
pub(in crate::bench) struct Measured {
    pub(in crate::bench) copied: Vec<Copied>,
    pub(in crate::bench) fairness: Option<Fairness>,
    pub(in crate::bench) database: Option<Database>,
}

/// One leader's trade, or two.
struct Round {
    noticed: Duration,
    total: Duration,
    cpu: Cpu,
    records: Vec<OrderRecord>,
    mined: Vec<Timestamp>,
}

struct Scene<'a> {
    stack: Stack<'a>,
    clock: Arc<dyn Clock>,
    played: usize,
    newest: IntentId,
}

/// Measures trades of leaders with these numbers of followers, `rounds` and more of each; the ended team's database stays.
pub(in crate::bench) async fn measure(
    servers: &Servers,
    kind: VenueKind,
    (followers, rounds): (&[usize], usize),
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Measured> {
    let leaders: Vec<(Address, usize)> =
        followers.iter().zip(1..).map(|(count, number)| (Address([number; 20]), *count)).collect();
    let stack = Stack::start(servers, kind, &leaders, clock).await?;
    let mut scene = Scene { stack, clock: Arc::clone(clock), played: 0, newest: IntentId(0) };
    // Trades are dated in whole seconds: one in the second in which somebody began to follow is none of theirs.
    clock.sleep(Duration::from_millis(1_100)).await;
    // In the first trades each follower logs in.
    for leader in leaders.iter().rev() {
        scene.play(&[(*leader, Duration::ZERO)]).await.context("a trade to warm up")?;
    }
    let mut copied = Vec::with_capacity(leaders.len());
    for leader in &leaders {
        copied.push(scene.copied(*leader, rounds_of(leader.1, rounds)).await?);
    }
    let fairness = match (leaders.first(), leaders.last()) {
        (Some(one @ (_, 1)), Some(many)) if many.1 > 1 && kind == VenueKind::Stub => {
            Some(scene.fairness((*one, *many), rounds).await?)
        }
        _ => None,
    };
    let database = match leaders.last() {
        Some(many) if kind == VenueKind::Stub && many.1 >= ENOUGH => {
            Some(scene.database(*many, rounds).await?)
        }
        _ => None,
    };
    scene.stack.end()?.close().await?;
    Ok(Measured { copied, fairness, database })
}

/// Trades of few followers are quick, and the slowest of a hundred tells more than the slowest of five.
const fn rounds_of(followers: usize, rounds: usize) -> usize {
    match followers {
        0..=100 => rounds * rounds * rounds,
        101..=1_000 => rounds * rounds,
        _ => rounds,
    }
}

impl Scene<'_> {
    async fn copied(&mut self, leader: (Address, usize), rounds: usize) -> anyhow::Result<Copied> {
        let mut measured = Vec::with_capacity(rounds);
        for number in 1..=rounds {
            let round = self.play(&[(leader, Duration::ZERO)]).await;
            measured.push(round.with_context(|| format!("{} followers, round {number}", leader.1))?);
        }
        Ok(summary(leader.1, &measured))
    }

    /// Trades of leaders, each so long after the first, copied by everybody and settled.
    async fn play(&mut self, trades: &[((Address, usize), Duration)]) -> anyhow::Result<Round> {
        let expected: usize = trades.iter().map(|((_, followers), _)| followers).sum();
        let wanted = self.stack.ask(Ask::Orders)? + i64::try_from(expected)?;
        let (cpu, began) = (self.stack.cpu()?, self.clock.uptime());
        let mut mined = Vec::with_capacity(trades.len());
        for ((leader, _), after) in trades {
            let wait = (began + *after).saturating_sub(self.clock.uptime());
            self.clock.sleep(wait).await;
            self.played += 1;
            mined.push(Timestamp(self.stack.ask(Ask::Lead(*leader, self.played))?));
        }
        let first = mined.first().copied().context("nobody trades")?;
        let limit = self.clock.uptime() + PATIENCE;
        loop {
            let there = self.stack.ask(Ask::Orders)?;
            if there >= wanted {
                break;
            }
            ensure!(self.clock.uptime() < limit, "{} orders are missing", wanted - there);
            self.clock.sleep(LOOK_EVERY).await;
        }
        let last = Timestamp(self.stack.ask(Ask::Newest(first))?);
        self.settle().await?;
        let cpu = self.stack.cpu()?.since(cpu);
        let records = self.records(expected).await?;
        ensure!(records.len() == expected, "{} orders of {expected} are stored", records.len());
        let seen = records.iter().map(|record| record.intent.seen_at).min().unwrap_or(first);
        Ok(Round { noticed: seen.since(first), total: last.since(seen), cpu, records, mined })
    }

    /// Lets blocks pass until nothing is left to do.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let limit = self.clock.uptime() + PATIENCE;
        loop {
            let open = self.stack.store.count_open_work().await?;
            if open == 0 {
                return Ok(());
            }
            ensure!(self.clock.uptime() < limit, "{open} orders were not settled within {PATIENCE:?}");
            self.stack.ask(Ask::Mine)?;
            self.clock.sleep(BLOCK_EVERY).await;
        }
    }

    /// The stored orders since the last call.
    async fn records(&mut self, expected: usize) -> anyhow::Result<Vec<OrderRecord>> {
        let mut records = Vec::with_capacity(expected);
        loop {
            let intents = self.stack.store.intents_after(None, self.newest, PAGE).await?;
            let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
            let Some(newest) = ids.last() else { return Ok(records) };
            self.newest = *newest;
            records.extend(self.stack.store.attempts_of(&ids).await?);
        }
    }

    async fn fairness(
        &mut self,
        (one, many): ((Address, usize), (Address, usize)),
        rounds: usize,
    ) -> anyhow::Result<Fairness> {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        let leader = self.leader(one.0).await?;
        for after in BESIDE.into_iter().take(rounds) {
            let round = self.play(&[(one, Duration::ZERO)]).await?;
            alone.extend(round.of(leader));
            let round = self.play(&[(many, Duration::ZERO), (one, after)]).await?;
            beside.extend(round.of(leader));
        }
        let of = |times: &[(Duration, Duration)], pick: fn(&(Duration, Duration)) -> Duration| {
            millis(median(times.iter().map(pick).collect()))
        };
        Ok(Fairness {
            many: many.1,
            alone_ms: of(&alone, |times| times.0),
            beside_ms: of(&beside, |times| times.0),
            mined_alone_ms: of(&alone, |times| times.1),
            mined_beside_ms: of(&beside, |times| times.1),
        })
    }

    async fn leader(&self, wallet: Address) -> anyhow::Result<LeaderId> {
        let leaders = self.stack.store.leaders().await?;
        let found = leaders.iter().find(|leader| leader.wallet == wallet);
        found.map(|leader| leader.id).context("no such leader")
    }

    async fn database(&mut self, many: (Address, usize), rounds: usize) -> anyhow::Result<Database> {
        self.clock.sleep(TOLD_WITHIN).await;
        let (before, began) = (self.stack.servers.number(ACTIVE_TIME)?, self.clock.uptime());
        self.clock.sleep(TOLD_WITHIN).await;
        let (idle, without) = (self.stack.servers.number(ACTIVE_TIME)?, self.clock.uptime());
        let rate = (idle - before) / millis(without.saturating_sub(began));
        let (size, cpu) = (self.stack.servers.number(SIZE)?, self.stack.cpu()?);
        for _ in 0..rounds {
            self.play(&[(many, Duration::ZERO)]).await?;
        }
        let cpu = self.stack.cpu()?.since(cpu);
        let grown = self.stack.servers.number(SIZE)? - size;
        self.clock.sleep(TOLD_WITHIN).await;
        let passed = millis(self.clock.uptime().saturating_sub(without));
        let active = self.stack.servers.number(ACTIVE_TIME)? - idle - rate * passed;
        let orders = u32::try_from(many.1 * rounds)?;
        let each = 10_000.0 / f64::from(orders);
        Ok(Database {
            active_ms: active * each,
            cpu_ms: millis(cpu.postgres) * each,
            megabytes: grown * each / 1e6,
            idle_percent: rate * 100.0,
        })
    }
}

impl Round {
    /// From the block read, and from the block mined, to the reply, for each order of this leader, whose trade was the last.
    fn of(&self, leader: LeaderId) -> Vec<(Duration, Duration)> {
        let mined = self.mined.last().copied().unwrap_or_default();
        let of_leader = self.records.iter().filter(|record| record.intent.leader == leader);
        let times = of_leader.filter_map(|record| {
            let replied = record.times.replied?;
            Some((replied.since(record.intent.seen_at), replied.since(mined)))
        });
        times.collect()
    }

    fn stage(&self, pick: fn(&OrderRecord) -> Option<Duration>) -> Duration {
        median(self.records.iter().filter_map(pick).collect())
    }
}

fn summary(followers: usize, rounds: &[Round]) -> Copied {
    let of = |pick: &dyn Fn(&Round) -> Duration| millis(median(rounds.iter().map(pick).collect()));
    let orders = f64::from(u32::try_from(followers).unwrap_or(u32::MAX));
    let played = f64::from(u32::try_from(rounds.len()).unwrap_or(u32::MAX)).max(1.0);
    // The kernel counts in hundredths of a second: the mean of all rounds says more than their median.
    let cpu = |pick: fn(&Cpu) -> Duration| {
        micros(rounds.iter().map(|round| pick(&round.cpu)).sum()) / played / orders
    };
    Copied {
        followers,
        rounds: rounds.len(),
        noticed_ms: of(&|round| round.noticed),
        decided_ms: of(&|round| {
            round.stage(|record| Some(record.intent.decided_at.since(record.intent.seen_at)))
        }),
        sent_ms: of(&|round| round.stage(|record| Some(record.times.sent?.since(record.intent.decided_at)))),
        replied_ms: of(&|round| round.stage(|record| Some(record.times.replied?.since(record.times.sent?)))),
        total_ms: of(&|round| round.total),
        p99_ms: millis(quantile(rounds.iter().map(|round| round.total).collect(), 99)),
        cpu: CpuPerOrder {
            watcher: cpu(|cpu| cpu.watcher),
            worker: cpu(|cpu| cpu.worker),
            postgres: cpu(|cpu| cpu.postgres),
            redis: cpu(|cpu| cpu.redis),
            venue: cpu(|cpu| cpu.venue),
        },
    }
}

//! The durable queue by itself: jobs that nobody signs. They are decided into the database as copies are, rung through Redis,
//! loaded as a worker does, and ended without an order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use domain::{
    Address, Clock, ConditionId, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd,
    decide::{CopyOrder, EntryInputs, TradeSnapshot, Verdict},
    ids::IntentId,
    money::ONE,
    trade::{Action, GroupKey, GroupState, Part, PartKind, Quantity, TradeGroup},
};
use engine::ports::{
    detection::{
        DecisionInputs, Detection as _, DetectionCommit, DetectionOutcome, IntentFacts, NewDecision,
        QueuedIntent, StoredPart,
    },
    execution::{EndReason, Execution as _, Why},
    following::{Following as _, Relationship},
    queue::{End, Queue as _},
    reports::Reports as _,
    store::{InstanceId, Lease, Leases as _},
};
use futures_util::future::try_join3;
use queue::RedisQueue;
use store::{PostgresAddress, SqlStore, StoreClock};

use super::stack::Servers;
use crate::bench::{
    installation::{Keys, enrol},
    sample::median,
};

/// Jobs of one commit 1, as the watcher decides them, and jobs taken at once, as a worker does.
pub(in crate::bench) const DECIDED: usize = 500;
const TAKEN: usize = 256;
/// Rounds over all relationships, and jobs that come alone.
const ROUNDS: usize = 4;
const ALONE: usize = 200;
/// A wait for a job.
const WAIT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Jobs {
    /// From handing a job in until a worker has it, one at a time: median.
    pub(in crate::bench) start: Duration,
    /// Jobs handed in and ended in a second.
    pub(in crate::bench) a_second: f64,
    pub(in crate::bench) count: usize,
}

struct Desk {
    store: Arc<SqlStore>,
    queue: RedisQueue,
    clock: Arc<dyn Clock>,
    lease: Lease,
    followed: Vec<Relationship>,
}

/// Measures with so many relationships, in a new database.
pub(in crate::bench) async fn measure(
    servers: &Servers,
    followers: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Jobs> {
    let address: PostgresAddress = servers.database()?.parse()?;
    let filling = servers.filling().await?;
    let all = Keys::of_seed(1).followers(followers).await?;
    enrol(&filling, &all, &[(Address([1; 20]), followers)], clock.as_ref()).await?;
    filling.close().await?;
    servers.filled()?;
    let address = address.named("bench").as_it_is();
    let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await?);
    let queue = RedisQueue::new(&servers.redis.url(0), 1, Arc::clone(clock))?;
    let watcher = InstanceId("bench".to_owned());
    store.begin_instance(&watcher, clock.now()).await?;
    let lease = store.take_lease("watcher", &watcher, Duration::from_secs(3_600)).await?;
    let lease = lease.context("somebody else has the lease")?;
    let followed = store.relationships(None).await?;
    let desk = Desk { store, queue, clock: Arc::clone(clock), lease, followed };
    // The first ones make statements known to the server.
    desk.all(1_000, 1).await?;
    let start = desk.alone(2_000).await?;
    let began = clock.uptime();
    let count = desk.all(10_000, ROUNDS).await?;
    let took = clock.uptime().saturating_sub(began);
    desk.store.close().await?;
    let a_second = f64::from(u32::try_from(count)?) / took.as_secs_f64();
    Ok(Jobs { start, a_second, count })
}

impl Desk {
    /// Hands in jobs of so many trades for every relationship while two others end them; how many.
    async fn all(&self, first: usize, trades: usize) -> anyhow::Result<usize> {
        let (wanted, ended) = (trades * self.followed.len(), AtomicUsize::new(0));
        let hand_in = async {
            for number in first..first + trades {
                for jobs in self.followed.chunks(DECIDED) {
                    self.hand_in(number, jobs).await?;
                }
            }
            anyhow::Ok(())
        };
        try_join3(hand_in, self.work(&ended, wanted), self.work(&ended, wanted)).await?;
        Ok(wanted)
    }

    async fn work(&self, ended: &AtomicUsize, wanted: usize) -> anyhow::Result<()> {
        let limit = self.clock.uptime() + PATIENCE;
        while ended.load(Ordering::SeqCst) < wanted {
            let taken = self.queue.pop(TAKEN, End::Serving, WAIT).await?;
            ensure!(self.clock.uptime() < limit, "jobs were not ended within {PATIENCE:?}");
            let ids = self.load(&taken).await?;
            ended.fetch_add(self.end(&ids).await?, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn load(&self, taken: &[QueuedIntent]) -> anyhow::Result<Vec<IntentId>> {
        let ids: Vec<IntentId> = taken.iter().map(|queued| queued.id).collect();
        let waiting = self.store.load_waiting(&ids).await?;
        ensure!(waiting.len() == ids.len(), "{} jobs of {} wait", waiting.len(), ids.len());
        Ok(ids)
    }

    async fn end(&self, ids: &[IntentId]) -> anyhow::Result<usize> {
        let ends: Vec<(IntentId, EndReason)> = ids.iter().map(|id| (*id, EndReason::GivenUp)).collect();
        Ok(self.store.end_intents(&ends, self.clock.now()).await?)
    }

    /// Jobs that come one after the other, each to a worker that waits.
    async fn alone(&self, first: usize) -> anyhow::Result<Duration> {
        let mut took = Vec::with_capacity(ALONE);
        for (number, job) in (first..).zip(self.followed.chunks(1).cycle().take(ALONE)) {
            let taking = async {
                let taken = self.queue.pop(TAKEN, End::Serving, PATIENCE).await?;
                let ids = self.load(&taken).await?;
                anyhow::Ok((ids, self.clock.uptime()))
            };
            let handing = async {
                // Whoever waits has begun to: it is polled first.
                tokio::task::yield_now().await;
                let began = self.clock.uptime();
                self.hand_in(number, job).await?;
                anyhow::Ok(began)
            };
            let ((ids, started), began) = futures_util::future::try_join(taking, handing).await?;
            ensure!(ids.len() == 1, "{} jobs came", ids.len());
            took.push(started.saturating_sub(began));
            self.end(&ids).await?;
        }
        Ok(median(took))
    }

    /// Commit 1, then the doorbell.
    async fn hand_in(&self, number: usize, jobs: &[Relationship]) -> anyhow::Result<()> {
        let commit = commit(number, jobs, self.clock.now())?;
        let version = self.store.config_version().await?;
        let outcome = self.store.commit_detection(&self.lease, version, &commit).await?;
        let DetectionOutcome::Committed(queued) = outcome else { bail!("the configuration changed") };
        ensure!(queued.len() == jobs.len(), "{} jobs of {} were taken", queued.len(), jobs.len());
        Ok(self.queue.push(&queued, End::Far).await?)
    }
}

fn commit(number: usize, jobs: &[Relationship], now: Timestamp) -> anyhow::Result<DetectionCommit> {
    let (first, last) = (jobs.first().context("no jobs")?, jobs.last().context("no jobs")?);
    let mut hash = [0x70; 32];
    for (to, from) in hash.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    let key =
        GroupKey { leader: first.leader, tx: TxHash(hash), token: TokenId([0x9d; 32]), action: Action::Buy };
    let traded = Quantity { shares: Shares(10 * ONE), usd: Usd(5 * ONE) };
    let mut group = TradeGroup::new(key, now, now);
    (group.chain, group.decided, group.parts) = (Some(traded), traded.shares, 1);
    (group.block, group.state) = (Some(1), GroupState::Final);
    let part = StoredPart {
        part: Part { key, number: 0, added: traded.shares, kind: PartKind::Trade },
        seen_at: now,
        snapshot: TradeSnapshot { whole: traded, market: None, top: None, own_order: false, sync: None },
        decided_through: last.id,
        complete: true,
    };
    let copy = CopyOrder {
        side: Side::Buy,
        amount: traded.usd.0,
        limit: Price(ONE / 2),
        reserve: traded.usd,
        binding: None,
    };
    let condition = ConditionId::from_slice(&[0x0c; 32])?;
    let facts = |job: &Relationship| IntentFacts {
        why: Why::Trade,
        account: job.account,
        condition,
        leader_price: Price(ONE / 2),
        traded_at: now,
        seen_at: now,
        expires_at: Some(now),
    };
    let decisions = jobs.iter().map(|job| NewDecision {
        key,
        part: 0,
        relationship: job.id,
        owner: job.owner,
        policy_version: job.policy_version,
        inputs: DecisionInputs::Entry(EntryInputs::default()),
        verdict: Verdict::Copy(copy),
        decided_at: now,
        intent: Some(facts(job)),
    });
    let decisions = decisions.collect();
    Ok(DetectionCommit { groups: vec![group], parts: vec![part], decisions, ..DetectionCommit::default() })
}

//! The pace of one address: more orders than the venue takes in a while, with exits that come when the buys
//! have used up what they may. The simulator counts as the venue does; what it delays or refuses is counted. What is
//! measured is the adapter's pacing (`Clob::admit`); who asks for it here is shaped like a worker and is none.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use domain::{
    Clock, Hash, OrderAmounts, OrderPlan, OrderType, Side, TokenId, TradingAccount, ids::OwnerId, money::ONE,
};
use eip712::Chain;
use engine::{
    limits::{ADMISSION_PATIENCE, POP_LARGE_BATCH},
    ports::{
        detection::Lane,
        venue::{Admission, Ask, OrderGateway as _, PostReply, PostTimes},
    },
};
use futures_util::{StreamExt as _, stream};
use polymarket::{Clob, Company, Endpoint, Members, Tier, VenueLimits};
use simulator::{
    Profile, Simulator,
    world::{
        endpoints::{Group, Quota},
        rates::Rates,
    },
};
use tokio::sync::Notify;

use super::{
    http::IN_FLIGHT,
    installation::{Keys, TOKENS, furnish, quiet},
    order_cost::account,
};

/// Signing keys that take turns: enough that their own limits do not count, and so few that each of two processes may log
/// in with all of them at once.
const ACCOUNTS: usize = 15;
/// The venue's shorter window.
const WINDOW: Duration = Duration::from_secs(10);
/// Deadline of one post.
const POST_DEADLINE: Duration = Duration::from_secs(10);

/// How much of what.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// The venue's limit in ten seconds.
    pub(super) limit: u32,
    pub(super) entries: usize,
    pub(super) exits: usize,
    /// Processes that share the address, each with a pace of its own.
    pub(super) processes: u32,
    /// Orders taken at once, as a worker does. So many for each worker have their rate token and are not at the venue.
    pub(super) batch: usize,
}

impl Size {
    /// The published limit of `POST /order`, and ten thousand orders.
    pub(super) const PUBLISHED: Self =
        Self { limit: 5_000, entries: 9_200, exits: 800, processes: 1, batch: POP_LARGE_BATCH };

    /// The same by two processes.
    pub(super) const BY_TWO: Self = Self { processes: 2, ..Self::PUBLISHED };

    /// How long it takes at the pace itself: what the buys may use of each window.
    fn ideal(self) -> Duration {
        let limits = VenueLimits::default();
        let pace = u64::from(self.limit) * limits.share / 100;
        let most = (pace - pace * limits.kept_for_exits / 100).max(1);
        let entries = u64::try_from(self.entries).unwrap_or(u64::MAX);
        let windows = entries.div_ceil(most).saturating_sub(1);
        WINDOW * u32::try_from(windows).unwrap_or(u32::MAX)
    }
}

/// What was measured.
pub(super) struct Paced {
    pub(super) size: Size,
    /// From the first order to the last reply.
    pub(super) took: Duration,
    pub(super) ideal: Duration,
    /// From the coming of the exits to the reply to the last of them.
    pub(super) exits_took: Duration,
    /// Buys that were answered after the last exit.
    pub(super) buys_after_exits: usize,
    /// Requests that the venue delayed or refused for their pace.
    pub(super) throttled: u64,
}

struct Work {
    clock: Arc<dyn Clock>,
    waiting: Mutex<[VecDeque<OrderPlan>; 2]>,
    done: Mutex<Done>,
    /// There is work, or it is over.
    rung: Notify,
    /// An order has to wait for its turn.
    used_up: Notify,
    size: Size,
}

#[derive(Default)]
struct Done {
    taken: usize,
    others: Vec<PostReply>,
    exits: usize,
    last_exit: Duration,
    buys_after_exits: usize,
}

const fn lane(plan: &OrderPlan) -> Lane {
    match plan.side {
        Side::Sell => Lane::Exits,
        Side::Buy => Lane::Entries,
    }
}

impl Work {
    fn put(&self, plans: Vec<OrderPlan>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let [exits, entries] = &mut *waiting;
        for plan in plans.into_iter().rev() {
            match lane(&plan) {
                Lane::Exits => exits.push_front(plan),
                Lane::Entries => entries.push_front(plan),
            }
        }
        self.rung.notify_waiters();
    }

    fn take(&self) -> Vec<OrderPlan> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let [exits, entries] = &mut *waiting;
        let mut batch: Vec<OrderPlan> = exits.drain(..exits.len().min(self.size.batch)).collect();
        let room = self.size.batch.saturating_sub(batch.len());
        batch.extend(entries.drain(..entries.len().min(room)));
        batch
    }

    fn is_done(&self) -> bool {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.taken + done.others.len() >= self.size.entries + self.size.exits
    }

    fn note(&self, plan: &OrderPlan, reply: PostReply) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match reply {
            PostReply::Accepted(_) => done.taken += 1,
            // Refused for its pace, which the simulator counts: once more.
            PostReply::NotAccepted { .. } => return self.put(vec![plan.clone()]),
            other => done.others.push(other),
        }
        match lane(plan) {
            Lane::Exits => {
                done.exits += 1;
                done.last_exit = self.clock.uptime();
            }
            Lane::Entries => done.buys_after_exits += usize::from(done.exits >= self.size.exits),
        }
        self.rung.notify_waiters();
    }

    /// Works as a worker does: a rate token, then the signature, then the post.
    async fn work(&self, clob: &Clob) -> anyhow::Result<()> {
        loop {
            // Before looking, so that nothing is put in between unnoticed.
            let mut rung = pin!(self.rung.notified());
            rung.as_mut().enable();
            if self.is_done() {
                return Ok(());
            }
            let batch = self.take();
            let asks: Vec<Ask> =
                batch.iter().map(|plan| Ask::of(OwnerId(1), &plan.account, lane(plan))).collect();
            if asks.is_empty() {
                rung.await;
                continue;
            }
            let admitted = clob.admit(&asks, ADMISSION_PATIENCE).await;
            let (now, later): (Vec<_>, Vec<_>) =
                batch.into_iter().zip(admitted).partition(|(_, admission)| *admission == Admission::Now);
            if !later.is_empty() {
                self.used_up.notify_one();
            }
            self.put(later.into_iter().map(|(plan, _)| plan).collect());
            let plans: Vec<OrderPlan> = now.into_iter().map(|(plan, _)| plan).collect();
            let prepared = clob.prepare(&plans).await;
            let posts = plans.iter().zip(prepared).map(async |(plan, order)| {
                let order = order.context("an order cannot be prepared")?;
                let reply = clob.post(&plan.account, &order, PostTimes::whenever(POST_DEADLINE)).await;
                self.note(plan, reply);
                anyhow::Ok(())
            });
            let sent: Vec<_> = stream::iter(posts).buffer_unordered(IN_FLIGHT).collect().await;
            sent.into_iter().collect::<anyhow::Result<()>>()?;
        }
    }
}

/// Sends them all.
pub(super) async fn measure(size: Size, clock: &Arc<dyn Clock>) -> anyhow::Result<Paced> {
    let quota = Quota { per_10s: Some(size.limit), per_10min: None };
    let mut config = quiet();
    config.profile = Profile::Stub;
    config.knobs.rates =
        Rates { per_ip: true, quotas: [(Group::PostOrder, quota)].into(), ..Rates::default() };
    let simulator = Simulator::start(config, Arc::clone(clock)).await?;
    let keys = Keys::of_seed(1);
    let followers = keys.followers(ACCOUNTS).await?;
    furnish(&simulator.world(), &followers)?;
    let client = polymarket::local_client()?;
    let signer = Tier::named("elite").unwrap_or(Tier::STANDARD);
    let limits =
        VenueLimits { signer, other: vec![(Endpoint::Post, size.limit, None)], ..VenueLimits::default() };
    let members = Members { signers: size.processes, workers: size.processes, callers: size.processes };
    let clob = |_| {
        let company = Arc::new(Company::alone());
        company.note(members, clock.uptime());
        let (client, signer) = (client.clone(), keys.signer.clone());
        Clob::new(client, &simulator.clob_url, Chain::Polygon, signer, Arc::clone(clock))
            .paced(limits.clone())
            .among(company)
    };
    let clobs: Vec<Clob> = (0..size.processes).map(clob).collect();
    let accounts: Vec<TradingAccount> = followers.iter().map(account).collect();
    // Logins are no part of it.
    for clob in &clobs {
        for prepared in clob.prepare(&plans(&accounts, Side::Buy, ACCOUNTS, 0)).await {
            prepared.context("an order cannot be prepared")?;
        }
    }
    let (waiting, done) = (Mutex::default(), Mutex::default());
    let (rung, used_up) = (Notify::new(), Notify::new());
    let work = Work { clock: Arc::clone(clock), waiting, done, rung, used_up, size };
    work.put(plans(&accounts, Side::Buy, size.entries, 1 << 20));
    let began = clock.uptime();
    let exits = async {
        work.used_up.notified().await;
        let came = clock.uptime();
        work.put(plans(&accounts, Side::Sell, size.exits, 1 << 30));
        anyhow::Ok(came)
    };
    // Two workers, of one process or of two.
    let [one, other] = [clobs.first(), clobs.last()].map(|clob| clob.context("there is no process"));
    let ((), (), came) = tokio::try_join!(work.work(one?), work.work(other?), exits)?;
    let took = clock.uptime().saturating_sub(began);
    let done = work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(
        done.others.is_empty(),
        "{} orders were not taken, one: {:?}",
        done.others.len(),
        done.others.first()
    );
    let throttled = simulator.world().with(|world, _| {
        world.traffic.counts().values().map(|counts| counts.throttled + counts.delayed).sum()
    });
    simulator.shutdown().await;
    let exits_took = done.last_exit.saturating_sub(came);
    let (ideal, buys_after_exits) = (size.ideal(), done.buys_after_exits);
    Ok(Paced { size, took, ideal, exits_took, buys_after_exits, throttled })
}

fn plans(accounts: &[TradingAccount], side: Side, count: usize, salt: u64) -> Vec<OrderPlan> {
    let amounts = match side {
        Side::Buy => OrderAmounts { maker: 5 * ONE, taker: 10 * ONE },
        Side::Sell => OrderAmounts { maker: 10 * ONE, taker: 5 * ONE },
    };
    let [token, _]: [TokenId; 2] = TOKENS;
    let plan = |(account, salt): (&TradingAccount, u64)| OrderPlan {
        salt,
        account: account.clone(),
        token,
        side,
        amounts,
        timestamp: domain::Timestamp::from_seconds(1_795_000_000),
        negative_risk: false,
        order_type: OrderType::FillAndKill,
        defer: false,
        builder: Hash([0; 32]),
    };
    accounts.iter().cycle().take(count).zip(salt..).map(plan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    /// So many that one window passes. However slow the machine is, of the 360 with a token in any ten seconds and
    /// the 32 that two workers may still have from before no more than the venue's 400 come in its ten seconds.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_order_is_taken_none_is_told_to_slow_down_and_exits_go_before_the_last_buys() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let size = Size { limit: 400, entries: 400, exits: 60, processes: 1, batch: 16 };
        // By one process, or by two that know of nothing but their number.
        for processes in [1, 2] {
            let paced = measure(Size { processes, ..size }, &clock).await.unwrap();
            assert_eq!((paced.ideal, paced.throttled), (WINDOW, 0), "{processes} processes");
            // The buys that came before them still wait.
            assert!(paced.buys_after_exits > 0, "no buy waited for the exits");
        }
    }
}

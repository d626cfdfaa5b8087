//! The pace of one address: more orders than the venue takes in a while, with exits that come when the buys
//! have used up what they may. The simulator counts as the venue does; what it would refuse is counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use domain::{
    Clock, Hash, OrderAmounts, OrderPlan, OrderType, Side, TokenId, TradingAccount, ids::AccountId,
    money::ONE,
};
use eip712::Chain;
use engine::ports::{
    detection::Lane,
    venue::{Admission, Ask, OrderGateway as _, PostReply},
};
use futures_util::{StreamExt as _, stream};
use polymarket::{Clob, Endpoint, Tier, VenueLimits};
use simulator::{
    Profile, Simulator,
    world::{
        endpoints::{Group, Quota},
        rates::Rates,
    },
};

use super::installation::{Keys, TOKENS, furnish, quiet};
use crate::demo::setup::Follower;

/// Signing keys that take turns: enough that their own limits do not count.
const ACCOUNTS: usize = 50;
/// Orders taken at once, and in flight, as a worker does.
const BATCH: usize = 256;
const IN_FLIGHT: usize = 64;
/// As a worker waits for its turn.
const PATIENCE: Duration = Duration::from_millis(250);
/// The exits come this long after the buys.
const EXITS_AFTER: Duration = Duration::from_secs(1);
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
}

impl Size {
    /// The published limit of `POST /order`, and ten thousand orders.
    pub(super) const PUBLISHED: Self = Self { limit: 5_000, entries: 9_200, exits: 800 };

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
    /// Requests that the venue delayed or refused for their pace.
    pub(super) throttled: u64,
}

struct Work {
    clob: Clob,
    clock: Arc<dyn Clock>,
    waiting: Mutex<[VecDeque<OrderPlan>; 2]>,
    done: Mutex<Done>,
    all: usize,
}

#[derive(Default)]
struct Done {
    taken: usize,
    others: Vec<PostReply>,
    last_exit: Duration,
}

const fn lane(plan: &OrderPlan) -> Lane {
    match plan.side {
        Side::Sell => Lane::Exits,
        Side::Buy => Lane::Entries,
    }
}

impl Work {
    fn put(&self, plans: impl DoubleEndedIterator<Item = OrderPlan>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let [exits, entries] = &mut *waiting;
        for plan in plans.rev() {
            match lane(&plan) {
                Lane::Exits => exits.push_front(plan),
                Lane::Entries => entries.push_front(plan),
            }
        }
    }

    fn take(&self) -> Vec<OrderPlan> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let [exits, entries] = &mut *waiting;
        let mut batch: Vec<OrderPlan> = exits.drain(..exits.len().min(BATCH)).collect();
        let room = BATCH.saturating_sub(batch.len());
        batch.extend(entries.drain(..entries.len().min(room)));
        batch
    }

    fn is_done(&self) -> bool {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.taken + done.others.len() >= self.all
    }

    fn note(&self, plan: &OrderPlan, reply: PostReply) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match reply {
            PostReply::Accepted(_) => done.taken += 1,
            other => done.others.push(other),
        }
        if lane(plan) == Lane::Exits {
            done.last_exit = done.last_exit.max(self.clock.uptime());
        }
    }

    /// Works as a worker does: a rate token, then the signature, then the post.
    async fn work(&self) -> anyhow::Result<()> {
        while !self.is_done() {
            let batch = self.take();
            let asks: Vec<Ask> =
                batch.iter().map(|plan| Ask { signer: plan.account.signer, lane: lane(plan) }).collect();
            if asks.is_empty() {
                self.clock.sleep(Duration::from_millis(5)).await;
                continue;
            }
            let admitted = self.clob.admit(&asks, PATIENCE).await;
            let (now, later): (Vec<_>, Vec<_>) =
                batch.into_iter().zip(admitted).partition(|(_, admission)| *admission == Admission::Now);
            self.put(later.into_iter().map(|(plan, _)| plan));
            let plans: Vec<OrderPlan> = now.into_iter().map(|(plan, _)| plan).collect();
            let prepared = self.clob.prepare(&plans).await;
            let posts = plans.iter().zip(prepared).map(async |(plan, order)| {
                let order = order.context("an order cannot be prepared")?;
                let reply = self.clob.post(&plan.account, &order, POST_DEADLINE).await;
                self.note(plan, reply);
                anyhow::Ok(())
            });
            let sent: Vec<_> = stream::iter(posts).buffer_unordered(IN_FLIGHT).collect().await;
            sent.into_iter().collect::<anyhow::Result<()>>()?;
        }
        Ok(())
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
    let client = polymarket::client().context("no HTTP client")?;
    let signer = Tier::named("elite").unwrap_or(Tier::STANDARD);
    let limits =
        VenueLimits { signer, other: vec![(Endpoint::Post, size.limit, None)], ..VenueLimits::default() };
    let clob = Clob::new(client, &simulator.clob_url, Chain::Polygon, keys.signer.clone(), Arc::clone(clock))
        .paced(limits);
    let accounts: Vec<TradingAccount> = followers.iter().map(account).collect();
    // Logins are no part of it.
    let first: Vec<OrderPlan> = plans(&accounts, Side::Buy, ACCOUNTS, 0).collect();
    for prepared in clob.prepare(&first).await {
        prepared.context("an order cannot be prepared")?;
    }
    let all = size.entries + size.exits;
    let (waiting, done) = (Mutex::default(), Mutex::default());
    let work = Work { clob, clock: Arc::clone(clock), waiting, done, all };
    work.put(plans(&accounts, Side::Buy, size.entries, 1 << 20).collect::<Vec<_>>().into_iter());
    let began = clock.uptime();
    let exits = async {
        clock.sleep(EXITS_AFTER).await;
        work.put(plans(&accounts, Side::Sell, size.exits, 1 << 30).collect::<Vec<_>>().into_iter());
        anyhow::Ok(())
    };
    tokio::try_join!(work.work(), work.work(), exits)?;
    let took = clock.uptime().saturating_sub(began);
    let done = work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(done.others.is_empty(), "{} orders were not taken, one: {:?}", done.others.len(), done.others.first());
    let throttled = simulator.world().with(|world, _| {
        world.traffic.counts().values().map(|counts| counts.throttled + counts.delayed).sum()
    });
    simulator.shutdown().await;
    let exits_took = done.last_exit.saturating_sub(began + EXITS_AFTER);
    Ok(Paced { size, took, ideal: size.ideal(), exits_took, throttled })
}

fn account(follower: &Follower) -> TradingAccount {
    TradingAccount {
        id: AccountId(1),
        wallet: follower.wallet,
        signer: follower.owner,
        kind: follower.kind,
        key: follower.key.clone(),
    }
}

fn plans(
    accounts: &[TradingAccount],
    side: Side,
    count: usize,
    salt: u64,
) -> impl Iterator<Item = OrderPlan> {
    let amounts = match side {
        Side::Buy => OrderAmounts { maker: 5 * ONE, taker: 10 * ONE },
        Side::Sell => OrderAmounts { maker: 10 * ONE, taker: 5 * ONE },
    };
    let [token, _]: [TokenId; 2] = TOKENS;
    accounts.iter().cycle().take(count).zip(salt..).map(move |(account, salt)| OrderPlan {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    /// A tenth of the published limit's orders, so that one window passes.
    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_is_refused_and_exits_go_first() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let size = Size { limit: 400, entries: 400, exits: 60 };
        let paced = measure(size, &clock).await.unwrap();
        assert_eq!((paced.ideal, paced.throttled), (WINDOW, 0));
        assert!(paced.took >= WINDOW, "{:?}: faster than the pace", paced.took);
        assert!(paced.took <= WINDOW.mul_f64(1.2), "{:?}: slower than the pace", paced.took);
        // The buys that came before them still wait.
        assert!(paced.exits_took < WINDOW / 2, "{:?}", paced.exits_took);
    }
}

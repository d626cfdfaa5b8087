//! What commits cost, beside the bare disk: `cargo run --release -p store --example commit_cost [DIRECTORY]`
//!
//! One leader's trade is copied by 100, 1,000 and 10,000 followers: decided in chunks of 500 (commit 1),
//! signed in batches of 64 (commit 2), read back and settled in batches of 64. A commit has one durable
//! sync; the first line is that sync alone. Milliseconds are the median and the longest transaction; the rest
//! is per order, wall clock and processor: only the last can be compared while the machine does other work.
#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use domain::{
    Address, Clock, ConditionId, KeyRef, OrderAmounts, OrderId, Price, Shares, Side, Timestamp, TokenId,
    TxHash, Usd, WalletKind,
    clock::Sleep,
    decide::{CopyOrder, EntryInputs, TradeSnapshot, Verdict},
    ids::{AccountId, IntentId, LeaderId, OwnerId, RelationshipId},
    lifecycle::OrderState,
    policy::Policy,
    position::Entry,
    trade::{GroupKey, Part, PartKind, Quantity, TradeGroup},
};
use engine::ports::{
    detection::{
        DecisionInputs, Detection as _, DetectionCommit, DetectionOutcome, IntentFacts, Lane, NewDecision,
        StoredPart,
    },
    execution::{
        Execution as _, LedgerCause, OrderRecord, OrderUpdate, SignedAttempt, StageTimes, Why, WorkChange,
    },
    following::{AccountMode, Following as _, NewAccount, NewRelationship},
    store::{InstanceId, Lease, Leases as _},
    venue::{PreparedOrder, SettlementStatus, VenueTrade},
};
use rustix::time::{ClockId, clock_gettime};
use store::SqlStore;

const CHUNK: usize = 500;
const BATCH: usize = 64;
const LEASE: Duration = Duration::from_secs(600);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "a measurement runs on the real clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn uptime(&self) -> Duration {
        self.now().since(Timestamp(0))
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement runs on the real clock")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement runs on the real clock")]
fn instant() -> Instant {
    Instant::now()
}

struct Follower {
    account: AccountId,
    relationship: RelationshipId,
}

struct World {
    store: SqlStore,
    owner: OwnerId,
    leader: LeaderId,
    followers: Vec<Follower>,
    lease: Lease,
    worker: InstanceId,
}

#[tokio::main]
async fn main() -> Outcome {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    println!("{:<34} {:>9.2} ms", "bare write of 64 KiB and fdatasync", bare_sync(directory.path())?);
    let stages = ["commit 1 (500)", "commit 2 (64)", "read back (64)", "settle (64)"];
    println!("{:>9} {}", "", stages.map(|stage| format!(" {stage:>29}")).concat());
    println!("{:>9} {}", "followers", "      ms     max us/ord us cpu".repeat(stages.len()));
    for followers in [100, 1_000, 10_000] {
        let file = directory.path().join(format!("{followers}")).join("slipstream.db");
        let world = World::new(&file, followers).await?;
        // The first trade warms caches and prepares statements.
        world.trade(1).await?;
        let times = world.trade(2).await?;
        println!("{followers:>9} {}", times.iter().map(|stage| stage.show(followers)).collect::<String>());
    }
    Ok(())
}

/// Median of 64 KiB appended and synced.
fn bare_sync(directory: &Path) -> Outcome<f64> {
    let mut file = File::create(directory.join("bare"))?;
    let mut times = Vec::new();
    for _ in 0..51 {
        let start = instant();
        file.write_all(&[7; 65_536])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(median(&mut times).as_secs_f64() * 1_000.0)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Times of one stage's transactions.
#[derive(Default)]
struct Stage {
    wall: Vec<Duration>,
    processor: Duration,
}

impl Stage {
    /// Runs one transaction.
    async fn time<T, E>(&mut self, transaction: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let (start, processor) = (instant(), processor_time());
        let result = transaction.await;
        self.wall.push(start.elapsed());
        self.processor += processor_time().saturating_sub(processor);
        result
    }

    fn show(&self, orders: usize) -> String {
        let per_order = |time: Duration| time.as_secs_f64() * 1e6 / orders as f64;
        let typical = median(&mut self.wall.clone()).as_secs_f64() * 1_000.0;
        let (wall, processor) = (per_order(self.wall.iter().sum()), per_order(self.processor));
        let longest = self.wall.iter().max().map_or(0.0, Duration::as_secs_f64) * 1_000.0;
        format!(" {typical:>7.2} {longest:>7.2} {wall:>6.1} {processor:>6.1}")
    }
}

/// Processor time of this process, all threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn bytes<const N: usize>(number: i64) -> [u8; N] {
    let mut bytes = [0x5a; N];
    bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    bytes
}

fn now() -> Timestamp {
    WallClock.now()
}

impl World {
    async fn new(file: &Path, followers: usize) -> Outcome<Self> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let filling = SqlStore::open_unsynced(file, Arc::clone(&clock)).await?;
        let owner = filling.add_owner("measured", now()).await?;
        let leader = filling.add_leader(Address(bytes(-1)), now()).await?;
        let mut enrolled = Vec::with_capacity(followers);
        for number in (0_i64..).take(followers) {
            let new = NewAccount {
                label: format!("account {number}"),
                mode: AccountMode::Paper,
                wallet: Address(bytes(number)),
                signer: Address(bytes(number)),
                kind: WalletKind::Proxy,
                key: KeyRef(format!("key-{number}")),
                cap: None,
            };
            let account = filling.add_account(owner, &new, now()).await?;
            let new = NewRelationship { account, leader, policy: Policy::careful() };
            let relationship = filling.add_relationship(owner, &new, now()).await?;
            enrolled.push(Follower { account, relationship });
        }
        drop(filling);
        let store = SqlStore::open(file, clock).await?;
        let worker = InstanceId("worker".to_owned());
        let lease = store.take_lease("watcher", &worker, LEASE).await?.ok_or("the lease is taken")?;
        Ok(Self { store, owner, leader, followers: enrolled, lease, worker })
    }

    /// One trade through all stages.
    async fn trade(&self, number: i64) -> Outcome<[Stage; 4]> {
        let (mut deciding, mut signing, mut settling, mut reading) =
            (Stage::default(), Stage::default(), Stage::default(), Stage::default());
        let key = GroupKey {
            leader: self.leader,
            tx: TxHash(bytes(number)),
            token: TokenId(bytes(7)),
            action: Side::Buy.into(),
        };
        let version = self.store.config_version().await?;
        for chunk in self.followers.chunks(CHUNK) {
            let commit = self.decisions(key, chunk)?;
            let outcome = deciding.time(self.store.commit_detection(&self.lease, version, &commit)).await?;
            if !matches!(&outcome, DetectionOutcome::Committed(queued) if queued.len() == chunk.len()) {
                return Err("commit 1 did not queue every order".into());
            }
        }
        loop {
            let waiting = self.store.waiting(Lane::Entries, now(), BATCH).await?;
            if waiting.is_empty() {
                break;
            }
            let attempts: Vec<_> = waiting.iter().map(|intent| attempt(*intent)).collect();
            signing.time(self.store.commit_signed(&self.worker, LEASE, &attempts)).await?;
            let ids: Vec<_> = attempts.iter().map(|attempt| attempt.order.id).collect();
            let records = reading.time(self.store.orders(&ids)).await?;
            let updates = records.iter().map(|record| self.filled(record)).collect::<Vec<_>>();
            let applied = settling.time(self.store.update_orders(&updates)).await?;
            if applied != vec![true; attempts.len()] {
                return Err("an update was not applied".into());
            }
        }
        Ok([deciding, signing, reading, settling])
    }

    fn decisions(&self, key: GroupKey, followers: &[Follower]) -> Outcome<DetectionCommit> {
        let whole = Quantity { shares: Shares(100_000_000), usd: Usd(50_000_000) };
        let mut group = TradeGroup::new(key, now(), now());
        group.chain = Some(whole);
        group.block = Some(90_000_000);
        let part = StoredPart {
            part: Part { key, number: 0, added: whole.shares, kind: PartKind::Trade },
            seen_at: now(),
            snapshot: TradeSnapshot { whole, market: None, top: None, own_order: false, sync: None },
            decided_through: followers.last().map_or(RelationshipId(0), |last| last.relationship),
            complete: false,
        };
        let condition = ConditionId::from_slice(&bytes::<32>(3))?;
        let decisions = followers.iter().map(|follower| self.decision(key, condition, follower)).collect();
        Ok(DetectionCommit {
            groups: vec![group],
            parts: vec![part],
            decisions,
            ..DetectionCommit::default()
        })
    }

    fn decision(&self, key: GroupKey, condition: ConditionId, follower: &Follower) -> NewDecision {
        let inputs = EntryInputs {
            age: Duration::from_millis(2_345),
            decided_before: Usd(0),
            in_market: Usd(12_345_678),
            with_leader: Usd(123_456_789),
            in_account: Usd(234_567_890),
            free: Usd(1_234_567_890),
            account_cap: None,
        };
        let copy = CopyOrder {
            side: Side::Buy,
            amount: 5_000_000,
            limit: Price(510_000),
            reserve: Usd(5_100_000),
            binding: None,
        };
        NewDecision {
            key,
            part: 0,
            relationship: follower.relationship,
            owner: self.owner,
            policy_version: 1,
            inputs: DecisionInputs::Entry(inputs),
            verdict: Verdict::Copy(copy),
            decided_at: now(),
            intent: Some(IntentFacts {
                why: Why::Trade,
                account: follower.account,
                condition,
                leader_price: Price(500_000),
                traded_at: now(),
                seen_at: now(),
                expires_at: Some(now()),
            }),
        }
    }

    /// The venue's answer: filled, booked, to be looked at again.
    fn filled(&self, record: &OrderRecord) -> OrderUpdate {
        let (shares, usd, fee) = (Shares(9_800_000), Usd(5_000_000), Usd(20_000));
        let trade = VenueTrade {
            id: format!("{:036}", record.attempt.0),
            status: SettlementStatus::Matched,
            shares,
            usd,
            fee,
            tx: None,
        };
        let entry = Entry { shares, cash: Usd(-5_020_000), cost: usd, realised: Usd::ZERO, fee };
        OrderUpdate {
            attempt: record.attempt,
            version: record.version,
            state: OrderState::Matched,
            reply: Some(Quantity { shares, usd }),
            reply_estimated: false,
            trades: vec![trade],
            trades_gone: Vec::new(),
            booking: Some((LedgerCause::Fill, entry)),
            held: None,
            permit_returned: Some(self.worker.clone()),
            unseen_for: Duration::ZERO,
            looked_up_at: None,
            doubts: 0,
            times: StageTimes { sent: Some(now()), replied: Some(now()), ..StageTimes::default() },
            release_reserve: true,
            work: WorkChange::Due(now()),
            revisit: None,
            unbooked: false,
            alarms: Vec::new(),
            at: now(),
        }
    }
}

/// An attempt with a body as long as a real one.
fn attempt(intent: IntentId) -> SignedAttempt {
    SignedAttempt {
        intent,
        attempt: 0,
        order: PreparedOrder { id: OrderId(bytes(intent.0 << 20)), body: vec![b'x'; 900] },
        amounts: OrderAmounts { maker: 5_000_000, taker: 9_800_000 },
        limit: Price(510_000),
        salt: 1 << 50,
        timestamp: now(),
        signed_at: now(),
        resend_until: now(),
    }
}

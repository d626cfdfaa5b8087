//! An installation with a long past: how soon it watches after a start, and how soon it answers.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::{
    Address, Clock, ConditionId, FeeSchedule, Market, OrderAmounts, OrderId, Price, Shares, Side, TickSize,
    Timestamp, TokenId, TxHash, Usd, WalletKind,
    decide::{CopyOrder, EntryInputs, TradeSnapshot, Verdict},
    ids::{AccountId, LeaderId, OwnerId, RelationshipId},
    lifecycle::OrderState,
    money::ONE,
    policy::Policy,
    position::Entry,
    trade::{Action, GroupKey, Part, PartKind, Quantity, TradeGroup},
};
use engine::ports::{
    detection::{
        DecisionInputs, Detection as _, DetectionCommit, DetectionOutcome, IntentFacts, NewDecision, Source,
        StoredPart,
    },
    execution::{
        Execution as _, LedgerCause, OrderRecord, OrderUpdate, SignedAttempt, StageTimes, Why, WorkChange,
    },
    following::{AccountMode, Following as _, NewAccount, NewRelationship},
    store::{InstanceId, Lease, Leases as _},
    venue::{PreparedOrder, Signer as _},
};
use simulator::Simulator;
use store::SqlStore;

use super::{installation::quiet, sample::median};
use crate::{
    commands::{DATABASE, Request, Thing},
    composition::derived_signer,
    demo::SimulatorUrls,
    screen::Style,
    secrets::InstallationSecret,
    socket,
};

/// Leaders that are followed, each by one relationship.
const LEADERS: usize = 100;
/// Tokens that each of them traded.
const TOKENS: usize = 20;
/// Orders of one transaction while the past is made up.
const BATCH: usize = 500;
/// Times each command is asked.
const ROUNDS: usize = 7;
/// The block before the simulator's first.
const BEFORE: i64 = 89_999_999;
/// One position of so many is still held.
const HELD: i64 = 10;
/// A start may take this long before it counts as failed.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// What each order bought, and for how much.
const BOUGHT: Quantity = Quantity { shares: Shares(10 * ONE), usd: Usd(5 * ONE) };

/// What was measured.
pub(super) struct Answers {
    /// From the start of the process until the chain is read.
    pub(super) watching: Duration,
    /// Commands over the socket, by name.
    pub(super) commands: Vec<(&'static str, Duration)>,
}

/// Makes up `orders` past orders in a fresh directory, starts `slipstream run` on it and asks.
pub(super) async fn measure(
    directory: &Path,
    orders: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Answers> {
    let data_dir = directory.join("past");
    let file = data_dir.join(DATABASE);
    let newest = make_up(&file, orders, clock).await.context("making up a past")?;
    let simulator = Simulator::start(quiet(), Arc::clone(clock)).await?;
    let answers = start_and_ask(&data_dir, &SimulatorUrls::of(&simulator), newest, clock.as_ref()).await;
    simulator.shutdown().await;
    answers
}

async fn start_and_ask(
    data_dir: &Path,
    urls: &SimulatorUrls,
    newest: (TxHash, OrderId),
    clock: &dyn Clock,
) -> anyhow::Result<Answers> {
    let begun = clock.uptime();
    let mut process = run(data_dir, urls)?;
    let look = async |done: bool| {
        ensure!(clock.uptime().saturating_sub(begun) < START_PATIENCE, "`slipstream run` did not start");
        if !done {
            clock.sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(done)
    };
    while !look(socket::ask(data_dir, &Request::Ping).await.ok().flatten().is_some()).await? {}
    let store = SqlStore::look(&data_dir.join(DATABASE), Arc::new(crate::clock::SystemClock)).await?;
    while !look(store.cursor(Source::Chain).await? > Some(BEFORE)).await? {}
    let watching = clock.uptime().saturating_sub(begun);
    let inspect = |thing, id: String| Request::Inspect { thing, id, style: Style::default() };
    let requests = [
        ("positions", Request::Positions { style: Style::default() }),
        ("activity", Request::Activity { limit: 30, style: Style::default() }),
        ("inspect relationship", inspect(Thing::Relationship, "1".to_owned())),
        ("inspect trade", inspect(Thing::Trade, newest.0.to_string())),
        ("inspect order", inspect(Thing::Order, newest.1.to_string())),
    ];
    let mut commands = Vec::with_capacity(requests.len());
    for (name, request) in requests {
        let mut took = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let asked = clock.uptime();
            let answer = socket::ask(data_dir, &request).await?;
            took.push(clock.uptime().saturating_sub(asked));
            ensure!(answer.is_some_and(|answer| answer.ok), "`{name}` gave no answer");
        }
        commands.push((name, median(took)));
    }
    process.kill().await.context("the process cannot be ended")?;
    Ok(Answers { watching, commands })
}

fn run(data_dir: &Path, urls: &SimulatorUrls) -> anyhow::Result<tokio::process::Child> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let channels = urls.clob.replacen("http", "ws", 1);
    let variables = [
        ("SLIPSTREAM_RUN_CLOB_URL", urls.clob.as_str()),
        ("SLIPSTREAM_RUN_DATA_URL", &urls.data),
        ("SLIPSTREAM_RUN_GAMMA_URL", &urls.gamma),
        ("SLIPSTREAM_RUN_GEOBLOCK_URL", &urls.clob),
        ("SLIPSTREAM_ENGINE_CHANNEL_URL", &channels),
        ("SLIPSTREAM_ENGINE_LIVE_URL", ""),
        ("POLYGON_RPC_URL", &urls.rpc),
    ];
    tokio::process::Command::new(program)
        .args(["run", "--data-dir"])
        .arg(data_dir)
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("`slipstream run` cannot be started")
}

/// Who follows whom in the past.
struct Past {
    owner: OwnerId,
    account: AccountId,
    followed: Vec<(LeaderId, RelationshipId)>,
    worker: InstanceId,
    at: Timestamp,
}

async fn make_up(file: &Path, orders: usize, clock: &Arc<dyn Clock>) -> anyhow::Result<(TxHash, OrderId)> {
    let store = SqlStore::open_unsynced(file, Arc::clone(clock)).await?;
    let data_dir = file.parent().context("a database is in a directory")?;
    let secret = InstallationSecret::of_installation(data_dir, &store).await?;
    let key = domain::KeyRef("paper:bench".to_owned());
    let signer = derived_signer(&secret).address(&key).await?;
    let past = begin(&store, (key, signer), clock.now()).await?;
    let lease = store.take_lease("watcher", &past.worker, Duration::from_secs(600)).await?;
    let lease = lease.context("somebody else has the lease")?;
    let version = store.config_version().await?;
    let mut newest = None;
    for first in (0..orders).step_by(BATCH) {
        let numbers = first..orders.min(first.saturating_add(BATCH));
        newest = Some(order(&store, &past, (&lease, version), numbers).await?);
    }
    store.end_instance(&past.worker, "a bench", past.at).await?;
    store.release_lease(&lease).await?;
    store.close().await?;
    newest.context("no orders were asked for")
}

async fn begin(
    store: &SqlStore,
    (key, signer): (domain::KeyRef, Address),
    now: Timestamp,
) -> anyhow::Result<Past> {
    let owner = store.add_owner("bench", now).await?;
    let account = NewAccount {
        label: "bench".to_owned(),
        mode: AccountMode::Paper,
        wallet: Address([0xb1; 20]),
        signer,
        kind: WalletKind::Deposit,
        key,
        cap: None,
    };
    let account = store.add_account(owner, &account, now).await?;
    store.book_deposit(owner, account, Usd(10_000_000 * ONE), now).await?;
    let mut followed = Vec::with_capacity(LEADERS);
    for number in 0..LEADERS {
        let leader = store.add_leader(Address(bytes(number)), now).await?;
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        followed.push((leader, store.add_relationship(owner, &new, now).await?));
    }
    let worker = InstanceId("bench".to_owned());
    store.begin_instance(&worker, now).await?;
    Ok(Past { owner, account, followed, worker, at: now })
}

/// Decides, signs and books these orders.
async fn order(
    store: &SqlStore,
    past: &Past,
    (lease, version): (&Lease, i64),
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<(TxHash, OrderId)> {
    // The simulator's chain begins with the next block.
    let cursors = vec![(Source::Chain, BEFORE)];
    let mut commit = DetectionCommit { cursors, ..DetectionCommit::default() };
    let mut newest = TxHash(bytes(0));
    for number in numbers {
        let (group, part, decision, market) = past.copy(number)?;
        newest = group.key.tx;
        commit.groups.push(group);
        commit.parts.push(part);
        commit.decisions.push(decision);
        if number < LEADERS * TOKENS {
            commit.markets.push(market);
        }
    }
    let DetectionOutcome::Committed(queued) = store.commit_detection(lease, version, &commit).await? else {
        anyhow::bail!("the configuration changed");
    };
    let attempts: Vec<SignedAttempt> = queued.iter().map(|queued| past.attempt(queued.id)).collect();
    store.commit_signed(&past.worker, Duration::from_secs(600), &attempts).await?;
    let ids: Vec<OrderId> = attempts.iter().map(|attempt| attempt.order.id).collect();
    let records = store.orders(&ids).await?;
    let updates: Vec<OrderUpdate> = records.iter().map(|record| past.filled(record)).collect();
    let applied = store.update_orders(&updates).await?;
    ensure!(applied.iter().all(|applied| *applied), "an update was not applied");
    Ok((newest, ids.last().copied().context("no order was made")?))
}

impl Past {
    fn copy(&self, number: usize) -> anyhow::Result<(TradeGroup, StoredPart, NewDecision, Market)> {
        let (leader, relationship) =
            self.followed.get(number % LEADERS).copied().context("no such leader")?;
        let token = TokenId(bytes(number % (LEADERS * TOKENS)));
        let key = GroupKey { leader, tx: TxHash(bytes(number)), token, action: Action::Buy };
        let market = market(token)?;
        let mut group = TradeGroup::new(key, self.at, self.at);
        group.chain = Some(BOUGHT);
        group.decided = BOUGHT.shares;
        group.parts = 1;
        group.block = Some(89_000_000);
        group.state = domain::trade::GroupState::Final;
        let part = StoredPart {
            part: Part { key, number: 0, added: BOUGHT.shares, kind: PartKind::Trade },
            seen_at: self.at,
            snapshot: TradeSnapshot {
                whole: BOUGHT,
                market: Some(market.clone()),
                top: None,
                own_order: false,
                sync: None,
            },
            decided_through: relationship,
            complete: true,
        };
        let copy = CopyOrder {
            side: Side::Buy,
            amount: BOUGHT.usd.0,
            limit: Price(ONE / 2),
            reserve: BOUGHT.usd,
            binding: None,
        };
        let decision = NewDecision {
            key,
            part: 0,
            relationship,
            owner: self.owner,
            policy_version: 1,
            inputs: DecisionInputs::Entry(EntryInputs::default()),
            verdict: Verdict::Copy(copy),
            decided_at: self.at,
            intent: Some(IntentFacts {
                why: Why::Trade,
                account: self.account,
                condition: market.condition,
                leader_price: Price(ONE / 2),
                traded_at: self.at,
                seen_at: self.at,
                expires_at: Some(self.at),
            }),
        };
        Ok((group, part, decision, market))
    }

    fn attempt(&self, intent: domain::ids::IntentId) -> SignedAttempt {
        let id = bytes(usize::try_from(intent.0).unwrap_or_default());
        SignedAttempt {
            intent,
            attempt: 0,
            order: PreparedOrder { id: OrderId(id), body: vec![b'x'; 900] },
            amounts: OrderAmounts { maker: BOUGHT.usd.0, taker: BOUGHT.shares.0 },
            limit: Price(ONE / 2),
            salt: 1,
            timestamp: self.at,
            signed_at: self.at,
            resend_until: self.at,
        }
    }

    /// Filled, booked and over.
    fn filled(&self, record: &OrderRecord) -> OrderUpdate {
        // What is not held any more is booked as lost at once.
        let held = i64::from(record.intent.token.0[7]) % HELD == 0;
        let (cash, usd) = (Usd(-BOUGHT.usd.0), BOUGHT.usd);
        let entry = if held {
            Entry { shares: BOUGHT.shares, cash, cost: usd, ..Entry::default() }
        } else {
            Entry { cash, realised: cash, ..Entry::default() }
        };
        OrderUpdate {
            attempt: record.attempt,
            version: record.version,
            state: OrderState::Confirmed,
            reply: Some(BOUGHT),
            reply_estimated: false,
            trades: Vec::new(),
            trades_gone: Vec::new(),
            booking: Some((LedgerCause::Fill, entry)),
            held: None,
            permit_returned: Some(self.worker.clone()),
            unseen_for: Duration::ZERO,
            looked_up_at: None,
            doubts: 0,
            times: StageTimes { sent: Some(self.at), replied: Some(self.at), ..StageTimes::default() },
            release_reserve: true,
            work: WorkChange::Close,
            revisit: None,
            unbooked: false,
            alarms: Vec::new(),
            at: self.at,
        }
    }
}

/// A market as the venue tells it.
fn market(token: TokenId) -> anyhow::Result<Market> {
    Ok(Market {
        token,
        condition: ConditionId::from_slice(&token.0)?,
        tick: TickSize::Hundredth,
        minimum_size: Shares(5 * ONE),
        negative_risk: false,
        fee: FeeSchedule::default(),
        taker_delay_ms: 0,
        accepting_orders: true,
        payout: None,
        title: "Will a question as long as people ask them be answered by the end of the year?".to_owned(),
        slug: "will-a-question-as-long-as-people-ask-them-be-answered".to_owned(),
        outcome: "Yes".to_owned(),
    })
}

/// Bytes that are another number's too only if it is the same.
fn bytes<const N: usize>(number: usize) -> [u8; N] {
    let mut bytes = [0xbe; N];
    for (to, from) in bytes.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use engine::ports::reports::Reports as _;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_past_is_made_of_orders_that_are_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("past").join(DATABASE);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (_, newest) = make_up(&file, 1_200, &clock).await.unwrap();
        let store = SqlStore::open(&file, clock).await.unwrap();
        assert_eq!(store.orders(&[newest]).await.unwrap()[0].state, OrderState::Confirmed);
        assert_eq!(store.count_open_work().await.unwrap(), 0);
        assert_eq!(store.positions(None).await.unwrap().len(), 1_200);
        assert!(store.running_instances().await.unwrap().is_empty());
    }
}

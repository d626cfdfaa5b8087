//! Kills the real process with `kill -9`, at every named crash point and at random moments, while leaders
//! trade, and takes the verdict from the simulator's own books.
//!
//! The simulator runs in a process of its own and survives. `SLIPSTREAM_KILLS` sets the number of random
//! kills, `SLIPSTREAM_SEED` the seed.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of a test, which fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    Address, Clock, ConditionId, Price, Shares, Side, Timestamp, TokenId, TxHash,
    decide::Verdict,
    ids::IntentId,
    money::ONE,
    trade::{Action, GroupKey, PartKind},
};
use engine::{
    crash_points,
    ports::{
        store::Store,
        venue::{HistoryKind, TradeHistory as _},
    },
};
use polymarket::DataApi;
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};
use slipstream::{
    clock::SystemClock,
    commands::Request,
    demo::{SimulatorUrls, control::Control, tape::Tape},
    socket,
};
use tokio::sync::Mutex;

const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
const FOLLOWERS: usize = 3;
const MARKETS: u8 = 4;
/// Between two trades of the leaders.
const TRADE_EVERY: Duration = Duration::from_millis(120);
/// A process that was told to end and did not is a failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// Small deterministic generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % below
    }
}

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn start_simulator() -> (Guard, SimulatorUrls) {
    let mut child = Command::new(BINARY)
        .args(["simulator", "--block-ms", "200"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let stdout = child.stdout.take().expect("piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("the simulator announces its addresses");
    (Guard(child), serde_json::from_str(&line).expect("addresses"))
}

fn start_engine(urls: &SimulatorUrls, data: &Path, crash: Option<&str>) -> Guard {
    let mut command = Command::new(BINARY);
    command
        .args(["demo", "--headless", "--json", "--followers", &FOLLOWERS.to_string()])
        .args(["--simulator", &serde_json::to_string(urls).expect("JSON")])
        .arg("--data-dir")
        .arg(data)
        .env_remove("SLIPSTREAM_CRASH")
        .stdout(Stdio::piped())
        .stderr(
            std::fs::File::options().append(true).create(true).open(data.join("stderr.log")).expect("a log"),
        );
    if let Some(crash) = crash {
        command.env("SLIPSTREAM_CRASH", crash);
    }
    Guard(command.spawn().expect("the engine starts"))
}

fn condition(market: u8) -> ConditionId {
    ConditionId::from_slice(&[0xc0 + market; 32]).expect("32 bytes")
}

fn token(market: u8, outcome: u8) -> TokenId {
    TokenId([0x10 + market * 2 + outcome; 32])
}

fn spec(market: u8) -> MarketSpec {
    MarketSpec {
        condition: condition(market),
        tokens: [token(market, 0), token(market, 1)],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(10_000),
        min_size: Shares(5 * ONE),
        neg_risk: market % 2 == 1,
        fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
        title: format!("Market {market}"),
        slug: String::new(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// The markets in which leaders trade; held while one is traded in, so that none is resolved under a trade.
type Open = Arc<Mutex<Vec<u8>>>;

/// Leaders trade until told to stop. Returns every transaction.
async fn trade(
    control: Control,
    leaders: Vec<Address>,
    open: Open,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> Vec<(TxHash, GroupKeyFacts)> {
    let mut random = Random(seed);
    let mut done = Vec::new();
    let mut held: BTreeMap<(Address, TokenId), i64> = BTreeMap::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let leader = leaders[usize::try_from(random.next(2)).expect("small")];
        let open = open.lock().await;
        let market = open[usize::try_from(random.next(u64::from(MARKETS))).expect("small")];
        let token = token(market, 0);
        let price = Price(i64::try_from(40 + random.next(20)).expect("small") * 10_000);
        let balance = held.entry((leader, token)).or_default();
        let sell = *balance > 0 && random.next(4) == 0;
        let shares = if sell {
            *balance / 2 / 10_000 * 10_000
        } else {
            i64::try_from(20 + random.next(80)).expect("small") * ONE
        };
        if shares == 0 {
            continue;
        }
        *balance += if sell { -shares } else { shares };
        let side = if sell { Side::Sell } else { Side::Buy };
        let level =
            |cents: i64| Level { price: Price(price.0 + cents * 10_000), shares: Shares(5_000 * ONE) };
        let (bids, asks) =
            if sell { (vec![level(0)], vec![level(1)]) } else { (vec![level(-1)], vec![level(0)]) };
        control.set_levels(&Levels { token, bids, asks, extend: false }).await.expect("levels");
        let mut tx = [0x77; 32];
        tx[..8].copy_from_slice(&number.to_be_bytes());
        let fill = ForeignFill { wallet: leader, token, side, price, shares: Shares(shares), maker: false };
        control
            .trade(&ForeignTrade { tx_hash: TxHash(tx), fills: vec![fill], moves: Vec::new() })
            .await
            .expect("trade");
        done.push((TxHash(tx), GroupKeyFacts { wallet: leader, token, side, shares: Shares(shares) }));
        drop(open);
        SystemClock.sleep(TRADE_EVERY).await;
    }
    done
}

struct GroupKeyFacts {
    wallet: Address,
    token: TokenId,
    side: Side,
    shares: Shares,
}

async fn wait(child: &mut Guard, what: &str) -> std::process::ExitStatus {
    let until = SystemClock.uptime() + PATIENCE;
    loop {
        if let Some(status) = child.0.try_wait().expect("a child") {
            return status;
        }
        assert!(
            SystemClock.uptime() < until,
            "{what}: the process neither crashed nor ended within {PATIENCE:?}"
        );
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let kills = environment("SLIPSTREAM_KILLS", 200);
    let seed = environment("SLIPSTREAM_SEED", 7);
    let data = tempfile::tempdir().expect("a directory");
    let (_simulator, urls) = start_simulator();
    let control = Control::new(polymarket::client().expect("a client"), &urls.control);
    for market in 0..MARKETS {
        control.add_market(&spec(market)).await.expect("a market");
    }
    let leaders: Vec<Address> =
        Tape::recorded().expect("the tape").header.wallets.into_iter().take(2).collect();

    // The first process enrols the followers and takes the baseline; it is killed as well.
    let began = SystemClock.uptime();
    let first = start_engine(&urls, data.path(), None);
    wait_until_ready(data.path()).await;
    drop(first);
    // Half of the lives at least are to last longer than a start takes here.
    let longest = u64::try_from((SystemClock.uptime() - began).as_millis()).expect("milliseconds") * 2;
    let longest = longest.clamp(700, 2_000);

    let stop = Arc::new(AtomicBool::new(false));
    let open: Open = Arc::new(Mutex::new((0..MARKETS).collect()));
    let trading =
        tokio::spawn(trade(control.clone(), leaders.clone(), Arc::clone(&open), seed, Arc::clone(&stop)));
    let mut random = Random(seed);
    for point in crash_points::ALL {
        // Resending needs a post whose outcome was left open.
        if point == "settlement.before_resend" {
            leave_an_outcome_open(&control).await;
        }
        if point.starts_with("redeeming.") {
            resolve_one(&control, &leaders, &open).await;
        }
        let nth = 1 + random.next(2);
        let mut child = start_engine(&urls, data.path(), Some(&format!("{point}:{nth}")));
        let status = wait(&mut child, point).await;
        assert_eq!(status.signal(), Some(9), "{point}: ended with {status} instead of crashing");
    }
    let mut lives = Vec::new();
    for _ in 0..kills {
        let began = SystemClock.now();
        let child = start_engine(&urls, data.path(), None);
        SystemClock.sleep(Duration::from_millis(30 + random.next(longest))).await;
        drop(child);
        lives.push((began, SystemClock.now()));
    }
    stop.store(true, Ordering::SeqCst);
    let trades = trading.await.expect("the leaders");

    let mut last = start_engine(&urls, data.path(), None);
    wait_until_ready(data.path()).await;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(last.0.id()).expect("a pid")).expect("a pid"),
        rustix::process::Signal::TERM,
    )
    .expect("a signal");
    let status = wait(&mut last, "the last process").await;
    let mut report = String::new();
    std::io::Read::read_to_string(&mut last.0.stdout.take().expect("piped"), &mut report).expect("a report");
    let store = store::SqlStore::open(&data.path().join("slipstream.db"), Arc::new(SystemClock))
        .await
        .expect("the store");
    judge(&store, &control, &trades).await;
    judge_payouts(&store, &control, &urls).await;
    let idle = idle_lives(&store, &lives).await;
    assert!(
        idle * 4 <= lives.len() * 3,
        "{idle} of {} random lives were killed before they decided or signed anything: that proves little",
        lives.len()
    );
    assert!(status.success(), "the report is not green:\n{report}");
    println!(
        "{} trades, {} crash points, {kills} random kills, {idle} of them before anything was done: 0 lost, 0 doubled",
        trades.len(),
        crash_points::ALL.len()
    );
}

/// How many lives left no decision and no signature behind.
async fn idle_lives(store: &dyn Store, lives: &[(Timestamp, Timestamp)]) -> usize {
    let mut done = BTreeSet::new();
    let mut intents = Vec::new();
    let mut after = 0;
    loop {
        let page = store.decisions_after(None, after, 1_000).await.expect("decisions");
        let Some(last) = page.last() else { break };
        after = last.id;
        done.extend(page.iter().map(|decision| decision.decided_at));
        intents.extend(page.iter().filter_map(|decision| decision.intent));
    }
    for some in intents.chunks(500) {
        let orders = store.attempts_of(some).await.expect("orders");
        done.extend(orders.iter().map(|order| order.signed_at));
    }
    lives.iter().filter(|(began, ended)| done.range(*began..=*ended).next().is_none()).count()
}

/// Resolves the market that has been open longest, of which followers hold shares, and opens another one.
async fn resolve_one(control: &Control, leaders: &[Address], open: &Open) {
    let mut open = open.lock().await;
    let next = open.iter().max().expect("markets") + 1;
    control.add_market(&spec(next)).await.expect("a market");
    let oldest = open.remove(0);
    open.push(next);
    control.resolve(condition(oldest), [Price(ONE), Price(0)], leaders).await.expect("resolved");
}

/// Everything of resolved markets was paid, once, and booked.
async fn judge_payouts(store: &dyn Store, control: &Control, urls: &SimulatorUrls) {
    let resolved = control.status().await.expect("a status").resolved;
    assert!(!resolved.is_empty(), "nothing was resolved");
    assert!(store.open_transactions().await.expect("transactions").is_empty());
    for held in store.positions(None).await.expect("positions") {
        let conditions = store.conditions_of(&[held.token]).await.expect("conditions");
        let known = conditions.first().is_some_and(|(_, condition)| resolved.contains(condition));
        assert!(!known || held.position.shares < Shares(10_000), "{held:?} is resolved and not booked");
    }
    let history = DataApi::new(polymarket::client().expect("a client"), &urls.data);
    let mut paid = 0;
    for account in store.accounts(None).await.expect("accounts") {
        let wallet = account.trading.wallet;
        let rows = history.activity(wallet, Timestamp::from_seconds(0)).await.expect("a history");
        let mut redeemed: BTreeMap<ConditionId, usize> = BTreeMap::new();
        for row in rows.responses.into_iter().flat_map(|response| response.rows) {
            if matches!(row.kind, HistoryKind::Moved { action: Action::Redeem, .. }) {
                *redeemed.entry(row.condition).or_default() += 1;
            }
        }
        assert!(redeemed.values().all(|times| *times == 1), "wallet {wallet} redeemed {redeemed:?}");
        paid += redeemed.len();
    }
    assert!(paid > 0, "nothing was redeemed");
}

/// The engine answers on its socket once it watches.
async fn wait_until_ready(data: &Path) {
    let until = SystemClock.uptime() + PATIENCE;
    while !matches!(socket::ask(data, &Request::Ping).await, Ok(Some(_))) {
        assert!(SystemClock.uptime() < until, "the engine was not ready within {PATIENCE:?}");
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
}

async fn leave_an_outcome_open(control: &Control) {
    let fault = simulator::world::faults::Fault {
        target: simulator::world::faults::FaultTarget::Order,
        kind: simulator::world::faults::FaultKind::DropBefore,
        count: 20,
        delay_ms: 0,
        depth: 0,
    };
    control.fault(&fault).await.expect("a fault");
}

/// Compares the simulator's books with the store's, both ways, and every trade with its decisions.
async fn judge(store: &dyn Store, control: &Control, trades: &[(TxHash, GroupKeyFacts)]) {
    let verdict = control.verdict().await.expect("a verdict");
    assert!(verdict.sound, "{:?}", verdict.violations);
    let violations = testkit::checkers::at_rest(store).await.expect("checks");
    assert!(violations.is_empty(), "{violations:?}");
    let mut executed: BTreeMap<IntentId, (i64, i64, BTreeSet<domain::OrderId>, Side)> = BTreeMap::new();
    for seen in control.orders().await.expect("orders") {
        let known = store.orders(&[seen.id]).await.expect("orders").pop();
        let record = known.unwrap_or_else(|| panic!("the venue has order {} and we do not", seen.id));
        let booked = engine::orders::booked_so_far(record.intent.side, record.booked).expect("amounts");
        let given = engine::orders::given(record.intent.side, &booked);
        assert_eq!(given, seen.filled_maker, "order {}: booked and executed differ", seen.id);
        assert!(record.state.is_settled(), "order {} is {}", seen.id, record.state.label());
        if seen.filled_maker > 0 {
            let line = executed.entry(record.intent.id).or_insert((
                0,
                record.intent.amount,
                BTreeSet::new(),
                seen.side,
            ));
            line.0 += seen.filled_maker;
            line.2.insert(seen.id);
        }
    }
    for (intent, (filled, amount, orders, side)) in &executed {
        assert!(filled <= amount, "intent {intent}: {filled} executed of {amount}");
        assert!(
            *side == Side::Sell || orders.len() == 1,
            "intent {intent}: {} entries executed",
            orders.len()
        );
    }
    assert!(!executed.is_empty(), "nothing was copied at all");

    let relationships = store.relationships(None).await.expect("relationships");
    let leaders = store.leaders().await.expect("leaders");
    for (tx, facts) in trades {
        let leader = leaders.iter().find(|leader| leader.wallet == facts.wallet).expect("a leader");
        let key = GroupKey { leader: leader.id, tx: *tx, token: facts.token, action: facts.side.into() };
        let (group, _) =
            store.group_with_fills(key).await.expect("a group").unwrap_or_else(|| panic!("{tx} was lost"));
        assert_eq!(group.quantity().shares, facts.shares, "{tx}");
        let decisions = store.decisions_of(None, key).await.expect("decisions");
        for part in 0..group.parts {
            let stored = store.part(key, part).await.expect("a part").expect("a part");
            if stored.part.kind == PartKind::Revisit {
                continue;
            }
            let told = (stored.complete, stored.part.kind);
            assert_eq!(told, (true, PartKind::Trade), "{tx} part {part} of {group:?}");
            for relationship in relationships.iter().filter(|one| one.leader == leader.id) {
                let answers: Vec<_> = decisions
                    .iter()
                    .filter(|one| one.part == part && one.relationship == relationship.id)
                    .collect();
                assert_eq!(answers.len(), 1, "{tx} part {part} for {}", relationship.id);
                let copies = matches!(answers[0].verdict, Verdict::Copy(_));
                assert_eq!(copies, answers[0].intent.is_some());
            }
        }
    }
}

//! `slipstream init` and `slipstream run` end to end, on paper: the venue is a simulator in a process of its own, which
//! nobody sends an order to. The process is killed in the middle of orders and started again; what is held then is what
//! the book gave, once.
#![expect(clippy::expect_used, reason = "helpers of a test, which fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, Usd, money::ONE};
use serde_json::Value;
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    registry::{MarketSpec, Standing, Wallet},
};
use slipstream::{
    clock::SystemClock,
    commands::Request,
    demo::{SimulatorUrls, control::Control},
    socket,
};

const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
/// What takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(200);
const LEADER: Address = Address([0x1e; 20]);
const TOKEN: TokenId = TokenId([0x51; 32]);
const OTHER: TokenId = TokenId([0x52; 32]);

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn condition() -> ConditionId {
    ConditionId::from_slice(&[0xc0; 32]).expect("32 bytes")
}

/// The real market, as far as this test goes, and an installation beside it.
struct Scene {
    _simulator: Guard,
    urls: SimulatorUrls,
    control: Control,
    directory: tempfile::TempDir,
}

impl Scene {
    async fn begin() -> Self {
        let mut child = Command::new(BINARY)
            .args(["simulator", "--block-ms", "200"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let stdout = child.stdout.take().expect("piped");
        let simulator = Guard(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("addresses");
        let urls: SimulatorUrls = serde_json::from_str(&line).expect("addresses");
        let control = Control::new(polymarket::client().expect("a client"), &urls.control);
        let market = MarketSpec {
            condition: condition(),
            tokens: [TOKEN, OTHER],
            outcomes: ["Yes".to_owned(), "No".to_owned()],
            tick: Price(10_000),
            min_size: Shares(5 * ONE),
            neg_risk: false,
            fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
            title: "Will paper hold?".to_owned(),
            slug: String::new(),
            event_slug: String::new(),
            end_date: String::new(),
        };
        control.add_market(&market).await.expect("a market");
        let directory = tempfile::tempdir().expect("a directory");
        Self { _simulator: simulator, urls, control, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("slipstream.toml")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A command of this installation, at this test's venue.
    fn command(&self, arguments: &[&str], with_chain: bool) -> Command {
        let mut command = Command::new(BINARY);
        let keys = self.directory.path().join("identity");
        if keys.is_file() {
            command.env("SLIPSTREAM_LIVE_ENABLED", "true").env("SLIPSTREAM_LIVE_KEY_FILE", keys);
        }
        command
            .args(arguments)
            .env_remove("SLIPSTREAM_CRASH")
            .env("SLIPSTREAM_CONFIG", self.file())
            .env("SLIPSTREAM_RUN_CLOB_URL", &self.urls.clob)
            .env("SLIPSTREAM_RUN_DATA_URL", &self.urls.data)
            .env("SLIPSTREAM_RUN_GAMMA_URL", &self.urls.gamma)
            .env("SLIPSTREAM_RUN_GEOBLOCK_URL", &self.urls.clob)
            .env("SLIPSTREAM_ENGINE_CHANNEL_URL", self.urls.clob.replacen("http", "ws", 1))
            .env("SLIPSTREAM_ENGINE_LIVE_URL", "")
            .env("SLIPSTREAM_ENGINE_HISTORY_INTERVAL", "200ms")
            .env("SLIPSTREAM_VENUE_POSITIONS_LAG", "0s")
            .stdin(Stdio::null());
        if with_chain {
            command.env("POLYGON_RPC_URL", &self.urls.rpc);
        }
        command
    }

    /// Runs a command to its end; its answer as JSON.
    fn ask(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.command(&arguments, true).output().expect("it runs");
        let (answer, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {answer}{errors}");
        serde_json::from_str(&answer).expect("JSON")
    }

    fn init(&self, policy: &[&str]) {
        let (file, leader) = (self.file(), LEADER.to_string());
        let file = file.to_string_lossy();
        let arguments = ["init", "--yes", "--file", &file, "--data-dir", "data", "--leader", &leader];
        let mut command = self.command(&[&arguments, policy].concat(), false);
        command.env_remove("SLIPSTREAM_CONFIG");
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn run(&self, with_chain: bool, crash: Option<&str>) -> Guard {
        let log = fs::File::options().append(true).create(true).open(self.log()).expect("a log");
        let mut command = self.command(&["run"], with_chain);
        command.stderr(log);
        if let Some(crash) = crash {
            command.env("SLIPSTREAM_CRASH", crash);
        }
        Guard(command.spawn().expect("it starts"))
    }

    /// A file that only its owner can read.
    fn private(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        path.to_string_lossy().into_owned()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    async fn until<T>(&self, what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
        let limit = SystemClock.uptime() + PATIENCE;
        loop {
            if let Some(done) = done().await {
                return done;
            }
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(SystemClock.uptime() < limit, "no {what} within {PATIENCE:?}\n{}", log());
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn up(&self) {
        let data = self.data();
        self.until("running program", async || socket::ask(&data, &Request::Ping).await.ok().flatten()).await;
    }

    /// Waits until the newest answers satisfy `done`.
    async fn until_answers(&self, what: &str, done: impl Fn(&[Value]) -> bool) {
        let data = self.data();
        self.until(what, async || {
            let request = Request::Activity { limit: 50, colour: false };
            let answer = socket::ask(&data, &request).await.ok().flatten()?;
            done(answer.json.as_array().map_or(&[][..], Vec::as_slice)).then_some(())
        })
        .await;
    }

    async fn until_held(&self, what: &str, shares: i64) -> Value {
        let data = self.data();
        self.until(what, async || {
            let answer = socket::ask(&data, &Request::Positions { colour: false }).await.ok().flatten()?;
            let held = answer.json.as_array()?.iter().filter_map(|line| line["shares"].as_i64()).sum::<i64>();
            (held == shares).then_some(answer.json)
        })
        .await
    }

    /// The best offers, and the leader buys at the first of them.
    async fn leader_buys(&self, number: u8, offers: &[(i64, i64)]) {
        let level = |(cents, shares): &(i64, i64)| Level {
            price: Price(cents * 10_000),
            shares: Shares(shares * ONE),
        };
        let asks = offers.iter().map(level).collect();
        let levels = Levels { token: TOKEN, bids: vec![level(&(30, 1_000))], asks, extend: false };
        self.control.set_levels(&levels).await.expect("levels");
        self.leader_trades(number, Side::Buy, offers[0].0).await;
    }

    async fn leader_trades(&self, number: u8, side: Side, cents: i64) {
        let price = Price(cents * 10_000);
        let fill = ForeignFill {
            wallet: LEADER,
            token: TOKEN,
            side,
            price,
            shares: Shares(100 * ONE),
            maker: false,
        };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        self.control.trade(&trade).await.expect("a trade");
    }

    async fn end(&self, child: &mut Guard) -> ExitStatus {
        let id = i32::try_from(child.0.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(id).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        self.until("end", async || child.0.try_wait().expect("a child")).await
    }

    /// Trades are dated in whole seconds; those of the second in which somebody began to follow may be older.
    async fn next_second(&self) {
        let now = SystemClock.now().seconds();
        self.until("next second", async || (SystemClock.now().seconds() > now).then_some(())).await;
    }
}

/// Whether nothing more becomes of an answer.
fn is_over(line: &Value) -> bool {
    let orders = line["answer"]["orders"].as_array().map_or(&[][..], Vec::as_slice);
    let over = |order: &Value| {
        ["confirmed", "missed", "killed"].contains(&order["state"].as_str().unwrap_or_default())
    };
    line["answer"]["answer"] == "skipped" || (!orders.is_empty() && orders.iter().all(over))
}

/// $2 at 0.40, then $3 at 0.41: 5 shares and 7.317074, rounded up as settlements on Polygon are.
const OFFERS: [(i64, i64); 2] = [(40, 5), (41, 900)];
const GIVEN: i64 = 12_317_074;
const POLICY: [&str; 4] = ["--fixed", "5", "--slippage-to-book", "0.05"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_what_the_book_gave_whenever_the_process_is_killed() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    scene.next_second().await;
    let points =
        ["worker.after_commit", "worker.after_post", "worker.before_record", "settlement.before_record"];
    for (number, point) in (1..).zip(points) {
        let mut child = scene.run(true, Some(&format!("{point}:1")));
        scene.up().await;
        scene.leader_buys(number, &OFFERS).await;
        let status = scene.until("kill", async || child.0.try_wait().expect("a child")).await;
        assert_eq!(status.signal(), Some(9), "{point}");
        let mut child = scene.run(true, None);
        // An order killed before its post is sent again within its deadline, or missed.
        scene.until_answers("answer", |lines| lines.len() >= usize::from(number)).await;
        scene.until_answers("settled orders", |lines| lines.iter().all(is_over)).await;
        assert!(scene.end(&mut child).await.success(), "{point}");
    }
    let positions = scene.ask(&["positions"]);
    let held = positions[0]["shares"].as_i64().expect("shares");
    assert_eq!(held % GIVEN, 0, "{positions}");
    assert!(held >= 3 * GIVEN, "at least those that were posted are held: {positions}");
    let _ = scene.ask(&["verify"]);
    // Nobody sent the venue an order.
    assert!(scene.control.orders().await.expect("orders").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_of_two_commands_copies_on_paper_and_is_paid_when_the_market_resolves() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    scene.next_second().await;
    let mut child = scene.run(false, None);
    scene.up().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_answers("settled copy", |lines| lines.len() == 1 && lines.iter().all(is_over)).await;
    let positions = scene.until_held("copy", GIVEN).await;
    // 0.04 × 5 × 0.24 and 0.04 × 7.317074 × 0.2419, cut to five decimals, as Polygon shows them.
    assert_eq!(positions[0]["fees"], 118_800);
    // A book that offers less than is wanted fills a part; the rest is killed.
    scene.leader_buys(2, &[(40, 6)]).await;
    scene.until_held("part of a copy", GIVEN + 6 * ONE).await;
    let list = scene.ask(&["following"]);
    assert_eq!((&list[0]["leader"], &list[0]["status"]), (&LEADER.to_string().into(), &"active".into()));
    let edited = scene.ask(&["edit", "1", "--fixed", "7", "--order-type", "fok"]);
    assert_eq!(edited["policy"]["sizing"]["fixed"], 7 * ONE);
    // $7 are not there: a fill-or-kill order gets nothing.
    scene.leader_buys(3, &[(40, 6)]).await;
    scene.until_answers("third answer", |lines| lines.len() >= 3).await;
    // The leader sells a third of what it bought, and so does the follower, in lots of a hundredth.
    scene.leader_trades(4, Side::Sell, 30).await;
    let held = GIVEN + 6 * ONE - 6_100_000;
    scene.until_held("exit", held).await;
    let leader = LEADER.to_string();
    let shown = scene.ask(&["leader", "show", &leader]);
    assert_eq!((&shown[0]["wallet"], &shown[0]["volume"]), (&leader.clone().into(), &150_000_000.into()));
    assert_eq!(scene.ask(&["leader", "top"])[0]["wallet"], leader);
    scene.control.resolve(condition(), [Price(ONE), Price(0)], &[]).await.expect("resolved");
    scene.until_held("payout", 0).await;
    assert_eq!(scene.ask(&["panic"])["stops_exits"], true);
    assert!(scene.ask(&["holds"])["holds"].as_array().is_some_and(|holds| holds.len() == 1));
    assert!(scene.end(&mut child).await.success());
    let log = fs::read_to_string(scene.log()).expect("a log");
    assert!(log.contains("no RPC provider is configured"), "{log}");
    assert!(log.contains("shares for 5 $ from the real book, on paper"), "{log}");
    let _ = scene.ask(&["verify"]);
    assert!(scene.control.orders().await.expect("orders").is_empty());
    a_backup_comes_back_held(&scene);
}

/// What was exported is in a backup as well; restored, nothing is signed on it.
fn a_backup_comes_back_held(scene: &Scene) {
    let ledger = scene.ask(&["export", "ledger"]);
    assert!(ledger.as_array().is_some_and(|rows| rows.len() >= 5), "{ledger}");
    assert_eq!(scene.ask(&["export", "orders"]).as_array().map(Vec::len), Some(4));
    let file = scene.directory.path().join("backup.db");
    let name = file.to_string_lossy();
    scene.ask(&["backup", &name]);
    let again = scene.command(&["backup", &name], false).output().expect("it runs");
    assert!(!again.status.success(), "a backup is not written over");
    scene.ask(&["lift", "1"]);
    scene.ask(&["restore", &name]);
    assert_eq!(scene.ask(&["export", "ledger"]), ledger);
    // The hold of the panic that the backup knows, and that of the restore.
    let held = scene.ask(&["holds"])["holds"].as_array().map(Vec::len);
    assert_eq!(held, Some(2));
    fs::write(&file, b"no database at all").expect("a file");
    let foreign = scene.command(&["restore", &name], false).output().expect("it runs");
    assert!(!foreign.status.success(), "what is no backup is refused");
    assert_eq!(scene.ask(&["export", "ledger"]), ledger);
}

/// Twenty seconds after a start the log says what came of the trades of the time before.
#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_nothing_ran_is_told() {
    let scene = Scene::begin().await;
    scene.init(&[&POLICY[..], &["--maximum-age", "1s"]].concat());
    scene.next_second().await;
    let mut child = scene.run(false, None);
    scene.up().await;
    assert!(scene.end(&mut child).await.success());
    // As if that had been a minute ago.
    let minute_ago = SystemClock.now().minus(Duration::from_secs(60));
    fs::write(scene.data().join("alive"), minute_ago.0.to_string()).expect("a file");
    scene.leader_buys(1, &OFFERS).await;
    for _ in 0..3 {
        scene.next_second().await;
    }
    let mut child = scene.run(false, None);
    let told = async || {
        let log = fs::read_to_string(scene.log()).ok()?;
        log.contains("while nothing ran").then_some(log)
    };
    let log = scene.until("report", told).await;
    assert!(log.contains("1 trade happened in the 6"), "{log}");
    assert!(log.contains("0 copied late, 1 skipped (1 too old)"), "{log}");
    assert!(scene.end(&mut child).await.success());
}

/// The key that everybody knows, and its address.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Made for tests; it opens nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";

/// Two deliberate switches, and the same installation trades with (simulated) real money beside paper; it is killed at
/// any moment and books what the venue executed, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_armed_account_trades_at_the_venue_and_survives_being_killed() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    let eoa: Address = EOA.parse().expect("an address");
    let standing = Standing::default();
    let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: true, standing };
    scene.control.add_wallet(&wallet).await.expect("a wallet");
    scene.control.credit_usd(eoa, Usd(100 * ONE)).await.expect("money");
    scene.control.credit_pol(eoa, 10).await.expect("gas");
    scene.private("identity", &format!("{IDENTITY}\n"));
    let key = scene.private("key", &format!("{KEY}\n"));
    scene.ask(&["account", "add", "main", "--live", "--key-file", &key, "--wallet", EOA]);
    let leader = LEADER.to_string();
    scene.ask(&[&["follow", &leader, "--account", "main"][..], &POLICY].concat());
    scene.ask(&["pause", "1"]);
    scene.next_second().await;
    let mut child = scene.run(true, None);
    scene.up().await;
    // What the wallet has is booked, so that it can be spent.
    let funded = async || {
        let rows = scene.ask(&["export", "ledger"]);
        rows.as_array()?.iter().any(|row| row["account"] == 2 && row["cash"] == 100 * ONE).then_some(())
    };
    scene.until("deposit", funded).await;
    scene.ask(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    scene.leader_buys(1, &OFFERS).await;
    scene
        .until_answers("answers", |lines| lines.len() == 2 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    scene.until_held("copy", GIVEN).await;
    assert_eq!(scene.control.orders().await.expect("orders").len(), 1);
    scene.leader_buys(2, &OFFERS).await;
    child.0.kill().expect("it is killed");
    child.0.wait().expect("a child");
    let mut child = scene.run(true, None);
    scene.up().await;
    scene
        .until_answers("answers", |lines| lines.len() == 4 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    let orders = scene.control.orders().await.expect("orders");
    let executed: i64 = orders.iter().map(|order| order.executed().shares.0).sum();
    assert!(
        orders.iter().all(|order| order.maker == eoa && order.executed().shares.0 == GIVEN),
        "{orders:?}"
    );
    scene.until_held("what the venue executed", executed).await;
    scene.ask(&["panic"]);
    scene.leader_buys(3, &OFFERS).await;
    scene.until_answers("answers", |lines| lines.len() == 6).await;
    assert_eq!(
        scene.control.orders().await.expect("orders").len(),
        orders.len(),
        "nothing is signed after a panic"
    );
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_it_says_so_and_goes_on_trying() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("slipstream.toml");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let program = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("SLIPSTREAM_CONFIG", &file).stdin(Stdio::null());
        for service in ["CLOB", "DATA", "GAMMA", "GEOBLOCK"] {
            command.env(format!("SLIPSTREAM_RUN_{service}_URL"), &nobody);
        }
        command.env("SLIPSTREAM_ENGINE_LIVE_URL", "").env("SLIPSTREAM_ENGINE_CHANNEL_URL", "");
        command
    };
    let name = file.to_string_lossy();
    let mut init = program(&["init", "--yes", "--file", &name, "--leader", &LEADER.to_string()]);
    assert!(init.env_remove("SLIPSTREAM_CONFIG").status().expect("it runs").success());
    let log = directory.path().join("log");
    let child = program(&["run", "--json"]).stderr(fs::File::create(&log).expect("a file")).spawn();
    let mut child = Guard(child.expect("it starts"));
    let limit = SystemClock.uptime() + PATIENCE;
    while !told(&log).iter().any(|line| line.contains("the venue cannot be reached")) {
        assert!(SystemClock.uptime() < limit, "{:?}", told(&log));
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    let id = i32::try_from(child.0.id()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(id).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert!(child.0.wait().expect("a child").success(), "{:?}", told(&log));
    // Every line is an object of its own.
    for line in told(&log) {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

fn told(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

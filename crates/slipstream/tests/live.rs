//! `slipstream demo --leader` end to end. The public services are a simulator in a process of its own, reached
//! over wires that the test can cut; the program makes the venue it trades on by itself.
#![expect(clippy::expect_used, reason = "helpers of a test, which fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use serde_json::Value;
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};
use slipstream::{
    clock::SystemClock,
    commands::Request,
    demo::{SimulatorUrls, control::Control},
    socket,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
/// What takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
const LEADER: Address = Address([0x1e; 20]);
const TOKEN: TokenId = TokenId([0x51; 32]);

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A wire to a service, which can be cut.
struct Wire {
    url: String,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    async fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let (whole, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (upstream, mut state) = (upstream.clone(), state.clone());
                tokio::spawn(async move {
                    let passing = async {
                        let mut far = TcpStream::connect(upstream).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        // Cut, or never whole: both ends are closed when the task ends.
                        _ = state.wait_for(|whole| !whole) => {}
                        _ = passing => {}
                    }
                });
            }
        });
        Self { url, whole, task }
    }

    fn cut(&self) {
        self.whole.send_replace(false);
    }

    fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// The public services, and the hand that makes the leader trade.
struct World {
    _process: Guard,
    control: Control,
    data: Wire,
    clob: Wire,
}

impl World {
    async fn begin() -> Self {
        let mut child = Command::new(BINARY)
            .args(["simulator", "--block-ms", "200"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let stdout = child.stdout.take().expect("piped");
        let process = Guard(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("addresses");
        let urls: SimulatorUrls = serde_json::from_str(&line).expect("addresses");
        let control = Control::new(polymarket::client().expect("a client"), &urls.control);
        control.add_market(&market()).await.expect("a market");
        Self {
            _process: process,
            control,
            data: Wire::to(&urls.data).await,
            clob: Wire::to(&urls.clob).await,
        }
    }

    /// The leader trades on a book whose best prices stand around `price`.
    async fn trade(&self, number: u8, side: Side, price: i64, shares: i64) {
        let level = |cents: i64| Level { price: Price((price + cents) * 10_000), shares: Shares(900 * ONE) };
        let (bid, ask) = if side == Side::Buy { (-1, 0) } else { (0, 1) };
        let levels = Levels { token: TOKEN, bids: vec![level(bid)], asks: vec![level(ask)], extend: false };
        self.control.set_levels(&levels).await.expect("levels");
        let fill = ForeignFill {
            wallet: LEADER,
            token: TOKEN,
            side,
            price: Price(price * 10_000),
            shares: Shares(shares * ONE),
            maker: false,
        };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        self.control.trade(&trade).await.expect("a trade");
    }
}

fn market() -> MarketSpec {
    MarketSpec {
        condition: ConditionId::from_slice(&[0xc0; 32]).expect("32 bytes"),
        tokens: [TOKEN, TokenId([0x52; 32])],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(10_000),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
        title: "Will the wire hold?".to_owned(),
        slug: String::new(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// Followers of the test: one buys for five dollars, one a tenth.
const FOLLOWERS: &str = "
    [engine]
    history_interval = '100ms'
    [venue]
    positions_lag = '0s'
    [[follower]]
    name = 'fixed'
    fixed = 5
    [[follower]]
    name = 'tenth'
    ratio = 0.1
    ";

fn follow(data: &Path, configuration: &str, urls: [&str; 2], rest: &[&str]) -> Guard {
    let file = data.join("slipstream.toml");
    fs::write(&file, configuration).expect("a file");
    let child = Command::new(BINARY)
        .args(["demo", "--headless", "--leader", &LEADER.to_string()])
        .args(["--data-url", urls[0], "--clob-url", urls[1], "--config"])
        .arg(file)
        .arg("--data-dir")
        .arg(data)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(fs::File::create(data.join("stdout")).expect("a file"))
        .stderr(fs::File::create(data.join("stderr")).expect("a file"))
        .spawn()
        .expect("the program starts");
    Guard(child)
}

fn said(data: &Path, stream: &str) -> String {
    let mut text = String::new();
    fs::File::open(data.join(stream)).and_then(|mut file| file.read_to_string(&mut text)).expect("a file");
    text
}

/// Waits until `done` gives something.
async fn until<T>(what: &str, data: &Path, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = SystemClock.uptime() + PATIENCE;
    loop {
        if let Some(done) = done().await {
            return done;
        }
        assert!(
            SystemClock.uptime() < limit,
            "no {what} within {PATIENCE:?}\n{}\n{}",
            said(data, "stdout"),
            said(data, "stderr")
        );
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the newest answers satisfy `done`.
async fn until_answers(what: &str, data: &Path, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    until(what, data, async || {
        let request = Request::Activity { limit: 50, style: slipstream::screen::Style::default() };
        let answer = socket::ask(data, &request).await.ok().flatten()?;
        let lines = answer.json.as_array().cloned().unwrap_or_default();
        done(&lines).then_some(lines)
    })
    .await
}

async fn end(child: &mut Guard, data: &Path) -> ExitStatus {
    let id = i32::try_from(child.0.id()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(id).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    until("end", data, async || child.0.try_wait().expect("a child")).await
}

/// Action, verdict and relationship of every answer, the newest last.
fn answers(lines: &[Value]) -> Vec<(String, String, i64)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut answers: Vec<_> = lines
        .iter()
        .map(|line| {
            let relationship = line["relationship"].as_i64().expect("a relationship");
            (word(&line["trade"]["action"]), word(&line["answer"]["answer"]), relationship)
        })
        .collect();
    answers.reverse();
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_wallet_is_followed_and_a_network_that_vanishes_is_told_and_survived() {
    let world = World::begin().await;
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    // Before anybody follows, and not in the same second.
    world.trade(1, Side::Buy, 50, 100).await;
    let traded = SystemClock.now().seconds();
    until("next second", data, async || (SystemClock.now().seconds() > traded + 1).then_some(())).await;
    let mut child = follow(data, FOLLOWERS, [&world.data.url, &world.clob.url], &["--json"]);
    until("running program", data, async || socket::ask(data, &Request::Ping).await.ok().flatten()).await;
    // Of the second in which the followers came nobody knows what was before them.
    let followed = SystemClock.now().seconds();
    until("next second", data, async || (SystemClock.now().seconds() > followed).then_some(())).await;

    world.trade(2, Side::Buy, 40, 200).await;
    until_answers("copy", data, |lines| lines.len() >= 2).await;
    world.data.cut();
    world.clob.cut();
    until("word about the network", data, async || {
        said(data, "stderr").contains("waits for a source").then_some(())
    })
    .await;
    world.trade(3, Side::Buy, 60, 100).await;
    world.data.mend();
    world.clob.mend();
    until_answers("copy of what was traded meanwhile", data, |lines| lines.len() >= 4).await;
    world.trade(4, Side::Sell, 55, 150).await;
    let lines = until_answers("exit", data, |lines| lines.len() >= 6).await;
    let copied = |side: &str, relationship| (side.to_owned(), "copied".to_owned(), relationship);
    let expected = ["BUY", "BUY", "SELL"].map(|side| [copied(side, 1), copied(side, 2)]);
    assert_eq!(answers(&lines), expected.concat());

    let status = end(&mut child, data).await;
    let (report, log) = (said(data, "stdout"), said(data, "stderr"));
    assert!(status.success(), "{report}\n{log}");
    assert_eq!(log.matches("detection waits for a source").count(), 1, "{log}");
    assert_eq!(log.matches("the Data API answers again").count(), 1, "{log}");
    let report: Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["leader"], LEADER.to_string());
    assert_eq!((&report["seen"], &report["copied"]), (&3.into(), &6.into()));
    assert_eq!(report["orders"], serde_json::json!({ "confirmed": 6 }));
    // 5 $ and a tenth of 80 $ at 0.40, 5 $ and a tenth of 60 $ at 0.60: the leader's own prices.
    assert_eq!((&report["buys"]["leader_usd"], &report["buys"]["orders"]), (&24_000_000.into(), &4.into()));
    // 150 of the leader's 400 shares, those from before included: 7.81 of 20.833334 and 11.25 of 30.
    assert_eq!(report["sells"]["shares"], 19_060_000);
    assert_eq!(report["holds"], true);
}

/// One buy, as the Data API tells it.
const TAPE: &str = r#"[{"proxyWallet":"0x1111111111111111111111111111111111111111","timestamp":1760000000,
"conditionId":"0x2222222222222222222222222222222222222222222222222222222222222222","type":"TRADE","size":100,
"usdcSize":50,"transactionHash":"0x3333333333333333333333333333333333333333333333333333333333333333",
"price":0.5,"asset":"98217031984791650327145687120934509123847561029384756102938475610293847561029","side":"BUY",
"outcomeIndex":0,"title":"Will it rain?","slug":"rain","eventSlug":"rain","outcome":"Yes"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_follows_nobody_needs_no_certificates() {
    let data = tempfile::tempdir().expect("a directory");
    let tape = data.path().join("tape.json");
    fs::write(&tape, TAPE).expect("a file");
    let nowhere = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let demo = |what: [&str; 2]| {
        Command::new(BINARY)
            .args(["demo", "--json", "--speed", "1000"])
            .args(what)
            .envs(nowhere)
            .output()
            .expect("it runs")
    };
    let played = demo(["--tape", &tape.to_string_lossy()]);
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let refused = demo(["--leader", &LEADER.to_string()]);
    // Where JSON is asked for, errors are JSON too.
    let error = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(!refused.status.success() && error.contains("install the system's ca-certificates"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_the_tape_is_played_with_its_synthetic_exit_and_it_is_said() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path();
    fs::write(data.join("tape.json"), TAPE).expect("a file");
    // A port that was free a moment ago: nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let tape = data.join("tape.json");
    let speed = ["--speed", "1000", "--json"];
    let file = format!("{FOLLOWERS}\n[demo]\nsynthetic_exits = true\ntape = '{}'", tape.display());
    let mut child = follow(data, &file, [&nobody, &nobody], &speed);
    let status = until("end", data, async || child.0.try_wait().expect("a child")).await;
    let (report, log) = (said(data, "stdout"), said(data, "stderr"));
    assert!(status.success(), "{report}\n{log}");
    assert!(log.starts_with("The leader cannot be followed now: "), "{log}");
    assert!(log.contains("Check the network; playing the tape instead."), "{log}");
    let report: Value = serde_json::from_str(&report).expect("a report");
    let notice = report["notice"].as_str().expect("a notice");
    assert!(log.starts_with(notice), "{notice}");
    assert_eq!(
        (&report["leader"], &report["seen"], &report["holds"]),
        (&Value::Null, &2.into(), &true.into())
    );
    assert_eq!((&report["tape"]["recorded"], &report["tape"]["synthetic"]), (&1.into(), &1.into()));
}

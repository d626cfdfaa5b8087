//! The real market, played by a simulator in a process of its own, and an installation beside it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use serde_json::Value;
use servers::RedisServer;
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};
use slipstream::{
    clock::SystemClock,
    commands::Request,
    demo::{SimulatorUrls, control::Control},
    screen::Style,
    socket,
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
/// What takes longer is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(200);
pub(crate) const LEADER: Address = Address([0x1e; 20]);
pub(crate) const TOKEN: TokenId = TokenId([0x51; 32]);
pub(crate) const OTHER: TokenId = TokenId([0x52; 32]);

/// The key that everybody knows, and its address.
pub(crate) const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub(crate) const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Made for tests; it opens nothing else.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";

/// A child that is killed with the test.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn condition() -> ConditionId {
    ConditionId::from_slice(&[0xc0; 32]).expect("32 bytes")
}

/// The only market.
pub(crate) fn market() -> MarketSpec {
    MarketSpec {
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
    }
}

/// The real market, as far as this test goes, and an installation beside it.
pub(crate) struct Scene {
    _simulator: Guard,
    pub(crate) urls: SimulatorUrls,
    pub(crate) control: Control,
    pub(crate) directory: tempfile::TempDir,
    /// Everything is told by slipstream.toml of the directory, as a reader has it, and nothing by the environment.
    pub(crate) by_file: bool,
    /// The database and the queue, where they are on servers.
    pub(crate) servers: Option<Servers>,
}

/// Where an installation of many processes has its books and its queue.
pub(crate) struct Servers {
    /// The database's address.
    pub(crate) database: String,
    /// The same database's through a pooler.
    pub(crate) pooled: Option<String>,
    /// A server of this test's own.
    pub(crate) redis: RedisServer,
}

impl Scene {
    pub(crate) async fn begin() -> Self {
        Self::with_blocks_each(200).await
    }

    /// With a chain whose blocks come each so many milliseconds.
    pub(crate) async fn with_blocks_each(millis: u64) -> Self {
        let mut child = Command::new(BINARY)
            .args(["simulator", "--block-ms", &millis.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let stdout = child.stdout.take().expect("piped");
        let simulator = Guard(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("addresses");
        let urls: SimulatorUrls = serde_json::from_str(&line).expect("addresses");
        let control = Control::new(polymarket::client().expect("a client"), &urls.control);
        control.add_market(&market()).await.expect("a market");
        let directory = tempfile::tempdir().expect("a directory");
        Self { _simulator: simulator, urls, control, directory, by_file: false, servers: None }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("slipstream.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A command of this installation, at this test's venue.
    pub(crate) fn command(&self, arguments: &[&str], with_chain: bool) -> Command {
        let mut command = Command::new(BINARY);
        if self.by_file {
            let ours = |name: &str| name.starts_with("SLIPSTREAM_") || name.starts_with("POLYGON_");
            for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
                command.env_remove(name);
            }
            command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
            return command;
        }
        let keys = self.directory.path().join("identity");
        if keys.is_file() {
            command.env("SLIPSTREAM_LIVE_ENABLED", "true").env("SLIPSTREAM_LIVE_KEY_FILE", keys);
        }
        let relayer = self.directory.path().join("relayer.json");
        if relayer.is_file() {
            command.env("SLIPSTREAM_LIVE_RELAYER_KEY", relayer);
        }
        command
            .args(arguments)
            .env_remove("SLIPSTREAM_CRASH")
            .env("SLIPSTREAM_CONFIG", self.file())
            .env("SLIPSTREAM_RUN_CLOB_URL", &self.urls.clob)
            .env("SLIPSTREAM_RUN_DATA_URL", &self.urls.data)
            .env("SLIPSTREAM_RUN_GAMMA_URL", &self.urls.gamma)
            .env("SLIPSTREAM_RUN_GEOBLOCK_URL", &self.urls.clob)
            .env("SLIPSTREAM_RUN_RELAYER_URL", &self.urls.relayer)
            .env("SLIPSTREAM_ENGINE_CHANNEL_URL", self.urls.clob.replacen("http", "ws", 1))
            .env("SLIPSTREAM_ENGINE_LIVE_URL", "")
            .env("SLIPSTREAM_ENGINE_HISTORY_INTERVAL", "200ms")
            .env("SLIPSTREAM_VENUE_POSITIONS_LAG", "0s")
            .stdin(Stdio::null());
        if with_chain {
            command.env("POLYGON_RPC_URL", &self.urls.rpc);
        }
        command.env_remove("PRODUCTION_DATABASE_URL").env_remove("DATABASE_URL").env_remove("REDIS_URL");
        if let Some(servers) = &self.servers {
            command.env("DATABASE_URL", &servers.database).env("REDIS_URL", servers.redis.url(0));
            if let Some(pooled) = &servers.pooled {
                command.env("SLIPSTREAM_DATABASE_POOLED_URL", pooled);
            }
            // Keys are opened by a signer of its own there.
            command.env_remove("SLIPSTREAM_LIVE_KEY_FILE");
            let signer = self.directory.path().join("signer.sock");
            if signer.exists() {
                command.env("SLIPSTREAM_LIVE_SOCKET", signer);
            }
        }
        command
    }

    /// Runs a command to its end; its answer as JSON.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.command(&arguments, true).output().expect("it runs");
        let (answer, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {answer}{errors}");
        serde_json::from_str(&answer).expect("JSON")
    }

    pub(crate) fn init(&self, policy: &[&str]) {
        let (file, leader) = (self.file(), LEADER.to_string());
        let file = file.to_string_lossy();
        let arguments = ["init", "--yes", "--file", &file, "--data-dir", "data", "--leader", &leader];
        let mut command = self.command(&[&arguments, policy].concat(), false);
        command.env_remove("SLIPSTREAM_CONFIG");
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn run(&self, with_chain: bool, crash: Option<&str>) -> Guard {
        let log = fs::File::options().append(true).create(true).open(self.log()).expect("a log");
        let mut command = self.command(&["run"], with_chain);
        command.stderr(log);
        if let Some(crash) = crash {
            command.env("SLIPSTREAM_CRASH", crash);
        }
        Guard(command.spawn().expect("it starts"))
    }

    /// A file that only its owner can read.
    pub(crate) fn private(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        path.to_string_lossy().into_owned()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) async fn until<T>(&self, what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
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

    pub(crate) async fn up(&self) {
        let data = self.data();
        self.until("running program", async || socket::ask(&data, &Request::Ping).await.ok().flatten()).await;
    }

    /// Waits until the newest answers satisfy `done`.
    pub(crate) async fn until_answers(&self, what: &str, done: impl Fn(&[Value]) -> bool) {
        let data = self.data();
        self.until(what, async || {
            let request = Request::Activity { limit: 50, style: Style::default() };
            let answer = socket::ask(&data, &request).await.ok().flatten()?;
            done(answer.json.as_array().map_or(&[][..], Vec::as_slice)).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_held(&self, what: &str, shares: i64) -> Value {
        let data = self.data();
        self.until(what, async || {
            let answer =
                socket::ask(&data, &Request::Positions { style: Style::default() }).await.ok().flatten()?;
            let held = answer.json.as_array()?.iter().filter_map(|line| line["shares"].as_i64()).sum::<i64>();
            (held == shares).then_some(answer.json)
        })
        .await
    }

    /// The best offers, and the leader buys at the first of them.
    pub(crate) async fn leader_buys(&self, number: u8, offers: &[(i64, i64)]) {
        let level = |(cents, shares): &(i64, i64)| Level {
            price: Price(cents * 10_000),
            shares: Shares(shares * ONE),
        };
        let asks = offers.iter().map(level).collect();
        let levels = Levels { token: TOKEN, bids: vec![level(&(30, 1_000))], asks, extend: false };
        self.control.set_levels(&levels).await.expect("levels");
        self.leader_trades(number, Side::Buy, offers[0].0).await;
    }

    pub(crate) async fn leader_trades(&self, number: u8, side: Side, cents: i64) {
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

    pub(crate) async fn end(&self, child: &mut Guard) -> ExitStatus {
        let id = i32::try_from(child.0.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(id).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        self.until("end", async || child.0.try_wait().expect("a child")).await
    }

    /// Trades are dated in whole seconds; those of the second in which somebody began to follow may be older.
    pub(crate) async fn next_second(&self) {
        let now = SystemClock.now().seconds();
        self.until("next second", async || (SystemClock.now().seconds() > now).then_some(())).await;
    }
}

/// Whether nothing more becomes of an answer.
pub(crate) fn is_over(line: &Value) -> bool {
    let orders = line["answer"]["orders"].as_array().map_or(&[][..], Vec::as_slice);
    let over = |order: &Value| {
        ["confirmed", "missed", "killed", "rejected"].contains(&order["state"].as_str().unwrap_or_default())
    };
    line["answer"]["answer"] == "skipped" || (!orders.is_empty() && orders.iter().all(over))
}

/// $2 at 0.40, then $3 at 0.41: 5 shares and 7.317074, rounded up as settlements on Polygon are.
pub(crate) const OFFERS: [(i64, i64); 2] = [(40, 5), (41, 900)];
pub(crate) const GIVEN: i64 = 12_317_074;
pub(crate) const POLICY: [&str; 4] = ["--fixed", "5", "--slippage-to-book", "0.05"];

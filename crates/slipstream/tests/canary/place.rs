//! An installation at a simulated venue, and all that it prints.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use serde_json::Value;
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{ForeignFill, ForeignTrade, Level, Levels},
        fees::FeeSchedule,
        registry::MarketSpec,
    },
};
use slipstream::{clock::SystemClock, commands::Request, demo::control::Control, screen::Style, socket};

use crate::secrets::{
    BUILDER_PASSPHRASE, BUILDER_SECRET, IDENTITY, KEY, PASSPHRASE, RPC_KEY, RPC_PASSWORD, SECOND_KEY, Secrets,
};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
/// What takes longer is a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
pub(super) const LEADER: Address = Address([0x1e; 20]);
pub(super) const TOKEN: TokenId = TokenId([0x51; 32]);

/// A child that is killed with the test.
pub(super) struct Guard(pub(super) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) struct Place {
    pub(super) simulator: Running,
    pub(super) control: Control,
    directory: tempfile::TempDir,
    /// All that was ever printed, by the command that printed it.
    pub(super) printed: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Place {
    pub(super) async fn new() -> Self {
        let config = SimulatorConfig { block_interval_ms: 100, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let control = Control::new(polymarket::client().unwrap(), &simulator.control_url);
        control.add_market(&market()).await.unwrap();
        control.add_builder_key("b", BUILDER_SECRET, BUILDER_PASSPHRASE).await.unwrap();
        let place =
            Self { simulator, control, directory: tempfile::tempdir().unwrap(), printed: Mutex::default() };
        place.file("identity", &format!("{IDENTITY}\n"));
        place.file("passphrase", &format!("{PASSPHRASE}\n"));
        place.file("key", KEY);
        place.file("second", SECOND_KEY);
        let relayer = format!(
            r#"{{"builder_key":"b","secret":"{BUILDER_SECRET}","passphrase":"{BUILDER_PASSPHRASE}"}}"#
        );
        place.file("relayer.json", &relayer);
        place.file("signer.toml", "[live]\nenabled = true\nkey_file = 'identity'\n");
        place
    }

    pub(super) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// URLs that carry a key and a password.
    pub(super) fn rpc_urls(&self) -> [String; 2] {
        let host = self.simulator.rpc_url.trim_start_matches("http://");
        [
            format!("http://user:{RPC_PASSWORD}@{host}/?apikey={RPC_KEY}"),
            format!("ws://{host}/?apikey={RPC_KEY}"),
        ]
    }

    /// Written as `init` writes it, with this test's venue in place of the real one.
    pub(super) fn configure(&self, live: &str) {
        let venue = &self.simulator;
        let [rpc, bell] = self.rpc_urls();
        let socket = venue.clob_url.replacen("http", "ws", 1);
        self.file(
            "slipstream.toml",
            &format!(
                "[run]\ndata_dir = 'data'\nclob_url = '{clob}'\ndata_url = '{}'\ngamma_url = '{}'\ngeoblock_url = '{clob}'\n\
                 relayer_url = '{}'\n[engine]\nchannel_url = '{socket}'\nlive_url = ''\nhistory_interval = '200ms'\n\
                 [venue]\npositions_lag = '0s'\n[chain]\nrpc_urls = ['{rpc}', '{bell}']\n{live}",
                venue.data_url,
                venue.gamma_url,
                venue.relayer_url,
                clob = venue.clob_url,
            ),
        );
    }

    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(line).current_dir(self.directory.path()).stdin(Stdio::null()).env("RUST_LOG", "trace");
        for variable in
            ["CREDENTIALS_DIRECTORY", "POLYGON_RPC_URL", "SLIPSTREAM_CONFIG", "SLIPSTREAM_DATA_DIR"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command to its end and keeps what it printed.
    pub(super) fn output(&self, line: &[&str]) -> Output {
        let output = self.command(line).output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        self.printed.lock().unwrap().push((format!("what `{}` printed", line.join(" ")), said));
        output
    }

    pub(super) fn done(&self, line: &[&str]) -> Value {
        let output = self.output(&[line, &["--json"]].concat());
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whatever comes of it.
    pub(super) fn tried(&self, line: &[&str]) {
        self.output(line);
    }

    /// What it is there for is told. Where it also says by its exit status that something is amiss, that is 1.
    pub(super) fn told(&self, line: &[&str]) {
        let output = self.output(line);
        let judges = ["doctor", "check", "verify", "certify"].iter().any(|word| line.contains(word));
        let well =
            output.status.success() || judges && output.status.code() == Some(1) && !output.stdout.is_empty();
        assert!(well, "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(super) fn refused(&self, line: &[&str]) {
        let output = self.output(line);
        assert!(!output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stdout));
    }

    pub(super) fn started(&self, line: &[&str], log: &str) -> Guard {
        let log = fs::File::options().append(true).create(true).open(self.path(log)).unwrap();
        Guard(self.command(line).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    pub(super) async fn until<T>(&self, what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
        let limit = SystemClock.uptime() + PATIENCE;
        loop {
            if let Some(done) = done().await {
                return done;
            }
            if SystemClock.uptime() >= limit {
                let log = fs::read_to_string(self.path("run.log")).unwrap_or_default();
                let told: Vec<&str> =
                    log.lines().filter(|line| line.contains("INFO") || line.contains("WARN")).collect();
                panic!("no {what} within {PATIENCE:?}\n{}", told.join("\n"));
            }
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn asked(&self, request: &Request) -> Option<Value> {
        socket::ask(&self.data(), request).await.ok().flatten().map(|answer| answer.json)
    }

    pub(super) async fn up(&self) {
        self.until("running program", async || self.asked(&Request::Ping).await).await;
    }

    /// Waits until so many answers are there, and what became of everything that they ordered is known.
    pub(super) async fn answered(&self, answers: usize) {
        self.until_all(answers, &[&OVER[..], &["matched", "mined"]].concat()).await;
    }

    /// Waits until so many answers are there, and everything that they ordered is over.
    pub(super) async fn settled(&self, answers: usize) {
        self.until_all(answers, &OVER).await;
    }

    async fn until_all(&self, answers: usize, states: &[&str]) {
        let activity = Request::Activity { limit: 50, style: Style::default() };
        self.until("answers", async || {
            let lines = self.asked(&activity).await?;
            let lines = lines.as_array()?;
            (lines.len() >= answers && lines.iter().all(|line| is_in(line, states))).then_some(())
        })
        .await;
    }

    pub(super) async fn leader_trades(&self, number: u8, side: Side) {
        let level = |cents: i64| Level { price: Price(cents * 10_000), shares: Shares(900 * ONE) };
        let levels = Levels { token: TOKEN, bids: vec![level(39)], asks: vec![level(40)], extend: false };
        self.control.set_levels(&levels).await.unwrap();
        let cents = if side == Side::Buy { 40 } else { 39 };
        let (price, shares) = (Price(cents * 10_000), Shares(100 * ONE));
        let fill = ForeignFill { wallet: LEADER, token: TOKEN, side, price, shares, maker: false };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        self.control.trade(&trade).await.unwrap();
    }

    /// What the system tells of a process to whoever may ask.
    pub(super) fn process(&self, name: &str, child: &Guard) {
        for file in ["environ", "cmdline", "status"] {
            let told = fs::read(format!("/proc/{}/{file}", child.0.id())).unwrap();
            self.printed.lock().unwrap().push((format!("{file} of {name}"), told));
        }
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.0.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{name} may leave a memory dump: {core}");
    }

    pub(super) async fn end(&self, child: &mut Guard) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.until("end", async || child.0.try_wait().unwrap()).await;
    }

    /// Fails if a secret is in what was printed or written down, but for the files that are there to hold one.
    pub(super) fn no_secret_anywhere(&self, secrets: &Secrets) {
        let own = [
            "identity",
            "passphrase",
            "key",
            "second",
            "relayer.json",
            "slipstream.toml",
            "wrong.toml",
            "short",
            "data/installation.secret",
        ];
        let mut found = Vec::new();
        for (place, bytes) in self.printed.lock().unwrap().iter() {
            found.extend(secrets.found_in(place, bytes));
        }
        let mut read = 0;
        for path in files(self.directory.path()) {
            let name = path.strip_prefix(self.directory.path()).unwrap().display().to_string();
            if !own.contains(&name.as_str()) {
                let bytes = fs::read(&path).unwrap();
                read += bytes.len();
                found.extend(secrets.found_in(&name, &bytes));
            }
        }
        assert!(read > 100_000, "databases, backups and logs are read: {read} bytes");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| fs::metadata(path).is_ok_and(|it| it.is_file()))
        .collect()
}

fn market() -> MarketSpec {
    MarketSpec {
        condition: ConditionId::from_slice(&[0xc0; 32]).unwrap(),
        tokens: [TOKEN, TokenId([0x52; 32])],
        outcomes: ["Yes".to_owned(), "No".to_owned()],
        tick: Price(10_000),
        min_size: Shares(5 * ONE),
        neg_risk: false,
        fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
        title: "Will the canary live?".to_owned(),
        slug: String::new(),
        event_slug: String::new(),
        end_date: String::new(),
    }
}

/// States of orders of which nothing more becomes.
const OVER: [&str; 4] = ["confirmed", "missed", "killed", "rejected"];

/// Whether an answer is a skip, or all its orders are in one of these states.
fn is_in(line: &Value, states: &[&str]) -> bool {
    let orders = line["answer"]["orders"].as_array().map_or(&[][..], Vec::as_slice);
    let is = |order: &Value| states.contains(&order["state"].as_str().unwrap_or_default());
    line["answer"]["answer"] == "skipped" || (!orders.is_empty() && orders.iter().all(is))
}

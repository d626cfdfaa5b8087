//! The canary: every secret there is in an installation is known to this test; the program does all it can do, at trace
//! level, and none of them is found in what it printed, logged, answered, exported or wrote down, nor in what the system
//! tells about its processes. And every line of its log about an order names the order.
#![cfg(test)]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use polymarket::wallets::deposit_wallets;
use serde_json::Value;
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{ForeignFill, ForeignTrade, Level, Levels},
        faults::{Fault, FaultKind, FaultTarget},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use slipstream::{clock::SystemClock, commands::Request, demo::control::Control, socket};

const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");
/// What takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(120);
const LEADER: Address = Address([0x1e; 20]);
const TOKEN: TokenId = TokenId([0x51; 32]);

/// The key that everybody knows, and its address.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Another key that everybody knows, for what is done with a file.
const SECOND_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// Made for tests; they open nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
const PASSPHRASE: &str = "correct horse battery staple";
/// Parts of a provider's URL.
const RPC_KEY: &str = "9b1d7rpcUrlKeyOfAProvider4e5f";
const RPC_PASSWORD: &str = "9b1d7rpcPasswordOfAProvider4e5f";
/// What asks the relayer.
const BUILDER_SECRET: &str = "YnVpbGRlci1zZWNyZXQtb2YtdGhlLWNhbmFyeQ==";
const BUILDER_PASSPHRASE: &str = "builder-passphrase-of-the-canary-7d1";
/// As a bot of Telegram's has it, in the wrong place.
const BOT_TOKEN: &str = "7104298871:AAH-canary_bot_token_of_telegram_x";

/// Text that must be nowhere, by the name of the secret it is a form of.
struct Secrets(Vec<(&'static str, Vec<u8>)>);

impl Secrets {
    fn seeded() -> Self {
        let mut all = Self(Vec::new());
        for (name, hex_key) in [("private key", KEY), ("second private key", SECOND_KEY)] {
            all.bytes(name, &hex::decode(hex_key).unwrap());
        }
        for (name, text) in [
            ("age identity", IDENTITY),
            ("passphrase", PASSPHRASE),
            ("key in a provider's URL", RPC_KEY),
            ("password in a provider's URL", RPC_PASSWORD),
            ("builder secret", BUILDER_SECRET.trim_end_matches('=')),
            ("builder passphrase", BUILDER_PASSPHRASE),
            ("bot token", BOT_TOKEN),
        ] {
            all.text(name, text);
        }
        all
    }

    fn text(&mut self, name: &'static str, text: &str) {
        for form in [text.to_owned(), text.to_lowercase(), text.to_uppercase(), STANDARD_NO_PAD.encode(text)]
        {
            self.0.push((name, form.into_bytes()));
        }
    }

    /// As hexadecimal digits, base64, numbers in a list, and as they are.
    fn bytes(&mut self, name: &'static str, bytes: &[u8]) {
        let (digits, list) = (hex::encode(bytes), format!("{bytes:?}"));
        let list = list.trim_matches(['[', ']']).to_owned();
        for form in [
            digits.to_uppercase(),
            digits,
            list,
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
        ] {
            self.0.push((name, form.into_bytes()));
        }
        self.0.push((name, bytes.to_vec()));
    }

    fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let found =
            |secret: &&(&str, Vec<u8>)| bytes.windows(secret.1.len()).any(|window| window == secret.1);
        let told: BTreeSet<&str> = self.0.iter().filter(found).map(|(name, _)| *name).collect();
        told.into_iter().map(|name| format!("the {name} is in {place}")).collect()
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

struct Place {
    simulator: Running,
    control: Control,
    directory: tempfile::TempDir,
    /// All that was ever printed, by the command that printed it.
    printed: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Place {
    async fn new() -> Self {
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

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// URLs that carry a key and a password.
    fn rpc_urls(&self) -> [String; 2] {
        let host = self.simulator.rpc_url.trim_start_matches("http://");
        [
            format!("http://user:{RPC_PASSWORD}@{host}/?apikey={RPC_KEY}"),
            format!("ws://{host}/?apikey={RPC_KEY}"),
        ]
    }

    /// Written as `init` writes it, with this test's venue in place of the real one.
    fn configure(&self, live: &str) {
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

    fn command(&self, line: &[&str]) -> Command {
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
    fn output(&self, line: &[&str]) -> Output {
        let output = self.command(line).output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        self.printed.lock().unwrap().push((format!("what `{}` printed", line.join(" ")), said));
        output
    }

    fn done(&self, line: &[&str]) -> Value {
        let output = self.output(&[line, &["--json"]].concat());
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whatever comes of it.
    fn tried(&self, line: &[&str]) {
        self.output(line);
    }

    fn refused(&self, line: &[&str]) {
        let output = self.output(line);
        assert!(!output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stdout));
    }

    fn started(&self, line: &[&str], log: &str) -> Guard {
        let log = fs::File::options().append(true).create(true).open(self.path(log)).unwrap();
        Guard(self.command(line).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    async fn until<T>(&self, what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
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

    async fn asked(&self, request: &Request) -> Option<Value> {
        socket::ask(&self.data(), request).await.ok().flatten().map(|answer| answer.json)
    }

    async fn up(&self) {
        self.until("running program", async || self.asked(&Request::Ping).await).await;
    }

    /// Waits until so many answers are there, and everything that they ordered is over.
    async fn settled(&self, answers: usize) {
        let activity = Request::Activity { limit: 50, colour: false };
        self.until("settled answers", async || {
            let lines = self.asked(&activity).await?;
            let lines = lines.as_array()?;
            (lines.len() >= answers && lines.iter().all(is_over)).then_some(())
        })
        .await;
    }

    async fn leader_trades(&self, number: u8, side: Side) {
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
    fn process(&self, name: &str, child: &Guard) {
        for file in ["environ", "cmdline", "status"] {
            let told = fs::read(format!("/proc/{}/{file}", child.0.id())).unwrap();
            self.printed.lock().unwrap().push((format!("{file} of {name}"), told));
        }
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.0.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{name} may leave a memory dump: {core}");
    }

    async fn end(&self, child: &mut Guard) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.until("end", async || child.0.try_wait().unwrap()).await;
    }

    /// Fails if a secret is in what was printed or written down, but for the files that are there to hold one.
    fn no_secret_anywhere(&self, secrets: &Secrets) {
        let own = [
            "identity",
            "passphrase",
            "key",
            "second",
            "relayer.json",
            "slipstream.toml",
            "wrong.toml",
            "short",
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

/// Whether nothing more becomes of an answer.
fn is_over(line: &Value) -> bool {
    let orders = line["answer"]["orders"].as_array().map_or(&[][..], Vec::as_slice);
    let over = |order: &Value| {
        ["confirmed", "missed", "killed", "rejected"].contains(&order["state"].as_str().unwrap_or_default())
    };
    line["answer"]["answer"] == "skipped" || (!orders.is_empty() && orders.iter().all(over))
}

/// Every line about one order names it, and every order has lines.
fn lines_name_their_orders(log: &str, orders: &Value) {
    let ids: Vec<&str> =
        orders.as_array().unwrap().iter().map(|order| order["order"].as_str().unwrap()).collect();
    assert!(ids.len() >= 4, "{orders}");
    let mut told = BTreeSet::new();
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}"));
        let own = object["target"].as_str().is_some_and(|target| {
            ["slipstream", "engine", "polymarket", "paper", "signer", "store", "queue"]
                .iter()
                .any(|room| target.split("::").next() == Some(room))
        });
        let named: Vec<&&str> = ids.iter().filter(|id| line.contains(**id)).collect();
        told.extend(named.iter().map(|id| (**id).to_owned()));
        let message = object["message"].as_str().unwrap_or_default();
        let words: Vec<&str> = message.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
        if own && words.contains(&"order") && !message.contains("order book") {
            assert!(!named.is_empty() || line.contains("intent"), "about an order, and names none: {line}");
        }
    }
    for id in ids {
        assert!(told.contains(id), "no line names order {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_anywhere_and_every_line_of_an_order_names_it() {
    let place = Place::new().await;
    let mut secrets = Secrets::seeded();
    let eoa: Address = EOA.parse().unwrap();
    let standing = Standing::default();
    let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: false, standing };
    place.control.add_wallet(&wallet).await.unwrap();
    place.simulator.world().with(|world, now| {
        world.credit(eoa, Asset::Collateral, 100 * ONE);
        world.credit(eoa, Asset::Pol, ONE);
        world.mine(now)
    });

    // Set up, first with the keys opened here.
    let [rpc, _] = place.rpc_urls();
    place.done(&["init", "--yes", "--data-dir", "data", "--rpc", &rpc]);
    place.configure("[live]\nenabled = true\nkey_file = 'identity'\n");
    place.done(&["account", "add", "main", "--live", "--key-file", "key"]);
    place.done(&["account", "check", "main", "--approve"]);
    place.tried(&[
        "account",
        "check",
        "--key-file",
        "second",
        "--deploy",
        "--approve",
        "--relayer-key",
        "relayer.json",
    ]);
    let made = place.simulator.world().with(|world, _| world.relayer().records().len());
    let told = String::from_utf8_lossy(&place.printed.lock().unwrap().last().unwrap().1).into_owned();
    assert!(made > 0, "the relayer was not asked with the builder's key: {told}");
    let own = deposit_wallets("0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse().unwrap())[0];
    assert!(place.simulator.world().with(|world, _| world.is_deployed(own)));
    place.done(&["signer", "rotate", "--to", "passphrase"]);
    place.configure("[live]\nenabled = true\nkey_file = 'passphrase'\n");
    place.done(&["signer", "rotate", "--to", "identity"]);
    mistakes(&place);

    // Then with a signer of its own; both trade.
    let mut signer = place.started(
        &["signer", "serve", "--socket", "s.sock", "--state-dir", "signer", "--config", "signer.toml"],
        "signer.log",
    );
    place.until("signer", async || fs::metadata(place.path("s.sock")).ok()).await;
    place.configure("[live]\nenabled = true\nsocket = 's.sock'\n");
    for account in ["paper", "main"] {
        place.done(&["follow", &LEADER.to_string(), "--account", account, "--fixed", "5"]);
    }
    let mut run = place.started(&["run", "--json"], "run.log");
    place.up().await;
    place.done(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    place
        .until("deposit", async || {
            let rows = place.asked(&Request::Export(slipstream::export::Table::Ledger)).await?;
            rows.as_array()?.iter().any(|row| row["cash"] == 100 * ONE).then_some(())
        })
        .await;
    let now = SystemClock.now().seconds();
    place.until("next second", async || (SystemClock.now().seconds() > now).then_some(())).await;
    place.leader_trades(1, Side::Buy).await;
    place.settled(2).await;
    // A reply that is lost, a refusal, and a venue that fails: their lines name the order too.
    for (number, kind) in
        [(2, FaultKind::AcceptThenDrop), (3, FaultKind::Error500Before), (4, FaultKind::TimedOutText)]
    {
        place
            .control
            .fault(&Fault { target: FaultTarget::Order, kind, count: 1, delay_ms: 0, depth: 0 })
            .await
            .unwrap();
        place.leader_trades(number, Side::Buy).await;
        place.settled(usize::from(number) * 2).await;
    }
    place.leader_trades(5, Side::Sell).await;
    place.settled(10).await;
    place.process("run", &run);
    place.process("signer serve", &signer);
    everything(&place);
    let orders = place.done(&["export", "orders"]);
    place.end(&mut run).await;
    place.end(&mut signer).await;
    everything_at_rest(&place);

    // Credentials that the venue gave out on the way, and the installation's own secret.
    let given =
        place.simulator.world().with(|world, _| world.registry().derive_key(eoa, 0).cloned()).unwrap();
    secrets.text("API secret", given.secret.trim_end_matches('='));
    secrets.text("API passphrase", &given.passphrase);
    place.no_secret_anywhere(&secrets);
    // Looked for last, because the database of the installation lies beside it.
    let own = fs::read(place.data().join("installation.secret")).unwrap();
    let mut secret = Secrets(Vec::new());
    secret.bytes("installation's secret", &own);
    // It opens nothing by itself, and stands in each order's stored bytes, where the venue wants it; nobody else sees it.
    secret.text("API key", &given.key);
    let log = fs::read_to_string(place.path("run.log")).unwrap();
    for (name, bytes) in place.printed.lock().unwrap().iter() {
        assert_eq!(secret.found_in(name, bytes), Vec::<String>::new());
    }
    assert_eq!(secret.found_in("run.log", log.as_bytes()), Vec::<String>::new());
    lines_name_their_orders(&log, &orders);
    place.simulator.shutdown().await;
}

/// Errors of each kind, with secrets where they do not belong.
fn mistakes(place: &Place) {
    let key = format!("0x{KEY}");
    place.refused(&["account", "add", "other", "--live", "--key-file", "identity"]);
    place.file("short", &KEY[..40]);
    place.refused(&["account", "add", "other", "--live", "--key-file", "short"]);
    place.refused(&["account", "add", "other", "--live", "--sealed", "key"]);
    for wrong in [KEY, &key] {
        place.refused(&["account", "check", wrong]);
        place.refused(&["account", "check", EOA, "--wallet", wrong]);
        place.refused(&["account", "arm", wrong, "--per-order", "1", "--per-day", "1", "--yes", "x"]);
        place.refused(&["account", "arm", "main", "--per-order", "1", "--per-day", "1", "--yes", wrong]);
        place.refused(&["account", "disarm", wrong]);
        place.refused(&["account", "add", wrong]);
        place.refused(&["follow", wrong]);
        place.refused(&["leader", "show", wrong]);
        place.refused(&["edit", "1", "--fixed", wrong]);
        place.refused(&["inspect", "relationship", wrong]);
    }
    place.refused(&["account", "check", &["--key-file=", KEY].concat()]);
    place.refused(&[
        "init",
        "--yes",
        "--file",
        "other.toml",
        "--data-dir",
        "other",
        "--rpc",
        &format!("nowhere/{RPC_KEY}"),
    ]);
    place.refused(&[KEY]);
    place.refused(&["run", &["--", IDENTITY].concat()]);
    let [rpc, bell] = place.rpc_urls();
    let wrong = format!(
        "[alerts]\ntelegram_token = '{BOT_TOKEN}'\n[chain]\nrpc_urls = ['{rpc}', '{rpc}', 'nowhere/{RPC_KEY}']\n\
         [venue]\nbuilder = '{KEY}'\nkey = '{PASSPHRASE} and some more words than that, as a mnemonic has'\n\
         [run]\nclob_url = '{bell}'\n[live]\nenabled = '{IDENTITY}'\nkey_file = '{KEY}'\n{KEY} = 1\n"
    );
    place.file("wrong.toml", &wrong);
    place.refused(&["config", "check", "wrong.toml"]);
    place.refused(&["run", "--config", "wrong.toml"]);
    place.refused(&["doctor", "--config", "wrong.toml"]);
    let nobody = format!("[chain]\nrpc_urls = ['http://user:{RPC_PASSWORD}@127.0.0.1:9/{RPC_KEY}']\n");
    place.file("wrong.toml", &nobody);
    place.refused(&["rpc", "check", "--config", "wrong.toml"]);
    place.refused(&["account", "check", EOA, "--config", "wrong.toml"]);
    place.refused(&["doctor", "--config", "wrong.toml"]);
}

/// Whatever can be asked of a running process.
fn everything(place: &Place) {
    for line in [
        &["sources"][..],
        &["rpc", "status"],
        &["rpc", "reload"],
        &["rpc", "check"],
        &["positions"],
        &["activity"],
        &["following"],
        &["verify"],
        &["holds"],
        &["doctor"],
        &["doctor", "--wallets"],
        &["account", "list"],
        &["account", "check", "main"],
        &["signer", "public-key"],
        &["export", "decisions"],
        &["export", "ledger"],
        &["inspect", "relationship", "1"],
        &["inspect", "trade", "0x0101"],
        &["backup", "backup.db"],
        &["config", "check"],
        &["account", "disarm", "main"],
        &["panic"],
        &["lift", "1"],
    ] {
        place.tried(line);
        if !line.contains(&"backup") && !line.contains(&"config") {
            place.tried(&[line, &["--json"]].concat());
        }
    }
    assert!(place.path("backup.db").is_file());
}

/// And of one that does not run.
fn everything_at_rest(place: &Place) {
    place.configure("[live]\nenabled = true\nkey_file = 'identity'\n");
    for line in [
        &["doctor"][..],
        &["verify"],
        &["account", "list"],
        &["restore", "backup.db"],
        &["holds"],
        &["certify", "--out", "certified.json"],
    ] {
        place.tried(line);
    }
    let mut dump = fs::File::create(place.path("dump.sql")).unwrap();
    // What a dump of the database says, each value as text: the rows of every table.
    for table in ["decisions", "orders", "ledger"] {
        dump.write_all(&place.output(&["export", table]).stdout).unwrap();
    }
}

//! A session key trades for somebody else's deposit wallet: what it signs, until when, and what it needs.

#![cfg(test)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use clap::Parser as _;
use domain::{
    Address, Clock, ConditionId, Hash, KeyRef, OrderAmounts, OrderPlan, OrderType, Price, Shares, Side,
    Timestamp, TokenId, TradingAccount, TxHash, WalletKind, ids::AccountId, money::ONE,
};
use eip712::Chain;
use engine::ports::{
    detection::Lane,
    venue::{OrderGateway as _, OrderQuery, PostReply, PostTimes, Signer as _, VenueError},
};
use polymarket::{Clob, local_client};
use signer::{Binding, FileKey, LocalSigner};
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{ForeignFill, ForeignTrade, Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use slipstream::{
    account,
    cli::{Cli, Command},
    clock::SystemClock,
    commands::{Answer, Request},
    demo::control::Control,
    socket,
};

const TOKEN: TokenId = TokenId([0x5e; 32]);
const WALLET: Address = Address([0xd3; 20]);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const LEADER: Address = Address([0x1e; 20]);
/// Made for tests; it opens nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
const OWNER: Address = Address([0x0e; 20]);
/// The key that everybody knows.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Another one that everybody knows (Hardhat's second).
const OTHER_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

struct Scene {
    simulator: Running,
    directory: tempfile::TempDir,
    signer: LocalSigner,
    key: Address,
}

impl Scene {
    async fn set() -> Self {
        Self::with_blocks(0).await
    }

    /// With a block in so many milliseconds.
    async fn with_blocks(block_interval_ms: u64) -> Self {
        let config = SimulatorConfig { block_interval_ms, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("key", KEY);
        write("slipstream.toml", &format!("[chain]\nrpc_urls = ['{}']\n", simulator.rpc_url));
        let source = FileKey::read(&directory.path().join("key")).unwrap();
        let signer = LocalSigner::new(Chain::Polygon, Box::new(source));
        let key = signer.address(&KeyRef("key".to_owned())).await.unwrap();
        let level = |cents| vec![Level { price: Price(cents * ONE / 100), shares: Shares(100 * ONE) }];
        simulator.world().with(|world, now| {
            let market = MarketSpec {
                condition: ConditionId::from_slice(&[0x0c; 32]).unwrap(),
                tokens: [TOKEN, TokenId([0x5f; 32])],
                outcomes: ["Yes".to_owned(), "No".to_owned()],
                tick: Price(ONE / 100),
                min_size: Shares(5 * ONE),
                neg_risk: false,
                fee: FeeSchedule::default(),
                title: String::new(),
                slug: String::new(),
                event_slug: String::new(),
                end_date: String::new(),
            };
            world.add_market(market).unwrap();
            world
                .set_levels(&Levels { token: TOKEN, bids: level(49), asks: level(50), extend: false })
                .unwrap();
            let (standing, signature_type) = (Standing::Good, 3);
            let wallet = Wallet { address: WALLET, owner: OWNER, signature_type, approved: true, standing };
            world.add_wallet(wallet).unwrap();
            world.credit(WALLET, Asset::Collateral, 100 * ONE);
            world.mine(now);
        });
        Self { simulator, directory, signer, key }
    }

    /// Lets the key trade until then.
    fn authorise(&self, until: Timestamp) {
        self.authorise_key(self.key, until);
    }

    fn authorise_key(&self, key: Address, until: Timestamp) {
        self.simulator.world().with(|world, now| {
            let seconds = until.seconds().unsigned_abs();
            world.authorise_session(WALLET, key, seconds, vec!["CLOB".to_owned()]).unwrap();
            world.mine(now);
        });
    }

    fn account(&self) -> TradingAccount {
        let (id, key) = (AccountId(1), KeyRef("key".to_owned()));
        TradingAccount { id, wallet: WALLET, signer: self.key, kind: WalletKind::Session, key }
    }

    fn plan(&self, salt: u64) -> OrderPlan {
        OrderPlan {
            salt,
            account: self.account(),
            token: TOKEN,
            side: Side::Buy,
            amounts: OrderAmounts { maker: 5 * ONE, taker: 10 * ONE },
            timestamp: SystemClock.now(),
            negative_risk: false,
            order_type: OrderType::FillAndKill,
            defer: false,
            builder: Hash([0; 32]),
        }
    }

    async fn check(&self) -> Answer {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let (config, key, wallet) = (path("slipstream.toml"), path("key"), WALLET.to_string());
        let line =
            ["slipstream", "account", "check", "--config", &config, "--key-file", &key, "--wallet", &wallet];
        let Command::Account { command } = Cli::try_parse_from(line).unwrap().command else {
            panic!("no account")
        };
        account::run(&command, slipstream::screen::Style::default()).await.unwrap().0
    }
}

/// A program that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    /// The program, with this venue and an installation beside it.
    fn program(&self, arguments: &[&str]) -> std::process::Command {
        let path = |name: &str| self.directory.path().join(name);
        let urls = &self.simulator;
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_slipstream"));
        program
            .args(arguments)
            .env("SLIPSTREAM_CONFIG", path("run.toml"))
            .env("SLIPSTREAM_LIVE_ENABLED", "true")
            .env("SLIPSTREAM_LIVE_KEY_FILE", path("identity"))
            .env("SLIPSTREAM_RUN_CLOB_URL", &urls.clob_url)
            .env("SLIPSTREAM_RUN_DATA_URL", &urls.data_url)
            .env("SLIPSTREAM_RUN_GAMMA_URL", &urls.gamma_url)
            .env("SLIPSTREAM_RUN_GEOBLOCK_URL", &urls.clob_url)
            .env("SLIPSTREAM_ENGINE_CHANNEL_URL", urls.clob_url.replacen("http", "ws", 1))
            .env("SLIPSTREAM_ENGINE_LIVE_URL", "")
            .env("SLIPSTREAM_ENGINE_HISTORY_INTERVAL", "200ms")
            .env("SLIPSTREAM_VENUE_POSITIONS_LAG", "0s")
            .env("POLYGON_RPC_URL", &urls.rpc_url)
            .stdin(Stdio::null());
        program
    }

    /// Runs a command to its end, beside the venue: whether it did it, and its answer.
    async fn ask(&self, arguments: &[&str]) -> (bool, String) {
        let mut program = tokio::process::Command::from(self.program(arguments));
        let output = program.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let (done, said) = self.ask(arguments).await;
        assert!(done, "{arguments:?}: {said}");
        said
    }

    async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let limit = SystemClock.uptime() + Duration::from_secs(120);
        while !done().await {
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(SystemClock.uptime() < limit, "no {what}\n{}", log());
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Added with its end, followed with, armed and run: its orders are made for the owner's wallet, and no other way.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_a_session_key_is_added_and_copies_for_its_owners_wallet() {
    let scene = Scene::with_blocks(200).await;
    let path = |name: &str| scene.directory.path().join(name);
    let identity = path("identity");
    fs::write(&identity, format!("{IDENTITY}\n")).unwrap();
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    let (leader, wallet, file, key) =
        (LEADER.to_string(), WALLET.to_string(), path("run.toml"), path("key").display().to_string());
    let file = file.display().to_string();
    scene
        .done(&["init", "--yes", "--file", &file, "--data-dir", "data", "--leader", &leader, "--fixed", "5"])
        .await;
    let add = ["account", "add", "main", "--live", "--session", "--wallet", &wallet, "--key-file", &key];
    let (added, said) = scene.ask(&add).await;
    assert!(!added && said.contains("its owner must authorise it") && said.contains("stored"), "{said}");
    // The chain knows whole seconds.
    let end = Timestamp::from_seconds(SystemClock.now().plus(30 * DAY).seconds());
    scene.authorise(end);
    let added = scene.done(&add).await;
    assert!(added.contains("as its session key") && added.contains("nothing is missing"), "{added}");
    let listed = scene.done(&["account", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let main = listed.as_array().unwrap().iter().find(|line| line["label"] == "main").unwrap();
    assert_eq!((&main["kind"], main["until"].as_i64()), (&"session".into(), Some(end.seconds() * 1_000_000)));
    let checked = scene
        .done(&[
            "account",
            "check",
            "main",
            "--data-dir",
            &path("data").display().to_string(),
            "--clob-url",
            &scene.simulator.clob_url,
            "--geoblock-url",
            &scene.simulator.clob_url,
        ])
        .await;
    assert!(checked.contains(&format!("as its session key, until {end}")), "{checked}");
    scene.done(&["follow", &leader, "--account", "main", "--fixed", "5", "--slippage-to-book", "0.05"]).await;
    scene.done(&["pause", "1"]).await;
    let log = fs::File::create(path("log")).unwrap();
    let _running = Guard(scene.program(&["run"]).stderr(log).spawn().unwrap());
    let data = path("data");
    scene
        .until("running program", async || {
            socket::ask(&data, &Request::Ping).await.is_ok_and(|answer| answer.is_some())
        })
        .await;
    let exported = async |what: &str| -> serde_json::Value {
        serde_json::from_str(&scene.ask(&["export", what, "--json"]).await.1).unwrap_or_default()
    };
    scene
        .until("deposit", async || {
            let rows = exported("ledger").await;
            rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["cash"] == 100 * ONE))
        })
        .await;
    scene.done(&["account", "arm", "main", "--per-order", "20", "--per-day", "50", "--yes", "main"]).await;
    let now = SystemClock.now().seconds();
    scene.until("next second", async || SystemClock.now().seconds() > now).await;
    let fill = ForeignFill {
        wallet: LEADER,
        token: TOKEN,
        side: Side::Buy,
        price: Price(ONE / 2),
        shares: Shares(100 * ONE),
        maker: false,
    };
    let trade = ForeignTrade { tx_hash: TxHash([1; 32]), fills: vec![fill], moves: Vec::new() };
    let control = Control::new(polymarket::client().unwrap(), &scene.simulator.control_url);
    control.trade(&trade).await.unwrap();
    scene
        .until("confirmed copy", async || {
            let orders = exported("orders").await;
            orders.as_array().is_some_and(|orders| orders.iter().any(|order| order["state"] == "confirmed"))
        })
        .await;
    let orders = control.orders().await.unwrap();
    let [order] = orders.as_slice() else { panic!("one order: {orders:?}") };
    assert_eq!((order.maker, order.executed().shares), (WALLET, Shares(10 * ONE)));
    let held = scene.simulator.world().with(|world, _| world.balance(WALLET, Asset::Token(TOKEN)));
    assert_eq!(held, 10 * ONE);
    // What it holds would be sold by nobody.
    let (removed, said) = scene.ask(&["account", "remove", "main"]).await;
    assert!(!removed && said.contains("holds shares"), "{said}");

    // The key ends: its owner lets another one trade, and the account goes on with that, while everything runs.
    scene.simulator.world().with(|world, _| world.fence_session(WALLET, scene.key));
    fs::write(path("key"), OTHER_KEY).unwrap();
    let rekey = ["account", "rekey", "main", "--key-file", &key];
    let (done, said) = scene.ask(&rekey).await;
    assert!(!done && said.contains("its owner must authorise it"), "{said}");
    let source = FileKey::read(&path("key")).unwrap();
    let other = LocalSigner::new(Chain::Polygon, Box::new(source));
    let other = other.address(&KeyRef("key".to_owned())).await.unwrap();
    let end = Timestamp::from_seconds(SystemClock.now().plus(90 * DAY).seconds());
    scene.authorise_key(other, end);
    let said = scene.done(&rekey).await;
    assert!(said.contains(&other.to_string()) && said.contains(&format!("until {end}")), "{said}");
    let fill = ForeignFill { price: Price(ONE / 2), ..fill };
    let trade = ForeignTrade { tx_hash: TxHash([2; 32]), fills: vec![fill], moves: Vec::new() };
    control.trade(&trade).await.unwrap();
    scene
        .until("copy with the other key", async || {
            let orders = control.orders().await.unwrap();
            orders.len() == 2 && orders.iter().all(|order| order.executed().shares == Shares(10 * ONE))
        })
        .await;
}

#[tokio::test]
async fn a_session_key_trades_until_it_ends() {
    let scene = Scene::set().await;
    let end = SystemClock.now().plus(2 * DAY);
    scene.authorise(end);
    let binding = Binding { wallet: WALLET, kind: WalletKind::Session, until: Some(end) };
    scene.signer.bind(KeyRef("key".to_owned()), binding).unwrap();
    let (client, signer) = (local_client().unwrap(), Arc::new(scene.signer.clone()));
    let clob = Clob::new(client, &scene.simulator.clob_url, Chain::Polygon, signer, Arc::new(SystemClock));
    let late = OrderPlan { timestamp: end, ..scene.plan(2) };
    let mut prepared = clob.prepare(&[scene.plan(1), late, scene.plan(3)]).await;
    let Some(Ok(third)) = prepared.pop() else { panic!("it may be signed") };
    // An order of a time at which the key is worth nothing is not signed.
    let Some(Err(VenueError::NotSigned { reason, .. })) = prepared.pop() else { panic!("it was signed") };
    assert!(reason.contains("ended at") && reason.contains("its owner"), "{reason}");
    let Some(Ok(first)) = prepared.pop() else { panic!("it may be signed") };
    let account = scene.account();
    let times = PostTimes::whenever(Duration::from_secs(10));
    let reply = clob.post(&account, &first, times).await;
    assert!(matches!(reply, PostReply::Accepted(_)), "{reply:?}");
    let query = OrderQuery { id: first.id, token: TOKEN, signed_at: SystemClock.now(), lane: Lane::Entries };
    let found = clob.look_up(&account, &query).await.unwrap();
    assert!(found.order.is_some(), "{found:?}");
    let held = scene.simulator.world().with(|world, _| world.balance(WALLET, Asset::Token(TOKEN)));
    assert_eq!(held, 10 * ONE);
    // Its owner takes it back: what was signed before is refused.
    scene.simulator.world().with(|world, _| world.fence_session(WALLET, scene.key));
    let reply = clob.post(&account, &third, times).await;
    assert!(matches!(reply, PostReply::Rejected { .. }), "{reply:?}");
    scene.simulator.shutdown().await;
}

#[tokio::test]
async fn check_tells_until_when_a_key_trades_and_what_its_owner_must_do() {
    let scene = Scene::set().await;
    let fixes = |answer: &Answer| -> Vec<String> {
        let missing = answer.json["missing"].as_array().unwrap();
        missing.iter().map(|one| format!("{}: {}", one["missing"], one["fix"])).collect()
    };
    let told = scene.check().await;
    assert!(!told.ok);
    assert!(fixes(&told)[0].contains("does not let this key trade") && fixes(&told)[0].contains("its owner"));
    scene.authorise(SystemClock.now().minus(Duration::from_secs(5)));
    let told = scene.check().await;
    assert!(!told.ok && fixes(&told)[0].contains("let this key trade until"), "{}", told.text);
    let end = SystemClock.now().plus(2 * DAY);
    scene.authorise(end);
    let told = scene.check().await;
    assert!(!told.ok && fixes(&told)[0].contains("lets this key trade until"), "{}", told.text);
    let end = SystemClock.now().plus(30 * DAY);
    scene.authorise(end);
    let told = scene.check().await;
    assert_eq!(
        (told.json["session_until"].as_i64(), told.json["signature_type"].as_u64()),
        (Some(end.seconds()), Some(3))
    );
    assert!(told.text.contains("as its session key"), "{}", told.text);
    assert!(fixes(&told).iter().all(|fix| !fix.contains("lets this key trade")), "{}", told.text);
    assert!(fixes(&told).iter().all(|fix| !fix.contains("let this key trade")), "{}", told.text);
    scene.simulator.shutdown().await;
}

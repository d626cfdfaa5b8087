//! A session key trades for somebody else's deposit wallet: what it signs, until when, and what it needs.

#![cfg(test)]

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use clap::Parser as _;
use domain::{
    Address, Clock, ConditionId, Hash, KeyRef, OrderAmounts, OrderPlan, OrderType, Price, Shares, Side,
    Timestamp, TokenId, TradingAccount, WalletKind, ids::AccountId, money::ONE,
};
use eip712::Chain;
use engine::ports::{
    detection::Lane,
    venue::{OrderGateway as _, OrderQuery, PostReply, Signer as _, VenueError},
};
use polymarket::{Clob, local_client};
use signer::{Binding, FileKey, LocalSigner};
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        control::{Level, Levels},
        fees::FeeSchedule,
        ledger::Asset,
        registry::{MarketSpec, Standing, Wallet},
    },
};
use slipstream::{
    account,
    cli::{Cli, Command},
    clock::SystemClock,
    commands::Answer,
};

const TOKEN: TokenId = TokenId([0x5e; 32]);
const WALLET: Address = Address([0xd3; 20]);
const OWNER: Address = Address([0x0e; 20]);
/// The key that everybody knows.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

struct Scene {
    simulator: Running,
    directory: tempfile::TempDir,
    signer: LocalSigner,
    key: Address,
}

impl Scene {
    async fn set() -> Self {
        let config = SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() };
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
        self.simulator.world().with(|world, now| {
            let seconds = until.seconds().unsigned_abs();
            world.authorise_session(WALLET, self.key, seconds, vec!["CLOB".to_owned()]).unwrap();
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
        account::run(&command).await.unwrap().0
    }
}

#[tokio::test]
async fn a_session_key_trades_until_it_ends() {
    let scene = Scene::set().await;
    let end = SystemClock.now().plus(Duration::from_secs(3_600));
    scene.authorise(end);
    let binding = Binding { wallet: WALLET, kind: WalletKind::Session, until: Some(end) };
    scene.signer.bind(KeyRef("key".to_owned()), binding).unwrap();
    let (client, signer) = (local_client().unwrap(), Arc::new(scene.signer.clone()));
    let clob = Clob::new(client, &scene.simulator.clob_url, Chain::Polygon, signer, Arc::new(SystemClock));
    let late = OrderPlan { timestamp: end, ..scene.plan(2) };
    let mut prepared = clob.prepare(&[scene.plan(1), late, scene.plan(3)]).await;
    let Some(Ok(third)) = prepared.pop() else { panic!("it may be signed") };
    // An order of a time at which the key is worth nothing is not signed.
    let Some(Err(VenueError::Refused { reason, .. })) = prepared.pop() else { panic!("it was signed") };
    assert!(reason.contains("ended at") && reason.contains("its owner"), "{reason}");
    let Some(Ok(first)) = prepared.pop() else { panic!("it may be signed") };
    let account = scene.account();
    let deadline = Duration::from_secs(10);
    let reply = clob.post(&account, &first, deadline).await;
    assert!(matches!(reply, PostReply::Accepted(_)), "{reply:?}");
    let query = OrderQuery { id: first.id, token: TOKEN, signed_at: SystemClock.now(), lane: Lane::Entries };
    let found = clob.look_up(&account, &query).await.unwrap();
    assert!(found.order.is_some(), "{found:?}");
    let held = scene.simulator.world().with(|world, _| world.balance(WALLET, Asset::Token(TOKEN)));
    assert_eq!(held, 10 * ONE);
    // Its owner takes it back: what was signed before is refused.
    scene.simulator.world().with(|world, _| world.fence_session(WALLET, scene.key));
    let reply = clob.post(&account, &third, deadline).await;
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
    let end = SystemClock.now().plus(Duration::from_secs(3_600));
    scene.authorise(end);
    let told = scene.check().await;
    assert_eq!(
        (told.json["session_until"].as_i64(), told.json["signature_type"].as_u64()),
        (Some(end.seconds()), Some(3))
    );
    assert!(told.text.contains("as its session key"), "{}", told.text);
    assert!(fixes(&told).iter().all(|fix| !fix.contains("let this key trade")), "{}", told.text);
    scene.simulator.shutdown().await;
}

//! Accounts and their keys as a person meets them, at trace level: no known secret is in what is printed or kept.

#![cfg(test)]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Output, sync::Arc};

use domain::{
    Address, Clock, OrderAmounts, OrderPlan, OrderType, Side, Timestamp, TokenId, TradingAccount, WalletKind,
    ids::AccountId, money::ONE,
};
use engine::ports::venue::{SignRequest, SignerError};
use polymarket::wallets::{deposit_wallets, safe};
use serde_json::Value;
use simulator::{Running, Simulator, SimulatorConfig, world::ledger::Asset};
use slipstream::{
    account::{self, Keyring, KeyringParts, Opening},
    clock::SystemClock,
    commands::{DATABASE, Witnesses},
    secrets::InstallationSecret,
    socket,
    venue_clock::ClockWatch,
};
use store::SqlStore;

/// The key that everybody knows, and its address.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const IN_BASE64: &str = "rAl0vsOaF+NrpKa00jj/lEustHjL7V78rnhNe/Ty/4A=";
const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Made for tests; they open nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
const PASSPHRASE: &str = "correct horse battery staple";

struct Place {
    simulator: Running,
    directory: tempfile::TempDir,
    /// All that was ever printed.
    printed: std::sync::Mutex<Vec<u8>>,
}

impl Place {
    async fn new() -> Self {
        let config = SimulatorConfig { block_interval_ms: 50, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let place =
            Self { simulator, directory: tempfile::tempdir().unwrap(), printed: std::sync::Mutex::default() };
        place.file("identity", &format!("# made by age-keygen\n{IDENTITY}\n"));
        place.file("passphrase", &format!("{PASSPHRASE}\n"));
        place.file("key", &format!("0x{KEY}\n"));
        place.opened_by("identity", true);
        drop(SqlStore::open(&place.data().join(DATABASE), Arc::new(SystemClock)).await.unwrap());
        place
    }

    /// Writes the configuration.
    fn opened_by(&self, file: &str, enabled: bool) {
        let text = format!(
            "[chain]\nrpc_urls = ['{}']\n[live]\nenabled = {enabled}\nkey_file = '{}'\n",
            self.simulator.rpc_url,
            self.path(file).display()
        );
        self.file("slipstream.toml", &text);
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    async fn output(&self, line: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_slipstream"));
        command.args(line).arg("--data-dir").arg(self.data());
        if ["account", "signer"].contains(&line[0]) {
            command.arg("--config").arg(self.path("slipstream.toml"));
        }
        let output = command
            .env("RUST_LOG", "trace")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("SLIPSTREAM_CONFIG")
            .env_remove("POLYGON_RPC_URL")
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let mut printed = self.printed.lock().unwrap();
        printed.extend(&output.stdout);
        printed.extend(&output.stderr);
        output
    }

    async fn json(&self, line: &[&str]) -> Value {
        let line = [line, &["--json"]].concat();
        let output = self.output(&line).await;
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs what must be refused: what it says.
    async fn refused(&self, line: &[&str]) -> String {
        let output = self.output(line).await;
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn accounts(&self) -> Vec<Value> {
        self.json(&["account", "list"]).await.as_array().unwrap().clone()
    }

    /// Fails if a secret is in what was printed or stored.
    fn no_secret_anywhere(&self) {
        let raw = hex::decode(KEY).unwrap();
        let secrets: Vec<Vec<u8>> = [
            KEY.to_owned(),
            KEY.to_uppercase(),
            IN_BASE64.to_owned(),
            IDENTITY.to_owned(),
            IDENTITY.to_lowercase(),
            PASSPHRASE.to_owned(),
        ]
        .into_iter()
        .map(String::into_bytes)
        .chain([raw.clone(), format!("{raw:?}").into_bytes()])
        .collect();
        let mut places = vec![("what was printed".to_owned(), self.printed.lock().unwrap().clone())];
        for entry in fs::read_dir(self.data()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                places.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
        assert!(places.iter().any(|(name, bytes)| name.contains(DATABASE) && bytes.len() > 4_096));
        for (name, bytes) in places {
            for secret in &secrets {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a secret is in {name}");
            }
        }
    }

    fn credit(&self, wallet: Address, amount: i64) {
        self.simulator.world().with(|world, now| {
            world.credit(wallet, Asset::Collateral, amount);
            world.mine(now)
        });
    }
}

fn names(lines: &[Value]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (line["label"].as_str().unwrap(), line["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn accounts_with_play_money_need_no_key() {
    let place = Place::new().await;
    let added = place.json(&["account", "add", "practice", "--money", "250"]).await;
    assert_eq!((added["mode"].as_str(), added["account"].as_i64()), (Some("paper"), Some(1)));
    place.json(&["account", "add", "second"]).await;
    let lines = place.accounts().await;
    assert_eq!(names(&lines), [("practice", "paper"), ("second", "paper")]);
    assert_eq!(lines[0]["cash"].as_i64(), Some(250 * ONE));
    assert_ne!(lines[0]["wallet"], lines[1]["wallet"]);
    // All that is wrong with a label is told.
    assert!(place.refused(&["account", "add", "second"]).await.contains("called `second` already"));
    assert!(place.refused(&["account", "add", "17"]).await.contains("no number"));
    assert!(place.refused(&["account", "add", " a "]).await.contains("blanks"));
    let arm = ["account", "arm", "second", "--per-order", "1", "--per-day", "1", "--yes", "second"];
    assert!(place.refused(&arm).await.contains("needs no arming"));
    place.json(&["account", "remove", "second"]).await;
    assert!(place.refused(&["account", "remove", "second"]).await.contains("no account `second`"));
    // The label is free again, and the key of the old one is not used again.
    place.json(&["account", "add", "second"]).await;
    let again = place.accounts().await;
    assert_eq!(names(&again), [("practice", "paper"), ("second", "paper")]);
    assert_ne!(again[1]["wallet"], lines[1]["wallet"]);
    assert!(!place.data().join("signer.spending").exists());
    place.simulator.shutdown().await;
}

#[tokio::test]
async fn an_account_with_real_money_is_added_armed_and_removed() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    place.credit(safe(eoa), 40 * ONE);
    let (key, wallet) = (place.path("key").display().to_string(), safe(eoa).to_string());
    let add = ["account", "add", "main", "--live", "--key-file", &key];

    // Everything that is wrong is told, and nothing is stored.
    let stranger = deposit_wallets(Address([9; 20]))[0].to_string();
    let told = place.refused(&[&add[..], &["--wallet", &stranger]].concat()).await;
    assert!(
        told.contains("no wallet of") && told.contains(&wallet) && told.contains("nothing was stored"),
        "{told}"
    );
    let told = place.refused(&[&add[..], &["--wallet-type", "proxy"]].concat()).await;
    assert!(told.contains("--wallet-type says proxy wallet"), "{told}");
    place.file("bad", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    place.file("slipstream.toml", "");
    let bad = place.path("bad").display().to_string();
    let told = place.refused(&["account", "add", "main", "--live", "--key-file", &bad]).await;
    assert!(told.contains("it is an address") && told.contains("no RPC provider is configured"), "{told}");
    // A label that cannot be is told with it, and what opens the keys too.
    let told = place.refused(&["account", "add", "17", "--live", "--key-file", &bad]).await;
    assert!(told.contains("a label is no number") && told.contains("it is an address"), "{told}");
    assert!(told.contains("no RPC provider is configured"), "{told}");
    // Nobody is asked for a key that comes to nothing.
    let told = place.refused(&["account", "add", "17", "--live"]).await;
    assert!(told.contains("a label is no number") && !told.contains("is typed"), "{told}");
    place.opened_by("identity", false);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.refused(&add).await.contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(place.accounts().await.is_empty());

    let added = place.json(&add).await;
    let found = (added["wallet"].as_str(), added["kind"].as_str(), added["signer"].as_str());
    assert_eq!(found, (Some(wallet.as_str()), Some("safe"), Some(EOA)));
    assert_eq!(added["usd"].as_i64(), Some(40 * ONE));
    assert!(!added["missing"].as_array().unwrap().is_empty(), "what the wallet lacks is told");
    assert_eq!(names(&place.accounts().await), [("main", "not armed")]);
    assert!(place.refused(&add).await.contains("already"));

    // What is missing is found by the account's name: approvals, and where the venue sees this program.
    let venue = place.simulator.clob_url.clone();
    let check = ["account", "check", "main", "--json", "--clob-url", &venue, "--geoblock-url", &venue];
    let found = async || {
        let output = place.output(&check).await;
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["funder"].as_str(), Some(wallet.as_str()));
        found["missing"].to_string()
    };
    let missing = found().await;
    assert!(missing.contains("may not take pUSD") && !missing.contains("does not trade with"), "{missing}");
    place.simulator.world().with(|world, _| world.knobs.geo.blocked = true);
    let missing = found().await;
    assert!(missing.contains("does not trade with IE-L"), "{missing}");
    let away = ["account", "check", "main", "--clob-url", &venue, "--geoblock-url", "http://127.0.0.1:9"];
    let told = place.output(&away).await;
    assert!(String::from_utf8_lossy(&told.stdout).contains("with this place is not known"));

    // The second switch wants the name, whole.
    let arm = ["account", "arm", "main", "--per-order", "20", "--per-day", "200"];
    assert!(place.refused(&arm).await.contains("--yes"));
    assert!(place.refused(&[&arm[..], &["--yes", "mai"]].concat()).await.contains("not the account's name"));
    let wrong = ["account", "arm", "main", "--per-order", "20", "--per-day", "2", "--yes", "main"];
    assert!(place.refused(&wrong).await.contains("above that of a day"));
    assert_eq!(names(&place.accounts().await), [("main", "not armed")]);
    let told = place.output(&[&arm[..], &["--yes", "main"]].concat()).await.stdout;
    assert!(String::from_utf8_lossy(&told).contains("(21.40 and 214.00 with them)"));
    let lines = place.accounts().await;
    assert_eq!(names(&lines), [("main", "armed")]);
    assert_eq!(lines[0]["caps"]["day"].as_i64(), Some(200 * ONE));

    // Who can write the database arms nobody, and moves no key to another wallet.
    let spending = fs::read_to_string(place.data().join("signer.spending")).unwrap();
    let raised = spending.replace("200000000", "900000000");
    assert_ne!(raised, spending);
    fs::write(place.data().join("signer.spending"), raised).unwrap();
    assert!(place.refused(&["account", "list"]).await.contains("was not written by this signer"));
    fs::write(place.data().join("signer.spending"), spending).unwrap();
    place.json(&["account", "disarm", "main"]).await;
    assert_eq!(names(&place.accounts().await), [("main", "not armed")]);

    // Without what opens them the keys stay sealed.
    place.opened_by("passphrase", true);
    assert!(place.refused(&["account", "list"]).await.contains("an age identity"));
    // A check that cannot try the login does not say that nothing is missing.
    place.file("slipstream.toml", &format!("[chain]\nrpc_urls = ['{}']\n", place.simulator.rpc_url));
    let missing = found().await;
    assert!(missing.contains("log in was not tried") && missing.contains("passphrase"), "{missing}");
    place.file("slipstream.toml", "");
    assert_eq!(names(&place.accounts().await), [("main", "sealed")]);
    assert!(place.refused(&[&arm[..], &["--yes", "main"]].concat()).await.contains("key_file"));

    // Another secret, in one step; caps and accounts stay.
    place.opened_by("identity", true);
    let to = place.path("passphrase").display().to_string();
    assert_eq!(place.json(&["signer", "rotate", "--to", &to]).await["keys"].as_i64(), Some(1));
    assert!(place.refused(&["account", "list"]).await.contains("a passphrase"));
    place.opened_by("passphrase", true);
    place.json(&[&arm[..], &["--yes", "main"]].concat()).await;
    assert_eq!(names(&place.accounts().await), [("main", "armed")]);
    place.no_secret_anywhere();
    // What is refused changes nothing.
    place.json(&["follow", "0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"]).await;
    assert!(place.refused(&["account", "remove", "main"]).await.contains("follows a leader"));
    assert_eq!(names(&place.accounts().await), [("main", "armed")]);
    place.json(&["stop", "1"]).await;
    place.json(&["account", "remove", "main"]).await;
    assert!(place.accounts().await.is_empty());
    // The same key again is not armed by what was said before.
    place.json(&add).await;
    assert_eq!(names(&place.accounts().await), [("main", "not armed")]);
    place.json(&["account", "remove", "main"]).await;
    place.no_secret_anywhere();
    place.simulator.shutdown().await;
}

#[tokio::test]
async fn a_key_comes_sealed_and_a_running_process_takes_it() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    place.credit(eoa, 7 * ONE);
    let to = place.json(&["signer", "public-key"]).await["public_key"].as_str().unwrap().to_owned();
    assert!(to.starts_with("age1"), "{to}");
    let key = signer::PrivateKey::parse(KEY.as_bytes()).ok().unwrap();
    fs::write(place.path("key.age"), signer::encrypt_for(&to, &key).unwrap()).unwrap();

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(SqlStore::open(&place.data().join(DATABASE), Arc::clone(&clock)).await.unwrap());
    let unlock = account::unlock_file(&place.path("identity")).unwrap();
    let parts = KeyringParts {
        directory: &place.data(),
        secret: &InstallationSecret::open(&place.data()).unwrap(),
        store: Arc::clone(&store) as _,
        opening: Opening::Here(&unlock),
        live: true,
        clock: Arc::clone(&clock),
    };
    let keyring = Arc::new(Keyring::open(parts).await.unwrap());
    let witnesses = Witnesses { keyring: Some(Arc::clone(&keyring)), ..Witnesses::default() };
    let served =
        socket::serve(&place.data(), store.clone(), clock, witnesses, ClockWatch::default()).unwrap();

    let file = place.path("key.age").display().to_string();
    let added = place.json(&["account", "add", "main", "--live", "--sealed", &file]).await;
    assert_eq!((added["kind"].as_str(), added["wallet"].as_str()), (Some("eoa"), Some(EOA)));
    // Its login is tried beside that process, which has the store and the keys.
    let venue = place.simulator.clob_url.clone();
    let check = ["account", "check", "main", "--clob-url", &venue, "--geoblock-url", &venue];
    let told = String::from_utf8(place.output(&check).await.stdout).unwrap();
    assert!(!told.contains("log in"), "{told}");
    place.opened_by("passphrase", true);
    let told = String::from_utf8(place.output(&check).await.stdout).unwrap();
    assert!(told.contains("log in was not tried") && told.contains("does not open the keys"), "{told}");
    place.opened_by("identity", true);
    let arm = ["account", "arm", "main", "--per-order", "5", "--per-day", "5", "--yes", "main"];
    assert_eq!(place.json(&arm).await["state"].as_str(), Some("armed"));
    let name = account::live_key(eoa);
    assert!(keyring.standing(&name).await.unwrap().unwrap().caps.is_some());
    assert!(
        place
            .refused(&["signer", "rotate", "--to", &place.path("passphrase").display().to_string()])
            .await
            .contains("stop it first")
    );
    // For whom it is not, and what is none.
    let other = signer::encrypt_for("age1qah7e4rk2k6ufnx33pfy5mcyf8udtm9xxwlw0ny44at7v0r4tp3s3dx9dq", &key);
    fs::write(place.path("other.age"), other.unwrap()).unwrap();
    let other = place.path("other.age").display().to_string();
    let told = place.refused(&["account", "add", "third", "--live", "--sealed", &other]).await;
    assert!(told.contains("signer public-key"), "{told}");
    assert_eq!(place.json(&["account", "disarm", "main"]).await["state"].as_str(), Some("not armed"));
    assert!(
        keyring.standing(&name).await.unwrap().unwrap().caps.is_none(),
        "at once, in the process that signs"
    );
    place.json(&["account", "remove", "main"]).await;
    assert!(matches!(
        keyring.signer().address(&name).await,
        Err(engine::ports::venue::SignerError::UnknownKey(_))
    ));
    served.abort();
    place.no_secret_anywhere();
    place.simulator.shutdown().await;
}

/// A signer that is a process of its own, and dies with this.
fn signer_process(place: &Place) -> tokio::process::Child {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["signer", "serve", "--socket"])
        .arg(place.path("signer.sock"))
        .arg("--state-dir")
        .arg(place.path("signer"))
        .arg("--config")
        .arg(place.path("signer.toml"))
        .env_remove("CREDENTIALS_DIRECTORY")
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until the process listens: it tells of it by the socket's file.
async fn listens(place: &Place) {
    let path = place.path("signer.sock");
    while tokio::net::UnixStream::connect(&path).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_signer_of_its_own_keeps_the_keys_and_may_die_in_the_middle() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    place.credit(eoa, 7 * ONE);
    let identity = place.path("identity").display().to_string();
    place.file("signer.toml", &format!("[live]\nenabled = true\nkey_file = '{identity}'\n"));
    let mut process = signer_process(&place);
    listens(&place).await;
    let socket = place.path("signer.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let text = format!(
        "[chain]\nrpc_urls = ['{}']\n[live]\nenabled = true\nsocket = '{}'\n",
        place.simulator.rpc_url,
        socket.display()
    );
    place.file("slipstream.toml", &text);
    let key = place.path("key").display().to_string();
    place.json(&["account", "add", "main", "--live", "--key-file", &key]).await;
    let arm = ["account", "arm", "main", "--per-order", "5", "--per-day", "2000", "--yes", "main"];
    assert_eq!(place.json(&arm).await["state"].as_str(), Some("armed"));
    assert!(!place.data().join("signer.spending").exists(), "it is the signer's own");

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqlStore::open(&place.data().join(DATABASE), Arc::clone(&clock)).await.unwrap();
    let parts = KeyringParts {
        directory: &place.data(),
        secret: &InstallationSecret::open(&place.data()).unwrap(),
        store: Arc::new(store),
        opening: Opening::At(socket.clone()),
        live: true,
        clock,
    };
    let keyring = Keyring::open(parts).await.unwrap();
    let signer = keyring.signer();
    let name = account::live_key(eoa);
    assert_eq!(signer.address(&name).await.unwrap(), eoa);
    let order = |salt: u64| {
        SignRequest::Order(OrderPlan {
            salt,
            account: TradingAccount {
                id: AccountId(1),
                wallet: eoa,
                signer: eoa,
                kind: WalletKind::Eoa,
                key: name.clone(),
            },
            token: TokenId([3; 32]),
            side: Side::Buy,
            amounts: OrderAmounts { maker: ONE, taker: 2 * ONE },
            timestamp: Timestamp::from_seconds(1_800_000_000),
            negative_risk: false,
            order_type: OrderType::FillAndKill,
            defer: false,
            builder: domain::Hash([0; 32]),
        })
    };
    let batch: Vec<SignRequest> = (0..500).map(order).collect();
    assert!(signer.sign(&batch).await.iter().all(Result::is_ok));
    assert_eq!(keyring.standing(&name).await.unwrap().unwrap().spent, domain::Usd(500 * ONE));

    // Killed with a batch under way: every answer is there, or none, and then the reason is that nobody answered.
    let (id, mut batches) = (process.id().unwrap(), 0);
    let killing = async {
        tokio::task::yield_now().await;
        process.start_kill().unwrap();
        process.wait().await.unwrap();
    };
    let signing = async {
        loop {
            let answers = signer.sign(&batch).await;
            assert_eq!(answers.len(), batch.len());
            if answers.iter().all(Result::is_ok) {
                batches += 1;
                continue;
            }
            assert!(answers.iter().all(|answer| matches!(answer, Err(SignerError::Unavailable(_)))));
            break;
        }
    };
    tokio::join!(killing, signing);
    assert!(id > 0 && batches < 500);

    // Another one is told of the keys by whoever asks first; what was spent is known to it, and a piece more.
    let _second = signer_process(&place);
    let answers = loop {
        let answers = signer.sign(&batch[..2]).await;
        if answers.iter().all(Result::is_ok) {
            break answers;
        }
        assert!(
            answers.iter().all(|answer| matches!(answer, Err(SignerError::Unavailable(_)))),
            "{answers:?}"
        );
        tokio::task::yield_now().await;
    };
    assert_eq!(answers.len(), 2);
    let spent = keyring.standing(&name).await.unwrap().unwrap().spent;
    assert!((502 * ONE..=2_000 * ONE).contains(&spent.0), "{spent}");
    place.no_secret_anywhere();
    place.simulator.shutdown().await;
}

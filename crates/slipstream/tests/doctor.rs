//! `slipstream doctor` as a person meets it: the program itself, with the simulated venue and chain in this process, where
//! everything can be broken.
#![cfg(test)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use domain::{Address, Clock, Timestamp, WalletKind, clock::Sleep, money::ONE};
use engine::ports::{
    following::{AccountMode, NewAccount},
    reports::Reports as _,
    secrets::SealedKeys as _,
};
use polymarket::wallets::safe;
use serde_json::{Value, json};
use signer::{KeyKeeper as _, KeyUse, LocalKeeper, PrivateKey, encrypt_for};
use simulator::{Running, Simulator, SimulatorConfig, world::ledger::Asset};
use slipstream::{account, clock::SystemClock};
use store::SqlStore;

/// The key that everybody knows, and its address.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Made for tests; it opens nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
/// A provider's key, as it stands in its URL.
const RPC_KEY: &str = "v2-s3cret-of-the-provider";

/// The real clock, wrong by some seconds.
struct WrongClock(i64);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0 * 1_000_000)
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

struct Place {
    simulator: Running,
    directory: tempfile::TempDir,
}

impl Place {
    /// The venue's clock is off by this many seconds.
    async fn new(venue_is_late_by: i64) -> Self {
        let config =
            SimulatorConfig { block_interval_ms: 50, rpc_listeners: 3, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(WrongClock(-venue_is_late_by))).await.unwrap();
        let place = Self { simulator, directory: tempfile::tempdir().unwrap() };
        place.file("identity", &format!("{IDENTITY}\n"));
        place.file("key", KEY);
        place.configure(&place.simulator.rpc_urls.join(","), "");
        place
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

    fn configure(&self, rpc: &str, more: &str) {
        let venue = &self.simulator;
        let socket = venue.clob_url.replacen("http", "ws", 1);
        self.file(
            "slipstream.toml",
            &format!(
                "[run]\ndata_dir = 'data'\nclob_url = '{}'\ndata_url = '{}'\ngamma_url = '{}'\ngeoblock_url = '{}'\n\
                 relayer_url = '{}'\n[engine]\nchannel_url = '{socket}'\nlive_url = '{}'\n[chain]\nrpc_urls = '{rpc}'\n\
                 [live]\nenabled = true\nkey_file = 'identity'\n{more}",
                venue.clob_url,
                venue.data_url,
                venue.gamma_url,
                venue.clob_url,
                venue.relayer_url,
                venue.live_url,
            ),
        );
    }

    async fn output(&self, line: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_slipstream"));
        // Where it is started, `slipstream.toml` lies: nothing has to be named.
        command.args(line).current_dir(self.directory.path()).stdin(Stdio::null());
        for variable in [
            "CREDENTIALS_DIRECTORY",
            "POLYGON_RPC_URL",
            "SLIPSTREAM_CONFIG",
            "SLIPSTREAM_DATA_DIR",
            "RUST_LOG",
        ] {
            command.env_remove(variable);
        }
        command.env("HOME", self.directory.path()).output().await.unwrap()
    }

    async fn done(&self, line: &[&str]) {
        let output = self.output(line).await;
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn doctor(&self) -> Seen {
        let output = self.output(&["doctor", "--json"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let well = report["fail"] == 0;
        assert_eq!(
            output.status.code(),
            Some(i32::from(!well)),
            "the exit status says whether something fails"
        );
        for secret in [KEY, IDENTITY, RPC_KEY, EOA] {
            assert!(!text.contains(secret), "{text}");
        }
        let whole = self.directory.path().display().to_string();
        assert!(!text.contains(&whole), "paths are shortened: {text}");
        Seen(report)
    }
}

struct Seen(Value);

impl Seen {
    fn findings(&self) -> &[Value] {
        self.0["findings"].as_array().unwrap()
    }

    /// Verdict, evidence and fix of a check.
    fn of(&self, check: &str) -> (&str, &str, &str) {
        let found = self.findings().iter().find(|one| one["check"] == check);
        let found = found.unwrap_or_else(|| panic!("no {check}: {:#}", self.0));
        let text = |name: &str| found[name].as_str().unwrap_or_default();
        (text("verdict"), text("evidence"), text("fix"))
    }

    /// Checks with this verdict, one after the other.
    fn with(&self, verdict: &str) -> Vec<&str> {
        let those = self.findings().iter().filter(|one| one["verdict"] == verdict);
        those.map(|one| one["check"].as_str().unwrap()).collect()
    }

    fn has(&self, check: &str, verdict: &str, evidence: &str, fix: &str) {
        let found = self.of(check);
        assert_eq!(found.0, verdict, "{check}: {found:?}");
        assert!(found.1.contains(evidence) && found.2.contains(fix), "{check}: {found:?}");
    }
}

/// An installation of two accounts, one of them with real money and everything it needs.
async fn furnished(place: &Place) {
    let eoa: Address = EOA.parse().unwrap();
    place.simulator.world().with(|world, now| {
        world.credit(eoa, Asset::Collateral, 20 * ONE);
        world.credit(eoa, Asset::Pol, ONE);
        world.mine(now)
    });
    drop(SqlStore::open(&place.path("data").join("slipstream.db"), Arc::new(SystemClock)).await.unwrap());
    place.done(&["account", "add", "practice"]).await;
    place.done(&["account", "add", "main", "--live", "--key-file", "key"]).await;
    // With a clock that is off it is done as well, and that is told.
    place.output(&["account", "check", "main", "--approve"]).await;
    place
        .done(&["follow", "0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e", "--account", "main", "--fixed", "5"])
        .await;
    place.done(&["backup", "backup.db"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_and_each_thing_that_breaks_is_told_with_its_remedy() {
    let place = Place::new(0).await;
    furnished(&place).await;
    let seen = place.doctor().await;
    assert!(seen.with("fail").is_empty() && seen.with("unknown").is_empty(), "{:#}", seen.0);
    for check in [
        "file",
        "order book service",
        "clock",
        "geoblock",
        "Data API",
        "Gamma",
        "relayer",
        "channels",
        "live feed",
    ] {
        seen.has(check, "ok", "", "");
    }
    for check in
        ["directory", "installation.secret", "database", "backup", "running process", "sealed keys", "armed"]
    {
        seen.has(check, "ok", "", "");
    }
    seen.has("account 1", "ok", "play money: 1,000.00 dollars", "");
    seen.has("account 2", "ok", "0xf39f…2266 has 20.00 pUSD", "");
    seen.has("account 2 login", "ok", "lets its key log in", "");
    seen.has("relationships", "ok", "1 active", "");

    // Providers: one lags, one is of another chain. State and logs of the good one are asked.
    let provider = place.simulator.rpc_urls[0].trim_start_matches("http://").to_owned();
    seen.has(&format!("{provider} state"), "ok", "1000 blocks back", "");
    seen.has(&format!("{provider} logs"), "ok", "500 blocks", "");
    let set = |number: usize, view: Value| {
        assert!(place.simulator.world().set_provider(number, serde_json::from_value(view).unwrap()));
    };
    set(1, json!({ "behind": 60 }));
    set(2, json!({ "chain": 1, "state_blocks": 10 }));
    place.simulator.world().with(|world, _| world.knobs.geo.blocked = true);
    place.simulator.world().with(|world, now| {
        let eoa = EOA.parse().unwrap();
        world.credit(eoa, Asset::Pol, -world.balance(eoa, Asset::Pol));
        world.mine(now)
    });
    place.done(&["panic"]).await;
    fs::set_permissions(place.path("data/installation.secret"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let seen = place.doctor().await;
    let host = |number: usize| place.simulator.rpc_urls[number].trim_start_matches("http://").to_owned();
    seen.has(&host(1), "fail", "blocks behind the best of the others", "lags");
    seen.has(&host(2), "fail", "serves chain 1, not 137", "correct its URL");
    seen.has("geoblock", "fail", "does not trade with IE-L", "cannot trade from here");
    seen.has("account 2 wallet", "warn", "no POL", "send POL to 0xf39f…2266");
    seen.has("hold 1", "warn", "panic", "slipstream lift 1");
    seen.has("installation.secret", "fail", "mode 644", "mode 600");
    seen.has("directory", "warn", "mode 755", "chmod 700");
    place.simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_two_minutes_off_a_broken_file_and_no_network_are_told_at_once() {
    let place = Place::new(125).await;
    furnished(&place).await;
    let seen = place.doctor().await;
    seen.has("clock", "fail", " s fast by the venue's", "timedatectl");
    assert_eq!(seen.with("fail"), ["clock", "account 2 login"], "{:#}", seen.0);
    seen.has("account 2 login", "fail", "does not let this key log in", "look at the clock");

    // Two mistakes, a key file that others may read, and nobody at the addresses.
    fs::set_permissions(place.path("identity"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = fs::read_to_string(place.path("slipstream.toml")).unwrap();
    let nobody = format!("http://127.0.0.1:9/{RPC_KEY}");
    let venue = &place.simulator;
    let rpc = venue.rpc_urls.join(",");
    let text = [&rpc, &venue.clob_url, &venue.data_url, &venue.gamma_url, &venue.relayer_url]
        .into_iter()
        .fold(text, |text, url| {
            text.replace(url.as_str(), if *url == rpc { &nobody } else { "http://127.0.0.1:9" })
        });
    place.file("slipstream.toml", &format!("{text}[engine2]\nworkers = 0\n"));
    let seen = place.doctor().await;
    let told: Vec<&str> = seen
        .findings()
        .iter()
        .filter(|one| one["area"] == "configuration" && one["verdict"] == "fail")
        .map(|one| one["evidence"].as_str().unwrap())
        .collect();
    assert!(told.len() == 2 && told.iter().any(|one| one.contains("chmod 600")), "{told:?}");
    assert!(told.iter().any(|one| one.contains("engine2")), "{told:?}");
    seen.has("order book service", "fail", "cannot be reached", "network");
    seen.has("clock", "unknown", "", "");
    seen.has("Data API", "fail", "", "data_url");
    seen.has("127.0.0.1:9", "fail", "", "leave it out");
    // What is on this machine is told all the same.
    seen.has("database", "ok", "whole", "");
    seen.has("relationships", "ok", "1 active", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_wrong_wallets_are_told_before_money_moves() {
    let place = Place::new(0).await;
    furnished(&place).await;
    // Another identity than the one that sealed the key.
    place.file("identity", "correct horse battery staple\n");
    let seen = place.doctor().await;
    seen.has("sealed keys", "fail", "an age identity", "what opened them last");
    place.file("identity", &format!("{IDENTITY}\n"));
    // Nothing that opens them: they stay closed, and nobody is asked.
    let text = fs::read_to_string(place.path("slipstream.toml")).unwrap();
    place.file("slipstream.toml", &text.replace("key_file = 'identity'\n", ""));
    place.doctor().await.has("sealed keys", "unknown", "asked for", "key_file");
    place.file("slipstream.toml", &text);
    // Real money without a chain to hold it against: told, and `run` does not start.
    let blind: String =
        text.lines().filter(|line| !line.starts_with("rpc_urls")).map(|line| format!("{line}\n")).collect();
    place.file("slipstream.toml", &blind);
    place.doctor().await.has("providers", "fail", "`run` does not start", "polygon-bor-rpc.publicnode.com");
    let refused = place.output(&["run"]).await;
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && told.contains("account `main` has real money"), "{told}");
    place.file("slipstream.toml", &text);
    // The file of caps was changed by somebody.
    fs::write(place.path("data/signer.spending"), "00 {}\n").unwrap();
    place.doctor().await.has("armed", "fail", "was not written by this signer", "arm again");
    fs::remove_file(place.path("data/signer.spending")).unwrap();
    // A wallet that is not the key's, as another program could have sealed it.
    sealed_for_a_stranger(&place).await;
    let seen = place.doctor().await;
    seen.has("account 3 funder", "fail", "is not a Safe of", "add it again");
    place.simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_machine_is_told_how_to_begin() {
    let place = Place::new(0).await;
    let seen = place.doctor().await;
    seen.has("directory", "warn", "is not there yet", "slipstream init");
    place.file("slipstream.toml", "[run]\ndata_dir = 'elsewhere'\nclob_url = 'http://127.0.0.1:9'\n");
    let output = place.output(&["doctor", "--data-dir", "data"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("https://polygon-bor-rpc.publicnode.com") && text.contains("none is configured"),
        "{text}"
    );
    assert!(text.contains("nobody says how late it is"), "{text}");
    fs::remove_file(place.path("slipstream.toml")).unwrap();
    let seen = place.output(&["doctor", "--config", "slipstream.toml"]).await;
    assert!(String::from_utf8(seen.stdout).unwrap().contains("cannot be read"));
    place.simulator.shutdown().await;
}

/// Puts an account into the store whose wallet another key owns.
async fn sealed_for_a_stranger(place: &Place) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqlStore::open(&place.path("data/slipstream.db"), Arc::clone(&clock)).await.unwrap();
    let owner = store.accounts(None).await.unwrap()[0].owner;
    let unlock = account::unlock_file(&place.path("identity")).unwrap();
    let stored = store.sealed_keys().await.unwrap();
    let keeper = LocalKeeper::open(&unlock, stored.as_ref(), &place.path("data"), true, clock).unwrap();
    let key = PrivateKey::parse(KEY.as_bytes()).ok().unwrap();
    let file = encrypt_for(&keeper.public_key().await.unwrap(), &key).unwrap();
    let (wallet, kind) = (safe(Address([9; 20])), WalletKind::Safe);
    let name = account::live_key(wallet);
    let purpose = KeyUse { owner, name: name.clone(), wallet, kind, until: None, version: 1 };
    let sealed = keeper.seal(&file, &purpose).await.unwrap();
    let account = NewAccount {
        label: "odd".to_owned(),
        mode: AccountMode::Live,
        wallet,
        signer: EOA.parse().unwrap(),
        kind,
        key: name,
        cap: None,
    };
    store.add_keyed_account(owner, &account, &sealed, Timestamp(1)).await.unwrap();
}

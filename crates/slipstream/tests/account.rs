//! `slipstream account check` against the simulated venue: what a newcomer and an EOA lack, and how they get it.

#![cfg(test)]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use clap::Parser;
use domain::{Address, money::ONE};
use polymarket::wallets::{deposit_wallets, proxy_wallet, safe};
use serde_json::Value;
use simulator::{
    Running, Simulator, SimulatorConfig,
    contracts::Exchange,
    world::{World, ledger::Asset},
};
use slipstream::{
    account,
    cli::{Cli, Command},
    clock::SystemClock,
    commands::Answer,
};

/// The key that everybody knows, and its address.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

struct Place {
    simulator: Running,
    directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let config = SimulatorConfig { block_interval_ms: 50, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let place = Self { simulator, directory: tempfile::tempdir().unwrap() };
        place.file("slipstream.toml", &format!("[chain]\nrpc_urls = ['{}']\n", place.simulator.rpc_url));
        place.file("key", KEY);
        place.file("relayer.json", r#"{"builder_key":"b","secret":"c2VjcmV0","passphrase":"p"}"#);
        place.simulator.world().with(|world, _| {
            world.add_builder_key("b".to_owned(), "c2VjcmV0".to_owned(), "p".to_owned());
        });
        place
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    async fn check(&self, with_key: bool, flags: &[&str]) -> anyhow::Result<Answer> {
        let (config, key, relayer) =
            (self.path("slipstream.toml"), self.path("key"), self.path("relayer.json"));
        let (url, clob) = (self.simulator.relayer_url.clone(), self.simulator.clob_url.clone());
        let mut line = vec!["slipstream", "account", "check", "--config", &config, "--relayer-url", &url];
        line.extend(["--clob-url", &clob, "--geoblock-url", &clob]);
        line.extend(if with_key { ["--key-file", &key] } else { ["--json", EOA] });
        line.extend(["--relayer-key", &relayer]);
        line.extend(flags);
        let Command::Account { command } = Cli::try_parse_from(line)?.command else { panic!("no account") };
        account::run(&command, slipstream::screen::Style::default()).await.map(|(answer, _)| answer)
    }

    fn credit(&self, wallet: Address, asset: Asset, amount: i64) {
        self.simulator.world().with(|world, now| {
            world.credit(wallet, asset, amount);
            world.mine(now)
        });
    }
}

fn missing(answer: &Answer) -> Vec<String> {
    let missing = answer.json["missing"].as_array().unwrap();
    missing.iter().map(|one: &Value| one["fix"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_newcomer_gets_a_deposit_wallet_with_everything() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    let [wallet, _] = deposit_wallets(eoa);
    let answer = place.check(false, &[]).await.unwrap();
    assert_eq!(
        (answer.json["funder"].as_str(), answer.json["signature_type"].as_u64(), answer.ok),
        (Some(wallet.to_string().as_str()), Some(3), false)
    );
    let fixes = missing(&answer);
    assert_eq!((fixes[0].as_str(), fixes.len()), ("--deploy", 14), "{fixes:?}");
    assert!(fixes[1..13].iter().all(|fix| fix == "--approve"), "{fixes:?}");
    assert_eq!(fixes[13], format!("send pUSD to {wallet}"));
    // Without a key nothing is done, and none of the flags is taken.
    assert!(place.check(false, &["--deploy"]).await.is_err());

    // The venue notices nothing by itself.
    place.simulator.world().with(|world, _| world.knobs.balances_lag = true);
    place.credit(wallet, Asset::Usdce, 5 * ONE);
    let answer = place.check(true, &["--deploy"]).await.unwrap();
    assert_eq!(missing(&answer).len(), 13, "{}", answer.text);
    let answer = place.check(true, &["--approve", "--wrap"]).await.unwrap();
    assert!(answer.ok, "{}", answer.text);
    assert!(answer.text.contains("nothing is missing"), "{}", answer.text);
    let world = place.simulator.world();
    assert_eq!(world.with(|world, _| world.balance(wallet, Asset::Collateral)), 5 * ONE);
    // More arrives while there is pUSD already: it is wrapped as well.
    place.credit(wallet, Asset::Usdce, 2 * ONE);
    assert!(place.check(true, &["--wrap"]).await.unwrap().ok);
    let left =
        world.with(|world, _| [Asset::Collateral, Asset::Usdce].map(|asset| world.balance(wallet, asset)));
    assert_eq!(left, [7 * ONE, 0]);
    let noticed = |world: &World| {
        let sees = |exchange| !world.seen_allowance(wallet, Asset::Collateral, exchange).is_zero();
        (world.seen_balance(wallet, Asset::Collateral), Exchange::ALL.into_iter().all(sees))
    };
    assert_eq!(world.with(|world, _| noticed(world)), (7 * ONE, true), "the venue was told");
    // Once more: nothing is left to do, and nothing is done.
    let relayed = || world.with(|world, _| world.relayer().records().len());
    let before = relayed();
    assert!(place.check(true, &["--deploy", "--approve", "--wrap"]).await.unwrap().ok);
    assert_eq!(relayed(), before);
    place.simulator.shutdown().await;
}

#[tokio::test]
async fn an_eoa_with_money_sends_its_own_transactions() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    place.credit(eoa, Asset::Collateral, 20 * ONE);
    let answer = place.check(true, &[]).await.unwrap();
    assert_eq!(answer.json["signature_type"].as_u64(), Some(0));
    let fixes = missing(&answer);
    assert_eq!((fixes.len(), fixes[0].clone()), (13, format!("send POL to {eoa}")));
    let poor = place.check(true, &["--approve"]).await;
    assert!(format!("{:#}", poor.unwrap_err()).contains("send POL"));
    place.credit(eoa, Asset::Pol, ONE);
    let answer = place.check(true, &["--approve"]).await.unwrap();
    assert!(answer.ok, "{}", answer.text);
    assert_eq!(place.simulator.world().with(|world, _| world.next_nonce(eoa)), 12);
    // The proxy wallet of the same key is shown as well, and used only when nothing within reach has money: it is not there,
    // and only the venue's site makes it.
    assert!(answer.text.contains(&proxy_wallet(eoa).to_string()), "{}", answer.text);
    place.credit(proxy_wallet(eoa), Asset::Collateral, 90 * ONE);
    assert_eq!(place.check(true, &[]).await.unwrap().json["signature_type"].as_u64(), Some(0));
    place.credit(eoa, Asset::Collateral, -20 * ONE);
    let answer = place.check(true, &["--deploy"]).await.unwrap();
    assert_eq!(answer.json["signature_type"].as_u64(), Some(1));
    assert!(missing(&answer)[0].contains("polymarket.com"), "{}", answer.text);
    let refused = format!("{:#}", place.check(true, &["--approve"]).await.unwrap_err());
    assert!(refused.contains("enable trading"), "{refused}");
    place.simulator.shutdown().await;
}

#[tokio::test]
async fn a_safe_that_holds_money_and_is_not_there_is_made() {
    let place = Place::new().await;
    let eoa: Address = EOA.parse().unwrap();
    place.credit(safe(eoa), Asset::Collateral, 90 * ONE);
    let answer = place.check(true, &[]).await.unwrap();
    assert_eq!(answer.json["signature_type"].as_u64(), Some(2));
    assert_eq!(missing(&answer)[0], "--deploy");
    let answer = place.check(true, &["--deploy", "--approve"]).await.unwrap();
    assert!(answer.ok, "{}", answer.text);
    place.simulator.world().with(|world, _| {
        assert!(world.is_deployed(safe(eoa)) && world.seen_approval(safe(eoa)));
        assert_eq!(world.violations(), Vec::<String>::new());
    });
    place.simulator.shutdown().await;
}

#[tokio::test]
async fn files_that_others_may_read_or_that_hold_nothing_are_refused_without_being_shown() {
    let place = Place::new().await;
    let key = place.path("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = format!("{:#}", place.check(true, &[]).await.unwrap_err());
    assert!(refused.contains("chmod 600") && !refused.contains(&KEY[2..]), "{refused}");
    for text in ["", "0x12", "zz", &"0".repeat(64), &format!("{KEY}00")] {
        place.file("key", text);
        let refused = format!("{:#}", place.check(true, &[]).await.unwrap_err());
        assert!(refused.contains("64 hex digits"), "{refused}");
    }
    place.file("key", KEY);
    for text in
        ["", "{}", r#"{"builder_key":"b","secret":"s3cret!","passphrase":"p"}"#, r#"{"key":"s3cret"}"#]
    {
        place.file("relayer.json", text);
        let refused = format!("{:#}", place.check(true, &["--deploy"]).await.unwrap_err());
        assert!(refused.contains("relayer.json") && !refused.contains("s3cret"), "{refused}");
    }
    place.simulator.shutdown().await;
}

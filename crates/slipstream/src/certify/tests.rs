//! The script against the simulator, and against venues that do something else.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use clap::Parser as _;
use domain::Clock;
use simulator::world::control::Levels;

use super::{
    command::{CertifyArgs, certify},
    finding::{Finding, Verdict, differs, table},
    stage::{Stage, TOKEN},
};
use crate::clock::SystemClock;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: CertifyArgs,
}

fn arguments(line: &[&str]) -> Result<CertifyArgs, clap::Error> {
    Line::try_parse_from([&["certify"], line].concat()).map(|line| line.arguments)
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn verdict(findings: &[Finding], name: &str) -> Verdict {
    findings.iter().find(|finding| finding.name == name).unwrap().seen.verdict
}

/// Key 1 of local Ethereum nodes, public.
const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

fn key_file(directory: &Path, mode: u32) -> String {
    let path = directory.join("key");
    fs::write(&path, format!("0x{KEY}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_simulator_does_what_is_relied_on() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("transcript.json");
    let outcome = certify(&arguments(&[]).unwrap(), &system_clock(), &out).await.unwrap();
    assert!(!differs(&outcome.findings), "{}", table(&outcome.findings));
    let open = ["duplicated_expired", "unmatched", "live_feed"];
    for finding in &outcome.findings {
        let expected = if open.contains(&finding.name) { Verdict::NotObservable } else { Verdict::Confirmed };
        assert_eq!(finding.seen.verdict, expected, "{}", table(std::slice::from_ref(finding)));
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), outcome.document);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    // What is there already is not written over.
    assert!(certify(&arguments(&[]).unwrap(), &system_clock(), &out).await.is_err());
}

/// The live path, against a simulator in place of the venue: nothing that lets somebody act for the account is
/// in the transcript, and no order rests when it is over.
#[tokio::test]
async fn a_transcript_holds_no_secret_and_nothing_is_left_behind() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let world = stage.running.world();
    let owner = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
    let wallet = simulator::world::registry::Wallet {
        address: owner.parse().unwrap(),
        owner: owner.parse().unwrap(),
        signature_type: 0,
        approved: true,
        standing: Default::default(),
    };
    world.with(|world, _| {
        world.add_wallet(wallet).unwrap();
        world.credit(wallet.address, simulator::world::ledger::Asset::Collateral, 50_000_000);
    });
    let (key, token, url) = (key_file(directory.path(), 0o600), TOKEN.to_string(), &stage.running.clob_url);
    let line = ["--live", "--real-money", "--cap", "2", "--clob-url", url, "--geoblock-url", url];
    let line = [&line[..], &["--key-file", &key, "--token", &token]].concat();
    let out = directory.path().join("transcript.json");
    let outcome = certify(&arguments(&line).unwrap(), &system_clock(), &out).await.unwrap();
    assert!(!differs(&outcome.findings), "{}", table(&outcome.findings));
    let text = outcome.document.to_ascii_lowercase();
    let (api, resting) = world.with(|world, _| {
        let name = world.registry().keys_of(wallet.address).next().unwrap().to_owned();
        let live = |order: &&simulator::world::verdict::OrderReport| {
            order.state == simulator::world::journal::OrderState::Live
        };
        (world.registry().key(&name).unwrap().clone(), world.order_reports().iter().filter(live).count())
    });
    assert_eq!(resting, 0);
    for secret in [KEY, owner, &api.key, &api.secret, &api.passphrase, "poly_signature", "poly_api_key"] {
        assert!(!text.contains(&secret.to_ascii_lowercase()), "{secret} is in the transcript");
    }
    // No signature: nothing hexadecimal is longer than an order id.
    let digits = |part: &str| part.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(part.len());
    let longest = text.split("0x").map(digits).max().unwrap();
    assert!(longest <= 64, "{longest} hexadecimal digits in a row");
    assert!(text.contains("/data/order/0x") && text.contains("\"live\": true"), "it tells what was asked");
    stage.running.shutdown().await;
}

#[tokio::test]
async fn the_cap_holds_and_what_is_above_it_is_not_asked() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let (key, token, url) = (key_file(directory.path(), 0o600), TOKEN.to_string(), &stage.running.clob_url);
    let line = ["--live", "--real-money", "--cap", "0.11", "--clob-url", url, "--geoblock-url", url];
    let line = [&line[..], &["--key-file", &key, "--token", &token]].concat();
    let out = directory.path().join("transcript.json");
    let outcome = certify(&arguments(&line).unwrap(), &system_clock(), &out).await.unwrap();
    // Five shares at a cent are five cents: two orders.
    let posts = outcome.document.matches("\"path\": \"/order\"").count();
    assert!(posts <= 2, "{posts}");
    assert_eq!(verdict(&outcome.findings, "cancel"), Verdict::NotObservable);
    assert_eq!(verdict(&outcome.findings, "clock"), Verdict::Confirmed);
    stage.running.shutdown().await;
}

#[tokio::test]
async fn real_money_needs_both_switches_a_private_key_and_a_place_that_may_trade() {
    for line in [
        &["--live"][..],
        &["--live", "--real-money"],
        &["--live", "--key-file", "k", "--token", "1", "--cap", "1"],
        &["--live", "--real-money", "--key-file", "k", "--token", "1"],
        &["--real-money"],
        &["--key-file", "k"],
    ] {
        assert!(arguments(line).is_err(), "{line:?}");
    }
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let (token, url) = (TOKEN.to_string(), &stage.running.clob_url);
    let fails = async |cap: &str, key: &str| {
        let line = ["--live", "--real-money", "--cap", cap, "--clob-url", url, "--geoblock-url", url];
        let line = [&line[..], &["--key-file", key, "--token", &token]].concat();
        let out = directory.path().join("none.json");
        let failed = certify(&arguments(&line).unwrap(), &system_clock(), &out).await.err();
        format!("{:#}", failed.unwrap())
    };
    let open = key_file(directory.path(), 0o644);
    assert!(fails("1", &open).await.contains("chmod 600"));
    let key = key_file(directory.path(), 0o600);
    assert!(fails("0", &key).await.contains("--cap"));
    assert!(fails("101", &key).await.contains("--cap"));
    stage.running.world().with(|world, _| {
        world.knobs.geo.blocked = true;
        world.knobs.geo.country = "US".to_owned();
    });
    let told = fails("1", &key).await;
    assert!(told.contains("does not trade with US") && told.contains("no way around"), "{told}");
    let asked = stage.running.world().with(|world, _| world.traffic.counts().len());
    assert!(asked <= 1, "nothing but the region was asked for");
    stage.running.shutdown().await;
}

/// Each of these breaks what is relied on, and is noticed.
#[tokio::test]
async fn a_venue_that_does_something_else_is_found_out() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let world = stage.running.world();
    let run = async |name: &str| {
        let (key, token, url) =
            (key_file(directory.path(), 0o600), TOKEN.to_string(), &stage.running.clob_url);
        let line = ["--live", "--real-money", "--cap", "5", "--clob-url", url, "--geoblock-url", url];
        let line = [&line[..], &["--key-file", &key, "--token", &token]].concat();
        let out = directory.path().join(name);
        certify(&arguments(&line).unwrap(), &system_clock(), &out).await
    };
    let owner: domain::Address = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8".parse().unwrap();
    let wallet = simulator::world::registry::Wallet {
        address: owner,
        owner,
        signature_type: 0,
        approved: true,
        standing: Default::default(),
    };
    world.with(|world, _| {
        world.add_wallet(wallet).unwrap();
        world.credit(owner, simulator::world::ledger::Asset::Collateral, 50_000_000);
        world.knobs.max_timestamp_age_s = Some(120);
    });
    let dated = run("dated").await.unwrap().findings;
    assert_eq!(verdict(&dated, "timestamp"), Verdict::Differs, "{}", table(&dated));
    world.with(|world, _| {
        world.knobs.max_timestamp_age_s = None;
        world.knobs.refuse_orders_with =
            Some(simulator::config::RefuseWith { status: 400, error: "a text of tomorrow".to_owned() });
    });
    let refused = run("refused").await.unwrap().findings;
    assert_eq!(verdict(&refused, "killed"), Verdict::Differs, "{}", table(&refused));
    // Somebody sells at the lowest price: nothing is placed at all.
    let asks = vec![simulator::world::control::Level {
        price: domain::Price(10_000),
        shares: domain::Shares(1_000_000),
    }];
    world.with(|world, _| {
        world.knobs.refuse_orders_with = None;
        world.set_levels(&Levels { token: TOKEN, bids: Vec::new(), asks, extend: false }).unwrap();
    });
    let told = format!("{:#}", run("cheap").await.err().unwrap());
    assert!(told.contains("somebody sells at"), "{told}");
    stage.running.shutdown().await;
}

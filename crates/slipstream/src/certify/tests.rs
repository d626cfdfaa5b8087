//! The script against the simulator, and against venues that do something else.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use clap::Parser as _;
use domain::Clock;
use simulator::world::control::Levels;
use testkit::quick_clock::QuickClock;

use super::{
    command::{CertifyArgs, Outcome, certify_until},
    finding::{Finding, Verdict, differs, table},
    stage::{Stage, TOKEN},
};
use crate::clock::SystemClock;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: CertifyArgs,
}

fn arguments(line: &[impl AsRef<str>]) -> Result<CertifyArgs, clap::Error> {
    let words = line.iter().map(AsRef::as_ref);
    Line::try_parse_from(["certify"].into_iter().chain(words)).map(|line| line.arguments)
}

const NOTHING: &[&str] = &[];

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A run that nobody breaks off.
async fn certify(arguments: &CertifyArgs, clock: &Arc<dyn Clock>, out: &Path) -> anyhow::Result<Outcome> {
    certify_until(arguments, clock, out, std::future::pending()).await
}

/// The live path, with a stage in place of the venue.
fn live_line(stage: &Stage, cap: &str, key: &str, token: &str) -> Vec<String> {
    let simulator::Running { clob_url, live_url, data_url, .. } = &stage.running;
    let channels = clob_url.replacen("http", "ws", 1);
    let line = ["--live", "--real-money", "--cap", cap, "--key-file", key, "--token", token];
    let urls = ["--clob-url", clob_url, "--channels-url", &channels, "--live-url", live_url];
    let others = ["--data-url", data_url, "--geoblock-url", clob_url];
    [&line[..], &urls, &others].concat().into_iter().map(ToOwned::to_owned).collect()
}

fn verdict(findings: &[Finding], name: &str) -> Verdict {
    findings.iter().find(|finding| finding.name == name).unwrap().seen.verdict
}

/// Key 1 of local Ethereum nodes, public.
const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// Address of the key that [`key_file`] writes.
const OWNER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";

/// What was seen of a question.
fn said(findings: &[Finding], name: &str) -> String {
    findings.iter().find(|finding| finding.name == name).unwrap().seen.seen.clone()
}

/// Makes the key's owner a trader of the stage, with 50 dollars.
fn fund_owner(stage: &Stage) -> domain::Address {
    let owner: domain::Address = OWNER.parse().unwrap();
    let wallet = simulator::world::registry::Wallet {
        address: owner,
        owner,
        signature_type: 0,
        approved: true,
        standing: Default::default(),
    };
    stage.running.world().with(|world, _| {
        world.add_wallet(wallet).unwrap();
        world.credit(owner, simulator::world::ledger::Asset::Collateral, 50_000_000);
    });
    owner
}

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
    let outcome = certify(&arguments(NOTHING).unwrap(), &system_clock(), &out).await.unwrap();
    assert!(!differs(&outcome.findings), "{}", table(&outcome.findings));
    // Those that need patience, or a status that this run did not meet.
    let open = ["duplicated_killed", "duplicated_cancelled", "duplicated_expired", "unmatched"];
    for finding in &outcome.findings {
        let expected = if open.contains(&finding.name) { Verdict::NotObservable } else { Verdict::Confirmed };
        assert_eq!(finding.seen.verdict, expected, "{}", table(std::slice::from_ref(finding)));
    }
    for heard in ["\"SAID\"", "\"HEARD\"", "/ws/market", "/ws/user", "orders_matched", "PLACEMENT"] {
        assert!(outcome.document.contains(heard), "{heard} is not in the transcript");
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), outcome.document);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    // What is there already is not written over.
    assert!(certify(&arguments(NOTHING).unwrap(), &system_clock(), &out).await.is_err());
}

/// The live path, against a simulator in place of the venue: nothing that lets somebody act for the account is
/// in the transcript, and no order rests when it is over.
#[tokio::test]
async fn a_transcript_holds_no_secret_and_nothing_is_left_behind() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let world = stage.running.world();
    let owner = fund_owner(&stage);
    let (key, token) = (key_file(directory.path(), 0o600), TOKEN.to_string());
    let mut line = live_line(&stage, "5", &key, &token);
    line.push("--fill".to_owned());
    let out = directory.path().join("transcript.json");
    let outcome = certify(&arguments(&line).unwrap(), &system_clock(), &out).await.unwrap();
    assert!(!differs(&outcome.findings), "{}", table(&outcome.findings));
    assert_eq!(verdict(&outcome.findings, "fill"), Verdict::Confirmed, "{}", table(&outcome.findings));
    assert!(
        said(&outcome.findings, "small_sale").contains("below the minimum"),
        "{}",
        table(&outcome.findings)
    );
    let text = outcome.document.to_ascii_lowercase();
    let (api, resting) = world.with(|world, _| {
        let name = world.registry().keys_of(owner).next().unwrap().to_owned();
        let live = |order: &&simulator::world::verdict::OrderReport| {
            order.state == simulator::world::journal::OrderState::Live
        };
        (world.registry().key(&name).unwrap().clone(), world.order_reports().iter().filter(live).count())
    });
    assert_eq!(resting, 0);
    for secret in [KEY, OWNER, &api.key, &api.secret, &api.passphrase, "poly_signature", "poly_api_key"] {
        assert!(!text.contains(&secret.to_ascii_lowercase()), "{secret} is in the transcript");
    }
    // No signature: nothing hexadecimal is longer than an order id.
    let digits = |part: &str| part.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(part.len());
    let longest = text.split("0x").map(digits).max().unwrap();
    assert!(longest <= 64, "{longest} hexadecimal digits in a row");
    assert!(text.contains("/data/order/0x") && text.contains("\"live\": true"), "it tells what was asked");
    stage.end().await;
}

#[tokio::test]
async fn the_cap_holds_and_what_is_above_it_is_not_asked() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let (key, token) = (key_file(directory.path(), 0o600), TOKEN.to_string());
    let line = live_line(&stage, "0.11", &key, &token);
    let out = directory.path().join("transcript.json");
    let outcome = certify(&arguments(&line).unwrap(), &system_clock(), &out).await.unwrap();
    // Five shares at a cent are five cents: two orders.
    let posts = outcome.document.matches("\"path\": \"/order\"").count();
    assert!(posts <= 2, "{posts}");
    assert_eq!(verdict(&outcome.findings, "cancel"), Verdict::NotObservable);
    assert_eq!(verdict(&outcome.findings, "clock"), Verdict::Confirmed);
    stage.end().await;
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
    let token = TOKEN.to_string();
    let fails = async |cap: &str, key: &str| {
        let line = live_line(&stage, cap, key, &token);
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
    stage.end().await;
}

/// Each of these breaks what is relied on, and is noticed.
#[tokio::test]
async fn a_venue_that_does_something_else_is_found_out() {
    // Five runs, most of which is waiting for what is not said.
    let clock: Arc<dyn Clock> = Arc::new(QuickClock::new(SystemClock, 4));
    let (stage, directory) = (Stage::set(&clock).await.unwrap(), tempfile::tempdir().unwrap());
    let world = stage.running.world();
    let run = async |name: &str| {
        let (key, token) = (key_file(directory.path(), 0o600), TOKEN.to_string());
        let mut line = live_line(&stage, "5", &key, &token);
        if name == "forgetful" {
            line.push("--fill".to_owned());
        }
        let out = directory.path().join(name);
        certify(&arguments(&line).unwrap(), &clock, &out).await
    };
    fund_owner(&stage);
    world.with(|world, _| world.knobs.max_timestamp_age_s = Some(120));
    let dated = run("dated").await.unwrap().findings;
    assert_eq!(verdict(&dated, "timestamp"), Verdict::Differs, "{}", table(&dated));
    world.with(|world, _| {
        world.knobs.max_timestamp_age_s = None;
        world.knobs.refuse_orders_with =
            Some(simulator::config::RefuseWith { status: 400, error: "a text of tomorrow".to_owned() });
    });
    let refused = run("refused").await.unwrap().findings;
    assert_eq!(verdict(&refused, "killed"), Verdict::Differs, "{}", table(&refused));
    // Ids are forgotten as soon as nothing rests, signers are not limited, and a status is told that nobody explains.
    world.with(|world, _| {
        world.knobs.refuse_orders_with = None;
        world.knobs.duplicated_for = simulator::config::DuplicateMemory::WhileLive;
        world.knobs.killed_fak_executes_again = true;
        world.knobs.rates.signers = simulator::world::rates::Signers::Warn;
        world.knobs.resting_is_unmatched = true;
        world.knobs.minimum_of_immediate = false;
    });
    let forgetful = run("forgetful").await.unwrap().findings;
    assert_eq!(verdict(&forgetful, "duplicated_cancelled"), Verdict::Differs, "{}", table(&forgetful));
    assert!(said(&forgetful, "signer_limit_enforced").starts_with("not enforced"), "{}", table(&forgetful));
    assert!(said(&forgetful, "unmatched").contains("the order is open"), "{}", table(&forgetful));
    assert_eq!(said(&forgetful, "small_sale"), "taken: sold 1", "{}", table(&forgetful));
    assert_eq!(verdict(&forgetful, "fill"), Verdict::Confirmed, "{}", table(&forgetful));
    // A channel that says nothing, and one that says what nobody understands.
    world.with(|world, _| {
        use simulator::world::faults::{Fault, FaultKind, FaultTarget};
        let mut spoil = |target, kind| {
            assert!(world.faults.push(Fault { target, kind, count: 1, delay_ms: 0, depth: 0 }));
        };
        spoil(FaultTarget::LiveSocket, FaultKind::Malformed);
    });
    let garbled = run("garbled").await.unwrap().findings;
    assert_eq!(verdict(&garbled, "live_feed"), Verdict::Differs, "{}", table(&garbled));
    // Somebody sells at the lowest price: nothing is placed at all.
    let asks = vec![simulator::world::control::Level {
        price: domain::Price(10_000),
        shares: domain::Shares(1_000_000),
    }];
    world.with(|world, _| {
        world.set_levels(&Levels { token: TOKEN, bids: Vec::new(), asks, extend: false }).unwrap();
    });
    let told = format!("{:#}", run("cheap").await.err().unwrap());
    assert!(told.contains("somebody sells at"), "{told}");
    stage.end().await;
}

/// Broken off in the middle, it ends what rests first, and says so.
#[tokio::test]
async fn whoever_breaks_it_off_leaves_nothing_behind() {
    let (stage, directory) = (Stage::set(&system_clock()).await.unwrap(), tempfile::tempdir().unwrap());
    let world = stage.running.world();
    fund_owner(&stage);
    let (key, token) = (key_file(directory.path(), 0o600), TOKEN.to_string());
    let line = live_line(&stage, "5", &key, &token);
    let out = directory.path().join("broken.json");
    let mut event = stage.running.world().newest_event();
    let live = |world: &simulator::world::World| {
        let live = |order: &&simulator::world::verdict::OrderReport| {
            order.state == simulator::world::journal::OrderState::Live
        };
        world.order_reports().iter().filter(live).count()
    };
    // As soon as an order rests.
    let stop = async {
        while world.with(|world, _| live(world)) == 0 {
            event.changed().await.unwrap();
        }
    };
    let told = certify_until(&arguments(&line).unwrap(), &system_clock(), &out, stop).await.err().unwrap();
    assert!(format!("{told:#}").contains("no order of this run rests"), "{told:#}");
    assert_eq!(world.with(|world, _| live(world)), 0);
    let kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    let answered = kept["findings"].as_array().unwrap().len();
    assert!((1..23).contains(&answered), "{answered} questions were answered");
    stage.end().await;
}

/// What cannot be measured here is written down where the measurements are.
#[test]
fn the_measurements_name_every_question() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/measurements.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, part) = text.split_once("## What only the real venue can show").unwrap();
    for question in super::questions::texts() {
        assert!(part.contains(&format!("- {question}\n")), "docs/measurements.md does not ask: {question}");
    }
}

//! An account with (simulated) real money beside paper.

use std::sync::Arc;

use domain::{Address, Side, Usd, money::ONE};
use engine::ports::execution::Execution as _;
use serde_json::{Value, json};
use simulator::world::registry::{Standing, Wallet};
use slipstream::{clock::SystemClock, commands::DATABASE};
use store::SqlStore;

use crate::scene::{EOA, GIVEN, Guard, IDENTITY, KEY, LEADER, OFFERS, POLICY, Scene, is_over};

impl Scene {
    /// A wallet with money, whose armed account follows the leader; the paper one is paused.
    pub(crate) async fn armed(&self) -> Address {
        let eoa: Address = EOA.parse().expect("an address");
        let standing = Standing::default();
        let wallet = Wallet { address: eoa, owner: eoa, signature_type: 0, approved: true, standing };
        self.control.add_wallet(&wallet).await.expect("a wallet");
        self.control.credit_usd(eoa, Usd(100 * ONE)).await.expect("money");
        self.control.credit_pol(eoa, 10).await.expect("gas");
        // What is read of the chain is what its newest block says.
        let head = async || self.control.status().await.expect("a head").head;
        let before = head().await;
        self.until("block with them", async || (head().await > before).then_some(())).await;
        self.private("identity", &format!("{IDENTITY}\n"));
        let key = self.private("key", &format!("{KEY}\n"));
        self.ask(&["account", "add", "main", "--live", "--key-file", &key, "--wallet", EOA]);
        self.ask(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
        assert_eq!(cash(self), 100 * ONE, "its first trade finds the money");
        let leader = LEADER.to_string();
        self.ask(&[&["follow", &leader, "--account", "main"][..], &POLICY].concat());
        self.ask(&["pause", "1"]);
        self.next_second().await;
        eoa
    }

    /// [`Self::armed`], running and funded.
    async fn trading() -> (Self, Address, Guard) {
        let scene = Self::begin().await;
        scene.init(&POLICY);
        let eoa = scene.armed().await;
        let child = scene.run(true, None);
        scene.up().await;
        scene.funded().await;
        (scene, eoa, child)
    }

    /// What the books say that the armed account has.
    pub(crate) fn cash(&self) -> i64 {
        cash(self)
    }

    /// What the wallet has is booked, so that it can be spent.
    pub(crate) async fn funded(&self) {
        self.until("deposit", async || (cash(self) == 100 * ONE).then_some(())).await;
    }
}

/// Two deliberate switches, and the same installation trades with (simulated) real money beside paper; it is killed at
/// any moment and books what the venue executed, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_armed_account_trades_at_the_venue_and_survives_being_killed() {
    let (scene, eoa, mut child) = Scene::trading().await;
    scene.leader_buys(1, &OFFERS).await;
    scene
        .until_answers("answers", |lines| lines.len() == 2 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    scene.until_held("copy", GIVEN).await;
    assert_eq!(scene.control.orders().await.expect("orders").len(), 1);
    scene.leader_buys(2, &OFFERS).await;
    child.0.kill().expect("it is killed");
    child.0.wait().expect("a child");
    let mut child = scene.run(true, None);
    scene.up().await;
    scene
        .until_answers("answers", |lines| lines.len() == 4 && is_over(&lines[0]) && is_over(&lines[1]))
        .await;
    let orders = scene.control.orders().await.expect("orders");
    let executed: i64 = orders.iter().map(|order| order.executed().shares.0).sum();
    assert!(
        orders.iter().all(|order| order.maker == eoa && order.executed().shares.0 == GIVEN),
        "{orders:?}"
    );
    scene.until_held("what the venue executed", executed).await;
    scene.ask(&["panic"]);
    scene.leader_buys(3, &OFFERS).await;
    scene.until_answers("answers", |lines| lines.len() == 6).await;
    assert_eq!(
        scene.control.orders().await.expect("orders").len(),
        orders.len(),
        "nothing is signed after a panic"
    );
    scene.ask(&["panic", "--sell", "--yes"]);
    scene.until_held("what is less than a lot", executed % 10_000).await;
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

/// What comes to the wallet or leaves it later is booked, also beside shares; and no order is larger than what was armed.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_and_goes_is_booked_and_caps_are_kept() {
    let (scene, eoa, mut child) = Scene::trading().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_held("copy", GIVEN).await;
    scene.until_answers("answers", |lines| lines.len() == 2 && lines.iter().all(is_over)).await;
    let left = cash(&scene);
    scene.control.credit_usd(eoa, Usd(50 * ONE)).await.expect("money");
    scene.until("later deposit", async || (cash(&scene) == left + 50 * ONE).then_some(())).await;
    scene.control.credit_usd(eoa, Usd(-80 * ONE)).await.expect("money");
    scene.until("withdrawal", async || (cash(&scene) == left - 30 * ONE).then_some(())).await;
    // Each of these orders is worth five dollars.
    let orders = scene.control.orders().await.expect("orders").len();
    scene.ask(&["account", "arm", "main", "--per-order", "4", "--per-day", "200", "--yes", "main"]);
    scene.leader_buys(2, &OFFERS).await;
    unsigned(&scene, 1, "the cap of an order is 4").await;
    scene.ask(&["account", "arm", "main", "--per-order", "6", "--per-day", "6", "--yes", "main"]);
    scene.leader_buys(3, &OFFERS).await;
    unsigned(&scene, 2, "the cap of a day is 6").await;
    scene.ask(&["account", "disarm", "main"]);
    scene.leader_buys(4, &OFFERS).await;
    unsigned(&scene, 3, "is not armed").await;
    // The other switch: nothing of a live account is signed without it.
    assert!(scene.end(&mut child).await.success());
    scene.ask(&["account", "arm", "main", "--per-order", "20", "--per-day", "200", "--yes", "main"]);
    let mut command = scene.command(&["run"], true);
    let log = std::fs::File::options().append(true).open(scene.log()).expect("a log");
    command.env("SLIPSTREAM_LIVE_ENABLED", "false").stderr(log);
    let mut child = Guard(command.spawn().expect("it starts"));
    scene.up().await;
    scene.next_second().await;
    scene.leader_buys(5, &OFFERS).await;
    unsigned(&scene, 4, "live trading is switched off").await;
    assert_eq!(scene.control.orders().await.expect("orders").len(), orders, "nothing of it was sent");
    assert_eq!(cash(&scene), left - 30 * ONE, "what was set aside is given back");
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

/// So many orders were not signed, the last of them for this reason.
async fn unsigned(scene: &Scene, orders: usize, why: &str) {
    let is = |line: &Value| line["answer"]["ended"] == "unsigned";
    scene
        .until_answers("refusal", |lines| {
            lines.iter().filter(|line| is(line)).count() == orders && is(&lines[0])
        })
        .await;
    let log = std::fs::read_to_string(scene.log()).expect("a log");
    let last = log.lines().rfind(|line| line.contains("is missed")).unwrap_or_default();
    assert!(last.contains(why), "{log}");
}

/// Nothing is bought with real money while clock and chain are not what it needs, which is told at the start, at once;
/// then it is.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_bought_before_clock_and_chain_are_right() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    scene.armed().await;
    scene.control.set_knobs(&json!({ "clock_ahead_s": 120 })).await.expect("a knob");
    let log = std::fs::File::options().append(true).create(true).open(scene.log()).expect("a log");
    let mut command = scene.command(&["run"], true);
    let mut child =
        Guard(command.env("POLYGON_RPC_URL", "http://127.0.0.1:9").stderr(log).spawn().expect("it starts"));
    scene.up().await;
    let told = std::fs::read_to_string(scene.log()).expect("a log");
    let line = told.lines().find(|line| line.contains("account main: it buys nothing")).unwrap_or_default();
    // As near as a busy machine measures it.
    let seconds = line.split(" s slow by the venue's").next().and_then(|words| words.rsplit(' ').next());
    let slow: f64 = seconds.and_then(|figure| figure.parse().ok()).unwrap_or_default();
    assert!((115.0..=125.0).contains(&slow) && line.contains("no RPC provider"), "{told}");
    scene.leader_buys(1, &OFFERS).await;
    let held = |lines: &[Value]| lines.iter().any(|line| line["relationship"] == 2 && is_over(line));
    scene.until_answers("answer", held).await;
    assert!(scene.end(&mut child).await.success());
    scene.control.set_knobs(&json!({ "clock_ahead_s": 0 })).await.expect("a knob");
    let mut child = scene.run(true, None);
    scene.up().await;
    scene.funded().await;
    assert_eq!(scene.ask(&["holds"])["holds"].as_array().map(Vec::len), Some(0));
    scene.next_second().await;
    assert!(scene.control.orders().await.expect("orders").is_empty());
    scene.leader_buys(2, &OFFERS).await;
    scene.until_held("copy", GIVEN).await;
    assert!(scene.end(&mut child).await.success());
    let _ = scene.ask(&["verify"]);
}

/// A backup from before an order: after its restore the wallet is compared, its money booked, and what differs is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_installation_is_held_against_the_wallet() {
    let (scene, _, mut child) = Scene::trading().await;
    let file = scene.directory.path().join("backup.db");
    scene.ask(&["backup", &file.to_string_lossy()]);
    scene.leader_buys(1, &OFFERS).await;
    scene.until_answers("answers", |lines| lines.len() == 2 && lines.iter().all(is_over)).await;
    assert!(scene.end(&mut child).await.success());
    let spent = 100 * ONE - cash(&scene);
    scene.ask(&["restore", &file.to_string_lossy()]);
    assert_eq!(cash(&scene), 100 * ONE, "the order is forgotten");
    // Lifted now, the trades since the backup would be copied a second time.
    let early = scene.command(&["lift", "1"], true).output().expect("it runs");
    let words = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success() && words.contains("until the wallets were compared"), "{words}");
    let mut child = scene.run(true, None);
    let told = async || {
        let log = std::fs::read_to_string(scene.log()).ok()?;
        log.contains("between wallets and books").then_some(log)
    };
    let log = scene.until("comparison", told).await;
    let order = scene.control.orders().await.expect("orders")[0].id;
    assert!(log.contains("an order that is not known here bought 12.32 shares of"), "{log}");
    assert!(
        log.contains(&format!("it is adopted order={order}")) && log.contains("1 order adopted"),
        "{log}"
    );
    assert!(log.contains("skipped for relationship 2: read again after the database went back"), "{log}");
    // Another one asks for a word.
    let (_, lift) = log.rsplit_once("agree, `slipstream lift ").expect("what to lift");
    let (number, _) = lift.split_once('`').expect("a number");
    assert_ne!(number, "1");
    assert_eq!(scene.ask(&["lift", number])["lifted"], true);
    // What the order bought is for its user to keep or to sell.
    let held = scene.ask(&["holds"])["holds"].clone();
    assert_eq!(held.as_array().map(Vec::len), Some(1), "the account's own: {held}");
    assert!(scene.end(&mut child).await.success());
    assert_eq!(cash(&scene), 100 * ONE - spent, "what was paid is booked");
    let _ = scene.ask(&["verify"]);
}

/// A sale that waits to be signed when the backup is made waits for the comparison, and does not keep it waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_an_exit_that_waits_is_compared() {
    let (scene, _, mut child) = Scene::trading().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_held("copy", GIVEN).await;
    scene.until_answers("answers", |lines| lines.len() == 2 && lines.iter().all(is_over)).await;
    scene.ask(&["account", "disarm", "main"]);
    scene.leader_trades(2, Side::Sell, 30).await;
    let look = async || SqlStore::look(&scene.data().join(DATABASE), Arc::new(SystemClock)).await.ok();
    let waits = async || Some(look().await?.count_open_work().await.ok()? > 0).filter(|waits| *waits);
    scene.until("waiting exit", waits).await;
    let file = scene.directory.path().join("backup.db");
    scene.ask(&["backup", &file.to_string_lossy()]);
    assert!(scene.end(&mut child).await.success());
    scene.ask(&["restore", &file.to_string_lossy()]);
    let mut child = scene.run(true, None);
    let told = async || {
        let log = std::fs::read_to_string(scene.log()).ok()?;
        log.contains("have what the books say").then_some(())
    };
    scene.until("comparison", told).await;
    assert!(look().await.expect("a store").count_open_work().await.expect("a number") > 0, "it still waits");
    assert!(scene.end(&mut child).await.success());
}

/// What the books say that the armed account has.
fn cash(scene: &Scene) -> i64 {
    let rows = scene.ask(&["export", "ledger"]);
    let own = rows.as_array().expect("rows").iter().filter(|row| row["account"] == 2);
    own.filter_map(|row| row["cash"].as_i64()).sum()
}

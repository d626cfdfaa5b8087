//! `slipstream init` and `slipstream run` end to end, on paper: the venue is a simulator in a process of its own, which
//! nobody sends an order to. The process is killed in the middle of orders and started again; what is held then is what
//! the book gave, once.
#![cfg(test)]

mod armed;
mod downtime;
mod looked_after;
mod on_postgres;
mod panicking;
mod scene;
mod winnings;

use std::{
    fs,
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use domain::{Clock, Price, Side, money::ONE};
use serde_json::Value;
use slipstream::clock::SystemClock;

use crate::scene::{BINARY, GIVEN, Guard, LEADER, OFFERS, PATIENCE, POLICY, Scene, condition, is_over};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_what_the_book_gave_whenever_the_process_is_killed() {
    killed_at_every_point(&Scene::begin().await).await;
}

async fn killed_at_every_point(scene: &Scene) {
    scene.init(&POLICY);
    scene.next_second().await;
    let points =
        ["worker.after_commit", "worker.after_post", "worker.before_record", "settlement.before_record"];
    for (number, point) in (1..).zip(points) {
        let mut child = scene.run(true, Some(&format!("{point}:1")));
        scene.up().await;
        scene.leader_buys(number, &OFFERS).await;
        let status = scene.until("kill", async || child.0.try_wait().expect("a child")).await;
        assert_eq!(status.signal(), Some(9), "{point}");
        let mut child = scene.run(true, None);
        // An order killed before its post is sent again within its deadline, or missed.
        scene.until_answers("answer", |lines| lines.len() >= usize::from(number)).await;
        scene.until_answers("settled orders", |lines| lines.iter().all(is_over)).await;
        assert!(scene.end(&mut child).await.success(), "{point}");
    }
    let positions = scene.ask(&["positions"]);
    let held = positions[0]["shares"].as_i64().expect("shares");
    assert_eq!(held % GIVEN, 0, "{positions}");
    assert!(held >= 3 * GIVEN, "at least those that were posted are held: {positions}");
    let _ = scene.ask(&["verify"]);
    // Nobody sent the venue an order.
    assert!(scene.control.orders().await.expect("orders").is_empty());
}

/// What providers of the chain are asked while nothing happens is what is told of it: a few calls a block.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_run_asks_as_often_as_is_told() {
    // As slow as the real ones, almost, so that what is asked is not what can be asked at all.
    let scene = Scene::with_blocks_each(1_000).await;
    scene.init(&POLICY);
    let log = fs::File::create(scene.log()).expect("a log");
    let mut command = scene.command(&["run"], true);
    command.env("SLIPSTREAM_ENGINE_HISTORY_INTERVAL", "5s").stderr(log);
    let mut child = Guard(command.spawn().expect("it starts"));
    scene.up().await;
    let asked = async |above: i64| {
        scene
            .until("head", async || {
                // Until the head was told it ends with a failure.
                let mut command = scene.command(&["rpc", "status", "--json"], true);
                let output = command.output().expect("it runs");
                let status: Value = serde_json::from_slice(&output.stdout).ok()?;
                let (head, calls) = (status[0]["head"].as_i64()?, status[0]["calls_today"].as_i64()?);
                (head >= above).then_some((head, calls))
            })
            .await
    };
    let (first, _) = asked(0).await;
    // How fast blocks come is learned from the first ones.
    let (begin, before) = asked(first + 6).await;
    let (end, after) = asked(begin + 20).await;
    let (blocks, calls) = (end - begin, after - before);
    // Either look may fall anywhere between two blocks.
    assert!(calls <= 6 * (blocks + 1), "{calls} calls for {blocks} blocks");
    assert!(scene.end(&mut child).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_of_two_commands_copies_on_paper_and_is_paid_when_the_market_resolves() {
    let scene = Scene::begin().await;
    copies_and_is_paid(&scene).await;
    a_backup_comes_back_held(&scene);
}

async fn copies_and_is_paid(scene: &Scene) {
    scene.init(&POLICY);
    scene.next_second().await;
    let mut child = scene.run(false, None);
    scene.up().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_answers("settled copy", |lines| lines.len() == 1 && lines.iter().all(is_over)).await;
    let positions = scene.until_held("copy", GIVEN).await;
    // 0.04 × 5 × 0.24 and 0.04 × 7.317074 × 0.2419, cut to five decimals, as Polygon shows them.
    assert_eq!(positions[0]["fees"], 118_800);
    // A book that offers less than is wanted fills a part; the rest is killed.
    scene.leader_buys(2, &[(40, 6)]).await;
    scene.until_held("part of a copy", GIVEN + 6 * ONE).await;
    let list = scene.ask(&["following"]);
    assert_eq!((&list[0]["leader"], &list[0]["status"]), (&LEADER.to_string().into(), &"active".into()));
    let edited = scene.ask(&["edit", "1", "--fixed", "7", "--order-type", "fok"]);
    assert_eq!(edited["policy"]["sizing"]["fixed"], 7 * ONE);
    // $7 are not there: a fill-or-kill order gets nothing.
    scene.leader_buys(3, &[(40, 6)]).await;
    scene.until_answers("third answer", |lines| lines.len() >= 3).await;
    // The leader sells a third of what it bought, and so does the follower, in lots of a hundredth.
    scene.leader_trades(4, Side::Sell, 30).await;
    let held = GIVEN + 6 * ONE - 6_100_000;
    scene.until_held("exit", held).await;
    let leader = LEADER.to_string();
    let shown = scene.ask(&["leader", "show", &leader]);
    assert_eq!((&shown[0]["wallet"], &shown[0]["volume"]), (&leader.clone().into(), &150_000_000.into()));
    assert_eq!(scene.ask(&["leader", "top"])[0]["wallet"], leader);
    scene.control.resolve(condition(), [Price(ONE), Price(0)], &[]).await.expect("resolved");
    scene.until_held("payout", 0).await;
    assert_eq!(scene.ask(&["panic"])["stops_exits"], true);
    assert!(scene.ask(&["holds"])["holds"].as_array().is_some_and(|holds| holds.len() == 1));
    assert!(scene.end(&mut child).await.success());
    let log = fs::read_to_string(scene.log()).expect("a log");
    assert!(log.contains("no RPC provider is configured"), "{log}");
    assert!(log.contains("shares for 5 $ from the real book, on paper"), "{log}");
    let _ = scene.ask(&["verify"]);
    assert!(scene.control.orders().await.expect("orders").is_empty());
}

/// What was exported is in a backup as well; restored, nothing is signed on it.
fn a_backup_comes_back_held(scene: &Scene) {
    let ledger = scene.ask(&["export", "ledger"]);
    assert!(ledger.as_array().is_some_and(|rows| rows.len() >= 5), "{ledger}");
    assert_eq!(scene.ask(&["export", "orders"]).as_array().map(Vec::len), Some(4));
    let file = scene.directory.path().join("backup.db");
    let name = file.to_string_lossy();
    scene.ask(&["backup", &name]);
    let again = scene.command(&["backup", &name], false).output().expect("it runs");
    assert!(!again.status.success(), "a backup is not written over");
    scene.ask(&["lift", "1"]);
    scene.ask(&["restore", &name]);
    assert_eq!(scene.ask(&["export", "ledger"]), ledger);
    // The hold of the panic that the backup knows, and that of the restore.
    let held = scene.ask(&["holds"])["holds"].as_array().map(Vec::len);
    assert_eq!(held, Some(2));
    fs::write(&file, b"no database at all").expect("a file");
    let foreign = scene.command(&["restore", &name], false).output().expect("it runs");
    assert!(!foreign.status.success(), "what is no backup is refused");
    assert_eq!(scene.ask(&["export", "ledger"]), ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_it_says_so_and_goes_on_trying() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("slipstream.toml");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let program = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("SLIPSTREAM_CONFIG", &file).stdin(Stdio::null());
        for service in ["CLOB", "DATA", "GAMMA", "GEOBLOCK"] {
            command.env(format!("SLIPSTREAM_RUN_{service}_URL"), &nobody);
        }
        command.env("SLIPSTREAM_ENGINE_LIVE_URL", "").env("SLIPSTREAM_ENGINE_CHANNEL_URL", "");
        command
    };
    let name = file.to_string_lossy();
    let mut init = program(&["init", "--yes", "--file", &name, "--leader", &LEADER.to_string()]);
    assert!(init.env_remove("SLIPSTREAM_CONFIG").status().expect("it runs").success());
    let log = directory.path().join("log");
    let mut run = program(&["run", "--json"]);
    let child = run.env("POLYGON_RPC_URL", &nobody).stderr(fs::File::create(&log).expect("a file")).spawn();
    let mut child = Guard(child.expect("it starts"));
    let limit = SystemClock.uptime() + PATIENCE;
    while !told(&log).iter().any(|line| line.contains("running: ")) {
        assert!(SystemClock.uptime() < limit, "{:?}", told(&log));
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    // That nothing is copied, and why, comes before what would be.
    let lines = told(&log);
    let at = |words: &str| lines.iter().position(|line| line.contains(words));
    let first = at("NOTHING IS COPIED: the venue cannot be reached").expect("a word");
    assert!(lines[first].contains("the chain cannot be read"), "{lines:?}");
    assert!(at("running: ").is_some_and(|running| first < running), "{lines:?}");
    assert!(at("1 relationship waits to copy").is_some(), "{lines:?}");
    let id = i32::try_from(child.0.id()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(id).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert!(child.0.wait().expect("a child").success(), "{:?}", told(&log));
    // Every line is an object of its own.
    for line in told(&log) {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

fn told(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

//! The data directory: taken by another process, and on a disk without space.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use domain::{Side, TxHash};
use engine::ports::reports::Reports;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use simulator::{
    Simulator, SimulatorConfig,
    world::control::{ForeignFill, ForeignTrade, Level, Levels},
};
use slipstream::{
    clock::SystemClock,
    commands::{DATABASE, Request},
    demo::{SimulatorUrls, tape::Tape},
    socket,
};
use store::SqlStore;

use crate::scene::{Scene, TOKEN, cents, market, until, whole};

const BINARY: &str = env!("CARGO_BIN_EXE_slipstream");

#[tokio::test]
async fn a_second_process_is_refused() {
    let scene = Scene::usual().await;
    // As a demo's directory is marked: another's would be refused for that alone.
    std::fs::write(scene.directory.join("demo"), "").expect("a mark");
    let refused = Command::new(BINARY)
        .args(["demo", "--headless", "--followers", "1", "--data-dir"])
        .arg(&scene.directory)
        .output()
        .expect("the binary runs");
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    let said = format!(
        "{} is in use by process {}; stop it, or use another data directory",
        scene.directory.display(),
        std::process::id()
    );
    assert!(text.contains(&said), "{text}");

    // The first one never noticed.
    scene.leader_buys();
    scene.decided(1).await;
    scene.finish().await;
}

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The demo with its followers on the simulator at `urls`, and the lines of its log. A write beyond the
/// limit of the size of files is an error for it and not its death, as on a full disk.
fn start_engine(urls: &SimulatorUrls, data: &std::path::Path) -> (Guard, Arc<Mutex<Vec<String>>>) {
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", BINARY])
        .args(["demo", "--headless", "--json", "--followers", "1"])
        .args(["--simulator", &serde_json::to_string(urls).expect("JSON")])
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the engine starts");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (log, kept) = (child.stderr.take().expect("piped"), Arc::clone(&lines));
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            kept.lock().expect("a lock").push(line);
        }
    });
    (Guard(child), lines)
}

fn limit_files(child: &Guard, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(child.0.id()).expect("a pid")).expect("a pid");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit");
}

#[tokio::test]
async fn a_disk_without_space() {
    let config = SimulatorConfig { block_interval_ms: 200, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config, Arc::new(SystemClock)).await.expect("free ports");
    let world = simulator.world();
    world.with(|world, _| world.add_market(market())).expect("a market");
    let level = |price| vec![Level { price: cents(price), shares: whole(100_000) }];
    let levels = Levels { token: TOKEN, bids: level(49), asks: level(50), extend: false };
    world.with(|world, _| world.set_levels(&levels)).expect("levels");
    let urls = SimulatorUrls::of(&simulator);
    let leader = Tape::recorded().expect("the tape").header.wallets[0];
    let buy = |number: u8| {
        let fill = ForeignFill {
            wallet: leader,
            token: TOKEN,
            side: Side::Buy,
            price: cents(50),
            shares: whole(40),
            maker: false,
        };
        let trade = ForeignTrade { tx_hash: TxHash([number; 32]), fills: vec![fill], moves: Vec::new() };
        world.with(|world, _| world.foreign_trade(&trade)).expect("a trade");
    };
    let bought = || world.with(|world, _| world.verdict().filled_orders);
    let data = tempfile::tempdir().expect("a directory");
    let (mut engine, log) = start_engine(&urls, data.path());
    until("the engine watches", async || {
        matches!(socket::ask(data.path(), &Request::Ping).await, Ok(Some(_)))
    })
    .await;
    buy(1);
    until("the first trade is copied", async || bought() == 1).await;

    // Not a byte more can be written.
    limit_files(&engine, Some(512));
    buy(2);
    let said = |line: &String| line.contains("disk");
    until("the engine says what is wrong", async || log.lock().expect("a lock").iter().any(said)).await;
    assert!(engine.0.try_wait().expect("a child").is_none(), "it stays alive");
    assert!(matches!(socket::ask(data.path(), &Request::Ping).await, Ok(Some(_))), "and answers");
    assert_eq!(bought(), 1, "nothing is sent that cannot be stored first");

    limit_files(&engine, None);
    until("the second trade is copied", async || bought() == 2).await;
    buy(3);
    until("the third trade is copied", async || bought() == 3).await;
    let pid = Pid::from_raw(i32::try_from(engine.0.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("a signal");
    until("the engine has ended", async || engine.0.try_wait().expect("a child").is_some()).await;
    let status = engine.0.try_wait().expect("a child").expect("ended");
    assert!(status.success(), "the report is not green: {:?}", log.lock().expect("a lock"));

    let store = SqlStore::open(&data.path().join(DATABASE), Arc::new(SystemClock)).await.expect("a store");
    let violations = testkit::checkers::at_rest(&store).await.expect("checks");
    assert!(violations.is_empty(), "{violations:?}");
    assert_eq!(store.decisions_after(None, 0, 100).await.expect("decisions").len(), 3, "one per trade");
    simulator.shutdown().await;
}

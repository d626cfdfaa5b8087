//! The same on a PostgreSQL and a Redis server of the test's own, by one process and by a team of them: workers, watchers
//! and a backend, of which any may die at any time, as may everything that Redis has.

mod many_machines;
mod restoring;
mod rolling;
mod selling;
mod sharing;
mod starting;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{Address, Clock as _};
use engine::limits::WATCHER_LEASE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use servers::{PgBouncer, PostgresServer, RedisServer};
use slipstream::clock::SystemClock;
use tokio::net::UnixStream;

use crate::{
    copies_and_is_paid, killed_at_every_point,
    scene::{BINARY, Guard, IDENTITY, POLICY, Scene, Servers, is_over},
};

mod runbook;

/// One server for all tests; it ends with this process.
static SERVER: LazyLock<PostgresServer> = LazyLock::new(|| PostgresServer::start().expect("PostgreSQL"));

/// One price for everybody: $5 are 12.5 shares of it.
const OFFERS: [(i64, i64); 1] = [(40, 900)];
const GIVEN: i64 = 12_500_000;

/// The queue, as the runbook names it.
const QUEUE: &str = "trade_execution_queue";

impl Scene {
    /// One whose books are in a database of its own.
    async fn on_servers() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("team_{}", MADE.fetch_add(1, Ordering::Relaxed));
        SERVER.run("postgres", &format!("CREATE DATABASE {name}")).expect("a database");
        let redis = RedisServer::start().expect("Redis");
        let mut scene = Self::begin().await;
        scene.servers = Some(Servers { database: SERVER.url(&name), pooled: None, redis });
        scene
    }

    /// The same, through a pooler that has fewer connections than the process.
    async fn behind_a_pooler(pooler: &PgBouncer) -> Self {
        let mut scene = Self::on_servers().await;
        let pooled = pooler.url(scene.database());
        scene.servers.as_mut().expect("servers").pooled = Some(pooled);
        scene
    }

    /// One with data directories of these names, whose backend is at work.
    async fn begun(homes: &[&str]) -> (Self, Guard) {
        let scene = Self::on_servers().await;
        scene.init(&POLICY);
        for home in homes {
            scene.home(home);
        }
        scene.next_second().await;
        let backend = scene.join("backend", "data", None);
        scene.up().await;
        (scene, backend)
    }

    fn database(&self) -> &str {
        let database = &self.servers.as_ref().expect("servers").database;
        database.rsplit('/').next().expect("a name")
    }

    fn sql(&self, text: &str) -> String {
        SERVER.run(self.database(), text).expect("it is done")
    }

    /// One whose armed account follows the leader, and its signer; the paper account is paused.
    async fn with_real_money() -> (Self, Address, Guard) {
        let scene = Self::on_servers().await;
        scene.init(&POLICY);
        let (identity, home) = (scene.directory.path().join("identity"), scene.directory.path());
        let keys = format!("[live]\nenabled = true\nkey_file = '{}'\n", identity.display());
        scene.private("identity", &format!("{IDENTITY}\n"));
        scene.private("signer.toml", &keys);
        let mut command = Command::new(BINARY);
        command.args(["signer", "serve", "--socket"]).arg(home.join("signer.sock"));
        command.arg("--state-dir").arg(home.join("signer")).arg("--config").arg(home.join("signer.toml"));
        let signer = Guard(command.stderr(Stdio::null()).spawn().expect("a signer"));
        let listens = async || UnixStream::connect(home.join("signer.sock")).await.ok();
        scene.until("signer", listens).await;
        let eoa = scene.armed().await;
        (scene, eoa, signer)
    }

    fn redis(&self) -> &RedisServer {
        &self.servers.as_ref().expect("servers").redis
    }

    /// The data directory of a process, with the installation's secret.
    fn home(&self, name: &str) -> PathBuf {
        let home = self.directory.path().join(name);
        fs::create_dir_all(&home).expect("a directory");
        fs::copy(self.data().join("installation.secret"), home.join("installation.secret")).expect("a copy");
        home
    }

    fn role(&self, role: &str, home: &str) -> Command {
        let mut command = self.command(&[role, "--data-dir"], true);
        command.arg(self.directory.path().join(home));
        command
    }

    /// A process of the team.
    fn join(&self, role: &str, home: &str, crash: Option<&str>) -> Guard {
        let log = fs::File::options().append(true).create(true).open(self.log()).expect("a log");
        let mut command = self.role(role, home);
        command.stderr(log);
        if let Some(crash) = crash {
            command.env("SLIPSTREAM_CRASH", crash);
        }
        Guard(command.spawn().expect("it starts"))
    }

    /// Waits until so many trades are answered, and nothing is under way.
    async fn until_settled(&self, trades: u8) {
        self.until_answers("settled answers", |lines| {
            lines.len() >= usize::from(trades) && lines.iter().all(is_over)
        })
        .await;
    }

    /// Waits until this many processes of a role work, and none else.
    async fn until_at_work(&self, task: &str, number: usize) {
        self.until("processes at work", async || {
            let list = self.ask(&["instance", "list"]);
            let tasks = list.as_array()?.iter().filter_map(|process| process["tasks"].as_array());
            let has = |tasks: &&Vec<Value>| {
                tasks.iter().any(|name| name.as_str().is_some_and(|name| name.starts_with(task)))
            };
            (tasks.filter(has).count() == number).then_some(())
        })
        .await;
    }

    /// Somebody says that all workers have ended, which is refused here, where they are seen to run; and somebody elsewhere
    /// says so.
    fn said_to_have_ended(&self) {
        let list = self.ask(&["instance", "list"]);
        let names =
            list.as_array().expect("processes").iter().filter_map(|process| process["process"].as_str());
        for (name, why) in
            names.map(|name| (name, "runs on this machine")).chain([("nobody", "no running process")])
        {
            let output = self.command(&["instance", "ended", name], true).output().expect("it runs");
            assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
        }
        self.sql(
            "UPDATE instances SET ended_at = began_at, how = 'a test said so' WHERE name LIKE '%/worker-%' AND \
             ended_at IS NULL",
        );
    }

    /// The number of the active watcher's lease.
    fn reign(&self) -> i64 {
        self.sql("SELECT fence FROM leases WHERE name = 'watcher'").parse().expect("a number")
    }

    /// Everything adds up; returns the copies that are held.
    fn copies(&self) -> i64 {
        let held: i64 = self
            .ask(&["positions"])
            .as_array()
            .expect("lines")
            .iter()
            .filter_map(|line| line["shares"].as_i64())
            .sum();
        assert_eq!(held % GIVEN, 0, "{held}");
        let _ = self.ask(&["verify"]);
        held / GIVEN
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command says that is refused.
fn refused(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(!output.status.success(), "{}", said(&output));
    said(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_is_killed_at_every_point() {
    killed_at_every_point(&Scene::on_servers().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_copies_on_paper_and_is_paid() {
    copies_and_is_paid(&Scene::on_servers().await).await;
}

/// Statements without names, one connection for each transaction, the schema past the pooler.
#[tokio::test(flavor = "multi_thread")]
async fn one_process_copies_and_is_paid_through_a_pooler() {
    let pooler = PgBouncer::start(&SERVER, 3).expect("PgBouncer");
    let scene = Scene::behind_a_pooler(&pooler).await;
    copies_and_is_paid(&scene).await;
    // The process has ended; the pooler keeps its connections, which did all of it.
    let kept = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", scene.database());
    let sessions: usize = SERVER.run("postgres", &kept).expect("sessions").parse().expect("a number");
    assert!((1..=3).contains(&sessions), "{sessions} sessions");
}

/// What does not fit together is refused before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused() {
    let scene = Scene::on_servers().await;
    scene.init(&POLICY);
    let alone = refused(scene.role("run", "data").env_remove("REDIS_URL"));
    assert!(alone.contains("no queue is named"), "{alone}");
    let without = refused(scene.role("worker", "w").env_remove("REDIS_URL").env_remove("DATABASE_URL"));
    assert!(without.contains("a worker works beside other processes"), "{without}");
    let two = refused(
        scene.role("run", "data").env("PRODUCTION_DATABASE_URL", "postgres://other:hunter2@there/slip"),
    );
    assert!(two.contains("PRODUCTION_DATABASE_URL") && !two.contains("hunter2"), "{two}");
    let doctor = scene.command(&["doctor", "--json"], false).output().expect("it runs");
    let report: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let of_database =
        report["findings"].as_array().expect("findings").iter().find(|one| one["check"] == "database");
    assert!(of_database.is_some_and(|one| one["verdict"] == "ok"), "{report}");
    // A process without the installation's secret, and one with another's.
    let stranger = refused(&mut scene.role("worker", "stranger"));
    assert!(stranger.contains("installation.secret is missing"), "{stranger}");
    fs::write(scene.home("other").join("installation.secret"), [7; 32]).expect("a file");
    let other = refused(&mut scene.role("worker", "other"));
    assert!(other.contains("is not the secret of this database"), "{other}");
    let again = refused(
        scene.command(&["init", "--yes", "--file", "again.toml"], false).current_dir(scene.directory.path()),
    );
    assert!(again.contains("the database has 1 account already"), "{again}");
    // A server that answers commits before it has written them.
    for setting in ["off", "local"] {
        scene.sql(&format!("ALTER DATABASE {} SET synchronous_commit = {setting}", scene.database()));
        let forgets = refused(&mut scene.role("run", "data"));
        assert!(forgets.contains(&format!("has synchronous_commit = {setting}")), "{forgets}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_loses_and_doubles_nothing_whatever_dies() {
    let (scene, _backend) = Scene::begun(&["w1", "w2", "v1", "v2"]).await;
    let _standing = scene.join("worker", "w2", None);
    let mut active = scene.join("watcher", "v1", None);
    scene.until_at_work("watcher", 1).await;
    let mut standby = scene.join("watcher", "v2", None);
    scene.until_at_work("watcher", 2).await;
    let mut trades = 0;
    // A worker is killed in the middle of an order: the other one sees it and goes on.
    for point in ["worker.after_commit", "worker.after_post", "worker.before_record"] {
        let mut mortal = scene.join("worker", "w1", Some(&format!("{point}:1")));
        scene.until_at_work("worker-0", 2).await;
        let mut killed = None;
        while killed.is_none() {
            // Either of them may be quicker.
            trades += 1;
            scene.leader_buys(trades, &OFFERS).await;
            scene.until_settled(trades).await;
            killed = mortal.0.try_wait().expect("a child");
        }
        scene.until_at_work("worker-0", 1).await;
    }
    let mut worker = scene.join("worker", "w1", None);
    scene.until_at_work("worker-0", 2).await;
    let missed = i64::from(trades) - scene.copies();
    assert!(missed <= 3, "one entry at most is missed for each worker that was killed, not {missed}");
    // The active watcher is killed: the other one sees it and takes over.
    let reign = scene.reign();
    active.0.kill().expect("it is killed");
    let killed = SystemClock.uptime();
    trades += 1;
    scene.leader_buys(trades, &OFFERS).await;
    scene.until_answers("decision", |lines| lines.len() >= usize::from(trades)).await;
    let took = SystemClock.uptime() - killed;
    in_leases("death", took);
    assert_eq!(scene.reign(), reign + 1, "one other took over, once");
    scene.until_settled(trades).await;
    active = scene.join("watcher", "v1", None);
    scene.until_at_work("watcher", 2).await;
    // Redis loses everything, in every way.
    for what in [&["FLUSHALL"][..], &["DEL", QUEUE]] {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
        scene.redis().run(what).expect("it is lost");
        scene.until_settled(trades).await;
    }
    scene.redis().stop().expect("it stops");
    trades += 1;
    scene.leader_buys(trades, &OFFERS).await;
    scene.until_settled(trades).await;
    scene.redis().start_again().expect("it starts");
    assert_eq!(i64::from(trades) - scene.copies(), missed, "nothing more was missed");
    scene.said_to_have_ended();
    scene.until_at_work("worker-0", 2).await;
    trades += 1;
    scene.leader_buys(trades, &OFFERS).await;
    scene.until_settled(trades).await;
    // Every process is restarted in its turn, while trades go on.
    for (process, role, home) in
        [(&mut worker, "worker", "w1"), (&mut active, "watcher", "v1"), (&mut standby, "watcher", "v2")]
    {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
        assert!(scene.end(process).await.success(), "{home}");
        *process = scene.join(role, home, None);
        scene.until_settled(trades).await;
    }
    scene.until_at_work("watcher", 2).await;
    scene.until_at_work("worker-0", 2).await;
    assert_eq!(i64::from(trades) - scene.copies(), missed, "nothing was missed by restarting");
    let log = fs::read_to_string(scene.log()).expect("a log");
    for told in ["of processes that are gone from this machine recorded as ended", "somebody has recorded"] {
        assert!(log.contains(told), "{log}");
    }
}

/// The other one takes over when the lease is over, asks for it four times a second, and decides. What that takes at most is
/// asserted on a clock of its own (`crates/testkit/tests/stopped_sources.rs`); how long this machine takes to decide is told
/// only.
fn in_leases(what: &str, took: Duration) {
    let leases = took.as_secs_f64() / WATCHER_LEASE.as_secs_f64();
    eprintln!("from the watcher's {what} to the other one's decision: {took:?}, {leases:.2} leases");
}

/// A signal, as an operator or the machine sends it.
fn signal(process: &Guard, signal: Signal) {
    let id = i32::try_from(process.0.id()).expect("a pid");
    kill_process(Pid::from_raw(id).expect("a pid"), signal).expect("a signal");
}

/// The same with (simulated) real money at the simulated venue, which has its own books of it: what it executed is what is
/// held. Workers are killed at any moment, and the watcher stands still for longer than its lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_with_real_money_holds_what_the_venue_executed() {
    let (scene, eoa, _signer) = Scene::with_real_money().await;
    for home in ["w1", "w2", "v1", "v2"] {
        scene.home(home);
    }
    let _backend = scene.join("backend", "data", None);
    scene.up().await;
    let mut worker = scene.join("worker", "w1", None);
    let _other = scene.join("worker", "w2", None);
    let watcher = scene.join("watcher", "v1", None);
    scene.until_at_work("watcher", 1).await;
    let _standby = scene.join("watcher", "v2", None);
    scene.until_at_work("watcher", 2).await;
    scene.until_at_work("worker-0", 2).await;
    scene.funded().await;
    // Each trade has an answer of the paper account, which is paused, and of the armed one.
    let mut trades = 0;
    for millis in [0, 100, 200, 300, 400, 500] {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
        SystemClock.sleep(Duration::from_millis(millis)).await;
        worker.0.kill().expect("it is killed");
        worker.0.wait().expect("a child");
        worker = scene.join("worker", "w1", None);
    }
    scene.until_settled(2 * trades).await;
    // Nobody can tell one that stands still from one that works: its lease runs out.
    let reign = scene.reign();
    signal(&watcher, Signal::STOP);
    let stopped = SystemClock.uptime();
    trades += 1;
    scene.leader_buys(trades, &OFFERS).await;
    scene.until_answers("decision", |lines| lines.len() >= 2 * usize::from(trades)).await;
    let took = SystemClock.uptime() - stopped;
    in_leases("standstill", took);
    assert_eq!(scene.reign(), reign + 1, "one other took over, once");
    scene.until_settled(2 * trades).await;
    signal(&watcher, Signal::CONT);
    trades += 1;
    scene.leader_buys(trades, &OFFERS).await;
    scene.redis().run(&["FLUSHALL"]).expect("it is lost");
    scene.until_settled(2 * trades).await;
    let orders = scene.control.orders().await.expect("orders");
    assert!(orders.iter().all(|order| order.maker == eoa && [0, GIVEN].contains(&order.executed().shares.0)));
    let executed: i64 = orders.iter().map(|order| order.executed().shares.0).sum();
    eprintln!("{trades} trades, {} orders at the venue, {} executed", orders.len(), executed / GIVEN);
    assert!(orders.len() <= usize::from(trades), "one order at most for each trade: {orders:?}");
    assert!(executed >= 2 * GIVEN, "what is traded while nobody is killed is copied");
    scene.until_held("what the venue executed", executed).await;
    assert_eq!(scene.copies(), executed / GIVEN);
}

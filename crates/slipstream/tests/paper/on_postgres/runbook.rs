//! The on-call runbook's commands, word for word, as an operator types them while a team works.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;
use testkit::runbook::{self, COMMANDS, command};

use super::{OFFERS, POLICY, SERVER, said};
use crate::scene::{BINARY, Guard, Scene, is_over};

/// A team that works, and an operator beside it who is given each command once.
struct Desk {
    scene: Scene,
    worker: Option<Guard>,
    trades: u8,
    typed: BTreeSet<&'static str>,
}

impl Desk {
    /// The command, as it is written.
    fn type_in(&mut self, id: &'static str) -> String {
        assert!(self.typed.insert(id), "{id} twice");
        let command = command(id);
        let answer = if command.starts_with("redis-cli") {
            self.scene.redis().shell(command)
        } else {
            SERVER.shell(&SERVER.url_as("ops_operator", self.scene.database()), command)
        };
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn operator(&self, sql: &str) -> String {
        let operator = SERVER.url_as("ops_operator", self.scene.database());
        SERVER.shell(&operator, &format!("psql \"$DATABASE_URL\" -Atc \"{sql}\"")).expect(sql)
    }

    async fn leader_buys(&mut self) {
        self.trades += 1;
        self.scene.leader_buys(self.trades, &OFFERS).await;
    }

    /// Waits until the list of Redis is so long.
    async fn until_list(&self, length: &str) {
        let redis = self.scene.redis();
        self.scene
            .until(&format!("list of {length}"), async || {
                (redis.run(&["LLEN", super::QUEUE]).ok()? == length).then_some(())
            })
            .await;
    }

    /// Waits until the newest trade is answered as `expected`.
    async fn until_newest(&self, answer: &str) {
        let trades = usize::from(self.trades);
        let newest = |lines: &[Value]| {
            lines.len() == trades && lines.iter().all(is_over) && lines[0]["answer"]["answer"] == answer
        };
        self.scene.until_answers(answer, newest).await;
    }

    /// "Trade Execution Queue Stuck".
    async fn queue(&mut self) {
        let mut worker = self.worker.take().expect("a worker");
        assert!(self.scene.end(&mut worker).await.success());
        for _ in 0..2 {
            self.leader_buys().await;
        }
        self.until_list("2").await;
        assert_eq!(self.type_in("queue-depth"), "2");
        assert_eq!(self.type_in("queue-clear"), "1");
        // Nobody requeues by hand.
        self.until_list("2").await;
        let told = || fs::read_to_string(self.scene.log()).unwrap_or_default();
        self.scene
            .until("word of it", async || told().contains("the queue had 0 of 2 waiting").then_some(()))
            .await;
        self.worker = Some(self.scene.join("worker", "w1", None));
        self.scene.until_settled(self.trades).await;
        assert_eq!(self.scene.copies(), i64::from(self.trades), "each once");
        self.until_list("0").await;
    }

    /// "Database Connection Pool Exhausted".
    async fn pool(&mut self) {
        let lines = |answer: &str| answer.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>();
        let sessions: u32 = lines(&self.type_in("pool-count"))[2].parse().expect("a number");
        assert!(sessions >= 4, "a backend, a watcher, a worker, and the operator: {sessions}");
        let states = self.type_in("pool-states");
        assert!(lines(&states).iter().any(|line| line.starts_with("idle ")), "{states}");
        let long = self.command_that_lasts();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        self.scene.until("long query", async || (self.operator(sleeps) == "1").then_some(())).await;
        let longest = self.type_in("pool-longest");
        assert!(lines(&longest)[2].contains("SELECT pg_sleep(100)"), "{longest}");
        drop(long);
        // Nobody has been idle for five minutes; for no time at all, many have.
        assert!(self.type_in("pool-kill-idle").contains("(0 rows)"));
        let now = command("pool-kill-idle").replace("5 minutes", "0 minutes");
        let ended =
            SERVER.shell(&SERVER.url_as("ops_operator", self.scene.database()), &now).expect("it ends them");
        assert!(!ended.contains("(0 rows)") && ended.contains("t\n"), "{ended}");
        self.leader_buys().await;
        self.until_newest("copied").await;
    }

    /// A session of the program's role with a statement that takes long.
    fn command_that_lasts(&self) -> Guard {
        let mut psql = Command::new("psql");
        psql.arg(SERVER.url_as("slipstream_app", self.scene.database())).args(["-c", "SELECT pg_sleep(100)"]);
        Guard(psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql"))
    }

    /// "Polymarket API Down/Slow".
    async fn venue(&mut self) {
        assert_eq!(self.type_in("venue-pause"), "UPDATE 1");
        let left = "SELECT auto_resume_at - now() BETWEEN interval '59 minutes' AND interval '1 hour' \
                    FROM copy_relationships";
        assert_eq!(self.operator(left), "t");
        self.leader_buys().await;
        self.until_newest("skipped").await;
        let holds = self.scene.ask(&["holds"]);
        assert!(holds.to_string().contains("ops_operator"), "{holds}");
        self.own();
        assert_eq!(self.operator("UPDATE copy_relationships SET status = 'active'"), "UPDATE 1");
        self.leader_buys().await;
        self.until_newest("copied").await;
    }

    /// The program's own commands that the table names, in a shell that has an operator's two addresses and nothing else of
    /// the installation, and in one that also names the backend's data directory. Each with its answer.
    fn own_commands(&self) -> Vec<(String, String)> {
        let text = runbook::markdown();
        let commands: BTreeSet<_> = text.split('`').filter(|part| part.starts_with("slipstream ")).collect();
        let nowhere = tempfile::tempdir().expect("a directory");
        let type_in = |command: &str, more: &[&str]| {
            let operator = SERVER.url_as("ops_operator", self.scene.database());
            let mut shell = Command::new(BINARY);
            for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLIPSTREAM_")) {
                shell.env_remove(name);
            }
            shell
                .args(command.split(' ').skip(1))
                .args(more)
                .current_dir(nowhere.path())
                .env_remove("REDIS_URL");
            shell.env("DATABASE_URL", &operator).env("PRODUCTION_DATABASE_URL", &operator);
            let output = shell.output().expect("it runs");
            assert!(output.status.success(), "{command} {more:?}: {}", said(&output));
            (command.to_owned(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let data = self.scene.data();
        let data = data.to_string_lossy();
        let here = commands.iter().filter(|command| **command != "slipstream db status");
        let here = here.map(|command| type_in(command, &["--data-dir", &data])).collect::<Vec<_>>();
        commands.iter().map(|command| type_in(command, &[])).chain(here).collect()
    }

    /// What an operator's shell says of the program's own commands.
    fn own(&self) {
        let said = self.own_commands();
        let typed: BTreeSet<&str> = said.iter().map(|(command, _)| command.as_str()).collect();
        let expected = ["db status", "holds", "queue depth", "queue quarantine --all", "queue requeue --all"];
        assert_eq!(
            typed,
            expected.map(|command| format!("slipstream {command}")).iter().map(String::as_str).collect()
        );
        for (command, word) in [
            ("slipstream db status", "as this version wants it"),
            ("slipstream holds", "paused in copy_relationships by ops_operator"),
            ("slipstream queue depth", "entries: 0 wait"),
            ("slipstream queue quarantine --all", "0 jobs set aside"),
            ("slipstream queue requeue --all", "0 jobs put back"),
        ] {
            let answers = said.iter().filter(|(typed, _)| typed == command);
            for (_, answer) in answers {
                assert!(answer.contains(word), "{command}: {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_commands_do_what_its_table_says() {
    let mut scene = Scene::on_servers().await;
    scene.init(&POLICY);
    let migrated = scene.command(&["db", "migrate"], false).output().expect("it runs");
    assert!(migrated.status.success(), "{}", said(&migrated));
    // From here on each has the rights of its role.
    let application = SERVER.url_as("slipstream_app", scene.database());
    scene.servers.as_mut().expect("servers").database = application;
    for home in ["w1", "v1"] {
        scene.home(home);
    }
    scene.next_second().await;
    let _backend = scene.join("backend", "data", None);
    scene.up().await;
    let _watcher = scene.join("watcher", "v1", None);
    let worker = Some(scene.join("worker", "w1", None));
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 1).await;
    let mut desk = Desk { scene, worker, trades: 0, typed: BTreeSet::new() };
    desk.queue().await;
    desk.pool().await;
    desk.venue().await;
    let all: BTreeSet<_> = COMMANDS.iter().map(|one| one.id).collect();
    assert_eq!(desk.typed, all, "each was typed");
}

#[test]
fn the_document_is_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbook.md");
    let table = runbook::markdown();
    if std::env::var_os("SLIPSTREAM_WRITE_RUNBOOK").is_some() {
        fs::write(file, &table).expect("it is written");
    }
    let written = fs::read_to_string(file).expect("docs/runbook.md");
    assert_eq!(written, table, "write it anew with SLIPSTREAM_WRITE_RUNBOOK=1");
}

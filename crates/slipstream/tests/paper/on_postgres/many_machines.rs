//! docs/many-machines.md, word for word: every command of it in one shell, after an installation on one machine.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::symlink, process::CommandExt as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use rustix::process::kill_process_group;

use super::*;

/// The guide.
const GUIDE: &str = include_str!("../../../../../docs/many-machines.md");
/// What the shell says after each block, with how its last command ended.
const DONE: &str = "the block is done:";

/// The blocks of commands, in order.
fn blocks() -> Vec<&'static str> {
    let parts = GUIDE.split("```sh\n").skip(1);
    parts.map(|part| part.split_once("```").expect("a block ends").0).collect()
}

/// A shell as an operator has it, with what it started.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    /// In the installation's directory, with the program in its path; the venue is told by variables, as all tests do.
    fn new(scene: &Scene) -> Self {
        let programs = scene.directory.path().join("programs");
        fs::create_dir(&programs).expect("a directory");
        symlink(BINARY, programs.join("slipstream")).expect("a link");
        let mut command = Command::new("bash");
        for (name, value) in scene.command(&[], true).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", programs.display())).current_dir(scene.directory.path());
        command.env("COLUMNS", "100").process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("bash");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut shell = Self { child, stdin, stdout: BufReader::new(stdout) };
        shell.type_in("exec 2>&1");
        shell
    }

    /// What it said; each line must succeed, a process in the background needs only to start.
    fn type_in(&mut self, block: &str) -> String {
        let script = format!("set -e\n{block}\nset +e\necho '{DONE}'\n");
        self.stdin.write_all(script.as_bytes()).expect("it listens");
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("it speaks");
            assert!(read > 0, "`{block}` failed: {said}");
            if line.trim_end() == DONE {
                return said;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.child.wait();
    }
}

/// A port of this machine, as the guide's first block wants it.
fn place_of(url: &str) -> String {
    let place = url.split("//").nth(1).expect("an address").split('/').next().expect("a place");
    place.rsplit('@').next().expect("a place").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_is_followed_word_for_word() {
    let mut scene = Scene::begin().await;
    scene.init(&POLICY);
    scene.next_second().await;
    let mut run = scene.run(true, None);
    scene.up().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_settled(1).await;
    assert!(scene.end(&mut run).await.success());
    let redis = RedisServer::start().expect("Redis");
    let (database, queue) = (SERVER.url("slipstream"), redis.url(0));
    let mut shell = Shell::new(&scene);
    let all = blocks();
    let [first, moved, shared, started, looked, restarted, held, backed_up, back] = all.as_slice() else {
        panic!("the guide has {} blocks", all.len())
    };
    let own = first
        .replace("db.example:5432", &place_of(&database))
        .replace("cache.example:6379", &place_of(&queue));
    assert_ne!(own, *first);
    for (block, word) in [(own.as_str(), "schema"), (moved, "checksums are the same"), (shared, "")] {
        let said = shell.type_in(block);
        assert!(said.contains(word), "{said}");
    }
    scene.servers = Some(Servers { database, pooled: None, redis });
    shell.type_in(started);
    scene.up().await;
    scene.until_at_work("watcher", 2).await;
    scene.until_at_work("worker-0", 2).await;
    scene.leader_buys(2, &OFFERS).await;
    scene.until_settled(2).await;
    let said = shell.type_in(looked);
    for word in ["worker-0", "watcher", "entries: 0 wait"] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    shell.type_in(restarted);
    scene.until_at_work("worker-0", 2).await;
    let said = shell.type_in(held);
    assert!(said.contains("UPDATE 1") && said.contains("operator"), "{said}");
    scene.leader_buys(3, &OFFERS).await;
    scene.until_settled(3).await;
    assert_eq!(scene.copies(), 3, "what was copied on one machine, by the team, and after a pause");
    let said = shell.type_in(backed_up);
    assert!(said.contains("checksums are the same"), "{said}");
    shell.type_in(back);
    let servers = scene.servers.take();
    let mut run = scene.run(true, None);
    scene.up().await;
    let holds = scene.ask(&["holds"]);
    let hold = holds["holds"][0].to_string();
    scene.leader_buys(4, &OFFERS).await;
    scene.until_settled(4).await;
    assert_eq!(scene.copies(), 3, "everything is held: {holds}");
    assert_eq!(scene.ask(&["lift", &hold])["lifted"], true);
    scene.leader_buys(5, &OFFERS).await;
    scene.until_settled(5).await;
    assert_eq!(scene.copies(), 4);
    assert!(scene.end(&mut run).await.success());
    drop(servers);
}

//! Two versions beside each other, and a database that goes back under everybody.

use std::cell::Cell;

use super::*;

impl Scene {
    /// Ends all sessions in the database, and keeps a copy of it.
    fn snapshot(&self) -> String {
        let (name, older) = (self.database(), format!("{}_older", self.database()));
        self.close();
        SERVER.run("postgres", &format!("CREATE DATABASE {older} TEMPLATE {name}")).expect("a copy");
        SERVER.run("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).expect("it is open");
        older
    }

    /// Nobody is in the database, and nobody comes.
    fn close(&self) {
        let name = self.database();
        SERVER.run("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).expect("closed");
        let end =
            format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'");
        SERVER.run("postgres", &end).expect("they are ended");
    }

    /// Waits until a worker works.
    async fn until_here(&self, process: &Guard) {
        let its = format!("-{}-%/worker-0-%", process.0.id());
        let works = format!("SELECT count(*) FROM instances WHERE ended_at IS NULL AND name LIKE '%{its}'");
        self.until("worker", async || (self.sql(&works) == "1").then_some(())).await;
    }
}

/// The schema of a later version that still serves this one, then of one that does not: whoever runs goes on, whoever starts
/// is served or refused.
#[tokio::test(flavor = "multi_thread")]
async fn two_versions_work_side_by_side_where_the_schema_serves_both() {
    let (scene, _backend) = Scene::begun(&["w1", "w2", "v1"]).await;
    let mut worker = scene.join("worker", "w1", None);
    let mut watcher = scene.join("watcher", "v1", None);
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 1).await;
    let (mut trades, skipped) = (0, Cell::new(0));
    let mut copied = async || {
        trades += 1;
        scene.leader_buys(trades, &OFFERS).await;
        scene.until_settled(trades).await;
        i64::from(trades) - skipped.get()
    };
    copied().await;
    // Expanded: what the later version adds, those that run do not know.
    scene.sql(
        "ALTER TABLE holds ADD COLUMN later BIGINT; ALTER TABLE signed_orders ADD COLUMN later TEXT DEFAULT 'later'; \
         CREATE TABLE later_things (id BIGINT PRIMARY KEY); \
         UPDATE installation SET schema_version = 2, serves = 1, software = '99.0.0'",
    );
    copied().await;
    // What the later version says in rows that both read.
    let told = "version = version + 1";
    scene.sql(&format!(
        "UPDATE policies SET policy = (policy::jsonb || '{{\"cap_a_day\": 1}}')::text; UPDATE config_version SET {told}; \
         INSERT INTO events (at, event) VALUES (1, '{{\"kind\": \"later\"}}'); \
         INSERT INTO holds (scope, scope_id, cause, reason, stops_exits, sells, placed_at) \
         VALUES (2, 99, 77, 'of a leader that nobody follows', 1, 0, 1)"
    ));
    skipped.set(1);
    copied().await;
    let newer = |line: &Value| line["answer"]["reason"] == "newer_version";
    scene.until_answers("reason", |lines| lines.iter().filter(|line| newer(line)).count() == 1).await;
    scene.sql(&format!(
        "UPDATE policies SET policy = (policy::jsonb - 'cap_a_day')::text; UPDATE config_version SET {told}"
    ));
    for (process, role, home) in [(&mut worker, "worker", "w1"), (&mut watcher, "watcher", "v1")] {
        assert!(scene.end(process).await.success(), "{home}");
        *process = scene.join(role, home, None);
    }
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 1).await;
    assert_eq!(
        copied().await,
        scene.copies(),
        "what was not understood bought nothing, and the rest goes on"
    );
    assert_eq!(scene.sql("SELECT schema_version FROM installation"), "2", "an earlier version leaves it");
    // Contracted: that version serves this one no longer.
    scene.sql("UPDATE installation SET serves = 2");
    let all = copied().await;
    let beside = scene.directory.path().join("w2").display().to_string();
    for command in [
        &mut scene.role("worker", "w2"),
        &mut scene.role("backend", "w2"),
        &mut scene.command(&["holds", "--data-dir", &beside], true),
    ] {
        let told = refused(command);
        assert!(
            told.contains("written by version 99.0.0 (schema 2)") && told.contains("run the newer version"),
            "{told}"
        );
    }
    assert_eq!(scene.copies(), all);
}

/// A standby that lagged is promoted under a team at work, then under one that is partly away: everything is held once, and
/// whoever comes back later holds nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_whose_database_goes_back_is_held_once() {
    let (scene, _backend) = Scene::begun(&["w1", "w2", "v1", "v2"]).await;
    let _worker = scene.join("worker", "w1", None);
    let mut away = scene.join("worker", "w2", None);
    let _watchers = [scene.join("watcher", "v1", None), scene.join("watcher", "v2", None)];
    scene.until_at_work("watcher", 2).await;
    scene.until_at_work("worker-0", 2).await;
    let older = scene.snapshot();
    scene.leader_buys(1, &OFFERS).await;
    scene.until_settled(1).await;
    assert!(scene.end(&mut away).await.success());
    scene.close();
    let name = scene.database();
    SERVER.run("postgres", &format!("ALTER DATABASE {name} RENAME TO {name}_lost")).expect("it is lost");
    SERVER.run("postgres", &format!("ALTER DATABASE {older} RENAME TO {name}")).expect("it is older");
    let holds = "SELECT count(*) FROM holds WHERE reason LIKE 'the database went back in time%' AND lifted_at IS NULL";
    scene.until("hold", async || (scene.sql(holds) == "1").then_some(())).await;
    // Who was away comes back, before and after somebody has looked.
    away = scene.join("worker", "w2", None);
    scene.until_here(&away).await;
    assert_eq!(scene.sql(holds), "1");
    let id = scene.sql("SELECT id FROM holds WHERE lifted_at IS NULL");
    assert_eq!(scene.ask(&["lift", &id])["lifted"], true);
    assert!(scene.end(&mut away).await.success());
    away = scene.join("worker", "w2", None);
    scene.until_here(&away).await;
    scene.next_second().await;
    scene.leader_buys(2, &OFFERS).await;
    let is_copied = |line: &Value| is_over(line) && line["answer"]["answer"] != "skipped";
    scene.until_answers("copy", |lines| lines.iter().any(is_copied)).await;
    assert_eq!(scene.sql("SELECT count(*) FROM holds WHERE lifted_at IS NULL"), "0");
    assert!(scene.end(&mut away).await.success());
}

//! A restore drill: what a team has, into another database, as its owner; and a team goes on there with its own rights.

use super::*;

/// The newest answer.
async fn until_newest(scene: &Scene, trades: usize, answer: &str) {
    let newest = |lines: &[Value]| {
        lines.len() == trades && lines.iter().all(is_over) && lines[0]["answer"]["answer"] == answer
    };
    scene.until_answers(answer, newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_team_is_held_and_goes_on_when_it_is_lifted() {
    let (mut scene, mut backend) = Scene::begun(&["w1", "v1"]).await;
    let mut watcher = scene.join("watcher", "v1", None);
    let mut worker = scene.join("worker", "w1", None);
    scene.until_at_work("watcher", 1).await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_settled(1).await;
    let backup = scene.directory.path().join("today.db").display().to_string();
    scene.ask(&["backup", &backup]);

    // A drill needs nobody to stop.
    let drill = format!("{}_drill", scene.database());
    SERVER.run("postgres", &format!("CREATE DATABASE {drill}")).expect("a database");
    let owner = format!("file:{}", scene.private("owner.url", &SERVER.url(&drill)));
    let application = SERVER.url_as("slipstream_app", &drill);
    let app = format!("file:{}", scene.private("app.url", &application));
    let refused = |to: &str, why: &str| {
        let output = scene.command(&["restore", &backup, "--to", to], true).output().expect("it runs");
        assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
    };
    refused(&app, "may not change the schema");
    assert_eq!(SERVER.run(&drill, "SELECT to_regclass('installation') IS NULL").expect("an answer"), "t");
    let restored = scene.ask(&["restore", &backup, "--to", &owner]);
    assert_eq!(restored["roles_refused"], Value::Null);
    refused(&owner, "is not empty, nothing was written");
    refused(&app, "may not change the schema");

    for process in [&mut worker, &mut watcher, &mut backend] {
        assert!(scene.end(process).await.success());
    }
    scene.servers.as_mut().expect("servers").database = application;
    let _backend = scene.join("backend", "data", None);
    scene.up().await;
    let _watcher = scene.join("watcher", "v1", None);
    let _worker = scene.join("worker", "w1", None);
    scene.until_at_work("watcher", 1).await;
    scene.until_at_work("worker-0", 1).await;
    let holds = scene.ask(&["holds"]);
    assert_eq!(holds["holds"], serde_json::json!([restored["hold"]]), "held once: {holds}");
    scene.leader_buys(2, &OFFERS).await;
    until_newest(&scene, 2, "skipped").await;
    scene.ask(&["lift", &restored["hold"].to_string()]);
    scene.leader_buys(3, &OFFERS).await;
    until_newest(&scene, 3, "copied").await;
    assert_eq!(scene.copies(), 2, "the one of before, and the one after the lift");
}

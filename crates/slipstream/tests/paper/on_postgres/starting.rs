//! Processes that do not reach what they need.

use std::net::TcpListener;

use super::*;

/// A server that takes connections and says nothing: a start hears what ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_a_server_can_be_ended() {
    let scene = Scene::on_servers().await;
    scene.init(&POLICY);
    scene.home("w1");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut command = scene.role("worker", "w1");
    command.env("DATABASE_URL", format!("postgres://somebody@127.0.0.1:{port}/nothing"));
    let mut process = Guard(command.stderr(Stdio::null()).spawn().expect("it starts"));
    let (_connection, _) = silent.accept().expect("it comes");
    assert!(scene.end(&mut process).await.success());
}

/// A worker that reaches the database and no queue: it kept the rescuers' turns, in which the queue of all others stayed
/// wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_rescuer_that_is_cut_off_from_the_queue_leaves_its_turn() {
    let (scene, _backend) = Scene::begun(&["w1", "w2"]).await;
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut command = scene.role("worker", "w1");
    command.env("REDIS_URL", format!("redis://127.0.0.1:{nowhere}")).stderr(Stdio::null());
    let cut_off = Guard(command.spawn().expect("it starts"));
    let (mut first, lanes) = (None, ["exits", "entries"]);
    let turn = |lane: &str, process: &Guard| {
        let its = format!("%-{}-%", process.0.id());
        let holder =
            format!("SELECT count(*) FROM leases WHERE name = 'rescuer of {lane}' AND holder LIKE '{its}'");
        scene.sql(&holder) == "1"
    };
    for lane in lanes {
        scene.until("turn", async || turn(lane, &cut_off).then_some(())).await;
        let other = first.get_or_insert_with(|| scene.join("worker", "w2", None));
        scene.until("turn of the other one", async || turn(lane, other).then_some(())).await;
    }
}

//! Starts that wait for somebody.

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

//! The pages of a running demo in a real browser. `./test` installs what drives it and runs this target by name.

#![cfg(test)]

use std::{env, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where `./test` installed the driver.
fn folder() -> PathBuf {
    let named = env::var_os("SLIPSTREAM_BROWSER").map(PathBuf::from);
    named.expect("SLIPSTREAM_BROWSER does not name the folder of the driver; run `./test`, which installs it")
}

/// A demo that serves its pages, and where.
async fn demo(directory: &tempfile::TempDir) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["demo", "--headless", "--stay", "--followers", "1", "--speed", "20", "--data-dir"])
        .arg(directory.path().join("data"))
        .env("SLIPSTREAM_WEB_ADDRESS", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let told = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, url)) = line.split_once("in your browser: ") {
                return url.to_owned();
            }
        }
        panic!("the demo ended without telling where its pages are");
    };
    let url = timeout(PATIENCE, told).await.expect("the demo does not tell where its pages are");
    // Whoever writes to a pipe that nobody reads stops at some point.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (process, url)
}

async fn drive(scenario: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, url) = demo(&directory).await;
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    let node = env::var_os("SLIPSTREAM_NODE").unwrap_or_else(|| "node".into());
    let driver = Command::new(node)
        .arg(folder().join("drive.mjs"))
        .args([scenario, &url])
        .arg(shots)
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, driver).await.expect("the browser hangs").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    demo.kill().await.unwrap();
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_follows_a_leader_to_the_first_copied_trade() {
    drive("following").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_and_panic_take_effect_on_the_page() {
    drive("pausing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_by_everybody_at_every_size() {
    drive("looks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_an_app_and_a_passkey_prove_who_asks() {
    drive("proofs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_the_readers_and_silence_is_told() {
    drive("time_and_silence").await;
}

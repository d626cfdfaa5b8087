//! A task of the engine that panics fails the demo: the real binary, told to panic at a crash point.

#![cfg(test)]

use std::process::{Command, Output};

/// A demo in which the task that first reaches `point` panics.
fn demo(point: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["demo", "--headless", "--speed", "600", "--followers", "3", "--data-dir"])
        .arg(&data)
        .env("SLIPSTREAM_CRASH", format!("{point}:1:panic"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

fn fails_and_names(point: &str, task: &str) {
    let output = demo(point);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let names =
        |line: &str| line.contains(&format!("the engine's {task}")) && line.contains("panicked: asked");
    let error = said.lines().find(|line| line.starts_with("slipstream: ") && names(line));
    assert!(error.is_some(), "no word of the {task}: {said}");
    assert!(said.contains("it proves nothing") || point.starts_with("detection"), "{said}");
}

#[test]
fn of_the_watcher_before_its_baseline() {
    fails_and_names("detection.before_commit", "watcher");
}

#[test]
fn of_a_worker_although_another_takes_its_place() {
    fails_and_names("worker.before_commit", "worker");
}

#[test]
fn of_the_settlement() {
    fails_and_names("settlement.after_claim", "settlement");
}

#[test]
fn a_point_or_an_end_that_does_not_exist_is_refused() {
    for (wanted, complaint) in [
        ("worker.nowhere:1", "no crash point"),
        ("worker.after_load:1:stumble", "`stumble` is neither `panic` nor `stop`"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_slipstream"))
            .args(["demo", "--headless", "--data-dir"])
            .arg(directory.path())
            .env("SLIPSTREAM_CRASH", wanted)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(complaint), "{wanted}: {said}");
    }
}

//! The demo as a person starts it: the real binary, broken on purpose while it plays.

#![cfg(test)]

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;

const TOKEN: &str = "1234567890123456789012345678901234567890123456789012345678901234567890";

fn demo(data: &Path, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["demo", "--json", "--data-dir"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report, said)
}

/// Every kind of fault comes in turn, and every invariant holds. What is kept is one file, and no socket that
/// nobody listens on.
#[test]
fn broken_every_few_seconds_it_still_ends_green() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (status, report, said) = demo(&data, &["--faults", "--speed", "90"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(report["holds"], true, "{report}");
    assert!(report["copied"].as_u64().is_some_and(|copied| copied > 0), "{report}");
    let broken = report["broken"].as_array().unwrap();
    for wanted in
        ["killed a worker with ", "took the venue down", "brought the venue back", "reorganised two blocks"]
    {
        let told = |fault: &Value| fault["what"].as_str().is_some_and(|what| what.starts_with(wanted));
        assert!(broken.iter().any(told), "not {wanted}: {broken:?}");
    }
    assert!(!data.join("control.sock").exists());
    let log = data.join("slipstream.db-wal");
    assert_eq!(log.metadata().map_or(0, |log| log.len()), 0);
    let (sound, verdict) = verify(&data);
    assert!(sound && verdict.contains("0 differences"), "{verdict}");
    assert!(verdict.contains("asked while a demo runs"), "{verdict}");
}

/// What `verify` says of data whose process has ended, and whether all is well.
fn verify(data: &Path) -> (bool, String) {
    let verified = Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["verify", "--data-dir"])
        .arg(data)
        .output()
        .unwrap();
    let said = [verified.stdout, verified.stderr].concat();
    (verified.status.success(), String::from_utf8(said).unwrap())
}

/// The secret is kept beside the data: salts, and with them order ids, are computed again from the first input.
fn salts_are_verified(data: &Path) {
    let line = |verdict: &str| {
        let found = verdict.lines().find(|line| line.contains("salts recomputed from the secret"));
        found.unwrap_or_else(|| panic!("{verdict}")).to_owned()
    };
    let (sound, verdict) = verify(data);
    let whole = line(&verdict);
    assert!(sound && whole.starts_with('✓') && !whole.ends_with(" 0"), "{verdict}");
    let (secret, kept) = (data.join("installation.secret"), data.join("kept"));
    std::fs::rename(&secret, &kept).unwrap();
    let (sound, verdict) = verify(data);
    assert!(!sound && line(&verdict).contains("no installation.secret in the data directory"), "{verdict}");
    // Another installation's.
    std::fs::copy(&kept, &secret).unwrap();
    std::fs::write(&secret, [7; 32]).unwrap();
    let (sound, verdict) = verify(data);
    assert!(!sound && verdict.contains("salt is") && verdict.contains("the secret gives"), "{verdict}");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (sound, verdict) = verify(data);
    assert!(!sound && verdict.contains("chmod 600"), "{verdict}");
    std::fs::rename(&kept, &secret).unwrap();
    assert!(verify(data).0);
}

/// Rows that cannot be played are counted, never passed over in silence.
#[test]
fn a_file_of_the_data_api_is_played_and_what_is_left_out_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("activity.json");
    let row = |at: u64, kind: &str, side: &str, token: &str, size: &str| {
        format!(
            r#"{{"proxyWallet":"0x{:040x}","timestamp":{at},"conditionId":"0x{:064x}","type":"{kind}","size":{size},
            "usdcSize":{size},"price":0.5,"asset":"{token}","side":"{side}","outcomeIndex":0,"outcome":"Up",
            "title":"T","slug":"s","transactionHash":"0x{at:064x}"}}"#,
            7, 9
        )
    };
    let rows = [
        row(1_700_000_000, "TRADE", "BUY", TOKEN, "200"),
        row(1_700_000_001, "REWARD", "", "", "5"),
        row(1_700_000_002, "SPLIT", "", "", "50"),
        row(1_700_000_010, "MERGE", "", "", "50"),
        row(1_700_000_020, "TRADE", "SELL", TOKEN, "200"),
        r#"{"nothing":1}"#.to_owned(),
    ];
    std::fs::write(&file, format!("[{}]", rows.join(","))).unwrap();
    let tape = file.to_str().unwrap();
    let data = directory.path().join("data");
    let (status, report, said) = demo(&data, &["--speed", "2", "--tape", tape]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(report["tape"]["recorded"], 4, "{report}");
    assert_eq!(report["tape"]["left_out"], serde_json::json!({ "unreadable": 1, "kind": 1 }), "{report}");
    assert_eq!(report["transactions"], 4, "{report}");
    salts_are_verified(&data);
}

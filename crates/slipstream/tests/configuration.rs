//! Configurations end to end, through the program: exit status, what stands on standard output and what on
//! standard error, and that every setting of a demo arrives where it takes effect.

#![cfg(test)]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use domain::{Usd, money::ONE, policy::Sizing};
use engine::ports::reports::Reports;
use slipstream::clock::SystemClock;
use store::SqlStore;

/// Runs the program in `directory` with nothing of ours in the environment but `variables`.
fn slipstream(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLIPSTREAM_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
    ours.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.current_dir(directory).args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const BAD: &str = "\
[demo]
speed = 5000
sped = 30

[[follower]]
name = \"bold\"
ratio = 0.5
fixed = 25 USD
cap_leder = 10
";

const TOLD: &str = "\
slipstream: 5 mistakes in the configuration; nothing was started

  slipstream.toml:2:9  [demo] speed = 5000
      must be a whole number from 1 to 1000; for example `speed = 30`

  slipstream.toml:3:1  [demo] sped
      no such key; did you mean `speed`?

  slipstream.toml:8:9  [[follower]] fixed = 25 USD
      must be dollars from 0.000001 to 1000000000, as a plain number; for example `fixed = 5`

  slipstream.toml:9:1  [[follower]] cap_leder
      no such key; did you mean `cap_leader`?

  environment  SLIPSTREAM_ENGINE_WORKERS=many
      must be a whole number from 1 to 64; for example `workers = 2`

`slipstream config reference` describes every key.
";

#[test]
fn all_mistakes_are_told_at_once_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("slipstream.toml"), BAD).unwrap();
    let variables = [("SLIPSTREAM_ENGINE_WORKERS", "many")];
    for arguments in
        [&["demo", "--config", "slipstream.toml", "--data-dir", "data"][..], &["config", "check"][..]]
    {
        let output = slipstream(directory.path(), arguments, &variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stderr), TOLD, "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    assert!(!directory.path().join("data").exists());
}

/// A program reads one object, whatever went wrong.
#[test]
fn with_json_every_error_is_one_object_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("slipstream.toml"), BAD).unwrap();
    let asked = |arguments: &[&str]| {
        let output = slipstream(directory.path(), arguments, &[]);
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
        let told: serde_json::Value = serde_json::from_str(text(&output.stdout)).unwrap();
        (output.status.code(), told)
    };
    let (code, told) = asked(&["config", "check", "--json"]);
    assert_eq!((code, told["mistakes"].as_array().map(Vec::len)), (Some(2), Some(4)));
    assert_eq!(told["mistakes"][0]["place"], "slipstream.toml:2:9");
    assert_eq!(told["error"], "4 mistakes in the configuration; nothing was started");
    assert_eq!(asked(&["run", "--json"]).0, Some(2));
    let (code, told) = asked(&["pause", "one", "--json"]);
    assert!(code == Some(2) && told["error"].as_str().unwrap().starts_with("invalid value"), "{told}");
    let (code, told) = asked(&["init", "--json", "--yes", "--leader", "0x1e", "--file", "other.toml"]);
    assert!(code == Some(2) && told["error"].is_string(), "{told}");
    fs::write(directory.path().join("slipstream.toml"), "[demo]\nspeed = 60\n").unwrap();
    let (code, told) = asked(&["positions", "--json"]);
    assert!(code == Some(1) && told["error"].as_str().unwrap().contains("no Slipstream data"), "{told}");
    let (code, told) = asked(&["config", "check", "--json"]);
    let speed = serde_json::json!({
        "section": "[demo]", "key": "speed", "value": "60", "source": "slipstream.toml:2"
    });
    assert!(code == Some(0) && told["settings"].as_array().unwrap().contains(&speed), "{told}");
}

#[test]
fn what_is_in_force_is_told_with_who_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine.toml");
    fs::write(&file, "[demo]\nspeed = 60\n[[follower]]\nname = 'a'\nfixed = 2.5\n").unwrap();
    let variables = [("SLIPSTREAM_DEMO_SPEED", "70"), ("SLIPSTREAM_CONFIG", "mine.toml")];
    let output = slipstream(directory.path(), &["config", "check"], &variables);
    assert!(output.status.success() && output.stderr.is_empty());
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(&lines[..3], ["ok  mine.toml", "", "[demo]"]);
    let told =
        |line: &str| line.split_once("  # ").map(|(key, who)| (key.trim_end().to_owned(), who.to_owned()));
    let mut columns = std::collections::BTreeSet::new();
    for (key, who) in [
        ("followers = 1", "one for each [[follower]]"),
        ("speed = 70", "SLIPSTREAM_DEMO_SPEED"),
        ("fixed = 2.5", "mine.toml:5"),
    ] {
        let expected = Some((key.to_owned(), who.to_owned()));
        let line =
            lines.iter().find(|line| told(line) == expected).unwrap_or_else(|| panic!("{key}: {lines:#?}"));
        columns.insert(line.find("  # "));
    }
    assert_eq!(columns.len(), 1, "one column: {lines:#?}");
    let missing = slipstream(directory.path(), &["config", "check", "gone.toml"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("\n  gone.toml\n      cannot be read: No such file"));
}

#[test]
fn the_reference_is_a_file_to_begin_with() {
    let directory = tempfile::tempdir().unwrap();
    let reference = slipstream(directory.path(), &["config", "reference"], &[]);
    assert!(reference.status.success());
    fs::write(directory.path().join("slipstream.toml"), &reference.stdout).unwrap();
    let check = slipstream(directory.path(), &["config", "check"], &[]);
    assert!(check.status.success() && text(&check.stdout).starts_with("ok  slipstream.toml\n"));
}

/// A short tape: one buy, in the form of the Data API.
const TAPE: &str = r#"[{"proxyWallet":"0x1111111111111111111111111111111111111111","timestamp":1760000000,
"conditionId":"0x2222222222222222222222222222222222222222222222222222222222222222","type":"TRADE","size":100,
"usdcSize":50,"transactionHash":"0x3333333333333333333333333333333333333333333333333333333333333333",
"price":0.5,"asset":"98217031984791650327145687120934509123847561029384756102938475610293847561029","side":"BUY","outcomeIndex":0,"title":"Will it rain?","slug":"rain",
"eventSlug":"rain","outcome":"Yes"}]"#;

#[tokio::test]
async fn every_setting_of_a_demo_takes_effect() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("etc")).unwrap();
    fs::write(directory.path().join("etc/tape.json"), TAPE).unwrap();
    let file = "
        [demo]
        speed = 100
        followers = 3
        seed = 5
        tape = 'tape.json'
        data_dir = 'data'
        [engine]
        workers = 4
        [[follower]]
        name = 'fixed'
        fixed = 5
        cap_account = 50
        [[follower]]
        name = 'twelfth of a tenth'
        ratio = 0.0083
        ";
    fs::write(directory.path().join("etc/slipstream.toml"), file).unwrap();
    let arguments = ["demo", "--config", "etc/slipstream.toml", "--json", "--speed", "1000"];
    let output = slipstream(directory.path(), &arguments, &[("SLIPSTREAM_ENGINE_WORKERS", "3")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["holds"], &report["speed"]), (&true.into(), &1000.into()));
    let path = directory.path().join("etc/data/slipstream.db");
    let store = SqlStore::open(&path, Arc::new(SystemClock)).await.unwrap();
    let accounts = store.accounts(None).await.unwrap();
    let about: Vec<_> = accounts.iter().map(|account| (account.label.as_str(), account.cap)).collect();
    let fifty = Some(Usd(50 * ONE));
    assert_eq!(
        about,
        [
            ("follower 1 (fixed)", fifty),
            ("follower 2 (twelfth of a tenth)", None),
            ("follower 3 (fixed)", fifty)
        ]
    );
    let sizings: Vec<_> =
        store.relationships(None).await.unwrap().iter().map(|it| it.policy.sizing).collect();
    let five = Sizing::Fixed(Usd(5 * ONE));
    assert_eq!(sizings, [five, Sizing::Ratio(8_300), five]);
}

//! What runs a whole team on private servers: a short run of `slipstream chaos` in which the books add up, and
//! `slipstream bench --on-servers`.

use std::process::Command;

use serde_json::Value;

mod on_postgres {
    use super::*;

    /// 20,000 jobs and 50 kills, with nearly every other fault, and at the end a database that went back in time.
    #[test]
    fn a_short_run_adds_up() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
        command.args(["chaos", "--seed", "6", "--jobs", "20000", "--kills", "50", "--json"]);
        let output = command.args(["--minutes", "4"]).output().expect("it runs");
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{told}");
        let report: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(report["ok"], true);
        let report = &report["report"];
        assert!(
            report["jobs"].as_u64() >= Some(20_000) && report["verdict"]["executed"].as_u64() > Some(10_000)
        );
        for role in ["worker", "watcher", "signer", "backend"] {
            assert!(report["kills"][role].as_u64() > Some(0), "{role}: {}", report["kills"]);
        }
        assert!(report["faults"].as_object().is_some_and(|kinds| kinds.len() >= 13), "{}", report["faults"]);
        assert!(
            report["adopted"].as_u64() > Some(0),
            "orders that were lost are adopted: {}",
            report["promotion"]
        );
        eprintln!("{} jobs, killed {}, broken {}", report["jobs"], report["kills"], report["faults"]);
    }

    /// Every figure of a team is measured; what they are says nothing here.
    #[test]
    fn a_team_is_measured() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
        command.args(["bench", "--on-servers", "--followers", "1,3", "--rounds", "1", "--idle-seconds", "1"]);
        let output = command.arg("--json").output().expect("it runs");
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{told}");
        let report: Value = serde_json::from_str(&said).expect("JSON");
        let lines = report["lines"].as_array().expect("lines");
        for figure in [
            "INSERT of a row in a commit of its own",
            "Redis, LPOP",
            "team, stub, 1 follower: event received to last order posted",
            "team, stub, 3 followers: p99 of",
            "team, verifying venue, 3 followers: event received",
            "team, 1 follower beside 3: event mined to order answered",
            "a job that does nothing",
            "jobs in batches of 500",
            "idle memory of the backend",
            "idle CPU of all roles together",
        ] {
            let named = |line: &&Value| line["figure"].as_str().is_some_and(|name| name.contains(figure));
            let line = lines.iter().find(named).unwrap_or_else(|| panic!("no `{figure}` in {said}"));
            assert!(line["value"].as_f64() >= Some(0.0), "{line}");
        }
    }
}

/// What is not there is named, with how to get it.
#[test]
fn missing_servers_are_named() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_slipstream"))
        .args(["chaos", "--jobs", "1", "--kills", "1"])
        .env("PATH", nowhere.path())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    // PostgreSQL's programs are found outside PATH too, where Debian has them.
    assert!(!output.status.success() && told.contains("is missing; on Debian: apt-get install"), "{told}");
}

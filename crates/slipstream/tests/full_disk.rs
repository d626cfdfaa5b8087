//! The disk fills up under a whole demo and gets room again: a small tmpfs (these tests need the right to mount;
//! where it is missing, `./test` leaves those named `a_small_disk` out and counts them as skipped), and a limit of file
//! sizes, which anybody may set. It is said, nothing is lost or doubled, and the demo ends with a report in which
//! every invariant holds.

#![cfg(test)]

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::Clock;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use slipstream::clock::SystemClock;

/// Bytes that hold a fresh demo and the beginning of its trades, and not the rest.
const SMALL: u64 = 6 * 1024 * 1024;
const LARGER: &str = "remount,size=200m";
/// Nothing here takes longer unless it is broken: what was signed and never sent, because the answer to its commit was
/// lost with the disk, counts as never seen after two minutes of look-ups and the lease before them.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A tmpfs, unmounted with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert!(mounted.status.success(), "no tmpfs: {}", String::from_utf8_lossy(&mounted.stderr));
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A demo with its data in `data`, which says what it says in `words`. A write beyond a limit of file sizes is an
/// error for it, not a signal.
fn demo(data: &Path, words: &Path) -> Guard {
    let file = |name: &str| Stdio::from(File::create(words.join(name)).unwrap());
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_slipstream")])
        .args(["demo", "--headless", "--json", "--speed", "1000", "--followers", "5", "--data-dir"])
        .arg(data)
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap();
    Guard(child)
}

fn said(words: &Path, name: &str) -> String {
    std::fs::read_to_string(words.join(name)).unwrap()
}

async fn until(what: &str, words: &Path, mut holds: impl FnMut() -> bool) {
    let limit = SystemClock.uptime() + PATIENCE;
    while !holds() {
        assert!(SystemClock.uptime() < limit, "not within {PATIENCE:?}: {what}; {}", said(words, "err"));
        SystemClock.sleep(LOOK_EVERY).await;
    }
}

/// Waits until whoever writes has said what it ran into, makes room, and reads the report.
async fn recovers(mut child: Guard, words: &Path, complaints: [&str; 2], make_room: impl FnOnce()) {
    for complaint in complaints {
        until(complaint, words, || said(words, "err").contains(complaint)).await;
    }
    assert!(child.0.try_wait().unwrap().is_none(), "it waits for room: {}", said(words, "err"));
    make_room();
    until("the report", words, || child.0.try_wait().unwrap().is_some()).await;
    let status = child.0.wait().unwrap();
    let report: serde_json::Value = serde_json::from_str(&said(words, "out")).unwrap();
    assert!(status.success() && report["holds"] == true, "{status}: {report} {}", said(words, "err"));
    let last =
        said(words, "err").lines().rfind(|line| line.contains("of tape")).unwrap_or_default().to_owned();
    assert!(last.ends_with("0 lost, 0 doubled"), "{last}");
}

#[tokio::test]
async fn a_small_disk_fills_up_and_grows() {
    let disk = SmallDisk::mount(SMALL);
    let words = tempfile::tempdir().unwrap();
    let child = demo(&disk.0.path().join("data"), words.path());
    let complaints = ["detection failed: the disk is full", "settlement failed: the disk is full"];
    recovers(child, words.path(), complaints, || {
        let grown = Command::new("mount").args(["-o", LARGER]).arg(disk.0.path()).output().unwrap();
        assert!(grown.status.success(), "{}", String::from_utf8_lossy(&grown.stderr));
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_file_sizes_is_reached_and_lifted() {
    let words = tempfile::tempdir().unwrap();
    let data = words.path().join("data");
    let child = demo(&data, words.path());
    let pid = Pid::from_child(&child.0);
    let limit = |current| prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    let before = limit(Some(SMALL));
    // A write beyond the limit is an IO error for the database: the outcome counts as unknown.
    let complaints = ["answer to commit 1 was lost", "settlement failed: the outcome of a commit is unknown"];
    recovers(child, words.path(), complaints, || {
        prlimit(Some(pid), Resource::Fsize, before).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_small_disk_without_room_for_a_start_is_named() {
    let disk = SmallDisk::mount(64 * 1024);
    let words = tempfile::tempdir().unwrap();
    let mut child = demo(&disk.0.path().join("data"), words.path());
    until("its end", words.path(), || child.0.try_wait().unwrap().is_some()).await;
    assert!(!child.0.wait().unwrap().success());
    // As JSON was asked for, so is the error.
    let told: serde_json::Value = serde_json::from_str(&said(words.path(), "out")).unwrap();
    assert!(told["error"].as_str().unwrap().contains("disk is full"), "{told}");
}

/// What is there can be looked at; what would write says why it cannot, and the doctor says so too.
#[test]
fn a_small_disk_that_can_only_be_read_is_read() {
    let disk = SmallDisk::mount(64 << 20);
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
        let ours = |name: &str| name.starts_with("SLIPSTREAM_") || name.starts_with("POLYGON_");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        for service in ["CLOB", "DATA", "GAMMA", "GEOBLOCK"] {
            command.env(format!("SLIPSTREAM_RUN_{service}_URL"), "http://127.0.0.1:9");
        }
        let output =
            command.args(arguments).current_dir(disk.0.path()).stdin(Stdio::null()).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    let leader = format!("0x{}", "1e".repeat(20));
    let (made, told) = ask(&["init", "--yes", "--leader", &leader]);
    assert!(made, "{told}");
    let mounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).output().unwrap();
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
    for reads in [
        &["positions"][..],
        &["activity"],
        &["holds"],
        &["following"],
        &["inspect", "relationship", "1"],
        &["account", "list"],
        &["export", "ledger"],
        &["verify"],
    ] {
        let (done, told) = ask(reads);
        assert!(done, "{reads:?}: {told}");
    }
    let (done, told) = ask(&["pause", "1"]);
    assert!(!done && told.contains("cannot be written") && told.contains("only read work"), "{told}");
    let (_, told) = ask(&["doctor"]);
    assert!(told.contains("FAIL  directory") && told.contains("can only be read"), "{told}");
}

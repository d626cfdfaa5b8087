//! The process that runs on a data directory: whether it answers, and whether it is this version.

use std::{fs, path::Path, time::Duration};

use domain::Clock;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::finding::Finding;
use crate::{
    commands::{Answer, Request},
    screen::Style,
    socket,
    wording::grouped,
};

const AREA: &str = "process";
/// The lock of a data directory, as the store names it.
const LOCK: &str = "slipstream.lock";

/// Looks for it.
pub(super) async fn look(directory: &Path, clock: &dyn Clock) -> Vec<Finding> {
    let what = (AREA, "running process");
    let begin = clock.uptime();
    let asked = socket::ask(directory, &Request::Ping).await;
    let took: Duration = clock.uptime().saturating_sub(begin);
    let pid = asked.as_ref().ok().and_then(Option::as_ref).and_then(|answer| answer.json["pid"].as_u64());
    let found = match asked {
        Ok(Some(answer)) => version(&answer),
        Ok(None) => match holder(directory) {
            None => return vec![Finding::ok(what, "none runs on this data directory")],
            Some(pid) => Finding::warn(
                what,
                format!(
                    "process {pid} holds the data directory and does not answer: it is starting or ending"
                ),
                "run this again in a moment; if it stays so, look at the log of that process",
            ),
        },
        Err(error) => {
            Finding::fail(what, format!("{error:#}"), "look at its log; `kill` it and start it again")
        }
    };
    let mut findings = vec![found.after(took)];
    findings.extend(pid.and_then(memory));
    if let Ok(Some(answer)) = socket::ask(directory, &Request::RpcStatus { style: Style::default() }).await {
        findings.extend(providers(&answer));
    }
    findings
}

fn version(answer: &Answer) -> Finding {
    let (what, ours) = ((AREA, "running process"), env!("CARGO_PKG_VERSION"));
    let pid = answer.json["pid"].as_u64().map(|pid| format!(" (process {pid})")).unwrap_or_default();
    match answer.json["version"].as_str() {
        Some(theirs) if theirs == ours => Finding::ok(what, format!("answers, version {theirs}{pid}")),
        theirs => {
            let seen =
                format!("answers, but is version {}, and this is {ours}{pid}", theirs.unwrap_or("unknown"));
            Finding::warn(what, seen, "restart it, so that both are the same")
        }
    }
}

/// KiB that are locked at least where not only a page or two are.
const WHOLE: u64 = 1_024;

/// Whether its memory, in which keys are open, may get to a disk; where the system tells.
fn memory(pid: u64) -> Option<Finding> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"))?;
    let locked: u64 = locked.split_whitespace().next()?.parse().ok()?;
    // A header, and a line for each device.
    let swaps = fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1);
    let what = (AREA, "memory");
    Some(match (locked, swaps) {
        (WHOLE.., _) => {
            Finding::ok(what, format!("{} KiB are locked and never swapped out", grouped(locked)))
        }
        (1.., _) => Finding::ok(
            what,
            format!(
                "what opens the keys is locked and never swapped out ({} KiB); the rest may be",
                grouped(locked)
            ),
        ),
        (0, false) => Finding::ok(what, "not locked, and this machine swaps nothing out"),
        (0, true) => Finding::warn(
            what,
            "not locked: open keys may be swapped out to the disk",
            "lift the limit of locked memory (`LimitMEMLOCK=infinity` with systemd, `ulimit -l unlimited`), or encrypt the swap",
        ),
    })
}

/// What it says of its providers: their troubles, and how often they were asked.
fn providers(answer: &Answer) -> Vec<Finding> {
    let one = |one: &Value| {
        let what = (AREA, format!("asks {}", one["name"].as_str().unwrap_or_default()));
        let seen = format!("{} times today, {} failures", one["calls_today"], one["failures"]);
        match one["trouble"].as_str() {
            None => Finding::ok(what, seen),
            Some(trouble) => Finding::warn(what, format!("{seen}: {trouble}"), "see `slipstream rpc status`"),
        }
    };
    answer.json.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

/// Who holds the lock of a directory whose socket nobody serves. It is tried for an instant and given back.
fn holder(directory: &Path) -> Option<String> {
    let path = directory.join(LOCK);
    let file = fs::File::open(&path).ok()?;
    let held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK);
    held.then(|| fs::read_to_string(path).map(|pid| pid.trim().to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_memory_may_be_swapped_is_told() {
        let found = memory(u64::from(std::process::id())).expect("of this process it is told");
        assert!(found.evidence.contains("locked"), "{found:?}");
        assert_eq!(memory(u64::MAX), None, "of nobody nothing is told");
    }
}

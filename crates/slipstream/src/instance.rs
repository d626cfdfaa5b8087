//! Processes of an installation: their names, unique for ever, and what proves that one has ended.
//!
//! A lease that ran out proves nothing. A process is dead when this machine's kernel has it no more, when the lock of its
//! data directory is somebody else's on the same machine and it gives no sign of life, or when a person says so.

pub(crate) mod succession;

use std::fs;

use anyhow::bail;
use domain::{Clock, Timestamp};
use engine::ports::store::{InstanceId, Store, StoreResult};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;

use self::succession::lives;
use crate::{commands::Answer, wording::count};

/// How an end is known to whoever has the lock now.
const GAVE_UP: &str = "its process gave up the data directory's lock";

/// Where a process is, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    host: String,
    boot: String,
    /// The namespace that gives its number a meaning: containers of one machine share the boot.
    namespace: String,
    pid: i32,
    /// When it started, in the kernel's ticks since the boot.
    started: u64,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Runs,
    Gone,
    /// It is, or was, where this process cannot look.
    Elsewhere,
}

impl Process {
    #[cfg(test)]
    fn here() -> Self {
        Self::on_this_machine(own_number())
    }

    fn on_this_machine(pid: i32) -> Self {
        let started = status_of(pid).map_or(0, |status| status.started);
        Self { host: host(), boot: boot(), namespace: namespace(), pid, started }
    }

    /// As the names of its instances say it.
    fn read(name: &InstanceId) -> Option<Self> {
        let (process, _) = name.0.split_once('/').unwrap_or((&name.0, ""));
        let mut parts = process.rsplitn(6, '-').skip(1);
        let started = parts.next()?.parse().ok()?;
        let pid = parts.next()?.parse().ok()?;
        let (namespace, boot) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { host: parts.next()?.to_owned(), boot, namespace, pid, started })
    }

    fn fate(&self) -> Fate {
        // Copies of a machine with its memory have the same boot and the same namespaces, and are given other names.
        let same_machine = !self.boot.is_empty()
            && (&self.host, &self.boot, &self.namespace) == (&host(), &boot(), &namespace());
        if !same_machine || self.started == 0 {
            return Fate::Elsewhere;
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Fate::Elsewhere };
        if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            return Fate::Gone;
        }
        match status_of(self.pid) {
            // Its number is another's now, or it has ended and nobody has asked how.
            Some(status) if status.started != self.started || status.ended => Fate::Gone,
            Some(_) => Fate::Runs,
            None => Fate::Elsewhere,
        }
    }
}

/// What the kernel says of a process. Source: proc_pid_stat(5).
struct Status {
    started: u64,
    ended: bool,
}

fn status_of(pid: i32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold everything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let (state, threads, started) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    let ended = matches!(*state, "Z" | "X") && threads.parse::<u32>().is_ok_and(|threads| threads <= 1);
    Some(Status { started: started.parse().ok()?, ended })
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().replace('/', "")
}

fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.chars().filter(char::is_ascii_hexdigit).take(16).collect()
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// The name of this process.
#[must_use]
pub fn this_process() -> InstanceId {
    name_of(own_number())
}

fn own_number() -> i32 {
    Pid::as_raw(Some(rustix::process::getpid()))
}

/// The name of a process of this machine.
pub(crate) fn name_of(pid: i32) -> InstanceId {
    let mut mark = [0; 4];
    // Without random bytes boot, number and start still tell processes apart.
    let _ = rustix::rand::getrandom(&mut mark, rustix::rand::GetRandomFlags::empty());
    let Process { host, boot, namespace, pid, started } = Process::on_this_machine(pid);
    InstanceId(format!("{host}-{boot}-{namespace}-{pid}-{started}-{}", hex::encode(mark)))
}

/// The process that an instance is, or was, a task of.
#[must_use]
pub fn process_of(instance: &InstanceId) -> &str {
    instance.0.split('/').next().unwrap_or_default()
}

/// The machine that an instance's process is on.
pub(crate) fn host_of(instance: &InstanceId) -> Option<String> {
    Process::read(instance).map(|process| process.host)
}

/// Records the end of instances whose process this machine has no more. Returns how many.
///
/// # Errors
/// Store errors.
pub async fn end_gone(store: &dyn Store, clock: &dyn Clock, running: &[InstanceId]) -> StoreResult<usize> {
    let gone = |name: &&InstanceId| Process::read(name).is_some_and(|process| process.fate() == Fate::Gone);
    let gone: Vec<InstanceId> = running.iter().filter(gone).cloned().collect();
    if !gone.is_empty() {
        store.end_instances(&gone, "its process is gone from its machine", clock.now()).await?;
    }
    Ok(gone.len())
}

/// Records the end of everything but one process, where whoever holds the data directory's lock is the only one.
///
/// # Errors
/// Store errors.
pub(crate) async fn end_others(
    store: &dyn Store,
    process: Option<&InstanceId>,
    now: Timestamp,
) -> StoreResult<()> {
    let other = |name: &&InstanceId| process.is_none_or(|process| process_of(name) != process.0);
    let others: Vec<InstanceId> = store.running_instances().await?.iter().filter(other).cloned().collect();
    if others.is_empty() { Ok(()) } else { store.end_instances(&others, GAVE_UP, now).await }
}

/// Who works on the store, as far as anybody knows.
///
/// # Errors
/// Store errors.
pub(crate) async fn list(store: &dyn Store) -> anyhow::Result<Answer> {
    let running = store.running_instances().await?;
    let mut processes: Vec<(&str, Vec<&str>)> = Vec::new();
    for instance in &running {
        let task = instance.0.split_once('/').map_or("", |(_, task)| task);
        match processes.last_mut().filter(|(process, _)| *process == process_of(instance)) {
            Some((_, tasks)) => tasks.push(task),
            None => processes.push((process_of(instance), vec![task])),
        }
    }
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (name, tasks) in &processes {
        let process = Process::read(&InstanceId((*name).to_owned()));
        let word = match process.as_ref().map(Process::fate) {
            Some(Fate::Runs) => "runs here",
            Some(Fate::Gone) => "is gone",
            Some(Fate::Elsewhere) | None => "cannot be seen from here",
        };
        let heard = if lives(store, name).await? { "gives signs of life" } else { "gives no sign of life" };
        let on = process.as_ref().map_or("?", |process| &process.host);
        let pid = process.as_ref().map_or(0, |process| process.pid);
        lines.push(format!(
            "{name}\n    process {pid} on {on} {word} and {heard}; {}: {}",
            count(tasks.len(), "task"),
            tasks.join(", ")
        ));
        rows.push(
            json!({ "process": name, "host": on, "pid": pid, "seen": word, "heard": heard, "tasks": tasks }),
        );
    }
    let text = if lines.is_empty() { "nobody works on it".to_owned() } else { lines.join("\n") };
    Ok(Answer { text, json: json!(rows), ok: true })
}

/// Records that a process has ended because a person says so.
///
/// # Errors
/// When there is no such process, or it is seen to run.
pub(crate) async fn end_by_word(
    store: &dyn Store,
    clock: &dyn Clock,
    (name, who): (&str, &str),
) -> anyhow::Result<Answer> {
    let running = store.running_instances().await?;
    let is_meant = |instance: &&InstanceId| process_of(instance) == name || instance.0 == name;
    let of_process: Vec<InstanceId> = running.iter().filter(is_meant).cloned().collect();
    let Some(first) = of_process.first() else {
        bail!("there is no running process {name}; `slipstream instance list` names them");
    };
    if Process::read(first).is_some_and(|process| process.fate() == Fate::Runs) {
        bail!("{name} runs on this machine: end it first (`kill`), then nobody needs to say so");
    }
    if lives(store, process_of(first)).await? {
        bail!(
            "{name} has given a sign of life in the last ten seconds: it works, wherever it is. End it there, then nobody needs to \
             say so, or say so when it is silent"
        );
    }
    let how = format!("{who} said so");
    store.end_instances(&of_process, &how, clock.now()).await?;
    let text = format!(
        "{name} is recorded as ended, because {how}: what it held is free. If it does run after all, it cannot sign any more"
    );
    Ok(Answer { text, json: json!({ "process": name, "tasks": of_process.len(), "how": how }), ok: true })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_told_by_its_name_until_it_is_gone() {
        let us = this_process();
        let task = InstanceId(format!("{}/worker-0-7", us.0));
        let read = Process::read(&task).unwrap();
        assert_eq!((&read, process_of(&task)), (&Process::here(), us.0.as_str()));
        assert_eq!(read.fate(), Fate::Runs);
        // Another one has its number by now; it is of an earlier boot; its number means somebody else.
        assert_eq!(Process { started: read.started + 1, ..read.clone() }.fate(), Fate::Gone);
        assert_eq!(Process { boot: "0123456789abcdef".to_owned(), ..read.clone() }.fate(), Fate::Elsewhere);
        assert_eq!(Process { namespace: "1".to_owned(), ..read.clone() }.fate(), Fate::Elsewhere);
        // A copy of this machine, running or not: nobody here can tell.
        for started in [read.started, read.started + 1] {
            let copy = Process { host: "a-b-c".to_owned(), started, ..read.clone() };
            let named =
                InstanceId(format!("a-b-c-{}-{}-{}-{started}-00/x", copy.boot, copy.namespace, copy.pid));
            assert_eq!((copy.fate(), Process::read(&named).as_ref()), (Fate::Elsewhere, Some(&copy)));
        }
        assert_eq!(Process::read(&InstanceId("process/watcher-7".to_owned())), None);
    }

    #[test]
    fn whoever_was_killed_is_gone_before_and_after_somebody_asks_how() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = Process { pid, started: status_of(pid).unwrap().started, ..Process::here() };
        assert_eq!(process.fate(), Fate::Runs);
        child.kill().unwrap();
        let id = rustix::process::Pid::from_raw(pid).unwrap();
        // Waits for its end and leaves it as it is: dead, and not asked for.
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
        assert_eq!(process.fate(), Fate::Gone);
        child.wait().unwrap();
        assert_eq!(process.fate(), Fate::Gone);
    }
}

//! The processes of a run: started, killed, frozen, and started again when they are gone, as a service manager would.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, ExitStatus},
    time::Duration,
};

use anyhow::{Context, ensure};
use domain::Clock;
use rustix::process::{Pid, Signal, kill_process};

use super::{faults::skews, running::Wish, stack::Stack};
use crate::{clock, secrets};

/// A process that has ended is started again so much later.
pub(super) const RESTART_AFTER: Duration = Duration::from_millis(300);
/// Time between two looks while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What has not happened after this long does not happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Signer,
    Backend,
    Watcher,
    Worker,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Signer => "signer",
            Self::Backend => "backend",
            Self::Watcher => "watcher",
            Self::Worker => "worker",
        }
    }
}

/// One of the processes.
struct Process {
    role: Role,
    name: String,
    child: Option<Child>,
    /// By how many milliseconds its clock is set wrong.
    ahead: i64,
    /// When it is to be started again, by uptime.
    due: Option<Duration>,
}

/// All of them.
pub(super) struct Team {
    processes: Vec<Process>,
    /// How often each role has ended without being told to.
    pub(super) ended_by_themselves: BTreeMap<String, u64>,
}

impl Team {
    /// Nobody runs yet but the signer, without which no account can be made.
    pub(super) fn begin(stack: &Stack, wish: &Wish) -> anyhow::Result<Self> {
        let mut roles = vec![(Role::Signer, 1), (Role::Backend, 1)];
        roles.extend((1..=wish.watchers).map(|number| (Role::Watcher, number)));
        roles.extend((1..=wish.workers).map(|number| (Role::Worker, number)));
        let skews = skews(wish.seed, roles.len());
        let one = |((role, number), ahead): ((Role, usize), i64)| {
            let name = format!("{}-{number}", role.name());
            Process { role, name, child: None, ahead, due: None }
        };
        let processes = roles.into_iter().zip(skews).map(one).collect();
        let mut team = Self { processes, ended_by_themselves: BTreeMap::new() };
        team.start(stack, Role::Signer)?;
        Ok(team)
    }

    /// Starts everybody else, with the installation's secret from `first`.
    pub(super) fn start_all(&mut self, stack: &Stack, first: &Path) -> anyhow::Result<()> {
        for process in self.processes.iter().filter(|process| process.role != Role::Signer) {
            let home = stack.home(&process.name);
            fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
            let copied = fs::copy(first.join(secrets::FILE), home.join(secrets::FILE));
            copied.context("the installation's secret")?;
        }
        for role in [Role::Backend, Role::Watcher, Role::Worker] {
            self.start(stack, role)?;
        }
        Ok(())
    }

    fn start(&mut self, stack: &Stack, role: Role) -> anyhow::Result<()> {
        let of_role = self.processes.iter_mut().filter(|process| process.role == role);
        of_role.into_iter().try_for_each(|process| process.start(stack))
    }

    /// How many there are of a role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.processes.iter().filter(|process| process.role == role).count()
    }

    fn nth(&mut self, role: Role, number: usize) -> anyhow::Result<&mut Process> {
        let mut of_role = self.processes.iter_mut().filter(|process| process.role == role);
        of_role.nth(number).with_context(|| format!("there is no {} {number}", role.name()))
    }

    /// The watcher that has the lease; the first where nobody has it.
    pub(super) fn active_watcher(&self, stack: &Stack) -> anyhow::Result<usize> {
        let holders = stack.rows("SELECT holder FROM leases WHERE holder LIKE '%/watcher%'")?;
        let watchers = self.processes.iter().filter(|process| process.role == Role::Watcher);
        let numbers: Vec<String> = watchers
            .map(|process| {
                process.child.as_ref().map_or_else(String::new, |child| format!("-{}-", child.id()))
            })
            .collect();
        let holds = |number: &String| {
            !number.is_empty() && holders.iter().flatten().any(|holder| holder.contains(number))
        };
        Ok(numbers.iter().position(holds).unwrap_or(0))
    }

    /// By how many milliseconds the clock of one is set wrong.
    pub(super) fn ahead_of(&self, role: Role, number: usize) -> Option<i64> {
        let mut of_role = self.processes.iter().filter(|process| process.role == role);
        of_role.nth(number).map(|process| process.ahead)
    }

    /// The same of the process that an instance is a task of, if it still runs.
    pub(super) fn ahead_of_instance(&self, instance: &str) -> Option<i64> {
        let is_its = |process: &&Process| {
            process.child.as_ref().is_some_and(|child| instance.contains(&format!("-{}-", child.id())))
        };
        self.processes.iter().find(is_its).map(|process| process.ahead)
    }

    /// Kills one, wherever it is; it is started again a moment later. Whether it was running.
    pub(super) fn kill(&mut self, role: Role, number: usize, now: Duration) -> anyhow::Result<bool> {
        let process = self.nth(role, number)?;
        let Some(mut child) = process.child.take() else { return Ok(false) };
        child.kill().context("a process cannot be killed")?;
        child.wait().context("a process that was killed")?;
        process.due = Some(now.saturating_add(RESTART_AFTER));
        Ok(true)
    }

    /// Freezes one, or lets it go on. Whether it was running.
    pub(super) fn freeze(&mut self, role: Role, number: usize, frozen: bool) -> anyhow::Result<bool> {
        let process = self.nth(role, number)?;
        let Some(child) = &process.child else { return Ok(false) };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process's number")?;
        kill_process(id, if frozen { Signal::STOP } else { Signal::CONT }).context("a signal")?;
        Ok(true)
    }

    /// Sees who has ended, and starts again who is due. Whether everybody runs.
    pub(super) fn look(&mut self, stack: &Stack, now: Duration) -> anyhow::Result<bool> {
        let mut all = true;
        for process in &mut self.processes {
            if let Some(status) = process.ended()? {
                *self.ended_by_themselves.entry(format!("{}: {status}", process.role.name())).or_default() +=
                    1;
                process.due = Some(now.saturating_add(RESTART_AFTER));
            }
            if process.due.is_some_and(|due| due <= now) {
                process.due = None;
                process.start(stack)?;
            }
            all &= process.child.is_some();
        }
        Ok(all)
    }

    /// Waits until the signer listens.
    pub(super) async fn until_signing(&mut self, stack: &Stack, clock: &dyn Clock) -> anyhow::Result<()> {
        let socket = stack.home("signer.sock");
        let until = clock.uptime().saturating_add(PATIENCE);
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            self.look(stack, clock.uptime())?;
            ensure!(clock.uptime() < until, "the signer does not listen: {}", stack.log("signer-1"));
            clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until every worker and watcher has said in the books that it works.
    pub(super) async fn until_working(&mut self, stack: &Stack, clock: &dyn Clock) -> anyhow::Result<()> {
        let wanted = self.count(Role::Worker).saturating_add(self.count(Role::Watcher));
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let sql = "SELECT count(*) FROM instances WHERE ended_at IS NULL AND (name LIKE '%/worker-0%' OR name LIKE '%/watcher%')";
        let until = clock.uptime().saturating_add(PATIENCE);
        while stack.number(sql)? < wanted {
            self.look(stack, clock.uptime())?;
            ensure!(
                clock.uptime() < until,
                "the processes do not start: {}{}",
                stack.log("watcher-1"),
                stack.log("worker-1")
            );
            clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Processes whose logs tell of a panic.
    pub(super) fn panics(&self, stack: &Stack) -> Vec<String> {
        let panicked = |text: &str| text.lines().find(|line| line.contains("panicked")).map(str::to_owned);
        let told = self.processes.iter().filter_map(|process| {
            panicked(&stack.log(&process.name)).map(|line| format!("{}: {line}", process.name))
        });
        told.collect()
    }
}

impl Process {
    fn start(&mut self, stack: &Stack) -> anyhow::Result<()> {
        let mut command = stack.command(&self.name)?;
        match self.role {
            Role::Signer => {
                command.args(["signer", "serve", "--socket"]).arg(stack.home("signer.sock"));
                command.arg("--state-dir").arg(stack.home("signer"));
                command.arg("--config").arg(stack.home("signer.toml"));
            }
            role => {
                command.arg(role.name()).arg("--config").arg(stack.configuration());
                command.arg("--data-dir").arg(stack.home(&self.name));
                command.env(clock::AHEAD, self.ahead.to_string());
            }
        }
        self.child = Some(command.spawn().with_context(|| format!("{} does not start", self.name))?);
        Ok(())
    }

    /// How it has ended, if it has.
    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait().context("a process")?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }
}

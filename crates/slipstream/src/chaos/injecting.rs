//! Carries the plan out, and mends what was broken when its time is over.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use domain::Clock;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::block_in_place};

use super::{
    faults::{Fault, Planned},
    stack::{DATABASE, Stack},
    team::{RESTART_AFTER, Role, Team},
};

/// Time between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Connections that strangers open; the database has fewer.
const STRANGERS: usize = 120;
/// Version 3.0 of PostgreSQL's protocol. Source: its documentation, "Message Formats", `StartupMessage`.
const PROTOCOL: i32 = 196_608;
/// Ends every connection of ours.
const END_CONNECTIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                               AND backend_type = 'client backend' AND usename <> 'stranger'";

/// What ends a fault.
enum Mend {
    GoOn(Role, usize),
    StartRedis,
    StartPostgres,
    MakeRoom,
    Release(Vec<TcpStream>),
    VenueUp,
    ClockBack,
}

/// Breaks and mends.
pub(super) struct Injector {
    /// The next one last.
    plan: Vec<Planned>,
    began: Duration,
    mends: Vec<(Duration, Mend)>,
    /// Kills by role, other faults by name.
    pub(super) kills: BTreeMap<&'static str, u64>,
    pub(super) others: BTreeMap<&'static str, u64>,
    /// What has happened, for whoever looks for the cause of something.
    pub(super) diary: Vec<String>,
}

impl Injector {
    /// Begins now.
    pub(super) fn begin(mut plan: Vec<Planned>, clock: &dyn Clock) -> Self {
        plan.reverse();
        let (kills, others) = (BTreeMap::new(), BTreeMap::new());
        Self { plan, began: clock.uptime(), mends: Vec::new(), kills, others, diary: Vec::new() }
    }

    /// Carries out everything, and mends it.
    pub(super) async fn run(
        &mut self,
        stack: &Stack,
        team: &mut Team,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        while self.step(stack, team, clock).await? {
            clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Does what is due; whether anything is left.
    pub(super) async fn step(
        &mut self,
        stack: &Stack,
        team: &mut Team,
        clock: &dyn Clock,
    ) -> anyhow::Result<bool> {
        let now = clock.uptime();
        for (_, mend) in self.mends.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            mended(stack, team, mend).await?;
        }
        let since = now.saturating_sub(self.began);
        if let Some((_, fault)) = self.plan.pop_if(|(at, _)| *at <= since) {
            let done = self.inject(stack, team, fault, clock).await.with_context(|| format!("{fault:?}"))?;
            if !done && matches!(fault, Fault::Kill(..)) {
                // It was dead already; soon it runs again.
                self.plan.push((since.saturating_add(RESTART_AFTER), fault));
            } else {
                self.diary.push(format!("{:>7.1} s  {fault:?}", since.as_secs_f64()));
            }
        }
        let all = team.look(stack, now)?;
        Ok(!all || !self.plan.is_empty() || !self.mends.is_empty())
    }

    /// Breaks something now; whether it was there to be broken.
    pub(super) async fn inject(
        &mut self,
        stack: &Stack,
        team: &mut Team,
        fault: Fault,
        clock: &dyn Clock,
    ) -> anyhow::Result<bool> {
        let now = clock.uptime();
        let done = match fault {
            Fault::Kill(role, number) => {
                let killed = team.kill(role, number, now)?;
                *self.kills.entry(role.name()).or_default() += u64::from(killed);
                return Ok(killed);
            }
            Fault::Freeze(role, number, lasts) => {
                let frozen = team.freeze(role, number, true)?;
                self.mend(now, lasts, Mend::GoOn(role, number));
                frozen
            }
            Fault::DeleteQueue => self.redis(stack, &["DEL", "trade_execution_queue"]),
            Fault::FlushRedis => self.redis(stack, &["FLUSHALL"]),
            Fault::StopRedis(lasts) => self.stop_redis(stack, now, lasts)?,
            Fault::StopPostgres(lasts) => self.stop_postgres(stack, now, lasts)?,
            Fault::FullDisk(lasts) => self.fill_disk(stack, now, lasts)?,
            // It fails where the server is down, and where every connection is taken.
            Fault::EndConnections => stack.rows(END_CONNECTIONS).is_ok(),
            Fault::CutCommits(count) => {
                stack.proxy.cut(count);
                true
            }
            Fault::TakeConnections(lasts) => {
                let mut taken = strangers(stack).await;
                let ended = !taken.is_empty() && stack.rows(END_CONNECTIONS).is_ok();
                // What ours have just lost is taken too.
                taken.extend(strangers(stack).await);
                self.mend(now, lasts, Mend::Release(taken));
                ended
            }
            Fault::Venue(fault) => stack.control.fault(&fault).await.map(|()| true)?,
            Fault::Outage(lasts) => {
                self.mend(now, lasts, Mend::VenueUp);
                stack.control.outage(true).await.map(|()| true)?
            }
            Fault::Silence(lasts) => {
                self.mend(now, lasts, Mend::VenueUp);
                stack.control.silence().await.map(|()| true)?
            }
            Fault::Skew(seconds, lasts) => {
                self.mend(now, lasts, Mend::ClockBack);
                set_clock(stack, seconds).await.map(|()| true)?
            }
            Fault::Reorganise(depth) => stack.control.reorganise(depth).await.is_ok(),
        };
        if done {
            *self.others.entry(fault.name()).or_default() += 1;
        }
        Ok(done)
    }

    fn mend(&mut self, now: Duration, lasts: Duration, mend: Mend) {
        self.mends.push((now.saturating_add(lasts), mend));
    }

    /// Whether Redis was there to do it.
    fn redis(&self, stack: &Stack, command: &[&str]) -> bool {
        block_in_place(|| stack.redis.run(command)).is_ok()
    }

    fn stop_redis(&mut self, stack: &Stack, now: Duration, lasts: Duration) -> anyhow::Result<bool> {
        if self.mends.iter().any(|(_, mend)| matches!(mend, Mend::StartRedis)) {
            return Ok(false);
        }
        block_in_place(|| stack.redis.stop())?;
        self.mend(now, lasts, Mend::StartRedis);
        Ok(true)
    }

    fn stop_postgres(&mut self, stack: &Stack, now: Duration, lasts: Duration) -> anyhow::Result<bool> {
        // One that has ended because its disk is full is not stopped.
        if self.database_is_broken() {
            return Ok(false);
        }
        block_in_place(|| stack.postgres().stop_at_once())?;
        self.mend(now, lasts, Mend::StartPostgres);
        Ok(true)
    }

    /// Whether the database had room and a disk of its own.
    fn fill_disk(&mut self, stack: &Stack, now: Duration, lasts: Duration) -> anyhow::Result<bool> {
        if self.database_is_broken() || !block_in_place(|| stack.postgres().fill_disk())? {
            return Ok(false);
        }
        self.mend(now, lasts, Mend::MakeRoom);
        Ok(true)
    }

    fn database_is_broken(&self) -> bool {
        self.mends.iter().any(|(_, mend)| matches!(mend, Mend::StartPostgres | Mend::MakeRoom))
    }
}

async fn mended(stack: &Stack, team: &mut Team, mend: Mend) -> anyhow::Result<()> {
    match mend {
        Mend::GoOn(role, number) => team.freeze(role, number, false).map(drop),
        Mend::StartRedis => Ok(block_in_place(|| stack.redis.start_again())?),
        Mend::StartPostgres => Ok(block_in_place(|| stack.postgres().start_again())?),
        Mend::MakeRoom => Ok(block_in_place(|| stack.postgres().make_room())?),
        Mend::Release(connections) => {
            drop(connections);
            Ok(())
        }
        Mend::VenueUp => stack.control.outage(false).await,
        Mend::ClockBack => set_clock(stack, 0).await,
    }
}

async fn set_clock(stack: &Stack, ahead: i64) -> anyhow::Result<()> {
    stack.control.set_knobs(&json!({ "clock_ahead_s": ahead })).await
}

/// Connections as an ordinary user, as many as the database gives; they ask for nothing.
async fn strangers(stack: &Stack) -> Vec<TcpStream> {
    let url = stack.postgres().url_as("postgres", DATABASE);
    let address =
        url.split('@').nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
    let mut hello = Vec::new();
    for word in ["user", "stranger", "database", DATABASE] {
        hello.extend_from_slice(word.as_bytes());
        hello.push(0);
    }
    hello.push(0);
    let length = i32::try_from(hello.len()).unwrap_or(0).saturating_add(8);
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(&PROTOCOL.to_be_bytes());
    message.extend_from_slice(&hello);
    let mut taken = Vec::new();
    for _ in 0..STRANGERS {
        let Ok(mut connection) = TcpStream::connect(&address).await else { break };
        if connection.write_all(&message).await.is_err() {
            break;
        }
        taken.push(connection);
    }
    taken
}

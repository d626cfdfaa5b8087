//! An installation that waits: backend, watcher and worker as people start them, paper accounts, a venue whose blocks come
//! every two seconds.

use std::{
    fs,
    io::Write as _,
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use domain::{Address, Clock};
use engine::ports::{
    detection::{Detection as _, Source},
    store::Leases as _,
};
use store::SqlStore;

use super::{
    part::{Part, Running, VenueKind},
    stack::{DATABASE, Servers},
    usage,
};
use crate::{
    bench::installation::enrol,
    composition::derived_signer,
    demo::{SimulatorUrls, setup::followers},
    leash::Leash,
    runtime::Role,
    secrets::{self, InstallationSecret},
};

/// Leaders of the team that has many followers.
pub(in crate::bench) const LEADERS: usize = 100;
const ROLES: [Role; 3] = [Role::Backend, Role::Watcher, Role::Worker];
/// After the start there is something to do: logins of channels, first looks.
const SETTLES: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one role uses.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct OfRole {
    pub(in crate::bench) role: &'static str,
    pub(in crate::bench) resident_kb: u64,
    pub(in crate::bench) cpu_percent: f64,
}

/// What waiting costs.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Waiting {
    pub(in crate::bench) roles: Vec<OfRole>,
    /// Of the servers, in per cent of a core.
    pub(in crate::bench) postgres_percent: f64,
    pub(in crate::bench) redis_percent: f64,
}

struct Process {
    role: Role,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing waits there that would be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures with so many leaders and followers, who are divided among them, in a new database.
pub(in crate::bench) async fn measure(
    servers: &Servers,
    home: &Path,
    (leaders, count): (usize, usize),
    left_alone: Duration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Waiting> {
    servers.database()?;
    let first = home.join(ROLES[0].name());
    private_directory(&first)?;
    let store = servers.filling().await?;
    let secret = InstallationSecret::of_installation(&first, &store).await?;
    let all = followers(count, 1, &secret, &derived_signer(&secret)).await?;
    let each = count.div_ceil(leaders);
    for (number, some) in (1..).zip(all.chunks(each)) {
        enrol(&store, some, &[(Address([number; 20]), each)], clock.as_ref()).await?;
    }
    drop(all);
    servers.filled()?;
    let (venue, urls) = Running::start("venue", &Part::Venue { kind: VenueKind::Idle, followers: 0 })?;
    let configuration = configure(home, servers, &serde_json::from_str(&urls)?)?;
    let leash = Leash::new()?;
    let mut processes = Vec::with_capacity(ROLES.len());
    for role in ROLES {
        let data_dir = home.join(role.name());
        if role != ROLES[0] {
            private_directory(&data_dir)?;
            fs::copy(first.join(secrets::FILE), data_dir.join(secrets::FILE)).context("the secret")?;
        }
        let child = start(role, &configuration, &data_dir, &leash)?;
        processes.push(Process { role, child });
    }
    until_working(&store, clock.as_ref()).await?;
    clock.sleep(SETTLES.min(left_alone)).await;
    let waiting = watch(servers, &processes, left_alone, clock.as_ref()).await?;
    for process in &mut processes {
        let ended = process.child.try_wait().context("a process")?;
        ensure!(ended.is_none(), "the {} has ended meanwhile", process.role.name());
    }
    drop(processes);
    venue.end()?;
    store.close().await?;
    Ok(waiting)
}

async fn watch(
    servers: &Servers,
    processes: &[Process],
    left_alone: Duration,
    clock: &dyn Clock,
) -> anyhow::Result<Waiting> {
    let redis: Vec<u32> = servers.redis.process().into_iter().collect();
    let of_all = || {
        let each: Vec<Duration> = processes.iter().map(|process| usage::cpu(&[process.child.id()])).collect();
        anyhow::Ok((each, usage::cpu(&servers.postgres.processes()?), usage::cpu(&redis)))
    };
    let (before, began) = (of_all()?, clock.uptime());
    clock.sleep(left_alone).await;
    let (after, passed) = (of_all()?, clock.uptime().saturating_sub(began));
    let percent = |after: Duration, before: Duration| {
        100.0 * after.saturating_sub(before).as_secs_f64() / passed.as_secs_f64()
    };
    let of_role = |((process, before), after): ((&Process, &Duration), &Duration)| OfRole {
        role: process.role.name(),
        resident_kb: usage::resident_kb(&[process.child.id()]),
        cpu_percent: percent(*after, *before),
    };
    Ok(Waiting {
        roles: processes.iter().zip(&before.0).zip(&after.0).map(of_role).collect(),
        postgres_percent: percent(after.1, before.1),
        redis_percent: percent(after.2, before.2),
    })
}

fn start(role: Role, configuration: &Path, data_dir: &Path, leash: &Leash) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let mut command = Command::new(program);
    command.arg(role.name()).arg("--config").arg(configuration).arg("--data-dir").arg(data_dir);
    command.env_clear().process_group(leash.group()?);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let log = fs::File::create(data_dir.join("log")).context("a log")?;
    command.stderr(log).spawn().with_context(|| format!("the {} cannot be started", role.name()))
}

async fn until_working(store: &SqlStore, clock: &dyn Clock) -> anyhow::Result<()> {
    let limit = clock.uptime() + PATIENCE;
    loop {
        let running = store.running_instances().await?;
        let works = running.iter().any(|instance| instance.0.contains("/worker-0"));
        if works && store.cursor(Source::Chain).await?.is_some() {
            return Ok(());
        }
        ensure!(clock.uptime() < limit, "watcher and worker did not start within {PATIENCE:?}");
        clock.sleep(LOOK_EVERY).await;
    }
}

fn configure(home: &Path, servers: &Servers, urls: &SimulatorUrls) -> anyhow::Result<PathBuf> {
    let SimulatorUrls { clob, data, rpc, gamma, live, .. } = urls;
    let channel = clob.replacen("http", "ws", 1);
    let (database, queue) = (servers.postgres.url(DATABASE), servers.redis.url(0));
    let text = format!(
        "[run]\nclob_url = '{clob}'\ndata_url = '{data}'\ngamma_url = '{gamma}'\ngeoblock_url = '{clob}'\n[database]\n\
         url = '{database}'\n[queue]\nurl = '{queue}'\n[engine]\nchannel_url = '{channel}'\nlive_url = '{live}'\n[chain]\n\
         rpc_urls = '{rpc}'\n"
    );
    let path = home.join("slipstream.toml");
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn private_directory(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

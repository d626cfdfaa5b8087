//! The `bench` command: what to measure, in which order, on two cores.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use domain::Clock;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use simulator::Simulator;

use super::{
    channels, disk,
    failover::{self, Failure},
    fan_out, gap, http,
    installation::{MOST_TRADES, quiet},
    live,
    memory::{self, IdleOrder},
    order_cost, pace, past,
    report::{Machine, Report},
    scale::{self, command::ScaleArgs},
    servers::{self, Part, Wanted},
    signer_process,
};
use crate::{clock::SystemClock, output::print};

/// Cores to measure on, whatever the machine has.
const CORES: usize = 2;
/// Relationships of the large idle process.
const MANY: usize = 10_000;
/// Failures of a provider of the chain, of each kind.
const FAILURES: usize = 5;
/// Orders of a long past.
const PAST: usize = 100_000;
/// Orders that the venue tells of.
const TOLD: usize = 1_000;

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  slipstream bench
  slipstream bench --on-servers --json > report.json
  slipstream bench scale --costs report.json")]
pub struct BenchArgs {
    /// What else there is.
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Numbers of followers to copy a trade for.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,10000", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    followers: Vec<u32>,
    /// Trades for each of them, after one to warm up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..MOST_TRADES as i64))]
    rounds: u16,
    /// Where to put the databases, and so the disk to measure: a new directory is made in it and removed
    /// afterwards. Without it the system's directory for temporary files.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Print JSON; nothing else goes to standard output.
    #[arg(long)]
    json: bool,
    /// Measure only an installation with a long past.
    #[arg(long)]
    past: bool,
    /// Measure a team instead: PostgreSQL, Redis, a watcher and a worker as processes of their own. The servers are private
    /// ones (Debian: apt-get install postgresql redis-server).
    #[arg(long, conflicts_with = "past")]
    on_servers: bool,
    /// How long a team that waits is left alone.
    #[arg(long, requires = "on_servers", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    idle_seconds: u16,
    /// Be one of the processes of that team.
    #[arg(long, hide = true, value_name = "JSON")]
    part: Option<Part>,
    /// Be the idle process that is measured.
    #[arg(long, hide = true, value_name = "JSON")]
    idle: Option<IdleOrder>,
}

/// What is computed instead of measured.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// What one machine carries, what breaks first with more followers, and how they are divided then: computed from what a
    /// team was measured to cost.
    Scale(ScaleArgs),
}

/// Measures and prints.
///
/// # Errors
/// When something cannot be measured; never because something is slow.
pub async fn run(arguments: &BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(BenchCommand::Scale(arguments)) = &arguments.command {
        scale::command::run(arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if let Some(order) = &arguments.idle {
        print(&serde_json::to_string(&memory::idle(order, &clock).await?)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(part) = &arguments.part {
        servers::be(part, &clock).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let machine = machine();
    let arguments = arguments.clone();
    let measuring = tokio::task::spawn_blocking(move || on_two_cores(&arguments, machine));
    let (report, json) = measuring.await.context("the measuring thread died")??;
    print(&if json { serde_json::to_string_pretty(&report)? } else { report.text() })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs everything in a runtime of its own, whose threads are bound to two cores.
fn on_two_cores(arguments: &BenchArgs, machine: Machine) -> anyhow::Result<(Report, bool)> {
    let allowed = sched_getaffinity(None).context("the cores of this process cannot be read")?;
    let mut two = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(CORES).for_each(|core| two.set(core));
    sched_setaffinity(None, &two).context("this process cannot be bound to two cores")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(CORES).enable_all().build()?;
    let report = runtime.block_on(measure(arguments, machine))?;
    Ok((report, arguments.json))
}

async fn measure(arguments: &BenchArgs, machine: Machine) -> anyhow::Result<Report> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let directory = Directory::make(arguments.data_dir.clone())?;
    let mut report = Report::new(machine);
    if arguments.past {
        report.past(PAST, &past::measure(&directory.0, PAST, &clock).await?);
        return Ok(report);
    }
    progress("the cost of an order");
    let cost = order_cost::measure(&clock).await?;
    progress("disk and loopback");
    let sync = disk::sync_time(&directory.0, clock.as_ref())?;
    let simulator = Simulator::start(quiet(), Arc::clone(&clock)).await?;
    let client = polymarket::local_client()?;
    let post = http::post_time(&simulator.clob_url, &client, clock.as_ref()).await?;
    simulator.shutdown().await;
    let parts = report.parts(&cost, sync, post);
    let mut numbers: Vec<usize> =
        arguments.followers.iter().filter_map(|n| usize::try_from(*n).ok()).collect();
    numbers.sort_unstable();
    if arguments.on_servers {
        let wanted = Wanted {
            followers: &numbers,
            rounds: usize::from(arguments.rounds),
            left_alone: Duration::from_secs(u64::from(arguments.idle_seconds)),
        };
        servers::measure(&mut report, &directory.0, &wanted, parts, &clock).await?;
        return Ok(report);
    }
    progress("a signer behind a socket");
    report.signer(&signer_process::measure(&directory.0, &clock).await?);
    for followers in numbers {
        progress(&format!("a trade copied by {followers}"));
        let rounds = usize::from(arguments.rounds);
        report.fan_out(fan_out::measure(&directory.0, followers, rounds, &clock).await?, parts);
    }
    report.growth();
    progress("an installation with a long past");
    report.past(PAST, &past::measure(&directory.0, PAST, &clock).await?);
    progress("the pace of one address");
    for size in [pace::Size::PUBLISHED, pace::Size::BY_TWO] {
        report.pace(&pace::measure(size, &clock).await?);
    }
    progress("what the venue tells by itself");
    report.irrelevant(&live::measure().await?);
    report.told(TOLD, channels::booked(&directory.0, TOLD, &clock).await?, parts);
    for failure in [Failure::Hangs, Failure::Refuses] {
        report.failover(failure, failover::measure(failure, FAILURES, &clock).await?);
    }
    report.back(channels::back(&clock, &channels::AWAY_MS).await?);
    report.missed(channels::filled(&directory.0, &clock, &channels::AWAY_MS).await?);
    report.gap(gap::decided(&directory.0, &clock, &channels::AWAY_MS).await?);
    for followers in [0, MANY] {
        progress(&format!("an idle process with {followers} relationships"));
        report.idle(followers, memory::measure(&directory.0, followers, &clock).await?);
    }
    Ok(report)
}

fn machine() -> Machine {
    // Unknown is empty or zero: nothing is measured by these.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: kernel.trim().to_owned(),
        load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// A new directory that is removed with everything in it.
struct Directory(PathBuf);

impl Directory {
    fn make(parent: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut mark = [0; 4];
        rustix::rand::getrandom(&mut mark, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| anyhow!("the system gives no random bytes: {error}"))?;
        let name = format!("slipstream-bench-{}", hex::encode(mark));
        let path = parent.unwrap_or_else(std::env::temp_dir).join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing to do about a directory that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::print_stderr, reason = "it takes minutes; people want to know that it goes on")]
pub(super) fn progress(what: &str) {
    eprintln!("measuring {what} …");
}

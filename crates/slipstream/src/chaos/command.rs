//! The `chaos` command.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use domain::Clock;
use serde_json::json;

use super::running::{Wish, run as play};
use crate::{clock::SystemClock, output::print};

/// Arguments of `chaos`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  slipstream chaos
  slipstream chaos --seed 7 --jobs 20000 --kills 50 --minutes 5 --json
  slipstream chaos --jobs 1000000 --kills 1000 --minutes 200 --followers 500   # the long run: about 100 minutes, never made yet

Nothing of this machine's own is used or touched: PostgreSQL, Redis and the venue are private instances on free ports, and end
with it. Wanted on the machine: PostgreSQL and Redis (Debian: apt-get install postgresql redis-server).
Exit status: 0 everything adds up, 1 something does not (with the seed and the command that plays it again), or it could not
be started, 2 the flags cannot be understood.")]
pub struct ChaosArgs {
    /// Seed of what leaders do, what is broken and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Jobs at least: decisions to copy, each for one follower.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// Processes that are killed with SIGKILL; for each two of them something else is broken.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,
    /// The longest time in which leaders trade. Faults happen in its first half.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// Accounts with (simulated) real money; each follows every leader.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    followers: u16,
    /// Worker processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Watchers: one is active, the other stands by.
const WATCHERS: usize = 2;

/// Runs it.
///
/// # Errors
/// When something cannot be started, with what to install.
pub async fn run(arguments: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let wish = Wish {
        seed: arguments.seed,
        followers: usize::from(arguments.followers),
        jobs: wide(arguments.jobs),
        kills: wide(arguments.kills),
        time: Duration::from_secs(u64::from(arguments.minutes) * 60),
        workers: usize::from(arguments.workers),
        watchers: WATCHERS,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (report, kept) = play(wish, &clock).await?;
    if arguments.json {
        let answer =
            json!({ "ok": report.ok(), "command": report.command(), "kept": kept, "report": report });
        print(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        let kept = kept.map(|kept| format!("What was written is in {}", kept.display())).unwrap_or_default();
        print(&format!("{}{kept}", report.text()))?;
    }
    Ok(if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

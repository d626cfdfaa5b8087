//! Memory of an idle process. Each is measured in a process of its own that runs the engine and nothing
//! else; the simulator stays here.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use domain::Clock;
use serde::{Deserialize, Serialize};
use simulator::Simulator;

use super::{
    installation::{Keys, Running, fill, furnish, quiet},
    sample::process_cpu,
};
use crate::demo::SimulatorUrls;

/// How long the other process is left idle before it is looked at.
const IDLE: Duration = Duration::from_secs(3);

/// What an idle process uses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Idle {
    /// Resident memory, in kB.
    pub(super) resident_kb: u64,
    /// Share of one core, in per cent.
    pub(super) cpu_percent: f64,
}

/// What the measured process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdleOrder {
    /// Its database.
    file: PathBuf,
    /// Where the simulator listens.
    simulator: SimulatorUrls,
    /// Followers whose keys it opens.
    followers: usize,
}

impl std::str::FromStr for IdleOrder {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// Measures a process with this many relationships in a fresh directory.
pub(super) async fn measure(
    directory: &Path,
    followers: usize,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Idle> {
    let file = directory.join(format!("{followers}-idle")).join("slipstream.db");
    let all = Keys::of_seed(1).followers(followers).await?;
    fill(&file, &all, clock).await.with_context(|| format!("filling {}", file.display()))?;
    let simulator = Simulator::start(quiet(), Arc::clone(clock)).await?;
    furnish(&simulator.world(), &all)?;
    let order = IdleOrder { file, simulator: SimulatorUrls::of(&simulator), followers };
    let program = std::env::current_exe().context("this program cannot be found")?;
    let output = tokio::process::Command::new(program)
        .arg("bench")
        .arg("--idle")
        .arg(serde_json::to_string(&order)?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("the idle process cannot be started")?;
    simulator.shutdown().await;
    ensure!(output.status.success(), "the idle process ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("the idle process said nothing that can be read")
}

/// The measured process: starts the engine, idles, and says what it uses.
pub(super) async fn idle(order: &IdleOrder, clock: &Arc<dyn Clock>) -> anyhow::Result<Idle> {
    let keys = Keys::of_seed(1);
    drop(keys.followers(order.followers).await?);
    let running = Running::start(&order.file, &order.simulator, &keys, clock).await?;
    let (cpu, start) = (process_cpu(), clock.uptime());
    clock.sleep(IDLE).await;
    let used = process_cpu().saturating_sub(cpu).as_secs_f64();
    let passed = clock.uptime().saturating_sub(start).as_secs_f64();
    let idle = Idle { resident_kb: resident_kb()?, cpu_percent: 100.0 * used / passed };
    running.shutdown().await?;
    Ok(idle)
}

/// `VmRSS` of this process, in kB. Source: proc_pid_status(5).
fn resident_kb() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(number.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn an_idle_engine_has_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let file = directory.path().join("slipstream.db");
        fill(&file, &Keys::of_seed(1).followers(2).await.unwrap(), &clock).await.unwrap();
        let simulator = Simulator::start(quiet(), Arc::clone(&clock)).await.unwrap();
        let order = IdleOrder { file, simulator: SimulatorUrls::of(&simulator), followers: 2 };
        let told: IdleOrder = serde_json::to_string(&order).unwrap().parse().unwrap();
        let idle = idle(&told, &clock).await.unwrap();
        assert!(idle.resident_kb > 1_000 && idle.cpu_percent >= 0.0, "{idle:?}");
        simulator.shutdown().await;
    }
}

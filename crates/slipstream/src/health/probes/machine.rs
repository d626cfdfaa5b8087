//! This process and the machine it is on.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use operations::health::{Check, Kind, Probe, Reading, Weight};

use crate::venue_clock::ClockWatch;

/// Percent of a disk.
const DISK_PERCENT: (f64, f64) = (85.0, 95.0);
/// Percent of the memory that this process's group may have.
const MEMORY_PERCENT: (f64, f64) = (80.0, 95.0);

const fn of(component: &'static str, measurement: &'static str, unit: &'static str, weight: Weight) -> Check {
    Check { component, measurement, kind: Kind::System, unit, weight }
}

/// Whether the engine's tasks get on.
pub(super) struct TasksProbe {
    pub(super) hanging: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

#[async_trait]
impl Probe for TasksProbe {
    fn checks(&self) -> &[Check] {
        const { &[of("process", "hangingTasks", "tasks", Weight::Ready)] }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let hanging = (self.hanging)();
        let reading = match hanging.len() {
            0 => Reading::pass(Some(0.0)),
            count => {
                let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                Reading::fail(Some(count), format!("hangs: {}", hanging.join(", ")))
            }
        };
        vec![vec![reading]]
    }
}

/// How far this machine's clock is from the venue's, as it is measured once a minute.
pub(super) struct ClockProbe {
    pub(super) skew: ClockWatch,
}

#[async_trait]
impl Probe for ClockProbe {
    fn checks(&self) -> &[Check] {
        const { &[of("clock", "skew", "s", Weight::Major)] }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let reading = match self.skew.skew() {
            None => Reading::unknown("the venue's clock could not be read yet"),
            Some(skew) => {
                let millis = i32::try_from(skew.micros / 1_000).unwrap_or(i32::MAX);
                let seconds = Some(f64::from(millis) / 1_000.0);
                if skew.is_off() { Reading::fail(seconds, skew.to_string()) } else { Reading::pass(seconds) }
            }
        };
        vec![vec![reading]]
    }
}

/// How full the disk is on which the data is.
pub(super) struct DiskProbe {
    pub(super) directory: PathBuf,
}

#[async_trait]
impl Probe for DiskProbe {
    fn checks(&self) -> &[Check] {
        const { &[of("disk", "utilization", "percent", Weight::Minor)] }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let reading = match rustix::fs::statvfs(&self.directory) {
            Err(error) => Reading::unknown(format!("the disk cannot be asked: {error}")),
            Ok(disk) => {
                let used = percent(disk.f_blocks.saturating_sub(disk.f_bavail), disk.f_blocks);
                Reading::below(used, DISK_PERCENT, "the disk of the data directory is nearly full")
            }
        };
        vec![vec![reading]]
    }
}

/// What this process has in memory, and how much of what its group may have is used.
pub(super) struct MemoryProbe;

#[async_trait]
impl Probe for MemoryProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[
                of("memory", "resident", "MiB", Weight::Minor),
                of("memory", "utilization", "percent", Weight::Minor),
            ]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let resident = match fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text)) {
            Some(kib) => Reading::pass(Some(kib / 1_024.0)),
            None => Reading::unknown("this system does not tell"),
        };
        // Without a limit, or outside a group, there is nothing to be full.
        let used = fs::read_to_string("/sys/fs/cgroup/memory.current");
        let limit = fs::read_to_string("/sys/fs/cgroup/memory.max");
        let used = match (used.map(|text| bytes(&text)), limit.map(|text| bytes(&text))) {
            (Ok(Some(used)), Ok(Some(limit))) => {
                let words = "this container is close to its memory limit, and is killed at it";
                vec![Reading::below(percent(used, limit), MEMORY_PERCENT, words)]
            }
            _ => Vec::new(),
        };
        vec![vec![resident], used]
    }
}

/// KiB that are resident.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn percent(part: u64, whole: u64) -> f64 {
    let tenths = u128::from(part).saturating_mul(1_000) / u128::from(whole.max(1));
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_system_are_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_048.0));
        assert_eq!((bytes("1024\n"), bytes("max\n")), (Some(1_024), None));
        assert_eq!(
            (percent(1, 2), percent(1, 0), percent(u64::MAX, 1)),
            (50.0, 100.0, f64::from(u32::MAX) / 10.0)
        );
    }
}

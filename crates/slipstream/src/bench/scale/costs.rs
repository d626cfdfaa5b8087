//! What things cost: the one place from which all that is said of scale is computed.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::bench::servers::{Measured, Waiting};

/// What was measured of a team.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::bench) struct Costs {
    /// CPU time of an order in the watcher, the worker, PostgreSQL and Redis, in µs.
    pub(in crate::bench) decide_us: f64,
    pub(in crate::bench) work_us: f64,
    pub(in crate::bench) database_us: f64,
    pub(in crate::bench) queue_us: f64,
    /// A commit by itself, in ms.
    pub(in crate::bench) commit_ms: f64,
    /// Tables and indexes of an order, in bytes.
    pub(in crate::bench) order_bytes: f64,
    /// Memory of all roles without followers, in MB, and what a relationship adds, in bytes.
    pub(in crate::bench) base_mb: f64,
    pub(in crate::bench) relationship_bytes: f64,
    /// CPU time of all roles and servers while nothing happens, in per cent of a core, and what a leader adds.
    pub(in crate::bench) base_percent: f64,
    pub(in crate::bench) leader_percent: f64,
    /// What that team took from a leader's trade to the last of its orders, and of how many, to hold the model against.
    pub(in crate::bench) measured_orders: f64,
    pub(in crate::bench) measured_ms: f64,
}

/// What `slipstream bench --on-servers` measured last, and how. Written from its report: `costs`, and `how`.
const MEASURED: &str = include_str!("measured.json");

/// Costs, and where they are from.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    pub(super) how: String,
    pub(super) costs: Costs,
}

/// A team that waits, with followers and with hardly any.
pub(in crate::bench) struct Idle<'a> {
    pub(in crate::bench) bare: &'a Waiting,
    pub(in crate::bench) full: &'a Waiting,
    pub(in crate::bench) followers: f64,
    pub(in crate::bench) leaders: f64,
}

impl Costs {
    /// Of a team at a stub, of its largest number of followers; nothing where the database was not looked at.
    pub(in crate::bench) fn of(team: &Measured, commit_ms: f64, idle: &Idle<'_>) -> Option<Self> {
        let (copied, database) = (team.copied.last()?, team.database?);
        let (bare, full) = (Totals::of(idle.bare), Totals::of(idle.full));
        let orders = f64::from(u32::try_from(copied.followers).ok()?);
        Some(Self {
            decide_us: copied.cpu.watcher,
            work_us: copied.cpu.worker,
            database_us: copied.cpu.postgres,
            queue_us: copied.cpu.redis,
            commit_ms,
            order_bytes: database.megabytes * 1e6 / 10_000.0,
            base_mb: bare.megabytes,
            relationship_bytes: (full.megabytes - bare.megabytes).max(0.0) * 1e6 / idle.followers,
            base_percent: bare.percent,
            leader_percent: (full.percent - bare.percent).max(0.0) / idle.leaders,
            measured_orders: orders,
            measured_ms: copied.total_ms,
        })
    }
}

impl Known {
    /// Those of a report of `bench --on-servers --json`, or those that are known.
    pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return serde_json::from_str(MEASURED).context("the costs of this program");
        };
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let known: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} has no `costs`: it is to be what `slipstream bench --on-servers --json` prints with 1,000 followers or more",
                file.display()
            )
        })?;
        Ok(Self { how: file.display().to_string(), ..known })
    }
}

struct Totals {
    megabytes: f64,
    percent: f64,
}

impl Totals {
    fn of(waiting: &Waiting) -> Self {
        let kb: u64 = waiting.roles.iter().map(|role| role.resident_kb).sum();
        let percent: f64 = waiting.roles.iter().map(|role| role.cpu_percent).sum();
        Self {
            megabytes: f64::from(u32::try_from(kb).unwrap_or(u32::MAX)) * 1_024.0 / 1e6,
            percent: percent + waiting.postgres_percent + waiting.redis_percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_from_a_report_and_from_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (file, known) = (directory.path().join("report.json"), Known::read(None).unwrap());
        fs::write(&file, serde_json::json!({ "costs": known.costs, "lines": [] }).to_string()).unwrap();
        let read = Known::read(Some(&file)).unwrap();
        assert_eq!((read.costs, read.how), (known.costs, file.display().to_string()));
        fs::write(&file, r#"{ "costs": null }"#).unwrap();
        let error = format!("{:#}", Known::read(Some(&file)).unwrap_err());
        assert!(error.contains("--on-servers --json"), "{error}");
    }
}

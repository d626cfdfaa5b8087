//! The books and the server they are on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::Clock;
use engine::ports::following::Following as _;
use operations::health::{Check, Kind, Probe, Reading, Weight, millis};
use store::{PoolFigures, PostgresAddress, ServerStatus, SqlStore, server_status};

use crate::wording::harmless;

/// A question that is answered later than this is slow, and later than the second the database is as good as gone.
const SLOW_MS: (f64, f64) = (250.0, 2_000.0);
/// Percent of connections in use.
const USED_PERCENT: (f64, f64) = (80.0, 95.0);
/// Seconds that a transaction may be open: ours take parts of one.
const OLD_S: (f64, f64) = (30.0, 300.0);

/// Asks the books for one number, as every process here does all the time.
pub(super) struct DatabaseProbe {
    store: Arc<SqlStore>,
    clock: Arc<dyn Clock>,
    refused: AtomicU64,
}

impl DatabaseProbe {
    pub(super) fn new(store: Arc<SqlStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, refused: AtomicU64::new(0) }
    }

    fn pool(&self, figures: &PoolFigures) -> Reading {
        let used = f64::from(figures.saturation_percent());
        let refused = figures.refused.saturating_sub(self.refused.swap(figures.refused, Relaxed));
        if refused > 0 {
            return Reading::fail(Some(used), format!("{refused} times nobody got a connection in time"));
        }
        let words = format!("{} of {} are open, {} wait", figures.open, figures.limit, figures.waiting);
        match figures.waiting {
            0 => Reading::pass(Some(used)),
            _ => Reading::warn(Some(used), words),
        }
    }
}

const fn of(measurement: &'static str, unit: &'static str, weight: Weight) -> Check {
    Check { component: "database", measurement, kind: Kind::Datastore, unit, weight }
}

#[async_trait]
impl Probe for DatabaseProbe {
    fn checks(&self) -> &[Check] {
        const { &[of("responseTime", "ms", Weight::Ready), of("pool", "percent", Weight::Major)] }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let asked = self.clock.uptime();
        let time = match self.store.config_version().await {
            Ok(_) => {
                let took = millis(self.clock.uptime().saturating_sub(asked));
                Reading::below(took, SLOW_MS, "it answers slowly")
            }
            Err(error) => Reading::fail(None, harmless(&error.to_string())),
        };
        let pool = self.store.connections().map(|figures| self.pool(&figures));
        vec![vec![time], pool.into_iter().collect()]
    }
}

/// Asks the server, on a connection of its own, so that a pool that is used up does not hide who uses it.
pub(super) struct ServerProbe {
    pub(super) address: PostgresAddress,
}

#[async_trait]
impl Probe for ServerProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[
                of("connections", "percent", Weight::Major),
                of("sessions", "connections", Weight::Minor),
                of("oldestTransaction", "s", Weight::Minor),
                of("waitingForLocks", "sessions", Weight::Minor),
            ]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        match server_status(&self.address).await {
            Ok(status) => of_server(&status),
            Err(error) => {
                let words = harmless(&error.to_string());
                let unknown = || vec![Reading::unknown("the server could not be asked")];
                vec![vec![Reading::fail(None, words)], unknown(), unknown(), unknown()]
            }
        }
    }
}

fn number(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

fn of_server(status: &ServerStatus) -> Vec<Vec<Reading>> {
    let most = number(status.most_connections.saturating_sub(status.reserved)).max(1.0);
    let used = number(status.connections) * 100.0 / most;
    let mut names: Vec<(&str, i64)> = Vec::new();
    for session in &status.sessions {
        match names.iter_mut().find(|(name, _)| *name == session.name) {
            Some((_, count)) => *count = count.saturating_add(session.count),
            None => names.push((&session.name, session.count)),
        }
    }
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most_of = names.first().map(|(name, count)| format!("; {count} of them are {name}'s"));
    let words = format!(
        "{} of {most} connections that others than superusers get are used{}",
        status.connections,
        most_of.unwrap_or_default()
    );
    let named = names.iter().map(|(name, count)| Reading::pass(Some(number(*count))).of(harmless(name)));
    let oldest = status.oldest_transaction.map(|age| {
        Reading::below(
            number(age),
            OLD_S,
            "a transaction is open for long; `slipstream db status` tells more",
        )
    });
    let waiting = number(status.waiting);
    vec![
        vec![Reading::below(used, USED_PERCENT, words)],
        named.collect(),
        oldest.into_iter().collect(),
        vec![Reading::below(waiting, (10.0, 100.0), "sessions wait for locks")],
    ]
}

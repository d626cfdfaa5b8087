//! What a process measures of itself: the newest readings of its probes, its breakers, how the venue answered, and what
//! happened. Told to whoever scrapes `/metrics`, and sent as DogStatsD. Nothing is asked of anybody for a scrape.

mod alerting;
mod following;
mod sending;

use std::sync::Arc;

use domain::Clock;
use operations::{
    breaker::State,
    breakers::Breakers,
    health::{Board, CheckReport, Status},
    metrics::{Metric, Registry, table as of},
};
use polymarket::Answers;

pub use self::alerting::{Firing, FiringNow};
pub(crate) use self::{
    alerting::{evaluate, read_flags},
    following::follow,
    sending::{Agent, send},
};

/// Which check's values are which metric's. The one tag of such a metric is which of several a reading is of.
const OF_CHECKS: &[(&str, &str, &Metric)] = &[
    ("process", "hangingTasks", &of::HANGING_TASKS),
    ("memory", "resident", &of::RESIDENT),
    ("memory", "utilization", &of::MEMORY_USED),
    ("disk", "utilization", &of::DISK_USED),
    ("clock", "skew", &of::CLOCK_SKEW),
    ("invariants", "broken", &of::INVARIANTS),
    ("queue", "depth", &of::QUEUE_DEPTH),
    ("queue", "waiting", &of::QUEUE_WAITING),
    ("queue", "inFlight", &of::QUEUE_IN_FLIGHT),
    ("queue", "oldestAge", &of::QUEUE_OLDEST),
    ("queue", "deadLetters", &of::QUEUE_DEAD),
    ("redis", "responseTime", &of::REDIS_TIME),
    ("database", "responseTime", &of::DATABASE_TIME),
    ("database", "pool", &of::DATABASE_POOL),
    ("database", "connections", &of::DATABASE_CONNECTIONS),
    ("database", "sessions", &of::DATABASE_SESSIONS),
    ("database", "oldestTransaction", &of::DATABASE_OLDEST),
    ("database", "waitingForLocks", &of::DATABASE_LOCKS),
    ("workers", "heartbeat", &of::WORKERS),
    ("polymarket_api", "responseTime", &of::VENUE_TIME),
    ("polymarket_api", "lastSuccess", &of::VENUE_SUCCESS),
    ("polygon_rpc", "headAge", &of::RPC_HEAD_AGE),
    ("certificates", "left", &of::CERTIFICATE_LEFT),
    ("feeds", "silence", &of::FEED_SILENCE),
    ("feeds", "disagreement", &of::FEED_DISAGREEMENT),
];

/// What is measured, and from what.
#[derive(Clone)]
pub(crate) struct Measures {
    /// The values.
    pub(crate) registry: Arc<Registry>,
    /// What probes saw.
    pub(crate) board: Arc<Board>,
    /// The breakers.
    pub(crate) breakers: Arc<Breakers>,
    /// How the venue answered.
    pub(crate) answers: Arc<Answers>,
    /// What the process does.
    pub(crate) role: &'static str,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Uptime at its start.
    pub(crate) began: std::time::Duration,
}

impl Measures {
    /// Brings the values up to date with what is known.
    pub(crate) fn collect(&self) -> &Registry {
        let registry = self.registry.as_ref();
        registry.set(&of::BUILD, &[env!("CARGO_PKG_VERSION"), revision(), self.role], 1.0);
        let up = self.clock.uptime().saturating_sub(self.began);
        registry.set(&of::UPTIME, &[], up.as_secs_f64());
        for check in self.board.report().checks {
            take_check(registry, &check);
        }
        for (name, view) in self.breakers.views() {
            let state = match view.state {
                State::Closed => 0.0,
                State::HalfOpen => 1.0,
                State::Open => 2.0,
            };
            registry.set(&of::BREAKER_STATE, &[name], state);
            registry.set(&of::BREAKER_OPENED, &[name], large(view.opened));
        }
        for (topic, tally) in self.answers.tallies() {
            let ends = [
                ("answered", tally.answered),
                ("malformed", tally.malformed),
                ("refused", tally.refused),
                ("put_off", tally.put_off),
                ("failed", tally.failed),
            ];
            for (end, count) in ends.into_iter().filter(|(_, count)| *count > 0) {
                registry.set(&of::VENUE_CALLS, &[topic.name(), end], large(count));
            }
        }
        registry
    }
}

/// The commit that this program was built from, as whoever built it said.
pub(crate) fn revision() -> &'static str {
    option_env!("SLIPSTREAM_REVISION").unwrap_or("unknown")
}

/// What is old is not told as if it were of now.
fn take_check(registry: &Registry, check: &CheckReport) {
    let (component, measurement) = (check.check.component, check.check.measurement);
    let status = match check.status {
        Status::Pass => 0.0,
        Status::Unknown => 1.0,
        Status::Warn => 2.0,
        Status::Fail => 3.0,
    };
    registry.set(&of::HEALTH, &[component, measurement], status);
    let Some((_, _, metric)) = OF_CHECKS.iter().find(|(c, m, _)| (*c, *m) == (component, measurement)) else {
        return;
    };
    registry.forget(metric);
    for reading in check.readings.iter().filter(|reading| reading.status != Status::Unknown) {
        let Some(value) = reading.value else { continue };
        let of = [reading.of.as_str()];
        let tags: &[&str] = if metric.tags.is_empty() { &[] } else { &of };
        registry.set(metric, tags, value);
    }
}

/// Counts of this size are told to the nearest.
fn large(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32).unwrap_or(u32::MAX), count & 0xFFFF_FFFF);
    f64::from(high) * 4_294_967_296.0 + f64::from(u32::try_from(low).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use domain::Timestamp;
    use operations::{
        health::{Check, Kind, Reading, Weight},
        metrics::{Format, markdown},
    };
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    #[test]
    fn the_table_of_the_documentation_is_the_code_s() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if std::env::var_os("SLIPSTREAM_WRITE_DOCS").is_some() {
            fs::write(&path, markdown()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            markdown(),
            "write it anew with SLIPSTREAM_WRITE_DOCS=1"
        );
    }

    #[test]
    fn a_scrape_tells_the_newest_readings_and_no_old_ones() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let board = Arc::new(Board::new(time()));
        let depth = Check {
            component: "queue",
            measurement: "depth",
            kind: Kind::Datastore,
            unit: "jobs",
            weight: Weight::Minor,
        };
        board.expect(depth, Duration::from_secs(10));
        board.put(depth, vec![Reading::pass(Some(12.0)).of("entries")], Duration::ZERO);
        let measures = Measures {
            registry: Arc::default(),
            board: Arc::clone(&board),
            breakers: Arc::new(Breakers::new(time(), 1, &["orders"])),
            answers: Arc::default(),
            role: "worker",
            began: clock.uptime(),
            clock: time(),
        };
        let scrape = || measures.collect().text(Format::OpenMetrics);
        let text = scrape();
        for line in [
            "queue_depth{lane=\"entries\"} 12",
            "health_status{component=\"queue\",measurement=\"depth\"} 0",
            "breaker_state{name=\"orders\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.contains("slipstream_build{version="), "{text}");
        clock.advance(Duration::from_secs(11));
        let text = scrape();
        assert!(!text.contains("queue_depth{"), "{text}");
        assert!(text.contains("measurement=\"depth\"} 1"), "{text}");
        assert_eq!(large(u64::from(u32::MAX) + 1), 4_294_967_296.0);
    }
}

//! The rules. Each names the issue of the runbook that it belongs to, so that whoever is told knows where to read.

use std::time::Duration;

use crate::metrics::{Metric, table as of};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken.
    Critical,
    /// Somebody looks in working hours.
    Warning,
}

impl Severity {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// When somebody is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What is watched.
    pub metric: &'static Metric,
    /// Only series with these tags.
    pub only: &'static [(&'static str, &'static str)],
    /// Above this.
    pub above: f64,
    /// For so long.
    pub lasting: Duration,
    /// How bad that is.
    pub severity: Severity,
    /// What is going on.
    pub summary: &'static str,
    /// Where in the runbook it stands: the anchor of its section.
    pub runbook: &'static str,
    /// Whether it guards money: then nobody silences it.
    pub money: bool,
}

const fn rule(name: &'static str, metric: &'static Metric, above: f64, lasting: u64) -> Rule {
    Rule {
        name,
        metric,
        only: &[],
        above,
        lasting: Duration::from_secs(lasting),
        severity: Severity::Critical,
        summary: "",
        runbook: "",
        money: false,
    }
}

/// A check that fails.
const fn failing(name: &'static str, only: &'static [(&'static str, &'static str)], lasting: u64) -> Rule {
    Rule { only, ..rule(name, &of::HEALTH, 2.0, lasting) }
}

impl Rule {
    const fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    const fn says(self, runbook: &'static str, summary: &'static str) -> Self {
        Self { runbook, summary, ..self }
    }
}

const QUEUE: &str = "trade-execution-queue-stuck";
const DATABASE: &str = "database-connection-pool-exhausted";
const VENUE: &str = "polymarket-api-downslow";
const MEMORY: &str = "high-memory-usage--oom-kills";
const DETECTION: &str = "polygon-rpc";
const TLS: &str = "ssl-certificate-expiringexpired";
const MONEY: &str = "invariants";

/// All of them.
pub const RULES: &[Rule] = &[
    Rule { money: true, ..rule("InvariantBroken", &of::INVARIANTS, 0.0, 0) }
        .says(MONEY, "What may never happen to money did: hold everything and verify the books."),
    rule("QueueStuck", &of::QUEUE_OLDEST, 30.0, 15).says(QUEUE, "Jobs are due and nobody takes them."),
    Rule {
        above: 1.0,
        ..failing("WorkersSilent", &[("component", "workers"), ("measurement", "heartbeat")], 30)
    }
    .warning()
    .says(QUEUE, "A process gives no sign of life, or no worker is known that does."),
    rule("TasksHang", &of::HANGING_TASKS, 0.0, 0)
        .says(QUEUE, "A task of the engine does not come to an end."),
    rule("DeadLetters", &of::QUEUE_DEAD, 0.0, 60).warning().says(
        QUEUE,
        "Jobs failed too often, or ended without an order: `slipstream queue dead-letter` tells which.",
    ),
    failing("RedisDown", &[("component", "redis"), ("measurement", "responseTime")], 30)
        .warning()
        .says(QUEUE, "The queue's server does not answer; workers read the books meanwhile."),
    failing("DatabaseDown", &[("component", "database"), ("measurement", "responseTime")], 15)
        .says(DATABASE, "The database does not answer in time."),
    failing("DatabasePoolExhausted", &[("component", "database"), ("measurement", "pool")], 15)
        .says(DATABASE, "A process gets no connection to the database in time."),
    rule("DatabaseConnectionsUsedUp", &of::DATABASE_CONNECTIONS, 90.0, 30)
        .says(DATABASE, "The database server has hardly a connection left."),
    rule("TransactionOpenForLong", &of::DATABASE_OLDEST, 300.0, 60)
        .warning()
        .says(DATABASE, "A transaction is open for long, and keeps what others wait for."),
    failing("VenueDown", &[("component", "polymarket_api"), ("measurement", "responseTime")], 20)
        .says(VENUE, "Polymarket does not answer."),
    failing("VenueCallsFail", &[("component", "polymarket_api"), ("measurement", "lastSuccess")], 20)
        .says(VENUE, "Calls of one kind to Polymarket fail, one after the other."),
    rule("BreakerOpen", &of::BREAKER_STATE, 1.0, 10)
        .says(VENUE, "A circuit breaker does not close: entries wait."),
    failing("ChainUnread", &[("component", "polygon_rpc"), ("measurement", "headAge")], 30)
        .says(DETECTION, "No provider of the chain can be asked."),
    failing("FeedStopped", &[("component", "feeds"), ("measurement", "silence")], 30)
        .says(DETECTION, "A source of leaders' trades cannot be read."),
    failing("ClockOff", &[("component", "clock"), ("measurement", "skew")], 60)
        .says(DETECTION, "This machine's clock is wrong: orders and logins may be refused."),
    failing("CertificateEnds", &[("component", "certificates"), ("measurement", "left")], 0)
        .says(TLS, "The certificate that is served has ended, or ends within days."),
    Rule {
        above: 1.0,
        ..failing("CertificateNotRenewed", &[("component", "certificates"), ("measurement", "left")], 300)
    }
    .warning()
    .says(TLS, "A third of the life of the certificate that is served is left, or less."),
    rule("MemoryNearLimit", &of::MEMORY_USED, 90.0, 30)
        .says(MEMORY, "A container is close to its memory limit."),
    rule("DiskNearlyFull", &of::DISK_USED, 90.0, 60)
        .warning()
        .says(MEMORY, "The disk of the data is nearly full."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::{Kind, TABLE};

    #[test]
    fn rules_watch_what_is_measured_and_say_what_it_means() {
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(TABLE.contains(rule.metric) && rule.metric.kind == Kind::Gauge, "{}", rule.name);
            assert!(rule.only.iter().all(|(tag, _)| rule.metric.tags.contains(tag)), "{}", rule.name);
            assert!(rule.summary.ends_with('.') && !rule.runbook.is_empty(), "{}", rule.name);
            assert!(rule.lasting.as_secs() % 5 == 0, "{}", rule.name);
        }
        assert!(RULES.iter().any(|rule| rule.money && rule.lasting.is_zero()), "one occurrence is enough");
    }
}

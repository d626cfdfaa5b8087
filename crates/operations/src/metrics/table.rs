//! The one table of metrics. Nothing else is ever sent; documentation, dashboards and rules are compared with it.

use super::{Kind, Metric};

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    tags: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, unit, tags, meaning }
}

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:ident, $unit:literal, [$($tag:literal),*], $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $id: Metric = metric($name, Kind::$kind, $unit, &[$($tag),*], $meaning);)*
        /// All of them.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD = "slipstream.build", Gauge, "", ["version", "revision", "role"],
        "Always 1; which program this is.";
    UPTIME = "process.uptime_seconds", Gauge, "seconds", [], "How long this process has run.";
    RESIDENT = "process.resident_mib", Gauge, "MiB", [], "Memory of this process.";
    MEMORY_USED = "memory.utilization_percent", Gauge, "percent", [],
        "How much of its memory limit the container uses; absent without a limit.";
    DISK_USED = "disk.utilization_percent", Gauge, "percent", [], "How full the disk of the data directory is.";
    CLOCK_SKEW = "clock.skew_seconds", Gauge, "seconds", [], "How far this machine's clock is ahead of the venue's.";
    HANGING_TASKS = "process.hanging_tasks", Gauge, "tasks", [], "Tasks of the engine that do not come to an end.";
    HEALTH = "health.status", Gauge, "", ["component", "measurement"],
        "How a check stands: 0 pass, 1 unknown, 2 warn, 3 fail.";
    INVARIANTS = "invariants.broken", Gauge, "occurrences", ["of"],
        "What may never happen and did within a day: one is an alarm.";
    QUEUE_DEPTH = "queue.depth", Gauge, "jobs", ["lane"], "Ids waiting in the queue.";
    QUEUE_WAITING = "queue.waiting", Gauge, "jobs", ["lane"], "Jobs that wait according to the books.";
    QUEUE_IN_FLIGHT = "queue.inflight", Gauge, "jobs", ["lane"], "Jobs whose order is signed and not settled.";
    QUEUE_OLDEST = "queue.oldest_age_seconds", Gauge, "seconds", [], "How long the next job has been due.";
    QUEUE_DEAD = "queue.dlq_depth", Gauge, "jobs", [], "Jobs that wait for an operator, or ended without an order within a day.";
    QUEUE_THROUGHPUT = "queue.throughput", Counter, "orders", [], "Orders that were signed, whatever became of them.";
    REDIS_TIME = "redis.response_ms", Gauge, "milliseconds", [], "Time to an answer of the queue's server.";
    DATABASE_TIME = "database.response_ms", Gauge, "milliseconds", [], "Time to an answer of the database.";
    DATABASE_POOL = "database.pool_percent", Gauge, "percent", [], "How many of this process's connections are in use.";
    DATABASE_CONNECTIONS = "database.connections_percent", Gauge, "percent", [],
        "How many of the server's connections are used, by whomever.";
    DATABASE_SESSIONS = "database.sessions", Gauge, "connections", ["application"], "Sessions in the database by name.";
    DATABASE_OLDEST = "database.oldest_transaction_seconds", Gauge, "seconds", [], "Age of the oldest transaction.";
    DATABASE_LOCKS = "database.waiting_for_locks", Gauge, "sessions", [], "Sessions that wait for a lock.";
    WORKERS = "workers.tasks", Gauge, "tasks", ["process"], "Tasks of each process that is not known to have ended.";
    VENUE_TIME = "polymarket_api.response_ms", Gauge, "milliseconds", [], "Time to the venue's answer to a small question.";
    VENUE_SUCCESS = "polymarket_api.last_success_seconds", Gauge, "seconds", ["of"],
        "How long ago the venue answered a call of this kind.";
    VENUE_CALLS = "polymarket_api.calls", Counter, "calls", ["topic", "end"],
        "Calls to the venue's services, by what was asked for and how it ended.";
    RPC_HEAD_AGE = "polygon_rpc.head_age_seconds", Gauge, "seconds", ["provider"],
        "How long ago each provider of the chain told its head.";
    FEED_SILENCE = "feeds.silence_seconds", Gauge, "seconds", ["source"],
        "How long nothing new was heard of a source of leaders' trades.";
    FEED_DISAGREEMENT = "feeds.disagreement_percent", Gauge, "percent", ["source"],
        "How many of a source's newest trades differ from the chain.";
    CERTIFICATE_LEFT = "certificates.left_days", Gauge, "days", ["host"],
        "How much longer the certificate is good that is served under the installation's name.";
    BREAKER_STATE = "breaker.state", Gauge, "", ["name"], "Where a breaker stands: 0 closed, 1 half open, 2 open.";
    BREAKER_OPENED = "breaker.opened", Counter, "times", ["name"], "How often a breaker has opened.";
    HOLDS = "holds.in_force", Gauge, "holds", ["cause"], "Holds in force, by their cause.";
    DECISIONS = "decisions", Counter, "decisions", ["verdict"], "Answers to leaders' trades: copy, or the reason of a skip.";
    ORDERS = "orders.changed", Counter, "changes", ["state"], "Changes of orders, by their new state.";
    ALARMS = "orders.alarms", Counter, "alarms", ["alarm"], "What a person must know about an order.";
    STAGES = "order.stage_seconds", Histogram, "seconds", ["stage"],
        "How long each stage of an order took since the one before: seen, decided, signed, sent, replied, mined, confirmed.";
    ALERTS = "alerts.firing", Gauge, "", ["alert"], "1 while an alert of the rules fires.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_what_both_sides_allow_and_each_stands_once() {
        let mut seen = BTreeSet::new();
        for metric in TABLE {
            let plain = |text: &str| {
                let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
                first && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
            };
            assert!(plain(metric.name) && metric.tags.iter().all(|tag| plain(tag)), "{}", metric.name);
            assert!(seen.insert(metric.underscored()), "{} twice", metric.name);
            assert!(metric.meaning.ends_with('.'), "{}", metric.name);
            assert!(!metric.name.ends_with("_total") && !metric.name.ends_with("_info"), "{}", metric.name);
        }
        assert!(TABLE.contains(&QUEUE_DEPTH) && QUEUE_DEPTH.name == "queue.depth");
    }
}

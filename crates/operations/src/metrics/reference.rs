//! The table, for people.

use std::fmt::Write as _;

use super::TABLE;

/// The whole of docs/metrics.md.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nWritten from the table in the code, `crates/operations/src/metrics/table.rs`; a test compares the two.\n\n\
         A process with `[run] health_address` answers `GET /metrics`: OpenMetrics to whoever accepts it, else the text format of \
         Prometheus. With `[run] statsd_address` (UDP) or `[run] statsd_socket` (a Unix socket) it sends the same every ten \
         seconds as DogStatsD. Names are those of DogStatsD; for Prometheus each dot is an underscore, and counters end in \
         `_total`: `queue.depth` is `queue_depth`. What nobody measured is absent.\n\n\
         Buckets of a histogram carry the id of an order as exemplar: `slipstream inspect order ID` tells the rest.\n\n\
         | name | kind | unit | tags | meaning |\n|---|---|---|---|---|\n",
    );
    for metric in TABLE {
        let tags = metric.tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {tags} | {} |",
            metric.name,
            metric.kind.word(),
            metric.unit,
            metric.meaning
        );
    }
    text
}

//! What is measured: one table of names, and the newest values. The same names go to whoever scrapes (OpenMetrics) and to
//! whoever is sent them (DogStatsD); dots are underscores for the former.

mod dashboards;
mod dogstatsd;
mod open_metrics;
mod reference;
mod registry;
pub mod table;

pub use dashboards::{datadog, grafana};
pub use dogstatsd::Datagrams;
pub use open_metrics::Format;
pub use reference::markdown;
pub use registry::Registry;
pub use table::TABLE;

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How much there is now.
    Gauge,
    /// How often something happened; it only grows.
    Counter,
    /// How values are spread, in seconds.
    Histogram,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with dots.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// What it counts.
    pub unit: &'static str,
    /// The names of its tags.
    pub tags: &'static [&'static str],
    /// What it says, in a sentence.
    pub meaning: &'static str,
}

impl Metric {
    /// Its name for Prometheus, which allows no dots.
    #[must_use]
    pub fn underscored(&self) -> String {
        self.name.replace('.', "_")
    }
}

/// Upper bounds of a histogram's buckets, in seconds: from a local answer to a slow settlement.
pub const BUCKETS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

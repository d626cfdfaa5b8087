//! Alerts: one table of rules, evaluated in each process on what it measures, and written out as the same rules for Prometheus.
//! A silence keeps an alert from being told, for a time and by name; what guards money cannot be silenced.

mod evaluator;
mod prometheus;
pub mod rules;
mod silence;

pub use evaluator::{Evaluator, Instance, Turn};
pub use prometheus::{markdown, rule_file, test_file};
pub use rules::{RULES, Rule, Severity};
pub use silence::{BadSilence, Silence, Silences};

//! All values as text for whoever scrapes: OpenMetrics 1.0, or what Prometheus read before it.

use std::fmt::Write as _;

use super::{
    BUCKETS, Kind, Metric, Registry, TABLE,
    registry::{Sample, Series, Spread},
};

/// Which of two notations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// What whoever accepts this is given.
    #[must_use]
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its name in HTTP.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Registry {
    /// Everything, each metric's values together.
    #[must_use]
    pub fn text(&self, format: Format) -> String {
        let series = self.lock();
        let mut text = String::new();
        for metric in TABLE {
            family(&mut text, format, metric, &series);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn family(text: &mut String, format: Format, metric: &Metric, series: &Series) {
    let mut samples = series.iter().filter(|((name, _), _)| *name == metric.name).peekable();
    if samples.peek().is_none() {
        return;
    }
    let name = metric.underscored();
    let end = if metric.kind == Kind::Counter { "_total" } else { "" };
    // Prometheus names the family of a counter as its values.
    let family = if format == Format::Prometheus { format!("{name}{end}") } else { name.clone() };
    let _ = writeln!(text, "# HELP {family} {}\n# TYPE {family} {}", metric.meaning, metric.kind.word());
    for ((_, values), sample) in samples {
        let labels = labels(metric, values);
        match sample {
            Sample::Value { now, .. } => {
                let _ = writeln!(text, "{name}{end}{} {now}", braced(&labels));
            }
            Sample::Spread(spread) => histogram(text, format, (&name, &labels), spread),
        }
    }
}

fn histogram(text: &mut String, format: Format, (name, labels): (&str, &str), spread: &Spread) {
    let mut below = 0_u64;
    let bounds = BUCKETS.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
    let counts = spread.buckets.iter().map(Some).chain([None]);
    for ((bound, count), exemplar) in bounds.zip(counts).zip(&spread.exemplars) {
        below = count.map_or(spread.count, |count| below.saturating_add(*count));
        let bound =
            if labels.is_empty() { format!("le=\"{bound}\"") } else { format!("{labels},le=\"{bound}\"") };
        let _ = write!(text, "{name}_bucket{{{bound}}} {below}");
        if let Some((value, trace)) = exemplar.as_ref().filter(|_| format == Format::OpenMetrics) {
            let _ = write!(text, " # {{trace_id=\"{}\"}} {value}", escaped(trace));
        }
        text.push('\n');
    }
    let labels = braced(labels);
    let _ = writeln!(text, "{name}_sum{labels} {}\n{name}_count{labels} {}", spread.sum, spread.count);
}

fn labels(metric: &Metric, values: &[String]) -> String {
    let pairs = metric.tags.iter().zip(values).map(|(tag, value)| format!("{tag}=\"{}\"", escaped(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::{DECISIONS, QUEUE_DEPTH, STAGES};

    fn measured() -> Registry {
        let registry = Registry::default();
        registry.set(&QUEUE_DEPTH, &["exits"], 0.0);
        registry.set(&QUEUE_DEPTH, &["entries"], 12.0);
        registry.add(&DECISIONS, &["too \"old\"\n"], 2);
        for value in [0.004, 0.2, 900.0] {
            registry.observe(&STAGES, &["sent"], value, "0x01");
        }
        registry
    }

    #[test]
    fn whoever_reads_open_metrics_gets_exemplars_and_an_end() {
        let text = measured().text(Format::OpenMetrics);
        for line in [
            "# TYPE queue_depth gauge",
            "queue_depth{lane=\"entries\"} 12",
            "# TYPE decisions counter",
            "decisions_total{verdict=\"too \\\"old\\\"\\n\"} 2",
            "order_stage_seconds_bucket{stage=\"sent\",le=\"0.001\"} 0",
            "order_stage_seconds_bucket{stage=\"sent\",le=\"0.005\"} 1 # {trace_id=\"0x01\"} 0.004",
            "order_stage_seconds_bucket{stage=\"sent\",le=\"300.0\"} 2",
            "order_stage_seconds_bucket{stage=\"sent\",le=\"+Inf\"} 3 # {trace_id=\"0x01\"} 900",
            "order_stage_seconds_count{stage=\"sent\"} 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn prometheus_of_old_gets_neither() {
        let text = measured().text(Format::Prometheus);
        assert!(text.contains("# TYPE decisions_total counter\n"), "{text}");
        assert!(!text.contains("trace_id") && !text.contains("EOF"), "{text}");
        let accepts = |accept: &str| Format::accepted_by(accept);
        assert_eq!(
            accepts("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Format::OpenMetrics
        );
        assert_eq!(accepts("*/*"), Format::Prometheus);
    }

    #[test]
    fn tags_from_outside_fill_no_memory() {
        let registry = Registry::default();
        for number in 0..crate::limits::SERIES * 2 {
            registry.set(&QUEUE_DEPTH, &[&number.to_string()], 1.0);
        }
        assert_eq!(registry.lock().len(), crate::limits::SERIES);
        registry.forget(&QUEUE_DEPTH);
        assert_eq!(registry.lock().len(), 0);
    }
}

//! Goes by the words of operators, and tells which alerts fire: flags are read often enough to be in force within a second,
//! rules are evaluated on what is measured.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::Clock;
use operations::{
    alerts::{Evaluator, RULES, Severity, Silences, Turn},
    flags::Flags,
    metrics::table as of,
    ports::OperatorWords,
};
use serde::Serialize;
use tracing::{debug, error, info, warn};

use super::Measures;
use crate::wording::harmless;

/// Time between two looks at flags: with the look itself less than a second.
const FLAGS_EVERY: Duration = Duration::from_millis(400);
/// Time between two evaluations.
const EVALUATED_EVERY: Duration = Duration::from_secs(5);

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Firing {
    /// The rule.
    pub rule: &'static str,
    /// Which series, as `tag=value`.
    pub tags: String,
    /// Its value.
    pub value: f64,
}

/// What fires, as it was evaluated last.
#[derive(Clone, Debug, Default)]
pub struct FiringNow(Arc<Mutex<Vec<Firing>>>);

impl FiringNow {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> Vec<Firing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads flags for ever. While they cannot be read the last word counts.
pub(crate) async fn read_flags(words: Arc<dyn OperatorWords>, clock: Arc<dyn Clock>, flags: Arc<Flags>) {
    loop {
        match words.flags().await {
            Ok(read) => flags.learn(&read),
            Err(error) => debug!(%error, "flags cannot be read now"),
        }
        clock.sleep(FLAGS_EVERY).await;
    }
}

/// Evaluates for ever.
pub(crate) async fn evaluate(words: Arc<dyn OperatorWords>, measures: Measures, firing: FiringNow) {
    let (mut evaluator, silences) = (Evaluator::default(), Silences::default());
    loop {
        let now = measures.clock.now();
        match words.silences(now).await {
            Ok(read) => silences.learn(&read, now),
            Err(error) => debug!(%error, "silences cannot be read now"),
        }
        look(&mut evaluator, &silences, &measures, &firing);
        measures.clock.sleep(EVALUATED_EVERY).await;
    }
}

fn look(evaluator: &mut Evaluator, silences: &Silences, measures: &Measures, firing: &FiringNow) {
    let registry = measures.collect();
    for turn in evaluator.step(measures.clock.uptime(), (RULES, registry), silences) {
        tell(&turn);
    }
    let now: Vec<Firing> = evaluator
        .firing()
        .map(|(instance, value)| Firing { rule: instance.rule, tags: instance.tags.clone(), value })
        .collect();
    registry.forget(&of::ALERTS);
    now.iter().for_each(|one| registry.set(&of::ALERTS, &[one.rule], 1.0));
    *firing.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
}

fn tell(turn: &Turn) {
    let (instance, value) = match turn {
        Turn::Fires(instance, value) => (instance, Some(*value)),
        Turn::Over(instance) => (instance, None),
    };
    let Some(rule) = RULES.iter().find(|rule| rule.name == instance.rule) else { return };
    let of =
        if instance.tags.is_empty() { String::new() } else { format!(" ({})", harmless(&instance.tags)) };
    let (name, summary) = (rule.name, rule.summary);
    match (value, rule.severity) {
        (Some(value), Severity::Critical) => {
            error!(alert = name, value, "alert {name}{of}: {summary} `slipstream ops diagnose` tells more");
        }
        (Some(value), Severity::Warning) => warn!(alert = name, value, "alert {name}{of}: {summary}"),
        (None, _) => info!(alert = name, "alert {name}{of} is over"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use domain::Timestamp;
    use futures_util::FutureExt as _;
    use operations::{
        alerts::{markdown, rule_file, test_file},
        breakers::Breakers,
        flags::{Flag, LIVE_ENTRIES},
        health::Board,
        metrics::{Format, datadog, grafana},
    };
    use testkit::{operator_words::WordsInMemory, virtual_clock::VirtualClock};

    use super::*;

    #[test]
    fn files_for_prometheus_and_people_are_the_code_s() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let json = |value: serde_json::Value| format!("{value:#}\n");
        for (path, text) in [
            ("deploy/dashboards/polymarket-prod.datadog.json", json(datadog())),
            ("deploy/dashboards/slipstream.grafana.json", json(grafana())),
            ("deploy/prometheus/slipstream.rules.yml", rule_file()),
            ("deploy/prometheus/slipstream.rules.test.yml", test_file()),
            ("docs/alerts.md", markdown()),
        ] {
            let path = root.join(path);
            if std::env::var_os("SLIPSTREAM_WRITE_DOCS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            assert_eq!(fs::read_to_string(path).unwrap(), text, "write it anew with SLIPSTREAM_WRITE_DOCS=1");
        }
    }

    fn measures(clock: &Arc<VirtualClock>) -> Measures {
        let time = || Arc::clone(clock) as Arc<dyn Clock>;
        Measures {
            registry: Arc::default(),
            board: Arc::new(Board::new(time())),
            breakers: Arc::new(Breakers::new(time(), 1, &["orders"])),
            answers: Arc::default(),
            role: "worker",
            clock: time(),
            began: Duration::ZERO,
        }
    }

    #[test]
    fn what_fires_is_measured_and_shown_until_it_is_over() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let (measures, firing) = (measures(&clock), FiringNow::default());
        let (mut evaluator, silences) = (Evaluator::default(), Silences::default());
        measures.registry.set(&of::INVARIANTS, &["duplicate order"], 1.0);
        look(&mut evaluator, &silences, &measures, &firing);
        let tags = "of=duplicate order".to_owned();
        assert_eq!(firing.all(), [Firing { rule: "InvariantBroken", tags, value: 1.0 }]);
        let scraped = measures.registry.text(Format::OpenMetrics);
        assert!(scraped.contains("alerts_firing{alert=\"InvariantBroken\"} 1"), "{scraped}");
        measures.registry.forget(&of::INVARIANTS);
        look(&mut evaluator, &silences, &measures, &firing);
        assert_eq!(firing.all(), []);
    }

    /// A flag of another process is in force here within a second.
    #[test]
    fn a_flag_is_in_force_within_a_second() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let (words, flags) = (Arc::new(WordsInMemory::default()), Arc::<Flags>::default());
        let reading = read_flags(Arc::clone(&words) as _, Arc::clone(&clock) as _, Arc::clone(&flags));
        let mut reading = std::pin::pin!(reading);
        assert!(reading.as_mut().now_or_never().is_none());
        assert!(flags.lets(LIVE_ENTRIES, b"x"));
        let (name, who, reason) = (LIVE_ENTRIES.name.to_owned(), String::new(), String::new());
        let flag = Flag { name, percent: 0, at: Timestamp(0), who, reason };
        words.set_flag(&flag).now_or_never().unwrap().unwrap();
        clock.advance(Duration::from_millis(999));
        assert!(reading.as_mut().now_or_never().is_none());
        assert!(!flags.lets(LIVE_ENTRIES, b"x"));
    }
}

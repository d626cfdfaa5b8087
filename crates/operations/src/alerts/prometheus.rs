//! The same rules as files of Prometheus, and unit tests of them for promtool.

use std::fmt::Write as _;

use super::{RULES, Rule};

/// Time between two samples of the tests, in seconds.
const STEP: u64 = 5;

const BEGIN: &str = "# Written from the table of rules in the code, crates/operations/src/alerts/rules.rs; a test compares the two.\n";

/// deploy/prometheus/slipstream.rules.yml
#[must_use]
pub fn rule_file() -> String {
    let mut text = format!("{BEGIN}groups:\n  - name: slipstream\n    rules:\n");
    for rule in RULES {
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}s\n        labels:\n          severity: {}\n          money: \"{}\"\n        annotations:\n          \
             summary: \"{}\"\n          runbook_id: {}\n          runbook_url: {}\n",
            rule.name,
            expression(rule),
            rule.lasting.as_secs(),
            rule.severity.word(),
            rule.money,
            rule.summary,
            rule.runbook,
            url(rule),
        );
    }
    text
}

/// deploy/prometheus/slipstream.rules.test.yml: each alert fires when its condition has lasted, and not before.
#[must_use]
pub fn test_file() -> String {
    let mut text =
        format!("{BEGIN}rule_files:\n  - slipstream.rules.yml\nevaluation_interval: {STEP}s\ntests:\n");
    for rule in RULES {
        let lasting = rule.lasting.as_secs();
        // Well at first, then ill for ever.
        let (well, ill) = (rule.above, rule.above + 1.0);
        let begins = 2 * STEP;
        let _ = write!(
            text,
            "  - interval: {STEP}s\n    input_series:\n      - series: '{}'\n        values: '{well} {well} {ill}x200'\n    alert_rule_test:\n",
            series(rule)
        );
        if lasting >= STEP {
            let before = begins.saturating_add(lasting).saturating_sub(STEP);
            let _ = write!(
                text,
                "      - eval_time: {before}s\n        alertname: {}\n        exp_alerts: []\n",
                rule.name
            );
        }
        let fires = begins.saturating_add(lasting);
        let _ = write!(
            text,
            "      - eval_time: {fires}s\n        alertname: {}\n        exp_alerts:\n          - exp_labels:\n              severity: {}\n              \
             money: \"{}\"\n",
            rule.name,
            rule.severity.word(),
            rule.money
        );
        for (tag, value) in tags(rule) {
            let _ = writeln!(text, "              {tag}: \"{value}\"");
        }
        let _ = write!(
            text,
            "            exp_annotations:\n              summary: \"{}\"\n              runbook_id: {}\n              runbook_url: {}\n",
            rule.summary,
            rule.runbook,
            url(rule)
        );
    }
    text
}

/// docs/alerts.md
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Alerts\n\nWritten from the table of rules in the code, `crates/operations/src/alerts/rules.rs`; a test compares the two, and \
         `deploy/prometheus/slipstream.rules.yml`, the same rules for Prometheus, too (`promtool test rules` proves them).\n\n\
         Each process evaluates them every five seconds on what it measures ([metrics](metrics.md)), and tells its log what fires and \
         what is over; `slipstream ops alerts` tells what fires now. `slipstream ops silence NAME --hours N --reason TEXT` keeps one \
         from being told, a week at most; those that guard money cannot be silenced.\n",
    );
    for rule in RULES {
        let money = if rule.money { " It guards money: nobody silences it." } else { "" };
        let lasting = match rule.lasting.as_secs() {
            0 => "at once".to_owned(),
            seconds => format!("after {seconds} s"),
        };
        let _ = write!(
            text,
            "\n## {}\n\n{} Severity: {}; told {lasting} of `{}`; runbook: {}.{money}\n",
            rule.name,
            rule.summary,
            rule.severity.word(),
            expression(rule),
            rule.runbook
        );
    }
    text
}

fn expression(rule: &Rule) -> String {
    let only: Vec<String> = rule.only.iter().map(|(tag, value)| format!("{tag}=\"{value}\"")).collect();
    let only = if only.is_empty() { String::new() } else { format!("{{{}}}", only.join(",")) };
    format!("{}{only} > {}", rule.metric.underscored(), rule.above)
}

/// The tags of a series that the rule watches: those it names, and something for the others.
fn tags(rule: &Rule) -> Vec<(&'static str, &'static str)> {
    let value = |tag: &&'static str| {
        let named = rule.only.iter().find(|(named, _)| named == tag);
        (*tag, named.map_or("one", |(_, value)| value))
    };
    rule.metric.tags.iter().map(value).collect()
}

fn series(rule: &Rule) -> String {
    let tags: Vec<String> = tags(rule).iter().map(|(tag, value)| format!("{tag}=\"{value}\"")).collect();
    let tags = if tags.is_empty() { String::new() } else { format!("{{{}}}", tags.join(",")) };
    format!("{}{tags}", rule.metric.underscored())
}

fn url(rule: &Rule) -> String {
    format!("docs/alerts.md#{}", rule.name.to_lowercase())
}

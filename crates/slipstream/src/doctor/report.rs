//! All findings together.

use domain::Timestamp;
use serde_json::{Value, json};

use super::finding::{Finding, Verdict};
use crate::{
    demo::paint::Paint,
    discretion::Discretion,
    screen::Style,
    wording::{count, wrapped},
};

/// Letters of the column of checks.
const WIDEST: usize = 36;
/// Letters of a line, of what stands before and between its columns, and of what was seen at least.
const LINE: usize = 120;
const AROUND: usize = 10;
const NARROWEST: usize = 30;

/// What a doctor says.
pub struct Report {
    findings: Vec<Finding>,
    at: Timestamp,
}

impl Report {
    /// Of findings as they may be shown.
    pub(super) fn new(findings: Vec<Finding>, discretion: &Discretion, at: Timestamp) -> Self {
        let shown = |finding: Finding| Finding {
            check: discretion.text(&finding.check),
            evidence: discretion.text(&finding.evidence),
            fix: finding.fix.map(|fix| discretion.text(&fix)),
            ..finding
        };
        Self { findings: findings.into_iter().map(shown).collect(), at }
    }

    fn number(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// Whether nothing fails.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.number(Verdict::Fail) == 0
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"), "at": self.at.to_string(), "well": self.is_well(),
            "ok": self.number(Verdict::Ok), "warn": self.number(Verdict::Warn),
            "fail": self.number(Verdict::Fail), "unknown": self.number(Verdict::Unknown),
            "findings": self.findings,
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self, paint: Paint, style: Style) -> String {
        let mut out = format!("slipstream {} on {}, {}\n", env!("CARGO_PKG_VERSION"), system(), self.at);
        let width = self.findings.iter().map(|one| one.check.chars().count()).max().unwrap_or(0).min(WIDEST);
        let mut area = "";
        for finding in &self.findings {
            if finding.area != area {
                area = finding.area;
                out.push_str(&format!("\n{}\n", paint.strong(area)));
            }
            let word = format!("{:<4}", finding.verdict.word());
            let word = match finding.verdict {
                Verdict::Ok => paint.good(&word),
                Verdict::Warn | Verdict::Unknown => paint.notable(&word),
                Verdict::Fail => paint.bad(&word),
            };
            let took = finding.took_ms.map(|ms| paint.faint(&format!("  {ms} ms"))).unwrap_or_default();
            let room = style.columns(LINE).min(LINE).saturating_sub(width + AROUND).max(NARROWEST);
            let mut lines = wrapped(&finding.evidence, room);
            if let Some(last) = lines.last_mut() {
                last.push_str(&took);
            }
            let fix = finding.fix.iter().flat_map(|fix| wrapped(&format!("→ {fix}"), room));
            lines.extend(fix);
            for (number, line) in lines.iter().enumerate() {
                match number {
                    0 => out.push_str(&format!("  {word}  {:<width$}  {line}\n", finding.check)),
                    _ => out.push_str(&format!("        {:<width$}  {line}\n", "")),
                }
            }
        }
        out.push_str(&format!("\n{}\n", self.sum(paint)));
        out
    }

    fn sum(&self, paint: Paint) -> String {
        let (fail, warn, unknown) =
            (self.number(Verdict::Fail), self.number(Verdict::Warn), self.number(Verdict::Unknown));
        let checks = count(self.findings.len(), "check");
        let head = match fail {
            0 => paint.good(&format!("nothing fails of {checks}")),
            1 => paint.bad(&format!("1 of {checks} fails")),
            fail => paint.bad(&format!("{fail} of {checks} fail")),
        };
        format!("{head}, {warn} could be better, {unknown} not known")
    }
}

fn system() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

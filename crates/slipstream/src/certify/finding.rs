//! What came of a question, and the table of all.

use serde::Serialize;

/// Widths of the table.
const SHORT: usize = 14;

/// Whether the venue does what this program relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It does, as far as was seen.
    Confirmed,
    /// It does something else.
    Differs,
    /// It could not be seen here.
    NotObservable,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Differs => "DIFFERS",
            Self::NotObservable => "not observable",
        }
    }
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    /// What was done.
    pub(super) done: String,
    /// What was seen.
    pub(super) seen: String,
    /// What it comes to.
    pub(super) verdict: Verdict,
}

impl Seen {
    pub(super) fn new(verdict: Verdict, done: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { done: done.into(), seen: seen.into(), verdict }
    }

    /// Confirmed if `holds`, else different.
    pub(super) fn that(holds: bool, done: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(if holds { Verdict::Confirmed } else { Verdict::Differs }, done, seen)
    }

    /// Nothing was seen, and why.
    pub(super) fn nothing(why: impl Into<String>) -> Self {
        Self::new(Verdict::NotObservable, "nothing", why)
    }
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Its name.
    pub(super) name: &'static str,
    /// What is asked.
    pub(super) question: &'static str,
    /// What this program relies on.
    pub(super) relies: &'static str,
    /// The answer.
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// All of them, for people.
pub(super) fn table(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let Finding { question, relies, seen: Seen { done, seen, verdict }, .. } = finding;
        out.push_str(&format!("{:<SHORT$}  {question}\n", verdict.word()));
        for (what, text) in [("relied on", *relies), ("done", done), ("seen", seen)] {
            out.push_str(&format!("{:SHORT$}  {what}: {text}\n", ""));
        }
    }
    let count = |of: Verdict| findings.iter().filter(|finding| finding.seen.verdict == of).count();
    out.push_str(&format!(
        "\n{} confirmed, {} not observable here, {} different\n",
        count(Verdict::Confirmed),
        count(Verdict::NotObservable),
        count(Verdict::Differs)
    ));
    out
}

/// Whether the venue does something else than is relied on.
pub(super) fn differs(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.seen.verdict == Verdict::Differs)
}

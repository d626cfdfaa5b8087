//! One thing that was looked at.

use std::time::Duration;

use serde::Serialize;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It does not work, or not for long.
    Fail,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Unknown => "?",
        }
    }
}

/// One check with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to.
    pub area: &'static str,
    /// What was looked at.
    pub check: String,
    /// What that came to.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// How long an answer took, in milliseconds, where somebody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

impl Finding {
    fn new(
        (area, check): (&'static str, impl Into<String>),
        verdict: Verdict,
        evidence: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self { area, check: check.into(), verdict, evidence: evidence.into(), fix, took_ms: None }
    }

    /// All is well.
    pub(crate) fn ok(what: (&'static str, impl Into<String>), evidence: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, evidence, None)
    }

    /// It works, and could be better.
    pub(crate) fn warn(
        what: (&'static str, impl Into<String>),
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(what, Verdict::Warn, evidence, Some(fix.into()))
    }

    /// It does not work.
    pub(crate) fn fail(
        what: (&'static str, impl Into<String>),
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(what, Verdict::Fail, evidence, Some(fix.into()))
    }

    /// It could not be found out.
    pub(crate) fn unknown(
        what: (&'static str, impl Into<String>),
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(what, Verdict::Unknown, evidence, Some(fix.into()))
    }

    /// The same, with the time that an answer took.
    pub(crate) fn after(self, took: Duration) -> Self {
        Self { took_ms: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)), ..self }
    }
}

//! How an installation does: probes look on a schedule, a board keeps what they saw, and whoever asks is answered from the
//! board alone. So an answer costs no call, however many ask, and says `unknown` where nobody has looked lately.

mod board;
mod document;
mod schedule;

pub use board::{Board, CheckReport, Report};
pub use document::Detail;
pub use schedule::{Probe, keep};

use std::time::Duration;

use serde::Serialize;

/// How something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Well.
    Pass,
    /// Nobody knows: nothing was seen yet, or what was seen is old.
    Unknown,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What kind of thing is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Another program, over the network.
    Component,
    /// Where data is.
    Datastore,
    /// This machine or process.
    System,
}

/// What it means when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Somebody should look.
    Minor,
    /// The installation does not do what it is for.
    Major,
    /// The same, and this process can serve nobody.
    Ready,
}

/// Something that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What, as runbooks name it.
    pub component: &'static str,
    /// What is measured of it.
    pub measurement: &'static str,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What the value is counted in; empty where there is no value.
    pub unit: &'static str,
    /// What it means when it fails.
    pub weight: Weight,
}

impl Check {
    /// `component:measurement`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.component, self.measurement)
    }
}

/// One thing seen by a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Of which of several: a provider, a lane; empty where there is one.
    pub of: String,
    /// How it does.
    pub status: Status,
    /// What was measured.
    pub value: Option<f64>,
    /// What is wrong, and what to do. Nothing when all is well.
    pub output: String,
}

impl Reading {
    /// All is well.
    #[must_use]
    pub fn pass(value: Option<f64>) -> Self {
        Self { of: String::new(), status: Status::Pass, value, output: String::new() }
    }

    /// Somebody should look.
    #[must_use]
    pub fn warn(value: Option<f64>, output: impl Into<String>) -> Self {
        Self { of: String::new(), status: Status::Warn, value, output: output.into() }
    }

    /// It does not work.
    #[must_use]
    pub fn fail(value: Option<f64>, output: impl Into<String>) -> Self {
        Self { of: String::new(), status: Status::Fail, value, output: output.into() }
    }

    /// Nobody knows, for this reason.
    #[must_use]
    pub fn unknown(output: impl Into<String>) -> Self {
        Self { of: String::new(), status: Status::Unknown, value: None, output: output.into() }
    }

    /// Names which of several it is of.
    #[must_use]
    pub fn of(self, of: impl Into<String>) -> Self {
        Self { of: of.into(), ..self }
    }

    /// By a value that should stay below two bounds.
    #[must_use]
    pub fn below(value: f64, (warn, fail): (f64, f64), output: impl Into<String>) -> Self {
        if value >= fail {
            Self::fail(Some(value), output)
        } else if value >= warn {
            Self::warn(Some(value), output)
        } else {
            Self::pass(Some(value))
        }
    }
}

/// Milliseconds of a duration, as a value.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

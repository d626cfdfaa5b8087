//! The runbook's questions about its issues, answered from what probes saw, and the likely cause. It reads and guesses; it
//! moves nothing.

use serde::Serialize;

use crate::health::{CheckReport, Report, Status};

/// One of the runbook's issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Issue {
    /// Jobs wait and nobody works.
    QueueStuck,
    /// Nobody gets a connection to the database.
    DatabaseExhausted,
    /// The venue does not answer as it should.
    VenueDown,
    /// This machine has no memory or disk left.
    Machine,
    /// Leaders' trades are not seen.
    Detection,
    /// What may never happen did.
    Money,
}

impl Issue {
    /// All of them, the ones first that are other ones' causes.
    pub const ALL: [Self; 6] = [
        Self::Money,
        Self::DatabaseExhausted,
        Self::VenueDown,
        Self::Detection,
        Self::Machine,
        Self::QueueStuck,
    ];

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::QueueStuck => "trade execution queue stuck",
            Self::DatabaseExhausted => "database connection pool exhausted",
            Self::VenueDown => "Polymarket API down or slow",
            Self::Machine => "memory, disk or clock of this machine",
            Self::Detection => "leaders' trades not seen",
            Self::Money => "an invariant of the books is broken",
        }
    }

    /// The components whose checks answer its questions.
    const fn components(self) -> &'static [&'static str] {
        match self {
            Self::QueueStuck => &["queue", "redis", "workers", "process"],
            Self::DatabaseExhausted => &["database"],
            Self::VenueDown => &["polymarket_api"],
            Self::Machine => &["memory", "disk", "clock"],
            Self::Detection => &["polygon_rpc", "feeds"],
            Self::Money => &["invariants"],
        }
    }

    /// What to do first.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::QueueStuck => {
                "`slipstream queue depth` and `slipstream instance list` tell more. Start workers, or start them again: nothing is lost. \
                 Never delete the queue to discard jobs: it refills; `slipstream queue quarantine` sets them aside"
            }
            Self::DatabaseExhausted => {
                "`slipstream db status` names who holds connections. End idle transactions of others; fewer connections for each \
                 process ([database] connections), or a pooler, last longer than more of them"
            }
            Self::VenueDown => {
                "nothing needs to be done at once: breakers stop entries, exits go on, and what was missed is not bought late. \
                 `slipstream ops breakers` tells how they stand; `slipstream panic --keep-exits` holds entries by hand"
            }
            Self::Machine => "make room, or move the process; a clock: `timedatectl set-ntp true`",
            Self::Detection => {
                "`slipstream rpc status` and `slipstream sources` tell more; `slipstream rpc reload` puts other providers in force"
            }
            Self::Money => {
                "hold everything (`slipstream panic`), then `slipstream verify`, and report it with the log"
            }
        }
    }
}

/// An issue, looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which.
    pub issue: Issue,
    /// Whether it is there.
    pub status: Status,
    /// Each question with what was seen.
    pub answers: Vec<String>,
    /// Another issue that probably is its cause.
    pub caused_by: Option<Issue>,
}

/// Looks at all issues.
#[must_use]
pub fn diagnose(report: &Report) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Issue::ALL.into_iter().map(|issue| finding(report, issue)).collect();
    let ill: Vec<Issue> = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .map(|finding| finding.issue)
        .collect();
    for finding in &mut findings {
        // A queue is often stuck because something that its workers need is.
        let causes: &[Issue] = match finding.issue {
            Issue::QueueStuck => &[Issue::DatabaseExhausted, Issue::VenueDown, Issue::Machine],
            Issue::Detection => &[Issue::DatabaseExhausted],
            Issue::VenueDown => &[Issue::Machine],
            _ => &[],
        };
        if finding.status == Status::Fail {
            finding.caused_by = causes.iter().copied().find(|cause| ill.contains(cause));
        }
    }
    findings
}

fn finding(report: &Report, issue: Issue) -> Finding {
    let of = |check: &&CheckReport| issue.components().contains(&check.check.component);
    let checks: Vec<&CheckReport> = report.checks.iter().filter(of).collect();
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Unknown);
    let answers = checks.iter().flat_map(|check| lines(check)).collect();
    Finding { issue, status, answers, caused_by: None }
}

/// What a check saw, a line for each thing.
#[must_use]
pub fn lines(check: &CheckReport) -> Vec<String> {
    let name = check.check.name();
    if check.readings.is_empty() {
        let what = if check.status == Status::Pass { "nothing to tell" } else { "nobody has looked yet" };
        return vec![format!("{name}: {}, {what}", check.status.word())];
    }
    let line = |reading: &crate::health::Reading| {
        let of = if reading.of.is_empty() { String::new() } else { format!(" of {}", reading.of) };
        let value =
            reading.value.map(|value| format!(" {value:.1} {}", check.check.unit)).unwrap_or_default();
        let said = match reading.status {
            Status::Pass => String::new(),
            _ if reading.output.is_empty() => String::new(),
            _ => format!(": {}", reading.output),
        };
        format!("{name}{of}: {}{value}{said}", reading.status.word())
    };
    check.readings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use domain::{Clock, Timestamp};
    use testkit::virtual_clock::VirtualClock;

    use super::*;
    use crate::health::{Board, Check, Kind, Reading, Weight};

    #[test]
    fn a_queue_that_waits_for_the_database_is_the_database_s() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let board = Board::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let check = |component, measurement| Check {
            component,
            measurement,
            kind: Kind::Datastore,
            unit: "s",
            weight: Weight::Major,
        };
        let (queue, database) = (check("queue", "oldestAge"), check("database", "pool"));
        for check in [queue, database] {
            board.expect(check, Duration::from_secs(9));
        }
        let of =
            |findings: Vec<Finding>, issue| findings.into_iter().find(|found| found.issue == issue).unwrap();
        board.put(queue, vec![Reading::fail(Some(90.0), "overdue")], Duration::ZERO);
        board.put(database, vec![Reading::pass(Some(1.0))], Duration::ZERO);
        let found = of(diagnose(&board.report()), Issue::QueueStuck);
        assert_eq!((found.status, found.caused_by), (Status::Fail, None));
        assert_eq!(found.answers, ["queue:oldestAge: fail 90.0 s: overdue"]);
        board.put(database, vec![Reading::fail(Some(100.0), "nobody gets one")], Duration::ZERO);
        let found = of(diagnose(&board.report()), Issue::QueueStuck);
        assert_eq!(found.caused_by, Some(Issue::DatabaseExhausted));
        let unseen = of(diagnose(&board.report()), Issue::Machine);
        assert_eq!(
            (unseen.status, unseen.answers.len()),
            (Status::Unknown, 0),
            "what nobody saw is not well"
        );
    }
}

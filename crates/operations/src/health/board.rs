//! What probes saw last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Clock, Timestamp};

use super::{Check, Reading, Status, Weight};
use crate::limits::{OUTPUT, READINGS};

/// The newest readings of every check, and how long they are believed. Everybody who shares it sees the same.
pub struct Board {
    clock: Arc<dyn Clock>,
    checks: Mutex<BTreeMap<(&'static str, &'static str), Posted>>,
}

struct Posted {
    check: Check,
    /// How long a reading is believed.
    believed: Duration,
    seen: Option<Seen>,
}

struct Seen {
    readings: Vec<Reading>,
    at: Timestamp,
    /// Uptime: a clock that is set makes nothing fresh.
    uptime: Duration,
    took: Duration,
}

/// A check as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// The worst of its readings; unknown where they are old, or missing.
    pub status: Status,
    /// Its readings.
    pub readings: Vec<Reading>,
    /// When somebody looked.
    pub at: Option<Timestamp>,
    /// How long that took.
    pub took: Duration,
    /// How long ago that was.
    pub age: Option<Duration>,
}

/// All checks as they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How the installation does, as this process sees it.
    pub status: Status,
    /// Whether this process can serve.
    pub ready: Status,
    /// By name.
    pub checks: Vec<CheckReport>,
}

impl Board {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, checks: Mutex::default() }
    }

    /// Names a check that will be looked at: until then it is unknown.
    pub fn expect(&self, check: Check, believed: Duration) {
        self.lock().entry((check.component, check.measurement)).or_insert(Posted {
            check,
            believed,
            seen: None,
        });
    }

    /// Puts down what was seen of a check that is expected. No readings at all: there is nothing of the kind here now.
    pub fn put(&self, check: Check, mut readings: Vec<Reading>, took: Duration) {
        readings.truncate(READINGS);
        for reading in &mut readings {
            if let Some((end, _)) = reading.output.char_indices().nth(OUTPUT) {
                reading.output.truncate(end);
            }
        }
        let (at, uptime) = (self.clock.now(), self.clock.uptime());
        if let Some(posted) = self.lock().get_mut(&(check.component, check.measurement)) {
            posted.seen = Some(Seen { readings, at, uptime, took });
        }
    }

    /// Everything, as it stands now. Looks at nothing itself.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = self.clock.uptime();
        let checks: Vec<CheckReport> = self.lock().values().map(|posted| posted.report(now)).collect();
        let status = checks.iter().map(of_whole).max().unwrap_or(Status::Unknown);
        let needed = checks.iter().filter(|check| check.check.weight == Weight::Ready);
        let ready = needed.map(|check| check.status).max().unwrap_or(Status::Pass);
        Report { status, ready, checks }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Posted>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posted {
    fn report(&self, now: Duration) -> CheckReport {
        let check = self.check;
        let Some(seen) = &self.seen else {
            let readings = Vec::new();
            let status = Status::Unknown;
            return CheckReport { check, status, readings, at: None, took: Duration::ZERO, age: None };
        };
        let age = now.saturating_sub(seen.uptime);
        let mut readings = seen.readings.clone();
        if age > self.believed {
            for reading in &mut readings {
                reading.status = Status::Unknown;
                reading.output =
                    format!("seen {} s ago, and nobody has looked since {}", age.as_secs(), reading.output);
            }
        }
        let worst = readings.iter().map(|reading| reading.status).max();
        let none = if age > self.believed { Status::Unknown } else { Status::Pass };
        let status = worst.unwrap_or(none);
        CheckReport { check, status, readings, at: Some(seen.at), took: seen.took, age: Some(age) }
    }
}

/// What a check means for the whole: a minor one that fails is worth a look, and what nobody knows is too.
fn of_whole(check: &CheckReport) -> Status {
    match (check.status, check.check.weight) {
        (Status::Fail, Weight::Minor) | (Status::Unknown, _) => Status::Warn,
        (status, _) => status,
    }
}

#[cfg(test)]
mod tests {
    use testkit::virtual_clock::VirtualClock;

    use super::*;
    use crate::health::Kind;

    const VENUE: Check = Check {
        component: "polymarket_api",
        measurement: "responseTime",
        kind: Kind::Component,
        unit: "ms",
        weight: Weight::Major,
    };
    const DATABASE: Check = Check {
        component: "database",
        measurement: "responseTime",
        kind: Kind::Datastore,
        unit: "ms",
        weight: Weight::Ready,
    };
    const DISK: Check = Check {
        component: "disk",
        measurement: "utilization",
        kind: Kind::System,
        unit: "percent",
        weight: Weight::Minor,
    };

    fn board() -> (Arc<VirtualClock>, Board) {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_000));
        let board = Board::new(Arc::clone(&clock) as Arc<dyn Clock>);
        for check in [VENUE, DATABASE, DISK] {
            board.expect(check, Duration::from_secs(30));
        }
        (clock, board)
    }

    fn all_well(board: &Board) {
        for check in [VENUE, DATABASE, DISK] {
            board.put(check, vec![Reading::pass(Some(1.0))], Duration::from_millis(3));
        }
    }

    #[test]
    fn nothing_is_well_before_somebody_looked() {
        let (_, board) = board();
        let report = board.report();
        assert_eq!((report.status, report.ready), (Status::Warn, Status::Unknown));
        all_well(&board);
        let report = board.report();
        assert_eq!((report.status, report.ready), (Status::Pass, Status::Pass));
    }

    #[test]
    fn what_is_old_is_unknown_whatever_it_was_and_however_the_wall_clock_is_set() {
        let (clock, board) = board();
        all_well(&board);
        board.put(VENUE, vec![Reading::fail(None, "no answer")], Duration::ZERO);
        assert_eq!(board.report().status, Status::Fail);
        clock.shift_wall(-3_600_000_000);
        clock.advance(Duration::from_secs(31));
        let report = board.report();
        assert_eq!((report.status, report.ready), (Status::Warn, Status::Unknown));
        let venue = report.checks.iter().find(|check| check.check == VENUE).unwrap();
        assert_eq!(venue.status, Status::Unknown);
        assert!(venue.readings[0].output.contains("31 s ago"), "{venue:?}");
    }

    #[test]
    fn a_minor_failure_is_a_warning_of_the_whole_and_a_major_one_leaves_the_process_ready() {
        let (_, board) = board();
        all_well(&board);
        board.put(DISK, vec![Reading::fail(Some(99.0), "full")], Duration::ZERO);
        assert_eq!((board.report().status, board.report().ready), (Status::Warn, Status::Pass));
        board.put(VENUE, vec![Reading::fail(None, "no answer")], Duration::ZERO);
        assert_eq!((board.report().status, board.report().ready), (Status::Fail, Status::Pass));
        board.put(DATABASE, vec![Reading::fail(None, "no answer")], Duration::ZERO);
        assert_eq!(board.report().ready, Status::Fail);
    }

    #[test]
    fn one_check_keeps_so_many_readings_and_so_many_letters() {
        let (_, board) = board();
        let much = vec![Reading::warn(None, "ü".repeat(OUTPUT * 2)); READINGS * 2];
        board.put(DISK, much, Duration::ZERO);
        let report = board.report();
        let disk = report.checks.iter().find(|check| check.check == DISK).unwrap();
        assert_eq!((disk.readings.len(), disk.readings[0].output.chars().count()), (READINGS, OUTPUT));
    }
}

//! What was measured of a team, as lines of the report.

use super::{
    bare::Bare,
    fan_out::{Copied, Measured},
    idle::{LEADERS, Waiting},
    jobs::{DECIDED, Jobs},
    part::VenueKind,
};
use crate::bench::{
    report::{ONE_BEYOND_SYNCS_MS, Parts, Report, number},
    sample::{micros, millis},
};

/// Targets of the project, by followers: in ms, at a stub and at a venue that verifies.
const COPIED: [(usize, f64, f64); 3] = [(100, 25.0, 40.0), (1_000, 120.0, 250.0), (10_000, 1_000.0, 2_000.0)];
/// The slowest may take so many times the usual.
const SLOWEST: f64 = 3.0;
/// A leader with one follower may take so many times as long beside one with many.
const BESIDE: f64 = 2.0;
const ACTIVE_MS: f64 = 600.0;
const MEGABYTES: f64 = 15.0;
const START_MS: f64 = 5.0;
/// 20,000 a second.
const JOB_US: f64 = 50.0;
const WAITING_MB: f64 = 300.0;
const WAITING_PERCENT: f64 = 2.0;

/// Titles of [`stages`].
pub(in crate::bench) const STAGES: [&str; 13] = [
    "team",
    "followers",
    "noticed",
    "decided",
    "sent",
    "replied",
    "p50",
    "p99",
    "watcher",
    "worker",
    "PostgreSQL",
    "Redis",
    "venue",
];

impl Report {
    /// The servers by themselves.
    pub(super) fn bare_servers(&mut self, bare: &Bare) {
        self.line(
            "bare: PostgreSQL, INSERT of a row in a commit of its own",
            (millis(bare.commit), "ms"),
            None,
        );
        self.line("bare: PostgreSQL, a row of 500 in one INSERT", (micros(bare.row), "µs"), None);
        self.line("bare: Redis, LPUSH by one client", (micros(bare.push), "µs"), None);
        self.line("bare: Redis, LPOP by one client", (micros(bare.pop), "µs"), None);
    }

    /// Trades copied by a team.
    pub(super) fn team(&mut self, measured: &Measured, (parts, bare): (Parts, &Bare), kind: VenueKind) {
        for copied in &measured.copied {
            self.copied(copied, parts, kind);
        }
        if let Some(fairness) = measured.fairness {
            let many = fairness.many;
            for (what, beside, alone) in [
                ("received", fairness.beside_ms, fairness.alone_ms),
                ("mined", fairness.mined_beside_ms, fairness.mined_alone_ms),
            ] {
                let figure = format!("team, 1 follower beside {many}: event {what} to order answered");
                self.line(figure, (beside, "ms"), Some(BESIDE * alone));
                self.beside("alone", alone);
            }
        }
        if let Some(database) = measured.database {
            let rows = micros(bare.row) * 10_000.0 / 1e3;
            self.line(
                "team, PostgreSQL's time for 10,000 orders",
                (database.active_ms, "ms"),
                Some(ACTIVE_MS),
            );
            self.beside("10,000 rows", rows);
            self.line("team, of it CPU", (database.cpu_ms, "ms"), None);
            let size = (database.megabytes, "MB");
            self.line("team, tables and indexes of 10,000 orders", size, Some(MEGABYTES));
            let idle = (database.idle_percent, "%");
            self.line("team, PostgreSQL's time without orders, of one session", idle, None);
        }
        self.teams.extend(measured.copied.iter().map(|copied| stages(copied, kind)));
        self.measured_teams.push(measured.clone());
    }

    fn copied(&mut self, copied: &Copied, parts: Parts, kind: VenueKind) {
        let verifies = kind == VenueKind::Verifying;
        let target = match copied.followers {
            1 if !verifies => Some(2.0 * parts.sync_ms + ONE_BEYOND_SYNCS_MS),
            count => COPIED
                .iter()
                .find(|(followers, ..)| *followers == count)
                .map(|(_, stub, verifying)| if verifies { *verifying } else { *stub }),
        };
        let venue = if verifies { "verifying venue" } else { "stub" };
        let noun = if copied.followers == 1 { "follower" } else { "followers" };
        let figure =
            format!("team, {venue}, {} {noun}: event received to last order posted", copied.followers);
        self.line(figure, (copied.total_ms, "ms"), target);
        self.beside("2 syncs + signatures + posts", parts.floor_ms(copied.followers));
        let slowest = format!("team, {venue}, {} {noun}: p99 of {} rounds", copied.followers, copied.rounds);
        self.line(slowest, (copied.p99_ms, "ms"), Some(SLOWEST * copied.total_ms));
    }

    /// The durable queue.
    pub(super) fn jobs(&mut self, jobs: &Jobs, (parts, bare): (Parts, &Bare)) {
        let figure = "team, a job that does nothing: handed in to started";
        self.line(figure, (millis(jobs.start), "ms"), Some(START_MS));
        self.beside("a sync", parts.sync_ms);
        let figure =
            format!("team, {} such jobs in batches of {DECIDED}: each, handed in and ended", jobs.count);
        self.line(figure, (1e6 / jobs.a_second, "µs"), Some(JOB_US));
        self.beside("a row", micros(bare.row));
    }

    /// A team that waits.
    pub(super) fn waiting(&mut self, followers: usize, waiting: &Waiting) {
        let megabytes = |kb: u64| f64::from(u32::try_from(kb).unwrap_or(u32::MAX)) / 1_024.0;
        let (mut memory, mut cpu) = (0.0, 0.0);
        for of_role in &waiting.roles {
            let (resident, percent) = (megabytes(of_role.resident_kb), of_role.cpu_percent);
            self.line(format!("team, idle memory of the {}", of_role.role), (resident, "MB"), None);
            self.line(format!("team, idle CPU of the {}", of_role.role), (percent, "% of a core"), None);
            memory += resident;
            cpu += percent;
        }
        let leaders = LEADERS.min(followers);
        let all = format!("of all roles together, {followers} followers and {leaders} leaders");
        self.line(format!("team, idle memory {all}"), (memory, "MB"), Some(WAITING_MB));
        self.line(format!("team, idle CPU {all}"), (cpu, "% of a core"), Some(WAITING_PERCENT));
        self.line("team, idle CPU of PostgreSQL", (waiting.postgres_percent, "% of a core"), None);
        self.line("team, idle CPU of Redis", (waiting.redis_percent, "% of a core"), None);
    }
}

fn stages(copied: &Copied, kind: VenueKind) -> [String; 13] {
    let cpu = copied.cpu;
    let numbers = [
        copied.noticed_ms,
        copied.decided_ms,
        copied.sent_ms,
        copied.replied_ms,
        copied.total_ms,
        copied.p99_ms,
        cpu.watcher,
        cpu.worker,
        cpu.postgres,
        cpu.redis,
        cpu.venue,
    ];
    let venue = if kind == VenueKind::Verifying { "verifying" } else { "stub" };
    let mut cells = [const { String::new() }; 13];
    let all = [venue.to_owned(), copied.followers.to_string()].into_iter().chain(numbers.map(number));
    cells.iter_mut().zip(all).for_each(|(cell, text)| *cell = text);
    cells
}

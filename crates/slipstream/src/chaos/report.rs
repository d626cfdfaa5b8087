//! What a run is worth telling.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::skip::SkipReason;
use serde::Serialize;

use super::{
    checks::{SHOWN, Verdict, Wrong},
    promoting::Promotion,
    recovering::Recovery,
};

/// After the last fault the next trade is to be copied within this time, in milliseconds.
const RECOVERY_GOAL: u64 = 2_000;

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of tape and faults.
    pub seed: u64,
    /// Accounts, each of which follows every leader.
    pub followers: usize,
    /// Trades of leaders.
    pub trades: usize,
    /// Decisions to copy: each was a job on the queue.
    pub jobs: usize,
    /// Jobs that were asked for.
    pub jobs_wanted: usize,
    /// Kills that were asked for.
    pub kills_wanted: usize,
    /// Worker processes.
    pub workers: usize,
    /// Time that was given.
    pub minutes: u64,
    /// Kills by role.
    pub kills: BTreeMap<String, u64>,
    /// Other faults by name.
    pub faults: BTreeMap<String, u64>,
    /// What was to be broken and could not be here, and why.
    pub not_played: Vec<String>,
    /// Commits that nobody was told the end of.
    pub commits_cut: u64,
    /// Processes that ended without being told to, by role and status; they were started again.
    pub ended_by_themselves: BTreeMap<String, u64>,
    /// How long it took to go on.
    pub recoveries: Vec<Recovery>,
    /// How it was met that a standby which lagged took the place of the database.
    pub promotion: Promotion,
    /// Orders that were lost with it, and found again.
    pub adopted: usize,
    /// Over the time in which leaders traded.
    pub jobs_per_second: f64,
    /// From the start of the processes until leaders had sold.
    pub traded_seconds: u64,
    /// From then until nothing was left to do.
    pub settled_seconds: u64,
    /// In all.
    pub seconds: u64,
    /// Events by kind.
    pub events: BTreeMap<String, i64>,
    /// Every fault with its time.
    pub diary: Vec<String>,
    /// What the books say.
    pub verdict: Verdict,
}

impl Report {
    /// Whether everything adds up, and as much was done as was asked for.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.verdict.findings.is_empty() && self.is_enough()
    }

    fn killed(&self) -> u64 {
        self.kills.values().sum()
    }

    fn is_enough(&self) -> bool {
        let kills = usize::try_from(self.killed()).unwrap_or(usize::MAX);
        self.jobs >= self.jobs_wanted && kills >= self.kills_wanted
    }

    /// The command that plays the same again.
    #[must_use]
    pub fn command(&self) -> String {
        format!(
            "slipstream chaos --seed {} --followers {} --workers {} --jobs {} --kills {} --minutes {}",
            self.seed, self.followers, self.workers, self.jobs_wanted, self.kills_wanted, self.minutes
        )
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let listed = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        };
        let verdict = &self.verdict;
        let skipped: BTreeMap<String, u64> = verdict
            .skipped
            .iter()
            .map(|(code, count)| (SkipReason::label_of(*code).unwrap_or("?").to_owned(), *count))
            .collect();
        let rows = [
            ("jobs", format!("{} of {} trades for {} followers", self.jobs, self.trades, self.followers)),
            ("executed", format!("{} orders; {} buys missed", verdict.executed, verdict.missed)),
            ("skipped", listed(&skipped)),
            ("killed", format!("{}: {}", self.killed(), listed(&self.kills))),
            ("broken", format!("{}; {} commits cut", listed(&self.faults), self.commits_cut)),
            ("ended", format!("by themselves: {}", listed(&self.ended_by_themselves))),
            (
                "pace",
                format!(
                    "{:.0} jobs/s over {} s; settled {} s later",
                    self.jobs_per_second, self.traded_seconds, self.settled_seconds
                ),
            ),
            ("doubled", verdict.count(Wrong::Doubled).to_string()),
            ("lost", verdict.count(Wrong::Lost).to_string()),
            ("unknown", verdict.count(Wrong::Unknown).to_string()),
            ("other", self.others().to_string()),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<9}  {value}");
        }
        for what in &self.not_played {
            let _ = writeln!(text, "NOT PLAYED {what}");
        }
        for recovery in &self.recoveries {
            let _ = writeln!(text, "{:<9}  {}", "recovered", told(recovery));
        }
        let Promotion { noticed, compared, resumed } = &self.promotion;
        let _ = writeln!(
            text,
            "promoted   a standby that lagged: all held after {noticed} ms, compared after {compared} ms, {} orders adopted; \
             lifted, the first order after {resumed} ms",
            self.adopted
        );
        for (kind, count) in &self.events {
            let _ = writeln!(text, "{:<9}  {count} {kind}", "told");
        }
        for wrong in [
            Wrong::Doubled,
            Wrong::Lost,
            Wrong::Unknown,
            Wrong::Amount,
            Wrong::Stranger,
            Wrong::Waiting,
            Wrong::Unsound,
        ] {
            let found = verdict.findings.iter().filter(|finding| finding.wrong == wrong);
            for finding in found.take(SHOWN) {
                let _ = writeln!(text, "WRONG      {wrong:?}: {}", finding.what);
            }
        }
        let _ = writeln!(text, "\n{}", self.conclusion());
        text
    }

    fn others(&self) -> usize {
        let named = [Wrong::Doubled, Wrong::Lost, Wrong::Unknown];
        self.verdict.findings.iter().filter(|finding| !named.contains(&finding.wrong)).count()
    }

    fn conclusion(&self) -> String {
        if self.ok() {
            return "Nothing was doubled, nothing lost, nothing is unknown; every wallet has what its books say.".to_owned();
        }
        let why = if self.verdict.findings.is_empty() {
            "the books are in order, but there were fewer jobs or kills than asked for: give more --minutes"
        } else {
            "the books are not in order"
        };
        format!("FAILED: {why}. Again with: {}", self.command())
    }
}

/// A recovery, with where its time went.
fn told(recovery: &Recovery) -> String {
    let Recovery { after, traded, seen, decided, signed, millis } = recovery;
    let took = millis.map_or("never".to_owned(), |millis| format!("{millis} ms"));
    let met = if millis.is_some_and(|millis| millis <= RECOVERY_GOAL) { "" } else { ", above the goal" };
    let at = |stage: &Option<i64>| stage.map_or("?".to_owned(), |millis| millis.to_string());
    format!(
        "{took} after {after} (goal {RECOVERY_GOAL} ms{met}): leader traded at {traded}, seen {}, decided {}, signed {} ms",
        at(seen),
        at(decided),
        at(signed)
    )
}

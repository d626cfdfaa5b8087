//! What a verification found: counts per check, and the first difference in words.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Display},
};

use serde::Serialize;

use crate::wording::grouped;

/// Differences kept to be compared with the next pass; more are only counted.
const KEPT: usize = 10_000;

/// What is compared with what, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every decision against its inputs, policy and part.
    Decisions,
    /// What followers should have kept at an exit, against the ledger and the leader's factors.
    Targets,
    /// One answer for each part and relationship.
    OneAnswer,
    /// Every intent against the decision that made it.
    Intents,
    /// Every order id against the hash of its fields.
    OrderIds,
    /// Every stored body against the fields of its order.
    Bodies,
    /// Every salt against the installation's secret.
    Salts,
    /// Attempts of an intent, together, against the intent.
    Attempts,
    /// What is booked of an order against its evidence.
    Evidence,
    /// Every ledger row in itself.
    LedgerRows,
    /// The ledger's rows of an intent against what its orders have booked.
    LedgerByOrder,
    /// Positions against the ledger.
    Positions,
    /// Cash against the ledger.
    Cash,
    /// Reservations against intents and accounts.
    Reservations,
    /// Fills against the venue's books.
    Venue,
    /// Fills against the chain's logs.
    Chain,
    /// Orders that venue or chain executed for our wallets against the orders we know.
    Strangers,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 17] = [
        Self::Decisions,
        Self::Targets,
        Self::OneAnswer,
        Self::Intents,
        Self::OrderIds,
        Self::Bodies,
        Self::Salts,
        Self::Attempts,
        Self::Evidence,
        Self::LedgerRows,
        Self::LedgerByOrder,
        Self::Positions,
        Self::Cash,
        Self::Reservations,
        Self::Venue,
        Self::Chain,
        Self::Strangers,
    ];

    /// What the check needs besides the store.
    const fn needs(self) -> &'static str {
        match self {
            Self::Salts => "needs the installation's secret",
            Self::Venue | Self::Strangers => {
                "asked while a demo runs: it has a venue whose books it may read"
            }
            Self::Chain => "asked while a demo runs, of its chain",
            _ => "",
        }
    }

    /// A line for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Decisions => "decisions recomputed from their inputs",
            Self::Targets => "exit targets recomputed from the ledger",
            Self::OneAnswer => "one decision per part and relationship",
            Self::Intents => "intents joined to their decisions",
            Self::OrderIds => "order ids recomputed from their fields",
            Self::Bodies => "stored bytes carry the same fields",
            Self::Salts => "salts recomputed from the secret",
            Self::Attempts => "attempts stay within their intents",
            Self::Evidence => "bookings equal the evidence",
            Self::LedgerRows => "ledger rows balance",
            Self::LedgerByOrder => "ledger equals the orders' bookings",
            Self::Positions => "positions equal the ledger",
            Self::Cash => "cash equals the ledger",
            Self::Reservations => "reservations equal their intents",
            Self::Venue => "fills equal the venue's books",
            Self::Chain => "fills equal the chain's logs",
            Self::Strangers => "no unknown order was executed",
        }
    }
}

/// One thing that is stored otherwise than it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Difference {
    /// Which check.
    pub check: Check,
    /// What it is about, with its ids.
    pub subject: String,
    /// Which of its facts.
    pub fact: &'static str,
    /// What was found.
    pub found: String,
    /// Where the other value comes from.
    pub basis: &'static str,
    /// The other value.
    pub expected: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, fact, found, basis, expected, .. } = self;
        write!(f, "{subject}: {fact} is {found}; {basis} {expected}")
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything compared agrees.
    Agrees,
    /// Something differs.
    Differs,
    /// It cannot be said: a source did not answer, or values moved while they were compared.
    Unknown,
    /// Not asked for (no venue, no secret).
    NotAsked,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Which.
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// Things compared.
    pub compared: u64,
    /// Things that differ.
    pub differences: u64,
    /// Things known to be unfinished: settlement still has them on its list.
    pub waiting: u64,
    /// Things that cannot be computed again: what they were computed from was replaced since.
    pub gone: u64,
    /// Why the outcome is unknown.
    pub unknown: Option<String>,
}

/// The whole verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Every check, in order.
    pub checks: Vec<CheckResult>,
    /// The first difference.
    pub first: Option<Difference>,
    /// How many more there are.
    pub further: u64,
    /// How often everything was read: again while differences were found and the store was moving.
    pub passes: u32,
}

impl VerifyReport {
    /// Whether nothing differs and nothing asked for is unknown.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let good = |check: &CheckResult| matches!(check.outcome, Outcome::Agrees | Outcome::NotAsked);
        self.first.is_none() && self.checks.iter().all(good)
    }

    /// Number of differences.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.checks.iter().map(|check| check.differences).sum()
    }

    /// Number of things settlement still has on its list.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.checks.iter().map(|check| check.waiting).sum()
    }
}

/// A compact table: one line per check, then the verdict.
impl Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.checks {
            writeln!(f, "{result}")?;
        }
        match &self.first {
            None if self.is_clean() => {
                let compared = self.checks.iter().map(|check| check.compared).sum();
                writeln!(f, "0 differences in {} comparisons.", grouped(compared))
            }
            None => writeln!(f, "0 differences, but not everything could be compared."),
            Some(first) => {
                writeln!(f, "First difference: {first}.")?;
                if self.further > 0 {
                    writeln!(f, "{} more.", self.further)?;
                }
                Ok(())
            }
        }
    }
}

impl Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.outcome {
            Outcome::Agrees => '✓',
            Outcome::Differs => '✗',
            Outcome::Unknown => '?',
            Outcome::NotAsked => '–',
        };
        if self.outcome == Outcome::NotAsked {
            return write!(
                f,
                "{mark} {:<42} {:>10}  {}",
                self.check.title(),
                "not asked",
                self.check.needs()
            );
        }
        write!(f, "{mark} {:<42} {:>10}", self.check.title(), grouped(self.compared))?;
        if self.differences > 0 {
            let verb = if self.differences == 1 { "differs" } else { "differ" };
            write!(f, "  {} {verb}", self.differences)?;
        }
        if self.waiting > 0 {
            write!(f, "  {} still settling", self.waiting)?;
        }
        if self.gone > 0 {
            write!(f, "  {} more rest on what a reorganisation replaced", self.gone)?;
        }
        match &self.unknown {
            Some(why) => write!(f, "  {why}"),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    compared: u64,
    differences: u64,
    waiting: u64,
    gone: u64,
}

/// What one pass over the store collects.
#[derive(Default)]
pub(super) struct Findings {
    tallies: BTreeMap<Check, Tally>,
    pub(super) differences: Vec<Difference>,
    unknown: BTreeMap<Check, String>,
}

impl Findings {
    /// Counts things compared.
    pub(super) fn compared(&mut self, check: Check, things: usize) {
        let tally = self.tallies.entry(check).or_default();
        tally.compared = tally.compared.saturating_add(u64::try_from(things).unwrap_or(u64::MAX));
    }

    /// Counts a thing that settlement has not finished.
    pub(super) fn waiting(&mut self, check: Check) {
        self.tallies.entry(check).or_default().waiting += 1;
    }

    /// Counts a thing that cannot be compared any more.
    pub(super) fn gone(&mut self, check: Check) {
        self.tallies.entry(check).or_default().gone += 1;
    }

    /// Says why a check cannot be answered; the first reason stands.
    pub(super) fn unknown(&mut self, check: Check, why: String) {
        self.unknown.entry(check).or_insert(why);
    }

    /// Notes a difference.
    pub(super) fn differs(&mut self, difference: Difference) {
        self.tallies.entry(difference.check).or_default().differences += 1;
        if self.differences.len() < KEPT {
            self.differences.push(difference);
        }
    }

    /// Compares one fact of `about`; returns whether it is the same.
    pub(super) fn same<T: PartialEq + Display>(
        &mut self,
        about: &About<'_>,
        fact: &'static str,
        found: T,
        expected: T,
    ) -> bool {
        let same = found == expected;
        if !same {
            self.differs(about.difference(fact, found.to_string(), expected.to_string()));
        }
        same
    }

    /// Notes something that must not be, in words.
    pub(super) fn wrong(&mut self, about: &About<'_>, fact: &'static str, found: &str, expected: &str) {
        self.differs(about.difference(fact, found.to_owned(), expected.to_owned()));
    }
}

/// What comparisons are about: kept apart from the words, which are made only for differences.
pub(super) struct About<'a> {
    pub(super) check: Check,
    pub(super) subject: &'a (dyn Fn() -> String + Sync),
    /// Words that lead to the expected value.
    pub(super) basis: &'static str,
}

impl About<'_> {
    fn difference(&self, fact: &'static str, found: String, expected: String) -> Difference {
        Difference { check: self.check, subject: (self.subject)(), fact, found, basis: self.basis, expected }
    }
}

/// Puts the last pass in words. `before` are the differences of the pass before it, when the store was
/// moving between the two: only what both show alike is a difference, the rest moved while it was read.
pub(super) fn report(
    findings: Findings,
    before: Option<Vec<Difference>>,
    not_asked: &[Check],
    passes: u32,
) -> VerifyReport {
    let Findings { mut tallies, mut differences, mut unknown } = findings;
    if let Some(before) = before {
        let before: HashSet<Difference> = before.into_iter().collect();
        let (stayed, moved): (Vec<_>, Vec<_>) =
            differences.into_iter().partition(|difference| before.contains(difference));
        for difference in moved {
            let check = difference.check;
            let tally = tallies.entry(check).or_default();
            tally.differences = tally.differences.saturating_sub(1);
            let why = || format!("moved while it was read; verify again when quiet ({difference})");
            unknown.entry(check).or_insert_with(why);
        }
        differences = stayed;
    }
    let total: u64 = tallies.values().map(|tally| tally.differences).sum();
    differences.sort_by_key(|difference| difference.check);
    let first = differences.into_iter().next();
    let result = |check: Check| {
        let tally = tallies.get(&check).copied().unwrap_or_default();
        let unknown = unknown.get(&check).cloned();
        let not_asked = not_asked.contains(&check);
        CheckResult {
            check,
            outcome: outcome(tally, unknown.is_some(), not_asked),
            compared: tally.compared,
            differences: tally.differences,
            waiting: tally.waiting,
            gone: tally.gone,
            unknown,
        }
    };
    VerifyReport {
        checks: Check::ALL.into_iter().map(result).collect(),
        further: total.saturating_sub(u64::from(first.is_some())),
        first,
        passes,
    }
}

fn outcome(tally: Tally, unknown: bool, not_asked: bool) -> Outcome {
    match (tally.differences, unknown, not_asked) {
        (1.., _, _) => Outcome::Differs,
        (0, true, _) => Outcome::Unknown,
        (0, false, true) => Outcome::NotAsked,
        (0, false, false) => Outcome::Agrees,
    }
}

//! Invariants of the system of record, checked from outside over the ports.
//!
//! It owns what must be true of the rows, whatever happened. It writes nothing and knows nothing of the
//! venue or the chain beyond what is stored. The rows are read call by call: let nobody write meanwhile.

mod books;
mod decisions;
mod facts;
mod orders;

use std::fmt;

use engine::ports::store::{Store, StoreResult};
use futures_util::future::BoxFuture;

use facts::Facts;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// At most one decision per (group, part, relationship).
    OneDecision,
    /// A decision to copy has one intent, with its numbers and owner; no other decision and no intent
    /// stands alone.
    OneIntent,
    /// Every intent waits, has an attempt, or has ended; none waits after its end.
    NoLostIntent,
    /// A complete part has a decision for every relationship that was there before it, but for as many as it gave up
    /// to the sums of old skips.
    EveryFollowerAnswered,
    /// What parts gave up is in the sums.
    SkipsAreSummed,
    /// Attempts of an intent are numbered 0, 1, 2 … and every order id exists once.
    AttemptsInOrder,
    /// At most one order of an intent is open.
    OneOpenOrder,
    /// An entry has at most one attempt.
    OneEntryAttempt,
    /// What all attempts have filled and the open one may still give is within the intent's amount.
    WithinIntent,
    /// Positions are the sums of the ledger.
    LedgerIsPositions,
    /// Cash of accounts is the sum of the ledger.
    LedgerIsCash,
    /// Bookings of an intent's orders are the sums of the ledger.
    LedgerIsOrders,
    /// Exposure is the cost of positions and the open reservations.
    ExposureIsRisk,
    /// Money that an intent can still cost is reserved, once, and the account says how much.
    Reserved,
    /// At rest: nothing is reserved for an intent that cannot cost money any more.
    NothingLeftReserved,
    /// At rest: the ledger has what the evidence says.
    EvidenceIsBooked,
    /// At rest: every part is complete.
    PartsComplete,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// By which rows.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What the single checks add their findings to.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    /// Notes a violation unless `kept`.
    fn check(&mut self, rule: Rule, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.0.push(Violation { rule, what: what() });
        }
    }
}

/// Checks what must be true between any two calls of the store.
///
/// # Errors
/// Store errors.
pub fn always(store: &dyn Store) -> BoxFuture<'_, StoreResult<Vec<Violation>>> {
    Box::pin(async move { Ok(check_always(&Facts::read(store).await?).0) })
}

/// Checks what must be true when everything has settled: all of [`always`], and that nothing is left to do.
///
/// # Errors
/// Store errors.
pub fn at_rest(store: &dyn Store) -> BoxFuture<'_, StoreResult<Vec<Violation>>> {
    Box::pin(async move {
        let facts = Facts::read(store).await?;
        let mut findings = check_always(&facts);
        decisions::at_rest(&facts, &mut findings);
        books::at_rest(&facts, &mut findings);
        Ok(findings.0)
    })
}

fn check_always(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    decisions::always(facts, &mut findings);
    orders::always(facts, &mut findings);
    books::always(facts, &mut findings);
    findings
}

#[cfg(test)]
mod tests;

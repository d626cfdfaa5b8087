//! What each follower of a sale holds and should hold: computed once, for deciding and for looking again.

use std::collections::HashMap;

use domain::{
    decide::ExitInputs,
    exits::{ExitFactor, exit_target, mark_of_basis},
    ids::RelationshipId,
};

use crate::ports::detection::{ExitBasis, ExitHolder, TargetBasis};

/// One follower's side of an exit.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    pub inputs: ExitInputs,
    /// What the target was computed from.
    pub basis: TargetBasis,
    /// A buy of the token may still fill.
    pub open_entries: bool,
}

impl Holder {
    fn of(stored: &ExitHolder, factors: &[ExitFactor], ledger_through: i64) -> Self {
        Self {
            inputs: ExitInputs {
                held: stored.held,
                // Numbers beyond computing keep everything: when in doubt nothing is sold.
                target: exit_target(&stored.buys, factors).unwrap_or(stored.held),
                open_exits: stored.open_exits,
            },
            basis: TargetBasis { ledger_through, mark: mark_of_basis(&stored.buys, factors) },
            open_entries: stored.open_entries,
        }
    }
}

/// The followers of an exit, by relationship.
pub(super) type Holders = HashMap<RelationshipId, Holder>;

/// Everybody's side, from what is stored and the factor of the sale itself (which may not be stored yet).
pub(super) fn holders(stored: &ExitBasis, own: Option<ExitFactor>) -> Holders {
    let replaced = |known: &&ExitFactor| own.is_none_or(|own| own.block != known.block);
    let mut factors: Vec<ExitFactor> = stored.factors.iter().filter(replaced).copied().collect();
    factors.extend(own);
    factors.sort_by_key(|factor| factor.block);
    let side =
        |holder: &ExitHolder| (holder.relationship, Holder::of(holder, &factors, stored.ledger_through));
    stored.holders.iter().map(side).collect()
}

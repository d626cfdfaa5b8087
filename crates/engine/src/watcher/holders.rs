//! What each follower of a sale holds and should hold: computed once, for deciding and for looking again.

use std::collections::HashMap;

use domain::{
    Shares,
    decide::ExitInputs,
    exits::{ExitFactor, buys_that_count, exit_target, mark_of_basis},
    ids::RelationshipId,
    policy::PhantomRule,
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
    /// What it holds of phantoms is to be sold.
    pub leaves_phantoms: bool,
}

impl Holder {
    /// The same, with nothing to keep.
    pub fn sold_out(&self) -> Self {
        Self { inputs: ExitInputs { target: Shares::ZERO, ..self.inputs }, ..*self }
    }

    fn of(stored: &ExitHolder, factors: &[ExitFactor], ledger_through: i64, rule: PhantomRule) -> Self {
        let buys = buys_that_count(&stored.buys, rule);
        Self {
            inputs: ExitInputs {
                held: stored.held,
                // Numbers beyond computing keep everything: when in doubt nothing is sold.
                target: exit_target(&buys, factors).unwrap_or(stored.held),
                open_exits: stored.open_exits,
            },
            basis: TargetBasis { ledger_through, mark: mark_of_basis(&buys, factors) },
            open_entries: stored.open_entries,
            leaves_phantoms: buys.len() < stored.buys.len(),
        }
    }
}

/// The followers of an exit, by relationship.
pub(super) type Holders = HashMap<RelationshipId, Holder>;

/// Takes over factors that were read just now; of a block the newest word stands.
pub(super) fn take_newer(known: &mut Vec<ExitFactor>, read: &[ExitFactor]) {
    known.retain(|factor| read.iter().all(|newer| newer.block != factor.block));
    known.extend(read);
}

/// Everybody's side, from what is stored, the factors of the sale itself (which may not be stored yet), and what
/// becomes of everybody's copies of phantoms.
pub(super) fn holders(
    stored: &ExitBasis,
    own: &[ExitFactor],
    rule_of: impl Fn(RelationshipId) -> PhantomRule,
) -> Holders {
    let mut factors = stored.factors.clone();
    take_newer(&mut factors, own);
    factors.sort_by_key(|factor| factor.block);
    let side = |holder: &ExitHolder| {
        let rule = rule_of(holder.relationship);
        (holder.relationship, Holder::of(holder, &factors, stored.ledger_through, rule))
    };
    stored.holders.iter().map(side).collect()
}

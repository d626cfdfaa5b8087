//! What exits may still take of what is held: no further attempt may count on that.
//!
//! Stores ask with the orders they have, so that what a worker plans with and what commit 2 holds are the same.

use std::collections::BTreeMap;

use domain::{Shares, Timestamp, ids::IntentId, money::MoneyError};

use crate::{
    orders::{Learned, sends_are_over},
    ports::execution::OrderRecord,
};

/// One exit.
#[derive(Default)]
struct Exit {
    /// What it may sell and has not.
    left: Shares,
    /// Sold by the evidence, not booked yet.
    unbooked: Shares,
    /// What its attempts may still match.
    open: Shares,
}

impl Exit {
    fn add(&mut self, record: &OrderRecord, now: Timestamp) -> Result<(), MoneyError> {
        let booked = Shares::ZERO.minus(record.booked.shares)?;
        let sold = record.evidence.booked()?.quantity.shares.max(booked);
        self.left = self.left.less(sold);
        self.unbooked = self.unbooked.plus(sold.less(booked))?;
        if !record.state.is_settled() || !sends_are_over(record, &Learned::default(), now) {
            self.open = self.open.plus(Shares(record.amounts.maker).less(sold))?;
        }
        Ok(())
    }
}

/// Shares that are booked as held and that the next attempt of exit `of` must leave: what other exits may still
/// sell, and what is sold but not booked yet. `orders` are those of all exits of the same relationship and token.
/// What an exit's own attempts may still match is not among it: it waits until they are over.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn promised<'a>(
    of: IntentId,
    orders: impl IntoIterator<Item = &'a OrderRecord>,
    now: Timestamp,
) -> Result<Shares, MoneyError> {
    let mut exits: BTreeMap<IntentId, Exit> = BTreeMap::new();
    for record in orders {
        let fresh = || Exit { left: Shares(record.intent.amount), ..Exit::default() };
        exits.entry(record.intent.id).or_insert_with(fresh).add(record, now)?;
    }
    exits.iter().try_fold(Shares::ZERO, |sum, (intent, exit)| {
        // Its attempts together sell no more than the exit.
        let open = if *intent == of { Shares::ZERO } else { exit.open.min(exit.left) };
        sum.plus(exit.unbooked)?.plus(open)
    })
}

//! What copying cost against the leaders' own prices, from booked orders. Pure; reads nothing.

use domain::{
    Price, Shares, Side, Usd,
    money::{MoneyError, Rounding},
    policy::BASIS_POINTS,
};
use engine::{orders::booked_so_far, ports::execution::OrderRecord};
use serde::Serialize;

/// What copying cost on one side of the book, against the leaders' own prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CopyingCost {
    /// Orders with a fill.
    pub orders: usize,
    /// Shares traded.
    pub shares: Shares,
    /// What they cost, or brought, at the leaders' average prices; at our own where the leader merged.
    pub leader_usd: Usd,
    /// What they cost us, or brought, without fees.
    pub our_usd: Usd,
    /// Fees.
    pub fees: Usd,
    /// Worse prices and fees together; negative when copying was cheaper than leading.
    pub cost: Usd,
}

impl CopyingCost {
    /// The cost in basis points of the dollars at the leaders' prices.
    #[must_use]
    pub fn basis_points(&self) -> Option<i64> {
        let scaled = i128::from(self.cost.0).checked_mul(i128::from(BASIS_POINTS))?;
        i64::try_from(scaled.checked_div(i128::from(self.leader_usd.0))?).ok()
    }

    fn add(&mut self, side: Side, record: &OrderRecord) -> Result<(), MoneyError> {
        let filled = booked_so_far(side, record.booked)?;
        if !filled.quantity.shares.is_positive() {
            return Ok(());
        }
        let leader_usd = match record.intent.leader_price {
            // A merge has no price to compare with.
            Price(0) => filled.quantity.usd,
            price => price.cost(filled.quantity.shares, Rounding::Down)?,
        };
        let worse = match side {
            Side::Buy => filled.quantity.usd.minus(leader_usd)?,
            Side::Sell => leader_usd.minus(filled.quantity.usd)?,
        };
        self.orders += 1;
        self.shares = self.shares.plus(filled.quantity.shares)?;
        self.leader_usd = self.leader_usd.plus(leader_usd)?;
        self.our_usd = self.our_usd.plus(filled.quantity.usd)?;
        self.fees = self.fees.plus(filled.fee)?;
        self.cost = self.cost.plus(worse)?.plus(filled.fee)?;
        Ok(())
    }
}

/// The cost of copying over orders of one side.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn over<'a>(
    side: Side,
    orders: impl Iterator<Item = &'a OrderRecord>,
) -> Result<CopyingCost, MoneyError> {
    let mut cost = CopyingCost::default();
    for record in orders.filter(|record| record.intent.side == side) {
        cost.add(side, record)?;
    }
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use domain::money::ONE;

    use super::*;

    #[test]
    fn basis_points_of_what_the_leaders_paid() {
        let cost = CopyingCost { leader_usd: Usd(200 * ONE), cost: Usd(-ONE), ..CopyingCost::default() };
        assert_eq!(cost.basis_points(), Some(-50));
        assert_eq!(CopyingCost::default().basis_points(), None);
    }
}

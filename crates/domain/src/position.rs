//! Positions at average cost, from bookings.

use serde::{Deserialize, Serialize};

use crate::{
    lifecycle::BookingDelta,
    money::{MoneyError, Price, Rounding, Shares, Side, Usd},
};

/// What is held of one token through one relationship.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Shares held. Negative only while the venue has told us of a sale before the purchase.
    pub shares: Shares,
    /// What they cost, fees not included.
    pub cost: Usd,
    /// Profit of what was sold or redeemed, fees not included.
    pub realised: Usd,
    /// Fees paid.
    pub fees: Usd,
}

/// The effect of one booking, as a ledger row holds it. The sums of the rows are the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Change of shares.
    pub shares: Shares,
    /// Change of cash, fees included.
    pub cash: Usd,
    /// Change of cost.
    pub cost: Usd,
    /// Change of realised profit.
    pub realised: Usd,
    /// Change of fees paid.
    pub fee: Usd,
}

impl Entry {
    /// Sum, checked.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self {
            shares: self.shares.plus(other.shares)?,
            cash: self.cash.plus(other.cash)?,
            cost: self.cost.plus(other.cost)?,
            realised: self.realised.plus(other.realised)?,
            fee: self.fee.plus(other.fee)?,
        })
    }
}

impl Position {
    /// The ledger entry of a change of an order's fill. `so_far` is the sum of the order's entries: a
    /// reversal gives back the cost and profit that the fill took, not today's average. Where nothing is held
    /// afterwards no cost is left: what a later correction of a purchase adds or takes is profit or loss.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn entry(&self, side: Side, delta: BookingDelta, so_far: Entry) -> Result<Entry, MoneyError> {
        let (cost, realised) = match side {
            Side::Buy => (delta.usd, Usd::ZERO),
            Side::Sell => {
                let cost = if delta.shares.is_positive() {
                    self.cost_of(delta.shares)?
                } else {
                    reversed_cost(delta.shares, so_far)?
                };
                (Usd::ZERO.minus(cost)?, delta.usd.minus(cost)?)
            }
        };
        let (shares, cash) = match side {
            Side::Buy => (delta.shares, Usd::ZERO.minus(delta.usd)?),
            Side::Sell => (Shares::ZERO.minus(delta.shares)?, delta.usd),
        };
        let left = match self.shares.plus(shares)? {
            Shares::ZERO => self.cost.plus(cost)?,
            _ => Usd::ZERO,
        };
        let (cost, realised) = (cost.minus(left)?, realised.minus(left)?);
        Ok(Entry { shares, cash: cash.minus(delta.fee)?, cost, realised, fee: delta.fee })
    }

    /// The ledger entry of a redemption of `shares` of what is held at `payout` per share.
    fn redemption(&self, shares: Shares, payout: Price) -> Result<Entry, MoneyError> {
        let proceeds = payout.cost(shares, Rounding::Down)?;
        let cost = self.cost_of(shares)?;
        Ok(Entry {
            shares: Shares::ZERO.minus(shares)?,
            cash: proceeds,
            cost: Usd::ZERO.minus(cost)?,
            realised: proceeds.minus(cost)?,
            fee: Usd::ZERO,
        })
    }

    /// The position after an entry.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn after(&self, entry: Entry) -> Result<Self, MoneyError> {
        Ok(Self {
            shares: self.shares.plus(entry.shares)?,
            cost: self.cost.plus(entry.cost)?,
            realised: self.realised.plus(entry.realised)?,
            fees: self.fees.plus(entry.fee)?,
        })
    }

    /// Average price paid; `None` when nothing is held.
    #[must_use]
    pub fn average(&self) -> Option<Price> {
        Price::of(self.cost, self.shares, Rounding::Up)
    }

    /// Profit if everything held were worth `price`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn unrealised(&self, price: Price) -> Result<Usd, MoneyError> {
        price.cost(self.shares, Rounding::Down)?.minus(self.cost)
    }

    fn cost_of(&self, shares: Shares) -> Result<Usd, MoneyError> {
        if shares >= self.shares || !self.shares.is_positive() {
            return Ok(self.cost);
        }
        self.cost.times(shares.0, self.shares.0, Rounding::Down)
    }
}

/// What a redemption does to positions of one account in one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The entry of each position, in their order; without shares where nothing was redeemed.
    pub entries: Vec<Entry>,
    /// What everything held pays.
    pub due: Usd,
}

impl Redeemed {
    /// The redemption of positions, each with what its shares pay, for which `paid` was paid. All of them, when that is
    /// at least what is due; else as much of each as was paid for, and of those that pay nothing none.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn of(held: &[(Position, Price)], paid: Usd) -> Result<Self, MoneyError> {
        let mut due = Usd::ZERO;
        for (position, payout) in held {
            due = due.plus(payout.cost(position.shares, Rounding::Down)?)?;
        }
        let entry = |(position, payout): &(Position, Price)| {
            if paid >= due {
                position.redemption(position.shares, *payout)
            } else if payout.0 > 0 {
                position.redemption(position.shares.times(paid.0.max(0), due.0, Rounding::Down)?, *payout)
            } else {
                Ok(Entry::default())
            }
        };
        Ok(Self { entries: held.iter().map(entry).collect::<Result<_, _>>()?, due })
    }

    /// Whether `paid` is not what is due. Each position's part is rounded down.
    #[must_use]
    pub fn differs_from(&self, paid: Usd) -> bool {
        let most = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        !(0..=most).contains(&paid.0.saturating_sub(self.due.0))
    }
}

/// What an order does to an account that was lost, and found again: nobody knows through which relationship it was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The entry of each position, in their order; without shares where it takes nothing.
    pub entries: Vec<Entry>,
    /// What belongs to the account, and to no relationship.
    pub rest: Entry,
}

impl Adopted {
    /// A sale takes from the positions of its token, in their order, what they have; all of a purchase, and what a sale took
    /// beyond them, is the account's.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn of(held: &[Position], side: Side, filled: BookingDelta) -> Result<Self, MoneyError> {
        let (mut left, mut entries) = (filled, Vec::with_capacity(held.len()));
        for position in held {
            let shares = match side {
                Side::Buy => Shares::ZERO,
                Side::Sell => position.shares.min(left.shares),
            };
            if !shares.is_positive() {
                entries.push(Entry::default());
                continue;
            }
            let part = |of: Usd| of.times(shares.0, left.shares.0, Rounding::Down);
            let part = BookingDelta { shares, usd: part(left.usd)?, fee: part(left.fee)? };
            entries.push(position.entry(side, part, Entry::default())?);
            left = BookingDelta {
                shares: left.shares.minus(part.shares)?,
                usd: left.usd.minus(part.usd)?,
                fee: left.fee.minus(part.fee)?,
            };
        }
        let rest = if left == BookingDelta::default() {
            Entry::default()
        } else {
            Position::default().entry(side, left, Entry::default())?
        };
        Ok(Self { entries, rest })
    }
}

/// The cost that a sale removed, for the reversed (negative) shares of it.
fn reversed_cost(reversed: Shares, so_far: Entry) -> Result<Usd, MoneyError> {
    // A sale's own entries have negative shares and negative cost.
    if so_far.shares == Shares::ZERO {
        return Ok(Usd::ZERO);
    }
    let fraction_of = so_far.shares.0;
    let cost = so_far.cost.times(reversed.0, fraction_of, Rounding::Down)?;
    // reversed / so_far.shares is positive (both negative), so `cost` carries the sign of the removal.
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delta(shares: i64, usd: i64, fee: i64) -> BookingDelta {
        BookingDelta { shares: Shares(shares), usd: Usd(usd), fee: Usd(fee) }
    }

    #[test]
    fn a_round_trip() {
        let start = Position::default();
        let buy = start.entry(Side::Buy, delta(10_000_000, 5_000_000, 70_000), Entry::default()).unwrap();
        assert_eq!(buy.cash, Usd(-5_070_000));
        let held = start.after(buy).unwrap();
        assert_eq!(held.average(), Some(Price(500_000)));
        let sell = held.entry(Side::Sell, delta(4_000_000, 2_400_000, 0), Entry::default()).unwrap();
        let rest = held.after(sell).unwrap();
        assert_eq!(
            (rest.shares, rest.cost, rest.realised),
            (Shares(6_000_000), Usd(3_000_000), Usd(400_000))
        );
        let entry = Redeemed::of(&[(rest, Price(1_000_000))], Usd(6_000_000)).unwrap().entries[0];
        let redeemed = rest.after(entry).unwrap();
        assert_eq!(
            (redeemed.shares, redeemed.cost, redeemed.realised),
            (Shares::ZERO, Usd::ZERO, Usd(3_400_000))
        );
    }

    #[test]
    fn a_purchase_corrected_after_its_shares_were_sold_changes_the_profit() {
        for (correction, profit) in [(-10_000, 1_010_000), (10_000, 990_000)] {
            let mut position = Position::default();
            let mut bought = Entry::default();
            for delta in [delta(20_000_000, 10_000_000, 0), delta(0, correction, 0)] {
                let entry = position.entry(Side::Buy, delta, bought).unwrap();
                (position, bought) = (position.after(entry).unwrap(), bought.plus(entry).unwrap());
                assert_eq!(entry.cash, entry.realised.minus(entry.cost).unwrap());
                if position.shares.is_positive() {
                    let sold =
                        position.entry(Side::Sell, self::delta(20_000_000, 11_000_000, 0), Entry::default());
                    position = position.after(sold.unwrap()).unwrap();
                }
            }
            let Position { shares, cost, realised, .. } = position;
            assert_eq!((shares, cost, realised), (Shares::ZERO, Usd::ZERO, Usd(profit)));
        }
    }

    /// A sale that was told of before its purchase.
    #[test]
    fn a_purchase_told_late_leaves_no_cost() {
        let start = Position::default();
        let sold = start.entry(Side::Sell, delta(20_000_000, 11_000_000, 0), Entry::default()).unwrap();
        let owed = start.after(sold).unwrap();
        let bought = owed.entry(Side::Buy, delta(20_000_000, 10_000_000, 0), Entry::default()).unwrap();
        let Position { shares, cost, realised, .. } = owed.after(bought).unwrap();
        assert_eq!((shares, cost, realised), (Shares::ZERO, Usd::ZERO, Usd(1_000_000)));
    }

    #[test]
    fn a_lost_sale_takes_what_is_held_and_a_lost_purchase_is_the_accounts() {
        let held = |shares, cost| Position { shares: Shares(shares), cost: Usd(cost), ..Position::default() };
        let positions = [held(10_000_000, 4_000_000), held(0, 0), held(6_000_000, 3_000_000)];
        let lost = |side, shares, usd| Adopted::of(&positions, side, delta(shares, usd, 8)).unwrap();
        let seen =
            |entry: &Entry| (entry.shares.0, entry.cash.0, entry.cost.0, entry.realised.0, entry.fee.0);
        let sold = lost(Side::Sell, 12_000_000, 6_000_000);
        let entries: Vec<_> = sold.entries.iter().map(seen).collect();
        let (first, last) =
            ((-10_000_000, 4_999_994, -4_000_000, 1_000_000, 6), (-2_000_000, 999_998, -1_000_000, 0, 2));
        assert_eq!((entries, seen(&sold.rest)), (vec![first, (0, 0, 0, 0, 0), last], (0, 0, 0, 0, 0)));
        // More than is known here.
        let more = lost(Side::Sell, 20_000_000, 10_000_000).rest;
        assert_eq!((more.shares, more.cash, more.cost), (Shares(-4_000_000), Usd(1_999_998), Usd::ZERO));
        let bought = lost(Side::Buy, 5_000_000, 2_000_000);
        assert_eq!(bought.entries, [Entry::default(); 3]);
        assert_eq!(seen(&bought.rest), (5_000_000, -2_000_008, 2_000_000, 0, 8));
    }

    #[test]
    fn what_was_not_paid_is_not_redeemed() {
        let held = |shares, cost| Position { shares: Shares(shares), cost: Usd(cost), ..Position::default() };
        let (won, lost) = ((held(10_000_000, 6_000_000), Price(1_000_000)), (held(4, 2), Price(0)));
        let shares = |held: &[_], paid| {
            let redeemed = Redeemed::of(held, Usd(paid)).unwrap();
            let entries = redeemed.entries.iter().map(|entry| (entry.shares.0, entry.cash.0, entry.cost.0));
            (entries.collect::<Vec<_>>(), redeemed.differs_from(Usd(paid)))
        };
        let all = (-10_000_000, 10_000_000, -6_000_000);
        assert_eq!(shares(&[won, lost], 10_000_000), (vec![all, (-4, 0, -2)], false));
        // Rounding is no difference; shares that we do not know of are one.
        assert_eq!(shares(&[won, lost], 10_000_002), (vec![all, (-4, 0, -2)], false));
        assert_eq!(shares(&[won, lost], 12_000_000), (vec![all, (-4, 0, -2)], true));
        let part = (-2_500_000, 2_500_000, -1_500_000);
        assert_eq!(shares(&[won, lost], 2_500_000), (vec![part, (0, 0, 0)], true));
        assert_eq!(shares(&[won, lost], 0), (vec![(0, 0, 0), (0, 0, 0)], true));
        assert_eq!(shares(&[lost], 0), (vec![(-4, 0, -2)], false));
        assert_eq!(shares(&[], 7), (vec![], true));
    }

    proptest! {
        /// Whatever is booked and reversed, undoing every order leaves nothing behind.
        #[test]
        fn reversals_undo_exactly(buy in 1_i64..1_000_000_000, paid in 1_i64..1_000_000_000, part in 0_i64..=100, got in 0_i64..1_000_000_000) {
            let start = Position::default();
            let bought = start.entry(Side::Buy, delta(buy, paid, 3), Entry::default()).unwrap();
            let held = start.after(bought).unwrap();
            let sold_shares = buy * part / 100;
            prop_assume!(sold_shares > 0);
            let sold = held.entry(Side::Sell, delta(sold_shares, got, 2), Entry::default()).unwrap();
            let less = held.after(sold).unwrap();
            let back = less.entry(Side::Sell, delta(-sold_shares, -got, -2), sold).unwrap();
            prop_assert_eq!(less.after(back).unwrap(), held);
            let undone = held.entry(Side::Buy, delta(-buy, -paid, -3), bought).unwrap();
            prop_assert_eq!(held.after(undone).unwrap(), start);
        }
    }
}

//! What becomes of a leader's buys that are found too late: nothing ran, or nothing could be read.

use serde::{Deserialize, Serialize};

use crate::{
    decide::{EntryInputs, TradeSnapshot},
    exits::ExitFactor,
    money::{MoneyError, ONE, Rounding, Shares, mul_div},
    policy::Policy,
    skip::SkipReason,
    trade::Quantity,
};

/// What becomes of a buy that is older than the follower allows ([`Policy::maximum_age`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DowntimeRule {
    /// It is skipped.
    #[default]
    Skip,
    /// It is copied if the price is near enough to the leader's ([`Policy::late_slippage`]), also where the leader
    /// has sold since.
    Late,
    /// It is left until everything up to now was read; then what the leader still holds of all such buys of a token is
    /// bought at once, if the price is near enough to what the leader paid on average.
    Sync,
}

/// A buy that is left to a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedBuy {
    /// What the leader bought.
    pub quantity: Quantity,
    /// The block of the buy.
    pub block: i64,
}

/// What a sync aims at, beside the quantity that the leader still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTarget {
    /// How many trades are still held, in millionths: one of which a quarter was sold counts 750,000.
    pub trades: i64,
    /// What the leader sold up to this block is taken off already.
    pub through: i64,
}

/// What the leader still holds of missed buys: each times the factors of its block and all later ones, as if it had been copied; but
/// no more than the leader is known to have held after them. Everything is rounded down.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn still_held(buys: &[MissedBuy], factors: &[ExitFactor]) -> Result<(Quantity, SyncTarget), MoneyError> {
    let (mut whole, mut target) = (Quantity::ZERO, SyncTarget { trades: 0, through: 0 });
    for buy in buys {
        let later = factors.iter().filter(|factor| factor.block >= buy.block);
        let kept = later.clone().try_fold(Shares(ONE), |kept, factor| factor.apply(kept))?.0;
        let quantity = Quantity {
            shares: buy.quantity.shares.times(kept, ONE, Rounding::Down)?,
            usd: buy.quantity.usd.times(kept, ONE, Rounding::Down)?,
        };
        whole = whole.plus(quantity)?;
        target.trades = target.trades.checked_add(kept).ok_or(MoneyError::Overflow("trades to sync"))?;
        let newest = later.map(|factor| factor.block).max().unwrap_or(buy.block);
        target.through = target.through.max(newest);
    }
    // What went without a sale is in no factor, but in the balance after it.
    let last = buys.iter().map(|buy| buy.block).max();
    let known = factors.iter().max_by_key(|factor| factor.block).filter(|factor| Some(factor.block) >= last);
    match known {
        Some(known) if whole.shares > known.after => {
            let (after, before) = (known.after.0.max(0), whole.shares.0);
            let usd = whole.usd.times(after, before, Rounding::Down)?;
            target.trades = mul_div(target.trades, after, before, Rounding::Down)?;
            Ok((Quantity { shares: Shares(after), usd }, target))
        }
        _ => Ok((whole, target)),
    }
}

/// Why an entry is not made for its age; `None` for one that may be made.
pub(crate) fn skipped_for_age(
    trade: &TradeSnapshot,
    policy: &Policy,
    inputs: &EntryInputs,
) -> Option<SkipReason> {
    match (policy.downtime, trade.sync) {
        (_, None) if inputs.age <= policy.maximum_age => None,
        (DowntimeRule::Late, None) => None,
        (DowntimeRule::Sync, None) => Some(SkipReason::LeftToSync),
        (DowntimeRule::Sync, Some(target)) => (target.trades <= 0).then_some(SkipReason::SoldSince),
        // Of a sync that the user no longer wants, too.
        _ => Some(SkipReason::TooOld { age: inputs.age, maximum: policy.maximum_age }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        exits::{CopiedBuy, exit_target},
        money::Usd,
    };

    fn buy(block: i64, shares: i64, usd: i64) -> MissedBuy {
        let quantity = Quantity { shares: Shares(shares * ONE), usd: Usd(usd * ONE) };
        MissedBuy { quantity, block }
    }

    fn factor(block: i64, before: i64, after: i64) -> ExitFactor {
        ExitFactor { block, before: Shares(before * ONE), after: Shares(after * ONE) }
    }

    #[test]
    fn what_was_sold_since_is_not_held() {
        let buys = [buy(10, 100, 40), buy(20, 50, 30)];
        let (whole, target) = still_held(&buys, &[factor(5, 9, 1), factor(15, 100, 50)]).unwrap();
        assert_eq!(whole, Quantity { shares: Shares(100 * ONE), usd: Usd(50 * ONE) });
        assert_eq!(target, SyncTarget { trades: 1_500_000, through: 20 });
        // Bought and sold in one block: half of what was there is there afterwards.
        let (whole, target) = still_held(&buys, &[factor(20, 150, 75)]).unwrap();
        assert_eq!(whole, Quantity { shares: Shares(75 * ONE), usd: Usd(35 * ONE) });
        assert_eq!(target, SyncTarget { trades: 1_000_000, through: 20 });
        let (whole, target) = still_held(&buys, &[factor(30, 150, 0)]).unwrap();
        assert_eq!((whole, target), (Quantity::ZERO, SyncTarget { trades: 0, through: 30 }));
        assert_eq!(still_held(&[], &[]).unwrap().0, Quantity::ZERO);
    }

    proptest! {
        /// A sync never aims at more than following would hold now.
        #[test]
        fn a_sync_holds_at_most_what_following_would(
            shares in proptest::collection::vec((0_i64..20, 1_i64..1_000_000_000), 1..6),
            sales in proptest::collection::vec((0_i64..20, 1_i64..1_000_000, 0_i64..1_000_000), 0..5),
        ) {
            let factors: Vec<ExitFactor> = sales.iter().map(|(block, before, after)| {
                ExitFactor { block: *block, before: Shares(*before), after: Shares(*after.min(before)) }
            }).collect();
            let missed: Vec<MissedBuy> = shares.iter().map(|(block, shares)| MissedBuy {
                quantity: Quantity { shares: Shares(*shares), usd: Usd(*shares / 2) }, block: *block,
            }).collect();
            let copied: Vec<CopiedBuy> = shares.iter().map(|(block, shares)| CopiedBuy {
                block: *block, filled: Shares(*shares), phantom: false,
            }).collect();
            let (whole, target) = still_held(&missed, &factors).unwrap();
            let following = exit_target(&copied, &factors).unwrap();
            prop_assert!(whole.shares <= following);
            let last = shares.iter().map(|(block, _)| *block).max();
            if factors.iter().all(|factor| Some(factor.block) < last) {
                // Each factor rounds by a millionth of the whole buy at most.
                let lost: i64 = shares.iter().map(|(_, shares)| (shares / 1_000_000 + 2) * 6).sum();
                prop_assert!(following.0 - whole.shares.0 <= lost);
            }
            prop_assert!(target.trades <= 1_000_000 * i64::try_from(shares.len()).unwrap());
        }
    }
}

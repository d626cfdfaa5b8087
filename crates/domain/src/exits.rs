//! How exits converge: followers keep the share of their copied position that the leader keeps.

use serde::{Deserialize, Serialize};

use crate::{
    money::{LOT, MoneyError, Rounding, Shares},
    policy::PhantomRule,
};

/// How much of a token a leader kept over one block: `after / before`, at most 1. What it bought in the block counts as
/// held before: of a leader who buys and sells in one block, nobody can tell which shares went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFactor {
    /// The block.
    pub block: i64,
    /// Balance at the end of the block before, and what was bought in the block.
    pub before: Shares,
    /// Balance at the end of the block.
    pub after: Shares,
}

impl ExitFactor {
    pub(crate) fn apply(self, shares: Shares) -> Result<Shares, MoneyError> {
        if self.after >= self.before {
            return Ok(shares);
        }
        // Rounded down: the follower keeps a millionth less rather than more.
        shares.times(self.after.0.max(0), self.before.0, Rounding::Down)
    }
}

/// What one copied buy has filled, and the block of the leader's buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedBuy {
    /// Block of the leader's trade.
    pub block: i64,
    /// Shares the copy filled.
    pub filled: Shares,
    /// The leader's trade is a phantom ([`crate::trade::TradeGroup::is_phantom`]).
    pub phantom: bool,
}

/// The buys that count for a follower: copies of phantoms only where they are kept.
#[must_use]
pub fn buys_that_count(buys: &[CopiedBuy], rule: PhantomRule) -> Vec<CopiedBuy> {
    let counts = |buy: &&CopiedBuy| rule == PhantomRule::Keep || !buy.phantom;
    buys.iter().filter(counts).copied().collect()
}

/// The shares a follower should still hold: every copied buy times the factors of its block and all later ones.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn exit_target(buys: &[CopiedBuy], factors: &[ExitFactor]) -> Result<Shares, MoneyError> {
    let mut target = Shares::ZERO;
    for buy in buys {
        let kept = factors
            .iter()
            .filter(|factor| factor.block >= buy.block)
            .try_fold(buy.filled, |shares, factor| factor.apply(shares))?;
        target = target.plus(kept)?;
    }
    Ok(target)
}

/// The rule by which targets are computed: raised with it, so that nobody compares what another rule said.
const RULE: i64 = 2;

/// A short mark of what a target was computed from, but for the filled shares: the rule, the blocks of the buys, and the
/// factors. Whoever computes the target again can tell whether it has the same before it (FNV-1a, 64 bits).
#[must_use]
pub fn mark_of_basis(buys: &[CopiedBuy], factors: &[ExitFactor]) -> i64 {
    mark_by(RULE, buys, factors)
}

fn mark_by(rule: i64, buys: &[CopiedBuy], factors: &[ExitFactor]) -> i64 {
    let blocks = buys.iter().map(|buy| buy.block);
    let factors = factors.iter().flat_map(|factor| [factor.block, factor.before.0, factor.after.0]);
    let numbers = [rule].into_iter().chain(blocks).chain([i64::MIN]).chain(factors);
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = numbers.flat_map(i64::to_be_bytes).fold(0xcbf2_9ce4_8422_2325, mix);
    i64::from_be_bytes(hash.to_be_bytes())
}

/// The shares to sell now, in whole lots: held, less the target, less what open exits may still sell.
#[must_use]
pub fn shares_to_sell(held: Shares, target: Shares, open_exits: Shares) -> Shares {
    held.less(target).less(open_exits).floor_to(LOT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(shares: i64) -> Shares {
        Shares(shares * 1_000_000)
    }

    #[test]
    fn no_block_shrinks_later_buys() {
        let buys = [
            CopiedBuy { block: 10, filled: whole(100), phantom: false },
            CopiedBuy { block: 20, filled: whole(10), phantom: false },
        ];
        let half = ExitFactor { block: 15, before: whole(1_000), after: whole(500) };
        assert_eq!(exit_target(&buys, &[half]), Ok(whole(60)));
        let rest = ExitFactor { block: 30, before: whole(600), after: whole(0) };
        assert_eq!(exit_target(&buys, &[half, rest]), Ok(Shares::ZERO));
    }

    /// The leader held 100, bought 50 and sold 60 in one block: it kept 90 of 150.
    #[test]
    fn a_sale_shrinks_buys_of_its_own_block() {
        let buy = |block, shares| CopiedBuy { block, filled: whole(shares), phantom: false };
        let factor = ExitFactor { block: 20, before: whole(150), after: whole(90) };
        assert_eq!(exit_target(&[buy(10, 100), buy(20, 50)], &[factor]), Ok(whole(90)));
    }

    #[test]
    fn copies_of_phantoms_count_where_they_are_kept() {
        let buy = |filled, phantom| CopiedBuy { block: 10, filled: whole(filled), phantom };
        let buys = [buy(7, true), buy(5, false)];
        let target = |rule| exit_target(&buys_that_count(&buys, rule), &[]);
        assert_eq!(target(PhantomRule::Keep), Ok(whole(12)));
        assert_eq!(target(PhantomRule::Exit), Ok(whole(5)));
    }

    #[test]
    fn a_balance_that_rose_is_no_exit() {
        let buys = [CopiedBuy { block: 1, filled: whole(5), phantom: false }];
        let rise = ExitFactor { block: 2, before: whole(1), after: whole(3) };
        assert_eq!(exit_target(&buys, &[rise]), Ok(whole(5)));
    }

    #[test]
    fn the_mark_tells_blocks_and_factors_apart_and_not_what_was_filled() {
        let buy = |block, filled| CopiedBuy { block, filled: whole(filled), phantom: false };
        let factor = |block, after| ExitFactor { block, before: whole(10), after: whole(after) };
        let mark = mark_of_basis(&[buy(1, 5)], &[factor(2, 3)]);
        assert_eq!(mark, mark_of_basis(&[buy(1, 6)], &[factor(2, 3)]));
        let others = [
            mark_of_basis(&[buy(2, 5)], &[factor(2, 3)]),
            mark_of_basis(&[buy(1, 5)], &[factor(2, 4)]),
            mark_of_basis(&[buy(1, 5), buy(1, 5)], &[factor(2, 3)]),
            mark_of_basis(&[buy(1, 5)], &[factor(2, 3), factor(4, 3)]),
            mark_of_basis(&[], &[]),
        ];
        assert!(others.iter().all(|other| *other != mark));
        assert_ne!(mark_by(RULE - 1, &[buy(1, 5)], &[factor(2, 3)]), mark);
    }

    proptest! {
        /// A fill that is booked late, after the exit was decided, is still exited: the sale decided in
        /// two steps equals the sale decided at once, up to a lot.
        #[test]
        fn late_fills_converge(early in 0_i64..1_000_000_000, late in 0_i64..1_000_000_000, before in 1_i64..1_000_000_000, keep in 0_i64..1_000_000_000) {
            let after = keep.min(before);
            let factor = ExitFactor { block: 2, before: Shares(before), after: Shares(after) };
            let first_buys = [CopiedBuy { block: 1, filled: Shares(early), phantom: false }];
            let first_target = exit_target(&first_buys, &[factor]).unwrap();
            let first = shares_to_sell(Shares(early), first_target, Shares::ZERO);
            let buys = [CopiedBuy { block: 1, filled: Shares(early + late), phantom: false }];
            let target = exit_target(&buys, &[factor]).unwrap();
            let at_once = shares_to_sell(Shares(early + late), target, Shares::ZERO);
            let second = shares_to_sell(Shares(early + late - first.0), target, Shares::ZERO);
            prop_assert!(target <= Shares(early + late));
            prop_assert!((first.0 + second.0 - at_once.0).abs() <= LOT.0);
        }
    }
}

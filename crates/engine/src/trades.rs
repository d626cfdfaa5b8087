//! The venue's trades of an order, put together from whatever told of them: look-ups tell all at once, the
//! user channel one by one, twice, or in another order.

use domain::{
    Usd,
    lifecycle::{Evidence, Filled},
    money::MoneyError,
    trade::Quantity,
};

use crate::{
    limits,
    ports::venue::{SettlementStatus, VenueTrade},
};

/// How far a settlement is. One that is over stays so, whatever is told late of how it got there; being in a
/// block and being sent again take turns.
const fn rank(status: SettlementStatus) -> u8 {
    match status {
        SettlementStatus::Matched => 0,
        SettlementStatus::Mined | SettlementStatus::Retrying => 1,
        SettlementStatus::Confirmed | SettlementStatus::Failed => 2,
    }
}

/// What is known with what was just told: one row for each id, by id. Of two words on the same trade the
/// further one stands, of equally far ones the newer; a transaction that was told is not forgotten, and is
/// replaced by another.
#[must_use]
pub fn merged(known: &[VenueTrade], told: &[VenueTrade]) -> Vec<VenueTrade> {
    let mut merged = known.to_vec();
    for trade in told {
        match merged.iter_mut().find(|known| known.id == trade.id) {
            Some(known) if rank(trade.status) >= rank(known.status) => {
                *known = VenueTrade { tx: trade.tx.or(known.tx), ..trade.clone() };
            }
            Some(_) => {}
            None => merged.push(trade.clone()),
        }
    }
    merged.sort_by(|one, other| one.id.cmp(&other.id));
    merged
}

/// What is known with a list of all trades: those it does not name are gone, the venue has other ids for them. A list
/// of less than is known, or with less that has not failed, misses some: there, only what comes back under another id
/// is replaced.
#[must_use]
pub fn listed(known: &[VenueTrade], list: &[VenueTrade]) -> Vec<VenueTrade> {
    let names = |trades: &[VenueTrade], id: &str| trades.iter().any(|trade| trade.id == id);
    let (mut kept, gone): (Vec<_>, Vec<_>) = known.iter().cloned().partition(|trade| names(list, &trade.id));
    if total(list) < total(known) || alive(list) < alive(known) {
        let mut renamed: Vec<&VenueTrade> = list.iter().filter(|trade| !names(known, &trade.id)).collect();
        for trade in gone {
            match renamed.iter().position(|other| other.shares == trade.shares) {
                Some(at) => drop(renamed.swap_remove(at)),
                None => kept.push(trade),
            }
        }
    }
    merged(&kept, list)
}

/// A buy's trades, without the hair by which their dollars come to more than the buy was signed for: the venue tells shares
/// and prices, and each product is rounded against us. What is more than rounding stays, and so does whatever the reply or
/// the chain says, which tell dollars exactly.
#[must_use]
pub fn within(mut trades: Vec<VenueTrade>, most: Usd) -> Vec<VenueTrade> {
    let counts = |trade: &VenueTrade| trade.status != SettlementStatus::Failed;
    let sum =
        trades.iter().filter(|trade| counts(trade)).fold(0_i64, |sum, trade| sum.saturating_add(trade.usd.0));
    let over = sum.saturating_sub(most.0);
    if (1..=limits::ROUNDED_AWAY).contains(&over)
        && let Some(largest) = trades.iter_mut().filter(|trade| counts(trade)).max_by_key(|trade| trade.usd)
    {
        largest.usd = largest.usd.less(Usd(over));
    }
    trades
}

/// Shares of all of them, failed ones included.
pub(crate) fn total(trades: &[VenueTrade]) -> i64 {
    trades.iter().fold(0, |sum, trade| trade.shares.0.saturating_add(sum))
}

/// Shares of those that have not failed.
fn alive(trades: &[VenueTrade]) -> i64 {
    let alive = trades.iter().filter(|trade| trade.status != SettlementStatus::Failed);
    alive.fold(0, |sum, trade| trade.shares.0.saturating_add(sum))
}

/// `evidence` with what these trades say instead of those it knew.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn in_evidence(evidence: Evidence, trades: &[VenueTrade]) -> Result<Evidence, MoneyError> {
    let (mut alive, mut failed) = (Filled::default(), Quantity::ZERO);
    let (mut retrying, mut confirmed, mut any) = (false, true, false);
    for trade in trades {
        let quantity = Quantity { shares: trade.shares, usd: trade.usd };
        if trade.status == SettlementStatus::Failed {
            failed = failed.plus(quantity)?;
            continue;
        }
        any = true;
        alive.quantity = alive.quantity.plus(quantity)?;
        alive.fee = alive.fee.plus(trade.fee)?;
        retrying |= trade.status == SettlementStatus::Retrying;
        confirmed &= trade.status == SettlementStatus::Confirmed;
    }
    Ok(Evidence { trades: alive, failed, retrying, trades_confirmed: any && confirmed, ..evidence })
}

#[cfg(test)]
mod tests {
    use domain::{Shares, TxHash, Usd};
    use proptest::prelude::*;

    use super::{SettlementStatus::*, *};

    fn trade(id: u8, status: SettlementStatus, tx: Option<u8>) -> VenueTrade {
        VenueTrade {
            id: id.to_string(),
            status,
            shares: Shares(100),
            usd: Usd(50),
            fee: Usd(1),
            tx: tx.map(|byte| TxHash([byte; 32])),
        }
    }

    #[test]
    fn what_is_over_stays_over() {
        for end in [Confirmed, Failed] {
            for late in [Matched, Mined, Retrying] {
                let known = [trade(1, end, Some(1))];
                assert_eq!(merged(&known, &[trade(1, late, Some(2))]), known, "{late:?} after {end:?}");
            }
        }
    }

    #[test]
    fn a_hash_is_replaced_and_never_forgotten() {
        let known = merged(&[trade(1, Mined, Some(1))], &[trade(1, Retrying, Some(2))]);
        assert_eq!(known, [trade(1, Retrying, Some(2))]);
        assert_eq!(merged(&known, &[trade(1, Confirmed, None)]), [trade(1, Confirmed, Some(2))]);
    }

    #[test]
    fn failed_shares_are_apart() {
        let trades = [trade(1, Failed, None), trade(2, Confirmed, None)];
        let evidence = in_evidence(Evidence::default(), &trades).unwrap();
        assert_eq!((evidence.failed.shares, evidence.trades.quantity.shares), (Shares(100), Shares(100)));
        assert!(evidence.trades_confirmed && !evidence.retrying);
        assert!(!in_evidence(Evidence::default(), &trades[..1]).unwrap().trades_confirmed);
    }

    /// Both stayed, and the next read summed twice what was traded.
    #[test]
    fn a_trade_that_comes_back_under_another_id_counts_once() {
        let (one, two, three) =
            ([trade(1, Matched, None)], [trade(2, Confirmed, None)], [trade(3, Mined, None)]);
        let both = [one.as_slice(), &two].concat();
        assert_eq!(listed(&one, &two), two);
        assert_eq!(listed(&both, &three), [two.as_slice(), &three].concat());
        // A shorter list forgets nothing else: it may be older than what was pushed.
        assert_eq!(listed(&both, &one), both);
        assert_eq!(listed(&both, &[]), both);
        // What is over stays over, also in a list.
        assert_eq!(listed(&two, &[trade(2, Matched, None), trade(1, Matched, None)]), both);
    }

    /// A part of a match had failed and was listed before the part that was known: that was forgotten.
    #[test]
    fn a_list_of_what_failed_takes_no_other_trade_back() {
        let known = [trade(1, Matched, None)];
        let larger = [VenueTrade { shares: Shares(300), ..trade(2, Failed, None) }];
        assert_eq!(listed(&known, &larger), [known.as_slice(), &larger].concat());
        // The same shares under another id are the same trade, failed or tried again.
        assert_eq!(listed(&known, &[trade(2, Failed, None)]), [trade(2, Failed, None)]);
        assert_eq!(listed(&[trade(2, Failed, None)], &known), known);
    }

    fn one_story() -> impl Strategy<Value = Vec<VenueTrade>> {
        let stories: [&[SettlementStatus]; 4] = [
            &[Matched, Mined, Confirmed],
            &[Matched, Retrying, Mined, Confirmed],
            &[Matched, Retrying, Failed],
            &[Matched, Mined, Retrying, Failed],
        ];
        (0..stories.len(), 0..stories.len()).prop_map(move |(one, two)| {
            let of =
                |id: u8, story: usize| stories[story].iter().map(move |status| trade(id, *status, Some(id)));
            of(1, one).chain(of(2, two)).collect()
        })
    }

    proptest! {
        /// However often and in whatever order frames come, the end is the same.
        #[test]
        fn order_and_repetition_change_nothing(
            (story, told) in one_story().prop_flat_map(|story| {
                let twice: Vec<VenueTrade> = story.iter().chain(&story).cloned().collect();
                (Just(story), Just(twice).prop_shuffle())
            })
        ) {
            let in_order = merged(&[], &story);
            let shuffled = told.chunks(3).fold(Vec::new(), |known, told| merged(&known, told));
            prop_assert_eq!(&shuffled, &in_order);
            let sums = |trades: &[VenueTrade]| in_evidence(Evidence::default(), trades).unwrap();
            prop_assert_eq!(sums(&shuffled), sums(&in_order));
        }
    }
}

//! Groups, parts, and who inherits what.

use proptest::prelude::*;

use super::*;

fn group(tx: u8) -> TradeGroup {
    let key =
        GroupKey { leader: LeaderId(1), tx: TxHash([tx; 32]), token: TokenId([7; 32]), action: Action::Buy };
    TradeGroup::new(key, Timestamp(0), Timestamp(0))
}

fn shares(whole: i64) -> Quantity {
    Quantity { shares: Shares(whole * 1_000_000), usd: Usd(whole * 500_000) }
}

#[test]
fn the_chain_replaces_hints_and_never_adds_to_them() {
    let mut trade = group(1);
    trade.history = shares(10);
    assert_eq!(trade.take_parts(&mut []).unwrap().len(), 1);
    trade.chain = Some(shares(10));
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
    trade.chain = Some(shares(12));
    let parts = trade.take_parts(&mut []).unwrap();
    assert_eq!((parts[0].number, parts[0].added), (1, Shares(2_000_000)));
}

#[test]
fn hints_are_never_added_up() {
    let mut trade = group(1);
    trade.live = shares(4);
    assert_eq!(trade.take_parts(&mut []).unwrap()[0].added, shares(4).shares);
    trade.history = shares(10);
    assert_eq!(trade.take_parts(&mut []).unwrap()[0].added, shares(6).shares);
    trade.live = shares(9);
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
    assert_eq!(trade.quantity(), shares(10));
    trade.chain = Some(shares(10));
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
}

#[test]
fn a_replaced_transaction_is_swallowed_once() {
    let mut old = group(1);
    old.history = shares(10);
    old.take_parts(&mut []).unwrap();
    let mut new = group(2);
    new.chain = Some(shares(10));
    new.block = Some(7);
    let mut related = [old];
    let parts = new.take_parts(&mut related).unwrap();
    assert_eq!(parts.iter().map(|part| part.kind).collect::<Vec<_>>(), [PartKind::Settling]);
    assert_eq!(related[0].surplus(), Shares::ZERO);
    assert_eq!(related[0].block, new.block);
    let mut third = group(3);
    third.chain = Some(shares(10));
    assert_eq!(third.take_parts(&mut related).unwrap()[0].kind, PartKind::Trade);
}

/// What was swallowed was never given back: a second trade of the same size was lost, though the chain had both.
#[test]
fn what_was_swallowed_is_given_back_when_the_chain_has_both() {
    let mut first = group(1);
    first.history = shares(10);
    first.take_parts(&mut []).unwrap();
    let mut second = group(2);
    second.chain = Some(shares(10));
    let mut related = [first];
    second.take_parts(&mut related).unwrap();
    let [mut first] = related;
    first.chain = Some(shares(10));
    let mut related = [second];
    assert!(first.take_parts(&mut related).unwrap().is_empty(), "it was decided");
    let [mut second] = related;
    let parts = second.take_parts(&mut [first]).unwrap();
    let kinds: Vec<_> = parts.iter().map(|part| (part.kind, part.number, part.added)).collect();
    assert_eq!(kinds, [(PartKind::Trade, 1, shares(10).shares)]);
    assert_eq!(second.copied_quantity(), Ok(shares(10)));
    // Gone again, it may be the second one after all; nothing is inherited twice.
    first.chain = Some(Quantity::ZERO);
    first.take_parts(&mut [second]).unwrap();
    assert_eq!(first.surplus(), shares(10).shares);
    assert!(second.take_parts(&mut [first]).unwrap().is_empty());
}

#[test]
fn a_group_that_shrinks_is_overcounted_until_it_comes_back() {
    let mut trade = group(1);
    trade.chain = Some(shares(10));
    trade.take_parts(&mut []).unwrap();
    trade.chain = Some(Quantity::ZERO);
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
    assert_eq!(trade.state, GroupState::Overcounted);
    trade.chain = Some(shares(10));
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
    assert_eq!(trade.state, GroupState::Open);
    assert_eq!(trade.finalize().unwrap(), None);
    assert_eq!(trade.state, GroupState::Final);
}

#[test]
fn a_revisit_takes_a_number_and_no_shares() {
    let mut trade = group(1);
    trade.chain = Some(shares(10));
    trade.take_parts(&mut []).unwrap();
    let part = trade.ask_some(PartKind::Revisit).unwrap();
    assert_eq!((part.number, part.added, part.kind), (1, Shares::ZERO, PartKind::Revisit));
    assert_eq!(trade.decided, Shares(10_000_000));
    trade.chain = Some(shares(11));
    assert_eq!(trade.take_parts(&mut []).unwrap()[0].number, 2);
}

/// A phantom is copied by nobody twice, under its own hash or another one.
#[test]
fn a_phantom_that_appears_after_all_is_no_phantom() {
    let phantom = || {
        let mut trade = group(1);
        trade.history = shares(10);
        trade.take_parts(&mut []).unwrap();
        assert!(trade.expire(Timestamp::from_seconds(91)) && trade.is_phantom());
        assert_eq!(trade.ask_some(PartKind::Phantom).unwrap().kind, PartKind::Phantom);
        trade
    };
    let mut same = phantom();
    same.chain = Some(shares(10));
    assert!(same.take_parts(&mut []).unwrap().is_empty());
    assert!(!same.is_phantom());
    let mut other = group(2);
    other.chain = Some(shares(10));
    let mut related = [phantom()];
    assert_eq!(other.take_parts(&mut related).unwrap()[0].kind, PartKind::Settling);
    assert!(!related[0].is_phantom());
}

#[test]
fn an_exit_that_no_block_had_is_decided_whole_when_one_has_it() {
    let mut trade = group(1);
    trade.history = shares(10);
    assert!(trade.expire(Timestamp::from_seconds(91)));
    let answer = trade.answer_absent().unwrap();
    assert_eq!((answer.kind, answer.number, answer.added), (PartKind::Absent, 0, Shares::ZERO));
    trade.chain = Some(shares(10));
    let parts = trade.take_parts(&mut []).unwrap();
    assert_eq!(parts.iter().map(|part| (part.kind, part.number)).collect::<Vec<_>>(), [(PartKind::Trade, 1)]);
    assert_eq!((parts[0].added, trade.is_phantom()), (shares(10).shares, false));
}

#[test]
fn dust_gets_an_answer_when_final() {
    let mut trade = group(1);
    trade.chain = Some(Quantity { shares: Shares(9_999), usd: Usd(5) });
    assert!(trade.take_parts(&mut []).unwrap().is_empty());
    assert_eq!(trade.finalize().unwrap().unwrap().kind, PartKind::Dust);
    assert_eq!(trade.finalize().unwrap(), None);
}

#[test]
fn a_stalled_head_makes_no_phantom() {
    let mut trade = group(1);
    trade.history = shares(1);
    assert!(!trade.expire(Timestamp::from_seconds(90)));
    assert!(trade.expire(Timestamp::from_seconds(91)));
    assert!(!trade.expire(Timestamp::from_seconds(99)));
}

proptest! {
    /// Whatever order reports come in, parts never add up to more than the largest quantity seen.
    #[test]
    fn parts_never_exceed_what_was_seen(reports in prop::collection::vec((0..3, 0_i64..50_000_000), 1..20)) {
        let mut trade = group(1);
        let mut largest = 0;
        let mut total = 0;
        for (source, amount) in reports {
            let quantity = Quantity { shares: Shares(amount), usd: Usd(amount / 2) };
            match source {
                0 => trade.chain = Some(quantity),
                1 => trade.history = trade.history.larger(quantity),
                _ => trade.live = trade.live.larger(quantity),
            }
            largest = largest.max(trade.quantity().shares.0);
            total += trade.take_parts(&mut []).unwrap().iter().map(|part| part.added.0).sum::<i64>();
            prop_assert!(total <= largest);
            prop_assert_eq!(total, trade.decided.0);
            prop_assert!(trade.quantity().shares.0 - total < LOT.0);
        }
    }
}

//! Every rule is kept by a good history and broken by a bad one.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Shares, Side, Timestamp, Usd,
    decide::Verdict,
    ids::{IntentId, OwnerId, RelationshipId},
    lifecycle::OrderState,
    skip::SkipReason,
};
use engine::ports::{
    execution::{EndReason, OrderUpdate, WorkChange},
    reports::{LedgerRecord, SkipSum, SkipSumKey},
};

use super::*;
use crate::{
    executor::block_on,
    memory_store::MemoryStore,
    store_suite::{Bench, CaseResult, world::World},
    virtual_clock::VirtualClock,
};

/// A bought and part-sold position, an open entry, a waiting entry and an ended one; of two followers.
async fn history() -> CaseResult<(World, Facts)> {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let world = World::new(
        Bench { store: store.clone(), keys: store.clone(), people: store, clock, spawn: |job| job },
        2,
    )
    .await?;
    world.pass(std::time::Duration::from_secs(1));
    world.bought(1, 20_000_000).await?;
    let exit = world.intent(2, Side::Sell).await?;
    world.sign("a", exit, 0).await?;
    let order = world.order(exit, 0).await?;
    let killed = OrderUpdate {
        state: OrderState::Killed,
        reply: Some(crate::store_suite::world::quantity(5_000_000, 2_500_000)),
        work: WorkChange::NextAttempt(world.now()),
        ..world.booking(&order, 5_000_000).await?
    };
    world.change(killed).await?;
    world.sign("a", exit, 1).await?;
    let open = world.intent(3, Side::Buy).await?;
    world.sign("a", open, 0).await?;
    world.intent(4, Side::Buy).await?;
    let ended = world.intent(5, Side::Buy).await?;
    world.store.end_intents(&[(ended, EndReason::TooOld)], world.now()).await?;
    let facts = Facts::read(world.store.as_ref()).await?;
    Ok((world, facts))
}

fn facts() -> Facts {
    block_on(history()).unwrap().1
}

/// The rules that a history breaks after `spoil`.
fn broken(spoil: impl FnOnce(&mut Facts)) -> BTreeSet<Rule> {
    let mut facts = facts();
    spoil(&mut facts);
    check_always(&facts).0.into_iter().map(|violation| violation.rule).collect()
}

const FIRST: IntentId = IntentId(1);
const EXIT: IntentId = IntentId(2);
const OPEN: IntentId = IntentId(3);
const WAITING: IntentId = IntentId(4);

fn spoil_decisions(rule: Rule, facts: &mut Facts) {
    match rule {
        Rule::OneDecision => facts.decisions.push(facts.decisions[1].clone()),
        Rule::OneIntent => facts.intents.get_mut(&FIRST).unwrap().amount += 1,
        Rule::NoLostIntent => drop(facts.waiting.remove(&WAITING)),
        Rule::EveryFollowerAnswered => drop(facts.decisions.pop()),
        Rule::SkipsAreSummed => drop(facts.given_up.insert((facts.parts[0].part.key, 0), 1)),
        _ => unreachable!("{rule:?}"),
    }
}

fn spoil_orders(rule: Rule, facts: &mut Facts) {
    let mut orders = facts.orders.remove(&EXIT).unwrap();
    let entry = facts.orders.get_mut(&OPEN).unwrap();
    match rule {
        Rule::AttemptsInOrder => orders[1].order.id = entry[0].order.id,
        Rule::OneOpenOrder => orders[0].state = OrderState::Unknown,
        Rule::WithinIntent => orders[1].amounts.maker = 15_000_001,
        Rule::OneEntryAttempt => entry.push(orders[1].clone()),
        _ => unreachable!("{rule:?}"),
    }
    facts.orders.insert(EXIT, orders);
}

fn spoil_books(rule: Rule, facts: &mut Facts) {
    match rule {
        Rule::LedgerIsPositions => facts.positions[0].position.realised = Usd(1),
        Rule::LedgerIsCash => facts.accounts[0].cash = Usd(1),
        Rule::LedgerIsOrders => facts.orders.get_mut(&FIRST).unwrap()[0].booked.shares = Shares(1),
        Rule::ExposureIsRisk => facts.exposures[0].usd = Usd(1),
        Rule::Reserved => facts.accounts[0].reserved = Usd(1),
        _ => unreachable!("{rule:?}"),
    }
}

#[test]
fn a_good_history_keeps_every_rule() {
    assert_eq!(check_always(&facts()).0, []);
}

/// Breaks one rule.
type Spoil = fn(Rule, &mut Facts);

#[test]
fn each_rule_notices_what_breaks_it() {
    use Rule::{
        AttemptsInOrder, EveryFollowerAnswered, ExposureIsRisk, LedgerIsCash, LedgerIsOrders,
        LedgerIsPositions, NoLostIntent, OneDecision, OneEntryAttempt, OneIntent, OneOpenOrder, Reserved,
        SkipsAreSummed, WithinIntent,
    };
    let groups: [(Spoil, &[Rule]); 3] = [
        (spoil_decisions, &[OneDecision, OneIntent, NoLostIntent, EveryFollowerAnswered, SkipsAreSummed]),
        (spoil_orders, &[AttemptsInOrder, OneOpenOrder, WithinIntent, OneEntryAttempt]),
        (spoil_books, &[LedgerIsPositions, LedgerIsCash, LedgerIsOrders, ExposureIsRisk, Reserved]),
    ];
    for (spoil, rules) in groups {
        for rule in rules {
            let found = broken(|facts| spoil(*rule, facts));
            assert!(found.contains(rule), "{rule:?} is not noticed, only {found:?}");
        }
    }
}

#[test]
fn decisions_and_intents_belong_together() {
    let one = BTreeSet::from([Rule::OneIntent]);
    let with = |change: fn(&mut Facts)| broken(change);
    assert_eq!(with(|facts| facts.decisions[0].owner = OwnerId(9)), one);
    assert_eq!(with(|facts| facts.decisions[1].intent = Some(FIRST)), one);
    let skipped = with(|facts| facts.decisions[0].verdict = Verdict::Skip(SkipReason::Dust));
    assert_eq!(skipped, one);
    assert_eq!(with(|facts| facts.decisions[0].intent = None), one);
    let shared = with(|facts| facts.decisions[2].intent = Some(FIRST));
    assert_eq!(shared, one);
    let both = with(|facts| facts.ended.extend([WAITING]));
    assert_eq!(both, [Rule::NoLostIntent, Rule::Reserved].into());
    // Who came later has nothing to answer; who was there has.
    assert!(with(|facts| facts.relationships[1].since = facts.parts[0].seen_at).is_empty());
    let third = with(|facts| {
        let mut third = facts.relationships[1].clone();
        third.id = RelationshipId(3);
        facts.relationships.push(third);
    });
    assert_eq!(third, [Rule::EveryFollowerAnswered].into());
}

/// A skip that was summed is missed by nobody; one that was not, or a sum of nobody's, is.
#[test]
fn a_part_may_lack_what_it_gave_up() {
    let given_up = |facts: &mut Facts| {
        let skip = facts.decisions.iter().position(|row| matches!(row.verdict, Verdict::Skip(_))).unwrap();
        let row = facts.decisions.remove(skip);
        facts.given_up.insert((row.key, row.part), 1);
        let key = SkipSumKey { relationship: row.relationship.0, day: 5, reason: 15 };
        facts.skip_sums.push(SkipSum { key, owner: row.owner, skips: 1 });
    };
    assert!(broken(given_up).is_empty());
    let lost = broken(|facts| {
        given_up(facts);
        facts.given_up.clear();
    });
    assert_eq!(lost, [Rule::EveryFollowerAnswered, Rule::SkipsAreSummed].into());
    let another = broken(|facts| {
        given_up(facts);
        facts.skip_sums[0].owner = OwnerId(9);
    });
    assert_eq!(another, [Rule::SkipsAreSummed].into());
}

#[test]
fn money_that_can_be_spent_is_reserved() {
    let missing = [Rule::Reserved, Rule::ExposureIsRisk].into();
    for intent in [OPEN, WAITING] {
        let found = broken(|facts| facts.reservations.retain(|(id, _)| *id != intent));
        assert_eq!(found, missing, "{intent}");
    }
    let twice = broken(|facts| facts.reservations.push(facts.reservations[0]));
    assert_eq!(twice, missing);
    let deposit = broken(|facts| facts.ledger.push(LedgerRecord { intent: None, ..facts.ledger[0].clone() }));
    assert_eq!(deposit, [Rule::LedgerIsPositions, Rule::LedgerIsCash].into());
}

#[test]
fn at_rest_nothing_is_left() {
    let rest = |spoil: fn(&mut Facts)| {
        let mut facts = facts();
        spoil(&mut facts);
        let mut findings = Findings::default();
        decisions::at_rest(&facts, &mut findings);
        books::at_rest(&facts, &mut findings);
        findings.0.into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    // The two fills were booked with a fee that no evidence tells.
    let fees = vec![Rule::EvidenceIsBooked; 2];
    assert_eq!(rest(|_| {}), fees);
    let explained = |facts: &mut Facts| {
        for order in facts.orders.values_mut().flatten() {
            order.evidence.trades.fee = order.booked.fee;
        }
    };
    let _: fn(&mut Facts) = explained;
    assert_eq!(rest(explained), []);
    let mut expected = fees.clone();
    expected.push(Rule::EvidenceIsBooked);
    assert_eq!(rest(|facts| facts.news = facts.orders[&OPEN].clone()), expected);
    let left = rest(|facts| {
        let order = &mut facts.orders.get_mut(&OPEN).unwrap()[0];
        (order.state, order.open_work) = (OrderState::Killed, false);
    });
    assert!(left.contains(&Rule::NothingLeftReserved), "{left:?}");
    assert!(rest(|facts| facts.parts[0].complete = false).contains(&Rule::PartsComplete));
}

#[test]
fn a_store_is_read_whole() {
    let (world, facts) = block_on(history()).unwrap();
    assert_eq!((facts.decisions.len(), facts.intents.len(), facts.ledger.len()), (10, 5, 2));
    assert_eq!((facts.parts.len(), facts.waiting.len(), facts.ended.len()), (5, 1, 1));
    assert_eq!(block_on(always(world.store.as_ref())).unwrap(), []);
    let rest = block_on(at_rest(world.store.as_ref())).unwrap();
    assert!(rest.iter().all(|violation| violation.rule == Rule::EvidenceIsBooked), "{rest:?}");
    assert!(rest[0].to_string().starts_with("EvidenceIsBooked: attempt 1 has booked"), "{}", rest[0]);
}

//! Never two live orders of an intent, never more than the intent.

use std::collections::BTreeMap;

use domain::{Side, lifecycle::Filled};
use engine::ports::{detection::Lane, execution::OrderRecord};

use super::{Findings, Rule, facts::Facts};

pub(super) fn always(facts: &Facts, findings: &mut Findings) {
    let mut ids = BTreeMap::new();
    for (id, intent) in &facts.intents {
        let orders = facts.orders_of(*id);
        attempts_in_order(orders, findings);
        for order in orders {
            if let Some(other) = ids.insert(order.order.id, order.attempt) {
                findings.check(Rule::AttemptsInOrder, false, || {
                    format!("attempts {other} and {} have the order id {}", order.attempt, order.order.id)
                });
            }
        }
        let open = orders.iter().filter(|order| order.state.is_open()).count();
        findings.check(Rule::OneOpenOrder, open <= 1, || format!("intent {id} has {open} open orders"));
        let single = intent.lane == Lane::Exits || orders.len() <= 1;
        findings.check(Rule::OneEntryAttempt, single, || format!("entry {id} has {} attempts", orders.len()));
        let given: i128 = orders.iter().map(may_give).sum();
        findings.check(Rule::WithinIntent, given <= i128::from(intent.amount), || {
            format!("orders of intent {id} may give {given} of {}", intent.amount)
        });
    }
}

fn attempts_in_order(orders: &[OrderRecord], findings: &mut Findings) {
    for (expected, order) in (0..).zip(orders) {
        findings.check(Rule::AttemptsInOrder, order.number == expected, || {
            format!("attempt {} has the number {} instead of {expected}", order.attempt, order.number)
        });
    }
}

/// What an order has given, or while it is open may give, in the unit of its intent's amount.
fn may_give(order: &OrderRecord) -> i128 {
    let evidence = order.evidence.booked().map_or(i128::MAX, |filled| given(order.intent.side, filled));
    let booked = match order.intent.side {
        Side::Buy => -i128::from(order.booked.cash.0) - i128::from(order.booked.fee.0),
        Side::Sell => -i128::from(order.booked.shares.0),
    };
    let so_far = evidence.max(booked);
    if order.state.is_open() { so_far.max(i128::from(order.amounts.maker)) } else { so_far }
}

fn given(side: Side, filled: Filled) -> i128 {
    i128::from(match side {
        Side::Buy => filled.quantity.usd.0,
        Side::Sell => filled.quantity.shares.0,
    })
}

//! Ledger, positions, cash, reservations and exposure agree.

use std::collections::BTreeMap;

use domain::{
    Side,
    ids::{AccountId, IntentId, RelationshipId},
    position::Entry,
};
use engine::ports::{detection::Lane, execution::OrderRecord};

use super::{Findings, Rule, facts::Facts};

/// Shares, cash, cost, realised profit and fee, where no sum overflows.
type Sum = [i128; 5];

pub(super) fn always(facts: &Facts, findings: &mut Findings) {
    ledger_is_positions(facts, findings);
    ledger_is_cash(facts, findings);
    ledger_is_orders(facts, findings);
    reserved(facts, findings);
    exposure_is_risk(facts, findings);
}

pub(super) fn at_rest(facts: &Facts, findings: &mut Findings) {
    for (id, usd) in &facts.reservations {
        let over = |order: &OrderRecord| order.state.is_settled() && !order.open_work;
        let orders = facts.orders_of(*id);
        let cannot_cost = !facts.waiting.contains(id) && orders.iter().all(over);
        findings.check(Rule::NothingLeftReserved, !cannot_cost, || {
            format!("{usd} are still reserved for intent {id}, which is over")
        });
    }
    for order in facts.orders.values().flatten() {
        let booked = fill_of(order);
        let said = order
            .evidence
            .booked()
            .map(|said| [said.quantity.shares.0, said.quantity.usd.0, said.fee.0].map(i128::from));
        findings.check(Rule::EvidenceIsBooked, said.as_ref() == Ok(&booked), || {
            format!("attempt {} has booked {booked:?}, its evidence says {said:?}", order.attempt)
        });
    }
    for order in &facts.news {
        findings.check(Rule::EvidenceIsBooked, false, || {
            format!("fills of attempt {} changed and nobody has looked", order.attempt)
        });
    }
}

fn add(sum: &mut Sum, entry: Entry) {
    let values = [entry.shares.0, entry.cash.0, entry.cost.0, entry.realised.0, entry.fee.0];
    for (total, value) in sum.iter_mut().zip(values) {
        *total += i128::from(value);
    }
}

/// Shares, dollars and fee of the fill that an order's bookings stand for.
fn fill_of(order: &OrderRecord) -> [i128; 3] {
    let mut sum = Sum::default();
    add(&mut sum, order.booked);
    let [shares, cash, _, _, fee] = sum;
    match order.intent.side {
        Side::Buy => [shares, -(cash + fee), fee],
        Side::Sell => [-shares, cash + fee, fee],
    }
}

fn ledger_is_positions(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for row in &facts.ledger {
        if let Some((relationship, token)) = row.relationship.zip(row.token) {
            add(sums.entry((row.owner, row.account, relationship, token)).or_default(), row.entry);
        }
    }
    for row in &facts.positions {
        let [shares, _, cost, realised, fee] =
            sums.remove(&(row.owner, row.account, row.relationship, row.token)).unwrap_or_default();
        let position = row.position;
        let stored =
            [position.shares.0, position.cost.0, position.realised.0, position.fees.0].map(i128::from);
        let summed = [shares, cost, realised, fee];
        findings.check(Rule::LedgerIsPositions, stored == summed, || {
            format!("{row:?}, but the ledger says {summed:?}")
        });
    }
    for (key, [shares, _, cost, realised, fee]) in sums {
        let nothing = [shares, cost, realised, fee] == [0; 4];
        findings.check(Rule::LedgerIsPositions, nothing, || {
            format!("there is no position for the ledger's {key:?}")
        });
    }
}

fn ledger_is_cash(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for row in &facts.ledger {
        add(sums.entry((row.owner, row.account)).or_default(), row.entry);
    }
    for account in &facts.accounts {
        let key = (account.owner, account.trading.id);
        let [_, cash, ..] = sums.remove(&key).unwrap_or_default();
        findings.check(Rule::LedgerIsCash, i128::from(account.cash.0) == cash, || {
            format!("account {} has {}, the ledger says {cash}", key.1, account.cash)
        });
    }
    for key in sums.keys() {
        findings.check(Rule::LedgerIsCash, false, || format!("there is no account for the ledger's {key:?}"));
    }
}

fn ledger_is_orders(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<IntentId, Sum> = BTreeMap::new();
    for row in &facts.ledger {
        if let Some(intent) = row.intent {
            add(sums.entry(intent).or_default(), row.entry);
        }
    }
    for (id, orders) in &facts.orders {
        let mut booked = Sum::default();
        orders.iter().for_each(|order| add(&mut booked, order.booked));
        let summed = sums.remove(id).unwrap_or_default();
        findings.check(Rule::LedgerIsOrders, booked == summed, || {
            format!("orders of intent {id} have booked {booked:?}, the ledger says {summed:?}")
        });
    }
    for (intent, sum) in sums {
        findings
            .check(Rule::LedgerIsOrders, false, || format!("no order of intent {intent} has booked {sum:?}"));
    }
}

/// Money that can still be spent is reserved: that of entries that wait and of those whose order is open.
fn reserved(facts: &Facts, findings: &mut Findings) {
    let mut open: BTreeMap<IntentId, i64> = BTreeMap::new();
    let mut by_account: BTreeMap<AccountId, i128> = BTreeMap::new();
    for (id, usd) in &facts.reservations {
        let single = open.insert(*id, usd.0).is_none();
        let intent = facts.intents.get(id);
        let right =
            single && intent.is_some_and(|intent| intent.reserve == *usd) && !facts.ended.contains(id);
        findings.check(Rule::Reserved, right, || format!("{usd} are reserved for intent {id}: {intent:?}"));
        if let Some(intent) = intent {
            *by_account.entry(intent.account.id).or_default() += i128::from(usd.0);
        }
    }
    for (id, intent) in &facts.intents {
        // What left the open states has given its reservation back, even if it is open again.
        let still_open =
            |order: &OrderRecord| order.state.is_open() && !facts.left_open.contains(&order.order.id);
        let can_cost = facts.waiting.contains(id) || facts.orders_of(*id).iter().any(still_open);
        let needed = intent.lane == Lane::Entries && intent.reserve.is_positive() && can_cost;
        findings.check(Rule::Reserved, !needed || open.contains_key(id), || {
            format!("nothing is reserved for intent {id}, which can still cost money")
        });
    }
    for account in &facts.accounts {
        let sum = by_account.get(&account.trading.id).copied().unwrap_or(0);
        findings.check(Rule::Reserved, i128::from(account.reserved.0) == sum, || {
            format!("account {} says {} reserved, its intents {sum}", account.trading.id, account.reserved)
        });
    }
}

fn exposure_is_risk(facts: &Facts, findings: &mut Findings) {
    let mut conditions = BTreeMap::new();
    for intent in facts.intents.values() {
        conditions.insert((intent.relationship, intent.token), intent.condition);
    }
    let mut risk: BTreeMap<(RelationshipId, AccountId, Option<_>), i128> = BTreeMap::new();
    for row in &facts.positions {
        let condition = conditions.get(&(row.relationship, row.token)).copied();
        *risk.entry((row.relationship, row.account, condition)).or_default() +=
            i128::from(row.position.cost.0.max(0));
    }
    for (id, usd) in &facts.reservations {
        let Some(intent) = facts.intents.get(id) else { continue };
        let key = (intent.relationship, intent.account.id, Some(intent.condition));
        *risk.entry(key).or_default() += i128::from(usd.0);
    }
    risk.retain(|_, usd| *usd != 0);
    for line in &facts.exposures {
        let key = (line.relationship, line.account, Some(line.condition));
        let sum = risk.remove(&key).unwrap_or(0);
        findings.check(Rule::ExposureIsRisk, i128::from(line.usd.0) == sum, || {
            format!("{line:?}, but positions and reservations say {sum}")
        });
    }
    for (key, usd) in risk {
        findings.check(Rule::ExposureIsRisk, false, || {
            format!("no exposure is told of {usd} at risk for {key:?}")
        });
    }
}

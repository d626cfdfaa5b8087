//! Positions, cash and reservations against the ledger's rows.

use std::collections::BTreeMap;

use domain::{
    TokenId, Usd,
    ids::{AccountId, IntentId, RelationshipId},
    position::Position,
};
use engine::ports::{
    execution::LedgerCause,
    reports::{LedgerRecord, Reports},
    store::StoreResult,
};

use super::{
    PAGE,
    facts::{Facts, intent_exists},
    report::{About, Check, Findings},
    words,
};

type PositionKey = (AccountId, RelationshipId, TokenId);

/// Sums of the ledger; `None` beyond 64 bits.
#[derive(Default)]
struct Sums {
    positions: BTreeMap<PositionKey, Option<Position>>,
    cash: BTreeMap<AccountId, Option<Usd>>,
}

/// Adds the ledger up and compares. `last` is the last intent that was joined; intents named beyond it are
/// only looked for.
pub(super) async fn check(
    reports: &dyn Reports,
    facts: &Facts,
    last: IntentId,
    findings: &mut Findings,
) -> StoreResult<()> {
    let mut sums = Sums::default();
    let mut after = 0;
    loop {
        let page = reports.ledger_after(None, after, PAGE).await?;
        let Some(newest) = page.last() else { break };
        after = newest.id;
        findings.compared(Check::LedgerRows, page.len());
        for record in &page {
            check_row(record, facts, findings);
            check_intent_named(reports, record, last, findings).await?;
            sums.add(record);
        }
    }
    check_positions(reports, &mut sums, findings).await?;
    check_accounts(reports, facts, &mut sums, findings).await
}

impl Sums {
    fn add(&mut self, record: &LedgerRecord) {
        let cash = self.cash.entry(record.account).or_insert(Some(Usd::ZERO));
        *cash = cash.and_then(|sum| sum.plus(record.entry.cash).ok());
        if let (Some(relationship), Some(token)) = (record.relationship, record.token) {
            let key = (record.account, relationship, token);
            let position = self.positions.entry(key).or_insert_with(|| Some(Position::default()));
            *position = position.and_then(|sum| sum.after(record.entry).ok());
        }
    }
}

/// Whatever a trade does, cash changes by the profit, the cost given back and the fee; and a row names
/// what its cause needs.
fn check_row(record: &LedgerRecord, facts: &Facts, findings: &mut Findings) {
    let subject = || format!("ledger row {}", record.id);
    let entry = &record.entry;
    let trade = (record.relationship.is_some(), record.token.is_some(), record.intent.is_some());
    let (names, needed) = match record.cause {
        LedgerCause::Deposit => (trade == (false, false, false), "no relationship, token or intent"),
        // By a relationship that held the token, or by the account alone.
        LedgerCause::Adopted => {
            (trade.0 == trade.1 && !trade.2, "a relationship and a token, or neither, and no intent")
        }
        LedgerCause::Redeemed | LedgerCause::Worthless => {
            (trade == (true, true, false), "a relationship and a token, no intent")
        }
        LedgerCause::Fill | LedgerCause::Reversal => {
            (trade == (true, true, true), "a relationship, a token and an intent")
        }
    };
    let about = About { check: Check::LedgerRows, subject: &subject, basis: "its cause needs" };
    if !names {
        findings.wrong(&about, "what it names", "something else", needed);
    }
    if let Some(relationship) = record.relationship {
        let owner = facts.owner_of(relationship);
        let about = About { basis: "its relationship's is", ..about };
        findings.same(&about, "owner", record.owner.to_string(), words::option(owner));
    }
    let about = About { basis: "realised less cost less fee is", ..about };
    if record.cause != LedgerCause::Deposit {
        let expected = entry.realised.minus(entry.cost).and_then(|cash| cash.minus(entry.fee)).ok();
        findings.same(&about, "cash", entry.cash.to_string(), words::option(expected));
    }
}

async fn check_intent_named(
    reports: &dyn Reports,
    record: &LedgerRecord,
    last: IntentId,
    findings: &mut Findings,
) -> StoreResult<()> {
    if let Some(id) = record.intent.filter(|id| *id > last)
        && !intent_exists(reports, id).await?
    {
        let subject = || format!("ledger row {}", record.id);
        let about = About { check: Check::LedgerByOrder, subject: &subject, basis: "it should be" };
        findings.wrong(&about, "its intent", &id.to_string(), "stored");
    }
    Ok(())
}

async fn check_positions(reports: &dyn Reports, sums: &mut Sums, findings: &mut Findings) -> StoreResult<()> {
    let stored = reports.positions(None).await?;
    findings.compared(Check::Positions, stored.len());
    for record in stored {
        let key = (record.account, record.relationship, record.token);
        let sum = sums.positions.remove(&key).unwrap_or(Some(Position::default()));
        compare_position(key, Some(record.position), sum, findings);
    }
    for (key, sum) in std::mem::take(&mut sums.positions) {
        if sum != Some(Position::default()) {
            compare_position(key, None, sum, findings);
        }
    }
    Ok(())
}

fn compare_position(
    (account, relationship, token): PositionKey,
    stored: Option<Position>,
    sum: Option<Position>,
    findings: &mut Findings,
) {
    if stored.is_some() && stored == sum {
        return;
    }
    let text = |position: Option<Position>| {
        position.map_or_else(
            || "not there".to_owned(),
            |Position { shares, cost, realised, fees }| {
                format!("{shares} shares at cost {cost}, realised {realised}, fees {fees}")
            },
        )
    };
    let subject = || format!("position of relationship {relationship} (account {account}) in token {token}");
    let basis = "the ledger's rows sum to";
    let about = About { check: Check::Positions, subject: &subject, basis };
    findings.wrong(&about, "it", &text(stored), &text(sum));
}

async fn check_accounts(
    reports: &dyn Reports,
    facts: &Facts,
    sums: &mut Sums,
    findings: &mut Findings,
) -> StoreResult<()> {
    let accounts = reports.accounts(None).await?;
    findings.compared(Check::Cash, accounts.len());
    for account in accounts {
        let id = account.trading.id;
        let subject = || format!("account {id} ({})", account.label);
        let cash = sums.cash.remove(&id).unwrap_or(Some(Usd::ZERO));
        let about = About { check: Check::Cash, subject: &subject, basis: "the ledger's rows sum to" };
        findings.same(&about, "cash", account.cash.to_string(), words::option(cash));
        let about = About { check: Check::Reservations, subject: &subject, basis: "its intents reserve" };
        let reserved = facts.reserved.get(&id).copied().unwrap_or_default();
        findings.same(&about, "reserved money", account.reserved, reserved);
    }
    for id in sums.cash.keys() {
        let subject = || format!("account {id}");
        let about = About { check: Check::Cash, subject: &subject, basis: "the ledger's rows are" };
        findings.wrong(&about, "it", "not stored", "there");
    }
    for (intent, usd) in &facts.unclaimed {
        let subject = || format!("reservation of {usd} $");
        let about = About { check: Check::Reservations, subject: &subject, basis: "it should be" };
        findings.wrong(&about, "its intent", &intent.to_string(), "stored");
    }
    Ok(())
}

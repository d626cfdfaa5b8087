//! Orders against their intents, their bytes, their evidence and the ledger.

use std::collections::{HashMap, HashSet};

use domain::{
    OrderPlan, OrderType, Side,
    ids::IntentId,
    lifecycle::{Filled, OrderState},
    position::Entry,
};
use engine::{
    orders::{booked_so_far, given},
    ports::{
        execution::{Intent, OrderRecord},
        reports::IntentEnd,
        store::StoreResult,
    },
    salt::natural_key,
};

use super::{
    PAGE, Sources, body,
    chain::ChainFills,
    facts::Facts,
    intents::{Joined, Window, words_of},
    report::{About, Check, Findings},
    venue, words,
};
use crate::secrets;

/// Checks the orders of every intent of the window.
pub(super) async fn check(
    sources: &Sources<'_>,
    window: &Window,
    chain: Option<&ChainFills>,
    facts: &mut Facts,
    findings: &mut Findings,
) -> StoreResult<()> {
    let rows: Vec<&Joined> = window.rows().collect();
    for page in rows.chunks(PAGE) {
        let ids: Vec<IntentId> = page.iter().map(|joined| joined.intent.id).collect();
        // Asked first: what waits no more by then is signed or over in what is read after it.
        let waiting: HashSet<IntentId> = sources.jobs.not_over(&ids).await?.into_iter().collect();
        let ends = sources.reports.ends_of(&ids).await?;
        let ends: HashMap<IntentId, IntentEnd> = ends.into_iter().map(|end| (end.intent, end)).collect();
        let orders = sources.reports.attempts_of(&ids).await?;
        venue::check(sources, &orders, facts, findings).await?;
        if let Some(chain) = chain {
            chain.check(sources, &orders, facts, findings).await?;
        }
        for record in &orders {
            check_identity(sources, record, facts, findings);
            check_evidence(sources, record, facts, findings).await?;
            check_followed(sources, record, facts, findings).await?;
        }
        let mut by_intent: HashMap<IntentId, Vec<&OrderRecord>> = HashMap::new();
        for record in &orders {
            by_intent.entry(record.intent.id).or_default().push(record);
        }
        for joined in page {
            let attempts = by_intent.remove(&joined.intent.id).unwrap_or_default();
            check_attempts(&joined.intent, &attempts, findings);
            let id = joined.intent.id;
            if attempts.is_empty() && !ends.contains_key(&id) && !waiting.contains(&id) {
                forgotten(&joined.intent, findings);
            }
            check_ledger(joined, &attempts, findings);
            check_reservation(&joined.intent, &attempts, ends.get(&joined.intent.id), facts, findings);
        }
    }
    Ok(())
}

/// The plan an order was made of. What travels beside the order, and the builder code, stand in the bytes alone.
fn plan_of(record: &OrderRecord, negative_risk: bool) -> OrderPlan {
    let beside = body::beside(&record.order.body);
    OrderPlan {
        salt: record.salt,
        account: record.intent.account.clone(),
        token: record.intent.token,
        side: record.intent.side,
        amounts: record.amounts,
        timestamp: record.timestamp,
        negative_risk,
        // Exits take what is there, whatever the policy says about entries.
        order_type: match record.intent.side {
            Side::Buy => beside.order_type,
            Side::Sell => OrderType::FillAndKill,
        },
        defer: false,
        builder: beside.builder,
    }
}

/// Id, bytes and salt follow from the stored fields.
fn check_identity(sources: &Sources<'_>, record: &OrderRecord, facts: &Facts, findings: &mut Findings) {
    findings.compared(Check::OrderIds, 1);
    findings.compared(Check::Bodies, 1);
    let subject = || words::order(record);
    let about = About { check: Check::OrderIds, subject: &subject, basis: "its fields give" };
    let Some(negative_risk) = facts.negative_risk(&record.intent.token) else {
        let token = record.intent.token.to_string();
        findings.wrong(&about, "market of its token", "not stored", &token);
        return;
    };
    let plan = plan_of(record, negative_risk);
    match sources.ids.order_id(&plan) {
        Ok(id) => {
            findings.same(&about, "id", record.order.id, id);
        }
        Err(error) => findings.wrong(&about, "id", &record.order.id.to_string(), &error),
    }
    if record.intent.side == Side::Buy {
        let about = About { basis: "the decision was made at", ..about };
        findings.same(&about, "timestamp", record.timestamp, record.intent.decided_at);
    }
    let about = About { check: Check::Bodies, subject: &subject, basis: "the order has" };
    match body::mismatches(&record.order.body, &plan) {
        Ok(mismatches) => {
            for body::Mismatch { field, found, expected } in mismatches {
                findings.wrong(&about, field, &found, &expected);
            }
        }
        Err(error) => findings.wrong(&about, "body", &error, "fields to be compared"),
    }
    let Some(salts) = sources.options.salts else {
        let why = format!("needs the installation's secret: no {} in the data directory", secrets::FILE);
        return findings.unknown(Check::Salts, why);
    };
    findings.compared(Check::Salts, 1);
    let about = About { check: Check::Salts, subject: &subject, basis: "the secret gives" };
    let expected = salts.salt(&natural_key(&record.intent, record.number));
    findings.same(&about, "salt", record.salt, expected);
}

/// What is booked is what the evidence says, unless settlement has yet to book it.
async fn check_evidence(
    sources: &Sources<'_>,
    record: &OrderRecord,
    facts: &mut Facts,
    findings: &mut Findings,
) -> StoreResult<()> {
    findings.compared(Check::Evidence, 1);
    let subject = || words::order(record);
    let about = About { check: Check::Evidence, subject: &subject, basis: "its evidence says" };
    let sums = booked_so_far(record.intent.side, record.booked)
        .and_then(|booked| record.evidence.booked().map(|evidence| (booked, evidence)));
    let Ok((booked, evidence)) = sums else {
        findings.wrong(&about, "sum", "beyond 64 bits", "a number");
        return Ok(());
    };
    if booked == evidence {
        return Ok(());
    }
    if facts.is_unbooked(sources.execution, &record.order.id).await? {
        findings.waiting(Check::Evidence);
    } else {
        findings.wrong(&about, "booking", &words::filled(&booked), &words::filled(&evidence));
    }
    Ok(())
}

/// A copy that nobody will ever sign.
fn forgotten(intent: &Intent, findings: &mut Findings) {
    let subject = || words_of(intent);
    let about = About { check: Check::Attempts, subject: &subject, basis: "it should be" };
    findings.wrong(&about, "its order", "none", "signed, or the intent waiting or ended: this copy is lost");
}

/// As long as something may still be learned of an order, somebody has it on a list.
async fn check_followed(
    sources: &Sources<'_>,
    record: &OrderRecord,
    facts: &mut Facts,
    findings: &mut Findings,
) -> StoreResult<()> {
    let followed = record.state.is_settled()
        || record.open_work
        || facts.is_unbooked(sources.execution, &record.order.id).await?;
    if !followed {
        let subject = || words::order(record);
        let about = About { check: Check::Attempts, subject: &subject, basis: "it should be" };
        let found = format!("{} and on nobody's list", record.state.label());
        findings.wrong(&about, "its state", &found, "followed until it is settled");
    }
    Ok(())
}

/// Attempts are numbered, at most one is open, an entry has one, and together they stay within the intent.
fn check_attempts(intent: &Intent, attempts: &[&OrderRecord], findings: &mut Findings) {
    findings.compared(Check::Attempts, 1);
    let subject = || words_of(intent);
    let about = About { check: Check::Attempts, subject: &subject, basis: "it should be" };
    for (expected, record) in (0_u32..).zip(attempts) {
        findings.same(&about, "number of an attempt", record.number, expected);
        if record.intent != *intent {
            let order = record.order.id.to_string();
            findings.wrong(&about, "intent of its order", &order, "the same intent, fact by fact");
        }
    }
    if intent.side == Side::Buy && attempts.len() > 1 {
        findings.wrong(&about, "number of attempts of an entry", &attempts.len().to_string(), "1");
    }
    let open = attempts.iter().filter(|record| record.state.is_open()).count();
    if open > 1 {
        findings.wrong(&about, "number of open attempts", &open.to_string(), "at most 1");
    }
    let about = About { basis: "the intent allows", ..about };
    match at_stake(intent.side, attempts) {
        Some(total) if total <= intent.amount => {}
        total => {
            let found = words::option(total);
            findings.wrong(&about, "filled and open in millionths", &found, &intent.amount.to_string());
        }
    }
}

/// What the attempts gave, and what an open one may still give; `None` beyond 64 bits.
fn at_stake(side: Side, attempts: &[&OrderRecord]) -> Option<i64> {
    attempts.iter().try_fold(0_i64, |total, record| {
        let filled = given(side, &record.evidence.booked().ok()?);
        let stake = if record.state.is_open() { filled.max(record.amounts.maker) } else { filled };
        total.checked_add(stake)
    })
}

/// The ledger's rows of an intent sum to what its orders have booked.
fn check_ledger(joined: &Joined, attempts: &[&OrderRecord], findings: &mut Findings) {
    findings.compared(Check::LedgerByOrder, 1);
    let subject = || words_of(&joined.intent);
    let about = About { check: Check::LedgerByOrder, subject: &subject, basis: "its orders have booked" };
    let booked = attempts.iter().try_fold(Entry::default(), |sum, record| sum.plus(record.booked)).ok();
    if joined.ledger != booked || booked.is_none() {
        let text = |entry: Option<Entry>| {
            entry.map_or_else(|| "beyond 64 bits".to_owned(), |entry| words::entry(&entry))
        };
        findings.wrong(&about, "sum of its ledger rows", &text(joined.ledger), &text(booked));
    }
}

/// A reservation is as large as its intent says, and there as long as the intent may cost money.
fn check_reservation(
    intent: &Intent,
    attempts: &[&OrderRecord],
    end: Option<&IntentEnd>,
    facts: &mut Facts,
    findings: &mut Findings,
) {
    findings.compared(Check::Reservations, 1);
    let reserved = facts.claim(intent.id, intent.account.id);
    let subject = || words_of(intent);
    let about = About { check: Check::Reservations, subject: &subject, basis: "it should be" };
    // An order that is open again after a reorganisation has none: it was given back before.
    let untouched = match attempts {
        [] => end.is_none(),
        attempts => attempts.iter().any(|record| record.state == OrderState::Signed),
    };
    let over = match attempts {
        [] => end.is_some(),
        attempts => !attempts.iter().any(|record| record.state.is_open()),
    };
    match reserved {
        None if untouched && intent.reserve.is_positive() => {
            findings.wrong(&about, "its reservation", "none", &intent.reserve.to_string());
        }
        Some(reserved) if over => {
            let found = reserved.to_string();
            findings.wrong(&about, "its reservation", &found, "given back: nothing of it is open");
        }
        Some(reserved) => {
            findings.same(&about, "its reservation", reserved, intent.reserve);
        }
        None => {}
    }
}

/// What we believe was filled of an order; nothing when it cannot be added up, which is a difference of
/// its own.
pub(super) fn believed(record: &OrderRecord) -> Filled {
    record.evidence.booked().unwrap_or_default()
}

//! A window of intents, joined with the decisions that made them and the ledger rows they caused.

use std::collections::BTreeMap;

use domain::{
    Side,
    decide::{CopyOrder, Verdict},
    ids::IntentId,
    position::Entry,
};
use engine::ports::{
    detection::{DecisionInputs, Lane},
    execution::{Intent, IntentCause},
    reports::{DecisionRecord, LedgerRecord, Reports},
    store::StoreResult,
};

use super::{
    PAGE, Sources,
    report::{About, Check, Findings},
    words,
};

/// An intent with what names it.
pub(super) struct Joined {
    pub(super) intent: Intent,
    /// Decisions that name it.
    decisions: u32,
    /// Sum of its ledger rows; `None` beyond 64 bits.
    pub(super) ledger: Option<Entry>,
}

/// Intents with consecutive keys, as many as fit.
#[derive(Default)]
pub(super) struct Window {
    /// Keys of this window are above this.
    after: Option<IntentId>,
    rows: BTreeMap<IntentId, Joined>,
}

impl Window {
    /// The last key of the window.
    pub(super) fn last(&self) -> IntentId {
        let newest = self.rows.last_key_value().map(|(id, _)| *id);
        newest.or(self.after).unwrap_or(IntentId(0))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Joined> {
        self.rows.values()
    }

    /// Reads the next window; `false` when there are no more intents.
    pub(super) async fn read(&mut self, sources: &Sources<'_>) -> StoreResult<bool> {
        self.after = Some(self.last());
        self.rows.clear();
        while self.rows.len() < sources.options.window {
            let page = sources.reports.intents_after(None, self.last(), PAGE).await?;
            if page.is_empty() {
                break;
            }
            let join =
                |intent: Intent| (intent.id, Joined { intent, decisions: 0, ledger: Some(Entry::default()) });
            self.rows.extend(page.into_iter().map(join));
        }
        Ok(!self.rows.is_empty())
    }

    /// Whether a key belongs to this window, stored or not.
    fn covers(&self, id: IntentId) -> bool {
        self.after.is_none_or(|after| id > after) && id <= self.last()
    }

    /// Joins decisions and ledger rows, and compares each with its intent.
    pub(super) async fn join(&mut self, reports: &dyn Reports, findings: &mut Findings) -> StoreResult<()> {
        let mut after = 0;
        loop {
            let page = reports.decisions_after(None, after, PAGE).await?;
            let Some(newest) = page.last() else { break };
            after = newest.id;
            page.iter().for_each(|record| self.join_decision(record, findings));
        }
        let mut after = 0;
        loop {
            let page = reports.ledger_after(None, after, PAGE).await?;
            let Some(newest) = page.last() else { break };
            after = newest.id;
            page.iter().for_each(|record| self.join_ledger(record, findings));
        }
        findings.compared(Check::Intents, self.rows.len());
        for joined in self.rows.values().filter(|joined| joined.decisions != 1) {
            let subject = || words_of(&joined.intent);
            let about = About { check: Check::Intents, subject: &subject, basis: "it should be" };
            findings.same(&about, "number of decisions that name it", joined.decisions, 1);
        }
        Ok(())
    }

    fn join_decision(&mut self, record: &DecisionRecord, findings: &mut Findings) {
        let (Verdict::Copy(order), Some(id)) = (record.verdict, record.intent) else { return };
        if !self.covers(id) {
            return;
        }
        match self.rows.get_mut(&id) {
            Some(joined) => {
                joined.decisions = joined.decisions.saturating_add(1);
                compare(&joined.intent, record, &order, findings);
            }
            None => {
                let subject = || words::decision(record);
                let about = About { check: Check::Intents, subject: &subject, basis: "it should be" };
                findings.wrong(&about, "its intent", &id.to_string(), "stored");
            }
        }
    }

    fn join_ledger(&mut self, record: &LedgerRecord, findings: &mut Findings) {
        let Some(id) = record.intent.filter(|id| self.covers(*id)) else { return };
        let subject = || format!("ledger row {}", record.id);
        let about = About { check: Check::LedgerByOrder, subject: &subject, basis: "it should be" };
        let Some(joined) = self.rows.get_mut(&id) else {
            findings.wrong(&about, "its intent", &id.to_string(), "stored");
            return;
        };
        joined.ledger = joined.ledger.and_then(|sum| sum.plus(record.entry).ok());
        let intent = &joined.intent;
        let about = About { basis: "its intent's is", ..about };
        findings.same(&about, "owner", record.owner, intent.owner);
        findings.same(&about, "account", record.account, intent.account.id);
        let (relationship, token) = (words::option(record.relationship), words::option(record.token));
        findings.same(&about, "relationship", relationship, intent.relationship.to_string());
        findings.same(&about, "token", token, intent.token.to_string());
    }
}

pub(super) fn words_of(intent: &Intent) -> String {
    format!("intent {} of relationship {}", intent.id, intent.relationship)
}

/// An intent says what its decision says.
fn compare(intent: &Intent, record: &DecisionRecord, order: &CopyOrder, findings: &mut Findings) {
    let subject = || words_of(intent);
    let about = About { check: Check::Intents, subject: &subject, basis: "its decision says" };
    let IntentCause { key, part, .. } = intent.cause;
    let lane = match order.side {
        Side::Buy => Lane::Entries,
        Side::Sell => Lane::Exits,
    };
    findings.same(&about, "trade", words::trade(&key), words::trade(&record.key));
    findings.same(&about, "part", part, record.part);
    findings.same(&about, "relationship", intent.relationship, record.relationship);
    findings.same(&about, "owner", intent.owner, record.owner);
    findings.same(&about, "leader", intent.leader, record.key.leader);
    findings.same(&about, "token", intent.token, record.key.token);
    findings.same(&about, "side", intent.side, order.side);
    findings.same(&about, "lane", lane_name(intent.lane), lane_name(lane));
    findings.same(&about, "amount in millionths", intent.amount, order.amount);
    findings.same(&about, "limit", intent.limit, order.limit);
    findings.same(&about, "reserve", intent.reserve, order.reserve);
    findings.same(&about, "decision time", intent.decided_at, record.decided_at);
    if let DecisionInputs::Entry(inputs) = record.inputs {
        let age = format!("{:?}", intent.decided_at.since(intent.traded_at));
        findings.same(&about, "age at decision", age, format!("{:?}", inputs.age));
    }
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Entries => "entries",
        Lane::Exits => "exits",
    }
}

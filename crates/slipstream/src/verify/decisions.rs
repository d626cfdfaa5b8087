//! Every decision, computed again from what was stored with it.

use std::collections::HashMap;

use domain::{
    Side, Usd,
    decide::{Verdict, decide_entry, decide_exit, decide_sale},
    ids::{IntentId, RelationshipId},
    policy::Policy,
    skip::SkipReason,
    trade::{Action, GroupKey, PartKind},
};
use engine::ports::{
    detection::{DecisionInputs, StoredPart},
    reports::{DecisionRecord, Reports},
    store::StoreResult,
};

use super::{
    PAGE, Sources,
    facts::{Facts, Recent, intent_exists},
    report::{About, Check, Findings},
    targets::Targets,
    words,
};

/// Parts kept in memory.
const PARTS: usize = 256;
/// Policies kept in memory: all of an installation with that many followers.
const POLICIES: usize = 20_000;
/// Groups whose decisions are kept in memory.
const GROUPS: usize = 16;

/// What a decision should say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// This.
    Verdict(Verdict),
    /// One of these reasons, which rest on facts that are not kept (a pause, a hold, a balance that could
    /// not be read).
    OneOf(Vec<SkipReason>),
}

impl Expected {
    /// Verdicts are compared as they are stored: a reason's ages to the millisecond.
    fn allows(&self, found: &Verdict) -> bool {
        match (self, found) {
            (Self::Verdict(Verdict::Skip(expected)), Verdict::Skip(found)) => {
                expected.encode() == found.encode()
            }
            (Self::Verdict(expected), found) => expected == found,
            (Self::OneOf(reasons), Verdict::Skip(found)) => reasons.contains(found),
            (Self::OneOf(_), Verdict::Copy(_)) => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Verdict(verdict) => words::verdict(verdict),
            Self::OneOf(reasons) if reasons.is_empty() => "nothing that a decision could say".to_owned(),
            Self::OneOf(reasons) => {
                let labels: Vec<_> = reasons.iter().map(SkipReason::label).collect();
                format!("skip for one of: {}", labels.join(", "))
            }
        }
    }
}

/// What the part, the policy and the inputs give.
pub(super) fn expected(part: &StoredPart, policy: &Policy, inputs: &DecisionInputs) -> Expected {
    let uncomputable = Verdict::Skip(SkipReason::Uncomputable);
    let snapshot = &part.snapshot;
    let action = part.part.key.action;
    if let (PartKind::Trade, Some(reason), DecisionInputs::None) =
        (part.part.kind, action.never_copied(), inputs)
    {
        return Expected::Verdict(Verdict::Skip(reason));
    }
    let computed = match (part.part.kind, action.side(), inputs) {
        (PartKind::Settling, _, DecisionInputs::None) => Verdict::Skip(SkipReason::MaySettle),
        (PartKind::Dust, _, DecisionInputs::None) => Verdict::Skip(SkipReason::Dust),
        (PartKind::Absent, _, DecisionInputs::None) => Verdict::Skip(SkipReason::NotOnChain),
        (PartKind::Trade | PartKind::Target, Side::Buy, DecisionInputs::Entry(inputs))
            if action == Action::Buy =>
        {
            decide_entry(snapshot, policy, inputs).unwrap_or(uncomputable)
        }
        (PartKind::Trade | PartKind::Revisit, _, DecisionInputs::Exit(inputs, _)) if action.is_exit() => {
            decide_exit(snapshot, policy, inputs).unwrap_or(uncomputable)
        }
        (PartKind::Phantom, _, DecisionInputs::Exit(inputs, _)) if action == Action::Buy => {
            decide_exit(snapshot, policy, inputs).unwrap_or(uncomputable)
        }
        (PartKind::Panic, _, DecisionInputs::Exit(inputs, _)) if action == Action::Buy => {
            decide_sale(snapshot, policy, inputs).unwrap_or(uncomputable)
        }
        // A sync waits for the leader's balances as an exit does.
        (PartKind::Target, _, DecisionInputs::None) => return Expected::OneOf(uncomputed(Side::Sell)),
        (PartKind::Trade, side, DecisionInputs::None) => return Expected::OneOf(uncomputed(side)),
        _ => return Expected::OneOf(Vec::new()),
    };
    Expected::Verdict(computed)
}

/// Reasons that are given without computing anything.
fn uncomputed(side: Side) -> Vec<SkipReason> {
    let mut reasons = vec![SkipReason::NotActive, SkipReason::Held, SkipReason::Rewound];
    if side == Side::Sell {
        reasons.push(SkipReason::BalanceUnknown);
    }
    reasons
}

/// Checks every decision. `last` is the last intent that was joined; intents named beyond it are only
/// looked for.
pub(super) async fn check(
    sources: &Sources<'_>,
    facts: &Facts,
    last: IntentId,
    findings: &mut Findings,
) -> StoreResult<()> {
    let reports = sources.reports;
    let mut targets = Targets::of(sources);
    let mut reader = Reader {
        reports,
        parts: Recent::new(PARTS),
        policies: Recent::new(POLICIES),
        groups: Recent::new(GROUPS),
    };
    let mut after = 0;
    loop {
        let page = reports.decisions_after(None, after, PAGE).await?;
        let Some(newest) = page.last() else { return Ok(()) };
        after = newest.id;
        findings.compared(Check::Decisions, page.len());
        findings.compared(Check::OneAnswer, page.len());
        for record in &page {
            reader.check_verdict(record, facts, findings).await?;
            reader.check_group(record, findings).await?;
            targets.check(record, reader.kind_of(record), findings).await?;
            check_intent_named(reports, record, last, findings).await?;
        }
    }
}

/// A copy names an intent that exists, a skip names none.
async fn check_intent_named(
    reports: &dyn Reports,
    record: &DecisionRecord,
    last: IntentId,
    findings: &mut Findings,
) -> StoreResult<()> {
    let subject = || words::decision(record);
    let about = About { check: Check::Intents, subject: &subject, basis: "it should be" };
    match (record.verdict, record.intent) {
        (Verdict::Copy(_), None) => findings.wrong(&about, "its intent", "none", "there for a copy"),
        (Verdict::Skip(_), Some(id)) => {
            findings.wrong(&about, "its intent", &id.to_string(), "none for a skip");
        }
        (Verdict::Copy(_), Some(id)) if id > last && !intent_exists(reports, id).await? => {
            findings.wrong(&about, "its intent", &id.to_string(), "stored");
        }
        _ => {}
    }
    Ok(())
}

/// The decisions of one group: the first id of each answer, and what was copied.
#[derive(Default)]
struct Answers {
    first: HashMap<(u32, RelationshipId), i64>,
    copied: HashMap<RelationshipId, Vec<(u32, i64)>>,
}

impl Answers {
    fn of(mut records: Vec<DecisionRecord>) -> Self {
        let mut answers = Self::default();
        records.sort_by_key(|record| record.id);
        for record in records {
            let known = answers.first.insert((record.part, record.relationship), record.id);
            if let Some(first) = known {
                answers.first.insert((record.part, record.relationship), first);
            } else if let Verdict::Copy(order) = record.verdict {
                answers.copied.entry(record.relationship).or_default().push((record.part, order.amount));
            }
        }
        answers
    }

    /// What parts before `part` copied.
    fn before(&self, relationship: RelationshipId, part: u32) -> Usd {
        let copies = self.copied.get(&relationship).into_iter().flatten();
        copies.filter(|(number, _)| *number < part).map(|(_, amount)| Usd(*amount)).sum()
    }
}

struct Reader<'a> {
    reports: &'a dyn Reports,
    parts: Recent<(GroupKey, u32), Option<StoredPart>>,
    policies: Recent<(RelationshipId, i64), Option<Policy>>,
    groups: Recent<GroupKey, Answers>,
}

impl Reader<'_> {
    async fn check_verdict(
        &mut self,
        record: &DecisionRecord,
        facts: &Facts,
        findings: &mut Findings,
    ) -> StoreResult<()> {
        self.read(record).await?;
        let subject = || words::decision(record);
        let about = About { check: Check::Decisions, subject: &subject, basis: "it should be" };
        let owner = facts.owner_of(record.relationship);
        if owner != Some(record.owner) {
            findings.wrong(&about, "owner", &record.owner.to_string(), &words::option(owner));
        }
        let part = self.parts.get(&(record.key, record.part)).and_then(Option::as_ref);
        let policy = self.policies.get(&(record.relationship, record.policy_version));
        let entry = matches!(record.inputs, DecisionInputs::Entry(_));
        match (part, policy.and_then(Option::as_ref)) {
            (Some(_), Some(policy)) if entry && policy.of_newer_version => {
                let why =
                    "a newer version wrote a policy, with more than this one knows: verify with that version";
                findings.unknown(Check::Decisions, why.to_owned());
            }
            // By a process that did not know all of it.
            (Some(_), Some(_)) if entry && record.verdict == Verdict::Skip(SkipReason::NewerVersion) => {}
            (Some(part), Some(policy)) => {
                let expected = expected(part, policy, &record.inputs);
                if !expected.allows(&record.verdict) {
                    let about = About { basis: "its inputs give", ..about };
                    let found = words::verdict(&record.verdict);
                    findings.wrong(&about, "verdict", &found, &expected.words());
                }
            }
            (None, _) => findings.wrong(&about, "part", "not stored", "stored with its decision"),
            (_, None) => {
                let version = format!("version {} which is not stored", record.policy_version);
                findings.wrong(&about, "policy", &version, "stored with its decision");
            }
        }
        Ok(())
    }

    async fn check_group(&mut self, record: &DecisionRecord, findings: &mut Findings) -> StoreResult<()> {
        if self.groups.get(&record.key).is_none() {
            let records = self.reports.decisions_of(None, record.key).await?;
            self.groups.keep(record.key, Answers::of(records));
        }
        // A sync answers several trades.
        let own = self.kind_of(record) != Some(PartKind::Target);
        let Some(answers) = self.groups.get(&record.key) else { return Ok(()) };
        let subject = || words::decision(record);
        let about = About { check: Check::OneAnswer, subject: &subject, basis: "the first one is" };
        let first = answers.first.get(&(record.part, record.relationship)).copied();
        if first != Some(record.id) {
            findings.wrong(&about, "decision", &record.id.to_string(), &words::option(first));
        }
        if let (DecisionInputs::Entry(inputs), true) = (record.inputs, own) {
            let basis = "its earlier decisions sum to";
            let about = About { check: Check::Decisions, basis, ..about };
            let before = answers.before(record.relationship, record.part);
            findings.same(&about, "the amount decided before", inputs.decided_before, before);
        }
        Ok(())
    }

    /// What the part of a decision that was read asked for.
    fn kind_of(&mut self, record: &DecisionRecord) -> Option<PartKind> {
        let part = self.parts.get(&(record.key, record.part)).and_then(Option::as_ref);
        part.map(|stored| stored.part.kind)
    }

    async fn read(&mut self, record: &DecisionRecord) -> StoreResult<()> {
        let part = (record.key, record.part);
        if self.parts.get(&part).is_none() {
            self.parts.keep(part, self.reports.part(record.key, record.part).await?);
        }
        let policy = (record.relationship, record.policy_version);
        if self.policies.get(&policy).is_none() {
            self.policies.keep(policy, self.reports.policy(policy.0, policy.1).await?);
        }
        Ok(())
    }
}

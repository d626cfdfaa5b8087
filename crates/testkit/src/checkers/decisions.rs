//! Every trade part is answered once, and every copy is carried out or ended.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    decide::{CopyOrder, Verdict},
    ids::RelationshipId,
    trade::GroupKey,
};
use engine::ports::{
    detection::StoredPart,
    execution::{Intent, IntentCause},
    following::{Relationship, RelationshipStatus},
    reports::DecisionRecord,
};

use super::{Findings, Rule, facts::Facts};

type Answered = BTreeSet<(GroupKey, u32, RelationshipId)>;

pub(super) fn always(facts: &Facts, findings: &mut Findings) {
    let answered = one_decision(facts, findings);
    one_intent(facts, findings);
    no_lost_intent(facts, findings);
    every_follower_answered(facts, &answered, findings);
}

pub(super) fn at_rest(facts: &Facts, findings: &mut Findings) {
    for part in &facts.parts {
        findings.check(Rule::PartsComplete, part.complete, || {
            format!(
                "part {} of {:?} is decided up to {} only",
                part.part.number, part.part.key, part.decided_through
            )
        });
    }
}

fn one_decision(facts: &Facts, findings: &mut Findings) -> Answered {
    let mut answered = Answered::new();
    for row in &facts.decisions {
        let new = answered.insert((row.key, row.part, row.relationship));
        findings.check(Rule::OneDecision, new, || {
            format!("decision {} repeats (part {}, relationship {})", row.id, row.part, row.relationship)
        });
    }
    answered
}

fn one_intent(facts: &Facts, findings: &mut Findings) {
    let mut joined = BTreeMap::new();
    for row in &facts.decisions {
        let intent = row.intent.and_then(|id| facts.intents.get(&id));
        let fits = match (&row.verdict, intent) {
            (Verdict::Copy(order), Some(intent)) => is_of(intent, row, order),
            (Verdict::Copy(_), None) => false,
            (Verdict::Skip(_), _) => row.intent.is_none(),
        };
        findings.check(Rule::OneIntent, fits, || format!("{row:?} has the intent {intent:?}"));
        if let Some(other) = row.intent.and_then(|id| joined.insert(id, row.id)) {
            findings.check(Rule::OneIntent, false, || {
                format!("decisions {other} and {} share the intent {:?}", row.id, row.intent)
            });
        }
    }
    for id in facts.intents.keys() {
        let caused = joined.contains_key(id);
        findings.check(Rule::OneIntent, caused, || format!("intent {id} belongs to no decision"));
    }
}

fn is_of(intent: &Intent, row: &DecisionRecord, order: &CopyOrder) -> bool {
    intent.owner == row.owner
        && intent.relationship == row.relationship
        && intent.cause == IntentCause::Trade { key: row.key, part: row.part }
        && (intent.leader, intent.token) == (row.key.leader, row.key.token)
        && (intent.side, intent.amount, intent.limit, intent.reserve)
            == (order.side, order.amount, order.limit, order.reserve)
}

fn no_lost_intent(facts: &Facts, findings: &mut Findings) {
    for id in facts.intents.keys() {
        let (waits, ended) = (facts.waiting.contains(id), facts.ended.contains(id));
        let tried = !facts.orders_of(*id).is_empty();
        findings.check(Rule::NoLostIntent, waits || ended || tried, || {
            format!("intent {id} neither waits nor has ended, and has no attempt")
        });
        findings.check(Rule::NoLostIntent, !(waits && ended), || {
            format!("intent {id} waits although it has ended")
        });
    }
}

fn every_follower_answered(facts: &Facts, answered: &Answered, findings: &mut Findings) {
    for part in facts.parts.iter().filter(|part| part.complete && part.part.kind.asks_everybody()) {
        for relationship in facts.relationships.iter().filter(|known| was_there(known, part)) {
            let key = (part.part.key, part.part.number, relationship.id);
            findings.check(Rule::EveryFollowerAnswered, answered.contains(&key), || {
                format!("relationship {} has no decision on part {} of {:?}", relationship.id, key.1, key.0)
            });
        }
    }
}

/// Whether the relationship was surely there when the part was decided. One that is stopped now may have
/// been stopped then; one as young as the part may be younger.
fn was_there(relationship: &Relationship, part: &StoredPart) -> bool {
    relationship.leader == part.part.key.leader
        && relationship.status != RelationshipStatus::Stopped
        && relationship.since < part.seen_at
}

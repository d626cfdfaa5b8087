//! Every trade part is answered once, and every copy is carried out or ended.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    decide::{CopyOrder, Verdict},
    ids::{LeaderId, RelationshipId},
    trade::{GroupKey, Part},
};
use engine::ports::{
    detection::StoredPart,
    execution::Intent,
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
    skips_are_summed(facts, findings);
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
        && (intent.cause.key, intent.cause.part) == (row.key, row.part)
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

/// A part may lack as many answers as it gave up to the sums.
fn every_follower_answered(facts: &Facts, answered: &Answered, findings: &mut Findings) {
    for part in facts.parts.iter().filter(|part| part.complete && part.part.kind.asks_everybody()) {
        let Part { key, number, .. } = part.part;
        let followers = facts.relationships.iter().filter(|known| was_there(known, part));
        let missing: Vec<RelationshipId> =
            followers.map(|known| known.id).filter(|id| !answered.contains(&(key, number, *id))).collect();
        let given_up = facts.given_up.get(&(key, number)).copied().unwrap_or_default();
        let fits = usize::try_from(given_up).is_ok_and(|given_up| missing.len() <= given_up);
        findings.check(Rule::EveryFollowerAnswered, fits, || {
            format!("part {number} of {key:?} lacks decisions of {missing:?}; it gave up {given_up} skips")
        });
    }
}

/// What parts gave up is in the sums of their leaders' followers.
fn skips_are_summed(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<LeaderId, i64> = BTreeMap::new();
    for ((key, _), skips) in &facts.given_up {
        *sums.entry(key.leader).or_default() += skips;
    }
    for sum in &facts.skip_sums {
        let of = facts.relationships.iter().find(|known| known.id.0 == sum.key.relationship);
        let known = of.is_some_and(|of| of.owner == sum.owner) && sum.skips > 0;
        findings.check(Rule::SkipsAreSummed, known, || format!("{sum:?} is nobody's"));
        if let Some(of) = of {
            *sums.entry(of.leader).or_default() -= sum.skips;
        }
    }
    for (leader, rest) in sums {
        findings.check(Rule::SkipsAreSummed, rest == 0, || {
            format!("parts of leader {leader} gave up {rest} skips more than were summed")
        });
    }
}

/// Whether the relationship was surely there when the part was decided. One that is stopped now may have
/// been stopped then; one as young as the part may be younger.
fn was_there(relationship: &Relationship, part: &StoredPart) -> bool {
    relationship.leader == part.part.key.leader
        && relationship.status != RelationshipStatus::Stopped
        && relationship.since < part.seen_at
}

//! Skips that are old: what they said is gone with them, so neither their reasons nor their inputs can be computed
//! again. What is left must add up: each sum belongs to a relationship and its owner and names a reason, and the sums of
//! a leader's followers, together, are what the parts of its trades gave up.

use std::collections::BTreeMap;

use domain::{
    ids::{LeaderId, RelationshipId},
    skip::SkipReason,
};
use engine::ports::{
    reports::{Reports, SkipSumKey},
    store::StoreResult,
};

use super::{
    PAGE,
    facts::Facts,
    report::{About, Check, Findings},
    words,
};

/// Checks the sums.
pub(super) async fn check(reports: &dyn Reports, facts: &Facts, findings: &mut Findings) -> StoreResult<()> {
    let mut summed: BTreeMap<LeaderId, i64> = BTreeMap::new();
    let mut after = SkipSumKey::default();
    loop {
        let page = reports.skip_sums_after(None, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.key;
        findings.compared(Check::OneAnswer, page.len());
        for sum in &page {
            let SkipSumKey { relationship, day, reason } = sum.key;
            let subject =
                || format!("the sum of relationship {relationship}'s skips of day {day} for reason {reason}");
            let about = About { check: Check::OneAnswer, subject: &subject, basis: "it should be" };
            let relationship = RelationshipId(relationship);
            let owner = words::option(facts.owner_of(relationship));
            findings.same(&about, "owner", sum.owner.to_string(), owner);
            if SkipReason::label_of(reason).is_none() {
                findings.wrong(&about, "its reason", &reason.to_string(), "one that is known");
            }
            if sum.skips < 1 {
                findings.wrong(&about, "its number", &sum.skips.to_string(), "positive");
            }
            if let Some(leader) = facts.leader_of(relationship) {
                let total = summed.entry(leader).or_default();
                *total = total.saturating_add(sum.skips);
            }
        }
    }
    let given_up: BTreeMap<LeaderId, i64> = reports.summed_skips().await?.into_iter().collect();
    for leader in summed.keys().chain(given_up.keys().filter(|leader| !summed.contains_key(leader))) {
        let subject = || format!("followers of leader {leader}");
        let about =
            About { check: Check::OneAnswer, subject: &subject, basis: "the parts of its trades gave up" };
        let of = |totals: &BTreeMap<LeaderId, i64>| totals.get(leader).copied().unwrap_or_default();
        findings.same(&about, "the sum of their old skips", of(&summed), of(&given_up));
    }
    Ok(())
}

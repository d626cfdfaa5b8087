//! What followers should have kept at each exit, computed again: copied buys from the ledger, as far as it was
//! written then, times the leader's factors.
//!
//! A reorganisation replaces blocks of trades, and factors with them; a phantom may turn up. What a target was
//! computed from is then gone: the mark stored with the decision tells, and the target is counted, not compared.

use std::collections::BTreeMap;

use domain::{
    Shares, Side, Timestamp, TokenId,
    decide::{ExitInputs, Verdict},
    exits::{CopiedBuy, ExitFactor, buys_that_count, exit_target, mark_of_basis},
    ids::{IntentId, LeaderId, RelationshipId},
    trade::{Action, GroupKey, PartKind},
};
use engine::ports::{
    detection::{DecisionInputs, TargetBasis},
    reports::DecisionRecord,
    store::StoreResult,
};

use super::{
    Sources,
    facts::Recent,
    report::{About, Check, Findings},
    words,
};

/// Tokens whose copied buys are kept in memory.
const TOKENS: usize = 16;
/// Intents whose ledger rows are read at once.
const INTENTS: usize = 500;

/// A copied buy: the block of the leader's trade, and its bookings by ledger row.
struct Buy {
    block: i64,
    phantom: bool,
    booked: Vec<(i64, Shares)>,
}

/// What a leader's token went through.
struct History {
    /// By intent, the order in which they were counted.
    buys: BTreeMap<(RelationshipId, IntentId), Buy>,
    factors: Vec<ExitFactor>,
    /// Blocks of the leader's sales and merges; one without a block is after all others.
    sales: BTreeMap<GroupKey, i64>,
}

impl History {
    /// What a target at the sale `key` was computed from, if nothing was replaced since.
    fn basis(
        &self,
        relationship: RelationshipId,
        key: &GroupKey,
        through: i64,
    ) -> (Vec<CopiedBuy>, Vec<ExitFactor>) {
        let of_one = (relationship, IntentId(i64::MIN))..=(relationship, IntentId(i64::MAX));
        let buys = self.buys.range(of_one).map(|(_, buy)| {
            let then = buy.booked.iter().filter(|(row, _)| *row <= through).map(|(_, shares)| *shares);
            CopiedBuy { block: buy.block, filled: then.sum(), phantom: buy.phantom }
        });
        let sale = self.sales.get(key).copied().unwrap_or(i64::MAX);
        let factors = self.factors.iter().filter(|factor| factor.block <= sale);
        (buys.filter(|buy| buy.filled.is_positive()).collect(), factors.copied().collect())
    }
}

/// Recomputes targets.
pub(super) struct Targets<'a> {
    sources: &'a Sources<'a>,
    histories: Recent<(LeaderId, TokenId), History>,
}

impl<'a> Targets<'a> {
    pub(super) fn of(sources: &'a Sources<'a>) -> Self {
        Self { sources, histories: Recent::new(TOKENS) }
    }

    pub(super) async fn check(
        &mut self,
        record: &DecisionRecord,
        kind: Option<PartKind>,
        findings: &mut Findings,
    ) -> StoreResult<()> {
        let DecisionInputs::Exit(inputs, basis) = record.inputs else { return Ok(()) };
        let subject = || words::decision(record);
        let about = About { check: Check::Targets, subject: &subject, basis: "ledger and factors give" };
        if kind == Some(PartKind::Panic) {
            findings.compared(Check::Targets, 1);
            findings.same(
                &About { basis: "a panic keeps", ..about },
                "the target",
                inputs.target,
                Shares::ZERO,
            );
            return Ok(());
        }
        if basis == TargetBasis::default() {
            findings.compared(Check::Targets, 1);
            if inputs != ExitInputs::default() {
                findings.wrong(&about, "what it was computed from", "not stored", "a row of the ledger");
            }
            return Ok(());
        }
        let (leader, token) = (record.key.leader, record.key.token);
        if self.histories.get(&(leader, token)).is_none() {
            let history = self.read(leader, token, record.key).await?;
            self.histories.keep((leader, token), history);
        }
        let Some(history) = self.histories.get(&(leader, token)) else { return Ok(()) };
        let (buys, factors) = history.basis(record.relationship, &record.key, basis.ledger_through);
        let policy = self.sources.reports.policy(record.relationship, record.policy_version).await?;
        let buys = buys_that_count(&buys, policy.map(|policy| policy.phantoms).unwrap_or_default());
        if mark_of_basis(&buys, &factors) != basis.mark {
            findings.gone(Check::Targets);
            return Ok(());
        }
        findings.compared(Check::Targets, 1);
        let expected = exit_target(&buys, &factors).unwrap_or(inputs.held);
        findings.same(&about, "the target", inputs.target, expected);
        Ok(())
    }

    async fn read(&self, leader: LeaderId, token: TokenId, key: GroupKey) -> StoreResult<History> {
        let Sources { reports, detection, .. } = self.sources;
        let keys = [Action::Buy, Action::Sell, Action::Merge].map(|action| GroupKey { action, ..key });
        let mut history = History {
            buys: BTreeMap::new(),
            factors: detection.exit_basis(leader, token, Some(&[])).await?.factors,
            sales: BTreeMap::new(),
        };
        let groups = detection.groups(&keys, Timestamp::from_seconds(0)).await?;
        for group in groups {
            let block = group.block.unwrap_or(i64::MAX);
            if group.key.action.is_exit() {
                history.sales.insert(group.key, block);
                continue;
            }
            for decision in reports.decisions_of(None, group.key).await? {
                let synced =
                    reports.part(group.key, decision.part).await?.and_then(|part| part.snapshot.sync);
                let block = synced.map_or(block, |target| target.through.saturating_add(1));
                let Some(intent) = decision.intent else { continue };
                // What is sold of a phantom is no copy of it.
                if !matches!(decision.verdict, Verdict::Copy(order) if order.side == Side::Buy) {
                    continue;
                }
                let buy = Buy { block, phantom: group.is_phantom(), booked: Vec::new() };
                history.buys.insert((decision.relationship, intent), buy);
            }
        }
        let intents: Vec<IntentId> = history.buys.keys().map(|(_, intent)| *intent).collect();
        for some in intents.chunks(INTENTS) {
            for row in reports.ledger_of(None, some).await? {
                let (Some(relationship), Some(intent)) = (row.relationship, row.intent) else { continue };
                if let Some(buy) = history.buys.get_mut(&(relationship, intent)) {
                    buy.booked.push((row.id, row.entry.shares));
                }
            }
        }
        Ok(history)
    }
}

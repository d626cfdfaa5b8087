//! Commit 1: everything one step of the watcher makes true.

use std::collections::BTreeSet;

use domain::{
    Hash, OrderId, Side, Timestamp,
    decide::{CopyOrder, Verdict},
    ids::IntentId,
};
use engine::ports::{
    detection::{
        DetectionCommit, DetectionOutcome, ExitNote, ExitRevisit, IntentFacts, Lane, NewDecision, NextLook,
        QueuedIntent, StoredFill, StoredPart, StoredRedemption,
    },
    execution::{Intent, IntentCause},
    reports::DecisionRecord,
    store::{Lease, StoreError, StoreResult},
};

use super::state::{FillRow, RedemptionRow, RevisitRow, State, Work, WorkState};

impl State {
    pub(super) fn commit(
        &mut self,
        lease: &Lease,
        config_version: i64,
        commit: &DetectionCommit,
    ) -> StoreResult<DetectionOutcome> {
        if !self.holds_lease(lease) {
            return Err(StoreError::LeaseLost(lease.name.clone()));
        }
        if commit.rests_on_following() && config_version != self.config_version {
            return Ok(DetectionOutcome::ConfigChanged);
        }
        let intents = self.intents_of(&commit.decisions)?;
        self.committed();
        let news = self.orphan(&commit.orphaned);
        let more_news: BTreeSet<OrderId> =
            commit.fills.iter().filter(|fill| self.add_fill(fill)).map(|fill| fill.order).collect();
        // An order counts once however many of its fills changed.
        for order in news.union(&more_news) {
            self.note_news(order);
        }
        commit.redemptions.iter().for_each(|redemption| self.add_redemption(redemption));
        self.headers.extend(commit.headers.iter().map(|header| (header.number, *header)));
        self.cursors.extend(commit.cursors.iter().copied());
        self.groups.extend(commit.groups.iter().map(|group| (group.key, *group)));
        let factors = commit.factors.iter();
        self.factors
            .extend(factors.map(|(leader, token, factor)| ((*leader, *token, factor.block), *factor)));
        commit.exit_notes.iter().for_each(|note| self.note_exit(note));
        commit.revisited.iter().for_each(|(revisit, next)| self.revisited(revisit, *next));
        for note in &commit.missed {
            if !self
                .missed
                .iter()
                .any(|(known, _)| (known.relationship, known.key) == (note.relationship, note.key))
            {
                self.missed.push((*note, false));
            }
        }
        for (note, synced) in &mut self.missed {
            *synced |= commit.synced.contains(note);
        }
        commit.parts.iter().for_each(|part| self.add_part(part));
        self.markets.extend(commit.markets.iter().map(|market| (market.token, market.clone())));
        let mut waiting = Vec::new();
        for (decision, intent) in commit.decisions.iter().zip(intents) {
            waiting.extend(self.add_decision(decision, intent));
        }
        for event in &commit.events {
            self.events.insert(event.clone());
        }
        Ok(DetectionOutcome::Committed(waiting))
    }

    /// The intents the decisions would make, without their keys; an error before anything is written.
    fn intents_of(&self, decisions: &[NewDecision]) -> StoreResult<Vec<Option<Intent>>> {
        let one = |decision: &NewDecision| match (&decision.verdict, &decision.intent) {
            (Verdict::Copy(order), Some(facts)) => self.intent(decision, order, facts).map(Some),
            (Verdict::Skip(_), None) => Ok(None),
            _ => Err(StoreError::Conflict(format!(
                "the decision for relationship {} must have an intent exactly when it copies",
                decision.relationship
            ))),
        };
        decisions.iter().map(one).collect()
    }

    fn intent(&self, decision: &NewDecision, order: &CopyOrder, facts: &IntentFacts) -> StoreResult<Intent> {
        let account = self.own_account(decision.owner, facts.account)?;
        Ok(Intent {
            id: IntentId(0),
            owner: decision.owner,
            account: account.trading.clone(),
            relationship: decision.relationship,
            leader: decision.key.leader,
            cause: IntentCause { key: decision.key, part: decision.part, why: facts.why },
            lane: match order.side {
                Side::Buy => Lane::Entries,
                Side::Sell => Lane::Exits,
            },
            token: decision.key.token,
            condition: facts.condition,
            side: order.side,
            amount: order.amount,
            limit: order.limit,
            reserve: order.reserve,
            leader_price: facts.leader_price,
            traded_at: facts.traded_at,
            seen_at: facts.seen_at,
            decided_at: decision.decided_at,
            expires_at: facts.expires_at,
        })
    }

    /// Takes blocks off the canonical chain; returns the orders whose fills were in them.
    fn orphan(&mut self, blocks: &[Hash]) -> BTreeSet<OrderId> {
        let mut orders = BTreeSet::new();
        if blocks.is_empty() {
            return orders;
        }
        let gone: BTreeSet<i64> = self
            .headers
            .values()
            .filter(|known| blocks.contains(&known.hash))
            .map(|known| known.number)
            .collect();
        self.factors.retain(|(_, _, block), _| !gone.contains(block));
        self.headers.retain(|_, header| !blocks.contains(&header.hash));
        for ((block, _), row) in &mut self.fills {
            if row.canonical && blocks.contains(block) {
                row.canonical = false;
                orders.insert(row.fill.order);
            }
        }
        for ((block, _), row) in &mut self.redemptions {
            row.canonical &= !blocks.contains(block);
        }
        orders
    }

    /// Stores a fill or makes it canonical again; says whether that changed anything.
    fn add_fill(&mut self, fill: &StoredFill) -> bool {
        let key = (fill.block_hash, fill.log_index);
        self.fills_of_order.entry(fill.order).or_default().insert(key);
        let row = self.fills.entry(key).or_insert(FillRow { fill: *fill, canonical: false });
        !std::mem::replace(&mut row.canonical, true)
    }

    fn note_news(&mut self, order: &OrderId) {
        let Some(attempt) = self.order_keys.get(order) else { return };
        if let Some(row) = self.orders.get_mut(attempt.0) {
            row.news = true;
            row.version += 1;
        }
    }

    fn add_redemption(&mut self, redemption: &StoredRedemption) {
        let key = (redemption.block_hash, redemption.log_index);
        let new = RedemptionRow { redemption: *redemption, canonical: true, booked: false };
        self.redemptions.entry(key).or_insert(new).canonical = true;
    }

    /// Notes an exit to be looked at; the first note's due time stands.
    pub(super) fn note_exit(&mut self, note: &ExitNote) {
        let leader = self.relationships.get(note.relationship.0).map(|row| row.relationship.leader);
        let Some(leader) = leader else { return };
        let (owner, relationship, token) = (note.owner, note.relationship, note.token);
        self.revisits
            .entry((relationship, token))
            .or_insert(RevisitRow {
                revisit: ExitRevisit { owner, relationship, leader, token, tries: 0, version: 0 },
                due: note.due,
            })
            .revisit
            .version += 1;
    }

    fn revisited(&mut self, looked: &ExitRevisit, next: Option<NextLook>) {
        let key = (looked.relationship, looked.token);
        let Some(row) = self.revisits.get_mut(&key).filter(|row| row.revisit.version == looked.version)
        else {
            return;
        };
        match next {
            Some(NextLook { due, tries }) => {
                row.due = due;
                row.revisit.tries = tries;
                row.revisit.version += 1;
            }
            None => {
                self.revisits.remove(&key);
            }
        }
    }

    fn add_part(&mut self, part: &StoredPart) {
        let key = (part.part.key, part.part.number);
        match self.part_keys.get(&key).and_then(|id| self.parts.get_mut(*id)) {
            Some(known) => {
                if known.decided_through.0 == 0 && !known.complete {
                    known.snapshot.clone_from(&part.snapshot);
                }
                known.decided_through = known.decided_through.max(part.decided_through);
                known.complete |= part.complete;
            }
            None => {
                let id = self.parts.insert(part.clone());
                self.part_keys.insert(key, id);
            }
        }
    }

    /// Stores a decision that is new, with all that a copy needs; returns the intent of the *stored*
    /// decision if it waits.
    fn add_decision(&mut self, decision: &NewDecision, intent: Option<Intent>) -> Option<QueuedIntent> {
        let key = (decision.key, decision.part, decision.relationship);
        if let Some(id) = self.decision_keys.get(&key) {
            let intent = self.intents.get(self.decisions.get(*id)?.intent?.0)?;
            return self.waits(intent.id).then_some(QueuedIntent { id: intent.id, lane: intent.lane });
        }
        let queued = intent.map(|intent| self.add_intent(intent, decision.decided_at));
        let id = self.decisions.next_key();
        self.decisions.insert(DecisionRecord {
            id,
            key: decision.key,
            part: decision.part,
            relationship: decision.relationship,
            owner: decision.owner,
            policy_version: decision.policy_version,
            inputs: decision.inputs,
            verdict: decision.verdict,
            decided_at: decision.decided_at,
            intent: queued.map(|queued| queued.id),
        });
        self.decision_keys.insert(key, id);
        queued
    }

    fn add_intent(&mut self, mut intent: Intent, due: Timestamp) -> QueuedIntent {
        let id = IntentId(self.intents.next_key());
        intent.id = id;
        let lane = intent.lane;
        if intent.reserve.is_positive() {
            self.reservations.insert(id, intent.reserve);
        }
        self.intents.insert(intent);
        let state = WorkState::Waiting;
        self.work.insert(id, Work { state, lane, due, holder: None, until: due, fence: 0, failures: 0 });
        QueuedIntent { id, lane }
    }
}

//! From parts to decisions: commit 1, in chunks, chunks of different trades taking turns.

use std::collections::HashMap;

use domain::{
    Price, Side, Timestamp, TokenId, Usd,
    decide::{EntryInputs, TradeSnapshot, Verdict, decide_entry, decide_exit, decide_sale},
    exits::ExitFactor,
    ids::{LeaderId, RelationshipId},
    skip::SkipReason,
    trade::{GroupKey, Part, PartKind, TradeGroup},
};
use tracing::{debug, info, warn};

use super::{
    Watcher, WatcherError,
    following::{Blocked, Following},
    holders::{Holders, holders},
    markets::needs_market,
    revisits, syncing,
};
use crate::{
    crash_points, limits,
    market_cache::Rules,
    ports::{
        detection::{
            DecisionInputs, DetectionCommit, DetectionOutcome, ExitNote, IntentFacts, Lane, NewDecision,
            QueuedIntent, StoredPart,
        },
        execution::Why,
        following::Relationship,
        queue::End,
        store::{Event, EventKind, StoreError},
        venue::VenueError,
    },
};

/// What leaders kept of tokens, to be stored.
type Factors = Vec<(LeaderId, TokenId, ExitFactor)>;

/// A part on its way to decisions.
pub(super) struct Pending {
    pub stored: StoredPart,
    pub group: TradeGroup,
    pub basis: Basis,
    /// Orders decided so far, to choose the end of the queue.
    pub orders: usize,
    /// Not stored yet: its first commit announces it.
    pub new: bool,
    /// Parts that build on each other are decided in this order.
    pub sequence: u64,
}

impl Pending {
    /// What its decisions build on: an entry on earlier parts of its group, an exit on everything that is
    /// being bought and sold of the token.
    pub fn builds_on(&self, earlier: &Self) -> bool {
        earlier.sequence < self.sequence && builds_on(&self.stored.part, &earlier.stored.part.key)
    }
}

/// Whether the decisions of `part` count what is known and decided of the group `other`: an exit counts
/// buys, those that may still fill and the blocks of their leader's trades too.
pub(super) fn builds_on(part: &Part, other: &GroupKey) -> bool {
    if part.key.action.is_exit() {
        (part.key.leader, part.key.token) == (other.leader, other.token)
    } else {
        part.key == *other
    }
}

/// What the decisions of a part are computed from, beyond its snapshot.
pub(super) enum Basis {
    /// An entry: what earlier parts decided.
    Entry(HashMap<RelationshipId, Usd>),
    /// An exit: what followers hold and how far the leader's balance fell.
    Exit(Holders),
    /// Not now: an earlier part it builds on is still being decided, or balances cannot be read. Computed
    /// when its turn comes.
    Later,
    /// Not before the venue can be asked for the market, or the time is over.
    Market,
    /// Nothing to compute: one reason for all.
    Skip(SkipReason),
}

impl Watcher {
    /// Builds what a new part is decided from. Returns the leader's factors to store with it. `later` leaves
    /// its basis for when its turn comes.
    pub(super) async fn prepare(
        &self,
        part: Part,
        group: &TradeGroup,
        own_order: bool,
        later: bool,
    ) -> Result<(Pending, Factors), WatcherError> {
        let now = self.clock.now();
        let (rules, top) = self.rules_and_top(part.key.token, Lane::of(part.key.action)).await?;
        let unanswered = matches!(rules, Rules::Unanswered);
        let market = rules.known();
        let stored = StoredPart {
            part,
            seen_at: now,
            snapshot: TradeSnapshot { whole: group.copied_quantity()?, market, top, own_order, sync: None },
            decided_through: RelationshipId(0),
            complete: false,
        };
        let (basis, factors) = if unanswered && needs_market(&stored) && self.has_room_to_wait() {
            (Basis::Market, Factors::new())
        } else if later {
            (Basis::Later, Factors::new())
        } else {
            self.basis(&stored, group).await?
        };
        Ok((Pending { stored, group: *group, basis, orders: 0, new: true, sequence: 0 }, factors))
    }

    pub(super) async fn basis(
        &self,
        stored: &StoredPart,
        group: &TradeGroup,
    ) -> Result<(Basis, Factors), WatcherError> {
        let part = stored.part;
        let basis = match (part.kind, part.key.action.never_copied()) {
            // Nobody is asked about the others but those they are stored with.
            (PartKind::Settling | PartKind::Phantom | PartKind::Target | PartKind::Panic, _) => {
                Basis::Skip(SkipReason::MaySettle)
            }
            (PartKind::Dust, _) => Basis::Skip(SkipReason::Dust),
            (PartKind::Absent, _) => Basis::Skip(SkipReason::NotOnChain),
            (PartKind::Trade | PartKind::Revisit, Some(reason)) => Basis::Skip(reason),
            (PartKind::Trade | PartKind::Revisit, None) if part.key.action.is_exit() => {
                return self.exit_basis(stored, group).await;
            }
            (PartKind::Trade | PartKind::Revisit, None) => Basis::Entry(self.decided_before(part).await?),
        };
        Ok((basis, Factors::new()))
    }

    async fn decided_before(&self, part: Part) -> Result<HashMap<RelationshipId, Usd>, WatcherError> {
        if part.number == 0 {
            return Ok(HashMap::new());
        }
        let before = self.store.decided_before(part.key, part.number).await?;
        Ok(before.into_iter().map(|line| (line.relationship, Usd(line.amount))).collect())
    }

    async fn exit_basis(
        &self,
        stored: &StoredPart,
        group: &TradeGroup,
    ) -> Result<(Basis, Factors), WatcherError> {
        let (key, none) = (stored.part.key, Factors::new());
        let Some(block) = group.block else { return Ok((Basis::Later, none)) };
        let factors = match self.leader_factors(group, block).await {
            Ok(Some(factors)) => factors,
            // Others are being asked.
            Ok(None) => return Ok((Basis::Later, none)),
            Err(VenueError::Refused { reason, .. }) => {
                warn!(%reason, tx = %key.tx, "balances of the leader are not available");
                return Ok((Basis::Skip(SkipReason::BalanceUnknown), none));
            }
            Err(error) if self.clock.now().since(stored.seen_at) > limits::BALANCE_PATIENCE => {
                warn!(%error, tx = %key.tx, "balances of the leader could not be read for too long");
                return Ok((Basis::Skip(SkipReason::BalanceUnknown), none));
            }
            Err(error) => {
                debug!(%error, tx = %key.tx, "balances of the leader cannot be read, or nobody else has told them yet");
                return Ok((Basis::Later, none));
            }
        };
        let stored_basis = self.store.exit_basis(key.leader, key.token, None).await?;
        let holders = holders(&stored_basis, &factors, |id| self.phantom_rule(key.leader, id));
        let factors = factors.into_iter().map(|factor| (key.leader, key.token, factor));
        Ok((Basis::Exit(holders), factors.collect()))
    }

    /// Commits `base` with the first chunk of each part's decisions; parts that need more chunks stay
    /// pending. Returns when the store has it, whatever it takes of repeating.
    pub(super) async fn commit_parts(
        &mut self,
        base: DetectionCommit,
        mut parts: Vec<Pending>,
    ) -> Result<(), WatcherError> {
        for pending in parts.iter_mut().filter(|pending| pending.new) {
            self.sequence += 1;
            pending.sequence = self.sequence;
        }
        loop {
            let now = self.clock.now();
            let following = self.following().await?;
            let mut commit = base.clone();
            let mut room = limits::DECISION_CHUNK;
            let mut progress = Vec::with_capacity(parts.len());
            for pending in &parts {
                let chunk = decide_chunk(following, pending, room, now);
                room = room.saturating_sub(chunk.decisions.len());
                commit.parts.push(chunk.progress.clone());
                commit.markets.extend(pending.stored.snapshot.market.clone());
                commit.events.extend(seen_event(pending, now));
                commit.exit_notes.extend(chunk.notes);
                commit.missed.extend(chunk.decisions.iter().filter_map(syncing::missed));
                progress.push((chunk.progress, chunk.copies));
                commit.decisions.extend(chunk.decisions);
            }
            let version = following.config_version;
            crash_points::reach("detection.before_commit");
            let outcome = self.commit_until_known(version, &commit).await?;
            crash_points::reach("detection.after_commit");
            match outcome {
                DetectionOutcome::ConfigChanged => self.forget_following(),
                DetectionOutcome::Committed(queued) => {
                    for (pending, (stored, copies)) in parts.iter_mut().zip(progress) {
                        pending.stored = stored;
                        pending.orders += copies;
                        pending.new = false;
                    }
                    self.ring(&queued, parts.iter().map(|pending| pending.orders).max().unwrap_or(0)).await;
                    crash_points::reach("detection.after_push");
                    self.pending.extend(parts.into_iter().filter(|pending| !pending.stored.complete));
                    return Ok(());
                }
            }
        }
    }

    /// One chunk of the part whose turn it is. `false` when nothing could be decided.
    pub(super) async fn decide_next_chunk(&mut self) -> Result<bool, WatcherError> {
        let waits = |one: &Pending| {
            matches!(one.basis, Basis::Market) || self.pending.iter().any(|other| one.builds_on(other))
        };
        let Some(turn) = self.pending.iter().position(|one| !waits(one)) else { return Ok(false) };
        let Some(pending) = self.pending.remove(turn) else { return Ok(false) };
        let result = self.decide_chunk_of(pending).await;
        if result.is_err() {
            // What was pending is read again from the store.
            self.recovered = false;
        }
        result
    }

    async fn decide_chunk_of(&mut self, mut pending: Pending) -> Result<bool, WatcherError> {
        let mut base = DetectionCommit::default();
        if matches!(pending.basis, Basis::Later) {
            // It may be in another block by now.
            let key = pending.stored.part.key;
            let stored = self.store.groups(&[key], self.clock.now()).await?;
            pending.group = stored.into_iter().find(|group| group.key == key).unwrap_or(pending.group);
            let (basis, factors) = self.basis(&pending.stored, &pending.group).await?;
            base.factors.extend(factors);
            pending.basis = basis;
            if matches!(pending.basis, Basis::Later) {
                self.pending.push_back(pending);
                return Ok(false);
            }
            if matches!(pending.basis, Basis::Skip(SkipReason::BalanceUnknown)) {
                // Given up for now: whoever still holds the token is looked at until they can be read.
                base.exit_notes = self.exit_notes([(key.leader, key.token)].into(), self.clock.now()).await?;
            }
        }
        self.commit_parts(base, vec![pending]).await.map(|()| true)
    }

    /// Commits; after a lost answer commits the same again, which leaves what is stored as it is.
    pub(super) async fn commit_until_known(
        &mut self,
        version: i64,
        commit: &DetectionCommit,
    ) -> Result<DetectionOutcome, WatcherError> {
        let lease = self.lease.clone().ok_or(WatcherError::NotActive)?;
        loop {
            match self.store.commit_detection(&lease, version, commit).await {
                Err(StoreError::OutcomeUnknown(reason)) => {
                    warn!(%reason, "answer to commit 1 was lost; committing the same again");
                    self.forget_following();
                    self.clock.sleep(std::time::Duration::from_millis(100)).await;
                }
                Err(error) => {
                    self.forget_following();
                    // An earlier try may have taken effect: which blocks are read, and what is undecided, is what the
                    // store says.
                    self.headers.clear();
                    self.recovered = false;
                    self.renewed_at = None;
                    return Err(error.into());
                }
                Ok(outcome) => return Ok(outcome),
            }
        }
    }

    /// Rings the doorbell. A queue that cannot be reached is the rescuer's business.
    pub(super) async fn ring(&self, queued: &[QueuedIntent], orders_of_trade: usize) {
        if queued.is_empty() {
            return;
        }
        let end = if orders_of_trade <= limits::SMALL_TRADE { End::Serving } else { End::Far };
        if let Err(error) = self.queue.push(queued, end).await {
            warn!(%error, intents = queued.len(), "intents wait in the store; the queue could not be told");
        }
    }
}

fn seen_event(pending: &Pending, now: Timestamp) -> Option<Event> {
    let part = pending.stored.part;
    pending.new.then(|| {
        info!(trade.tx = %part.key.tx, part = part.number, shares = %part.added, action = %part.key.action,
            "leader {} moves {} in {} ({})", part.key.leader, part.added, part.key.tx, part.key.action);
        let kind = EventKind::TradeSeen { key: part.key, part: part.number, shares: part.added };
        Event { owner: None, at: now, kind }
    })
}

struct Chunk {
    decisions: Vec<NewDecision>,
    notes: Vec<ExitNote>,
    progress: StoredPart,
    copies: usize,
}

/// Decides for at most `room` followers, in the order of their relationships.
fn decide_chunk(following: &mut Following, pending: &Pending, room: usize, now: Timestamp) -> Chunk {
    let part = pending.stored.part;
    let mut progress = pending.stored.clone();
    if matches!(pending.basis, Basis::Later | Basis::Market) {
        return Chunk { decisions: Vec::new(), notes: Vec::new(), progress, copies: 0 };
    }
    let followers: Vec<Relationship> = following
        .followers(part.key.leader, progress.decided_through, pending.group.traded_at)
        .take(room.saturating_add(1))
        .cloned()
        .collect();
    progress.complete = followers.len() <= room;
    let followers: Vec<Relationship> = followers.into_iter().take(room).collect();
    progress.decided_through = followers.last().map_or(progress.decided_through, |last| last.id);
    let decisions = decide_followers(following, pending, &followers, now);
    let notes = match &pending.basis {
        Basis::Exit(holders) => followers
            .iter()
            .zip(&decisions)
            .filter_map(|(relationship, decision)| {
                let holder = holders.get(&relationship.id)?;
                revisits::note(relationship, part.key.token, holder, &decision.verdict, now)
            })
            .collect(),
        _ => Vec::new(),
    };
    let copies = decisions.iter().filter(|decision| decision.intent.is_some()).count();
    Chunk { decisions, notes, progress, copies }
}

/// Decides for these followers, in their order.
pub(super) fn decide_followers(
    following: &mut Following,
    pending: &Pending,
    followers: &[Relationship],
    now: Timestamp,
) -> Vec<NewDecision> {
    let part = pending.stored.part;
    let mut decisions = Vec::with_capacity(followers.len());
    for relationship in followers {
        let (inputs, verdict) = decide_one(following, pending, relationship, now);
        let intent = intent_facts(following, pending, relationship, &verdict, now);
        decisions.push(NewDecision {
            key: part.key,
            part: part.number,
            relationship: relationship.id,
            owner: relationship.owner,
            policy_version: relationship.policy_version,
            inputs,
            verdict,
            decided_at: now,
            intent,
        });
    }
    decisions
}

fn decide_one(
    following: &Following,
    pending: &Pending,
    relationship: &Relationship,
    now: Timestamp,
) -> (DecisionInputs, Verdict) {
    let side = match pending.basis {
        Basis::Exit(_) => Side::Sell,
        _ => pending.stored.part.key.action.side(),
    };
    let skip = |reason| (DecisionInputs::None, Verdict::Skip(reason));
    if let Basis::Skip(reason) = pending.basis {
        return skip(reason);
    }
    match following.blocked(relationship, side, now) {
        Some(Blocked::User) => return skip(SkipReason::NotActive),
        Some(Blocked::Hold) => return skip(SkipReason::Held),
        Some(Blocked::Rewind) => return skip(SkipReason::Rewound),
        None => {}
    }
    let snapshot = &pending.stored.snapshot;
    let uncomputable = Verdict::Skip(SkipReason::Uncomputable);
    match &pending.basis {
        Basis::Entry(before) => {
            let condition = snapshot.market.as_ref().map(|market| market.condition);
            let before = before.get(&relationship.id).copied().unwrap_or(Usd::ZERO);
            let age = now.since(pending.group.traded_at);
            let inputs = EntryInputs { age, ..following.entry_inputs(relationship, condition, before) };
            let verdict = decide_entry(snapshot, &relationship.policy, &inputs).unwrap_or(uncomputable);
            (DecisionInputs::Entry(inputs), verdict)
        }
        Basis::Exit(holders) => {
            let holder = holders.get(&relationship.id);
            let (inputs, basis) = holder.map(|holder| (holder.inputs, holder.basis)).unwrap_or_default();
            let decide = match pending.stored.part.kind {
                PartKind::Panic => decide_sale,
                _ => decide_exit,
            };
            let verdict = decide(snapshot, &relationship.policy, &inputs).unwrap_or(uncomputable);
            (DecisionInputs::Exit(inputs, basis), verdict)
        }
        Basis::Skip(_) | Basis::Later | Basis::Market => skip(SkipReason::BalanceUnknown),
    }
}

/// The intent of a copy; notes its reservation in memory.
fn intent_facts(
    following: &mut Following,
    pending: &Pending,
    relationship: &Relationship,
    verdict: &Verdict,
    now: Timestamp,
) -> Option<IntentFacts> {
    let Verdict::Copy(order) = verdict else { return None };
    let condition = pending.stored.snapshot.market.as_ref()?.condition;
    following.reserve(relationship.id, relationship.account, condition, order.reserve);
    let entry = order.side == Side::Buy;
    let snapshot = &pending.stored.snapshot;
    let leader_price = match pending.stored.part.kind {
        // The leader did not sell.
        PartKind::Phantom | PartKind::Panic => Price::default(),
        PartKind::Target => snapshot.whole.price().unwrap_or_default(),
        _ => super::groups::price_of(&pending.group),
    };
    let why = match (pending.stored.part.kind, snapshot.sync) {
        (PartKind::Panic, _) => Why::Panic,
        (_, Some(target)) => Why::Target { through: target.through },
        _ => Why::Trade,
    };
    let (traded_at, maximum) = (pending.group.traded_at, relationship.policy.maximum_age);
    // What is late by its trade is young by its decision.
    let from = if now.since(traded_at) > maximum { now } else { traded_at };
    Some(IntentFacts {
        why,
        account: relationship.account,
        condition,
        leader_price,
        traded_at,
        seen_at: pending.stored.seen_at,
        expires_at: entry.then(|| from.plus(maximum)),
    })
}

//! Syncs: buys that were found too late are not copied one by one; once everything up to now was read, followers who
//! want it buy what the leader still holds of them ([`domain::downtime`]).
//!
//! Such a buy leaves a note with its decision ([`SkipReason::LeftToSync`]). The notes of a token are answered by one
//! decision for each follower, which belongs to the newest of these buys, as a part of its own
//! ([`PartKind::Target`]), and is committed with the end of the notes: once, whatever happens in between.

use std::collections::{BTreeMap, HashMap};

use domain::{
    TokenId, Usd,
    decide::{TradeSnapshot, Verdict},
    downtime::{MissedBuy, still_held},
    exits::ExitFactor,
    ids::{LeaderId, RelationshipId},
    skip::SkipReason,
    trade::{GroupKey, PartKind, TradeGroup},
};
use tracing::{debug, info};

use super::{
    Watcher, WatcherError,
    deciding::{Basis, Pending, decide_followers},
    holders::take_newer,
};
use crate::{
    limits,
    market_cache::Rules,
    ports::{
        detection::{DetectionCommit, DetectionOutcome, Lane, MissedNote, NewDecision, StoredPart},
        following::Relationship,
    },
};

/// The buys of a token that were missed, and by whom.
type Missed = BTreeMap<Vec<GroupKey>, Vec<MissedNote>>;

/// The note that a decision leaves.
pub(super) fn missed(decision: &NewDecision) -> Option<MissedNote> {
    let NewDecision { owner, relationship, key, .. } = *decision;
    let left = matches!(decision.verdict, Verdict::Skip(SkipReason::LeftToSync));
    left.then_some(MissedNote { owner, relationship, key })
}

impl Watcher {
    /// Decides syncs. Called when the chain has nothing new: what leaders sold up to now is known, or is being decided.
    /// Returns whether anything was decided.
    pub(super) async fn sync_step(&mut self) -> Result<bool, WatcherError> {
        let uptime = self.clock.uptime();
        if self.synced.is_some_and(|at| uptime.saturating_sub(at) < limits::SYNC_EVERY) {
            return Ok(false);
        }
        self.synced = Some(uptime);
        let now = self.clock.now();
        if self.chain.is_some() && self.head_time.is_none_or(|time| now.since(time) > limits::SYNC_HEAD_AGE) {
            return Ok(false);
        }
        let mut due: BTreeMap<(LeaderId, TokenId), BTreeMap<RelationshipId, Vec<MissedNote>>> =
            BTreeMap::new();
        for note in self.store.missed_buys(limits::SYNC_BATCH).await? {
            let of_token = due.entry((note.key.leader, note.key.token)).or_default();
            of_token.entry(note.relationship).or_default().push(note);
        }
        let mut decided = false;
        for ((leader, token), by_relationship) in due {
            let mut missed = Missed::new();
            for mut notes in by_relationship.into_values() {
                notes.sort_unstable();
                missed.entry(notes.iter().map(|note| note.key).collect()).or_default().extend(notes);
            }
            decided |= self.sync(leader, token, missed).await?;
        }
        Ok(decided)
    }

    async fn sync(&mut self, leader: LeaderId, token: TokenId, missed: Missed) -> Result<bool, WatcherError> {
        let of_token = |key: &GroupKey| (key.leader, key.token) == (leader, token);
        if self.pending.iter().any(|pending| of_token(&pending.stored.part.key)) {
            // It may be a sale, or one more buy.
            return Ok(false);
        }
        let buys = self.buys_of(leader, token).await?;
        let buys: HashMap<GroupKey, TradeGroup> = buys.into_iter().map(|buy| (buy.key, buy)).collect();
        let mut known = self.store.exit_basis(leader, token, Some(&[])).await?.factors;
        let sale = self.store.newest_sale(leader, token).await?;
        let mut commit = DetectionCommit::default();
        if let Some(sale) = &sale {
            let (read, unread) = self.read_again(sale, &known).await?;
            if unread {
                debug!(%token, "a sync waits for what the leader kept");
                return Ok(false);
            }
            commit.factors.extend(read.iter().map(|factor| (leader, token, *factor)));
            take_newer(&mut known, &read);
        }
        let mut decided = false;
        for (keys, notes) in missed {
            let missed: Vec<TradeGroup> = keys.iter().filter_map(|key| buys.get(key).copied()).collect();
            let on_chain = |buy: &TradeGroup| buy.block.is_some() || buy.is_phantom();
            if missed.len() == keys.len() && missed.iter().all(on_chain) {
                decided |= self.sync_some(&missed, &notes, &known, commit.clone()).await?;
            }
        }
        Ok(decided)
    }

    /// Decides for those who missed the same buys.
    async fn sync_some(
        &mut self,
        missed: &[TradeGroup],
        notes: &[MissedNote],
        factors: &[ExitFactor],
        mut commit: DetectionCommit,
    ) -> Result<bool, WatcherError> {
        let newest = missed.iter().max_by_key(|buy| (buy.block, buy.traded_at, buy.key));
        let Some(mut cause) = newest.copied() else { return Ok(false) };
        let (rules, top) = self.rules_and_top(cause.key.token, Lane::Entries).await?;
        if matches!(rules, Rules::Unanswered) {
            return Ok(false);
        }
        let now = self.clock.now();
        let (whole, target) = {
            let counts = missed.iter().filter(|buy| !buy.is_phantom());
            let buys = counts.filter_map(|buy| Some((buy.copied_quantity(), buy.block?)));
            let buys: Result<Vec<MissedBuy>, _> = buys
                .map(|(quantity, block)| quantity.map(|quantity| MissedBuy { quantity, block }))
                .collect();
            still_held(&buys?, factors)?
        };
        let part = cause.ask_some(PartKind::Target)?;
        let snapshot =
            TradeSnapshot { whole, market: rules.known(), top, own_order: false, sync: Some(target) };
        commit.markets.extend(snapshot.market.clone());
        let basis = if self.sale_is_unknown(&cause, missed, factors).await? {
            Basis::Skip(SkipReason::BalanceUnknown)
        } else {
            Basis::Entry(self.decided_so_far(missed).await?)
        };
        let stored = StoredPart {
            part,
            seen_at: now,
            snapshot,
            decided_through: RelationshipId(i64::MAX),
            complete: true,
        };
        let pending = Pending { stored, group: cause, basis, orders: 0, new: false, sequence: self.sequence };
        let following = self.following().await?;
        let mut ids: Vec<RelationshipId> = notes.iter().map(|note| note.relationship).collect();
        ids.dedup();
        let wanted: Vec<Relationship> =
            ids.iter().filter_map(|id| following.relationship(cause.key.leader, *id).cloned()).collect();
        commit.decisions = decide_followers(following, &pending, &wanted, now);
        let version = following.config_version;
        for decision in &commit.decisions {
            info!(relationship = %decision.relationship, token = %cause.key.token,
                "relationship {} syncs with {} shares that the leader still holds", decision.relationship, whole.shares);
        }
        commit.synced = notes.to_vec();
        commit.groups.push(cause);
        commit.parts.push(pending.stored);
        match self.commit_until_known(version, &commit).await? {
            DetectionOutcome::ConfigChanged => {
                self.forget_following();
                Ok(false)
            }
            DetectionOutcome::Committed(queued) => {
                self.ring(&queued, queued.len()).await;
                Ok(true)
            }
        }
    }

    /// Whether the leader sold in the block of one of these buys or later, and nobody ever told how much of it.
    async fn sale_is_unknown(
        &self,
        cause: &TradeGroup,
        missed: &[TradeGroup],
        factors: &[ExitFactor],
    ) -> Result<bool, WatcherError> {
        let first = missed.iter().filter_map(|buy| buy.block).min();
        let sales = self.sales_of(cause.key).await?;
        Ok(sales.iter().any(|sale| {
            let later = sale.parts > 0 && sale.quantity().shares.is_positive() && sale.block >= first;
            later && !factors.iter().any(|factor| Some(factor.block) == sale.block)
        }))
    }

    /// Dollars that parts of these buys decided for each follower.
    async fn decided_so_far(
        &self,
        missed: &[TradeGroup],
    ) -> Result<HashMap<RelationshipId, Usd>, WatcherError> {
        let mut sums: HashMap<RelationshipId, Usd> = HashMap::new();
        for buy in missed {
            for line in self.store.decided_before(buy.key, buy.parts).await? {
                let sum = sums.entry(line.relationship).or_default();
                *sum = sum.plus(Usd(line.amount))?;
            }
        }
        Ok(sums)
    }
}

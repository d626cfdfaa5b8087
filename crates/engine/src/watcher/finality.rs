//! Judging groups: final, dust, phantom.

use std::collections::BTreeSet;

use domain::{
    Timestamp,
    money::LOT,
    trade::{PHANTOM_AFTER, SURPLUS_WINDOW, TradeGroup},
};
use tracing::warn;

use super::{Watcher, WatcherError};
use crate::{
    limits,
    ports::{
        detection::{DetectionCommit, Source},
        store::{Event, EventKind},
        venue::{BlockHeader, ChainReader},
    },
};

impl Watcher {
    /// Follows the finalized block. Without a chain nothing is ever final and nothing a phantom.
    pub(super) async fn finality_step(&mut self) -> Result<bool, WatcherError> {
        let Some(chain) = self.chain.clone() else { return Ok(false) };
        // What is not in the blocks that were read is overdue by their time: while the head rises and nobody can read
        // what is in them, nothing is.
        let Some(read_time) = self.headers.back().map(|newest| newest.time) else { return Ok(false) };
        let Some(read_to) = self.store.cursor(Source::Chain).await? else { return Ok(false) };
        // What is final and what is overdue changes with what is read.
        if self.judged_at == Some((read_time, read_to)) {
            return Ok(false);
        }
        let finalized = self.call("finalized", chain.finalized()).await?;
        // Only what was read can be judged, and only on the branch that is final.
        let known = match self.finalized {
            Some(known) => Some(known),
            None => self.store.cursor(Source::Finalized).await?,
        };
        // A provider that lags takes back nothing.
        let height = finalized.number.min(read_to).max(known.unwrap_or_default());
        if !self.is_of_our_branch(chain.as_ref(), finalized, height).await? {
            return Ok(false);
        }
        let hinted_before = read_time.minus(PHANTOM_AFTER);
        let groups = self.store.unsettled_groups(height, hinted_before, limits::FINALITY_BATCH).await?;
        let advanced = self.finalized != Some(height);
        if groups.is_empty() && !advanced {
            self.judged_at = Some((read_time, read_to));
            return Ok(false);
        }
        let now = self.clock.now();
        let mut commit =
            DetectionCommit { cursors: vec![(Source::Finalized, height)], ..DetectionCommit::default() };
        let mut pending = Vec::new();
        let mut phantoms = BTreeSet::new();
        for mut group in groups {
            let before = group;
            let in_final_block = group.chain.is_some() && group.block.is_some_and(|block| block <= height);
            let dust = if in_final_block { group.finalize()? } else { None };
            if !in_final_block && group.expire(read_time) {
                // Before anybody is told, and before another trade is taken for it: the provider that was read may lack it.
                let kept = self.headers.front().is_some_and(|oldest| group.traded_at >= oldest.time);
                if kept && self.look_for(&before).await? {
                    return Ok(true);
                }
                let missing = kept && self.is_missing(&group).await?;
                // Followers may hold copies of it: later sales of the leader count for them.
                group.block = group.block.or_else(|| self.height_at(group.traded_at));
                phantoms.insert((group.key.leader, group.key.token));
                if missing {
                    self.sources.denied(group.key, now);
                }
                // What another group has inherited was copied, under another hash.
                if before.surplus().is_positive() || missing {
                    commit.events.push(phantom(&group, now));
                }
                if missing && before.parts == 0 {
                    // Followers keep what they hold and buy nothing, and are told why.
                    let part = group.answer_absent()?;
                    let (prepared, _) = self.prepare(part, &group, false, false).await?;
                    pending.push(prepared);
                }
            }
            if let Some(part) = dust {
                let (prepared, _) = self.prepare(part, &group, false, false).await?;
                pending.push(prepared);
            }
            if group != before {
                commit.groups.push(group);
            }
        }
        commit.exit_notes = self.exit_notes(phantoms, now).await?;
        let judged = !commit.groups.is_empty();
        let nothing_to_judge = !judged && pending.is_empty();
        self.commit_parts(commit, pending).await?;
        self.finalized = Some(height);
        if nothing_to_judge {
            self.judged_at = Some((read_time, read_to));
        }
        Ok(judged)
    }

    /// Whether no trade of the blocks we keep, which should have this one, is this one under another hash.
    async fn is_missing(&self, group: &TradeGroup) -> Result<bool, WatcherError> {
        let since = group.first_seen_at.minus(SURPLUS_WINDOW);
        let related = self.store.groups(&[group.key], since).await?;
        let least = group.hinted().shares.less(LOT);
        let same = |other: &TradeGroup| {
            let settled = other.chain.is_some_and(|chain| chain.shares >= least);
            other.key != group.key && settled
        };
        Ok(!related.iter().any(same))
    }

    /// Whether our block at `height` is an ancestor of the finalized one. A height we keep no header of is
    /// deeper than any reorganisation that is followed.
    async fn is_of_our_branch(
        &self,
        chain: &dyn ChainReader,
        finalized: BlockHeader,
        height: i64,
    ) -> Result<bool, WatcherError> {
        let Some(ours) = self.header_at(height).copied() else { return Ok(true) };
        let theirs = if finalized.number == height {
            Some(finalized)
        } else {
            self.call("header", chain.header(height)).await?
        };
        let same = theirs.is_some_and(|header| header.hash == ours.hash);
        if !same && theirs.is_some() {
            warn!(block = height, "block {height} is final under another hash than we read; reading again");
        }
        Ok(same)
    }
}

fn phantom(group: &TradeGroup, now: Timestamp) -> Event {
    let (tx, action, undecided) = (group.key.tx, group.key.action, group.parts == 0);
    let copied = if undecided { "; nobody copied it" } else { "" };
    warn!(trade.tx = %tx, "trade {tx} ({action}) was told of but is not on the chain{copied}");
    Event { owner: None, at: now, kind: EventKind::Phantom { key: group.key } }
}

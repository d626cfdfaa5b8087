//! Reading the venue's public history: fills gaps, and is the only source without a chain.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::PoisonError,
    time::Duration,
};

use domain::{
    ConditionId, Timestamp, TokenId,
    money::LOT,
    trade::{Action, TradeGroup},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tracing::warn;

use super::{HistoryAnswer, HistoryRows, Watcher, WatcherError, groups};
use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::{DetectionCommit, Source},
        following::Leader,
        venue::{History, HistoryKind, HistoryResponse, HistoryRow},
    },
    sources::SourceName,
};

/// Tokens that leaders traded of each market, as their histories name it; of the newest
/// [`limits::MARKETS_REMEMBERED`] markets.
#[derive(Default)]
pub(super) struct Traded {
    tokens: HashMap<ConditionId, BTreeSet<TokenId>>,
    /// In the order in which they were heard of.
    markets: VecDeque<ConditionId>,
}

impl Traded {
    fn note(&mut self, condition: ConditionId, token: TokenId) {
        let tokens = self.tokens.entry(condition).or_default();
        if tokens.is_empty() {
            self.markets.push_back(condition);
        }
        tokens.insert(token);
        if self.markets.len() > limits::MARKETS_REMEMBERED
            && let Some(oldest) = self.markets.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }

    fn of(&self, condition: ConditionId) -> Vec<TokenId> {
        self.tokens.get(&condition).into_iter().flatten().copied().collect()
    }
}

impl Watcher {
    /// Asks for every leader whose turn has come, and takes what was answered. A source that is slow or silent
    /// holds nothing else up: its answer is taken in a later step. What an answer with a gap tells is taken too, and the
    /// leader is asked again from where it was. Returns whether anything new was found.
    pub(super) async fn history_step(&mut self) -> Result<bool, WatcherError> {
        let Some(history) = self.history.clone() else { return Ok(false) };
        let uptime = self.clock.uptime();
        let mut leaders: Vec<Leader> = self.following().await?.leaders().cloned().collect();
        // Who was asked for longest ago first: those that find no room now are not passed over for ever.
        leaders.sort_by_key(|leader| self.asked_history.get(&leader.id).copied());
        for leader in leaders {
            if self.asking.len() >= limits::IN_FLIGHT {
                break;
            }
            let asked = self.asked_history.get(&leader.id);
            let every = self.live.pace(leader.id, self.history_every, uptime);
            if asked.is_some_and(|asked| uptime.saturating_sub(*asked) < every)
                || self.asking.contains(&leader.id)
            {
                continue;
            }
            self.asked_history.insert(leader.id, uptime);
            self.sources.waited_for(SourceName::History, uptime);
            let position = self.store.cursor(Source::History(leader.id)).await?;
            let newest =
                position.map_or(leader.baseline, domain::Timestamp::from_seconds).min(self.clock.now());
            let since = newest.minus(limits::HISTORY_OVERLAP).max(leader.baseline);
            let (history, clock) = (history.clone(), self.clock.clone());
            self.asking.insert(leader.id);
            self.answers().push(Box::pin(async move {
                let ask = history.activity(leader.wallet, since);
                let answer = venue_call(clock.as_ref(), "history", limits::HISTORY_DEADLINE, ask).await;
                (leader, position, answer)
            }));
        }
        let (mut found, mut failed) = (false, None);
        while let Some((leader, position, answer)) = self.next_rows() {
            self.asking.remove(&leader.id);
            let gap = match answer {
                Ok(history) => {
                    found |= self.take_history(&leader, position, &history).await?;
                    history.gap
                }
                Err(error) => Some(error),
            };
            match &gap {
                Some(error) => self.sources.failed(SourceName::History, error),
                None => self.sources.read_history(leader.id),
            }
            failed = failed.or(gap);
        }
        // With a chain nothing waits for it: a pause here would delay blocks.
        let failed = failed.filter(|_| self.chain.is_none());
        failed.map_or(Ok(found), |error| Err(error.into()))
    }

    /// The next answer that came, if this step takes any.
    fn next_rows(&mut self) -> Option<HistoryRows> {
        if !self.hears {
            return None;
        }
        self.answered.pop().or_else(|| self.answers().next().now_or_never().flatten())
    }

    /// How long until a leader is to be asked for again.
    pub(super) fn history_rests(&self) -> Option<Duration> {
        self.history.as_ref()?;
        if self.asking.len() >= limits::IN_FLIGHT {
            // The next answer makes room.
            return None;
        }
        let now = self.clock.uptime();
        let leaders = self.following.as_ref()?.leaders().filter(|leader| !self.asking.contains(&leader.id));
        let due = leaders.map(|leader| {
            let asked = self.asked_history.get(&leader.id);
            let every = self.live.pace(leader.id, self.history_every, now);
            asked.map_or(Duration::ZERO, |asked| asked.saturating_add(every).saturating_sub(now))
        });
        due.min()
    }

    pub(super) fn answers(&mut self) -> &mut FuturesUnordered<HistoryAnswer> {
        self.answers.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_history(
        &mut self,
        leader: &Leader,
        position: Option<i64>,
        history: &History,
    ) -> Result<bool, WatcherError> {
        let (now, whole) = (self.clock.now(), history.gap.is_none());
        let responses = self.without_future(&history.responses, now);
        let rows = responses.iter().flat_map(|response| &response.rows);
        let newest = rows.map(|row| row.traded_at.seconds()).max();
        let cursor = newest.max(position).unwrap_or_else(|| leader.baseline.seconds()).min(now.seconds());
        let responses = self.with_tokens(&responses).await;
        let mut set = self.stored_groups(&groups::keys_of(leader.id, &responses)).await?;
        let alone = self.chain.is_none();
        set.apply_history(leader.id, &responses, leader.baseline, alone, now)?;
        self.sources.heard_of(SourceName::History, &set.changed(), |group| group.history.shares, now);
        let managed = !self.store.accounts_of_wallets(&[leader.wallet]).await?.is_empty();
        let oldest = self.headers.front().map(|header| header.time);
        // With a chain, hints decide entries only, and none older than the blocks we keep: an exit needs balances at
        // a block, and what is older was read there or is of the time before we began. A wallet that is ours is
        // decided from chain logs alone, because only they name the order.
        let parts = set.take_parts(|group, related| {
            let known = oldest.is_none_or(|oldest| group.traded_at >= oldest);
            let hinted = !alone && known && group.key.action == Action::Buy && !may_be_known(group, related);
            // Without one, an exit counts the buys before it, which may be in the gap.
            let told = alone && (whole || !group.key.action.is_exit());
            !managed && (told || hinted)
        })?;
        let changed = set.changed();
        if changed.is_empty() && (!whole || position == Some(cursor)) {
            return Ok(false);
        }
        let mut commit = DetectionCommit {
            cursors: whole.then_some((Source::History(leader.id), cursor)).into_iter().collect(),
            groups: changed,
            ..DetectionCommit::default()
        };
        let pending = self.prepare_all(&parts, &set, &std::collections::BTreeSet::new(), &mut commit).await?;
        if alone {
            let tokens = self.to_count_again(&commit.groups).await?;
            commit.exit_notes = self.exit_notes(tokens, now).await?;
        }
        let found = !pending.is_empty();
        self.commit_parts(commit, pending).await?;
        Ok(found)
    }
}

impl Watcher {
    /// Rows but for those of the future, which are told once; what is ahead by little is of now.
    fn without_future(&mut self, responses: &[HistoryResponse], now: Timestamp) -> Vec<HistoryResponse> {
        let latest = now.plus(limits::HISTORY_AHEAD);
        let mut told = Vec::new();
        let known = responses.iter().map(|response| {
            let (known, future): (Vec<_>, Vec<_>) =
                response.rows.iter().cloned().partition(|row| row.traded_at <= latest);
            told.extend(future.into_iter().map(|row| (row.tx, row.traded_at)));
            let of_now = |row: HistoryRow| HistoryRow { traded_at: row.traded_at.min(now), ..row };
            HistoryResponse { rows: known.into_iter().map(of_now).collect() }
        });
        let known = known.collect();
        if self.future_rows.len() > limits::SOURCE_GROUPS {
            self.future_rows.clear();
        }
        for (tx, traded_at) in told {
            if self.future_rows.insert(tx) {
                warn!(trade.tx = %tx, %traded_at, "a row of the Data API is of the future and is left out");
            }
        }
        known
    }

    /// Rows about a whole market as one row for each of its tokens: those that the venue tells, else those that
    /// were traded. With a chain such rows are left out: its transfers name the tokens, and nothing waits for
    /// hints of them.
    async fn with_tokens(&mut self, responses: &[HistoryResponse]) -> Vec<HistoryResponse> {
        let mut whole = Vec::with_capacity(responses.len());
        for response in responses {
            let mut rows = Vec::with_capacity(response.rows.len());
            for row in &response.rows {
                match row.kind {
                    HistoryKind::Trade { token, .. } => {
                        // With a chain nobody asks.
                        if self.chain.is_none() {
                            self.traded.note(row.condition, token);
                        }
                        rows.push(row.clone());
                    }
                    HistoryKind::Moved { .. } if self.chain.is_some() => {}
                    HistoryKind::Moved { token: Some(_), .. } => rows.push(row.clone()),
                    HistoryKind::Moved { action, token: None, shares } => {
                        let tokens = self.tokens_of(row.condition).await;
                        rows.extend(tokens.into_iter().map(|token| HistoryRow {
                            kind: HistoryKind::Moved { action, token: Some(token), shares },
                            ..row.clone()
                        }));
                    }
                }
            }
            whole.push(HistoryResponse { rows });
        }
        whole
    }

    async fn tokens_of(&self, condition: ConditionId) -> Vec<TokenId> {
        let told = self.markets.tokens(condition).await;
        if !told.is_empty() {
            return told;
        }
        let traded = self.traded.of(condition);
        if traded.is_empty() {
            warn!(%condition, "a leader split, merged or redeemed shares of a market nobody knows");
        }
        traded
    }
}

/// A hint may be a trade that is known under another hash, because its transaction was replaced: one that was
/// decided on a hint and still waits for the chain, or one that the chain has and the history does not show.
/// The chain will tell, and its group inherits what was decided.
fn may_be_known(group: &TradeGroup, related: &[TradeGroup]) -> bool {
    let waits = |other: &TradeGroup| other.surplus().is_positive();
    let unshown =
        |other: &TradeGroup| other.chain.is_some_and(|chain| chain.shares.less(other.history.shares) >= LOT);
    group.chain.is_none() && related.iter().any(|other| waits(other) || unshown(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_markets_are_remembered_with_all_their_tokens() {
        let condition = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            ConditionId::from(bytes)
        };
        let [yes, no] = [TokenId([1; 32]), TokenId([2; 32])];
        let mut traded = Traded::default();
        for number in 0..=limits::MARKETS_REMEMBERED {
            for token in [yes, no, yes] {
                traded.note(condition(number), token);
            }
        }
        assert_eq!(
            (traded.tokens.len(), traded.markets.len()),
            (limits::MARKETS_REMEMBERED, limits::MARKETS_REMEMBERED)
        );
        assert_eq!(traded.of(condition(0)), []);
        for number in [1, limits::MARKETS_REMEMBERED] {
            assert_eq!(traded.of(condition(number)), [yes, no]);
        }
    }
}

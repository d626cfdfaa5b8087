//! Hints of the live feed: ahead of the block, but told twice, late, or of what never reaches the chain. The chain is
//! read all the same; what is not told, or not understood, is found by whoever is asked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    Address, Price, Shares,
    ids::LeaderId,
    trade::{Action, GroupKey, Quantity, TradeGroup},
};
use futures_util::FutureExt;

use super::{
    Watcher, WatcherError,
    groups::{Hint, hint_of},
};
use crate::{
    limits,
    ports::{
        detection::DetectionCommit,
        following::Leader,
        live::{LiveChannel, LiveFeed, LiveNews, LiveTrade},
    },
    sources::SourceName,
};

/// The feed and what it told.
#[derive(Default)]
pub(super) struct Live {
    feed: Option<Arc<dyn LiveFeed>>,
    followed: BTreeSet<Address>,
    /// News that came while the watcher rested.
    heard: Vec<LiveNews>,
    told: Told,
    /// Leaders whose history is asked for often until then, by uptime: something is known to be there soon.
    hurry: HashMap<LeaderId, Duration>,
}

impl Live {
    pub(super) fn of(feed: Option<Arc<dyn LiveFeed>>) -> Self {
        Self { feed, ..Self::default() }
    }

    /// Waits for news, for ever without a feed.
    pub(super) async fn wait(&mut self) {
        match &self.feed {
            Some(feed) => self.heard.extend(feed.next(limits::LIVE_BATCH).await),
            None => std::future::pending().await,
        }
    }

    /// How often a leader's history is asked for at this moment of uptime.
    pub(super) fn pace(&self, leader: LeaderId, usual: Duration, uptime: Duration) -> Duration {
        let hurries = self.hurry.get(&leader).is_some_and(|until| uptime < *until);
        if hurries { usual.min(limits::LIVE_ASK_PAUSE) } else { usual }
    }

    /// What came, without waiting.
    fn news(&mut self) -> Vec<LiveNews> {
        let mut news = std::mem::take(&mut self.heard);
        while news.len() < limits::LIVE_BATCH
            && let Some(more) =
                self.feed.as_ref().and_then(|feed| feed.next(limits::LIVE_BATCH).now_or_never())
        {
            news.extend(more);
        }
        news
    }
}

/// What single messages say of each group. What was forgotten is counted anew: a group keeps the largest quantity it
/// ever had, so that nothing is counted twice.
#[derive(Default)]
struct Told {
    groups: HashMap<GroupKey, Messages>,
}

#[derive(Default)]
struct Messages {
    /// Uptime of the newest one.
    at: Duration,
    /// Equal messages are one.
    distinct: HashSet<(LiveChannel, Shares, Price)>,
    sums: HashMap<LiveChannel, Quantity>,
}

impl Told {
    /// Takes note of a message. Returns what those of one channel add up to by now: the larger of the two channels.
    fn note(&mut self, key: GroupKey, trade: &LiveTrade, hint: &Hint, uptime: Duration) -> Option<Quantity> {
        if self.groups.len() >= limits::LIVE_GROUPS {
            self.groups.clear();
        }
        let messages = self.groups.entry(key).or_default();
        messages.at = uptime;
        let price = hint.quantity.price().unwrap_or_default();
        if messages.distinct.len() < limits::LIVE_MESSAGES
            && messages.distinct.insert((trade.channel, hint.quantity.shares, price))
        {
            let sum = messages.sums.entry(trade.channel).or_default();
            *sum = sum.plus(hint.quantity).ok()?;
        }
        messages.sums.values().copied().reduce(Quantity::larger)
    }

    fn forget(&mut self, uptime: Duration) {
        self.groups.retain(|_, messages| uptime.saturating_sub(messages.at) < limits::LIVE_KEPT);
    }
}

impl Watcher {
    /// Takes what the live feed told. Returns whether anything new was found.
    pub(super) async fn live_step(&mut self) -> Result<bool, WatcherError> {
        let Some(feed) = self.live.feed.clone() else { return Ok(false) };
        let leaders: Vec<Leader> = self.following().await?.leaders().cloned().collect();
        let wallets: BTreeSet<Address> = leaders.iter().map(|leader| leader.wallet).collect();
        if wallets != self.live.followed {
            feed.follow(&wallets);
            self.live.followed = wallets;
        }
        let uptime = self.clock.uptime();
        self.live.told.forget(uptime);
        self.live.hurry.retain(|_, until| uptime < *until);
        let mut trades: BTreeMap<LeaderId, Vec<LiveTrade>> = BTreeMap::new();
        let news = if self.hears { self.live.news() } else { Vec::new() };
        for news in news {
            match news {
                LiveNews::Gap => self.hurry(&leaders),
                LiveNews::Trade(trade) => {
                    let leader = leaders.iter().find(|leader| leader.wallet == trade.row.wallet);
                    if let Some(leader) = leader {
                        trades.entry(leader.id).or_default().push(trade);
                    }
                }
            }
        }
        let mut found = false;
        for leader in leaders {
            let Some(trades) = trades.remove(&leader.id) else { continue };
            if self.chain.is_none() {
                // Nothing could tell a hint from the same trade under another hash: the history is asked instead.
                self.hear(&leader, &trades)?;
                self.hurry(std::slice::from_ref(&leader));
                continue;
            }
            match self.take_live(&leader, &trades).await {
                Ok(decided) => found |= decided,
                Err(error) => {
                    self.hurry(std::slice::from_ref(&leader));
                    return Err(error);
                }
            }
        }
        Ok(found)
    }

    fn hurry(&mut self, leaders: &[Leader]) {
        let until = self.clock.uptime().saturating_add(limits::LIVE_HURRY);
        self.live.hurry.extend(leaders.iter().map(|leader| (leader.id, until)));
    }

    /// What these messages come to, with those before them; how late they are is noted, however late.
    fn hear(
        &mut self,
        leader: &Leader,
        trades: &[LiveTrade],
    ) -> Result<BTreeMap<GroupKey, Hint>, WatcherError> {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let mut hints: BTreeMap<GroupKey, Hint> = BTreeMap::new();
        for trade in trades {
            let Some((key, mut hint)) = hint_of(leader.id, &trade.row)? else { continue };
            hint.traded_at = hint.traded_at.min(now);
            if hint.traded_at < leader.baseline {
                continue;
            }
            if let Some(sum) = self.live.told.note(key, trade, &hint, uptime) {
                hint.quantity = sum;
                hints.insert(key, hint);
            }
        }
        for (key, hint) in &hints {
            self.sources.heard(SourceName::Live, (*key, hint.traded_at), hint.quantity.shares, now);
        }
        Ok(hints)
    }

    async fn take_live(&mut self, leader: &Leader, trades: &[LiveTrade]) -> Result<bool, WatcherError> {
        // A wallet that is ours is decided from chain logs alone, because only they name the order.
        if !self.store.accounts_of_wallets(&[leader.wallet]).await?.is_empty() {
            return Ok(false);
        }
        let now = self.clock.now();
        let mut hints = self.hear(leader, trades)?;
        // What is older than the blocks we keep was read there, or is of the time before we began.
        let oldest = self.headers.front().map_or(leader.baseline, |header| header.time.max(leader.baseline));
        hints.retain(|_, hint| hint.traded_at >= oldest);
        let keys: Vec<GroupKey> = hints.keys().copied().collect();
        let mut set = self.stored_groups(&keys).await?;
        set.apply_live(&hints, now);
        let parts = set.take_parts(|group, related| {
            group.key.action == Action::Buy && !may_be_settled(group, related)
        })?;
        let mut commit = DetectionCommit { groups: set.changed(), ..DetectionCommit::default() };
        if commit.groups.is_empty() {
            return Ok(false);
        }
        let pending = self.prepare_all(&parts, &set, &BTreeSet::new(), &mut commit).await?;
        let found = !pending.is_empty();
        self.commit_parts(commit, pending).await?;
        Ok(found)
    }
}

/// Whether a hint may be a trade that is known under another hash, because its transaction was replaced: one that was
/// decided on a hint and waits for the chain, or one that is in a block no older than the hint. The feed may tell of a
/// hash that is no more, and late: the chain will say.
fn may_be_settled(group: &TradeGroup, related: &[TradeGroup]) -> bool {
    let waits = |other: &TradeGroup| other.surplus().is_positive();
    let settled = |other: &TradeGroup| {
        other.chain.is_some_and(|chain| chain.shares.is_positive()) && other.traded_at >= group.traded_at
    };
    group.chain.is_none() && related.iter().any(|other| waits(other) || settled(other))
}

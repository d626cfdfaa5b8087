//! How late each source of leaders' trades is, and how often it says something else than the chain. Kept in memory: it
//! describes the sources as this process hears them, and decides nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Shares, Timestamp,
    ids::LeaderId,
    trade::{GroupKey, TradeGroup},
};
use serde::{Deserialize, Serialize};

use crate::{
    limits::{
        HISTORY_LATE, LATE_AT_LEAST, LATE_SAMPLES, SOURCE_GROUPS, SOURCE_LATE, SOURCE_SAMPLES, SOURCE_STOPPED,
    },
    ports::{store::EventKind, venue::VenueError},
};

/// Who tells of leaders' trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// Blocks.
    Chain,
    /// The venue's public history.
    History,
    /// The live feed.
    Live,
}

impl SourceName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chain, Self::History, Self::Live];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::History => "Data API",
            Self::Live => "live feed",
        }
    }

    /// How late its trades may come.
    const fn late_after(self) -> Duration {
        match self {
            Self::Chain | Self::Live => SOURCE_LATE,
            Self::History => HISTORY_LATE,
        }
    }
}

/// How a source does. What was never heard is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceHealth {
    /// Which.
    pub source: SourceName,
    /// Trades it showed.
    pub trades: u64,
    /// Of those, the ones that it showed before any other source.
    pub first: u64,
    /// When the newest of them was traded.
    pub newest: Option<Timestamp>,
    /// How long nothing new was heard of it.
    pub silent: Option<Duration>,
    /// Median of the time from a trade to its showing here. Trades are dated in whole seconds.
    pub lag: Option<Duration>,
    /// Median of the time from its first showing anywhere to its showing here, where another source was first.
    pub behind_first: Option<Duration>,
    /// Trades that the chain told too, among the newest.
    pub compared: u64,
    /// Of those, the ones whose quantity differs from the chain's.
    pub differs: u64,
    /// Answers that could not be understood.
    pub unreadable: u64,
    /// Answers that did not come, or refused.
    pub failed: u64,
    /// Whether its newest trades come late.
    pub late: bool,
    /// Whether nothing of it can be read now.
    pub stopped: bool,
}

/// What was heard of each source.
#[derive(Debug, Default)]
pub struct SourceWatch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The newest groups.
    groups: HashMap<GroupKey, Shown>,
    order: VecDeque<GroupKey>,
    sources: [Record; SourceName::ALL.len()],
    /// When the first trade of all was heard of.
    since: Option<Timestamp>,
    /// Leaders whose history was read whole.
    histories: HashSet<LeaderId>,
}

/// When each source showed a group first, and the shares it shows.
#[derive(Debug, Default)]
struct Shown([Option<(Timestamp, Shares)>; SourceName::ALL.len()]);

#[derive(Debug, Default)]
struct Record {
    trades: u64,
    first: u64,
    newest: Option<Timestamp>,
    heard: Option<Timestamp>,
    lags: VecDeque<Duration>,
    behind: VecDeque<Duration>,
    unreadable: u64,
    failed: u64,
    /// Lags of the newest trades that were made since anything was heard: what was caught up with is no lag.
    newest_lags: VecDeque<Duration>,
    late: bool,
    /// Uptime since which it is waited for; `None` while nobody asks.
    waited_since: Option<Duration>,
    /// Why nothing could be read of it, when it was tried last.
    reason: String,
    stopped: bool,
}

impl Record {
    /// Whether it has become late, or in time again: how late its newest trades came, in the middle.
    fn turned(&mut self, source: SourceName) -> Option<Duration> {
        if self.newest_lags.len() < LATE_AT_LEAST {
            return None;
        }
        let lag = median(&self.newest_lags)?;
        // It is in time again when it is well within.
        let bound = if self.late { source.late_after() / 2 } else { source.late_after() };
        let late = lag > bound;
        let turned = late != self.late;
        self.late = late;
        turned.then_some(lag)
    }

    /// Whether it has stopped, or is back.
    fn stopped_or_back(&mut self, source: SourceName, uptime: Duration) -> Option<EventKind> {
        let waited = self.waited_since.map(|since| uptime.saturating_sub(since)).unwrap_or_default();
        let stopped = waited >= SOURCE_STOPPED;
        if std::mem::replace(&mut self.stopped, stopped) == stopped {
            return None;
        }
        let reason = self.reason.clone();
        Some(match stopped {
            true => EventKind::SourceStopped { source, seconds: waited.as_secs(), reason },
            false => EventKind::SourceBack { source },
        })
    }
}

const fn place(source: SourceName) -> usize {
    match source {
        SourceName::Chain => 0,
        SourceName::History => 1,
        SourceName::Live => 2,
    }
}

impl SourceWatch {
    /// A source shows these shares of a group, traded at `traded_at` as far as it knows.
    pub fn heard(
        &self,
        source: SourceName,
        (key, traded_at): (GroupKey, Timestamp),
        shares: Shares,
        now: Timestamp,
    ) {
        let mut state = self.lock();
        let State { groups, order, sources, since, .. } = &mut *state;
        let since = *since.get_or_insert(now);
        if !groups.contains_key(&key) {
            order.push_back(key);
            if order.len() > SOURCE_GROUPS
                && let Some(oldest) = order.pop_front()
            {
                groups.remove(&oldest);
            }
        }
        let Shown(shown) = groups.entry(key).or_default();
        let earliest = shown.iter().flatten().map(|(at, _)| *at).min();
        let (Some(slot), Some(record)) = (shown.get_mut(place(source)), sources.get_mut(place(source)))
        else {
            return;
        };
        if let Some((_, known)) = slot {
            // The chain may take back; of the others the most that was said counts.
            *known = if source == SourceName::Chain { shares } else { shares.max(*known) };
            return;
        }
        *slot = Some((now, shares));
        record.trades = record.trades.saturating_add(1);
        record.newest = record.newest.max(Some(traded_at));
        record.heard = Some(now);
        keep(&mut record.lags, now.since(traded_at), SOURCE_SAMPLES);
        if traded_at >= since {
            keep(&mut record.newest_lags, now.since(traded_at), LATE_SAMPLES);
        }
        match earliest {
            Some(earliest) => keep(&mut record.behind, now.since(earliest), SOURCE_SAMPLES),
            None => record.first = record.first.saturating_add(1),
        }
    }

    /// The chain has nothing of a group that others showed, and should have by now.
    pub(crate) fn denied(&self, key: GroupKey, now: Timestamp) {
        if let Some(Shown(shown)) = self.lock().groups.get_mut(&key)
            && let Some(slot) = shown.get_mut(place(SourceName::Chain))
        {
            *slot = Some((now, Shares::ZERO));
        }
    }

    /// As [`Self::heard`], of what a source says of some groups, as `shares` finds it; zero is nothing.
    pub(crate) fn heard_of(
        &self,
        source: SourceName,
        groups: &[TradeGroup],
        shares: impl Fn(&TradeGroup) -> Shares,
        now: Timestamp,
    ) {
        for group in groups {
            let shares = shares(group);
            if shares.is_positive() {
                self.heard(source, (group.key, group.traded_at), shares, now);
            }
        }
    }

    /// A source did not answer, or not in words that are understood.
    pub(crate) fn failed(&self, source: SourceName, error: &VenueError) {
        let mut state = self.lock();
        let Some(record) = state.sources.get_mut(place(source)) else { return };
        let count = match error {
            VenueError::Malformed { .. } => &mut record.unreadable,
            _ => &mut record.failed,
        };
        *count = count.saturating_add(1);
        record.reason = error.to_string();
    }

    /// A source is waited for, from this moment of uptime on if it was not before.
    pub(crate) fn waited_for(&self, source: SourceName, uptime: Duration) {
        if let Some(record) = self.lock().sources.get_mut(place(source)) {
            record.waited_since.get_or_insert(uptime);
        }
    }

    /// Something was read of a source: a new block, a whole history.
    pub(crate) fn read(&self, source: SourceName) {
        if let Some(record) = self.lock().sources.get_mut(place(source)) {
            record.waited_since = None;
            record.reason.clear();
        }
    }

    /// A leader's history was read whole.
    pub(crate) fn read_history(&self, leader: LeaderId) {
        self.read(SourceName::History);
        self.lock().histories.insert(leader);
    }

    /// Whether a leader's history was read whole since the start of this process.
    #[must_use]
    pub fn has_history_of(&self, leader: LeaderId) -> bool {
        self.lock().histories.contains(&leader)
    }

    /// Nothing could be read of a source.
    pub(crate) fn unread(&self, source: SourceName, reason: String) {
        if let Some(record) = self.lock().sources.get_mut(place(source)) {
            record.reason = reason;
        }
    }

    /// Nobody reads here any more: another process does.
    pub(crate) fn given_up(&self) {
        for record in &mut self.lock().sources {
            (record.waited_since, record.stopped) = (None, false);
        }
    }

    /// What a person must know at this moment of uptime: sources that have become late or have stopped since this was
    /// asked last, and those that are in time again, or back.
    pub fn turns(&self, uptime: Duration) -> Vec<EventKind> {
        let mut state = self.lock();
        let stopped = SourceName::ALL.into_iter().zip(&mut state.sources);
        let stopped: Vec<EventKind> =
            stopped.filter_map(|(source, record)| record.stopped_or_back(source, uptime)).collect();
        let turned = SourceName::ALL.into_iter().zip(&mut state.sources).filter_map(|(source, record)| {
            let lag = record.turned(source)?;
            Some(match record.late {
                true => EventKind::SourceLate { source, seconds: lag.as_secs() },
                false => EventKind::SourceInTime { source },
            })
        });
        stopped.into_iter().chain(turned).collect()
    }

    /// How each source does.
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Vec<SourceHealth> {
        let state = self.lock();
        let one = |source: SourceName| {
            let record = state.sources.get(place(source))?;
            let pairs = state.groups.values().filter_map(|Shown(shown)| {
                let chain = shown.get(place(SourceName::Chain)).copied().flatten()?.1;
                let said = shown.get(place(source)).copied().flatten()?.1;
                (source != SourceName::Chain).then_some((chain, said))
            });
            let (compared, differs) = pairs.fold((0_u64, 0_u64), |(compared, differs), (chain, said)| {
                (compared.saturating_add(1), differs.saturating_add(u64::from(chain != said)))
            });
            Some(SourceHealth {
                source,
                trades: record.trades,
                first: record.first,
                newest: record.newest,
                silent: record.heard.map(|heard| now.since(heard)),
                lag: median(&record.lags),
                behind_first: median(&record.behind),
                compared,
                differs,
                unreadable: record.unreadable,
                failed: record.failed,
                late: record.late,
                stopped: record.stopped,
            })
        };
        SourceName::ALL.into_iter().filter_map(one).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(samples: &mut VecDeque<Duration>, sample: Duration, most: usize) {
    if samples.len() >= most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

fn median(samples: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = samples.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use domain::{TokenId, TxHash, trade::Action};

    use super::*;

    fn key(tx: u8) -> GroupKey {
        GroupKey { leader: LeaderId(1), tx: TxHash([tx; 32]), token: TokenId([7; 32]), action: Action::Buy }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn nothing_heard_is_nothing_known() {
        for health in SourceWatch::default().health(at(5)) {
            assert_eq!((health.trades, health.newest, health.silent), (0, None, None));
            assert_eq!((health.lag, health.behind_first, health.compared), (None, None, 0));
        }
    }

    #[test]
    fn lags_first_showings_and_differences_are_told() {
        let watch = SourceWatch::default();
        watch.heard(SourceName::Live, (key(1), at(1_000)), Shares(5), at(1_400));
        watch.heard(SourceName::Chain, (key(1), at(2_000)), Shares(7), at(3_000));
        watch.heard(SourceName::History, (key(1), at(2_000)), Shares(3), at(4_400));
        watch.heard(SourceName::History, (key(1), at(2_000)), Shares(7), at(9_000));
        watch.heard(SourceName::Chain, (key(2), at(4_000)), Shares(1), at(5_000));
        let health = watch.health(at(10_000));
        let [chain, history, live] = health.as_slice() else { panic!("{health:?}") };
        let millis = Duration::from_millis;
        assert_eq!((live.trades, live.first, live.lag), (1, 1, Some(millis(400))));
        assert_eq!((live.compared, live.differs, live.behind_first), (1, 1, None));
        assert_eq!((chain.trades, chain.first, chain.lag), (2, 1, Some(millis(1_000))));
        assert_eq!((chain.behind_first, chain.newest), (Some(millis(1_600)), Some(at(4_000))));
        // What it said in the end counts, and when it said it first.
        assert_eq!((history.compared, history.differs), (1, 0));
        assert_eq!((history.behind_first, history.silent), (Some(millis(3_000)), Some(millis(5_600))));
    }

    /// The feed was up to an hour late (real-time-data-client #36): told once, and once when it is over.
    #[test]
    fn a_late_source_is_told_once_until_it_is_in_time_again() {
        let watch = SourceWatch::default();
        let mut trades = 0_u8;
        let mut show = |count: usize, lag: Duration| {
            let mut told = Vec::new();
            for _ in 0..count {
                trades += 1;
                let made = at(i64::from(trades) * 10_000);
                watch.heard(SourceName::Live, (key(trades), made), Shares(1), made.plus(lag));
                told.extend(watch.turns(Duration::ZERO));
            }
            told
        };
        let late = |seconds| EventKind::SourceLate { source: SourceName::Live, seconds };
        let hour = Duration::from_secs(3_600);
        assert_eq!(show(5, Duration::from_secs(2)), []);
        // One or two are an accident.
        assert_eq!(show(2, hour), []);
        assert_eq!(show(9, hour), [late(3_600)]);
        assert!(watch.health(at(0))[2].late && !watch.health(at(0))[0].late);
        // Not well yet.
        assert_eq!(show(9, SOURCE_LATE - Duration::from_secs(1)), []);
        assert_eq!(show(9, Duration::from_secs(2)), [EventKind::SourceInTime { source: SourceName::Live }]);
        assert_eq!(show(9, hour), [late(3_600)], "another time");
    }

    #[test]
    fn a_source_that_stops_is_told_once_and_once_when_it_is_back() {
        let (watch, source) = (SourceWatch::default(), SourceName::Chain);
        let turns = |second: u64| watch.turns(Duration::from_secs(second));
        let waits = |second: u64| watch.waited_for(source, Duration::from_secs(second));
        let stopped = |seconds| EventKind::SourceStopped { source, seconds, reason: "no answer".to_owned() };
        assert_eq!(turns(1_000), [], "nobody asks");
        waits(1_000);
        watch.read(source);
        waits(1_002);
        watch.unread(source, "no answer".to_owned());
        waits(1_061);
        assert_eq!(turns(1_061), []);
        assert_eq!(turns(1_062), [stopped(60)]);
        assert_eq!(turns(9_999), [], "once");
        assert!(watch.health(at(0))[0].stopped && !watch.health(at(0))[1].stopped);
        watch.read(source);
        waits(9_999);
        assert_eq!(turns(10_000), [EventKind::SourceBack { source }]);
        watch.unread(source, "no answer".to_owned());
        assert_eq!(turns(10_059), [stopped(60)], "another time");
        // Another process reads now.
        watch.given_up();
        assert_eq!(turns(10_060), []);
    }

    #[test]
    fn what_is_caught_up_with_is_not_late() {
        let watch = SourceWatch::default();
        let now = at(3_600_000);
        for number in 0..20 {
            watch.heard(SourceName::Chain, (key(number), at(i64::from(number))), Shares(1), now);
            assert_eq!(watch.turns(Duration::ZERO), []);
        }
    }

    #[test]
    fn old_groups_are_forgotten() {
        let watch = SourceWatch::default();
        for number in 0..2 * SOURCE_GROUPS {
            let mut one = key(1);
            one.tx.0[..8].copy_from_slice(&number.to_be_bytes());
            watch.heard(SourceName::Chain, (one, at(0)), Shares(1), at(1));
        }
        assert_eq!(watch.lock().groups.len(), SOURCE_GROUPS);
        assert_eq!(watch.health(at(2))[0].trades, 2 * SOURCE_GROUPS as u64);
    }
}

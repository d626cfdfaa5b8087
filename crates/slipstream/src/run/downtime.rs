//! What happened while nothing ran: when that was, and after the start what became of the trades of that time.

mod late;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    Clock, Timestamp,
    trade::{GroupKey, PartKind},
};
use engine::{
    ports::store::{Store, StoreResult},
    sources::SourceWatch,
};
use tracing::{debug, info, warn};

use self::late::{Late, Synced};
use super::rewound::Newest;
use crate::story::answers;

/// Name of the file in the data directory that says when the process was alive last.
const FILE: &str = "alive";
/// How often that is written.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// A pause shorter than this, beyond the time between two writings, is a restart and not told.
const SHORT: Duration = Duration::from_secs(5);
/// What is known so long after the start is told, all of it or not: where nothing is wrong every source was asked by then.
const REPORT_AFTER: Duration = Duration::from_secs(20);
/// Time between two looks whether it is all.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Decisions read at once.
const PAGE: usize = 500;

/// The time before this start, and that this one is alive.
pub(super) struct Downtime {
    /// Where this process says that it is alive.
    alive: Option<Alive>,
    /// When anything ran last; `None` at a first start, and once everything is told.
    since: Option<Timestamp>,
    /// Whether the chain tells of trades.
    has_chain: bool,
    started: Timestamp,
    /// Uptime of the start.
    begun: Duration,
    /// The newest decision before it.
    decision: i64,
    /// Uptime of the last look.
    looked: Option<Duration>,
    /// It was told what was known so far, and that it is not all.
    told_so_far: bool,
}

/// The notes of a process that alone does everything.
struct Alive {
    file: PathBuf,
    newest: Newest,
    /// Uptime of the last one.
    written: Option<Duration>,
}

/// Where it is read when anything ran last.
pub(super) enum RanLast<'a> {
    /// In the directory of the only process, which a lock keeps for its holder; and whether that reads the chain.
    Alone(&'a Path, bool),
    /// In the books, among many processes: then was the newest block that any of them has read.
    AmongMany,
}

impl Downtime {
    /// Reads when anything ran last, and writes nothing: a start that comes to nothing must not look as if it had run.
    pub(super) async fn begin(
        ran: RanLast<'_>,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let newest = store.newest_decisions(None, 1).await?;
        let decision = newest.first().map_or(0, |decision| decision.id);
        let (started, begun) = (clock.now(), clock.uptime());
        let (alive, since, has_chain) = match ran {
            RanLast::Alone(data_dir, has_chain) => {
                let file = data_dir.join(FILE);
                let since = alive_last(&file);
                let newest = Newest::begin(data_dir, store, clock).await?;
                (Some(Alive { file, newest, written: None }), since, has_chain)
            }
            RanLast::AmongMany => (None, store.headers(1).await?.last().map(|header| header.time), true),
        };
        let (looked, told_so_far) = (None, false);
        Ok(Self { alive, since, has_chain, started, begun, decision, looked, told_so_far })
    }

    /// Notes that this process is alive, and reports what the time before came to: when that is known, or else what is
    /// known so far, and then all of it.
    pub(super) async fn tell(&mut self, store: &dyn Store, clock: &dyn Clock, sources: &SourceWatch) {
        if let Some(alive) = &mut self.alive {
            alive.note(store, clock).await;
        }
        match self.news(store, clock, sources).await {
            Ok(None) => {}
            Ok(Some(words)) => info!("{words}"),
            Err(error) => debug!(%error, "what happened while nothing ran cannot be told now"),
        }
    }

    async fn news(
        &mut self,
        store: &dyn Store,
        clock: &dyn Clock,
        sources: &SourceWatch,
    ) -> anyhow::Result<Option<String>> {
        let Some(since) = self.since.filter(|since| self.started.since(*since) > WRITE_EVERY + SHORT) else {
            return Ok(None);
        };
        let uptime = clock.uptime();
        let early = uptime.saturating_sub(self.begun) < REPORT_AFTER;
        if early || self.looked.is_some_and(|at| uptime.saturating_sub(at) < LOOK_EVERY) {
            return Ok(None);
        }
        self.looked = Some(uptime);
        let unread = self.unread(store, clock, sources).await?;
        if unread.is_some() && self.told_so_far {
            return Ok(None);
        }
        let late = self.late(store, since).await?;
        let words = late.words(self.started.since(since));
        Ok(match unread.or_else(|| late.open()) {
            None => {
                self.since = None;
                Some(words)
            }
            Some(_) if self.told_so_far => None,
            Some(why) => {
                self.told_so_far = true;
                Some(format!("so far ({why}): {words}"))
            }
        })
    }

    /// What of that time was not read yet. Sales come from the chain alone where there is one, so that nothing else tells.
    async fn unread(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        sources: &SourceWatch,
    ) -> StoreResult<Option<String>> {
        if self.has_chain {
            return Ok(match store.headers(1).await?.last() {
                None => Some("no block was read yet".to_owned()),
                Some(newest) if newest.time < self.started => Some(format!(
                    "the chain is read to block {}, {} s before this start",
                    newest.number,
                    self.started.since(newest.time).as_secs()
                )),
                Some(_) => None,
            });
        }
        let leaders = store.following(clock.now()).await?.leaders;
        let unread = leaders.iter().filter(|leader| !sources.has_history_of(leader.id)).count();
        Ok((unread > 0)
            .then(|| format!("of {} leaders the histories of {unread} were not read yet", leaders.len())))
    }

    async fn late(&self, store: &dyn Store, since: Timestamp) -> anyhow::Result<Late> {
        let (mut late, mut after, mut trades) = (Late::default(), self.decision, BTreeMap::new());
        loop {
            let page = store.decisions_after(None, after, PAGE).await?;
            let mut of_then = Vec::with_capacity(page.len());
            for decision in &page {
                after = decision.id;
                if self.was_away(store, decision.key, since, &mut trades).await? {
                    of_then.push(decision.clone());
                }
            }
            for answer in answers(store, &of_then).await? {
                let part = store.part(answer.trade, answer.part).await?;
                let of_sync = part.is_some_and(|stored| stored.part.kind == PartKind::Target);
                late.count(&answer.answer, of_sync);
            }
            if page.len() < PAGE {
                break;
            }
        }
        for stored in store.incomplete_parts().await? {
            let counted = trades.contains_key(&stored.part.key);
            if self.was_away(store, stored.part.key, since, &mut trades).await? {
                late.incomplete = late.incomplete.saturating_add(1);
                late.undecided = late.undecided.saturating_add(usize::from(!counted));
            }
        }
        if late.left > 0 && late.synced.is_none() && store.missed_buys(1).await?.is_empty() {
            late.synced = Some(Synced::default());
        }
        late.trades = trades.values().filter(|away| **away).count();
        Ok(late)
    }

    /// Whether a trade was made while nothing ran; read once for each trade, however many copy it.
    async fn was_away(
        &self,
        store: &dyn Store,
        key: GroupKey,
        since: Timestamp,
        known: &mut BTreeMap<GroupKey, bool>,
    ) -> StoreResult<bool> {
        if let Some(away) = known.get(&key) {
            return Ok(*away);
        }
        let group = store.group_with_fills(key).await?;
        // Trades are dated in whole seconds.
        let away = group.is_some_and(|(group, _)| {
            group.traded_at.seconds() >= since.seconds() && group.traded_at < self.started
        });
        known.insert(key, away);
        Ok(away)
    }
}

impl Alive {
    async fn note(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.written.is_some_and(|at| uptime.saturating_sub(at) < WRITE_EVERY) {
            return;
        }
        self.written = Some(uptime);
        self.newest.note(store).await;
        if let Err(error) = self.write(clock.now()) {
            warn!(%error, "cannot write {}: the next start does not know when this process was alive", self.file.display());
        }
    }

    /// Under another name first: a file that is cut short says nothing.
    fn write(&self, now: Timestamp) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, now.0.to_string())?;
        fs::rename(&new, &self.file)
    }
}

/// When the process before was alive last; `None` at a first start.
fn alive_last(file: &Path) -> Option<Timestamp> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        read => read.unwrap_or_default(),
    };
    let since = text.trim().parse().ok().map(Timestamp);
    if since.is_none() {
        warn!(
            "{} does not say when this program ran last: what happened meanwhile is copied as the policies say, and not told",
            file.display()
        );
    }
    since
}

#[cfg(test)]
mod tests {
    use engine::{ports::store::Store, watcher::Watcher};
    use store::SqlStore;
    use testkit::simulation::{scenario::Scenario, world::World};

    use super::*;
    use crate::clock::SystemClock;

    /// A unit that a service manager starts again and again, and that each time refuses to run.
    #[tokio::test]
    async fn a_start_that_comes_to_nothing_forgets_no_downtime() {
        let directory = tempfile::tempdir().unwrap();
        let clock = std::sync::Arc::new(SystemClock);
        let store = SqlStore::open(&directory.path().join("db"), clock.clone()).await.unwrap();
        let store = &store as &dyn Store;
        let file = directory.path().join(FILE);
        let ran = || RanLast::Alone(directory.path(), false);
        let begin = async || Downtime::begin(ran(), store, clock.as_ref()).await.unwrap();
        assert_eq!(begin().await.since, None, "the first");
        assert!(!file.exists());
        fs::write(&file, "12345").unwrap();
        assert_eq!(begin().await.since, Some(Timestamp(12_345)));
        let mut that_runs = begin().await;
        assert_eq!(that_runs.since, Some(Timestamp(12_345)));
        that_runs.tell(store, clock.as_ref(), &SourceWatch::default()).await;
        let since = begin().await.since.unwrap();
        assert!(clock.now().since(since) < Duration::from_secs(60), "{since:?}");
        fs::write(&file, "123x").unwrap();
        assert_eq!(begin().await.since, None);
    }

    /// Many processes, of which none has read the chain for a minute: a trade of that time is told once it was read and
    /// answered, and before that is said how far reading has come.
    #[tokio::test]
    async fn what_is_read_late_is_told_when_it_is_read() {
        let world = World::by_hand(Scenario::entry()).unwrap();
        let (store, clock) = (world.store.as_ref(), world.clock.as_ref());
        let mut watcher = Watcher::new(world.watcher_ports());
        while watcher.step().await.unwrap().busy {}
        world.clock.advance(Duration::from_secs(60));
        let mut downtime = Downtime::begin(RanLast::AmongMany, store, clock).await.unwrap();
        let sources = SourceWatch::default();
        let mut news = async || downtime.news(store, clock, &sources).await.unwrap();
        assert_eq!(news().await, None, "too early to say");
        world.clock.advance(REPORT_AFTER);
        let so_far = news().await.unwrap();
        assert!(so_far.starts_with("so far (the chain is read to block "), "{so_far}");
        assert!(so_far.contains("no trade happened"), "{so_far}");
        world.clock.advance(LOOK_EVERY);
        assert_eq!(news().await, None, "nothing was read since");
        while watcher.step().await.unwrap().busy {}
        world.clock.advance(LOOK_EVERY);
        let all = news().await.unwrap();
        assert!(all.starts_with("1 trade happened in the 6"), "{all}");
        assert!(all.ends_with("0 copied late, 1 skipped (1 too old)"), "{all}");
        world.clock.advance(LOOK_EVERY);
        assert_eq!(news().await, None, "once");
    }
}

//! What happened while nothing ran: when that was, and after the start what became of the trades of that time.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    Clock, Timestamp,
    decide::Verdict,
    skip::SkipReason,
    trade::{GroupKey, PartKind},
};
use engine::ports::store::{Store, StoreResult};
use tracing::{info, warn};

use super::rewound::Newest;
use crate::wording::count;

/// Name of the file in the data directory that says when the process was alive last.
const FILE: &str = "alive";
/// How often that is written.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// A pause shorter than this, beyond the time between two writings, is a restart and not told.
const SHORT: Duration = Duration::from_secs(5);
/// The report waits so long after the start: by then every source was asked.
const REPORT_AFTER: Duration = Duration::from_secs(20);
/// Decisions read at once.
const PAGE: usize = 500;

/// The time before this start, and that this one is alive.
pub(super) struct Downtime {
    file: PathBuf,
    /// When the process before was alive last; `None` at a first start.
    since: Option<Timestamp>,
    started: Timestamp,
    /// Uptime of the start.
    begun: Duration,
    /// The newest decision before it.
    decision: i64,
    reported: bool,
    newest: Newest,
    written: Option<Duration>,
}

/// What became of the trades of that time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Late {
    trades: usize,
    copied: usize,
    /// Skips by their reason's words without numbers.
    skipped: BTreeMap<&'static str, usize>,
    /// Trades that are still being decided, sales mostly.
    undecided: usize,
    /// Buys left to a sync, and what the syncs came to.
    left: usize,
    synced: Option<Synced>,
}

/// What became of syncs with leaders' positions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Synced {
    orders: usize,
    skipped: BTreeMap<&'static str, usize>,
}

impl Downtime {
    /// Reads when the process before was alive last, and writes nothing: a start that comes to nothing must not look as if
    /// it had run. Only the holder of the data directory's lock calls this.
    pub(super) async fn begin(data_dir: &Path, store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<Self> {
        let file = data_dir.join(FILE);
        let since = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => {
                let text = read.unwrap_or_default();
                let since = text.trim().parse().ok().map(Timestamp);
                if since.is_none() {
                    warn!(
                        "{} does not say when this program ran last: what happened meanwhile is copied as the policies say, \
                         and not told",
                        file.display()
                    );
                }
                since
            }
        };
        let newest = store.newest_decisions(None, 1).await?;
        let decision = newest.first().map_or(0, |decision| decision.id);
        let (started, begun) = (clock.now(), clock.uptime());
        let written = None;
        let commits = Newest::begin(data_dir, store, clock).await?;
        Ok(Self { file, since, started, begun, decision, reported: false, newest: commits, written })
    }

    /// Notes that this process is alive, and reports once what the time before came to.
    pub(super) async fn tell(&mut self, store: &dyn Store, clock: &dyn Clock) {
        let uptime = clock.uptime();
        if self.written.is_none_or(|at| uptime.saturating_sub(at) >= WRITE_EVERY) {
            self.written = Some(uptime);
            self.newest.note(store).await;
            if let Err(error) = self.write(clock.now()) {
                warn!(%error, "cannot write {}: the next start does not know when this process was alive", self.file.display());
            }
        }
        if self.reported || uptime.saturating_sub(self.begun) < REPORT_AFTER {
            return;
        }
        self.reported = true;
        let Some(since) = self.since.filter(|since| self.started.since(*since) > WRITE_EVERY + SHORT) else {
            return;
        };
        match self.late(store, since).await {
            Ok(late) if late.trades == 0 => {}
            Ok(late) => info!("{}", late.words(self.started.since(since))),
            Err(error) => warn!(%error, "what happened while nothing ran cannot be told"),
        }
    }

    /// Under another name first: a file that is cut short says nothing.
    fn write(&self, now: Timestamp) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, now.0.to_string())?;
        fs::rename(&new, &self.file)
    }

    async fn late(&self, store: &dyn Store, since: Timestamp) -> StoreResult<Late> {
        let (mut late, mut after, mut trades) = (Late::default(), self.decision, BTreeMap::new());
        loop {
            let page = store.decisions_after(None, after, PAGE).await?;
            for decision in &page {
                after = decision.id;
                if !self.was_away(store, decision.key, since, &mut trades).await? {
                    continue;
                }
                let part = store.part(decision.key, decision.part).await?;
                let of_sync = part.is_some_and(|stored| stored.part.kind == PartKind::Target);
                late.count(&decision.verdict, of_sync);
            }
            if page.len() < PAGE {
                break;
            }
        }
        for stored in store.incomplete_parts().await? {
            let counted = trades.contains_key(&stored.part.key);
            if self.was_away(store, stored.part.key, since, &mut trades).await? && !counted {
                late.undecided = late.undecided.saturating_add(1);
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

impl Late {
    fn count(&mut self, verdict: &Verdict, of_sync: bool) {
        let one = |count: &mut usize| *count = count.saturating_add(1);
        match (verdict, of_sync) {
            (Verdict::Copy(_), true) => one(&mut self.synced.get_or_insert_default().orders),
            (Verdict::Copy(_), false) => one(&mut self.copied),
            (Verdict::Skip(SkipReason::LeftToSync), _) => one(&mut self.left),
            (Verdict::Skip(reason), true) => {
                let synced = self.synced.get_or_insert_default();
                one(synced.skipped.entry(reason.label()).or_default());
            }
            (Verdict::Skip(reason), false) => one(self.skipped.entry(reason.label()).or_default()),
        }
    }

    fn words(&self, away: Duration) -> String {
        let skipped: usize = self.skipped.values().sum();
        let why = reasons(&self.skipped);
        let left = match (self.left, &self.synced) {
            (0, _) => String::new(),
            (left, None) => format!(", {left} left to a sync that is still to come"),
            (left, Some(synced)) => format!(
                ", {left} left to a sync, which made {}{}",
                count(synced.orders, "order"),
                reasons(&synced.skipped)
            ),
        };
        let waiting = match self.undecided {
            0 => String::new(),
            number => format!(", {number} still being decided"),
        };
        format!(
            "{} happened in the {} s while nothing ran: {} copied late, {skipped} skipped{why}{left}{waiting}",
            count(self.trades, "trade"),
            away.as_secs(),
            self.copied,
        )
    }
}

/// Reasons with their numbers, in brackets.
fn reasons(skipped: &BTreeMap<&'static str, usize>) -> String {
    let reasons: Vec<String> = skipped.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}

#[cfg(test)]
mod tests {
    use engine::ports::store::Store;
    use store::SqlStore;

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
        let begin = async || Downtime::begin(directory.path(), store, clock.as_ref()).await.unwrap();
        assert_eq!(begin().await.since, None, "the first");
        assert!(!file.exists());
        fs::write(&file, "12345").unwrap();
        assert_eq!(begin().await.since, Some(Timestamp(12_345)));
        let mut that_runs = begin().await;
        assert_eq!(that_runs.since, Some(Timestamp(12_345)));
        that_runs.tell(store, clock.as_ref()).await;
        let since = begin().await.since.unwrap();
        assert!(clock.now().since(since) < Duration::from_secs(60), "{since:?}");
        fs::write(&file, "123x").unwrap();
        assert_eq!(begin().await.since, None);
    }

    #[test]
    fn the_report_counts_and_says_why() {
        let mut late =
            Late { trades: 3, copied: 1, skipped: BTreeMap::from([("too old", 2)]), ..Late::default() };
        assert_eq!(
            late.words(Duration::from_secs(61)),
            "3 trades happened in the 61 s while nothing ran: 1 copied late, 2 skipped (2 too old)"
        );
        (late.trades, late.undecided) = (4, 1);
        assert!(
            late.words(Duration::from_secs(61)).ends_with("2 skipped (2 too old), 1 still being decided")
        );
        (late.left, late.undecided) = (2, 0);
        assert!(late.words(Duration::ZERO).ends_with("2 left to a sync that is still to come"));
        late.count(&Verdict::Skip(SkipReason::NoPrice), true);
        assert!(late.words(Duration::ZERO).ends_with("2 left to a sync, which made 0 orders (1 no price)"));
    }
}

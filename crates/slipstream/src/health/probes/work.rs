//! Jobs that wait, who works on them, and what may never happen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, Timestamp, lifecycle::OrderAlarm};
use engine::ports::{
    detection::Lane,
    queue::Queue,
    reports::Reports as _,
    store::{Event, EventKind, Leases as _, StoreResult},
};
use operations::health::{Check, Kind, Probe, Reading, Weight, millis};
use store::{JobState, SqlStore};

use crate::{
    instance::{process_of, succession::lives},
    wording::harmless,
};

/// A job that is due for so long waits for nobody's good reason; for the second, nobody works.
const OVERDUE_S: (f64, f64) = (10.0, 30.0);
/// Milliseconds to an answer of the queue's server.
const SLOW_MS: (f64, f64) = (100.0, 1_000.0);
/// Dead letters that are counted.
const DEAD_LETTERS: usize = 1_000;
/// Events that are read at once.
const EVENTS: usize = 1_000;

/// Counts what waits, in the queue and in the books.
pub(super) struct QueueProbe {
    pub(super) store: Arc<SqlStore>,
    pub(super) queue: Arc<dyn Queue>,
    /// Whether the queue is a server's.
    pub(super) shared: bool,
    pub(super) clock: Arc<dyn Clock>,
}

const LANES: [(Lane, &str); 2] = [(Lane::Exits, "exits"), (Lane::Entries, "entries")];

fn number(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

impl QueueProbe {
    /// Readings of the depth of each lane, and of the server's answering.
    async fn depths(&self) -> (Vec<Reading>, Vec<Reading>) {
        let mut depths = Vec::new();
        let asked = self.clock.uptime();
        for (lane, name) in LANES {
            match self.queue.depth(lane).await {
                Ok(depth) => {
                    let depth = number(i64::try_from(depth).unwrap_or(i64::MAX));
                    depths.push(Reading::pass(Some(depth)).of(name));
                }
                Err(error) => {
                    let words = format!("{}; workers read the books meanwhile", harmless(&error.to_string()));
                    return (vec![Reading::unknown(words.clone())], vec![Reading::fail(None, words)]);
                }
            }
        }
        let took = millis(self.clock.uptime().saturating_sub(asked)) / 2.0;
        (depths, vec![Reading::below(took, SLOW_MS, "it answers slowly")])
    }

    /// Readings of waiting, in flight, overdue and dead jobs.
    async fn jobs(&self) -> StoreResult<[Vec<Reading>; 4]> {
        let counts = self.store.count_jobs().await?;
        let of = |state: JobState| {
            let one = |(lane, name): (Lane, &str)| {
                let found = counts.iter().find(|(l, s, _)| (*l, *s) == (lane, state));
                Reading::pass(Some(number(found.map_or(0, |(_, _, count)| *count)))).of(name)
            };
            LANES.map(one).to_vec()
        };
        let next = self.store.jobs(JobState::Waiting, 1).await?;
        let now = self.clock.now();
        let overdue = next.first().map_or(0.0, |job| now.since(job.due).as_secs_f64());
        let overdue = Reading::below(overdue, OVERDUE_S, "the next job is overdue: is anybody working?");
        let dead = self.store.dead_letters(DEAD_LETTERS).await?;
        let day = now.minus(Duration::from_secs(24 * 3_600));
        let dead = dead.iter().filter(|letter| letter.reason.is_none() || letter.at > day).count();
        let dead = number(i64::try_from(dead).unwrap_or(i64::MAX));
        let words = "jobs wait for an operator, or ended without an order in the last day; `slipstream queue dead-letter` tells which";
        let dead = Reading::below(dead, (1.0, f64::INFINITY), words);
        Ok([of(JobState::Waiting), of(JobState::Settling), vec![overdue], vec![dead]])
    }
}

#[async_trait]
impl Probe for QueueProbe {
    fn checks(&self) -> &[Check] {
        const fn of(measurement: &'static str, unit: &'static str, weight: Weight) -> Check {
            Check { component: "queue", measurement, kind: Kind::Datastore, unit, weight }
        }
        const {
            &[
                of("depth", "jobs", Weight::Minor),
                Check {
                    component: "redis",
                    measurement: "responseTime",
                    kind: Kind::Datastore,
                    unit: "ms",
                    weight: Weight::Minor,
                },
                of("waiting", "jobs", Weight::Minor),
                of("inFlight", "jobs", Weight::Minor),
                of("oldestAge", "s", Weight::Major),
                of("deadLetters", "jobs", Weight::Minor),
            ]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let (depths, server) = self.depths().await;
        let server = if self.shared { server } else { Vec::new() };
        let jobs = self.jobs().await.unwrap_or_else(|error| {
            let words = harmless(&error.to_string());
            [(); 4].map(|()| vec![Reading::unknown(words.clone())])
        });
        [depths, server].into_iter().chain(jobs).collect()
    }
}

/// Looks who works, and who has given a sign of life just now.
pub(super) struct WorkersProbe {
    pub(super) store: Arc<SqlStore>,
    /// Whether others work beside this process.
    pub(super) shared: bool,
}

impl WorkersProbe {
    async fn seen(&self) -> StoreResult<Vec<Reading>> {
        let running = self.store.running_instances().await?;
        let mut processes: BTreeMap<&str, bool> = BTreeMap::new();
        for instance in &running {
            let works = instance.0.split_once('/').is_some_and(|(_, task)| task.starts_with("worker"));
            *processes.entry(process_of(instance)).or_default() |= works;
        }
        let (mut readings, mut working) = (Vec::new(), 0_u32);
        for (process, works) in processes {
            let alive = !self.shared || lives(self.store.as_ref(), process).await?;
            working = working.saturating_add(u32::from(alive && works));
            let tasks = running.iter().filter(|instance| process_of(instance) == process).count();
            let tasks = Some(number(i64::try_from(tasks).unwrap_or(i64::MAX)));
            let reading = match alive {
                true => Reading::pass(tasks),
                false => Reading::warn(tasks, "no sign of life; `slipstream instance list` tells more"),
            };
            readings.push(reading.of(process));
        }
        // One process alone is its own worker. Of many a worker is known from its first order on.
        if self.shared && working == 0 {
            let words = "no worker is known that lives; one that has signed nothing yet is not known";
            readings.push(Reading::warn(Some(0.0), words).of("workers"));
        }
        Ok(readings)
    }
}

#[async_trait]
impl Probe for WorkersProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[Check {
                component: "workers",
                measurement: "heartbeat",
                kind: Kind::Component,
                unit: "tasks",
                weight: Weight::Major,
            }]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        let seen = self.seen().await;
        vec![seen.unwrap_or_else(|error| vec![Reading::unknown(harmless(&error.to_string()))])]
    }
}

/// Who tells the log has read the events up to its cursor.
const LOG: &str = "log";
/// An occurrence of what may never happen stands for so long.
const STANDS: Duration = Duration::from_secs(24 * 3_600);

/// Reads what happened, for what may never happen: one occurrence is enough, and it stands for a day. A start makes it no
/// better: a day is read back.
pub(super) struct InvariantsProbe {
    store: Arc<SqlStore>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    begun: bool,
    after: i64,
    /// Newest of each kind.
    broken: BTreeMap<&'static str, (u32, Timestamp)>,
}

/// What an event breaks, if it breaks anything.
fn broken(event: &Event) -> Option<&'static str> {
    match &event.kind {
        EventKind::OrderAlarm { alarm, .. } => match alarm {
            OrderAlarm::Overfilled => Some("duplicate order"),
            OrderAlarm::FillAfterEnd => Some("fill after the end"),
            OrderAlarm::NotBelieved => Some("unreconciled trade"),
            _ => None,
        },
        EventKind::PayoutDiffers { .. } => Some("payout differs"),
        EventKind::ForeignOrder { .. } => Some("foreign order"),
        _ => None,
    }
}

impl InvariantsProbe {
    pub(super) fn new(store: Arc<SqlStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, seen: Mutex::default() }
    }

    /// The number of the last event before a moment, so that a start reads no month of them.
    async fn last_before(&self, moment: Timestamp) -> StoreResult<i64> {
        let (mut before, mut after) = (0, self.store.event_cursor(LOG).await?);
        while before < after {
            let middle = before.midpoint(after);
            match self.store.events_after(middle, 1).await?.first() {
                Some((number, event)) if event.at < moment => before = *number,
                _ => after = middle,
            }
        }
        Ok(before)
    }

    async fn events(&self) -> StoreResult<()> {
        let begun = self.lock().begun;
        if !begun {
            let after = self.last_before(self.clock.now().minus(STANDS)).await?;
            let mut seen = self.lock();
            (seen.after, seen.begun) = (after, true);
        }
        loop {
            let after = self.lock().after;
            let events = self.store.events_after(after, EVENTS).await?;
            let mut seen = self.lock();
            for (number, event) in &events {
                seen.after = seen.after.max(*number);
                if let Some(kind) = broken(event) {
                    let (count, newest) = seen.broken.entry(kind).or_insert((0, event.at));
                    *count = count.saturating_add(1);
                    *newest = event.at.max(*newest);
                }
            }
            if events.len() < EVENTS {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self) -> Vec<Reading> {
        let (mut seen, now) = (self.lock(), self.clock.now());
        seen.broken.retain(|_, (_, at)| now.since(*at) < STANDS);
        let reading = |(kind, (count, at)): (&&str, &(u32, Timestamp))| {
            let words = format!("last at {at}; `slipstream verify` and the log tell more");
            Reading::fail(Some(f64::from(*count)), words).of(*kind)
        };
        seen.broken.iter().map(reading).collect()
    }
}

#[async_trait]
impl Probe for InvariantsProbe {
    fn checks(&self) -> &[Check] {
        const {
            &[Check {
                component: "invariants",
                measurement: "broken",
                kind: Kind::System,
                unit: "occurrences",
                weight: Weight::Major,
            }]
        }
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn within(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn look(&self) -> Vec<Vec<Reading>> {
        match self.events().await {
            Ok(()) => vec![self.readings()],
            Err(error) => vec![vec![Reading::unknown(harmless(&error.to_string()))]],
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::AccountId;
    use testkit::virtual_clock::VirtualClock;

    use super::*;

    /// What happened before the process began stands, and ends a day later; what is older is not read again.
    #[tokio::test]
    async fn what_may_never_happen_stands_for_a_day_whenever_a_process_begins() {
        let directory = tempfile::tempdir().unwrap();
        let clock = VirtualClock::new(Timestamp::from_seconds(10_000_000));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let store = Arc::new(SqlStore::open(&directory.path().join("slipstream.db"), time()).await.unwrap());
        let day = Duration::from_secs(24 * 3_600);
        let tell = async |order: u8, ago: Duration| {
            let kind = EventKind::ForeignOrder { account: AccountId(1), order: domain::OrderId([order; 32]) };
            store.tell(&Event { owner: None, at: clock.now().minus(ago), kind }).await.unwrap();
        };
        for order in 0..20 {
            tell(order, day * 2).await;
        }
        tell(20, Duration::from_secs(60)).await;
        store.move_event_cursor(LOG, 21).await.unwrap();
        let probe = InvariantsProbe::new(Arc::clone(&store), time());
        assert_eq!(probe.last_before(clock.now().minus(STANDS)).await.unwrap(), 20);
        let seen = async || probe.look().await.remove(0);
        let broken = seen().await;
        assert_eq!((broken.len(), broken[0].of.as_str(), broken[0].value), (1, "foreign order", Some(1.0)));
        tell(21, Duration::ZERO).await;
        assert_eq!(seen().await[0].value, Some(2.0), "the same again");
        clock.advance(day);
        assert_eq!(seen().await, []);
    }
}

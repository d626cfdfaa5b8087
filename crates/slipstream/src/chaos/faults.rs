//! What is broken, and when: a plan that is drawn from the seed before anything starts.

use std::time::Duration;

use simulator::world::faults::{Fault as VenueFault, FaultKind, FaultTarget};

use super::{random::Random, team::Role};

/// A watcher that stands still for so long has lost its lease; so has a worker that had orders in hand.
const FROZEN_WATCHER: Duration = Duration::from_secs(7);
const FROZEN_WORKER: Duration = Duration::from_secs(35);
/// The venue's clock goes off by so many seconds, and those of our processes by as much at most, in milliseconds, for the whole
/// run: together it is less than what stops buying.
const SKEW: i64 = 4;
const OWN_SKEW: u64 = 4_000;
/// A disk is full for so much longer than servers are away: what has room is written first.
const FULL_LONGER: Duration = Duration::from_secs(2);
/// For each two kills one other fault, and one of the venue's.
const KILLS_FOR_EACH: usize = 2;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed, wherever it is, and started again.
    Kill(Role, usize),
    /// A process stands still for so long and goes on then.
    Freeze(Role, usize, Duration),
    /// Somebody deletes the queue.
    DeleteQueue,
    /// Somebody deletes everything in Redis.
    FlushRedis,
    /// Redis ends, and comes back empty.
    StopRedis(Duration),
    /// PostgreSQL ends as on a loss of power, and comes back.
    StopPostgres(Duration),
    /// The database's disk is full, until somebody makes room.
    FullDisk(Duration),
    /// Every connection to the database is ended.
    EndConnections,
    /// The connections of the next commits are cut before these are answered.
    CutCommits(u64),
    /// Strangers take every connection that the database has left, and those that others lose.
    TakeConnections(Duration),
    /// The venue does something wrong.
    Venue(VenueFault),
    /// The order book service is down, or says nothing.
    Outage(Duration),
    Silence(Duration),
    /// The venue's clock goes ahead of this machine's, or behind it, by so many seconds.
    Skew(i64, Duration),
    /// The newest blocks are replaced.
    Reorganise(i64),
}

impl Fault {
    /// For reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kill(..) => "kill -9",
            Self::Freeze(Role::Worker, ..) => "worker frozen past its lease",
            Self::Freeze(..) => "watcher frozen past its lease",
            Self::DeleteQueue => "DEL trade_execution_queue",
            Self::FlushRedis => "FLUSHALL",
            Self::StopRedis(_) => "Redis stopped, back empty",
            Self::StopPostgres(_) => "PostgreSQL stopped at once",
            Self::FullDisk(_) => "disk full",
            Self::EndConnections => "connections ended",
            Self::CutCommits(_) => "commits cut",
            Self::TakeConnections(_) => "connections exhausted",
            Self::Skew(..) => "clocks apart",
            Self::Venue(_) => "fault of venue or chain",
            Self::Outage(_) => "venue down",
            Self::Silence(_) => "venue silent",
            Self::Reorganise(_) => "blocks replaced",
        }
    }
}

/// A fault and when it happens, from the beginning.
pub(super) type Planned = (Duration, Fault);

/// So many kills, with other faults among them, over this time.
pub(super) fn plan(
    seed: u64,
    kills: usize,
    over: Duration,
    (workers, watchers): (usize, usize),
) -> Vec<Planned> {
    let mut random = Random::new(seed, 2);
    let mut faults: Vec<Fault> = (0..kills).map(|_| kill(&mut random, workers, watchers)).collect();
    let others = kills / KILLS_FOR_EACH;
    for number in 0..others {
        let at = usize::try_from(random.below(faults.len().try_into().unwrap_or(0))).unwrap_or(0);
        faults.insert(at, other(&mut random, number, workers, watchers));
        let at = usize::try_from(random.below(faults.len().try_into().unwrap_or(0))).unwrap_or(0);
        faults.insert(at, Fault::Venue(of_venue(&mut random, number)));
    }
    let step = over / u32::try_from(faults.len().max(1)).unwrap_or(u32::MAX);
    let jitter = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    let at = |number: usize, random: &mut Random| {
        let begin = step.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        begin.saturating_add(Duration::from_millis(random.below(jitter)))
    };
    faults.into_iter().enumerate().map(|(number, fault)| (at(number, &mut random), fault)).collect()
}

/// By how many milliseconds the clock of each of so many processes is set wrong.
pub(super) fn skews(seed: u64, processes: usize) -> Vec<i64> {
    let mut random = Random::new(seed, 3);
    let drawn = |random: &mut Random| i64::try_from(random.below(2 * OWN_SKEW)).unwrap_or(0);
    let middle = i64::try_from(OWN_SKEW).unwrap_or(0);
    (0..processes).map(|_| drawn(&mut random).saturating_sub(middle)).collect()
}

fn kill(random: &mut Random, workers: usize, watchers: usize) -> Fault {
    let mut among = |count: usize| usize::try_from(random.below(count.try_into().unwrap_or(0))).unwrap_or(0);
    match among(10) {
        0..=4 => Fault::Kill(Role::Worker, among(workers)),
        5..=7 => Fault::Kill(Role::Watcher, among(watchers)),
        8 => Fault::Kill(Role::Signer, 0),
        _ => Fault::Kill(Role::Backend, 0),
    }
}

/// Each kind in its turn, so that a short run has all of them.
fn other(random: &mut Random, number: usize, workers: usize, watchers: usize) -> Fault {
    let mut below = |limit: u64| random.below(limit);
    let away = Duration::from_millis(500 + below(2_500));
    let among = |drawn: u64| usize::try_from(drawn).unwrap_or(0);
    match number % 14 {
        0 => Fault::DeleteQueue,
        1 => Fault::StopPostgres(away),
        2 => Fault::Freeze(Role::Watcher, among(below(watchers.try_into().unwrap_or(0))), FROZEN_WATCHER),
        3 => Fault::EndConnections,
        4 => Fault::FlushRedis,
        5 => Fault::TakeConnections(away),
        6 => Fault::StopRedis(away),
        7 => Fault::Freeze(Role::Worker, among(below(workers.try_into().unwrap_or(0))), FROZEN_WORKER),
        8 => Fault::Outage(away),
        9 => Fault::Silence(away),
        10 => Fault::Reorganise(i64::try_from(1 + below(2)).unwrap_or(1)),
        11 => Fault::CutCommits(1 + below(6)),
        12 => Fault::Skew(i64::try_from(below(2)).unwrap_or(0) * 2 * SKEW - SKEW, away),
        _ => Fault::FullDisk(away.saturating_add(FULL_LONGER)),
    }
}

/// What the venue, its settlement, its sockets and the chain's providers do wrong, each kind in its turn. Not here: an order
/// version that is refused holds everything until a person lifts it, logs that are missing are found after a minute and a half,
/// and nobody here sends a transaction that could wait.
const OF_VENUE: [FaultKind; 24] = [
    FaultKind::DropBefore,
    FaultKind::AcceptThenDrop,
    FaultKind::Slow,
    FaultKind::Error500Before,
    FaultKind::Error500After,
    FaultKind::TimedOutText,
    FaultKind::TimedOutTextAfter,
    FaultKind::TooManyRequests,
    FaultKind::TooEarly,
    FaultKind::TruncateReply,
    FaultKind::AcceptLate,
    FaultKind::Retrying,
    FaultKind::Failed,
    FaultKind::RpcError,
    FaultKind::HeadBack,
    FaultKind::Duplicate,
    FaultKind::Stall,
    FaultKind::MissPong,
    FaultKind::Malformed,
    FaultKind::Reorder,
    FaultKind::Disconnect,
    FaultKind::SlowReader,
    FaultKind::Oversized,
    FaultKind::Replay,
];

const SOCKETS: [FaultTarget; 4] =
    [FaultTarget::UserSocket, FaultTarget::LiveSocket, FaultTarget::HeadSocket, FaultTarget::MarketSocket];

fn of_venue(random: &mut Random, number: usize) -> VenueFault {
    let kind = OF_VENUE.get(number % OF_VENUE.len()).copied().unwrap_or(FaultKind::AcceptThenDrop);
    let target = match kind.target() {
        FaultTarget::MarketSocket => *random.one_of(&SOCKETS).unwrap_or(&FaultTarget::MarketSocket),
        target => target,
    };
    let count = u32::try_from(1 + random.below(5)).unwrap_or(1);
    VenueFault { target, kind, count, delay_ms: random.below(1_500), depth: 2 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_plan_is_its_seeds_and_has_everything() {
        let over = Duration::from_secs(60);
        let made = plan(7, 50, over, (3, 2));
        assert_eq!(made, plan(7, 50, over, (3, 2)));
        assert_ne!(made, plan(8, 50, over, (3, 2)));
        let kills = made.iter().filter(|(_, fault)| matches!(fault, Fault::Kill(..))).count();
        assert_eq!((made.len(), kills), (100, 50));
        assert!(made.is_sorted_by_key(|(at, _)| *at) && made.iter().all(|(at, _)| *at < over));
        let names: BTreeSet<&str> = made.iter().map(|(_, fault)| fault.name()).collect();
        assert_eq!(names.len(), 16, "{names:?}");
    }

    #[test]
    fn clocks_are_set_wrong_in_both_directions() {
        let skews = skews(7, 50);
        assert_eq!(skews, super::skews(7, 50));
        assert!(skews.iter().all(|millis| millis.abs() <= 4_000));
        assert!(skews.iter().any(|millis| *millis < -2_000) && skews.iter().any(|millis| *millis > 2_000));
    }

    #[test]
    fn the_simulator_can_do_what_is_drawn() {
        let mut random = Random::new(1, 1);
        for number in 0..1_000 {
            let fault = of_venue(&mut random, number);
            assert!(fault.kind.can_break(fault.target) && fault.count > 0, "{fault:?}");
        }
        // Each kind is there once: 48 kills play them all.
        let kinds: BTreeSet<FaultKind> = OF_VENUE.into_iter().collect();
        assert_eq!(kinds.len(), OF_VENUE.len());
    }
}

//! What an order waits for on its way, and how many of it there are in an installation of some shape.

use super::costs::Costs;

/// Relationships decided in one commit, and orders of one batch: `engine::limits`, and decision 0014.
pub(super) const CHUNK: u32 = 500;
pub(super) const BATCH: u32 = 256;
/// Commits of a batch: the signed bytes, what was replied, what is settled.
const COMMITS: f64 = 3.0;
/// Orders that the venue takes from one address, in two windows, of which nine tenths are used. Source: the venue's
/// published limits of `POST /order`.
pub(super) const WINDOWS: [(f64, f64); 2] = [(10.0, 3_500.0 * 0.9), (600.0, 36_000.0 * 0.9)];

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Station {
    /// The cores that everything shares on one machine.
    Cores,
    /// The watcher, of which one decides at a time.
    Watcher,
    /// The database's one writer.
    Writer,
    /// The cores of the workers' machines.
    Workers,
    /// What the venue takes from an address.
    Address,
}

impl Station {
    pub(super) const ALL: [Self; 5] =
        [Self::Cores, Self::Watcher, Self::Writer, Self::Workers, Self::Address];

    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cores => "the cores",
            Self::Watcher => "the watcher",
            Self::Writer => "the database's writer",
            Self::Workers => "the workers' cores",
            Self::Address => "the venue's limit of an address",
        }
    }
}

/// An installation, or several beside each other that have divided the followers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Everything on one machine of so many cores; 0 where each has machines of its own.
    pub(super) shared_cores: usize,
    /// Parts that have a watcher and a database each.
    pub(super) parts: usize,
    /// Cores of all workers' machines.
    pub(super) worker_cores: usize,
    /// Internet addresses of the workers.
    pub(super) addresses: usize,
}

/// The shapes that are looked at.
pub(super) const SHAPES: [Shape; 4] = [
    Shape { name: "one machine, 2 cores", shared_cores: 2, parts: 1, worker_cores: 0, addresses: 1 },
    Shape {
        name: "servers apart, 4 workers' machines",
        shared_cores: 0,
        parts: 1,
        worker_cores: 8,
        addresses: 4,
    },
    Shape {
        name: "4 parts by tenant, 16 machines",
        shared_cores: 0,
        parts: 4,
        worker_cores: 32,
        addresses: 16,
    },
    Shape {
        name: "16 parts by tenant, 64 machines",
        shared_cores: 0,
        parts: 16,
        worker_cores: 128,
        addresses: 64,
    },
];

impl Shape {
    /// How many of a station there are; 0 where nothing waits for it.
    pub(super) const fn count(&self, station: Station) -> usize {
        let apart = self.shared_cores == 0;
        match station {
            Station::Cores => self.shared_cores,
            Station::Watcher if apart => self.parts,
            Station::Watcher => 0,
            Station::Writer => self.parts,
            Station::Workers if apart => self.worker_cores,
            Station::Workers => 0,
            Station::Address => self.addresses,
        }
    }

    /// The way of so many orders that are decided together, station by station, in seconds.
    pub(super) fn decided(&self, costs: &Costs, orders: f64) -> Vec<(Station, f64)> {
        let commit = costs.commit_ms / 1e3;
        let (decide, store) = (costs.decide_us * orders / 1e6, costs.database_us * orders / 1e6);
        // Of what the database does for an order about a third is commit 1.
        let first = store / 3.0;
        match self.shared_cores {
            0 => vec![(Station::Watcher, decide), (Station::Writer, first + commit)],
            _ => vec![(Station::Cores, decide + first), (Station::Writer, commit)],
        }
    }

    /// The way of a batch of orders from the queue to the venue; and what is done about them later, which nobody waits for.
    pub(super) fn sent(&self, costs: &Costs, orders: f64) -> Vec<(Station, f64)> {
        let commits = COMMITS * costs.commit_ms / 1e3;
        let work = (costs.work_us + costs.queue_us) * orders / 1e6;
        let store = costs.database_us * orders / 1e6 * 2.0 / 3.0;
        match self.shared_cores {
            0 => vec![(Station::Workers, work), (Station::Writer, store + commits)],
            _ => vec![(Station::Cores, work + store), (Station::Writer, commits)],
        }
    }
}

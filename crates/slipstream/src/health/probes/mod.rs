//! What is looked at in a running process, and how often. Each probe asks one thing of the outside and leaves the judging of
//! the whole to the board. Decides nothing, and stops nothing.

mod certificate;
mod data;
mod machine;
mod work;
mod world;

use std::{path::PathBuf, sync::Arc};

use domain::Clock;
use engine::ports::{queue::Queue, venue::VenueClock};
use operations::health::{Board, Probe, keep};
use polymarket::Answers;
use store::{PostgresAddress, SqlStore};
use tokio::task::JoinSet;

use self::{
    certificate::CertificateProbe,
    data::{DatabaseProbe, ServerProbe},
    machine::{ClockProbe, DiskProbe, MemoryProbe, TasksProbe},
    work::{InvariantsProbe, QueueProbe, WorkersProbe},
    world::{FeedsProbe, RpcProbe, VenueProbe},
};
use crate::{chain::ChainProviders, sources_command::Sources, venue_clock::ClockWatch};

/// What a process has that can be looked at.
pub(crate) struct Watched {
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The books.
    pub(crate) store: Arc<SqlStore>,
    /// The server they are on, if they are on one.
    pub(crate) database: Option<PostgresAddress>,
    /// The queue.
    pub(crate) queue: Arc<dyn Queue>,
    /// Whether the queue is a server's, and others work beside this process.
    pub(crate) shared: bool,
    /// The order book service, asked for the smallest thing it answers.
    pub(crate) venue: Arc<dyn VenueClock>,
    /// How the venue's services answered whoever asked them.
    pub(crate) answers: Arc<Answers>,
    /// The chain's providers.
    pub(crate) providers: Option<ChainProviders>,
    /// Who tells of leaders' trades.
    pub(crate) sources: Sources,
    /// This machine's clock against the venue's.
    pub(crate) skew: ClockWatch,
    /// Where people reach the installation, if that is over TLS: host and port.
    pub(crate) served_at: Option<(String, u16)>,
    /// Where the data is.
    pub(crate) data_dir: PathBuf,
    /// Tasks that hang.
    pub(crate) hanging: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Probes at work, until this is dropped.
pub(crate) struct Watching {
    /// What they see.
    pub(crate) board: Arc<Board>,
    _tasks: JoinSet<()>,
}

impl Watching {
    /// Has everything looked at.
    pub(crate) fn begin(watched: Watched) -> Self {
        let board = Arc::new(Board::new(Arc::clone(&watched.clock)));
        let clock = Arc::clone(&watched.clock);
        let mut tasks = JoinSet::new();
        for probe in probes(watched) {
            tasks.spawn(keep(Arc::clone(&board), probe, Arc::clone(&clock)));
        }
        Self { board, _tasks: tasks }
    }
}

fn probes(watched: Watched) -> Vec<Arc<dyn Probe>> {
    let Watched { clock, store, database, queue, shared, venue, answers, providers, .. } = watched;
    let time = || Arc::clone(&clock);
    let mut probes: Vec<Arc<dyn Probe>> = vec![
        Arc::new(VenueProbe::new(venue, answers, time())),
        Arc::new(FeedsProbe { sources: watched.sources, clock: time() }),
        Arc::new(DatabaseProbe::new(Arc::clone(&store), time())),
        Arc::new(QueueProbe { store: Arc::clone(&store), queue, shared, clock: time() }),
        Arc::new(WorkersProbe { store: Arc::clone(&store), shared }),
        Arc::new(InvariantsProbe::new(store, time())),
        Arc::new(TasksProbe { hanging: watched.hanging }),
        Arc::new(ClockProbe { skew: watched.skew }),
        Arc::new(DiskProbe { directory: watched.data_dir }),
        Arc::new(MemoryProbe),
    ];
    if let Some(providers) = providers {
        probes.push(Arc::new(RpcProbe { providers }));
    }
    if let Some((host, port)) = watched.served_at {
        probes.push(Arc::new(CertificateProbe { host, port, clock: time() }));
    }
    if let Some(address) = database {
        probes.push(Arc::new(ServerProbe { address }));
    }
    probes
}

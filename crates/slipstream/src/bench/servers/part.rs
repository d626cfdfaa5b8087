//! The processes of a measured team: a venue, and engines of one role each. They end when their standard input does, as it
//! does however the process that measures ends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use domain::{Address, Clock, Timestamp};
use engine::ports::store::Store;
use queue::RedisQueue;
use serde::{Deserialize, Serialize};
use simulator::{Knobs, Profile, Simulator, SimulatorConfig, WorldHandle};
use store::{PostgresAddress, SqlStore, StoreClock};

use super::super::installation::{By, Keys, furnish, lead_by, ports};
use crate::{
    demo::SimulatorUrls,
    instance::this_process,
    output::print,
    runtime::{Role, Runtime, Settings},
};

/// Worker tasks of a worker process, as of an installation that was told nothing else.
const WORKERS: usize = 2;
/// Milliseconds between blocks of a venue that mines by itself, as on Polygon.
const BLOCK_MS: u64 = 2_000;

/// How much of a venue it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bench) enum VenueKind {
    /// Checks no signature and fills everything: what is measured is ours.
    Stub,
    /// Checks every signature, balance and book.
    Verifying,
    /// As a stub, with blocks that come by themselves.
    Idle,
}

/// What such a process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// A venue that knows the wallets of this many followers.
    Venue {
        /// How much of one.
        kind: VenueKind,
        /// Wallets.
        followers: usize,
    },
    /// Detects and decides.
    Watcher(Engine),
    /// Signs, sends and settles.
    Worker(Engine),
}

/// What an engine is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    pub(super) database: String,
    pub(super) queue: String,
    pub(super) venue: SimulatorUrls,
    /// Followers whose keys it can use.
    pub(super) followers: usize,
}

impl std::str::FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// What a venue is asked, a line each. The answer is a number in a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// A leader's trade of this number, mined at once. Answers when.
    Lead(Address, usize),
    /// The next block. Answers when.
    Mine,
    /// How many orders have ever arrived.
    Orders,
    /// When the newest order since then has reached the book; 0 for none.
    Newest(Timestamp),
}

/// Is one of these processes.
///
/// # Errors
/// When it cannot start, or fails.
pub(in crate::bench) async fn be(part: &Part, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    match part {
        Part::Venue { kind, followers } => venue(*kind, *followers, clock).await,
        Part::Watcher(engine) => work(engine, Role::Watcher, clock).await,
        Part::Worker(engine) => work(engine, Role::Worker, clock).await,
    }
}

async fn venue(kind: VenueKind, followers: usize, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    let all = Keys::of_seed(1).followers(followers).await?;
    let verifies = kind == VenueKind::Verifying;
    let config = SimulatorConfig {
        block_interval_ms: if kind == VenueKind::Idle { BLOCK_MS } else { 0 },
        profile: if verifies { Profile::Full } else { Profile::Stub },
        knobs: Knobs { verify_signatures: verifies, ..Knobs::default() },
        ..SimulatorConfig::default()
    };
    let simulator = Simulator::start(config, Arc::clone(clock)).await?;
    let world = simulator.world();
    furnish(&world, &all)?;
    drop(all);
    print(&serde_json::to_string(&SimulatorUrls::of(&simulator))?)?;
    let answering = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            print(&answer(&world, serde_json::from_str(&line?)?)?.to_string())?;
        }
        anyhow::Ok(())
    });
    answering.await.context("the venue's thread died")??;
    simulator.shutdown().await;
    Ok(())
}

fn answer(world: &WorldHandle, ask: Ask) -> anyhow::Result<i64> {
    let now = || world.with(|_, now| now.0);
    match ask {
        Ask::Lead(leader, number) => {
            lead_by(world, leader, number)?;
            Ok(now())
        }
        Ask::Mine => {
            world.with(|world, now| world.mine(now));
            Ok(now())
        }
        Ask::Orders => Ok(i64::try_from(world.with(|world, _| world.journal().orders.len()))?),
        Ask::Newest(since) => Ok(world.with(|world, _| {
            let known = world.journal().orders.values().filter_map(|order| order.known_since);
            known.filter(|at| *at >= since).max().unwrap_or_default().0
        })),
    }
}

async fn work(engine: &Engine, role: Role, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    let keys = Keys::of_seed(1);
    drop(keys.followers(engine.followers).await?);
    let address: PostgresAddress = engine.database.parse()?;
    let address = address.named(role.connections()).as_it_is();
    let store: Arc<dyn Store> = Arc::new(SqlStore::connect(&address, StoreClock::Database).await?);
    let (mut ports, history_every) = ports(By::Chain, store, &engine.venue, &keys, clock)?;
    let process = u64::from(std::process::id());
    ports.queue = Arc::new(RedisQueue::new(&engine.queue, process, Arc::clone(clock))?);
    let settings = Settings { workers: WORKERS, history_every, role, shared: true };
    let runtime = Runtime::start(ports, settings, this_process()).await?;
    print("ready")?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().try_for_each(|line| line.map(drop)));
    ended.await.context("the thread that waits for the end died")??;
    Ok(runtime.shutdown().await?)
}

/// One of these processes, as whoever measures sees it.
pub(super) struct Running {
    name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts one; it is there once it has said its first line.
    pub(super) fn start(name: &'static str, part: &Part) -> anyhow::Result<(Self, String)> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(program);
        command.args(["bench", "--part"]).arg(serde_json::to_string(part)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().with_context(|| format!("the {name} cannot be started"))?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let mut running = Self { name, process, input, output };
        let first = running.line()?;
        Ok((running, first))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).with_context(|| format!("the {}", self.name))?;
        ensure!(read > 0, "the {} has ended", self.name);
        Ok(line.trim_end().to_owned())
    }

    /// Asks a venue.
    pub(super) fn ask(&mut self, ask: Ask) -> anyhow::Result<i64> {
        let input = self.input.as_mut().context("it was told to end")?;
        writeln!(input, "{}", serde_json::to_string(&ask)?).with_context(|| format!("the {}", self.name))?;
        let line = self.line()?;
        line.parse().with_context(|| format!("the {} said `{line}`", self.name))
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Lets it end.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = self.process.wait().with_context(|| format!("the {}", self.name))?;
        ensure!(status.success(), "the {} ended with {status}", self.name);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that was not told to end has nothing to keep; one that has ended needs no kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! A team on private servers: PostgreSQL, Redis, a venue, a watcher and a worker, each a process of its own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use domain::{Address, Clock};
use engine::ports::detection::{Detection as _, Source};
use servers::{PostgresServer, RedisServer};
use store::{PostgresAddress, SqlStore, StoreClock};

use super::{
    part::{Ask, Engine, Part, Running, VenueKind},
    usage,
};
use crate::{
    bench::installation::{Keys, enrol},
    demo::SimulatorUrls,
};

/// Name of the database.
pub(super) const DATABASE: &str = "slipstream";
/// Nothing that is committed may be lost, with the memory that a server of 2 GB gives its buffers by the usual rule of a
/// quarter.
const SETTINGS: &str = "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nshared_buffers = 512MB\n\
     max_wal_size = 2GB\n";
/// A session in which no commit waits for the disk: for filling a database.
const UNSYNCED: &str = "?options=-c%20synchronous_commit%3Doff";
/// Detection may take this long to start.
const START_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The servers, with nothing in them.
pub(super) struct Servers {
    pub(super) postgres: PostgresServer,
    pub(super) redis: RedisServer,
}

impl Servers {
    pub(super) fn start() -> anyhow::Result<Self> {
        let postgres = PostgresServer::start_with(SETTINGS).context("a private PostgreSQL server")?;
        let redis = RedisServer::start().context("a private Redis server")?;
        Ok(Self { postgres, redis })
    }

    /// A new database, as its owner. It is thrown away with whatever was in the one before.
    pub(super) fn database(&self) -> anyhow::Result<String> {
        self.postgres.run("postgres", &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))?;
        self.postgres.run("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        self.redis.run(&["FLUSHALL"])?;
        Ok(self.postgres.url(DATABASE))
    }

    /// Connects to the database to fill it.
    pub(super) async fn filling(&self) -> anyhow::Result<SqlStore> {
        let address: PostgresAddress = format!("{}{UNSYNCED}", self.postgres.url(DATABASE)).parse()?;
        Ok(SqlStore::connect(&address, StoreClock::Database).await?)
    }

    /// Everything that was filled in is on the disk, and the planner knows of it.
    pub(super) fn filled(&self) -> anyhow::Result<()> {
        self.postgres.run(DATABASE, "VACUUM ANALYZE")?;
        self.postgres.run(DATABASE, "CHECKPOINT")?;
        Ok(())
    }

    /// One number of the database.
    pub(super) fn number(&self, sql: &str) -> anyhow::Result<f64> {
        let text = self.postgres.run(DATABASE, sql)?;
        text.trim().parse().with_context(|| format!("`{text}` is no number"))
    }
}

/// The CPU time of each process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    pub(super) watcher: Duration,
    pub(super) worker: Duration,
    pub(super) postgres: Duration,
    pub(super) redis: Duration,
    pub(super) venue: Duration,
}

impl Cpu {
    /// Since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            watcher: self.watcher.saturating_sub(earlier.watcher),
            worker: self.worker.saturating_sub(earlier.worker),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            redis: self.redis.saturating_sub(earlier.redis),
            venue: self.venue.saturating_sub(earlier.venue),
        }
    }
}

/// All of them at work.
pub(super) struct Stack<'a> {
    pub(super) servers: &'a Servers,
    pub(super) store: Arc<SqlStore>,
    venue: Running,
    watcher: Running,
    worker: Running,
}

impl<'a> Stack<'a> {
    /// Fills a new database with leaders, each followed by the first so many of all followers, and starts everybody.
    pub(super) async fn start(
        servers: &'a Servers,
        kind: VenueKind,
        leaders: &[(Address, usize)],
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let database = servers.database()?;
        let followers = leaders.iter().map(|(_, followers)| *followers).max().unwrap_or(0);
        let all = Keys::of_seed(1).followers(followers).await?;
        let filling = servers.filling().await?;
        enrol(&filling, &all, leaders, clock.as_ref()).await.context("filling the database")?;
        filling.close().await?;
        servers.filled()?;
        let (venue, urls) = Running::start("venue", &Part::Venue { kind, followers })?;
        let urls: SimulatorUrls = serde_json::from_str(&urls).context("the venue's addresses")?;
        let engine = Engine { database, queue: servers.redis.url(0), venue: urls, followers };
        let (watcher, _) = Running::start("watcher", &Part::Watcher(engine.clone()))?;
        let (worker, _) = Running::start("worker", &Part::Worker(engine.clone()))?;
        let address: PostgresAddress = engine.database.parse()?;
        let address = address.named("bench").as_it_is();
        let store = Arc::new(SqlStore::connect(&address, StoreClock::Database).await?);
        let limit = clock.uptime() + START_PATIENCE;
        while store.cursor(Source::Chain).await?.is_none() {
            ensure!(clock.uptime() < limit, "detection did not start within {START_PATIENCE:?}");
            clock.sleep(LOOK_EVERY).await;
        }
        Ok(Self { servers, store, venue, watcher, worker })
    }

    pub(super) fn ask(&mut self, ask: Ask) -> anyhow::Result<i64> {
        self.venue.ask(ask)
    }

    pub(super) fn cpu(&self) -> anyhow::Result<Cpu> {
        let redis: Vec<u32> = self.servers.redis.process().into_iter().collect();
        Ok(Cpu {
            watcher: usage::cpu(&[self.watcher.id()]),
            worker: usage::cpu(&[self.worker.id()]),
            postgres: usage::cpu(&self.servers.postgres.processes()?),
            redis: usage::cpu(&redis),
            venue: usage::cpu(&[self.venue.id()]),
        })
    }

    /// Ends everybody; the servers stay, and what is in them.
    pub(super) fn end(self) -> anyhow::Result<Arc<SqlStore>> {
        self.watcher.end()?;
        self.worker.end()?;
        self.venue.end()?;
        Ok(self.store)
    }
}

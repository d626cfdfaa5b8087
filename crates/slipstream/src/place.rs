//! Where an installation is: its data directory, and the servers that its processes share, if it has any.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use domain::Clock;
use queue::RedisQueue;
use store::{
    DirectoryLock, Durability, Migrated, OpenError, PostgresAddress, SqlStore, StoreClock, lock_directory,
};
use tracing::warn;

use crate::{
    commands::DATABASE,
    configuration::{Configuration, ServerUrl},
};

/// Name of the file in a data directory that remembers the newest commit of its process: a database that went back in time
/// does not know it.
const MARK: &str = "commit.mark";

/// What connections of a command are called.
const COMMAND: &str = "command";

/// Where an installation is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Of this process alone: its socket, its secret, and without servers the books.
    pub data_dir: PathBuf,
    /// Where the books and the queue are, if many processes share them.
    pub servers: Option<Servers>,
}

/// The servers that processes of an installation share.
#[derive(Clone, Debug)]
pub struct Servers {
    database: ServerUrl,
    pooled: Option<ServerUrl>,
    connections: u32,
    queue: ServerUrl,
}

/// An installation's store, for as long as a process works on the data directory.
pub struct Held {
    /// The books.
    pub store: Arc<SqlStore>,
    /// Without servers the store has it.
    _lock: Option<DirectoryLock>,
}

impl Place {
    /// The place of a configuration; `data_dir` is the one that a flag names.
    ///
    /// # Errors
    /// When one server is named without the other.
    pub fn of(configuration: &Configuration, data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let data_dir = data_dir.unwrap_or(&configuration.run.data_dir).to_owned();
        Ok(Self { data_dir, servers: Servers::of(configuration)? })
    }

    /// Opens the books for a process that works on them. Its connections are called by its `role`.
    ///
    /// # Errors
    /// When another process has the data directory, or the database cannot be opened.
    pub async fn hold(&self, role: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Held> {
        let Some(servers) = &self.servers else {
            let file = self.data_dir.join(DATABASE);
            return Ok(Held {
                store: Arc::new(SqlStore::open(&file, Arc::clone(clock)).await?),
                _lock: None,
            });
        };
        let lock = lock_directory(&self.data_dir)?;
        let file = self.data_dir.join(DATABASE);
        ensure!(
            !file.exists(),
            "the configuration names the database {}, and {} is there too: an installation has one of them. If the file was copied \
             there (`slipstream db copy`), put it away, with database.mark beside it; else name another --data-dir, or take \
             [database] url away",
            servers.database,
            file.display()
        );
        let store = servers.connect(role).await?;
        servers.keeps(&store).await?;
        Ok(Held { store: Arc::new(store), _lock: Some(lock) })
    }

    /// Remembers what is committed, and looks whether what the process before this one knew is there. Called once the secret
    /// has shown that the database is this installation's.
    ///
    /// # Errors
    /// [`OpenError`], in words.
    pub async fn remember(&self, store: &SqlStore) -> anyhow::Result<()> {
        Ok(store.remember_in(&self.data_dir.join(MARK)).await?)
    }

    /// Opens the books for a command, while nobody works on the data directory. A server's are taken as they are: others may
    /// work there, of a version that a newer schema does not serve.
    ///
    /// # Errors
    /// [`OpenError`], in words.
    pub async fn open(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<SqlStore> {
        match &self.servers {
            Some(servers) => servers.look(COMMAND, servers.connections).await,
            None => Ok(SqlStore::open(&self.data_dir.join(DATABASE), Arc::clone(clock)).await?),
        }
    }

    /// That there is an installation.
    ///
    /// # Errors
    /// In words, when there is none.
    pub fn must_be_there(&self) -> anyhow::Result<()> {
        ensure!(
            self.is_there(),
            "there is no Slipstream data in {}: `slipstream init` makes an installation, --data-dir names another directory",
            self.data_dir.display()
        );
        Ok(())
    }

    /// Whether there is an installation.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.servers.is_some() || self.data_dir.join(DATABASE).exists()
    }
}

impl Servers {
    fn of(configuration: &Configuration) -> anyhow::Result<Option<Self>> {
        let (database, queue) = (&configuration.database, &configuration.queue);
        match (&database.url, &queue.url) {
            (Some(url), Some(queue)) => Ok(Some(Self {
                database: url.clone(),
                pooled: database.pooled_url.clone(),
                connections: u32::from(database.connections),
                queue: queue.clone(),
            })),
            (None, None) if database.pooled_url.is_none() => Ok(None),
            (None, None) => {
                bail!("[database] pooled_url is set without `url`, the database past the pooler: set it too")
            }
            (Some(url), None) => bail!(
                "the database is {url} ([database] url, DATABASE_URL), and no queue is named: processes that share a database \
                 share a Redis server too. Set [queue] url (REDIS_URL), or take the database away to work with a file"
            ),
            (None, Some(url)) => bail!(
                "the queue is {url} ([queue] url, REDIS_URL), and no database is named: only processes that share a PostgreSQL \
                 database share a queue. Set [database] url (DATABASE_URL), or take the queue away"
            ),
        }
    }

    /// Connects to the books, and brings their schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], in words.
    async fn connect(&self, role: &str) -> anyhow::Result<SqlStore> {
        let worked_on =
            |url: &ServerUrl| anyhow::Ok(address(url)?.named(role).with_connections(self.connections));
        let direct = worked_on(&self.database)?;
        let connected = match &self.pooled {
            None => SqlStore::connect(&direct, StoreClock::Database).await,
            Some(pooled) => {
                // What cannot go through a pooler goes past it first.
                let past = address(&self.database)?.named(role).with_connections(1);
                let past = SqlStore::connect(&past, StoreClock::Database).await;
                past.map_err(|error| self.refused(&self.database, error))?.close().await?;
                let address = worked_on(pooled)?.behind_a_pooler();
                return SqlStore::connect(&address, StoreClock::Database)
                    .await
                    .map_err(|error| self.refused(pooled, error));
            }
        };
        connected.map_err(|error| self.refused(&self.database, error))
    }

    /// That what is committed there is kept: an order is sent on the strength of it.
    ///
    /// # Errors
    /// In words, when the server is set to answer before it has written.
    async fn keeps(&self, store: &SqlStore) -> anyhow::Result<()> {
        match store.durability().await? {
            Durability::Kept => {}
            Durability::NotSynced => warn!(
                "the database {} has fsync = off: if its machine fails, it may be gone. That is for tests",
                self.database
            ),
            Durability::Forgets(setting) => bail!(
                "the database {} has synchronous_commit = {setting} for whoever connects so: a commit may be lost after it was \
                 answered, and orders are sent on the strength of it. Let it be `on` (`ALTER DATABASE … RESET \
                 synchronous_commit`, `ALTER ROLE …`, or the server's setting)",
                self.database
            ),
        }
        Ok(())
    }

    /// Connects beside whoever works there, and changes no schema. Its connections are called by its `role`.
    ///
    /// # Errors
    /// [`OpenError`], in words; also when the schema does not serve this binary.
    pub async fn look(&self, role: &str, connections: u32) -> anyhow::Result<SqlStore> {
        let (url, address) = match &self.pooled {
            Some(url) => (url, address(url)?.behind_a_pooler()),
            None => (&self.database, address(&self.database)?.as_it_is()),
        };
        let address = address.named(role).with_connections(connections);
        SqlStore::connect(&address, StoreClock::Database).await.map_err(|error| self.refused(url, error))
    }

    /// Makes schema, roles and rights where the database has no schema yet, so that nobody works there; `None` where it has
    /// this version's.
    ///
    /// # Errors
    /// [`OpenError`], in words; also when the schema is an earlier one, which is not `init`'s to change, and when whoever
    /// connects may make none.
    pub async fn begin(&self, role: &str) -> anyhow::Result<Option<Migrated>> {
        match self.look(role, 1).await {
            Ok(store) => Ok(store.close().await.map(|()| None)?),
            Err(error) => match error.downcast_ref() {
                Some(OpenError::OlderSchema { found: None, .. }) => {
                    let migrated = store::migrate(&address(&self.database)?).await;
                    Ok(Some(migrated.map_err(|error| self.refused(&self.database, error))?))
                }
                _ => Err(error),
            },
        }
    }

    fn refused(&self, url: &ServerUrl, error: OpenError) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("the database {url}"))
    }

    /// The queue; nothing is asked of it yet. `process` is a number that no other process has.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn queue(&self, process: u64, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<RedisQueue>> {
        let queue = RedisQueue::new(self.queue.expose(), process, Arc::clone(clock));
        Ok(Arc::new(queue.with_context(|| format!("the queue {}", self.queue))?))
    }

    /// The database past any pooler, to be looked at.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn database(&self) -> anyhow::Result<PostgresAddress> {
        address(&self.database)
    }

    /// What they are, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("the books are in {}, the queue is at {}", self.database, self.queue)
    }
}

fn address(url: &ServerUrl) -> anyhow::Result<PostgresAddress> {
    url.expose().parse().with_context(|| format!("the database {url}"))
}

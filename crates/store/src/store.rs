//! The store over either database: reading, writing, and whose clock it goes by.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Clock, Timestamp};
use engine::ports::store::{StoreError, StoreResult};
use sqlx::sqlite::SqliteSynchronous;
use tokio::sync::MutexGuard;

use crate::{
    column::Fields,
    dialect::Connection,
    installation,
    pool::PoolFigures,
    postgres::{PostgresAddress, PostgresPool},
    rewound, sql,
    sqlite::{SqliteFile, Writer},
};

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on this data directory.
    #[error("{directory} is in use by {}; stop it, or use another data directory", holder(*pid))]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The other process, if it said so.
        pid: Option<u32>,
    },
    /// The database was written by a newer binary.
    #[error(
        "this database was written by version {found_software} (schema {found}); this binary is version \
         {software} and knows schemas up to {known}: run the newer version, or restore a backup made by this one"
    )]
    NewerSchema {
        /// Its schema.
        found: i64,
        /// The version that wrote it.
        found_software: String,
        /// The newest schema this binary knows.
        known: i64,
        /// This binary's version.
        software: &'static str,
    },
    /// The schema is not this binary's yet, and whoever connects may not change it, or is behind a pooler.
    #[error(
        "the database has {}, this binary needs schema {known}: `slipstream db migrate` brings it up to date, past a pooler \
         and as `slipstream_migration` or the database's owner",
        found.map_or_else(|| "no schema of this program".to_owned(), |found| format!("schema {found}"))
    )]
    OlderSchema {
        /// Its schema, if it has one.
        found: Option<i64>,
        /// The schema this binary knows.
        known: i64,
    },
    /// Programs run that the new schema no longer serves.
    #[error(
        "schema {wanted} no longer serves {}, which run: stop them first (`slipstream instance list`), and say of those that \
         cannot be seen to have ended that they have (`slipstream instance ended NAME`), with their own version",
        names.join(", ")
    )]
    OlderRunning {
        /// The schema that was to be made.
        wanted: i64,
        /// Who runs.
        names: Vec<String>,
    },
    /// The data directory or a file in it cannot be used.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no database, or was made by an unreleased build.
    #[error("{path} cannot be read as a database of this program; use another data directory")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The system of record, in one SQLite file or on a PostgreSQL server.
pub struct SqlStore {
    backend: Backend,
    clock: StoreClock,
}

enum Backend {
    Sqlite(Box<SqliteFile>),
    Postgres(PostgresPool),
}

/// What leases, tasks and the ends of holds are judged by.
pub enum StoreClock {
    /// This one: where one process works on the store.
    Given(Arc<dyn Clock>),
    /// The database's, so that no worker with a clock of its own can take another's lease.
    Database,
}

impl SqlStore {
    /// Opens the store in this file and brings its schema up to date. The file's directory is made if it
    /// is missing, and belongs to this process until the store is dropped. Leases and the ends of holds are
    /// judged by `clock`.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed when the directory is in use or the schema is newer.
    pub async fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        // A commit is on the disk when it returns. NORMAL may lose the last ones with the power.
        Self::in_file(file, clock, SqliteSynchronous::Full).await
    }

    /// As [`SqlStore::open`], but no commit waits for the disk and a power failure may damage the file:
    /// for filling a fresh file with data that can be made again.
    ///
    /// # Errors
    /// As [`SqlStore::open`].
    pub async fn open_unsynced(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::in_file(file, clock, SqliteSynchronous::Off).await
    }

    async fn in_file(
        file: &Path,
        clock: Arc<dyn Clock>,
        synchronous: SqliteSynchronous,
    ) -> Result<Self, OpenError> {
        let backend = Backend::Sqlite(Box::new(SqliteFile::open(file, synchronous).await?));
        Ok(Self { backend, clock: StoreClock::Given(clock) })
    }

    /// The store in this file beside whoever works on it: nothing is locked, brought up to date or written, and what would
    /// write fails.
    ///
    /// # Errors
    /// [`OpenError`]; also when the file is not there.
    pub async fn look(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let backend = Backend::Sqlite(Box::new(SqliteFile::look(file).await?));
        Ok(Self { backend, clock: StoreClock::Given(clock) })
    }

    /// Connects to the store on a PostgreSQL server and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed when the schema is newer.
    pub async fn connect(address: &PostgresAddress, clock: StoreClock) -> Result<Self, OpenError> {
        let pool = PostgresPool::connect(address).await?;
        Ok(Self { backend: Backend::Postgres(pool), clock })
    }

    /// Remembers the newest commit in this file, of this process alone, so that a process that starts again notices a
    /// server's database that went back in time meanwhile: everything is held then. Called once it is known that the
    /// database is the one that was meant. Whoever has the database as a file looks for itself.
    ///
    /// # Errors
    /// When the file cannot be used, or the database refuses.
    pub async fn remember_in(&self, file: &Path) -> Result<(), OpenError> {
        let Backend::Postgres(pool) = &self.backend else { return Ok(()) };
        let looked = rewound::remember_in(pool, file).await;
        Ok(looked.map_err(|source| OpenError::Io { path: file.to_owned(), source })??)
    }

    /// On a server, whether the newest commit that is known of is there, and which one is the newest now.
    pub(crate) async fn look_for_newest(&self) -> StoreResult<()> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(pool) => rewound::look(pool).await,
        }
    }

    /// How the connections to a server are used; `None` of a file.
    #[must_use]
    pub fn connections(&self) -> Option<PoolFigures> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(pool) => Some(pool.figures()),
        }
    }

    /// Ends all reading and puts what was committed into the one file, so that a copy of it is whole. Call it last; a
    /// store that was not closed has lost nothing, its newest commits are in a second file beside the first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close(&self) -> StoreResult<()> {
        match &self.backend {
            Backend::Sqlite(file) => file.close().await,
            Backend::Postgres(pool) => pool.close().await,
        }
    }

    /// Time of the store's own clock.
    pub(crate) async fn now(&self, connection: &mut Connection) -> StoreResult<Timestamp> {
        const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        match &self.clock {
            StoreClock::Given(clock) => Ok(clock.now()),
            StoreClock::Database => {
                let row = sql::row(connection, NOW, []).await?;
                let row =
                    row.ok_or_else(|| StoreError::Unavailable("the database told no time".to_owned()))?;
                Fields::of(&row).get()
            }
        }
    }

    /// Begins a transaction that writes: the only one, on either database
    /// ([decision 0022](../../../docs/decisions/0022-one-writer.md)). Dropping it without [`Write::commit`] undoes it.
    pub(crate) async fn write(&self) -> StoreResult<Write<'_>> {
        Ok(match &self.backend {
            Backend::Sqlite(file) => Write::Sqlite(file.write().await?),
            Backend::Postgres(pool) => Write::Postgres(pool.write().await?, pool),
        })
    }

    /// A connection for one statement that reads.
    pub(crate) async fn read(&self) -> StoreResult<Connection> {
        match &self.backend {
            Backend::Sqlite(file) => file.read().await,
            Backend::Postgres(pool) => pool.read().await,
        }
    }

    /// One state of the database for several statements that read.
    pub(crate) async fn snapshot(&self) -> StoreResult<Connection> {
        match &self.backend {
            Backend::Sqlite(file) => file.snapshot().await,
            Backend::Postgres(pool) => pool.snapshot().await,
        }
    }
}

/// A transaction that writes.
pub(crate) enum Write<'a> {
    Sqlite(MutexGuard<'a, Writer>),
    Postgres(Connection, &'a PostgresPool),
}

impl Write<'_> {
    /// Its connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        match self {
            Self::Sqlite(writer) => writer.connection(),
            Self::Postgres(connection, _) => connection,
        }
    }

    /// Makes everything true at once, durably.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::Sqlite(mut writer) => {
                installation::count_commit(writer.connection()).await?;
                writer.commit().await
            }
            Self::Postgres(mut connection, pool) => {
                let known = pool.remembered.newest();
                match (rewound::count(&mut connection, known).await?, known) {
                    (Some(kept), _) => {
                        connection.commit().await?;
                        pool.remembered.remember(kept);
                        Ok(())
                    }
                    (None, Some(known)) => {
                        connection.undo().await?;
                        Err(rewound::notice(pool, known).await?)
                    }
                    (None, None) => Err(StoreError::Corrupt("the installation's row is missing".to_owned())),
                }
            }
        }
    }

    /// Ends it without a change.
    pub(crate) async fn undo(self) -> StoreResult<()> {
        match self {
            Self::Sqlite(mut writer) => writer.undo().await,
            Self::Postgres(connection, _) => connection.undo().await,
        }
    }
}

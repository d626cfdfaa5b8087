//! The SQLite file: opening it, the one writer, the readers.
//!
//! Why so: two writers fight over the file's lock, and a transaction that reads before it writes can fail
//! for ever; so all writing goes through one connection that begins every transaction as a writer.
//! Readers see the last commit and never wait.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Clock, Timestamp};
use engine::ports::store::{StoreError, StoreResult};
use sqlx::{
    ConnectOptions as _, Connection as _, Pool, Transaction,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    dialect::{BEGIN, Connection, Database},
    error, installation, limits,
    lock::{DirectoryLock, LockError},
};

/// Name of the lock file beside the database.
const LOCK_FILE: &str = "slipstream.lock";

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

/// The system of record in one SQLite file.
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: Pool<Database>,
    pub(crate) clock: Arc<dyn Clock>,
    // Dropped last: connections are closed before the directory is free. A look has none.
    _lock: Option<DirectoryLock>,
}

struct Writer {
    connection: Connection,
    options: SqliteConnectOptions,
    /// A transaction was begun and neither committed nor rolled back: whoever began it is gone.
    open: bool,
}

impl SqliteStore {
    /// Opens the store in this file and brings its schema up to date. The file's directory is made if it
    /// is missing, and belongs to this process until the store is dropped. Leases and the ends of holds are
    /// judged by `clock`.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed when the directory is in use or the schema is newer.
    pub async fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        // A commit is on the disk when it returns. NORMAL may lose the last ones with the power.
        Self::open_with(file, clock, SqliteSynchronous::Full).await
    }

    /// As [`SqliteStore::open`], but no commit waits for the disk and a power failure may damage the file:
    /// for filling a fresh file with data that can be made again.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_unsynced(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_with(file, clock, SqliteSynchronous::Off).await
    }

    async fn open_with(
        file: &Path,
        clock: Arc<dyn Clock>,
        synchronous: SqliteSynchronous,
    ) -> Result<Self, OpenError> {
        let directory = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let lock = lock_directory(directory)?;
        // Made here so that it and the files SQLite puts beside it belong to its user alone.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(file)
            .map_err(|source| OpenError::Io { path: file.to_owned(), source })?;
        let options = writer_options(file, synchronous);
        let opened = async {
            let mut connection = options.connect().await.map_err(error::of)?;
            installation::migrate(&mut connection).await.map(|()| connection)
        };
        let connection = opened.await.map_err(|error| match error {
            OpenError::Store(source @ StoreError::Corrupt(_)) => {
                OpenError::Foreign { path: file.to_owned(), source }
            }
            other => other,
        })?;
        let readers = readers(file).await?;
        let writer = Mutex::new(Writer { connection, options, open: false });
        Ok(Self { writer, readers, clock, _lock: Some(lock) })
    }

    /// The store in this file beside whoever works on it: nothing is locked, brought up to date or written, and what would
    /// write fails.
    ///
    /// # Errors
    /// [`OpenError`]; also when the file is not there.
    pub async fn look(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let options = reader_options(file);
        let mut connection = options.connect().await.map_err(error::of)?;
        installation::check(&mut connection).await?;
        let readers = readers(file).await?;
        let writer = Mutex::new(Writer { connection, options, open: false });
        Ok(Self { writer, readers, clock, _lock: None })
    }

    /// Ends all reading and puts what was committed into the one file, so that a copy of it is whole. Call it last; a
    /// store that was not closed has lost nothing, its newest commits are in a second file beside the first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close(&self) -> StoreResult<()> {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut writer.connection)
            .await
            .map_err(error::of)?;
        Ok(())
    }

    /// Time of the store's own clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Begins a transaction that writes. Dropping it without [`Write::commit`] undoes it.
    pub(crate) async fn write(&self) -> StoreResult<Write<'_>> {
        let mut writer = self.writer.lock().await;
        writer.begin().await?;
        Ok(Write { writer })
    }

    /// A connection for one statement that reads.
    pub(crate) async fn read(&self) -> StoreResult<PoolConnection<Database>> {
        self.readers.acquire().await.map_err(error::of)
    }

    /// One state of the database for several statements that read.
    pub(crate) async fn snapshot(&self) -> StoreResult<Transaction<'static, Database>> {
        self.readers.begin().await.map_err(error::of)
    }
}

impl Writer {
    async fn begin(&mut self) -> StoreResult<()> {
        if self.open {
            // An error here means that the database ended the transaction itself.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            self.open = false;
        }
        if let Err(error) = sqlx::query(BEGIN).execute(&mut self.connection).await {
            tracing::warn!(%error, "the writing connection failed; opening another one");
            let fresh = self.options.connect().await.map_err(error::of)?;
            let old = std::mem::replace(&mut self.connection, fresh);
            old.close_hard().await.map_err(error::of)?;
            sqlx::query(BEGIN).execute(&mut self.connection).await.map_err(error::of)?;
        }
        self.open = true;
        Ok(())
    }
}

/// A transaction that writes.
pub(crate) struct Write<'a> {
    writer: MutexGuard<'a, Writer>,
}

impl Write<'_> {
    /// Its connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.writer.connection
    }

    /// Makes everything true at once, durably.
    pub(crate) async fn commit(mut self) -> StoreResult<()> {
        installation::count_commit(&mut self.writer.connection).await?;
        sqlx::query("COMMIT").execute(&mut self.writer.connection).await.map_err(error::of_commit)?;
        self.writer.open = false;
        Ok(())
    }

    /// Ends it without a change.
    pub(crate) async fn undo(mut self) -> StoreResult<()> {
        sqlx::query("ROLLBACK").execute(&mut self.writer.connection).await.map_err(error::of)?;
        self.writer.open = false;
        Ok(())
    }
}

async fn readers(file: &Path) -> Result<Pool<Database>, OpenError> {
    let pool = SqlitePoolOptions::new()
        .min_connections(limits::READERS)
        .max_connections(limits::READERS)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(pool.connect_with(reader_options(file)).await.map_err(error::of)?)
}

fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let io = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| io(directory, source))?;
    let file = directory.join(LOCK_FILE);
    DirectoryLock::take(&file).map_err(|error| match error {
        LockError::Held(pid) => OpenError::InUse { directory: directory.to_owned(), pid },
        LockError::Io(source) => io(&file, source),
    })
}

fn writer_options(file: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    options(file, limits::WRITER_CACHE_KIB)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", limits::CHECKPOINT_PAGES.to_string())
        .statement_cache_capacity(limits::WRITER_STATEMENTS)
}

fn reader_options(file: &Path) -> SqliteConnectOptions {
    options(file, limits::READER_CACHE_KIB)
        .read_only(true)
        .statement_cache_capacity(limits::READER_STATEMENTS)
}

fn options(file: &Path, cache_kib: i64) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(limits::BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{cache_kib}"))
        // Lists in statements and what a statement would have to undo: small, and worthless after it.
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

//! The SQLite file: opening it, the one writer, the readers.
//!
//! Why so: two writers fight over the file's lock, and a transaction that reads before it writes can fail
//! for ever; so all writing goes through one connection that begins every transaction as a writer.
//! Readers see the last commit and never wait.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use engine::ports::store::{StoreError, StoreResult};
use rustix::fs::Access;
use sqlx::{
    ConnectOptions as _, Connection as _, Pool, Sqlite,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    backup,
    dialect::{BEGIN_ON_SQLITE, Connection, Database},
    error,
    installation::{self, Step},
    limits,
    lock::{self, DirectoryLock, LockError},
    replace::{LOG, beside},
    sql,
    store::OpenError,
};

/// Name of the lock file beside the database.
const LOCK_FILE: &str = "slipstream.lock";

/// A database in one file.
pub(crate) struct SqliteFile {
    writer: Mutex<Writer>,
    readers: Pool<Sqlite>,
    // Dropped last: connections are closed before the directory is free. A look has none.
    _lock: Option<DirectoryLock>,
}

/// The one connection that writes.
pub(crate) struct Writer {
    connection: Connection,
    options: SqliteConnectOptions,
    /// A transaction was begun and neither committed nor rolled back: whoever began it is gone.
    open: bool,
}

impl SqliteFile {
    /// Opens the file and brings its schema up to date. Its directory is made if it is missing, and belongs to this
    /// process until this is dropped. Of a file with an older schema a copy is kept beside it.
    pub(crate) async fn open(file: &Path, synchronous: SqliteSynchronous) -> Result<Self, OpenError> {
        Self::open_with(file, synchronous, installation::STEPS).await
    }

    async fn open_with(
        file: &Path,
        synchronous: SqliteSynchronous,
        steps: &[Step],
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
            let mut connection = Connection::Sqlite(options.connect().await.map_err(error::of)?);
            let stored = installation::stored(&mut connection, steps).await?;
            if let Some((version, _)) =
                stored.filter(|(version, _)| *version < installation::version_of(steps))
            {
                backup::before_migration(&mut connection, file, version).await?;
            }
            installation::migrate(&mut connection, steps).await.map(|()| connection)
        };
        let connection = opened.await.map_err(|error| match error {
            OpenError::Store(source @ StoreError::Corrupt(_)) => {
                OpenError::Foreign { path: file.to_owned(), source }
            }
            other => other,
        })?;
        let readers = readers(file).await?;
        let writer = Mutex::new(Writer { connection, options, open: false });
        Ok(Self { writer, readers, _lock: Some(lock) })
    }

    /// The file beside whoever works on it: nothing is locked, brought up to date or written.
    pub(crate) async fn look(file: &Path) -> Result<Self, OpenError> {
        let options = reader_options(file);
        let mut connection = Connection::Sqlite(options.connect().await.map_err(error::of)?);
        installation::check(&mut connection).await?;
        let readers = readers(file).await?;
        let writer = Mutex::new(Writer { connection, options, open: false });
        Ok(Self { writer, readers, _lock: None })
    }

    /// Ends all reading and puts what was committed into the one file.
    pub(crate) async fn close(&self) -> StoreResult<()> {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        sql::execute(&mut writer.connection, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
        Ok(())
    }

    /// Begins a transaction that writes. Whoever drops it without ending it undoes it.
    pub(crate) async fn write(&self) -> StoreResult<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock().await;
        writer.begin().await?;
        Ok(writer)
    }

    pub(crate) async fn read(&self) -> StoreResult<Connection> {
        self.readers.acquire().await.map(Connection::SqliteReader).map_err(error::of)
    }

    pub(crate) async fn snapshot(&self) -> StoreResult<Connection> {
        self.readers.begin().await.map(Connection::SqliteSnapshot).map_err(error::of)
    }
}

impl Writer {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    async fn begin(&mut self) -> StoreResult<()> {
        if self.open {
            // An error here means that the database ended the transaction itself.
            let _ = sql::execute(&mut self.connection, "ROLLBACK", []).await;
            self.open = false;
        }
        if let Err(error) = sql::execute(&mut self.connection, BEGIN_ON_SQLITE, []).await {
            tracing::warn!(%error, "the writing connection failed; opening another one");
            let fresh = Connection::Sqlite(self.options.connect().await.map_err(error::of)?);
            if let Connection::Sqlite(old) = std::mem::replace(&mut self.connection, fresh) {
                old.close_hard().await.map_err(error::of)?;
            }
            sql::execute(&mut self.connection, BEGIN_ON_SQLITE, []).await?;
        }
        self.open = true;
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> StoreResult<()> {
        if let Database::Sqlite(connection) = self.connection.database() {
            sqlx::query("COMMIT").execute(connection).await.map_err(error::of_commit)?;
        }
        self.open = false;
        Ok(())
    }

    pub(crate) async fn undo(&mut self) -> StoreResult<()> {
        sql::execute(&mut self.connection, "ROLLBACK", []).await?;
        self.open = false;
        Ok(())
    }
}

async fn readers(file: &Path) -> Result<Pool<Sqlite>, OpenError> {
    let pool = SqlitePoolOptions::new()
        .min_connections(limits::READERS)
        .max_connections(limits::READERS)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(pool.connect_with(reader_options(file)).await.map_err(error::of)?)
}

/// Takes a data directory for this process, made if it is missing, until the lock is dropped.
///
/// # Errors
/// [`OpenError::InUse`], or when it cannot be made.
pub fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
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
        .immutable(stands_still(file))
        .statement_cache_capacity(limits::READER_STATEMENTS)
}

/// Whether nobody can be writing this file: its directory cannot be written from here, no process has its lock (one of
/// another user might), and no newer commits lie beside it.
/// SQLite needs room for an index beside it otherwise, also to read.
fn stands_still(file: &Path) -> bool {
    let directory = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let log = fs::metadata(beside(file, LOG)).map_or(0, |log| log.len());
    log == 0 && !may_be_written(directory) && !lock::is_held(&directory.join(LOCK_FILE))
}

/// Whether this process may make files in a directory.
#[must_use]
pub fn may_be_written(directory: &Path) -> bool {
    rustix::fs::access(directory, Access::WRITE_OK).is_ok()
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Migrations of a version to come.
    fn next(text: &'static str) -> Vec<Step> {
        [installation::STEPS, &[("next", text, 2)]].concat()
    }

    #[tokio::test]
    async fn a_copy_is_kept_before_the_schema_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("slipstream.db");
        let copy = |number: &str| directory.path().join(format!("slipstream.db.schema-1{number}"));
        let sync = SqliteSynchronous::Off;
        SqliteFile::open(&file, sync).await.unwrap().close().await.unwrap();
        SqliteFile::open(&file, sync).await.unwrap().close().await.unwrap();
        assert!(!copy("").exists(), "nothing changed");
        // One that fails leaves everything as it was, and the copy.
        let broken = SqliteFile::open_with(&file, sync, &next("CREATE TABLE leaders (id INTEGER)")).await;
        assert!(broken.is_err());
        assert!(copy("").exists());
        let mut better = next("ALTER TABLE leaders ADD COLUMN note TEXT");
        SqliteFile::open_with(&file, sync, &better).await.unwrap().close().await.unwrap();
        assert!(copy(".2").exists(), "the first copy is not written over");
        better.push(("later", "ALTER TABLE leaders ADD COLUMN more TEXT", 3));
        SqliteFile::open_with(&file, sync, &better).await.unwrap().close().await.unwrap();
        assert!(directory.path().join("slipstream.db.schema-2").exists());
        let refused = SqliteFile::open(&file, sync).await.err().unwrap();
        assert!(matches!(refused, OpenError::NewerSchema { found: 3, known: 1, .. }), "{refused}");
        // The copy is whole, of the old version, and its user's alone.
        for number in ["", ".2"] {
            let copy = copy(number);
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
            SqliteFile::look(&copy).await.unwrap();
        }
    }
}

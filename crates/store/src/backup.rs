//! A copy of the file while others work on it.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    dialect::Connection,
    error, installation, limits,
    sql::{self, values},
    store::OpenError,
};

/// A copy that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target, or the source.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in the source, or the database.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Copies the database `file`, as of one commit, into `target`, which must not be there. Whoever works on it works on:
/// it needs no lock and waits for nobody. The copy is one file, whole, and belongs to its user alone.
///
/// # Errors
/// [`BackupError`]; then no target is left.
pub async fn backup(file: &Path, target: &Path) -> Result<(), BackupError> {
    let io = |path: &Path, source| BackupError::Io { path: path.to_owned(), source };
    // SQLite would make one that exists, and fills an empty file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let made = made.map_err(|source| io(target, source))?;
    let copied = async {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
        let options = options.busy_timeout(limits::BUSY_TIMEOUT);
        let mut connection = Connection::Sqlite(options.connect().await.map_err(error::of)?);
        installation::check(&mut connection).await?;
        let target = target.to_string_lossy().into_owned();
        sql::execute(&mut connection, "VACUUM INTO $1", values![target]).await?;
        if let Connection::Sqlite(connection) = connection {
            connection.close().await.map_err(error::of)?;
        }
        Ok::<(), OpenError>(())
    };
    let copied = copied.await;
    if copied.is_err() {
        // Nobody would know what is in it.
        let _ = std::fs::remove_file(target);
    }
    copied?;
    made.sync_all().map_err(|source| io(target, source))
}

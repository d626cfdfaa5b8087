//! A copy of the file while others work on it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use engine::ports::store::StoreResult;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tracing::info;

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
    #[error("{path} cannot be used")]
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
    let io = |source| BackupError::Io { path: target.to_owned(), source };
    let made = make(target).map_err(io)?;
    let copied = async {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
        let options = options.busy_timeout(limits::BUSY_TIMEOUT);
        let mut connection = Connection::Sqlite(options.connect().await.map_err(error::of)?);
        installation::check(&mut connection).await?;
        fill(&mut connection, target).await?;
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
    made.sync_all().map_err(io)
}

/// An empty file of its user's, which SQLite fills; it would write over none that is there.
pub(crate) fn make(target: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)
}

async fn fill(connection: &mut Connection, target: &Path) -> StoreResult<()> {
    let target = target.to_string_lossy().into_owned();
    sql::execute(connection, "VACUUM INTO $1", values![target]).await.map(drop)
}

/// Keeps a copy beside `file`, of which the schema is about to change, under a name that nothing has yet.
pub(crate) async fn before_migration(
    connection: &mut Connection,
    file: &Path,
    version: i64,
) -> Result<(), OpenError> {
    let name = format!("{}.schema-{version}", file.display());
    let names = std::iter::once(name.clone()).chain((2..).map(|number: u32| format!("{name}.{number}")));
    for target in names.map(PathBuf::from) {
        match make(&target) {
            Ok(made) => {
                fill(connection, &target).await?;
                info!("the schema is brought up to date; {} is the database of before", target.display());
                return made.sync_all().map_err(|source| OpenError::Io { path: target, source });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(OpenError::Io { path: target, source }),
        }
    }
    Ok(())
}

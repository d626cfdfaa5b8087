//! Another database in the place of one, in one step.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use engine::ports::store::StoreError;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    column::Fields, dialect::Connection, error, limits, sql, sqlite::lock_directory, store::OpenError,
};

/// What SQLite keeps of the newest commits beside a database.
pub(crate) const LOG: &str = "-wal";
/// Its index, which is made again.
const INDEX: &str = "-shm";

/// Puts the database `fresh`, which nobody has open, in the place of `file`; what was there is `kept` from then on.
/// `file` is the one or the other at every moment, whole, also when the power fails. Nobody works on its directory
/// meanwhile; one that cannot be read any more is kept as it is.
///
/// # Errors
/// [`OpenError`]; then `file` is as it was.
pub async fn put_in_place(fresh: &Path, file: &Path, kept: &Path) -> Result<(), OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let directory = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let _lock = lock_directory(directory)?;
    if file.exists() {
        // Its newest commits go into the one file first: beside another one they would be read as that one's.
        match gathered(file).await {
            Ok(true) => {}
            Ok(false) => {
                let busy = io::Error::new(io::ErrorKind::ResourceBusy, "somebody reads it; try again");
                return Err(at(file)(busy));
            }
            Err(OpenError::Store(broken @ StoreError::Corrupt(_))) => {
                tracing::warn!(%broken, "the database of before cannot be read; it is kept as it is");
                let log = beside(file, LOG);
                if log.exists() {
                    fs::rename(&log, beside(kept, LOG)).map_err(at(&log))?;
                }
            }
            // A full or failing disk says nothing of what is on it.
            Err(error) => return Err(error),
        }
    }
    let put = || {
        if file.exists() {
            // A second name for it; a copy where files have one name only.
            fs::hard_link(file, kept).or_else(|_| fs::copy(file, kept).map(drop)).map_err(at(kept))?;
        }
        File::open(fresh).and_then(|fresh| fresh.sync_all()).map_err(at(fresh))?;
        for suffix in [LOG, INDEX] {
            // They are there only after an end that was not in order, or while somebody looks.
            let _ = fs::remove_file(beside(file, suffix));
        }
        fs::rename(fresh, file).map_err(at(file))
    };
    if let Err(error) = put() {
        // What it had beside it belongs to it still.
        let _ = fs::rename(beside(kept, LOG), beside(file, LOG));
        let _ = fs::remove_file(kept);
        return Err(error);
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))
}

pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether everything that was committed is in the one file now.
async fn gathered(file: &Path) -> Result<bool, OpenError> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    let options = options.busy_timeout(limits::BUSY_TIMEOUT);
    let mut connection = Connection::Sqlite(options.connect().await.map_err(error::of)?);
    let row = sql::row(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
    let busy = row.map_or(Ok(0), |row| Fields::of(&row).get::<i64>())?;
    if let Connection::Sqlite(connection) = connection {
        connection.close().await.map_err(error::of)?;
    }
    Ok(busy == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be put in place leaves the old one where it was, also one that cannot be read.
    #[tokio::test]
    async fn what_fails_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (file, kept) = (at("books.db"), at("before.db"));
        fs::write(&file, [b'x'; 4_096]).unwrap();
        assert!(put_in_place(&at("missing.db"), &file, &kept).await.is_err());
        assert_eq!(fs::read(&file).unwrap(), [b'x'; 4_096]);
        assert!(!kept.exists(), "nothing is left of the attempt");
        fs::write(at("fresh.db"), b"fresh").unwrap();
        put_in_place(&at("fresh.db"), &file, &kept).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"fresh");
        assert_eq!(fs::read(&kept).unwrap(), [b'x'; 4_096]);
    }
}

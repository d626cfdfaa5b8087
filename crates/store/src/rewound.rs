//! A server whose database went back in time: a standby that lagged was promoted, or a backup was put in its place.
//!
//! Every commit leaves a row with its number and a random mark. A process remembers its newest one outside the database,
//! and each of its commits first looks whether that row is still there: what is behind it is then there, too. Where it is
//! not, nothing is committed, everything is held, and people are told.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Timestamp;
use engine::ports::{
    following::{HoldCause, HoldScope, NewHold},
    store::{StoreError, StoreResult},
};
use tracing::{error, warn};

use crate::{
    column::Fields,
    config,
    dialect::Connection,
    following, holds, limits,
    postgres::PostgresPool,
    sql::{self, values},
};

/// A commit: its number, and a random number of its own.
pub(crate) type Mark = (i64, i64);

/// The newest commit of this process.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    newest: Mutex<Option<Mark>>,
    /// For whoever starts after this process. Not forced to the disk: a machine that fails forgets some.
    file: Option<File>,
}

/// Length of the file: two numbers of 20 digits, each with what ends it.
const LENGTH: usize = 42;

impl Remembered {
    /// What the process before this one remembered in a file, which is made if it is missing.
    pub(crate) fn at(file: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file)?;
        let mut bytes = [0; LENGTH];
        // A shorter one is new, or was never finished.
        let read = file.read_exact_at(&mut bytes, 0).is_ok();
        let newest = if read { parse(&bytes) } else { None };
        Ok(Self { newest: Mutex::new(newest), file: Some(file) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Mark>> {
        // Nothing under the lock can panic half-way.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self) -> Option<Mark> {
        *self.lock()
    }

    /// After a commit.
    pub(crate) fn remember(&self, mark: Mark) {
        let mut newest = self.lock();
        if newest.is_some_and(|(number, _)| number >= mark.0) {
            return;
        }
        *newest = Some(mark);
        self.write(mark);
    }

    /// After the database went back: what was newest is gone.
    fn begin_anew(&self, mark: Mark) {
        *self.lock() = Some(mark);
        self.write(mark);
    }

    fn write(&self, (number, random): Mark) {
        let Some(file) = &self.file else { return };
        let line = format!("{number:>20} {random:>20}\n");
        if let Err(error) = file.write_all_at(line.as_bytes(), 0) {
            warn!(%error, "cannot remember the newest commit beside the database");
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<i64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Counts a commit, as the last statement of its transaction; `None` when what is remembered is not in the database.
pub(crate) async fn count(connection: &mut Connection, newest: Option<Mark>) -> StoreResult<Option<Mark>> {
    // One that is older than all that are kept is past judging.
    const COUNT: &str = "WITH counted AS ( \
            UPDATE installation SET commit_number = commit_number + 1 WHERE id = 1 AND ($1::bigint IS NULL \
                OR EXISTS (SELECT 1 FROM commit_marks WHERE number = $1 AND mark = $2) \
                OR $1 < (SELECT MIN(number) FROM commit_marks)) RETURNING commit_number \
        ) INSERT INTO commit_marks (number, mark) \
            SELECT commit_number, CAST(random() * 9007199254740991 AS BIGINT) FROM counted RETURNING number, mark";
    const FORGET: &str = "DELETE FROM commit_marks WHERE number <= $1";
    let (number, random) = newest.unzip();
    let Some(row) = sql::row(connection, COUNT, values![number, random]).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    let mark: Mark = (fields.get()?, fields.get()?);
    if mark.0 % limits::MARKS_FORGOTTEN_EVERY == 0 {
        sql::execute(connection, FORGET, values![mark.0 - limits::MARKS_KEPT]).await?;
    }
    Ok(Some(mark))
}

/// Whether what is remembered is in the database; for whoever connects.
pub(crate) async fn check(pool: &PostgresPool) -> StoreResult<()> {
    const THERE: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM commit_marks WHERE number = $1 AND mark = $2) \
        OR $1 < (SELECT MIN(number) FROM commit_marks)";
    let Some((number, random)) = pool.remembered.newest() else { return Ok(()) };
    let there = sql::row(&mut pool.read().await?, THERE, values![number, random]).await?.is_some();
    if there { Ok(()) } else { hold(pool).await }
}

/// Holds everything, once, and remembers what the database is now.
pub(crate) async fn hold(pool: &PostgresPool) -> StoreResult<()> {
    let lost = pool.remembered.newest().map_or(0, |(number, _)| number);
    error!(
        commit = lost,
        "the database went back in time: commit {lost} of this process is not in it any more. Everything is held until \
         somebody has looked; `slipstream holds` tells"
    );
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Reconciliation,
        reason: format!("the database went back in time: commit {lost} is not in it, nor what came after it"),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    let mut write = pool.write().await?;
    config::raise(&mut write).await?;
    let now = now(&mut write).await?;
    if !holds::is_in_force(&mut write, &hold, now).await? {
        let (id, of) = holds::place(&mut write, None, &hold, now).await?;
        following::tell(&mut write, of, now, format!("hold {id} placed: {}", hold.reason)).await?;
    }
    let mark = count(&mut write, None).await?;
    write.commit().await?;
    if let Some(mark) = mark {
        pool.remembered.begin_anew(mark);
    }
    Ok(())
}

/// What whoever wanted to commit is told.
pub(crate) fn refused() -> StoreError {
    StoreError::Unavailable(
        "the database went back in time; nothing was written, and everything is held now".to_owned(),
    )
}

async fn now(connection: &mut Connection) -> StoreResult<Timestamp> {
    const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
    let row = sql::row(connection, NOW, []).await?;
    row.map_or(Ok(Timestamp(0)), |row| Fields::of(&row).get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_remembered_for_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("commit.mark");
        let remembered = Remembered::at(&file).unwrap();
        assert_eq!(remembered.newest(), None);
        for mark in [(7, 70), (9, 9_007_199_254_740_991), (8, 80)] {
            remembered.remember(mark);
        }
        assert_eq!(Remembered::at(&file).unwrap().newest(), Some((9, 9_007_199_254_740_991)));
        remembered.begin_anew((3, 30));
        assert_eq!(Remembered::at(&file).unwrap().newest(), Some((3, 30)));
        std::fs::write(&file, "torn").unwrap();
        assert_eq!(Remembered::at(&file).unwrap().newest(), None);
    }
}

//! A server whose database went back in time: a standby that lagged was promoted, or a backup was put in its place.
//!
//! Every commit leaves a row with its number and a random mark. A process remembers the newest one that it knows of outside
//! the database, and each of its commits first looks whether that row is still there: what is behind it is then there, too.
//! Where it is not, nothing is committed, everything is held, and people are told.
//!
//! Each time that is noticed an epoch begins, and so does at a restore. Whoever remembers a commit of an earlier epoch learns
//! that the database went back, and that everybody knows: it holds nothing once more.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{Hash, Timestamp};
use engine::ports::{
    following::{HoldCause, HoldScope, NewHold},
    store::{StoreError, StoreResult},
};
use tracing::{error, warn};

use crate::{
    column::Fields,
    config,
    dialect::{Connection, Row},
    following, installation, limits,
    postgres::PostgresPool,
    sql::{self, values},
};

/// A commit, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// When the database was last known to have gone back, in microseconds; later ones are greater.
    epoch: i64,
    number: i64,
    /// A random number of its own.
    random: i64,
}

/// A commit of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    installation: Hash,
    mark: Mark,
}

/// The newest commit that this process knows of.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Kept>,
    /// For whoever starts after this process. Not forced to the disk: a machine that fails forgets some.
    file: Option<File>,
}

/// Length of the file: three numbers of 20 digits and a hash, each with what ends it.
const LENGTH: usize = 3 * 21 + 67;

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self) -> Option<Kept> {
        self.lock().newest
    }

    /// After a commit, or when one of somebody else was seen.
    pub(crate) fn remember(&self, kept: Kept) {
        let mut state = self.lock();
        if state.newest.is_some_and(|newest| newest.mark >= kept.mark) {
            return;
        }
        state.newest = Some(kept);
        state.write();
    }

    /// From now on in this file, too.
    fn keep_in(&self, file: File) {
        let mut state = self.lock();
        state.file = Some(file);
        state.write();
    }
}

impl State {
    fn write(&self) {
        let (Some(file), Some(newest)) = (&self.file, &self.newest) else { return };
        if let Err(error) = file.write_all_at(newest.line().as_bytes(), 0) {
            warn!(%error, "cannot remember the newest commit beside the database");
        }
    }
}

impl Kept {
    fn line(&self) -> String {
        let Self { installation, mark: Mark { epoch, number, random } } = self;
        format!("{epoch:>20} {number:>20} {random:>20} {installation}\n")
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_ascii_whitespace();
        let mut number = || words.next()?.parse::<i64>().ok();
        let mark = Mark { epoch: number()?, number: number()?, random: number()? };
        Some(Self { installation: words.next()?.parse().ok()?, mark })
    }

    fn read(row: &Row) -> StoreResult<Self> {
        let mut fields = Fields::of(row);
        let mark = Mark { epoch: fields.get()?, number: fields.get()?, random: fields.get()? };
        Ok(Self { installation: fields.get()?, mark })
    }
}

/// The file of a process, which is made if it is missing, and what the process before this one remembered there.
fn open(path: &Path) -> io::Result<(File, Option<Kept>)> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = [0; LENGTH];
    // A shorter one is new, or was never finished.
    let read = file.read_exact_at(&mut bytes, 0).is_ok();
    Ok((file, if read { Kept::parse(&bytes) } else { None }))
}

/// Counts a commit, as the last statement of its transaction; `None` when what is remembered is not in the database.
pub(crate) async fn count(connection: &mut Connection, newest: Option<Kept>) -> StoreResult<Option<Kept>> {
    // One that is older than all that are kept is past judging.
    const COUNT: &str = "WITH counted AS ( \
            UPDATE installation SET commit_number = commit_number + 1 WHERE id = 1 AND ($1::bigint IS NULL \
                OR mark = $4 AND (EXISTS (SELECT 1 FROM commit_marks WHERE number = $1 AND mark = $2) \
                    OR epoch = $3 AND $1 < (SELECT MIN(number) FROM commit_marks))) RETURNING epoch, commit_number, mark \
        ), marked AS ( \
            INSERT INTO commit_marks (number, mark) \
            SELECT commit_number, CAST(random() * 9007199254740991 AS BIGINT) FROM counted RETURNING number, mark \
        ) SELECT counted.epoch, marked.number, marked.mark, counted.mark FROM counted, marked";
    const FORGET: &str = "DELETE FROM commit_marks WHERE number <= $1";
    let (installation, mark) = newest.map(|newest| (newest.installation, newest.mark)).unzip();
    let values = values![
        mark.map(|mark| mark.number),
        mark.map(|mark| mark.random),
        mark.map(|mark| mark.epoch),
        installation
    ];
    let Some(row) = sql::row(connection, COUNT, values).await? else { return Ok(None) };
    let kept = Kept::read(&row)?;
    if kept.mark.number % limits::MARKS_FORGOTTEN_EVERY == 0 {
        sql::execute(connection, FORGET, values![kept.mark.number - limits::MARKS_KEPT]).await?;
    }
    Ok(Some(kept))
}

/// What became of a commit that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    There,
    /// The database went back, and that is known in it.
    Known,
    Gone,
    /// It is another installation's.
    Elsewhere,
}

/// Looks for a commit; also which one is the newest, if the database has any.
async fn find(connection: &mut Connection, kept: Option<Kept>) -> StoreResult<(Found, Option<Kept>)> {
    const FIND: &str = "SELECT i.epoch, newest.number, newest.mark, i.mark, \
            CASE WHEN EXISTS (SELECT 1 FROM commit_marks WHERE number = $1 AND mark = $2) THEN 1 ELSE 0 END, \
            CASE WHEN $1 < (SELECT MIN(number) FROM commit_marks) THEN 1 ELSE 0 END \
        FROM installation i LEFT JOIN \
            (SELECT number, mark FROM commit_marks ORDER BY number DESC LIMIT 1) newest ON i.id = 1 WHERE i.id = 1";
    let (number, random) = kept.map(|kept| (kept.mark.number, kept.mark.random)).unzip();
    let row = sql::row(connection, FIND, values![number, random]).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the installation's row is missing".to_owned()))?;
    let mut fields = Fields::of(&row);
    let epoch: i64 = fields.get()?;
    let newest: (Option<i64>, Option<i64>) = (fields.get()?, fields.get()?);
    let (installation, is_there, is_too_old): (Hash, bool, bool) =
        (fields.get()?, fields.get()?, fields.get()?);
    let found = match kept {
        Some(kept) if kept.installation != installation => Found::Elsewhere,
        Some(_) if is_there => Found::There,
        Some(kept) if kept.mark.epoch < epoch => Found::Known,
        Some(kept) if kept.mark.epoch > epoch || !is_too_old => Found::Gone,
        _ => Found::There,
    };
    let (Some(number), Some(random)) = newest else { return Ok((found, None)) };
    Ok((found, Some(Kept { installation, mark: Mark { epoch, number, random } })))
}

/// Remembers the newest commit in this file from now on; what the process before this one remembered there is looked for.
/// Another database's commit is nobody's past here.
pub(crate) async fn remember_in(pool: &PostgresPool, path: &Path) -> io::Result<StoreResult<()>> {
    let (file, before) = open(path)?;
    let looked = look_for(pool, before).await;
    if looked.is_ok() {
        pool.remembered.keep_in(file);
    }
    Ok(looked)
}

async fn look_for(pool: &PostgresPool, before: Option<Kept>) -> StoreResult<()> {
    let (found, newest) = find(&mut pool.read().await?, before).await?;
    if let (Found::Gone, Some(before)) = (found, before) {
        hold(pool, before).await?;
    }
    newest.into_iter().for_each(|newest| pool.remembered.remember(newest));
    Ok(())
}

/// Looks whether the newest commit that this process knows of is still there, and which one is the newest by now: whoever
/// commits nothing notices, too, and whoever committed last may be the one that is lost.
pub(crate) async fn look(pool: &PostgresPool) -> StoreResult<()> {
    let known = pool.remembered.newest();
    let (found, newest) = find(&mut pool.read().await?, known).await?;
    match (found, known) {
        (Found::There, _) | (_, None) => {
            newest.into_iter().for_each(|newest| pool.remembered.remember(newest));
            Ok(())
        }
        (_, Some(known)) => notice(pool, known).await.map(drop),
    }
}

/// After a commit was not counted: what is to be done, and what whoever wanted to commit is told.
pub(crate) async fn notice(pool: &PostgresPool, known: Kept) -> StoreResult<StoreError> {
    let found = find(&mut pool.read().await?, Some(known)).await?;
    let refused = match found {
        (Found::Elsewhere, _) => {
            return Ok(StoreError::Unavailable(
                "this is the database of another installation than the one that was here; nothing was written: name the \
                 right one, or start again with a data directory of its own"
                    .to_owned(),
            ));
        }
        (Found::Known, newest) => {
            warn!(
                "the database went back in time, and that is known: this process goes on from what it is now"
            );
            newest.into_iter().for_each(|newest| pool.remembered.remember(newest));
            "nothing was written"
        }
        (Found::There, _) => "nothing was written",
        (Found::Gone, _) => {
            hold(pool, known).await?;
            "nothing was written, and everything is held now"
        }
    };
    Ok(StoreError::Unavailable(format!("the database went back in time; {refused}")))
}

/// Holds everything and begins an epoch, unless somebody else has by now.
async fn hold(pool: &PostgresPool, known: Kept) -> StoreResult<()> {
    let mut write = pool.write().await?;
    // Nobody else writes from here on.
    let (found, newest) = find(&mut write, Some(known)).await?;
    if found != Found::Gone {
        write.undo().await?;
        newest.into_iter().for_each(|newest| pool.remembered.remember(newest));
        return Ok(());
    }
    let lost = known.mark.number;
    error!(
        commit = lost,
        "the database went back in time: commit {lost}, which this process knows of, is not in it any more. Everything is \
         held until somebody has looked; `slipstream holds` tells"
    );
    let hold = NewHold {
        scope: HoldScope::Installation,
        cause: HoldCause::Reconciliation,
        reason: format!("the database went back in time: commit {lost} is not in it, nor what came after it"),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    config::raise(&mut write).await?;
    let now = now(&mut write).await?;
    // Another one than any that is there: a comparison that is being made knows nothing of what is lost now.
    following::hold_and_tell(&mut write, None, &hold, now).await?;
    installation::begin_epoch(&mut write, now.0.max(known.mark.epoch.saturating_add(1))).await?;
    let kept = count(&mut write, None).await?;
    write.commit().await?;
    kept.into_iter().for_each(|kept| pool.remembered.remember(kept));
    Ok(())
}

async fn now(connection: &mut Connection) -> StoreResult<Timestamp> {
    const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
    let row = sql::row(connection, NOW, []).await?;
    row.map_or(Ok(Timestamp(0)), |row| Fields::of(&row).get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(epoch: i64, number: i64, random: i64) -> Kept {
        Kept { installation: Hash([7; 32]), mark: Mark { epoch, number, random } }
    }

    #[test]
    fn the_newest_is_remembered_for_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("commit.mark");
        let (file, before) = open(&path).unwrap();
        assert_eq!(before, None);
        let remembered = Remembered::default();
        remembered.remember(kept(0, 6, 60));
        remembered.keep_in(file);
        assert_eq!(open(&path).unwrap().1, Some(kept(0, 6, 60)), "known before it had a file");
        for (number, random) in [(7, 70), (9, 9_007_199_254_740_991), (8, 80)] {
            remembered.remember(kept(0, number, random));
        }
        assert_eq!(open(&path).unwrap().1, Some(kept(0, 9, 9_007_199_254_740_991)));
        // An epoch later fewer were made; what is still on its way from the one before is past.
        remembered.remember(kept(1_800_000_000_000_000, 3, 30));
        remembered.remember(kept(0, 10, 100));
        assert_eq!(open(&path).unwrap().1, Some(kept(1_800_000_000_000_000, 3, 30)));
        for torn in ["torn", "                   9                    9\n"] {
            std::fs::write(&path, torn).unwrap();
            assert_eq!(open(&path).unwrap().1, None);
        }
    }
}

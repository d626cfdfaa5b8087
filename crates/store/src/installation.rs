//! The schema's version, and the commit number by which a database that went back in time is noticed.

use domain::{Hash, Timestamp};
use engine::ports::store::{StoreError, StoreResult};
use sqlx::{
    AssertSqlSafe, SqlSafeStr as _, SqlStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{
    SqlStore,
    column::Fields,
    definitions,
    dialect::{Connection, Database, schema_on_postgres},
    instances,
    sql::{self, values},
    store::OpenError,
};

/// Number of the newest migration this binary knows.
pub const SCHEMA_VERSION: i64 = 1;

/// This binary's version, for messages.
const SOFTWARE: &str = env!("CARGO_PKG_VERSION");

/// A migration as SQLite has it: its name, its text, and the oldest schema whose programs may still work on what it makes.
pub(crate) type Step = (&'static str, &'static str, i64);

/// All of them, in their order: the schema's version is how many there are. Never changed once released.
pub(crate) const STEPS: &[Step] = &[("first", include_str!("../migrations/0001_first.sql"), 1)];

/// The version that these migrations lead to.
pub(crate) fn version_of(steps: &[Step]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

fn migrator(steps: &[Step], text: impl Fn(&'static str) -> SqlStr) -> Migrator {
    let numbered = (1..).zip(steps);
    let migrations = numbered.map(|(number, (name, sql, _))| {
        Migration::new(number, (*name).into(), MigrationType::Simple, text(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Whether this is a database of ours that this binary can read.
pub(crate) async fn check(connection: &mut Connection) -> Result<(), OpenError> {
    if stored(connection, STEPS).await?.is_none() {
        return Err(StoreError::Corrupt("it is no database of this program".to_owned()).into());
    }
    Ok(())
}

/// Whether the schema is this binary's or a later one that serves it, for whoever cannot bring it up to date.
pub(crate) async fn check_current(connection: &mut Connection) -> Result<(), OpenError> {
    match stored(connection, STEPS).await? {
        Some((SCHEMA_VERSION.., _)) => Ok(()),
        other => Err(OpenError::OlderSchema { found: other.map(|(found, _)| found), known: SCHEMA_VERSION }),
    }
}

/// The version that wrote it; `None` for an empty database. Refuses one that is newer and does not serve this binary.
pub(crate) async fn stored(
    connection: &mut Connection,
    steps: &[Step],
) -> Result<Option<(i64, String)>, OpenError> {
    let known = version_of(steps);
    let Some((found, serves, found_software)) = stored_version(connection).await? else { return Ok(None) };
    if found > known && serves > known {
        return Err(OpenError::NewerSchema { found, found_software, known, software: SOFTWARE });
    }
    Ok(Some((found, found_software)))
}

/// Brings the schema up to the version of these migrations; refuses one that is newer. On a server, of any number that
/// come at once one does it, and whoever may not only looks whether it was done.
pub(crate) async fn migrate(connection: &mut Connection, steps: &[Step]) -> Result<(), OpenError> {
    if let Database::Postgres(server, _) = connection.database() {
        if !definitions::may_migrate(server).await? {
            return check_current(connection).await;
        }
        definitions::lock(server).await?;
    }
    let migrated = bring_up_to_date(connection, steps).await;
    if let Database::Postgres(server, _) = connection.database() {
        definitions::unlock(server).await?;
    }
    migrated
}

async fn bring_up_to_date(connection: &mut Connection, steps: &[Step]) -> Result<(), OpenError> {
    let (stored, version) = (stored(connection, steps).await?, version_of(steps));
    if stored.as_ref().is_some_and(|(found, _)| *found > version) {
        // A later version made it so that this one can work beside it.
        return Ok(());
    }
    let serves = steps.last().map_or(version, |(.., serves)| *serves);
    // A file is its one process's.
    let on_server = matches!(connection.database(), Database::Postgres(..));
    if on_server && stored.as_ref().is_some_and(|(found, _)| *found < serves) {
        let names = instances::older_running(connection, serves).await?;
        if !names.is_empty() {
            return Err(OpenError::OlderRunning { wanted: version, names });
        }
    }
    // The view of a later version is its own, also where the tables are the same.
    let current = stored
        .is_some_and(|(found, software)| found == version && (software == SOFTWARE || is_later(&software)));
    let migrated = match connection.database() {
        Database::Sqlite(connection) => migrator(steps, |text| text.into_sql_str()).run(connection).await,
        Database::Postgres(connection, _) => {
            let text = |text| AssertSqlSafe(schema_on_postgres(text)).into_sql_str();
            migrator(steps, text).run(connection).await
        }
    };
    migrated.map_err(|error| match error {
        MigrateError::VersionMismatch(_) | MigrateError::VersionMissing(_) => {
            StoreError::Corrupt(format!("its schema is that of an unreleased build: {error}"))
        }
        error => StoreError::Unavailable(format!("the schema cannot be brought up to date: {error}")),
    })?;
    if current {
        return Ok(());
    }
    if let Database::Postgres(server, _) = connection.database() {
        definitions::view(server).await?;
    }
    note_version(connection, (version, serves)).await?;
    Ok(())
}

/// Whether a version of this program is a later one than this.
pub(crate) fn is_later(software: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        version.split(['.', '-']).map(|part| part.parse().unwrap_or_default()).collect()
    };
    numbers(software) > numbers(SOFTWARE)
}

async fn stored_version(connection: &mut Connection) -> StoreResult<Option<(i64, i64, String)>> {
    const ON_SQLITE: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'installation'";
    const ON_POSTGRES: &str = "SELECT 1 WHERE to_regclass('installation') IS NOT NULL";
    const VERSION: &str = "SELECT schema_version, serves, software FROM installation WHERE id = 1";
    let table = match connection.database() {
        Database::Sqlite(_) => ON_SQLITE,
        Database::Postgres(..) => ON_POSTGRES,
    };
    if sql::row(connection, table, []).await?.is_none() {
        return Ok(None);
    }
    let Some(row) = sql::row(connection, VERSION, []).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    Ok(Some((fields.get()?, fields.get()?, fields.get()?)))
}

async fn note_version(connection: &mut Connection, (version, serves): (i64, i64)) -> StoreResult<()> {
    const NOTE: &str = concat!(
        "INSERT INTO installation (id, schema_version, serves, software, commit_number, epoch, mark) \
            VALUES (1, $1, $2, $3, 0, 0, ",
        random_mark!(),
        ") ON CONFLICT (id) DO UPDATE SET schema_version = excluded.schema_version, serves = excluded.serves, ",
        "software = excluded.software"
    );
    sql::execute(connection, NOTE, values![version, serves, SOFTWARE]).await?;
    Ok(())
}

/// Raises the commit number: the last statement of every transaction that writes.
pub(crate) async fn count_commit(connection: &mut Connection) -> StoreResult<()> {
    const COUNT: &str = "UPDATE installation SET commit_number = commit_number + 1 WHERE id = 1";
    sql::execute(connection, COUNT, []).await?;
    Ok(())
}

/// Commit number and mark.
pub(crate) async fn mark(connection: &mut Connection) -> StoreResult<(i64, Hash)> {
    const MARK: &str = "SELECT commit_number, mark FROM installation WHERE id = 1";
    let row = sql::row(connection, MARK, [])
        .await?
        .ok_or_else(|| StoreError::Corrupt("the installation's row is missing".to_owned()))?;
    let mut fields = Fields::of(&row);
    Ok((fields.get()?, fields.get()?))
}

/// Begins an epoch, later than the one before and not before this moment: from here on commits that a process remembers from
/// before are known to be lost. No version of what is configured is met again: whoever remembers a lost one reads anew. No
/// lease goes on as it was: whoever holds one forgets what it had in hand, which rested on what may be lost.
pub(crate) async fn begin_epoch(connection: &mut Connection, moment: i64) -> StoreResult<()> {
    const BEGIN: &str =
        "UPDATE installation SET epoch = CASE WHEN epoch < $1 THEN $1 ELSE epoch + 1 END WHERE id = 1";
    const VERSION: &str = "UPDATE config_version SET version = CASE WHEN version < $1 THEN $1 ELSE version + 1 END WHERE id = 1";
    const LEASES: &str = "UPDATE leases SET fence = CASE WHEN fence < $1 THEN $1 ELSE fence + 1 END";
    sql::execute(connection, BEGIN, values![moment]).await?;
    sql::execute(connection, LEASES, values![moment]).await?;
    sql::execute(connection, VERSION, values![moment]).await?;
    Ok(())
}

impl SqlStore {
    /// Says that what this database is now, is known and held: it was restored. Processes that remember what came after
    /// begin anew with it, and hold nothing once more.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_epoch(&self, now: Timestamp) -> StoreResult<()> {
        let mut write = self.write().await?;
        begin_epoch(write.connection(), now.0).await?;
        write.commit().await
    }

    /// Says of which secret this installation is, unless that is said: the first one stands. Returns that.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn bind_secret(&self, check: Hash) -> StoreResult<Hash> {
        const BIND: &str = "UPDATE installation SET secret_check = COALESCE(secret_check, $1) WHERE id = 1 RETURNING secret_check";
        let mut write = self.write().await?;
        let row = sql::row(write.connection(), BIND, values![check]).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the installation's row is missing".to_owned()))?;
        let bound = Fields::of(&row).get()?;
        write.commit().await?;
        Ok(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let ours: Vec<u64> = SOFTWARE.split('.').map(|part| part.parse().unwrap()).collect();
        let [major, minor, patch] = ours.as_slice() else { panic!("{SOFTWARE}") };
        assert!(
            is_later(&format!("{}.0.0", major + 10)) && is_later(&format!("{major}.{minor}.{}", patch + 9))
        );
        assert!(!is_later(SOFTWARE) && !is_later("0.0.0") && !is_later("a test's"));
    }

    mod on_postgres {
        use engine::ports::store::{InstanceId, Leases as _};
        use servers::PostgresServer;

        use super::*;
        use crate::{PostgresAddress, StoreClock};

        /// What a later version of this program would have: a table that this one does without, then one that it does not.
        const EXPANDED: Step = ("later", "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;", 1);
        const CONTRACTED: Step = ("smaller", "DROP TABLE later;", 3);

        #[tokio::test(flavor = "multi_thread")]
        async fn a_schema_that_no_longer_serves_waits_for_older_programs() {
            let server = PostgresServer::start().unwrap();
            let address: PostgresAddress = server.url("postgres").parse().unwrap();
            let store = SqlStore::connect(&address, StoreClock::Database).await.unwrap();
            let (one, now) = (InstanceId("host/worker-1".to_owned()), Timestamp(1));
            store.begin_instance(&one, now).await.unwrap();
            let steps = [STEPS, &[EXPANDED, CONTRACTED]].concat();
            let mut alone = Connection::PostgresAlone(address.alone("migration").await.unwrap());
            migrate(&mut alone, &steps[..=STEPS.len()]).await.unwrap();
            let refused = migrate(&mut alone, &steps).await.unwrap_err();
            assert!(
                matches!(&refused, OpenError::OlderRunning { names, .. } if *names == [one.0.clone()]),
                "{refused}"
            );
            let there = "SELECT schema_version, to_regclass('later') FROM installation";
            assert_eq!(server.run("postgres", there).unwrap(), "2|later");
            store.end_instance(&one, "a test said so", now).await.unwrap();
            migrate(&mut alone, &steps).await.unwrap();
            assert_eq!(server.run("postgres", there).unwrap(), "3|");
        }
    }
}

//! What a database is like, for whoever looks for a fault. Reads, and judges nothing.

use engine::ports::store::{StoreError, StoreResult};

use crate::{
    SqlStore,
    column::Fields,
    dialect::{Connection, Database},
    installation,
    limits::DAMAGES_TOLD,
    sql,
};

/// A database as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Its schema.
    pub schema: i64,
    /// The version of this program that wrote it last.
    pub software: String,
    /// Its size in bytes; of a file without what waits in the write-ahead log.
    pub bytes: u64,
    /// Damage that was found, the first places of it; empty when it is whole. Not looked for on PostgreSQL, whose own
    /// tools read every page.
    pub damage: Vec<String>,
}

impl SqlStore {
    /// Reads every page of a file; asks a server for its size.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn examine(&self) -> StoreResult<Examination> {
        const SIZE_ON_SQLITE: &str =
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        const SIZE_ON_POSTGRES: &str = "SELECT pg_database_size(current_database())";
        let mut connection = self.read().await?;
        let stored = installation::stored(&mut connection, installation::STEPS).await;
        let stored = stored.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let empty = || StoreError::Corrupt("it is no database of this program".to_owned());
        let (schema, software) = stored.ok_or_else(empty)?;
        let (size, check) = match connection.database() {
            Database::Sqlite(_) => (SIZE_ON_SQLITE, Some("PRAGMA quick_check")),
            Database::Postgres(..) => (SIZE_ON_POSTGRES, None),
        };
        let row = sql::row(&mut connection, size, []).await?;
        let bytes: i64 = row.map_or(Ok(0), |row| Fields::of(&row).get())?;
        let damage = match check {
            Some(check) => found(&mut connection, check).await?,
            None => Vec::new(),
        };
        Ok(Examination { schema, software, bytes: u64::try_from(bytes).unwrap_or(0), damage })
    }
}

async fn found(connection: &mut Connection, check: &'static str) -> StoreResult<Vec<String>> {
    let rows = sql::rows(connection, check, []).await?;
    let lines: Vec<String> = rows.iter().map(|row| Fields::of(row).get()).collect::<StoreResult<_>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").take(DAMAGES_TOLD).collect())
}

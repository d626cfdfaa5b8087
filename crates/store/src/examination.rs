//! What a database is like, for whoever looks for a fault. Reads, and judges nothing.

use engine::ports::store::{StoreError, StoreResult};

use crate::{error, installation, limits::DAMAGES_TOLD, sqlite::SqliteStore};

/// A database as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Its schema.
    pub schema: i64,
    /// The version of this program that wrote it last.
    pub software: String,
    /// Its size in bytes, without what waits in the write-ahead log.
    pub bytes: u64,
    /// Damage that was found, the first places of it; empty when it is whole.
    pub damage: Vec<String>,
}

impl SqliteStore {
    /// Reads every page of the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn examine(&self) -> StoreResult<Examination> {
        let mut connection = self.read().await?;
        let stored = installation::stored(&mut connection).await;
        let stored = stored.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let empty = || StoreError::Corrupt("it is no database of this program".to_owned());
        let (schema, software) = stored.ok_or_else(empty)?;
        let size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = sqlx::query_scalar(size).fetch_one(&mut *connection).await.map_err(error::of)?;
        let check = sqlx::query_scalar("PRAGMA quick_check").fetch_all(&mut *connection).await;
        let lines: Vec<String> = check.map_err(error::of)?;
        let damage = lines.into_iter().filter(|line| line != "ok").take(DAMAGES_TOLD).collect();
        Ok(Examination { schema, software, bytes: u64::try_from(bytes).unwrap_or(0), damage })
    }
}

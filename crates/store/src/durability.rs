//! Whether what is committed on a server is kept when its power fails.

use engine::ports::store::{StoreError, StoreResult};

use crate::{SqlStore, column::Fields, sql};

/// What a commit that was answered is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk.
    Kept,
    /// The server tells its disk nothing (`fsync = off`): a machine that fails may leave no database at all.
    NotSynced,
    /// The server answers before it has written it: `synchronous_commit` is this.
    Forgets(String),
}

impl SqlStore {
    /// What a commit is worth, as the server is set for whoever is connected. A file's is on the disk.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn durability(&self) -> StoreResult<Durability> {
        const SETTINGS: &str = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";
        if self.connections().is_none() {
            return Ok(Durability::Kept);
        }
        let row = sql::row(&mut self.read().await?, SETTINGS, []).await?;
        let row = row.ok_or_else(|| StoreError::Unavailable("the server said no setting".to_owned()))?;
        let mut fields = Fields::of(&row);
        let (commits, synced): (String, String) = (fields.get()?, fields.get()?);
        Ok(match (commits.as_str(), synced.as_str()) {
            ("off" | "local", _) => Durability::Forgets(commits),
            (_, "off") => Durability::NotSynced,
            _ => Durability::Kept,
        })
    }
}

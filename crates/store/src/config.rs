//! The configuration's version: raised by whoever changes what decisions depend on, compared by commit 1.
//! Beside it, in a row of its own, the number that bookings raise.

use engine::ports::store::{StoreError, StoreResult};

use crate::{column::Fields, dialect::Connection, sql};

/// Raises the version. Taken first in a transaction: it locks the row against commits 1 and 2.
pub(crate) async fn raise(connection: &mut Connection) -> StoreResult<()> {
    const RAISE: &str = "UPDATE config_version SET version = version + 1 WHERE id = 1";
    sql::execute(connection, RAISE, []).await?;
    Ok(())
}

/// The version, locked against changes where the database has more than one writer.
pub(crate) async fn shared(connection: &mut Connection) -> StoreResult<i64> {
    const VERSION: &str = concat!("SELECT version FROM config_version WHERE id = 1", for_share!());
    read(connection, VERSION).await
}

/// The version.
pub(crate) async fn version(connection: &mut Connection) -> StoreResult<i64> {
    read(connection, "SELECT version FROM config_version WHERE id = 1").await
}

/// Notes that money was booked or a reservation given back.
pub(crate) async fn note_booking(connection: &mut Connection) -> StoreResult<()> {
    const RAISE: &str = "UPDATE booked_version SET version = version + 1 WHERE id = 1";
    sql::execute(connection, RAISE, []).await?;
    Ok(())
}

/// The number of notes of bookings.
pub(crate) async fn booked(connection: &mut Connection) -> StoreResult<i64> {
    read(connection, "SELECT version FROM booked_version WHERE id = 1").await
}

async fn read(connection: &mut Connection, sql: &'static str) -> StoreResult<i64> {
    let row = sql::row(connection, sql, [])
        .await?
        .ok_or_else(|| StoreError::Corrupt("the configuration's row is missing".to_owned()))?;
    Fields::of(&row).get()
}

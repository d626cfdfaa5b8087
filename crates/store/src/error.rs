//! From the database's errors to the port's.

use domain::money::MoneyError;
use engine::ports::store::StoreError;

use sqlx::postgres::PgDatabaseError;

use crate::dialect::{ErrorClass, classify_postgres, classify_sqlite};

/// An error of a statement: nothing of its transaction was written.
pub(crate) fn of(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => match class(database.as_ref()) {
            ErrorClass::Full => StoreError::Full(error.to_string()),
            ErrorClass::Damaged => StoreError::Corrupt(error.to_string()),
            ErrorClass::Constraint => StoreError::Conflict(error.to_string()),
            ErrorClass::Other => StoreError::Unavailable(error.to_string()),
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// An error of a BEGIN. A pooler that lends a connection for each statement says so in words of its own.
pub(crate) fn of_begin(error: sqlx::Error) -> StoreError {
    // Source: PgBouncer's src/server.c.
    const NO_TRANSACTIONS: &str = "not allowed in statement pooling mode";
    let text = error.to_string();
    if text.contains(NO_TRANSACTIONS) {
        return StoreError::Unavailable(format!(
            "the pooler lends a connection for each statement alone; it must be set to pool_mode = transaction: {text}"
        ));
    }
    of(error)
}

/// An error of a COMMIT. On a full disk the frame that commits could not be written, so nothing was; any
/// other failure may have come after it.
pub(crate) fn of_commit(error: sqlx::Error) -> StoreError {
    match of(error) {
        StoreError::Full(text) => StoreError::Full(text),
        other => StoreError::OutcomeUnknown(other.to_string()),
    }
}

/// Amounts that leave the range.
pub(crate) fn of_money(error: MoneyError) -> StoreError {
    StoreError::Conflict(error.to_string())
}

fn class(error: &dyn sqlx::error::DatabaseError) -> ErrorClass {
    let classify = match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => classify_postgres,
        None => classify_sqlite,
    };
    error.code().map_or(ErrorClass::Other, |code| classify(&code))
}

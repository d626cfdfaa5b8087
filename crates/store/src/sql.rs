//! Running statements: values in, rows out, the port's errors.

use engine::ports::store::{StoreError, StoreResult};
use sqlx::{Arguments as _, SqlSafeStr};

use crate::{
    dialect::{Arguments, Connection, Row},
    error,
};

/// A value of a parameter. `None` is NULL.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Blob(Option<Vec<u8>>),
    Text(Option<String>),
}

/// An array of [`Value`]s from anything a column can hold.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$(crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

pub(crate) fn arguments(values: impl IntoIterator<Item = Value>) -> StoreResult<Arguments> {
    let mut arguments = Arguments::default();
    for value in values {
        match value {
            Value::Int(int) => arguments.add(int),
            Value::Blob(blob) => arguments.add(blob),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(|error| StoreError::Unavailable(format!("a parameter cannot be bound: {error}")))?;
    }
    Ok(arguments)
}

/// Runs a statement; how many rows it changed.
pub(crate) async fn execute(
    connection: &mut Connection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<u64> {
    let query = sqlx::query_with(sql, arguments(values)?);
    Ok(query.execute(connection).await.map_err(error::of)?.rows_affected())
}

/// All rows of a statement.
pub(crate) async fn rows(
    connection: &mut Connection,
    sql: impl SqlSafeStr + Send,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<Vec<Row>> {
    let query = sqlx::query_with(sql, arguments(values)?);
    query.fetch_all(connection).await.map_err(error::of)
}

/// The first row of a statement, if any.
pub(crate) async fn row(
    connection: &mut Connection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<Option<Row>> {
    let query = sqlx::query_with(sql, arguments(values)?);
    query.fetch_optional(connection).await.map_err(error::of)
}

/// A `LIMIT` as a value.
pub(crate) fn limit(rows: usize) -> Value {
    Value::Int(Some(i64::try_from(rows).unwrap_or(i64::MAX)))
}

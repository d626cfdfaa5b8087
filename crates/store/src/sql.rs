//! Running statements: values in, rows out, the port's errors.

use engine::ports::store::{StoreError, StoreResult};
use sqlx::{Arguments, AssertSqlSafe, Encode, Type, postgres::PgArguments, sqlite::SqliteArguments};

use crate::{
    dialect::{BlobList, Connection, Database, IdList, Row, Statements, on_postgres},
    error,
    server::Session,
};

/// A value of a parameter. `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Int(Option<i64>),
    Blob(Option<Vec<u8>>),
    Text(Option<String>),
    /// For `in_ids!`.
    Ids(Option<IdList>),
    /// For `in_blobs!`.
    Blobs(BlobList),
}

/// An array of [`Value`]s from anything a column can hold.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$(crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

impl From<IdList> for Value {
    fn from(list: IdList) -> Self {
        Self::Ids(Some(list))
    }
}

impl From<BlobList> for Value {
    fn from(list: BlobList) -> Self {
        Self::Blobs(list)
    }
}

fn add<'q, A, T>(arguments: &mut A, value: T) -> StoreResult<()>
where
    A: Arguments,
    T: Encode<'q, A::Database> + Type<A::Database>,
{
    let added = arguments.add(value);
    added.map_err(|error| StoreError::Unavailable(format!("a parameter cannot be bound: {error}")))
}

pub(crate) fn for_sqlite(values: impl IntoIterator<Item = Value>) -> StoreResult<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Int(int) => add(&mut arguments, int),
            Value::Blob(blob) => add(&mut arguments, blob),
            Value::Text(text) => add(&mut arguments, text),
            Value::Ids(list) => add(&mut arguments, list.map(|list| list.json())),
            Value::Blobs(list) => add(&mut arguments, list.json()),
        }?;
    }
    Ok(arguments)
}

fn for_postgres(values: impl IntoIterator<Item = Value>) -> StoreResult<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Int(int) => add(&mut arguments, int),
            Value::Blob(blob) => add(&mut arguments, blob),
            Value::Text(text) => add(&mut arguments, text),
            Value::Ids(list) => add(&mut arguments, list.map(|list| list.0)),
            Value::Blobs(list) => add(&mut arguments, list.0),
        }?;
    }
    Ok(arguments)
}

/// Runs a statement; how many rows it changed.
pub(crate) async fn execute(
    connection: &mut Connection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<u64> {
    match connection.database() {
        Database::Sqlite(connection) => {
            let query = sqlx::query_with(sql, for_sqlite(values)?);
            Ok(query.execute(connection).await.map_err(error::of)?.rows_affected())
        }
        Database::Postgres(connection, session) => {
            let query = sqlx::query_with(on_postgres(sql), for_postgres(values)?);
            let query = query.persistent(session.statements == Statements::Named);
            Ok(session.wait(query.execute(connection)).await?.rows_affected())
        }
    }
}

/// All rows of a statement.
pub(crate) async fn rows(
    connection: &mut Connection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<Vec<Row>> {
    match connection.database() {
        Database::Sqlite(connection) => {
            let query = sqlx::query_with(sql, for_sqlite(values)?);
            let rows = query.fetch_all(connection).await.map_err(error::of)?;
            Ok(rows.into_iter().map(Row::Sqlite).collect())
        }
        Database::Postgres(connection, session) => {
            let query = sqlx::query_with(on_postgres(sql), for_postgres(values)?);
            let query = query.persistent(session.statements == Statements::Named);
            let rows = session.wait(query.fetch_all(connection)).await?;
            Ok(rows.into_iter().map(Row::Postgres).collect())
        }
    }
}

/// The first row of a statement, if any.
pub(crate) async fn row(
    connection: &mut Connection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<Option<Row>> {
    match connection.database() {
        Database::Sqlite(connection) => {
            let query = sqlx::query_with(sql, for_sqlite(values)?);
            Ok(query.fetch_optional(connection).await.map_err(error::of)?.map(Row::Sqlite))
        }
        Database::Postgres(connection, session) => {
            let query = sqlx::query_with(on_postgres(sql), for_postgres(values)?);
            let query = query.persistent(session.statements == Statements::Named);
            Ok(session.wait(query.fetch_optional(connection)).await?.map(Row::Postgres))
        }
    }
}

/// All rows of a statement that was put together for SQLite, of constants and placeholders only.
pub(crate) async fn rows_on_sqlite(
    connection: &mut sqlx::SqliteConnection,
    sql: String,
    values: impl IntoIterator<Item = Value>,
) -> StoreResult<Vec<Row>> {
    let query = sqlx::query_with(AssertSqlSafe(sql), for_sqlite(values)?);
    let rows = query.fetch_all(connection).await.map_err(error::of)?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

/// The same for PostgreSQL, with a column of values for each parameter.
pub(crate) async fn rows_on_postgres(
    (connection, session): (&mut sqlx::PgConnection, Session),
    sql: String,
    columns: Vec<Column>,
) -> StoreResult<Vec<Row>> {
    let mut arguments = PgArguments::default();
    for column in columns {
        match column {
            Column::Ints(ints) => add(&mut arguments, ints),
            Column::Blobs(blobs) => add(&mut arguments, blobs),
            Column::Texts(texts) => add(&mut arguments, texts),
        }?;
    }
    let named = session.statements == Statements::Named;
    let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(named);
    let rows = session.wait(query.fetch_all(connection)).await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

/// The values of one column in many rows, as one parameter of PostgreSQL.
#[derive(Debug)]
pub(crate) enum Column {
    Ints(Vec<Option<i64>>),
    Blobs(Vec<Option<Vec<u8>>>),
    Texts(Vec<Option<String>>),
}

impl Column {
    /// An empty column that this value fits into.
    pub(crate) fn like(value: &Value) -> Self {
        match value {
            Value::Int(_) => Self::Ints(Vec::new()),
            Value::Text(_) => Self::Texts(Vec::new()),
            Value::Blob(_) | Value::Ids(_) | Value::Blobs(_) => Self::Blobs(Vec::new()),
        }
    }

    /// The type of the parameter.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Ints(_) => "bigint[]",
            Self::Blobs(_) => "bytea[]",
            Self::Texts(_) => "text[]",
        }
    }

    /// Adds the next row's value.
    pub(crate) fn push(&mut self, value: Value) -> StoreResult<()> {
        match (self, value) {
            (Self::Ints(ints), Value::Int(int)) => ints.push(int),
            (Self::Blobs(blobs), Value::Blob(blob)) => blobs.push(blob),
            (Self::Texts(texts), Value::Text(text)) => texts.push(text),
            (column, value) => {
                let text = format!("{value:?} is no value of a column of {}", column.type_name());
                return Err(StoreError::Conflict(text));
            }
        }
        Ok(())
    }
}

/// A `LIMIT` as a value.
pub(crate) fn limit(rows: usize) -> Value {
    Value::Int(Some(i64::try_from(rows).unwrap_or(i64::MAX)))
}

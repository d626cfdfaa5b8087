//! All rows of one database into another: from a file to a server, or from a server into a file, which is its backup.
//!
//! Tables are read in the order of their keys and written in that order, so that what an interrupted copy left is the
//! beginning of each table: it is compared, and the copy goes on after it. At the end the target is read whole again.

use std::path::{Path, PathBuf};

use engine::ports::store::{StoreError, StoreResult};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    backup,
    column::Fields,
    definitions,
    dialect::{Connection, Database, Row, Statements},
    error, installation, limits,
    postgres::{PostgresAddress, WRITER},
    server::Session,
    sql::{self, Column, Value, values},
    store::OpenError,
};

/// Rows that every database has from its beginning, one in each table; they are copied last, at once.
const SINGLE: [&str; 4] = ["config_version", "booked_version", "skips_summed", "installation"];

/// Numbers that were given out in a table beside those of its rows: rows are deleted, and what names them is not.
const GIVEN_OUT: [(&str, &str); 2] = [
    ("events", "SELECT MAX(position) FROM event_cursors"),
    ("decisions", "SELECT MAX(through) FROM skips_summed"),
];

/// A table as it was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Those that were there already, from a copy that was interrupted.
    pub before: u64,
    /// SHA-256 of all values in the order of the keys, the same on both sides.
    pub checksum: String,
}

/// What was copied and found the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Every table.
    pub tables: Vec<CopiedTable>,
    /// Sum of the ledger's cash, in millionths of a dollar, of both sides.
    pub cash: i64,
    /// Sum of the shares held, in millionths, of both sides.
    pub shares: i64,
}

impl Copied {
    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// A copy that was not made, or not whole.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The target has rows that the source does not have.
    #[error(
        "the target is not empty, nothing was written: it has other rows in `{table}`. Copy into a new database (`createdb`), or \
         into one where this copy was interrupted"
    )]
    OtherRows {
        /// Where.
        table: String,
    },
    /// Whoever is connected may not make the tables.
    #[error(
        "whoever this address names may not change the schema, so nothing was copied: give the address of the database's \
         owner, or of `slipstream_migration`"
    )]
    NotTheOwner,
    /// What was written is not what was read.
    #[error(
        "`{what}` is {target} in the target and {source_has} in the source: do not use the target, and report this"
    )]
    Differs {
        /// A table or a sum.
        what: String,
        /// In the source.
        source_has: String,
        /// In the target.
        target: String,
    },
    /// The file to write.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One of the databases.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Copies the database in this file into the one on the server, whose schema is brought up to date first, and compares
/// them. An interrupted copy is gone on with. Nobody may work on either: who does on the server waits until it is done.
///
/// # Errors
/// [`TransferError`]; nothing was written when the target has other rows.
pub async fn copy_to_server(file: &Path, address: &PostgresAddress) -> Result<Copied, TransferError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let options = options.busy_timeout(limits::BUSY_TIMEOUT).disable_statement_logging();
    let mut source = Connection::Sqlite(options.connect().await.map_err(error::of)?);
    installation::check_current(&mut source).await?;
    let mut server = address.alone("copy").await?;
    // Told before anything is written: the last tables would be refused after hours.
    if !definitions::may_migrate(&mut server).await? {
        return Err(TransferError::NotTheOwner);
    }
    let mut target = Connection::PostgresAlone(server);
    installation::migrate(&mut target, installation::STEPS).await?;
    sql::execute(&mut target, "SELECT pg_advisory_lock($1)", values![WRITER]).await?;
    let tables = tables(&mut source).await?;
    run(&mut source, "BEGIN").await?;
    let copied = copy(&mut source, &mut target, &tables).await;
    sql::execute(&mut target, "SELECT pg_advisory_unlock($1)", values![WRITER]).await?;
    copied
}

/// Copies the database on the server, as of one commit, into a new file, as [`crate::backup()`] copies a file: whoever works
/// on it works on.
///
/// # Errors
/// [`TransferError`]; then no file is left.
pub async fn backup_server(address: &PostgresAddress, file: &Path) -> Result<Copied, TransferError> {
    let io = |source| TransferError::Io { path: file.to_owned(), source };
    let made = backup::make(file).map_err(io)?;
    let copied = fill(address, file).await;
    if copied.is_err() {
        // Nobody would know what is in it.
        let _ = std::fs::remove_file(file);
    }
    let copied = copied?;
    made.sync_all().map_err(io)?;
    Ok(copied)
}

async fn fill(address: &PostgresAddress, file: &Path) -> Result<Copied, TransferError> {
    let mut source = Connection::PostgresAlone(address.alone("backup").await?);
    installation::check_current(&mut source).await?;
    run(&mut source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let options = SqliteConnectOptions::new().filename(file).pragma("synchronous", "off");
    let options = options.foreign_keys(true).disable_statement_logging();
    let mut target = Connection::Sqlite(options.connect().await.map_err(error::of)?);
    installation::migrate(&mut target, installation::STEPS).await?;
    let tables = tables(&mut target).await?;
    let copied = copy(&mut source, &mut target, &tables).await?;
    if let Connection::Sqlite(target) = target {
        target.close().await.map_err(error::of)?;
    }
    Ok(copied)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Blob,
    Text,
}

/// A table, as the file's schema says; the server's is made from the same text.
struct Table {
    name: String,
    columns: Vec<(String, Kind)>,
    /// The columns of its key.
    key: Vec<usize>,
}

/// In the order in which they were made: what a row refers to is in an earlier one.
async fn tables(file: &mut Connection) -> StoreResult<Vec<Table>> {
    const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
        AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 5) <> '_sqlx' ORDER BY rowid";
    const COLUMNS: &str = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
    let mut tables = Vec::new();
    for row in sql::rows(file, TABLES, []).await? {
        let name: String = Fields::of(&row).get()?;
        let (mut columns, mut key) = (Vec::new(), Vec::new());
        for (at, row) in sql::rows(file, COLUMNS, values![name.as_str()]).await?.iter().enumerate() {
            let mut fields = Fields::of(row);
            let (column, kind, place): (String, String, i64) = (fields.get()?, fields.get()?, fields.get()?);
            let kind = match kind.as_str() {
                "INTEGER" => Kind::Int,
                "BLOB" => Kind::Blob,
                "TEXT" => Kind::Text,
                other => return Err(StoreError::Corrupt(format!("`{name}.{column}` is of type {other}"))),
            };
            if place > 0 {
                key.push((place, at));
            }
            columns.push((column, kind));
        }
        key.sort_unstable();
        tables.push(Table { name, columns, key: key.into_iter().map(|(_, at)| at).collect() });
    }
    Ok(tables)
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    fn select(&self, of: &Connection) -> String {
        let order = self.key.iter().filter_map(|at| self.columns.get(*at)).map(|(name, kind)| {
            let by_bytes = *kind == Kind::Text && !matches!(of, Connection::Sqlite(_));
            format!("\"{name}\"{}", if by_bytes { " COLLATE \"C\"" } else { "" })
        });
        let order: Vec<String> = order.collect();
        format!("SELECT {} FROM \"{}\" ORDER BY {}", self.names(), self.name, order.join(", "))
    }

    fn read(&self, row: &Row) -> StoreResult<Vec<Value>> {
        let mut fields = Fields::of(row);
        let read = |(_, kind): &(String, Kind)| {
            Ok(match kind {
                Kind::Int => Value::Int(fields.get()?),
                Kind::Blob => Value::Blob(fields.get()?),
                Kind::Text => Value::Text(fields.get()?),
            })
        };
        self.columns.iter().map(read).collect()
    }

    /// Writes rows, all or none.
    async fn write(&self, target: &mut Connection, rows: Vec<Vec<Value>>) -> StoreResult<()> {
        let into = format!("INSERT INTO \"{}\" ({})", self.name, self.names());
        if let Database::Postgres(server, session) = target.database() {
            let mut columns: Vec<Column> = self.columns.iter().map(|(_, kind)| column(*kind)).collect();
            for value in rows.into_iter().flat_map(|row| row.into_iter().enumerate()) {
                if let Some(column) = columns.get_mut(value.0) {
                    column.push(value.1)?;
                }
            }
            let arrays: Vec<String> = (1..)
                .zip(&columns)
                .map(|(number, column)| format!("${number}::{}", column.type_name()))
                .collect();
            let text = format!("{into} SELECT * FROM unnest({})", arrays.join(", "));
            let session = Session { statements: Statements::Unnamed, ..session };
            return sql::rows_on_postgres((server, session), text, columns).await.map(drop);
        }
        run(target, "BEGIN").await?;
        let one = format!("{into} VALUES ({})", vec!["?"; self.columns.len()].join(", "));
        for row in rows {
            if let Database::Sqlite(file) = target.database() {
                sql::rows_on_sqlite(file, one.clone(), row).await?;
            }
        }
        run(target, "COMMIT").await
    }
}

fn column(kind: Kind) -> Column {
    match kind {
        Kind::Int => Column::Ints(Vec::new()),
        Kind::Blob => Column::Blobs(Vec::new()),
        Kind::Text => Column::Texts(Vec::new()),
    }
}

/// Rows and their checksum so far.
#[derive(Clone, Default)]
struct Seen {
    rows: u64,
    digest: Sha256,
}

impl Seen {
    fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            let (tag, bytes) = match value {
                Value::Int(Some(int)) => (1_u8, int.to_be_bytes().to_vec()),
                Value::Blob(Some(blob)) => (2, blob.clone()),
                Value::Text(Some(text)) => (3, text.clone().into_bytes()),
                _ => (0, Vec::new()),
            };
            self.digest.update([tag]);
            self.digest.update((bytes.len() as u64).to_be_bytes());
            self.digest.update(bytes);
        }
    }

    fn checksum(&self) -> String {
        let digest = self.digest.clone().finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn told(&self) -> String {
        format!("{} rows, {}", self.rows, self.checksum())
    }
}

async fn copy(
    source: &mut Connection,
    target: &mut Connection,
    tables: &[Table],
) -> Result<Copied, TransferError> {
    let (single, many): (Vec<&Table>, Vec<&Table>) =
        tables.iter().partition(|table| SINGLE.contains(&table.name.as_str()));
    // Everything is compared before anything is written.
    let mut there = Vec::with_capacity(many.len());
    for table in &many {
        let seen = all(target, table, u64::MAX).await?;
        if all(source, table, seen.rows).await?.told() != seen.told() {
            return Err(TransferError::OtherRows { table: table.name.clone() });
        }
        there.push(seen.rows);
    }
    let mut copied = Vec::with_capacity(tables.len());
    for (table, before) in many.iter().zip(there) {
        copied.push((rest(source, target, table, before).await?, before, *table));
    }
    for table in single {
        run(target, &format!("DELETE FROM \"{}\"", table.name)).await?;
        copied.push((rest(source, target, table, 0).await?, 0, table));
    }
    for table in many {
        let others = GIVEN_OUT.iter().find(|(name, _)| *name == table.name);
        go_on_after(target, table, others.map(|(_, others)| *others)).await?;
    }
    compare(source, target, copied).await
}

/// Reads the first `most` rows.
async fn all(of: &mut Connection, table: &Table, most: u64) -> StoreResult<Seen> {
    let mut seen = Seen::default();
    let text = table.select(of);
    let text = if most == u64::MAX { text } else { format!("{text} LIMIT {most}") };
    let mut rows = stream(of, text);
    while let Some(row) = rows.try_next().await? {
        seen.add(&table.read(&row)?);
    }
    Ok(seen)
}

/// Copies what comes after the first rows.
async fn rest(
    source: &mut Connection,
    target: &mut Connection,
    table: &Table,
    before: u64,
) -> StoreResult<Seen> {
    let mut seen = Seen::default();
    let mut batch = Vec::with_capacity(limits::BULK_ROWS_ON_POSTGRES);
    let text = table.select(source);
    let mut rows = stream(source, text);
    while let Some(row) = rows.try_next().await? {
        let row = table.read(&row)?;
        seen.add(&row);
        if seen.rows <= before {
            continue;
        }
        batch.push(row);
        if batch.len() == limits::BULK_ROWS_ON_POSTGRES {
            table.write(target, std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.is_empty() {
        table.write(target, batch).await?;
    }
    Ok(seen)
}

/// Numbers that the target gives out come after those that were given out already.
async fn go_on_after(target: &mut Connection, table: &Table, of_others: Option<&str>) -> StoreResult<()> {
    let made = table.key == [0]
        && table.columns.first().is_some_and(|(name, kind)| name == "id" && *kind == Kind::Int);
    if !made {
        return Ok(());
    }
    let name = &table.name;
    let of_others = of_others.unwrap_or("SELECT 0");
    let last =
        format!("(SELECT MAX(n) FROM (SELECT MAX(id) AS n FROM \"{name}\" UNION ALL {of_others}) AS given)");
    match target.database() {
        // Other tables go on after their highest row.
        Database::Sqlite(_) if name != "events" => Ok(()),
        Database::Sqlite(_) => {
            run(target, "DELETE FROM sqlite_sequence WHERE name = 'events'").await?;
            run(
                target,
                &format!("INSERT INTO sqlite_sequence (name, seq) SELECT 'events', COALESCE({last}, 0)"),
            )
            .await
        }
        Database::Postgres(..) => {
            let given = format!("COALESCE({last}, 0)");
            run(
                target,
                &format!(
                    "SELECT setval(pg_get_serial_sequence('{name}', 'id'), GREATEST({given}, 1), {given} > 0)"
                ),
            )
            .await
        }
    }
}

/// Reads the target whole, and the sums of both.
async fn compare(
    source: &mut Connection,
    target: &mut Connection,
    copied: Vec<(Seen, u64, &Table)>,
) -> Result<Copied, TransferError> {
    const CASH: &str = "SELECT CAST(COALESCE(SUM(cash), 0) AS BIGINT) FROM ledger";
    const SHARES: &str = "SELECT CAST(COALESCE(SUM(shares), 0) AS BIGINT) FROM positions";
    let differs = |what: &str, source: String, target: String| TransferError::Differs {
        what: what.to_owned(),
        source_has: source,
        target,
    };
    let mut tables = Vec::with_capacity(copied.len());
    for (seen, before, table) in copied {
        let written = all(target, table, u64::MAX).await?;
        if written.told() != seen.told() {
            return Err(differs(&table.name, seen.told(), written.told()));
        }
        tables.push(CopiedTable {
            name: table.name.clone(),
            rows: seen.rows,
            before,
            checksum: seen.checksum(),
        });
    }
    let mut sums = [0_i64; 2];
    for ((what, sum), into) in [("cash", CASH), ("shares", SHARES)].into_iter().zip(&mut sums) {
        let (of_source, of_target) = (number(source, sum).await?, number(target, sum).await?);
        if of_source != of_target {
            return Err(differs(what, of_source.to_string(), of_target.to_string()));
        }
        *into = of_source;
    }
    let [cash, shares] = sums;
    Ok(Copied { tables, cash, shares })
}

async fn number(connection: &mut Connection, sql: &'static str) -> StoreResult<i64> {
    sql::row(connection, sql, []).await?.map_or(Ok(0), |row| Fields::of(&row).get())
}

/// Runs a text that is put together of the schema's names.
async fn run(connection: &mut Connection, text: &str) -> StoreResult<()> {
    let text = AssertSqlSafe(text.to_owned());
    match connection.database() {
        Database::Sqlite(file) => sqlx::raw_sql(text).execute(file).await.map(drop),
        Database::Postgres(server, _) => sqlx::raw_sql(text).execute(server).await.map(drop),
    }
    .map_err(error::of)
}

fn stream(connection: &mut Connection, text: String) -> BoxStream<'_, StoreResult<Row>> {
    let text = AssertSqlSafe(text);
    match connection.database() {
        Database::Sqlite(file) => {
            sqlx::query(text).fetch(file).map(|row| row.map(Row::Sqlite).map_err(error::of)).boxed()
        }
        Database::Postgres(server, _) => {
            sqlx::query(text).fetch(server).map(|row| row.map(Row::Postgres).map_err(error::of)).boxed()
        }
    }
}

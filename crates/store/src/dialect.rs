//! Everything that differs between databases. All other SQL is one text for all of them: SQLite's, which
//! [`on_postgres`] turns into PostgreSQL's. The macros below name what it turns.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    PgConnection, Postgres, Sqlite, SqliteConnection, Transaction, pool::PoolConnection, postgres::PgRow,
    sqlite::SqliteRow,
};

use crate::server::{ServerTransaction, Session};

/// A connection to either database.
pub(crate) enum Connection {
    /// SQLite's one writer, or a connection of nobody's pool.
    Sqlite(SqliteConnection),
    /// For one statement that reads.
    SqliteReader(PoolConnection<Sqlite>),
    /// One state of the database.
    SqliteSnapshot(Transaction<'static, Sqlite>),
    /// For one statement that reads, and how long its answer may take.
    Postgres(PoolConnection<Postgres>, Duration),
    /// A transaction, of one state of the database or one that writes.
    PostgresTransaction(ServerTransaction),
    /// Of nobody's pool.
    PostgresAlone(PgConnection),
}

/// Whether statements are kept by the server under a name. Behind a pooler they cannot be: the next transaction is
/// another server connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statements {
    Named,
    Unnamed,
}

/// Which database a connection is to.
pub(crate) enum Database<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection, Session),
}

impl Connection {
    /// The driver's connection.
    pub(crate) fn database(&mut self) -> Database<'_> {
        match self {
            Self::Sqlite(connection) => Database::Sqlite(connection),
            Self::SqliteReader(connection) => Database::Sqlite(connection),
            Self::SqliteSnapshot(transaction) => Database::Sqlite(transaction),
            Self::Postgres(connection, patience) => {
                Database::Postgres(connection, Session::within(*patience))
            }
            Self::PostgresTransaction(transaction) => transaction.database(),
            Self::PostgresAlone(connection) => Database::Postgres(connection, Session::ALONE),
        }
    }
}

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Begins a transaction that will write. A transaction that reads first and writes later could fail at
/// the first write however long it waits (SQLITE_BUSY_SNAPSHOT); one that begins as a writer cannot.
pub(crate) const BEGIN_ON_SQLITE: &str = "BEGIN IMMEDIATE";

/// An expression that makes 32 random bytes: the mark of an installation. Not a secret.
macro_rules! random_mark {
    () => {
        "randomblob(32)"
    };
}

/// ` IN (…)` over a list bound with [`id_list`].
macro_rules! in_ids {
    ($parameter:literal) => {
        concat!(" IN (SELECT value FROM json_each(", $parameter, "))")
    };
}

/// ` IN (…)` over a list bound with [`blob_list`].
macro_rules! in_blobs {
    ($parameter:literal) => {
        concat!(" IN (SELECT unhex(value) FROM json_each(", $parameter, "))")
    };
}

/// An integer field of a column of JSON text.
macro_rules! json_integer {
    ($column:literal, $field:literal) => {
        concat!("CAST(", $column, " ->> '$.", $field, "' AS BIGINT)")
    };
}

/// A text field of a column of JSON text.
macro_rules! json_text {
    ($column:literal, $field:literal) => {
        concat!("(", $column, " ->> '$.", $field, "')")
    };
}

/// Locks the rows read, of all tables or of those named, against other writers. SQLite has only one.
macro_rules! for_update {
    () => {
        " /* FOR UPDATE */"
    };
    ($tables:literal) => {
        concat!(" /* FOR UPDATE OF ", $tables, " */")
    };
}

/// Locks the rows read against changes, but not against other readers of this kind.
macro_rules! for_share {
    () => {
        " /* FOR SHARE */"
    };
}

/// What is written otherwise on PostgreSQL, in statements and in the schema.
const ON_POSTGRES: [(&str, &str); 10] = [
    (
        "randomblob(32)",
        "decode(md5(random()::text) || md5(clock_timestamp()::text || random()::text), 'hex')",
    ),
    (" IN (SELECT value FROM json_each($1))", " = ANY($1)"),
    (" IN (SELECT value FROM json_each($2))", " = ANY($2)"),
    (" IN (SELECT value FROM json_each($3))", " = ANY($3)"),
    (" IN (SELECT unhex(value) FROM json_each($1))", " = ANY($1)"),
    (" IN (SELECT unhex(value) FROM json_each($2))", " = ANY($2)"),
    (" ->> '$.", "::jsonb ->> '"),
    (" /* FOR ", " FOR "),
    (" */", ""),
    ("AS BLOB", "AS BYTEA"),
];

/// A statement as PostgreSQL wants it.
fn translated(sqlite: &str) -> String {
    ON_POSTGRES.iter().fold(sqlite.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The schema as PostgreSQL wants it: the same tables and columns.
pub(crate) fn schema_on_postgres(sqlite: &str) -> String {
    let mut schema = String::with_capacity(sqlite.len());
    for line in sqlite.lines() {
        let line = line.replace(" STRICT", "").replace(", WITHOUT ROWID", "").replace(" AUTOINCREMENT", "");
        let line = line.replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA");
        // A key that the database makes.
        let made = line.trim_start().starts_with("id ") && line.trim_end().ends_with("BIGINT PRIMARY KEY,");
        schema.push_str(&if made {
            line.replace("PRIMARY KEY", "GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        } else {
            line
        });
        schema.push('\n');
    }
    schema
}

/// A statement of the program's as PostgreSQL wants it, made once.
pub(crate) fn on_postgres(sqlite: &'static str) -> &'static str {
    static MADE: Mutex<Option<HashMap<(usize, usize), &'static str>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    // Constants are told apart by where they are: looking at the text would cost as much as sending it.
    let place = (sqlite.as_ptr() as usize, sqlite.len());
    // As many as there are constants in the program, for as long as it runs.
    made.get_or_insert_default().entry(place).or_insert_with(|| translated(sqlite).leak())
}

/// A list of integers as one parameter, for [`in_ids`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IdList(pub(crate) Vec<i64>);

/// A list of byte strings as one parameter, for [`in_blobs`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlobList(pub(crate) Vec<Vec<u8>>);

/// A list of integers as one parameter.
pub(crate) fn id_list(ids: impl IntoIterator<Item = i64>) -> IdList {
    IdList(ids.into_iter().collect())
}

/// A list of byte strings as one parameter.
pub(crate) fn blob_list<'a>(blobs: impl IntoIterator<Item = &'a [u8]>) -> BlobList {
    BlobList(blobs.into_iter().map(<[u8]>::to_vec).collect())
}

impl IdList {
    /// As JSON, for SQLite.
    pub(crate) fn json(&self) -> String {
        let mut list = String::from("[");
        for id in &self.0 {
            separate(&mut list);
            list.push_str(&id.to_string());
        }
        list.push(']');
        list
    }
}

impl BlobList {
    /// As JSON of hexadecimal digits, for SQLite.
    pub(crate) fn json(&self) -> String {
        let mut list = String::from("[");
        for blob in &self.0 {
            separate(&mut list);
            list.push('"');
            for byte in blob {
                for digit in [byte >> 4, byte & 15] {
                    list.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
            }
            list.push('"');
        }
        list.push(']');
        list
    }
}

fn separate(list: &mut String) {
    if list.len() > 1 {
        list.push(',');
    }
}

/// What a database's error code means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// No space left.
    Full,
    /// The data is damaged.
    Damaged,
    /// A rule of the schema was broken, or a number left its range.
    Constraint,
    /// Anything else: the statement did not happen.
    Other,
}

/// Source: sqlite.org/rescode.html; the low byte is the primary code.
pub(crate) fn classify_sqlite(code: &str) -> ErrorClass {
    /// The file that connections share cannot grow (`SQLITE_IOERR_SHMSIZE`).
    const NO_ROOM_TO_SHARE: i32 = 10 | 19 << 8;
    let code = code.parse::<i32>();
    if code == Ok(NO_ROOM_TO_SHARE) {
        return ErrorClass::Full;
    }
    match code.map(|code| code & 0xff) {
        Ok(13) => ErrorClass::Full,
        Ok(11 | 26) => ErrorClass::Damaged,
        Ok(19) => ErrorClass::Constraint,
        _ => ErrorClass::Other,
    }
}

/// Source: postgresql.org/docs/current/errcodes-appendix.html; the first two digits are the class.
pub(crate) fn classify_postgres(code: &str) -> ErrorClass {
    match code {
        "53100" => ErrorClass::Full,
        "XX001" | "XX002" => ErrorClass::Damaged,
        // numeric_value_out_of_range: SQLite would have stored a fraction, which its schema refuses.
        "22003" => ErrorClass::Constraint,
        _ if code.starts_with("23") => ErrorClass::Constraint,
        _ => ErrorClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_json_on_sqlite() {
        assert_eq!(id_list([]).json(), "[]");
        assert_eq!(id_list([1, -2]).json(), "[1,-2]");
        assert_eq!(blob_list([&[0x0f_u8, 0xa0][..], &[][..]]).json(), r#"["0fa0",""]"#);
    }

    #[test]
    fn lists_locks_json_and_types_are_written_otherwise_on_postgres() {
        const LISTS: &str =
            concat!("SELECT a FROM t WHERE a", in_ids!("$1"), " AND b", in_blobs!("$2"), for_update!());
        assert_eq!(on_postgres(LISTS), "SELECT a FROM t WHERE a = ANY($1) AND b = ANY($2) FOR UPDATE");
        const JSON: &str = concat!("SELECT ", json_integer!("p.policy", "a"), ", ", json_text!("p", "b"));
        assert_eq!(on_postgres(JSON), "SELECT CAST(p.policy::jsonb ->> 'a' AS BIGINT), (p::jsonb ->> 'b')");
        assert_eq!(
            schema_on_postgres("a INTEGER,\n b BLOB\n) STRICT, WITHOUT ROWID;"),
            "a BIGINT,\n b BYTEA\n);\n"
        );
        assert_eq!(
            schema_on_postgres("    id   INTEGER PRIMARY KEY,"),
            "    id   BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,\n"
        );
    }

    #[test]
    fn codes_are_understood() {
        assert_eq!(classify_sqlite("13"), ErrorClass::Full);
        // SQLITE_IOERR_SHMSIZE.
        assert_eq!(classify_sqlite("4874"), ErrorClass::Full);
        // SQLITE_CONSTRAINT_UNIQUE and SQLITE_IOERR_WRITE.
        assert_eq!(classify_sqlite("2067"), ErrorClass::Constraint);
        assert_eq!(classify_sqlite("778"), ErrorClass::Other);
        // unique_violation, disk_full, data_corrupted, too_many_connections.
        assert_eq!(classify_postgres("23505"), ErrorClass::Constraint);
        assert_eq!(classify_postgres("53100"), ErrorClass::Full);
        assert_eq!(classify_postgres("XX001"), ErrorClass::Damaged);
        assert_eq!(classify_postgres("53300"), ErrorClass::Other);
    }
}

//! Everything that differs between databases. All other SQL is one text for all of them.

pub(crate) type Database = sqlx::Sqlite;
pub(crate) type Connection = sqlx::SqliteConnection;
pub(crate) type Row = sqlx::sqlite::SqliteRow;
pub(crate) type Arguments = sqlx::sqlite::SqliteArguments;

/// Begins a transaction that will write. A transaction that reads first and writes later could fail at
/// the first write however long it waits (SQLITE_BUSY_SNAPSHOT); one that begins as a writer cannot.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

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

/// Locks the rows read against other writers. SQLite has only one.
macro_rules! for_update {
    () => {
        ""
    };
}

/// Locks the rows read against changes, but not against other readers of this kind.
macro_rules! for_share {
    () => {
        ""
    };
}

/// A parameter of a bulk insert. Nameless, because SQLite looks named ones up one by one.
pub(crate) fn placeholder(text: &mut String, _number: usize) {
    text.push('?');
}

/// A list of integers as one parameter.
pub(crate) fn id_list(ids: impl IntoIterator<Item = i64>) -> String {
    let mut list = String::from("[");
    for id in ids {
        separate(&mut list);
        list.push_str(&id.to_string());
    }
    list.push(']');
    list
}

/// A list of byte strings as one parameter.
pub(crate) fn blob_list<'a>(blobs: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut list = String::from("[");
    for blob in blobs {
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
    /// The file is damaged.
    Damaged,
    /// A rule of the schema was broken.
    Constraint,
    /// Anything else: the statement did not happen.
    Other,
}

/// Source: sqlite.org/rescode.html; the low byte is the primary code.
pub(crate) fn classify(code: &str) -> ErrorClass {
    match code.parse::<i32>().map(|code| code & 0xff) {
        Ok(13) => ErrorClass::Full,
        Ok(11 | 26) => ErrorClass::Damaged,
        Ok(19) => ErrorClass::Constraint,
        _ => ErrorClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_json() {
        assert_eq!(id_list([]), "[]");
        assert_eq!(id_list([1, -2]), "[1,-2]");
        assert_eq!(blob_list([&[0x0f_u8, 0xa0][..], &[][..]]), r#"["0fa0",""]"#);
    }

    #[test]
    fn extended_codes_are_understood() {
        assert_eq!(classify("13"), ErrorClass::Full);
        // SQLITE_CONSTRAINT_UNIQUE and SQLITE_IOERR_WRITE.
        assert_eq!(classify("2067"), ErrorClass::Constraint);
        assert_eq!(classify("778"), ErrorClass::Other);
    }
}

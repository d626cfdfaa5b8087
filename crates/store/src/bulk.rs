//! Inserts of many rows in few statements.
//!
//! On SQLite a statement costs a hand-over to the database's thread and back, some 50 µs, a row in it 2 to 3 µs. On
//! PostgreSQL it costs a round trip, and rows are columns of arrays, so that the text is the same for any number.

use std::collections::HashMap;

use engine::ports::store::StoreResult;
use sqlx::{PgConnection, SqliteConnection};

use crate::{
    dialect::{Connection, Database, Row},
    limits::{BULK_ROWS, BULK_ROWS_ON_POSTGRES},
    server::Session,
    sql::{self, Column, Value},
};

/// A bulk insert but for its rows.
#[derive(Clone, Copy)]
pub(crate) struct Insert {
    /// `table (columns)`.
    pub(crate) into: &'static str,
    /// What follows the rows: `ON CONFLICT …`, `RETURNING …`.
    pub(crate) then: &'static str,
}

impl Insert {
    /// Inserts the rows and returns what the statement returns, in no particular order.
    pub(crate) async fn run<const N: usize>(
        &self,
        connection: &mut Connection,
        rows: Vec<[Value; N]>,
    ) -> StoreResult<Vec<Row>> {
        match connection.database() {
            Database::Sqlite(connection) => self.on_sqlite(connection, rows).await,
            Database::Postgres(connection, session) => self.on_postgres((connection, session), rows).await,
        }
    }

    async fn on_sqlite<const N: usize>(
        &self,
        connection: &mut SqliteConnection,
        rows: Vec<[Value; N]>,
    ) -> StoreResult<Vec<Row>> {
        let mut returned = Vec::new();
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let size = chunk_size(rows.len());
            let values = rows.by_ref().take(size).flatten();
            returned.extend(sql::rows_on_sqlite(connection, self.of_rows(size, N), values).await?);
        }
        Ok(returned)
    }

    async fn on_postgres<const N: usize>(
        &self,
        (connection, session): (&mut PgConnection, Session),
        rows: Vec<[Value; N]>,
    ) -> StoreResult<Vec<Row>> {
        let mut returned = Vec::new();
        for wave in self.waves(rows) {
            let mut wave = wave.into_iter().peekable();
            while let Some(first) = wave.peek() {
                let mut columns: Vec<Column> = first.iter().map(Column::like).collect();
                let text = self.of_columns(&columns);
                for row in wave.by_ref().take(BULK_ROWS_ON_POSTGRES) {
                    for (column, value) in columns.iter_mut().zip(row) {
                        column.push(value)?;
                    }
                }
                let to = (&mut *connection, session);
                returned.extend(sql::rows_on_postgres(to, text, columns).await?);
            }
        }
        Ok(returned)
    }

    /// The rows in statements of which none says two things about one row, which PostgreSQL refuses; in their order for
    /// each row.
    fn waves<const N: usize>(&self, rows: Vec<[Value; N]>) -> Vec<Vec<[Value; N]>> {
        let key = self.key();
        if key.is_empty() {
            return vec![rows];
        }
        let mut seen: HashMap<Vec<Value>, usize> = HashMap::with_capacity(rows.len());
        let mut waves: Vec<Vec<[Value; N]>> = Vec::new();
        for row in rows {
            let of_row = key.iter().filter_map(|at| row.get(*at).cloned()).collect();
            let times = seen.entry(of_row).or_default();
            match waves.get_mut(*times) {
                Some(wave) => wave.push(row),
                None => waves.push(vec![row]),
            }
            *times = times.saturating_add(1);
        }
        waves
    }

    /// Where the columns are by which a row that is there already is changed; none where such a row is left alone.
    fn key(&self) -> Vec<usize> {
        let listed = |text: &'static str| {
            let inner =
                text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
            inner.unwrap_or_default().split(',').map(str::trim)
        };
        if !self.then.contains("DO UPDATE") {
            return Vec::new();
        }
        listed(self.then).filter_map(|name| listed(self.into).position(|column| column == name)).collect()
    }

    /// Placeholders are nameless, because SQLite looks named ones up one by one.
    fn of_rows(&self, rows: usize, columns: usize) -> String {
        let row = format!("({})", vec!["?"; columns].join(", "));
        format!("INSERT INTO {} VALUES {} {}", self.into, vec![row; rows].join(", "), self.then)
    }

    fn of_columns(&self, columns: &[Column]) -> String {
        let arrays =
            columns.iter().zip(1..).map(|(column, number)| format!("${number}::{}", column.type_name()));
        let arrays = arrays.collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {} SELECT * FROM unnest({arrays}) {}", self.into, self.then)
    }
}

/// The largest power of two that fits, up to [`BULK_ROWS`].
fn chunk_size(rows: usize) -> usize {
    rows.min(BULK_ROWS).checked_ilog2().map_or(0, |power| 1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_everything_in_few_sizes() {
        for rows in 1..1_000 {
            let (mut left, mut statements) = (rows, 0);
            while left > 0 {
                let size = chunk_size(left);
                assert!(size.is_power_of_two() && size <= left);
                left -= size;
                statements += 1;
            }
            assert!(statements <= rows / BULK_ROWS + 7);
        }
    }

    #[test]
    fn a_row_said_twice_goes_into_two_statements_on_postgres() {
        let insert = Insert { into: "t (a, b, c)", then: "ON CONFLICT (c, a) DO UPDATE SET b = excluded.b" };
        assert_eq!(insert.key(), [2, 0]);
        let row = |numbers: [i64; 3]| numbers.map(Value::from);
        let rows = vec![row([1, 10, 1]), row([1, 20, 1]), row([1, 30, 2]), row([1, 40, 1])];
        let waves = insert.waves(rows);
        assert_eq!(
            waves,
            [vec![row([1, 10, 1]), row([1, 30, 2])], vec![row([1, 20, 1])], vec![row([1, 40, 1])]]
        );
        assert!(Insert { into: "t (a)", then: "ON CONFLICT (a) DO NOTHING" }.key().is_empty());
    }

    #[test]
    fn text_has_one_placeholder_for_each_value_on_sqlite_and_for_each_column_on_postgres() {
        let insert = Insert { into: "t (a, b)", then: "ON CONFLICT DO NOTHING" };
        assert_eq!(insert.of_rows(2, 2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING");
        assert_eq!(
            insert.of_columns(&[Column::Ints(Vec::new()), Column::Texts(Vec::new())]),
            "INSERT INTO t (a, b) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING"
        );
    }
}

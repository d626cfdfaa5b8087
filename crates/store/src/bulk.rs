//! Inserts of many rows in few statements.
//!
//! A statement costs a hand-over to the database's thread and back, some 50 µs, a row in it 2 to 3 µs.

use engine::ports::store::StoreResult;
use sqlx::AssertSqlSafe;

use crate::{
    dialect::{Connection, Row, placeholder},
    limits::BULK_ROWS,
    sql::{self, Value},
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
        let mut returned = Vec::new();
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let size = chunk_size(rows.len());
            let values = rows.by_ref().take(size).flatten();
            // Built of the constants above and placeholders only.
            let text = AssertSqlSafe(self.text(size, N));
            returned.extend(sql::rows(connection, text, values).await?);
        }
        Ok(returned)
    }

    fn text(&self, rows: usize, columns: usize) -> String {
        let mut text = format!("INSERT INTO {} VALUES ", self.into);
        let mut number = 0;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..columns {
                if column > 0 {
                    text.push_str(", ");
                }
                number += 1;
                placeholder(&mut text, number);
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.then);
        text
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
    fn text_has_one_placeholder_per_value() {
        let insert = Insert { into: "t (a, b)", then: "ON CONFLICT DO NOTHING" };
        assert_eq!(insert.text(2, 2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING");
    }
}

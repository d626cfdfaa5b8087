//! The outbox: what happened, written in the transaction that made it true.

use domain::Timestamp;
use engine::ports::store::{Event, StoreError, StoreResult};

use crate::{
    bulk::Insert,
    column::{Fields, json},
    dialect::Connection,
    newer,
    sql::{self, Value, values},
};

const INSERT: Insert = Insert { into: "events (owner_id, at, event)", then: "" };

/// Writes events.
pub(crate) async fn write(connection: &mut Connection, events: &[Event]) -> StoreResult<()> {
    let rows = events
        .iter()
        .map(|event| Ok(values![event.owner, event.at, json(&event.kind)?]))
        .collect::<StoreResult<Vec<[Value; 3]>>>()?;
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Events after a number, ascending.
pub(crate) async fn after(
    connection: &mut Connection,
    after: i64,
    limit: usize,
) -> StoreResult<Vec<(i64, Event)>> {
    const AFTER: &str = "SELECT id, owner_id, at, event FROM events WHERE id > $1 ORDER BY id LIMIT $2";
    sql::rows(connection, AFTER, [Value::from(after), sql::limit(limit)])
        .await?
        .iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            let id = fields.get()?;
            Ok((id, Event { owner: fields.get()?, at: fields.get()?, kind: newer::event(&mut fields)? }))
        })
        .collect()
}

/// Removes events of the oldest `limit` that are from before a moment and that every subscriber has read.
pub(crate) async fn prune(
    connection: &mut Connection,
    before: Timestamp,
    limit: usize,
) -> StoreResult<usize> {
    const PRUNE: &str = "DELETE FROM events WHERE id IN \
        (SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT $2) AS oldest WHERE at < $1) \
        AND NOT EXISTS (SELECT 1 FROM event_cursors c WHERE c.position < events.id)";
    let gone = sql::execute(connection, PRUNE, [before.into(), sql::limit(limit)]).await?;
    usize::try_from(gone).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The number of the newest event.
pub(crate) async fn newest(connection: &mut Connection) -> StoreResult<i64> {
    const NEWEST: &str = "SELECT COALESCE(MAX(id), 0) FROM events";
    sql::row(connection, NEWEST, values![]).await?.map_or(Ok(0), |row| Fields::of(&row).get())
}

/// A subscriber's cursor.
pub(crate) async fn cursor(connection: &mut Connection, subscriber: &str) -> StoreResult<i64> {
    const CURSOR: &str = "SELECT position FROM event_cursors WHERE subscriber = $1";
    sql::row(connection, CURSOR, values![subscriber]).await?.map_or(Ok(0), |row| Fields::of(&row).get())
}

/// Moves a subscriber's cursor, never back.
pub(crate) async fn move_cursor(connection: &mut Connection, subscriber: &str, to: i64) -> StoreResult<()> {
    const MOVE: &str = "INSERT INTO event_cursors (subscriber, position) VALUES ($1, $2) \
        ON CONFLICT (subscriber) DO UPDATE SET position = excluded.position \
        WHERE excluded.position > event_cursors.position";
    sql::execute(connection, MOVE, values![subscriber, to]).await?;
    Ok(())
}

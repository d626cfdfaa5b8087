//! Parts of groups, with the facts they were decided from.

use std::collections::HashMap;

use domain::trade::{GroupKey, Part};
use engine::ports::{
    detection::StoredPart,
    store::{StoreError, StoreResult},
};

use crate::{
    bulk::Insert,
    column::{Coded, Fields, json},
    dialect::Connection,
    groups::key_columns,
    newer,
    sql::{self, values},
};

/// Inserts parts; of those that exist only the progress moves, and never back. The snapshot may be replaced
/// until somebody was decided from it.
pub(crate) async fn write(
    connection: &mut Connection,
    parts: &[StoredPart],
    groups: &HashMap<GroupKey, i64>,
) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "trade_parts (group_id, part, added, kind, seen_at, snapshot, decided_through, complete)",
        then: "ON CONFLICT (group_id, part) DO UPDATE SET \
            snapshot = CASE WHEN trade_parts.decided_through = 0 AND trade_parts.complete = 0 \
                THEN excluded.snapshot ELSE trade_parts.snapshot END, \
            decided_through = CASE WHEN excluded.decided_through > trade_parts.decided_through \
                THEN excluded.decided_through ELSE trade_parts.decided_through END, \
            complete = CASE WHEN trade_parts.complete = 1 THEN 1 ELSE excluded.complete END",
    };
    let mut rows = Vec::with_capacity(parts.len());
    for stored in parts {
        let part = stored.part;
        rows.push(values![
            group_of(groups, part.key)?,
            part.number,
            part.added,
            Coded(part.kind),
            stored.seen_at,
            json(&stored.snapshot)?,
            stored.decided_through,
            stored.complete,
        ]);
    }
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Row number of a group that was resolved before.
pub(crate) fn group_of(groups: &HashMap<GroupKey, i64>, key: GroupKey) -> StoreResult<i64> {
    groups.get(&key).copied().ok_or_else(|| StoreError::Conflict(format!("no group {key:?} is stored")))
}

/// A query of parts.
macro_rules! select_parts {
    ($rest:expr) => {
        concat!(
            "SELECT ",
            key_columns!(),
            ", p.part, p.added, p.kind, p.seen_at, p.snapshot, p.decided_through, p.complete ",
            "FROM trade_parts p JOIN trade_groups g ON g.id = p.group_id ",
            $rest
        )
    };
}

fn read(fields: &mut Fields<'_>) -> StoreResult<StoredPart> {
    let part =
        Part { key: fields.get()?, number: fields.number()?, added: fields.get()?, kind: fields.code()? };
    Ok(StoredPart {
        part,
        seen_at: fields.get()?,
        snapshot: fields.json()?,
        decided_through: fields.get()?,
        complete: fields.get()?,
    })
}

/// Parts that are not complete, oldest first.
pub(crate) async fn incomplete(connection: &mut Connection) -> StoreResult<Vec<StoredPart>> {
    const INCOMPLETE: &str = select_parts!("WHERE p.complete = 0 ORDER BY p.id");
    newer::understood(&sql::rows(connection, INCOMPLETE, []).await?, "a part of a trade", read)
}

/// One part.
pub(crate) async fn one(
    connection: &mut Connection,
    key: GroupKey,
    part: u32,
) -> StoreResult<Option<StoredPart>> {
    const ONE: &str = select_parts!(
        "WHERE g.tx = $1 AND g.leader_id = $2 AND g.token = $3 AND g.action = $4 AND p.part = $5"
    );
    let values = values![key.tx, key.leader, key.token, Coded(key.action), part];
    sql::row(connection, ONE, values).await?.map(|row| read(&mut Fields::of(&row))).transpose()
}

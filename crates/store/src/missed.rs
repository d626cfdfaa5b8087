//! Buys of leaders that followers leave to a sync, one row per relationship and group, for ever.

use std::collections::HashMap;

use domain::trade::GroupKey;
use engine::ports::{detection::MissedNote, store::StoreResult};

use crate::{
    bulk::Insert,
    column::Fields,
    dialect::Connection,
    groups::key_columns,
    parts::group_of,
    sql::{self, values},
};

/// Notes what was missed; what was noted before stays as it is. Then marks what is synced.
pub(crate) async fn write(
    connection: &mut Connection,
    missed: &[MissedNote],
    synced: &[MissedNote],
    groups: &HashMap<GroupKey, i64>,
) -> StoreResult<()> {
    const NOTE: Insert = Insert {
        into: "missed_buys (relationship_id, group_id, owner_id, synced)",
        then: "ON CONFLICT (relationship_id, group_id) DO NOTHING",
    };
    const SYNCED: &str = "UPDATE missed_buys SET synced = 1 WHERE relationship_id = $1 AND group_id = $2";
    let mut rows = Vec::with_capacity(missed.len());
    for note in missed {
        rows.push(values![note.relationship, group_of(groups, note.key)?, note.owner, 0_i64]);
    }
    NOTE.run(connection, rows).await?;
    for note in synced {
        sql::execute(connection, SYNCED, values![note.relationship, group_of(groups, note.key)?]).await?;
    }
    Ok(())
}

/// What is not synced yet.
pub(crate) async fn to_sync(connection: &mut Connection, limit: usize) -> StoreResult<Vec<MissedNote>> {
    const TO_SYNC: &str = concat!(
        "SELECT m.owner_id, m.relationship_id, ",
        key_columns!(),
        " FROM missed_buys m JOIN trade_groups g ON g.id = m.group_id WHERE m.synced = 0 ",
        "ORDER BY m.relationship_id, m.group_id LIMIT $1"
    );
    let rows = sql::rows(connection, TO_SYNC, [sql::limit(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(MissedNote { owner: fields.get()?, relationship: fields.get()?, key: fields.get()? })
        })
        .collect()
}

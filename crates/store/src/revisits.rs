//! Exits to look at again, one row per relationship and token.

use domain::{Timestamp, ids::IntentId};
use engine::ports::{
    detection::{ExitNote, ExitRevisit, NextLook},
    following::HoldScope,
    store::StoreResult,
};

use crate::{
    bulk::Insert,
    column::Fields,
    dialect::{Connection, id_list},
    holds::encode_scope,
    sql::{self, Value, values},
};

/// Whether a relationship is in the scope of which `$2` and `$3` are the encoding.
macro_rules! in_scope {
    ($table:literal) => {
        concat!(
            "($2 = 0 OR ($2 = 1 AND ",
            $table,
            ".account_id = $3) OR ($2 = 2 AND ",
            $table,
            ".leader_id = $3) OR ($2 = 3 AND ",
            $table,
            ".id = $3))"
        )
    };
}

/// Notes exits; one that is noted already is raised, and its due time stands.
pub(crate) async fn note(connection: &mut Connection, notes: &[ExitNote]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "exit_revisits (relationship_id, token, owner_id, due, tries, version)",
        then: "ON CONFLICT (relationship_id, token) DO UPDATE SET version = exit_revisits.version + 1",
    };
    let rows = notes
        .iter()
        .map(|note| values![note.relationship, note.token, note.owner, note.due, 0_i64, 1_i64])
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Notes the exits of those of `intents` that sell, due at `now`.
pub(crate) async fn note_ended(
    connection: &mut Connection,
    intents: &[IntentId],
    now: Timestamp,
) -> StoreResult<()> {
    const NOTE: &str = concat!(
        "INSERT INTO exit_revisits (relationship_id, token, owner_id, due, tries, version) ",
        "SELECT DISTINCT relationship_id, token, owner_id, $2, 0, 1 FROM intents WHERE side = 1 AND id",
        in_ids!("$1"),
        " ON CONFLICT (relationship_id, token) DO UPDATE SET version = exit_revisits.version + 1"
    );
    let list = id_list(intents.iter().map(|intent| intent.0));
    sql::execute(connection, NOTE, values![list, now]).await?;
    Ok(())
}

/// Notes all that relationships of this scope hold, due at `now`.
pub(crate) async fn note_held(
    connection: &mut Connection,
    scope: HoldScope,
    now: Timestamp,
) -> StoreResult<()> {
    const NOTE: &str = concat!(
        "INSERT INTO exit_revisits (relationship_id, token, owner_id, due, tries, version) ",
        "SELECT p.relationship_id, p.token, p.owner_id, $1, 0, 1 FROM positions p ",
        "JOIN relationships r ON r.id = p.relationship_id WHERE p.shares > 0 AND ",
        in_scope!("r"),
        " ON CONFLICT (relationship_id, token) DO UPDATE SET due = excluded.due, version = exit_revisits.version + 1"
    );
    let (scope, id) = encode_scope(scope);
    sql::execute(connection, NOTE, values![now, scope, id]).await?;
    Ok(())
}

/// What was looked at, while its version stands: due again, or settled.
pub(crate) async fn write(
    connection: &mut Connection,
    revisited: &[(ExitRevisit, Option<NextLook>)],
) -> StoreResult<()> {
    // Only who looks deletes, so the row is there; a repeated look finds a higher version.
    const AGAIN: Insert = Insert {
        into: "exit_revisits (relationship_id, token, owner_id, due, tries, version)",
        then: "ON CONFLICT (relationship_id, token) DO UPDATE SET due = excluded.due, tries = excluded.tries, \
            version = excluded.version WHERE exit_revisits.version = excluded.version - 1",
    };
    const SETTLED: &str =
        "DELETE FROM exit_revisits WHERE relationship_id = $1 AND token = $2 AND version = $3";
    let again = revisited.iter().filter_map(|(revisit, next)| {
        let NextLook { due, tries } = (*next)?;
        let (key, owner) = ((revisit.relationship, revisit.token), revisit.owner);
        Some(values![key.0, key.1, owner, due, tries, revisit.version.saturating_add(1)])
    });
    AGAIN.run(connection, again.collect()).await?;
    for (revisit, _) in revisited.iter().filter(|(_, next)| next.is_none()) {
        let key = values![revisit.relationship, revisit.token, revisit.version];
        sql::execute(connection, SETTLED, key).await?;
    }
    Ok(())
}

/// What a user's pause or a hold of this scope kept from being sold is looked at now. Whoever looks at it at
/// this moment, and found it blocked, does not put it off.
pub(crate) async fn look_now(
    connection: &mut Connection,
    scope: HoldScope,
    now: Timestamp,
) -> StoreResult<()> {
    const NOW: &str = concat!(
        "UPDATE exit_revisits SET due = $1, version = version + 1 WHERE due > $1 AND ",
        "relationship_id IN (SELECT r.id FROM relationships r WHERE ",
        in_scope!("r"),
        ")"
    );
    let (scope, id) = encode_scope(scope);
    sql::execute(connection, NOW, values![now, scope, id]).await?;
    Ok(())
}

/// Exits to look at, by due time.
pub(crate) async fn due(
    connection: &mut Connection,
    now: Timestamp,
    limit: usize,
) -> StoreResult<Vec<ExitRevisit>> {
    const DUE: &str = "SELECT v.owner_id, v.relationship_id, r.leader_id, v.token, v.tries, v.version \
        FROM exit_revisits v JOIN relationships r ON r.id = v.relationship_id WHERE v.due <= $1 \
        ORDER BY v.due, v.relationship_id, v.token LIMIT $2";
    let rows = sql::rows(connection, DUE, [Value::from(now), sql::limit(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(ExitRevisit {
                owner: fields.get()?,
                relationship: fields.get()?,
                leader: fields.get()?,
                token: fields.get()?,
                tries: fields.number()?,
                version: fields.get()?,
            })
        })
        .collect()
}

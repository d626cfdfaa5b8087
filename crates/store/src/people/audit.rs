//! The audit log.

use access::{AuditEntry, AuditFilter, Note};
use engine::ports::store::StoreResult;

use crate::{
    column::Fields,
    dialect::{Connection, Row},
    sql::{self, values},
};

/// A query of notes older than `$1`, the newest first.
macro_rules! select_notes {
    ($filter:literal) => {
        concat!(
            "SELECT id, at, user_id, owner_id, address, what, subject FROM audit_log WHERE id < $1",
            $filter,
            " ORDER BY id DESC LIMIT $2"
        )
    };
}

pub(super) async fn write(connection: &mut Connection, note: &Note) -> StoreResult<()> {
    const WRITE: &str = "INSERT INTO audit_log (at, user_id, owner_id, address, what, subject) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    let values = values![note.at, note.user, note.owner, note.address, note.what.as_str(), note.on.as_str()];
    sql::execute(connection, WRITE, values).await?;
    Ok(())
}

pub(super) async fn read(connection: &mut Connection, filter: AuditFilter) -> StoreResult<Vec<AuditEntry>> {
    let before = filter.before.unwrap_or(i64::MAX);
    let limit = sql::limit(filter.limit);
    let rows = match filter.owner {
        None => sql::rows(connection, select_notes!(""), [before.into(), limit]).await?,
        Some(owner) => {
            const OF_OWNER: &str = select_notes!(" AND owner_id = $3");
            sql::rows(connection, OF_OWNER, [before.into(), limit, owner.into()]).await?
        }
    };
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> StoreResult<AuditEntry> {
    let mut fields = Fields::of(row);
    Ok(AuditEntry {
        id: fields.get()?,
        note: Note {
            at: fields.get()?,
            user: fields.get()?,
            owner: fields.get()?,
            address: fields.get()?,
            what: fields.get()?,
            on: fields.get()?,
        },
    })
}

//! Holds: what stops copying for a cause, beside the user's own word.

use domain::{
    Timestamp,
    ids::{AccountId, HoldId, LeaderId, OwnerId, RelationshipId},
};
use engine::ports::{
    following::{Hold, HoldCause, HoldScope, NewHold},
    store::{InstanceId, StoreError, StoreResult},
};

use crate::{
    SqlStore,
    accounts::{self, inserted},
    column::{Coded, Fields},
    config,
    dialect::{Connection, Row, id_list},
    following, relationships, revisits,
    sql::{self, values},
};

/// A scope as stored: its kind, and the id of what it names (0 = the installation).
pub(crate) fn encode_scope(scope: HoldScope) -> (i64, i64) {
    match scope {
        HoldScope::Installation => (0, 0),
        HoldScope::Account(id) => (1, id.0),
        HoldScope::Leader(id) => (2, id.0),
        HoldScope::Relationship(id) => (3, id.0),
    }
}

/// A scope, and whether this version knows it. Where it does not, everything is held: what else, nobody can say.
fn read_scope(fields: &mut Fields<'_>) -> StoreResult<(HoldScope, bool)> {
    let scope: i64 = fields.get()?;
    let id = fields.get()?;
    match scope {
        0 => Ok((HoldScope::Installation, true)),
        1 => Ok((HoldScope::Account(AccountId(id)), true)),
        2 => Ok((HoldScope::Leader(LeaderId(id)), true)),
        3 => Ok((HoldScope::Relationship(RelationshipId(id)), true)),
        newer if newer > 3 => Ok((HoldScope::Installation, false)),
        other => Err(fields.corrupt(&format!("{other} is no scope of a hold"))),
    }
}

fn read(row: &Row) -> StoreResult<Hold> {
    let mut fields = Fields::of(row);
    let id = fields.get()?;
    let (scope, known) = read_scope(&mut fields)?;
    Ok(Hold {
        id,
        scope,
        cause: fields.code_or(HoldCause::NewerVersion)?,
        reason: fields.get()?,
        stops_exits: fields.get()?,
        // Never everything for something that is not known.
        sells: fields.get::<bool>()? && known,
        expires_at: fields.get()?,
    })
}

impl SqlStore {
    /// Holds in force at a moment, also for whoever is connected as an operator and may read no more than them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn holds(&self, now: Timestamp) -> StoreResult<Vec<Hold>> {
        in_force(&mut self.read().await?, now).await
    }

    /// What accounts are called, for the same.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn account_labels(&self) -> StoreResult<Vec<(AccountId, String)>> {
        let rows =
            sql::rows(&mut self.read().await?, "SELECT id, label FROM accounts ORDER BY id", []).await?;
        let read = |row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        };
        rows.iter().map(read).collect()
    }
}

/// Holds in force at a moment.
pub(crate) async fn in_force(connection: &mut Connection, now: Timestamp) -> StoreResult<Vec<Hold>> {
    const IN_FORCE: &str = "SELECT id, scope, scope_id, cause, reason, stops_exits, sells, expires_at FROM holds \
        WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id";
    sql::rows(connection, IN_FORCE, values![now]).await?.iter().map(read).collect()
}

/// Holds in force at a moment that concern some of these relationships: of 10,000 with a hold of their own, theirs.
pub(crate) async fn concerning(
    connection: &mut Connection,
    relationships: impl IntoIterator<Item = i64>,
    now: Timestamp,
) -> StoreResult<Vec<Hold>> {
    const CONCERNING: &str = concat!(
        "SELECT id, scope, scope_id, cause, reason, stops_exits, sells, expires_at FROM holds ",
        "WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND scope <> 3 ",
        "UNION ALL ",
        "SELECT id, scope, scope_id, cause, reason, stops_exits, sells, expires_at FROM holds ",
        "WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND scope = 3 AND scope_id",
        in_ids!("$1")
    );
    sql::rows(connection, CONCERNING, values![id_list(relationships), now]).await?.iter().map(read).collect()
}

/// Places a hold; `NotFound` when what it names does not exist or is not the owner's. Its key, and whose it is.
pub(crate) async fn place(
    connection: &mut Connection,
    by: Option<OwnerId>,
    hold: &NewHold,
    now: Timestamp,
) -> StoreResult<(HoldId, Option<OwnerId>)> {
    const PLACE: &str = "INSERT INTO holds \
        (owner_id, scope, scope_id, cause, reason, stops_exits, sells, placed_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
    let owner = owner_of(connection, hold.scope).await?;
    let (scope, scope_id) = encode_scope(hold.scope);
    if by.is_some() && owner != by {
        return Err(StoreError::NotFound { what: "what the hold names, of the owner", id: scope_id });
    }
    let values = values![
        owner,
        scope,
        scope_id,
        Coded(hold.cause),
        hold.reason.as_str(),
        hold.stops_exits,
        hold.sells,
        now,
        hold.expires_at,
    ];
    let id = inserted(sql::row(connection, PLACE, values).await?)?;
    if hold.sells {
        revisits::note_held(connection, hold.scope, now).await?;
    }
    Ok((HoldId(id), owner))
}

/// Whether a hold like this one, that stops as much, is in force.
pub(crate) async fn is_in_force(
    connection: &mut Connection,
    hold: &NewHold,
    now: Timestamp,
) -> StoreResult<bool> {
    const ALIKE: &str = "SELECT id FROM holds WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $1) \
        AND scope = $2 AND scope_id = $3 AND cause = $4 AND stops_exits >= $5 AND sells >= $6 LIMIT 1";
    let (scope, scope_id) = encode_scope(hold.scope);
    let values = values![now, scope, scope_id, Coded(hold.cause), hold.stops_exits, hold.sells];
    Ok(sql::row(connection, ALIKE, values).await?.is_some())
}

/// Lifts a hold; `None` when it was not in force, else whose it was and what it held.
pub(crate) async fn lift(
    connection: &mut Connection,
    by: Option<OwnerId>,
    hold: HoldId,
    now: Timestamp,
) -> StoreResult<Option<(Option<OwnerId>, HoldScope)>> {
    const LIFT: &str = "UPDATE holds SET lifted_at = $2 \
        WHERE id = $1 AND lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $2) \
        AND ($3 IS NULL OR owner_id = $3) RETURNING owner_id, scope, scope_id";
    let row = sql::row(connection, LIFT, values![hold, now, by]).await?;
    let read = |row: Row| {
        let mut fields = Fields::of(&row);
        Ok((fields.get()?, read_scope(&mut fields)?.0))
    };
    row.map(read).transpose()
}

/// Lets a hold end with an instance, at the latest.
pub(crate) async fn ends_with(connection: &mut Connection, hold: HoldId, instance: i64) -> StoreResult<()> {
    const ENDS: &str = "UPDATE holds SET instance_id = $2 WHERE id = $1";
    sql::execute(connection, ENDS, values![hold, instance]).await?;
    Ok(())
}

/// Lifts what an instance that has ended held, and tells.
pub(crate) async fn lift_of(
    connection: &mut Connection,
    instance: &InstanceId,
    now: Timestamp,
) -> StoreResult<()> {
    const THEIRS: &str = "SELECT id FROM holds WHERE lifted_at IS NULL \
        AND instance_id = (SELECT id FROM instances WHERE name = $1) ORDER BY id";
    let rows = sql::rows(connection, THEIRS, values![instance.0.as_str()]).await?;
    if !rows.is_empty() {
        config::raise(connection).await?;
    }
    for row in rows {
        let hold = Fields::of(&row).get()?;
        if let Some((of, scope)) = lift(connection, None, hold, now).await? {
            revisits::look_now(connection, scope, now).await?;
            following::tell(connection, of, now, format!("hold {hold} lifted")).await?;
        }
    }
    Ok(())
}

async fn owner_of(connection: &mut Connection, scope: HoldScope) -> StoreResult<Option<OwnerId>> {
    let (what, id, owner) = match scope {
        HoldScope::Installation => return Ok(None),
        HoldScope::Leader(leader) if accounts::leader_exists(connection, leader).await? => return Ok(None),
        HoldScope::Leader(leader) => ("leader", leader.0, None),
        HoldScope::Account(account) => ("account", account.0, accounts::owner_of(connection, account).await?),
        HoldScope::Relationship(relationship) => {
            ("relationship", relationship.0, relationships::owner_of(connection, relationship).await?)
        }
    };
    owner.map(Some).ok_or(StoreError::NotFound { what, id })
}

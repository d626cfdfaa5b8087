//! Relationships and their policies.

use domain::{
    Timestamp,
    cycle::{self, Follows},
    ids::{OwnerId, RelationshipId},
    policy::Policy,
};
use engine::ports::{
    following::{NewRelationship, Relationship, RelationshipStatus},
    store::{StoreError, StoreResult},
};

use crate::{
    accounts::{check_owner, inserted, leader_exists},
    column::{Coded, Fields, json},
    dialect::{Connection, Row},
    newer,
    sql::{self, values},
};

/// A query of relationships with their policies in force.
macro_rules! select_relationships {
    ($filter:literal) => {
        concat!(
            "SELECT r.id, r.owner_id, r.account_id, r.leader_id, r.status, p.policy, r.policy_version, r.since ",
            "FROM relationships r ",
            "JOIN policies p ON p.relationship_id = r.id AND p.version = r.policy_version ",
            $filter,
            " ORDER BY r.id"
        )
    };
}

fn read(row: &Row) -> StoreResult<Relationship> {
    let mut fields = Fields::of(row);
    Ok(Relationship {
        id: fields.get()?,
        owner: fields.get()?,
        account: fields.get()?,
        leader: fields.get()?,
        // What else it may be, nobody has said that it is active.
        status: fields.code_or(RelationshipStatus::Paused)?,
        policy: newer::policy(&mut fields)?,
        policy_version: fields.get()?,
        since: fields.get()?,
    })
}

/// All relationships, of one owner or of all.
pub(crate) async fn all(
    connection: &mut Connection,
    owner: Option<OwnerId>,
) -> StoreResult<Vec<Relationship>> {
    let rows = match owner {
        None => sql::rows(connection, select_relationships!(""), []).await?,
        Some(owner) => {
            sql::rows(connection, select_relationships!("WHERE r.owner_id = $1"), values![owner]).await?
        }
    };
    rows.iter().map(read).collect()
}

/// Relationships that are not stopped.
pub(crate) async fn not_stopped(connection: &mut Connection) -> StoreResult<Vec<Relationship>> {
    const NOT_STOPPED: &str = select_relationships!("WHERE r.status <> 2");
    sql::rows(connection, NOT_STOPPED, []).await?.iter().map(read).collect()
}

/// Stopped relationships that hold something.
pub(crate) async fn left_over(connection: &mut Connection) -> StoreResult<Vec<Relationship>> {
    const LEFT_OVER: &str = select_relationships!(
        "WHERE r.status = 2 AND r.id IN (SELECT relationship_id FROM positions WHERE shares > 0)"
    );
    sql::rows(connection, LEFT_OVER, []).await?.iter().map(read).collect()
}

/// Adds a relationship with the first version of its policy.
pub(crate) async fn add(
    connection: &mut Connection,
    owner: OwnerId,
    new: &NewRelationship,
    now: Timestamp,
) -> StoreResult<RelationshipId> {
    const ADD: &str = "INSERT INTO relationships \
        (owner_id, account_id, leader_id, status, policy_version, since) VALUES ($1, $2, $3, 0, 1, $4) \
        ON CONFLICT (account_id, leader_id) WHERE status <> 2 DO NOTHING RETURNING id";
    check_owner(connection, owner, new.account).await?;
    if !leader_exists(connection, new.leader).await? {
        return Err(StoreError::NotFound { what: "leader", id: new.leader.0 });
    }
    refuse_cycles(connection, new).await?;
    let row = sql::row(connection, ADD, values![owner, new.account, new.leader, now]).await?;
    if row.is_none() {
        let text = format!("account {} follows leader {} already", new.account, new.leader);
        return Err(StoreError::Conflict(text));
    }
    let id = inserted(row).map(RelationshipId)?;
    add_policy(connection, owner, id, (1, &new.policy), now).await?;
    Ok(id)
}

/// Refuses a relationship that would make wallets of accounts here copy each other in a circle.
async fn refuse_cycles(connection: &mut Connection, new: &NewRelationship) -> StoreResult<()> {
    const NEW: &str = "SELECT a.wallet, l.wallet FROM accounts a, leaders l WHERE a.id = $1 AND l.id = $2";
    // Whom the leader follows, whom those follow, and so on: nobody, unless the leader is an account here.
    const REACHED: &str = "WITH RECURSIVE reached (follower, wallet) AS ( \
            SELECT CAST(NULL AS BLOB), wallet FROM leaders WHERE id = $1 \
            UNION \
            SELECT a.wallet, l.wallet FROM reached JOIN accounts a ON a.wallet = reached.wallet \
            JOIN relationships r ON r.account_id = a.id AND r.status <> 2 JOIN leaders l ON l.id = r.leader_id \
        ) SELECT follower, wallet FROM reached WHERE follower IS NOT NULL";
    let read = |row: &Row| {
        let mut fields = Fields::of(row);
        Ok(Follows { follower: fields.get()?, leader: fields.get()? })
    };
    let Some(row) = sql::row(connection, NEW, values![new.account, new.leader]).await? else { return Ok(()) };
    let reached = sql::rows(connection, REACHED, values![new.leader]).await?;
    let reached: Vec<Follows> = reached.iter().map(read).collect::<StoreResult<_>>()?;
    match cycle::closed_by(read(&row)?, reached) {
        Some(cycle) => Err(StoreError::FollowingCycle(cycle)),
        None => Ok(()),
    }
}

async fn add_policy(
    connection: &mut Connection,
    owner: OwnerId,
    relationship: RelationshipId,
    (version, policy): (i64, &Policy),
    now: Timestamp,
) -> StoreResult<()> {
    const ADD: &str = "INSERT INTO policies (relationship_id, version, owner_id, policy, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
    sql::execute(connection, ADD, values![relationship, version, owner, json(policy)?, now]).await?;
    Ok(())
}

/// Status and policy version of the owner's relationship, or `NotFound`.
async fn current(
    connection: &mut Connection,
    owner: OwnerId,
    relationship: RelationshipId,
) -> StoreResult<(RelationshipStatus, i64)> {
    const CURRENT: &str = "SELECT status, policy_version FROM relationships WHERE id = $1 AND owner_id = $2";
    let row = sql::row(connection, CURRENT, values![relationship, owner])
        .await?
        .ok_or(StoreError::NotFound { what: "relationship", id: relationship.0 })?;
    let mut fields = Fields::of(&row);
    Ok((fields.code()?, fields.get()?))
}

/// Sets the user's word; `false` when it was so already.
pub(crate) async fn set_status(
    connection: &mut Connection,
    owner: OwnerId,
    relationship: RelationshipId,
    status: RelationshipStatus,
) -> StoreResult<bool> {
    const SET: &str = "UPDATE relationships SET status = $2 WHERE id = $1";
    let (before, _) = current(connection, owner, relationship).await?;
    if before == status {
        return Ok(false);
    }
    if before == RelationshipStatus::Stopped {
        let text = format!(
            "relationship {relationship} is stopped, which is for ever: only a new relationship copies this leader again"
        );
        return Err(StoreError::Conflict(text));
    }
    sql::execute(connection, SET, values![relationship, Coded(status)]).await?;
    Ok(true)
}

/// Puts a new version of the policy in force; its number.
pub(crate) async fn set_policy(
    connection: &mut Connection,
    owner: OwnerId,
    relationship: RelationshipId,
    policy: &Policy,
    now: Timestamp,
) -> StoreResult<i64> {
    const SET: &str = "UPDATE relationships SET policy_version = $2 WHERE id = $1";
    let (_, before) = current(connection, owner, relationship).await?;
    if self::policy(connection, relationship, before).await?.is_some_and(|policy| policy.of_newer_version) {
        let text = format!(
            "a newer version wrote the policy of relationship {relationship}, which says more than this one knows and \
             would keep: change it with that version"
        );
        return Err(StoreError::Conflict(text));
    }
    let version = before.saturating_add(1);
    add_policy(connection, owner, relationship, (version, policy), now).await?;
    sql::execute(connection, SET, values![relationship, version]).await?;
    Ok(version)
}

/// A policy by its version.
pub(crate) async fn policy(
    connection: &mut Connection,
    relationship: RelationshipId,
    version: i64,
) -> StoreResult<Option<Policy>> {
    const POLICY: &str = "SELECT policy FROM policies WHERE relationship_id = $1 AND version = $2";
    let row = sql::row(connection, POLICY, values![relationship, version]).await?;
    row.map(|row| newer::policy(&mut Fields::of(&row))).transpose()
}

/// The owner of a relationship, if it exists.
pub(crate) async fn owner_of(
    connection: &mut Connection,
    relationship: RelationshipId,
) -> StoreResult<Option<OwnerId>> {
    const OWNER: &str = "SELECT owner_id FROM relationships WHERE id = $1";
    let row = sql::row(connection, OWNER, values![relationship]).await?;
    row.map(|row| Fields::of(&row).get()).transpose()
}

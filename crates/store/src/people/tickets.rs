//! What works once, and wrong answers.

use access::{Attempts, Over, Purpose, Ticket};
use domain::{Hash, Timestamp};
use engine::ports::store::StoreResult;

use crate::{
    column::{Coded, Fields},
    dialect::{Connection, Row},
    sql::{self, Value, values},
};

fn read(row: &Row) -> StoreResult<Ticket> {
    let mut fields = Fields::of(row);
    Ok(Ticket {
        hash: fields.get()?,
        purpose: fields.code()?,
        user: fields.get()?,
        role: fields.maybe_code()?,
        until: fields.get()?,
    })
}

pub(super) async fn add(connection: &mut Connection, ticket: &Ticket, alone: bool) -> StoreResult<()> {
    const OTHERS: &str = "DELETE FROM tickets WHERE purpose = $1 AND COALESCE(user_id, 0) = $2";
    const ADD: &str = "INSERT INTO tickets (hash, purpose, user_id, role, until) VALUES ($1, $2, $3, $4, $5)";
    let purpose = Coded(ticket.purpose);
    if alone {
        let user = ticket.user.map_or(0, |user| user.0);
        sql::execute(connection, OTHERS, values![purpose, user]).await?;
    }
    let role: Value = ticket.role.map_or(Value::Int(None), |role| Coded(role).into());
    let values = [ticket.hash.into(), purpose.into(), ticket.user.into(), role, ticket.until.into()];
    sql::execute(connection, ADD, values).await?;
    Ok(())
}

pub(super) async fn one(
    connection: &mut Connection,
    hash: Hash,
    now: Timestamp,
) -> StoreResult<Option<Ticket>> {
    const FIND: &str =
        "SELECT hash, purpose, user_id, role, until FROM tickets WHERE hash = $1 AND until > $2";
    let row = sql::row(connection, FIND, values![hash, now]).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn take(
    connection: &mut Connection,
    hash: Hash,
    purpose: Purpose,
    now: Timestamp,
) -> StoreResult<Option<Ticket>> {
    const TAKE: &str = "DELETE FROM tickets WHERE hash = $1 AND purpose = $2 AND until > $3 \
        RETURNING hash, purpose, user_id, role, until";
    let row = sql::row(connection, TAKE, values![hash, Coded(purpose), now]).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn attempts(connection: &mut Connection, keys: &[Hash]) -> StoreResult<Vec<Attempts>> {
    const FIND: &str = "SELECT failures, last_at FROM sign_in_attempts WHERE hash = $1";
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let row = sql::row(connection, FIND, values![*key]).await?;
        found.push(match row {
            None => Attempts::default(),
            Some(row) => {
                let mut fields = Fields::of(&row);
                Attempts { failures: fields.get()?, last_at: fields.get()? }
            }
        });
    }
    Ok(found)
}

pub(super) async fn set_attempts(
    connection: &mut Connection,
    changes: &[(Hash, Attempts, Attempts)],
) -> StoreResult<bool> {
    const SET: &str = "INSERT INTO sign_in_attempts (hash, failures, last_at) VALUES ($1, $2, $3) \
        ON CONFLICT (hash) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at";
    let keys: Vec<Hash> = changes.iter().map(|(key, ..)| *key).collect();
    let stored = attempts(connection, &keys).await?;
    if changes.iter().zip(&stored).any(|((_, old, _), stored)| old != stored) {
        return Ok(false);
    }
    for (key, _, new) in changes {
        sql::execute(connection, SET, values![*key, new.failures, new.last_at]).await?;
    }
    Ok(true)
}

pub(super) async fn remove_over(connection: &mut Connection, now: Timestamp, over: &Over) -> StoreResult<()> {
    const TICKETS: &str = "DELETE FROM tickets WHERE until <= $1";
    const ATTEMPTS: &str = "DELETE FROM sign_in_attempts WHERE last_at <= $1";
    sql::execute(connection, TICKETS, values![now]).await?;
    sql::execute(connection, ATTEMPTS, values![over.attempts]).await?;
    Ok(())
}

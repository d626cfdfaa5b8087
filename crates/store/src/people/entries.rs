//! Sessions and tokens.

use access::{ApiToken, NewToken, Over, Scopes, Session, SessionId, TokenId, User, UserId};
use domain::{Hash, Timestamp};
use engine::ports::store::{StoreError, StoreResult};

use super::users::{self, user_columns};
use crate::{
    accounts,
    column::{Fields, json},
    dialect::{Connection, Row},
    sql::{self, values},
};

/// Columns of a [`Session`].
macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.hash, s.created_at, s.seen_at, s.proven_at, s.address, s.agent"
    };
}

fn read_session(fields: &mut Fields<'_>) -> StoreResult<Session> {
    Ok(Session {
        id: fields.get()?,
        user: fields.get()?,
        hash: fields.get()?,
        created_at: fields.get()?,
        seen_at: fields.get()?,
        proven_at: fields.get()?,
        address: fields.get()?,
        agent: fields.get()?,
    })
}

pub(super) async fn begin_session(
    connection: &mut Connection,
    session: &Session,
    replaces: Option<SessionId>,
) -> StoreResult<SessionId> {
    const BEGIN: &str = "INSERT INTO user_sessions \
        (owner_id, user_id, hash, created_at, seen_at, proven_at, address, agent) \
        SELECT owner_id, id, $2, $3, $4, $5, $6, $7 FROM users WHERE id = $1 RETURNING id";
    if let Some(old) = replaces
        && !end_session(connection, session.user, old).await?
    {
        return Err(StoreError::NotFound { what: "session", id: old.0 });
    }
    let values = values![
        session.user,
        session.hash,
        session.created_at,
        session.seen_at,
        session.proven_at,
        session.address,
        session.agent.as_str(),
    ];
    match sql::row(connection, BEGIN, values).await? {
        Some(row) => Fields::of(&row).get(),
        None => Err(StoreError::NotFound { what: "user", id: session.user.0 }),
    }
}

pub(super) async fn session(connection: &mut Connection, hash: Hash) -> StoreResult<Option<(Session, User)>> {
    const FIND: &str = concat!(
        "SELECT ",
        session_columns!(),
        ", ",
        user_columns!(),
        " FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE s.hash = $1"
    );
    let Some(row) = sql::row(connection, FIND, values![hash]).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    Ok(Some((read_session(&mut fields)?, users::read(&mut fields)?)))
}

pub(super) async fn saw_session(
    connection: &mut Connection,
    session: SessionId,
    at: Timestamp,
) -> StoreResult<()> {
    const SAW: &str = "UPDATE user_sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1";
    sql::execute(connection, SAW, values![at, session]).await?;
    Ok(())
}

pub(super) async fn sessions_of(connection: &mut Connection, user: UserId) -> StoreResult<Vec<Session>> {
    const OF_USER: &str = concat!(
        "SELECT ",
        session_columns!(),
        " FROM user_sessions s WHERE s.user_id = $1 ORDER BY s.id DESC"
    );
    let rows = sql::rows(connection, OF_USER, values![user]).await?;
    rows.iter().map(|row| read_session(&mut Fields::of(row))).collect()
}

pub(super) async fn end_session(
    connection: &mut Connection,
    user: UserId,
    session: SessionId,
) -> StoreResult<bool> {
    const END: &str = "DELETE FROM user_sessions WHERE user_id = $1 AND id = $2";
    Ok(sql::execute(connection, END, values![user, session]).await? > 0)
}

pub(super) async fn end_sessions(
    connection: &mut Connection,
    user: UserId,
    but: Option<SessionId>,
) -> StoreResult<u64> {
    const END: &str = "DELETE FROM user_sessions WHERE user_id = $1 AND id <> $2";
    sql::execute(connection, END, values![user, but.unwrap_or(SessionId(0))]).await
}

/// Columns of an [`ApiToken`].
macro_rules! token_columns {
    () => {
        "t.id, t.name, t.prefix, t.scopes, t.addresses, t.created_at, t.expires_at, t.used_at, t.revoked_at"
    };
}

fn read_token(fields: &mut Fields<'_>) -> StoreResult<ApiToken> {
    Ok(ApiToken {
        id: fields.get()?,
        name: fields.get()?,
        prefix: fields.get()?,
        scopes: scopes(fields)?,
        addresses: fields.json()?,
        created_at: fields.get()?,
        expires_at: fields.get()?,
        used_at: fields.get()?,
        revoked_at: fields.get()?,
    })
}

fn scopes(fields: &mut Fields<'_>) -> StoreResult<Scopes> {
    let bits = fields.get()?;
    Scopes::from_bits(bits).ok_or_else(|| fields.corrupt(&format!("{bits} names rights that are not there")))
}

pub(super) async fn add_token(connection: &mut Connection, new: &NewToken) -> StoreResult<TokenId> {
    const ADD: &str = "INSERT INTO api_tokens \
        (owner_id, user_id, hash, name, prefix, scopes, addresses, created_at, expires_at) \
        SELECT owner_id, id, $2, $3, $4, $5, $6, $7, $8 FROM users WHERE id = $1 RETURNING id";
    let token = &new.token;
    let values = values![
        new.user,
        new.hash,
        token.name.as_str(),
        token.prefix.as_str(),
        token.scopes.bits(),
        json(&token.addresses)?,
        token.created_at,
        token.expires_at,
    ];
    accounts::inserted(sql::row(connection, ADD, values).await?).map(TokenId)
}

pub(super) async fn token(connection: &mut Connection, hash: Hash) -> StoreResult<Option<(ApiToken, User)>> {
    const FIND: &str = concat!(
        "SELECT ",
        token_columns!(),
        ", ",
        user_columns!(),
        " FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = $1"
    );
    let Some(row) = sql::row(connection, FIND, values![hash]).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    Ok(Some((read_token(&mut fields)?, users::read(&mut fields)?)))
}

pub(super) async fn saw_token(connection: &mut Connection, token: TokenId, at: Timestamp) -> StoreResult<()> {
    const SAW: &str =
        "UPDATE api_tokens SET used_at = $1 WHERE id = $2 AND (used_at IS NULL OR used_at < $1)";
    sql::execute(connection, SAW, values![at, token]).await?;
    Ok(())
}

pub(super) async fn tokens_of(connection: &mut Connection, user: UserId) -> StoreResult<Vec<ApiToken>> {
    const OF_USER: &str =
        concat!("SELECT ", token_columns!(), " FROM api_tokens t WHERE t.user_id = $1 ORDER BY t.id DESC");
    let rows: Vec<Row> = sql::rows(connection, OF_USER, values![user]).await?;
    rows.iter().map(|row| read_token(&mut Fields::of(row))).collect()
}

pub(super) async fn revoke_token(
    connection: &mut Connection,
    user: UserId,
    token: TokenId,
    at: Timestamp,
) -> StoreResult<bool> {
    const REVOKE: &str =
        "UPDATE api_tokens SET revoked_at = $1 WHERE user_id = $2 AND id = $3 AND revoked_at IS NULL";
    Ok(sql::execute(connection, REVOKE, values![at, user, token]).await? > 0)
}

pub(super) async fn remove_over(connection: &mut Connection, over: &Over) -> StoreResult<()> {
    const SESSIONS: &str = "DELETE FROM user_sessions WHERE seen_at <= $1 OR created_at <= $2";
    sql::execute(connection, SESSIONS, values![over.seen, over.begun]).await?;
    Ok(())
}

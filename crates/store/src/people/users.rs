//! Users.

use access::{NewUser, Role, User, UserId};
use domain::{Address, Timestamp, ids::OwnerId};
use engine::ports::store::{StoreError, StoreResult};

use crate::{
    accounts,
    column::{Coded, Fields},
    dialect::Connection,
    sql::{self, Value, values},
};

/// Columns of a [`User`].
macro_rules! user_columns {
    () => {
        "u.id, u.owner_id, u.name, u.role, u.disabled_at, u.password, u.totp, u.totp_step, u.wallet, u.created_at, u.version"
    };
}
pub(super) use user_columns;

macro_rules! select_users {
    ($filter:literal) => {
        concat!("SELECT ", user_columns!(), " FROM users u WHERE ", $filter)
    };
}

pub(super) fn read(fields: &mut Fields<'_>) -> StoreResult<User> {
    Ok(User {
        id: fields.get()?,
        owner: fields.get()?,
        name: fields.get()?,
        role: fields.code()?,
        disabled_at: fields.get()?,
        password: fields.get()?,
        totp: fields.get()?,
        totp_step: fields.get()?,
        wallet: fields.get()?,
        created_at: fields.get()?,
        version: fields.get()?,
    })
}

async fn find(connection: &mut Connection, sql: &'static str, key: Value) -> StoreResult<Option<User>> {
    let row = sql::row(connection, sql, [key]).await?;
    row.map(|row| read(&mut Fields::of(&row))).transpose()
}

pub(super) async fn one(connection: &mut Connection, id: UserId) -> StoreResult<Option<User>> {
    find(connection, select_users!("u.id = $1"), id.into()).await
}

pub(super) async fn named(connection: &mut Connection, name: &str) -> StoreResult<Option<User>> {
    find(connection, select_users!("u.name = $1"), name.into()).await
}

pub(super) async fn of_wallet(connection: &mut Connection, wallet: Address) -> StoreResult<Option<User>> {
    find(connection, select_users!("u.wallet = $1"), wallet.into()).await
}

pub(super) async fn after(
    connection: &mut Connection,
    after: UserId,
    limit: usize,
) -> StoreResult<Vec<User>> {
    const AFTER: &str = select_users!("u.id > $1 ORDER BY u.id LIMIT $2");
    let rows = sql::rows(connection, AFTER, [after.into(), sql::limit(limit)]).await?;
    rows.iter().map(|row| read(&mut Fields::of(row))).collect()
}

pub(super) async fn unclaimed_owner(connection: &mut Connection) -> StoreResult<Option<OwnerId>> {
    const UNCLAIMED: &str = "SELECT o.id FROM owners o WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.owner_id = o.id) \
        ORDER BY o.id LIMIT 1";
    let row = sql::row(connection, UNCLAIMED, []).await?;
    row.map(|row| Fields::of(&row).get()).transpose()
}

/// `Conflict`, in words, when name, wallet or owner is somebody else's.
async fn check_free(
    connection: &mut Connection,
    (name, wallet, owner): (&str, Option<Address>, Option<OwnerId>),
    but: UserId,
) -> StoreResult<()> {
    const NAME: &str = "SELECT 1 FROM users WHERE name = $1 AND id <> $2";
    const WALLET: &str = "SELECT 1 FROM users WHERE wallet = $1 AND id <> $2";
    const OWNER: &str = "SELECT 1 FROM users WHERE owner_id = $1 AND id <> $2";
    let looked: [(&str, Value, &str); 3] = [
        (NAME, name.into(), "this name is taken; choose another one"),
        (WALLET, wallet.into(), "another user signs in with this wallet"),
        (OWNER, owner.into(), "these rows belong to another user"),
    ];
    for (statement, value, why) in looked {
        if sql::row(connection, statement, [value, but.into()]).await?.is_some() {
            return Err(StoreError::Conflict(why.to_owned()));
        }
    }
    Ok(())
}

pub(super) async fn add(connection: &mut Connection, user: &NewUser, now: Timestamp) -> StoreResult<User> {
    const ADD: &str = "INSERT INTO users (owner_id, name, role, password, totp_step, wallet, created_at, version) \
        VALUES ($1, $2, $3, $4, 0, $5, $6, 1) RETURNING id";
    check_free(connection, (&user.name, user.wallet, user.owner), UserId(0)).await?;
    let owner = match user.owner {
        Some(owner) => owner,
        // Rows of owners are never changed, so no name of a person is written there.
        None => accounts::add_owner(connection, "user", now).await?,
    };
    let password = user.password.as_deref();
    let values = values![owner, user.name.as_str(), Coded(user.role), password, user.wallet, now];
    let id = UserId(accounts::inserted(sql::row(connection, ADD, values).await?)?);
    let added = one(connection, id).await?;
    added.ok_or_else(|| StoreError::Corrupt(format!("user {id} was added and is not there")))
}

pub(super) async fn change(connection: &mut Connection, user: &User) -> StoreResult<()> {
    const CHANGE: &str = "UPDATE users SET name = $1, role = $2, disabled_at = $3, password = $4, totp = $5, \
        totp_step = $6, wallet = $7, version = version + 1 WHERE id = $8 AND version = $9";
    check_free(connection, (&user.name, user.wallet, None), user.id).await?;
    let before = administrators(connection).await?;
    let values = values![
        user.name.as_str(),
        Coded(user.role),
        user.disabled_at,
        user.password.as_deref(),
        user.totp.as_deref(),
        user.totp_step,
        user.wallet,
        user.id,
        user.version,
    ];
    if sql::execute(connection, CHANGE, values).await? == 0 {
        let why = format!("user {} was changed meanwhile; look again", user.id);
        return Err(StoreError::Conflict(why));
    }
    some_administrator(connection, before).await
}

async fn administrators(connection: &mut Connection) -> StoreResult<i64> {
    const COUNT: &str = "SELECT COUNT(*) FROM users WHERE role = $1 AND disabled_at IS NULL";
    accounts::inserted(sql::row(connection, COUNT, values![Coded(Role::Administrator)]).await?)
}

/// Of those who were there before, one is left.
async fn some_administrator(connection: &mut Connection, before: i64) -> StoreResult<()> {
    if before > 0 && administrators(connection).await? == 0 {
        let why = "this is the only administrator; make another user one first";
        return Err(StoreError::Conflict(why.to_owned()));
    }
    Ok(())
}

pub(super) async fn erase(connection: &mut Connection, id: UserId, now: Timestamp) -> StoreResult<()> {
    const FOLLOWS: &str = "SELECT 1 FROM relationships WHERE owner_id = $1 AND status <> 2 LIMIT 1";
    const WORKS: &str = "SELECT 1 FROM work WHERE owner_id = $1 LIMIT 1";
    const KEYS: &str = "SELECT 1 FROM sealed_keys WHERE owner_id = $1 LIMIT 1";
    const BUSY: [(&str, &str); 3] = [
        (FOLLOWS, "follows a leader; stop that first"),
        (WORKS, "has orders that are not over; wait for them"),
        (KEYS, "has an account with a key; remove the account first"),
    ];
    const OF_USER: [&str; 4] = [
        "DELETE FROM recovery_codes WHERE user_id = $1",
        "DELETE FROM passkeys WHERE user_id = $1",
        "DELETE FROM user_sessions WHERE user_id = $1",
        "DELETE FROM api_tokens WHERE user_id = $1",
    ];
    const LABELS: &str = "UPDATE accounts SET label = 'account' WHERE owner_id = $1";
    const ADDRESSES: &str = "UPDATE audit_log SET address = NULL WHERE owner_id = $1 AND address IS NOT NULL";
    // What was noted of him carries his number; these say his name.
    const NAMES: &str = "UPDATE audit_log SET subject = $2 WHERE owner_id = $1 AND what = 'user.added'";
    let user = one(connection, id).await?.ok_or(StoreError::NotFound { what: "user", id: id.0 })?;
    for (statement, why) in BUSY {
        if sql::row(connection, statement, values![user.owner]).await?.is_some() {
            return Err(StoreError::Conflict(format!("user {id} {why}")));
        }
    }
    for statement in OF_USER {
        sql::execute(connection, statement, values![id]).await?;
    }
    for statement in [LABELS, ADDRESSES] {
        sql::execute(connection, statement, values![user.owner]).await?;
    }
    sql::execute(connection, NAMES, values![user.owner, format!("user {id}")]).await?;
    let erased = User {
        name: format!("erased-{id}"),
        disabled_at: Some(now),
        password: None,
        totp: None,
        wallet: None,
        ..user
    };
    change(connection, &erased).await
}

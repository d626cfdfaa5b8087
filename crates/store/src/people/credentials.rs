//! Recovery codes and passkeys.

use access::{Passkey, PasskeyId, User, UserId};
use domain::{Hash, Timestamp};
use engine::ports::store::{StoreError, StoreResult};

use super::users::{self, user_columns};
use crate::{
    accounts,
    column::Fields,
    dialect::Connection,
    sql::{self, values},
};

pub(super) async fn set_codes(connection: &mut Connection, user: UserId, hashes: &[Hash]) -> StoreResult<()> {
    const REMOVE: &str = "DELETE FROM recovery_codes WHERE user_id = $1";
    const ADD: &str = "INSERT INTO recovery_codes (user_id, hash, owner_id) \
        SELECT id, $2, owner_id FROM users WHERE id = $1";
    sql::execute(connection, REMOVE, values![user]).await?;
    for hash in hashes {
        sql::execute(connection, ADD, values![user, *hash]).await?;
    }
    Ok(())
}

pub(super) async fn take_code(connection: &mut Connection, user: UserId, hash: Hash) -> StoreResult<bool> {
    const TAKE: &str = "DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2";
    Ok(sql::execute(connection, TAKE, values![user, hash]).await? > 0)
}

pub(super) async fn codes_left(connection: &mut Connection, user: UserId) -> StoreResult<usize> {
    const COUNT: &str = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1";
    let count = accounts::inserted(sql::row(connection, COUNT, values![user]).await?)?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Columns of a [`Passkey`].
macro_rules! passkey_columns {
    () => {
        "p.id, p.user_id, p.credential, p.public_key, p.algorithm, p.counter, p.name, p.created_at, p.used_at"
    };
}

fn read(fields: &mut Fields<'_>) -> StoreResult<Passkey> {
    Ok(Passkey {
        id: fields.get()?,
        user: fields.get()?,
        credential: fields.get()?,
        key: fields.get()?,
        algorithm: fields.get()?,
        counter: fields.get()?,
        name: fields.get()?,
        created_at: fields.get()?,
        used_at: fields.get()?,
    })
}

pub(super) async fn add_passkey(connection: &mut Connection, passkey: &Passkey) -> StoreResult<PasskeyId> {
    const ADD: &str = "INSERT INTO passkeys \
        (owner_id, user_id, credential, public_key, algorithm, counter, name, created_at) \
        SELECT owner_id, id, $2, $3, $4, $5, $6, $7 FROM users WHERE id = $1 \
        ON CONFLICT (credential) DO NOTHING RETURNING id";
    let values = values![
        passkey.user,
        passkey.credential.as_slice(),
        passkey.key.as_slice(),
        passkey.algorithm,
        passkey.counter,
        passkey.name.as_str(),
        passkey.created_at,
    ];
    match sql::row(connection, ADD, values).await? {
        Some(row) => Fields::of(&row).get(),
        None => Err(StoreError::Conflict("this passkey is known already".to_owned())),
    }
}

pub(super) async fn passkeys_of(connection: &mut Connection, user: UserId) -> StoreResult<Vec<Passkey>> {
    const OF_USER: &str =
        concat!("SELECT ", passkey_columns!(), " FROM passkeys p WHERE p.user_id = $1 ORDER BY p.id");
    let rows = sql::rows(connection, OF_USER, values![user]).await?;
    rows.iter().map(|row| read(&mut Fields::of(row))).collect()
}

pub(super) async fn passkey(
    connection: &mut Connection,
    credential: &[u8],
) -> StoreResult<Option<(Passkey, User)>> {
    const FIND: &str = concat!(
        "SELECT ",
        passkey_columns!(),
        ", ",
        user_columns!(),
        " FROM passkeys p JOIN users u ON u.id = p.user_id WHERE p.credential = $1"
    );
    let Some(row) = sql::row(connection, FIND, values![credential]).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    Ok(Some((read(&mut fields)?, users::read(&mut fields)?)))
}

pub(super) async fn use_passkey(
    connection: &mut Connection,
    passkey: &Passkey,
    counter: i64,
    at: Timestamp,
) -> StoreResult<bool> {
    const USE: &str = "UPDATE passkeys SET counter = $1, used_at = $2 WHERE id = $3 AND counter = $4";
    let values = values![counter, at, passkey.id, passkey.counter];
    Ok(sql::execute(connection, USE, values).await? > 0)
}

pub(super) async fn remove_passkey(
    connection: &mut Connection,
    user: UserId,
    passkey: PasskeyId,
) -> StoreResult<bool> {
    const REMOVE: &str = "DELETE FROM passkeys WHERE user_id = $1 AND id = $2";
    Ok(sql::execute(connection, REMOVE, values![user, passkey]).await? > 0)
}

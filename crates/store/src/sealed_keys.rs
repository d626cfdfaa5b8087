//! The [`SealedKeys`] port.

use async_trait::async_trait;
use domain::{
    KeyRef, Timestamp, WalletKind,
    ids::{AccountId, OwnerId},
};
use engine::ports::{
    following::NewAccount,
    secrets::{SealedKey, SealedKeys, StoredKeys},
    store::{StoreError, StoreResult},
};

use crate::{
    SqlStore, accounts,
    column::{Coded, Fields},
    dialect::{Connection, Row},
    following::tell,
    sql::{self, values},
};

#[async_trait]
impl SealedKeys for SqlStore {
    async fn sealed_keys(&self) -> StoreResult<Option<StoredKeys>> {
        const KEYS: &str = "SELECT name, owner_id, wallet, kind, until, signer, version, wrapped, sealed \
            FROM sealed_keys ORDER BY name";
        let mut snapshot = self.snapshot().await?;
        let Some(header) = header(&mut snapshot).await? else { return Ok(None) };
        let rows = sql::rows(&mut snapshot, KEYS, []).await?;
        let keys = rows.iter().map(read).collect::<StoreResult<_>>()?;
        Ok(Some(StoredKeys { header, keys }))
    }

    async fn begin_keys(&self, header: &str) -> StoreResult<()> {
        const BEGIN: &str = "INSERT INTO key_header (id, header) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        let mut write = self.write().await?;
        if sql::execute(write.connection(), BEGIN, values![header]).await? == 0 {
            write.undo().await?;
            return Err(StoreError::Conflict("there are keys already".to_owned()));
        }
        write.commit().await
    }

    async fn add_keyed_account(
        &self,
        owner: OwnerId,
        account: &NewAccount,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<AccountId> {
        let mut write = self.change().await?;
        let connection = write.connection();
        if header(connection).await?.is_none() || !key.is_of(owner, account) {
            return Err(StoreError::Conflict("the sealed key is another account's".to_owned()));
        }
        let id = match revive(connection, owner, account).await? {
            Some(id) => id,
            None => accounts::add(connection, owner, account, now).await?,
        };
        insert(connection, key).await?;
        tell(connection, Some(owner), now, format!("account {id} added: {}", account.label)).await?;
        write.commit().await?;
        Ok(id)
    }

    async fn rewrap_keys(&self, old: &str, new: &str, wrapped: &[(KeyRef, Vec<u8>)]) -> StoreResult<()> {
        const HEADER: &str = "UPDATE key_header SET header = $1 WHERE id = 1 AND header = $2";
        const COUNT: &str = "SELECT COUNT(*) FROM sealed_keys";
        const WRAP: &str = "UPDATE sealed_keys SET wrapped = $1 WHERE name = $2";
        let changed = || StoreError::Conflict("the keys were changed meanwhile; begin again".to_owned());
        let mut write = self.write().await?;
        let connection = write.connection();
        if sql::execute(connection, HEADER, values![new, old]).await? == 0 {
            return Err(changed());
        }
        let mut renewed = 0;
        for (name, bytes) in wrapped {
            renewed += sql::execute(connection, WRAP, values![bytes.as_slice(), name.0.as_str()]).await?;
        }
        let there = sql::row(connection, COUNT, []).await?.ok_or_else(changed)?;
        if u64::try_from(Fields::of(&there).get::<i64>()?) != Ok(renewed) {
            return Err(changed());
        }
        write.commit().await
    }

    async fn replace_key(
        &self,
        owner: OwnerId,
        account: AccountId,
        key: &SealedKey,
        now: Timestamp,
    ) -> StoreResult<()> {
        const SETTLES: &str = "SELECT 1 FROM work w JOIN intents i ON i.id = w.intent_id \
            WHERE i.account_id = $1 AND +w.state = 1 LIMIT 1";
        const SIGNER: &str = "UPDATE accounts SET signer = $1 \
            WHERE id = $2 AND owner_id = $3 AND wallet = $4 AND kind = $5 AND key_name = $6";
        const REPLACE: &str = "UPDATE sealed_keys SET until = $1, signer = $2, version = $3, wrapped = $4, sealed = $5 \
            WHERE name = $6 AND owner_id = $7 AND wallet = $8 AND kind = $9 AND version < $3";
        let conflict = |why: &str| Err(StoreError::Conflict(format!("account {account} {why}")));
        let mut write = self.change().await?;
        let connection = write.connection();
        accounts::check_owner(connection, owner, account).await?;
        if sql::row(connection, SETTLES, values![account]).await?.is_some() {
            return conflict("has orders that are not over; wait for them");
        }
        let name = key.name.0.as_str();
        let of_account = values![key.signer, account, key.owner, key.wallet, Coded(key.kind), name];
        if key.owner != owner || sql::execute(connection, SIGNER, of_account).await? == 0 {
            return conflict("is not the one that this key was sealed for");
        }
        let values = values![
            key.until,
            key.signer,
            key.version,
            key.wrapped.as_slice(),
            key.sealed.as_slice(),
            name,
            key.owner,
            key.wallet,
            Coded(key.kind),
        ];
        if sql::execute(connection, REPLACE, values).await? == 0 {
            return conflict("has a newer key, or none to replace");
        }
        tell(connection, Some(owner), now, format!("account {account} has another key")).await?;
        write.commit().await
    }

    async fn remove_account(&self, owner: OwnerId, account: AccountId, now: Timestamp) -> StoreResult<()> {
        const FOLLOWS: &str = "SELECT 1 FROM relationships WHERE account_id = $1 AND status <> 2 LIMIT 1";
        const WORKS: &str =
            "SELECT 1 FROM work w JOIN intents i ON i.id = w.intent_id WHERE i.account_id = $1 LIMIT 1";
        const SENDS: &str = "SELECT 1 FROM wallet_transactions WHERE account_id = $1 AND state < 2 LIMIT 1";
        const ERASE: &str =
            "DELETE FROM sealed_keys WHERE name IN (SELECT key_name FROM accounts WHERE id = $1)";
        const REMOVE: &str = "UPDATE accounts SET removed_at = $2 WHERE id = $1";
        const BUSY: [(&str, &str); 3] = [
            (FOLLOWS, "follows a leader; `slipstream stop` ends that"),
            (WORKS, "has orders that are not over; wait for them"),
            (SENDS, "has a transaction under way; wait for it"),
        ];
        let mut write = self.change().await?;
        let connection = write.connection();
        accounts::check_owner(connection, owner, account).await?;
        for (statement, why) in BUSY {
            if sql::row(connection, statement, values![account]).await?.is_some() {
                return Err(StoreError::Conflict(format!("account {account} {why}")));
            }
        }
        sql::execute(connection, ERASE, values![account]).await?;
        sql::execute(connection, REMOVE, values![account, now]).await?;
        tell(connection, Some(owner), now, format!("account {account} removed")).await?;
        write.commit().await
    }
}

fn read(row: &Row) -> StoreResult<SealedKey> {
    let mut fields = Fields::of(row);
    Ok(SealedKey {
        name: KeyRef(fields.get()?),
        owner: fields.get()?,
        wallet: fields.get()?,
        kind: fields.code::<WalletKind>()?,
        until: fields.get()?,
        signer: fields.get()?,
        version: fields.get()?,
        wrapped: fields.get()?,
        sealed: fields.get()?,
    })
}

async fn header(connection: &mut Connection) -> StoreResult<Option<String>> {
    const HEADER: &str = "SELECT header FROM key_header WHERE id = 1";
    match sql::row(connection, HEADER, []).await? {
        Some(row) => Fields::of(&row).get().map(Some),
        None => Ok(None),
    }
}

/// The account that was removed from this wallet, back.
async fn revive(
    connection: &mut Connection,
    owner: OwnerId,
    account: &NewAccount,
) -> StoreResult<Option<AccountId>> {
    // Orders name the key of every kind of wallet but of those that session keys trade for.
    const REVIVE: &str = "UPDATE accounts SET removed_at = NULL, label = $1, cap = $2, signer = $5 \
        WHERE removed_at IS NOT NULL AND owner_id = $3 AND wallet = $4 AND (signer = $5 OR kind = $9) AND kind = $6 \
        AND key_name = $7 AND mode = $8 RETURNING id";
    let values = values![
        account.label.as_str(),
        account.cap,
        owner,
        account.wallet,
        account.signer,
        Coded(account.kind),
        account.key.0.as_str(),
        Coded(account.mode),
        Coded(WalletKind::Session),
    ];
    match sql::row(connection, REVIVE, values).await? {
        Some(row) => Fields::of(&row).get().map(Some),
        None => Ok(None),
    }
}

async fn insert(connection: &mut Connection, key: &SealedKey) -> StoreResult<()> {
    const INSERT: &str = "INSERT INTO sealed_keys \
        (name, owner_id, wallet, kind, until, signer, version, wrapped, sealed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let values = values![
        key.name.0.as_str(),
        key.owner,
        key.wallet,
        Coded(key.kind),
        key.until,
        key.signer,
        key.version,
        key.wrapped.as_slice(),
        key.sealed.as_slice(),
    ];
    if sql::execute(connection, INSERT, values).await? == 0 {
        return Err(StoreError::Conflict(format!(
            "key `{}` or its wallet has a sealed key already",
            key.name
        )));
    }
    Ok(())
}

//! Owners, accounts and leaders.

use std::collections::{BTreeSet, HashMap};

use domain::{
    Address, KeyRef, Timestamp, TradingAccount, WalletKind,
    ids::{AccountId, LeaderId, OwnerId},
};
use engine::ports::{
    following::{Account, Leader, NewAccount},
    store::{StoreError, StoreResult},
};

use crate::{
    column::{Coded, Fields},
    dialect::{Connection, Row, blob_list, id_list},
    newer,
    sql::{self, values},
};

/// Columns of a [`TradingAccount`].
macro_rules! trading_columns {
    () => {
        "a.id, a.wallet, a.signer, a.kind, a.key_name"
    };
}
pub(crate) use trading_columns;

/// Reads a [`TradingAccount`].
pub(crate) fn read_trading(fields: &mut Fields<'_>) -> StoreResult<TradingAccount> {
    Ok(TradingAccount {
        id: fields.get()?,
        wallet: fields.get()?,
        signer: fields.get()?,
        kind: fields.code::<WalletKind>()?,
        key: KeyRef(fields.get()?),
    })
}

/// A query of accounts with their money.
macro_rules! select_accounts {
    ($filter:expr) => {
        concat!(
            "SELECT a.owner_id, ",
            trading_columns!(),
            ", a.label, a.mode, a.cap, c.cash, CAST(COALESCE((SELECT SUM(r.usd) FROM reservations r ",
            "WHERE r.account_id = a.id), 0) AS BIGINT), CASE WHEN a.removed_at IS NULL THEN 0 ELSE 1 END ",
            "FROM accounts a JOIN account_cash c ON c.account_id = a.id ",
            $filter,
            " ORDER BY a.id"
        )
    };
}

fn read_accounts(rows: &[Row]) -> StoreResult<Vec<Account>> {
    newer::understood(rows, "an account", read_account)
}

fn read_account(fields: &mut Fields<'_>) -> StoreResult<Account> {
    Ok(Account {
        owner: fields.get()?,
        trading: read_trading(fields)?,
        label: fields.get()?,
        mode: fields.code()?,
        cap: fields.get()?,
        cash: fields.get()?,
        reserved: fields.get()?,
        removed: fields.get()?,
    })
}

/// All accounts, of one owner or of all.
pub(crate) async fn all(connection: &mut Connection, owner: Option<OwnerId>) -> StoreResult<Vec<Account>> {
    let rows = match owner {
        None => sql::rows(connection, select_accounts!(""), []).await?,
        Some(owner) => {
            sql::rows(connection, select_accounts!("WHERE a.owner_id = $1"), values![owner]).await?
        }
    };
    read_accounts(&rows)
}

/// Accounts with a relationship that is not stopped.
pub(crate) async fn following(connection: &mut Connection) -> StoreResult<Vec<Account>> {
    const FOLLOWING: &str =
        select_accounts!("WHERE a.id IN (SELECT account_id FROM relationships WHERE status <> 2)");
    read_accounts(&sql::rows(connection, FOLLOWING, []).await?)
}

/// Accounts with orders whose outcome is open.
pub(crate) async fn open(connection: &mut Connection, limit: usize) -> StoreResult<Vec<TradingAccount>> {
    const OPEN: &str = concat!(
        "SELECT DISTINCT ",
        trading_columns!(),
        " FROM order_status s JOIN signed_orders o ON o.id = s.attempt_id ",
        "JOIN intents i ON i.id = o.intent_id JOIN accounts a ON a.id = i.account_id ",
        "WHERE s.state IN (1, 2, 3) ORDER BY a.id LIMIT $1"
    );
    let rows = sql::rows(connection, OPEN, [sql::limit(limit)]).await?;
    newer::understood(&rows, "an account", read_trading)
}

/// Accounts with these wallets.
pub(crate) async fn of_wallets(
    connection: &mut Connection,
    wallets: &[Address],
) -> StoreResult<Vec<Account>> {
    const OF_WALLETS: &str = select_accounts!(concat!("WHERE a.wallet", in_blobs!("$1")));
    let list = blob_list(wallets.iter().map(|wallet| &wallet.0[..]));
    read_accounts(&sql::rows(connection, OF_WALLETS, values![list]).await?)
}

/// Adds an owner.
pub(crate) async fn add_owner(
    connection: &mut Connection,
    name: &str,
    now: Timestamp,
) -> StoreResult<OwnerId> {
    const ADD: &str = "INSERT INTO owners (name, created_at) VALUES ($1, $2) RETURNING id";
    inserted(sql::row(connection, ADD, values![name, now]).await?).map(OwnerId)
}

/// Adds an account without money.
pub(crate) async fn add(
    connection: &mut Connection,
    owner: OwnerId,
    account: &NewAccount,
    now: Timestamp,
) -> StoreResult<AccountId> {
    const OWNER: &str = "SELECT 1 FROM owners WHERE id = $1";
    const ADD: &str = "INSERT INTO accounts \
        (owner_id, label, mode, wallet, signer, kind, key_name, cap, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (wallet) DO NOTHING RETURNING id";
    const CASH: &str = "INSERT INTO account_cash (account_id, owner_id, cash) VALUES ($1, $2, 0)";
    if sql::row(connection, OWNER, values![owner]).await?.is_none() {
        return Err(StoreError::NotFound { what: "owner", id: owner.0 });
    }
    let values = values![
        owner,
        account.label.as_str(),
        Coded(account.mode),
        account.wallet,
        account.signer,
        Coded(account.kind),
        account.key.0.as_str(),
        account.cap,
        now,
    ];
    let Some(row) = sql::row(connection, ADD, values).await? else {
        return Err(StoreError::Conflict(format!(
            "wallet {} has an account already, or had one with another key",
            account.wallet
        )));
    };
    let id = Fields::of(&row).get::<AccountId>()?;
    sql::execute(connection, CASH, values![id, owner]).await?;
    Ok(id)
}

/// The owner's account that was not removed, or `NotFound`.
pub(crate) async fn check_owner(
    connection: &mut Connection,
    owner: OwnerId,
    account: AccountId,
) -> StoreResult<()> {
    const CHECK: &str = "SELECT 1 FROM accounts WHERE id = $1 AND owner_id = $2 AND removed_at IS NULL";
    match sql::row(connection, CHECK, values![account, owner]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound { what: "account", id: account.0 }),
    }
}

/// Whether all these accounts are their owners', or `NotFound`.
pub(crate) async fn check_owners(
    connection: &mut Connection,
    accounts: impl Iterator<Item = (AccountId, OwnerId)> + Clone,
) -> StoreResult<()> {
    let owners = owners_of(connection, accounts.clone().map(|(account, _)| account)).await?;
    let mut accounts = accounts;
    match accounts.find(|(account, owner)| owners.get(account) != Some(owner)) {
        Some((account, _)) => Err(StoreError::NotFound { what: "account", id: account.0 }),
        None => Ok(()),
    }
}

/// The owners of accounts.
pub(crate) async fn owners_of(
    connection: &mut Connection,
    accounts: impl IntoIterator<Item = AccountId>,
) -> StoreResult<HashMap<AccountId, OwnerId>> {
    const OWNERS: &str = concat!("SELECT id, owner_id FROM accounts WHERE id", in_ids!("$1"));
    let ids: BTreeSet<i64> = accounts.into_iter().map(|account| account.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sql::rows(connection, OWNERS, values![id_list(ids)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect()
}

/// The owner of an account, if it exists.
pub(crate) async fn owner_of(
    connection: &mut Connection,
    account: AccountId,
) -> StoreResult<Option<OwnerId>> {
    Ok(owners_of(connection, [account]).await?.remove(&account))
}

/// Adds a leader unless the wallet is known; whether it was added.
pub(crate) async fn add_leader(
    connection: &mut Connection,
    wallet: Address,
    baseline: Timestamp,
) -> StoreResult<(LeaderId, bool)> {
    const ADD: &str = "INSERT INTO leaders (wallet, baseline) VALUES ($1, $2) \
        ON CONFLICT (wallet) DO NOTHING RETURNING id";
    const FIND: &str = "SELECT id FROM leaders WHERE wallet = $1";
    if let Some(row) = sql::row(connection, ADD, values![wallet, baseline]).await? {
        return Ok((Fields::of(&row).get()?, true));
    }
    inserted(sql::row(connection, FIND, values![wallet]).await?).map(|id| (LeaderId(id), false))
}

/// A query of leaders.
macro_rules! select_leaders {
    ($filter:literal) => {
        concat!("SELECT id, wallet, baseline FROM leaders ", $filter, " ORDER BY id")
    };
}

fn read_leader(row: &Row) -> StoreResult<Leader> {
    let mut fields = Fields::of(row);
    Ok(Leader { id: fields.get()?, wallet: fields.get()?, baseline: fields.get()? })
}

/// All leaders.
pub(crate) async fn leaders(connection: &mut Connection) -> StoreResult<Vec<Leader>> {
    sql::rows(connection, select_leaders!(""), []).await?.iter().map(read_leader).collect()
}

/// Leaders with a relationship that is not stopped.
pub(crate) async fn followed(connection: &mut Connection) -> StoreResult<Vec<Leader>> {
    const FOLLOWED: &str =
        select_leaders!("WHERE id IN (SELECT leader_id FROM relationships WHERE status <> 2)");
    sql::rows(connection, FOLLOWED, []).await?.iter().map(read_leader).collect()
}

/// Whether there is such a leader.
pub(crate) async fn leader_exists(connection: &mut Connection, leader: LeaderId) -> StoreResult<bool> {
    const EXISTS: &str = "SELECT 1 FROM leaders WHERE id = $1";
    Ok(sql::row(connection, EXISTS, values![leader]).await?.is_some())
}

/// The key of a row just inserted.
pub(crate) fn inserted(row: Option<Row>) -> StoreResult<i64> {
    let row = row.ok_or_else(|| StoreError::Corrupt("an inserted row has no key".to_owned()))?;
    Fields::of(&row).get()
}

//! The [`WalletTransactions`] port: transactions of our own wallets, and positions that pay nothing.

use async_trait::async_trait;
use domain::{
    Timestamp,
    ids::{AccountId, OwnerId, TransactionId},
};
use engine::ports::{
    execution::RedemptionPayout,
    store::{Event, EventKind, StoreError, StoreResult},
    wallets::{
        Fees, NewTransaction, TransactionRecord, TransactionState, WalletTransaction, WalletTransactions,
    },
};

use crate::{
    SqlStore,
    accounts::{self, read_trading, trading_columns},
    column::{Coded, Fields, json},
    dialect::{Connection, Row},
    events, ledger,
    sql::{self, values},
};

#[async_trait]
impl WalletTransactions for SqlStore {
    async fn commit_transaction(&self, new: &NewTransaction) -> StoreResult<Option<TransactionId>> {
        let mut write = self.write().await?;
        let id = insert(write.connection(), new).await?;
        match id {
            Some(_) => write.commit().await?,
            None => write.undo().await?,
        }
        Ok(id)
    }

    async fn open_transactions(&self) -> StoreResult<Vec<TransactionRecord>> {
        open(&mut self.read().await?).await
    }

    async fn take_transaction(&self, id: TransactionId, relayer_id: Option<&str>) -> StoreResult<()> {
        const TAKE: &str = "UPDATE wallet_transactions SET state = $2, \
            relayer_id = COALESCE($3, relayer_id) WHERE id = $1 AND state < 2";
        let mut write = self.write().await?;
        let taken = values![id, Coded(TransactionState::Taken), relayer_id];
        if sql::execute(write.connection(), TAKE, taken).await? > 0 {
            write.commit().await
        } else {
            write.undo().await
        }
    }

    async fn end_transaction(
        &self,
        id: TransactionId,
        state: TransactionState,
        reason: &str,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut write = self.write().await?;
        let ended = end(write.connection(), id, state, reason, now).await?;
        if ended {
            write.commit().await?
        } else {
            write.undo().await?
        }
        Ok(ended)
    }

    async fn tell_stuck(&self, id: TransactionId, reason: &str, now: Timestamp) -> StoreResult<()> {
        const OF: &str = "SELECT owner_id, account_id, state FROM wallet_transactions WHERE id = $1";
        let mut write = self.write().await?;
        let Some(row) = sql::row(write.connection(), OF, values![id]).await? else {
            return write.undo().await;
        };
        let mut fields = Fields::of(&row);
        let (owner, account, state) = (fields.get()?, fields.get()?, fields.code()?);
        tell(write.connection(), owner, (id, account, state), reason, now).await?;
        write.commit().await
    }

    async fn newest_transactions(
        &self,
        owner: Option<OwnerId>,
        limit: usize,
    ) -> StoreResult<Vec<TransactionRecord>> {
        newest(&mut self.read().await?, owner, limit).await
    }

    async fn book_payouts(
        &self,
        account: AccountId,
        payouts: &[RedemptionPayout],
        now: Timestamp,
    ) -> StoreResult<usize> {
        let mut write = self.write().await?;
        let Some(owner) = accounts::owner_of(write.connection(), account).await? else {
            return Err(StoreError::NotFound { what: "account", id: account.0 });
        };
        let booked = ledger::book_payouts(write.connection(), (owner, account), payouts, now).await?;
        if booked > 0 {
            write.commit().await?
        } else {
            write.undo().await?
        }
        Ok(booked)
    }
}

/// A query of transactions.
macro_rules! select_transactions {
    ($rest:expr) => {
        concat!(
            "SELECT t.id, t.owner_id, ",
            trading_columns!(),
            ", t.redemption, t.attempt, t.nonce, t.body, t.tx, t.most_fee, t.tip, t.expires_at, t.relayer_id, ",
            "t.state, t.reason, t.signed_at, t.ended_at ",
            "FROM wallet_transactions t JOIN accounts a ON a.id = t.account_id ",
            $rest
        )
    };
}

fn read(row: &Row) -> StoreResult<TransactionRecord> {
    let mut fields = Fields::of(row);
    let (id, owner) = (fields.get()?, fields.get()?);
    let account = read_trading(&mut fields)?;
    let redemption = fields.json()?;
    let attempt = fields.number()?;
    let transaction = WalletTransaction {
        nonce: fields.number()?,
        body: fields.get()?,
        tx: fields.get()?,
        fees: read_fees(&mut fields)?,
        expires_at: fields.get()?,
    };
    Ok(TransactionRecord {
        id,
        owner,
        account,
        redemption,
        attempt,
        transaction,
        relayer_id: fields.get()?,
        state: fields.code()?,
        reason: fields.get()?,
        signed_at: fields.get()?,
        ended_at: fields.get()?,
    })
}

fn read_fees(fields: &mut Fields<'_>) -> StoreResult<Option<Fees>> {
    let number = |value: i64, fields: &Fields<'_>| {
        u64::try_from(value).map_err(|_| fields.corrupt(&format!("{value} is no fee")))
    };
    match (fields.get::<Option<i64>>()?, fields.get::<Option<i64>>()?) {
        (Some(most), Some(tip)) => Ok(Some(Fees { most: number(most, fields)?, tip: number(tip, fields)? })),
        (None, None) => Ok(None),
        _ => Err(fields.corrupt("half of a fee")),
    }
}

/// A number of the chain as a column holds it.
fn column(value: u64) -> StoreResult<i64> {
    i64::try_from(value).map_err(|_| StoreError::Conflict(format!("{value} is more than a column holds")))
}

async fn insert(connection: &mut Connection, new: &NewTransaction) -> StoreResult<Option<TransactionId>> {
    // The open ones of the account, and the one whose place this takes: the newest, of the same nonce.
    const STANDS: &str = "SELECT COUNT(*), COALESCE(MAX(attempt), -1), COALESCE(MAX(nonce), -1) \
        FROM wallet_transactions WHERE account_id = $1 AND state < 2";
    const INSERT: &str = "INSERT INTO wallet_transactions (owner_id, account_id, redemption, attempt, nonce, \
        body, tx, most_fee, tip, expires_at, relayer_id, state, reason, signed_at, ended_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, '', $12, NULL) RETURNING id";
    let NewTransaction { account, redemption, attempt, transaction, signed_at } = new;
    let Some(owner) = accounts::owner_of(connection, *account).await? else {
        return Err(StoreError::NotFound { what: "account", id: account.0 });
    };
    let Some(row) = sql::row(connection, STANDS, values![*account]).await? else { return Ok(None) };
    let mut fields = Fields::of(&row);
    let (open, newest, nonce): (i64, i64, i64) = (fields.get()?, fields.get()?, fields.get()?);
    let of_ours = column(transaction.nonce)?;
    let replaces = open > 0 && i64::from(*attempt) == newest.saturating_add(1) && nonce == of_ours;
    if !replaces && (open > 0 || *attempt > 0) {
        return Ok(None);
    }
    let fee = |part: fn(&Fees) -> u64| transaction.fees.as_ref().map(part).map(column).transpose();
    let values = values![
        owner,
        *account,
        json(redemption)?,
        *attempt,
        of_ours,
        transaction.body.as_slice(),
        transaction.tx,
        fee(|fees| fees.most)?,
        fee(|fees| fees.tip)?,
        transaction.expires_at,
        Coded(TransactionState::Signed),
        *signed_at,
    ];
    accounts::inserted(sql::row(connection, INSERT, values).await?).map(|id| Some(TransactionId(id)))
}

async fn open(connection: &mut Connection) -> StoreResult<Vec<TransactionRecord>> {
    const OPEN: &str = select_transactions!("WHERE t.state < 2 ORDER BY t.account_id, t.attempt");
    sql::rows(connection, OPEN, []).await?.iter().map(read).collect()
}

async fn newest(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    limit: usize,
) -> StoreResult<Vec<TransactionRecord>> {
    const ALL: &str = select_transactions!("ORDER BY t.id DESC LIMIT $1");
    const OWNED: &str = select_transactions!("WHERE t.owner_id = $2 ORDER BY t.id DESC LIMIT $1");
    let rows = match owner {
        None => sql::rows(connection, ALL, [sql::limit(limit)]).await?,
        Some(owner) => sql::rows(connection, OWNED, [sql::limit(limit), owner.into()]).await?,
    };
    rows.iter().map(read).collect()
}

async fn end(
    connection: &mut Connection,
    id: TransactionId,
    state: TransactionState,
    reason: &str,
    now: Timestamp,
) -> StoreResult<bool> {
    const END: &str = "UPDATE wallet_transactions SET state = $2, reason = $3, ended_at = $4 \
        WHERE id = $1 AND state < 2 RETURNING owner_id, account_id";
    const OTHERS: &str = "UPDATE wallet_transactions SET state = $2, ended_at = $3 \
        WHERE account_id = $1 AND state < 2";
    let values = values![id, Coded(state), reason, now];
    let Some(row) = sql::row(connection, END, values).await? else { return Ok(false) };
    let mut fields = Fields::of(&row);
    let (owner, account): (OwnerId, AccountId) = (fields.get()?, fields.get()?);
    sql::execute(connection, OTHERS, values![account, Coded(TransactionState::Replaced), now]).await?;
    tell(connection, owner, (id, account, state), reason, now).await?;
    Ok(true)
}

async fn tell(
    connection: &mut Connection,
    owner: OwnerId,
    (transaction, account, state): (TransactionId, AccountId, TransactionState),
    reason: &str,
    at: Timestamp,
) -> StoreResult<()> {
    let kind = EventKind::WalletTransaction { transaction, account, state, reason: reason.to_owned() };
    events::write(connection, &[Event { owner: Some(owner), at, kind }]).await
}

//! Orders that were lost when the database went back in time, found again at the venue.

use domain::{
    Shares, Timestamp, TokenId,
    ids::AccountId,
    position::{Adopted, Entry, Position},
};
use engine::ports::{
    execution::LedgerCause,
    store::{StoreError, StoreResult},
    venue::LostOrder,
};

use crate::{
    accounts,
    column::{Coded, Fields},
    dialect::Connection,
    error,
    ledger::{self, Holding, Line},
    sql::{self, values},
};

/// When the newest known order was signed, or the account was added.
pub(crate) async fn known_until(connection: &mut Connection, account: AccountId) -> StoreResult<Timestamp> {
    const NEWEST: &str = "SELECT COALESCE((SELECT MAX(o.signed_at) FROM signed_orders o \
            JOIN intents i ON i.id = o.intent_id WHERE i.account_id = $1), created_at) FROM accounts WHERE id = $1";
    let row = sql::row(connection, NEWEST, values![account]).await?;
    let row = row.ok_or(StoreError::NotFound { what: "account", id: account.0 })?;
    Fields::of(&row).get()
}

/// Books an order once; `false` when it is known.
pub(crate) async fn adopt(
    connection: &mut Connection,
    account: AccountId,
    order: &LostOrder,
    now: Timestamp,
) -> StoreResult<bool> {
    const TAKE: &str = "INSERT INTO adopted_orders \
            (order_id, owner_id, account_id, token, side, shares, usd, fee, left_over, adopted_at) \
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
        WHERE NOT EXISTS (SELECT 1 FROM signed_orders WHERE order_id = $1) \
        ON CONFLICT (order_id) DO NOTHING RETURNING account_id";
    const HELD: &str = concat!(
        "SELECT relationship_id, condition, shares, cost, realised, fees FROM positions \
         WHERE account_id = $1 AND token = $2 AND shares > 0 ORDER BY relationship_id",
        for_update!()
    );
    let owner = accounts::owner_of(connection, account).await?;
    let owner = owner.ok_or(StoreError::NotFound { what: "account", id: account.0 })?;
    let (mut holdings, mut held) = (Vec::new(), Vec::new());
    for row in sql::rows(connection, HELD, values![account, order.token]).await? {
        let mut fields = Fields::of(&row);
        let (relationship, condition) = (fields.get()?, fields.get()?);
        holdings.push(Holding { relationship, token: order.token, condition });
        held.push(fields.get::<Position>()?);
    }
    let adopted = Adopted::of(&held, order.side, order.filled).map_err(error::of_money)?;
    let filled = order.filled;
    let values = values![
        order.id,
        owner,
        account,
        order.token,
        Coded(order.side),
        filled.shares,
        filled.usd,
        filled.fee,
        adopted.rest.shares,
        now
    ];
    if sql::row(connection, TAKE, values).await?.is_none() {
        return Ok(false);
    }
    let of_relationships = holdings.into_iter().map(Some).zip(adopted.entries);
    let lines: Vec<Line> = of_relationships
        .chain([(None, adopted.rest)])
        .filter(|(_, entry)| *entry != Entry::default())
        .map(|(holding, entry)| Line {
            owner,
            account,
            holding,
            order: None,
            cause: LedgerCause::Adopted,
            entry,
            at: now,
        })
        .collect();
    ledger::book(connection, &lines).await?;
    Ok(true)
}

/// What belongs to no relationship, by token.
pub(crate) async fn shares(
    connection: &mut Connection,
    account: AccountId,
) -> StoreResult<Vec<(TokenId, Shares)>> {
    const SUMS: &str = "SELECT token, CAST(SUM(left_over) AS BIGINT) FROM adopted_orders WHERE account_id = $1 \
        GROUP BY token HAVING SUM(left_over) <> 0 ORDER BY token";
    let rows = sql::rows(connection, SUMS, values![account]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect()
}

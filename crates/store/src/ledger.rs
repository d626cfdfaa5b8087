//! The books: ledger rows, and the positions and cash that are their sums.
//!
//! A ledger row, its position and its account's cash change in one transaction, so the sums always agree.

use std::{collections::HashMap, time::Duration};

use domain::{
    ConditionId, Hash, Timestamp, TokenId, Usd,
    ids::{AccountId, AttemptId, IntentId, OwnerId, RelationshipId},
    position::{Entry, Position, Redeemed},
};
use engine::ports::{
    execution::{LedgerCause, RedemptionPayout},
    reports::{LedgerRecord, LedgerSum, PositionRecord},
    store::{Event, EventKind, StoreResult},
};

use crate::{
    bulk::Insert,
    column::{Coded, Column, Fields},
    config,
    dialect::{BlobList, Connection, IdList, Row, blob_list, id_list},
    error, events,
    sql::{self, Value, values},
};

/// A ledger row to book.
pub(crate) struct Line {
    pub(crate) owner: OwnerId,
    pub(crate) account: AccountId,
    /// What it is about, unless it is money alone.
    pub(crate) holding: Option<Holding>,
    /// The order it is of.
    pub(crate) order: Option<(IntentId, AttemptId)>,
    pub(crate) cause: LedgerCause,
    pub(crate) entry: Entry,
    pub(crate) at: Timestamp,
}

/// What a relationship holds.
#[derive(Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) relationship: RelationshipId,
    pub(crate) token: TokenId,
    pub(crate) condition: ConditionId,
}

impl Column for Entry {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self {
            shares: fields.get()?,
            cash: fields.get()?,
            cost: fields.get()?,
            realised: fields.get()?,
            fee: fields.get()?,
        })
    }
}

impl Column for Position {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self { shares: fields.get()?, cost: fields.get()?, realised: fields.get()?, fees: fields.get()? })
    }
}

/// Books lines in their order.
pub(crate) async fn book(connection: &mut Connection, lines: &[Line]) -> StoreResult<()> {
    if lines.is_empty() {
        return Ok(());
    }
    write_lines(connection, lines).await?;
    write_positions(connection, lines).await?;
    write_cash(connection, lines).await?;
    config::note_booking(connection).await
}

async fn write_lines(connection: &mut Connection, lines: &[Line]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "ledger (owner_id, account_id, relationship_id, token, intent_id, attempt_id, cause, shares, \
            cash, cost, realised, fee, at)",
        then: "",
    };
    let rows = lines
        .iter()
        .map(|line| {
            values![
                line.owner,
                line.account,
                line.holding.map(|holding| holding.relationship),
                line.holding.map(|holding| holding.token),
                line.order.map(|(intent, _)| intent),
                line.order.map(|(_, attempt)| attempt),
                Coded(line.cause),
                line.entry.shares,
                line.entry.cash,
                line.entry.cost,
                line.entry.realised,
                line.entry.fee,
                line.at,
            ]
        })
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

async fn write_positions(connection: &mut Connection, lines: &[Line]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "positions (relationship_id, token, owner_id, account_id, condition, shares, cost, realised, fees)",
        then: "ON CONFLICT (relationship_id, token) DO UPDATE SET shares = excluded.shares, \
            cost = excluded.cost, realised = excluded.realised, fees = excluded.fees",
    };
    let holdings = lines.iter().filter_map(|line| line.holding);
    let mut positions = stored_positions(connection, holdings).await?;
    let mut touched = HashMap::new();
    for line in lines {
        let Some(holding) = line.holding else { continue };
        let key = (holding.relationship, holding.token);
        let position = positions.entry(key).or_default();
        *position = position.after(line.entry).map_err(error::of_money)?;
        touched.insert(key, (line, holding, *position));
    }
    let rows = touched
        .into_values()
        .map(|(line, holding, position)| {
            values![
                holding.relationship,
                holding.token,
                line.owner,
                line.account,
                holding.condition,
                position.shares,
                position.cost,
                position.realised,
                position.fees,
            ]
        })
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

macro_rules! by_holding {
    () => {
        concat!(
            "SELECT relationship_id, token, shares, cost, realised, fees FROM positions WHERE relationship_id",
            in_ids!("$1"),
            " AND token",
            in_blobs!("$2")
        )
    };
}

/// Positions of these holdings; absent ones are empty.
pub(crate) async fn read_positions(
    connection: &mut Connection,
    holdings: impl Iterator<Item = (RelationshipId, TokenId)>,
) -> StoreResult<HashMap<(RelationshipId, TokenId), Position>> {
    by_holding(connection, by_holding!(), holdings).await
}

/// The same, locked where the database has row locks.
pub(crate) async fn stored_positions(
    connection: &mut Connection,
    holdings: impl Iterator<Item = Holding>,
) -> StoreResult<HashMap<(RelationshipId, TokenId), Position>> {
    let holdings = holdings.map(|holding| (holding.relationship, holding.token));
    by_holding(connection, concat!(by_holding!(), for_update!()), holdings).await
}

async fn by_holding(
    connection: &mut Connection,
    text: &'static str,
    holdings: impl Iterator<Item = (RelationshipId, TokenId)>,
) -> StoreResult<HashMap<(RelationshipId, TokenId), Position>> {
    let (relationships, tokens) = key_lists(holdings);
    let rows = sql::rows(connection, text, values![relationships, tokens]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(((fields.get()?, fields.get()?), fields.get()?))
        })
        .collect()
}

/// Lists of the relationships and of the tokens, for statements that look at their pairs.
fn key_lists(holdings: impl Iterator<Item = (RelationshipId, TokenId)>) -> (IdList, BlobList) {
    let (relationships, tokens): (Vec<_>, Vec<_>) = holdings.unzip();
    let relationships = id_list(relationships.iter().map(|relationship: &RelationshipId| relationship.0));
    (relationships, blob_list(tokens.iter().map(|token: &TokenId| &token.0[..])))
}

async fn write_cash(connection: &mut Connection, lines: &[Line]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "account_cash (account_id, owner_id, cash)",
        then: "ON CONFLICT (account_id) DO UPDATE SET cash = account_cash.cash + excluded.cash",
    };
    let mut changes: HashMap<(AccountId, OwnerId), Usd> = HashMap::new();
    for line in lines {
        let change = changes.entry((line.account, line.owner)).or_default();
        *change = change.plus(line.entry.cash).map_err(error::of_money)?;
    }
    let rows = changes.into_iter().map(|((account, owner), cash)| values![account, owner, cash]).collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Books money from (or to) outside.
pub(crate) async fn deposit(
    connection: &mut Connection,
    owner: OwnerId,
    account: AccountId,
    usd: Usd,
    at: Timestamp,
) -> StoreResult<()> {
    let entry = Entry { cash: usd, ..Entry::default() };
    let cause = LedgerCause::Deposit;
    book(connection, &[Line { owner, account, holding: None, order: None, cause, entry, at }]).await
}

/// What an account has, locked until the transaction's end.
pub(crate) async fn cash_of(connection: &mut Connection, account: AccountId) -> StoreResult<Usd> {
    const CASH: &str = concat!("SELECT cash FROM account_cash WHERE account_id = $1", for_update!());
    let row = sql::row(connection, CASH, values![account]).await?;
    row.map_or(Ok(Usd::ZERO), |row| Fields::of(&row).get())
}

/// Books a redemption once; `false` when there is nothing to book.
pub(crate) async fn redeem(
    connection: &mut Connection,
    (block_hash, log_index): (Hash, i64),
    payouts: &[RedemptionPayout],
    now: Timestamp,
) -> StoreResult<bool> {
    const TAKE: &str = "UPDATE redemptions SET booked_at = $3 \
        WHERE block_hash = $1 AND log_index = $2 AND booked_at IS NULL AND canonical = 1 \
        RETURNING owner_id, account_id, condition, payout";
    let Some(row) = sql::row(connection, TAKE, values![block_hash, log_index, now]).await? else {
        return Ok(false);
    };
    let mut fields = Fields::of(&row);
    let (owner, account): (OwnerId, AccountId) = (fields.get()?, fields.get()?);
    let (condition, paid): (ConditionId, Usd) = (fields.get()?, fields.get()?);
    let redeemed = pay_out(connection, (owner, account), payouts, (LedgerCause::Redeemed, paid), now).await?;
    // A redemption of nothing, when everything is booked already, is no difference.
    if redeemed.differs_from(paid) && !(redeemed.entries.is_empty() && paid == Usd::ZERO) {
        let kind = EventKind::PayoutDiffers { account, condition, paid, due: redeemed.due };
        events::write(connection, &[Event { owner: Some(owner), at: now, kind }]).await?;
    }
    Ok(true)
}

/// Books all of what positions in these tokens pay. Returns how many there were.
pub(crate) async fn book_payouts(
    connection: &mut Connection,
    of: (OwnerId, AccountId),
    payouts: &[RedemptionPayout],
    now: Timestamp,
) -> StoreResult<usize> {
    let (pays, worthless): (Vec<RedemptionPayout>, Vec<RedemptionPayout>) =
        payouts.iter().partition(|payout| payout.payout.0 > 0);
    let mut booked: usize = 0;
    for (payouts, cause) in [(pays, LedgerCause::Redeemed), (worthless, LedgerCause::Worthless)] {
        let redeemed = pay_out(connection, of, &payouts, (cause, Usd(i64::MAX)), now).await?;
        booked = booked.saturating_add(redeemed.entries.len());
    }
    Ok(booked)
}

/// Books what was paid for the positive positions of an account in these tokens.
async fn pay_out(
    connection: &mut Connection,
    (owner, account): (OwnerId, AccountId),
    payouts: &[RedemptionPayout],
    (cause, paid): (LedgerCause, Usd),
    now: Timestamp,
) -> StoreResult<Redeemed> {
    const HELD: &str = concat!(
        "SELECT relationship_id, token, condition, shares, cost, realised, fees FROM positions ",
        "WHERE account_id = $1 AND shares > 0 AND token",
        in_blobs!("$2"),
        " ORDER BY relationship_id, token",
        for_update!()
    );
    let tokens = blob_list(payouts.iter().map(|payout| &payout.token.0[..]));
    let (mut holdings, mut held) = (Vec::new(), Vec::new());
    for row in sql::rows(connection, HELD, values![account, tokens]).await? {
        let mut fields = Fields::of(&row);
        let holding = Holding { relationship: fields.get()?, token: fields.get()?, condition: fields.get()? };
        let position: Position = fields.get()?;
        let Some(payout) = payouts.iter().find(|payout| payout.token == holding.token) else { continue };
        holdings.push(holding);
        held.push((position, payout.payout));
    }
    let redeemed = Redeemed::of(&held, paid).map_err(error::of_money)?;
    let lines: Vec<Line> = holdings
        .into_iter()
        .zip(&redeemed.entries)
        .filter(|(_, entry)| **entry != Entry::default())
        .map(|(holding, entry)| {
            let (holding, entry) = (Some(holding), *entry);
            Line { owner, account, holding, order: None, cause, entry, at: now }
        })
        .collect();
    book(connection, &lines).await?;
    Ok(redeemed)
}

/// Sums of the ledger by attempt.
pub(crate) async fn booked(
    connection: &mut Connection,
    intents: impl IntoIterator<Item = i64>,
) -> StoreResult<HashMap<i64, Entry>> {
    const BOOKED: &str = concat!(
        "SELECT attempt_id, CAST(SUM(shares) AS BIGINT), CAST(SUM(cash) AS BIGINT), ",
        "CAST(SUM(cost) AS BIGINT), CAST(SUM(realised) AS BIGINT), CAST(SUM(fee) AS BIGINT) ",
        "FROM ledger WHERE attempt_id IS NOT NULL AND intent_id",
        in_ids!("$1"),
        " GROUP BY attempt_id"
    );
    let rows = sql::rows(connection, BOOKED, values![id_list(intents)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect()
}

/// Positions in the given order; an empty one where there is none of that account.
pub(crate) async fn positions_of(
    connection: &mut Connection,
    holdings: &[(AccountId, RelationshipId, TokenId)],
) -> StoreResult<Vec<Position>> {
    const OF: &str = concat!(
        "SELECT account_id, relationship_id, token, shares, cost, realised, fees FROM positions ",
        "WHERE relationship_id",
        in_ids!("$1"),
        " AND token",
        in_blobs!("$2")
    );
    let lists = key_lists(holdings.iter().map(|(_, relationship, token)| (*relationship, *token)));
    let mut found: HashMap<_, Position> = HashMap::new();
    for row in sql::rows(connection, OF, values![lists.0, lists.1]).await? {
        let mut fields = Fields::of(&row);
        found.insert((fields.get()?, fields.get()?, fields.get()?), fields.get()?);
    }
    Ok(holdings.iter().map(|holding| found.get(holding).copied().unwrap_or_default()).collect())
}

/// Tokens of which anybody holds shares.
pub(crate) async fn tokens_held(connection: &mut Connection, limit: usize) -> StoreResult<Vec<TokenId>> {
    const HELD: &str = "SELECT DISTINCT token FROM positions WHERE shares > 0 ORDER BY token LIMIT $1";
    let rows = sql::rows(connection, HELD, [sql::limit(limit)]).await?;
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

/// Tokens of a condition of which an account holds shares.
pub(crate) async fn held_tokens(
    connection: &mut Connection,
    account: AccountId,
    condition: ConditionId,
) -> StoreResult<Vec<TokenId>> {
    const HELD: &str = "SELECT DISTINCT token FROM positions \
        WHERE account_id = $1 AND condition = $2 AND shares > 0 ORDER BY token";
    let rows = sql::rows(connection, HELD, values![account, condition]).await?;
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

/// Positions, of one owner or of all.
pub(crate) async fn positions(
    connection: &mut Connection,
    owner: Option<OwnerId>,
) -> StoreResult<Vec<PositionRecord>> {
    const ALL: &str = "SELECT owner_id, account_id, relationship_id, token, shares, cost, realised, fees \
        FROM positions ORDER BY account_id, relationship_id, token";
    const OWNED: &str = "SELECT owner_id, account_id, relationship_id, token, shares, cost, realised, fees \
        FROM positions WHERE owner_id = $1 ORDER BY account_id, relationship_id, token";
    let rows = match owner {
        None => sql::rows(connection, ALL, []).await?,
        Some(owner) => sql::rows(connection, OWNED, values![owner]).await?,
    };
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(PositionRecord {
                owner: fields.get()?,
                account: fields.get()?,
                relationship: fields.get()?,
                token: fields.get()?,
                position: fields.get()?,
            })
        })
        .collect()
}

/// A query of ledger rows.
macro_rules! select_ledger {
    ($rest:expr) => {
        concat!(
            "SELECT id, owner_id, account_id, relationship_id, token, intent_id, cause, shares, cash, cost, ",
            "realised, fee, at FROM ledger ",
            $rest
        )
    };
}

fn read_line(row: &Row) -> StoreResult<LedgerRecord> {
    let mut fields = Fields::of(row);
    Ok(LedgerRecord {
        id: fields.get()?,
        owner: fields.get()?,
        account: fields.get()?,
        relationship: fields.get()?,
        token: fields.get()?,
        intent: fields.get()?,
        cause: fields.code()?,
        entry: fields.get()?,
        at: fields.get()?,
    })
}

/// Ledger rows after a number, ascending.
pub(crate) async fn after(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    after: i64,
    limit: usize,
) -> StoreResult<Vec<LedgerRecord>> {
    const AFTER: &str = select_ledger!("WHERE id > $1 ORDER BY id LIMIT $2");
    const OWNED: &str = select_ledger!("WHERE id > $1 AND owner_id = $3 ORDER BY id LIMIT $2");
    let rows = match owner {
        None => sql::rows(connection, AFTER, [Value::from(after), sql::limit(limit)]).await?,
        Some(owner) => {
            let values = [Value::from(after), sql::limit(limit), owner.into()];
            sql::rows(connection, OWNED, values).await?
        }
    };
    rows.iter().map(read_line).collect()
}

/// Sums of rows since a moment by spans of time, ascending. Cause 0 is a deposit.
pub(crate) async fn sums(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    since: Timestamp,
    width: Duration,
) -> StoreResult<Vec<LedgerSum>> {
    macro_rules! sums {
        ($and:expr) => {
            concat!(
                "SELECT at / $2 AS slot, CAST(SUM(realised) AS BIGINT), CAST(SUM(fee) AS BIGINT), ",
                "CAST(SUM(CASE WHEN cause = 0 THEN cash ELSE 0 END) AS BIGINT) FROM ledger WHERE at >= $1 ",
                $and,
                "GROUP BY slot ORDER BY slot"
            )
        };
    }
    let micros = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
    let rows = match owner {
        None => sql::rows(connection, sums!(""), values![since, micros]).await?,
        Some(owner) => {
            sql::rows(connection, sums!("AND owner_id = $3 "), values![since, micros, owner]).await?
        }
    };
    let read = |row: &Row| {
        let mut fields = Fields::of(row);
        let slot: i64 = fields.get()?;
        let at = Timestamp(slot.saturating_mul(micros));
        Ok(LedgerSum { at, realised: fields.get()?, fees: fields.get()?, deposited: fields.get()? })
    };
    rows.iter().map(read).collect()
}

/// The newest row's number; 0 without one.
pub(crate) async fn newest(connection: &mut Connection) -> StoreResult<i64> {
    const NEWEST: &str = "SELECT COALESCE(MAX(id), 0) FROM ledger";
    let row = sql::row(connection, NEWEST, []).await?;
    row.map_or(Ok(0), |row| Fields::of(&row).get())
}

/// Ledger rows of these intents, ascending.
pub(crate) async fn of_intents(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    intents: &[IntentId],
) -> StoreResult<Vec<LedgerRecord>> {
    const ALL: &str = select_ledger!(concat!("WHERE intent_id", in_ids!("$1"), " ORDER BY id"));
    const OWNED: &str =
        select_ledger!(concat!("WHERE intent_id", in_ids!("$1"), " AND owner_id = $2 ORDER BY id"));
    let list = id_list(intents.iter().map(|intent| intent.0));
    let rows = match owner {
        None => sql::rows(connection, ALL, values![list]).await?,
        Some(owner) => sql::rows(connection, OWNED, values![list, owner]).await?,
    };
    rows.iter().map(read_line).collect()
}

//! Signed orders with everything known about them, put together for reading.

use std::collections::{HashMap, HashSet};

use domain::{
    OrderAmounts, OrderId, Timestamp,
    ids::{AttemptId, IntentId, OwnerId},
    lifecycle::{Evidence, OrderState},
    trade::Quantity,
};
use engine::{
    ports::{
        detection::Source,
        execution::{OrderRecord, StageTimes},
        store::{StoreError, StoreResult},
        venue::{PreparedOrder, VenueTrade},
    },
    trades::in_evidence,
};

use crate::{
    chain,
    column::{Column, Fields},
    dialect::{BlobList, Connection, Row, blob_list, id_list},
    error, groups, instances, intents, ledger, newer,
    sql::{self, Value, values},
};

/// A query of orders without what is summed from other tables.
macro_rules! select_orders {
    ($rest:expr) => {
        concat!(
            "SELECT o.id, o.attempt, o.intent_id, o.order_id, o.body, o.maker, o.taker, o.limit_price, ",
            "o.stamped_at, o.salt, o.signed_at, o.resend_until, s.state, s.version, s.reply_shares, ",
            "s.reply_usd, s.reply_estimated, s.unseen_for, s.looked_up_at, s.doubts, s.sent_at, s.replied_at, s.mined_at, s.confirmed_at, ",
            "COALESCE(w.fence, 0), CASE WHEN w.state = 1 AND w.attempts = o.attempt + 1 THEN 1 ELSE 0 END ",
            "FROM signed_orders o JOIN order_status s ON s.attempt_id = o.id ",
            "LEFT JOIN work w ON w.intent_id = o.intent_id ",
            $rest
        )
    };
}

impl Column for StageTimes {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self {
            sent: fields.get()?,
            replied: fields.get()?,
            mined: fields.get()?,
            confirmed: fields.get()?,
        })
    }
}

/// A row of [`select_orders`].
struct OrderRow {
    attempt: AttemptId,
    number: u32,
    intent: IntentId,
    order: PreparedOrder,
    amounts: OrderAmounts,
    limit: domain::Price,
    timestamp: Timestamp,
    salt: u64,
    signed_at: Timestamp,
    resend_until: Timestamp,
    state: OrderState,
    version: i64,
    reply: Quantity,
    reply_estimated: bool,
    unseen_for: std::time::Duration,
    looked_up_at: Option<Timestamp>,
    doubts: u32,
    times: StageTimes,
    fence: i64,
    open_work: bool,
}

fn read(fields: &mut Fields<'_>) -> StoreResult<OrderRow> {
    Ok(OrderRow {
        attempt: fields.get()?,
        number: fields.number()?,
        intent: fields.get()?,
        order: PreparedOrder { id: fields.get()?, body: fields.get()? },
        amounts: OrderAmounts { maker: fields.get()?, taker: fields.get()? },
        limit: fields.get()?,
        timestamp: fields.get()?,
        salt: fields.number()?,
        signed_at: fields.get()?,
        resend_until: fields.get()?,
        state: fields.code()?,
        version: fields.get()?,
        reply: fields.get()?,
        reply_estimated: fields.get()?,
        unseen_for: fields.get()?,
        looked_up_at: fields.get()?,
        doubts: fields.number()?,
        times: fields.get()?,
        fence: fields.get()?,
        open_work: fields.get()?,
    })
}

/// Completes rows to records, in their order.
async fn complete(connection: &mut Connection, rows: &[Row]) -> StoreResult<Vec<OrderRecord>> {
    let rows = rows.iter().map(|row| read(&mut Fields::of(row))).collect::<StoreResult<Vec<OrderRow>>>()?;
    complete_rows(connection, rows).await
}

/// The same of those rows that no newer version wrote, of work that others do otherwise.
async fn complete_understood(connection: &mut Connection, rows: &[Row]) -> StoreResult<Vec<OrderRecord>> {
    complete_rows(connection, newer::understood(rows, "an order", read)?).await
}

async fn complete_rows(connection: &mut Connection, rows: Vec<OrderRow>) -> StoreResult<Vec<OrderRecord>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let attempts: Vec<i64> = rows.iter().map(|row| row.attempt.0).collect();
    let of_intents: HashSet<i64> = rows.iter().map(|row| row.intent.0).collect();
    let intents = intents::by_ids(connection, of_intents.iter().copied()).await?;
    let mut evidence = evidence(connection, &attempts).await?;
    let booked = ledger::booked(connection, of_intents).await?;
    let mut permits = instances::senders(connection, &attempts).await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let attempt = row.attempt.0;
        let intent = intents
            .get(&row.intent)
            .ok_or_else(|| StoreError::Corrupt(format!("order {} has no intent", row.order.id)))?;
        let (permits_out, sender_ended_at) = permits.remove(&attempt).unwrap_or_default();
        let (reply, reply_estimated) = (row.reply, row.reply_estimated);
        let (trades, evidence) = evidence.remove(&attempt).unwrap_or_default();
        let evidence = Evidence { reply, reply_estimated, ..evidence };
        records.push(OrderRecord {
            attempt: row.attempt,
            number: row.number,
            intent: intent.clone(),
            order: row.order,
            amounts: row.amounts,
            limit: row.limit,
            timestamp: row.timestamp,
            salt: row.salt,
            signed_at: row.signed_at,
            resend_until: row.resend_until,
            state: row.state,
            version: row.version,
            fence: row.fence,
            trades,
            evidence,
            booked: booked.get(&attempt).copied().unwrap_or_default(),
            permits_out,
            sender_ended_at,
            unseen_for: row.unseen_for,
            looked_up_at: row.looked_up_at,
            doubts: row.doubts,
            times: row.times,
            open_work: row.open_work,
        });
    }
    Ok(records)
}

/// Trades and evidence of attempts, but for the replies.
async fn evidence(
    connection: &mut Connection,
    attempts: &[i64],
) -> StoreResult<HashMap<i64, (Vec<VenueTrade>, Evidence)>> {
    let mut evidence: HashMap<i64, (Vec<VenueTrade>, Evidence)> = HashMap::new();
    for (attempt, trades) in trades(connection, attempts).await? {
        let summed = in_evidence(Evidence::default(), &trades).map_err(error::of_money)?;
        evidence.insert(attempt, (trades, summed));
    }
    let finalized = chain::cursor(connection, Source::Finalized).await?;
    for (attempt, (filled, last_block)) in chain::filled(connection, attempts).await? {
        let (_, of_attempt) = evidence.entry(attempt).or_default();
        of_attempt.chain = filled;
        of_attempt.chain_final = finalized.is_some_and(|height| last_block <= height);
    }
    Ok(evidence)
}

/// The venue's trades of attempts, by id.
async fn trades(connection: &mut Connection, attempts: &[i64]) -> StoreResult<HashMap<i64, Vec<VenueTrade>>> {
    const TRADES: &str = concat!(
        "SELECT attempt_id, trade_id, status, shares, usd, fee, tx FROM venue_trades WHERE attempt_id",
        in_ids!("$1"),
        " ORDER BY attempt_id, trade_id"
    );
    let mut trades: HashMap<i64, Vec<VenueTrade>> = HashMap::new();
    for row in sql::rows(connection, TRADES, values![id_list(attempts.iter().copied())]).await? {
        let mut fields = Fields::of(&row);
        let attempt = fields.get()?;
        trades.entry(attempt).or_default().push(VenueTrade {
            id: fields.get()?,
            status: fields.code()?,
            shares: fields.get()?,
            usd: fields.get()?,
            fee: fields.get()?,
            tx: fields.get()?,
        });
    }
    Ok(trades)
}

/// Orders by id, in the order of the ids.
pub(crate) async fn by_order_ids(
    connection: &mut Connection,
    ids: &[OrderId],
) -> StoreResult<Vec<OrderRecord>> {
    const BY_IDS: &str = select_orders!(concat!("WHERE o.order_id", in_blobs!("$1")));
    let rows = sql::rows(connection, BY_IDS, values![order_list(ids)]).await?;
    let records = complete(connection, &rows).await?;
    let mut by_id: HashMap<OrderId, OrderRecord> =
        records.into_iter().map(|record| (record.order.id, record)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// Orders by intent and number of the attempt, in the given order.
pub(crate) async fn by_attempts(
    connection: &mut Connection,
    attempts: &[(IntentId, u32)],
) -> StoreResult<Vec<OrderRecord>> {
    let intents: Vec<IntentId> = attempts.iter().map(|(intent, _)| *intent).collect();
    let records = of_intents(connection, &intents).await?;
    let mut by_attempt: HashMap<(IntentId, u32), OrderRecord> =
        records.into_iter().map(|record| ((record.intent.id, record.number), record)).collect();
    Ok(attempts.iter().filter_map(|attempt| by_attempt.remove(attempt)).collect())
}

/// All attempts of intents, by intent and number.
pub(crate) async fn of_intents(
    connection: &mut Connection,
    intents: &[IntentId],
) -> StoreResult<Vec<OrderRecord>> {
    const OF_INTENTS: &str =
        select_orders!(concat!("WHERE o.intent_id", in_ids!("$1"), " ORDER BY o.intent_id, o.attempt"));
    let list = id_list(intents.iter().map(|intent| intent.0));
    let rows = sql::rows(connection, OF_INTENTS, values![list]).await?;
    complete(connection, &rows).await
}

/// The newest attempts of claimed intents, in the order of the intents.
pub(crate) async fn newest_of(
    connection: &mut Connection,
    intents: &[IntentId],
) -> StoreResult<Vec<OrderRecord>> {
    const NEWEST: &str =
        select_orders!(concat!("WHERE w.attempts = o.attempt + 1 AND o.intent_id", in_ids!("$1")));
    if intents.is_empty() {
        return Ok(Vec::new());
    }
    let list = id_list(intents.iter().map(|intent| intent.0));
    let rows = sql::rows(connection, NEWEST, values![list]).await?;
    let records = complete_understood(connection, &rows).await?;
    let mut by_intent: HashMap<IntentId, OrderRecord> =
        records.into_iter().map(|record| (record.intent.id, record)).collect();
    Ok(intents.iter().filter_map(|intent| by_intent.remove(intent)).collect())
}

/// Whether canonical fills of any order changed since its last update.
pub(crate) async fn any_unbooked(connection: &mut Connection) -> StoreResult<bool> {
    const ANY: &str = "SELECT 1 FROM order_status WHERE unbooked = 1 LIMIT 1";
    Ok(sql::row(connection, ANY, []).await?.is_some())
}

/// Orders whose canonical fills changed since their last update, by attempt, after one.
pub(crate) async fn unbooked(
    connection: &mut Connection,
    after: AttemptId,
    limit: usize,
) -> StoreResult<Vec<OrderRecord>> {
    const UNBOOKED: &str =
        select_orders!("WHERE s.unbooked = 1 AND s.attempt_id > $1 ORDER BY s.attempt_id LIMIT $2");
    let rows = sql::rows(connection, UNBOOKED, [after.0.into(), sql::limit(limit)]).await?;
    complete_understood(connection, &rows).await
}

/// Orders by the beginning of their id.
pub(crate) async fn by_prefix(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    prefix: &[u8],
    limit: usize,
) -> StoreResult<Vec<OrderRecord>> {
    const BY_PREFIX: &str =
        select_orders!("WHERE o.order_id >= $1 AND o.order_id <= $2 ORDER BY o.id LIMIT $3");
    const OWNED: &str = select_orders!(
        "WHERE o.order_id >= $1 AND o.order_id <= $2 AND o.owner_id = $4 ORDER BY o.id LIMIT $3"
    );
    let (from, to) = (Value::from(prefix), groups::above(prefix));
    let rows = match owner {
        None => sql::rows(connection, BY_PREFIX, [from, to, sql::limit(limit)]).await?,
        Some(owner) => sql::rows(connection, OWNED, [from, to, sql::limit(limit), owner.into()]).await?,
    };
    complete(connection, &rows).await
}

/// Which of these orders are ours, in the given order.
pub(crate) async fn own(connection: &mut Connection, ids: &[OrderId]) -> StoreResult<Vec<OrderId>> {
    const OWN: &str = concat!("SELECT order_id FROM signed_orders WHERE order_id", in_blobs!("$1"));
    let rows = sql::rows(connection, OWN, values![order_list(ids)]).await?;
    let known: HashSet<OrderId> = rows.iter().map(|row| Fields::of(row).get()).collect::<StoreResult<_>>()?;
    Ok(ids.iter().copied().filter(|id| known.contains(id)).collect())
}

/// Notes that canonical fills of these orders changed, if they are ours.
pub(crate) async fn note_fills(connection: &mut Connection, ids: &HashSet<OrderId>) -> StoreResult<()> {
    const NOTE: &str = concat!(
        "UPDATE order_status SET version = version + 1, unbooked = 1 WHERE attempt_id IN ",
        "(SELECT id FROM signed_orders WHERE order_id",
        in_blobs!("$1"),
        ")"
    );
    if ids.is_empty() {
        return Ok(());
    }
    let list = blob_list(ids.iter().map(|id| &id.0[..]));
    sql::execute(connection, NOTE, values![list]).await?;
    Ok(())
}

fn order_list(ids: &[OrderId]) -> BlobList {
    blob_list(ids.iter().map(|id| &id.0[..]))
}

//! Work rows: what is still to be done about an intent, who does it, and until when.
//!
//! State 0 waits to be signed; state 1 settles its newest attempt. Only [`crate::signing`] takes a row from
//! 0 to 1, and only [`crate::order_update`] takes it back.
//!
//! Where rows are named by key, the condition on the state is written `+state`, so that it is not looked up
//! in the index of what is due: that would read every waiting row to find a few.

use std::collections::HashMap;

use domain::{
    MarketOrderType, Shares, Side, Timestamp,
    ids::{AccountId, IntentId, OwnerId},
};
use engine::ports::{
    detection::{Lane, QueuedIntent},
    execution::{EndReason, WaitingIntent},
    store::{InstanceId, StoreResult},
};

use crate::{
    column::{Coded, Fields},
    config,
    decisions::DecisionKey,
    dialect::{Connection, id_list},
    intents, ledger,
    promised::ExitOrders,
    revisits,
    sql::{self, Value, values},
};

/// Waits to be signed.
pub(crate) const WAITING: i64 = 0;
/// Its newest attempt is to be settled.
pub(crate) const SIGNED: i64 = 1;

/// Intents that wait in a lane and are due, by due time.
pub(crate) async fn waiting(
    connection: &mut Connection,
    lane: Lane,
    now: Timestamp,
    limit: usize,
) -> StoreResult<Vec<IntentId>> {
    const WAIT: &str = "SELECT intent_id FROM work WHERE state = 0 AND lane = $1 AND due <= $2 \
        ORDER BY due, intent_id LIMIT $3";
    let values = [Value::from(Coded(lane)), now.into(), sql::limit(limit)];
    sql::rows(connection, WAIT, values).await?.iter().map(|row| Fields::of(row).get()).collect()
}

/// How many wait in a lane and are due.
pub(crate) async fn count_waiting(
    connection: &mut Connection,
    lane: Lane,
    now: Timestamp,
) -> StoreResult<usize> {
    const COUNT: &str = "SELECT COUNT(*) FROM work WHERE state = 0 AND lane = $1 AND due <= $2";
    let row = sql::row(connection, COUNT, values![Coded(lane), now]).await?;
    row.map_or(Ok(0), |row| Fields::of(&row).number())
}

/// How many intents have a work row.
pub(crate) async fn count_open(connection: &mut Connection) -> StoreResult<usize> {
    let row = sql::row(connection, "SELECT COUNT(*) FROM work", []).await?;
    row.map_or(Ok(0), |row| Fields::of(&row).number())
}

/// Accounts with work.
pub(crate) async fn accounts(connection: &mut Connection) -> StoreResult<Vec<AccountId>> {
    const ACCOUNTS: &str = "SELECT DISTINCT i.account_id FROM work w JOIN intents i ON i.id = w.intent_id \
        ORDER BY i.account_id";
    let rows = sql::rows(connection, ACCOUNTS, []).await?;
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

/// When the next order's work is due.
pub(crate) async fn next_due(connection: &mut Connection) -> StoreResult<Option<Timestamp>> {
    let row = sql::row(connection, "SELECT MIN(due) FROM work WHERE state = 1", []).await?;
    row.map_or(Ok(None), |row| Fields::of(&row).get())
}

/// Waiting intents of groups, by the decisions that made them.
pub(crate) async fn waiting_of_groups(
    connection: &mut Connection,
    groups: impl IntoIterator<Item = i64>,
) -> StoreResult<HashMap<DecisionKey, QueuedIntent>> {
    const OF_GROUPS: &str = concat!(
        "SELECT i.group_id, i.part, i.relationship_id, i.id, i.lane ",
        "FROM intents i JOIN work w ON w.intent_id = i.id WHERE +w.state = 0 AND i.group_id",
        in_ids!("$1")
    );
    let rows = sql::rows(connection, OF_GROUPS, values![id_list(groups)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            let key = (fields.get()?, fields.get()?, fields.get()?);
            Ok((key, QueuedIntent { id: fields.get()?, lane: fields.code()? }))
        })
        .collect()
}

/// Of these intents, those that wait, in the given order.
pub(crate) async fn load_waiting(
    connection: &mut Connection,
    ids: &[IntentId],
    now: Timestamp,
) -> StoreResult<Vec<WaitingIntent>> {
    const LOAD: &str = concat!(
        "SELECT w.intent_id, w.attempts, ",
        json_integer!("p.policy", "slippage_to_book_bps"),
        ", ",
        json_text!("p.policy", "entry_type"),
        " FROM work w ",
        "JOIN intents i ON i.id = w.intent_id ",
        "JOIN relationships r ON r.id = i.relationship_id ",
        "JOIN policies p ON p.relationship_id = r.id AND p.version = r.policy_version ",
        "WHERE +w.state = 0 AND w.intent_id",
        in_ids!("$1")
    );
    let mut waiting: HashMap<IntentId, (u32, i64, Option<MarketOrderType>)> =
        HashMap::with_capacity(ids.len());
    for row in sql::rows(connection, LOAD, values![id_list(ids.iter().map(|id| id.0))]).await? {
        let mut fields = Fields::of(&row);
        waiting.insert(fields.get()?, (fields.number()?, fields.get()?, entry_type(&mut fields)?));
    }
    let mut intents = intents::by_ids(connection, waiting.keys().map(|id| id.0)).await?;
    let exits = intents.values().filter(|intent| intent.side == Side::Sell);
    let exits: Vec<_> = exits.map(|intent| (intent.id, (intent.relationship, intent.token))).collect();
    let orders = ExitOrders::read(connection, &exits).await?;
    let held = ledger::read_positions(connection, exits.iter().map(|(_, held)| *held)).await?;
    let mut loaded = Vec::with_capacity(waiting.len());
    for id in ids {
        let (Some((attempts, slippage_to_book_bps, entry_type)), Some(intent)) =
            (waiting.remove(id), intents.remove(id))
        else {
            continue;
        };
        let key = (intent.relationship, intent.token);
        let (held, filled, promised) = if intent.side == Side::Sell {
            let held = held.get(&key).map_or(Shares::ZERO, |position| position.shares);
            (held, orders.sold(*id, key)?, orders.promised(*id, key, now)?)
        } else {
            Default::default()
        };
        // An entry of a newer version's kind is left to its workers; an exit has none.
        let Some(entry_type) = entry_type.or((intent.side == Side::Sell).then(MarketOrderType::default))
        else {
            continue;
        };
        loaded.push(WaitingIntent {
            intent,
            attempts,
            held,
            filled,
            promised,
            slippage_to_book_bps,
            entry_type,
        });
    }
    Ok(loaded)
}

/// As the policy's text names it; `None` for a name of a newer version.
fn entry_type(fields: &mut Fields<'_>) -> StoreResult<Option<MarketOrderType>> {
    let name: String = fields.get()?;
    Ok(serde_json::from_value(name.into()).ok())
}

/// Ends waiting intents; how many.
pub(crate) async fn end(
    connection: &mut Connection,
    ends: &[(IntentId, EndReason)],
    now: Timestamp,
) -> StoreResult<usize> {
    const TAKE: &str = concat!(
        "DELETE FROM work WHERE +state = 0 AND intent_id",
        in_ids!("$1"),
        " RETURNING intent_id, owner_id"
    );
    let list = id_list(ends.iter().map(|(intent, _)| intent.0));
    let mut owners: HashMap<IntentId, OwnerId> = HashMap::with_capacity(ends.len());
    for row in sql::rows(connection, TAKE, values![list]).await? {
        let mut fields = Fields::of(&row);
        owners.insert(fields.get()?, fields.get()?);
    }
    let mut ended = Vec::with_capacity(owners.len());
    for (intent, reason) in ends {
        if let Some(owner) = owners.remove(intent) {
            ended.push((*intent, owner, *reason));
        }
    }
    release(connection, ended.iter().map(|(intent, ..)| intent.0)).await?;
    intents::write_ends(connection, &ended, now).await?;
    let ids: Vec<IntentId> = ended.iter().map(|(intent, ..)| *intent).collect();
    revisits::note_ended(connection, &ids, now).await?;
    Ok(ended.len())
}

/// Gives reservations back.
pub(crate) async fn release(
    connection: &mut Connection,
    intents: impl IntoIterator<Item = i64>,
) -> StoreResult<()> {
    const RELEASE: &str = concat!("DELETE FROM reservations WHERE intent_id", in_ids!("$1"));
    if sql::execute(connection, RELEASE, values![id_list(intents)]).await? > 0 {
        config::note_booking(connection).await?;
    }
    Ok(())
}

/// Open reservations by intent.
pub(crate) async fn reservations(
    connection: &mut Connection,
    owner: Option<OwnerId>,
) -> StoreResult<Vec<(IntentId, domain::Usd)>> {
    const ALL: &str = "SELECT intent_id, usd FROM reservations ORDER BY intent_id";
    const OWNED: &str = "SELECT intent_id, usd FROM reservations WHERE owner_id = $1 ORDER BY intent_id";
    let rows = match owner {
        None => sql::rows(connection, ALL, []).await?,
        Some(owner) => sql::rows(connection, OWNED, values![owner]).await?,
    };
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect()
}

/// Puts waiting intents off; how many.
pub(crate) async fn put_off(
    connection: &mut Connection,
    ids: &[IntentId],
    due: Timestamp,
) -> StoreResult<u64> {
    const PUT_OFF: &str = concat!("UPDATE work SET due = $2 WHERE +state = 0 AND intent_id", in_ids!("$1"));
    sql::execute(connection, PUT_OFF, values![id_list(ids.iter().map(|id| id.0)), due]).await
}

/// Who claims, until when.
pub(crate) struct Claim {
    /// Row of the holder's instance.
    pub(crate) holder: i64,
    /// The store's time.
    pub(crate) now: Timestamp,
    /// End of the lease.
    pub(crate) until: Timestamp,
}

/// Makes what an ended instance held due and free.
pub(crate) async fn leave(
    connection: &mut Connection,
    holder: &InstanceId,
    now: Timestamp,
) -> StoreResult<()> {
    const LEAVE: &str = "UPDATE work SET lease_until = 0, due = CASE WHEN due > $2 THEN $2 ELSE due END \
        WHERE state = 1 AND holder = (SELECT id FROM instances WHERE name = $1)";
    sql::execute(connection, LEAVE, values![holder.0.as_str(), now]).await?;
    Ok(())
}

/// Makes what is to be settled of these accounts due, where nobody holds it; how many.
pub(crate) async fn hurry(
    connection: &mut Connection,
    accounts: &[AccountId],
    now: Timestamp,
) -> StoreResult<u64> {
    const HURRY: &str = concat!(
        "UPDATE work SET due = $2 WHERE state = 1 AND lane IN (0, 1) AND due > $2 AND holder IS NULL ",
        "AND (SELECT i.account_id FROM intents i WHERE i.id = work.intent_id)",
        in_ids!("$1")
    );
    sql::execute(connection, HURRY, values![id_list(accounts.iter().map(|account| account.0)), now]).await
}

/// Whether work whose newest attempt is to be settled is due, leased or not.
pub(crate) async fn any_due(connection: &mut Connection, due: Timestamp) -> StoreResult<bool> {
    // The first of each lane by the index: for any one of both lanes a planner may read the table until it meets one.
    const ANY: &str = "SELECT 1 FROM (SELECT MIN(due) AS due FROM work WHERE state = 1 AND lane = 0 \
        UNION ALL SELECT MIN(due) FROM work WHERE state = 1 AND lane = 1) AS firsts WHERE due <= $1 LIMIT 1";
    Ok(sql::row(connection, ANY, values![due]).await?.is_some())
}

/// Claims work whose newest attempt is to be settled: the intents, by due time.
pub(crate) async fn claim(
    connection: &mut Connection,
    claim: &Claim,
    due: Timestamp,
    limit: usize,
) -> StoreResult<Vec<IntentId>> {
    const DUE: &str = concat!(
        "SELECT intent_id FROM work WHERE state = 1 AND lane IN (0, 1) AND due <= $1 ",
        "AND (lease_until <= $2 OR holder = $3) ORDER BY due, intent_id LIMIT $4",
        for_update!()
    );
    const TAKE: &str = concat!(
        "UPDATE work SET fence = fence + CASE WHEN holder = $2 THEN 0 ELSE 1 END, ",
        "holder = $2, lease_until = $3 WHERE intent_id",
        in_ids!("$1")
    );
    let values = [due.into(), claim.now.into(), Value::from(claim.holder), sql::limit(limit)];
    let rows = sql::rows(connection, DUE, values).await?;
    let ids: Vec<IntentId> = rows.iter().map(|row| Fields::of(row).get()).collect::<StoreResult<_>>()?;
    if !ids.is_empty() {
        let list = id_list(ids.iter().map(|id| id.0));
        sql::execute(connection, TAKE, values![list, claim.holder, claim.until]).await?;
    }
    Ok(ids)
}

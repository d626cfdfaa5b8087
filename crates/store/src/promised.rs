//! What exits may sell: what is held less what other exits may still take of it.

use std::collections::{HashMap, HashSet};

use domain::{
    Shares, Timestamp, TokenId,
    ids::{IntentId, RelationshipId},
};
use engine::{open_exits, ports::execution::OrderRecord, ports::store::StoreResult};

use crate::{
    column::Fields,
    dialect::{Connection, blob_list, id_list},
    error,
    ledger::{self, Holding},
    orders,
    sql::{self, values},
};

type Held = (RelationshipId, TokenId);

/// What each of these exits must leave.
pub(crate) async fn of(
    connection: &mut Connection,
    exits: &[(IntentId, Held)],
    now: Timestamp,
) -> StoreResult<HashMap<IntentId, Shares>> {
    // An exit has work until nothing more can come of it, but for fills that are not booked yet.
    const OPEN: &str = concat!(
        "SELECT i.id, i.relationship_id, i.token FROM intents i WHERE i.side = 1 AND i.relationship_id",
        in_ids!("$1"),
        " AND i.token",
        in_blobs!("$2"),
        " AND (EXISTS (SELECT 1 FROM work w WHERE w.intent_id = i.id) OR EXISTS (SELECT 1 ",
        "FROM signed_orders o JOIN order_status s ON s.attempt_id = o.id ",
        "WHERE o.intent_id = i.id AND s.unbooked = 1))"
    );
    if exits.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: HashSet<Held> = exits.iter().map(|(_, held)| *held).collect();
    let relationships = id_list(wanted.iter().map(|(relationship, _)| relationship.0));
    let tokens = blob_list(wanted.iter().map(|(_, token)| &token.0[..]));
    let mut open: Vec<IntentId> = Vec::new();
    for row in sql::rows(connection, OPEN, values![relationships, tokens]).await? {
        let mut fields = Fields::of(&row);
        let intent = fields.get()?;
        if wanted.contains(&(fields.get()?, fields.get()?)) {
            open.push(intent);
        }
    }
    let mut signed: HashMap<Held, Vec<OrderRecord>> = HashMap::new();
    for record in orders::of_intents(connection, &open).await? {
        signed.entry((record.intent.relationship, record.intent.token)).or_default().push(record);
    }
    let promised = |(intent, held): &(IntentId, Held)| {
        let orders = signed.get(held).map_or(&[][..], Vec::as_slice);
        Ok((*intent, open_exits::promised(*intent, orders, now).map_err(error::of_money)?))
    };
    exits.iter().map(promised).collect()
}

/// What each of these exits may sell at most.
pub(crate) async fn free(
    connection: &mut Connection,
    exits: &[(IntentId, Holding)],
    now: Timestamp,
) -> StoreResult<HashMap<IntentId, Shares>> {
    let key = |holding: &Holding| (holding.relationship, holding.token);
    let keys: Vec<(IntentId, Held)> = exits.iter().map(|(intent, holding)| (*intent, key(holding))).collect();
    let mut promised = of(connection, &keys, now).await?;
    if keys.is_empty() {
        return Ok(promised);
    }
    let held = ledger::stored_positions(connection, exits.iter().map(|(_, holding)| *holding)).await?;
    for (intent, key) in &keys {
        let held = held.get(key).map_or(Shares::ZERO, |position| position.shares);
        let left = promised.entry(*intent).or_default();
        *left = held.less(*left);
    }
    Ok(promised)
}

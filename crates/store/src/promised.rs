//! What exits may sell: what is held less what other exits may still take of it.

use std::collections::{HashMap, HashSet};

use domain::{
    Shares, Timestamp, TokenId,
    ids::{IntentId, RelationshipId},
    money::MoneyError,
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

/// The orders of exits that sell the same shares.
pub(crate) struct ExitOrders(HashMap<Held, Vec<OrderRecord>>);

impl ExitOrders {
    /// Those beside these exits, and their own.
    pub(crate) async fn read(connection: &mut Connection, exits: &[(IntentId, Held)]) -> StoreResult<Self> {
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
        let mut signed: HashMap<Held, Vec<OrderRecord>> = HashMap::new();
        if exits.is_empty() {
            return Ok(Self(signed));
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
        for record in orders::of_intents(connection, &open).await? {
            signed.entry((record.intent.relationship, record.intent.token)).or_default().push(record);
        }
        Ok(Self(signed))
    }

    fn beside(&self, held: Held) -> &[OrderRecord] {
        self.0.get(&held).map_or(&[], Vec::as_slice)
    }

    /// What an exit must leave.
    pub(crate) fn promised(&self, exit: IntentId, held: Held, now: Timestamp) -> StoreResult<Shares> {
        open_exits::promised(exit, self.beside(held), now).map_err(error::of_money)
    }

    /// Shares that the attempts of an exit with work have sold: the larger of what is booked and what evidence says,
    /// so that a fill whose booking is on its way is not sold again.
    pub(crate) fn sold(&self, exit: IntentId, held: Held) -> StoreResult<Shares> {
        let own = self.beside(held).iter().filter(|record| record.intent.id == exit);
        let mut sum = own.map(|record| {
            let booked = Shares::ZERO.minus(record.booked.shares)?;
            Ok(record.evidence.booked()?.quantity.shares.max(booked))
        });
        sum.try_fold(Shares::ZERO, |sum, sold: Result<Shares, MoneyError>| sum.plus(sold?))
            .map_err(error::of_money)
    }
}

/// What each of these exits may sell at most.
pub(crate) async fn free(
    connection: &mut Connection,
    exits: &[(IntentId, Holding)],
    now: Timestamp,
) -> StoreResult<HashMap<IntentId, Shares>> {
    let key = |holding: &Holding| (holding.relationship, holding.token);
    let keys: Vec<(IntentId, Held)> = exits.iter().map(|(intent, holding)| (*intent, key(holding))).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let orders = ExitOrders::read(connection, &keys).await?;
    let held = ledger::stored_positions(connection, exits.iter().map(|(_, holding)| *holding)).await?;
    let free = keys.into_iter().map(|(intent, key)| {
        let held = held.get(&key).map_or(Shares::ZERO, |position| position.shares);
        Ok((intent, held.less(orders.promised(intent, key, now)?)))
    });
    free.collect()
}

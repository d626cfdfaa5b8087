//! Orders at the venue that this installation did not place.

use std::collections::HashMap;

use domain::{
    OrderId, Timestamp,
    ids::{AccountId, OwnerId},
};
use engine::ports::store::{Event, EventKind, StoreResult};

use crate::{
    bulk::Insert,
    column::Fields,
    dialect::{Connection, id_list},
    events,
    sql::{self, values},
};

/// Notes each once, and tells the account's owner of those that are new; how many.
pub(crate) async fn note(
    connection: &mut Connection,
    orders: &[(AccountId, OrderId)],
    now: Timestamp,
) -> StoreResult<usize> {
    const OWNERS: &str = concat!("SELECT id, owner_id FROM accounts WHERE id", in_ids!("$1"));
    const NOTE: Insert = Insert {
        into: "foreign_orders (order_id, owner_id, account_id, seen_at)",
        then: "ON CONFLICT (order_id) DO NOTHING RETURNING owner_id, account_id, order_id",
    };
    let list = id_list(orders.iter().map(|(account, _)| account.0));
    let mut owners: HashMap<AccountId, OwnerId> = HashMap::new();
    for row in sql::rows(connection, OWNERS, values![list]).await? {
        let mut fields = Fields::of(&row);
        owners.insert(fields.get()?, fields.get()?);
    }
    let known = orders.iter().filter_map(|(account, order)| Some((owners.get(account)?, account, order)));
    let rows = known.map(|(owner, account, order)| values![*order, *owner, *account, now]).collect();
    let mut told = Vec::new();
    for row in NOTE.run(connection, rows).await? {
        let mut fields = Fields::of(&row);
        let owner = Some(fields.get()?);
        let kind = EventKind::ForeignOrder { account: fields.get()?, order: fields.get()? };
        told.push(Event { owner, at: now, kind });
    }
    events::write(connection, &told).await?;
    Ok(told.len())
}

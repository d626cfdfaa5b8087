//! What was read of the chain: headers, cursors, fills of leaders and of our orders, redemptions.
//!
//! Logs are kept for ever; whether one counts is its `canonical` flag, which follows its block.

use std::collections::{HashMap, HashSet};

use domain::{Hash, OrderId, ids::LeaderId, lifecycle::Filled, trade::GroupKey};
use engine::ports::{
    detection::{Source, StoredFill, StoredRedemption},
    store::{StoreError, StoreResult},
    venue::BlockHeader,
};

use crate::{
    accounts,
    bulk::Insert,
    column::{Coded, Fields},
    dialect::{BlobList, Connection, Row, blob_list, id_list},
    limits,
    sql::{self, values},
};

/// Source and leader as stored.
fn encode_source(source: Source) -> (i64, i64) {
    match source {
        Source::Chain => (0, 0),
        Source::Finalized => (1, 0),
        Source::History(leader) => (2, leader.0),
    }
}

/// Position of a source.
pub(crate) async fn cursor(connection: &mut Connection, source: Source) -> StoreResult<Option<i64>> {
    const CURSOR: &str = "SELECT position FROM cursors WHERE source = $1 AND leader_id = $2";
    let (source, leader) = encode_source(source);
    let row = sql::row(connection, CURSOR, values![source, leader]).await?;
    row.map(|row| Fields::of(&row).get()).transpose()
}

/// Moves sources.
pub(crate) async fn write_cursors(connection: &mut Connection, cursors: &[(Source, i64)]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "cursors (source, leader_id, position)",
        then: "ON CONFLICT (source, leader_id) DO UPDATE SET position = excluded.position",
    };
    let rows = cursors
        .iter()
        .map(|(source, position)| {
            let (source, leader) = encode_source(*source);
            values![source, leader, *position]
        })
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// The newest headers, ascending.
pub(crate) async fn headers(connection: &mut Connection, limit: usize) -> StoreResult<Vec<BlockHeader>> {
    const HEADERS: &str =
        "SELECT number, hash, parent, time FROM chain_headers ORDER BY number DESC LIMIT $1";
    let rows = sql::rows(connection, HEADERS, [sql::limit(limit)]).await?;
    rows.iter()
        .rev()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(BlockHeader {
                number: fields.get()?,
                hash: fields.get()?,
                parent: fields.get()?,
                time: fields.get()?,
            })
        })
        .collect()
}

/// Adds canonical headers and forgets old ones.
pub(crate) async fn write_headers(connection: &mut Connection, headers: &[BlockHeader]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "chain_headers (number, hash, parent, time)",
        then: "ON CONFLICT (number) DO UPDATE SET \
            hash = excluded.hash, parent = excluded.parent, time = excluded.time",
    };
    const FORGET: &str = "DELETE FROM chain_headers WHERE number <= $1";
    let Some(newest) = headers.last() else { return Ok(()) };
    let rows = headers
        .iter()
        .map(|header| values![header.number, header.hash, header.parent, header.time])
        .collect();
    INSERT.run(connection, rows).await?;
    let oldest = newest.number.saturating_sub(limits::HEADERS_KEPT);
    sql::execute(connection, FORGET, values![oldest]).await?;
    Ok(())
}

/// Takes blocks off the chain; the orders that lose fills.
pub(crate) async fn orphan(connection: &mut Connection, blocks: &[Hash]) -> StoreResult<HashSet<OrderId>> {
    const HEADERS: &str = concat!("DELETE FROM chain_headers WHERE hash", in_blobs!("$1"));
    const FACTORS: &str = concat!(
        "DELETE FROM exit_factors WHERE block IN (SELECT number FROM chain_headers WHERE hash",
        in_blobs!("$1"),
        ")"
    );
    const FILLS: &str = concat!(
        "UPDATE chain_fills SET canonical = 0 WHERE canonical = 1 AND block_hash",
        in_blobs!("$1"),
        " RETURNING order_id"
    );
    const REDEMPTIONS: &str =
        concat!("UPDATE redemptions SET canonical = 0 WHERE canonical = 1 AND block_hash", in_blobs!("$1"));
    if blocks.is_empty() {
        return Ok(HashSet::new());
    }
    let list = hash_list(blocks);
    sql::execute(connection, FACTORS, values![list.clone()]).await?;
    sql::execute(connection, HEADERS, values![list.clone()]).await?;
    sql::execute(connection, REDEMPTIONS, values![list.clone()]).await?;
    order_ids(&sql::rows(connection, FILLS, values![list]).await?)
}

/// Stores fills; the orders that gain some.
pub(crate) async fn write_fills(
    connection: &mut Connection,
    fills: &[StoredFill],
) -> StoreResult<HashSet<OrderId>> {
    const INSERT: Insert = Insert {
        into: "chain_fills (block_hash, log_index, block, tx, order_id, wallet, token, side, shares, usd, \
            fee, leader_id, canonical)",
        then: "ON CONFLICT (block_hash, log_index) DO UPDATE SET canonical = 1 \
            WHERE chain_fills.canonical = 0 RETURNING order_id",
    };
    let mut rows = Vec::with_capacity(fills.len());
    for fill in fills {
        let leader = leader_of(fill)?;
        rows.push(values![
            fill.block_hash,
            fill.log_index,
            fill.block,
            fill.tx,
            fill.order,
            fill.wallet,
            fill.token,
            Coded(fill.side),
            fill.shares,
            fill.usd,
            fill.fee,
            leader,
            true,
        ]);
    }
    order_ids(&INSERT.run(connection, rows).await?)
}

/// A fill's group is stored as its leader alone: the rest of the key is the fill's own.
fn leader_of(fill: &StoredFill) -> StoreResult<Option<LeaderId>> {
    let Some(key) = fill.group else { return Ok(None) };
    if key != of_fill(fill, key.leader) {
        let text = format!("log {} of block {} is not of group {key:?}", fill.log_index, fill.block_hash);
        return Err(StoreError::Conflict(text));
    }
    Ok(Some(key.leader))
}

fn order_ids(rows: &[Row]) -> StoreResult<HashSet<OrderId>> {
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

/// A query of canonical fills.
macro_rules! select_fills {
    ($filter:expr) => {
        concat!(
            "SELECT block_hash, log_index, block, tx, order_id, wallet, token, side, shares, usd, fee, leader_id ",
            "FROM chain_fills WHERE canonical = 1 AND ",
            $filter,
            " ORDER BY block, log_index, block_hash"
        )
    };
}

fn read_fill(row: &Row) -> StoreResult<StoredFill> {
    let mut fields = Fields::of(row);
    let mut fill = StoredFill {
        block_hash: fields.get()?,
        log_index: fields.get()?,
        block: fields.get()?,
        tx: fields.get()?,
        order: fields.get()?,
        wallet: fields.get()?,
        token: fields.get()?,
        side: fields.code()?,
        shares: fields.get()?,
        usd: fields.get()?,
        fee: fields.get()?,
        group: None,
    };
    let leader: Option<LeaderId> = fields.get()?;
    fill.group = leader.map(|leader| of_fill(&fill, leader));
    Ok(fill)
}

fn of_fill(fill: &StoredFill, leader: LeaderId) -> GroupKey {
    GroupKey { leader, tx: fill.tx, token: fill.token, action: fill.side.into() }
}

/// Canonical fills of a group.
pub(crate) async fn fills_of_group(
    connection: &mut Connection,
    key: GroupKey,
) -> StoreResult<Vec<StoredFill>> {
    const OF_GROUP: &str = select_fills!("tx = $1 AND leader_id = $2 AND token = $3 AND side = $4");
    let values = values![key.tx, key.leader, key.token, Coded(key.action)];
    sql::rows(connection, OF_GROUP, values).await?.iter().map(read_fill).collect()
}

/// What the chain filled of attempts: the sum, and the height of the last log.
pub(crate) async fn filled(
    connection: &mut Connection,
    attempts: &[i64],
) -> StoreResult<HashMap<i64, (Filled, i64)>> {
    const FILLED: &str = concat!(
        "SELECT o.id, CAST(SUM(f.shares) AS BIGINT), CAST(SUM(f.usd) AS BIGINT), ",
        "CAST(SUM(f.fee) AS BIGINT), MAX(f.block) ",
        "FROM signed_orders o JOIN chain_fills f ON f.order_id = o.order_id ",
        "WHERE f.canonical = 1 AND o.id",
        in_ids!("$1"),
        " GROUP BY o.id"
    );
    let rows = sql::rows(connection, FILLED, values![id_list(attempts.iter().copied())]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            let attempt = fields.get()?;
            let filled = Filled { quantity: fields.get()?, fee: fields.get()? };
            Ok((attempt, (filled, fields.get()?)))
        })
        .collect()
}

/// Stores redemptions.
pub(crate) async fn write_redemptions(
    connection: &mut Connection,
    redemptions: &[StoredRedemption],
) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "redemptions (block_hash, log_index, block, owner_id, account_id, condition, payout, canonical)",
        then: "ON CONFLICT (block_hash, log_index) DO UPDATE SET canonical = 1",
    };
    if redemptions.is_empty() {
        return Ok(());
    }
    let owners = accounts::owners_of(connection, redemptions.iter().map(|row| row.account)).await?;
    let mut rows = Vec::with_capacity(redemptions.len());
    for redemption in redemptions {
        let account = redemption.account;
        let owner = *owners.get(&account).ok_or(StoreError::NotFound { what: "account", id: account.0 })?;
        rows.push(values![
            redemption.block_hash,
            redemption.log_index,
            redemption.block,
            owner,
            account,
            redemption.condition,
            redemption.payout,
            true,
        ]);
    }
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Canonical redemptions up to a height that are not booked.
pub(crate) async fn unbooked_redemptions(
    connection: &mut Connection,
    finalized: i64,
    limit: usize,
) -> StoreResult<Vec<StoredRedemption>> {
    const UNBOOKED: &str = "SELECT block_hash, log_index, block, account_id, condition, payout \
        FROM redemptions WHERE booked_at IS NULL AND canonical = 1 AND block <= $1 \
        ORDER BY block, log_index, block_hash LIMIT $2";
    let rows = sql::rows(connection, UNBOOKED, [finalized.into(), sql::limit(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(StoredRedemption {
                block_hash: fields.get()?,
                log_index: fields.get()?,
                block: fields.get()?,
                account: fields.get()?,
                condition: fields.get()?,
                payout: fields.get()?,
            })
        })
        .collect()
}

fn hash_list(hashes: &[Hash]) -> BlobList {
    blob_list(hashes.iter().map(|hash| &hash.0[..]))
}

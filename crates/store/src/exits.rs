//! What followers hold of a leader's token, and how much of it the leader kept.

use std::collections::BTreeMap;

use domain::{
    Shares, TokenId,
    exits::{CopiedBuy, ExitFactor},
    ids::{LeaderId, RelationshipId},
    lifecycle::OrderState,
};
use engine::ports::{
    detection::{ExitBasis, ExitHolder},
    store::StoreResult,
};

use crate::{
    bulk::Insert,
    column::Fields,
    dialect::{Connection, IdList, id_list},
    error, ledger,
    sql::{self, Value, values},
};

/// Stores balance factors; the newest word stands.
pub(crate) async fn write_factors(
    connection: &mut Connection,
    factors: &[(LeaderId, TokenId, ExitFactor)],
) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "exit_factors (leader_id, token, block, shares_before, shares_after)",
        then: "ON CONFLICT (leader_id, token, block) DO UPDATE SET \
            shares_before = excluded.shares_before, shares_after = excluded.shares_after",
    };
    let rows = factors
        .iter()
        .map(|(leader, token, factor)| values![*leader, *token, factor.block, factor.before, factor.after])
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// One follower's side while it is put together.
#[derive(Default)]
struct Holder {
    held: Shares,
    buys: Vec<CopiedBuy>,
    open_exits: Shares,
    open_entries: bool,
    open: bool,
}

/// What followers of a leader (all, or these) hold of a token.
pub(crate) async fn basis(
    connection: &mut Connection,
    leader: LeaderId,
    token: TokenId,
    only: Option<&[RelationshipId]>,
) -> StoreResult<ExitBasis> {
    let mut holders: BTreeMap<_, Holder> = BTreeMap::new();
    let only = only.map(|only| id_list(only.iter().map(|relationship| relationship.0)));
    read_positions(connection, leader, token, only.clone(), &mut holders).await?;
    read_copies(connection, leader, token, only, &mut holders).await?;
    let holders = holders
        .into_iter()
        .filter(|(_, holder)| holder.open || holder.held != Shares::ZERO)
        .map(|(relationship, holder)| ExitHolder {
            relationship,
            held: holder.held,
            buys: holder.buys,
            open_exits: holder.open_exits,
            open_entries: holder.open_entries,
        })
        .collect();
    let factors = factors(connection, leader, token).await?;
    Ok(ExitBasis { holders, factors, ledger_through: ledger::newest(connection).await? })
}

type Holders = BTreeMap<RelationshipId, Holder>;

/// ` AND …` that keeps the relationships of `$3`, or all when it is NULL.
macro_rules! only {
    ($column:literal) => {
        concat!(" AND ($3 IS NULL OR ", $column, in_ids!("$3"), ")")
    };
}

async fn read_positions(
    connection: &mut Connection,
    leader: LeaderId,
    token: TokenId,
    only: Option<IdList>,
    holders: &mut Holders,
) -> StoreResult<()> {
    const POSITIONS: &str = concat!(
        "SELECT p.relationship_id, p.shares FROM relationships r ",
        "JOIN positions p ON p.relationship_id = r.id AND p.token = $2 WHERE r.leader_id = $1",
        only!("r.id")
    );
    for row in sql::rows(connection, POSITIONS, [leader.into(), token.into(), Value::Ids(only)]).await? {
        let mut fields = Fields::of(&row);
        let relationship = fields.get()?;
        holders.entry(relationship).or_default().held = fields.get()?;
    }
    Ok(())
}

/// Intents for the token, with what they filled and whether they are still worked on.
async fn read_copies(
    connection: &mut Connection,
    leader: LeaderId,
    token: TokenId,
    only: Option<IdList>,
    holders: &mut Holders,
) -> StoreResult<()> {
    const COPIES: &str = concat!(
        "SELECT i.relationship_id, i.side, COALESCE(i.through_block + 1, g.block), ",
        "CASE WHEN g.state = 2 AND g.given <= 0 THEN 1 ELSE 0 END, i.amount, ",
        "CAST(COALESCE((SELECT SUM(l.shares) FROM ledger l WHERE l.intent_id = i.id), 0) AS BIGINT), ",
        "CASE WHEN w.intent_id IS NULL THEN 0 ELSE 1 END, ",
        "CASE WHEN w.state = 1 THEN (SELECT s.state FROM signed_orders o ",
        "JOIN order_status s ON s.attempt_id = o.id WHERE o.intent_id = i.id ",
        "ORDER BY o.attempt DESC LIMIT 1) END ",
        "FROM trade_groups g JOIN intents i ON i.group_id = g.id ",
        "LEFT JOIN work w ON w.intent_id = i.id ",
        "WHERE g.token = $2 AND g.leader_id = $1 AND g.action IN (0, 1, 3)",
        only!("i.relationship_id"),
        " ORDER BY i.id"
    );
    for row in sql::rows(connection, COPIES, [leader.into(), token.into(), Value::Ids(only)]).await? {
        let mut fields = Fields::of(&row);
        let holder = holders.entry(fields.get()?).or_default();
        let side = fields.code::<domain::Side>()?;
        let block: Option<i64> = fields.get()?;
        let phantom: bool = fields.get()?;
        let amount: i64 = fields.get()?;
        let booked: Shares = fields.get()?;
        let open: bool = fields.get()?;
        // The state of its newest order; none while it waits to be signed.
        let state: Option<OrderState> = fields.maybe_code()?;
        holder.open |= open;
        holder.open_entries |= open && side == domain::Side::Buy && state.is_none_or(OrderState::is_open);
        match side {
            // A buy without a block is later than every factor.
            domain::Side::Buy if booked.is_positive() => {
                let block = block.unwrap_or(i64::MAX);
                holder.buys.push(CopiedBuy { block, filled: booked, phantom });
            }
            domain::Side::Sell if open => {
                // Sales are booked as negative shares.
                let left = Shares(amount).plus(booked).map_err(error::of_money)?.max(Shares::ZERO);
                holder.open_exits = holder.open_exits.plus(left).map_err(error::of_money)?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn factors(
    connection: &mut Connection,
    leader: LeaderId,
    token: TokenId,
) -> StoreResult<Vec<ExitFactor>> {
    const FACTORS: &str = "SELECT block, shares_before, shares_after FROM exit_factors \
        WHERE leader_id = $1 AND token = $2 ORDER BY block";
    let rows = sql::rows(connection, FACTORS, values![leader, token]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok(ExitFactor { block: fields.get()?, before: fields.get()?, after: fields.get()? })
        })
        .collect()
}

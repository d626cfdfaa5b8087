//! Markets as last learned.

use std::collections::HashMap;

use domain::{ConditionId, Market, TokenId};
use engine::ports::store::StoreResult;

use crate::{
    bulk::Insert,
    column::{Fields, json},
    dialect::{BlobList, Connection, blob_list},
    sql::{self, Value, values},
};

const INSERT: Insert = Insert {
    into: "markets (token, condition, market)",
    then: "ON CONFLICT (token) DO UPDATE SET condition = excluded.condition, market = excluded.market",
};

/// Inserts or replaces markets.
pub(crate) async fn write(connection: &mut Connection, markets: &[Market]) -> StoreResult<()> {
    let rows = markets
        .iter()
        .map(|market| Ok(values![market.token, market.condition, json(market)?]))
        .collect::<StoreResult<Vec<[Value; 3]>>>()?;
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Markets of these tokens, in their order.
pub(crate) async fn of_tokens(connection: &mut Connection, tokens: &[TokenId]) -> StoreResult<Vec<Market>> {
    const OF_TOKENS: &str = concat!("SELECT market FROM markets WHERE token", in_blobs!("$1"));
    let rows = sql::rows(connection, OF_TOKENS, values![list(tokens)]).await?;
    let known = rows
        .iter()
        .map(|row| Fields::of(row).json().map(|market: Market| (market.token, market)))
        .collect::<StoreResult<HashMap<TokenId, Market>>>()?;
    Ok(tokens.iter().filter_map(|token| known.get(token).cloned()).collect())
}

/// All markets.
pub(crate) async fn all(connection: &mut Connection) -> StoreResult<Vec<Market>> {
    let rows = sql::rows(connection, "SELECT market FROM markets ORDER BY token", []).await?;
    rows.iter().map(|row| Fields::of(row).json()).collect()
}

/// Conditions of these tokens, in their order.
pub(crate) async fn conditions_of(
    connection: &mut Connection,
    tokens: &[TokenId],
) -> StoreResult<Vec<(TokenId, ConditionId)>> {
    const CONDITIONS: &str = concat!("SELECT token, condition FROM markets WHERE token", in_blobs!("$1"));
    let rows = sql::rows(connection, CONDITIONS, values![list(tokens)]).await?;
    let known = rows
        .iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect::<StoreResult<HashMap<TokenId, ConditionId>>>()?;
    Ok(tokens.iter().filter_map(|token| known.get(token).map(|condition| (*token, *condition))).collect())
}

fn list(tokens: &[TokenId]) -> BlobList {
    blob_list(tokens.iter().map(|token| &token.0[..]))
}

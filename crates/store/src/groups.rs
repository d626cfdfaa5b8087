//! Trade groups: what a leader did in one transaction with one token in one way.

use std::collections::{HashMap, HashSet};

use domain::{
    Timestamp, TokenId,
    ids::LeaderId,
    trade::{GroupKey, Quantity, Sightings, TradeGroup},
};
use engine::ports::store::{StoreError, StoreResult};

use crate::{
    bulk::Insert,
    codes::Code,
    column::{Coded, Column, Fields},
    dialect::{BlobList, Connection, Row, blob_list, id_list},
    sql::{self, Value, values},
};

/// Columns of a [`GroupKey`].
macro_rules! key_columns {
    () => {
        "g.leader_id, g.tx, g.token, g.action"
    };
}
pub(crate) use key_columns;

impl Column for GroupKey {
    fn read(fields: &mut Fields<'_>) -> StoreResult<Self> {
        Ok(Self { leader: fields.get()?, tx: fields.get()?, token: fields.get()?, action: fields.code()? })
    }
}

/// A query of groups.
macro_rules! select_groups {
    ($rest:expr) => {
        concat!(
            "SELECT ",
            key_columns!(),
            ", g.chain_shares, g.chain_usd, g.history_shares, g.history_usd, g.live_shares, g.live_usd, ",
            "g.chain_seen_at, g.history_seen_at, g.live_seen_at, g.decided, g.inherited, g.given, g.parts, g.block, g.traded_at, g.first_seen_at, g.state, g.disputed FROM trade_groups g ",
            $rest
        )
    };
}

fn read(row: &Row) -> StoreResult<TradeGroup> {
    let mut fields = Fields::of(row);
    let key = fields.get()?;
    let chain = match (fields.get()?, fields.get()?) {
        (Some(shares), Some(usd)) => Some(Quantity { shares, usd }),
        (None, None) => None,
        _ => return Err(fields.corrupt("half a quantity")),
    };
    Ok(TradeGroup {
        key,
        chain,
        history: fields.get()?,
        live: fields.get()?,
        sightings: Sightings { chain: fields.get()?, history: fields.get()?, live: fields.get()? },
        decided: fields.get()?,
        inherited: fields.get()?,
        given: fields.get()?,
        parts: fields.number()?,
        block: fields.get()?,
        traded_at: fields.get()?,
        first_seen_at: fields.get()?,
        state: fields.code()?,
        disputed: fields.maybe_code()?,
    })
}

/// Inserts or replaces groups.
pub(crate) async fn write(connection: &mut Connection, groups: &[TradeGroup]) -> StoreResult<()> {
    const INSERT: Insert = Insert {
        into: "trade_groups (leader_id, tx, token, action, chain_shares, chain_usd, history_shares, \
            history_usd, live_shares, live_usd, chain_seen_at, history_seen_at, live_seen_at, decided, \
            inherited, given, parts, block, traded_at, first_seen_at, state, disputed)",
        then: "ON CONFLICT (tx, leader_id, token, action) DO UPDATE SET \
            chain_shares = excluded.chain_shares, chain_usd = excluded.chain_usd, \
            history_shares = excluded.history_shares, history_usd = excluded.history_usd, \
            live_shares = excluded.live_shares, live_usd = excluded.live_usd, \
            chain_seen_at = excluded.chain_seen_at, history_seen_at = excluded.history_seen_at, \
            live_seen_at = excluded.live_seen_at, \
            decided = excluded.decided, inherited = excluded.inherited, given = excluded.given, \
            parts = excluded.parts, block = excluded.block, traded_at = excluded.traded_at, \
            first_seen_at = excluded.first_seen_at, state = excluded.state, \
            disputed = excluded.disputed",
    };
    let rows = groups
        .iter()
        .map(|group| {
            let chain = group.chain;
            values![
                group.key.leader,
                group.key.tx,
                group.key.token,
                Coded(group.key.action),
                chain.map(|quantity| quantity.shares),
                chain.map(|quantity| quantity.usd),
                group.history.shares,
                group.history.usd,
                group.live.shares,
                group.live.usd,
                group.sightings.chain,
                group.sightings.history,
                group.sightings.live,
                group.decided,
                group.inherited,
                group.given,
                group.parts,
                group.block,
                group.traded_at,
                group.first_seen_at,
                Coded(group.state),
                group.disputed.map(Code::code),
            ]
        })
        .collect();
    INSERT.run(connection, rows).await?;
    Ok(())
}

/// Row numbers of groups; `Conflict` for one that is not stored.
pub(crate) async fn ids(
    connection: &mut Connection,
    keys: impl IntoIterator<Item = GroupKey>,
) -> StoreResult<HashMap<GroupKey, i64>> {
    const IDS: &str =
        concat!("SELECT g.id, ", key_columns!(), " FROM trade_groups g WHERE g.tx", in_blobs!("$1"));
    let keys: HashSet<GroupKey> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut ids = HashMap::with_capacity(keys.len());
    for row in sql::rows(connection, IDS, values![tx_list(&keys)]).await? {
        let mut fields = Fields::of(&row);
        let id: i64 = fields.get()?;
        ids.insert(fields.get()?, id);
    }
    match keys.iter().find(|key| !ids.contains_key(*key)) {
        Some(missing) => Err(StoreError::Conflict(format!("no group {missing:?} is stored"))),
        None => Ok(ids),
    }
}

/// Row number of a group.
pub(crate) async fn id(connection: &mut Connection, key: GroupKey) -> StoreResult<Option<i64>> {
    const ID: &str =
        "SELECT id FROM trade_groups WHERE tx = $1 AND leader_id = $2 AND token = $3 AND action = $4";
    let values = values![key.tx, key.leader, key.token, Coded(key.action)];
    sql::row(connection, ID, values).await?.map(|row| Fields::of(&row).get()).transpose()
}

/// The groups with these keys and those they may be confused with, since a moment.
pub(crate) async fn with_related(
    connection: &mut Connection,
    keys: &[GroupKey],
    since: Timestamp,
) -> StoreResult<Vec<TradeGroup>> {
    const BY_TX: &str = select_groups!(concat!("WHERE g.tx", in_blobs!("$1")));
    const RELATED: &str = select_groups!(concat!(
        "WHERE g.token",
        in_blobs!("$1"),
        " AND g.leader_id",
        in_ids!("$2"),
        " AND g.action IN (0, 1, 2, 3, 4, 5) AND g.first_seen_at >= $3"
    ));
    let wanted: HashSet<GroupKey> = keys.iter().copied().collect();
    let kinds: HashSet<_> = keys.iter().map(|key| (key.leader, key.token, key.action)).collect();
    let mut found: HashMap<GroupKey, TradeGroup> = HashMap::new();
    for row in sql::rows(connection, BY_TX, values![tx_list(&wanted)]).await? {
        let group = read(&row)?;
        if wanted.contains(&group.key) {
            found.insert(group.key, group);
        }
    }
    let tokens = blob_list(keys.iter().map(|key| &key.token.0[..]));
    let leaders = id_list(keys.iter().map(|key| key.leader.0));
    for row in sql::rows(connection, RELATED, values![tokens, leaders, since]).await? {
        let group = read(&row)?;
        if kinds.contains(&(group.key.leader, group.key.token, group.key.action)) {
            found.insert(group.key, group);
        }
    }
    let mut groups: Vec<TradeGroup> = found.into_values().collect();
    groups.sort_by_key(|group| (group.first_seen_at, group.key));
    Ok(groups)
}

/// The leader's newest sale or merge of a token.
pub(crate) async fn newest_sale(
    connection: &mut Connection,
    leader: LeaderId,
    token: TokenId,
) -> StoreResult<Option<TradeGroup>> {
    const NEWEST: &str = select_groups!(
        "WHERE g.token = $1 AND g.leader_id = $2 AND g.action IN (1, 3) AND g.parts > 0 AND g.state <> 2 \
         ORDER BY COALESCE(g.block, -1) DESC, g.first_seen_at DESC, g.tx DESC, g.action DESC LIMIT 1"
    );
    sql::row(connection, NEWEST, values![token, leader]).await?.map(|row| read(&row)).transpose()
}

/// Open groups that a height or the time should have settled.
pub(crate) async fn unsettled(
    connection: &mut Connection,
    block: i64,
    hinted_before: Timestamp,
    limit: usize,
) -> StoreResult<Vec<TradeGroup>> {
    const UNSETTLED: &str = select_groups!(
        "WHERE g.state = 0 AND (g.block <= $1 OR (g.chain_shares IS NULL AND g.traded_at <= $2)) \
         ORDER BY g.first_seen_at, g.leader_id, g.tx, g.token, g.action LIMIT $3"
    );
    let values = [Value::from(block), hinted_before.into(), sql::limit(limit)];
    sql::rows(connection, UNSETTLED, values).await?.iter().map(read).collect()
}

/// Groups the chain said something of, from a block on.
pub(crate) async fn from_block(connection: &mut Connection, block: i64) -> StoreResult<Vec<TradeGroup>> {
    const FROM: &str = select_groups!(
        "WHERE g.block >= $1 AND g.chain_shares IS NOT NULL \
         ORDER BY g.first_seen_at, g.leader_id, g.tx, g.token, g.action"
    );
    sql::rows(connection, FROM, values![block]).await?.iter().map(read).collect()
}

/// One group.
pub(crate) async fn one(connection: &mut Connection, key: GroupKey) -> StoreResult<Option<TradeGroup>> {
    const ONE: &str =
        select_groups!("WHERE g.tx = $1 AND g.leader_id = $2 AND g.token = $3 AND g.action = $4");
    let values = values![key.tx, key.leader, key.token, Coded(key.action)];
    sql::row(connection, ONE, values).await?.map(|row| read(&row)).transpose()
}

/// Groups by the beginning of their transaction's hash, newest first.
pub(crate) async fn by_prefix(
    connection: &mut Connection,
    prefix: &[u8],
    limit: usize,
) -> StoreResult<Vec<TradeGroup>> {
    const BY_PREFIX: &str = select_groups!(
        "WHERE g.tx >= $1 AND g.tx <= $2 ORDER BY g.first_seen_at DESC, \
         g.leader_id DESC, g.tx DESC, g.token DESC, g.action DESC LIMIT $3"
    );
    let values = [Value::from(prefix), above(prefix), sql::limit(limit)];
    sql::rows(connection, BY_PREFIX, values).await?.iter().map(read).collect()
}

/// Groups, newest first.
pub(crate) async fn newest(connection: &mut Connection, limit: usize) -> StoreResult<Vec<TradeGroup>> {
    const NEWEST: &str = select_groups!(
        "ORDER BY g.first_seen_at DESC, g.leader_id DESC, g.tx DESC, g.token DESC, g.action DESC LIMIT $1"
    );
    sql::rows(connection, NEWEST, [sql::limit(limit)]).await?.iter().map(read).collect()
}

/// A leader's groups, newest first.
pub(crate) async fn of_leader(
    connection: &mut Connection,
    leader: LeaderId,
    limit: usize,
) -> StoreResult<Vec<TradeGroup>> {
    const OF_LEADER: &str = select_groups!(
        "WHERE g.leader_id = $1 ORDER BY g.first_seen_at DESC, g.tx DESC, g.token DESC, g.action DESC LIMIT $2"
    );
    let values = [Value::from(leader), sql::limit(limit)];
    sql::rows(connection, OF_LEADER, values).await?.iter().map(read).collect()
}

/// A byte string above all of 32 bytes with this prefix.
pub(crate) fn above(prefix: &[u8]) -> Value {
    let mut bytes = prefix.to_vec();
    bytes.resize(prefix.len().max(33), 0xff);
    Value::Blob(Some(bytes))
}

fn tx_list(keys: &HashSet<GroupKey>) -> BlobList {
    blob_list(keys.iter().map(|key| &key.tx.0[..]))
}

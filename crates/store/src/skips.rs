//! Skips that are old: sums instead of decisions.

use domain::{
    Timestamp,
    ids::{LeaderId, OwnerId},
    trade::GroupKey,
};
use engine::ports::{
    reports::{SkipSum, SkipSumKey},
    store::{StoreError, StoreResult},
};

use crate::{
    column::Fields,
    dialect::{Connection, Row},
    groups,
    sql::{self, values},
};

/// Sums the skips among the next `limit` decisions from before a moment; how many decisions were looked at. The newest
/// decision of all stays where it is: its number must not be given again.
pub(crate) async fn sum(connection: &mut Connection, before: Timestamp, limit: usize) -> StoreResult<usize> {
    const THROUGH: &str = concat!("SELECT through FROM skips_summed WHERE id = 1", for_update!());
    const NEXT: &str = "SELECT id, decided_at FROM decisions WHERE id > $1 ORDER BY id LIMIT $2";
    const ADD: &str = "INSERT INTO skip_sums (relationship_id, day, reason, owner_id, skips) \
        SELECT relationship_id, decided_at / 86400000000, answer, owner_id, COUNT(*) FROM decisions \
        WHERE id > $1 AND id <= $2 AND answer > 0 \
        GROUP BY relationship_id, decided_at / 86400000000, answer, owner_id \
        ON CONFLICT (relationship_id, day, reason) DO UPDATE SET skips = skip_sums.skips + excluded.skips";
    const TELL_PARTS: &str = "UPDATE trade_parts SET summed = summed + old.skips FROM ( \
            SELECT group_id, part, COUNT(*) AS skips FROM decisions \
            WHERE id > $1 AND id <= $2 AND answer > 0 GROUP BY group_id, part \
        ) AS old WHERE trade_parts.group_id = old.group_id AND trade_parts.part = old.part";
    const REMOVE: &str = "DELETE FROM decisions WHERE id > $1 AND id <= $2 AND answer > 0";
    const MOVE: &str = "UPDATE skips_summed SET through = $1 WHERE id = 1";
    let row = sql::row(connection, THROUGH, []).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the position of summed skips is missing".to_owned()))?;
    let through: i64 = Fields::of(&row).get()?;
    let next = sql::rows(connection, NEXT, [through.into(), sql::limit(limit.saturating_add(1))]).await?;
    let next: Vec<(i64, Timestamp)> = next
        .iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect::<StoreResult<_>>()?;
    let all_but_newest = next.iter().take(next.len().saturating_sub(1));
    let old: Vec<i64> = all_but_newest.take_while(|(_, at)| *at < before).map(|(id, _)| *id).collect();
    if let Some(last) = old.last().copied() {
        for statement in [ADD, TELL_PARTS, REMOVE] {
            sql::execute(connection, statement, values![through, last]).await?;
        }
        sql::execute(connection, MOVE, values![last]).await?;
    }
    Ok(old.len())
}

fn read(row: &Row) -> StoreResult<SkipSum> {
    let mut fields = Fields::of(row);
    let key = SkipSumKey { relationship: fields.get()?, day: fields.get()?, reason: fields.get()? };
    Ok(SkipSum { key, owner: fields.get()?, skips: fields.get()? })
}

/// A query of sums after a key.
macro_rules! select_sums {
    ($filter:literal) => {
        concat!(
            "SELECT relationship_id, day, reason, owner_id, skips FROM skip_sums ",
            "WHERE (relationship_id, day, reason) > ($1, $2, $3) ",
            $filter,
            " ORDER BY relationship_id, day, reason LIMIT $4"
        )
    };
}

/// Sums after a key, ascending.
pub(crate) async fn after(
    connection: &mut Connection,
    owner: Option<OwnerId>,
    after: SkipSumKey,
    limit: usize,
) -> StoreResult<Vec<SkipSum>> {
    let [relationship, day, reason] = values![after.relationship, after.day, after.reason];
    let values = [relationship, day, reason, sql::limit(limit)];
    let rows = match owner {
        None => sql::rows(connection, select_sums!(""), values).await?,
        Some(owner) => {
            let values = values.into_iter().chain([owner.into()]);
            sql::rows(connection, select_sums!("AND owner_id = $5"), values).await?
        }
    };
    rows.iter().map(read).collect()
}

/// What parts of a group gave up to the sums.
pub(crate) async fn of_group(connection: &mut Connection, key: GroupKey) -> StoreResult<Vec<(u32, i64)>> {
    const OF_GROUP: &str =
        "SELECT part, summed FROM trade_parts WHERE group_id = $1 AND summed > 0 ORDER BY part";
    let Some(group) = groups::id(connection, key).await? else { return Ok(Vec::new()) };
    let rows = sql::rows(connection, OF_GROUP, values![group]).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.number()?, fields.get()?))
        })
        .collect()
}

/// What parts gave up to the sums, by leader.
pub(crate) async fn by_leader(connection: &mut Connection) -> StoreResult<Vec<(LeaderId, i64)>> {
    const BY_LEADER: &str = "SELECT g.leader_id, CAST(SUM(p.summed) AS BIGINT) FROM trade_parts p \
        JOIN trade_groups g ON g.id = p.group_id WHERE p.summed > 0 GROUP BY g.leader_id ORDER BY g.leader_id";
    let rows = sql::rows(connection, BY_LEADER, []).await?;
    rows.iter()
        .map(|row| {
            let mut fields = Fields::of(row);
            Ok((fields.get()?, fields.get()?))
        })
        .collect()
}

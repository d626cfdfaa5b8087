//! The lives of instances: whoever can hold work and send permits.

use std::collections::HashMap;

use domain::Timestamp;
use engine::ports::store::{InstanceId, StoreError, StoreResult};

use crate::{
    column::Fields,
    dialect::{Connection, id_list},
    installation,
    sql::{self, values},
};

/// The row of a running instance, made if it is new. One that was seen to end may not go on: others
/// already act on that.
pub(crate) async fn running(
    connection: &mut Connection,
    instance: &InstanceId,
    now: Timestamp,
) -> StoreResult<i64> {
    const BEGIN: &str = "INSERT INTO instances (name, began_at, schema_version) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
    const FIND: &str = "SELECT id, ended_at FROM instances WHERE name = $1";
    let mut row = sql::row(connection, FIND, values![instance.0.as_str()]).await?;
    if row.is_none() {
        sql::execute(connection, BEGIN, values![instance.0.as_str(), now, installation::SCHEMA_VERSION])
            .await?;
        row = sql::row(connection, FIND, values![instance.0.as_str()]).await?;
    }
    let row = row.ok_or_else(|| StoreError::Corrupt(format!("instance {instance} cannot be found")))?;
    let mut fields = Fields::of(&row);
    let (id, ended) = (fields.get()?, fields.get::<Option<Timestamp>>()?);
    match ended {
        None => Ok(id),
        Some(at) => Err(StoreError::Conflict(format!("instance {instance} ended at {at} and must stop"))),
    }
}

/// Records an end; the first word stands.
pub(crate) async fn end(
    connection: &mut Connection,
    instance: &InstanceId,
    how: &str,
    now: Timestamp,
) -> StoreResult<()> {
    const END: &str = "INSERT INTO instances (name, began_at, ended_at, how) VALUES ($1, $2, $2, $3) \
        ON CONFLICT (name) DO UPDATE SET ended_at = excluded.ended_at, how = excluded.how \
        WHERE instances.ended_at IS NULL";
    sql::execute(connection, END, values![instance.0.as_str(), now, how]).await?;
    Ok(())
}

/// Those of programs that know no schema as new as this one and are not known to have ended, by name.
pub(crate) async fn older_running(connection: &mut Connection, schema: i64) -> StoreResult<Vec<String>> {
    const OLDER: &str =
        "SELECT name FROM instances WHERE ended_at IS NULL AND schema_version < $1 ORDER BY name LIMIT 9";
    let rows = sql::rows(connection, OLDER, values![schema]).await?;
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

/// Instances that are not known to have ended, by name.
pub(crate) async fn all_running(connection: &mut Connection) -> StoreResult<Vec<InstanceId>> {
    const RUNNING: &str = "SELECT name FROM instances WHERE ended_at IS NULL ORDER BY name";
    let rows = sql::rows(connection, RUNNING, []).await?;
    rows.iter().map(|row| Fields::of(row).get().map(InstanceId)).collect()
}

/// Who may still be sending the bytes of an attempt, and when the last of those who no longer can ended.
pub(crate) type Senders = (Vec<InstanceId>, Option<Timestamp>);

/// The senders of these attempts whose permits are not returned.
pub(crate) async fn senders(
    connection: &mut Connection,
    attempts: &[i64],
) -> StoreResult<HashMap<i64, Senders>> {
    const OUT: &str = concat!(
        "SELECT p.attempt_id, i.name, i.ended_at FROM send_permits p ",
        "JOIN instances i ON i.id = p.instance_id WHERE p.returned_at IS NULL AND p.attempt_id",
        in_ids!("$1"),
        " ORDER BY p.attempt_id, i.name"
    );
    let mut senders: HashMap<i64, Senders> = HashMap::new();
    for row in sql::rows(connection, OUT, values![id_list(attempts.iter().copied())]).await? {
        let mut fields = Fields::of(&row);
        let (running, last_end) = senders.entry(fields.get()?).or_default();
        let name = InstanceId(fields.get()?);
        match fields.get::<Option<Timestamp>>()? {
            None => running.push(name),
            Some(ended) => *last_end = (*last_end).max(Some(ended)),
        }
    }
    Ok(senders)
}

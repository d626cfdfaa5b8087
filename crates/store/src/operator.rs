//! Whoever is connected as `ops_operator`: it reads views with the tables' names, and writes by a function that does what an
//! operator may do with jobs and nothing else (crates/store/postgres/operations.sql).

use domain::ids::IntentId;
use engine::ports::{detection::Lane, store::StoreResult};

use crate::{
    SqlStore,
    codes::Code as _,
    column::Fields,
    dialect::id_list,
    jobs::{JobAct, Jobs},
    sql::{self, Value, values},
};

/// Whether whoever is connected may write no row of jobs.
pub(crate) async fn may_write_no_jobs(store: &SqlStore) -> StoreResult<bool> {
    const MAY: &str = "SELECT CAST(has_table_privilege('work', 'UPDATE') AS INT)";
    if store.connections().is_none() {
        return Ok(false);
    }
    let row = sql::row(&mut store.read().await?, MAY, []).await?;
    let may = row.map_or(Ok(true), |row| Fields::of(&row).get())?;
    Ok(!may)
}

/// Has the database do it.
pub(crate) async fn act_on_jobs(
    store: &SqlStore,
    act: JobAct,
    jobs: &Jobs,
    (who, reason): (&str, &str),
) -> StoreResult<Vec<IntentId>> {
    const ACT: &str = "SELECT done FROM slipstream_operations.act_on_jobs($1, $2, $3, $4, $5) AS done";
    let (only, lane) = match jobs {
        Jobs::These(ids) => (Some(id_list(ids.iter().map(|id| id.0))), None),
        Jobs::All(lane) => (None, *lane),
    };
    let lanes = lane.map_or_else(|| Lane::ALL.to_vec(), |lane| vec![lane]);
    let lanes = id_list(lanes.into_iter().map(|lane| lane.code()));
    let values = values![act.code(), Value::Ids(only), lanes, who, reason];
    let rows = sql::rows(&mut store.read().await?, ACT, values).await?;
    rows.iter().map(|row| Fields::of(row).get()).collect()
}

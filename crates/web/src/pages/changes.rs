//! What buttons do.

use axum::{extract::State, response::Response};
use domain::ids::{HoldId, RelationshipId};
use engine::ports::following::RelationshipStatus;

use super::{Shown, done};
use crate::{
    Shared, Tenant,
    actions::Panic,
    problem::Problem,
    written::{Fields, Part},
};

pub(super) async fn set_status(
    State(web): State<Shared>,
    tenant: Tenant,
    Part((id, what)): Part<(i64, String)>,
) -> Shown {
    let status = match what.as_str() {
        "pause" => RelationshipStatus::Paused,
        "resume" => RelationshipStatus::Active,
        "stop" => RelationshipStatus::Stopped,
        _ => return Err(Problem::not_found("a relationship is paused, resumed or stopped").into()),
    };
    let words = web.actions.set_status(tenant, RelationshipId(id), status).await.map_err(Problem::from)?;
    Ok(done(&words))
}

pub(super) async fn panic(State(web): State<Shared>, tenant: Tenant, fields: Fields) -> Shown {
    let sales = fields.get("sales");
    if !matches!(sales, Some("keep" | "none" | "sell")) {
        return Err(Problem::of_field("sales", "say what becomes of sales").into());
    }
    let wanted = Panic { keep_exits: sales == Some("keep"), sell: sales == Some("sell"), account: None };
    Ok(done(&web.actions.panic(tenant, &wanted).await.map_err(Problem::from)?.words))
}

pub(super) async fn lift(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<i64>,
) -> Result<Response, super::Failed> {
    Ok(done(&web.actions.lift(tenant, HoldId(id)).await.map_err(Problem::from)?))
}

//! How a demo stands, and what can be broken in it.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{Shown, done, html};
use crate::{
    Shared, Tenant,
    actions::{Break, Demo},
    problem::Problem,
    written::Fields,
};

#[derive(Template)]
#[template(path = "demo.html")]
struct View {
    demo: Demo,
}

/// The strip on the first page; nothing where no demo runs.
pub(super) async fn strip(State(web): State<Shared>, _: Tenant) -> Response {
    match web.actions.demo() {
        Some(demo) => html(&View { demo }),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

pub(super) async fn break_something(State(web): State<Shared>, _: Tenant, fields: Fields) -> Shown {
    let what = match fields.get("what") {
        Some("worker") => Break::Worker,
        Some("venue") => Break::Venue,
        Some("chain") => Break::Chain,
        _ => return Err(Problem::of_field("what", "a worker, the venue or the chain can be broken").into()),
    };
    web.actions.break_something(what).map_err(Problem::from)?;
    Ok(done("Done; watch what becomes of it."))
}

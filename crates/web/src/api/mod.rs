//! `/api/v1`: what the pages tell and do, as JSON. The table of operations is what is served and what is described.

mod document;
mod operations;
mod reads;
mod stream;
mod writes;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};

pub use self::document::openapi;
use self::operations::OPERATIONS;
use crate::{Shared, Web, idempotency, limits::BODY, problem::Problem};

/// The routes of the API.
pub(crate) fn router(web: &Arc<Web>) -> Router<Shared> {
    let mut router =
        Router::new().route("/openapi.json", get(document::served)).route("/events", get(stream::events));
    for operation in OPERATIONS {
        router = router.route(operation.path, (operation.handler)());
    }
    router
        .fallback(|| async {
            Problem::not_found("there is no such address; GET /api/v1/openapi.json lists them")
        })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(middleware::from_fn_with_state(Arc::clone(web), idempotency::once))
        .layer(DefaultBodyLimit::max(BODY))
}

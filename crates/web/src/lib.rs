//! What people and programs see of an installation over HTTP: pages, a JSON API, and events as they happen.
//!
//! It reads through the engine's ports, each time for one [`Tenant`], and changes things through [`Actions`] alone, which the
//! binary carries out with the functions of its command line. It knows no database, no venue and no key.

mod access;
pub mod actions;
mod api;
mod assets;
mod etag;
mod events;
mod guard;
mod idempotency;
mod limits;
mod pace;
mod pages;
mod problem;
mod read;
mod show;
mod tenant;
mod written;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use ::access::Access;
use axum::{Router, middleware};
use domain::Clock;
use engine::ports::{store::Store, venue::MarketData};
use tokio::net::TcpListener;

pub use self::{actions::Actions, api::openapi, guard::Guard, tenant::Tenant};
use self::{events::Feed, idempotency::Replies, pace::Pacer, read::Values};

/// What the pages stand on.
pub struct Parts {
    /// The books.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whoever carries out what is asked for.
    pub actions: Arc<dyn Actions>,
    /// Today's books of the venue, to value what is held.
    pub markets: Option<Arc<dyn MarketData>>,
    /// What proves that a request comes from one of our pages.
    pub guard: Guard,
    /// Who people are and what they may do.
    pub access: Arc<Access>,
}

/// Everything that a request may need.
pub(crate) struct Web {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) actions: Arc<dyn Actions>,
    pub(crate) values: Values,
    pub(crate) guard: Guard,
    pub(crate) access: Arc<Access>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) replies: Replies,
    pub(crate) pacer: Pacer,
}

/// How handlers get it.
pub(crate) type Shared = Arc<Web>;

/// The routes.
pub fn router(parts: Parts) -> Router {
    let Parts { store, clock, actions, markets, guard, access } = parts;
    let web = Arc::new(Web {
        values: Values::new(markets, Arc::clone(&clock)),
        feed: Arc::new(Feed::new(Arc::clone(&store), Arc::clone(&clock))),
        replies: Replies::default(),
        pacer: Pacer::new(Arc::clone(&clock)),
        store,
        clock,
        actions,
        guard,
        access,
    });
    Router::new()
        .nest("/api/v1", api::router(&web))
        .merge(pages::router())
        .merge(access::router())
        .merge(assets::router())
        .fallback(pages::not_found)
        .layer(middleware::from_fn(etag::of_answers))
        .layer(middleware::from_fn_with_state(Arc::clone(&web), access::admitted))
        .layer(middleware::from_fn_with_state(Arc::clone(&web), pace::paced))
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard::guarded))
        .with_state(web)
}

/// Serves until it is aborted.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}

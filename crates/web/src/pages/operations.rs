//! What waits, who is heard of trades, and what is held.

use askama::Template;
use axum::{Extension, extract::State};

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant,
    actions::Work,
    guard::Token,
    read::{self, HoldLine},
};

#[derive(Template)]
#[template(path = "operations.html")]
struct View {
    page: Page,
    work: Work,
    holds: Vec<HoldLine>,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Operations", "/operations", &token);
    let holds = read::holds(&web, tenant).await.map_err(Failed::on(page()))?;
    let work = web.actions.work(tenant).await.map_err(|refused| Failed::on(page())(refused.into()))?;
    Ok(html(&View { page: page(), work, holds }))
}

//! The first page.

use askama::Template;
use axum::{Extension, extract::State};

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant,
    actions::Demo,
    guard::Token,
    read::{self, Home},
};

#[derive(Template)]
#[template(path = "home.html")]
struct View {
    page: Page,
    home: Home,
    demo: Option<Demo>,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Home", "/", &token);
    let home = read::home(&web, tenant).await.map_err(Failed::on(page()))?;
    Ok(html(&View { page: page(), home, demo: web.actions.demo() }))
}

//! Leaders: the list, the search, one of them.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect},
};
use domain::Address;
use serde::Deserialize;

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant, Web,
    guard::Token,
    read::{self, LeaderLine, LeaderPage},
    written::{Asked, Part},
};

#[derive(Template)]
#[template(path = "leaders.html")]
struct View {
    page: Page,
    lines: Vec<LeaderLine>,
    asked: String,
    wrong: Option<&'static str>,
}

async fn shown(web: &Web, tenant: Tenant, token: &Token, asked: String) -> Shown {
    let page = || Page::new("Leaders", "/leaders", token);
    let lines = read::leaders(web, tenant).await.map_err(Failed::on(page()))?;
    let wrong = (!asked.is_empty())
        .then_some("A wallet is 0x and 40 hex digits; the trader's profile page at Polymarket shows it.");
    Ok(html(&View { page: page(), lines, asked, wrong }))
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    shown(&web, tenant, &token, String::new()).await
}

/// What is looked for.
#[derive(Deserialize)]
pub(super) struct Find {
    #[serde(default)]
    wallet: String,
}

/// Goes to the wallet that was written, if it is one.
pub(super) async fn find(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Asked(find): Asked<Find>,
) -> Shown {
    match find.wallet.trim().parse::<Address>() {
        Ok(wallet) => Ok(Redirect::to(&format!("/leaders/{wallet}")).into_response()),
        Err(_) => shown(&web, tenant, &token, find.wallet).await,
    }
}

#[derive(Template)]
#[template(path = "leader.html")]
struct LeaderView {
    page: Page,
    one: LeaderPage,
}

pub(super) async fn one(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Part(wallet): Part<String>,
) -> Shown {
    let page = |wallet: &str| Page::new("Leader", &format!("/leaders/{wallet}"), &token);
    let one = read::leader(&web, tenant, &wallet).await.map_err(Failed::on(page("")))?;
    Ok(html(&LeaderView { page: page(&one.wallet.to_string()), one }))
}

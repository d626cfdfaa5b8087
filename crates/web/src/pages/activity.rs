//! Answers to leaders' trades, and one trade's story.

use askama::Template;
use axum::{Extension, extract::State};
use domain::ids::RelationshipId;
use serde::Deserialize;

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant,
    guard::Token,
    limits::PAGE,
    problem::Problem,
    read::{self, ActivityPage, TradePage},
    written::{Asked, Part},
};

/// Which answers are wanted.
#[derive(Deserialize)]
pub(super) struct Wanted {
    cursor: Option<String>,
    relationship: Option<RelationshipId>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct View {
    page: Page,
    list: ActivityPage,
    /// Whether it is the first page, which shows what happens.
    newest: bool,
    only: Option<RelationshipId>,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Asked(wanted): Asked<Wanted>,
) -> Shown {
    let path = wanted
        .relationship
        .map_or_else(|| "/activity".to_owned(), |only| format!("/activity?relationship={only}"));
    let page = || Page::new("Activity", &path, &token);
    let cursor = wanted.cursor.as_deref().map(str::parse::<i64>).transpose();
    let cursor =
        cursor.map_err(|_| Failed::on(page())(Problem::unreadable("this is no page of the list")))?;
    let list =
        read::activity(&web, tenant, cursor, PAGE, wanted.relationship).await.map_err(Failed::on(page()))?;
    Ok(html(&View { page: page(), list, newest: cursor.is_none(), only: wanted.relationship }))
}

#[derive(Template)]
#[template(path = "trade.html")]
struct TradeView {
    page: Page,
    trade: TradePage,
}

pub(super) async fn trade(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Part(tx): Part<String>,
) -> Shown {
    let page = |tx: &str| Page::new("A leader's trade", &format!("/trades/{tx}"), &token);
    let trade = read::trade(&web, tenant, &tx).await.map_err(Failed::on(page("")))?;
    Ok(html(&TradeView { page: page(&trade.tx.to_string()), trade }))
}

//! Accounts and whether they may trade.

use askama::Template;
use axum::{Extension, extract::State};

use super::{Failed, Page, Shown, done, html};
use crate::{
    Shared, Tenant,
    actions::PaperAccount,
    guard::Token,
    problem::Problem,
    read::{self, AccountLine},
    written::Fields,
};

#[derive(Template)]
#[template(path = "accounts.html")]
struct View {
    page: Page,
    lines: Vec<AccountLine>,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Accounts and keys", "/accounts", &token);
    let lines = read::accounts(&web, tenant).await.map_err(Failed::on(page()))?;
    Ok(html(&View { page: page(), lines }))
}

pub(super) async fn add(State(web): State<Shared>, tenant: Tenant, fields: Fields) -> Shown {
    let label = fields.get("label").ok_or_else(|| Problem::of_field("label", "An account has a name."))?;
    let cash = fields.get("cash").and_then(|cash| cash.parse().ok());
    let cash =
        cash.ok_or_else(|| Problem::of_field("cash", "What it begins with is dollars, for example 1000."))?;
    let wanted = PaperAccount { label: label.to_owned(), cash, cap: None };
    let id = web.actions.add_paper_account(tenant, &wanted).await.map_err(Problem::from)?;
    Ok(done(&format!("Account {id} `{label}` is there.")))
}

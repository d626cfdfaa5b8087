//! What is held and what it came to; the ledger as CSV.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::{
        HeaderValue,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant,
    guard::Token,
    limits::{EXPORTED, ROWS},
    problem::Problem,
    read::{self, Results},
};

#[derive(Template)]
#[template(path = "positions.html")]
struct View {
    page: Page,
    one: Results,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Positions", "/positions", &token);
    let one = read::results(&web, tenant).await.map_err(Failed::on(page()))?;
    Ok(html(&View { page: page(), one }))
}

/// Every change of cash and positions, oldest first, in dollars and shares.
pub(super) async fn ledger(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Ledger", "/positions", &token);
    let failed = |problem| Failed::on(page())(problem);
    let mut text = String::from("row,at,account,relationship,token,cause,shares,cash,cost,realised,fee\r\n");
    let (mut after, mut rows) = (0, 0);
    loop {
        let found = web
            .store
            .ledger_after(tenant.owner(), after, ROWS)
            .await
            .map_err(|error| failed(error.into()))?;
        let whole = found.len() == ROWS;
        rows += found.len();
        if rows > EXPORTED {
            return Err(failed(Problem::unavailable(format!(
                "more than {EXPORTED} rows; `slipstream export ledger` writes them all"
            ))));
        }
        for row in found {
            after = row.id;
            let relationship = row.relationship.map(|one| one.to_string()).unwrap_or_default();
            let token = row.token.map(|token| token.to_string()).unwrap_or_default();
            let (entry, cause) = (row.entry, format!("{:?}", row.cause).to_lowercase());
            text.push_str(&format!(
                "{},{},{},{relationship},{token},{cause},{},{},{},{},{}\r\n",
                row.id, row.at, row.account, entry.shares, entry.cash, entry.cost, entry.realised, entry.fee
            ));
        }
        if !whole {
            return Ok(csv(text));
        }
    }
}

fn csv(text: String) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"slipstream-ledger.csv\""),
    );
    response
}

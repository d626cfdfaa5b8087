//! Who copies whom: the list, one of them, following and editing.

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{Address, ids::RelationshipId, policy::Policy};
use serde::Deserialize;

use super::{Failed, Page, Shown, follow_form::Form, go_to, html};
use crate::{
    Shared, Tenant, Web,
    actions::Follow,
    guard::Token,
    problem::Problem,
    read::{self, Previewed, RelationshipLine, RelationshipPage},
    written::{Asked, Fields, Part},
};

#[derive(Template)]
#[template(path = "following.html")]
struct View {
    page: Page,
    lines: Vec<RelationshipLine>,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Following", "/following", &token);
    let lines = read::relationships(&web, tenant).await.map_err(Failed::on(page()))?;
    Ok(html(&View { page: page(), lines }))
}

#[derive(Template)]
#[template(path = "relationship.html")]
struct OneView {
    page: Page,
    one: RelationshipPage,
}

pub(super) async fn one(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Part(id): Part<i64>,
) -> Shown {
    let page = || Page::new("Relationship", &format!("/following/{id}"), &token);
    let one = read::relationship(&web, tenant, RelationshipId(id)).await.map_err(Failed::on(page()))?;
    Ok(html(&OneView { page: page(), one }))
}

#[derive(Template)]
#[template(path = "follow.html")]
struct FormPage {
    page: Page,
    form: Form,
}

#[derive(Template)]
#[template(path = "form.html")]
struct FormView {
    form: Form,
}

/// Whom to follow, where a link says it.
#[derive(Deserialize)]
pub(super) struct Suggested {
    #[serde(default)]
    leader: String,
}

pub(super) async fn new(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Asked(suggested): Asked<Suggested>,
) -> Shown {
    let page = || Page::new("Follow a leader", "/following/new", &token);
    let careful = web.actions.policy(None, &[]).map_err(|refused| Failed::on(page())(refused.into()))?;
    let accounts = accounts(&web, tenant).await.map_err(Failed::on(page()))?;
    let form = Form::of(&careful).of_new(&suggested.leader, accounts);
    Ok(html(&FormPage { page: page(), form }))
}

/// Numbers and names of the accounts that can copy.
async fn accounts(web: &Web, tenant: Tenant) -> Result<Vec<(String, String)>, Problem> {
    let all = web.store.accounts(tenant.owner()).await?;
    let there = all.into_iter().filter(|account| !account.removed);
    Ok(there
        .map(|account| (account.trading.id.to_string(), story::wording::harmless(&account.label)))
        .collect())
}

pub(super) async fn follow(State(web): State<Shared>, tenant: Tenant, fields: Fields) -> Shown {
    let accounts = accounts(&web, tenant).await?;
    let form = Form::submitted(&fields, "/following").with_accounts(accounts);
    match try_follow(&web, tenant, &fields, &form).await {
        Ok(id) => Ok(go_to(&format!("/following/{id}"))),
        Err(problem) => Ok(refused(form, &problem)),
    }
}

async fn try_follow(
    web: &Web,
    tenant: Tenant,
    fields: &Fields,
    form: &Form,
) -> Result<RelationshipId, Problem> {
    let leader = leader_of(fields)?;
    let account = fields.get("account").map(str::to_owned);
    let wanted = Follow { leader, account, policy: form.changes(None)? };
    Ok(web.actions.follow(tenant, &wanted).await?.relationship)
}

fn leader_of(fields: &Fields) -> Result<Address, Problem> {
    let leader = fields
        .get("leader")
        .ok_or_else(|| Problem::of_field("leader", "Whom to copy is missing: paste the wallet."))?;
    leader.parse().map_err(|_| Problem::of_field("leader", "A wallet is 0x and 40 hex digits."))
}

/// The form once more, with what is wrong beside its fields.
fn refused(form: Form, problem: &Problem) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, html(&FormView { form: form.with(problem) })).into_response()
}

pub(super) async fn edit_form(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Part(id): Part<i64>,
) -> Shown {
    let page = || Page::new("Edit how it copies", &format!("/following/{id}/edit"), &token);
    let one = read::relationship(&web, tenant, RelationshipId(id)).await.map_err(Failed::on(page()))?;
    let form = Form::of(&one.policy).of_existing(id, one.line.leader);
    Ok(html(&FormPage { page: page(), form }))
}

pub(super) async fn edit(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<i64>,
    fields: Fields,
) -> Shown {
    let form = Form::submitted(&fields, &format!("/following/{id}/edit"));
    let changed = async {
        let before = policy_of(&web, tenant, id).await?;
        let changes = form.changes(Some(&before))?;
        Ok::<_, Problem>(web.actions.edit(tenant, RelationshipId(id), &changes).await?)
    };
    match changed.await {
        Ok(_) => Ok(go_to(&format!("/following/{id}"))),
        Err(problem) => Ok(refused(form, &problem)),
    }
}

async fn policy_of(web: &Web, tenant: Tenant, id: i64) -> Result<Policy, Problem> {
    let all = web.store.relationships(tenant.owner()).await?;
    let found = all.into_iter().find(|one| one.id == RelationshipId(id));
    found
        .map(|found| found.policy)
        .ok_or_else(|| Problem::not_found(format!("there is no relationship {id}")))
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewView {
    previewed: Previewed,
    wrong: Option<String>,
}

fn previewed(result: Result<Previewed, Problem>) -> Response {
    let nothing = Previewed { lines: Vec::new(), copied: 0, usd: domain::Usd::ZERO, buys: 0 };
    match result {
        Ok(previewed) => html(&PreviewView { previewed, wrong: None }),
        Err(problem) => html(&PreviewView { previewed: nothing, wrong: Some(problem.detail) }),
    }
}

pub(super) async fn preview(State(web): State<Shared>, tenant: Tenant, fields: Fields) -> Response {
    let form = Form::submitted(&fields, "");
    let tried = async {
        let leader = leader_of(&fields)?;
        let policy = web.actions.policy(None, &form.changes(None)?)?;
        read::preview(&web, tenant, leader, fields.get("account"), &policy).await
    };
    previewed(tried.await)
}

pub(super) async fn preview_edit(
    State(web): State<Shared>,
    tenant: Tenant,
    Part(id): Part<i64>,
    fields: Fields,
) -> Response {
    let form = Form::submitted(&fields, "");
    let tried = async {
        let one = read::relationship(&web, tenant, RelationshipId(id)).await?;
        let leader = one.line.leader.ok_or_else(|| Problem::not_found("its leader is not known"))?;
        let policy = web.actions.policy(Some(&one.policy), &form.changes(Some(&one.policy))?)?;
        read::preview(&web, tenant, leader, Some(&one.story.account.to_string()), &policy).await
    };
    previewed(tried.await)
}

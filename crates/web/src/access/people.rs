//! Users, for administrators.

use access::{AuditEntry, Role, User, UserId};
use askama::Template;
use axum::{Extension, extract::State, response::Response};

use super::{Signed, Whence, proofs::link_once};
use crate::{
    Shared,
    guard::Token,
    pages::{Failed, Page, Shown, go_to, html},
    problem::Problem,
    written::{Fields, Part},
};

/// Lines of the log on the page, and users.
const LINES: usize = 50;
const MOST: usize = 500;

#[derive(Template)]
#[template(path = "users.html")]
struct View {
    page: Page,
    users: Vec<User>,
    log: Vec<AuditEntry>,
    own: UserId,
}

impl View {
    fn is_own(&self, user: &User) -> bool {
        self.own == user.id
    }

    fn has(role: &Role, user: &User) -> bool {
        *role == user.role
    }

    fn name(&self, id: &Option<UserId>) -> String {
        let named = |id: UserId| self.users.iter().find(|user| user.id == id).map(|user| user.name.clone());
        id.map_or_else(|| "–".to_owned(), |id| named(id).unwrap_or_else(|| format!("user {id}")))
    }
}

pub(super) async fn page(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Users", "/users", &token);
    let failed = |error: access::AccessError| Failed::on(page())(error.into());
    let users = web.access.users(&caller, UserId(0), MOST).await.map_err(failed)?;
    let log = web.access.audit_log(&caller, true, None, LINES).await.map_err(failed)?;
    Ok(html(&View { page: page(), users, log, own: caller.user() }))
}

fn role(fields: &Fields) -> Result<Role, Problem> {
    let role = fields.get("role").unwrap_or_default().parse();
    role.map_err(|words: String| Problem::of_field("role", words))
}

pub(super) async fn invite(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Result<Response, Problem> {
    let role = role(&fields)?;
    let link = web.access.invite(&caller, role, &peer).await?;
    let link = format!("{}/sign-up/{}", web.access.settings().origin, link.reveal());
    Ok(link_once(&link, &format!("makes one {role}; it works once")))
}

pub(super) async fn set_role(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(user): Part<i64>,
    fields: Fields,
) -> Result<Response, Problem> {
    let role = role(&fields)?;
    web.access.set_role(&caller, UserId(user), role, &peer).await?;
    Ok(go_to("/users"))
}

pub(super) async fn disable(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(user): Part<i64>,
) -> Result<Response, Problem> {
    web.access.disable(&caller, UserId(user), &peer).await?;
    Ok(go_to("/users"))
}

pub(super) async fn enable(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(user): Part<i64>,
) -> Result<Response, Problem> {
    web.access.enable(&caller, UserId(user), &peer).await?;
    Ok(go_to("/users"))
}

pub(super) async fn reset(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(user): Part<i64>,
) -> Result<Response, Problem> {
    let link = web.access.reset_link(&caller, UserId(user), &peer).await?;
    let link = format!("{}/reset/{}", web.access.settings().origin, link.reveal());
    Ok(link_once(&link, "sets another password; it works once, for an hour"))
}

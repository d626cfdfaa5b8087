//! What somebody sees of his own ways in: sessions, tokens, what was done in his name, and all that is kept of him.

use std::time::Duration;

use access::{
    ApiToken, AuditEntry, Caller, Means, Passkey, Scope, Scopes, Session, SessionId, TokenId, TokenWish, User,
};
use askama::Template;
use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::Timestamp;

use super::{Signed, Whence, entry, proofs, set_cookie};
use crate::{
    Shared,
    guard::Token,
    pages::{Failed, Page, Shown, done, go_to, html},
    problem::Problem,
    written::{Fields, Part},
};

/// Lines of the log on the page.
const LINES: usize = 20;

#[derive(Template)]
#[template(path = "security.html")]
struct View {
    page: Page,
    user: User,
    is_proven: bool,
    single: bool,
    codes: usize,
    passkeys: Vec<Passkey>,
    sessions: Vec<Session>,
    own: Option<SessionId>,
    tokens: Vec<ApiToken>,
    scopes: Vec<Scope>,
    log: Vec<AuditEntry>,
}

impl View {
    /// An address, for people.
    fn from(address: &Option<std::net::IpAddr>) -> String {
        address.map_or_else(|| "this machine".to_owned(), |address| address.to_string())
    }

    /// What a token may do, and until when.
    fn rights(token: &ApiToken) -> String {
        token.scopes.list().map(Scope::name).collect::<Vec<_>>().join(", ")
    }

    fn is_own(&self, session: &Session) -> bool {
        self.own == Some(session.id)
    }
}

pub(super) async fn page(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Extension(token): Extension<Token>,
) -> Shown {
    let page = || Page::new("Security", "/security", &token);
    view(&web, &caller, page()).await.map(|view| html(&view)).map_err(Failed::on(page()))
}

async fn view(web: &Shared, caller: &Caller, page: Page) -> Result<View, Problem> {
    let access = &web.access;
    let (user, codes) = access.profile(caller).await?;
    let own = match caller.means() {
        Means::Session(session) => Some(session),
        Means::Token(_) | Means::Console | Means::Here => None,
    };
    Ok(View {
        page,
        user,
        is_proven: caller.needs_proof(access.now()).is_ok(),
        single: caller.is_single_user(),
        codes,
        passkeys: access.passkeys(caller).await?,
        sessions: access.sessions(caller).await?,
        own,
        tokens: access.tokens(caller).await?,
        scopes: caller.role().scopes().list().collect(),
        log: access.audit_log(caller, false, None, LINES).await?,
    })
}

pub(super) async fn sign_out(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Result<Response, Problem> {
    web.access.sign_out(&caller, &peer).await?;
    let mut response = go_to("/sign-in");
    set_cookie(response.headers_mut(), &entry::cookie(&web, None));
    Ok(response)
}

pub(super) async fn end_session(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(session): Part<i64>,
) -> Result<Response, Problem> {
    web.access.end_session(&caller, SessionId(session), &peer).await?;
    Ok(done("That session has ended."))
}

pub(super) async fn end_others(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Result<Response, Problem> {
    let ended = web.access.end_other_sessions(&caller, &peer).await?;
    Ok(done(&format!("Other sessions that have ended: {ended}.")))
}

pub(super) async fn make_token(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Result<Response, Problem> {
    let wish = wish(&fields, web.access.now())?;
    let (secret, _) = web.access.make_token(&caller, wish, &peer).await?;
    Ok(proofs::token_once(secret.reveal()))
}

/// A token, as a form asks for it.
fn wish(fields: &Fields, now: Timestamp) -> Result<TokenWish, Problem> {
    let chosen = fields.0.iter().filter(|(name, _)| name == "scope").map(|(_, value)| value.parse());
    let scopes: Vec<Scope> =
        chosen.collect::<Result<_, String>>().map_err(|words| Problem::of_field("scope", words))?;
    let listed = fields.get("addresses").unwrap_or_default();
    let addresses = listed.split([',', ' ']).filter(|text| !text.is_empty()).map(str::parse);
    let addresses = addresses.collect::<Result<_, _>>();
    let addresses = addresses.map_err(|_| {
        Problem::of_field("addresses", "addresses are like 192.0.2.7, with commas between them")
    })?;
    let days = fields.get("days").map(str::parse::<u32>).transpose();
    let days = days.map_err(|_| {
        Problem::of_field("days", "days are a whole number, or nothing for a token that does not end")
    })?;
    Ok(TokenWish {
        name: fields.get("name").unwrap_or_default().to_owned(),
        scopes: Scopes::of(&scopes),
        addresses,
        expires_at: days.map(|days| now.plus(Duration::from_hours(24 * u64::from(days)))),
    })
}

pub(super) async fn revoke_token(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(token): Part<i64>,
) -> Result<Response, Problem> {
    web.access.revoke_token(&caller, TokenId(token), &peer).await?;
    Ok(done("This token lets nobody in any more."))
}

pub(super) async fn export(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Result<Response, Problem> {
    Ok(Json(web.access.export(&caller, &peer).await?).into_response())
}

pub(super) async fn erase(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Result<Response, Problem> {
    if fields.get("name") != Some(caller.name()) {
        return Err(Problem::of_field(
            "name",
            "type your name as it is shown, so that nobody does this by mistake",
        ));
    }
    web.access.erase(&caller, caller.user(), &peer).await?;
    let mut response = go_to("/sign-in");
    set_cookie(response.headers_mut(), &entry::cookie(&web, None));
    Ok(response)
}

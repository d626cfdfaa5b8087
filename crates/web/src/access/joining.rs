//! Becoming a user: the administrator by the link of the start, others by an invitation; and another password by a link.

use access::{AccessError, Purpose, SignUp};
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{Door, What, Whence, enter};
use crate::{
    Shared,
    guard::Token,
    pages::go_to,
    problem::Problem,
    written::{Fields, Part},
};

fn door(title: &'static str, token: Token, what: What) -> Response {
    Door { title, token: token.0, what }.into_response()
}

/// The page of a link, or of one that works no more.
async fn page_of(
    web: &Shared,
    token: Token,
    (link, purpose): (String, Purpose),
    (title, what): (&'static str, fn(String) -> What),
) -> Result<Response, Problem> {
    match web.access.look_at_link(&link, purpose).await {
        Ok(_) => Ok(door(title, token, what(link))),
        Err(AccessError::BadTicket) => Ok(door("This link works no more", token, What::Gone)),
        Err(error) => Err(error.into()),
    }
}

/// Nobody is the administrator yet, and this is not the link.
pub(super) async fn wait(Extension(token): Extension<Token>) -> Response {
    door("Set up Slipstream", token, What::Wait)
}

pub(super) async fn set_up_page(
    State(web): State<Shared>,
    Extension(token): Extension<Token>,
    Part(link): Part<String>,
) -> Result<Response, Problem> {
    let shown: (&str, fn(String) -> What) = ("Set up Slipstream", |link| What::SetUp { link });
    page_of(&web, token, (link, Purpose::SetUp), shown).await
}

pub(super) async fn set_up(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Part(link): Part<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let name = fields.get("name").unwrap_or_default();
    let session = web.access.set_up(&link, name, fields.raw("password"), &peer).await?;
    Ok(enter(&web, &session.cookie, "/"))
}

pub(super) async fn sign_up_page(
    State(web): State<Shared>,
    Extension(token): Extension<Token>,
    Part(link): Part<String>,
) -> Result<Response, Problem> {
    let shown: (&str, fn(String) -> What) = ("Sign up", |link| What::SignUp { link: format!("/{link}") });
    page_of(&web, token, (link, Purpose::Invitation), shown).await
}

pub(super) async fn sign_up(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Part(link): Part<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    join(&web, Some(&link), &peer, &fields).await
}

pub(super) async fn open_page(State(web): State<Shared>, Extension(token): Extension<Token>) -> Response {
    match web.access.settings().sign_up {
        SignUp::Open => door("Sign up", token, What::SignUp { link: String::new() }),
        SignUp::Invited => Problem::from(AccessError::ByInvitation).into_response(),
    }
}

pub(super) async fn open(
    State(web): State<Shared>,
    Whence(peer): Whence,
    fields: Fields,
) -> Result<Response, Problem> {
    join(&web, None, &peer, &fields).await
}

async fn join(
    web: &Shared,
    invitation: Option<&str>,
    peer: &access::Peer,
    fields: &Fields,
) -> Result<Response, Problem> {
    let name = fields.get("name").unwrap_or_default();
    let session = web.access.sign_up(invitation, name, fields.raw("password"), peer).await?;
    Ok(enter(web, &session.cookie, "/"))
}

pub(super) async fn reset_page(
    State(web): State<Shared>,
    Extension(token): Extension<Token>,
    Part(link): Part<String>,
) -> Result<Response, Problem> {
    let shown: (&str, fn(String) -> What) = ("Set another password", |link| What::Reset { link });
    page_of(&web, token, (link, Purpose::Reset), shown).await
}

pub(super) async fn reset(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Part(link): Part<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    web.access.reset(&link, fields.raw("password"), &peer).await?;
    Ok(go_to("/sign-in"))
}

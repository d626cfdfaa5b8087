//! Proving again who one is, and changing how one does.

use access::{PasskeyAnswer, PasskeyId};
use askama::Template;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Signed, Whence, entry, set_cookie, sign_in::SignedText};
use crate::{
    Shared,
    pages::{go_to, html},
    problem::Problem,
    written::{Body, Fields, Part},
};

type Done = Result<Response, Problem>;

/// The page that shows what is changed here; it is asked for anew afterwards.
const SECURITY: &str = "/security";

/// What was done, with the session's new secret.
fn renewed(web: &Shared, session: &access::NewSession, mut response: Response) -> Response {
    set_cookie(response.headers_mut(), &entry::cookie(web, Some(&session.cookie)));
    response
}

pub(super) async fn prove(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Done {
    let session = web.access.prove(&caller, fields.raw("password"), &peer).await?;
    Ok(renewed(&web, &session, go_to(SECURITY)))
}

pub(super) async fn prove_with_passkey(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Body(answer): Body<PasskeyAnswer>,
) -> Done {
    let session = web.access.prove_with_passkey(&caller, &answer, &peer).await?;
    Ok(renewed(&web, &session, Json(json!({ "done": true })).into_response()))
}

pub(super) async fn set_password(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Done {
    let old = fields.get("old").map(|_| fields.raw("old"));
    let session = web.access.set_password(&caller, old, fields.raw("password"), &peer).await?;
    Ok(renewed(&web, &session, go_to(SECURITY)))
}

/// A secret for an app, or codes for paper: shown once.
#[derive(Template)]
#[template(path = "once.html")]
enum Once<'a> {
    App { offer: &'a access::TotpOffer },
    Codes { codes: &'a [String] },
    Token { token: &'a str },
    Link { link: &'a str, words: &'a str },
}

pub(super) async fn offer_app(State(web): State<Shared>, Signed(caller): Signed) -> Done {
    let offer = web.access.offer_totp(&caller)?;
    Ok(html(&Once::App { offer: &offer }))
}

pub(super) async fn add_app(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    fields: Fields,
) -> Done {
    let (offer, code) = (fields.get("offer").unwrap_or_default(), fields.get("code").unwrap_or_default());
    let codes = web.access.add_totp(&caller, offer, code, &peer).await?;
    Ok(html(&Once::Codes { codes: &codes }))
}

pub(super) async fn remove_app(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Done {
    web.access.remove_totp(&caller, &peer).await?;
    Ok(go_to(SECURITY))
}

pub(super) async fn new_codes(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Done {
    let codes = web.access.new_recovery_codes(&caller, &peer).await?;
    Ok(html(&Once::Codes { codes: &codes }))
}

/// A token, shown once.
pub(super) fn token_once(token: &str) -> Response {
    html(&Once::Token { token })
}

/// A link, shown once.
pub(super) fn link_once(link: &str, words: &str) -> Response {
    html(&Once::Link { link, words })
}

pub(super) async fn new_passkey_options(
    State(web): State<Shared>,
    Signed(caller): Signed,
) -> Result<Json<Value>, Problem> {
    Ok(Json(web.access.new_passkey_options(&caller).await?))
}

/// A new passkey and its name.
#[derive(Deserialize)]
pub(super) struct NamedPasskey {
    name: String,
    answer: PasskeyAnswer,
}

pub(super) async fn add_passkey(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Body(body): Body<NamedPasskey>,
) -> Result<Json<Value>, Problem> {
    let id = web.access.add_passkey(&caller, &body.name, &body.answer, &peer).await?;
    Ok(Json(json!({ "passkey": id })))
}

pub(super) async fn remove_passkey(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Part(passkey): Part<i64>,
) -> Done {
    web.access.remove_passkey(&caller, PasskeyId(passkey), &peer).await?;
    Ok(go_to(SECURITY))
}

pub(super) async fn link_wallet(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
    Body(body): Body<SignedText>,
) -> Result<Json<Value>, Problem> {
    let wallet = web.access.link_wallet(&caller, &body.text, &body.signature, &peer).await?;
    Ok(Json(json!({ "wallet": wallet })))
}

pub(super) async fn unlink_wallet(
    State(web): State<Shared>,
    Signed(caller): Signed,
    Whence(peer): Whence,
) -> Done {
    web.access.unlink_wallet(&caller, &peer).await?;
    Ok(go_to(SECURITY))
}

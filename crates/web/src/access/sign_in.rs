//! Signing in: by a password and a code, a passkey, or a wallet.

use access::{PasskeyAnswer, SignUp, SignedIn};
use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, What, Whence, enter, entry, ours, set_cookie};
use crate::{
    Shared,
    guard::Token,
    problem::Problem,
    written::{Asked, Body, Fields},
};

/// Where to go afterwards.
#[derive(Deserialize)]
pub(super) struct To {
    #[serde(default)]
    to: String,
}

pub(super) async fn page(
    State(web): State<Shared>,
    Extension(token): Extension<Token>,
    Asked(asked): Asked<To>,
) -> Result<Response, Problem> {
    if web.access.standing().await? == access::Standing::NeedsSetUp {
        return Ok(Redirect::to("/set-up").into_response());
    }
    let open = web.access.settings().sign_up == SignUp::Open;
    let what = What::SignIn { to: ours(&asked.to), open };
    Ok(Door { title: "Sign in", token: token.0, what }.into_response())
}

/// Goes on after the first proof.
fn after(web: &Shared, signed: SignedIn, token: &Token, to: &str) -> Response {
    match signed {
        SignedIn::Done(session) => enter(web, &session.cookie, to),
        SignedIn::SecondFactor(ticket) => {
            let what = What::Code { sign_in: ticket.reveal().to_owned(), to: ours(to) };
            Door { title: "Enter the code", token: token.0.clone(), what }.into_response()
        }
    }
}

pub(super) async fn with_password(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Extension(token): Extension<Token>,
    fields: Fields,
) -> Result<Response, Problem> {
    let (name, password) = (fields.get("name").unwrap_or_default(), fields.raw("password"));
    let signed = web.access.sign_in(name, password, &peer).await?;
    Ok(after(&web, signed, &token, fields.get("to").unwrap_or_default()))
}

pub(super) async fn with_code(
    State(web): State<Shared>,
    Whence(peer): Whence,
    fields: Fields,
) -> Result<Response, Problem> {
    let (sign_in, code) = (fields.get("sign_in").unwrap_or_default(), fields.get("code").unwrap_or_default());
    let session = web.access.second_factor(sign_in, code, &peer).await?;
    Ok(enter(&web, &session.cookie, fields.get("to").unwrap_or_default()))
}

pub(super) async fn passkey_options(State(web): State<Shared>) -> Result<Json<Value>, Problem> {
    Ok(Json(web.access.passkey_options().await?))
}

pub(super) async fn with_passkey(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Body(answer): Body<PasskeyAnswer>,
) -> Result<Response, Problem> {
    let session = web.access.sign_in_with_passkey(&answer, &peer).await?;
    let mut response = Json(json!({ "done": true })).into_response();
    set_cookie(response.headers_mut(), &entry::cookie(&web, Some(&session.cookie)));
    Ok(response)
}

/// Which wallet will sign.
#[derive(Deserialize)]
pub(super) struct WalletBody {
    wallet: String,
}

pub(super) async fn wallet_text(
    State(web): State<Shared>,
    Body(body): Body<WalletBody>,
) -> Result<Json<Value>, Problem> {
    let wallet = body.wallet.to_lowercase().parse();
    let wallet = wallet.map_err(|_| Problem::of_field("wallet", "a wallet is 0x and 40 hex digits"))?;
    Ok(Json(json!({ "text": web.access.wallet_text(wallet).await? })))
}

/// What a wallet signed.
#[derive(Deserialize)]
pub(super) struct SignedText {
    pub(super) text: String,
    pub(super) signature: String,
}

pub(super) async fn with_wallet(
    State(web): State<Shared>,
    Whence(peer): Whence,
    Body(body): Body<SignedText>,
) -> Result<Response, Problem> {
    let signed = web.access.sign_in_with_wallet(&body.text, &body.signature, &peer).await?;
    Ok(match signed {
        SignedIn::Done(session) => {
            let mut response = Json(json!({ "done": true })).into_response();
            set_cookie(response.headers_mut(), &entry::cookie(&web, Some(&session.cookie)));
            response
        }
        SignedIn::SecondFactor(ticket) => {
            Json(json!({ "done": false, "sign_in": ticket.reveal() })).into_response()
        }
    })
}

//! Who asks: letting people and programs in, and what they see and change of their own ways in. The rules are those of
//! the room `access`; here are cookies, pages and forms.

mod entry;
mod joining;
mod people;
mod proofs;
mod security;
mod sign_in;

use access::{AccessError, Caller, Secret};
use askama::Template;
use axum::{
    Router,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};

pub(crate) use self::entry::{admitted, peer, token_of};
use crate::{Shared, Tenant, problem::Problem};

/// The caller of a request, for handlers that need more of him than whose rows he sees.
pub(crate) struct Signed(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.map(Self).ok_or_else(|| AccessError::NotSignedIn.into())
    }
}

/// Nobody comes so far without being let in; whoever did is refused here.
impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Caller>().map(Self::of).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// Where a request comes from.
pub(crate) struct Whence(pub(crate) access::Peer);

impl FromRequestParts<Shared> for Whence {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Self::Rejection> {
        Ok(Self(peer(web, &parts.headers, &parts.extensions)))
    }
}

/// A page for whoever is not in yet.
#[derive(Template)]
#[template(path = "door.html")]
pub(crate) struct Door {
    title: &'static str,
    token: String,
    what: What,
}

/// What such a page is for.
enum What {
    SignIn { to: String, open: bool },
    Code { sign_in: String, to: String },
    SetUp { link: String },
    SignUp { link: String },
    Reset { link: String },
    Wait,
    Gone,
}

/// Where to go after signing in: an address of ours, whatever was asked for.
fn ours(to: &str) -> String {
    let is_ours = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && !to.contains(char::is_control)
        && !to.starts_with("/sign-in");
    if is_ours { to.to_owned() } else { "/".to_owned() }
}

/// Goes on, with a session's cookie.
fn enter(web: &Shared, cookie: &Secret, to: &str) -> Response {
    let mut response = crate::pages::go_to(&ours(to));
    set_cookie(response.headers_mut(), &entry::cookie(web, Some(cookie)));
    response
}

fn set_cookie(headers: &mut HeaderMap, cookie: &str) {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        headers.append(SET_COOKIE, cookie);
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        match error {
            AccessError::NotSignedIn | AccessError::BadToken | AccessError::WrongCredentials => {
                Self::unauthorized(detail)
            }
            AccessError::TooMany(_) => Self::too_many(detail),
            AccessError::Forbidden(_) | AccessError::ByInvitation | AccessError::AccountsExist => {
                Self::forbidden(detail)
            }
            AccessError::StepUp | AccessError::NoPassphrase => Self::unproven(detail),
            AccessError::NotFound(_) => Self::not_found(detail),
            AccessError::NameTaken | AccessError::BadName => Self::of_field("name", detail),
            AccessError::BadPassword => Self::of_field("password", detail),
            AccessError::WrongCode => Self::of_field("code", detail),
            AccessError::BadTicket | AccessError::Invalid(_) => Self::invalid(detail),
            AccessError::Conflict(_) => Self::conflict(detail),
            AccessError::Store(error) => error.into(),
            AccessError::System(_) => {
                tracing::error!(error = %detail, "nobody can be let in: {detail}");
                Self::unavailable("this cannot be done now; the log says why")
            }
        }
    }
}

/// The routes.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::with_password))
        .route("/sign-in/code", post(sign_in::with_code))
        .route("/sign-in/passkey/options", post(sign_in::passkey_options))
        .route("/sign-in/passkey", post(sign_in::with_passkey))
        .route("/sign-in/wallet/text", post(sign_in::wallet_text))
        .route("/sign-in/wallet", post(sign_in::with_wallet))
        .route("/sign-out", post(security::sign_out))
        .route("/set-up", get(joining::wait))
        .route("/set-up/{link}", get(joining::set_up_page).post(joining::set_up))
        .route("/sign-up", get(joining::open_page).post(joining::open))
        .route("/sign-up/{link}", get(joining::sign_up_page).post(joining::sign_up))
        .route("/reset/{link}", get(joining::reset_page).post(joining::reset))
        .route("/security", get(security::page))
        .route("/security/prove", post(proofs::prove))
        .route("/security/prove/passkey", post(proofs::prove_with_passkey))
        .route("/security/password", post(proofs::set_password))
        .route("/security/app/offer", post(proofs::offer_app))
        .route("/security/app", post(proofs::add_app))
        .route("/security/app/remove", post(proofs::remove_app))
        .route("/security/codes", post(proofs::new_codes))
        .route("/security/passkeys/options", post(proofs::new_passkey_options))
        .route("/security/passkeys", post(proofs::add_passkey))
        .route("/security/passkeys/{passkey}/remove", post(proofs::remove_passkey))
        .route("/security/wallet", post(proofs::link_wallet))
        .route("/security/wallet/remove", post(proofs::unlink_wallet))
        .route("/security/sessions/{session}/end", post(security::end_session))
        .route("/security/sessions/end-others", post(security::end_others))
        .route("/security/tokens", post(security::make_token))
        .route("/security/tokens/{token}/revoke", post(security::revoke_token))
        .route("/security/data.json", get(security::export))
        .route("/security/erase", post(security::erase))
        .route("/users", get(people::page))
        .route("/users/invite", post(people::invite))
        .route("/users/{user}/role", post(people::set_role))
        .route("/users/{user}/disable", post(people::disable))
        .route("/users/{user}/enable", post(people::enable))
        .route("/users/{user}/reset", post(people::reset))
        .layer(axum::extract::DefaultBodyLimit::max(crate::limits::BODY))
}

impl IntoResponse for Door {
    fn into_response(self) -> Response {
        crate::pages::html(&self)
    }
}

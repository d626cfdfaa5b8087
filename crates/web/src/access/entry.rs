//! Who makes a request: a browser's session, a program's token, or the one user of a machine.

use std::net::SocketAddr;

use access::{AccessError, Caller, Peer, Scope, Secret, Standing};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{
        Extensions, HeaderMap, Method,
        header::{ACCEPT, AUTHORIZATION, COOKIE, USER_AGENT},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::ours;
use crate::{
    Shared,
    guard::{Token, Visitor},
    problem::Problem,
};

/// The cookie of a session where pages are reached by TLS: no other host can set it.
const SECURE: &str = "__Host-slipstream_session";
/// The same on this machine, where there is no TLS.
const PLAIN: &str = "slipstream_session";

/// What everybody may ask for.
const OPEN: [&str; 6] = ["/assets/", "/sign-in", "/set-up", "/sign-up", "/reset/", "/api/v1/openapi.json"];
/// What only those see who run the installation.
const OPERATIONS: [&str; 4] = ["/operations", "/api/v1/operations", "/api/v1/work", "/demo/break"];
/// What only those see who decide about users.
const USERS: [&str; 1] = ["/users"];
/// What changes nothing but how its own user signs in; the room `access` looks after it.
const OWN: [&str; 2] = ["/security", "/sign-out"];

fn begins(path: &str, with: &[&str]) -> bool {
    with.iter().any(|with| path.starts_with(with))
}

fn is_secure(web: &Shared) -> bool {
    web.access.settings().origin.starts_with("https://")
}

/// A session's cookie as it is set, or taken away.
pub(super) fn cookie(web: &Shared, session: Option<&Secret>) -> String {
    let (name, secure) = if is_secure(web) { (SECURE, "; Secure") } else { (PLAIN, "") };
    match session {
        Some(session) => format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}", session.reveal()),
        None => format!("{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}"),
    }
}

fn session_of<'h>(web: &Shared, headers: &'h HeaderMap) -> Option<&'h str> {
    let name = if is_secure(web) { SECURE } else { PLAIN };
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// A program's token, which no browser sends by itself.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request comes from. A proxy in front tells it in the last entry of X-Forwarded-For, if one is to be believed.
pub(crate) fn peer(web: &Shared, headers: &HeaderMap, extensions: &Extensions) -> Peer {
    let direct = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let told = || {
        let last = headers.get_all("x-forwarded-for").into_iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    let address = if web.access.settings().forwarded { told().or(direct) } else { direct };
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned();
    Peer { address, agent }
}

/// Lets through whoever may do what he asks for, and says to the handlers who he is.
pub(crate) async fn admitted(State(web): State<Shared>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let caller = match who(&web, request.headers(), request.extensions()).await {
        Ok(found) => found,
        Err(_) if begins(&path, &OPEN) => return next.run(request).await,
        Err(error) => return refused(&web, Asked::of(&request), error).await,
    };
    let needed = if begins(&path, &USERS) {
        Scope::Administer
    } else if begins(&path, &OPERATIONS) {
        Scope::Operate
    } else if matches!(*request.method(), Method::GET | Method::HEAD) || begins(&path, &OWN) {
        Scope::Read
    } else {
        Scope::Trade
    };
    if !begins(&path, &OPEN)
        && let Err(error) = caller.needs(needed)
    {
        return Problem::from(error).into_response();
    }
    if let Some(token) = request.extensions_mut().get_mut::<Token>() {
        token.1 = Visitor::of(&caller);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn who(web: &Shared, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, AccessError> {
    let access = &web.access;
    let peer = peer(web, headers, extensions);
    if let Some(token) = token_of(headers) {
        return access.caller_of_token(token, &peer).await;
    }
    let known = match session_of(web, headers) {
        Some(session) => access.caller_of_session(session).await,
        None => Err(AccessError::NotSignedIn),
    };
    match known {
        Err(AccessError::NotSignedIn) => access.here(&peer).await,
        known => known,
    }
}

/// What a refused request was for.
struct Asked {
    /// A page of its own.
    page: bool,
    /// A part of a page that is there.
    part: bool,
    /// Where.
    path: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        Self {
            page: *request.method() == Method::GET && accepts.contains("text/html"),
            part: headers.contains_key("hx-request"),
            path: request.uri().path_and_query().map_or("/", |asked| asked.as_str()).to_owned(),
        }
    }
}

/// Sends people to where they can sign in, and tells programs.
async fn refused(web: &Shared, asked: Asked, error: AccessError) -> Response {
    if error != AccessError::NotSignedIn || !(asked.page || asked.part) {
        return Problem::from(error).into_response();
    }
    let needs_set_up = matches!(web.access.standing().await, Ok(Standing::NeedsSetUp));
    let sign_in = || format!("/sign-in?to={}", escaped(&ours(&asked.path)));
    let to = if needs_set_up { "/set-up".to_owned() } else { sign_in() };
    if asked.part { crate::pages::go_to(&to) } else { Redirect::to(&to).into_response() }
}

/// A value of a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

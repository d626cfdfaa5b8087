//! What a browser may do with our pages, and which requests are taken: those to a name of ours, and writes that a page of
//! ours sent.

use access::{Caller, Scope};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY, SET_COOKIE,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Shared, problem::Problem};

/// The browser's mark, to which tokens belong.
const MARK: &str = "slipstream_mark";
/// Where a page's token comes back.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// What a browser says of where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Nothing but what this process serves, no scripts or styles inside pages, no page inside another.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// Names that are this machine's own.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Proves that a write comes from one of our pages: a token that only they are given.
#[derive(Clone)]
pub struct Guard {
    key: [u8; 32],
    fresh: fn() -> [u8; 16],
}

impl Guard {
    /// With a key that nobody else has, and a source of random marks.
    #[must_use]
    pub const fn new(key: [u8; 32], fresh: fn() -> [u8; 16]) -> Self {
        Self { key, fresh }
    }

    /// The token that belongs to a mark.
    fn token(&self, mark: &str) -> String {
        hex::encode(self.mac(mark).finalize().into_bytes())
    }

    fn is_token(&self, mark: &str, token: &str) -> bool {
        hex::decode(token).is_ok_and(|token| self.mac(mark).verify_slice(&token).is_ok())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, mark: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        mac.update(b"csrf:");
        mac.update(mark.as_bytes());
        mac
    }
}

/// The token for the pages that this request gets, and whom they are for.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String, pub(crate) Visitor);

/// Whom a page is for, as far as its frame goes by it.
#[derive(Clone, Default)]
pub(crate) struct Visitor {
    /// His name; none of the one user of a machine.
    pub(crate) name: Option<String>,
    /// Whether he runs the installation.
    pub(crate) operates: bool,
    /// Whether he decides about users.
    pub(crate) administers: bool,
}

impl Visitor {
    /// Of whoever makes the request.
    pub(crate) fn of(caller: &Caller) -> Self {
        let single_user = caller.is_single_user();
        Self {
            name: (!single_user).then(|| caller.name().to_owned()),
            operates: caller.may(Scope::Operate),
            administers: !single_user && caller.may(Scope::Administer),
        }
    }
}

/// Looks at a request before anybody else does, and puts on every answer what browsers must keep to.
pub(crate) async fn guarded(State(web): State<Shared>, mut request: Request, next: Next) -> Response {
    let refused = refuse(&web, &request);
    let known = mark_of(request.headers());
    let mark = known.clone().unwrap_or_else(|| hex::encode((web.guard.fresh)()));
    request.extensions_mut().insert(Token(web.guard.token(&mark), Visitor::default()));
    let mut response = match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if known.is_none() {
        let cookie = format!("{MARK}={mark}; Path=/; HttpOnly; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(SET_COOKIE, cookie);
        }
    }
    response
}

/// Why a request is not taken.
fn refuse(web: &Shared, request: &Request<Body>) -> Option<Problem> {
    let guard = &web.guard;
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, _) = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or((host, ""));
    if !OWN_NAMES.contains(&name) && web.access.settings().host() != Some(name) {
        return Some(Problem::misdirected(host));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let from_elsewhere = headers.get(ORIGIN).is_some_and(|origin| {
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).is_none_or(|(_, from)| from != host)
    });
    let cross_site =
        headers.get(FETCH_SITE).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    if from_elsewhere || cross_site {
        return Some(Problem::forbidden("this request was sent by a page of another site; nothing was done"));
    }
    // No browser sends a program's token by itself.
    if crate::access::token_of(headers).is_some() {
        return None;
    }
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
    let proven = mark_of(headers).zip(token).is_some_and(|(mark, token)| guard.is_token(&mark, token));
    (!proven).then(|| {
        Problem::forbidden(
            "this request does not carry the token of one of our pages, or that page is too old: load it again. Programs take \
             `csrf_token` and the cookie from GET /api/v1/session and send it as X-CSRF-Token",
        )
    })
}

fn mark_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mark = pairs.find(|(name, _)| *name == MARK)?.1;
    (mark.len() == 32 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| mark.to_owned())
}

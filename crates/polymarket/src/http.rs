//! One way to make a call: a deadline, a cap on the answer, no retry, no redirect.

use std::{sync::Arc, time::Duration};

use engine::ports::venue::VenueError;
use reqwest::{
    Client, ClientBuilder, RequestBuilder,
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect, retry,
};
use serde::de::DeserializeOwned;

use crate::limits::{CONNECT_DEADLINE, MAX_RETRY_AFTER, MAX_TEXT, POOL_IDLE};

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "no HTTP client can be made (if root certificates are missing, install the system's ca-certificates)"
)]
pub struct NoClient(#[source] reqwest::Error);

/// Builds the one HTTP client of the process: TLS with the system's roots, no redirects, no retries of
/// its own (an order must go out exactly as often as the engine says), no proxy from the environment.
///
/// # Errors
/// When TLS cannot be set up (no root certificates).
pub fn client() -> Result<Client, NoClient> {
    builder().build().map_err(NoClient)
}

/// The same client for services on this machine, which speak without TLS: it trusts nobody, and so works where no
/// root certificates are installed.
///
/// # Errors
/// When the client cannot be set up.
pub fn local_client() -> Result<Client, NoClient> {
    builder().tls_certs_only([]).build().map_err(NoClient)
}

fn builder() -> ClientBuilder {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race against another installer is fine: one provider is installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Client::builder()
        .user_agent(concat!("slipstream/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_DEADLINE)
        .pool_idle_timeout(POOL_IDLE)
        .tcp_keepalive(POOL_IDLE)
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// What the venue tells about its rate limit.
    pub(crate) limit: Limit,
    pub(crate) body: Vec<u8>,
}

/// The `Poly-RateLimit-*` headers, as they came. Source: docs.polymarket.com/api-reference/trading-rate-limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Tokens left in the signer's bucket; below zero after a cancellation of more than there were tokens for.
    pub(crate) remaining: Option<i32>,
    /// When the call may be made again, as told: Unix seconds, or seconds from now.
    pub(crate) reset: Option<u64>,
    /// The signer's tier.
    pub(crate) tier: Option<String>,
}

impl Limit {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        Self {
            remaining: text("poly-ratelimit-remaining").and_then(|text| text.parse().ok()),
            reset: text("poly-ratelimit-reset").and_then(|text| text.parse().ok()),
            tier: text("poly-ratelimit-tier").map(shorten),
        }
    }

    /// Whether the venue said anything.
    pub(crate) fn is_told(&self) -> bool {
        *self != Self::default()
    }
}

/// No complete answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No connection: not a byte of the request went out.
    NotSent(String),
    /// The deadline passed; the request may have arrived.
    Timeout(Duration),
    /// The connection broke; the request may have arrived.
    Broken(String),
    /// More bytes than allowed.
    TooLarge(usize),
}

/// Sends a request and reads the whole answer within `deadline`.
pub(crate) async fn send(request: RequestBuilder, deadline: Duration, cap: usize) -> Result<Answer, Failure> {
    let fail = |error: reqwest::Error| failure(error, deadline);
    let mut response = request.timeout(deadline).send().await.map_err(fail)?;
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let limit = Limit::of(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fail)? {
        if body.len().saturating_add(chunk.len()) > cap {
            return Err(Failure::TooLarge(cap));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, retry_after, limit, body })
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3), which counts from the answer's own, so that our
/// clock has no part in it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let told = text(RETRY_AFTER)?;
    if let Ok(number) = told.parse() {
        return Some(seconds(number));
    }
    let date = |text| httpdate::parse_http_date(text).ok();
    let (until, now) = (date(told)?, date(text(DATE)?)?);
    Some(until.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// A wait the venue asked for, within reason.
pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(MAX_RETRY_AFTER)
}

fn failure(error: reqwest::Error, deadline: Duration) -> Failure {
    // URLs are left out of every text: a provider's URL may carry its key.
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        return Failure::NotSent(chain(&error));
    }
    if error.is_timeout() {
        return Failure::Timeout(deadline);
    }
    Failure::Broken(chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Layers of a library say no more than the last of them.
        if cause_text.starts_with("dns error") {
            "its name cannot be resolved".clone_into(&mut text);
        } else if cause.source().is_none() || !text.starts_with("its name") {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    shorten(&text)
}

/// A foreign text, cut and without control characters.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NotSent(reason) => format!("not sent: {reason}"),
            Self::Timeout(after) => format!("no answer within {after:?}"),
            Self::Broken(reason) => reason.clone(),
            Self::TooLarge(cap) => format!("an answer of more than {cap} bytes"),
        }
    }

    pub(crate) fn into_error(self, what: &str) -> VenueError {
        let what = what.to_owned();
        match self {
            Self::Timeout(after) => VenueError::Timeout { what, after },
            Self::TooLarge(_) => VenueError::Malformed { what, reason: self.text() },
            Self::NotSent(_) | Self::Broken(_) => VenueError::Unavailable { what, reason: self.text() },
        }
    }
}

impl Answer {
    /// An answer without headers.
    #[cfg(test)]
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, retry_after: None, limit: Limit::default(), body: body.into() }
    }

    /// Whether the status is 2xx.
    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the status is a 4xx that is not about the rate of calls.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self.status, 400..=424 | 426..=428 | 430..=499)
    }

    /// The body as text, cut.
    pub(crate) fn text(&self) -> String {
        shorten(&String::from_utf8_lossy(&self.body))
    }

    /// What a status that is not 2xx means for a question (not for an order post).
    pub(crate) fn error(&self, what: &str) -> VenueError {
        let what = what.to_owned();
        let text = self.text();
        let reason = match text.is_empty() {
            true => format!("status {} without a word", self.status),
            false => format!("status {}: {text}", self.status),
        };
        match self.status {
            429 => VenueError::RateLimited { what, retry_after: self.retry_after },
            425 | 500.. => VenueError::Unavailable { what, reason },
            400..=499 => VenueError::Refused { what, reason },
            _ => VenueError::Malformed { what, reason },
        }
    }

    /// The body of a 2xx answer.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, VenueError> {
        if !self.is_success() {
            return Err(self.error(what));
        }
        serde_json::from_slice(&self.body).map_err(|error| malformed(what, &error))
    }

    /// As [`Answer::json`], but 404 is `None`.
    pub(crate) fn json_if_found<T: DeserializeOwned>(&self, what: &str) -> Result<Option<T>, VenueError> {
        if self.status == 404 {
            return Ok(None);
        }
        self.json(what).map(Some)
    }
}

/// An answer that cannot be understood.
pub(crate) fn malformed(what: &str, reason: &dyn std::fmt::Display) -> VenueError {
    VenueError::Malformed { what: what.to_owned(), reason: shorten(&reason.to_string()) }
}

/// Where a service lives and how it is called.
#[derive(Clone)]
pub(crate) struct Service {
    client: Client,
    origin: Arc<str>,
}

impl Service {
    /// `origin` is scheme and host, with or without a slash at its end.
    pub(crate) fn new(client: Client, origin: &str) -> Self {
        Self { client, origin: origin.trim_end_matches('/').into() }
    }

    /// A request for a path that begins with a slash.
    pub(crate) fn request(&self, method: reqwest::Method, path_and_query: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path_and_query}", self.origin))
    }

    /// A plain GET.
    pub(crate) async fn get(
        &self,
        path_and_query: &str,
        deadline: Duration,
        cap: usize,
    ) -> Result<Answer, Failure> {
        send(self.request(reqwest::Method::GET, path_and_query), deadline, cap).await
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn of_layers_only_what_says_something_is_told() {
        let layers = |texts: [&'static str; 3]| {
            let of = texts.into_iter().rev().fold(None, |below, text| Some(Box::new(Layer(text, below))));
            chain(&*of.unwrap())
        };
        assert_eq!(
            layers(["client error (Connect)", "dns error: failed to look up", "Name or service not known"]),
            "its name cannot be resolved: Name or service not known"
        );
        assert_eq!(
            layers(["client error", "tcp connect error", "refused"]),
            "client error: tcp connect error: refused"
        );
        assert_eq!(Answer::of(405, "").error("head").to_string().matches("405 without a word").count(), 1);
    }

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date() {
        let wait = |told: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(told));
            headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
            retry_after(&headers)
        };
        let date = Some("Fri, 27 Nov 2026 03:00:00 GMT");
        assert_eq!(wait("7", None), Some(Duration::from_secs(7)));
        assert_eq!(wait("Fri, 27 Nov 2026 03:01:30 GMT", date), Some(Duration::from_secs(90)));
        assert_eq!(wait("Fri, 27 Nov 2026 02:59:00 GMT", date), Some(Duration::ZERO), "it is over");
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT", date), Some(MAX_RETRY_AFTER));
        // By whose clock it would be is not known.
        assert_eq!(wait("Fri, 27 Nov 2026 03:01:30 GMT", None), None);
        for wrong in ["", "-7", "7.5", "soon", "Fri, 99 Nov 2026 03:01:30 GMT", "99999999999999999999"] {
            assert_eq!(wait(wrong, date), None, "{wrong}");
        }
    }
}

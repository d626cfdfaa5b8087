//! URLs of providers. They often carry a key: only the host is ever shown.

use std::fmt;

use crate::limits::MAX_PROVIDERS;

/// A provider's URL.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(String);

/// Host and port of a URL, without user and password.
pub(crate) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Second labels under which countries register names.
const UNDER_COUNTRIES: [&str; 7] = ["ac", "co", "com", "edu", "gov", "net", "org"];

/// Whose a host is, as far as its name tells: the part that is registered. A host without a name, or without a dot in it,
/// stands for itself, with its port.
pub(crate) fn owner(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = name.starts_with('[') || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), false) = (dots.next(), is_address) else { return host };
    let second = dots.next();
    let label = name.get(second.map_or(0, |at| at.saturating_add(1))..last).unwrap_or_default();
    let under_country = name.len().saturating_sub(last) == 3 && UNDER_COUNTRIES.contains(&label);
    let from = if under_country { dots.next() } else { second };
    name.get(from.map_or(0, |at| at.saturating_add(1))..).unwrap_or(name)
}

/// A list of URLs that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcUrlError {
    /// Nothing in it.
    #[error("no URL in it; give one or more, separated by commas")]
    Empty,
    /// Not a URL.
    #[error("number {0} is no URL: it must begin with http://, https://, ws:// or wss:// and name a host")]
    NotAUrl(usize),
    /// Nobody to ask.
    #[error(
        "only websockets in it, which tell of new blocks and are asked nothing; add an http:// or https:// URL"
    )]
    OnlySockets,
    /// Twice the same.
    #[error("{0} is in it twice")]
    Twice(RpcUrl),
    /// Too many.
    #[error("{0} URLs, {MAX_PROVIDERS} are possible")]
    TooMany(usize),
}

impl RpcUrl {
    /// The whole URL, with its key: to hand it on, never to show it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is a websocket: a doorbell, not a provider.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.0.starts_with("ws")
    }

    /// Host and port, without user and password.
    #[must_use]
    pub fn host(&self) -> &str {
        host(&self.0)
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RpcUrl({})", self.host())
    }
}

/// Reads a list of URLs, separated by commas or white space.
///
/// # Errors
/// [`RpcUrlError`], which repeats no URL.
pub fn rpc_urls(text: &str) -> Result<Vec<RpcUrl>, RpcUrlError> {
    let mut urls: Vec<RpcUrl> = Vec::new();
    let parts = text.split(|letter: char| letter == ',' || letter.is_whitespace());
    for (number, part) in parts.filter(|part| !part.is_empty()).enumerate() {
        let url = RpcUrl(part.to_owned());
        let scheme = ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| part.starts_with(scheme));
        let host = url.host().split(':').next().is_some_and(|name| !name.is_empty());
        if !scheme || !host || part.chars().any(char::is_control) {
            return Err(RpcUrlError::NotAUrl(number.saturating_add(1)));
        }
        if urls.contains(&url) {
            return Err(RpcUrlError::Twice(url));
        }
        urls.push(url);
    }
    match urls.len() {
        0 => Err(RpcUrlError::Empty),
        count if count > MAX_PROVIDERS => Err(RpcUrlError::TooMany(count)),
        _ if urls.iter().all(RpcUrl::is_socket) => Err(RpcUrlError::OnlySockets),
        _ => Ok(urls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_keys_are_not_shown() {
        let urls = rpc_urls("https://polygon.example/v2/s3cret-key, https://user:pass@b.example:8545?key=x\nhttp://c.example/k").unwrap();
        assert_eq!(
            urls.iter().map(RpcUrl::host).collect::<Vec<_>>(),
            ["polygon.example", "b.example:8545", "c.example"]
        );
        let shown = format!("{urls:?} {}", urls[1]);
        assert!(!shown.contains("s3cret") && !shown.contains("pass") && !shown.contains('k'), "{shown}");
    }

    #[test]
    fn the_owner_of_a_host_is_what_is_registered() {
        for (host, expected) in [
            ("polygon.llamarpc.com", "llamarpc.com"),
            ("llamarpc.com:443", "llamarpc.com"),
            ("a.b.quiknode.pro", "quiknode.pro"),
            ("1rpc.io", "1rpc.io"),
            ("rpc.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("127.0.0.1:8545", "127.0.0.1:8545"),
            ("[::1]:8545", "[::1]:8545"),
            ("localhost:8545", "localhost:8545"),
            ("p0", "p0"),
            ("", ""),
        ] {
            assert_eq!(owner(host), expected, "{host}");
        }
    }

    #[test]
    fn websockets_are_told_from_providers() {
        let urls = rpc_urls("wss://a.example/s3cret,https://a.example/s3cret,http://ws.example").unwrap();
        assert_eq!(urls.iter().map(RpcUrl::is_socket).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(urls[0].host(), "a.example");
    }

    #[test]
    fn lists_that_cannot_be_used() {
        let wrong = |text: &str| rpc_urls(text).unwrap_err();
        assert_eq!(wrong(" , "), RpcUrlError::Empty);
        assert_eq!(wrong("https://a.example,ftp://b.example"), RpcUrlError::NotAUrl(2));
        assert_eq!(wrong("https://"), RpcUrlError::NotAUrl(1));
        assert_eq!(wrong("https://@/x"), RpcUrlError::NotAUrl(1));
        assert!(matches!(wrong("https://a.example/k https://a.example/k"), RpcUrlError::Twice(_)));
        assert_eq!(wrong("wss://a.example,ws://b.example"), RpcUrlError::OnlySockets);
        assert_eq!(wrong("https://a.example,wss://"), RpcUrlError::NotAUrl(2));
        let many: Vec<String> = (0..=MAX_PROVIDERS).map(|number| format!("http://h{number}")).collect();
        assert_eq!(wrong(&many.join(",")), RpcUrlError::TooMany(MAX_PROVIDERS + 1));
        assert!(!wrong("https://a.example/s3cret https://a.example/s3cret").to_string().contains("s3cret"));
    }
}

//! Whether the venue trades with the place this program runs in. It asks and tells; nothing here, and nothing
//! anywhere in this program, goes around the answer.
//!
//! Source: docs.polymarket.com/developers/CLOB/geoblock.

use engine::ports::venue::VenueError;
use reqwest::Client;
use serde::Deserialize;

use crate::{
    http::{Answer, Service, malformed, shorten},
    json::null_as_default,
    limits::{ACCOUNT_DEADLINE, SMALL_BODY},
};

const WHAT: &str = "GET /api/geoblock";

/// Where the venue sees this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Whether the venue trades with it.
    pub blocked: bool,
    /// ISO code of the country; empty if the venue does not tell.
    pub country: String,
    /// ISO code of the region within it; empty if there is none.
    pub region: String,
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match (self.country.as_str(), self.region.as_str()) {
            ("", _) => "an unknown country".to_owned(),
            (country, "") => country.to_owned(),
            (country, region) => format!("{country}-{region}"),
        };
        if self.blocked {
            write!(
                f,
                "the venue does not trade with {place}, where it sees this program; no way around it is tried"
            )
        } else {
            write!(f, "the venue sees this program in {place}, which it trades with")
        }
    }
}

#[derive(Deserialize)]
struct Body {
    blocked: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    country: String,
    #[serde(default, deserialize_with = "null_as_default")]
    region: String,
}

/// The venue's geoblock service.
#[derive(Clone)]
pub struct Geoblock {
    service: Service,
}

impl Geoblock {
    /// The service at `origin` (for Polymarket `https://polymarket.com`), called with the process's one HTTP
    /// client: the answer is about the address that this client calls from.
    #[must_use]
    pub fn new(client: Client, origin: &str) -> Self {
        Self { service: Service::new(client, origin) }
    }

    /// Asks.
    ///
    /// # Errors
    /// [`VenueError`]; then nothing is known, and nothing may be taken for allowed.
    pub async fn region(&self) -> Result<Region, VenueError> {
        let answer = self.service.get("/api/geoblock", ACCOUNT_DEADLINE, SMALL_BODY).await;
        read(&answer.map_err(|failure| failure.into_error(WHAT))?)
    }
}

fn read(answer: &Answer) -> Result<Region, VenueError> {
    let body: Body = answer.json(WHAT)?;
    let code =
        |text: &str| text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !code(&body.country) || !code(&body.region) {
        return Err(malformed(WHAT, &format!("`{}` is no country", shorten(&body.country))));
    }
    Ok(Region { blocked: body.blocked, country: body.country, region: body.region })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_server::{TestServer, reply};

    #[tokio::test]
    async fn the_answer_is_told_in_words() {
        let blocked = r#"{"blocked":true,"ip":"203.0.113.7","country":"US","region":"NY"}"#;
        let server = TestServer::start(move |_| reply(200, blocked)).await;
        let region = Geoblock::new(crate::client().unwrap(), &server.origin).region().await.unwrap();
        assert!(region.blocked);
        let words = region.to_string();
        assert!(words.contains("does not trade with US-NY") && words.contains("no way around"), "{words}");
        assert!(!words.contains("203.0.113.7"), "{words}");
        let open = read(&Answer::of(200, r#"{"blocked":false,"country":"IE","region":null}"#)).unwrap();
        assert_eq!(open.to_string(), "the venue sees this program in IE, which it trades with");
    }

    #[test]
    fn without_a_clear_answer_nothing_is_known() {
        for body in [
            "",
            "{}",
            "null",
            r#"{"blocked":"false"}"#,
            r#"{"blocked":0}"#,
            r#"{"blocked":false,"country":"<script>"}"#,
        ] {
            assert!(matches!(read(&Answer::of(200, body)), Err(VenueError::Malformed { .. })), "{body}");
        }
        assert!(read(&Answer::of(403, r#"{"blocked":false}"#)).is_err());
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let sample = r#"{"blocked":true,"ip":"203.0.113.7","country":"US","region":"NY"}"#;
        crate::hostile::survives(
            sample,
            |bytes| read(&Answer::of(200, bytes)).ok(),
            |region| region.country.len() <= 8 && region.region.len() <= 8,
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = read(&Answer::of(status, body));
        }
    }
}

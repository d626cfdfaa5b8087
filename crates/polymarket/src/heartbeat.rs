//! The venue's dead-man switch. After the first heartbeat the venue cancels every open order of the API key
//! when none comes for ten seconds; each names the id that the one before was answered with.
//!
//! Nothing starts it yet: no order of ours can rest. Source: docs.polymarket.com (manage orders), the official
//! Python SDK and its tests.

use std::{sync::Mutex, sync::PoisonError};

use domain::TradingAccount;
use engine::ports::{detection::Lane, venue::VenueError};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::{Answer, malformed},
    limits::MAX_CREDENTIAL,
    pace::Call,
    pacer::Endpoint,
};

const WHAT: &str = "POST /v1/heartbeats";
const PATH: &str = "/v1/heartbeats";

/// The heart of one account's API key. One per key: a second one would always name a wrong id.
#[derive(Debug, Default)]
pub struct Heart {
    /// The id of the last answer; empty before the first.
    id: Mutex<String>,
}

#[derive(Deserialize)]
struct Body {
    heartbeat_id: String,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Beat {
    /// Taken; the next one names this id.
    Next(String),
    /// Not taken, because another id was expected.
    Expected(String),
}

impl Clob {
    /// One heartbeat. A wrong id (ours after a restart, or after a lost answer) is corrected at once.
    ///
    /// # Errors
    /// [`VenueError`]; the heart then names the id it knows at its next beat.
    pub async fn beat(&self, account: &TradingAccount, heart: &Heart) -> Result<(), VenueError> {
        let id = lock(heart).clone();
        let beat = match self.beat_with(account, &id).await? {
            Beat::Expected(expected) => self.beat_with(account, &expected).await?,
            next => next,
        };
        match beat {
            Beat::Next(next) => {
                *lock(heart) = next;
                Ok(())
            }
            Beat::Expected(expected) => {
                *lock(heart) = expected;
                let reason = "the id it asked for is wrong too; does another process beat for this key?";
                Err(VenueError::Refused { what: WHAT.to_owned(), reason: reason.to_owned() })
            }
        }
    }

    async fn beat_with(&self, account: &TradingAccount, id: &str) -> Result<Beat, VenueError> {
        // Ids were checked when they were read: nothing to escape.
        let body = format!("{{\"heartbeat_id\":\"{id}\"}}").into_bytes();
        let turn = Call { endpoint: Endpoint::Other, lane: Lane::Exits, tokens: None };
        read(&self.call(account, turn, (Method::POST, PATH, ""), body).await?)
    }
}

fn lock(heart: &Heart) -> std::sync::MutexGuard<'_, String> {
    heart.id.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(answer: &Answer) -> Result<Beat, VenueError> {
    let wrong_id =
        answer.status == 400 && answer.text().to_ascii_lowercase().contains("invalid heartbeat id");
    if !answer.is_success() && !wrong_id {
        return Err(answer.error(WHAT));
    }
    let body: Body = serde_json::from_slice(&answer.body).map_err(|error| malformed(WHAT, &error))?;
    let plain = |id: &str| {
        !id.is_empty()
            && id.len() <= MAX_CREDENTIAL
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !plain(&body.heartbeat_id) {
        return Err(malformed(WHAT, &"an id that is empty, too long, or has other characters than a UUID"));
    }
    Ok(if wrong_id { Beat::Expected(body.heartbeat_id) } else { Beat::Next(body.heartbeat_id) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        clob::tests::{account, clob, server},
        test_server::{Request, reply},
    };

    fn named(request: &Request) -> String {
        serde_json::from_slice::<Body>(&request.body).unwrap().heartbeat_id
    }

    #[tokio::test]
    async fn each_beat_names_the_id_of_the_answer_before() {
        let count = AtomicU32::new(0);
        let server = server(move |_| {
            reply(200, format!(r#"{{"heartbeat_id":"id-{}"}}"#, count.fetch_add(1, Ordering::Relaxed)))
        })
        .await;
        let (clob, heart) = (clob(&server), Heart::default());
        for _ in 0..3 {
            clob.beat(&account(1), &heart).await.unwrap();
        }
        let named: Vec<String> =
            server.seen().iter().filter(|request| request.path() == PATH).map(named).collect();
        assert_eq!(named, ["", "id-0", "id-1"]);
    }

    #[tokio::test]
    async fn a_wrong_id_is_corrected_at_once() {
        let server = server(|request| match named(request).as_str() {
            "expected" => reply(200, r#"{"heartbeat_id":"next"}"#),
            _ => reply(400, r#"{"error_msg":"Invalid Heartbeat ID","heartbeat_id":"expected"}"#),
        })
        .await;
        let (clob, heart) = (clob(&server), Heart::default());
        clob.beat(&account(1), &heart).await.unwrap();
        assert_eq!((server.count(PATH), lock(&heart).as_str()), (2, "next"));
    }

    #[tokio::test]
    async fn whoever_never_agrees_is_told_after_two_tries() {
        let server =
            server(|_| reply(400, r#"{"error_msg":"Invalid Heartbeat ID","heartbeat_id":"x"}"#)).await;
        let error = clob(&server).beat(&account(1), &Heart::default()).await.unwrap_err();
        assert!(
            matches!(&error, VenueError::Refused { .. }) && error.to_string().contains("another process")
        );
        assert_eq!(server.count(PATH), 2);
    }

    #[test]
    fn hostile_answers_are_typed_errors() {
        for body in [
            "",
            "{}",
            "null",
            r#"{"heartbeat_id":""}"#,
            r#"{"heartbeat_id":"a\"b"}"#,
            r#"{"heartbeat_id":7}"#,
        ] {
            assert!(matches!(read(&Answer::of(200, body)), Err(VenueError::Malformed { .. })), "{body}");
        }
        assert!(matches!(read(&Answer::of(401, "no")), Err(VenueError::Refused { .. })));
        assert!(matches!(read(&Answer::of(400, "Invalid Heartbeat ID")), Err(VenueError::Malformed { .. })));
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        crate::hostile::survives(
            r#"{"heartbeat_id":"a-1"}"#,
            |bytes| read(&Answer::of(200, bytes)).ok(),
            |beat| match beat {
                Beat::Next(id) | Beat::Expected(id) => id.len() <= MAX_CREDENTIAL && id.bytes().all(plain),
            },
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

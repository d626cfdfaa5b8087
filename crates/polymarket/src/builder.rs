//! The builder code: it names the program that an order comes from, and its builder may charge for it.
//!
//! Source: docs.polymarket.com (builders); `GET /fees/builder-fees/{code}` of the official Rust client, which
//! sends it authenticated.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{Hash, policy::BASIS_POINTS};
use engine::ports::{detection::Lane, venue::VenueError};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::{Answer, malformed},
    json::Scalar,
    limits::{BUILDER_FEE_FRESH, BUILDER_FEE_RETRY, MARKET_DEADLINE, SMALL_BODY},
    pace::Call,
    pacer::Endpoint,
};

const WHAT: &str = "GET /fees/builder-fees";

/// A code and what is known of its fee.
pub(crate) struct BuilderFee {
    pub(crate) code: Hash,
    /// Basis points of a taker's dollars, and the uptime from which they are asked for again.
    known: Mutex<Option<(u16, Duration)>>,
}

#[derive(Deserialize)]
struct Row {
    builder_taker_fee_rate_bps: Scalar,
}

impl BuilderFee {
    pub(crate) const fn new(code: Hash) -> Self {
        Self { code, known: Mutex::new(None) }
    }
}

impl Clob {
    /// What the builder charges takers, in basis points; nothing without a code. Asked once an hour; while that fails
    /// what was told last counts.
    pub(crate) async fn builder_fee(&self, lane: Lane) -> Result<u16, VenueError> {
        let Some(builder) = &self.builder else { return Ok(0) };
        let known = *builder.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.uptime();
        match known {
            Some((fee, until)) if now < until => return Ok(fee),
            _ => {}
        }
        let told = self.ask_builder_fee(builder, lane).await;
        let (fee, fresh) = match (told, known) {
            (Ok(fee), _) => (fee, BUILDER_FEE_FRESH),
            (Err(error), Some((fee, _))) => {
                tracing::warn!(%error, fee, "the builder's fee could not be asked for again; the one that was told last counts");
                (fee, BUILDER_FEE_RETRY)
            }
            (Err(error), None) => return Err(error),
        };
        let until = now.saturating_add(fresh);
        *builder.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((fee, until));
        Ok(fee)
    }

    async fn ask_builder_fee(&self, builder: &BuilderFee, lane: Lane) -> Result<u16, VenueError> {
        let turn = Call { endpoint: Endpoint::Other, lane, tokens: None };
        self.turn(WHAT, turn).await?;
        let path = format!("/fees/builder-fees/{}", builder.code);
        let answer = match self.any_login() {
            Some(login) => self.send_as(&login, Method::GET, (&path, ""), Vec::new(), MARKET_DEADLINE).await,
            None => self.service.get(&path, MARKET_DEADLINE, SMALL_BODY).await,
        };
        let answer = answer.map_err(|failure| failure.into_error(WHAT))?;
        self.pacer.learn_of(turn, &answer);
        read(&answer)
    }
}

fn read(answer: &Answer) -> Result<u16, VenueError> {
    let row: Row = answer.json(WHAT)?;
    let fee = row.builder_taker_fee_rate_bps.whole().map_err(|error| malformed(WHAT, &error))?;
    let part = u16::try_from(fee).ok().filter(|part| i64::from(*part) <= BASIS_POINTS);
    part.ok_or_else(|| malformed(WHAT, &format!("{fee} basis points are more than the whole")))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use domain::{Clock, Timestamp};
    use engine::ports::venue::MarketData;
    use proptest::prelude::*;
    use testkit::virtual_clock::VirtualClock;

    use super::*;
    use crate::{
        clob::tests::{clob, clob_of},
        test_server::{TestServer, reply},
    };

    const CODE: Hash = Hash([0xb1; 32]);

    #[tokio::test]
    async fn the_fee_is_asked_once() {
        let server = TestServer::start(|request| {
            assert_eq!(request.path(), format!("/fees/builder-fees/0x{}", "b1".repeat(32)));
            reply(200, r#"{"builder_maker_fee_rate_bps":0,"builder_taker_fee_rate_bps":25}"#)
        })
        .await;
        let clob = clob(&server).with_builder(CODE);
        for _ in 0..3 {
            assert_eq!(clob.builder_fee(Lane::Entries).await, Ok(25));
        }
        assert_eq!(server.seen().len(), 1);
    }

    /// An outage of this one page is no reason to know no market.
    #[tokio::test]
    async fn the_last_fee_counts_while_it_cannot_be_asked_for() {
        let asked = AtomicUsize::new(0);
        let server = TestServer::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => reply(200, r#"{"builder_taker_fee_rate_bps":25}"#),
            1 => reply(404, "{}"),
            _ => reply(200, r#"{"builder_taker_fee_rate_bps":30}"#),
        })
        .await;
        let clock = VirtualClock::new(Timestamp::from_seconds(1_777_400_000));
        let clob = clob_of(&server, Arc::clone(&clock) as Arc<dyn Clock>).with_builder(CODE);
        for (fee, asked, until) in [
            (25, 1, BUILDER_FEE_FRESH),
            (25, 2, BUILDER_FEE_RETRY - Duration::from_secs(1)),
            (25, 2, Duration::from_secs(1)),
            (30, 3, Duration::ZERO),
        ] {
            assert_eq!(clob.builder_fee(Lane::Entries).await, Ok(fee));
            assert_eq!(server.seen().len(), asked);
            clock.advance(until);
        }
    }

    #[tokio::test]
    async fn without_a_code_nothing_is_asked_or_charged() {
        let server = TestServer::start(|_| reply(500, "")).await;
        assert_eq!(clob(&server).builder_fee(Lane::Entries).await, Ok(0));
        assert!(server.seen().is_empty());
    }

    /// Rules without the builder's fee would set too little money aside.
    #[tokio::test]
    async fn a_market_is_not_told_without_the_fee() {
        let server = TestServer::start(|request| match request.path().starts_with("/fees") {
            true => reply(500, ""),
            false => reply(404, ""),
        })
        .await;
        let market =
            clob(&server).with_builder(CODE).market(domain::TokenId([0x11; 32]), Lane::Entries).await;
        assert!(matches!(market, Err(VenueError::Unavailable { .. })), "{market:?}");
    }

    #[test]
    fn hostile_answers_are_typed_errors() {
        for body in [
            "",
            "{}",
            "null",
            r#"{"builder_taker_fee_rate_bps":-1}"#,
            r#"{"builder_taker_fee_rate_bps":10001}"#,
            r#"{"builder_taker_fee_rate_bps":1.5}"#,
        ] {
            assert!(matches!(read(&Answer::of(200, body)), Err(VenueError::Malformed { .. })), "{body}");
        }
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let sample = r#"{"builder_maker_fee_rate_bps":0,"builder_taker_fee_rate_bps":50}"#;
        crate::hostile::survives(
            sample,
            |bytes| read(&Answer::of(200, bytes)).ok(),
            |fee| i64::from(*fee) <= BASIS_POINTS,
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

//! Cancelling: one order, several, all, or a market's. What the venue answers about each is typed; the outcome
//! of an order is learned by looking it up.

use std::collections::BTreeMap;

use domain::{OrderId, TradingAccount};
use engine::ports::{
    detection::Lane,
    venue::{Cancel, Cancelled, NotCancelled, VenueError},
};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::{Answer, malformed, shorten},
    json::null_as_default,
    limits::CANCEL_BATCH,
    pace::Call,
    pacer::Endpoint,
};

/// The answer to every kind of cancellation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default, deserialize_with = "null_as_default")]
    canceled: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    not_canceled: BTreeMap<String, String>,
}

impl Clob {
    pub(crate) async fn cancel_what(
        &self,
        account: &TradingAccount,
        what: &Cancel,
    ) -> Result<Cancelled, VenueError> {
        let mut all = Cancelled::default();
        match what {
            Cancel::Orders(ids) => {
                // A batch above the bucket's size is refused however long one waits.
                for chunk in ids.chunks(self.pacer.most_cancels(account.signer).min(CANCEL_BATCH)) {
                    let done = self.cancel_orders(account, chunk).await?;
                    all.cancelled.extend(done.cancelled);
                    all.kept.extend(done.kept);
                }
                Ok(all)
            }
            Cancel::All => self.cancel_open(account, Endpoint::CancelAll, "/cancel-all", Vec::new()).await,
            Cancel::Market { condition, token } => {
                let asset = token.map(|token| format!(",\"asset_id\":\"{token}\"")).unwrap_or_default();
                let body = format!("{{\"market\":\"{condition}\"{asset}}}").into_bytes();
                self.cancel_open(account, Endpoint::CancelMarket, "/cancel-market-orders", body).await
            }
        }
    }

    /// Cancels what is open. It costs a token, and one more for each order that it turns out to cancel.
    async fn cancel_open(
        &self,
        account: &TradingAccount,
        endpoint: Endpoint,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Cancelled, VenueError> {
        let (done, counted) = self.cancellation(account, (endpoint, 1), path, body).await?;
        if !counted {
            self.pacer.charge_cancels(account.signer, done.cancelled.len());
        }
        Ok(done)
    }

    async fn cancel_orders(
        &self,
        account: &TradingAccount,
        ids: &[OrderId],
    ) -> Result<Cancelled, VenueError> {
        if let [id] = ids {
            let body = format!("{{\"orderID\":\"{id}\"}}").into_bytes();
            return Ok(self.cancellation(account, (Endpoint::Cancel, 1), "/order", body).await?.0);
        }
        let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        let body = format!("[{}]", quoted.join(",")).into_bytes();
        Ok(self.cancellation(account, (Endpoint::CancelBatch, ids.len()), "/orders", body).await?.0)
    }

    /// What was cancelled, and whether the venue told its own count of the signer's tokens with it.
    async fn cancellation(
        &self,
        account: &TradingAccount,
        (endpoint, cost): (Endpoint, usize),
        path: &str,
        body: Vec<u8>,
    ) -> Result<(Cancelled, bool), VenueError> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let turn = Call { endpoint, lane: Lane::Exits, tokens: Some((account.signer, cost)) };
        let answer = self.call(account, turn, (Method::DELETE, path, ""), body).await?;
        Ok((read(&answer, &format!("DELETE {path}"))?, answer.limit.remaining.is_some()))
    }
}

fn read(answer: &Answer, what: &str) -> Result<Cancelled, VenueError> {
    let object: serde_json::Map<String, serde_json::Value> = answer.json(what)?;
    let body: Body = serde_json::from_value(object.into()).map_err(|error| malformed(what, &error))?;
    let id = |text: &String| text.parse::<OrderId>().map_err(|error| malformed(what, &error));
    let cancelled = body.canceled.iter().map(id).collect::<Result<_, _>>()?;
    let kept = body.not_canceled.iter().map(|(text, why)| Ok((id(text)?, reason(why))));
    Ok(Cancelled { cancelled, kept: kept.collect::<Result<_, VenueError>>()? })
}

/// Reasons by their unmistakable part, in lower case. Sources: docs.polymarket.com (manage orders), answers
/// recorded by others.
fn reason(text: &str) -> NotCancelled {
    let lower = text.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("already canceled") || has("already cancelled") || has("already matched") || has("or matched") {
        NotCancelled::Done
    } else if has("not found") || has("can't be found") || has("does not exist") {
        NotCancelled::NotFound
    } else if has("delay") {
        NotCancelled::Delayed
    } else {
        NotCancelled::Other(shorten(text))
    }
}

#[cfg(test)]
mod tests {
    use domain::{ConditionId, TokenId};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clob::tests::{account, clob, server},
        test_server::reply,
    };

    fn id(byte: u8) -> OrderId {
        OrderId([byte; 32])
    }

    /// The answer that nautilus-polymarket 0.57.0 keeps as a recording, with ids of ours.
    fn recorded() -> String {
        format!(
            r#"{{"canceled":["{}","{}"],"not_canceled":{{"{}":"already canceled or matched"}}}}"#,
            id(1),
            id(2),
            id(3)
        )
    }

    #[tokio::test]
    async fn every_kind_asks_as_the_venue_wants_it() {
        let condition: ConditionId = format!("0x{}", "0c".repeat(31)).parse().unwrap();
        let token = TokenId([0x11; 32]);
        for (what, path, body) in [
            (Cancel::Orders(vec![id(1)]), "/order", format!("{{\"orderID\":\"{}\"}}", id(1))),
            (Cancel::Orders(vec![id(1), id(2)]), "/orders", format!("[\"{}\",\"{}\"]", id(1), id(2))),
            (Cancel::All, "/cancel-all", String::new()),
            (
                Cancel::Market { condition, token: None },
                "/cancel-market-orders",
                format!("{{\"market\":\"{condition}\"}}"),
            ),
            (
                Cancel::Market { condition, token: Some(token) },
                "/cancel-market-orders",
                format!("{{\"market\":\"{condition}\",\"asset_id\":\"{token}\"}}"),
            ),
        ] {
            let server = server(|_| reply(200, recorded())).await;
            let done = clob(&server).cancel_what(&account(1), &what).await.unwrap();
            assert_eq!(done.cancelled, [id(1), id(2)]);
            assert_eq!(done.kept, [(id(3), NotCancelled::Done)]);
            let seen = server.seen();
            let request = seen.last().unwrap();
            assert_eq!((request.method.as_str(), request.path()), ("DELETE", path));
            assert_eq!(String::from_utf8(request.body.clone()).unwrap(), body);
        }
    }

    #[tokio::test]
    async fn more_ids_than_the_venue_takes_go_in_pieces() {
        let server = server(|_| reply(200, r#"{"canceled":[],"not_canceled":{}}"#)).await;
        let ids = (0..=CANCEL_BATCH).map(|n| OrderId([u8::try_from(n % 256).unwrap(); 32])).collect();
        clob(&server).cancel_what(&account(1), &Cancel::Orders(ids)).await.unwrap();
        assert_eq!((server.count("/orders"), server.count("/order")), (1, 1));
    }

    #[test]
    fn reasons_are_typed() {
        for (text, expected) in [
            ("already canceled or matched", NotCancelled::Done),
            ("order already matched", NotCancelled::Done),
            ("Order not found", NotCancelled::NotFound),
            ("the order can't be found", NotCancelled::NotFound),
            ("order is delayed and cannot be canceled", NotCancelled::Delayed),
            ("a new reason", NotCancelled::Other("a new reason".to_owned())),
        ] {
            assert_eq!(reason(text), expected, "{text}");
        }
    }

    #[test]
    fn hostile_answers_are_typed_errors() {
        for body in [
            "",
            "null",
            "[]",
            "{\"canceled\":[1]}",
            "{\"canceled\":[\"0x1\"]}",
            "{\"not_canceled\":{\"x\":\"y\"}}",
            "{\"not_canceled\":[]}",
            "{\"error\":\"x\"}",
        ] {
            let error = read(&Answer::of(200, body), "DELETE /order").unwrap_err();
            assert!(matches!(error, VenueError::Malformed { .. }), "{body}: {error}");
        }
        assert_eq!(read(&Answer::of(200, "{\"canceled\":null}"), "x"), Ok(Cancelled::default()));
        let refused = read(&Answer::of(503, "Trading is currently disabled"), "x");
        assert!(matches!(refused, Err(VenueError::Unavailable { .. })), "{refused:?}");
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let sample = r#"{"canceled":["0xID"],"not_canceled":{"0xID":"order can't be found - already canceled or matched"}}"#;
        let sample = sample.replace("ID", &"ab".repeat(32));
        crate::hostile::survives(
            &sample,
            |bytes| read(&Answer::of(200, bytes), "x").ok(),
            |done| {
                let ids = done.cancelled.iter().chain(done.kept.iter().map(|(id, _)| id));
                ids.into_iter().all(|one| *one == id(0xab))
            },
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = read(&Answer::of(status, body), "DELETE /order");
        }
    }
}

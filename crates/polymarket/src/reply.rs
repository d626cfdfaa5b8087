//! What an answer to `POST /order` means. The strict acceptance rule: a post was taken only if the venue
//! says so in every field; it was refused only if the text is a refusal we know. All else is unknown.
//!
//! Sources: docs.polymarket.com/resources/error-codes; `order_response.py` of the official Python SDK.

use std::time::Duration;

use domain::{OrderId, money::Excess, money::parse_decimal};
use engine::ports::venue::{Acceptance, AcceptedStatus, PostReply, RejectReason};
use serde::Deserialize;

use crate::{
    http::{Answer, seconds, shorten},
    json::{Scalar, null_as_default},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    success: Option<bool>,
    #[serde(rename = "orderID", deserialize_with = "null_as_default")]
    order_id: String,
    #[serde(deserialize_with = "null_as_default")]
    status: String,
    #[serde(rename = "makingAmount")]
    making: Option<Scalar>,
    #[serde(rename = "takingAmount")]
    taking: Option<Scalar>,
    #[serde(rename = "tradeIDs", deserialize_with = "null_as_default")]
    trade_ids: Vec<String>,
    #[serde(rename = "errorMsg", alias = "error_msg", deserialize_with = "null_as_default")]
    error_message: String,
    #[serde(deserialize_with = "null_as_default")]
    error: String,
    #[serde(deserialize_with = "null_as_default")]
    code: String,
    retry_after_seconds: Option<Scalar>,
}

impl Body {
    fn message(&self) -> &str {
        if self.error_message.is_empty() { &self.error } else { &self.error_message }
    }
}

/// Reads the answer to a post of the order `id`.
pub(crate) fn classify(answer: &Answer, id: OrderId) -> PostReply {
    let body = serde_json::from_slice::<Body>(&answer.body).ok();
    let unknown = || PostReply::Unknown { text: format!("status {}: {}", answer.status, answer.text()) };
    let retry_after = answer.retry_after.or_else(|| {
        let scalar = body.as_ref()?.retry_after_seconds.as_ref()?;
        scalar.whole().ok().and_then(|value| u64::try_from(value).ok()).map(seconds)
    });
    if matches!(answer.status, 425 | 429) {
        return PostReply::NotAccepted { retry_after, text: answer.text() };
    }
    let Some(body) = body else {
        return unknown();
    };
    match answer.status {
        200..=299 if body.message().is_empty() => {
            accepted(&body, id).map_or_else(unknown, PostReply::Accepted)
        }
        // A refusal may also come as 200, with `success` true or false.
        200..=299 | 400..=499 | 503 => known_text(&body, retry_after).unwrap_or_else(unknown),
        _ => unknown(),
    }
}

/// The strict rule: `success`, no error text, our order id, a status that means taken.
fn accepted(body: &Body, id: OrderId) -> Option<Acceptance> {
    let status = match body.status.as_str() {
        "live" => AcceptedStatus::Live,
        "matched" => AcceptedStatus::Matched,
        "delayed" => AcceptedStatus::Delayed,
        _ => return None,
    };
    let ours = body.order_id.eq_ignore_ascii_case(&id.to_string());
    (body.success == Some(true) && ours).then(|| Acceptance {
        status,
        making: amount(body.making.as_ref()),
        taking: amount(body.taking.as_ref()),
        trade_ids: body.trade_ids.iter().map(|text| shorten(text)).collect(),
    })
}

/// Amounts are decimals and may be empty; one that cannot be read is as good as untold.
fn amount(scalar: Option<&Scalar>) -> Option<i64> {
    scalar.and_then(|scalar| parse_decimal(&scalar.0, Excess::Refuse).ok()).filter(|value| *value >= 0)
}

/// What a text says about an order.
enum Meaning {
    Killed,
    Rejected(RejectReason),
    Duplicated,
    NotAccepted,
    Unknown,
}

/// Texts by their unmistakable part, in lower case. The first that matches counts.
const TEXTS: &[(&str, Meaning)] = {
    use Meaning::{Duplicated, Killed, NotAccepted, Rejected, Unknown};
    use RejectReason::{Account, Authentication, Balance, Market, Minimum, Other, Payload, Tick};
    &[
        // Sent with status 400, yet nothing is said about the order.
        ("context canceled", Unknown),
        ("order match delayed", Unknown),
        ("is invalid. duplicated", Duplicated),
        ("no orders found to match with fak order", Killed),
        ("couldn't be fully filled", Killed),
        ("trading is currently disabled", NotAccepted),
        ("trading is currently cancel-only", NotAccepted),
        ("post-only mode", NotAccepted),
        ("not enough balance", Rejected(Balance)),
        ("balance is not enough", Rejected(Balance)),
        ("allowance is not enough", Rejected(Balance)),
        ("insufficient balance", Rejected(Balance)),
        ("breaks minimum tick size rule", Rejected(Tick)),
        ("lower than the minimum", Rejected(Minimum)),
        ("no orderbook exists", Rejected(Market)),
        ("market not found", Rejected(Market)),
        ("not yet ready to process new orders", Rejected(Market)),
        ("address banned", Rejected(Account)),
        ("address in closed only mode", Rejected(Account)),
        ("maker address not allowed", Rejected(Account)),
        ("trading restricted in your region", Rejected(Account)),
        ("invalid api key", Rejected(Authentication)),
        ("invalid l1 request headers", Rejected(Authentication)),
        ("invalid signature", Rejected(Authentication)),
        ("order owner has to be the owner of the api key", Rejected(Authentication)),
        ("order signer address has to be the address of the api key", Rejected(Authentication)),
        ("order_version_mismatch", Rejected(Authentication)),
        ("invalid order version", Rejected(Authentication)),
        ("invalid order payload", Rejected(Payload)),
        ("too many orders in payload", Rejected(Payload)),
        ("invalid amounts", Rejected(Payload)),
        ("invalid expiration", Rejected(Payload)),
        ("invalid nonce", Rejected(Payload)),
        ("crosses the book", Rejected(Other)),
        ("invalid post-only order", Rejected(Other)),
        ("order canceled in the ctf exchange contract", Rejected(Other)),
    ]
};

fn known_text(body: &Body, retry_after: Option<Duration>) -> Option<PostReply> {
    let text = shorten(body.message());
    let lower = text.to_ascii_lowercase();
    if body.code == "post_only_mode" {
        return Some(PostReply::NotAccepted { retry_after, text });
    }
    let (_, meaning) = TEXTS.iter().find(|(part, _)| lower.contains(part))?;
    Some(match meaning {
        Meaning::Killed => PostReply::Killed { text },
        Meaning::Rejected(reason) => PostReply::Rejected { reason: *reason, text },
        Meaning::Duplicated => PostReply::Duplicated,
        Meaning::NotAccepted => PostReply::NotAccepted { retry_after, text },
        Meaning::Unknown => PostReply::Unknown { text },
    })
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;

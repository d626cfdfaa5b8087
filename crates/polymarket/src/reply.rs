//! What an answer to an order post means. The strict acceptance rule: a post was taken only if the venue
//! says so in every field; it was refused only if the text is a refusal we know. All else is unknown.
//!
//! Sources: docs.polymarket.com/resources/error-codes; `order_response.py` of the official Python SDK.

use std::time::Duration;

use domain::{OrderId, money::Excess, money::parse_decimal};
use engine::ports::venue::{Acceptance, AcceptedStatus, PostReply, RejectReason};
use serde::Deserialize;

use crate::{
    http::{Answer, Limit, seconds, shorten},
    json::{Scalar, null_as_default},
    limits::MAX_AMOUNT,
    texts::{Closed, Meaning, meaning},
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

    /// Whether it is about this order; `None` when it names none.
    fn is_about(&self, id: OrderId) -> Option<bool> {
        if !self.order_id.is_empty() {
            return Some(is_same(&self.order_id, id));
        }
        // "order 0x… is invalid. Duplicated."
        let words = self.message().split(|letter: char| !letter.is_ascii_alphanumeric());
        words.filter_map(|word| word.parse::<OrderId>().ok()).map(|named| named == id).next()
    }
}

/// What this program takes an answer to the post of the order `id` for.
#[must_use]
pub fn read_reply(status: u16, body: &[u8], id: OrderId) -> PostReply {
    classify(&Answer { status, retry_after: None, limit: Limit::default(), body: body.to_vec() }, id)
}

/// The same for an answer to several orders.
#[must_use]
pub fn read_replies(status: u16, body: &[u8], ids: &[OrderId]) -> Vec<PostReply> {
    classify_batch(&Answer { status, retry_after: None, limit: Limit::default(), body: body.to_vec() }, ids)
}

/// Reads the answer to a post of the order `id`.
pub(crate) fn classify(answer: &Answer, id: OrderId) -> PostReply {
    let body = serde_json::from_slice::<Body>(&answer.body).ok();
    let unknown = || unread(answer);
    let retry_after = wait(answer, body.as_ref());
    if matches!(answer.status, 425 | 429) {
        return PostReply::NotAccepted { retry_after, text: answer.text() };
    }
    let Some(body) = body else {
        return unknown();
    };
    entry(answer.status, &body, id, retry_after).unwrap_or_else(unknown)
}

/// Reads the answer to a post of several orders: a reply for each of `ids`, in their order. An answer for the
/// whole request counts for all of them only if it cannot be about one of them; an answer whose entries do
/// not stand in the order of the orders says nothing of any.
pub(crate) fn classify_batch(answer: &Answer, ids: &[OrderId]) -> Vec<PostReply> {
    let all = |reply: PostReply| ids.iter().map(|_| reply.clone()).collect();
    let unknown = || unread(answer);
    if !answer.is_success() {
        let reply = match ids.first().map(|id| classify(answer, *id)) {
            Some(reply) if about_the_request(&reply) => reply,
            _ => unknown(),
        };
        return all(reply);
    }
    let Ok(entries) = serde_json::from_slice::<Vec<Body>>(&answer.body) else {
        return all(unknown());
    };
    let named: Vec<Option<bool>> = entries.iter().zip(ids).map(|(body, id)| body.is_about(*id)).collect();
    if entries.len() != ids.len() || named.contains(&Some(false)) {
        return all(unknown());
    }
    let read = |(body, id): (&Body, &OrderId)| {
        let retry_after = wait(answer, Some(body));
        entry(answer.status, body, *id, retry_after).unwrap_or_else(unknown)
    };
    let mut replies: Vec<PostReply> = entries.iter().zip(ids).map(read).collect();
    let mut by_place: Vec<&mut PostReply> = replies
        .iter_mut()
        .zip(&named)
        .filter_map(|(reply, named)| named.is_none().then_some(reply))
        .collect();
    if !by_place.iter().all(|reply| Said::of(reply) == by_place.first().and_then(|first| Said::of(first))) {
        by_place.iter_mut().for_each(|reply| **reply = unknown());
    }
    replies
}

/// An answer that says nothing anybody knows.
fn unread(answer: &Answer) -> PostReply {
    PostReply::Unknown { text: format!("status {}: {}", answer.status, answer.text()), blocked: false }
}

/// What an entry that names no order says. Such entries are told apart by their place alone, and two that had
/// changed places would end the wrong order: they count only if all of them say the same.
#[derive(PartialEq, Eq)]
enum Said {
    Over,
    NotNow,
}

impl Said {
    const fn of(reply: &PostReply) -> Option<Self> {
        match reply {
            PostReply::Killed { .. } | PostReply::Rejected { .. } => Some(Self::Over),
            PostReply::NotAccepted { .. } => Some(Self::NotNow),
            PostReply::Accepted(_) | PostReply::Duplicated | PostReply::Unknown { .. } => None,
        }
    }
}

/// Whether a refusal can only be about the request as a whole, never about one of its orders.
const fn about_the_request(reply: &PostReply) -> bool {
    use RejectReason::{Banned, ClosedOnly, Credentials, OrderVersion, Payload, Region, WalletKind};
    match reply {
        PostReply::NotAccepted { .. } => true,
        PostReply::Rejected { reason, .. } => {
            matches!(reason, Banned | ClosedOnly | Credentials | OrderVersion | Payload | Region | WalletKind)
        }
        _ => false,
    }
}

/// How long the venue asks to wait; the header goes before the body.
fn wait(answer: &Answer, body: Option<&Body>) -> Option<Duration> {
    answer.retry_after.or_else(|| {
        let scalar = body?.retry_after_seconds.as_ref()?;
        scalar.whole().ok().and_then(|value| u64::try_from(value).ok()).map(seconds)
    })
}

/// What is said about one order; `None` for what nobody knows.
fn entry(status: u16, body: &Body, id: OrderId, retry_after: Option<Duration>) -> Option<PostReply> {
    match status {
        200..=299 if body.message().is_empty() => accepted(body, id).map(PostReply::Accepted),
        // A refusal may also come as 200, with `success` true or false.
        200..=299 | 400..=499 | 503 => known_text(body, retry_after),
        _ => None,
    }
}

fn is_same(text: &str, id: OrderId) -> bool {
    text.eq_ignore_ascii_case(&id.to_string())
}

/// The strict rule: `success`, no error text, our order id, a status that means taken.
fn accepted(body: &Body, id: OrderId) -> Option<Acceptance> {
    let status = match body.status.as_str() {
        "live" => AcceptedStatus::Live,
        "matched" => AcceptedStatus::Matched,
        "delayed" => AcceptedStatus::Delayed,
        _ => return None,
    };
    (body.success == Some(true) && is_same(&body.order_id, id)).then(|| Acceptance {
        status,
        making: amount(body.making.as_ref()),
        taking: amount(body.taking.as_ref()),
        trade_ids: body.trade_ids.iter().map(|text| shorten(text)).collect(),
    })
}

/// Amounts are decimals and may be empty; one that cannot be read or be true is as good as untold.
fn amount(scalar: Option<&Scalar>) -> Option<i64> {
    scalar
        .and_then(|scalar| parse_decimal(&scalar.0, Excess::Refuse).ok())
        .filter(|value| (0..=MAX_AMOUNT).contains(value))
}

fn known_text(body: &Body, retry_after: Option<Duration>) -> Option<PostReply> {
    let text = shorten(body.message());
    let meaning = match body.code.as_str() {
        "post_only_mode" => Meaning::NotNow(Closed::PostOnly),
        _ => meaning(&text)?,
    };
    Some(match meaning {
        Meaning::Killed => PostReply::Killed { text },
        Meaning::Refused(reason) => PostReply::Rejected { reason, text },
        Meaning::Duplicated => PostReply::Duplicated,
        Meaning::NotNow(_) => PostReply::NotAccepted { retry_after, text },
        Meaning::Open => PostReply::Unknown { text, blocked: false },
    })
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;

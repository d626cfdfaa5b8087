//! Sending order bytes, once per call, one order or several of one account.

use std::{sync::Arc, time::Duration};

use domain::{OrderId, TradingAccount};
use engine::ports::{
    detection::Lane,
    venue::{PostReply, PostTimes, PreparedOrder, RejectReason, VenueError},
};
use futures_util::future::join_all;
use serde::Deserialize;

use crate::{
    answers::Topic,
    clob::Clob,
    explain::Explaining,
    http::{Answer, Failure, malformed, send},
    json::Scalar,
    limits::{ACCOUNT_DEADLINE, PAGE_BODY, SMALL_BODY},
    order::batch_body,
    pace::{Call, Told},
    pacer::Endpoint,
    reply::{classify, classify_batch},
    timely::{Timely, TooLate},
};

/// The order version this program signs, as `GET /version` numbers it. Source: the official clients.
const ORDER_VERSION: i64 = 2;

/// What the question for it is called.
const VERSION: &str = "GET /version";

#[derive(Deserialize)]
struct VersionRow {
    version: Scalar,
}

fn read_version(answer: &Answer) -> Result<i64, VenueError> {
    let row: VersionRow = answer.json(VERSION)?;
    row.version.whole().map_err(|error| malformed(VERSION, &error))
}

fn not_sent(text: impl std::fmt::Display) -> PostReply {
    PostReply::NotAccepted { retry_after: None, text: format!("not sent: {text}") }
}

fn asked_to_wait(wait: Duration) -> PostReply {
    let text = format!("not sent: the venue has asked to wait for {:.1} s", wait.as_secs_f64());
    PostReply::NotAccepted { retry_after: Some(wait), text }
}

impl Clob {
    /// Sends one order. Its rate token was taken before it was signed.
    pub(crate) async fn post_one(
        &self,
        account: &TradingAccount,
        order: &PreparedOrder,
        times: PostTimes,
    ) -> PostReply {
        let began = self.clock.uptime();
        let ends = began.saturating_add(times.reply_within);
        let call = posting(account, Endpoint::Post, Lane::Entries, 1);
        let (sent, took) = self.send_orders(account, (call, "/order"), order.body.clone(), times).await;
        let reply = match &sent {
            Ok(answer) => classify(answer, order.id),
            Err(reply) => reply.clone(),
        };
        self.answers.count_reply(sent.as_ref().ok(), &reply);
        took.iter().for_each(|took| self.answers.hear_post(sent.as_ref().ok(), &reply, *took));
        if let Ok(answer) = &sent {
            self.learn_from(call, answer, &reply);
        }
        let mut explaining = Explaining::of(self, account, sent.as_ref().ok(), ends);
        explaining.explained(order, reply).await
    }

    /// Sends several orders in one request. Their tokens were taken before they were signed; the request takes
    /// its own, and without one they go out side by side, each by itself: nothing waits here.
    pub(crate) async fn post_many(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        let ends = self.clock.uptime().saturating_add(times.reply_within);
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        let all = |reply: &PostReply| ids.iter().map(|_| reply.clone()).collect::<Vec<_>>();
        let request = Call { endpoint: Endpoint::PostBatch, lane, tokens: None };
        if let Some(wait) = self.pacer.closed_for(request) {
            return all(&asked_to_wait(wait));
        }
        if self.pacer.wait(request, Duration::ZERO).await.is_err() {
            return join_all(orders.iter().map(|order| self.post_one(account, order, times))).await;
        }
        let count = u32::try_from(orders.len()).unwrap_or(u32::MAX);
        // They were counted as posts, because nobody knew yet what goes together.
        self.pacer.give_back(Call { endpoint: Endpoint::Post, ..request }, count);
        let call = posting(account, Endpoint::PostBatch, lane, count);
        let body = batch_body(orders.iter().map(|order| order.body.as_slice()));
        let (sent, took) = self.send_orders(account, (call, "/orders"), body, times).await;
        let replies = match &sent {
            Ok(answer) => classify_batch(answer, &ids),
            Err(reply) => all(reply),
        };
        replies.iter().for_each(|reply| self.answers.count_reply(sent.as_ref().ok(), reply));
        if let (Some(took), Some(first)) = (took, replies.first()) {
            self.answers.hear_post(sent.as_ref().ok(), first, took);
        }
        if let (Ok(answer), Some(first)) = (&sent, replies.first()) {
            self.learn_from(call, answer, first);
        }
        let mut explaining = Explaining::of(self, account, sent.as_ref().ok(), ends);
        let mut explained = Vec::with_capacity(replies.len());
        for (order, reply) in orders.iter().zip(replies) {
            explained.push(explaining.explained(order, reply).await);
        }
        explained
    }

    /// The venue's answer, or what having none means; and how long the venue was at it, if anything was sent.
    async fn send_orders(
        &self,
        account: &TradingAccount,
        (call, path): (Call, &'static str),
        body: Vec<u8>,
        times: PostTimes,
    ) -> (Result<Answer, PostReply>, Option<Duration>) {
        let started = self.clock.uptime();
        let credentials = match self.credentials(account, Lane::Exits).await {
            Ok(credentials) => credentials,
            Err(VenueError::RateLimited { what, retry_after }) => {
                let text = format!("not sent: {what}");
                return (Err(PostReply::NotAccepted { retry_after, text }), None);
            }
            Err(error) => return (Err(not_sent(error)), None),
        };
        // Its token is older than what the venue has said since.
        if let Some(wait) = self.pacer.closed_for(call) {
            return (Err(asked_to_wait(wait)), None);
        }
        // A login may have taken time.
        let waited = self.clock.uptime().saturating_sub(started);
        let left = times.reply_within.saturating_sub(waited);
        if left.is_zero() {
            return (Err(not_sent("the login took too long")), None);
        }
        if self.clock.uptime() >= times.send_before {
            return (Err(not_sent(TooLate)), None);
        }
        let timely = Timely::new(body, Arc::clone(&self.clock), times.send_before);
        let late = timely.late();
        let request = self.order_request_as(&credentials, path, timely);
        let began = self.clock.uptime();
        let answer = send(request, left, PAGE_BODY).await;
        let took = Some(self.clock.uptime().saturating_sub(began));
        match answer {
            // The connection may have taken time, too.
            _ if late.was() => (Err(not_sent(TooLate)), None),
            Ok(answer) => {
                tracing::trace!(endpoint = ?call.endpoint, status = answer.status, "posted");
                if answer.status == 401 {
                    self.forget_login(account.signer);
                }
                (Ok(answer), took)
            }
            Err(failure @ Failure::NotSent(_)) => {
                (Err(PostReply::NotAccepted { retry_after: None, text: failure.text() }), took)
            }
            Err(failure) => (Err(PostReply::Unknown { text: failure.text(), blocked: false }), took),
        }
    }

    fn learn_from(&self, call: Call, answer: &Answer, reply: &PostReply) {
        let retry_after = match reply {
            PostReply::NotAccepted { retry_after, .. } => *retry_after,
            _ => answer.retry_after,
        };
        let limited = answer.status == 429;
        // A mode without a time is asked about again: nobody knows when it ends.
        let closed = !limited && matches!(reply, PostReply::NotAccepted { .. }) && retry_after.is_some();
        self.pacer.learn(call, &Told { limit: &answer.limit, limited, closed, retry_after });
    }

    /// What a refused version means: that this program is too old only where the venue names another version than ours.
    /// Single orders were refused so by a venue that had not moved on.
    pub(crate) async fn judge_version(&self) -> (RejectReason, String) {
        match self.order_version().await {
            Ok(ORDER_VERSION) => (
                RejectReason::Signature,
                format!("the venue says it takes version {ORDER_VERSION}, which was sent"),
            ),
            Ok(version) => (
                RejectReason::OrderVersion,
                format!(
                    "the venue takes version {version}, this program signs version {ORDER_VERSION}: update it before it \
                     trades on"
                ),
            ),
            Err(error) => (RejectReason::Signature, format!("the venue's version is unknown: {error}")),
        }
    }

    /// The version of orders that the venue takes.
    ///
    /// # Errors
    /// [`VenueError`].
    pub(crate) async fn order_version(&self) -> Result<i64, VenueError> {
        let ask = async {
            let answer = self.service.get("/version", ACCOUNT_DEADLINE, SMALL_BODY).await;
            read_version(&answer.map_err(|failure| failure.into_error(VERSION))?)
        };
        self.answers.counted(Topic::Clock, ask).await
    }
}

const fn posting(account: &TradingAccount, endpoint: Endpoint, lane: Lane, orders: u32) -> Call {
    Call { endpoint, lane, tokens: Some((account.signer, orders)) }
}

#[cfg(test)]
#[path = "post_tests.rs"]
mod tests;

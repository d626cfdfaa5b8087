//! Sending what commit 2 made durable, and what each reply is noted as.

use std::{collections::HashMap, time::Duration};

use domain::{Clock, ids::AccountId};
use futures_util::{StreamExt, stream};
use tracing::{debug, info, warn};

use super::{Worker, reply};
use crate::{
    crash_points,
    deadline::within,
    limits,
    orders::Learned,
    ports::{
        detection::Lane,
        execution::OrderRecord,
        venue::{
            AcceptedStatus, Admission, Ask, OrderGateway, PostReply, PostTimes, PreparedOrder, RejectReason,
        },
    },
};

/// An attempt that was committed by us and may be sent.
pub(super) struct Won {
    record: OrderRecord,
    /// Uptime after which it must not be written to a socket.
    send_before: Duration,
    /// How long to wait for the venue's reply.
    reply_within: Duration,
}

impl Won {
    /// `uptime` was read before the bytes were committed: they must not be written after the earlier of the
    /// lease's and the order's own end, counted from there. A market may hold its replies back.
    pub(super) fn of(record: OrderRecord, uptime: Duration, taker_delay: Duration) -> Self {
        let own = record.resend_until.since(record.signed_at);
        Self {
            record,
            send_before: uptime.saturating_add(own.min(limits::WORK_LEASE)),
            reply_within: limits::POST_DEADLINE.saturating_add(taker_delay),
        }
    }
}

/// Whose answers come together: one account's, of one lane, from markets that hold them back equally long.
type Together = (AccountId, Lane, Duration);

impl Worker {
    /// Sends what was won: what goes together in one request, an order alone by itself.
    pub(super) async fn send_all(&self, won: Vec<Won>) -> Vec<(OrderRecord, Learned)> {
        // In the order in which the first of each came.
        let mut groups: Vec<Vec<Won>> = Vec::new();
        let mut places: HashMap<Together, usize> = HashMap::new();
        for won in won {
            let intent = &won.record.intent;
            let together = (intent.account.id, intent.lane, won.reply_within);
            let place = *places.entry(together).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(won),
                None => groups.push(vec![won]),
            }
        }
        let sent = stream::iter(groups.into_iter().flat_map(in_batches)).map(|batch| self.send_batch(batch));
        let learned = sent.buffer_unordered(limits::IN_FLIGHT).collect::<Vec<_>>().await;
        learned.into_iter().flatten().collect()
    }

    async fn send_batch(&self, mut batch: Vec<Won>) -> Vec<(OrderRecord, Learned)> {
        if batch.len() == 1 {
            return match batch.pop() {
                Some(won) => vec![self.send(won, None).await],
                None => Vec::new(),
            };
        }
        let sent_at = self.clock.now();
        let replies = self.post_together(&batch).await;
        crash_points::reach("worker.after_post");
        let (mut learned, mut again) = (Vec::with_capacity(batch.len()), Vec::new());
        for (won, reply) in batch.into_iter().zip(replies) {
            match reply {
                // Not now: by itself, within its own deadline.
                Some(refusal @ PostReply::NotAccepted { .. }) => again.push((won, refusal)),
                reply => {
                    let sent = reply.is_some().then_some(sent_at);
                    learned.push(self.noted(won.record, reply.as_ref(), sent));
                }
            }
        }
        let single = stream::iter(again).map(|(won, refusal)| self.send(won, Some(refusal)));
        learned.extend(single.buffer_unordered(limits::IN_FLIGHT).collect::<Vec<_>>().await);
        learned
    }

    /// One post for all of them; `None` for each when the deadline of one passed before the first byte. A
    /// reply that does not come leaves every one of them unknown.
    async fn post_together(&self, batch: &[Won]) -> Vec<Option<PostReply>> {
        let Some(first) = batch.first() else { return Vec::new() };
        let send_before = batch.iter().map(|won| won.send_before).min().unwrap_or_default();
        if self.clock.uptime() >= send_before {
            return batch.iter().map(|_| None).collect();
        }
        let reply_within = first.reply_within;
        let orders: Vec<PreparedOrder> = batch.iter().map(|won| won.record.order.clone()).collect();
        let intent = &first.record.intent;
        let times = PostTimes { send_before, reply_within };
        let post = self.gateway.post_batch(&intent.account, intent.lane, &orders, times);
        let unknown =
            || PostReply::Unknown { text: format!("no reply within {reply_within:?}"), blocked: false };
        let mut replies = within(self.clock.as_ref(), reply_within, post).await.unwrap_or_default();
        replies.resize_with(batch.len(), unknown);
        replies.into_iter().map(Some).collect()
    }

    /// Sends the committed bytes, again only while the venue says "not now" and the deadline holds. `refusal`:
    /// it has said so once, in answer to a request with others.
    async fn send(&self, won: Won, refusal: Option<PostReply>) -> (OrderRecord, Learned) {
        let sent_at = self.clock.now();
        let admitted = refusal.is_none();
        let post =
            Posting { send_before: won.send_before, reply_within: won.reply_within, admitted, refusal };
        let reply = post_until(self.clock.as_ref(), self.gateway.as_ref(), &won.record, post).await;
        crash_points::reach("worker.after_post");
        let sent = reply.is_some().then_some(sent_at);
        self.noted(won.record, reply.as_ref(), sent)
    }

    /// What a reply teaches about an order, and about its market.
    fn noted(
        &self,
        record: OrderRecord,
        reply: Option<&PostReply>,
        sent_at: Option<domain::Timestamp>,
    ) -> (OrderRecord, Learned) {
        let id = record.order.id;
        match reply {
            Some(reply) => {
                info!(order.id = %id, intent.id = %record.intent.id, "posted order {id}: {}", words(reply));
                debug!(order.id = %id, ?reply, "its reply");
            }
            None => warn!(
                order.id = %id, intent.id = %record.intent.id,
                "order {id} was not sent: its time was over before the first byte"
            ),
        }
        if let Some(PostReply::Rejected { reason, text }) = reply {
            if reason.alarm().is_some() || *reason == RejectReason::Credentials {
                // Nothing about this order is wrong: the next ones will fare the same.
                warn!(order.id = %id, account = %record.intent.account.id, "order {id} was refused: {text}");
            }
            if reason.may_be_new_rules() {
                // The next decision must not be made by the old ones.
                self.markets.forget(record.intent.token);
            }
        }
        let mut learned = reply::learned(&record, &self.instance, reply);
        learned.times.sent = sent_at;
        learned.times.replied = reply.is_some().then(|| self.clock.now());
        (record, learned)
    }
}

/// In the order they came, at most as many as one request takes.
fn in_batches(mut won: Vec<Won>) -> Vec<Vec<Won>> {
    let mut batches = Vec::new();
    while !won.is_empty() {
        let rest = won.split_off(limits::POST_BATCH.min(won.len()));
        batches.push(std::mem::replace(&mut won, rest));
    }
    batches
}

/// How to post.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    /// Uptime after which nothing is written to a socket.
    pub(crate) send_before: Duration,
    /// How long to wait for a reply.
    pub(crate) reply_within: Duration,
    /// Whether the token of the first post is taken already.
    pub(crate) admitted: bool,
    /// The "not now" with which an earlier post of these bytes was answered.
    pub(crate) refusal: Option<PostReply>,
}

/// Posts until something other than "not now" comes back; `None` when the deadline passed, or no token came
/// before it, before the first byte.
pub(crate) async fn post_until(
    clock: &dyn Clock,
    gateway: &dyn OrderGateway,
    record: &OrderRecord,
    Posting { send_before, reply_within, mut admitted, refusal: mut last }: Posting,
) -> Option<PostReply> {
    let ask = [Ask::of(record.intent.owner, &record.intent.account, record.intent.lane)];
    loop {
        if let Some(PostReply::NotAccepted { retry_after, .. }) = &last {
            let pause = retry_after.unwrap_or(limits::NOT_NOW_PAUSE).max(limits::NOT_NOW_PAUSE_LEAST);
            if clock.uptime().saturating_add(pause) >= send_before {
                return last;
            }
            clock.sleep(pause).await;
        }
        let left = send_before.saturating_sub(clock.uptime());
        if left.is_zero() {
            return last;
        }
        if !admitted && gateway.admit(&ask, left).await.first() != Some(&Admission::Now) {
            return last;
        }
        if clock.uptime() >= send_before {
            return last;
        }
        admitted = false;
        let times = PostTimes { send_before, reply_within };
        let post = gateway.post(&record.intent.account, &record.order, times);
        let reply = within(clock, reply_within, post).await.unwrap_or_else(|_| PostReply::Unknown {
            text: format!("no reply within {reply_within:?}"),
            blocked: false,
        });
        let PostReply::NotAccepted { .. } = &reply else { return Some(reply) };
        last = Some(reply);
    }
}

/// What a reply says, for people.
fn words(reply: &PostReply) -> String {
    match reply {
        PostReply::Accepted(acceptance) => match acceptance.status {
            AcceptedStatus::Matched => "matched".to_owned(),
            AcceptedStatus::Live => "taken, not matched yet".to_owned(),
            AcceptedStatus::Delayed => "taken, held back for a moment".to_owned(),
        },
        PostReply::Killed { text } => format!("nothing to match ({text})"),
        PostReply::Rejected { text, .. } => format!("refused ({text})"),
        PostReply::Duplicated => "known to the venue already".to_owned(),
        PostReply::NotAccepted { text, .. } => format!("not taken now ({text})"),
        PostReply::Unknown { text, .. } => format!("outcome unknown ({text})"),
    }
}

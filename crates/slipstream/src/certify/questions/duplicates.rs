//! What becomes of bytes that are posted again.

use std::time::Duration;

use domain::{OrderId, OrderType, Timestamp};
use engine::ports::venue::{PostReply, PreparedOrder};

use super::super::{
    finding::{Seen, Verdict},
    place::{Place, Reply, is_known, word},
};
use crate::wording::lasting;

/// After which times an id's bytes are posted again, as far as the patience goes. The first is how long bytes are
/// sent again.
const LATER: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
/// The shortest life that the venue gives a dated order, and some. Source: docs (place orders).
const LIFE: Duration = Duration::from_secs(190);
/// It ends a minute before its date.
const LIVES: Duration = Duration::from_secs(135);

pub(super) async fn while_live(place: &Place) -> anyhow::Result<Seen> {
    let (order, _) = place.rest().await?;
    let again = place.post(&order).await?;
    let seen = again.words();
    let holds = again.means(order.id) == PostReply::Duplicated;
    place.cancel(order.id).await?;
    Ok(Seen::that(holds, "posted a resting order's bytes again", seen))
}

pub(super) async fn after_kill(place: &Place) -> anyhow::Result<Seen> {
    let order = place.order(OrderType::FillAndKill).await?;
    let first = place.post(&order).await?;
    if !matches!(first.means(order.id), PostReply::Killed { .. }) {
        return Ok(Seen::that(false, "posted a FAK at the lowest price", first.words()));
    }
    twice(place, &order, "a killed FAK's").await
}

pub(super) async fn after_cancel(place: &Place) -> anyhow::Result<Seen> {
    let (order, _) = place.rest().await?;
    place.cancel(order.id).await?;
    twice(place, &order, "a cancelled order's").await
}

pub(super) async fn after_expiry(place: &Place) -> anyhow::Result<Seen> {
    if place.terms.patience < LIVES {
        return Ok(Seen::nothing(format!(
            "a dated order lives {0} s at least: --patience {0} waits for its end",
            LIVES.as_secs()
        )));
    }
    let expires_at = Timestamp::from_seconds(place.clock.now().plus(LIFE).seconds());
    let order = place.order(OrderType::GoodTillDate { post_only: true, expires_at }).await?;
    let first = place.post(&order).await?;
    if !matches!(first.means(order.id), PostReply::Accepted(_)) {
        return Ok(Seen::that(false, "posted a dated order", first.words()));
    }
    place.wait(LIVES).await;
    twice(place, &order, "an expired order's").await
}

/// Posts the bytes again at once, and later.
async fn twice(place: &Place, order: &PreparedOrder, whose: &str) -> anyhow::Result<Seen> {
    let mut replies = vec![(Duration::ZERO, place.post(order).await?)];
    for after in LATER.into_iter().filter(|after| *after <= place.terms.patience) {
        let waited = replies.last().map_or(Duration::ZERO, |(waited, _)| *waited);
        place.wait(after.saturating_sub(waited)).await;
        replies.push((after, place.post(order).await?));
    }
    let told = |(after, reply): &(Duration, Reply)| {
        let when = if after.is_zero() { "at once".to_owned() } else { format!("after {}", lasting(*after)) };
        format!("{when}: {}", told(reply, order.id))
    };
    let mut seen: Vec<String> = replies.iter().map(told).collect();
    let means = |(_, reply): &(Duration, Reply)| reply.means(order.id);
    let holds =
        replies.iter().map(means).all(|means| is_known(&means) && !matches!(means, PostReply::Accepted(_)));
    if !holds {
        place.cancel(order.id).await?;
    }
    let done = format!("posted {whose} bytes again");
    if holds && place.terms.patience < LATER[0] {
        seen.push("longer was not waited for: --patience 5 does, up to 600".to_owned());
        return Ok(Seen::new(Verdict::NotObservable, done, seen.join("; ")));
    }
    Ok(Seen::that(holds, done, seen.join("; ")))
}

fn told(reply: &Reply, id: OrderId) -> String {
    format!("{} ({})", word(&reply.means(id)), reply.words())
}

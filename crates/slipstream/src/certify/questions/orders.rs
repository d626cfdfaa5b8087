//! How orders are answered.

use std::time::Duration;

use domain::{OrderType, WalletKind};
use engine::ports::venue::{PostReply, PreparedOrder};
use serde_json::Value;

use super::super::{
    finding::{Seen, Verdict},
    place::{Place, word},
    words::{of_order, wallet},
};
use crate::wording::{count, lasting};

/// Dates in orders that are tried, by their age. What is relied on is the second.
const AGES: [Duration; 5] = [
    Duration::from_secs(60),
    RELIED_AGE,
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
    Duration::from_secs(30 * 86_400),
];
const RELIED_AGE: Duration = Duration::from_secs(300);

pub(super) async fn order_id(place: &Place) -> anyhow::Result<Seen> {
    let (order, reply) = place.rest().await?;
    place.cancel(order.id).await?;
    let named = reply.json().get("orderID").and_then(Value::as_str).unwrap_or("nothing").to_owned();
    let kind = place.terms.account.kind;
    let done = format!("placed an order of {} whose hash was known before", wallet(kind));
    let same = named.eq_ignore_ascii_case(&order.id.to_string());
    let seen = match same {
        true => format!("the venue calls it by its hash, {}", order.id),
        false => format!("the venue calls it {named}, its hash is {}", order.id),
    };
    if same && kind != WalletKind::Deposit {
        return Ok(Seen::new(
            Verdict::Confirmed,
            done,
            format!("{seen}; of deposit wallets nothing was seen"),
        ));
    }
    Ok(Seen::that(same, done, seen))
}

pub(super) async fn killed(place: &Place) -> anyhow::Result<Seen> {
    let (mut holds, mut seen) = (true, Vec::new());
    for (name, kind) in [("FAK", OrderType::FillAndKill), ("FOK", OrderType::FillOrKill)] {
        let order = place.order(kind).await?;
        let reply = place.post(&order).await?;
        holds &= reply.status == 400 && matches!(reply.means(order.id), PostReply::Killed { .. });
        seen.push(format!("{name}: {}", reply.words()));
    }
    Ok(Seen::that(holds, "posted one of each at the lowest price", seen.join("; ")))
}

pub(super) async fn batch(place: &Place) -> anyhow::Result<Seen> {
    let resting = OrderType::GoodTillCancelled { post_only: true };
    let mut orders: Vec<PreparedOrder> = Vec::new();
    for kind in [OrderType::FillAndKill, resting, OrderType::FillAndKill] {
        orders.push(place.order(kind).await?);
    }
    let reply = place.post_together(&orders).await?;
    let ids: Vec<_> = orders.iter().map(|order| order.id).collect();
    let replies = reply.mean(&ids);
    place.tidy().await?;
    let words: Vec<&str> = replies.iter().map(word).collect();
    let holds = matches!(
        replies.as_slice(),
        [PostReply::Killed { .. }, PostReply::Accepted(_), PostReply::Killed { .. }]
    );
    let done = "posted a FAK, an order that rests and a FAK in one request";
    Ok(Seen::that(holds, done, format!("{} ({})", words.join(", "), reply.status)))
}

pub(super) async fn timestamp(place: &Place) -> anyhow::Result<Seen> {
    let (mut oldest, mut refusal) = (None, None);
    for age in AGES {
        let order = place.order_dated(OrderType::FillAndKill, place.clock.now().minus(age)).await?;
        let reply = place.post(&order).await?;
        if !matches!(reply.means(order.id), PostReply::Killed { .. }) {
            refusal = Some(format!("{}: {}", lasting(age), reply.words()));
            break;
        }
        oldest = Some(age);
    }
    let taken = oldest
        .map_or_else(|| "none was taken".to_owned(), |age| format!("taken up to an age of {}", lasting(age)));
    let refused = refusal.map(|words| format!("; refused at an age of {words}")).unwrap_or_default();
    let holds = oldest.is_some_and(|age| age >= RELIED_AGE);
    Ok(Seen::that(holds, "posted FAKs with older and older dates", taken + &refused))
}

/// Places an order that might take, as markets with a delay want it, and looks up whatever was answered so.
pub(super) async fn unmatched(place: &Place) -> anyhow::Result<Seen> {
    let order = place.order(OrderType::GoodTillCancelled { post_only: false }).await?;
    place.post(&order).await?;
    let statuses = place.statuses();
    let names: Vec<&str> = statuses.keys().map(String::as_str).collect();
    let names = names.join(", ");
    let Some(id) = statuses.get("unmatched") else {
        place.cancel(order.id).await?;
        let seen = format!("statuses of this run: {names}; a token of a market with a delay may show more");
        return Ok(Seen::new(Verdict::NotObservable, "read the status of every reply", seen));
    };
    let found = place.look_up(*id).await;
    place.cancel(order.id).await?;
    const DONE: &str = "looked up an order that was answered so";
    Ok(match found {
        Ok(found) => {
            let status = found.order.map_or("not shown", |order| of_order(order.status));
            let seen = format!("the order is {status}, with {}", count(found.trades.len(), "trade"));
            Seen::that(true, DONE, seen)
        }
        Err(error) => Seen::that(false, DONE, format!("cannot be read: {error}")),
    })
}

//! How orders are shown and cancelled.

use domain::{OrderType, Shares};
use engine::ports::venue::{OrderLookup, PostReply, PreparedOrder, VenueOrderStatus};

use serde_json::Value;

use super::super::{
    finding::Seen,
    place::{Place, Reply},
    words::of_order,
};
use crate::wording::harmless;

/// Asks in both ways for the record, and as the engine does.
async fn shown(place: &Place, order: &PreparedOrder) -> anyhow::Result<(String, OrderLookup)> {
    let one = place.get(&format!("/data/order/{}", order.id), "").await?;
    let listed = place.get("/data/orders", &format!("?id={}", order.id)).await?;
    let read = place.look_up(order.id).await;
    let words = format!("by id {}; in the list {}", told(&one), told(&listed));
    let read = read.map_err(|error| anyhow::anyhow!("{error}; {words}"))?;
    Ok((words, read))
}

/// What an answer says of the order; its own words where it does not.
fn told(reply: &Reply) -> String {
    let json = reply.json();
    let row = match json.get("data").and_then(Value::as_array) {
        Some(rows) => rows.first().cloned().unwrap_or(Value::Null),
        None => json,
    };
    if row.is_null() && reply.status == 200 {
        return "nothing".to_owned();
    }
    let field = |name: &str| row.get(name).and_then(Value::as_str);
    match (field("status"), field("original_size"), field("size_matched")) {
        (Some(status), Some(size), Some(matched)) => {
            format!("`{}`, matched `{}` of `{}`", harmless(status), harmless(matched), harmless(size))
        }
        _ => reply.words(),
    }
}

pub(super) async fn killed(place: &Place) -> anyhow::Result<Seen> {
    let order = place.order(OrderType::FillAndKill).await?;
    let reply = place.post(&order).await?;
    anyhow::ensure!(
        matches!(reply.means(order.id), PostReply::Killed { .. }),
        "not killed: {}",
        reply.words()
    );
    const DONE: &str = "looked a killed FAK up";
    match shown(place, &order).await {
        Ok((words, OrderLookup { order: None, .. })) => {
            Ok(Seen::that(true, DONE, format!("it is not shown: {words}")))
        }
        Ok((words, OrderLookup { order: Some(found), .. })) => {
            let over = matches!(found.status, VenueOrderStatus::Cancelled | VenueOrderStatus::Matched);
            Ok(Seen::that(
                over && found.matched == Shares::ZERO,
                DONE,
                format!("{}: {words}", of_order(found.status)),
            ))
        }
        Err(error) => Ok(Seen::that(false, DONE, format!("cannot be read: {error:#}"))),
    }
}

pub(super) async fn live(place: &Place) -> anyhow::Result<Seen> {
    let (order, _) = place.rest().await?;
    let read = shown(place, &order).await;
    place.cancel(order.id).await?;
    const DONE: &str = "looked a resting order up";
    match read {
        Ok((words, found)) => {
            let open = found
                .order
                .is_some_and(|found| found.status == VenueOrderStatus::Live && found.matched == Shares::ZERO);
            Ok(Seen::that(open && found.trades.is_empty(), DONE, words))
        }
        Err(error) => Ok(Seen::that(false, DONE, format!("cannot be read: {error:#}"))),
    }
}

pub(super) async fn cancel(place: &Place) -> anyhow::Result<Seen> {
    let (order, _) = place.rest().await?;
    let (first, second) = (place.cancel(order.id).await?, place.cancel(order.id).await?);
    let id = order.id.to_string();
    let (done, left) = (first.json(), second.json());
    let cancelled = done.get("canceled").and_then(|list| list.as_array()).is_some_and(|list| {
        list.iter().any(|named| named.as_str().is_some_and(|named| named.eq_ignore_ascii_case(&id)))
    });
    let told = left.get("not_canceled").is_some_and(|kept| kept.get(&id).is_some());
    let seen = match left.get("not_canceled").and_then(|kept| kept.get(&id)).and_then(Value::as_str) {
        Some(why) if cancelled => format!("the first names it, the second says \"{}\"", harmless(why)),
        _ => format!("first {}; second {}", first.words(), second.words()),
    };
    Ok(Seen::that(cancelled && told, "cancelled a resting order twice", seen))
}

//! How orders are shown and cancelled.

use domain::{OrderType, Shares};
use engine::ports::venue::{OrderLookup, PostReply, PreparedOrder, VenueOrderStatus};

use super::super::{finding::Seen, place::Place};

/// Asks in both ways for the record, and as the engine does.
async fn shown(place: &Place, order: &PreparedOrder) -> anyhow::Result<(String, OrderLookup)> {
    let one = place.get(&format!("/data/order/{}", order.id), "").await?;
    let listed = place.get("/data/orders", &format!("?id={}", order.id)).await?;
    let read = place.look_up(order.id).await;
    let words = format!("by id {}; in the list {}", one.words(), listed.words());
    let read = read.map_err(|error| anyhow::anyhow!("{error}; {words}"))?;
    Ok((words, read))
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
                format!("{:?}: {words}", found.status),
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
    let seen = format!("first {}; second {}", first.words(), second.words());
    Ok(Seen::that(cancelled && told, "cancelled a resting order twice", seen))
}

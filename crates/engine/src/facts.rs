//! What the venue says of an order, asked or by itself, as something learned.

use domain::{
    Rounding, Side, Usd,
    lifecycle::{OrderEvent, OrderState},
    money,
    trade::Quantity,
};

use crate::{
    orders::Learned,
    ports::{
        execution::OrderRecord,
        venue::{OrderLookup, VenueOrder, VenueOrderStatus},
    },
    trades,
};

/// What the answer to a look-up says: it is how things stand.
#[must_use]
pub fn asked(record: &OrderRecord, lookup: OrderLookup) -> Learned {
    let event = lookup.order.map(|order| match order.status {
        VenueOrderStatus::Live => OrderEvent::SeenLive,
        VenueOrderStatus::Delayed => OrderEvent::SeenDelayed,
        VenueOrderStatus::Matched => OrderEvent::SeenMatched,
        VenueOrderStatus::Cancelled => OrderEvent::SeenCancelled,
    });
    let estimate = lookup.order.and_then(|order| matched(record, order, &lookup));
    Learned { event, estimate, trades: lookup.trades, unseen: Some(false), ..Learned::default() }
}

/// What was told by itself says: it was so when it was sent, and may have been overtaken. Fills are facts
/// whenever they come. Of the order's own status only what goes forward is believed. The end of a sale is looked
/// up: another one may be signed on it, while bytes that were sent twice may be alive at the venue.
#[must_use]
pub fn pushed(record: &OrderRecord, facts: OrderLookup) -> Learned {
    let learned = asked(record, facts);
    let (open, sells) = (record.state.is_open(), record.intent.side == Side::Sell);
    let ended = matches!(learned.event, Some(OrderEvent::SeenMatched | OrderEvent::SeenCancelled));
    let event = learned.event.filter(|event| match event {
        OrderEvent::SeenDelayed => open && record.state != OrderState::Live,
        OrderEvent::SeenCancelled => open && !sells,
        _ => open,
    });
    let hurry = ended && sells && record.open_work && !record.state.is_settled();
    Learned { event, hurry, pushed: true, ..learned }
}

/// One piece of what was told of an order added to another, the newer one.
pub fn add(facts: &mut OrderLookup, newer: OrderLookup) {
    facts.trades = trades::merged(&facts.trades, &newer.trades);
    let further = |newer: &VenueOrder| facts.order.is_none_or(|known| progress(*newer) >= progress(known));
    if let Some(order) = newer.order.filter(further) {
        facts.order = Some(order);
    }
}

/// How far an order is: what has ended does not begin again, and what is matched stays matched.
const fn progress(order: VenueOrder) -> (u8, i64) {
    let status = match order.status {
        VenueOrderStatus::Delayed => 0,
        VenueOrderStatus::Live => 1,
        VenueOrderStatus::Matched | VenueOrderStatus::Cancelled => 2,
    };
    (status, order.matched.0)
}

/// What the order record alone says was matched, at the limit price, where it is more than the listed trades: an
/// estimate, which counts only until a reply or the trades tell as much.
fn matched(record: &OrderRecord, order: VenueOrder, lookup: &OrderLookup) -> Option<Quantity> {
    if order.matched.0 <= trades::total(&lookup.trades) {
        return None;
    }
    let usd = match record.intent.side {
        Side::Buy => {
            money::mul_div(order.matched.0, record.amounts.maker, record.amounts.taker, Rounding::Up)
        }
        Side::Sell => {
            money::mul_div(order.matched.0, record.amounts.taker, record.amounts.maker, Rounding::Down)
        }
    };
    usd.ok().map(|usd| Quantity { shares: order.matched, usd: Usd(usd) })
}

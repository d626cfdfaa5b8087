//! What a post's reply teaches about an order.

use domain::{OrderId, Shares, Side, Usd, lifecycle::OrderEvent, trade::Quantity};
use tracing::warn;

use crate::{
    orders::Learned,
    ports::{
        execution::OrderRecord,
        store::InstanceId,
        venue::{Acceptance, AcceptedStatus, PostReply, RejectReason},
    },
};

/// What `reply` says about `record`, sent by `sender`. `None` = nothing was written to a socket.
///
/// A killed or refused post ends the order only when nobody else may have sent the same bytes: an
/// earlier send of unknown outcome could still have been taken.
#[must_use]
pub fn learned(record: &OrderRecord, sender: &InstanceId, reply: Option<&PostReply>) -> Learned {
    let alone = record.permits_out.iter().all(|holder| holder == sender)
        && !matches!(record.state, domain::lifecycle::OrderState::Unknown);
    let returned = Some(sender.clone());
    let ended = |event| Learned {
        event: Some(if alone { event } else { OrderEvent::OutcomeOpen }),
        permit_returned: returned.clone(),
        ..Learned::default()
    };
    match reply {
        None => ended(OrderEvent::DeadlineOver),
        Some(PostReply::Killed { .. }) => ended(OrderEvent::SeenKilled),
        Some(PostReply::Rejected { reason, .. }) => {
            Learned { refused: Some(*reason), ..ended(OrderEvent::SeenRejected) }
        }
        Some(PostReply::NotAccepted { retry_after, .. }) => {
            Learned { wait: *retry_after, ..ended(OrderEvent::DeadlineOver) }
        }
        Some(PostReply::Duplicated) => {
            Learned { event: Some(OrderEvent::OutcomeOpen), permit_returned: returned, ..Learned::default() }
        }
        Some(PostReply::Unknown { blocked, .. }) => {
            // The bytes may still be on their way: the permit stays out.
            let refused = blocked.then_some(RejectReason::Region);
            Learned { event: Some(OrderEvent::OutcomeOpen), refused, ..Learned::default() }
        }
        Some(PostReply::Accepted(acceptance)) => accepted(record, acceptance, returned),
    }
}

fn accepted(record: &OrderRecord, acceptance: &Acceptance, returned: Option<InstanceId>) -> Learned {
    let reply = match (acceptance.making, acceptance.taking) {
        (Some(making), Some(taking)) if making > 0 && taking > 0 => {
            checked(record.order.id, record.intent.side, making, taking)
        }
        _ => None,
    };
    let event = match acceptance.status {
        // Without amounts "matched" is a promise whose numbers must be looked up.
        AcceptedStatus::Matched if reply.is_some() => OrderEvent::SeenMatched,
        AcceptedStatus::Matched | AcceptedStatus::Live => OrderEvent::SeenLive,
        AcceptedStatus::Delayed => OrderEvent::SeenDelayed,
    };
    Learned { event: Some(event), reply, permit_returned: returned, ..Learned::default() }
}

/// The filled quantity of amounts in the order's own terms.
fn checked(order: OrderId, side: Side, making: i64, taking: i64) -> Option<Quantity> {
    let (shares, usd) = match side {
        Side::Buy => (taking, making),
        Side::Sell => (making, taking),
    };
    if i128::from(usd) > i128::from(shares) {
        warn!(order.id = %order, making, taking, "reply implies a price above 1; looking the order up instead");
        return None;
    }
    Some(Quantity { shares: Shares(shares), usd: Usd(usd) })
}

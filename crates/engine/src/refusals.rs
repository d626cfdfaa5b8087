//! Refusals that are about the account, or about where this program runs, and not about the order: the next
//! orders would be refused too. They are answered by one alarm and one hold, not by an alarm for each order.
//!
//! A refused buy stops buys; only a refused sale stops exits too, and not where an approval is missing: the others' may be
//! there. The hold ends by itself, and the next order
//! is the question whether it still is so; an operator can lift it earlier. What a user has paused stays so. Of the region
//! there is somebody to ask: its holds end as soon as the venue says that it trades with it.

use std::time::Duration;

use domain::{Clock, Side, Timestamp};
use tracing::{debug, info, warn};

use crate::{
    deadline::venue_call,
    limits,
    ports::{
        execution::OrderRecord,
        following::{Hold, HoldCause, HoldScope, NewHold},
        store::{Store, StoreResult},
        venue::{OrderGateway, RejectReason},
    },
};

/// Asks, while anybody is held for the region, whether the venue trades with it by now, and lifts these holds when it says
/// so. Without a clear answer nothing is lifted. Returns how many were.
///
/// # Errors
/// Store errors.
pub async fn look_at_region(
    store: &dyn Store,
    gateway: &dyn OrderGateway,
    clock: &dyn Clock,
) -> StoreResult<usize> {
    let holds = store.following(clock.now()).await?.holds;
    let held: Vec<Hold> = holds.into_iter().filter(is_for_region).collect();
    if held.is_empty() {
        return Ok(0);
    }
    match venue_call(clock, "region", limits::LOOK_UP_DEADLINE, gateway.trades_here()).await {
        Ok(true) => {}
        Ok(false) => {
            debug!("the venue still does not trade with this place");
            return Ok(0);
        }
        Err(error) => {
            debug!(%error, "whether the venue trades with this place by now is not known");
            return Ok(0);
        }
    }
    let mut lifted: usize = 0;
    for hold in held {
        if store.lift_hold(None, hold.id, clock.now()).await? {
            lifted = lifted.saturating_add(1);
            info!(hold.id = %hold.id, "hold {} lifted: the venue says that it trades with this place", hold.id);
        }
    }
    Ok(lifted)
}

fn is_for_region(hold: &Hold) -> bool {
    let (scope, named) = (HoldScope::Installation, named(RejectReason::Region));
    hold.cause == HoldCause::Venue && hold.scope == scope && hold.reason.contains(&named)
}

/// The refusal as a hold's reason names it.
fn named(refused: RejectReason) -> String {
    format!("({})", refused.word())
}

/// Places the hold that a refusal calls for. Whether it is in force already, so that nobody need be told again.
pub(crate) async fn is_known(
    store: &dyn Store,
    record: &OrderRecord,
    refused: RejectReason,
    now: Timestamp,
) -> bool {
    let Some(hold) = hold_for(record, refused, now) else { return false };
    match store.hold_once(&hold, now).await {
        Ok(placed) => {
            if let Some(id) = placed {
                warn!(hold.id = %id, account = %record.intent.account.id, "hold {id} placed: {}", hold.reason);
            }
            placed.is_none()
        }
        Err(error) => {
            warn!(%error, "no hold could be placed for a refused account; its next refused order tries again");
            false
        }
    }
}

fn hold_for(record: &OrderRecord, refused: RejectReason, now: Timestamp) -> Option<NewHold> {
    let account = record.intent.account.id;
    let scope = scope(refused, HoldScope::Account(account))?;
    let lasts = lasts(refused);
    let sale = record.intent.side == Side::Sell;
    let stops_exits = sale && refused != RejectReason::Approval;
    let order = if sale { "a sale" } else { "a buy" };
    let reason = format!(
        "the venue refused {order} of account {account} {}, order {}; tried again when this hold ends",
        named(refused),
        record.order.id
    );
    let expires_at = Some(now.plus(lasts));
    Some(NewHold { scope, cause: HoldCause::Venue, reason, stops_exits, sells: false, expires_at })
}

const fn scope(refused: RejectReason, account: HoldScope) -> Option<HoldScope> {
    match refused {
        RejectReason::Approval
        | RejectReason::Banned
        | RejectReason::ClosedOnly
        | RejectReason::WalletKind => Some(account),
        // Wherever it runs, every account is there; whatever is too old for the venue, it is so for every account.
        RejectReason::Region | RejectReason::OrderVersion => Some(HoldScope::Installation),
        _ => None,
    }
}

/// Modes and places change; a ban and a kind of wallet seldom do.
const fn lasts(refused: RejectReason) -> Duration {
    match refused {
        RejectReason::Banned | RejectReason::WalletKind => limits::BAN_HOLD,
        _ => limits::REFUSAL_HOLD,
    }
}

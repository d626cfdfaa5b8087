//! Orders that were lost when the database went back in time: the venue knows them, and the books do not. They are booked to
//! their accounts, each once, as soon as they are over.

use anyhow::{Context as _, ensure};
use domain::{Clock, OrderId, Side, lifecycle::BookingDelta};
use engine::ports::{
    following::{Account, HoldCause, HoldScope, NewHold},
    store::Store,
    venue::{FoundOrder, LostOrder, OrderGateway, SettlementStatus},
};
use tracing::warn;

use crate::wording::{count, dollars, shares};

/// Books what was lost of an account; how many orders. Before that the account is held by a hold that people lift: what
/// becomes of the shares is for them to say.
pub(super) async fn adopt(
    store: &dyn Store,
    venue: &dyn OrderGateway,
    clock: &dyn Clock,
    account: &Account,
) -> anyhow::Result<usize> {
    let (id, label) = (account.trading.id, &account.label);
    let since = store.known_until(id).await?;
    let found = venue.orders_since(&account.trading, since).await;
    let found =
        found.with_context(|| format!("the venue cannot be asked for the orders of account {label}"))?;
    let ids: Vec<OrderId> = found.iter().map(|order| order.id).collect();
    let known: Vec<OrderId> = store.orders(&ids).await?.iter().map(|record| record.order.id).collect();
    let mut lost = Vec::new();
    for order in found.iter().filter(|order| !known.contains(&order.id)) {
        let order = over(order).with_context(|| format!("account {label}"))?;
        lost.extend((order.filled != BookingDelta::default()).then_some(order));
    }
    if lost.is_empty() {
        return Ok(0);
    }
    let hold = NewHold {
        scope: HoldScope::Account(id),
        cause: HoldCause::Operator,
        reason: "orders that were placed before the database went back in time were found at the venue, and booked to the \
                 account. What they bought is sold by nobody here: sell it at the venue, or keep it, and lift this"
            .to_owned(),
        stops_exits: true,
        sells: false,
        expires_at: None,
    };
    store.hold_once(&hold, clock.now()).await?;
    let mut adopted = 0;
    for order in &lost {
        if store.adopt(id, order, clock.now()).await? {
            adopted += 1;
            let LostOrder { id, token, side, filled } = order;
            let what = if *side == Side::Buy { "bought" } else { "sold" };
            warn!(
                order = %id,
                "account {label}: an order that is not known here {what} {} shares of {token} for {} $; it is adopted",
                shares(filled.shares),
                dollars(filled.usd)
            );
        }
    }
    if adopted > 0 {
        warn!(
            "account {label}: {} adopted; the account is held until somebody lifts that",
            count(adopted, "order")
        );
    }
    Ok(adopted)
}

/// All that an order came to, once nothing of it can change any more.
fn over(order: &FoundOrder) -> anyhow::Result<LostOrder> {
    let FoundOrder { id, token, side, is_open, ref trades } = *order;
    ensure!(!is_open, "order {id}, which is not known here, is open at the venue");
    let mut filled = BookingDelta::default();
    for trade in trades {
        match trade.status {
            SettlementStatus::Failed => {}
            SettlementStatus::Confirmed => {
                filled = BookingDelta {
                    shares: filled.shares.plus(trade.shares)?,
                    usd: filled.usd.plus(trade.usd)?,
                    fee: filled.fee.plus(trade.fee)?,
                };
            }
            status => anyhow::bail!(
                "trade {} of order {id}, which is not known here, is {status:?} still",
                trade.id
            ),
        }
    }
    Ok(LostOrder { id, token, side, filled })
}

#[cfg(test)]
#[path = "adopting_tests.rs"]
mod tests;

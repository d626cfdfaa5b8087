//! What we believe was filled, against the venue's own books.

use domain::{lifecycle::Filled, trade::Quantity};
use engine::ports::{execution::OrderRecord, store::StoreResult, venue::VenueError};

use super::{
    Executed, PAGE, Sources, VenueBooks,
    facts::Facts,
    orders::believed,
    report::{About, Check, Findings},
    words,
};

/// Compares fills of orders. Orders that settlement still works on may lag behind.
pub(super) async fn check(
    sources: &Sources<'_>,
    orders: &[OrderRecord],
    facts: &mut Facts,
    findings: &mut Findings,
) -> StoreResult<()> {
    let Some(venue) = sources.options.venue else { return Ok(()) };
    for page in orders.chunks(PAGE) {
        let executed = match executed(venue, page).await {
            Ok(executed) => executed,
            Err(error) => {
                findings.unknown(Check::Venue, error.to_string());
                return Ok(());
            }
        };
        for (record, executed) in page.iter().zip(executed) {
            let executed = executed.unwrap_or_default();
            let unbooked = facts.is_unbooked(sources.execution, &record.order.id).await?;
            let settling = unbooked || record.open_work;
            compare(record, &executed, settling, findings);
        }
    }
    Ok(())
}

/// The venue's answers, exactly one for each order.
async fn executed(
    venue: &dyn VenueBooks,
    orders: &[OrderRecord],
) -> Result<Vec<Option<Executed>>, VenueError> {
    let ids: Vec<_> = orders.iter().map(|record| record.order.id).collect();
    let executed = venue.executed(&ids).await?;
    if executed.len() == ids.len() {
        return Ok(executed);
    }
    Err(VenueError::Malformed {
        what: "the venue's books".to_owned(),
        reason: format!("{} answers to {} questions", executed.len(), ids.len()),
    })
}

fn compare(record: &OrderRecord, executed: &Executed, settling: bool, findings: &mut Findings) {
    findings.compared(Check::Venue, 1);
    let ours = believed(record);
    let quantity = Quantity { shares: executed.shares, usd: executed.usd };
    let theirs = Filled { quantity, fee: executed.fee.unwrap_or(ours.fee) };
    if ours == theirs {
        return;
    }
    if settling {
        findings.waiting(Check::Venue);
    } else {
        let subject = || words::order(record);
        let about = About { check: Check::Venue, subject: &subject, basis: "the venue has" };
        findings.wrong(&about, "fill", &words::filled(&ours), &words::filled(&theirs));
    }
}

/// Looks for orders of our wallets that the venue executed and we do not know.
pub(super) async fn check_strangers(sources: &Sources<'_>, findings: &mut Findings) -> StoreResult<()> {
    let Some(venue) = sources.options.venue else { return Ok(()) };
    for account in sources.reports.accounts(None).await? {
        let wallet = account.trading.wallet;
        let ids = match venue.executed_of(wallet).await {
            Ok(ids) => ids,
            Err(error) => {
                findings.unknown(Check::Strangers, error.to_string());
                return Ok(());
            }
        };
        findings.compared(Check::Strangers, ids.len());
        for page in ids.chunks(PAGE) {
            let known = sources.execution.orders(page).await?;
            for id in page.iter().filter(|id| !known.iter().any(|record| record.order.id == **id)) {
                let subject = || format!("account {} ({})", account.trading.id, account.label);
                let basis = "our books have";
                let about = About { check: Check::Strangers, subject: &subject, basis };
                findings.wrong(&about, "an order the venue executed", &id.to_string(), "no such order");
            }
        }
    }
    Ok(())
}

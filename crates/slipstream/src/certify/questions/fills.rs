//! What a fill comes to: the least there is is bought, and sold again.

use std::time::Duration;

use domain::{Price, Shares, Usd};
use engine::ports::venue::{OrderLookup, PostReply, PreparedOrder, SettlementStatus};

use super::super::{
    finding::{Seen, Verdict},
    place::{Place, word},
    words::of_trade,
};

/// The longest that is waited for settlement.
const SETTLES: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The venue cuts a fee to five decimals, for each fill.
const FEE_STEP: i64 = 10;

const DONE: &str = "bought the least there is, and sold it again";

/// What became of an order: what it filled, and the ways its trades went.
struct Filled {
    shares: Shares,
    usd: Usd,
    fee: Usd,
    trades: usize,
    settled: bool,
    seen: Vec<String>,
}

pub(super) async fn fill(place: &Place) -> anyhow::Result<Seen> {
    if !place.terms.fill {
        return Ok(Seen::nothing("nothing is bought or sold unless --fill says so"));
    }
    let before = place.dollars().await?;
    let (order, limit) = place.buy().await?;
    let bought = match through(place, &order).await? {
        Ok(filled) => filled,
        Err(words) => return Ok(Seen::new(Verdict::NotObservable, DONE, format!("not bought: {words}"))),
    };
    place.holds(bought.shares);
    let between = place.dollars().await?;
    let sold = match sell(place, bought.shares).await {
        Ok(filled) => filled,
        Err(words) => {
            let seen = format!("bought {} shares, which are left: not sold: {words}", bought.shares);
            return Ok(Seen::that(false, DONE, seen));
        }
    };
    place.holds(bought.shares.less(sold.shares));
    let after = place.dollars().await?;
    // What the venue took beyond the price, beside what the market's schedule says.
    let difference = |more: Usd, less: Usd| Usd(more.0.saturating_sub(less.0));
    let paid = difference(difference(before, between), bought.usd);
    let got = difference(sold.usd, difference(after, between));
    let close = |charged: Usd, filled: &Filled| {
        let steps = i64::try_from(filled.trades).unwrap_or(i64::MAX).saturating_mul(FEE_STEP);
        difference(charged, filled.fee).0.abs() <= steps
    };
    let rate = place.market().fee;
    let seen = format!(
        "bought {} shares for {} $, at most {limit} each ({}), sold {} for {} $ ({}); fees of {paid} $ and {got} $, by the \
         schedule {} $ and {} $ (rate {}, exponent {})",
        bought.shares,
        bought.usd,
        bought.seen.join(", "),
        sold.shares,
        sold.usd,
        sold.seen.join(", "),
        bought.fee,
        sold.fee,
        Price(rate.rate),
        rate.exponent,
    );
    let settled = bought.settled && sold.settled && sold.shares == bought.shares;
    Ok(Seen::that(settled && close(paid, &bought) && close(got, &sold), DONE, seen))
}

/// Sells what was bought; else in words why not.
async fn sell(place: &Place, shares: Shares) -> Result<Filled, String> {
    let told = |error: anyhow::Error| format!("{error:#}");
    let order = place.sale(shares).await.map_err(told)?;
    through(place, &order).await.map_err(told)?
}

/// Posts an order and follows its trades until they are final. The inner error says why it was not matched.
async fn through(place: &Place, order: &PreparedOrder) -> anyhow::Result<Result<Filled, String>> {
    let reply = place.post(order).await?;
    let means = reply.means(order.id);
    if !matches!(means, PostReply::Accepted(_)) {
        return Ok(Err(format!("{} ({})", reply.words(), word(&means))));
    }
    let (mut seen, until) = (Vec::new(), place.clock.uptime() + SETTLES);
    loop {
        let found = place.look_up(order.id).await?;
        for status in found.trades.iter().map(|trade| of_trade(trade.status).to_owned()) {
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
        let over = |status| matches!(status, SettlementStatus::Confirmed | SettlementStatus::Failed);
        let settled = !found.trades.is_empty() && found.trades.iter().all(|trade| over(trade.status));
        if settled || place.clock.uptime() >= until {
            return Ok(Ok(sum(&found, settled, seen)));
        }
        place.clock.sleep(LOOK_EVERY).await;
    }
}

fn sum(found: &OrderLookup, settled: bool, seen: Vec<String>) -> Filled {
    let counted = || found.trades.iter().filter(|trade| trade.status != SettlementStatus::Failed);
    Filled {
        shares: counted().map(|trade| trade.shares).sum(),
        usd: counted().map(|trade| trade.usd).sum(),
        fee: counted().map(|trade| trade.fee).sum(),
        trades: counted().count(),
        settled: settled && counted().count() == found.trades.len(),
        seen,
    }
}

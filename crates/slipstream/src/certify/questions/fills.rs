//! What a fill comes to: the least there is is bought, and sold again, one share of it first.

use std::time::Duration;

use domain::{OrderId, Price, Shares, Usd, money::ONE};
use engine::ports::venue::{OrderLookup, PostReply, PreparedOrder, RejectReason, SettlementStatus};

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

/// Less than the minimum of any market that is known.
const ONE_SHARE: Shares = Shares(ONE);

const DONE: &str = "bought the least there is, and sold it again";

/// What became of an order, or of two: what it filled, and the ways its trades went.
#[derive(Default)]
struct Filled {
    shares: Shares,
    usd: Usd,
    fee: Usd,
    trades: usize,
    settled: bool,
    seen: Vec<String>,
}

impl Filled {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self {
            shares: Shares(self.shares.0.saturating_add(other.shares.0)),
            usd: Usd(self.usd.0.saturating_add(other.usd.0)),
            fee: Usd(self.fee.0.saturating_add(other.fee.0)),
            trades: self.trades.saturating_add(other.trades),
            settled: self.settled && other.settled,
            seen: self.seen.into_iter().chain(other.seen).collect(),
        }
    }
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
    let small = sell_one(place).await;
    place.holds(bought.shares.less(small.shares));
    let sold = match sell(place, bought.shares.less(small.shares)).await {
        Ok(filled) => small.and(filled),
        Err(words) => {
            let left = place.held();
            let seen =
                format!("bought {} shares, of which {left} are left: not sold: {words}", bought.shares);
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

/// Sells one share by itself, less than any market's minimum, to see whether the venue takes it.
async fn sell_one(place: &Place) -> Filled {
    let nothing = Filled { settled: true, ..Filled::default() };
    if place.market().minimum_size <= ONE_SHARE {
        return nothing;
    }
    let sold = match place.sale(ONE_SHARE).await {
        Ok(order) => reply_to(place, &order).await,
        Err(error) => Err(error),
    };
    let means = match sold {
        Ok((PostReply::Accepted(_), order, _)) => match followed(place, order).await {
            Ok(filled) => {
                place.sold_small(true, format!("taken: sold {}", filled.shares));
                return filled;
            }
            Err(error) => {
                place.sold_small(false, format!("taken, and then not to be seen: {error:#}"));
                return Filled::default();
            }
        },
        Ok((means, _, words)) => {
            let refused = matches!(means, PostReply::Rejected { reason: RejectReason::Minimum, .. });
            (refused, format!("{words} ({})", word(&means)))
        }
        Err(error) => (false, format!("not asked: {error:#}")),
    };
    place.sold_small(means.0, means.1);
    nothing
}

/// Whether less than the market's minimum can be sold, as was seen when what was bought was sold again.
pub(super) fn small_sale(place: &Place) -> Seen {
    const DONE: &str = "sold one share of those that were bought";
    match place.small_sale() {
        None => Seen::nothing("nothing was bought, or the market's minimum is one share"),
        Some((known, seen)) => Seen::that(known, DONE, seen),
    }
}

/// Sells what was bought; else in words why not.
async fn sell(place: &Place, shares: Shares) -> Result<Filled, String> {
    let told = |error: anyhow::Error| format!("{error:#}");
    let order = place.sale(shares).await.map_err(told)?;
    through(place, &order).await.map_err(told)?
}

/// Posts an order and follows its trades until they are final. The inner error says why it was not matched.
async fn through(place: &Place, order: &PreparedOrder) -> anyhow::Result<Result<Filled, String>> {
    let (means, id, words) = reply_to(place, order).await?;
    if !matches!(means, PostReply::Accepted(_)) {
        return Ok(Err(format!("{words} ({})", word(&means))));
    }
    followed(place, id).await.map(Ok)
}

/// Posts an order; what the reply means, and its words.
async fn reply_to(place: &Place, order: &PreparedOrder) -> anyhow::Result<(PostReply, OrderId, String)> {
    let reply = place.post(order).await?;
    Ok((reply.means(order.id), order.id, reply.words()))
}

/// Follows an order's trades until they are final, or for as long as is waited.
async fn followed(place: &Place, order: OrderId) -> anyhow::Result<Filled> {
    let (mut seen, until) = (Vec::new(), place.clock.uptime() + SETTLES);
    loop {
        let found = place.look_up(order).await?;
        for status in found.trades.iter().map(|trade| of_trade(trade.status).to_owned()) {
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
        let over = |status| matches!(status, SettlementStatus::Confirmed | SettlementStatus::Failed);
        let settled = !found.trades.is_empty() && found.trades.iter().all(|trade| over(trade.status));
        if settled || place.clock.uptime() >= until {
            return Ok(sum(&found, settled, seen));
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

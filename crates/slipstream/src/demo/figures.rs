//! Figures of a demo from stored rows: followers' results, time between stages.
//! Pure; reads nothing.

use std::collections::HashMap;

use domain::{
    Price, Shares, Timestamp, TokenId, Usd,
    ids::AccountId,
    money::{MoneyError, Rounding},
};
use engine::ports::{execution::OrderRecord, following::Account, reports::PositionRecord};
use serde::Serialize;

use super::setup::DEPOSIT;

/// One follower's money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FollowerLine {
    /// Name.
    pub name: String,
    /// How it follows.
    pub style: String,
    /// Money at hand.
    pub cash: Usd,
    /// Cost of open positions.
    pub invested: Usd,
    /// Open positions with a known price, at that price.
    pub value: Usd,
    /// Cost of open positions without a known price.
    pub unpriced: Usd,
    /// Realised profit, fees not included.
    pub realised: Usd,
    /// Fees paid.
    pub fees: Usd,
    /// Open positions.
    pub positions: usize,
    /// Open positions without a known price.
    pub unpriced_positions: usize,
}

impl FollowerLine {
    /// Gain or loss against the deposits of `followers`; positions without a price count at cost.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn result(&self, followers: i64) -> Result<Usd, MoneyError> {
        let deposits = DEPOSIT.times(followers, 1, Rounding::Down)?;
        self.cash.plus(self.value)?.plus(self.unpriced)?.minus(deposits)
    }

    fn add(&mut self, record: &PositionRecord, price: Option<Price>) -> Result<(), MoneyError> {
        let position = &record.position;
        self.realised = self.realised.plus(position.realised)?;
        self.fees = self.fees.plus(position.fees)?;
        self.invested = self.invested.plus(position.cost)?;
        if position.shares == Shares::ZERO {
            return Ok(());
        }
        self.positions += 1;
        match price {
            Some(price) if position.shares.is_positive() => {
                self.value = self.value.plus(price.cost(position.shares, Rounding::Down)?)?;
            }
            _ => {
                self.unpriced = self.unpriced.plus(position.cost)?;
                self.unpriced_positions += 1;
            }
        }
        Ok(())
    }
}

/// All accounts with their positions, valued at `prices`.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn followers(
    accounts: &[Account],
    positions: &[PositionRecord],
    prices: &HashMap<TokenId, Price>,
) -> Result<Vec<FollowerLine>, MoneyError> {
    let mut sums: HashMap<AccountId, FollowerLine> = HashMap::new();
    for record in positions {
        sums.entry(record.account).or_default().add(record, prices.get(&record.token).copied())?;
    }
    let lines = accounts.iter().map(|account| {
        let (name, style) = account.label.split_once(" (").unwrap_or((&account.label, ""));
        FollowerLine {
            name: name.to_owned(),
            style: style.trim_end_matches(')').to_owned(),
            cash: account.cash,
            ..sums.remove(&account.trading.id).unwrap_or_default()
        }
    });
    Ok(lines.collect())
}

/// The sum of all followers.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn total(followers: &[FollowerLine]) -> Result<FollowerLine, MoneyError> {
    let mut total = FollowerLine { name: "all".to_owned(), ..FollowerLine::default() };
    for line in followers {
        total.cash = total.cash.plus(line.cash)?;
        total.invested = total.invested.plus(line.invested)?;
        total.value = total.value.plus(line.value)?;
        total.unpriced = total.unpriced.plus(line.unpriced)?;
        total.realised = total.realised.plus(line.realised)?;
        total.fees = total.fees.plus(line.fees)?;
        total.positions += line.positions;
        total.unpriced_positions += line.unpriced_positions;
    }
    Ok(total)
}

/// Time between two stages, over all orders that passed both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StageLatency {
    /// Which.
    pub stage: &'static str,
    /// Orders that passed it.
    pub orders: usize,
    /// Median, in microseconds.
    pub median_us: i64,
    /// Nineteen of twenty took at most this, in microseconds.
    pub p95_us: i64,
    /// The slowest, in microseconds.
    pub max_us: i64,
}

/// Name of the span that the engine itself is answerable for.
pub const SEEN_TO_SENT: &str = "seen to sent";

type Stage = (&'static str, fn(&OrderRecord) -> Option<(Timestamp, Timestamp)>);

/// The stages of an order, and what the engine itself is answerable for. The venue can call an order final
/// before we have read its block, so both are counted from its answer. Blocks have whole seconds.
const STAGES: [Stage; 8] = [
    ("leader to seen", |order| Some((order.intent.traded_at, order.intent.seen_at))),
    ("seen to decided", |order| Some((order.intent.seen_at, order.intent.decided_at))),
    ("decided to signed", |order| Some((order.intent.decided_at, order.signed_at))),
    ("signed to sent", |order| Some((order.signed_at, order.times.sent?))),
    ("sent to answered", |order| Some((order.times.sent?, order.times.replied?))),
    ("answered to mined", |order| Some((order.times.replied?, order.times.mined?))),
    ("answered to final", |order| Some((order.times.replied?, order.times.confirmed?))),
    (SEEN_TO_SENT, |order| Some((order.intent.seen_at, order.times.sent?))),
];

/// Time between stages; stages that no order passed yet are left out.
#[must_use]
pub fn latency<'a>(orders: impl Iterator<Item = &'a OrderRecord> + Clone) -> Vec<StageLatency> {
    let stages = STAGES.iter().filter_map(|(stage, times)| {
        let passed = orders.clone().filter_map(times);
        let mut took: Vec<i64> = passed.map(|(from, to)| to.0.saturating_sub(from.0)).collect();
        took.sort_unstable();
        let rank = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(StageLatency {
            stage,
            orders: took.len(),
            median_us: rank(50)?,
            p95_us: rank(95)?,
            max_us: rank(100)?,
        })
    });
    stages.collect()
}

#[cfg(test)]
mod tests {
    use domain::ids::{OwnerId, RelationshipId};
    use domain::{money::ONE, position::Position};

    use super::*;

    fn position(token: u8, shares: i64, cost: i64) -> PositionRecord {
        PositionRecord {
            owner: OwnerId(1),
            account: AccountId(1),
            relationship: RelationshipId(1),
            token: TokenId([token; 32]),
            position: Position {
                shares: Shares(shares),
                cost: Usd(cost),
                realised: Usd(2 * ONE),
                fees: Usd(ONE),
            },
        }
    }

    #[test]
    fn positions_count_at_their_price_and_without_one_at_cost() {
        let mut line = FollowerLine { cash: Usd(DEPOSIT.0 - 30 * ONE), ..FollowerLine::default() };
        line.add(&position(1, 100 * ONE, 20 * ONE), Some(Price(300_000))).unwrap();
        line.add(&position(2, 10 * ONE, 10 * ONE), None).unwrap();
        line.add(&position(3, 0, 0), None).unwrap();
        assert_eq!((line.value, line.unpriced), (Usd(30 * ONE), Usd(10 * ONE)));
        assert_eq!((line.positions, line.unpriced_positions), (2, 1));
        assert_eq!((line.realised, line.fees, line.invested), (Usd(6 * ONE), Usd(3 * ONE), Usd(30 * ONE)));
        assert_eq!(line.result(1), Ok(Usd(10 * ONE)));
        let all = total(&[line.clone(), line]).unwrap();
        assert_eq!(all.result(2), Ok(Usd(20 * ONE)));
    }
}

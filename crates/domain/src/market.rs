//! What a market demands of an order, and its order book.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConditionId, TokenId},
    money::{CENT, MoneyError, ONE, Price, Rounding, Shares, Side, TickSize, Usd, mul_div},
    policy::BASIS_POINTS,
};

/// One outcome token of a market and the rules its orders must obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    /// The outcome token.
    pub token: TokenId,
    /// The condition the token belongs to.
    pub condition: ConditionId,
    /// Price grid.
    pub tick: TickSize,
    /// Smallest order, in shares.
    pub minimum_size: Shares,
    /// Whether orders go to the negative-risk exchange (ignored for ids of the V3 era).
    pub negative_risk: bool,
    /// What fills cost.
    pub fee: FeeSchedule,
    /// How many milliseconds the venue holds orders back that would match at once: it answers after that, or says
    /// that the order is delayed.
    #[serde(default)]
    pub taker_delay_ms: u32,
    /// Whether the venue takes orders for it now.
    pub accepting_orders: bool,
    /// What one share of this token pays, once the market is resolved (0, 1, or between).
    pub payout: Option<Price>,
    /// The question, for people.
    pub title: String,
    /// The venue's short name of the market.
    pub slug: String,
    /// Label of this token's outcome ("Yes", "Up").
    pub outcome: String,
}

/// What a fill costs. The venue's fee: dollars = shares × rate × (price × (1 − price))^exponent, rounded to 5
/// decimals; with a builder code, the builder's share of the dollars of a taker comes on top.
/// Source: docs.polymarket.com/trading/fees; `fd.r`, `fd.e`, `fd.to` of `/clob-markets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    /// Rate in millionths (0.07 = 70,000).
    pub rate: i64,
    /// Exponent of `price × (1 − price)`.
    pub exponent: u32,
    /// Whether makers pay nothing.
    #[serde(default = "taker_only")]
    pub taker_only: bool,
    /// What the builder charges takers, in basis points of their dollars.
    #[serde(default)]
    pub builder_bps: u16,
}

/// As a schedule that does not say so is read.
const fn taker_only() -> bool {
    true
}

impl Default for FeeSchedule {
    fn default() -> Self {
        Self { rate: 0, exponent: 0, taker_only: taker_only(), builder_bps: 0 }
    }
}

/// Fees are charged in steps of 0.00001 dollars.
pub const FEE_STEP: Usd = Usd(10);

impl FeeSchedule {
    /// The fee of a taker fill, builder included, rounded up to the fee step: an estimate never in our favour.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn taker_fee(self, shares: Shares, price: Price) -> Result<Usd, MoneyError> {
        self.venue_fee(shares, price)?.plus(self.builder_fee(price.cost(shares, Rounding::Up)?)?)
    }

    fn builder_fee(self, usd: Usd) -> Result<Usd, MoneyError> {
        match self.builder_bps {
            0 => Ok(Usd::ZERO),
            bps => to_fee_step(mul_div(usd.0, i64::from(bps), BASIS_POINTS, Rounding::Up)?),
        }
    }

    /// The fee of a maker fill.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn maker_fee(self, shares: Shares, price: Price) -> Result<Usd, MoneyError> {
        if self.taker_only { Ok(Usd::ZERO) } else { self.venue_fee(shares, price) }
    }

    fn venue_fee(self, shares: Shares, price: Price) -> Result<Usd, MoneyError> {
        if self.rate == 0 {
            return Ok(Usd::ZERO);
        }
        let spread = spread(price)?;
        let mut amount = mul_div(shares.0, self.rate, ONE, Rounding::Up)?;
        for _ in 0..self.exponent {
            amount = mul_div(amount, spread, ONE, Rounding::Up)?;
        }
        to_fee_step(amount)
    }

    /// A bound of the fee of a buy of `usd` that pays at most `limit`. It may be filled far below what was on offer, and
    /// the fee of the same dollars rises as the price falls: `shares × rate × (p(1−p))^e` with `shares = usd / p` is at
    /// most `usd × rate × s^(e−1)`, where `s` is the largest p(1−p) up to the limit. (With e = 0 the lowest price,
    /// `tick`, costs most.) One step covers the rounding of one fill's fee.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn worst_buy_fee(self, usd: Usd, limit: Price, tick: Price) -> Result<Usd, MoneyError> {
        if self.exponent == 0 {
            return self.taker_fee(tick.shares_for(usd, Rounding::Up)?, tick);
        }
        let builder = self.builder_fee(usd)?;
        if self.rate == 0 {
            return Ok(builder);
        }
        let widest = spread(Price(limit.0.min(ONE / 2)))?;
        let mut amount = mul_div(usd.0, self.rate, ONE, Rounding::Up)?;
        for _ in 1..self.exponent {
            amount = mul_div(amount, widest, ONE, Rounding::Up)?;
        }
        to_fee_step(amount)?.plus(FEE_STEP)?.plus(builder)
    }
}

/// p(1−p) in millionths, rounded up.
fn spread(price: Price) -> Result<i64, MoneyError> {
    mul_div(price.0, price.complement().0, ONE, Rounding::Up)
}

/// Millionths of dollars, rounded up to the fee step.
fn to_fee_step(amount: i64) -> Result<Usd, MoneyError> {
    let steps = mul_div(amount, 1, FEE_STEP.0, Rounding::Up)?;
    mul_div(steps, FEE_STEP.0, 1, Rounding::Down).map(Usd)
}

/// One price level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Price of the level.
    pub price: Price,
    /// Shares offered or wanted there.
    pub size: Shares,
}

/// A market's order book as last seen, best level first on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Buyers, highest price first.
    pub bids: Vec<Level>,
    /// Sellers, lowest price first.
    pub asks: Vec<Level>,
}

/// The best level on each side of a book: all that a decision asks, and all that is stored with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopOfBook {
    /// The highest price wanted; `None` without buyers.
    pub bid: Option<Level>,
    /// The lowest price offered; `None` without sellers.
    pub ask: Option<Level>,
}

impl TopOfBook {
    /// The best price an order of ours on `side` could get.
    #[must_use]
    pub fn best_for(&self, side: Side) -> Option<Price> {
        let level = match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        };
        level.map(|level| level.price)
    }
}

impl Book {
    /// Its best levels.
    #[must_use]
    pub fn top(&self) -> TopOfBook {
        TopOfBook { bid: self.bids.first().copied(), ask: self.asks.first().copied() }
    }

    /// The best price an order of ours on `side` could get.
    #[must_use]
    pub fn best_for(&self, side: Side) -> Option<Price> {
        self.top().best_for(side)
    }

    /// The levels an order on `side` would match.
    #[must_use]
    pub fn against(&self, side: Side) -> &[Level] {
        match side {
            Side::Buy => &self.asks,
            Side::Sell => &self.bids,
        }
    }
}

/// The venue refuses marketable buys below one dollar. Source: widely reported, not in the docs.
pub const MINIMUM_MARKET_BUY: Usd = Usd(ONE);

impl Market {
    /// The smallest market buy at `limit`, in whole cents: the market's minimum shares and the
    /// venue's minimum dollars.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minimum_buy(&self, limit: Price) -> Result<Usd, MoneyError> {
        let usd = limit.cost(self.minimum_size, Rounding::Up)?.max(MINIMUM_MARKET_BUY);
        let mut cents = usd.plus(Usd(CENT.0.saturating_sub(1)))?.floor_to(CENT);
        // Cutting shares to the tick's decimals can fall a hair short of the minimum.
        if limit.shares_for(cents, Rounding::Down)?.floor_to(Shares(self.tick.amount_step()))
            < self.minimum_size
        {
            cents = cents.plus(CENT)?;
        }
        Ok(cents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fee_of_the_documented_formula() {
        let crypto = FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() };
        // 100 shares at 0.5: 100 x 0.07 x 0.25 = 1.75 dollars.
        assert_eq!(crypto.taker_fee(Shares(100 * ONE), Price(500_000)), Ok(Usd(1_750_000)));
        assert_eq!(FeeSchedule::default().taker_fee(Shares(100 * ONE), Price(500_000)), Ok(Usd::ZERO));
        // Never below the smallest step.
        assert_eq!(crypto.taker_fee(Shares(1), Price(500_000)), Ok(FEE_STEP));
        // A builder's quarter of a per cent of 50 dollars; makers pay neither, unless the schedule says so.
        let built = FeeSchedule { builder_bps: 25, ..crypto };
        assert_eq!(built.taker_fee(Shares(100 * ONE), Price(500_000)), Ok(Usd(1_875_000)));
        assert_eq!(built.maker_fee(Shares(100 * ONE), Price(500_000)), Ok(Usd::ZERO));
        let both = FeeSchedule { taker_only: false, ..built };
        assert_eq!(both.maker_fee(Shares(100 * ONE), Price(500_000)), Ok(Usd(1_750_000)));
    }

    /// Of a book of any depth two levels are kept, and they are what an order meets first.
    /// 10 $ at 7 %: what was set aside for the best offer of 0.50 (0.35 $) is less than what a fill at 0.30 costs.
    #[test]
    fn lower_prices_cost_more() {
        let fee = FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() };
        let (usd, tick) = (Usd(10 * ONE), Price(10_000));
        let at = |cents: i64| {
            let price = Price(cents * 10_000);
            fee.taker_fee(price.shares_for(usd, Rounding::Down).unwrap(), price).unwrap()
        };
        assert!(at(50) <= Usd(350_010) && at(30) > Usd(480_000) && at(1) > Usd(690_000));
        assert_eq!(fee.worst_buy_fee(usd, Price(510_000), tick), Ok(Usd(700_010)));
        assert_eq!(FeeSchedule::default().worst_buy_fee(usd, Price(510_000), tick), Ok(Usd::ZERO));
        // A fee for each share, whatever its price: 1,000 shares at the lowest price.
        let each = FeeSchedule { exponent: 0, ..fee };
        assert_eq!(each.worst_buy_fee(usd, Price(510_000), tick), Ok(Usd(70 * ONE)));
    }

    #[test]
    fn the_top_is_what_an_order_meets_first() {
        let level = |cents: i64| Level { price: Price(cents * 10_000), size: Shares(ONE) };
        let book = Book { bids: (1..50).rev().map(level).collect(), asks: (50..99).map(level).collect() };
        assert_eq!(book.top(), TopOfBook { bid: Some(level(49)), ask: Some(level(50)) });
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(book.top().best_for(side), book.against(side).first().map(|level| level.price));
        }
        assert_eq!(Book::default().top(), TopOfBook::default());
        assert_eq!(TopOfBook::default().best_for(Side::Buy), None);
    }

    /// Two rules of the venue: the least shares of every order, and the least dollars of one that takes at once.
    #[test]
    fn a_buy_has_the_least_shares_and_the_least_dollars() {
        let least = |shares: i64, cents: i64| {
            let market = Market {
                token: TokenId([1; 32]),
                condition: ConditionId::from_slice(&[2; 32]).unwrap(),
                negative_risk: false,
                tick: TickSize::from_price(Price(10_000)).unwrap(),
                minimum_size: Shares(shares * ONE),
                fee: FeeSchedule::default(),
                taker_delay_ms: 0,
                accepting_orders: true,
                payout: None,
                title: String::new(),
                slug: String::new(),
                outcome: String::new(),
            };
            market.minimum_buy(Price(cents * 10_000)).unwrap()
        };
        // Five shares at a cent are five cents: the dollar binds. At half a dollar the shares do.
        assert_eq!((least(5, 1), least(5, 20), least(5, 50)), (Usd(ONE), Usd(ONE), Usd(2_500_000)));
        assert_eq!((least(15, 7), least(0, 50)), (Usd(1_050_000), Usd(ONE)));
    }

    #[test]
    fn schedules_stored_before_read_as_taker_only() {
        let stored: FeeSchedule = serde_json::from_str(r#"{"rate":70000,"exponent":1}"#).unwrap();
        assert_eq!(stored, FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() });
    }
}

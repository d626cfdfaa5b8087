//! The taker fee. Source: docs.polymarket.com/trading/fees, general form of the official clients;
//! rounding observed on-chain (see the test).

use domain::{
    Price, Shares, Usd,
    money::{ONE, Rounding},
};
use serde::{Deserialize, Serialize};

use super::{World, matching::Fill, orders::Submission};
use crate::wire::decimal;

/// Five decimals of a dollar, in millionths: the fee's smallest step.
const FEE_STEP: i128 = 10;
/// `p (1 - p)` of two prices in millionths is in units of 1e-12.
const SQUARE: i128 = 1_000_000_000_000;

/// `rate * (p (1 - p))^exponent` per share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    /// Rate, for example 0.05.
    #[serde(with = "decimal")]
    pub rate: Price,
    /// Exponent; 1 for nearly all markets.
    pub exponent: u32,
}

impl Default for FeeSchedule {
    fn default() -> Self {
        Self { rate: Price(0), exponent: 1 }
    }
}

impl FeeSchedule {
    /// What a taker pays for `shares` at `price`, cut to five decimals. Saturates far outside any
    /// possible balance.
    #[must_use]
    pub fn fee(&self, shares: Shares, price: Price) -> Usd {
        let one = i128::from(ONE);
        let square = i128::from(price.0) * (one - i128::from(price.0));
        let mut factor = SQUARE;
        for _ in 0..self.exponent {
            factor = factor * square / SQUARE;
        }
        let rate = i128::from(self.rate.0) * factor;
        let micros = i128::from(shares.0).checked_mul(rate).map_or(i128::MAX, |value| value / one / SQUARE);
        Usd(i64::try_from(micros / FEE_STEP * FEE_STEP).unwrap_or(i64::MAX))
    }
}

/// Basis points of a dollar.
const BPS: i64 = 10_000;

/// What a taker pays for a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakerFee {
    /// To the venue.
    pub venue: Usd,
    /// To the builder that the order names.
    pub builder: Usd,
}

impl TakerFee {
    /// Both together.
    #[must_use]
    pub const fn total(&self) -> Usd {
        Usd(self.venue.0.saturating_add(self.builder.0))
    }
}

impl World {
    /// What a taker pays for these fills.
    pub(super) fn taker_fee(&self, order: &Submission, fills: &[Fill]) -> TakerFee {
        let market = self.registry.market_of(&order.fields.token);
        let schedule = market.map_or_else(FeeSchedule::default, |market| market.spec.fee);
        let venue = fills.iter().map(|fill| schedule.fee(fill.shares, fill.price)).sum();
        let bps = self.registry.builder(&order.fields.builder).map_or(0, |fees| i64::from(fees.taker_bps));
        let dollars: Usd = fills.iter().map(|fill| fill.usd).sum();
        let builder = dollars.times(bps, BPS, Rounding::Down).unwrap_or_default();
        TakerFee { venue, builder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_the_ones_charged_on_polygon() {
        // Taker legs of V2 `OrderFilled` logs of 2026-09-24 to 2026-09-30: shares, price, rate, fee.
        // Public on-chain amounts, collected in nautilus_trader b6f7b872,
        // crates/adapters/polymarket/test_data/chain_order_filled_taker_fees.json.
        let seen = [
            ("7.575758", "0.66", "0.05", 85_000),
            ("21.126758", "0.71", "0.05", 217_490),
            ("2.083334", "0.48", "0.07", 36_400),
            ("7.57", "0.65", "0.05", 86_100),
            ("5", "0.31", "0.05", 53_470),
            ("5", "0.27", "0.05", 49_270),
            ("21.13", "0.70", "0.05", 221_860),
            ("8.928572", "0.56", "0.05", 110_000),
            ("5.14931", "0.971", "0.07", 10_140),
            ("9.321429", "0.56", "0.05", 114_840),
            ("8.93", "0.55", "0.05", 110_500),
        ];
        for (shares, price, rate, fee) in seen {
            let schedule = FeeSchedule { rate: rate.parse().unwrap(), exponent: 1 };
            let got = schedule.fee(shares.parse().unwrap(), price.parse().unwrap());
            assert_eq!(got, Usd(fee), "{shares} at {price}");
        }
    }

    #[test]
    fn exponents_and_dust() {
        let flat = FeeSchedule { rate: Price(20_000), exponent: 0 };
        assert_eq!(flat.fee(Shares(5 * ONE), Price(500_000)), Usd(100_000));
        let squared = FeeSchedule { rate: Price(1_000_000), exponent: 2 };
        assert_eq!(squared.fee(Shares(16 * ONE), Price(500_000)), Usd(ONE));
        let small = FeeSchedule { rate: Price(50_000), exponent: 1 };
        assert_eq!(small.fee(Shares(1), Price(500_000)), Usd(0));
        assert_eq!(FeeSchedule::default().fee(Shares(ONE), Price(500_000)), Usd(0));
    }
}

//! Money, shares and prices as checked integers, and the venue's rounding rules.
//!
//! Everything is in millionths, the chain's own unit: pUSD and outcome shares have six decimals.

use std::{fmt, iter::Sum, str::FromStr};

use serde::{Deserialize, Serialize};

/// One dollar, one share, or the price 1, in millionths.
pub const ONE: i64 = 1_000_000;
/// The smallest share quantity the venue trades: 0.01 share.
pub const LOT: Shares = Shares(10_000);
/// The smallest step of a market order's dollar amount: one cent.
pub const CENT: Usd = Usd(10_000);

/// Arithmetic that left the range, or a number that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit 64 bits.
    #[error("amount out of range in {0}")]
    Overflow(&'static str),
    /// Not a decimal number with at most six decimals.
    #[error("`{0}` is not a decimal number with at most six decimals")]
    NotDecimal(String),
    /// Not one of the venue's tick sizes.
    #[error("tick size {0} is none of 0.1, 0.01, 0.005, 0.0025, 0.001, 0.0001")]
    UnknownTick(Price),
}

/// Which way a division goes when it does not come out even. Always chosen against ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// `a * b / c` in 128 bits, for quantities that are never negative.
///
/// # Errors
/// [`MoneyError::Overflow`] when `c` is zero or the result does not fit.
pub fn mul_div(a: i64, b: i64, c: i64, rounding: Rounding) -> Result<i64, MoneyError> {
    let overflow = || MoneyError::Overflow("a multiplication");
    let product = i128::from(a).checked_mul(i128::from(b)).ok_or_else(overflow)?;
    let divisor = i128::from(c);
    let quotient = product.checked_div(divisor).ok_or_else(overflow)?;
    let remainder = product.checked_rem(divisor).ok_or_else(overflow)?;
    let bump = match rounding {
        Rounding::Up if remainder != 0 => 1,
        _ => 0,
    };
    quotient.checked_add(bump).and_then(|value| i64::try_from(value).ok()).ok_or_else(overflow)
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// Sum, checked.
            ///
            /// # Errors
            /// [`MoneyError::Overflow`].
            pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow("an addition"))
            }

            /// Difference, checked; may be negative.
            ///
            /// # Errors
            /// [`MoneyError::Overflow`].
            pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
                self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow("a subtraction"))
            }

            /// Difference, but never below zero.
            #[must_use]
            pub fn less(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0).max(0))
            }

            /// This quantity times `numerator / denominator`.
            ///
            /// # Errors
            /// [`MoneyError::Overflow`], also for a zero denominator.
            pub fn times(self, numerator: i64, denominator: i64, rounding: Rounding) -> Result<Self, MoneyError> {
                mul_div(self.0, numerator, denominator, rounding).map(Self)
            }

            /// Rounded down to a multiple of `step` (towards zero).
            #[must_use]
            pub fn floor_to(self, step: Self) -> Self {
                let excess = self.0.checked_rem(step.0).unwrap_or(0);
                Self(self.0.saturating_sub(excess))
            }

            /// Whether this is more than nothing.
            #[must_use]
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }
        }

        /// Sums saturate; used for totals whose parts were checked.
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                Self(iter.fold(0_i64, |total, item| total.saturating_add(item.0)))
            }
        }

        decimal_text!($name);
    };
}

/// Decimal text with up to six decimals and no trailing zeros.
macro_rules! decimal_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&decimal(i64::from(self.0)))
            }
        }

        impl FromStr for $name {
            type Err = MoneyError;
            fn from_str(text: &str) -> Result<Self, MoneyError> {
                let millionths = parse_decimal(text, Excess::Refuse)?;
                millionths
                    .try_into()
                    .map(Self)
                    .map_err(|_| MoneyError::NotDecimal(text.chars().take(40).collect()))
            }
        }
    };
}

amount!(
    /// US dollars (pUSD), in millionths.
    Usd
);
amount!(
    /// Outcome shares, in millionths.
    Shares
);

/// Dollars per share, in millionths; 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub i64);

decimal_text!(Price);

impl Price {
    /// The price at which `usd` buys `shares`, rounded as told; `None` for no shares.
    #[must_use]
    pub fn of(usd: Usd, shares: Shares, rounding: Rounding) -> Option<Self> {
        if !shares.is_positive() {
            return None;
        }
        mul_div(usd.0, ONE, shares.0, rounding).ok().map(Self)
    }

    /// What `shares` cost at this price.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn cost(self, shares: Shares, rounding: Rounding) -> Result<Usd, MoneyError> {
        mul_div(self.0, shares.0, ONE, rounding).map(Usd)
    }

    /// How many shares `usd` buys at this price.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], also at price zero.
    pub fn shares_for(self, usd: Usd, rounding: Rounding) -> Result<Shares, MoneyError> {
        mul_div(usd.0, ONE, self.0, rounding).map(Shares)
    }

    /// One minus this price: the price of the opposite outcome.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(ONE.saturating_sub(self.0))
    }
}

/// Side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// Pay dollars, get shares.
    Buy,
    /// Give shares, get dollars.
    Sell,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        })
    }
}

/// The six tick sizes and what they allow.
/// Source: the official clients' rounding tables (clob-client-v2 `ROUNDING_CONFIG`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TickSize {
    /// 0.1
    Tenth,
    /// 0.01
    Hundredth,
    /// 0.005
    FiveThousandths,
    /// 0.0025
    QuarterHundredth,
    /// 0.001
    Thousandth,
    /// 0.0001
    TenThousandth,
}

impl TickSize {
    /// All six, coarsest first.
    pub const ALL: [Self; 6] = [
        Self::Tenth,
        Self::Hundredth,
        Self::FiveThousandths,
        Self::QuarterHundredth,
        Self::Thousandth,
        Self::TenThousandth,
    ];

    /// The tick with this size.
    ///
    /// # Errors
    /// [`MoneyError::UnknownTick`].
    pub fn from_price(size: Price) -> Result<Self, MoneyError> {
        Self::ALL.into_iter().find(|tick| tick.size() == size).ok_or(MoneyError::UnknownTick(size))
    }

    /// The size of one tick.
    #[must_use]
    pub const fn size(self) -> Price {
        Price(match self {
            Self::Tenth => 100_000,
            Self::Hundredth => 10_000,
            Self::FiveThousandths => 5_000,
            Self::QuarterHundredth => 2_500,
            Self::Thousandth => 1_000,
            Self::TenThousandth => 100,
        })
    }

    /// The smallest step of the computed side of an order's amounts: the table's "amount decimals"
    /// (3, 4, 5, 6, 5, 6), in millionths.
    #[must_use]
    pub const fn amount_step(self) -> i64 {
        match self {
            Self::Tenth => 1_000,
            Self::Hundredth => 100,
            Self::FiveThousandths | Self::Thousandth => 10,
            Self::QuarterHundredth | Self::TenThousandth => 1,
        }
    }

    /// The nearest tick at or below `price`, at least one tick.
    #[must_use]
    pub fn floor(self, price: Price) -> Price {
        let size = self.size().0;
        let floored = price.0.saturating_sub(price.0.rem_euclid(size));
        Price(floored.clamp(size, ONE.saturating_sub(size)))
    }

    /// The nearest tick at or above `price`, at most one minus a tick.
    #[must_use]
    pub fn ceil(self, price: Price) -> Price {
        let size = self.size().0;
        self.floor(Price(price.0.saturating_add(size).saturating_sub(1)))
    }

    /// Whether an order may have this price: a multiple of the tick from one tick to one minus a tick.
    #[must_use]
    pub fn allows(self, price: Price) -> bool {
        let size = self.size().0;
        price.0 >= size && price.0 <= ONE.saturating_sub(size) && price.0.rem_euclid(size) == 0
    }
}

/// The two amounts of an order as the venue wants them, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderAmounts {
    /// What the maker of the order gives: dollars for a buy, shares for a sell. The contract never
    /// lets an order give more than this, so it is the bound of an intent.
    pub maker: i64,
    /// What the maker of the order gets at its limit price.
    pub taker: i64,
}

impl OrderAmounts {
    /// A market (FOK or FAK) buy of `usd` at most at `limit`: dollars cut to cents, shares cut to the
    /// tick's amount decimals. Source: clob-client-v2 `getMarketOrderRawAmounts`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], also at price zero.
    pub fn market_buy(usd: Usd, limit: Price, tick: TickSize) -> Result<Self, MoneyError> {
        let maker = usd.floor_to(CENT);
        let shares = limit.shares_for(maker, Rounding::Down)?;
        Ok(Self { maker: maker.0, taker: shares.floor_to(Shares(tick.amount_step())).0 })
    }

    /// A market (FOK or FAK) sell of `shares` at least at `limit`: shares cut to lots, dollars the
    /// exact product (the venue recomputes it).
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn market_sell(shares: Shares, limit: Price, tick: TickSize) -> Result<Self, MoneyError> {
        let maker = shares.floor_to(LOT);
        let usd = limit.cost(maker, Rounding::Down)?;
        Ok(Self { maker: maker.0, taker: usd.floor_to(Usd(tick.amount_step())).0 })
    }

    /// A limit order for `shares` at `price`: shares cut to lots, dollars the product.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn limit(side: Side, shares: Shares, price: Price, tick: TickSize) -> Result<Self, MoneyError> {
        let sell = Self::market_sell(shares, price, tick)?;
        Ok(match side {
            Side::Sell => sell,
            Side::Buy => Self { maker: sell.taker, taker: sell.maker },
        })
    }
}

fn decimal(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let magnitude = millionths.unsigned_abs();
    let whole = magnitude.checked_div(1_000_000).unwrap_or(0);
    let fraction = magnitude.checked_rem(1_000_000).unwrap_or(0);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:06}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// What to do with more than six decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// An error: for amounts that are ours.
    Refuse,
    /// Cut off: for averages that others report.
    Cut,
}

/// Reads a plain decimal number (no exponent) as millionths.
///
/// # Errors
/// [`MoneyError::NotDecimal`], and [`MoneyError::Overflow`] beyond 64 bits.
pub fn parse_decimal(text: &str, excess: Excess) -> Result<i64, MoneyError> {
    let bad = || MoneyError::NotDecimal(text.chars().take(40).collect());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(bad());
    }
    let (kept, dropped) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    if excess == Excess::Refuse && dropped.bytes().any(|byte| byte != b'0') {
        return Err(bad());
    }
    let overflow = || MoneyError::Overflow("reading a number");
    let mut value = 0_i64;
    for digit in
        whole.bytes().chain(kept.bytes()).chain(std::iter::repeat_n(b'0', 6_usize.saturating_sub(kept.len())))
    {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i64::from(digit.saturating_sub(b'0'))))
            .ok_or_else(overflow)?;
    }
    Ok(if negative { value.saturating_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }
    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }
    fn shares(text: &str) -> Shares {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_strict() {
        assert_eq!(usd("12.34"), Usd(12_340_000));
        assert_eq!(usd("-0.000001"), Usd(-1));
        assert_eq!(usd(".5"), Usd(500_000));
        assert_eq!(usd("5."), Usd(5_000_000));
        assert_eq!(usd("0.1230000000").to_string(), "0.123");
        for bad in ["", ".", "-", "1e5", "1,5", "0.0000001", "+1", " 1", "1 ", "١", "99999999999999"] {
            assert!(bad.parse::<Usd>().is_err(), "{bad}");
        }
        assert_eq!(parse_decimal("0.13155333333333333", Excess::Cut), Ok(131_553));
    }

    #[test]
    fn official_client_limit_amounts() {
        // 0.56 x 21.047: the value the three official clients agree on.
        let amounts =
            OrderAmounts::limit(Side::Buy, shares("21.047"), price("0.56"), TickSize::Hundredth).unwrap();
        assert_eq!(amounts, OrderAmounts { maker: 11_782_400, taker: 21_040_000 });
    }

    #[test]
    fn market_buys_are_whole_cents() {
        let amounts = OrderAmounts::market_buy(usd("11.789"), price("0.56"), TickSize::Hundredth).unwrap();
        assert_eq!(amounts, OrderAmounts { maker: 11_780_000, taker: 21_035_700 });
    }

    #[test]
    fn ticks_round_and_clamp() {
        let tick = TickSize::QuarterHundredth;
        assert_eq!(tick.floor(price("0.5049")), price("0.5025"));
        assert_eq!(tick.ceil(price("0.5026")), price("0.505"));
        assert_eq!(tick.floor(price("0.0001")), price("0.0025"));
        assert_eq!(tick.ceil(price("0.9999")), price("0.9975"));
        assert_eq!(TickSize::from_price(price("0.02")), Err(MoneyError::UnknownTick(price("0.02"))));
    }

    proptest! {
        #[test]
        fn text_round_trips(value in any::<i64>()) {
            prop_assume!(value != i64::MIN);
            prop_assert_eq!(Usd(value).to_string().parse::<Usd>().unwrap(), Usd(value));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = parse_decimal(&text, Excess::Cut);
        }

        #[test]
        fn amounts_obey_the_venue(
            tick in prop::sample::select(TickSize::ALL.to_vec()),
            raw_price in 1_i64..ONE,
            quantity in 1_i64..10_000_000_000_000,
        ) {
            let limit = tick.floor(Price(raw_price));
            prop_assert!(tick.allows(limit));
            let buy = OrderAmounts::market_buy(Usd(quantity), limit, tick).unwrap();
            prop_assert!(buy.maker <= quantity && buy.maker % CENT.0 == 0);
            prop_assert_eq!(buy.taker % tick.amount_step(), 0);
            let sell = OrderAmounts::market_sell(Shares(quantity), limit, tick).unwrap();
            prop_assert!(sell.maker <= quantity && sell.maker % LOT.0 == 0);
            // The product of a lot and a tick always fits the amount decimals: nothing is cut.
            prop_assert_eq!(i128::from(sell.taker) * i128::from(ONE), i128::from(sell.maker) * i128::from(limit.0));
        }

        #[test]
        fn ticks_bracket_the_price(tick in prop::sample::select(TickSize::ALL.to_vec()), raw in 1_i64..ONE) {
            let (low, high) = (tick.floor(Price(raw)), tick.ceil(Price(raw)));
            prop_assert!(tick.allows(low) && tick.allows(high) && low <= high);
            prop_assert!(high.0 - low.0 <= tick.size().0);
        }
    }
}

//! One token's order book: price-time priority. Plans fills and applies them; knows no balances.

use std::collections::BTreeMap;

use domain::{Address, OrderId, Price, Shares, Side, Usd, money::Rounding};

/// Where an order rests: signed price and arrival.
pub type Place = (i64, u64);

/// An order that rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Order id.
    pub order: OrderId,
    /// Its wallet.
    pub maker: Address,
    /// Shares still open.
    pub shares: Shares,
}

/// What a taker order may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Dollars of a market buy.
    Dollars(Usd),
    /// Shares of a sell or a limit buy.
    Shares(Shares),
}

/// A taker's fill against one resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Resting order.
    pub order: OrderId,
    /// Its wallet.
    pub maker: Address,
    /// Its price.
    pub price: Price,
    /// Shares that change hands.
    pub shares: Shares,
    /// Dollars that change hands.
    pub usd: Usd,
    /// Place of the resting order.
    key: Place,
}

/// Both sides of a token's book. Keys are (price, arrival), bids with the price negated, so that the
/// first entry of each side is the best.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: BTreeMap<Place, Resting>,
    asks: BTreeMap<Place, Resting>,
    arrivals: u64,
    /// Price of the last fill.
    pub last_price: Option<Price>,
}

impl Book {
    /// Puts an order on the book behind all others of its price; its place is what removes it.
    pub fn rest(&mut self, side: Side, price: Price, resting: Resting) -> Place {
        self.arrivals = self.arrivals.saturating_add(1);
        let place = (sign(side, price), self.arrivals);
        self.side_mut(side).insert(place, resting);
        place
    }

    /// Takes an order off the book; `None` if it is not there.
    pub fn remove(&mut self, side: Side, place: Place) -> Option<Resting> {
        self.side_mut(side).remove(&place)
    }

    /// Takes all orders of a wallet off one side.
    pub fn remove_maker(&mut self, side: Side, maker: Address) {
        self.side_mut(side).retain(|_, resting| resting.maker != maker);
    }

    /// Everything that rests, best first.
    pub fn resting(&self, side: Side) -> impl Iterator<Item = (Price, &Resting)> {
        self.side(side).iter().map(|(key, resting)| (Price(key.0.saturating_abs()), resting))
    }

    /// The sum of each price, best first.
    #[must_use]
    pub fn levels(&self, side: Side) -> Vec<(Price, Shares)> {
        let mut levels: Vec<(Price, Shares)> = Vec::new();
        for (price, resting) in self.resting(side) {
            match levels.last_mut() {
                Some((last, shares)) if *last == price => {
                    shares.0 = shares.0.saturating_add(resting.shares.0)
                }
                _ => levels.push((price, resting.shares)),
            }
        }
        levels
    }

    /// Best price of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Price> {
        self.resting(side).next().map(|(price, _)| price)
    }

    /// What a taker on `side` would get, at `limit` or better.
    #[must_use]
    pub fn plan(&self, side: Side, limit: Price, mut budget: Budget) -> Vec<Fill> {
        let mut fills = Vec::new();
        let other = opposite(side);
        let worst = sign(other, limit);
        for (key, resting) in self.side(other) {
            if key.0 > worst {
                break;
            }
            let price = Price(key.0.saturating_abs());
            let Some((shares, usd)) = one_fill(side, price, resting.shares, &mut budget) else { break };
            fills.push(Fill { order: resting.order, maker: resting.maker, price, shares, usd, key: *key });
        }
        fills
    }

    /// Carries out planned fills of a taker on `side`.
    pub fn apply(&mut self, side: Side, fills: &[Fill]) {
        for fill in fills {
            let entries = self.side_mut(opposite(side));
            if let Some(resting) = entries.get_mut(&fill.key) {
                resting.shares = resting.shares.less(fill.shares);
                if resting.shares == Shares::ZERO {
                    entries.remove(&fill.key);
                }
            }
            self.last_price = Some(fill.price);
        }
    }

    fn side(&self, side: Side) -> &BTreeMap<Place, Resting> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Place, Resting> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// Shares and dollars against one resting order; `None` when the budget is used up.
///
/// A buy of dollars ends with its last dollar: the shares are rounded up to a millionth, as settlements
/// on Polygon show ($5 at 0.66 bought 7.575758). Everything else is rounded for the resting order.
fn one_fill(side: Side, price: Price, open: Shares, budget: &mut Budget) -> Option<(Shares, Usd)> {
    let rounding = if side == Side::Buy { Rounding::Up } else { Rounding::Down };
    match budget {
        Budget::Dollars(left) => {
            let whole = price.cost(open, rounding).ok()?;
            let (shares, usd) = if *left >= whole {
                (open, whole)
            } else {
                let shares = price.shares_for(*left, Rounding::Up).ok()?;
                (shares.min(open), *left)
            };
            *left = left.less(usd);
            (usd.is_positive() && shares.is_positive()).then_some((shares, usd))
        }
        Budget::Shares(left) => {
            let shares = open.min(*left);
            let usd = price.cost(shares, rounding).ok()?;
            *left = left.less(shares);
            shares.is_positive().then_some((shares, usd))
        }
    }
}

/// The other side.
#[must_use]
pub const fn opposite(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}

const fn sign(side: Side, price: Price) -> i64 {
    match side {
        Side::Buy => price.0.saturating_neg(),
        Side::Sell => price.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let mut book = Book::default();
        for (index, (side, price, shares)) in [
            (Side::Sell, 560_000, 10_000_000),
            (Side::Sell, 550_000, 5_000_000),
            (Side::Sell, 560_000, 7_000_000),
            (Side::Buy, 500_000, 4_000_000),
            (Side::Buy, 510_000, 6_000_000),
        ]
        .into_iter()
        .enumerate()
        {
            let order = OrderId([u8::try_from(index).unwrap(); 32]);
            book.rest(side, Price(price), Resting { order, maker: Address([9; 20]), shares: Shares(shares) });
        }
        book
    }

    fn orders(fills: &[Fill]) -> Vec<u8> {
        fills.iter().map(|fill| fill.order.0[0]).collect()
    }

    #[test]
    fn best_price_then_first_come() {
        let mut book = book();
        let fills = book.plan(Side::Buy, Price(560_000), Budget::Shares(Shares(16_000_000)));
        assert_eq!(orders(&fills), [1, 0, 2]);
        assert_eq!(fills[2].shares, Shares(1_000_000));
        book.apply(Side::Buy, &fills);
        assert_eq!(book.levels(Side::Sell), [(Price(560_000), Shares(6_000_000))]);
        assert_eq!(book.last_price, Some(Price(560_000)));
        let sells = book.plan(Side::Sell, Price(500_000), Budget::Shares(Shares(7_000_000)));
        assert_eq!(orders(&sells), [4, 3]);
        assert_eq!(sells[1].usd, Usd(500_000));
    }

    #[test]
    fn dollars_buy_more_at_better_prices() {
        let book = book();
        // 5 shares at 0.55 cost 2.75; the other 2.25 buy 2.25 / 0.56 at the limit.
        let fills = book.plan(Side::Buy, Price(560_000), Budget::Dollars(Usd(5_000_000)));
        assert_eq!(fills.iter().map(|fill| fill.usd).sum::<Usd>(), Usd(5_000_000));
        assert_eq!(fills[1].shares, Shares(4_017_858));
        assert!(book.plan(Side::Buy, Price(540_000), Budget::Dollars(Usd(5_000_000))).is_empty());
    }

    #[test]
    fn a_market_buy_gets_what_polygon_gave() {
        let mut book = Book::default();
        let resting =
            Resting { order: OrderId([1; 32]), maker: Address([9; 20]), shares: Shares(100_000_000) };
        book.rest(Side::Sell, Price(660_000), resting);
        let fills = book.plan(Side::Buy, Price(660_000), Budget::Dollars(Usd(5_000_000)));
        assert_eq!((fills[0].usd, fills[0].shares), (Usd(5_000_000), Shares(7_575_758)));
    }
}

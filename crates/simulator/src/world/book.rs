//! One token's side of a market's book: price-time priority. Plans nothing and knows no balances; see
//! `matching` for who meets whom.

use std::collections::BTreeMap;

use domain::{Address, OrderId, Price, Shares, Side};

use super::events::LevelChange;

/// Where an order rests: signed price and arrival. Arrivals are counted for the whole venue, so that places
/// of both tokens of a market can be compared.
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
    /// Whether it also meets orders for the other outcome, as every client's order does: a buy of YES at p
    /// is a sale of NO at 1 - p.
    pub complements: bool,
}

/// Both sides of one token's book. Keys are (price, arrival), bids with the price negated, so that the
/// first entry of each side is the best.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: BTreeMap<Place, Resting>,
    asks: BTreeMap<Place, Resting>,
    /// Prices that were touched since the last [`Book::drain_changes`], with their sums before.
    touched: BTreeMap<(Side, Price), Sums>,
    /// Price and taker's side of the last trade.
    pub last_trade: Option<(Price, Side)>,
}

/// Shares at one price: all, and those that meet the other outcome too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All.
    pub all: Shares,
    /// Of orders that complement.
    pub complementing: Shares,
}

/// What changed at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Whether all shares together changed.
    pub own: bool,
    /// Whether those that the other token's book mirrors changed.
    pub mirrored: bool,
}

impl Book {
    /// Puts an order on the book behind all others of its price; its place is what removes it.
    pub fn rest(&mut self, side: Side, price: Price, arrival: u64, resting: Resting) -> Place {
        self.touch(side, price);
        let place = (sign(side, price), arrival);
        self.side_mut(side).insert(place, resting);
        place
    }

    /// Takes an order off the book; `None` if it is not there.
    pub fn remove(&mut self, side: Side, place: Place) -> Option<Resting> {
        self.touch(side, price_of(place));
        self.side_mut(side).remove(&place)
    }

    /// Takes all orders of a wallet off one side.
    pub fn remove_maker(&mut self, side: Side, maker: Address) {
        let of_maker = self.side(side).iter().filter(|(_, resting)| resting.maker == maker);
        let places: Vec<Place> = of_maker.map(|(place, _)| *place).collect();
        for place in places {
            self.remove(side, place);
        }
    }

    /// Takes shares of an order that rests there; what is empty leaves the book.
    pub fn take(&mut self, side: Side, place: Place, shares: Shares) {
        self.touch(side, price_of(place));
        let entries = self.side_mut(side);
        if let Some(resting) = entries.get_mut(&place) {
            resting.shares = resting.shares.less(shares);
            if resting.shares == Shares::ZERO {
                entries.remove(&place);
            }
        }
    }

    /// Everything that rests on a side with its place, best first.
    pub fn entries(&self, side: Side) -> impl Iterator<Item = (Place, &Resting)> {
        self.side(side).iter().map(|(place, resting)| (*place, resting))
    }

    /// Sums at one price.
    #[must_use]
    pub fn sums(&self, side: Side, price: Price) -> Sums {
        let key = sign(side, price);
        let mut sums = Sums::default();
        for (_, resting) in self.side(side).range((key, 0)..=(key, u64::MAX)) {
            sums.all.0 = sums.all.0.saturating_add(resting.shares.0);
            if resting.complements {
                sums.complementing.0 = sums.complementing.0.saturating_add(resting.shares.0);
            }
        }
        sums
    }

    /// What changed since the last time.
    pub fn drain_changes(&mut self) -> Vec<Change> {
        let touched = std::mem::take(&mut self.touched);
        let changes = touched.into_iter().map(|((side, price), before)| {
            let after = self.sums(side, price);
            let own = before.all != after.all;
            Change { side, price, own, mirrored: before.complementing != after.complementing }
        });
        changes.filter(|change| change.own || change.mirrored).collect()
    }

    fn touch(&mut self, side: Side, price: Price) {
        if !self.touched.contains_key(&(side, price)) {
            let sums = self.sums(side, price);
            self.touched.insert((side, price), sums);
        }
    }

    const fn side(&self, side: Side) -> &BTreeMap<Place, Resting> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Place, Resting> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// A token's book as everybody sees it: its own orders, and those for the other outcome that complement
/// them.
#[derive(Clone, Copy, Debug)]
pub struct BookView<'a> {
    /// The token's own orders.
    pub own: Option<&'a Book>,
    /// Orders for the market's other token.
    pub other: Option<&'a Book>,
}

impl BookView<'_> {
    /// The sum of each price, best first.
    #[must_use]
    pub fn levels(&self, side: Side) -> Vec<(Price, Shares)> {
        let mut levels: BTreeMap<i64, Shares> = BTreeMap::new();
        let mut add = |price: Price, shares: Shares| {
            let level = levels.entry(sign(side, price)).or_default();
            level.0 = level.0.saturating_add(shares.0);
        };
        for (place, resting) in self.own.into_iter().flat_map(|book| book.entries(side)) {
            add(price_of(place), resting.shares);
        }
        for (place, resting) in self.other.into_iter().flat_map(|book| book.entries(opposite(side))) {
            if resting.complements {
                add(price_of(place).complement(), resting.shares);
            }
        }
        levels.into_iter().map(|(key, shares)| (Price(key.saturating_abs()), shares)).collect()
    }

    /// Best price of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Price> {
        let own = self.own.and_then(|book| book.entries(side).next()).map(|(place, _)| price_of(place));
        let mirrored = self.other.and_then(|book| {
            let mut entries = book.entries(opposite(side));
            entries.find(|(_, resting)| resting.complements).map(|(place, _)| price_of(place).complement())
        });
        let all = [own, mirrored].into_iter().flatten();
        all.min_by_key(|price| sign(side, *price))
    }

    /// The present size of one price.
    #[must_use]
    pub fn level(&self, side: Side, price: Price) -> LevelChange {
        let own = self.own.map_or(Shares::ZERO, |book| book.sums(side, price).all);
        let mirrored = self
            .other
            .map_or(Shares::ZERO, |book| book.sums(opposite(side), price.complement()).complementing);
        LevelChange { side, price, shares: Shares(own.0.saturating_add(mirrored.0)) }
    }

    /// Price and taker's side of the last trade.
    #[must_use]
    pub fn last_trade(&self) -> Option<(Price, Side)> {
        self.own.and_then(|book| book.last_trade)
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

pub(super) const fn sign(side: Side, price: Price) -> i64 {
    match side {
        Side::Buy => price.0.saturating_neg(),
        Side::Sell => price.0,
    }
}

/// The price of a place.
pub(super) const fn price_of(place: Place) -> Price {
    Price(place.0.saturating_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resting(order: u8, shares: i64, complements: bool) -> Resting {
        let (order, maker) = (OrderId([order; 32]), Address([9; 20]));
        Resting { order, maker, shares: Shares(shares), complements }
    }

    #[test]
    fn orders_for_the_other_outcome_are_mirrored() {
        let (mut yes, mut no) = (Book::default(), Book::default());
        yes.rest(Side::Sell, Price(560_000), 1, resting(1, 10, true));
        no.rest(Side::Buy, Price(440_000), 2, resting(2, 7, true));
        no.rest(Side::Buy, Price(470_000), 3, resting(3, 5, true));
        no.rest(Side::Buy, Price(480_000), 4, resting(4, 5, false));
        let view = BookView { own: Some(&yes), other: Some(&no) };
        let asks = [(Price(530_000), Shares(5)), (Price(560_000), Shares(17))];
        assert_eq!(view.levels(Side::Sell), asks);
        assert_eq!((view.best(Side::Sell), view.best(Side::Buy)), (Some(Price(530_000)), None));
        assert_eq!(view.level(Side::Sell, Price(560_000)).shares, Shares(17));
        let mirrored = BookView { own: Some(&no), other: Some(&yes) };
        let bids = [(Price(480_000), Shares(5)), (Price(470_000), Shares(5)), (Price(440_000), Shares(17))];
        assert_eq!(mirrored.levels(Side::Buy), bids);
    }

    #[test]
    fn changes_are_told_once_and_only_when_the_sum_is_another() {
        let mut book = Book::default();
        let place = book.rest(Side::Buy, Price(500_000), 1, resting(1, 10, true));
        let both = Change { side: Side::Buy, price: Price(500_000), own: true, mirrored: true };
        assert_eq!(book.drain_changes(), [both]);
        book.take(Side::Buy, place, Shares(4));
        book.rest(Side::Buy, Price(500_000), 2, resting(2, 4, false));
        assert_eq!(book.drain_changes(), [Change { own: false, ..both }]);
        book.remove(Side::Buy, place);
        book.rest(Side::Buy, Price(500_000), 3, resting(3, 6, true));
        assert_eq!(book.drain_changes(), []);
        book.remove_maker(Side::Buy, Address([9; 20]));
        assert_eq!(book.drain_changes(), [both]);
        assert_eq!(book.remove(Side::Buy, place), None);
    }
}

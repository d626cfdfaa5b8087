//! Who meets whom: price-time priority over both tokens of a market. A buy meets sales of the same token
//! (shares change hands) and buys of the other one (together they pay a dollar for a pair of shares, which
//! is minted); a sale meets buys, and sales of the other token (the pair is merged for its dollar). Plans
//! fills and applies them to the books; knows no balances.
//!
//! Source: docs.polymarket.com concepts/order-lifecycle, and `matchOrders` of the exchange contracts.

use domain::{Address, OrderId, Price, Shares, Side, TokenId, Usd, money::Rounding};

use super::{
    book::{Book, Place, Resting, opposite, price_of, sign},
    orders::Submission,
    rules::Checked,
};
use crate::contracts::HOUSE;

/// What a taker order may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Dollars; unlimited for a sale.
    pub usd: Usd,
    /// Shares; unlimited for a buy that spends its dollars.
    pub shares: Shares,
}

impl Budget {
    /// All of these dollars, whatever they buy.
    #[must_use]
    pub const fn dollars(usd: Usd) -> Self {
        Self { usd, shares: Shares(i64::MAX) }
    }

    /// These shares, for at most these dollars.
    #[must_use]
    pub const fn shares_for(shares: Shares, usd: Usd) -> Self {
        Self { usd, shares }
    }

    /// These shares, for whatever is paid.
    #[must_use]
    pub const fn shares(shares: Shares) -> Self {
        Self { usd: Usd(i64::MAX), shares }
    }
}

/// How two orders come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// A buy and a sale of the same token.
    Trade,
    /// Two buys of opposite outcomes: a pair is minted.
    Mint,
    /// Two sales of opposite outcomes: a pair is merged.
    Merge,
}

/// A taker's fill against one resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Resting order.
    pub order: OrderId,
    /// Its wallet.
    pub maker: Address,
    /// Its token.
    pub token: TokenId,
    /// Its side.
    pub side: Side,
    /// Price of a share for the taker.
    pub price: Price,
    /// Shares that each of them gets or gives.
    pub shares: Shares,
    /// Dollars of the taker.
    pub usd: Usd,
    /// Dollars of the resting order.
    pub maker_usd: Usd,
    /// How they meet.
    pub meeting: Meeting,
    /// Place of the resting order.
    place: Place,
}

impl Fill {
    /// Price of the resting order, for its own token.
    #[must_use]
    pub fn maker_price(&self) -> Price {
        if self.meeting == Meeting::Trade { self.price } else { self.price.complement() }
    }

    /// All of an order at its limit price against the house, which has it without an order.
    pub(super) fn from_house(order: &Submission, checked: &Checked) -> Self {
        let side = opposite(order.fields.side);
        Self {
            order: OrderId([0; 32]),
            maker: HOUSE,
            token: order.fields.token,
            side,
            price: checked.limit,
            shares: checked.shares,
            usd: checked.usd,
            maker_usd: checked.usd,
            meeting: Meeting::Trade,
            place: (sign(side, checked.limit), 0),
        }
    }

    /// Takes it off the book it rests on.
    pub fn apply(&self, book: &mut Book) {
        book.take(self.side, self.place, self.shares);
    }
}

/// The books of a market as an order for one of its tokens sees them.
#[derive(Clone, Copy, Debug)]
pub struct Depth<'a> {
    /// The order's token.
    pub token: TokenId,
    /// Its book.
    pub own: Option<&'a Book>,
    /// The other token.
    pub other_token: TokenId,
    /// Its book.
    pub other: Option<&'a Book>,
}

/// A resting order that a taker may meet: the taker's price, arrival, and the order.
struct Candidate<'a> {
    price: Price,
    place: Place,
    resting: &'a Resting,
    own: bool,
}

impl Depth<'_> {
    /// What a taker on `side` would get, at `limit` or better. `able` may refuse a resting order, for
    /// example because its wallet cannot pay; then the plan ends there and names it.
    pub fn plan(
        &self,
        side: Side,
        limit: Price,
        mut budget: Budget,
        mut able: impl FnMut(&Fill) -> bool,
    ) -> Result<Vec<Fill>, OrderId> {
        let mut fills = Vec::new();
        for candidate in self.candidates(side) {
            if sign(opposite(side), candidate.price) > sign(opposite(side), limit) {
                break;
            }
            let Some((shares, usd)) = one_fill(side, &candidate, &mut budget) else {
                break;
            };
            let fill = self.fill(side, &candidate, shares, usd);
            if !able(&fill) {
                return Err(fill.order);
            }
            fills.push(fill);
        }
        Ok(fills)
    }

    fn fill(&self, side: Side, candidate: &Candidate<'_>, shares: Shares, usd: Usd) -> Fill {
        let Candidate { price, place, resting, own } = *candidate;
        let meeting = match (own, side) {
            (true, _) => Meeting::Trade,
            (false, Side::Buy) => Meeting::Mint,
            (false, Side::Sell) => Meeting::Merge,
        };
        Fill {
            order: resting.order,
            maker: resting.maker,
            token: if own { self.token } else { self.other_token },
            side: if own { opposite(side) } else { side },
            price,
            shares,
            usd,
            // A pair of shares is worth a dollar: what the taker does not pay or get, the other one does.
            maker_usd: if own { usd } else { Usd(shares.0.saturating_sub(usd.0)) },
            meeting,
            place,
        }
    }

    /// Best price first, then first come, over both books.
    fn candidates(&self, side: Side) -> impl Iterator<Item = Candidate<'_>> {
        let own = self.own.into_iter().flat_map(move |book| book.entries(opposite(side)));
        let own = own.map(|(place, resting)| Candidate { price: price_of(place), place, resting, own: true });
        let other = self.other.into_iter().flat_map(move |book| book.entries(side));
        let other = other.filter(|(_, resting)| resting.complements).map(|(place, resting)| Candidate {
            price: price_of(place).complement(),
            place,
            resting,
            own: false,
        });
        merge(own, other, move |candidate| (sign(opposite(side), candidate.price), candidate.place.1))
    }
}

/// Two sorted sequences as one.
fn merge<T, K: Ord>(
    left: impl Iterator<Item = T>,
    right: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> impl Iterator<Item = T> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(first), Some(second)) if key(second) < key(first) => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

/// Shares and dollars against one resting order; `None` when the budget is used up.
///
/// A buy of dollars ends with its last dollar: the shares are rounded up to a millionth, as settlements
/// on Polygon show ($5 at 0.66 bought 7.575758). Everything else is rounded for the resting order, but never
/// past the taker's last dollar.
fn one_fill(side: Side, candidate: &Candidate<'_>, budget: &mut Budget) -> Option<(Shares, Usd)> {
    let Candidate { price, own, .. } = *candidate;
    let open = candidate.resting.shares;
    let rounding = if side == Side::Buy { Rounding::Up } else { Rounding::Down };
    let wanted = open.min(budget.shares);
    let whole = price.cost(wanted, rounding).ok()?;
    let (shares, usd) = if side == Side::Sell || budget.usd >= whole {
        (wanted, whole)
    } else {
        // A pair that is minted must not cost its maker more than a dollar less the taker's price.
        let rounding = if own { Rounding::Up } else { Rounding::Down };
        let affordable = price.shares_for(budget.usd, rounding).ok()?;
        (affordable.min(wanted), budget.usd)
    };
    if side == Side::Buy {
        budget.usd = budget.usd.less(usd);
    }
    budget.shares = budget.shares.less(shares);
    let good = shares.is_positive() && (side == Side::Sell || usd.is_positive());
    good.then_some((shares, usd))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: TokenId = TokenId([1; 32]);
    const NO: TokenId = TokenId([2; 32]);

    fn book(levels: &[(u8, Side, i64, i64)]) -> Book {
        let mut book = Book::default();
        for (order, side, price, shares) in levels {
            let resting = Resting {
                order: OrderId([*order; 32]),
                maker: Address([9; 20]),
                shares: Shares(*shares),
                complements: true,
            };
            book.rest(*side, Price(*price), u64::from(*order), resting);
        }
        book
    }

    fn yes() -> Book {
        book(&[
            (0, Side::Sell, 560_000, 10_000_000),
            (1, Side::Sell, 550_000, 5_000_000),
            (4, Side::Sell, 560_000, 7_000_000),
            (5, Side::Buy, 500_000, 4_000_000),
            (6, Side::Buy, 510_000, 6_000_000),
        ])
    }

    fn depth<'a>(own: &'a Book, other: &'a Book) -> Depth<'a> {
        Depth { token: YES, own: Some(own), other_token: NO, other: Some(other) }
    }

    fn orders(fills: &[Fill]) -> Vec<u8> {
        fills.iter().map(|fill| fill.order.0[0]).collect()
    }

    fn plan(depth: &Depth<'_>, side: Side, limit: i64, budget: Budget) -> Vec<Fill> {
        depth.plan(side, Price(limit), budget, |_| true).unwrap()
    }

    #[test]
    fn best_price_then_first_come() {
        let (mut own, other) = (yes(), Book::default());
        let fills = plan(&depth(&own, &other), Side::Buy, 560_000, Budget::shares(Shares(16_000_000)));
        assert_eq!(orders(&fills), [1, 0, 4]);
        assert_eq!(fills[2].shares, Shares(1_000_000));
        fills.iter().for_each(|fill| fill.apply(&mut own));
        assert_eq!(own.sums(Side::Sell, Price(560_000)).all, Shares(6_000_000));
        let sells = plan(&depth(&own, &other), Side::Sell, 500_000, Budget::shares(Shares(7_000_000)));
        assert_eq!((orders(&sells), sells[1].usd), (vec![6, 5], Usd(500_000)));
    }

    #[test]
    fn a_buy_of_the_other_outcome_takes_its_turn_among_the_sales() {
        let own = yes();
        // 0.45 for NO is 0.55 for YES, after order 1; 0.44 is 0.56, between orders 0 and 4.
        let other = book(&[(2, Side::Buy, 450_000, 3_000_000), (3, Side::Buy, 440_000, 3_000_000)]);
        let fills = plan(&depth(&own, &other), Side::Buy, 560_000, Budget::shares(Shares(30_000_000)));
        assert_eq!(orders(&fills), [1, 2, 0, 3, 4]);
        let mint = fills[1];
        assert_eq!((mint.meeting, mint.token, mint.side), (Meeting::Mint, NO, Side::Buy));
        assert_eq!((mint.price, mint.maker_price()), (Price(550_000), Price(450_000)));
        assert_eq!((mint.usd, mint.maker_usd), (Usd(1_650_000), Usd(1_350_000)));
        let merges = book(&[(7, Side::Sell, 480_000, 3_000_000)]);
        let fills = plan(&depth(&own, &merges), Side::Sell, 510_000, Budget::shares(Shares(4_000_000)));
        assert_eq!((orders(&fills), fills[0].meeting), (vec![7, 6], Meeting::Merge));
        assert_eq!((fills[0].usd, fills[0].maker_usd), (Usd(1_560_000), Usd(1_440_000)));
    }

    #[test]
    fn dollars_buy_more_at_better_prices() {
        let (own, other) = (yes(), Book::default());
        // 5 shares at 0.55 cost 2.75; the other 2.25 buy 2.25 / 0.56 at the limit.
        let fills = plan(&depth(&own, &other), Side::Buy, 560_000, Budget::dollars(Usd(5_000_000)));
        assert_eq!(fills.iter().map(|fill| fill.usd).sum::<Usd>(), Usd(5_000_000));
        assert_eq!(fills[1].shares, Shares(4_017_858));
        assert!(plan(&depth(&own, &other), Side::Buy, 540_000, Budget::dollars(Usd(5_000_000))).is_empty());
    }

    #[test]
    fn a_market_buy_gets_what_polygon_gave() {
        let own = book(&[(1, Side::Sell, 660_000, 100_000_000)]);
        let fills = plan(&depth(&own, &own), Side::Buy, 660_000, Budget::dollars(Usd(5_000_000)));
        assert_eq!((fills[0].usd, fills[0].shares), (Usd(5_000_000), Shares(7_575_758)));
    }

    #[test]
    fn many_small_fills_never_cost_more_than_the_limit() {
        let levels: Vec<_> = (0..10).map(|order| (order, Side::Sell, 570_000, 1_000_001)).collect();
        let own = book(&levels);
        let (shares, usd) = (Shares(10_000_000), Usd(5_700_000));
        let fills = plan(&depth(&own, &Book::default()), Side::Buy, 570_000, Budget::shares_for(shares, usd));
        assert_eq!(fills.iter().map(|fill| fill.usd).sum::<Usd>(), usd);
    }

    #[test]
    fn a_plan_names_the_order_that_cannot_pay() {
        let (own, other) = (yes(), Book::default());
        let refused =
            depth(&own, &other).plan(Side::Buy, Price(560_000), Budget::shares(Shares(16_000_000)), |fill| {
                fill.order != OrderId([0; 32])
            });
        assert_eq!(refused, Err(OrderId([0; 32])));
    }
}

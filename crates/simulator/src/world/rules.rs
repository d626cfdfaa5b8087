//! What the venue demands of an order's numbers, with its error texts. Pure.
//!
//! Source: docs.polymarket.com/resources/error-codes and the official clients' rounding tables.

use domain::{OrderId, Price, Shares, Side, TickSize, Usd, money::CENT, money::LOT, money::ONE};

use super::Refusal;
use crate::{signing::SignedFields, wire::OrderType};

/// An order whose numbers are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Limit price, on the tick grid.
    pub limit: Price,
    /// Shares at the limit price.
    pub shares: Shares,
    /// Dollars at the limit price.
    pub usd: Usd,
}

/// Checks price, size and decimals of an order.
///
/// # Errors
/// [`Refusal`] with the venue's text and status 400.
pub fn check(
    id: OrderId,
    order: &SignedFields,
    order_type: OrderType,
    tick: TickSize,
    min_size: Shares,
) -> Result<Checked, Refusal> {
    let (usd, shares) = match order.side {
        Side::Buy => (order.maker_amount, order.taker_amount),
        Side::Sell => (order.taker_amount, order.maker_amount),
    };
    decimals(order, order_type, tick)?;
    if order.side == Side::Sell {
        product(usd, shares, tick)?;
    }
    let limit = limit_price(order.side, order_type, usd, shares, tick).ok_or_else(|| {
        let price =
            domain::money::mul_div(usd, ONE, shares, domain::money::Rounding::Down).unwrap_or_default();
        let (price, tick) = (Price(price), tick.size());
        Refusal::bad(format!("order {id} is invalid. Price ({price}) breaks minimum tick size rule: {tick}"))
    })?;
    if shares < min_size.0 {
        let size = Shares(shares);
        return Err(Refusal::bad(format!(
            "order {id} is invalid. Size ({size}) lower than the minimum: {min_size}"
        )));
    }
    Ok(Checked { limit, shares: Shares(shares), usd: Usd(usd) })
}

/// The grid price of two amounts; `None` when there is none. A market buy's shares were cut to the
/// tick's amount decimals, so its price is the one that explains them; all others are exact products.
fn limit_price(side: Side, order_type: OrderType, usd: i64, shares: i64, tick: TickSize) -> Option<Price> {
    let (dollars, lots, one) = (i128::from(usd), i128::from(shares), i128::from(ONE));
    let price = nearest_price(usd, shares, tick)?;
    let nearest = i128::from(price.0);
    let slack = if side == Side::Buy && order_type.is_immediate() {
        nearest * i128::from(tick.amount_step())
    } else {
        0
    };
    ((dollars * one - lots * nearest).abs() <= slack).then_some(price)
}

/// The price of the grid that is nearest to two amounts.
fn nearest_price(usd: i64, shares: i64, tick: TickSize) -> Option<Price> {
    let (dollars, lots, one) = (i128::from(usd), i128::from(shares), i128::from(ONE));
    let size = i128::from(tick.size().0);
    if lots <= 0 {
        return None;
    }
    let nearest = (2 * dollars * one / lots + size) / (2 * size) * size;
    Some(Price(i64::try_from(nearest).ok()?)).filter(|price| tick.allows(*price))
}

/// A sale at a price of the grid whose dollars are not its exact product: cut to too few decimals, as was recorded of the live
/// venue (JKorf/Polymarket.Net #5). What is further from the grid than a tenth of a tick is a price off the grid.
fn product(usd: i64, shares: i64, tick: TickSize) -> Result<(), Refusal> {
    let Some(price) = nearest_price(usd, shares, tick) else { return Ok(()) };
    let (lots, one) = (i128::from(shares), i128::from(ONE));
    let exact = lots * i128::from(price.0);
    let off = (i128::from(usd) * one - exact).abs();
    if off == 0 || off * 10 >= lots * i128::from(tick.size().0) {
        return Ok(());
    }
    let (size, due) = (Shares(shares), Usd(i64::try_from(exact / one).unwrap_or(i64::MAX)));
    Err(Refusal::bad(format!("the taker amount for a ${price} order of size {size} should be '{due}'")))
}

fn decimals(order: &SignedFields, order_type: OrderType, tick: TickSize) -> Result<(), Refusal> {
    let step = tick.amount_step();
    let (side, maker_step, taker_step) = match (order.side, order_type.is_immediate()) {
        (Side::Buy, true) => ("buy", CENT.0, step),
        (Side::Buy, false) => ("buy", step, LOT.0),
        (Side::Sell, _) => ("sell", LOT.0, step),
    };
    if order.maker_amount % maker_step == 0 && order.taker_amount % taker_step == 0 {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "invalid amounts, the {side} orders maker amount supports a max accuracy of {} decimals, \
         taker amount a max of {} decimals",
        places(maker_step),
        places(taker_step),
    )))
}

fn places(step: i64) -> u32 {
    6_u32.saturating_sub(step.checked_ilog10().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use domain::{Address, TokenId, money::OrderAmounts};
    use proptest::prelude::*;

    use super::*;

    fn order(side: Side, maker_amount: i64, taker_amount: i64) -> SignedFields {
        SignedFields {
            salt: 1,
            maker: Address([1; 20]),
            signer: Address([1; 20]),
            token: TokenId([1; 32]),
            maker_amount,
            taker_amount,
            side,
            signature_type: 0,
            timestamp_ms: 0,
            metadata: [0; 32],
            builder: [0; 32],
        }
    }

    fn run(side: Side, kind: OrderType, maker: i64, taker: i64) -> Result<Checked, String> {
        check(OrderId([7; 32]), &order(side, maker, taker), kind, TickSize::Hundredth, Shares(5 * ONE))
            .map_err(|refusal| refusal.error)
    }

    #[test]
    fn market_buys_may_cut_their_shares() {
        // $11.78 at 0.56 is 21.0357 shares.
        let checked = run(Side::Buy, OrderType::Fak, 11_780_000, 21_035_700).unwrap();
        assert_eq!(checked.limit, Price(560_000));
        assert!(
            run(Side::Buy, OrderType::Fak, 11_780_000, 21_000_000)
                .unwrap_err()
                .contains("tick size rule: 0.01")
        );
    }

    #[test]
    fn decimals_are_refused_with_the_venues_text() {
        let text = run(Side::Buy, OrderType::Fak, 11_782_400, 21_040_000).unwrap_err();
        assert!(text.contains("max accuracy of 2 decimals, taker amount a max of 4 decimals"), "{text}");
        let text = run(Side::Buy, OrderType::Gtc, 11_782_456, 21_040_000).unwrap_err();
        assert!(text.contains("max accuracy of 4 decimals, taker amount a max of 2 decimals"), "{text}");
        assert_eq!(run(Side::Buy, OrderType::Gtc, 11_782_400, 21_040_000).unwrap().limit, Price(560_000));
    }

    #[test]
    fn sells_are_exact_products() {
        // The case reported against the live venue: 19.69 at 0.22 is 4.3318 and nothing else.
        assert!(run(Side::Sell, OrderType::Fak, 19_690_000, 4_331_800).is_ok());
        let wanted = "the taker amount for a $0.22 order of size 19.69 should be '4.3318'";
        for cut in [4_331_700, 4_330_000] {
            assert_eq!(run(Side::Sell, OrderType::Fak, 19_690_000, cut).unwrap_err(), wanted);
        }
        assert!(run(Side::Sell, OrderType::Fak, 19_695_000, 4_332_900).unwrap_err().contains("max accuracy"));
        // A price between two of the grid.
        assert!(
            run(Side::Sell, OrderType::Fak, 10_000_000, 5_610_000)
                .unwrap_err()
                .contains("Price (0.561) breaks")
        );
    }

    #[test]
    fn sizes_and_bounds() {
        assert!(
            run(Side::Buy, OrderType::Fak, 1_000_000, 2_000_000)
                .unwrap_err()
                .contains("Size (2) lower than the minimum: 5")
        );
        assert!(
            run(Side::Sell, OrderType::Fak, 10_000_000, 10_000_000).unwrap_err().contains("Price (1) breaks")
        );
        assert!(
            run(Side::Buy, OrderType::Gtc, 10_000, 10_000_000).unwrap_err().contains("Price (0.001) breaks")
        );
    }

    proptest! {
        #[test]
        fn every_amount_of_the_rounding_tables_passes(
            tick in prop::sample::select(TickSize::ALL.to_vec()),
            raw in 1_i64..ONE,
            quantity in 10_000_000_i64..1_000_000_000_000,
        ) {
            let limit = tick.floor(Price(raw));
            let id = OrderId([7; 32]);
            let buy = OrderAmounts::market_buy(Usd(quantity), limit, tick).unwrap();
            let got = check(id, &order(Side::Buy, buy.maker, buy.taker), OrderType::Fak, tick, Shares(0)).unwrap();
            prop_assert_eq!(got.limit, limit);
            let sell = OrderAmounts::market_sell(Shares(quantity), limit, tick).unwrap();
            let got = check(id, &order(Side::Sell, sell.maker, sell.taker), OrderType::Fak, tick, Shares(0)).unwrap();
            prop_assert_eq!(got.limit, limit);
        }
    }
}

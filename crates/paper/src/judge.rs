//! What the venue would do with an order at this book: its checks of numbers, then the walk. Pure.

use std::time::Duration;

use domain::{
    Address, Book, Level, Market, OrderId, Shares, Side, Usd, market::MINIMUM_MARKET_BUY, money::Rounding,
};
use engine::ports::venue::RejectReason;
use simulator::{
    contracts::Exchange,
    signing::SignedFields,
    wire::{self, OrderType},
    world::{
        book::{self, Resting, opposite},
        fees::FeeSchedule,
        matching::{Budget, Depth},
        rules,
    },
};

use crate::taken::Taken;

/// Basis points of a dollar.
const BPS: i64 = 10_000;

/// An order as the venue reads it from the bytes.
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) fields: SignedFields,
    pub(crate) order_type: OrderType,
    signature: Vec<u8>,
}

/// What becomes of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refused for good.
    Refused(RejectReason, String),
    /// Nothing, or not enough, to match.
    Killed(&'static str),
    /// Filled, at least in part.
    Filled(Filled),
}

/// What an order got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) shares: Shares,
    pub(crate) usd: Usd,
    pub(crate) fee: Usd,
    /// The levels it took from, and how much.
    pub(crate) levels: Vec<(Level, Shares)>,
}

/// Reads the bytes of an order.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn read(id: OrderId, body: &[u8]) -> Result<Order, Verdict> {
    let unreadable = |_| Verdict::Refused(RejectReason::Payload, "Invalid order payload".to_owned());
    let (post, fields, signature, _) = wire::parse_order(body).map_err(unreadable)?;
    Ok(Order { id, fields, order_type: post.order_type, signature })
}

impl Order {
    /// What becomes of it, signed by `signer`, at this market and book, of which `taken` is gone already.
    pub(crate) fn judge(
        &self,
        signer: Address,
        market: &Market,
        book: &Book,
        (taken, uptime): (&Taken, Duration),
    ) -> Verdict {
        let refused = |reason, text: &str| Verdict::Refused(reason, text.to_owned());
        let Self { id, fields, order_type, signature } = self;
        let exchange = Exchange::of(&fields.token, market.negative_risk);
        if fields.id(exchange) != *id || !fields.is_signed_by(signer, exchange, signature) {
            return refused(RejectReason::Signature, "invalid signature");
        }
        if !market.accepting_orders || market.payout.is_some() {
            return refused(RejectReason::MarketClosed, "the market takes no orders now");
        }
        if !order_type.is_immediate() {
            return refused(RejectReason::Payload, "orders that rest are not taken on paper");
        }
        let checked = match rules::check(*id, fields, *order_type, market.tick, market.minimum_size) {
            Ok(checked) => checked,
            Err(refusal) => return Verdict::Refused(reason(&refusal.error), refusal.error),
        };
        let (own, levels) = left_of(book, fields, (taken, uptime));
        let depth = Depth { token: fields.token, own: Some(&own), other_token: fields.token, other: None };
        let budget = match fields.side {
            Side::Buy => Budget::dollars(Usd(fields.maker_amount)),
            Side::Sell => Budget::shares(Shares(fields.maker_amount)),
        };
        let fills = depth.plan(fields.side, checked.limit, budget, |_| true).unwrap_or_default();
        if fields.side == Side::Buy && !fills.is_empty() && Usd(fields.maker_amount) < MINIMUM_MARKET_BUY {
            return refused(RejectReason::Minimum, "invalid amount for a marketable BUY order, min size: $1");
        }
        let (shares, usd): (Shares, Usd) =
            (fills.iter().map(|fill| fill.shares).sum(), fills.iter().map(|fill| fill.usd).sum());
        let given = if fields.side == Side::Buy { usd.0 } else { shares.0 };
        match order_type {
            OrderType::Fok if given < fields.maker_amount => {
                return Verdict::Killed(
                    "order couldn't be fully filled. FOK orders are fully filled or killed.",
                );
            }
            _ if fills.is_empty() => return Verdict::Killed("no orders found to match with FAK order."),
            _ => {}
        }
        let schedule = FeeSchedule { rate: domain::Price(market.fee.rate), exponent: market.fee.exponent };
        let venue: Usd = fills.iter().map(|fill| schedule.fee(fill.shares, fill.price)).sum();
        let builder = usd.times(i64::from(market.fee.builder_bps), BPS, Rounding::Down).unwrap_or_default();
        let fee = venue.plus(builder).unwrap_or(venue);
        let level = |price| levels.iter().find(|level: &&Level| level.price == price).copied();
        let levels = fills.iter().filter_map(|fill| Some((level(fill.price)?, fill.shares))).collect();
        Verdict::Filled(Filled { shares, usd, fee, levels })
    }
}

/// The side of the book that an order meets, as resting orders, and its levels as they are shown.
fn left_of(
    book: &Book,
    fields: &SignedFields,
    (taken, uptime): (&Taken, Duration),
) -> (book::Book, Vec<Level>) {
    let levels = book.against(fields.side).to_vec();
    let mut own = book::Book::default();
    for (arrival, level) in (0..).zip(&levels) {
        let shares = taken.left(fields.token, fields.side, level, uptime);
        if shares.is_positive() {
            let (order, maker) = (OrderId([0; 32]), Address([0; 20]));
            let resting = Resting { order, maker, shares, complements: false };
            own.rest(opposite(fields.side), level.price, arrival, resting);
        }
    }
    (own, levels)
}

/// The venue's texts, as the simulator's rules have them.
fn reason(text: &str) -> RejectReason {
    if text.contains("tick size") {
        RejectReason::Tick
    } else if text.contains("accuracy") {
        RejectReason::Amounts
    } else if text.contains("lower than the minimum") {
        RejectReason::Minimum
    } else {
        RejectReason::Payload
    }
}

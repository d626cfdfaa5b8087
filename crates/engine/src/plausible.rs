//! What an order was signed for bounds what it can have filled. Far more is not believed, whoever tells of it: a
//! venue that mixes up units, or a source that lies, must book nothing that cannot be.

use std::borrow::Cow;

use domain::{
    OrderId, Price, Rounding, Shares, Side, TickSize, Usd,
    lifecycle::{Evidence, OrderEvent},
    money::MoneyError,
    trade::Quantity,
};
use tracing::warn;

use crate::{
    limits,
    orders::Learned,
    ports::{execution::OrderRecord, venue::SettlementStatus},
};

/// Nothing trades below this.
const LEAST_PRICE: Price = TickSize::TenThousandth.size();

/// Somebody tells of more than an order can have filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{by} says that order {order} filled {} shares for {} dollars with a fee of {fee}; it was signed for at \
    most {} shares and {} dollars", told.shares, told.usd, most.shares, most.usd)]
pub struct Beyond {
    /// The order.
    pub order: OrderId,
    /// Who says so.
    pub by: &'static str,
    /// What.
    pub told: Quantity,
    /// With this fee, in dollars.
    pub fee: Usd,
    /// What the order allows.
    pub most: Quantity,
}

/// What an order allows.
struct Bound {
    order: OrderId,
    most: Quantity,
}

impl Bound {
    fn of(record: &OrderRecord) -> Self {
        let maker = record.amounts.maker;
        let shares = match record.intent.side {
            Side::Buy => LEAST_PRICE.shares_for(Usd(maker), Rounding::Up).unwrap_or(Shares(i64::MAX)),
            Side::Sell => Shares(maker),
        };
        // A share is never worth more than a dollar.
        Self { order: record.order.id, most: Quantity { shares, usd: Usd(maker) } }
    }

    fn check(&self, told: Quantity, fee: Usd, by: &'static str) -> Result<(), Beyond> {
        let within = |told: i64, most: i64| (0..=most.saturating_add(limits::ROUNDED_AWAY)).contains(&told);
        let most = self.most;
        let fits = within(told.shares.0, most.shares.0) && within(told.usd.0, most.usd.0);
        if fits && within(fee.0, most.usd.0) {
            return Ok(());
        }
        Err(Beyond { order: self.order, by, told, fee, most })
    }

    fn check_learned(&self, learned: &Learned) -> Result<(), Beyond> {
        if let Some(reply) = learned.reply {
            self.check(reply, Usd::ZERO, "the reply")?;
        }
        if let Some(estimate) = learned.estimate {
            self.check(estimate, Usd::ZERO, "the venue's record")?;
        }
        let (mut all, mut fees) = (Quantity::ZERO, Usd::ZERO);
        for trade in &learned.trades {
            let quantity = Quantity { shares: trade.shares, usd: trade.usd };
            self.check(quantity, trade.fee, "a listed trade")?;
            if trade.status != SettlementStatus::Failed {
                let plus = |sum: i64, more: i64| sum.saturating_add(more);
                all.shares = Shares(plus(all.shares.0, trade.shares.0));
                all.usd = Usd(plus(all.usd.0, trade.usd.0));
                fees = Usd(plus(fees.0, trade.fee.0));
            }
        }
        self.check(all, fees, "the sum of the listed trades")
    }
}

/// What was learned, without amounts beyond the order and what they were said to mean; and whether there were any.
pub(crate) fn believed<'a>(record: &OrderRecord, learned: &'a Learned) -> (Cow<'a, Learned>, bool) {
    let Err(beyond) = Bound::of(record).check_learned(learned) else {
        return (Cow::Borrowed(learned), false);
    };
    warn!(order.id = %record.order.id, "not believed: {beyond}");
    // Whoever replied with our id has it; of what a look-up says nothing is left.
    let event = learned.reply.and(learned.event).map(|event| match event {
        OrderEvent::SeenMatched => OrderEvent::SeenLive,
        event => event,
    });
    let rest = Learned { event, reply: None, estimate: None, trades: Vec::new(), ..learned.clone() };
    (Cow::Owned(rest), true)
}

/// Whether evidence is within the order.
///
/// # Errors
/// [`Beyond`].
pub(crate) fn check(record: &OrderRecord, evidence: &Evidence) -> Result<(), Beyond> {
    let bound = Bound::of(record);
    bound.check(evidence.chain.quantity, evidence.chain.fee, "the chain")?;
    bound.check(evidence.trades.quantity, evidence.trades.fee, "the sum of the listed trades")
}

/// Why an order's update cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Amounts beyond 64 bits.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Amounts beyond what was signed.
    #[error(transparent)]
    Beyond(#[from] Beyond),
}

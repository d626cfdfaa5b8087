//! Planning one attempt of an intent: age again, amounts, price on the tick of today, salt.

use std::time::Duration;

use domain::{
    Hash, Market, OrderAmounts, OrderPlan, OrderType, Price, Rounding, Shares, Side, Timestamp, Usd,
    ids::AttemptId,
    lifecycle::{Evidence, OrderState},
    money::{self, LOT},
    policy::BASIS_POINTS,
    position::Entry,
};

use super::Worker;
use crate::{
    limits,
    ports::{
        execution::{EndReason, OrderRecord, SignedAttempt, StageTimes, WaitingIntent},
        store::InstanceId,
        venue::PreparedOrder,
    },
    salt::natural_key,
};

/// A waiting intent with everything that planning it needs to know.
pub(super) struct Reading {
    pub waiting: WaitingIntent,
    /// Rules of its market; `None` when nobody knows them.
    market: Option<Market>,
    /// The best bid now; read for further attempts of an exit.
    best_bid: Option<Price>,
}

/// What to do with a waiting intent.
pub(super) enum Plan {
    /// Sign this.
    Order(Box<Planned>),
    /// It is over.
    End(EndReason),
    /// Not now.
    Later(Timestamp),
}

/// An attempt that is decided in every bit.
pub(super) struct Planned {
    pub waiting: WaitingIntent,
    pub plan: OrderPlan,
    pub limit: Price,
    pub signed_at: Timestamp,
    pub resend_until: Timestamp,
    /// How long the market holds its replies back.
    pub taker_delay: Duration,
}

impl Planned {
    /// The row of commit 2.
    pub fn attempt(&self, order: PreparedOrder) -> SignedAttempt {
        SignedAttempt {
            intent: self.waiting.intent.id,
            attempt: self.waiting.attempts,
            order,
            amounts: self.plan.amounts,
            limit: self.limit,
            salt: self.plan.salt,
            timestamp: self.plan.timestamp,
            signed_at: self.signed_at,
            resend_until: self.resend_until,
        }
    }

    /// How long it may be sent after planning began.
    pub fn sendable_for(&self) -> Duration {
        self.resend_until.since(self.signed_at).min(limits::WORK_LEASE)
    }

    /// The record as commit 2 has just made it.
    pub fn record(
        &self,
        attempt: AttemptId,
        fence: i64,
        order: PreparedOrder,
        holder: &InstanceId,
    ) -> OrderRecord {
        OrderRecord {
            attempt,
            number: self.waiting.attempts,
            intent: self.waiting.intent.clone(),
            order,
            amounts: self.plan.amounts,
            limit: self.limit,
            timestamp: self.plan.timestamp,
            salt: self.plan.salt,
            signed_at: self.signed_at,
            resend_until: self.resend_until,
            state: OrderState::Signed,
            version: 0,
            fence,
            trades: Vec::new(),
            evidence: Evidence::default(),
            booked: Entry::default(),
            permits_out: vec![holder.clone()],
            sender_ended_at: None,
            unseen_for: Duration::ZERO,
            looked_up_at: None,
            doubts: 0,
            times: StageTimes::default(),
            open_work: true,
        }
    }
}

impl Worker {
    /// Reads what depends on the intent. A further attempt of an exit takes the book of now, because the
    /// price that was right at the decision is why the last attempt found nobody.
    pub(super) async fn read(&self, waiting: WaitingIntent, market: Option<Market>) -> Reading {
        let intent = &waiting.intent;
        let mut best_bid = None;
        if intent.side == Side::Sell && market.is_some() && waiting.attempts > 0 {
            let book = self.markets.book(intent.token, intent.lane).await;
            best_bid = book.and_then(|book| book.best_for(Side::Sell));
        }
        Reading { waiting, market, best_bid }
    }

    pub(super) fn plan(&self, reading: Reading, now: Timestamp) -> Plan {
        let intent = &reading.waiting.intent;
        if intent.expires_at.is_some_and(|expires| now > expires) {
            return Plan::End(EndReason::TooOld);
        }
        let Some(market) = &reading.market else {
            return Plan::Later(now.plus(Duration::from_secs(1)));
        };
        let sized = match intent.side {
            Side::Buy => buy(intent.amount, intent.limit, market),
            Side::Sell => sell(&reading, market),
        };
        let Some((amounts, limit)) = sized else { return Plan::End(EndReason::Unbuildable) };
        let taker_delay = Duration::from_millis(u64::from(market.taker_delay_ms));
        // An entry's hash carries the decision's time, an exit's the attempt's.
        let (timestamp, resend) = match intent.side {
            Side::Buy => (intent.decided_at, limits::ENTRY_RESEND),
            Side::Sell => (now, limits::EXIT_RESEND),
        };
        let plan = OrderPlan {
            salt: self.salts.salt(&natural_key(intent, reading.waiting.attempts)),
            account: intent.account.clone(),
            token: intent.token,
            side: intent.side,
            amounts,
            timestamp,
            negative_risk: market.negative_risk,
            order_type: match intent.side {
                Side::Buy => reading.waiting.entry_type.into(),
                Side::Sell => OrderType::FillAndKill,
            },
            defer: false,
            // The adapter's business: it knows the code.
            builder: Hash([0; 32]),
        };
        Plan::Order(Box::new(Planned {
            waiting: reading.waiting,
            plan,
            limit,
            signed_at: now,
            resend_until: now.plus(resend),
            taker_delay,
        }))
    }
}

fn sell(reading: &Reading, market: &Market) -> Option<(OrderAmounts, Price)> {
    let waiting = &reading.waiting;
    let free = waiting.held.less(waiting.promised);
    let left = Shares(waiting.intent.amount).less(waiting.filled).min(free).floor_to(LOT);
    // Below the minimum only all there is, or what was decided so, is tried.
    let small = left < market.minimum_size && Shares(waiting.intent.amount) >= market.minimum_size;
    if left < LOT || (small && left < free.floor_to(LOT)) {
        return None;
    }
    let best = reading.best_bid.map(|best| lowest(best, waiting.slippage_to_book_bps));
    let limit = market.tick.ceil(best.unwrap_or(waiting.intent.limit));
    OrderAmounts::market_sell(left, limit, market.tick).ok().map(|amounts| (amounts, limit))
}

/// A tick that became coarser since the decision only ever lowers what we pay.
fn buy(amount: i64, limit: Price, market: &Market) -> Option<(OrderAmounts, Price)> {
    if !market.accepting_orders {
        return None;
    }
    let on_tick = market.tick.floor(limit);
    if on_tick > limit {
        return None;
    }
    let minimum = market.minimum_buy(on_tick).ok()?;
    if Usd(amount) < minimum {
        return None;
    }
    OrderAmounts::market_buy(Usd(amount), on_tick, market.tick).ok().map(|amounts| (amounts, on_tick))
}

fn lowest(best: Price, slippage_bps: i64) -> Price {
    let keep = BASIS_POINTS.saturating_sub(slippage_bps.clamp(0, BASIS_POINTS));
    money::mul_div(best.0, keep, BASIS_POINTS, Rounding::Up).map_or(best, Price)
}

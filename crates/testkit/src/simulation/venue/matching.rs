//! Taking bytes: fill-and-kill and fill-or-kill against a book, and every answer the model allows.

use std::time::Duration;

use domain::{
    Address, Book, Level, OrderId, OrderPlan, OrderType, Price, Rounding, Shares, Side, Timestamp, TxHash,
    Usd, lifecycle::Filled, trade::Quantity,
};
use engine::ports::venue::{Acceptance, AcceptedStatus, ChainFill, PostReply, RejectReason};

use super::{
    super::scenario::MINIMUM, BookChange, Duplicated, Effect, LineTrade, Settling, State, VenueLine,
    VenueModel, chain::digest,
};

/// From match to the earliest block.
const SETTLES_AFTER: Duration = Duration::from_secs(1);

/// What is offered and wanted of a token.
#[derive(Clone, Default)]
pub(super) struct VenueBook {
    book: Book,
    hollow: bool,
}

impl VenueBook {
    pub fn replace(&mut self, change: &BookChange) {
        self.book = change.book.clone();
        self.hollow = change.hollow;
    }

    pub fn shown(&self) -> Option<Book> {
        let empty = self.book.bids.is_empty() && self.book.asks.is_empty();
        (!empty).then(|| self.book.clone())
    }

    /// Whether a sale at the best bid would find somebody.
    pub fn buys(&self) -> bool {
        !self.hollow && !self.book.bids.is_empty()
    }

    /// Takes what an order may still give, within its limit. Whole lots of 0.0001 shares.
    fn take(&mut self, plan: &OrderPlan, left: i64) -> Quantity {
        let levels = match plan.side {
            Side::Buy => &mut self.book.asks,
            Side::Sell => &mut self.book.bids,
        };
        let mut total = Quantity::ZERO;
        for level in levels.iter_mut().filter(|_| !self.hollow) {
            let (shares, usd) = (total.shares.0, total.usd.0);
            let open = match plan.side {
                Side::Buy => shares_for(left - usd, level.price),
                Side::Sell => left - shares,
            };
            let taken = open.min(level.size.0);
            if taken <= 0 || !allows(plan, level.price) {
                break;
            }
            level.size = Shares(level.size.0 - taken);
            let cost = level.price.cost(Shares(taken), Rounding::Down).unwrap_or_default();
            total = Quantity { shares: Shares(shares + taken), usd: Usd(usd + cost.0) };
        }
        levels.retain(|level: &Level| level.size.is_positive());
        total
    }

    /// What an order of this type gets: a fill-or-kill order all of it, or nothing.
    fn execute(&mut self, plan: &OrderPlan, left: i64) -> Quantity {
        let before = self.book.clone();
        let taken = self.take(plan, left);
        if plan.order_type == OrderType::FillOrKill && !is_whole(plan, left, taken) {
            self.book = before;
            return Quantity::ZERO;
        }
        taken
    }
}

/// Whether nothing is left that could still match at the limit.
pub(in crate::simulation) fn is_whole(plan: &OrderPlan, left: i64, taken: Quantity) -> bool {
    match plan.side {
        Side::Sell => taken.shares.0 == left,
        Side::Buy => {
            let limit = Price::of(Usd(plan.amounts.maker), Shares(plan.amounts.taker), Rounding::Up);
            limit.is_none_or(|limit| shares_for(left - taken.usd.0, limit) == 0)
        }
    }
}

fn shares_for(usd: i64, price: Price) -> i64 {
    price.shares_for(Usd(usd), Rounding::Down).map_or(0, |shares| shares.floor_to(Shares(100)).0)
}

/// Whether a level's price is within the order's limit (its two amounts).
fn allows(plan: &OrderPlan, price: Price) -> bool {
    let (maker, taker, price) =
        (i128::from(plan.amounts.maker), i128::from(plan.amounts.taker), i128::from(price.0));
    match plan.side {
        Side::Buy => price * taker <= maker * 1_000_000,
        // The dollars of a sale are rounded down, so the limit may be a hair below its tick.
        Side::Sell => price * maker >= taker * 1_000_000,
    }
}

impl State {
    /// Reads bytes and opens a line for them.
    pub(super) fn know(&mut self, body: &[u8]) -> Option<OrderId> {
        let plan: OrderPlan = serde_json::from_slice(body).ok()?;
        let id = OrderId(digest(body));
        self.lines.entry(id).or_insert(VenueLine {
            plan,
            arrived: 0,
            accepted: 0,
            first_accepted: None,
            last_accepted: None,
            trades: Vec::new(),
        });
        Some(id)
    }

    /// Bytes are posted.
    pub(super) fn post(&mut self, body: &[u8], now: Timestamp) -> PostReply {
        self.revision += 1;
        let Some(id) = self.know(body) else {
            return rejected(RejectReason::Payload, "Invalid order payload");
        };
        if self.arrivals.iter().any(|(_, waiting)| *waiting == id) && !self.model.held_back.is_zero() {
            return PostReply::Duplicated;
        }
        if let Some(refusal) = self.not_now(id, now) {
            return refusal;
        }
        let first = self.lines.get(&id).is_some_and(|line| line.first_accepted.is_none());
        if first && !self.model.held_back.is_zero() {
            self.arrivals.push((now.plus(self.model.held_back), id));
            return PostReply::Accepted(Acceptance {
                status: if self.model.says_live { AcceptedStatus::Live } else { AcceptedStatus::Delayed },
                making: None,
                taking: None,
                trade_ids: Vec::new(),
            });
        }
        if self.model.acceptance_delay.is_zero() {
            return self.arrive(id, now);
        }
        self.arrivals.push((now.plus(self.model.acceptance_delay), id));
        PostReply::Unknown { text: "order timed out".to_owned(), blocked: false }
    }

    /// How long orders of this side, and of this signer, are not taken from now on, and whether that is told.
    pub(super) fn shut(&self, side: Side, signer: Address, now: Timestamp) -> (Duration, bool) {
        let begun = self.closed_at.zip(self.model.closed).filter(|(_, closed)| closed.side == side);
        let closed = begun
            .map_or((Duration::ZERO, false), |(at, closed)| (at.plus(closed.lasts).since(now), closed.tells));
        let last = self.last_orders.get(&signer).zip(self.model.signer_limit);
        let limited = last.map_or(Duration::ZERO, |(at, limit)| at.plus(limit.pause).since(now));
        if limited > closed.0 { (limited, true) } else { closed }
    }

    /// "Not now", if it is.
    fn not_now(&mut self, id: OrderId, now: Timestamp) -> Option<PostReply> {
        let plan = &self.lines.get(&id)?.plan;
        let (side, signer) = (plan.side, plan.account.signer);
        if self.model.closed.is_some_and(|closed| closed.side == side) {
            self.closed_at.get_or_insert(now);
        }
        let (left, told) = self.shut(side, signer, now);
        let text = "order placement is not available now".to_owned();
        (!left.is_zero()).then_some(PostReply::NotAccepted { retry_after: told.then_some(left), text })
    }

    /// Bytes reach the matching engine.
    pub(super) fn arrive(&mut self, id: OrderId, now: Timestamp) -> PostReply {
        let model = self.model;
        let refusal = self.not_now(id, now);
        let Some(line) = self.lines.get_mut(&id) else {
            return rejected(RejectReason::Payload, "Invalid order payload");
        };
        line.arrived += 1;
        if let Some(refusal) = refusal {
            return refusal;
        }
        self.last_orders.insert(line.plan.account.signer, now);
        if model.maximum_age.is_some_and(|maximum| now.since(line.plan.timestamp) > maximum) {
            return rejected(RejectReason::Payload, "order timestamp is too old");
        }
        if model.refuses_small && line.plan.side == Side::Sell && line.plan.amounts.maker < MINIMUM.0 {
            return rejected(RejectReason::Minimum, "Size lower than the minimum");
        }
        if let Some(last) = line.last_accepted {
            let settled = line.trades.iter().all(|trade| self.chain.place_of(trade.tx).is_some());
            let known = match model.duplicated {
                Duplicated::ForEver => true,
                Duplicated::WhileLive => !line.trades.is_empty() && !settled,
                Duplicated::TenSeconds => now.since(last) < Duration::from_secs(10),
            };
            if known {
                return PostReply::Duplicated;
            }
            if !model.executes_again {
                return match line.trades.is_empty() {
                    true => model.killed(),
                    false => rejected(RejectReason::CancelledOnChain, "order is done"),
                };
            }
        }
        self.execute(id, now)
    }

    fn execute(&mut self, id: OrderId, now: Timestamp) -> PostReply {
        let killed = self.model.killed();
        let Some(line) = self.lines.get_mut(&id) else { return killed };
        let left = line.plan.amounts.maker - line.given();
        if left <= 0 {
            // The contract lets no hash give more than its amount.
            return rejected(RejectReason::CancelledOnChain, "order is filled");
        }
        line.accepted += 1;
        line.first_accepted = line.first_accepted.or(Some(now));
        line.last_accepted = Some(now);
        let plan = line.plan.clone();
        let taken = self.books.entry(plan.token).or_default().execute(&plan, left);
        if !taken.shares.is_positive() {
            return killed;
        }
        self.trade(id, &plan, taken, now);
        let (making, taking) = match plan.side {
            Side::Buy => (taken.usd.0, taken.shares.0),
            Side::Sell => (taken.shares.0, taken.usd.0),
        };
        PostReply::Accepted(Acceptance {
            status: AcceptedStatus::Matched,
            making: Some(making),
            taking: Some(taking),
            trade_ids: Vec::new(),
        })
    }

    /// What was matched becomes one trade, or two.
    fn trade(&mut self, order: OrderId, plan: &OrderPlan, taken: Quantity, now: Timestamp) {
        self.trades += 1;
        let failed = self.failing_every.is_some_and(|every| self.trades.is_multiple_of(every));
        let id = format!("trade-{}", self.trades);
        let Some(later) = self.model.splits else {
            return self.settle(order, plan, taken, Made { id, at: now, failed });
        };
        let first = Quantity { shares: Shares(taken.shares.0 * 3 / 5), usd: Usd(taken.usd.0 * 3 / 5) };
        let rest =
            Quantity { shares: Shares(taken.shares.0 - first.shares.0), usd: Usd(taken.usd.0 - first.usd.0) };
        let second = Made { id: format!("{id}, second"), at: now.plus(later), failed };
        self.settle(order, plan, first, Made { id, at: now, failed });
        self.settle(order, plan, rest, second);
    }

    fn settle(&mut self, order: OrderId, plan: &OrderPlan, taken: Quantity, made: Made) {
        let Made { id, at, failed } = made;
        let announced = TxHash(digest(id.as_bytes()));
        let tx = self.settled_tx(announced);
        let price = Price::of(taken.usd, taken.shares, Rounding::Down).unwrap_or_default();
        let schedule = self.markets.get(&plan.token).map(|market| market.fee).unwrap_or_default();
        let fee = schedule.taker_fee(taken.shares, price).unwrap_or_default();
        if !failed {
            let fill = ChainFill {
                order,
                wallet: plan.account.wallet,
                maker: false,
                token: plan.token,
                side: plan.side,
                shares: taken.shares,
                usd: taken.usd,
                fee,
            };
            self.chain.settle(Settling {
                from: at.plus(SETTLES_AFTER),
                tx,
                effect: Effect::Fill(fill),
                moved: false,
            });
        }
        let filled = Filled { quantity: taken, fee };
        if let Some(line) = self.lines.get_mut(&order) {
            line.trades.push(LineTrade { id, filled, at, announced, tx, failed });
        }
    }
}

/// A trade to be settled.
struct Made {
    id: String,
    /// When it is sent to the chain, and shown.
    at: Timestamp,
    failed: bool,
}

impl VenueModel {
    /// The answer to an order that found nobody. Ours reads a status it does not know as an open outcome.
    fn killed(&self) -> PostReply {
        if self.says_unmatched {
            return PostReply::Unknown { text: "status 200: unmatched".to_owned(), blocked: false };
        }
        PostReply::Killed { text: "no orders found to match with FAK order".to_owned() }
    }
}

fn rejected(reason: RejectReason, text: &str) -> PostReply {
    PostReply::Rejected { reason, text: text.to_owned() }
}

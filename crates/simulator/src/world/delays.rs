//! Orders that are answered or matched later than they arrive: a taker that the venue holds before it answers
//! (`itode` markets), one that is answered `delayed` and matched after some seconds (sports markets), and one
//! whose sender is gone.
//!
//! Source: docs.polymarket.com concepts/order-lifecycle.

use std::time::Duration;

use domain::{OrderId, Timestamp};

use super::{
    Refusal, World,
    events::OrderStep,
    journal::{Ending, OrderState, PostOutcome},
    matching::Fill,
    orders::{Answer, Placed, Submission},
    rules,
};
use crate::{limits::ANSWERS_KEPT, wire::OrderType};

/// What the venue does later.
#[derive(Clone, Debug)]
pub(super) enum Later {
    /// Processes an order. The answer is kept under its number if somebody waits for it.
    Place {
        /// The order.
        order: Submission,
        /// Whether somebody waits.
        awaited: bool,
    },
    /// Matches a delayed order.
    Match(Submission),
}

/// What becomes of an order that just arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// This is the answer.
    Answered(Result<Placed, Refusal>),
    /// The answer can be fetched under this number at this time.
    Held {
        /// Number.
        ticket: u64,
        /// When.
        until: Timestamp,
    },
}

impl World {
    /// Takes an order from the wire: holds it if its market holds takers, else processes it.
    pub fn arrive(&mut self, now: Timestamp, order: &Submission) -> Arrival {
        let Some(hold) = self.hold_of(order) else { return Arrival::Answered(self.place(now, order)) };
        let until = now.plus(hold);
        let ticket = self.later(until, Later::Place { order: order.clone(), awaited: true });
        Arrival::Held { ticket, until }
    }

    /// The answer to an order that was held; `None` while it is not there, and when it was fetched before.
    pub fn take_answer(&mut self, ticket: u64) -> Option<Result<Placed, Refusal>> {
        self.answers.remove(&ticket)
    }

    /// Keeps an order that the venue will process later, without anybody waiting.
    pub fn defer(&mut self, due: Timestamp, order: Submission) {
        self.later(due, Later::Place { order, awaited: false });
    }

    /// Orders that the venue will process or match later.
    #[must_use]
    pub fn late_orders(&self) -> usize {
        self.late.len()
    }

    fn later(&mut self, due: Timestamp, what: Later) -> u64 {
        self.arrivals = self.arrivals.saturating_add(1);
        self.late.insert((due, self.arrivals), what);
        self.arrivals
    }

    pub(super) fn do_later(&mut self, due: Timestamp, number: u64, what: Later) {
        match what {
            Later::Place { order, awaited } => {
                // Without somebody who waits, the journal keeps the answer.
                let answer = self.place(due, &order);
                if awaited {
                    self.answers.insert(number, answer);
                    if self.answers.len() > ANSWERS_KEPT {
                        self.answers.pop_first();
                    }
                }
            }
            Later::Match(order) => self.match_delayed(due, &order),
        }
    }

    /// How long the venue holds this order before it processes it: only what would take is held.
    fn hold_of(&self, order: &Submission) -> Option<Duration> {
        let market = self.registry.market_of(&order.fields.token)?;
        let hold = Duration::from_millis(market.terms.taker_hold_ms);
        if hold.is_zero() || order.post_only {
            return None;
        }
        let (tick, min_size) = (market.tick, self.least(market.spec.min_size, order.order_type));
        let checked = rules::check(order.id, &order.fields, order.order_type, tick, min_size).ok()?;
        let best = self.book(&order.fields.token)?.best(super::book::opposite(order.fields.side))?;
        let takes = match order.fields.side {
            domain::Side::Buy => best <= checked.limit,
            domain::Side::Sell => best >= checked.limit,
        };
        takes.then_some(hold)
    }

    /// How much later this order is matched; `None` when at once.
    pub(super) fn delay_of(&self, order: &Submission, fills: &[Fill]) -> Option<Duration> {
        if fills.is_empty() || order.post_only {
            return None;
        }
        let market = self.registry.market_of(&order.fields.token)?;
        let seconds = Duration::from_secs(market.terms.seconds_delay.into());
        let fak = match order.order_type {
            OrderType::Fak => Duration::from_millis(self.knobs.fak_delay_ms),
            _ => Duration::ZERO,
        };
        Some(seconds.max(fak)).filter(|delay| !delay.is_zero())
    }

    /// Answers an order with `delayed`: its money is held back, and nobody can cancel it.
    pub(super) fn put_off(&mut self, now: Timestamp, order: &Submission, delay: Duration) -> Placed {
        if let Some(record) = self.journal.orders.get_mut(&order.id) {
            record.state = OrderState::Delayed;
        }
        self.reserve_rest(order.id);
        self.later(now.plus(delay), Later::Match(order.clone()));
        self.journal.note_live(&order.owner, order.id);
        self.tell_order(order.id, OrderStep::Placement);
        Placed { id: order.id, answer: Answer::Delayed, making: 0, taking: 0, trade: None }
    }

    /// Matches a delayed order with the book as it is now, or rejects it after all.
    fn match_delayed(&mut self, now: Timestamp, order: &Submission) {
        if self.journal.orders.get(&order.id).is_none_or(|record| record.state != OrderState::Delayed) {
            return;
        }
        self.free_delayed(order.id);
        let result = self.size_up(now, order).and_then(|ready| self.finish(now, order, &ready));
        let state = self.journal.orders.get(&order.id).map(|record| record.state);
        match result {
            Ok(_) if state == Some(OrderState::Live) => {}
            Ok(_) => self.journal.forget_live(&order.owner, order.id),
            Err((outcome, refusal)) => {
                if let Some(record) = self.journal.orders.get_mut(&order.id) {
                    record.last_error = Some(refusal.error.clone());
                }
                if state == Some(OrderState::Delayed) {
                    self.end_order(order.id, ending(outcome, &refusal));
                } else {
                    self.journal.forget_live(&order.owner, order.id);
                }
            }
        }
        self.tell_books(&order.fields.token);
    }

    /// Gives back what a delayed order held, so that its own money is there for it.
    fn free_delayed(&mut self, id: OrderId) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        let freed = std::mem::take(&mut record.reserved);
        let key = (record.fields.maker, record.fields.maker_asset());
        let reserved = self.reserved.entry(key).or_default();
        *reserved = reserved.saturating_sub(freed);
    }
}

fn ending(outcome: PostOutcome, refusal: &Refusal) -> Ending {
    if outcome == PostOutcome::Killed {
        Ending::Killed
    } else if refusal.error.starts_with("not enough balance") {
        Ending::NotEnoughBalance
    } else {
        Ending::Rejected
    }
}

//! Ends of resting orders: cancelled by their owner, expired, or cancelled by the venue.

use domain::{ConditionId, OrderId, Timestamp, TokenId};

use super::{
    World,
    events::OrderStep,
    journal::{Ending, OrderRecord, OrderState},
    orders::Submission,
};
use crate::{limits::EXPIRES_EARLIER, wire::OrderType};

/// Why an order is in `not_canceled`. Text of the live venue.
pub const NOT_FOUND: &str = "order can't be found - already canceled or matched";

/// The same for an order that is matched later. No text is documented for this.
pub const DELAYED: &str = "order is delayed and can't be canceled";

/// What became of a request to cancel: ids, and ids with reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canceled {
    /// Cancelled.
    pub done: Vec<OrderId>,
    /// Not cancelled, and why.
    pub not: Vec<(OrderId, &'static str)>,
}

impl World {
    /// Cancels a resting order.
    ///
    /// # Errors
    /// The reason for `not_canceled`.
    pub fn cancel(&mut self, id: OrderId, owner: &str) -> Result<(), &'static str> {
        let record = self.journal.orders.get(&id).filter(|record| record.owner == owner).ok_or(NOT_FOUND)?;
        match record.state {
            OrderState::Live => {}
            OrderState::Delayed => return Err(DELAYED),
            _ => return Err(NOT_FOUND),
        }
        self.end_order(id, Ending::Canceled);
        Ok(())
    }

    /// Cancels these orders as far as they rest and are `owner`'s. An id counts once.
    pub fn cancel_each(&mut self, ids: impl IntoIterator<Item = OrderId>, owner: &str) -> Canceled {
        let mut canceled = Canceled::default();
        for id in ids {
            if canceled.done.contains(&id) {
                continue;
            }
            match self.cancel(id, owner) {
                Ok(()) => canceled.done.push(id),
                Err(reason) => canceled.not.push((id, reason)),
            }
        }
        canceled
    }

    /// Cancels everything of `owner` that rests, of one market or token if named. What is delayed is named and
    /// stays.
    pub fn cancel_open(
        &mut self,
        owner: &str,
        market: Option<&ConditionId>,
        token: Option<&TokenId>,
    ) -> Canceled {
        let of_market = |record: &OrderRecord| {
            let known = self.registry.market_of(&record.fields.token);
            market.is_none_or(|wanted| known.is_some_and(|market| market.spec.condition == *wanted))
                && token.is_none_or(|wanted| record.fields.token == *wanted)
        };
        let open = self.journal.live_of(owner);
        let ids: Vec<OrderId> = open.filter(|(_, record)| of_market(record)).map(|(id, _)| *id).collect();
        self.cancel_each(ids, owner)
    }

    /// Its maker cancels an order in the exchange's contract, whether the venue knows it or not: it leaves the book, and no
    /// post of it is taken any more.
    pub fn cancel_in_contract(&mut self, id: OrderId) {
        self.contract_cancels.insert(id);
        if self.journal.orders.get(&id).is_some_and(|record| record.state == OrderState::Live) {
            self.end_order(id, Ending::Canceled);
        }
    }

    /// Takes an order off the book if it rests, and frees what it held back.
    pub(super) fn end_order(&mut self, id: OrderId, ending: Ending) {
        let Some(record) = self.journal.orders.get_mut(&id) else { return };
        let (token, side, place) = (record.fields.token, record.fields.side, record.place.take());
        record.state = if ending == Ending::Killed { OrderState::Killed } else { OrderState::Canceled };
        record.ending = Some(ending);
        let (owner, expires) = (record.owner.clone(), record.expires_at());
        if let Some((place, book)) = place.zip(self.books.get_mut(&token)) {
            book.remove(side, place);
        }
        if let Some(at) = expires {
            self.expiries.remove(&(at, id));
        }
        self.journal.forget_live(&owner, id);
        self.reserve_rest(id);
        self.tell_order(id, OrderStep::Cancellation);
        self.tell_books(&token);
    }

    /// Remembers when a resting order expires.
    pub(super) fn note_expiry(&mut self, order: &Submission) {
        let expires = self.journal.orders.get(&order.id).and_then(OrderRecord::expires_at);
        if let Some(at) = expires {
            self.expiries.insert((at, order.id));
        }
    }

    /// Cancels an order whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((_, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.pop_first();
            self.end_order(id, Ending::Expired);
        }
    }
}

impl OrderRecord {
    /// When it leaves the book by itself.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let stated = Timestamp::from_seconds(i64::try_from(self.expiration).unwrap_or(i64::MAX));
        (self.order_type == OrderType::Gtd).then(|| stated.minus(EXPIRES_EARLIER))
    }
}

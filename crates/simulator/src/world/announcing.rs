//! Tells the event log what a change of the world means for those who watch books, orders and trades.

use domain::{OrderId, Side, TokenId, TxHash};

use super::{
    World,
    book::opposite,
    chain::Tx,
    data::{Row, RowKind},
    events::{Event, EventLog, LevelChange, OrderStep},
    journal::{OrderRecord, TradeStatus},
};
use crate::contracts::HOUSE;

impl World {
    /// What happened, for followers.
    #[must_use]
    pub const fn events(&self) -> &EventLog {
        &self.events
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.events.push(self.now, event);
    }

    /// Tells what changed in the books of this token's market.
    pub(super) fn tell_books(&mut self, token: &TokenId) {
        let other = self.depth(token).other_token;
        let (own_changes, other_changes) = (self.changes(token), self.changes(&other));
        for (token, own, mirrored) in
            [(*token, &own_changes, &other_changes), (other, &other_changes, &own_changes)]
        {
            let Some(view) = self.book(&token) else { continue };
            let own = own.iter().filter(|change| change.own).map(|change| (change.side, change.price));
            let mirrored = mirrored.iter().filter(|change| change.mirrored);
            let mirrored = mirrored.map(|change| (opposite(change.side), change.price.complement()));
            let mut places: Vec<_> = own.chain(mirrored).collect();
            places.sort_unstable();
            places.dedup();
            let levels: Vec<LevelChange> =
                places.into_iter().map(|(side, price)| view.level(side, price)).collect();
            if levels.is_empty() {
                continue;
            }
            let (best_bid, best_ask) = (view.best(Side::Buy), view.best(Side::Sell));
            self.tell(Event::Book { token, levels, best_bid, best_ask });
        }
    }

    /// Tells everybody who traded in this transaction; the house is nobody.
    pub(super) fn tell_activity(&mut self, tx: &Tx) {
        for row in tx.rows.iter().filter(|row| row.wallet != HOUSE) {
            let Row { wallet, condition, shares, usd, .. } = *row;
            if let RowKind::Trade { token, side, .. } = row.kind {
                self.tell(Event::Activity { wallet, condition, token, side, shares, usd, tx: tx.hash });
            }
        }
    }

    fn changes(&mut self, token: &TokenId) -> Vec<super::book::Change> {
        self.books.get_mut(token).map_or_else(Vec::new, super::book::Book::drain_changes)
    }

    pub(super) fn tell_order(&mut self, order: OrderId, step: OrderStep) {
        let Some(record) = self.journal.orders.get(&order) else { return };
        let (status, filled, trades) = (record.status(), record.filled_shares(), record.trades.len());
        self.tell(Event::Order { order, step, status, filled, trades });
    }

    /// Changes a trade's status and tells it.
    pub(super) fn set_trade_status(&mut self, trade: usize, status: TradeStatus, tx: Option<TxHash>) {
        self.journal.set_status(trade, status, tx, self.now);
        self.tell(Event::Trade { trade, status, tx });
    }
}

impl OrderRecord {
    /// Status as the user channel names it.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        use super::journal::{Ending, OrderState};
        match (self.state, self.ending) {
            (OrderState::Delayed, _) => "DELAYED",
            (OrderState::Live, _) => "LIVE",
            (OrderState::Matched, _) => "MATCHED",
            (OrderState::Refused, _) => "INVALID",
            (_, Some(ending)) => ending.status(self.order_type),
            (OrderState::Killed | OrderState::Canceled, None) => Ending::Canceled.status(self.order_type),
        }
    }
}

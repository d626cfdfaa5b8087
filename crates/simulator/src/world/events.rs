//! What happened that a websocket would tell: books, orders, trades, markets, numbered in the order in
//! which they happened. One bounded log that any number of followers read at their own pace; whoever falls
//! behind is told how much is gone. Owns the log; never decides anything.

use std::collections::VecDeque;

use domain::{Address, ConditionId, OrderId, Price, Shares, Side, Timestamp, TokenId, TxHash, Usd};
use serde::Serialize;

use super::journal::TradeStatus;
use crate::limits::EVENTS_KEPT;

/// The new size of one price of a book; 0 when nothing is left there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LevelChange {
    /// Side of the book.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Shares at this price now.
    pub shares: Shares,
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStep {
    /// It rests now.
    Placement,
    /// It was filled, in part or whole.
    Update,
    /// It is over without being filled: cancelled, killed, expired.
    Cancellation,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A market was added.
    Market {
        /// Condition.
        condition: ConditionId,
    },
    /// The book of one token changed.
    Book {
        /// Token.
        token: TokenId,
        /// What changed.
        levels: Vec<LevelChange>,
        /// Best bid after it.
        best_bid: Option<Price>,
        /// Best ask after it.
        best_ask: Option<Price>,
    },
    /// A token traded.
    LastTrade {
        /// Token.
        token: TokenId,
        /// Side of the taker.
        side: Side,
        /// Price.
        price: Price,
        /// Shares.
        shares: Shares,
        /// The trade's number.
        trade: usize,
    },
    /// A market's tick size changed.
    Tick {
        /// Condition.
        condition: ConditionId,
        /// Before.
        old: Price,
        /// Now.
        new: Price,
    },
    /// A market was resolved.
    Resolved {
        /// Condition.
        condition: ConditionId,
        /// Dollars per share of each outcome.
        payouts: [Price; 2],
    },
    /// An order of a client changed. What does not change is in the journal.
    Order {
        /// Order.
        order: OrderId,
        /// What happened.
        step: OrderStep,
        /// Status as the venue names it, without a prefix: `LIVE`, `MATCHED`, `CANCELED` and others.
        status: &'static str,
        /// Shares filled so far.
        filled: Shares,
        /// How many of its trades there were.
        trades: usize,
    },
    /// A trade was made, or its settlement went on.
    Trade {
        /// Number of the trade.
        trade: usize,
        /// Its status now.
        status: TradeStatus,
        /// Its transaction, once the venue tells.
        tx: Option<TxHash>,
    },
    /// A wallet's part of a match, as everybody is told at once.
    Activity {
        /// Whose.
        wallet: Address,
        /// Market.
        condition: ConditionId,
        /// Token.
        token: TokenId,
        /// Side of the wallet.
        side: Side,
        /// Shares.
        shares: Shares,
        /// Dollars.
        usd: Usd,
        /// The transaction that is to settle it.
        tx: TxHash,
    },
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Number, counted from 1.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// The newest events.
#[derive(Debug, Default)]
pub struct EventLog {
    newest: u64,
    kept: VecDeque<Entry>,
}

impl EventLog {
    /// Appends an event.
    pub fn push(&mut self, at: Timestamp, event: Event) {
        self.newest = self.newest.saturating_add(1);
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Entry { number: self.newest, at, event });
    }

    /// Number of the newest event; 0 while there is none.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// How many events after number `seen` are gone for good, and those that are still there, oldest first.
    pub fn since(&self, seen: u64) -> (u64, impl Iterator<Item = &Entry>) {
        let kept = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let oldest = self.newest.saturating_sub(kept);
        let lost = oldest.saturating_sub(seen);
        let skip = usize::try_from(seen.saturating_sub(oldest)).unwrap_or(usize::MAX);
        (lost, self.kept.iter().skip(skip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(byte: u8) -> Event {
        Event::Trade { trade: usize::from(byte), status: TradeStatus::Matched, tx: None }
    }

    #[test]
    fn followers_read_on_where_they_stopped_and_learn_what_they_missed() {
        let mut log = EventLog::default();
        assert_eq!(log.since(0).1.count(), 0);
        for byte in 1..=3 {
            log.push(Timestamp(i64::from(byte)), event(byte));
        }
        let (lost, entries) = log.since(1);
        let numbers: Vec<u64> = entries.map(|entry| entry.number).collect();
        assert_eq!((lost, numbers, log.newest()), (0, vec![2, 3], 3));
        assert_eq!(log.since(9).1.count(), 0, "a number from another run");
        for _ in 0..EVENTS_KEPT {
            log.push(Timestamp(9), event(9));
        }
        let (lost, mut entries) = log.since(1);
        assert_eq!((lost, entries.next().map(|entry| entry.number)), (2, Some(4)));
    }
}

//! Books put together from snapshots and changes. A book that may be wrong is dropped, never guessed at:
//! whoever wants it asks the venue until a snapshot begins it anew. Pure state; knows no feed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use domain::{Book, Level, Price, Shares, Side, Timestamp, TokenId};

use crate::{
    limits::{BOOK_FRESH_FOR, BOOK_REFRESH_PAUSE},
    ports::feeds::{BestPrices, LevelChange, MarketNews},
};

/// Why a book was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The feed may have a gap.
    Lost,
    /// Its price grid changed.
    Tick,
    /// Its market was resolved.
    Resolved,
    /// A change came that is older than the one before it.
    OutOfOrder,
    /// Its best prices are not what the venue says they are.
    Disagrees,
    /// Buyers would pay what sellers ask for: such a book cannot stand.
    Crossed,
}

/// A book as it is known.
#[derive(Clone, Debug, Default)]
struct LiveBook {
    bids: BTreeMap<Price, Shares>,
    asks: BTreeMap<Price, Shares>,
    /// The venue's time of the snapshot: changes before it are in it.
    began: Timestamp,
    /// The venue's time of the newest change.
    newest: Timestamp,
    /// Uptime when anything was heard of it.
    heard: Duration,
}

impl LiveBook {
    fn of(book: &Book, at: Timestamp, heard: Duration) -> Self {
        let side = |levels: &[Level]| levels.iter().map(|level| (level.price, level.size)).collect();
        Self { bids: side(&book.bids), asks: side(&book.asks), began: at, newest: at, heard }
    }

    fn apply(&mut self, change: &LevelChange) {
        let side = match change.side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        if change.size.is_positive() {
            side.insert(change.price, change.size);
        } else {
            side.remove(&change.price);
        }
    }

    fn best(&self) -> BestPrices {
        BestPrices {
            bid: self.bids.last_key_value().map(|(price, _)| *price),
            ask: self.asks.first_key_value().map(|(price, _)| *price),
        }
    }

    fn is_crossed(&self) -> bool {
        let BestPrices { bid, ask } = self.best();
        bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask)
    }

    fn book(&self) -> Book {
        let level = |(price, size): (&Price, &Shares)| Level { price: *price, size: *size };
        Book {
            bids: self.bids.iter().rev().map(level).collect(),
            asks: self.asks.iter().map(level).collect(),
        }
    }
}

/// The books of the tokens that are followed.
#[derive(Debug, Default)]
pub struct LiveBooks {
    books: HashMap<TokenId, LiveBook>,
    /// The venue's time of the newest change that came while there was no book to change.
    passed: HashMap<TokenId, Timestamp>,
    /// Uptime when a snapshot was asked for last.
    asked: HashMap<TokenId, Duration>,
    dropped: HashMap<DropReason, u64>,
}

impl LiveBooks {
    /// Takes news of one token or more. Says of which tokens a snapshot is to be asked for now.
    #[must_use]
    pub fn hear(&mut self, news: &MarketNews, uptime: Duration) -> Vec<TokenId> {
        match news {
            // Snapshots come by themselves with the next connection.
            MarketNews::Lost(tokens) => {
                tokens.iter().for_each(|token| self.drop_book(*token, DropReason::Lost))
            }
            MarketNews::Resolved { tokens, .. } => {
                tokens.iter().for_each(|token| self.drop_book(*token, DropReason::Resolved));
            }
            MarketNews::Snapshot { token, book, at, .. } => {
                let dropped = self.snapshot(*token, book, *at, uptime);
                return self.drop_and_ask(*token, dropped, uptime);
            }
            MarketNews::Changed { token, changes, best, at } => {
                let dropped = self.change(*token, changes, *best, *at, uptime);
                return self.drop_and_ask(*token, dropped, uptime);
            }
            MarketNews::Tick { token, .. } => {
                return self.drop_and_ask(*token, Some(DropReason::Tick), uptime);
            }
        }
        Vec::new()
    }

    /// A book that was heard of within [`BOOK_FRESH_FOR`].
    #[must_use]
    pub fn get(&self, token: TokenId, uptime: Duration) -> Option<Book> {
        let known = self.books.get(&token)?;
        (uptime.saturating_sub(known.heard) <= BOOK_FRESH_FOR).then(|| known.book())
    }

    /// Whether a snapshot is to be asked for, because there is no book and nobody asked for long.
    #[must_use]
    pub fn asks_for(&mut self, token: TokenId, uptime: Duration) -> bool {
        !self.books.contains_key(&token) && self.may_ask(token, uptime)
    }

    /// Forgets every book but these.
    pub fn retain(&mut self, tokens: &BTreeSet<TokenId>) {
        self.books.retain(|token, _| tokens.contains(token));
        self.passed.retain(|token, _| tokens.contains(token));
        self.asked.retain(|token, _| tokens.contains(token));
    }

    /// How often books were dropped, by reason.
    #[must_use]
    pub const fn dropped(&self) -> &HashMap<DropReason, u64> {
        &self.dropped
    }

    fn drop_book(&mut self, token: TokenId, reason: DropReason) {
        if self.books.remove(&token).is_some() {
            let count = self.dropped.entry(reason).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn drop_and_ask(&mut self, token: TokenId, reason: Option<DropReason>, uptime: Duration) -> Vec<TokenId> {
        let Some(reason) = reason else { return Vec::new() };
        self.drop_book(token, reason);
        // A venue whose books are always wrong is not asked without end.
        if self.may_ask(token, uptime) { vec![token] } else { Vec::new() }
    }

    fn may_ask(&mut self, token: TokenId, uptime: Duration) -> bool {
        let asked = self.asked.get(&token);
        let may = asked.is_none_or(|asked| uptime.saturating_sub(*asked) >= BOOK_REFRESH_PAUSE);
        if may {
            self.asked.insert(token, uptime);
        }
        may
    }

    fn snapshot(
        &mut self,
        token: TokenId,
        book: &Book,
        at: Timestamp,
        uptime: Duration,
    ) -> Option<DropReason> {
        // One that was overtaken by changes which it does not have.
        if self.books.get(&token).is_some_and(|known| at < known.newest) {
            return None;
        }
        // One that a change has overtaken which is in no book.
        if self.passed.remove(&token).is_some_and(|passed| at < passed) {
            return Some(DropReason::OutOfOrder);
        }
        let new = LiveBook::of(book, at, uptime);
        if new.is_crossed() {
            return Some(DropReason::Crossed);
        }
        self.books.insert(token, new);
        None
    }

    fn change(
        &mut self,
        token: TokenId,
        changes: &[LevelChange],
        best: Option<BestPrices>,
        at: Timestamp,
        uptime: Duration,
    ) -> Option<DropReason> {
        let Some(known) = self.books.get_mut(&token) else {
            // There is nothing to change: a snapshot is on its way, which must have this in it.
            if !changes.is_empty() {
                let passed = self.passed.entry(token).or_insert(at);
                *passed = at.max(*passed);
            }
            return None;
        };
        if at < known.began {
            return None;
        }
        if at < known.newest {
            // Best prices alone were true when they were sent.
            return (!changes.is_empty()).then_some(DropReason::OutOfOrder);
        }
        changes.iter().for_each(|change| known.apply(change));
        known.newest = at;
        known.heard = uptime;
        if known.is_crossed() {
            return Some(DropReason::Crossed);
        }
        let disagrees = best.is_some_and(|best| best != known.best());
        disagrees.then_some(DropReason::Disagrees)
    }
}

#[cfg(test)]
#[path = "live_books_tests.rs"]
mod tests;

//! The identity of a leader's trade: groups, their quantities by source, and parts.
//!
//! The unit of copying is the trade group. Sources disagree and repeat themselves; a group keeps one
//! quantity per source and never adds sources up. A rise of at least one lot makes a part, and parts
//! are what followers' decisions answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::action::Action;
use crate::{
    clock::Timestamp,
    ids::{LeaderId, TokenId, TxHash},
    money::{LOT, MoneyError, Price, Rounding, Shares, Usd},
};

/// How long a group's surplus can be inherited by another group of the same wallet, token and action.
pub const SURPLUS_WINDOW: Duration = Duration::from_secs(600);
/// A hint whose transaction is not on the chain after the head passed it by this much is a phantom.
pub const PHANTOM_AFTER: Duration = Duration::from_secs(90);

/// What a leader did in one transaction with one token in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// Whose trade.
    pub leader: LeaderId,
    /// In which transaction.
    pub tx: TxHash,
    /// Of which token.
    pub token: TokenId,
    /// In which way.
    pub action: Action,
}

/// Shares and the dollars paid or got for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Shares.
    pub shares: Shares,
    /// Dollars, without fees.
    pub usd: Usd,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { shares: Shares::ZERO, usd: Usd::ZERO };

    /// Sum, checked.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self { shares: self.shares.plus(other.shares)?, usd: self.usd.plus(other.usd)? })
    }

    /// Average price; `None` for no shares.
    #[must_use]
    pub fn price(self) -> Option<Price> {
        Price::of(self.usd, self.shares, Rounding::Down)
    }

    /// The larger of two reports of the same thing, by shares.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        if other.shares > self.shares { other } else { self }
    }
}

/// When each source showed a group first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// A log in a block we read.
    pub chain: Option<Timestamp>,
    /// A row of the Data API.
    pub history: Option<Timestamp>,
    /// A message of the live feed.
    pub live: Option<Timestamp>,
}

/// How well a group is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// Known from hints, or from a block that is not final.
    Open,
    /// Its block is final and nothing contradicts what was decided.
    Final,
    /// Decided on a hint whose transaction the chain does not have.
    Phantom,
    /// The chain has less than was decided.
    Overcounted,
}

/// A trade group as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeGroup {
    /// Its identity.
    pub key: GroupKey,
    /// What the canonical chain says; `None` until it said something (zero after a reorganisation).
    pub chain: Option<Quantity>,
    /// The largest quantity any single Data API response showed.
    pub history: Quantity,
    /// The largest quantity that distinct messages of the live feed added up to.
    pub live: Quantity,
    /// When each source showed it first.
    pub sightings: Sightings,
    /// The quantity that parts answered so far.
    pub decided: Shares,
    /// Of `decided`, what was swallowed because another group may be the same trade.
    pub inherited: Shares,
    /// What other groups have inherited from this one. Each share is inherited once.
    pub given: Shares,
    /// Number of parts so far.
    pub parts: u32,
    /// Height of its block; in an installation without chain access the trade time in Unix seconds.
    pub block: Option<i64>,
    /// Block time, or the time a hint gave.
    pub traded_at: Timestamp,
    /// When we saw it first.
    pub first_seen_at: Timestamp,
    /// How well it is known.
    pub state: GroupState,
}

/// A rise of a group's quantity that wants decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The group.
    pub key: GroupKey,
    /// 0, 1, 2 … within the group.
    pub number: u32,
    /// Shares this part adds.
    pub added: Shares,
    /// What it is.
    pub kind: PartKind,
}

/// What a part asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// To be decided for every follower.
    Trade,
    /// Not copied: it may be another group of the same wallet, token and action, settling.
    Settling,
    /// Not copied: a final group below one lot.
    Dust,
    /// Nothing new was traded: followers who could not carry out their exit of the token are decided
    /// again, and only they.
    Revisit,
}

impl PartKind {
    /// Whether every follower gets an answer to it.
    #[must_use]
    pub const fn asks_everybody(self) -> bool {
        !matches!(self, Self::Revisit)
    }
}

impl TradeGroup {
    /// A group nobody has reported a quantity for yet.
    #[must_use]
    pub fn new(key: GroupKey, traded_at: Timestamp, now: Timestamp) -> Self {
        Self {
            key,
            chain: None,
            history: Quantity::ZERO,
            live: Quantity::ZERO,
            sightings: Sightings::default(),
            decided: Shares::ZERO,
            inherited: Shares::ZERO,
            given: Shares::ZERO,
            parts: 0,
            block: None,
            traded_at,
            first_seen_at: now,
            state: GroupState::Open,
        }
    }

    /// The group's quantity: the chain's word if there is one, else the largest hint.
    #[must_use]
    pub fn quantity(&self) -> Quantity {
        self.chain.unwrap_or_else(|| self.hinted())
    }

    /// The largest quantity any hint gives: the maximum over sources, never their sum.
    #[must_use]
    pub fn hinted(&self) -> Quantity {
        self.history.larger(self.live)
    }

    /// Average price of an order's trades; `None` for what moved without a price.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        self.quantity().price().filter(|_| self.key.action.is_order())
    }

    /// The quantity whose copy is decided: what was swallowed was answered by another group.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn copied_quantity(&self) -> Result<Quantity, MoneyError> {
        let whole = self.quantity();
        if !self.inherited.is_positive() || !whole.shares.is_positive() {
            return Ok(whole);
        }
        let shares = whole.shares.less(self.inherited);
        let usd = whole.usd.times(shares.0, whole.shares.0, Rounding::Down)?;
        Ok(Quantity { shares, usd })
    }

    /// What was decided beyond what the chain confirms and nobody has inherited yet. Positive while a
    /// hint waits for its transaction, and for phantoms and overcounted groups.
    #[must_use]
    pub fn surplus(&self) -> Shares {
        let own = self.decided.less(self.inherited);
        let confirmed = self.chain.map_or(Shares::ZERO, |chain| chain.shares);
        own.less(confirmed).less(self.given)
    }

    /// Takes what is new since the last part. `related` are the other groups of the same wallet, token
    /// and action; their surplus is inherited by a chain group within [`SURPLUS_WINDOW`]. Returns at most
    /// two parts: the swallowed one and the one to decide.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn take_parts(&mut self, related: &mut [Self]) -> Result<Vec<Part>, MoneyError> {
        let quantity = self.quantity().shares;
        let mut parts = Vec::new();
        let mut rise = quantity.less(self.decided);
        if self.chain.is_some() {
            let swallowed = self.inherit(rise, related)?;
            if swallowed.is_positive() {
                rise = rise.less(swallowed);
                self.inherited = self.inherited.plus(swallowed)?;
                parts.push(self.next_part(swallowed, PartKind::Settling)?);
            }
        }
        if rise >= LOT {
            parts.push(self.next_part(rise, PartKind::Trade)?);
        }
        self.judge();
        Ok(parts)
    }

    /// Declares the group's block final. A final group that never reached a lot is answered as dust.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn finalize(&mut self) -> Result<Option<Part>, MoneyError> {
        self.judge();
        if self.state == GroupState::Open && self.chain.is_some() {
            self.state = GroupState::Final;
        }
        let dust = self.state == GroupState::Final && self.parts == 0;
        if !dust {
            return Ok(None);
        }
        let added = self.quantity().shares;
        self.next_part(added, PartKind::Dust).map(Some)
    }

    /// A part for followers whose exit is decided again.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn revisit(&mut self) -> Result<Part, MoneyError> {
        self.next_part(Shares::ZERO, PartKind::Revisit)
    }

    /// Declares a hint a phantom when the chain's own time has passed it without its transaction.
    /// `head_time` is the block time of our head, so a stalled head makes no phantom.
    pub fn expire(&mut self, head_time: Timestamp) -> bool {
        let late = head_time.since(self.traded_at) > PHANTOM_AFTER;
        let becomes = self.chain.is_none() && late && self.state != GroupState::Phantom;
        if becomes {
            self.state = GroupState::Phantom;
        }
        becomes
    }

    fn judge(&mut self) {
        let Some(chain) = self.chain else { return };
        let overcounted = chain.shares < self.decided;
        self.state = match (overcounted, self.state) {
            (true, _) => GroupState::Overcounted,
            (false, GroupState::Overcounted | GroupState::Phantom) => GroupState::Open,
            (false, state) => state,
        };
    }

    fn inherit(&self, rise: Shares, related: &mut [Self]) -> Result<Shares, MoneyError> {
        let mut swallowed = Shares::ZERO;
        for other in related.iter_mut().filter(|other| self.may_be(other)) {
            let taken = other.surplus().min(rise.less(swallowed));
            if taken.is_positive() {
                // It is this trade under another hash: exits count its copies from the same block.
                other.block = other.block.or(self.block);
                other.given = other.given.plus(taken)?;
                swallowed = swallowed.plus(taken)?;
            }
        }
        Ok(swallowed)
    }

    fn may_be(&self, other: &Self) -> bool {
        let same = (self.key.leader, self.key.token, self.key.action)
            == (other.key.leader, other.key.token, other.key.action);
        let apart = self.first_seen_at.since(other.first_seen_at);
        same && self.key.tx != other.key.tx && apart <= SURPLUS_WINDOW
    }

    fn next_part(&mut self, added: Shares, kind: PartKind) -> Result<Part, MoneyError> {
        let number = self.parts;
        self.parts = number.checked_add(1).ok_or(MoneyError::Overflow("a part number"))?;
        self.decided = self.decided.plus(added)?;
        Ok(Part { key: self.key, number, added, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(tx: u8) -> TradeGroup {
        let key = GroupKey {
            leader: LeaderId(1),
            tx: TxHash([tx; 32]),
            token: TokenId([7; 32]),
            action: Action::Buy,
        };
        TradeGroup::new(key, Timestamp(0), Timestamp(0))
    }

    fn shares(whole: i64) -> Quantity {
        Quantity { shares: Shares(whole * 1_000_000), usd: Usd(whole * 500_000) }
    }

    #[test]
    fn the_chain_replaces_hints_and_never_adds_to_them() {
        let mut trade = group(1);
        trade.history = shares(10);
        assert_eq!(trade.take_parts(&mut []).unwrap().len(), 1);
        trade.chain = Some(shares(10));
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
        trade.chain = Some(shares(12));
        let parts = trade.take_parts(&mut []).unwrap();
        assert_eq!((parts[0].number, parts[0].added), (1, Shares(2_000_000)));
    }

    #[test]
    fn hints_are_never_added_up() {
        let mut trade = group(1);
        trade.live = shares(4);
        assert_eq!(trade.take_parts(&mut []).unwrap()[0].added, shares(4).shares);
        trade.history = shares(10);
        assert_eq!(trade.take_parts(&mut []).unwrap()[0].added, shares(6).shares);
        trade.live = shares(9);
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
        assert_eq!(trade.quantity(), shares(10));
        trade.chain = Some(shares(10));
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
    }

    #[test]
    fn a_replaced_transaction_is_swallowed_once() {
        let mut old = group(1);
        old.history = shares(10);
        old.take_parts(&mut []).unwrap();
        let mut new = group(2);
        new.chain = Some(shares(10));
        new.block = Some(7);
        let mut related = [old];
        let parts = new.take_parts(&mut related).unwrap();
        assert_eq!(parts.iter().map(|part| part.kind).collect::<Vec<_>>(), [PartKind::Settling]);
        assert_eq!(related[0].surplus(), Shares::ZERO);
        assert_eq!(related[0].block, new.block);
        let mut third = group(3);
        third.chain = Some(shares(10));
        assert_eq!(third.take_parts(&mut related).unwrap()[0].kind, PartKind::Trade);
    }

    #[test]
    fn a_group_that_shrinks_is_overcounted_until_it_comes_back() {
        let mut trade = group(1);
        trade.chain = Some(shares(10));
        trade.take_parts(&mut []).unwrap();
        trade.chain = Some(Quantity::ZERO);
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
        assert_eq!(trade.state, GroupState::Overcounted);
        trade.chain = Some(shares(10));
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
        assert_eq!(trade.state, GroupState::Open);
        assert_eq!(trade.finalize().unwrap(), None);
        assert_eq!(trade.state, GroupState::Final);
    }

    #[test]
    fn a_revisit_takes_a_number_and_no_shares() {
        let mut trade = group(1);
        trade.chain = Some(shares(10));
        trade.take_parts(&mut []).unwrap();
        let part = trade.revisit().unwrap();
        assert_eq!((part.number, part.added, part.kind), (1, Shares::ZERO, PartKind::Revisit));
        assert_eq!(trade.decided, Shares(10_000_000));
        trade.chain = Some(shares(11));
        assert_eq!(trade.take_parts(&mut []).unwrap()[0].number, 2);
    }

    #[test]
    fn dust_gets_an_answer_when_final() {
        let mut trade = group(1);
        trade.chain = Some(Quantity { shares: Shares(9_999), usd: Usd(5) });
        assert!(trade.take_parts(&mut []).unwrap().is_empty());
        assert_eq!(trade.finalize().unwrap().unwrap().kind, PartKind::Dust);
        assert_eq!(trade.finalize().unwrap(), None);
    }

    #[test]
    fn a_stalled_head_makes_no_phantom() {
        let mut trade = group(1);
        trade.history = shares(1);
        assert!(!trade.expire(Timestamp::from_seconds(90)));
        assert!(trade.expire(Timestamp::from_seconds(91)));
        assert!(!trade.expire(Timestamp::from_seconds(99)));
    }

    proptest! {
        /// Whatever order reports come in, parts never add up to more than the largest quantity seen.
        #[test]
        fn parts_never_exceed_what_was_seen(reports in prop::collection::vec((0..3, 0_i64..50_000_000), 1..20)) {
            let mut trade = group(1);
            let mut largest = 0;
            let mut total = 0;
            for (source, amount) in reports {
                let quantity = Quantity { shares: Shares(amount), usd: Usd(amount / 2) };
                match source {
                    0 => trade.chain = Some(quantity),
                    1 => trade.history = trade.history.larger(quantity),
                    _ => trade.live = trade.live.larger(quantity),
                }
                largest = largest.max(trade.quantity().shares.0);
                total += trade.take_parts(&mut []).unwrap().iter().map(|part| part.added.0).sum::<i64>();
                prop_assert!(total <= largest);
                prop_assert_eq!(total, trade.decided.0);
                prop_assert!(trade.quantity().shares.0 - total < LOT.0);
            }
        }
    }
}

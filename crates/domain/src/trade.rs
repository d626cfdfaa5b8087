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

impl GroupKey {
    /// Whether the other one is another transaction of the same wallet with the same token in the same way.
    fn is_beside(&self, other: &Self) -> bool {
        let same = (self.leader, self.token, self.action) == (other.leader, other.token, other.action);
        same && self.tx != other.tx
    }
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

/// What providers of the chain differ in about an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispute {
    /// What was filled; about the balances they agree.
    Fills,
    /// What the leader held.
    Balances,
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
    /// What providers of the chain differ in about it, until they agree.
    pub disputed: Option<Dispute>,
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
    /// The trade is a phantom: followers who do not keep copies of phantoms are decided an exit, and only
    /// they.
    Phantom,
    /// The trade and others before it were found too late: followers who sync with the leader's position are decided
    /// for what the leader still holds of them, and only they.
    Target,
    /// Whoever holds copies of the token was told to sell them; followers are decided that sale, and only they.
    Panic,
    /// Not copied: hints told of it, nobody had decided it, and no block has it.
    Absent,
}

impl PartKind {
    /// Whether every follower gets an answer to it.
    #[must_use]
    pub const fn asks_everybody(self) -> bool {
        matches!(self, Self::Trade | Self::Settling | Self::Dust | Self::Absent)
    }
}

/// No block is as high as this, and no trade as old: what stands for a block and is higher is Unix seconds.
const SECONDS_FROM: i64 = 1_000_000_000;

impl TradeGroup {
    /// Whether it is ordered by its time, because nobody read the chain.
    #[must_use]
    pub fn is_ordered_by_time(&self) -> bool {
        self.block.is_some_and(|block| block >= SECONDS_FROM)
    }

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
            disputed: None,
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
    /// and action; their surplus is inherited by a chain group within [`SURPLUS_WINDOW`], and given back to them when the
    /// chain shows this one as well: what they had swallowed is new to them then. Returns at most
    /// two parts: the swallowed one and the one to decide.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn take_parts(&mut self, related: &mut [Self]) -> Result<Vec<Part>, MoneyError> {
        let quantity = self.quantity().shares;
        let mut parts = Vec::new();
        let mut rise = quantity.less(self.decided);
        if self.chain.is_some() {
            self.give_back(related);
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

    /// A part that asks some followers only, who are stored with it ([`PartKind::asks_everybody`]).
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn ask_some(&mut self, kind: PartKind) -> Result<Part, MoneyError> {
        self.next_part(Shares::ZERO, kind)
    }

    /// The answer to a phantom that nobody was asked about. Should the chain show it after all, all of it is decided.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn answer_absent(&mut self) -> Result<Part, MoneyError> {
        self.next_part(Shares::ZERO, PartKind::Absent)
    }

    /// Whether its copies answer a trade that is nowhere: not on the chain, and no other trade inherited what was
    /// decided.
    #[must_use]
    pub fn is_phantom(&self) -> bool {
        self.state == GroupState::Phantom && !self.given.is_positive()
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

    /// Gives back what others inherited and the chain shows to be this trade's own: both are trades.
    fn give_back(&mut self, related: &mut [Self]) {
        let confirmed = self.chain.map_or(Shares::ZERO, |chain| chain.shares);
        let unconfirmed = self.decided.less(self.inherited).less(confirmed);
        let mut owed = self.given.less(unconfirmed);
        let key = self.key;
        for other in related.iter_mut().filter(|other| key.is_beside(&other.key)) {
            let back = owed.min(other.inherited);
            owed = owed.less(back);
            self.given = self.given.less(back);
            other.inherited = other.inherited.less(back);
            other.decided = other.decided.less(back);
        }
    }

    fn may_be(&self, other: &Self) -> bool {
        self.key.is_beside(&other.key) && self.first_seen_at.since(other.first_seen_at) <= SURPLUS_WINDOW
    }

    fn next_part(&mut self, added: Shares, kind: PartKind) -> Result<Part, MoneyError> {
        let number = self.parts;
        self.parts = number.checked_add(1).ok_or(MoneyError::Overflow("a part number"))?;
        self.decided = self.decided.plus(added)?;
        Ok(Part { key: self.key, number, added, kind })
    }
}

#[cfg(test)]
#[path = "trade_tests.rs"]
mod tests;

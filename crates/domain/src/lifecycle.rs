//! The life of one signed order, from evidence.
//!
//! docs/order-lifecycle.md draws it. The rule: a state is left only by evidence, and no state is
//! absorbing: a fill for one of our hashes is booked in any state, and raises an alarm when the order
//! had been given up.

use serde::{Deserialize, Serialize};

use crate::{
    money::{LOT, MoneyError, Shares, Usd},
    trade::Quantity,
};

/// Where a signed order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Bytes and id are committed; nothing is known of a post.
    Signed,
    /// Sent, outcome open.
    Unknown,
    /// The venue says it rests; for a fill-and-kill order this is unresolved.
    Live,
    /// The venue holds it back.
    Delayed,
    /// Filled at the venue, not on chain yet.
    Matched,
    /// Every fill is in a block.
    Mined,
    /// Every fill is final.
    Confirmed,
    /// Settlement is being tried again.
    Retrying,
    /// Settlement failed; the fill is reversed.
    Failed,
    /// Nothing matched; the venue dropped it.
    Killed,
    /// The venue refused it.
    Rejected,
    /// The venue never took it within its deadline.
    Missed,
    /// Cancelled before anything matched.
    Cancelled,
    /// Never seen by venue or chain for long enough.
    ExpiredUnseen,
}

impl OrderState {
    /// All states; the position is the number stored.
    pub const ALL: [Self; 14] = [
        Self::Signed,
        Self::Unknown,
        Self::Live,
        Self::Delayed,
        Self::Matched,
        Self::Mined,
        Self::Confirmed,
        Self::Retrying,
        Self::Failed,
        Self::Killed,
        Self::Rejected,
        Self::Missed,
        Self::Cancelled,
        Self::ExpiredUnseen,
    ];

    /// Whether shares or dollars of the order may still change hands, so that they count as open and no
    /// further attempt may be signed.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Signed | Self::Unknown | Self::Live | Self::Delayed)
    }

    /// Whether the order was given up without a fill.
    #[must_use]
    pub const fn is_given_up(self) -> bool {
        matches!(self, Self::Killed | Self::Rejected | Self::Missed | Self::Cancelled | Self::ExpiredUnseen)
    }

    /// Whether nothing more has to be asked about it.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        self.is_given_up() || matches!(self, Self::Confirmed | Self::Failed)
    }

    /// A word for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Unknown => "unknown",
            Self::Live => "live",
            Self::Delayed => "delayed",
            Self::Matched => "matched",
            Self::Mined => "mined",
            Self::Confirmed => "confirmed",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Rejected => "rejected",
            Self::Missed => "missed",
            Self::Cancelled => "cancelled",
            Self::ExpiredUnseen => "expired unseen",
        }
    }
}

/// Something learned about an order that is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderEvent {
    /// A worker is about to write to the socket, or a reply said nothing.
    OutcomeOpen,
    /// The venue answered or shows that it rests.
    SeenLive,
    /// The venue holds it back.
    SeenDelayed,
    /// The venue says the order is done matching; quantities come as [`Evidence`].
    SeenMatched,
    /// Definitely killed.
    SeenKilled,
    /// Definitely refused.
    SeenRejected,
    /// The venue shows it cancelled or invalidated.
    SeenCancelled,
    /// Every reply was "not taken now" until the deadline.
    DeadlineOver,
    /// Looked for at venue and chain for long enough, never found.
    NeverSeen,
}

/// Everything known about an order's fills, by source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the post's reply said was filled; without one, what the venue's order record says was matched.
    pub reply: Quantity,
    /// Whether the dollars of `reply` are an estimate at the limit price, because only the order record told.
    pub reply_estimated: bool,
    /// The venue's trades that did not fail, summed.
    pub trades: Filled,
    /// The venue's trades that failed, summed.
    pub failed: Quantity,
    /// Whether any trade is being settled again.
    pub retrying: bool,
    /// Whether every trade that did not fail is confirmed (and there is one).
    pub trades_confirmed: bool,
    /// Canonical chain logs, summed.
    pub chain: Filled,
    /// Whether all those logs are final.
    pub chain_final: bool,
}

/// A quantity and its fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// Shares and dollars.
    pub quantity: Quantity,
    /// Fee in dollars.
    pub fee: Usd,
}

impl Evidence {
    /// What is booked: the chain's word where it has at least as much as the venue tells, else the venue's.
    /// Failed trades never count. Sources are compared, never added. A match may settle in several trades, of which
    /// some are listed and final before others are shown: a reply of more stands.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn booked(&self) -> Result<Filled, MoneyError> {
        let mined = self.chain.quantity.shares;
        let over = self.chain_final && self.trades_confirmed && mined == self.trades.quantity.shares;
        if over && self.unlisted() < LOT {
            return Ok(self.chain);
        }
        // The reply knows the total before the single trades are listed, and its dollars exactly: those of
        // listed trades are shares times a price, rounded against ourselves. An estimate only stands in
        // until all trades are listed.
        let replied = Quantity {
            shares: self.reply.shares.less(self.failed.shares),
            usd: self.reply.usd.less(self.failed.usd),
        };
        let listed = self.trades.quantity.shares;
        let enough = if self.reply_estimated { replied.shares > listed } else { replied.shares >= listed };
        let venue = if replied.shares.is_positive() && enough {
            Filled { quantity: replied, fee: self.trades.fee }
        } else {
            self.trades
        };
        Ok(if self.chain.quantity.shares >= venue.quantity.shares { self.chain } else { venue })
    }

    /// Shares that the reply told of and no listed trade shows, failed ones included.
    #[must_use]
    pub fn unlisted(&self) -> Shares {
        self.reply.shares.less(self.failed.shares).less(self.trades.quantity.shares)
    }

    /// The settlement state the quantities alone say, if they say any.
    #[must_use]
    pub fn settlement(&self) -> Option<OrderState> {
        let booked = self.booked().ok()?.quantity.shares;
        if !booked.is_positive() {
            let failed = self.failed.shares.is_positive();
            return failed.then_some(OrderState::Failed);
        }
        let on_chain = self.chain.quantity.shares >= booked;
        Some(match (on_chain, self.retrying) {
            (true, _) if self.chain_final => OrderState::Confirmed,
            (true, _) => OrderState::Mined,
            (false, true) => OrderState::Retrying,
            (false, false) if self.trades_confirmed && self.unlisted() < LOT => OrderState::Confirmed,
            (false, false) => OrderState::Matched,
        })
    }
}

/// Result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The new state.
    pub state: OrderState,
    /// Something a person must know.
    pub alarm: Option<OrderAlarm>,
}

/// What must never pass in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderAlarm {
    /// A fill arrived for an order that had been given up.
    FillAfterEnd,
    /// A settled fill was undone.
    Reversed,
    /// More was filled than the order allows.
    Overfilled,
    /// Somebody tells of far more than the order allows, or of amounts beyond computing: not believed. Said once
    /// for each order.
    NotBelieved,
    /// The venue's contracts may not move the account's money or shares.
    ApprovalMissing,
    /// The venue has banned the account's address.
    Banned,
    /// The venue lets the account's address only sell what it holds.
    ClosedOnly,
    /// The venue does not let the account's kind of wallet trade.
    WalletKindRefused,
    /// The venue does not trade with the region this program runs in.
    RegionBlocked,
    /// The venue takes orders of another version than this program signs.
    OrderVersionRefused,
    /// So many settlements failed of late that fills cannot be relied on; said once, until it is better.
    SettlementsFail,
}

/// The next state, from the state, an event and everything known about fills. Quantities outrank events:
/// whatever was said, what was filled is filled.
#[must_use]
pub fn step(state: OrderState, event: Option<OrderEvent>, evidence: &Evidence) -> Step {
    if let Some(settled) = evidence.settlement() {
        let alarm = if settled == OrderState::Failed {
            (state != OrderState::Failed).then_some(OrderAlarm::Reversed)
        } else {
            state.is_given_up().then_some(OrderAlarm::FillAfterEnd)
        };
        return Step { state: settled, alarm };
    }
    let was_filled = matches!(
        state,
        OrderState::Matched | OrderState::Mined | OrderState::Confirmed | OrderState::Retrying
    );
    if was_filled {
        // The fills we knew are gone (a reorganisation): what becomes of the order is open again.
        return Step { state: OrderState::Unknown, alarm: Some(OrderAlarm::Reversed) };
    }
    let next = match event {
        None => state,
        Some(event) => after(state, event),
    };
    Step { state: next, alarm: None }
}

fn after(state: OrderState, event: OrderEvent) -> OrderState {
    match event {
        // Evidence of an end is not undone by not knowing.
        OrderEvent::OutcomeOpen if state == OrderState::Signed => OrderState::Unknown,
        OrderEvent::OutcomeOpen => state,
        // "Matched" without a quantity is a promise: its numbers must still be looked up.
        OrderEvent::SeenLive | OrderEvent::SeenMatched => OrderState::Live,
        OrderEvent::SeenDelayed => OrderState::Delayed,
        // One post of the same bytes was killed or refused, but another may have been taken: only the
        // caller knows whether all sends were answered, so it sends these only then.
        OrderEvent::SeenKilled => OrderState::Killed,
        OrderEvent::SeenRejected => OrderState::Rejected,
        OrderEvent::SeenCancelled => OrderState::Cancelled,
        OrderEvent::DeadlineOver if state.is_open() => OrderState::Missed,
        OrderEvent::NeverSeen if state.is_open() => OrderState::ExpiredUnseen,
        OrderEvent::DeadlineOver | OrderEvent::NeverSeen => state,
    }
}

/// What the ledger must still book so that it says what the evidence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookingDelta {
    /// Shares, positive for more filled.
    pub shares: Shares,
    /// Dollars, positive for more filled.
    pub usd: Usd,
    /// Fee, positive for more charged.
    pub fee: Usd,
}

impl BookingDelta {
    /// The difference between what evidence says and what is booked.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn between(booked: Filled, evidence: Filled) -> Result<Self, MoneyError> {
        Ok(Self {
            shares: evidence.quantity.shares.minus(booked.quantity.shares)?,
            usd: evidence.quantity.usd.minus(booked.quantity.usd)?,
            fee: evidence.fee.minus(booked.fee)?,
        })
    }

    /// Whether there is nothing to book.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [OrderEvent; 9] = [
        OrderEvent::OutcomeOpen,
        OrderEvent::SeenLive,
        OrderEvent::SeenDelayed,
        OrderEvent::SeenMatched,
        OrderEvent::SeenKilled,
        OrderEvent::SeenRejected,
        OrderEvent::SeenCancelled,
        OrderEvent::DeadlineOver,
        OrderEvent::NeverSeen,
    ];

    fn filled(shares: i64) -> Filled {
        Filled { quantity: Quantity { shares: Shares(shares), usd: Usd(shares / 2) }, fee: Usd(shares / 100) }
    }

    fn any_evidence() -> impl Strategy<Value = Evidence> {
        (0_i64..3, 0_i64..3, 0_i64..3, 0_i64..3, any::<[bool; 4]>()).prop_map(
            |(reply, trades, failed, chain, [retrying, confirmed, final_, reply_estimated])| Evidence {
                reply: filled(reply * 100).quantity,
                reply_estimated,
                trades: filled(trades * 100),
                failed: filled(failed * 100).quantity,
                retrying,
                trades_confirmed: confirmed && trades > 0,
                chain: filled(chain * 100),
                chain_final: final_ && chain > 0,
            },
        )
    }

    #[test]
    fn matched_is_not_confirmed() {
        let reply = Evidence { reply: filled(100).quantity, ..Evidence::default() };
        assert_eq!(reply.settlement(), Some(OrderState::Matched));
        let mined = Evidence { chain: filled(100), ..reply };
        assert_eq!(mined.settlement(), Some(OrderState::Mined));
        let confirmed = Evidence { chain_final: true, ..mined };
        assert_eq!(confirmed.settlement(), Some(OrderState::Confirmed));
        let failed = Evidence { failed: filled(100).quantity, ..reply };
        assert_eq!(failed.settlement(), Some(OrderState::Failed));
        assert_eq!(failed.booked().unwrap(), Filled::default());
    }

    #[test]
    fn a_partly_listed_reply_is_not_reversed() {
        let half_listed = Evidence { reply: filled(100).quantity, trades: filled(40), ..Evidence::default() };
        assert_eq!(half_listed.booked().unwrap().quantity, filled(100).quantity);
    }

    #[test]
    fn the_reply_knows_the_dollars_that_listed_trades_round() {
        let exact = Quantity { shares: Shares(8_333_334), usd: Usd(5_000_000) };
        let listed = Quantity { usd: Usd(5_000_001), ..exact };
        let trades = Filled { quantity: listed, fee: Usd(7) };
        let evidence = Evidence { reply: exact, trades, ..Evidence::default() };
        assert_eq!(evidence.booked().unwrap(), Filled { quantity: exact, fee: Usd(7) });
        // Nothing is left of a reply whose trades all failed, not even what they were rounded by.
        let failed = Quantity { usd: Usd(4_999_999), ..exact };
        let reversed = Evidence { failed, trades: Filled::default(), ..evidence };
        assert_eq!(reversed.booked().unwrap(), Filled::default());
    }

    #[test]
    fn an_estimate_stands_in_only_until_the_trades_are_listed() {
        let estimate = Quantity { shares: Shares(10_000_000), usd: Usd(5_500_000) };
        let some = Filled { quantity: filled(4_000_000).quantity, fee: Usd(4) };
        let all = filled(10_000_000);
        let evidence = Evidence { reply: estimate, reply_estimated: true, ..Evidence::default() };
        assert_eq!(evidence.booked().unwrap().quantity, estimate);
        assert_eq!(Evidence { trades: some, ..evidence }.booked().unwrap().quantity, estimate);
        assert_eq!(Evidence { trades: all, ..evidence }.booked().unwrap(), all);
    }

    /// The venue splits a match over several trades: what is listed and final of it took back the rest.
    #[test]
    fn a_part_of_a_match_that_is_final_takes_nothing_of_the_reply_back() {
        let (all, part) = (filled(10_000_000), filled(6_000_000));
        let of_reply =
            Evidence { reply: all.quantity, trades: part, trades_confirmed: true, ..Evidence::default() };
        for chain in [Filled::default(), part] {
            let evidence = Evidence { chain, chain_final: chain == part, ..of_reply };
            assert_eq!(evidence.booked().unwrap().quantity, all.quantity);
            assert_eq!(evidence.settlement(), Some(OrderState::Matched));
            let estimated = Evidence { reply_estimated: true, ..evidence };
            assert_eq!(estimated.booked().unwrap().quantity, all.quantity);
        }
        let whole = Evidence { trades: all, chain: all, chain_final: true, ..of_reply };
        assert_eq!((whole.booked().unwrap(), whole.settlement()), (all, Some(OrderState::Confirmed)));
        // Less than a lot is no trade: sizes may be listed rounded.
        let dust = Quantity { shares: Shares(all.quantity.shares.0 + LOT.0 - 1), ..all.quantity };
        let rounded = Evidence { reply: dust, ..whole };
        assert_eq!((rounded.booked().unwrap(), rounded.settlement()), (all, Some(OrderState::Confirmed)));
        let by_venue = Evidence { chain: Filled::default(), chain_final: false, ..rounded };
        assert_eq!(by_venue.settlement(), Some(OrderState::Confirmed));
    }

    proptest! {
        /// No state is absorbing: a chain fill is booked whatever was believed, and loudly if given up.
        #[test]
        fn a_chain_fill_always_counts(
            state in prop::sample::select(OrderState::ALL.to_vec()),
            event in prop::option::of(prop::sample::select(EVENTS.to_vec())),
            shares in 1_i64..1_000,
        ) {
            let evidence = Evidence { chain: filled(shares), ..Evidence::default() };
            let next = step(state, event, &evidence);
            prop_assert_eq!(next.state, OrderState::Mined);
            prop_assert_eq!(next.alarm, state.is_given_up().then_some(OrderAlarm::FillAfterEnd));
            prop_assert_eq!(evidence.booked().unwrap(), filled(shares));
        }

        /// An order with an open outcome is never given up by anything but evidence of it.
        #[test]
        fn only_evidence_ends_an_order(
            state in prop::sample::select(OrderState::ALL.to_vec()),
            event in prop::option::of(prop::sample::select(EVENTS.to_vec())),
            evidence in any_evidence(),
        ) {
            let next = step(state, event, &evidence);
            if state.is_open() && next.state.is_given_up() {
                prop_assert!(matches!(event, Some(
                    OrderEvent::SeenKilled | OrderEvent::SeenRejected | OrderEvent::SeenCancelled
                    | OrderEvent::DeadlineOver | OrderEvent::NeverSeen)));
                prop_assert_eq!(evidence.settlement(), None);
            }
            // Telling the same thing again changes nothing more.
            let again = step(next.state, event, &evidence);
            prop_assert_eq!(again.state, step(again.state, event, &evidence).state);
        }

        /// What is booked never exceeds the largest source and is zero when all failed.
        #[test]
        fn sources_are_never_added(evidence in any_evidence()) {
            let booked = evidence.booked().unwrap().quantity.shares;
            let largest = evidence.reply.shares.max(evidence.trades.quantity.shares).max(evidence.chain.quantity.shares);
            prop_assert!(booked <= largest);
            prop_assert!(booked >= evidence.chain.quantity.shares);
        }
    }
}

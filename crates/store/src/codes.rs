//! The numbers that enumerations are stored as. They are for ever: append, never renumber.

use domain::{
    Side,
    decide::Binding,
    lifecycle::OrderState,
    order::WalletKind,
    trade::{Action, Dispute, GroupState, PartKind},
};
use engine::ports::{
    detection::Lane,
    execution::{EndReason, LedgerCause},
    following::{AccountMode, HoldCause, RelationshipStatus},
    venue::SettlementStatus,
    wallets::TransactionState,
};

/// An enumeration that is stored as a number.
pub(crate) trait Code: Copy + PartialEq + 'static {
    /// Its name, for messages about unreadable rows.
    const NAME: &'static str;
    /// All values; the position is the number.
    const ALL: &'static [Self];

    /// The number stored.
    fn code(self) -> i64 {
        Self::ALL.iter().zip(0_i64..).find(|(value, _)| **value == self).map_or(-1, |(_, code)| code)
    }

    /// The value with this number.
    fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|at| Self::ALL.get(at)).copied()
    }
}

macro_rules! codes {
    ($($type:ty = $all:expr;)*) => {$(
        impl Code for $type {
            const NAME: &'static str = stringify!($type);
            const ALL: &'static [Self] = &$all;
        }
    )*};
}

codes! {
    Side = [Self::Buy, Self::Sell];
    Lane = [Self::Exits, Self::Entries];
    WalletKind = Self::ALL;
    Binding = Self::ALL;
    OrderState = Self::ALL;
    Action = Self::ALL;
    GroupState = [Self::Open, Self::Final, Self::Phantom, Self::Overcounted];
    PartKind = [Self::Trade, Self::Settling, Self::Dust, Self::Revisit, Self::Phantom, Self::Target,
        Self::Panic, Self::Absent];
    Dispute = [Self::Fills, Self::Balances];
    access::Role = Self::ALL;
    access::Purpose = Self::ALL;
    AccountMode = [Self::Paper, Self::Live];
    RelationshipStatus = [Self::Active, Self::Paused, Self::Stopped];
    HoldCause = [Self::Incident, Self::Breaker, Self::Risk, Self::Operator, Self::Reconciliation, Self::Venue,
        Self::NotReady];
    EndReason = [Self::TooOld, Self::Blocked, Self::Unbuildable, Self::Done, Self::Unsigned,
        Self::GivenUp];
    LedgerCause = [Self::Deposit, Self::Fill, Self::Reversal, Self::Redeemed, Self::Worthless,
        Self::Adopted];
    TransactionState = Self::ALL;
    SettlementStatus = [Self::Matched, Self::Mined, Self::Confirmed, Self::Retrying, Self::Failed];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips<T: Code + std::fmt::Debug>() {
        for (code, value) in T::ALL.iter().enumerate() {
            assert_eq!(value.code(), code as i64);
            assert_eq!(T::from_code(code as i64), Some(*value));
        }
        assert_eq!(T::from_code(-1), None);
        assert_eq!(T::from_code(T::ALL.len() as i64), None);
    }

    #[test]
    fn numbers_round_trip() {
        round_trips::<Side>();
        round_trips::<Action>();
        round_trips::<OrderState>();
        round_trips::<Binding>();
        round_trips::<SettlementStatus>();
    }

    /// The schema's partial indices name these numbers.
    #[test]
    fn numbers_of_the_schema() {
        assert_eq!(RelationshipStatus::Stopped.code(), 2);
        assert_eq!(GroupState::Open.code(), 0);
        assert_eq!(GroupState::Phantom.code(), 2);
        assert_eq!((Action::Buy.code(), Action::Sell.code(), Action::Merge.code()), (0, 1, 3));
        assert_eq!((TransactionState::Signed.code(), TransactionState::Taken.code()), (0, 1));
        assert_eq!((Lane::Exits.code(), Lane::Entries.code()), (0, 1));
        let dead = [EndReason::Unbuildable, EndReason::Unsigned, EndReason::GivenUp];
        assert_eq!(dead.map(Code::code), [2, 4, 5]);
    }
}

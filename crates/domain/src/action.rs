//! What leaders do with shares, and what it means to followers. Names it, and never how it was seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{money::Side, skip::SkipReason};

/// What a leader did with a token. Orders have a price; everything else moves shares without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// An order of the leader bought.
    Buy,
    /// An order of the leader sold.
    Sell,
    /// The venue's contracts gave shares: a split, or the received side of a conversion.
    Receive,
    /// The venue's contracts took shares: a merge, or the reduced side of a conversion.
    Merge,
    /// Shares of a resolved market were redeemed.
    Redeem,
    /// Shares went to another wallet.
    Send,
}

impl Action {
    /// All of them; the position is the number stored.
    pub const ALL: [Self; 6] = [Self::Buy, Self::Sell, Self::Receive, Self::Merge, Self::Redeem, Self::Send];

    /// Which way the shares went: to the leader (buy) or away (sell).
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Buy | Self::Receive => Side::Buy,
            Self::Sell | Self::Merge | Self::Redeem | Self::Send => Side::Sell,
        }
    }

    /// Whether followers are decided an exit: the leader gave up a part of the position.
    #[must_use]
    pub const fn is_exit(self) -> bool {
        matches!(self, Self::Sell | Self::Merge)
    }

    /// Whether it was traded for a price.
    #[must_use]
    pub const fn is_order(self) -> bool {
        matches!(self, Self::Buy | Self::Sell)
    }

    /// Why nobody copies it, for what no follower ever does.
    #[must_use]
    pub const fn never_copied(self) -> Option<SkipReason> {
        match self {
            Self::Buy | Self::Sell | Self::Merge => None,
            Self::Receive | Self::Send => Some(SkipReason::NotATrade),
            Self::Redeem => Some(SkipReason::Redeemed),
        }
    }
}

impl From<Side> for Action {
    fn from(side: Side) -> Self {
        match side {
            Side::Buy => Self::Buy,
            Side::Sell => Self::Sell,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
            Self::Receive => "RECEIVE",
            Self::Merge => "MERGE",
            Self::Redeem => "REDEEM",
            Self::Send => "SEND",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_an_entry_an_exit_or_never_copied() {
        for action in Action::ALL {
            let ways = [action == Action::Buy, action.is_exit(), action.never_copied().is_some()];
            assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{action}");
            assert!(!action.is_exit() || action.side() == Side::Sell, "{action}");
        }
        assert_eq!([Side::Buy, Side::Sell].map(|side| Action::from(side).side()), [Side::Buy, Side::Sell]);
    }
}

//! Why a trade part was not copied, with the numbers that say so.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    decide::Binding,
    money::{Price, Shares, Usd},
};

/// A reason not to copy. Stored as a code and up to three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The leader's order is our own, and the follower does not copy such.
    OwnOrder,
    /// Older than the follower allows.
    TooOld {
        /// Age at decision.
        age: Duration,
        /// The follower's limit.
        maximum: Duration,
    },
    /// The venue does not tell the market's rules.
    MarketUnknown,
    /// The market takes no orders.
    MarketClosed,
    /// The leader's trade has no price.
    NoPrice,
    /// The book could not be read or is empty on the side we need.
    BookUnknown,
    /// The best offer is outside the follower's band.
    OutsideBand {
        /// Best offer.
        price: Price,
        /// Band.
        from: Price,
        /// Band.
        to: Price,
    },
    /// The best offer is worse than the follower allows.
    PriceMoved {
        /// The leader's average price.
        leader: Price,
        /// Best offer.
        best: Price,
        /// The worst price allowed.
        limit: Price,
    },
    /// Earlier parts already decided the whole copy.
    AlreadyCopied {
        /// Decided before.
        decided: Usd,
        /// The copy of the whole group.
        target: Usd,
    },
    /// A cap or the money at hand leaves less than the venue's minimum.
    CapReached {
        /// Which.
        cap: Binding,
        /// What it leaves.
        room: Usd,
        /// The smallest order.
        needed: Usd,
    },
    /// The copy is below the venue's minimum and the follower does not raise.
    BelowMinimum {
        /// The copy.
        wanted: Usd,
        /// The smallest order.
        minimum: Usd,
    },
    /// The follower does not follow exits.
    ExitsNotFollowed,
    /// Nothing is held through this relationship.
    NothingHeld,
    /// What is held is to be kept or is being sold.
    NothingToSell {
        /// Held.
        held: Shares,
        /// To keep.
        target: Shares,
        /// In open exits.
        open: Shares,
    },
    /// The sale is below the market's minimum.
    SellBelowMinimum {
        /// To sell.
        shares: Shares,
        /// The smallest order.
        minimum: Shares,
    },
    /// The leader's balance could not be read or rebuilt.
    BalanceUnknown,
    /// It may be another trade of the leader, still settling.
    MaySettle,
    /// Less than one lot, finally.
    Dust,
    /// Not a trade (a split, a received side, a transfer).
    NotATrade,
    /// The follower paused or stopped the relationship.
    NotActive,
    /// A hold is in force.
    Held,
    /// Numbers beyond what can be computed.
    Uncomputable,
    /// The leader redeemed resolved shares: ours are redeemed too, never sold.
    Redeemed,
    /// It was found too late, and what the leader still holds of it is bought with a sync.
    LeftToSync,
    /// The leader has sold it since.
    SoldSince,
    /// Other sources told of it, and no block has it.
    NotOnChain,
    /// The store had gone back in time: what was done about this trade before is not known here.
    Rewound,
    /// A newer version wrote the policy or the account, with more than this one knows.
    NewerVersion,
}

impl SkipReason {
    /// Whether an exit that was skipped for this reason may be carried out later: it is looked at again.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::MarketUnknown
                | Self::MarketClosed
                | Self::BookUnknown
                | Self::NotActive
                | Self::Held
                | Self::Rewound
        )
    }

    /// Code and numbers, as stored: durations in microseconds, the precision of every age. The codes are
    /// for ever.
    #[must_use]
    pub fn encode(&self) -> (i64, [i64; 3]) {
        let none = [0; 3];
        match *self {
            Self::OwnOrder => (1, none),
            Self::TooOld { age, maximum } => (2, [micros(age), micros(maximum), 0]),
            Self::MarketUnknown => (3, none),
            Self::MarketClosed => (4, none),
            Self::NoPrice => (5, none),
            Self::BookUnknown => (6, none),
            Self::OutsideBand { price, from, to } => (7, [price.0, from.0, to.0]),
            Self::PriceMoved { leader, best, limit } => (8, [leader.0, best.0, limit.0]),
            Self::AlreadyCopied { decided, target } => (9, [decided.0, target.0, 0]),
            Self::CapReached { cap, room, needed } => {
                let cap = Binding::ALL.iter().position(|known| *known == cap);
                (10, [cap.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1), room.0, needed.0])
            }
            Self::BelowMinimum { wanted, minimum } => (11, [wanted.0, minimum.0, 0]),
            Self::ExitsNotFollowed => (12, none),
            Self::NothingHeld => (13, none),
            Self::NothingToSell { held, target, open } => (14, [held.0, target.0, open.0]),
            Self::SellBelowMinimum { shares, minimum } => (15, [shares.0, minimum.0, 0]),
            Self::BalanceUnknown => (16, none),
            Self::MaySettle => (17, none),
            Self::Dust => (18, none),
            Self::NotATrade => (19, none),
            Self::NotActive => (20, none),
            Self::Held => (21, none),
            Self::Uncomputable => (22, none),
            Self::Redeemed => (23, none),
            Self::LeftToSync => (24, none),
            Self::SoldSince => (25, none),
            Self::NotOnChain => (26, none),
            Self::Rewound => (27, none),
            Self::NewerVersion => (28, none),
        }
    }

    /// The reason with this code and numbers; `None` for a code of a newer version.
    #[must_use]
    pub fn decode(code: i64, [a, b, c]: [i64; 3]) -> Option<Self> {
        Some(match code {
            1 => Self::OwnOrder,
            2 => Self::TooOld { age: duration(a), maximum: duration(b) },
            3 => Self::MarketUnknown,
            4 => Self::MarketClosed,
            5 => Self::NoPrice,
            6 => Self::BookUnknown,
            7 => Self::OutsideBand { price: Price(a), from: Price(b), to: Price(c) },
            8 => Self::PriceMoved { leader: Price(a), best: Price(b), limit: Price(c) },
            9 => Self::AlreadyCopied { decided: Usd(a), target: Usd(b) },
            10 => Self::CapReached {
                cap: *usize::try_from(a).ok().and_then(|at| Binding::ALL.get(at))?,
                room: Usd(b),
                needed: Usd(c),
            },
            11 => Self::BelowMinimum { wanted: Usd(a), minimum: Usd(b) },
            12 => Self::ExitsNotFollowed,
            13 => Self::NothingHeld,
            14 => Self::NothingToSell { held: Shares(a), target: Shares(b), open: Shares(c) },
            15 => Self::SellBelowMinimum { shares: Shares(a), minimum: Shares(b) },
            16 => Self::BalanceUnknown,
            17 => Self::MaySettle,
            18 => Self::Dust,
            19 => Self::NotATrade,
            20 => Self::NotActive,
            21 => Self::Held,
            22 => Self::Uncomputable,
            23 => Self::Redeemed,
            24 => Self::LeftToSync,
            25 => Self::SoldSince,
            26 => Self::NotOnChain,
            27 => Self::Rewound,
            28 => Self::NewerVersion,
            _ => return None,
        })
    }

    /// The label of the reason with this code; `None` for a code of a newer version.
    #[must_use]
    pub fn label_of(code: i64) -> Option<&'static str> {
        Self::decode(code, [0; 3]).map(|reason| reason.label())
    }

    /// A few words, the same for all numbers, to count by.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::OwnOrder => "own order",
            Self::TooOld { .. } => "too old",
            Self::MarketUnknown => "market unknown",
            Self::MarketClosed => "market closed",
            Self::NoPrice => "no price",
            Self::BookUnknown => "book unknown",
            Self::OutsideBand { .. } => "outside price band",
            Self::PriceMoved { .. } => "price moved",
            Self::AlreadyCopied { .. } => "already copied",
            Self::CapReached { .. } => "cap reached",
            Self::BelowMinimum { .. } => "below minimum",
            Self::ExitsNotFollowed => "exits not followed",
            Self::NothingHeld => "nothing held",
            Self::NothingToSell { .. } => "nothing to sell",
            Self::SellBelowMinimum { .. } => "sale below minimum",
            Self::BalanceUnknown => "balance unknown",
            Self::MaySettle => "may be settling",
            Self::Dust => "dust",
            Self::NotATrade => "not a trade",
            Self::NotActive => "paused or stopped",
            Self::Held => "on hold",
            Self::Uncomputable => "beyond computing",
            Self::Redeemed => "redeemed, not sold",
            Self::LeftToSync => "left to the sync",
            Self::SoldSince => "sold since by the leader",
            Self::NotOnChain => "not on the chain",
            Self::Rewound => "lost with the database",
            Self::NewerVersion => "of a newer version",
        }
    }
}

/// A sentence with the numbers.
impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { age, maximum } => {
                write!(f, "{:.1} s old, allowed {:.1} s", age.as_secs_f64(), maximum.as_secs_f64())
            }
            Self::OutsideBand { price, from, to } => {
                write!(f, "best offer {price} is outside {from} to {to}")
            }
            Self::PriceMoved { leader, best, limit } => {
                write!(f, "leader paid {leader}, best offer {best}, allowed up to {limit}")
            }
            Self::AlreadyCopied { decided, target } => write!(f, "{decided} $ of {target} $ decided before"),
            Self::CapReached { cap, room, needed } => {
                write!(f, "{} leaves {room} $, the smallest order is {needed} $", cap.label())
            }
            Self::BelowMinimum { wanted, minimum } => {
                write!(f, "copy of {wanted} $ is below the minimum of {minimum} $")
            }
            Self::NothingToSell { held, target, open } => {
                write!(f, "{held} shares held, {target} to keep, {open} in open exits")
            }
            Self::SellBelowMinimum { shares, minimum } => {
                write!(f, "{shares} shares are below the minimum of {minimum}")
            }
            Self::Rewound => f.write_str(
                "read again after the database went back in time: what was done about it before is lost, and an order that was \
                 placed for it is adopted",
            ),
            Self::NewerVersion => f.write_str(
                "a newer version wrote the policy or the account, with more than this one knows: it buys nothing by it",
            ),
            other => f.write_str(other.label()),
        }
    }
}

impl Binding {
    /// The rule's name for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::OrderCap => "the cap per order",
            Self::MarketCap => "the cap per market",
            Self::LeaderCap => "the cap per leader",
            Self::AccountCap => "the account's cap",
            Self::FreeMoney => "the free money",
            Self::RaisedToMinimum => "the venue's minimum",
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_round_trips() {
        let mut known = 0;
        for code in 1..100 {
            for cap in 0..7 {
                if let Some(reason) = SkipReason::decode(code, [cap, 2_000, 3_000]) {
                    assert_eq!(SkipReason::decode(reason.encode().0, reason.encode().1), Some(reason));
                    assert_eq!(reason.encode().0, code);
                    assert!(!reason.to_string().is_empty());
                    known += usize::from(cap == 0);
                }
            }
        }
        assert_eq!(known, 28);
    }
}

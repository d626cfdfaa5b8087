//! What a follower has, and what it has after the usual copy.

use domain::{Shares, Usd, money::ONE};
use slipstream::demo::setup::DEPOSIT;

/// What a follower has, as booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Has {
    pub shares: Shares,
    pub cost: Usd,
    pub realised: Usd,
    pub fees: Usd,
    pub cash: Usd,
    pub reserved: Usd,
}

impl Has {
    /// Nothing but the deposit.
    pub const fn untouched() -> Self {
        Self {
            shares: Shares::ZERO,
            cost: Usd::ZERO,
            realised: Usd::ZERO,
            fees: Usd::ZERO,
            cash: DEPOSIT,
            reserved: Usd::ZERO,
        }
    }

    /// The copy of [`Scene::leader_buys`]: 10 shares at 0.50, and the fee of 10 x 0.04 x 0.25.
    pub const fn copied() -> Self {
        Self {
            shares: Shares(10 * ONE),
            cost: Usd(5 * ONE),
            realised: Usd::ZERO,
            fees: Usd(ONE / 10),
            cash: Usd(DEPOSIT.0 - 5 * ONE - ONE / 10),
            reserved: Usd::ZERO,
        }
    }
}

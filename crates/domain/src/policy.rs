//! What a follower wants: sizing, caps, prices, ages. Everything a policy can do only ever reduces
//! what is bought, except [`MinimumRule::Raise`], which the follower asks for and every cap bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    downtime::DowntimeRule,
    money::{ONE, Price, Usd},
    order::MarketOrderType,
};

/// One basis point is a hundredth of a per cent.
pub const BASIS_POINTS: i64 = 10_000;

/// How a follower copies one leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How much to buy.
    pub sizing: Sizing,
    /// Limits on money at risk.
    #[serde(default)]
    pub caps: Caps,
    /// Only prices inside are bought.
    #[serde(default)]
    pub band: PriceBand,
    /// The highest price above the leader's, in basis points of the leader's price.
    pub slippage_to_leader_bps: i64,
    /// The highest price above the best offer, in basis points of it.
    pub slippage_to_book_bps: i64,
    /// What to do when the copy is below the venue's minimum.
    pub below_minimum: MinimumRule,
    /// Entries older than this are late ([`Policy::downtime`]); exits have no age.
    pub maximum_age: Duration,
    /// What becomes of late entries.
    #[serde(default)]
    pub downtime: DowntimeRule,
    /// The highest price of late entries above the leader's, in basis points of the leader's price; without it, that of
    /// the others.
    #[serde(default)]
    pub late_slippage_bps: Option<i64>,
    /// Whether the leader's exits are followed.
    pub follow_exits: bool,
    /// Whether buys that were orders of ours are copied: only where the leader's wallet is managed here, and
    /// copies of such copies are wanted. Exits are followed whoever ordered them.
    #[serde(default)]
    pub copy_own_orders: bool,
    /// What becomes of copies of a trade that never reached the chain.
    #[serde(default)]
    pub phantoms: PhantomRule,
    /// What becomes of what an entry does not match at once. Exits always take what is there.
    #[serde(default)]
    pub entry_type: MarketOrderType,
    /// A newer version wrote this policy or its account, and says there what this one does not know: it may be a limit, so
    /// nothing is bought; exits go on. Never stored.
    #[serde(skip)]
    pub of_newer_version: bool,
}

/// How much to buy of a leader's trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sizing {
    /// This share of the leader's dollars, in millionths (0.1 = 100,000).
    Ratio(i64),
    /// These dollars for every trade of the leader.
    Fixed(Usd),
}

/// Upper bounds in dollars; `None` is no bound of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// One order.
    #[serde(default)]
    pub order: Option<Usd>,
    /// Money in one market through this relationship.
    #[serde(default)]
    pub market: Option<Usd>,
    /// Money in all markets through this relationship.
    #[serde(default)]
    pub leader: Option<Usd>,
}

/// Prices that may be bought, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBand {
    /// Lowest.
    pub from: Price,
    /// Highest.
    pub to: Price,
}

impl Default for PriceBand {
    fn default() -> Self {
        Self { from: Price(0), to: Price(ONE) }
    }
}

/// What to do when a copy is below the venue's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinimumRule {
    /// Do not copy.
    Skip,
    /// Buy the minimum, if every cap allows it.
    Raise,
}

/// What becomes of copies of a leader's trade that was hinted at and is not on the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhantomRule {
    /// They are held until the leader sells.
    #[default]
    Keep,
    /// They are sold.
    Exit,
}

impl Policy {
    /// A careful default: a tenth of the leader's dollars, at most 5 % above the leader's price and 2 %
    /// above the best offer, within 60 seconds.
    #[must_use]
    pub fn careful() -> Self {
        Self {
            sizing: Sizing::Ratio(ONE / 10),
            caps: Caps::default(),
            band: PriceBand::default(),
            slippage_to_leader_bps: 500,
            slippage_to_book_bps: 200,
            below_minimum: MinimumRule::Skip,
            maximum_age: Duration::from_secs(60),
            downtime: DowntimeRule::Skip,
            late_slippage_bps: None,
            follow_exits: true,
            copy_own_orders: false,
            phantoms: PhantomRule::Keep,
            entry_type: MarketOrderType::FillAndKill,
            of_newer_version: false,
        }
    }

    /// How far above the leader's price a late entry may buy, in basis points.
    #[must_use]
    pub fn late_slippage(&self) -> i64 {
        self.late_slippage_bps.unwrap_or(self.slippage_to_leader_bps)
    }

    /// Every mistake in the policy, in words; empty when it can be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.sizing {
            Sizing::Ratio(ratio) if !(1..=ONE.saturating_mul(100)).contains(&ratio) => {
                found.push(format!("ratio {} is not between 0.000001 and 100", Price(ratio)));
            }
            Sizing::Fixed(usd) if !usd.is_positive() => {
                found.push(format!("fixed amount {usd} is not positive"))
            }
            _ => {}
        }
        for (name, cap) in
            [("order", self.caps.order), ("market", self.caps.market), ("leader", self.caps.leader)]
        {
            if let Some(cap) = cap.filter(|cap| !cap.is_positive()) {
                found.push(format!("cap per {name} {cap} is not positive; leave it out for none"));
            }
        }
        if self.band.from > self.band.to {
            found.push(format!(
                "no price is from {} to {}: price_from must not be above price_to",
                self.band.from, self.band.to
            ));
        } else if self.band.from.0 < 0 || self.band.to.0 > ONE {
            found.push(format!("price band {} to {} is not within 0 to 1", self.band.from, self.band.to));
        }
        let slippages = [
            ("leader", self.slippage_to_leader_bps),
            ("book", self.slippage_to_book_bps),
            ("leader when late", self.late_slippage()),
        ];
        for (name, bps) in slippages {
            if !(0..=BASIS_POINTS).contains(&bps) {
                found.push(format!(
                    "slippage to {name} {bps} is not between 0 and {BASIS_POINTS} basis points"
                ));
            }
        }
        if self.phantoms == PhantomRule::Exit && !self.follow_exits {
            found.push("copies of phantoms are sold only where exits are followed".to_owned());
        }
        if self.maximum_age.is_zero() {
            found.push("maximum age is zero: nothing would ever be copied".to_owned());
        }
        found
    }
}

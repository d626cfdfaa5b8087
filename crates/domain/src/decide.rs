//! The decision: one leader trade part and one follower in, a copy or a reasoned skip out.
//!
//! Pure and total. What is decided is the copy of the group's *whole* quantity; what earlier parts
//! decided is subtracted, so that splitting a group into parts never changes the total.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    downtime::{SyncTarget, skipped_for_age},
    exits::shares_to_sell,
    market::{Market, TopOfBook},
    money::{CENT, MoneyError, ONE, Price, Rounding, Shares, Side, Usd},
    policy::{BASIS_POINTS, MinimumRule, Policy, Sizing},
    skip::SkipReason,
    trade::Quantity,
};

/// What is the same for all followers of one part: stored once, with the part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeSnapshot {
    /// The group's quantity so far, without what may be another group.
    pub whole: Quantity,
    /// Rules of the market; `None` when the venue did not tell them.
    pub market: Option<Market>,
    /// The best offers; `None` when the book could not be read.
    pub top: Option<TopOfBook>,
    /// The leader's wallet is managed here, and the trade came from an order of ours.
    pub own_order: bool,
    /// For a sync with the leader's position: `whole` is what the leader still holds of several buys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncTarget>,
}

/// What differs between followers of an entry: stored with each decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryInputs {
    /// Age of the trade at decision time. Followers of one part can be decided at different times.
    pub age: Duration,
    /// Dollars that earlier parts of this group decided for this follower.
    pub decided_before: Usd,
    /// Dollars at risk in this market through this relationship, reservations included.
    pub in_market: Usd,
    /// Dollars at risk through this relationship.
    pub with_leader: Usd,
    /// Dollars at risk in the account.
    pub in_account: Usd,
    /// Dollars the account has free.
    pub free: Usd,
    /// The account's own cap.
    pub account_cap: Option<Usd>,
}

/// What differs between followers of an exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInputs {
    /// Shares held through this relationship.
    pub held: Shares,
    /// Shares to keep ([`crate::exits::exit_target`]).
    pub target: Shares,
    /// Shares that open exits may still sell.
    pub open_exits: Shares,
}

/// The answer to a trade part for one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Trade.
    Copy(CopyOrder),
    /// Do not trade, and why.
    Skip(SkipReason),
}

/// What a decision to copy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOrder {
    /// Buy or sell.
    pub side: Side,
    /// The bound of the intent: dollars to give for a buy (micro-dollars), shares for a sell (micro-shares).
    pub amount: i64,
    /// The worst price, on the market's tick.
    pub limit: Price,
    /// Dollars set aside: the amount and the worst fee; zero for exits.
    pub reserve: Usd,
    /// What made the amount smaller (or larger) than the sizing rule alone.
    pub binding: Option<Binding>,
}

/// The rule that set the amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The cap per order.
    OrderCap,
    /// The cap per market.
    MarketCap,
    /// The cap per leader.
    LeaderCap,
    /// The account's cap.
    AccountCap,
    /// The money in the account.
    FreeMoney,
    /// Raised to the venue's minimum.
    RaisedToMinimum,
}

impl Binding {
    /// All of them; the position is the number stored.
    pub const ALL: [Self; 6] = [
        Self::OrderCap,
        Self::MarketCap,
        Self::LeaderCap,
        Self::AccountCap,
        Self::FreeMoney,
        Self::RaisedToMinimum,
    ];
}

/// Decides an entry (the leader bought).
///
/// # Errors
/// [`MoneyError::Overflow`] for amounts beyond 64 bits; the caller answers `Skip(Uncomputable)`.
pub fn decide_entry(
    trade: &TradeSnapshot,
    policy: &Policy,
    inputs: &EntryInputs,
) -> Result<Verdict, MoneyError> {
    if policy.of_newer_version {
        return Ok(Verdict::Skip(SkipReason::NewerVersion));
    }
    if trade.own_order && !policy.copy_own_orders {
        return Ok(Verdict::Skip(SkipReason::OwnOrder));
    }
    if let Some(reason) = skipped_for_age(trade, policy, inputs) {
        return Ok(Verdict::Skip(reason));
    }
    let limit = match entry_limit(trade, policy, inputs)? {
        Ok(limit) => limit,
        Err(reason) => return Ok(Verdict::Skip(reason)),
    };
    let Some(market) = &trade.market else { return Ok(Verdict::Skip(SkipReason::MarketUnknown)) };
    let room = EntryRoom::of(policy, inputs, market, limit)?;
    let (target, target_binding) = whole_target(trade, policy, market, limit, &room)?;
    if !target.is_positive() {
        let minimum = market.minimum_buy(limit)?;
        return Ok(Verdict::Skip(SkipReason::BelowMinimum { wanted: target, minimum }));
    }
    let wanted = target.less(inputs.decided_before);
    if !wanted.is_positive() {
        return Ok(Verdict::Skip(SkipReason::AlreadyCopied { decided: inputs.decided_before, target }));
    }
    let (amount, cap_binding) = room.bound(wanted)?;
    let amount = amount.floor_to(CENT);
    let minimum = market.minimum_buy(limit)?;
    if amount < minimum {
        return Ok(Verdict::Skip(match cap_binding {
            Some(cap) => SkipReason::CapReached { cap, room: amount, needed: minimum },
            None => SkipReason::BelowMinimum { wanted: amount, minimum },
        }));
    }
    let fee = market.fee.worst_buy_fee(amount, limit, market.tick.size())?;
    Ok(Verdict::Copy(CopyOrder {
        side: Side::Buy,
        amount: amount.0,
        limit,
        reserve: amount.plus(fee)?,
        binding: cap_binding.or(target_binding),
    }))
}

/// Decides an exit (the leader's balance fell). Exits have no age, caps or price band; the limit is the
/// lowest tick within the follower's slippage of the best bid. What is below the market's minimum is sold only where
/// nothing is to be kept.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn decide_exit(
    trade: &TradeSnapshot,
    policy: &Policy,
    inputs: &ExitInputs,
) -> Result<Verdict, MoneyError> {
    if policy.follow_exits {
        decide_sale(trade, policy, inputs)
    } else {
        Ok(Verdict::Skip(SkipReason::ExitsNotFollowed))
    }
}

/// [`decide_exit`] also where the leader's exits are not followed: somebody said that everything is to be sold.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn decide_sale(
    trade: &TradeSnapshot,
    policy: &Policy,
    inputs: &ExitInputs,
) -> Result<Verdict, MoneyError> {
    if !inputs.held.is_positive() {
        return Ok(Verdict::Skip(SkipReason::NothingHeld));
    }
    let sell = shares_to_sell(inputs.held, inputs.target, inputs.open_exits);
    if !sell.is_positive() {
        return Ok(Verdict::Skip(SkipReason::NothingToSell {
            held: inputs.held,
            target: inputs.target,
            open: inputs.open_exits,
        }));
    }
    let Some(market) = &trade.market else { return Ok(Verdict::Skip(SkipReason::MarketUnknown)) };
    if !market.accepting_orders {
        return Ok(Verdict::Skip(SkipReason::MarketClosed));
    }
    // The minimum is that of limit orders; whether the venue holds sales that take to it is not known. Where nothing is to
    // be kept the little that is held is tried: a refusal costs nothing.
    if sell < market.minimum_size && inputs.target.is_positive() {
        return Ok(Verdict::Skip(SkipReason::SellBelowMinimum {
            shares: sell,
            minimum: market.minimum_size,
        }));
    }
    let Some(best) = trade.top.and_then(|top| top.best_for(Side::Sell)) else {
        return Ok(Verdict::Skip(SkipReason::BookUnknown));
    };
    let keep = BASIS_POINTS.saturating_sub(policy.slippage_to_book_bps.clamp(0, BASIS_POINTS));
    let lowest = crate::money::mul_div(best.0, keep, BASIS_POINTS, Rounding::Up).map(Price)?;
    Ok(Verdict::Copy(CopyOrder {
        side: Side::Sell,
        amount: sell.0,
        limit: market.tick.ceil(lowest).min(market.tick.floor(best)),
        reserve: Usd::ZERO,
        binding: None,
    }))
}

/// The worst price to pay.
fn entry_limit(
    trade: &TradeSnapshot,
    policy: &Policy,
    inputs: &EntryInputs,
) -> Result<Result<Price, SkipReason>, MoneyError> {
    let Some(market) = &trade.market else { return Ok(Err(SkipReason::MarketUnknown)) };
    if !market.accepting_orders {
        return Ok(Err(SkipReason::MarketClosed));
    }
    let Some(leader) = trade.whole.price() else { return Ok(Err(SkipReason::NoPrice)) };
    let Some(best) = trade.top.and_then(|top| top.best_for(Side::Buy)) else {
        return Ok(Err(SkipReason::BookUnknown));
    };
    let up = |price: Price, bps: i64| {
        let factor = BASIS_POINTS.saturating_add(bps.clamp(0, BASIS_POINTS));
        crate::money::mul_div(price.0, factor, BASIS_POINTS, Rounding::Down).map(Price)
    };
    let late = trade.sync.is_some() || inputs.age > policy.maximum_age;
    let slippage = if late { policy.late_slippage() } else { policy.slippage_to_leader_bps };
    let to_leader = up(leader, slippage)?;
    let to_book = up(best, policy.slippage_to_book_bps)?;
    let ceiling = to_leader.min(to_book).min(policy.band.to);
    let price = market.tick.floor(ceiling);
    if best < policy.band.from || best > policy.band.to || price > policy.band.to {
        return Ok(Err(SkipReason::OutsideBand { price: best, from: policy.band.from, to: policy.band.to }));
    }
    if best > price || price > ceiling {
        return Ok(Err(SkipReason::PriceMoved { leader, best, limit: ceiling }));
    }
    Ok(Ok(price))
}

/// The copy of the whole group in cents, before the caps on accumulated money, which depend on the
/// moment. The cap per order and raising to the minimum belong here: they must not change when a group
/// comes in parts.
fn whole_target(
    trade: &TradeSnapshot,
    policy: &Policy,
    market: &Market,
    limit: Price,
    room: &EntryRoom,
) -> Result<(Usd, Option<Binding>), MoneyError> {
    let sized = match policy.sizing {
        Sizing::Ratio(ratio) => trade.whole.usd.times(ratio, ONE, Rounding::Down)?,
        Sizing::Fixed(usd) => {
            let trades = trade.sync.map_or(ONE, |target| target.trades);
            usd.times(trades, ONE, Rounding::Down)?
        }
    };
    let (capped, binding) = match policy.caps.order {
        Some(cap) if cap < sized => (cap, Some(Binding::OrderCap)),
        _ => (sized, None),
    };
    let minimum = market.minimum_buy(limit)?;
    let raise = policy.below_minimum == MinimumRule::Raise && capped < minimum && sized.is_positive();
    let order_cap_allows = policy.caps.order.is_none_or(|cap| minimum <= cap);
    if raise && order_cap_allows && room.bound(minimum)?.0 >= minimum {
        return Ok((minimum, Some(Binding::RaisedToMinimum)));
    }
    Ok((capped.floor_to(CENT), binding))
}

/// How much the accumulating caps and the money at hand still allow.
struct EntryRoom {
    bounds: [(Option<Usd>, Binding); 4],
}

impl EntryRoom {
    fn of(policy: &Policy, inputs: &EntryInputs, market: &Market, limit: Price) -> Result<Self, MoneyError> {
        let left = |cap: Option<Usd>, used: Usd| cap.map(|cap| cap.less(used));
        let free = amount_with_fee(inputs.free, market, limit)?;
        Ok(Self {
            bounds: [
                (left(policy.caps.market, inputs.in_market), Binding::MarketCap),
                (left(policy.caps.leader, inputs.with_leader), Binding::LeaderCap),
                (left(inputs.account_cap, inputs.in_account), Binding::AccountCap),
                (Some(free), Binding::FreeMoney),
            ],
        })
    }

    fn bound(&self, wanted: Usd) -> Result<(Usd, Option<Binding>), MoneyError> {
        let mut result = (wanted, None);
        for (bound, binding) in &self.bounds {
            match bound {
                Some(bound) if *bound < result.0 => result = (*bound, Some(*binding)),
                _ => {}
            }
        }
        Ok(result)
    }
}

/// The largest amount in cents whose worst fee still fits into `free`.
fn amount_with_fee(free: Usd, market: &Market, limit: Price) -> Result<Usd, MoneyError> {
    if !free.is_positive() {
        return Ok(Usd::ZERO);
    }
    let fee = market.fee.worst_buy_fee(free, limit, market.tick.size())?;
    let whole = free.plus(fee)?;
    // The fee is proportional to the amount, so this is right up to the rounding of the fee; one cent
    // and one fee step cover it.
    let amount = free.times(free.0, whole.0, Rounding::Down)?.floor_to(CENT);
    let needed = amount.plus(market.fee.worst_buy_fee(amount, limit, market.tick.size())?)?;
    Ok(if needed > free { amount.less(CENT) } else { amount })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

//! What the venue refuses before its book: its own mode, ids it knows, times, and markets that do not trade.

use std::time::Duration;

use domain::{Side, Timestamp, Usd};

use super::{
    Mode, Refusal, World,
    journal::{OrderState, PostOutcome},
    matching::Fill,
    orders::{Judged, Submission, killed_text},
    registry::{Market, MarketState},
};
use crate::{config::DuplicateMemory, limits::MIN_EXPIRATION_AHEAD, wire::OrderType};

impl World {
    /// Whether the venue takes this kind of order at all now.
    ///
    /// # Errors
    /// 503 or 425 with the text of the mode.
    pub fn check_mode(&self, post_only: bool) -> Result<(), Refusal> {
        match self.mode {
            Mode::Normal => Ok(()),
            Mode::PostOnly if post_only => Ok(()),
            Mode::PostOnly => Err(Refusal {
                code: Some("post_only_mode"),
                retry_after: Some(self.mode_left().unwrap_or(60)),
                ..Refusal::new(503, "post-only mode: only post-only orders and cancels are allowed")
            }),
            Mode::CancelOnly => Err(Refusal::new(
                503,
                "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
            )),
            Mode::Disabled | Mode::Restarting => self.check_open(),
        }
    }

    /// Whether the venue takes anything of traders, cancels included.
    ///
    /// # Errors
    /// 503 while trading is disabled, 425 while the matching engine restarts.
    pub fn check_open(&self) -> Result<(), Refusal> {
        match self.mode {
            Mode::Disabled => {
                Err(Refusal::new(503, "Trading is currently disabled. Check polymarket.com for updates"))
            }
            Mode::Restarting => Err(Refusal {
                retry_after: Some(self.mode_left().unwrap_or(5)),
                ..Refusal::new(425, "Too Early")
            }),
            Mode::Normal | Mode::PostOnly | Mode::CancelOnly => Ok(()),
        }
    }

    /// The venue's memory of ids, and what the contract allows once the venue has forgotten.
    pub(super) fn check_known(&self, now: Timestamp, order: &Submission) -> Judged<()> {
        let Some(record) = self.journal.orders.get(&order.id) else { return Ok(()) };
        let Some(since) = record.known_since else { return Ok(()) };
        let remembered = match self.knobs.duplicated_for {
            DuplicateMemory::Ever => true,
            DuplicateMemory::WhileLive => false,
            DuplicateMemory::Millis(millis) => now.since(since) < Duration::from_millis(millis),
        };
        if remembered || matches!(record.state, OrderState::Live | OrderState::Delayed) {
            let refusal = Refusal::bad(format!("order {} is invalid. Duplicated.", order.id));
            return Err((PostOutcome::Duplicate, refusal));
        }
        if !self.knobs.killed_fak_executes_again || record.open_maker() == 0 {
            return Err((PostOutcome::Killed, Refusal::bad(killed_text(order.order_type))));
        }
        Ok(())
    }

    pub(super) fn check_times(&self, now: Timestamp, order: &Submission) -> Result<(), Refusal> {
        if let Some(limit) = self.knobs.max_timestamp_age_s {
            let made = Timestamp::from_millis(i64::try_from(order.fields.timestamp_ms).unwrap_or(i64::MAX));
            if now.since(made) > Duration::from_secs(limit) {
                // No text is documented for this.
                return Err(Refusal::bad(format!("order {} is invalid. Timestamp too old", order.id)));
            }
        }
        let good = match order.order_type {
            OrderType::Gtd => order.expires() >= now.plus(MIN_EXPIRATION_AHEAD),
            _ => order.expiration == 0,
        };
        if good { Ok(()) } else { Err(Refusal::bad("invalid expiration")) }
    }

    /// The least that a buy which takes at once must spend. Reported of the live venue, not documented.
    pub(super) fn check_notional(&self, order: &Submission, fills: &[Fill]) -> Result<(), Refusal> {
        let Some(least) = self.knobs.min_marketable_buy else { return Ok(()) };
        let spent = Usd(order.fields.maker_amount);
        if order.fields.side == Side::Sell || fills.is_empty() || spent >= least {
            return Ok(());
        }
        Err(Refusal::bad(format!("invalid amount for a marketable BUY order (${spent}), min size: ${least}")))
    }

    pub(super) fn check_contract(&self, order: &Submission) -> Result<(), Refusal> {
        if self.contract_cancels.contains(&order.id) {
            return Err(Refusal::bad("order canceled in the CTF exchange contract"));
        }
        Ok(())
    }

    pub(super) fn open_market(&self, order: &Submission) -> Result<&Market, Refusal> {
        let missing = || Refusal::new(404, "No orderbook exists for the requested token id");
        let market = self.registry.market_of(&order.fields.token).ok_or_else(missing)?;
        match market.state {
            MarketState::Open => Ok(market),
            MarketState::Paused => Err(Refusal::bad("the market is not yet ready to process new orders")),
            MarketState::Closed | MarketState::Resolved(_) => Err(missing()),
        }
    }
}

impl Submission {
    /// Its stated expiration.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_seconds(i64::try_from(self.expiration).unwrap_or(i64::MAX))
    }
}

//! Redemptions: what resolved shares paid, booked at the payouts the venue tells.
//!
//! It owns the pace at which payouts are asked for. It has a task of its own: no order waits for it.

use std::{collections::HashSet, sync::Arc};

use domain::{Clock, Hash};
use futures_util::future::join_all;

use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::{Lane, Source, StoredRedemption},
        execution::RedemptionPayout,
        store::{Store, StoreResult},
        venue::MarketData,
    },
    waits::Waits,
};

/// Books final redemptions.
pub struct Redemptions {
    store: Arc<dyn Store>,
    markets: Arc<dyn MarketData>,
    clock: Arc<dyn Clock>,
    /// Those whose payouts were asked for in vain.
    unresolved: Waits<Key>,
}

/// Block hash and log index.
type Key = (Hash, i64);

impl Redemptions {
    /// Nothing has been asked yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, markets: Arc<dyn MarketData>, clock: Arc<dyn Clock>) -> Self {
        Self { store, markets, clock, unresolved: Waits::new() }
    }

    /// Asks for the payouts of at most [`limits::REDEMPTIONS_AT_ONCE`] redemptions whose block is final,
    /// those never asked for first, and books what is told. Returns how many were booked.
    ///
    /// # Errors
    /// Store errors.
    pub async fn round(&mut self) -> StoreResult<usize> {
        let mut booked = 0;
        let due = self.due().await?;
        let asked = join_all(due.iter().map(|redemption| self.payouts_of(redemption))).await;
        for (redemption, payouts) in due.iter().zip(asked) {
            let (hash, log_index) = key(redemption);
            let done = match payouts? {
                Some(payouts) => {
                    self.store.book_redemption(hash, log_index, &payouts, self.clock.now()).await?
                }
                None => false,
            };
            if done {
                self.unresolved.0.remove(&key(redemption));
                booked += 1;
            } else {
                let now = self.clock.uptime();
                self.unresolved.put_off(key(redemption), now, limits::PAYOUT_FIRST, limits::PAYOUT_LAST);
            }
        }
        Ok(booked)
    }

    async fn due(&mut self) -> StoreResult<Vec<StoredRedemption>> {
        let Some(finalized) = self.store.cursor(Source::Finalized).await? else { return Ok(Vec::new()) };
        // Those put off are read as well, so that they keep nobody behind them from being seen.
        let limit = limits::FINALITY_BATCH.saturating_add(self.unresolved.0.len());
        let mut due = self.store.unbooked_redemptions(finalized, limit).await?;
        let keys: HashSet<Key> = due.iter().map(key).collect();
        self.unresolved.0.retain(|key, _| keys.contains(key));
        let now = self.clock.uptime();
        due.retain(|one| self.unresolved.is_due(&key(one), now));
        due.sort_by_key(|one| self.unresolved.0.contains_key(&key(one)));
        due.truncate(limits::REDEMPTIONS_AT_ONCE);
        Ok(due)
    }

    /// Payouts of the tokens of a resolved condition that the account holds; `None` while unknown.
    async fn payouts_of(&self, redemption: &StoredRedemption) -> StoreResult<Option<Vec<RedemptionPayout>>> {
        let tokens = self.store.held_tokens(redemption.account, redemption.condition).await?;
        let mut payouts = Vec::with_capacity(tokens.len());
        for token in tokens {
            let ask = self.markets.market(token, Lane::Entries);
            let market = venue_call(self.clock.as_ref(), "market", limits::READ_DEADLINE, ask).await;
            let Some(payout) = market.ok().flatten().and_then(|market| market.payout) else {
                return Ok(None);
            };
            payouts.push(RedemptionPayout { token, payout });
        }
        Ok(Some(payouts))
    }
}

const fn key(redemption: &StoredRedemption) -> Key {
    (redemption.block_hash, redemption.log_index)
}

//! How much of a token a leader kept over a block: read from the chain, or counted back from a later balance.

use domain::{
    Address, Shares, Side,
    exits::ExitFactor,
    trade::{Action, GroupKey, SURPLUS_WINDOW, TradeGroup},
};
use futures_util::future::join;
use tracing::info;

use super::Watcher;
use crate::{
    deadline::venue_call,
    limits,
    ports::venue::{ChainReader, VenueError},
};

impl Watcher {
    /// What the leader kept over the block of a group. Shares it sent to another wallet count as kept: a
    /// transfer is no exit. `fresh` are groups on their way into the store.
    pub(super) async fn leader_factor(
        &self,
        group: &TradeGroup,
        block: i64,
        fresh: &[TradeGroup],
    ) -> Result<ExitFactor, VenueError> {
        let wallet = self.wallet_of(group.key.leader).ok_or_else(|| VenueError::Refused {
            what: "balances".to_owned(),
            reason: "nobody follows this leader any more".to_owned(),
        })?;
        let known = self.known_groups(group, fresh).await?;
        let mut factor = match &self.chain {
            Some(chain) => self.factor_on_chain(chain.as_ref(), wallet, group, block, &known).await?,
            None => counted_back(block, self.held_now(wallet, group).await?, &known),
        };
        let sent = |group: &&TradeGroup| group.key.action == Action::Send && group.block == Some(block);
        for group in known.iter().filter(sent) {
            factor.after = Shares(factor.after.0.saturating_add(group.quantity().shares.0));
        }
        Ok(factor)
    }

    /// Everything known of the leader and the token since shortly before the group was seen.
    async fn known_groups(
        &self,
        group: &TradeGroup,
        fresh: &[TradeGroup],
    ) -> Result<Vec<TradeGroup>, VenueError> {
        let key = group.key;
        let keys = Action::ALL.map(|action| GroupKey { action, ..key });
        let since = self.clock.now().min(group.first_seen_at).minus(SURPLUS_WINDOW);
        let stored = self.store.groups(&keys, since).await;
        let mut known = stored.map_err(|error| VenueError::Unavailable {
            what: "trades of the leader".to_owned(),
            reason: error.to_string(),
        })?;
        let newer = fresh
            .iter()
            .chain([group])
            .filter(|one| (one.key.leader, one.key.token) == (key.leader, key.token));
        for one in newer {
            known.retain(|other| other.key != one.key);
            known.push(*one);
        }
        Ok(known)
    }

    async fn factor_on_chain(
        &self,
        chain: &dyn ChainReader,
        wallet: Address,
        group: &TradeGroup,
        block: i64,
        known: &[TradeGroup],
    ) -> Result<ExitFactor, VenueError> {
        let query = [(wallet, group.key.token)];
        let read = |block| {
            venue_call(
                self.clock.as_ref(),
                "balances",
                limits::LOOK_UP_DEADLINE,
                chain.balances(&query, block),
            )
        };
        let one = |answer: Vec<Shares>| answer.first().copied().unwrap_or(Shares::ZERO);
        let refusal = match join(read(block - 1), read(block)).await {
            (Ok(before), Ok(after)) => {
                return Ok(ExitFactor { block, before: one(before), after: one(after) });
            }
            (Err(error @ VenueError::Refused { .. }), _) | (_, Err(error @ VenueError::Refused { .. })) => {
                error
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        // That state is pruned: counted back from the newest block that was read, over what was read since.
        let Some(tip) = self.headers.back().filter(|tip| tip.number >= block) else {
            return Err(not_yet(&refusal));
        };
        match read(tip.number).await {
            Ok(balance) => {
                info!(%refusal, block, "balance of leader {} counted back from block {}", group.key.leader,
                    tip.number);
                Ok(counted_back(block, one(balance), known))
            }
            // Reading has not come near the head yet; the state there will be kept.
            Err(VenueError::Refused { .. })
                if self.head_time.is_some_and(|head| head.since(tip.time) > limits::STATE_KEPT) =>
            {
                Err(not_yet(&refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// What the leader holds now, by its public history.
    async fn held_now(&self, wallet: Address, group: &TradeGroup) -> Result<Shares, VenueError> {
        let Some(history) = &self.history else {
            return Err(VenueError::Refused { what: "balances".to_owned(), reason: "no source".to_owned() });
        };
        let ask = history.positions(wallet);
        let held = venue_call(self.clock.as_ref(), "positions", limits::LOOK_UP_DEADLINE, ask).await?;
        let own = held.iter().find(|(token, _)| *token == group.key.token);
        Ok(own.map_or(Shares::ZERO, |(_, held)| *held))
    }
}

fn not_yet(refusal: &VenueError) -> VenueError {
    VenueError::Unavailable { what: "balances".to_owned(), reason: refusal.to_string() }
}

/// Counts back from a later balance over what is known to have come and gone after `block`, and over the block
/// itself. What other wallets sent the leader meanwhile is not known: it counts as kept, and less is sold.
fn counted_back(block: i64, later: Shares, known: &[TradeGroup]) -> ExitFactor {
    let gone = |wanted: &dyn Fn(i64) -> bool| -> i64 {
        let of_blocks = known.iter().filter(|group| group.block.is_some_and(wanted));
        of_blocks.fold(0, |sum: i64, group| match group.key.action.side() {
            Side::Sell => sum.saturating_add(group.quantity().shares.0),
            Side::Buy => sum.saturating_sub(group.quantity().shares.0),
        })
    };
    let after = later.0.saturating_add(gone(&|other| other > block)).max(0);
    let before = after.saturating_add(gone(&|other| other == block)).max(0);
    ExitFactor { block, before: Shares(before), after: Shares(after) }
}

#[cfg(test)]
mod tests {
    use domain::{Timestamp, TokenId, TxHash, Usd, ids::LeaderId, trade::Quantity};

    use super::*;

    fn group(action: Action, block: i64, shares: i64) -> TradeGroup {
        let key = GroupKey { leader: LeaderId(1), tx: TxHash([1; 32]), token: TokenId([7; 32]), action };
        let quantity = Quantity { shares: Shares(shares), usd: Usd::ZERO };
        TradeGroup {
            chain: Some(quantity),
            block: Some(block),
            ..TradeGroup::new(key, Timestamp(0), Timestamp(0))
        }
    }

    #[test]
    fn a_later_balance_is_counted_back() {
        let known = [
            group(Action::Buy, 4, 1_000),
            group(Action::Sell, 5, 30),
            group(Action::Merge, 5, 20),
            group(Action::Receive, 6, 7),
            group(Action::Send, 7, 5),
            group(Action::Redeem, 8, 10),
        ];
        let factor = counted_back(5, Shares(42), &known);
        assert_eq!(factor, ExitFactor { block: 5, before: Shares(100), after: Shares(50) });
    }
}

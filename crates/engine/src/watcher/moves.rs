//! What leaders did without an order: splits, merges, conversions, redemptions, transfers.
//!
//! An order's shares move too. Per transaction, wallet and token, what the logs of movements say beyond the
//! fills of the same transaction is what the leader did without one, so that nothing is counted twice. What
//! an exchange moved belongs to fills. Fills that were moved otherwise are taken off what other wallets, then
//! what the venue's contracts gave or took.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    ConditionId, Shares, Side, Timestamp, TokenId, TxHash, Usd,
    ids::LeaderId,
    trade::{Action, GroupKey, Quantity},
};

use super::{Watcher, WatcherError, groups::Observed};
use crate::ports::{
    detection::{Lane, StoredRedemption},
    venue::{ChainEvent, ChainEventKind, Counterparty},
};

/// Flows of one token to (positive) and from one wallet in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flows {
    block: i64,
    /// Bought less sold, by orders.
    filled: i64,
    exchange: i64,
    venue: i64,
    other: i64,
}

impl Flows {
    fn add(flow: &mut i64, side: Side, shares: Shares) {
        *flow = match side {
            Side::Buy => flow.saturating_add(shares.0),
            Side::Sell => flow.saturating_sub(shares.0),
        };
    }

    /// What was done without an order. Shares from other wallets are no deed of the leader.
    fn unexplained(mut self) -> [(Action, i64); 3] {
        // Fills that no exchange moved.
        let mut left = self.filled.saturating_sub(self.exchange);
        explain(&mut left, &mut self.other);
        explain(&mut left, &mut self.venue);
        [
            (Action::Receive, self.venue.max(0)),
            (Action::Merge, self.venue.saturating_neg().max(0)),
            (Action::Send, self.other.saturating_neg().max(0)),
        ]
    }
}

/// Takes off both what they have in common in one direction.
fn explain(left: &mut i64, flow: &mut i64) {
    let common = if *left < 0 { (*left).max((*flow).min(0)) } else { (*left).min((*flow).max(0)) };
    *left = left.saturating_sub(common);
    *flow = flow.saturating_sub(common);
}

type FlowKey = (LeaderId, TxHash, TokenId);

impl Watcher {
    /// What wallets of ours were paid for resolved shares.
    pub(super) async fn own_redemptions(
        &self,
        events: &[ChainEvent],
    ) -> Result<Vec<StoredRedemption>, WatcherError> {
        let redemptions: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                ChainEventKind::Redemption { wallet, condition, payout } => {
                    Some((event, *wallet, *condition, *payout))
                }
                _ => None,
            })
            .collect();
        if redemptions.is_empty() {
            return Ok(Vec::new());
        }
        let wallets: Vec<_> = redemptions.iter().map(|(_, wallet, ..)| *wallet).collect();
        let accounts: HashMap<_, _> = self
            .store
            .accounts_of_wallets(&wallets)
            .await?
            .into_iter()
            .map(|account| (account.trading.wallet, account.trading.id))
            .collect();
        Ok(redemptions
            .into_iter()
            .filter_map(|(event, wallet, condition, payout)| {
                accounts.get(&wallet).map(|account| StoredRedemption {
                    block_hash: event.block_hash,
                    log_index: event.log_index,
                    block: event.block,
                    account: *account,
                    condition,
                    payout,
                })
            })
            .collect())
    }

    /// Groups of what leaders (after their baseline) did without an order.
    pub(super) async fn moves(
        &self,
        events: &[ChainEvent],
        times: &HashMap<i64, Timestamp>,
    ) -> Result<Vec<Observed>, WatcherError> {
        let flows = self.flows(events, times);
        let mut observed = Vec::new();
        for ((leader, tx, token), flow) in flows {
            for (action, shares) in flow.unexplained().into_iter().filter(|(_, shares)| *shares > 0) {
                let action = match action {
                    Action::Merge => self.merged_or_redeemed(events, (leader, tx, token)).await?,
                    other => other,
                };
                observed.push(Observed {
                    key: GroupKey { leader, tx, token, action },
                    block: flow.block,
                    quantity: Quantity { shares: Shares(shares), usd: Usd::ZERO },
                });
            }
        }
        Ok(observed)
    }

    fn flows(&self, events: &[ChainEvent], times: &HashMap<i64, Timestamp>) -> BTreeMap<FlowKey, Flows> {
        let mut flows: BTreeMap<FlowKey, Flows> = BTreeMap::new();
        for event in events {
            let (wallet, token) = match &event.kind {
                ChainEventKind::Move(moved) => (moved.wallet, moved.token),
                ChainEventKind::Fill(fill) => (fill.wallet, fill.token),
                ChainEventKind::Redemption { .. } => continue,
            };
            let known = |leader: &&crate::ports::following::Leader| {
                times.get(&event.block).is_some_and(|time| *time >= leader.baseline)
            };
            let Some(leader) = self.leader_of(&wallet).filter(known) else { continue };
            let flow = flows.entry((leader.id, event.tx, token)).or_default();
            flow.block = event.block;
            match &event.kind {
                ChainEventKind::Fill(fill) => Flows::add(&mut flow.filled, fill.side, fill.shares),
                ChainEventKind::Move(moved) => {
                    let one = match moved.with {
                        Counterparty::Exchange => &mut flow.exchange,
                        Counterparty::Venue => &mut flow.venue,
                        Counterparty::Other => &mut flow.other,
                    };
                    Flows::add(one, moved.side, moved.shares);
                }
                ChainEventKind::Redemption { .. } => {}
            }
        }
        flows
    }

    /// A transaction that redeems can also merge shares of another market. Shares whose market nobody knows
    /// count as redeemed there: when in doubt nothing is sold.
    async fn merged_or_redeemed(&self, events: &[ChainEvent], of: FlowKey) -> Result<Action, WatcherError> {
        let (leader, tx, token) = of;
        let wallet = self.wallet_of(leader);
        let redeemed: BTreeSet<ConditionId> = events
            .iter()
            .filter_map(|event| match &event.kind {
                ChainEventKind::Redemption { wallet: redeemer, condition, .. }
                    if event.tx == tx && Some(*redeemer) == wallet =>
                {
                    Some(*condition)
                }
                _ => None,
            })
            .collect();
        if redeemed.is_empty() {
            return Ok(Action::Merge);
        }
        let market = self.markets.get(token, Lane::Exits).await?;
        let other_market = market.is_some_and(|market| !redeemed.contains(&market.condition));
        Ok(if other_market { Action::Merge } else { Action::Redeem })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(flows: Flows) -> Vec<(Action, i64)> {
        flows.unexplained().into_iter().filter(|(_, shares)| *shares > 0).collect()
    }

    #[test]
    fn fills_are_no_moves() {
        let sold = Flows { filled: -10, exchange: -10, ..Flows::default() };
        assert_eq!(done(sold), []);
        assert_eq!(done(Flows { venue: -50, ..sold }), [(Action::Merge, 50)]);
        assert_eq!(done(Flows { other: -5, ..sold }), [(Action::Send, 5)]);
        assert_eq!(done(Flows { venue: 7, ..sold }), [(Action::Receive, 7)]);
        assert_eq!(done(Flows { other: 7, ..sold }), []);
    }

    /// An exchange may let makers and takers, or nobody, hand shares over directly.
    #[test]
    fn fills_moved_otherwise_are_taken_off() {
        let sold = Flows { filled: -10, other: -10, venue: -50, ..Flows::default() };
        assert_eq!(done(sold), [(Action::Merge, 50)]);
        assert_eq!(done(Flows { filled: 10, venue: 10, ..Flows::default() }), []);
        assert_eq!(done(Flows { filled: 10, venue: 25, ..Flows::default() }), [(Action::Receive, 15)]);
        assert_eq!(done(Flows { filled: 10, other: -10, ..Flows::default() }), [(Action::Send, 10)]);
    }

    proptest! {
        /// Whatever moved, nothing that an order explains is said again, and nothing is made up.
        #[test]
        fn never_more_than_moved(filled in -100_i64..100, exchange in -100_i64..100, venue in -100_i64..100, other in -100_i64..100) {
            let flows = Flows { block: 0, filled, exchange, venue, other };
            let [received, merged, sent] = flows.unexplained().map(|(_, shares)| shares);
            prop_assert!(received == 0 || merged == 0);
            prop_assert!(received <= venue.max(0) && merged <= (-venue).max(0) && sent <= (-other).max(0));
            let left = filled - exchange;
            if left == 0 {
                prop_assert_eq!((received - merged, sent), (venue, (-other).max(0)));
            }
            let out = (-venue).max(0) + (-other).max(0);
            prop_assert_eq!(merged + sent, out - (-left).clamp(0, out));
        }
    }
}

//! How much of a token a leader kept over a block: read from the chain, or counted back from a later balance.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Address, Hash, Shares, Side, Timestamp, TokenId,
    exits::ExitFactor,
    ids::{LeaderId, RelationshipId},
    trade::{Action, GroupKey, SURPLUS_WINDOW, TradeGroup},
};
use futures_util::future::join;
use tracing::{debug, info};

use super::{
    Watcher, WatcherError,
    witness::{Word, claim},
};
use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::ExitNote,
        venue::{BlockHeader, ChainReader, VenueError},
    },
};

impl Watcher {
    /// What the leader kept over the block of a group; `None` while others are asked whether they say the same.
    /// Shares it sent to another wallet count as kept: a transfer is no exit. `fresh` are groups on their way into
    /// the store.
    pub(super) async fn leader_factor(
        &self,
        group: &TradeGroup,
        block: i64,
        fresh: &[TradeGroup],
    ) -> Result<Option<ExitFactor>, VenueError> {
        let wallet = self.wallet_of(group.key.leader).ok_or_else(nobody)?;
        let known = self.known_groups(group, fresh).await?;
        let factor = match &self.chain {
            Some(chain) => {
                let factor = self.factor_on_chain(chain, wallet, group, block, &known).await?;
                // Hints of a trade, perhaps under another hash, are the trade that the chain shows.
                let shown: Vec<TradeGroup> =
                    known.iter().filter(|group| group.chain.is_some()).copied().collect();
                let bought = bought_in(block, &shown);
                factor.map(|factor| ExitFactor {
                    before: Shares(factor.before.0.saturating_add(bought.0)),
                    ..factor
                })
            }
            None => {
                let counted = self.counted(wallet, group, &known).await?.factors;
                counted.into_iter().find(|factor| factor.block == block)
            }
        };
        let sent = |group: &&TradeGroup| group.key.action == Action::Send && group.block == Some(block);
        let sent: i64 =
            known.iter().filter(sent).fold(0, |sum, group| sum.saturating_add(group.quantity().shares.0));
        Ok(factor.map(|factor| ExitFactor { after: Shares(factor.after.0.saturating_add(sent)), ..factor }))
    }

    /// As [`Self::leader_factor`]; without a chain also of the sales shortly before it, counted back from the same
    /// position: when they were decided it may have been newer than all rows.
    pub(super) async fn leader_factors(
        &self,
        group: &TradeGroup,
        block: i64,
    ) -> Result<Option<Vec<ExitFactor>>, VenueError> {
        if self.chain.is_some() {
            return Ok(self.leader_factor(group, block, &[]).await?.map(|factor| vec![factor]));
        }
        let wallet = self.wallet_of(group.key.leader).ok_or_else(nobody)?;
        let known = self.known_groups(group, &[]).await?;
        Ok(Some(self.counted(wallet, group, &known).await?.factors))
    }

    /// What a leader kept over the seconds of its newest sales, counted back once more without a chain; and whether
    /// something still may come to be known.
    pub(super) async fn count_again(
        &self,
        newest: &TradeGroup,
    ) -> Result<(Vec<ExitFactor>, bool), WatcherError> {
        let old = self.clock.now().since(newest.traded_at) > limits::COUNTED_AGAIN.saturating_mul(2);
        let wallet = self.wallet_of(newest.key.leader).filter(|_| self.chain.is_none() && !old);
        let Some(wallet) = wallet else { return Ok((Vec::new(), false)) };
        let counted = match self.known_groups(newest, &[]).await {
            Ok(known) => self.counted(wallet, newest, &known).await,
            Err(error) => Err(error),
        };
        match counted {
            Ok(counted) => Ok((counted.factors, !counted.whole)),
            Err(error) => {
                debug!(%error, token = %newest.key.token, "what the leader kept cannot be counted again yet");
                Ok((Vec::new(), !matches!(error, VenueError::Refused { .. })))
            }
        }
    }

    /// Tokens of which a sale is known that comes before another trade, one of which is new: without a chain what was
    /// kept over it is counted again.
    pub(super) async fn to_count_again(
        &self,
        changed: &[TradeGroup],
    ) -> Result<BTreeSet<(LeaderId, TokenId)>, WatcherError> {
        let mut tokens = BTreeSet::new();
        for new in changed {
            let known = self.known_groups(new, changed).await?;
            let sales = known.iter().filter(|group| group.key.action.is_exit());
            let before = |sale: &TradeGroup, other: &TradeGroup| {
                sale.key != other.key && sale.traded_at <= other.traded_at
            };
            let mut with_new = sales.map(|sale| match sale.key == new.key {
                true => known.iter().any(|other| before(sale, other)),
                false => before(sale, new),
            });
            if with_new.any(|found| found) {
                tokens.insert((new.key.leader, new.key.token));
            }
        }
        Ok(tokens)
    }

    /// What the leader kept over the second of a sale and over those of its sales shortly before, by what the venue
    /// says it holds now. That shows every trade up to some moment and perhaps newer ones: newer sales that are known
    /// count as shown, newer buys as not, so that too little is sold until it is certain.
    async fn counted(
        &self,
        wallet: Address,
        group: &TradeGroup,
        known: &[TradeGroup],
    ) -> Result<Counted, VenueError> {
        let token = group.key.token;
        let newest = known.iter().map(|one| one.traded_at).fold(group.traded_at, Timestamp::max);
        let (held, shown) = match self.held_now(wallet, token, newest).await {
            Err(VenueError::Unavailable { .. }) if newest > group.traded_at => {
                (self.held_now(wallet, token, group.traded_at).await?, group.traded_at)
            }
            held => (held?, newest),
        };
        let counts = |one: &&TradeGroup| one.traded_at <= shown || one.key.action.side() == Side::Sell;
        let counting: Vec<TradeGroup> = known.iter().filter(counts).copied().collect();
        let earliest = group.traded_at.minus(limits::COUNTED_AGAIN);
        let sales = known.iter().filter(|one| {
            let sold = one.key.action.is_exit() && one.quantity().shares.is_positive();
            sold && (earliest..=shown).contains(&one.traded_at)
        });
        let blocks: BTreeSet<i64> = sales.chain([group]).filter_map(|sale| sale.block).collect();
        let factors = blocks.into_iter().map(|block| {
            let after = counted_back((block, i64::MAX), held, &counting).after;
            // What was there and came, by what left: a buy that is shown twice counts on neither side.
            let left = gone(&counting, &|other| other == block).saturating_add(bought_in(block, &counting).0);
            ExitFactor { block, before: Shares(after.0.saturating_add(left).max(0)), after }
        });
        Ok(Counted { factors: factors.collect(), whole: shown == newest })
    }

    /// What was kept over blocks that were read before, now that buys in them were found.
    pub(super) async fn found_beside(
        &self,
        found: &[TradeGroup],
    ) -> Result<Vec<(LeaderId, TokenId, ExitFactor)>, WatcherError> {
        let mut factors: Vec<(LeaderId, TokenId, ExitFactor)> = Vec::new();
        for buy in found.iter().filter(|group| group.key.action == Action::Buy) {
            let GroupKey { leader, token, .. } = buy.key;
            let known = self.store.groups(&[buy.key], self.clock.now()).await?;
            let before = known.into_iter().find(|known| known.key == buy.key && known.block == buy.block);
            let shares = |group: &TradeGroup| group.chain.unwrap_or_default().shares;
            let more = shares(buy).less(before.as_ref().map(shares).unwrap_or_default());
            let stored = self.store.exit_basis(leader, token, Some(&[])).await?.factors;
            let in_hand = factors
                .iter()
                .position(|(who, of, factor)| (*who, *of, Some(factor.block)) == (leader, token, buy.block));
            let factor = match in_hand {
                Some(index) => Some(factors.swap_remove(index).2),
                None => stored.into_iter().find(|factor| Some(factor.block) == buy.block),
            };
            if let Some(factor) = factor {
                factors.push((leader, token, ExitFactor { before: factor.before.plus(more)?, ..factor }));
            }
        }
        Ok(factors)
    }

    /// Everybody looks at what to sell of a buy that was found beside a sale: whoever copies it now has no share of it yet.
    pub(super) fn notes_of_all(
        &self,
        found: &[(LeaderId, TokenId, ExitFactor)],
        now: Timestamp,
    ) -> Vec<ExitNote> {
        let following = self.following.iter();
        let notes = following.flat_map(|following| {
            found.iter().flat_map(move |(leader, token, _)| {
                let followers = following.followers(*leader, RelationshipId(0), now);
                followers.map(move |relationship| ExitNote {
                    owner: relationship.owner,
                    relationship: relationship.id,
                    token: *token,
                    due: now.plus(limits::REVISIT_FIRST),
                })
            })
        });
        notes.collect()
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
        chain: &Arc<dyn ChainReader>,
        wallet: Address,
        group: &TradeGroup,
        block: i64,
        known: &[TradeGroup],
    ) -> Result<Option<ExitFactor>, VenueError> {
        let token = group.key.token;
        let header = self.header_of(chain.as_ref(), block).await?;
        let before = self.held(chain.as_ref(), (wallet, token), block - 1, header.parent);
        let after = self.held(chain.as_ref(), (wallet, token), block, header.hash);
        let refusal = match join(before, after).await {
            (Ok(before), Ok(after)) => {
                let claim = claim(wallet, group, header, (Some(before), after));
                let explained = before.0.saturating_sub(after.0) == gone(known, &|other| other == block);
                let word = self.word_on(chain, (group, known), claim, explained).await?;
                return Ok(word.map(|word| match word {
                    Word::Claimed => ExitFactor { block, before, after },
                    Word::Instead(factor) => factor,
                }));
            }
            (Err(error @ VenueError::Refused { .. }), _) | (_, Err(error @ VenueError::Refused { .. })) => {
                error
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        // That state is pruned: counted back from a newer block, over what was read since. The newest final one
        // has the final block's word; before there is one, the newest that was read.
        let Some(tip) = self.headers.back().filter(|tip| tip.number >= block) else {
            return Err(not_yet(&refusal));
        };
        let from = self.finalized.filter(|finalized| *finalized >= block).unwrap_or(tip.number);
        let header = self.header_of(chain.as_ref(), from).await?;
        match self.held(chain.as_ref(), (wallet, token), from, header.hash).await {
            Ok(balance) => {
                let claim = claim(wallet, group, header, (None, balance));
                // One number alone explains nothing.
                let balance = match self.word_on(chain, (group, known), claim, false).await? {
                    None => return Ok(None),
                    Some(Word::Claimed) => balance,
                    Some(Word::Instead(factor)) => factor.after,
                };
                info!(%refusal, block, "balance of leader {} counted back from block {from}", group.key.leader);
                Ok(Some(counted_back((block, from), balance, known)))
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

    /// The header of a block: that which is being taken or kept, else the provider's.
    async fn header_of(&self, chain: &dyn ChainReader, block: i64) -> Result<BlockHeader, VenueError> {
        let reading = self.reading.iter().find(|header| header.number == block);
        if let Some(known) = reading.or_else(|| self.header_at(block)) {
            return Ok(*known);
        }
        let ask = chain.header(block);
        let found = venue_call(self.clock.as_ref(), "header", limits::LOOK_UP_DEADLINE, ask).await?;
        found.ok_or_else(|| VenueError::Unavailable {
            what: "header".to_owned(),
            reason: format!("the provider has no block {block}"),
        })
    }

    /// What a wallet held at the end of a block, asked by its hash: heights change hands.
    async fn held(
        &self,
        chain: &dyn ChainReader,
        query: (Address, TokenId),
        block: i64,
        hash: Hash,
    ) -> Result<Shares, VenueError> {
        let queries = [query];
        let ask = chain.balances_of_block(&queries, block, hash);
        let answer = venue_call(self.clock.as_ref(), "balances", limits::LOOK_UP_DEADLINE, ask).await?;
        Ok(answer.first().copied().unwrap_or(Shares::ZERO))
    }

    /// What the leader holds now, by its public history, which shows every trade up to `since`.
    async fn held_now(
        &self,
        wallet: Address,
        token: TokenId,
        since: Timestamp,
    ) -> Result<Shares, VenueError> {
        let Some(history) = &self.history else {
            return Err(VenueError::Refused { what: "balances".to_owned(), reason: "no source".to_owned() });
        };
        let ask = history.held(wallet, token, since);
        venue_call(self.clock.as_ref(), "positions", limits::LOOK_UP_DEADLINE, ask).await
    }
}

/// What was counted back without a chain.
struct Counted {
    factors: Vec<ExitFactor>,
    /// Whether the position shows all that is known.
    whole: bool,
}

fn nobody() -> VenueError {
    let reason = "nobody follows this leader any more".to_owned();
    VenueError::Refused { what: "balances".to_owned(), reason }
}

fn not_yet(refusal: &VenueError) -> VenueError {
    VenueError::Unavailable { what: "balances".to_owned(), reason: refusal.to_string() }
}

/// Counts back from the balance at the end of block `from` over what is known to have come and gone after
/// `block`, and over the block itself. What other wallets sent the leader meanwhile is not known: it counts as
/// kept, and less is sold.
pub(super) fn counted_back((block, from): (i64, i64), later: Shares, known: &[TradeGroup]) -> ExitFactor {
    let after = later.0.saturating_add(gone(known, &|other| other > block && other <= from)).max(0);
    let before = after.saturating_add(gone(known, &|other| other == block)).max(0);
    ExitFactor { block, before: Shares(before), after: Shares(after) }
}

/// What the leader bought in a block, by all that is known.
fn bought_in(block: i64, known: &[TradeGroup]) -> Shares {
    let bought = known.iter().filter(|group| group.key.action == Action::Buy && group.block == Some(block));
    Shares(bought.fold(0, |sum, group| sum.saturating_add(group.quantity().shares.0)))
}

/// Shares that left in these blocks, less those that came, by all that is known of the leader and the token.
fn gone(known: &[TradeGroup], wanted: &dyn Fn(i64) -> bool) -> i64 {
    let of_blocks = known.iter().filter(|group| group.block.is_some_and(wanted));
    of_blocks.fold(0, |sum: i64, group| match group.key.action.side() {
        Side::Sell => sum.saturating_add(group.quantity().shares.0),
        Side::Buy => sum.saturating_sub(group.quantity().shares.0),
    })
}

#[cfg(test)]
mod tests {
    use domain::{Timestamp, TxHash, Usd, ids::LeaderId, trade::Quantity};

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
        let factor = counted_back((5, 8), Shares(42), &known);
        assert_eq!(factor, ExitFactor { block: 5, before: Shares(100), after: Shares(50) });
        // What came and went after the block of that balance says nothing about it.
        let factor = counted_back((5, 7), Shares(52), &known);
        assert_eq!(factor, ExitFactor { block: 5, before: Shares(100), after: Shares(50) });
    }
}

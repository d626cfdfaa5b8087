//! Exits converge: what could not be sold is looked at again until followers hold what they should.
//!
//! An exit is decided when its leader sells or merges. A follower may then have a buy on its way, a book nobody
//! could read, a pause in force; or its order may be refused. Each of these leaves a note
//! ([`ExitNote`]), and each note is looked at, less and less often, until nothing is left to sell. A new
//! decision belongs to the leader's newest sale or merge, as a part of its own ([`PartKind::Revisit`]); that of a
//! follower who does not keep copies of phantoms to the phantom ([`PartKind::Phantom`]); that of one who is to keep
//! nothing to the leader's newest buy ([`PartKind::Panic`]).

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Side, Timestamp, TokenId, TxHash,
    decide::{ExitInputs, TradeSnapshot, Verdict},
    exits::{ExitFactor, shares_to_sell},
    ids::{LeaderId, RelationshipId},
    money::LOT,
    trade::{Action, GroupKey, Part, PartKind, TradeGroup},
};
use futures_util::future::join_all;
use tracing::{debug, info};

use super::{
    Watcher, WatcherError,
    deciding::{Basis, Pending, decide_followers},
    holders::{Holder, holders, take_newer},
};
use crate::{
    limits,
    ports::{
        detection::{DetectionCommit, DetectionOutcome, ExitNote, ExitRevisit, Lane, NextLook, StoredPart},
        following::Relationship,
        venue::VenueError,
    },
};

/// What becomes of a note.
enum Look {
    /// Followers hold what they should, or never will through us.
    Settled,
    /// Look again then; nothing was tried.
    At(Timestamp),
    /// Decide.
    Sell,
}

/// A note of somebody whom nothing stops.
struct Noted {
    revisit: ExitRevisit,
    relationship: Relationship,
    /// Nothing is to be kept ([`PartKind::Panic`]).
    sold_out: bool,
}

/// Whom a sale is decided for, and when to look again if it cannot be made.
type Asked = (ExitRevisit, Option<NextLook>, Relationship);

impl Watcher {
    /// Looks at the exits whose time has come, one token of one leader at a time. Returns whether anything
    /// was decided.
    pub(super) async fn revisit_step(&mut self) -> Result<bool, WatcherError> {
        let uptime = self.clock.uptime();
        if self.revisited.is_some_and(|at| uptime.saturating_sub(at) < limits::REVISIT_FIRST) {
            return Ok(false);
        }
        self.revisited = Some(uptime);
        let now = self.clock.now();
        let mut due: BTreeMap<(LeaderId, TokenId), Vec<ExitRevisit>> = BTreeMap::new();
        for revisit in self.store.due_revisits(now, limits::REVISIT_BATCH).await? {
            due.entry((revisit.leader, revisit.token)).or_default().push(revisit);
        }
        let mut decided = false;
        for ((leader, token), revisits) in due {
            decided |= self.revisit(leader, token, revisits).await?;
        }
        Ok(decided)
    }

    async fn revisit(
        &mut self,
        leader: LeaderId,
        token: TokenId,
        revisits: Vec<ExitRevisit>,
    ) -> Result<bool, WatcherError> {
        let now = self.clock.now();
        let (mut commit, open) = self.sort_out(leader, token, revisits, now).await?;
        if open.is_empty() {
            self.commit_revisits(commit).await?;
            return Ok(false);
        }
        let only: Vec<RelationshipId> = open.iter().map(|noted| noted.revisit.relationship).collect();
        let mut basis = self.store.exit_basis(leader, token, Some(&only)).await?;
        let sale = self.store.newest_sale(leader, token).await?;
        let mut unread = false;
        if let Some(sale) = &sale {
            let (read, left) = self.read_again(sale, &basis.factors).await?;
            unread = left;
            commit.factors.extend(read.iter().map(|factor| (leader, token, *factor)));
            take_newer(&mut basis.factors, &read);
        }
        let mut holders = holders(&basis, &[], |id| self.phantom_rule(leader, id));
        let (mut sellers, mut leavers, mut sold_out) = (Vec::new(), Vec::new(), Vec::new());
        for Noted { revisit, relationship, sold_out: sells_all } in open {
            let tries = revisit.tries;
            let again = Some(NextLook { due: now.plus(pause_after(tries)), tries: tries.saturating_add(1) });
            let holder = holders.get_mut(&relationship.id);
            let holder = holder.map(|holder| {
                if sells_all {
                    *holder = holder.sold_out();
                }
                *holder
            });
            let next = match look(holder.as_ref(), now) {
                Look::At(due) => Some(NextLook { due, tries }),
                Look::Sell if sells_all => {
                    sold_out.push((revisit, again, relationship));
                    continue;
                }
                Look::Sell if holder.is_some_and(|holder| holder.leaves_phantoms) => {
                    leavers.push((revisit, again, relationship));
                    continue;
                }
                Look::Sell if sale.is_some() => {
                    sellers.push((revisit, again, relationship));
                    continue;
                }
                // Without a sale nobody has anything to follow.
                Look::Settled | Look::Sell => again.filter(|_| unread),
            };
            commit.revisited.push((revisit, next));
        }
        let mut sold = self.commit_revisits(commit).await?;
        let buys = if leavers.is_empty() && sold_out.is_empty() {
            Vec::new()
        } else {
            self.buys_of(leader, token).await?
        };
        let newest =
            |wanted: &dyn Fn(&TradeGroup) -> bool| buys.iter().rev().find(|buy| wanted(buy)).copied();
        let causes = [
            (PartKind::Phantom, newest(&TradeGroup::is_phantom), leavers),
            (PartKind::Revisit, sale, sellers),
            (PartKind::Panic, newest(&|_| true), sold_out),
        ];
        for (kind, cause, asked) in causes {
            if let Some(cause) = cause.filter(|_| !asked.is_empty()) {
                sold |= self.decide_again((kind, cause), Basis::Exit(holders.clone()), asked).await?;
            }
        }
        Ok(sold)
    }

    /// The leader's buys of the token that followers were asked about, by the time they were first seen.
    pub(super) async fn buys_of(
        &self,
        leader: LeaderId,
        token: TokenId,
    ) -> Result<Vec<TradeGroup>, WatcherError> {
        let bought = GroupKey { leader, tx: TxHash([0; 32]), token, action: Action::Buy };
        let mut buys = self.store.groups(&[bought], Timestamp(0)).await?;
        buys.retain(|group| group.parts > 0);
        Ok(buys)
    }

    /// What the leader kept over the blocks of sales that were decided without it: nobody could tell, or nobody
    /// else said the same, or the block was replaced; without a chain, over those of the newest sales too, as far as
    /// rows that came since tell more. Returns what is known now, and whether something still may
    /// come to be known.
    pub(super) async fn read_again(
        &self,
        sale: &TradeGroup,
        known: &[ExitFactor],
    ) -> Result<(Vec<ExitFactor>, bool), WatcherError> {
        let mut blocks: BTreeSet<i64> = known.iter().map(|factor| factor.block).collect();
        let (mut read, mut unread) = self.count_again(sale).await?;
        blocks.extend(read.iter().map(|factor| factor.block));
        let sales = self.sales_of(sale.key).await?;
        let sold = sales
            .iter()
            .rev()
            .filter(|group| group.parts > 0 && !group.is_phantom() && group.quantity().shares.is_positive());
        let unknown = sold.filter_map(|group| {
            group.block.filter(|block| blocks.insert(*block)).map(|block| (group, block))
        });
        let unknown: Vec<_> = unknown.take(limits::SALES_READ_AGAIN).collect();
        // Side by side: blocks are not read meanwhile.
        let factors =
            join_all(unknown.iter().map(|(group, block)| self.leader_factor(group, *block, &[]))).await;
        for ((group, _), factor) in unknown.iter().zip(factors) {
            match factor {
                Ok(Some(factor)) => read.push(factor),
                Ok(None) => unread = true,
                // Nobody ever will.
                Err(VenueError::Refused { .. }) => {}
                Err(error) => {
                    debug!(%error, tx = %group.key.tx, "balances of the leader still cannot be read");
                    unread = true;
                }
            }
        }
        Ok((read, unread))
    }

    /// All sales and merges of the token of a trade of its leader, by the time they were first seen.
    pub(super) async fn sales_of(&self, key: GroupKey) -> Result<Vec<TradeGroup>, WatcherError> {
        let exits = Action::ALL.into_iter().filter(|action| action.is_exit());
        let keys: Vec<GroupKey> = exits.map(|action| GroupKey { action, ..key }).collect();
        Ok(self.store.groups(&keys, Timestamp(0)).await?)
    }

    /// Settles or puts off the notes for which nothing has to be read; the rest is to be looked at.
    async fn sort_out(
        &mut self,
        leader: LeaderId,
        token: TokenId,
        revisits: Vec<ExitRevisit>,
        now: Timestamp,
    ) -> Result<(DetectionCommit, Vec<Noted>), WatcherError> {
        // A sale that is still being decided counts what is open when its turn comes.
        let deciding = self.pending.iter().any(|pending| {
            let key = pending.stored.part.key;
            (key.leader, key.token) == (leader, token) && key.action.is_exit()
        });
        let following = self.following().await?;
        let (mut commit, mut open) = (DetectionCommit::default(), Vec::new());
        for revisit in revisits {
            let tries = revisit.tries;
            let known = following.exiting(leader, revisit.relationship, now);
            let next = match known {
                None => None,
                Some(_) if deciding => Some(NextLook { due: now.plus(limits::REVISIT_OPEN), tries }),
                Some(known) => match following.blocked_until(known, Side::Sell, now) {
                    Some(end) => {
                        let latest = now.plus(limits::REVISIT_BLOCKED);
                        Some(NextLook { due: end.map_or(latest, |end| end.min(latest)), tries })
                    }
                    None => {
                        let sold_out = following.is_sold_out(known, now);
                        open.push(Noted { revisit, relationship: known.clone(), sold_out });
                        continue;
                    }
                },
            };
            commit.revisited.push((revisit, next));
        }
        Ok((commit, open))
    }

    /// Decides for those who asked under a new part of `cause`: a sale, a phantom, or a buy of what is sold out. Those who still cannot sell
    /// get no decision: the one they have says why, and their note stands.
    async fn decide_again(
        &mut self,
        (kind, mut cause): (PartKind, TradeGroup),
        basis: Basis,
        asked: Vec<Asked>,
    ) -> Result<bool, WatcherError> {
        let now = self.clock.now();
        let part = cause.ask_some(kind)?;
        let mut commit = DetectionCommit::default();
        let mut sellers = Vec::with_capacity(asked.len());
        for (revisit, next, relationship) in asked {
            commit.revisited.push((revisit, next));
            sellers.push(relationship);
        }
        let stored = self.revisit_part(part, &cause, now).await?;
        commit.markets.extend(stored.snapshot.market.clone());
        let resolved = stored.snapshot.market.as_ref().is_some_and(|market| market.payout.is_some());
        let minimum = stored.snapshot.market.as_ref().map(|market| market.minimum_size.0);
        let pending = Pending { stored, group: cause, basis, orders: 0, new: false, sequence: self.sequence };
        let following = self.following().await?;
        let decisions = decide_followers(following, &pending, &sellers, now);
        for decision in decisions {
            let relationship = decision.relationship;
            let own = commit.revisited.iter_mut().find(|(one, _)| one.relationship == relationship);
            match decision.verdict {
                Verdict::Copy(order) => {
                    info!(relationship = %decision.relationship, token = %cause.key.token,
                        "selling {} more shares for relationship {}", domain::Shares(order.amount),
                        decision.relationship);
                    // What is below the minimum is tried once; whoever learns why it was not sold knows whether to
                    // try again.
                    if minimum.is_some_and(|minimum| order.amount < minimum)
                        && let Some((_, next)) = own
                    {
                        *next = None;
                    }
                    commit.decisions.push(decision);
                }
                // Resolved shares are redeemed, never sold.
                Verdict::Skip(reason) if reason.may_pass() && !resolved => {}
                Verdict::Skip(_) => {
                    own.into_iter().for_each(|(_, next)| *next = None);
                }
            }
        }
        if !commit.decisions.is_empty() {
            commit.groups.push(cause);
            commit.parts.push(pending.stored);
        }
        self.commit_revisits(commit).await
    }

    /// The part with market and book of now; complete, because nobody else is decided.
    async fn revisit_part(
        &self,
        part: Part,
        sale: &TradeGroup,
        now: Timestamp,
    ) -> Result<StoredPart, WatcherError> {
        let (market, top) = self.market_and_top(part.key.token, Lane::Exits).await?;
        let whole = sale.copied_quantity()?;
        Ok(StoredPart {
            part,
            seen_at: now,
            snapshot: TradeSnapshot { whole, market, top, own_order: false, sync: None },
            decided_through: RelationshipId(i64::MAX),
            complete: true,
        })
    }

    /// Returns whether anything was decided. When the configuration changed meanwhile nothing is written, and
    /// the next step looks again.
    async fn commit_revisits(&mut self, commit: DetectionCommit) -> Result<bool, WatcherError> {
        if commit.revisited.is_empty() && commit.factors.is_empty() {
            return Ok(false);
        }
        let version = self.following().await?.config_version;
        match self.commit_until_known(version, &commit).await? {
            DetectionOutcome::ConfigChanged => {
                self.forget_following();
                Ok(false)
            }
            DetectionOutcome::Committed(queued) => {
                self.ring(&queued, queued.len()).await;
                Ok(!queued.is_empty())
            }
        }
    }
}

/// What becomes of the note of somebody whom nothing stops.
fn look(holder: Option<&Holder>, now: Timestamp) -> Look {
    let Some(holder) = holder else { return Look::Settled };
    let ExitInputs { held, target, open_exits } = holder.inputs;
    if holder.open_entries || open_exits.is_positive() {
        // Its end changes what is held.
        return Look::At(now.plus(limits::REVISIT_OPEN));
    }
    if shares_to_sell(held, target, open_exits) < LOT {
        return Look::Settled;
    }
    Look::Sell
}

/// What an exit's decision leaves to be looked at: a buy whose shares may still come, or a reason that may
/// pass.
pub(super) fn note(
    relationship: &Relationship,
    token: TokenId,
    holder: &Holder,
    verdict: &Verdict,
    now: Timestamp,
) -> Option<ExitNote> {
    let may_pass = matches!(verdict, Verdict::Skip(reason) if reason.may_pass());
    let unsold = may_pass && holder.inputs.held.is_positive();
    let wanted = relationship.policy.follow_exits && (holder.open_entries || unsold);
    wanted.then(|| ExitNote {
        owner: relationship.owner,
        relationship: relationship.id,
        token,
        due: now.plus(limits::REVISIT_FIRST),
    })
}

/// Doubles from the first pause to the last.
fn pause_after(tries: u32) -> std::time::Duration {
    limits::REVISIT_FIRST.saturating_mul(1 << tries.min(16)).min(limits::REVISIT_LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let pauses: Vec<u64> = [0, 1, 2, 6, 7, 40].map(|tries| pause_after(tries).as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 64, 120, 120]);
    }
}

//! Agreement of two: an exit that rests on chain data alone is decided when two say the same. The one place of
//! this rule; entries never wait for it, and nothing else that is detected does.
//!
//! Two providers that say the same are enough. Where nobody else can be asked, the block must be final, or the
//! Data API must show the whole trade as well and what the leader is said to have held before and after must differ by
//! exactly what is known to have come and gone. Where providers differ in what was filled, the Data API decides in the
//! same way. Where they differ in what the leader held, the Data API's position is a third word: counted back to the
//! block, it must be what one of them says, before and after, and that one is believed. All are asked again, less and
//! less often; after [`limits::BALANCE_PATIENCE`] followers are told that the balance is unknown, and their notes go on
//! asking. Final blocks decide no such dispute: about a hash everybody knows, who lies now will lie then.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Address, Clock, Shares,
    exits::ExitFactor,
    money::LOT,
    trade::{Dispute, GroupKey, TradeGroup},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tracing::{info, warn};

use super::{Watcher, WatcherError, balances::counted_back};
use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::DetectionCommit,
        store::{Event, EventKind},
        venue::{BlockHeader, ChainReader, TradeHistory, VenueError},
        witness::{ExitClaim, Testimony},
    },
};

/// What providers say to a claim, and what the leader kept by the Data API's position, if they differ and it can tell.
type Answer = (Result<Testimony, VenueError>, Option<ExitFactor>);
type Heard = (GroupKey, ExitClaim, Answer);
type Hearing = Pin<Box<dyn Future<Output = Heard> + Send>>;

/// Whose word on what a leader kept stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// That of the provider which was read.
    Claimed,
    /// This, of another provider and the Data API.
    Instead(ExitFactor),
}

/// What others were asked about, and what they said. (A lock makes it shareable; nobody shares it.)
#[derive(Default)]
pub(super) struct Witnesses(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    /// The newest claim about each group.
    claims: HashMap<GroupKey, Claim>,
    /// Groups that others had said otherwise about, and that all agree about now.
    settled: Vec<GroupKey>,
    hearings: FuturesUnordered<Hearing>,
}

/// What is claimed of a group, and what others say to it.
struct Claim {
    claim: ExitClaim,
    /// What was said last, if anybody has answered.
    said: Option<Answer>,
    /// Uptime at which others were asked last, and whether they have not answered yet.
    asked: (Duration, bool),
    /// How often they were asked again.
    again: u32,
    /// Whether people were told that they differ.
    told: bool,
}

impl Claim {
    fn of(claim: ExitClaim, now: Duration) -> Self {
        Self { claim, said: None, asked: (now, true), again: 0, told: false }
    }

    /// Whether others are asked again: those who do not agree, less and less often.
    fn is_due(&self, now: Duration) -> bool {
        let pause = limits::WITNESS_FIRST.saturating_mul(1 << self.again.min(16)).min(limits::WITNESS_LAST);
        let (at, waits) = self.asked;
        !waits && now.saturating_sub(at) >= pause
    }
}

impl Witnesses {
    /// What others say to a claim, or said when they were asked last; `None` while they are being asked first. It may
    /// begin to ask them. Who agrees is asked no more.
    fn testimony(
        &self,
        key: GroupKey,
        claim: ExitClaim,
        now: Duration,
        ask: impl FnOnce() -> Hearing,
    ) -> Option<Answer> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = asked.claims.get_mut(&key).filter(|known| known.claim == claim) else {
            asked.hearings.push(ask());
            asked.claims.insert(key, Claim::of(claim, now));
            return None;
        };
        let said = known.said.clone()?;
        if matches!(said, (Ok(Testimony::Agreed), _)) {
            asked.claims.remove(&key);
        } else if known.is_due(now) {
            (known.asked, known.again) = ((now, true), known.again.saturating_add(1));
            asked.hearings.push(ask());
        }
        Some(said)
    }

    /// Notes that a group is disputed no more.
    fn settle(&self, key: GroupKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).settled.push(key);
    }

    fn get_mut(&mut self) -> &mut Asked {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody has answered; for ever while nobody is asked.
    pub fn wait(&mut self) -> impl Future<Output = ()> + '_ {
        let asked = self.get_mut();
        async move {
            match asked.hearings.next().await {
                Some(heard) => asked.note(heard),
                None => std::future::pending().await,
            }
        }
    }

    /// Forgets what was asked and said.
    pub fn forget(&mut self) {
        *self.get_mut() = Asked::default();
    }
}

impl Asked {
    fn note(&mut self, (key, claim, said): Heard) {
        if let Some(known) = self.claims.get_mut(&key).filter(|known| known.claim == claim) {
            (known.said, known.asked.1) = (Some(said), false);
        }
    }

    /// Forgets claims that nobody makes any more.
    fn forget_old(&mut self, now: Duration) {
        self.claims.retain(|_, known| now.saturating_sub(known.asked.0) < limits::BALANCE_PATIENCE);
    }

    /// Claims that others say otherwise, of which nobody was told yet.
    fn untold(&self) -> Vec<(GroupKey, Dispute, String)> {
        let disputed = |(key, known): (&GroupKey, &Claim)| match &known.said {
            Some((Ok(Testimony::Disputed { about, words, .. }), _)) if !known.told => {
                Some((*key, *about, words.clone()))
            }
            _ => None,
        };
        self.claims.iter().filter_map(disputed).collect()
    }
}

impl Watcher {
    /// Whose word stands on what is claimed of a group, of which `known` is everything that is known of its token; `None`
    /// while others are being asked. Of fills the Data API vouches for what explains the balances (`explained`) alone.
    ///
    /// # Errors
    /// [`VenueError::Unavailable`] when nobody does.
    pub(super) async fn word_on(
        &self,
        chain: &Arc<dyn ChainReader>,
        (group, known): (&TradeGroup, &[TradeGroup]),
        claim: ExitClaim,
        explained: bool,
    ) -> Result<Option<Word>, VenueError> {
        let (chain, clock, key) = (Arc::clone(chain), Arc::clone(&self.clock), group.key);
        let (history, known) = (self.history.clone(), known.to_vec());
        let ask = move || async move {
            let heard = hear(chain.as_ref(), history.as_deref(), clock.as_ref(), (&claim, &known)).await;
            (key, claim, heard)
        };
        let now = self.clock.uptime();
        let Some((said, counted)) = self.witnesses.testimony(key, claim, now, || ask().boxed()) else {
            return Ok(None);
        };
        let block = claim.block;
        let reason = match said? {
            Testimony::Agreed => {
                if group.disputed.is_some() {
                    self.witnesses.settle(key);
                }
                return Ok(Some(Word::Claimed));
            }
            Testimony::Nobody if self.is_final(block) => return Ok(Some(Word::Claimed)),
            Testimony::Nobody if explained && self.history_shows(group).await? => {
                return Ok(Some(Word::Claimed));
            }
            Testimony::Nobody => {
                let missing = if explained {
                    "the Data API does not show it"
                } else {
                    "what is known to have come and gone does not explain the balances"
                };
                format!("block {block} is not final yet, and {missing}")
            }
            Testimony::Disputed { about: Dispute::Fills, .. }
                if explained && self.history_shows(group).await? =>
            {
                return Ok(Some(Word::Claimed));
            }
            Testimony::Disputed { words, instead, .. } => match of_two(&claim, &instead, counted) {
                Some(word) => {
                    warn!(trade.tx = %key.tx, "one provider's word on {} is believed with the Data API's: {words}", key.tx);
                    return Ok(Some(word));
                }
                None => words,
            },
        };
        Err(VenueError::Unavailable { what: "a second witness of the exit".to_owned(), reason })
    }

    fn is_final(&self, block: i64) -> bool {
        self.finalized.is_some_and(|finalized| block <= finalized)
    }

    /// Whether the Data API shows all of what the chain says of a group.
    async fn history_shows(&self, group: &TradeGroup) -> Result<bool, VenueError> {
        let now = self.clock.now();
        let stored = self.store.groups(&[group.key], now).await.map_err(|error| VenueError::Unavailable {
            what: "what the Data API showed".to_owned(),
            reason: error.to_string(),
        })?;
        // The group itself may be on its way into the store.
        let shown = stored.iter().filter(|known| known.key == group.key).map(|known| known.history.shares);
        let shown = shown.chain([group.history.shares]).max().unwrap_or_default();
        Ok(shown.is_positive() && group.quantity().shares.less(shown) < LOT)
    }

    /// Takes what others have said meanwhile. That they differ is told once for each group; a group is marked as disputed
    /// until they agree.
    pub(super) async fn hear_witnesses(&mut self) -> Result<(), WatcherError> {
        let uptime = self.clock.uptime();
        let asked = self.witnesses.get_mut();
        while let Some(heard) = asked.hearings.next().now_or_never().flatten() {
            asked.note(heard);
        }
        asked.forget_old(uptime);
        let (disputes, settled) = (asked.untold(), std::mem::take(&mut asked.settled));
        if disputes.is_empty() && settled.is_empty() {
            return Ok(());
        }
        let keys: Vec<GroupKey> = disputes.iter().map(|(key, ..)| key).chain(&settled).copied().collect();
        let now = self.clock.now();
        let mut commit = DetectionCommit::default();
        for mut group in self.store.groups(&keys, now).await? {
            if settled.contains(&group.key) && group.disputed.take().is_some() {
                info!(trade.tx = %group.key.tx, "providers of the chain agree about {} again", group.key.tx);
                commit.groups.push(group);
                continue;
            }
            let known = disputes.iter().find(|(key, ..)| *key == group.key && group.disputed.is_none());
            let Some((key, about, words)) = known else { continue };
            warn!(trade.tx = %key.tx, "providers of the chain differ in {}: {words}", key.tx);
            group.disputed = Some(*about);
            commit.groups.push(group);
            let kind = EventKind::Disputed { key: *key, about: *about, words: words.clone() };
            commit.events.push(Event { owner: None, at: now, kind });
        }
        if !commit.groups.is_empty() {
            self.commit_parts(commit, Vec::new()).await?;
        }
        for (key, ..) in disputes {
            self.witnesses.get_mut().claims.entry(key).and_modify(|known| known.told = true);
        }
        Ok(())
    }
}

/// Asks the providers, and, where they differ in what the leader held, the Data API.
async fn hear(
    chain: &dyn ChainReader,
    history: Option<&dyn TradeHistory>,
    clock: &dyn Clock,
    (claim, known): (&ExitClaim, &[TradeGroup]),
) -> Answer {
    let mut said = venue_call(clock, "witness", limits::LOOK_UP_DEADLINE, chain.witness(claim)).await;
    let (Ok(Testimony::Disputed { instead, words, .. }), Some(history)) = (&mut said, history) else {
        return (said, None);
    };
    if instead.is_empty() {
        return (said, None);
    }
    let asked = by_position(history, claim, known);
    let counted = match venue_call(clock, "positions", limits::LOOK_UP_DEADLINE, asked).await {
        Ok(factor) => {
            let (before, after) = (factor.before, factor.after);
            words.push_str(&format!("; by the Data API's position they are {before} and {after}"));
            Some(factor)
        }
        Err(error) => {
            words.push_str(&format!("; the Data API has no word on it: {error}"));
            None
        }
    };
    (said, counted)
}

/// What a leader kept over the block of a claim, counted back from the position that the Data API shows now.
async fn by_position(
    history: &dyn TradeHistory,
    claim: &ExitClaim,
    known: &[TradeGroup],
) -> Result<ExitFactor, VenueError> {
    let newest = known.iter().map(|one| one.traded_at).max().unwrap_or_default();
    let held = history.held(claim.wallet, claim.token, newest).await?;
    Ok(counted_back((claim.block, i64::MAX), held, known))
}

/// The word that the Data API's position agrees with, of the claim and of what others say instead.
fn of_two(
    claim: &ExitClaim,
    instead: &[(Option<Shares>, Shares)],
    counted: Option<ExitFactor>,
) -> Option<Word> {
    let counted = counted?;
    let third = (claim.before.map(|_| counted.before), counted.after);
    if third == (claim.before, claim.after) {
        return Some(Word::Claimed);
    }
    instead.contains(&third).then_some(Word::Instead(counted))
}

/// What was read of a group's block, or of a later one, for others to compare with.
pub(super) fn claim(
    wallet: Address,
    group: &TradeGroup,
    header: BlockHeader,
    (before, after): (Option<Shares>, Shares),
) -> ExitClaim {
    let key = group.key;
    let own = group.block == Some(header.number) && key.action.is_order();
    ExitClaim {
        block: header.number,
        hash: header.hash,
        wallet,
        token: key.token,
        before,
        after,
        filled: group.chain.filter(|_| own).map(|chain| (key.tx, key.action.side(), chain.shares)),
    }
}

#[cfg(test)]
mod tests {
    use domain::{Hash, TokenId, TxHash, ids::LeaderId, trade::Action};

    use super::*;

    fn claim(block: i64) -> (GroupKey, ExitClaim) {
        let token = TokenId([7; 32]);
        let key = GroupKey { leader: LeaderId(1), tx: TxHash([1; 32]), token, action: Action::Sell };
        let (wallet, hash) = (Address([1; 20]), Hash([9; 32]));
        let (before, after) = (Some(Shares(2)), Shares(1));
        (key, ExitClaim { block, hash, wallet, token, before, after, filled: None })
    }

    /// How often others are asked about a claim in ten minutes, at every quarter of a second, if they always say the
    /// same at once.
    fn times(said: &Result<Testimony, VenueError>) -> usize {
        let (mut witnesses, mut asked) = (Witnesses::default(), 0);
        let (key, claim) = claim(5);
        for quarter in 0..2_400 {
            let now = Duration::from_millis(250) * quarter;
            witnesses.testimony(key, claim, now, || {
                asked += 1;
                std::future::ready((key, claim, (said.clone(), None))).boxed()
            });
            while let Some(heard) = witnesses.get_mut().hearings.next().now_or_never().flatten() {
                witnesses.get_mut().note(heard);
            }
            witnesses.get_mut().forget_old(now);
        }
        asked
    }

    /// Every step asked again.
    #[test]
    fn who_does_not_agree_is_asked_less_and_less_often() {
        let about = Dispute::Balances;
        let disputed = Ok(Testimony::Disputed { about, words: String::new(), instead: Vec::new() });
        let silent = Err(VenueError::Timeout { what: String::new(), after: Duration::ZERO });
        for said in [disputed, Ok(Testimony::Nobody), silent] {
            let asked = times(&said);
            assert!((20..60).contains(&asked), "{asked} times: {said:?}");
        }
    }

    #[test]
    fn another_claim_is_asked_about_at_once_and_agreement_is_told_once() {
        let mut witnesses = Witnesses::default();
        for block in [5, 6] {
            let (key, claim) = claim(block);
            let agreed = || std::future::ready((key, claim, (Ok(Testimony::Agreed), None))).boxed();
            assert_eq!(witnesses.testimony(key, claim, Duration::ZERO, agreed), None);
        }
        let asked = witnesses.get_mut();
        while let Some(heard) = asked.hearings.next().now_or_never().flatten() {
            asked.note(heard);
        }
        let (key, claim) = claim(6);
        let never = || unreachable!("others have agreed");
        let said = witnesses.testimony(key, claim, Duration::ZERO, never);
        assert_eq!(said, Some((Ok(Testimony::Agreed), None)));
        assert!(witnesses.get_mut().claims.is_empty());
    }
}

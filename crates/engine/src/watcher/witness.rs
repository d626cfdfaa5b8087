//! Agreement of two: an exit that rests on chain data alone is decided when two say the same. The one place of
//! this rule; entries never wait for it, and nothing else that is detected does.
//!
//! Two providers that say the same are enough. Where nobody else can be asked, the block must be final, or the
//! Data API must show the whole trade as well and what the leader is said to have held before and after must differ by
//! exactly what is known to have come and gone. Where providers differ in what was filled, the Data API decides in the
//! same way; where they differ in what the leader held, nothing is decided until they agree.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Address, Shares,
    money::LOT,
    trade::{Dispute, GroupKey, TradeGroup},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tracing::{info, warn};

use super::{Watcher, WatcherError};
use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::DetectionCommit,
        store::{Event, EventKind},
        venue::{BlockHeader, ChainReader, VenueError},
        witness::{ExitClaim, Testimony},
    },
};

type Heard = (GroupKey, ExitClaim, Result<Testimony, VenueError>);
type Hearing = Pin<Box<dyn Future<Output = Heard> + Send>>;

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
    said: Option<Result<Testimony, VenueError>>,
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
    ) -> Option<Result<Testimony, VenueError>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = asked.claims.get_mut(&key).filter(|known| known.claim == claim) else {
            asked.hearings.push(ask());
            asked.claims.insert(key, Claim::of(claim, now));
            return None;
        };
        let said = known.said.clone()?;
        if matches!(said, Ok(Testimony::Agreed)) {
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
            Some(Ok(Testimony::Disputed { about, words })) if !known.told => {
                Some((*key, *about, words.clone()))
            }
            _ => None,
        };
        self.claims.iter().filter_map(disputed).collect()
    }
}

impl Watcher {
    /// Whether somebody besides the provider that was read stands by what is claimed of a group; `Ok(false)`
    /// while others are being asked. The Data API vouches for fills alone: it counts only where these explain the
    /// balances (`explained`).
    ///
    /// # Errors
    /// [`VenueError::Unavailable`] when nobody does.
    pub(super) async fn is_witnessed(
        &self,
        chain: &Arc<dyn ChainReader>,
        group: &TradeGroup,
        claim: ExitClaim,
        explained: bool,
    ) -> Result<bool, VenueError> {
        let (chain, clock, key, block) = (Arc::clone(chain), Arc::clone(&self.clock), group.key, claim.block);
        let ask = move || async move {
            let asked = chain.witness(&claim);
            let said = venue_call(clock.as_ref(), "witness", limits::LOOK_UP_DEADLINE, asked).await;
            (key, claim, said)
        };
        let now = self.clock.uptime();
        let testimony = match self.witnesses.testimony(key, claim, now, || ask().boxed()) {
            None => return Ok(false),
            Some(said) => said?,
        };
        let reason = match testimony {
            Testimony::Agreed => {
                if group.disputed.is_some() {
                    self.witnesses.settle(key);
                }
                return Ok(true);
            }
            Testimony::Nobody if self.is_final(block) => return Ok(true),
            Testimony::Nobody if explained && self.history_shows(group).await? => return Ok(true),
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
                return Ok(true);
            }
            Testimony::Disputed { words, .. } => words,
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
                std::future::ready((key, claim, said.clone())).boxed()
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
        let disputed = Ok(Testimony::Disputed { about, words: String::new() });
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
            let agreed = || std::future::ready((key, claim, Ok(Testimony::Agreed))).boxed();
            assert_eq!(witnesses.testimony(key, claim, Duration::ZERO, agreed), None);
        }
        let asked = witnesses.get_mut();
        while let Some(heard) = asked.hearings.next().now_or_never().flatten() {
            asked.note(heard);
        }
        let (key, claim) = claim(6);
        let never = || unreachable!("others have agreed");
        assert_eq!(witnesses.testimony(key, claim, Duration::ZERO, never), Some(Ok(Testimony::Agreed)));
        assert!(witnesses.get_mut().claims.is_empty());
    }
}

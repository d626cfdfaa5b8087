//! Agreement of two: an exit that rests on chain data alone is decided when two say the same. The one place of
//! this rule; entries never wait for it, and nothing else that is detected does.
//!
//! Two providers that say the same are enough. Where nobody else can be asked, the block must be final, or the
//! Data API must show the whole trade as well. Where providers differ in what was filled, the Data API decides;
//! where they differ in what the leader held, nothing is decided until they agree.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    Address, Shares,
    money::LOT,
    trade::{Dispute, GroupKey, TradeGroup},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tracing::{debug, warn};

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
    /// The newest claim about each group, with what was said to it, if anybody has answered.
    claims: HashMap<GroupKey, (ExitClaim, Option<Result<Testimony, VenueError>>)>,
    hearings: FuturesUnordered<Hearing>,
}

impl Witnesses {
    /// What others say to a claim; `None` while they are being asked, which this may begin.
    fn testimony(
        &self,
        key: GroupKey,
        claim: ExitClaim,
        ask: impl FnOnce() -> Hearing,
    ) -> Option<Result<Testimony, VenueError>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.claims.remove(&key) {
            Some((known, Some(said))) if known == claim => return Some(said),
            Some((known, None)) if known == claim => {}
            _ => asked.hearings.push(ask()),
        }
        asked.claims.insert(key, (claim, None));
        None
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
        if let Some((_, slot)) = self.claims.get_mut(&key).filter(|(known, _)| *known == claim) {
            *slot = Some(said);
        }
    }
}

impl Watcher {
    /// Whether somebody besides the provider that was read stands by what is claimed of a group; `Ok(false)`
    /// while others are being asked.
    ///
    /// # Errors
    /// [`VenueError::Unavailable`] when nobody does.
    pub(super) async fn is_witnessed(
        &self,
        chain: &Arc<dyn ChainReader>,
        group: &TradeGroup,
        claim: ExitClaim,
    ) -> Result<bool, VenueError> {
        let (chain, clock, key, block) = (Arc::clone(chain), Arc::clone(&self.clock), group.key, claim.block);
        let ask = move || async move {
            let asked = chain.witness(&claim);
            let said = venue_call(clock.as_ref(), "witness", limits::LOOK_UP_DEADLINE, asked).await;
            (key, claim, said)
        };
        let testimony = match self.witnesses.testimony(key, claim, || ask().boxed()) {
            None => return Ok(false),
            Some(said) => said?,
        };
        let reason = match testimony {
            Testimony::Agreed => return Ok(true),
            Testimony::Nobody if self.is_final(block) || self.history_shows(group).await? => {
                return Ok(true);
            }
            Testimony::Nobody => format!("block {block} is not final yet, and the Data API does not show it"),
            Testimony::Disputed { about: Dispute::Fills, .. } if self.history_shows(group).await? => {
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

    /// Takes what others have said meanwhile. That they differ is told once for each group.
    pub(super) async fn hear_witnesses(&mut self) -> Result<(), WatcherError> {
        let asked = self.witnesses.get_mut();
        while let Some(heard) = asked.hearings.next().now_or_never().flatten() {
            asked.note(heard);
        }
        let disputed = |(key, (_, said)): (&GroupKey, &(_, Option<Result<Testimony, VenueError>>))| match said
        {
            Some(Ok(Testimony::Disputed { about, words })) => Some((*key, *about, words.clone())),
            _ => None,
        };
        let disputes: Vec<(GroupKey, Dispute, String)> = asked.claims.iter().filter_map(disputed).collect();
        let keys: Vec<GroupKey> = disputes.iter().map(|(key, ..)| *key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut commit = DetectionCommit::default();
        for mut group in self.store.groups(&keys, now).await? {
            let Some((key, about, words)) = disputes.iter().find(|(key, ..)| *key == group.key) else {
                continue;
            };
            if group.disputed.is_some() {
                debug!(trade.tx = %key.tx, "providers still differ: {words}");
                continue;
            }
            warn!(trade.tx = %key.tx, "providers of the chain differ in {}: {words}", key.tx);
            group.disputed = Some(*about);
            commit.groups.push(group);
            let kind = EventKind::Disputed { key: *key, about: *about, words: words.clone() };
            commit.events.push(Event { owner: None, at: now, kind });
        }
        if commit.groups.is_empty() {
            return Ok(());
        }
        self.commit_parts(commit, Vec::new()).await
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

//! One question to several providers: whom first, when another one as well, whom next.

use std::{sync::Arc, time::Duration};

use domain::Clock;
use engine::ports::venue::VenueError;
use futures_util::{
    StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};

use super::{ChainProvider, Member, Providers, health::Standing};
use crate::limits::{CLEARLY_BETTER, PACE_WAIT};

/// A question.
pub(super) type Call<'a, T> =
    &'a (dyn Fn(Arc<dyn ChainProvider>) -> BoxFuture<'static, Result<T, VenueError>> + Send + Sync);

/// Whether an answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is.
    None,
    /// Only if nobody has a better one.
    Another,
}

/// What a question needs of a provider.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    block: Option<i64>,
    state: bool,
}

impl Need {
    /// That it has this block.
    pub(super) const fn block(block: i64) -> Self {
        Self { block: Some(block), state: false }
    }

    /// That it has the state of this block.
    pub(super) const fn state(block: i64) -> Self {
        Self { block: Some(block), state: true }
    }
}

/// Providers in the order in which they are asked.
pub(super) struct Ranked {
    /// Those that are well.
    pub(super) ready: Vec<Arc<Member>>,
    /// Those that are asked when nobody else is left.
    last: Vec<Arc<Member>>,
}

/// A call that is noted however it ends.
struct Asked {
    member: Arc<Member>,
    clock: Arc<dyn Clock>,
    at: Duration,
    over: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.over {
            let now = self.clock.uptime();
            self.member.health().outrun(now, now.saturating_sub(self.at));
        }
    }
}

impl Providers {
    /// Whom to ask. The one asked first last time stays first unless another one is clearly better.
    pub(super) fn ranked(&self, need: Need) -> Ranked {
        let now = self.clock.uptime();
        let members = self.lock().clone();
        let current = self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut ready = Vec::new();
        let mut last = Vec::new();
        let mut aside = Vec::new();
        for (place, member) in members.into_iter().enumerate() {
            let health = member.health().clone();
            let lacks = need.block.is_some_and(|block| {
                let pruned = need.state && health.pruned().is_some_and(|pruned| block <= pruned);
                pruned || health.head(now).is_some_and(|head| head < block)
            });
            let stays = current.as_ref() == Some(&member.provider.identity);
            let cost = if stays { health.cost().saturating_sub(CLEARLY_BETTER) } else { health.cost() };
            match health.standing(now) {
                Standing::Good => ready.push((lacks, cost, place, member)),
                Standing::Behind(_) => last.push((0, cost, place, member)),
                Standing::Paced(_) => last.push((1, cost, place, member)),
                Standing::Resting(_) => last.push((2, cost, place, member)),
                Standing::Aside(..) => aside.push((3, cost, place, member)),
            }
        }
        if ready.is_empty() && last.is_empty() {
            // Somebody has to be asked, and the engine checks what it is told as well as it can.
            last = aside;
        }
        ready.sort_by_key(|(lacks, cost, place, _)| (*lacks, *cost, *place));
        last.sort_by_key(|(class, cost, place, _)| (*class, *cost, *place));
        if let Some((_, _, _, member)) = ready.first().filter(|_| need.block.is_none()) {
            *self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(Arc::clone(&member.provider.identity));
        }
        Ranked {
            ready: ready.into_iter().map(|(.., member)| member).collect(),
            last: last.into_iter().map(|(.., member)| member).collect(),
        }
    }

    /// Asks until somebody has an answer that is not doubted. Returns who it was.
    pub(super) async fn ask<T: Send>(
        &self,
        what: &str,
        need: Need,
        call: Call<'_, T>,
        doubt: &(dyn Fn(&Arc<Member>, &T) -> Doubt + Send + Sync),
    ) -> Result<(Arc<Member>, T), VenueError> {
        let Ranked { ready, last } = self.ranked(need);
        let (mut ready, mut last) = (ready.into_iter(), last.into_iter());
        let mut running = FuturesUnordered::new();
        let mut second_best = None;
        let mut trouble: Option<VenueError> = None;
        let forever = || -> domain::clock::Sleep { Box::pin(std::future::pending()) };
        let mut hedge = forever();
        let mut next = ready.next().or_else(|| last.next());
        loop {
            if let Some(member) = next.take() {
                hedge = self.clock.sleep(member.health().hedge_after());
                running.push(self.run(member, call));
            }
            match select(running.next(), &mut hedge).await {
                Either::Left((None, _)) => break,
                Either::Left((Some((member, Ok(answer))), _)) => {
                    if doubt(&member, &answer) == Doubt::None {
                        return Ok((member, answer));
                    }
                    second_best = second_best.or(Some((member, answer)));
                    next = ready.next();
                }
                Either::Left((Some((member, Err(error))), _)) => {
                    self.note_refusal(&member, what, need, &error);
                    trouble = Some(worse(trouble, error));
                    next = ready.next().or_else(|| if running.is_empty() { last.next() } else { None });
                }
                Either::Right(((), _)) => {
                    // One who lags or rests may know it; whoever is waited for may never answer.
                    next = ready.next().or_else(|| last.next());
                    hedge = forever();
                }
            }
        }
        let nobody = || VenueError::Unavailable {
            what: what.to_owned(),
            reason: "no RPC provider is configured; set POLYGON_RPC_URL".to_owned(),
        };
        second_best.ok_or_else(|| trouble.unwrap_or_else(nobody))
    }

    /// One call, noted in the provider's record. A provider that asked to slow down is given a little time.
    pub(super) async fn run<T>(
        &self,
        member: Arc<Member>,
        call: Call<'_, T>,
    ) -> (Arc<Member>, Result<T, VenueError>) {
        let standing = member.health().standing(self.clock.uptime());
        if let Standing::Paced(until) = standing {
            let wait = until.saturating_sub(self.clock.uptime());
            if wait > PACE_WAIT {
                let what = member.name().to_owned();
                return (member, Err(VenueError::RateLimited { what, retry_after: Some(wait) }));
            }
            self.clock.sleep(wait).await;
        }
        let at = self.clock.uptime();
        member.health().called(at);
        let mut asked =
            Asked { member: Arc::clone(&member), clock: Arc::clone(&self.clock), at, over: false };
        let result = call(Arc::clone(&member.provider.reader)).await;
        asked.over = true;
        let now = self.clock.uptime();
        let took = now.saturating_sub(at);
        match &result {
            Ok(_) | Err(VenueError::Refused { .. }) => member.health().answered(now, took),
            Err(error) => member.health().failed(now, error),
        }
        (member, result)
    }

    /// A refusal of state means that it is pruned; one of the simplest question that it is no provider for us.
    pub(super) fn note_refusal(&self, member: &Arc<Member>, what: &str, need: Need, error: &VenueError) {
        let VenueError::Refused { reason, .. } = error else { return };
        match need.block.filter(|_| need.state) {
            Some(block) => member.health().told_pruned(block),
            None if what == "head" => member.set_aside(self.clock.uptime(), reason),
            None => {}
        }
    }
}

/// Of two troubles the one that may pass: whoever asked may come back.
fn worse(old: Option<VenueError>, new: VenueError) -> VenueError {
    match (old, &new) {
        (Some(old), VenueError::Refused { .. }) => old,
        _ => new,
    }
}

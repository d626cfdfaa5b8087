//! The pace of calls, kept on the injected clock. Whoever has to wait sleeps until the moment the arithmetic
//! names; callers of one endpoint and lane are served in the order they came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Address, Clock};
use engine::{
    fair,
    ports::{
        detection::Lane,
        venue::{Admission, Ask, VenueError},
    },
};

pub(crate) use crate::venue_limits::Endpoint;
use crate::{
    company::Company,
    http::Answer,
    pace::{Call, Pace, Told},
    venue_limits::VenueLimits,
};

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Keeps the pace of one egress address, or this process's part of it, for all accounts. Without limits it lets everything through.
pub(crate) struct Pacer {
    clock: Arc<dyn Clock>,
    pace: Option<Mutex<Pace>>,
    turns: Mutex<HashMap<(Endpoint, Lane), Turn>>,
}

impl Pacer {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: Option<VenueLimits>) -> Self {
        let pace = limits.map(|limits| Mutex::new(Pace::new(limits)));
        Self { clock, pace, turns: Mutex::default() }
    }

    /// Keeps to this process's part of the limits from now on.
    pub(crate) fn share(&self, company: Arc<Company>) {
        if let Some(pace) = &self.pace {
            pace.lock().unwrap_or_else(PoisonError::into_inner).share(company);
        }
    }

    fn turn(&self, endpoint: Endpoint, lane: Lane) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry((endpoint, lane)).or_default())
    }

    fn take(pace: &Mutex<Pace>, call: Call, now: Duration) -> Result<(), Duration> {
        pace.lock().unwrap_or_else(PoisonError::into_inner).take(call, now)
    }

    /// Waits for a call's turn.
    ///
    /// # Errors
    /// How long the wait would be, when it is longer than `patience`; nothing is taken then.
    pub(crate) async fn wait(&self, call: Call, patience: Duration) -> Result<(), Duration> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let give_up = self.clock.uptime().saturating_add(patience);
        let turn = self.turn(call.endpoint, call.lane);
        let _turn = turn.lock().await;
        loop {
            let now = self.clock.uptime();
            let Err(at) = Self::take(pace, call, now) else { return Ok(()) };
            if at > give_up {
                return Err(at.saturating_sub(now));
            }
            self.clock.sleep(at.saturating_sub(now)).await;
        }
    }

    /// Takes a token to post for each of `asks`: exits first, then one of each owner in turn, whose
    /// signers take turns. Waits up to
    /// `patience` while there is none at all.
    pub(crate) async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        let Some(pace) = &self.pace else { return asks.iter().map(|_| Admission::Now).collect() };
        let give_up = self.clock.uptime().saturating_add(patience);
        let wishes: Vec<_> = asks.iter().map(|ask| (ask.lane, ask.owner, ask.signer)).collect();
        let order = fair::order(&wishes);
        // Entries wait for each other; a batch with exits goes ahead.
        let lane = if asks.iter().any(|ask| ask.lane == Lane::Exits) { Lane::Exits } else { Lane::Entries };
        let turn = self.turn(Endpoint::Post, lane);
        let _turn = turn.lock().await;
        loop {
            let now = self.clock.uptime();
            let (admitted, next) = admit_now(pace, asks, &order, now);
            let Some(next) = next else { return admitted };
            if admitted.contains(&Admission::Now) || now >= give_up {
                return admitted;
            }
            // Also when nothing comes in time: whoever asks again at once must not ask for ever.
            self.clock.sleep(next.min(give_up).saturating_sub(now)).await;
        }
    }

    /// Takes so many calls out of the count again: they are not made.
    pub(crate) fn give_back(&self, call: Call, calls: u32) {
        if let Some(pace) = &self.pace {
            pace.lock().unwrap_or_else(PoisonError::into_inner).give_back(call, calls);
        }
    }

    /// Notes what an answer says about the pace.
    pub(crate) fn learn(&self, call: Call, told: &Told<'_>) {
        if let Some(pace) = &self.pace {
            let now = (self.clock.uptime(), self.clock.now());
            pace.lock().unwrap_or_else(PoisonError::into_inner).learn(call, told, now);
        }
    }

    /// Notes what the answer to anything but an order says about the pace: 429, and the modes that name a time.
    pub(crate) fn learn_of(&self, call: Call, answer: &Answer) {
        let Answer { status, retry_after, .. } = *answer;
        let closed = matches!(status, 425 | 503) && retry_after.is_some();
        self.learn(call, &Told { limit: &answer.limit, limited: status == 429, closed, retry_after });
    }

    /// How long the venue asked to be spared such calls from now on, if it did.
    pub(crate) fn closed_for(&self, call: Call) -> Option<Duration> {
        let now = self.clock.uptime();
        let mut pace = self.pace.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        pace.closed_until(call, now).map(|until| until.saturating_sub(now))
    }

    /// A call of a service without signers: waits for its turn, and notes what the answer says about the pace.
    ///
    /// # Errors
    /// [`VenueError::RateLimited`] when the turn would come later than `patience` from now.
    pub(crate) async fn paced<E>(
        &self,
        (what, endpoint, lane): (&str, Endpoint, Lane),
        patience: Duration,
        answer: impl Future<Output = Result<Answer, E>>,
    ) -> Result<Result<Answer, E>, VenueError> {
        let call = Call { endpoint, lane, tokens: None };
        let turn = self.wait(call, patience).await;
        turn.map_err(|wait| VenueError::RateLimited { what: what.to_owned(), retry_after: Some(wait) })?;
        let answer = answer.await;
        if let Ok(answer) = &answer {
            self.learn_of(call, answer);
        }
        Ok(answer)
    }

    /// The most orders that one request may cancel for this signer.
    pub(crate) fn most_cancels(&self, signer: Address) -> usize {
        let Some(pace) = &self.pace else { return usize::MAX };
        pace.lock().unwrap_or_else(PoisonError::into_inner).most_cancels(signer, self.clock.uptime())
    }

    /// Takes tokens for what a request turned out to cancel.
    pub(crate) fn charge_cancels(&self, signer: Address, cancelled: usize) {
        if let Some(pace) = &self.pace {
            let now = self.clock.uptime();
            pace.lock().unwrap_or_else(PoisonError::into_inner).charge_cancels(signer, cancelled, now);
        }
    }
}

/// Takes what there is; the answers in the order of the asks, and when the first of those that must wait
/// may ask again.
fn admit_now(
    pace: &Mutex<Pace>,
    asks: &[Ask],
    order: &[usize],
    now: Duration,
) -> (Vec<Admission>, Option<Duration>) {
    let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
    let mut admitted = vec![Admission::Now; asks.len()];
    let mut next: Option<Duration> = None;
    for at in order {
        let (Some(ask), Some(answer)) = (asks.get(*at), admitted.get_mut(*at)) else { continue };
        let call = Call { endpoint: Endpoint::Post, lane: ask.lane, tokens: Some((ask.signer, 1)) };
        if let Err(ready) = pace.take(call, now) {
            *answer = Admission::Later(ready.saturating_sub(now));
            next = Some(next.map_or(ready, |next| next.min(ready)));
        }
    }
    (admitted, next)
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;

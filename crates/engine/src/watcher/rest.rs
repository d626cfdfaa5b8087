//! Resting: without news a watcher does nothing but ask for the chain's head.

use std::{pin::pin, time::Duration};

use futures_util::{
    StreamExt,
    future::{Either, pending, select},
};

use super::{Watcher, deciding::Basis};
use crate::{deadline::venue_call, limits, ports::venue::BlockHeader};

impl Watcher {
    /// Waits until there may be something to do: the chain has another head, a source answers, or a time that is
    /// known has come; at most [`limits::WATCHER_REST`]. Whoever knows more may drop it and take the next step.
    pub async fn rest(&mut self) {
        let (clock, chain) = (self.clock.clone(), self.chain.clone());
        let until = clock.uptime().saturating_add(self.idle_for());
        let mut rung_at: Option<Duration> = None;
        self.head_is_quiet = chain.is_some();
        loop {
            let now = clock.uptime();
            let left = until.saturating_sub(now);
            if left.is_zero() {
                return;
            }
            // Whoever is asked may have the block a little later than whoever rang.
            let just_rung = rung_at.is_some_and(|at| now.saturating_sub(at) < limits::BELL_FOLLOW_UP);
            let head_due = self.head_due(just_rung);
            let ring = pin!(async {
                match &chain {
                    Some(chain) => chain.rung().await,
                    None => pending().await,
                }
            });
            let bell = select(ring, clock.sleep(left.min(head_due.saturating_sub(now))));
            let answered = match select(pin!(self.wait_for_answer()), bell).await {
                Either::Left(_) => true,
                Either::Right((Either::Left(_), _)) => {
                    rung_at = Some(clock.uptime());
                    false
                }
                Either::Right((Either::Right(_), _)) if clock.uptime() < head_due => continue,
                Either::Right((Either::Right(_), _)) => false,
            };
            if answered {
                // The chain is read before what others tell: a hint that is ahead of its own block could be taken for
                // another trade of that block.
                self.head_is_quiet = false;
                return;
            }
            if self.head_is_another().await {
                self.head_is_quiet = false;
                return;
            }
        }
    }

    /// The uptime from which on the chain's head is worth asking for.
    fn head_due(&self, just_rung: bool) -> Duration {
        let Some(asked) = self.head_asked else { return Duration::ZERO };
        let would_ring = self.chain.as_ref().is_some_and(|chain| chain.would_ring());
        asked.saturating_add(match (just_rung, would_ring) {
            (true, _) => limits::HEAD_EVERY,
            (false, true) => limits::WATCHER_REST,
            (false, false) => self.head_pace.next(asked),
        })
    }

    fn idle_for(&self) -> Duration {
        let ready = self.pending.iter().any(|pending| !matches!(pending.basis, Basis::Market));
        let again = ready.then_some(limits::DECIDE_AGAIN);
        let market = self.unknown.rests(self.clock.uptime());
        let known = [again, market, self.history_rests()];
        known.into_iter().flatten().fold(limits::WATCHER_REST, Duration::min)
    }

    async fn wait_for_answer(&mut self) {
        let Self { answers, answered, unknown, live, witnesses, .. } = self;
        let history = answers.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rows = async {
            match history.next().await {
                Some(rows) => rows,
                None => pending().await,
            }
        };
        let (market, news) = (pin!(unknown.wait()), pin!(live.wait()));
        let heard = pin!(witnesses.wait());
        let others = select(heard, select(market, news));
        if let Either::Left((rows, _)) = select(pin!(rows), others).await {
            answered.push(rows);
        }
    }

    /// Whether the chain's head is not the block that was read last; also when it cannot be asked for, which the
    /// next step tells.
    async fn head_is_another(&mut self) -> bool {
        let (Some(chain), Some(tip)) = (self.chain.clone(), self.headers.back().copied()) else {
            self.head_asked = Some(self.clock.uptime());
            return self.chain.is_some();
        };
        let ask = venue_call(self.clock.as_ref(), "head", limits::LOOK_UP_DEADLINE, chain.head());
        let Ok(head) = ask.await else {
            self.head_asked = Some(self.clock.uptime());
            return true;
        };
        self.note_head(head);
        // What was told is what the next step reads.
        self.head_told = (head.hash != tip.hash).then_some(head);
        self.head_told.is_some()
    }

    /// Takes note of a head that was told now.
    pub(super) fn note_head(&mut self, head: BlockHeader) {
        let uptime = self.clock.uptime();
        self.head_asked = Some(uptime);
        self.head_pace.saw(head.number, uptime);
    }
}

//! What is known of one provider: how fast and how sure it answers, where its head is, and whether it is asked
//! at all. Pure: every method takes the uptime.

use std::{collections::VecDeque, time::Duration};

use engine::ports::venue::{BlockHeader, VenueError};
use serde::Serialize;

use crate::limits::{
    ASIDE_FIRST, ASIDE_LAST, BLOCK_TIME, BREAKER_CALLS, BREAKER_IN_A_ROW, BREAKER_OPEN, BREAKER_OPEN_LAST,
    BREAKER_WINDOW, FIRST_LATENCY, HEAD_KNOWN_FOR, HEAD_LAG, HEADERS_REMEMBERED, HEDGE_LEAST, HEDGE_MOST,
    PACE_EASES_AFTER, PACE_FIRST, PACE_LAST, PROBE_EVERY, SLOW_CALL, TEND_EVERY,
};

/// How a provider does, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderHealth {
    /// Its host.
    pub name: String,
    /// Whose it is, as far as its name tells: several URLs of one provider are one witness.
    pub owner: String,
    /// Whether questions go to it first.
    pub first: bool,
    /// Why it is not asked, or asked last; `None` when all is well.
    pub trouble: Option<String>,
    /// Usual time to an answer, in milliseconds.
    pub latency_ms: u64,
    /// Newest block it told lately.
    pub head: Option<i64>,
    /// How long ago it told that, in milliseconds.
    pub head_age_ms: Option<u64>,
    /// How many blocks that was behind the best head known at that moment.
    pub behind: i64,
    /// State of this block and below is gone, as far as it was asked for.
    pub pruned: Option<i64>,
    /// Calls made today (UTC).
    pub calls_today: u64,
    /// Calls made in all.
    pub calls: u64,
    /// Calls a day at the pace since it was in the list; nothing in the first minute.
    pub calls_a_day: Option<u64>,
    /// Calls that failed.
    pub failures: u64,
    /// How often it answered wrongly.
    pub wrong: u64,
    /// The last thing that went wrong.
    pub last_trouble: Option<String>,
}

/// Whether a provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Good,
    /// Its head is this many blocks behind the best one known.
    Behind(i64),
    /// It asked to slow down, until then.
    Paced(Duration),
    /// It failed too often; it rests until then.
    Resting(Duration),
    /// It answered wrongly; it is not believed until then.
    Aside(Duration, String),
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
}

#[derive(Clone, Debug)]
struct Aside {
    reason: String,
    until: Duration,
}

/// The record of one provider.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// Moving average of the time to an answer.
    latency: Duration,
    /// Calls of the last ten seconds.
    window: VecDeque<(Duration, Outcome)>,
    failed_in_a_row: u32,
    rests_until: Duration,
    rests: u32,
    aside: Option<Aside>,
    asides: u32,
    /// The newest head it told, and when.
    head: Option<(i64, Duration)>,
    /// How far that was behind the best head known at that moment.
    behind: i64,
    /// State of this block and below is gone.
    pruned: Option<i64>,
    /// Least time between two calls, learned from what it refused.
    gap: Duration,
    eased_at: Duration,
    next_call: Duration,
    /// Headers it told, to see whether they link.
    headers: VecDeque<BlockHeader>,
    /// All its failures.
    pub(super) failures: u64,
    /// How often it answered wrongly.
    pub(super) wrong: u64,
    /// The last thing that went wrong.
    pub(super) last_trouble: Option<String>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            latency: FIRST_LATENCY,
            window: VecDeque::new(),
            failed_in_a_row: 0,
            rests_until: Duration::ZERO,
            rests: 0,
            aside: None,
            asides: 0,
            head: None,
            behind: 0,
            pruned: None,
            gap: Duration::ZERO,
            eased_at: Duration::ZERO,
            next_call: Duration::ZERO,
            headers: VecDeque::new(),
            failures: 0,
            wrong: 0,
            last_trouble: None,
        }
    }

    pub(super) const fn latency(&self) -> Duration {
        self.latency
    }

    pub(super) const fn behind(&self) -> i64 {
        self.behind
    }

    pub(super) const fn pruned(&self) -> Option<i64> {
        self.pruned
    }

    /// The head it told, if that was not too long ago to be compared with.
    pub(super) fn head(&self, now: Duration) -> Option<i64> {
        self.head.filter(|(_, at)| now.saturating_sub(*at) < HEAD_KNOWN_FOR).map(|(number, _)| number)
    }

    /// How long ago it told its head, if that was not too long ago.
    pub(super) fn head_age(&self, now: Duration) -> Option<Duration> {
        self.head(now)?;
        self.head.map(|(_, at)| now.saturating_sub(at))
    }

    /// Where the head it told lately should be by now: others are compared with it some seconds later.
    pub(super) fn head_by_now(&self, now: Duration) -> Option<i64> {
        let told = self.head(now)?;
        let since = self.head.map_or(Duration::ZERO, |(_, at)| now.saturating_sub(at));
        let since = since.min(PROBE_EVERY.saturating_add(TEND_EVERY));
        let blocks = since.as_millis().div_ceil(BLOCK_TIME.as_millis());
        Some(told.saturating_add(i64::try_from(blocks).unwrap_or(0)))
    }

    /// Where it stands.
    pub(super) fn standing(&self, now: Duration) -> Standing {
        if let Some(aside) = self.aside.as_ref().filter(|aside| now < aside.until) {
            return Standing::Aside(aside.until, aside.reason.clone());
        }
        if now < self.rests_until {
            return Standing::Resting(self.rests_until);
        }
        if self.behind > HEAD_LAG {
            return Standing::Behind(self.behind);
        }
        if now < self.next_call {
            return Standing::Paced(self.next_call);
        }
        Standing::Good
    }

    /// What a question to it is expected to cost: its usual time, and five seconds times the share of its
    /// recent failures.
    pub(super) fn cost(&self) -> Duration {
        let failed = self.window.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count();
        let calls = u32::try_from(self.window.len()).unwrap_or(u32::MAX).max(1);
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        let waste = Duration::from_secs(5).saturating_mul(failed).checked_div(calls).unwrap_or_default();
        self.latency.saturating_add(waste)
    }

    /// When to ask another one as well: three times its usual time, within bounds.
    pub(super) fn hedge_after(&self) -> Duration {
        self.latency.saturating_mul(3).clamp(HEDGE_LEAST, HEDGE_MOST)
    }

    /// A call goes out.
    pub(super) fn called(&mut self, now: Duration) {
        if self.gap > Duration::ZERO && now.saturating_sub(self.eased_at) >= PACE_EASES_AFTER {
            self.gap = self.gap.checked_div(2).filter(|gap| *gap >= PACE_FIRST).unwrap_or_default();
            self.eased_at = now;
        }
        self.next_call = now.max(self.next_call).saturating_add(self.gap);
    }

    /// It answered, or refused with good reason.
    pub(super) fn answered(&mut self, now: Duration, took: Duration) {
        let old = self.latency.saturating_mul(7);
        self.latency = old.saturating_add(took).checked_div(8).unwrap_or(took);
        self.failed_in_a_row = 0;
        self.rests = 0;
        self.note(now, if took >= SLOW_CALL { Outcome::Failed } else { Outcome::Answered });
    }

    /// Somebody else answered first, after `took`.
    pub(super) fn outrun(&mut self, now: Duration, took: Duration) {
        if took > self.latency {
            // It would have taken longer still.
            self.latency = self.latency.saturating_add(took).checked_div(2).unwrap_or(took);
        }
        if took >= SLOW_CALL {
            self.note(now, Outcome::Failed);
        }
    }

    /// It failed. Being asked to slow down is no failure.
    pub(super) fn failed(&mut self, now: Duration, error: &VenueError) {
        self.last_trouble = Some(error.to_string());
        if let VenueError::RateLimited { retry_after, .. } = error {
            self.gap = self.gap.saturating_mul(2).clamp(PACE_FIRST, PACE_LAST);
            self.eased_at = now;
            let wait = retry_after.unwrap_or(self.gap).max(self.gap);
            self.next_call = self.next_call.max(now.saturating_add(wait));
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        self.note(now, Outcome::Failed);
    }

    fn note(&mut self, now: Duration, outcome: Outcome) {
        self.window.push_back((now, outcome));
        while self.window.front().is_some_and(|(at, _)| now.saturating_sub(*at) > BREAKER_WINDOW) {
            self.window.pop_front();
        }
        let failed = self.window.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count();
        let half = self.window.len() >= BREAKER_CALLS && failed.saturating_mul(2) >= self.window.len();
        if outcome == Outcome::Failed
            && (half || self.failed_in_a_row >= BREAKER_IN_A_ROW)
            && now >= self.rests_until
        {
            let rest = doubled(BREAKER_OPEN, self.rests).min(BREAKER_OPEN_LAST);
            self.rests_until = now.saturating_add(rest);
            self.rests = self.rests.saturating_add(1);
        }
    }

    /// It answered wrongly: it is not believed for a minute, then for longer. `false` when it was not believed before.
    pub(super) fn set_aside(&mut self, now: Duration, reason: &str) -> bool {
        self.wrong = self.wrong.saturating_add(1);
        self.last_trouble = Some(reason.to_owned());
        if self.aside.as_ref().is_some_and(|aside| now < aside.until) {
            return false;
        }
        let until = now.saturating_add(doubled(ASIDE_FIRST, self.asides).min(ASIDE_LAST));
        self.asides = self.asides.saturating_add(1);
        self.aside = Some(Aside { reason: reason.to_owned(), until });
        self.headers.clear();
        // What it said of its head was no better.
        self.head = None;
        self.behind = 0;
        true
    }

    /// It told its head, when the best head that others told lately is `best`.
    pub(super) fn told_head(&mut self, now: Duration, number: i64, best: Option<i64>) {
        self.head = Some((number, now));
        self.behind = best.map_or(0, |best| best.saturating_sub(number)).max(0);
    }

    /// Whether it told its head since then.
    pub(super) fn told_since(&self, since: Duration) -> bool {
        self.head.is_some_and(|(_, at)| at > since)
    }

    /// It has no state of a block any more.
    pub(super) fn told_pruned(&mut self, block: i64) {
        self.pruned = self.pruned.max(Some(block));
    }

    /// Takes note of a header it told. Returns a neighbour it told before that does not link with it: a
    /// reorganisation, or a mistake.
    pub(super) fn told_header(&mut self, header: BlockHeader) -> Option<BlockHeader> {
        self.headers.retain(|known| known.number != header.number || known.hash == header.hash);
        let unlinked = self.headers.iter().copied().find(|known| !links(known, &header));
        if let Some(unlinked) = unlinked {
            self.headers.retain(|known| known.number < unlinked.number.min(header.number));
            return Some(unlinked);
        }
        if !self.headers.iter().any(|known| known.hash == header.hash) {
            self.headers.push_back(header);
            if self.headers.len() > HEADERS_REMEMBERED {
                self.headers.pop_front();
            }
        }
        None
    }
}

/// Whether two headers can be of one chain, as far as they tell.
pub(super) fn links(one: &BlockHeader, other: &BlockHeader) -> bool {
    let (low, high) = if one.number <= other.number { (one, other) } else { (other, one) };
    match high.number.saturating_sub(low.number) {
        0 => low.hash == high.hash,
        1 => high.parent == low.hash,
        _ => true,
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times.min(16)).unwrap_or(u32::MAX))
}

//! A circuit breaker: a state machine over an injected clock. Whoever makes the calls tells it how they ended; whoever is
//! about to begin something new asks it first.
//!
//! It judges calls of the last ten seconds. What the other side says on purpose, such as "slow down" or "this order is
//! refused", is an answer and no failure.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limits::{
    BREAKER_CALLS, BREAKER_IN_A_ROW, BREAKER_OPEN, BREAKER_OPEN_MOST, BREAKER_PROBE_LOST, BREAKER_PROBES,
    BREAKER_REMEMBERED, BREAKER_SLOW, BREAKER_WINDOW,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, whatever the answer was.
    Answered,
    /// Asked to wait, or refused on purpose: says nothing of whether the other side is well.
    Backpressure,
    /// An error of the other side's own.
    Failed,
    /// Nobody was reached, or nobody answered in time.
    Unreachable,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everybody is let through.
    Closed,
    /// Nobody is.
    Open,
    /// A few are, to see how they fare.
    HalfOpen,
}

impl State {
    /// For people and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// An operator's word over a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Let everybody through.
    Closed,
    /// Let nobody through.
    Open,
}

/// Whether somebody who is about to begin may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Yes.
    Yes,
    /// Not before this long from now.
    NotFor(Duration),
}

/// A breaker as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Where it stands.
    pub state: State,
    /// An operator's word, and for how many seconds more.
    pub forced: Option<(Forced, u64)>,
    /// Calls of the window.
    pub calls: usize,
    /// Of those, the ones that failed or were slow.
    pub bad: usize,
    /// Calls in a row that reached nobody.
    pub unreachable_in_a_row: u32,
    /// For how many milliseconds more it is open.
    pub opens_in_ms: u64,
    /// How often it has opened.
    pub opened: u64,
}

/// One breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    /// Spreads the times at which breakers of many processes try again.
    spread: u64,
    window: VecDeque<(Duration, bool)>,
    in_a_row: u32,
    phase: Phase,
    forced: Option<(Forced, Duration)>,
    opened: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    /// Until when, and how often in a row it has opened before.
    Open {
        until: Duration,
        times: u32,
    },
    /// Probes that went well, those on their way, and when the last of them began.
    HalfOpen {
        well: u32,
        out: u32,
        last: Duration,
        times: u32,
    },
}

impl Breaker {
    /// A closed one. `seed` spreads the times at which it tries again.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            spread: seed,
            window: VecDeque::new(),
            in_a_row: 0,
            phase: Phase::Closed,
            forced: None,
            opened: 0,
        }
    }

    /// Asks whether something new may begin, at this uptime. A yes while it is half open is one of the probes.
    pub fn admit(&mut self, now: Duration) -> Admit {
        match self.forced(now) {
            Some((Forced::Closed, _)) => return Admit::Yes,
            Some((Forced::Open, left)) => return Admit::NotFor(left),
            None => {}
        }
        self.wake(now);
        match &mut self.phase {
            Phase::Closed => Admit::Yes,
            Phase::Open { until, .. } => Admit::NotFor(until.saturating_sub(now)),
            Phase::HalfOpen { well, out, last, .. } => {
                if *out > 0 && now.saturating_sub(*last) >= BREAKER_PROBE_LOST {
                    *out = 0;
                }
                if well.saturating_add(*out) >= BREAKER_PROBES {
                    return Admit::NotFor(BREAKER_PROBE_LOST.saturating_sub(now.saturating_sub(*last)));
                }
                *out = out.saturating_add(1);
                *last = now;
                Admit::Yes
            }
        }
    }

    /// Takes note of how a call ended that took this long. Returns where the breaker stands now, if that is new.
    pub fn record(&mut self, now: Duration, outcome: Outcome, took: Duration) -> Option<State> {
        let before = self.state(now);
        self.wake(now);
        if outcome == Outcome::Backpressure {
            return self.turned(before, now);
        }
        let reached = outcome != Outcome::Unreachable;
        let bad = outcome != Outcome::Answered || took > BREAKER_SLOW;
        self.in_a_row = if reached { 0 } else { self.in_a_row.saturating_add(1) };
        self.window.push_back((now, bad));
        self.forget(now);
        match self.phase {
            Phase::Closed if self.has_enough() => self.open(now, 0),
            Phase::Closed | Phase::Open { .. } => {}
            Phase::HalfOpen { times, .. } if bad => self.open(now, times.saturating_add(1)),
            Phase::HalfOpen { well, out, last, times } => {
                let well = well.saturating_add(1);
                if well >= BREAKER_PROBES {
                    // What was seen before it opened is not held against it a second time.
                    self.window.clear();
                    self.in_a_row = 0;
                    self.phase = Phase::Closed;
                } else {
                    self.phase = Phase::HalfOpen { well, out: out.saturating_sub(1), last, times };
                }
            }
        }
        self.turned(before, now)
    }

    /// An operator's word, until this uptime; `None` takes it back.
    pub fn force(&mut self, word: Option<(Forced, Duration)>) {
        self.forced = word;
    }

    /// Where it stands at this uptime.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match (self.forced(now), self.phase) {
            (Some((Forced::Closed, _)), _) | (None, Phase::Closed) => State::Closed,
            (Some((Forced::Open, _)), _) => State::Open,
            (None, Phase::Open { until, .. }) if now < until => State::Open,
            (None, Phase::Open { .. } | Phase::HalfOpen { .. }) => State::HalfOpen,
        }
    }

    /// For people.
    #[must_use]
    pub fn view(&self, now: Duration) -> View {
        let recent = self.window.iter().filter(|(at, _)| now.saturating_sub(*at) <= BREAKER_WINDOW);
        let (calls, bad) = recent.fold((0_usize, 0_usize), |(calls, bad), (_, is_bad)| {
            (calls.saturating_add(1), bad.saturating_add(usize::from(*is_bad)))
        });
        let until = match self.phase {
            Phase::Open { until, .. } => until.saturating_sub(now),
            _ => Duration::ZERO,
        };
        View {
            state: self.state(now),
            forced: self.forced(now).map(|(word, left)| (word, left.as_secs())),
            calls,
            bad,
            unreachable_in_a_row: self.in_a_row,
            opens_in_ms: u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
            opened: self.opened,
        }
    }

    fn forced(&self, now: Duration) -> Option<(Forced, Duration)> {
        self.forced.filter(|(_, until)| now < *until).map(|(word, until)| (word, until.saturating_sub(now)))
    }

    /// What has been open for long enough tries again.
    fn wake(&mut self, now: Duration) {
        if let Phase::Open { until, times } = self.phase
            && now >= until
        {
            self.phase = Phase::HalfOpen { well: 0, out: 0, last: now, times };
        }
    }

    fn forget(&mut self, now: Duration) {
        let old = |(at, _): &(Duration, bool)| now.saturating_sub(*at) > BREAKER_WINDOW;
        while self.window.len() > BREAKER_REMEMBERED || self.window.front().is_some_and(old) {
            self.window.pop_front();
        }
    }

    fn has_enough(&self) -> bool {
        let bad = self.window.iter().filter(|(_, bad)| *bad).count();
        let half = self.window.len() >= BREAKER_CALLS && bad.saturating_mul(2) >= self.window.len();
        half || self.in_a_row >= BREAKER_IN_A_ROW
    }

    fn open(&mut self, now: Duration, times: u32) {
        let doubled = 1_u32.checked_shl(times.min(8)).unwrap_or(u32::MAX);
        let rest = BREAKER_OPEN.saturating_mul(doubled).min(BREAKER_OPEN_MOST);
        self.opened = self.opened.saturating_add(1);
        self.phase = Phase::Open { until: now.saturating_add(self.jittered(rest)), times };
    }

    /// Between three quarters of a time and all of it.
    fn jittered(&self, rest: Duration) -> Duration {
        let quarter = rest.checked_div(4).unwrap_or_default();
        let share = u32::try_from(mixed(self.spread.wrapping_add(self.opened)) % 1_000).unwrap_or(0);
        let less = quarter.saturating_mul(share).checked_div(1_000).unwrap_or_default();
        rest.saturating_sub(less)
    }

    fn turned(&self, before: State, now: Duration) -> Option<State> {
        let state = self.state(now);
        (state != before).then_some(state)
    }
}

/// Spreads consecutive numbers over all of them. Source: splitmix64 of S. Vigna, prng.di.unimi.it, its output function.
pub(crate) const fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;

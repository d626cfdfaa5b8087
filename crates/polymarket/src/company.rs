//! Processes that the venue counts together: each keeps to an equal part of every limit
//! ([decision 0028](../../../docs/decisions/0028-equal-parts-of-limits.md)).

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    limits::{JOINING, SHORT_WINDOW},
    venue_limits::Endpoint,
};

/// How many processes, this one among them, share what the venue counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// Those that order for the same signing addresses, from wherever.
    pub signers: u32,
    /// Those that order from the same internet address.
    pub workers: u32,
    /// Those that ask the order book service for anything from the same internet address.
    pub callers: u32,
}

impl Members {
    /// Nobody else.
    pub const ALONE: Self = Self { signers: 1, workers: 1, callers: 1 };

    const fn all(number: u32) -> Self {
        Self { signers: number, workers: number, callers: number }
    }

    fn most(self, other: Self) -> Self {
        Self {
            signers: self.signers.max(other.signers),
            workers: self.workers.max(other.workers),
            callers: self.callers.max(other.callers),
        }
    }

    /// Into how many parts a window is divided.
    pub(crate) fn of(self, endpoint: Endpoint) -> u64 {
        let members = match endpoint {
            // Of the Data API one asks, whose turn it is to watch; the relayer, too, has one caller.
            Endpoint::HistoryTrades | Endpoint::HistoryPositions | Endpoint::History | Endpoint::Relayer => 1,
            Endpoint::Book | Endpoint::Other => self.callers,
            _ => self.workers,
        };
        u64::from(members.max(1))
    }

    /// Into how many parts the bucket of a signer is divided.
    pub(crate) fn of_signer(self) -> i64 {
        i64::from(self.signers.max(1))
    }
}

/// What is known of them, and since when.
#[derive(Debug)]
pub struct Company {
    /// By the uptime from which it was known, the newest last; what is past the window is forgotten. Never empty.
    known: Mutex<VecDeque<(Duration, Members)>>,
}

impl Company {
    /// Of a process that is alone for ever.
    #[must_use]
    pub fn alone() -> Self {
        Self { known: Mutex::new([(Duration::ZERO, Members::ALONE)].into()) }
    }

    /// Of a process that joins others, of whom nothing is known: it takes little until they know of it, and what they did
    /// before has left the venue's window.
    #[must_use]
    pub fn joining() -> Self {
        Self { known: Mutex::new([(Duration::ZERO, Members::all(JOINING))].into()) }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(Duration, Members)>> {
        // Nothing under the lock can panic half-way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how many they are at this uptime.
    pub fn note(&self, members: Members, now: Duration) {
        let mut known = self.known();
        if known.back().is_none_or(|(_, newest)| *newest != members) {
            known.push_back((now, members));
        }
    }

    /// The most they were in the window that ends now: what somebody who is gone did is still counted.
    pub(crate) fn members(&self, now: Duration) -> Members {
        let mut known = self.known();
        // The first of two holds until the second.
        while known.get(1).is_some_and(|(since, _)| since.saturating_add(SHORT_WINDOW) <= now) {
            known.pop_front();
        }
        known.iter().fold(Members::ALONE, |most, (_, members)| most.most(*members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_part_grows_when_those_who_left_have_left_the_window() {
        let company = Company::joining();
        assert_eq!(company.members(seconds(5)), Members::all(JOINING));
        company.note(Members::all(3), seconds(100));
        assert_eq!(company.members(seconds(109)), Members::all(JOINING));
        assert_eq!(company.members(seconds(110)), Members::all(3));
        // One more counts at once, one less later.
        company.note(Members::all(4), seconds(200));
        assert_eq!(company.members(seconds(200)), Members::all(4));
        company.note(Members::all(2), seconds(201));
        company.note(Members::all(2), seconds(202));
        assert_eq!(company.members(seconds(210)), Members::all(4));
        assert_eq!(company.members(seconds(211)), Members::all(2));
    }
}

//! How settlements end of late: single failures are reversed and told one by one; when many of the newest
//! fail, fills cannot be relied on, and a person must know once.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use domain::{
    ids::AttemptId,
    lifecycle::{OrderAlarm, OrderState},
};

use crate::limits::{FAILURE_WINDOW, FAILURES_ALARM, FAILURES_AT_LEAST, FAILURES_OVER};

/// The newest settled orders of this process. It begins empty at each start.
#[derive(Debug, Default)]
pub struct FailureWatch(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    /// Which, and whether they failed. Oldest first.
    settled: VecDeque<(AttemptId, bool)>,
    raised: bool,
}

impl FailureWatch {
    /// Notes an order's state. The alarm when the rate of failures has become too high: once, until it was
    /// low again.
    pub fn note(&self, attempt: AttemptId, state: OrderState) -> Option<OrderAlarm> {
        let failed = match state {
            OrderState::Confirmed => false,
            OrderState::Failed => true,
            _ => return None,
        };
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = newest.settled.iter_mut().find(|(known, _)| *known == attempt) {
            known.1 = failed;
        } else {
            newest.settled.push_back((attempt, failed));
            if newest.settled.len() > FAILURE_WINDOW {
                newest.settled.pop_front();
            }
        }
        let failures = newest.settled.iter().filter(|(_, failed)| *failed).count();
        let share = failures * 100 / newest.settled.len().max(1);
        if newest.raised {
            newest.raised = share >= FAILURES_OVER;
            return None;
        }
        newest.raised = failures >= FAILURES_AT_LEAST && share >= FAILURES_ALARM;
        newest.raised.then_some(OrderAlarm::SettlementsFail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(watch: &FailureWatch, attempts: std::ops::Range<i64>, failed: fn(i64) -> bool) -> usize {
        let state = |number| if failed(number) { OrderState::Failed } else { OrderState::Confirmed };
        attempts.filter_map(|number| watch.note(AttemptId(number), state(number))).count()
    }

    /// The rate that was reported: 12 of 34 (py-clob-client #338).
    #[test]
    fn a_third_of_failures_is_told_once() {
        let watch = FailureWatch::default();
        assert_eq!(noted(&watch, 0..34, |number| number % 3 == 0), 1);
        // It stays so, and is not told again.
        assert_eq!(noted(&watch, 34..200, |number| number % 3 == 0), 0);
        // It becomes better, then worse.
        assert_eq!(noted(&watch, 200..300, |_| false), 0);
        assert_eq!(noted(&watch, 300..330, |_| true), 1);
    }

    #[test]
    fn a_few_failures_are_no_rate() {
        assert_eq!(noted(&FailureWatch::default(), 0..4, |_| true), 0);
        assert_eq!(noted(&FailureWatch::default(), 0..500, |number| number % 10 == 0), 0);
    }

    #[test]
    fn an_order_counts_once_however_often_it_is_looked_at() {
        let watch = FailureWatch::default();
        for _ in 0..20 {
            assert_eq!(watch.note(AttemptId(1), OrderState::Failed), None);
        }
        assert_eq!(watch.note(AttemptId(1), OrderState::Matched), None);
    }
}

//! Orders of a run that may rest still, and their end: nothing of it may rest when it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::ensure;
use domain::OrderId;
use engine::ports::venue::{PostReply, VenueOrderStatus};
use serde_json::Value;
use tracing::warn;

use super::place::{Place, Reply};

/// How often it is tried to end all orders of a run, and after which pause.
const TIDY_TRIES: u32 = 6;
const TIDY_AGAIN: Duration = Duration::from_millis(500);
/// An order that was not refused and is not shown may be shown, and rest, until so long after its post: how late look-ups
/// show orders is one of the questions. Source: the longest that others have seen bytes be taken late.
const SHOWN_WITHIN: Duration = Duration::from_secs(45);

/// What was sent, and may rest whatever the reply was, and also without one.
#[derive(Default)]
pub(super) struct Resting(Mutex<State>);

#[derive(Default)]
struct State {
    ids: BTreeSet<OrderId>,
    /// Those that no reply has ended, by the uptime of their last post.
    open: BTreeMap<OrderId, Duration>,
}

impl Resting {
    /// These are about to be posted.
    pub(super) fn may(&self, ids: impl IntoIterator<Item = OrderId>, uptime: Duration) {
        let mut state = self.lock();
        for id in ids {
            state.ids.insert(id);
            state.open.insert(id, uptime);
        }
    }

    /// What the reply to a post means. One that says that nothing was taken ends the order, unless it was posted before.
    pub(super) fn answered(&self, id: OrderId, means: &PostReply) {
        if matches!(
            means,
            PostReply::Killed { .. } | PostReply::Rejected { .. } | PostReply::NotAccepted { .. }
        ) {
            self.lock().open.remove(&id);
        }
    }

    /// What may rest still.
    fn left(&self) -> Vec<OrderId> {
        self.lock().ids.iter().copied().collect()
    }

    fn over(&self, ids: &BTreeSet<OrderId>) {
        let mut state = self.lock();
        state.ids.retain(|id| !ids.contains(id));
        state.open.retain(|id, _| !ids.contains(id));
    }

    /// Whether this one may be shown later.
    fn may_be_late(&self, id: OrderId, uptime: Duration) -> bool {
        let posted = self.lock().open.get(&id).copied();
        posted.is_some_and(|posted| uptime.saturating_sub(posted) < SHOWN_WITHIN)
    }

    /// Whether one of them may be shown later.
    fn is_open(&self, uptime: Duration) -> bool {
        self.lock().open.values().any(|posted| uptime.saturating_sub(*posted) < SHOWN_WITHIN)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of these orders those that a cancel's reply names as cancelled.
fn named(reply: &Reply, ids: &[OrderId]) -> BTreeSet<OrderId> {
    let reply = reply.json();
    let told = reply.get("canceled").and_then(Value::as_array).into_iter().flatten();
    let told: BTreeSet<OrderId> = told.filter_map(|id| id.as_str()?.parse().ok()).collect();
    ids.iter().copied().filter(|id| told.contains(id)).collect()
}

impl Place {
    /// Ends whatever may rest still: cancels it, and looks up what the venue does not name as cancelled.
    ///
    /// # Errors
    /// With the orders that may rest, after several tries.
    pub(super) async fn tidy(&self) -> anyhow::Result<()> {
        let mut tries = 0;
        while tries < TIDY_TRIES || self.resting.is_open(self.clock.uptime()) {
            let ids = self.resting.left();
            if ids.is_empty() {
                return Ok(());
            }
            if tries > 0 {
                self.clock.sleep(TIDY_AGAIN).await;
            }
            tries += 1;
            match self.cancel_all_of(&ids).await {
                Ok(reply) => self.resting.over(&named(&reply, &ids)),
                Err(error) => warn!(%error, "orders of this run are not cancelled yet"),
            }
            let mut ended = BTreeSet::new();
            for id in self.resting.left() {
                if self.has_ended(id).await {
                    ended.insert(id);
                }
            }
            self.resting.over(&ended);
        }
        let left = self.resting.left();
        let ids: Vec<String> = left.iter().map(ToString::to_string).collect();
        ensure!(
            left.is_empty(),
            "orders that the venue still shows, or cannot be asked for: {}",
            ids.join(", ")
        );
        Ok(())
    }

    /// Whether a look-up shows that an order rests no more. One that is not shown may be shown later.
    async fn has_ended(&self, id: OrderId) -> bool {
        match self.look_up(id).await {
            Ok(found) => match found.order {
                Some(order) => {
                    matches!(order.status, VenueOrderStatus::Cancelled | VenueOrderStatus::Matched)
                }
                None => !self.resting.may_be_late(id, self.clock.uptime()),
            },
            Err(error) => {
                warn!(%error, %id, "an order of this run cannot be looked up");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_refused_may_be_shown_late() {
        let (resting, id) = (Resting::default(), |byte| OrderId([byte; 32]));
        let second = Duration::from_secs(1);
        resting.may([id(1), id(2), id(3)], second);
        resting.answered(id(1), &PostReply::Killed { text: String::new() });
        resting.answered(id(2), &PostReply::Unknown { text: String::new(), blocked: false });
        assert_eq!(resting.left(), [id(1), id(2), id(3)], "each is looked for");
        assert_eq!([1, 2, 3].map(|byte| resting.may_be_late(id(byte), second)), [false, true, true]);
        assert!(resting.is_open(SHOWN_WITHIN) && !resting.is_open(SHOWN_WITHIN + second));
        resting.over(&BTreeSet::from([id(2), id(3)]));
        assert!(!resting.is_open(second));
    }
}

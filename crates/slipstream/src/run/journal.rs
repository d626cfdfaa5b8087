//! The log of a run: a line for each answer to a leader's trade, each change of an order and each alarm, with the ids
//! by which `slipstream inspect` tells the rest.

use domain::decide::Verdict;
use engine::ports::{
    reports::DecisionRecord,
    store::{Event, EventKind, Store, StoreResult},
};
use tracing::{debug, info, warn};

/// Rows read at once.
const PAGE: usize = 500;
/// The subscriber's name of the cursor in events.
const SUBSCRIBER: &str = "log";

/// How far the log has told.
pub(super) struct Journal {
    decision: i64,
    event: i64,
}

impl Journal {
    /// From now on.
    pub(super) async fn begin(store: &dyn Store) -> StoreResult<Self> {
        let newest = store.newest_decisions(None, 1).await?;
        let decision = newest.first().map_or(0, |decision| decision.id);
        Ok(Self { decision, event: store.event_cursor(SUBSCRIBER).await? })
    }

    /// Tells what is new; what cannot be read is told the next time.
    pub(super) async fn tell(&mut self, store: &dyn Store) {
        if let Err(error) = self.tell_new(store).await {
            debug!(%error, "the log cannot be continued now");
        }
    }

    async fn tell_new(&mut self, store: &dyn Store) -> StoreResult<()> {
        for decision in store.decisions_after(None, self.decision, PAGE).await? {
            self.decision = decision.id;
            tell_decision(&decision);
        }
        let events = store.events_after(self.event, PAGE).await?;
        for (number, event) in &events {
            self.event = *number;
            tell_event(event);
        }
        if !events.is_empty() {
            store.move_event_cursor(SUBSCRIBER, self.event).await?;
        }
        Ok(())
    }
}

fn tell_decision(decision: &DecisionRecord) {
    let (tx, relationship) = (decision.key.tx, decision.relationship);
    match (decision.verdict, decision.intent) {
        (Verdict::Copy(_), intent) => {
            let intent = intent.map_or(0, |intent| intent.0);
            info!(trade = %tx, %relationship, intent, "trade {tx}: copied for relationship {relationship}");
        }
        (Verdict::Skip(reason), _) => {
            info!(trade = %tx, %relationship, "trade {tx}: skipped for relationship {relationship}: {reason}");
        }
    }
}

fn tell_event(event: &Event) {
    match &event.kind {
        EventKind::OrderChanged { order, state } => {
            info!(order.id = %order, "order {order} is {} now", state.label());
        }
        EventKind::OrderAlarm { order, alarm } => {
            warn!(order.id = %order, ?alarm, "order {order} wants attention: {alarm:?}; `slipstream inspect order {order}`");
        }
        EventKind::FollowingChanged { what } => info!("{what}"),
        // Whoever looked has told the log.
        EventKind::SourceLate { .. } | EventKind::SourceInTime { .. } | EventKind::TaskHangs { .. } => {}
        // The decisions say more.
        EventKind::TradeSeen { key, .. } => debug!(trade = %key.tx, "trade seen"),
        other => warn!(event = ?other, "{}", serde_json::to_string(other).unwrap_or_default()),
    }
}

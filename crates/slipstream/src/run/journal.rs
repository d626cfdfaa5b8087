//! The log of a run: a line for each answer to a leader's trade, each change of an order and each alarm, with the ids
//! by which `slipstream inspect` tells the rest.

use domain::decide::Verdict;
use engine::ports::{
    detection::Lane,
    reports::DecisionRecord,
    store::{Event, EventKind, Store, StoreResult},
};
use tracing::{debug, error, info, warn};

use crate::wording::{dollars, harmless};

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

    /// A database that went back in time gives numbers again that were told: from what is left of them it goes on.
    async fn go_back(&mut self, store: &dyn Store) -> StoreResult<()> {
        let left = store.event_cursor(SUBSCRIBER).await?;
        if left < self.event {
            let newest = Self::begin(store).await?;
            warn!(
                "the database is older than what this log told of it: what comes now may have numbers that were told before"
            );
            *self = Self { decision: self.decision.min(newest.decision), event: left };
        }
        Ok(())
    }

    async fn tell_new(&mut self, store: &dyn Store) -> StoreResult<()> {
        self.go_back(store).await?;
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

const fn lane_word(lane: Lane) -> &'static str {
    match lane {
        Lane::Exits => "exits",
        Lane::Entries => "entries",
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
        EventKind::Other { text } => info!("a newer version tells: {}", harmless(text)),
        EventKind::FollowingChanged { what }
        | EventKind::QueueChanged { what }
        | EventKind::Operated { what } => info!("{what}"),
        EventKind::QueueRefilled { lane, had, waiting } => warn!(
            ?lane,
            "the queue of {} was emptied of {had} that still wait: it was deleted, or a worker took them and ended or is slow; \
             refilled {waiting} from the database. To discard what waits: \
             `slipstream queue quarantine`",
            lane_word(*lane)
        ),
        EventKind::DeadLetter { intent, lane, failures, why } => error!(
            intent.id = %intent,
            "intent {intent} failed {failures} times and is a dead letter now ({}): nobody {} until `slipstream queue requeue \
             {intent}`, or `slipstream queue dead-letter {intent}` gives it up",
            harmless(why),
            match lane {
                Lane::Exits => "sells what it was to sell",
                Lane::Entries => "buys for it",
            }
        ),
        // Whoever looked has told the log.
        EventKind::SourceLate { .. } | EventKind::SourceInTime { .. } | EventKind::TaskHangs { .. } => {}
        EventKind::SourceStopped { .. } | EventKind::SourceBack { .. } => {}
        // The decisions say more.
        EventKind::TradeSeen { key, .. } => debug!(trade = %key.tx, "trade seen"),
        EventKind::Phantom { key } => warn!(
            trade = %key.tx,
            "trade {} is not on the chain: it was shown by hints only; `slipstream inspect trade {}`", key.tx, key.tx
        ),
        EventKind::Overcounted { key } => warn!(
            trade = %key.tx,
            "the chain has less of trade {} than was copied; `slipstream inspect trade {}`", key.tx, key.tx
        ),
        EventKind::Disputed { key, words, .. } => {
            warn!(trade = %key.tx, "providers differ in trade {}: {}", key.tx, harmless(words));
        }
        EventKind::ForeignOrder { account, order } => warn!(
            order.id = %order,
            "account {account} has the order {order}, which was not placed here: a wallet is for one installation"
        ),
        EventKind::WalletTransaction { transaction, account, state, reason } => info!(
            "transaction {transaction} of account {account} is {state:?} now{}{}",
            if reason.is_empty() { "" } else { ": " },
            harmless(reason)
        ),
        EventKind::PayoutDiffers { account, condition, paid, due } => warn!(
            "account {account} was paid {} $ for {condition}, and what is booked pays {} $; `slipstream verify`",
            dollars(*paid),
            dollars(*due)
        ),
        other => warn!(event = ?other, "{}", serde_json::to_string(other).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use engine::ports::reports::Reports as _;
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::*;

    /// Before, nothing was told until the numbers of the older database passed those that were told.
    #[tokio::test]
    async fn what_an_older_database_has_is_told() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let store = || MemoryStore::new(VirtualClock::new(now));
        let (newer, older) = (store(), store());
        let event = |what: &str| {
            let kind = EventKind::QueueChanged { what: what.to_owned() };
            Event { owner: None, at: now, kind }
        };
        let mut journal = Journal::begin(&newer).await.unwrap();
        for what in ["one", "two", "three"] {
            newer.tell(&event(what)).await.unwrap();
        }
        journal.tell(&newer).await;
        assert_eq!(newer.event_cursor(SUBSCRIBER).await.unwrap(), 3);
        older.tell(&event("one")).await.unwrap();
        older.move_event_cursor(SUBSCRIBER, 1).await.unwrap();
        older.tell(&event("the database went back")).await.unwrap();
        journal.tell(&older).await;
        assert_eq!((journal.event, older.event_cursor(SUBSCRIBER).await.unwrap()), (2, 2));
    }
}

//! Counts what happens, as the books tell it: answers to leaders' trades, changes of orders, and how long their stages took.
//! The process that tells the log counts; what happened before it began is not counted.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{Clock, OrderId, decide::Verdict, lifecycle::OrderState};
use engine::ports::store::{EventKind, Store, StoreResult};
use operations::metrics::{Registry, table as of};
use tracing::debug;

use crate::story::{Stage, stages};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Rows read at once.
const PAGE: usize = 500;
/// Who tells the log has read the events up to its cursor.
const LOG: &str = "log";
/// Orders of which it is remembered that their first stages were counted.
const REMEMBERED: usize = 10_000;

/// Follows for ever.
pub(crate) async fn follow(store: Arc<dyn Store>, clock: Arc<dyn Clock>, registry: Arc<Registry>) {
    let mut counted = Counted::default();
    while let Err(error) = counted.begin(store.as_ref()).await {
        debug!(%error, "what happens cannot be counted yet");
        clock.sleep(EVERY).await;
    }
    loop {
        if let Err(error) = counted.look(store.as_ref(), &registry).await {
            debug!(%error, "what happened cannot be counted now");
        }
        clock.sleep(EVERY).await;
    }
}

/// How far it was counted.
#[derive(Default)]
struct Counted {
    decision: i64,
    event: i64,
    early: HashSet<OrderId>,
    order: VecDeque<OrderId>,
}

impl Counted {
    /// From now on.
    async fn begin(&mut self, store: &dyn Store) -> StoreResult<()> {
        let newest = store.newest_decisions(None, 1).await?;
        self.decision = newest.first().map_or(0, |decision| decision.id);
        self.event = store.event_cursor(LOG).await?;
        loop {
            let events = store.events_after(self.event, PAGE).await?;
            self.event = events.last().map_or(self.event, |(number, _)| *number);
            if events.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn look(&mut self, store: &dyn Store, registry: &Registry) -> StoreResult<()> {
        for decision in store.decisions_after(None, self.decision, PAGE).await? {
            self.decision = decision.id;
            registry.add(&of::DECISIONS, &[&verdict(&decision.verdict)], 1);
        }
        let events = store.events_after(self.event, PAGE).await?;
        let mut changed: Vec<(OrderId, OrderState)> = Vec::new();
        for (number, event) in events {
            self.event = number;
            match event.kind {
                EventKind::OrderChanged { order, state } => {
                    registry.add(&of::ORDERS, &[state.label()], 1);
                    changed.push((order, state));
                }
                EventKind::OrderAlarm { alarm, .. } => {
                    registry.add(&of::ALARMS, &[&name_of(&alarm)], 1);
                }
                _ => {}
            }
        }
        self.stages(store, registry, &changed).await
    }

    /// Each stage of an order once: the first ones with its first change, the others when they are reached.
    async fn stages(
        &mut self,
        store: &dyn Store,
        registry: &Registry,
        changed: &[(OrderId, OrderState)],
    ) -> StoreResult<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let ids: Vec<OrderId> = changed.iter().map(|(order, _)| *order).collect();
        let records = store.orders(&ids).await?;
        for (order, state) in changed {
            let Some(record) = records.iter().find(|record| record.order.id == *order) else { continue };
            let first = self.is_first(*order);
            if first {
                registry.add(&of::QUEUE_THROUGHPUT, &[], 1);
            }
            for line in stages(record) {
                let reached = match line.stage {
                    Stage::Traded => false,
                    Stage::Mined => *state == OrderState::Mined,
                    Stage::Confirmed => *state == OrderState::Confirmed,
                    _ => first,
                };
                let delay = line.delay_us.and_then(|delay| u64::try_from(delay).ok()).filter(|_| reached);
                if let Some(delay) = delay {
                    let seconds = Duration::from_micros(delay).as_secs_f64();
                    registry.observe(&of::STAGES, &[line.stage.label()], seconds, &order.to_string());
                }
            }
        }
        Ok(())
    }

    fn is_first(&mut self, order: OrderId) -> bool {
        if !self.early.insert(order) {
            return false;
        }
        self.order.push_back(order);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.early.remove(&oldest);
        }
        true
    }
}

/// `copy`, or the name of the reason.
fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Copy(_) => "copy".to_owned(),
        Verdict::Skip(reason) => name_of(reason),
    }
}

/// The name under which a value of an enumeration is written, without its numbers.
fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => {
            fields.into_iter().next().map_or_else(String::new, |(name, _)| name)
        }
        _ => "other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{lifecycle::OrderAlarm, skip::SkipReason};

    use super::*;

    #[test]
    fn reasons_are_told_without_their_numbers() {
        let old = SkipReason::TooOld { age: Duration::from_secs(9), maximum: Duration::from_secs(5) };
        assert_eq!(verdict(&Verdict::Skip(old)), "too_old");
        assert_eq!(verdict(&Verdict::Skip(SkipReason::OwnOrder)), "own_order");
        assert!(!name_of(&OrderAlarm::Overfilled).is_empty());
    }
}

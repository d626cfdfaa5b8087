//! Holds everybody's entries while a breaker of the venue's services does not close, or the venue's health check fails (where
//! little is asked, a breaker has too little to go by), in all processes at once, and lifts that when all has been well for a while. Each process holds and lifts for itself alone: what it saw, others may not see.

use domain::{Clock, ids::HoldId};
use engine::ports::{
    following::{Hold, HoldCause, HoldScope, NewHold},
    store::{InstanceId, Store, StoreResult},
};
use operations::{
    auto_hold::{AutoHold, Move},
    health::{Board, Status},
};
use tracing::{info, warn};

use crate::breakers::VenueBreakers;

/// What this looks like among the tasks of a process; its holds end with it.
const TASK: &str = "breakers-0";

/// What one process holds for its breakers.
pub(super) struct Breaking {
    breakers: VenueBreakers,
    auto: AutoHold,
    instance: InstanceId,
    held: Option<HoldId>,
}

impl Breaking {
    pub(super) fn new(breakers: VenueBreakers, process: &InstanceId, seed: u64) -> Self {
        let instance = InstanceId(format!("{process}/{TASK}"));
        Self { breakers, auto: AutoHold::new(seed), instance, held: None }
    }

    /// Looks, and does what is to be done; what the store refuses is tried again at the next look.
    pub(super) async fn look(&mut self, store: &dyn Store, clock: &dyn Clock, board: &Board) {
        let venue = board.report().of_component("polymarket_api");
        let ill = match self.breakers.stop_entries() {
            Some(name) => Some(format!("breaker {name} does not close")),
            None if venue == Status::Fail => Some("the health check polymarket_api fails".to_owned()),
            None => None,
        };
        let well = matches!(venue, Status::Pass | Status::Warn);
        let next = self.auto.step(clock.uptime(), (ill.is_some(), well, self.held.is_some()));
        let done = match (next, ill) {
            (Some(Move::Hold), Some(why)) => self.hold(store, clock, &why).await,
            (Some(Move::Lift), _) => self.lift(store, clock).await,
            _ => Ok(()),
        };
        if let Err(error) = done {
            warn!(%error, "what the breakers hold cannot be changed now: {error}");
        }
    }

    async fn hold(&mut self, store: &dyn Store, clock: &dyn Clock, why: &str) -> StoreResult<()> {
        let now = clock.now();
        let others = |hold: &Hold| hold.cause == HoldCause::Breaker && hold.scope == HoldScope::Installation;
        if store.following(now).await?.holds.iter().any(others) {
            // Another process saw the same, and people were told.
            self.auto.leave_it();
            return Ok(());
        }
        store.begin_instance(&self.instance, now).await?;
        let hold = NewHold {
            scope: HoldScope::Installation,
            cause: HoldCause::Breaker,
            reason: format!("{why}: entries wait, exits go on, and this ends by itself"),
            stops_exits: false,
            sells: false,
            expires_at: None,
        };
        let id = store.place_hold_of(&self.instance, &hold, now).await?;
        self.held = Some(id);
        warn!("Polymarket API: hold {id} on everybody's entries, because {why}");
        Ok(())
    }

    /// Lifts what this process holds, also when it ends: another one that sees the same holds anew.
    pub(super) async fn lift(&mut self, store: &dyn Store, clock: &dyn Clock) -> StoreResult<()> {
        let Some(id) = self.held else { return Ok(()) };
        store.lift_hold(None, id, clock.now()).await?;
        self.held = None;
        info!("Polymarket API: hold {id} on everybody's entries is lifted");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use domain::Timestamp;
    use engine::ports::{following::Following as _, store::Leases as _};
    use operations::health::{Check, Kind, Reading, Weight};
    use polymarket::{AnswerWatch as _, End, Topic};
    use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

    use super::*;

    const VENUE: Check = Check {
        component: "polymarket_api",
        measurement: "responseTime",
        kind: Kind::Component,
        unit: "ms",
        weight: Weight::Major,
    };

    /// Of two processes that see the same outage one holds; what it holds ends with it.
    #[tokio::test]
    async fn an_outage_is_held_once_for_all_and_lifted_when_all_is_well() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1_000));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let (store, board) = (MemoryStore::new(time()), Board::new(time()));
        board.expect(VENUE, Duration::from_secs(3_600));
        board.put(VENUE, vec![Reading::fail(None, "no route")], Duration::ZERO);
        let breakers = VenueBreakers::new(time(), 1);
        let process = |name: &str| Breaking::new(breakers.clone(), &InstanceId(name.to_owned()), 1);
        let (mut first, mut second) = (process("a"), process("b"));
        let holds = async || store.following(clock.now()).await.unwrap().holds;
        for _ in 0..40 {
            breakers.ended(Topic::Books, End::Unreachable, Duration::ZERO);
            first.look(&store, clock.as_ref(), &board).await;
            second.look(&store, clock.as_ref(), &board).await;
            clock.advance(Duration::from_secs(1));
        }
        let held = holds().await;
        assert_eq!(held.len(), 1, "{held:?}");
        assert!(!held[0].stops_exits && held[0].cause == HoldCause::Breaker);
        // It comes back; nothing is lifted before the probes say so, too.
        for second in 0..180 {
            breakers.ended(Topic::Books, End::Answered, Duration::ZERO);
            if second == 100 {
                assert_eq!(holds().await.len(), 1, "the health check still fails");
                board.put(VENUE, vec![Reading::pass(None)], Duration::ZERO);
            }
            first.look(&store, clock.as_ref(), &board).await;
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(holds().await, []);
        // Where little is asked no breaker opens, and the health check says it all; a process that is killed meanwhile holds nobody for ever.
        board.put(VENUE, vec![Reading::fail(None, "status 503")], Duration::ZERO);
        for _ in 0..40 {
            second.look(&store, clock.as_ref(), &board).await;
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(holds().await.len(), 1);
        store.end_instance(&second.instance, "killed", clock.now()).await.unwrap();
        assert_eq!(holds().await, []);
    }
}

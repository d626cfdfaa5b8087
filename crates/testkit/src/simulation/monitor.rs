//! Watches every signature as it becomes durable: what must hold at that moment cannot be seen at the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Clock, Side, Timestamp,
    ids::{IntentId, RelationshipId},
    lifecycle::OrderState,
    trade::{GroupKey, PartKind},
};
use engine::{
    limits::UNSEEN_AFTER,
    orders::{booked_so_far, given},
    ports::{
        detection::DetectionCommit,
        execution::{Intent, OrderRecord, SignedAttempt, SignedOutcome},
        following::Leader,
        store::{InstanceId, Store, StoreResult},
        venue::PreparedOrder,
    },
};

use super::{
    probe::{Actor, Role},
    venue::Venue,
};
use crate::virtual_clock::VirtualClock;

/// Collects what was broken.
pub struct Monitor {
    venue: Arc<Venue>,
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    broken: Vec<String>,
    /// Relationships whose pause has returned, and that were not resumed.
    paused: BTreeMap<RelationshipId, ()>,
    /// Who holds what until when, by true time.
    leases: BTreeMap<String, (InstanceId, Timestamp)>,
}

impl Monitor {
    /// A monitor of one run.
    #[must_use]
    pub fn new(venue: Arc<Venue>, clock: Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self { venue, clock, state: Mutex::default() })
    }

    /// A monitor of a run that goes on from here.
    #[must_use]
    pub fn fork(&self, venue: Arc<Venue>, clock: Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self { venue, clock, state: Mutex::new(self.lock().clone()) })
    }

    /// Notes that `pause` has returned.
    pub fn paused(&self, relationship: RelationshipId) {
        self.lock().paused.insert(relationship, ());
    }

    /// Notes that the user resumed.
    pub fn resumed(&self, relationship: RelationshipId) {
        self.lock().paused.remove(&relationship);
    }

    /// Everything broken so far.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// Commit 2 has taken effect.
    ///
    /// # Errors
    /// Store errors.
    pub async fn signed(
        &self,
        store: &dyn Store,
        attempts: &[SignedAttempt],
        outcomes: &[SignedOutcome],
    ) -> StoreResult<()> {
        for (attempt, outcome) in attempts.iter().zip(outcomes) {
            if !matches!(outcome, SignedOutcome::Won { .. }) {
                continue;
            }
            let all = store.attempts_of(&[attempt.intent]).await?;
            self.judge(&all);
            self.judge_held(store, &all).await?;
        }
        Ok(())
    }

    /// Commit 1 has taken effect. What nobody has seen on the chain decides no exit, and nothing of a wallet of ours.
    ///
    /// # Errors
    /// Store errors.
    pub async fn detected(&self, store: &dyn Store, commit: &DetectionCommit) -> StoreResult<()> {
        let hinted: Vec<GroupKey> = commit
            .parts
            .iter()
            .filter(|stored| stored.part.kind == PartKind::Trade)
            .filter_map(|stored| commit.groups.iter().find(|group| group.key == stored.part.key))
            .filter(|group| group.chain.is_none())
            .map(|group| group.key)
            .collect();
        if hinted.is_empty() {
            return Ok(());
        }
        let (leaders, accounts) = (store.leaders().await?, store.accounts(None).await?);
        for key in hinted {
            let own = |leader: &Leader| {
                let ours = accounts.iter().any(|account| account.trading.wallet == leader.wallet);
                leader.id == key.leader && ours
            };
            if key.action.is_exit() || leaders.iter().any(own) {
                self.lock().broken.push(format!("{} {} is decided from a hint", key.action, key.tx));
            }
        }
        Ok(())
    }

    /// Bytes are about to be sent.
    pub async fn sends(&self, store: &dyn Store, order: &PreparedOrder, (by, actor): (&InstanceId, Actor)) {
        let known = store.orders(&[order.id]).await.unwrap_or_default().pop();
        let mut state = self.lock();
        let Some(record) = known.filter(|record| record.order == *order) else {
            state.broken.push(format!("{by} sends order {}, which nobody committed", order.id));
            return;
        };
        if actor.role == Role::ExitWorker && record.intent.side == Side::Buy {
            state.broken.push(format!("{by} sends entry {}, and is kept for exits", order.id));
        }
        if !record.permits_out.contains(by) {
            state.broken.push(format!("{by} sends order {} without a permit", order.id));
        }
        if self.clock.now() > record.resend_until {
            state.broken.push(format!("{by} sends order {} after its deadline", order.id));
        }
    }

    /// A lease was given.
    pub fn leased(&self, what: String, to: &InstanceId, ttl: Duration) {
        let now = self.clock.now();
        let mut state = self.lock();
        let before = state.leases.insert(what.clone(), (to.clone(), now.plus(ttl)));
        if let Some((holder, _)) = before.filter(|(holder, until)| holder != to && *until > now) {
            state.broken.push(format!("{what}: leased to {to} while {holder} holds it"));
        }
    }

    /// An instance was seen to end: whatever it held is free.
    pub fn ended(&self, instance: &InstanceId) {
        self.lock().leases.retain(|_, (holder, _)| holder != instance);
    }

    /// A lease is over before its time.
    pub fn released(&self, what: &str) {
        self.lock().leases.remove(what);
    }

    /// What is signed to sell now and what others may still sell is held.
    async fn judge_held(&self, store: &dyn Store, attempts: &[OrderRecord]) -> StoreResult<()> {
        let Some(newest) = attempts.last().filter(|record| record.intent.side == Side::Sell) else {
            return Ok(());
        };
        let (own, now) = (&newest.intent, self.clock.now());
        let beside = |intent: &Intent| {
            let same = (intent.relationship, intent.token) == (own.relationship, own.token);
            same && intent.side == Side::Sell && intent.id != own.id
        };
        let intents = store.intents_after(None, IntentId(0), usize::MAX >> 1).await?;
        let others: Vec<IntentId> =
            intents.iter().filter(|intent| beside(intent)).map(|intent| intent.id).collect();
        let may_come = |record: &OrderRecord| {
            let sent = !record.permits_out.is_empty() && now.since(record.resend_until) < UNSEEN_AFTER;
            record.state.is_open() || sent
        };
        let mut sold = newest.amounts.maker;
        for record in store.attempts_of(&others).await?.iter().filter(|record| may_come(record)) {
            sold += record.amounts.maker + record.booked.shares.0;
        }
        let held = store.position(own.account.id, own.relationship, own.token).await?.shares.0;
        if sold > held {
            let what = format!("intent {}: exits that are signed may sell {sold}, held are {held}", own.id);
            self.lock().broken.push(what);
        }
        Ok(())
    }

    fn judge(&self, attempts: &[OrderRecord]) {
        let Some((newest, earlier)) = attempts.split_last() else { return };
        let mut state = self.lock();
        let id = newest.intent.id;
        if state.paused.contains_key(&newest.intent.relationship) {
            state.broken.push(format!("intent {id}: signed although its relationship is paused"));
        }
        if newest.intent.side == Side::Buy && !earlier.is_empty() {
            state.broken.push(format!("intent {id}: an entry was signed {} times", attempts.len()));
        }
        let mut taken = newest.amounts.maker;
        for record in earlier {
            if record.state.is_open() {
                state.broken.push(format!(
                    "intent {id}: attempt {} signed while attempt {} is {}",
                    newest.number,
                    record.number,
                    record.state.label()
                ));
            }
            let booked = booked_so_far(newest.intent.side, record.booked).unwrap_or_default();
            let at_venue = self.venue.lines().get(&record.order.id).map_or(0, super::venue::VenueLine::given);
            taken += if record.state == OrderState::Failed {
                at_venue
            } else {
                given(newest.intent.side, &booked).max(at_venue)
            };
        }
        if taken > newest.intent.amount {
            state.broken.push(format!(
                "intent {id}: filled and open together are {taken}, allowed are {}",
                newest.intent.amount
            ));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

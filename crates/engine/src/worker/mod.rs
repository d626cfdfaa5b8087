//! The worker: from a waiting intent to a sent order, two durable commits apart.
//!
//! Take ids → load what still waits → read → plan → sign → **commit 2** → send the winners' bytes → record the
//! replies. Nothing is sent that is not committed; nothing is signed anew while an outcome is open.

mod apart;
mod batches;
mod committing;
mod failing;
mod plan;
pub mod reply;
mod sending;
mod unheard;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{Clock, Market, Side, Timestamp, TokenId, ids::IntentId, position::Position};
use futures_util::{StreamExt, TryStreamExt, stream};
use tracing::warn;

use crate::{
    crash_points,
    deadline::within,
    failure_watch::FailureWatch,
    fair, limits,
    market_cache::MarketCache,
    orders::{self, Learned},
    ports::{
        detection::{Lane, QueuedIntent},
        execution::{EndReason, OrderRecord, OrderUpdate, WaitingIntent},
        queue::{End, Queue},
        store::{InstanceId, Store, StoreResult},
        venue::{Admission, Ask, OrderGateway, PreparedOrder, VenueError},
    },
    refusals,
    salt::Salts,
    worker::plan::{Plan, Planned, Reading},
};

pub use batches::Batches;
pub(crate) use sending::{Posting, post_until};
pub use unheard::Unheard;

/// Everything a worker works with.
pub struct Worker {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// The venue.
    pub gateway: Arc<dyn OrderGateway>,
    /// Markets, shared.
    pub markets: Arc<MarketCache>,
    /// The doorbell.
    pub queue: Arc<dyn Queue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Salts of the installation.
    pub salts: Arc<dyn Salts>,
    /// Who we are; registered with the store before the first batch.
    pub instance: InstanceId,
    /// How its batches go.
    pub batches: Batches,
}

impl Worker {
    /// Waits for work up to `wait` and does one batch. Returns how many orders were sent.
    ///
    /// # Errors
    /// Store errors; what was not recorded is found again by settlement.
    pub async fn run_once(&self, wait: Duration) -> StoreResult<usize> {
        let (limit, end) = self.batches.next();
        let popped = match self.batches.exits_only() {
            true => self.queue.pop_exits(limit, wait).await,
            false => self.queue.pop(limit, end, wait).await,
        };
        let popped = match popped {
            Ok(popped) => popped,
            Err(error) => {
                warn!(%error, "cannot take from the queue; reading the store instead");
                self.clock.sleep(wait).await;
                return self.execute(&self.take_from_store(self.clock.now()).await?).await;
            }
        };
        if popped.is_empty() {
            return self.execute_unheard().await;
        }
        let ids: Vec<IntentId> = popped.iter().map(|queued| queued.id).collect();
        let began = self.clock.uptime();
        let sent = self.execute(&ids).await;
        self.batches.took(self.clock.uptime().saturating_sub(began));
        sent
    }

    /// Takes what waits from the store, exits first.
    async fn take_from_store(&self, due: Timestamp) -> StoreResult<Vec<IntentId>> {
        let until = self.clock.now().plus(limits::TAKEN_FOR);
        let take = |lane| self.store.take_waiting(lane, due, until, limits::POP_BATCH);
        let exits = take(Lane::Exits).await?;
        if exits.is_empty() && !self.batches.exits_only() {
            return take(Lane::Entries).await;
        }
        Ok(exits)
    }

    /// Executes those of `ids` that still wait. Returns how many orders were sent.
    ///
    /// # Errors
    /// Store errors.
    pub async fn execute(&self, ids: &[IntentId]) -> StoreResult<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let waiting = in_turn(self.load(ids).await?);
        crash_points::reach("worker.after_load");
        let readings = self.read_all(waiting).await?;
        let readings = self.admit(readings).await?;
        // The deadline committed with the bytes counts from here, so the check before sending does too:
        // whoever is held up while planning or signing sends nothing late. What had to be read is read.
        let began = self.clock.uptime();
        let planned = self.plan_all(readings).await?;
        if planned.is_empty() {
            return Ok(0);
        }
        let signed = self.sign_all(planned).await?;
        let signed = self.still_sendable(signed, began).await?;
        crash_points::reach("worker.after_sign");
        let won = self.commit(&signed, began).await?;
        let sent = won.len();
        self.batches.under_way.store(sent, Ordering::SeqCst);
        crash_points::reach("worker.after_commit");
        let learned = self.send_all(won).await;
        crash_points::reach("worker.before_record");
        self.record(learned).await?;
        self.batches.under_way.store(0, Ordering::SeqCst);
        crash_points::reach("worker.after_record");
        Ok(sent)
    }

    /// Reads what planning needs to know: the rules of each market once, the rest for each intent.
    async fn read_all(&self, waiting: Vec<WaitingIntent>) -> StoreResult<Vec<Reading>> {
        let mut tokens = BTreeMap::new();
        for WaitingIntent { intent, .. } in &waiting {
            let lane = tokens.entry(intent.token).or_insert(intent.lane);
            *lane = intent.lane.min(*lane);
        }
        let rules = |(token, lane)| async move { Ok((token, self.markets.get(token, lane).await?)) };
        let markets: HashMap<TokenId, Option<Market>> =
            stream::iter(tokens).map(rules).buffer_unordered(limits::IN_FLIGHT).try_collect().await?;
        let read = |item: WaitingIntent| {
            let market = markets.get(&item.intent.token).cloned().flatten();
            self.read(item, market)
        };
        Ok(stream::iter(waiting).map(read).buffered(limits::IN_FLIGHT).collect().await)
    }

    /// Takes a rate token for each, before anything is signed. Whoever gets none in time goes back to where it
    /// came from, and an entry that would be too old by then is over.
    async fn admit(&self, readings: Vec<Reading>) -> StoreResult<Vec<Reading>> {
        let ask = |reading: &Reading| {
            let intent = &reading.waiting.intent;
            Ask::of(intent.owner, &intent.account, intent.lane)
        };
        let asks: Vec<Ask> = readings.iter().map(ask).collect();
        let admissions = self.gateway.admit(&asks, limits::ADMISSION_PATIENCE).await;
        let now = self.clock.now();
        let (mut admitted, mut ends, mut again, mut later) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (reading, admission) in readings.into_iter().zip(admissions) {
            let Admission::Later(wait) = admission else {
                admitted.push(reading);
                continue;
            };
            let intent = &reading.waiting.intent;
            let due = now.plus(wait);
            if intent.expires_at.is_some_and(|expires| due > expires) {
                ends.push((intent.id, EndReason::TooOld));
            } else if wait <= limits::ADMISSION_SOON {
                again.push(QueuedIntent { id: intent.id, lane: intent.lane });
            } else {
                later.push((intent.id, due));
            }
        }
        if !ends.is_empty() {
            self.store.end_intents(&ends, now).await?;
        }
        self.put_off(later).await?;
        self.put_back(&again).await;
        Ok(admitted)
    }

    /// Puts intents off, those of one moment together.
    async fn put_off(&self, later: Vec<(IntentId, Timestamp)>) -> StoreResult<()> {
        let mut by_due: BTreeMap<Timestamp, Vec<IntentId>> = BTreeMap::new();
        for (id, due) in later {
            by_due.entry(due).or_default().push(id);
        }
        for (due, ids) in by_due {
            self.store.put_off(&ids, due).await?;
        }
        Ok(())
    }

    async fn put_back(&self, waiting: &[QueuedIntent]) {
        if let Err(error) = self.queue.push(waiting, End::Serving).await
            && !waiting.is_empty()
        {
            warn!(%error, "cannot put back what waits for its turn; the rescuer will");
        }
    }

    /// Plans every waiting intent; ends those whose time is over or that cannot be built.
    async fn plan_all(&self, readings: Vec<Reading>) -> StoreResult<Vec<Planned>> {
        let now = self.clock.now();
        let (mut planned, mut ends, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for reading in readings {
            let id = reading.waiting.intent.id;
            match self.plan(reading, now) {
                Plan::Order(order) => planned.push(*order),
                Plan::End(reason) => ends.push((id, reason)),
                Plan::Later(due) => later.push((id, due)),
            }
        }
        if !ends.is_empty() {
            self.store.end_intents(&ends, now).await?;
        }
        self.put_off(later).await?;
        Ok(planned)
    }

    /// Has the adapter build, hash and sign. What cannot be signed now is put off.
    async fn sign_all(&self, planned: Vec<Planned>) -> StoreResult<Vec<(Planned, PreparedOrder)>> {
        let plans: Vec<_> = planned.iter().map(|planned| planned.plan.clone()).collect();
        // Signing may ask the venue for credentials: without a deadline a silent venue would stop the worker
        // for ever.
        let prepare = self.gateway.prepare(&plans);
        let prepared =
            within(self.clock.as_ref(), limits::PREPARE_DEADLINE, prepare).await.unwrap_or_else(|_| {
                let what = "preparing orders".to_owned();
                let timeout = VenueError::Timeout { what, after: limits::PREPARE_DEADLINE };
                plans.iter().map(|_| Err(timeout.clone())).collect()
            });
        let now = self.clock.now();
        let (mut signed, mut later, mut ends) = (Vec::with_capacity(planned.len()), Vec::new(), Vec::new());
        let mut failed = Vec::new();
        for (planned, prepared) in planned.into_iter().zip(prepared) {
            let (id, lane) = (planned.waiting.intent.id, planned.waiting.intent.lane);
            match prepared {
                Ok(order) => signed.push((planned, order)),
                Err(error @ VenueError::NotSigned { .. }) if lane == Lane::Entries => {
                    warn!(intent.id = %id, "order of intent {id} is missed: {error}");
                    ends.push((id, EndReason::Unsigned));
                }
                Err(error @ VenueError::Senseless { .. }) => failed.push((id, error.to_string())),
                Err(error) => {
                    warn!(intent.id = %id, "cannot prepare order of intent {id}, trying again: {error}");
                    let refused = matches!(error, VenueError::NotSigned { .. });
                    let pause = if refused { limits::UNSIGNED_PAUSE } else { limits::UNPREPARED_PAUSE };
                    later.push((id, now.plus(pause)));
                }
            }
        }
        if !ends.is_empty() {
            self.store.end_intents(&ends, now).await?;
        }
        self.put_off(later).await?;
        self.count_failed(failed).await?;
        Ok(signed)
    }

    /// Those that can be sent once they are committed; the others are put off unsigned, as far as anybody knows: an
    /// entry has one attempt, which must not be spent on bytes whose time is over.
    async fn still_sendable(
        &self,
        signed: Vec<(Planned, PreparedOrder)>,
        began: Duration,
    ) -> StoreResult<Vec<(Planned, PreparedOrder)>> {
        let taken = self.clock.uptime().saturating_sub(began);
        let (in_time, late): (Vec<_>, Vec<_>) =
            signed.into_iter().partition(|(planned, _)| taken < planned.sendable_for());
        if !late.is_empty() {
            let intents: Vec<IntentId> = late.iter().map(|(planned, _)| planned.waiting.intent.id).collect();
            let intents = orders::named(&intents);
            warn!(
                orders = late.len(),
                "signing took {taken:?}; orders of intents {intents} could not be sent in time and wait"
            );
        }
        let due = self.clock.now().plus(limits::UNPREPARED_PAUSE);
        self.put_off(late.iter().map(|(planned, _)| (planned.waiting.intent.id, due)).collect()).await?;
        Ok(in_time)
    }

    async fn record(&self, learned: Vec<(OrderRecord, Learned)>) -> StoreResult<()> {
        apply(self.store.as_ref(), self.clock.now(), learned, None).await.map(drop)
    }
}

/// In the order in which they are served: no tenant, and no trade, waits for all that another one has.
fn in_turn(waiting: Vec<WaitingIntent>) -> Vec<WaitingIntent> {
    let wish = |item: &WaitingIntent| (item.intent.lane, item.intent.owner, item.intent.cause.key);
    let order = fair::order(&waiting.iter().map(wish).collect::<Vec<_>>());
    let mut waiting: Vec<Option<WaitingIntent>> = waiting.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| waiting.get_mut(at).and_then(Option::take)).collect()
}

/// Computes and stores the updates of what was learned; those that lost a race are computed again from
/// what is stored. Failed settlements are counted by `failures`. Returns how many changed anything.
///
/// # Errors
/// Store errors.
pub(crate) async fn apply(
    store: &dyn Store,
    now: Timestamp,
    mut learned: Vec<(OrderRecord, Learned)>,
    failures: Option<&FailureWatch>,
) -> StoreResult<usize> {
    let mut changed = 0;
    let mut asked = HashSet::new();
    for (record, what) in &mut learned {
        let Some(refused) = what.refused else { continue };
        // One hold answers all orders of an account that are refused together.
        let intent = &record.intent;
        let again = !asked.insert((intent.account.id, intent.side, refused));
        what.refusal_known = again || refusals::is_known(store, record, refused, now).await;
    }
    while !learned.is_empty() {
        let (mut updates, mut computed) =
            (Vec::with_capacity(learned.len()), Vec::with_capacity(learned.len()));
        let positions = positions(store, &learned).await?;
        for ((record, what), position) in learned.into_iter().zip(positions) {
            let Some(mut update) = compute(&record, &what, &position, now) else { continue };
            update.alarms.extend(failures.and_then(|failures| failures.note(update.attempt, update.state)));
            if !orders::says_nothing(&record, &what, &update) {
                updates.push(update);
                computed.push((record, what));
            }
        }
        let applied = apart::update_all(store, &computed, &updates).await?;
        learned = Vec::new();
        for ((record, what), applied) in computed.into_iter().zip(applied) {
            if applied {
                changed += 1;
            } else if let Some(fresh) = store.orders(&[record.order.id]).await?.pop() {
                learned.push((fresh, what));
            }
        }
    }
    Ok(changed)
}

/// The position of each order's relationship, read for all sales together: a buy's entry does not depend on it.
async fn positions(store: &dyn Store, learned: &[(OrderRecord, Learned)]) -> StoreResult<Vec<Position>> {
    let sells = |record: &OrderRecord| record.intent.side == Side::Sell;
    let holding = |(record, _): &(OrderRecord, Learned)| {
        let intent = &record.intent;
        (intent.account.id, intent.relationship, intent.token)
    };
    let holdings: Vec<_> = learned.iter().filter(|(record, _)| sells(record)).map(holding).collect();
    let read = if holdings.is_empty() { Vec::new() } else { store.positions_of(&holdings).await? };
    let mut read = read.into_iter();
    let of = |(record, _): &(OrderRecord, Learned)| {
        read.by_ref().take(usize::from(sells(record))).next().unwrap_or_default()
    };
    Ok(learned.iter().map(of).collect())
}

/// `None` while an order of which nothing can be computed is put off.
fn compute(
    record: &OrderRecord,
    learned: &Learned,
    position: &Position,
    now: Timestamp,
) -> Option<OrderUpdate> {
    match orders::update(record, learned, position, now) {
        Ok(update) => Some(update),
        Err(error) => apart::cannot(record, learned, now, &error),
    }
}

//! Settlement's rounds: what is due is claimed and asked for, and what has been answered is recorded. Each account's
//! questions go by themselves, so that one whose questions bring no answer delays nobody else's.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    ids::{AccountId, AttemptId},
    money::LOT,
};
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::{self, BoxStream, SelectAll},
};
use tracing::{debug, warn};

use super::Settlement;
use crate::{
    crash_points,
    deadline::within,
    limits,
    orders::{Learned, named},
    ports::{execution::OrderRecord, store::StoreResult, venue::VenueError},
    worker::apply,
};

/// An order that was looked up, or why it could not be.
pub(super) struct Looked {
    pub(super) record: OrderRecord,
    pub(super) learned: Learned,
    pub(super) failed: Option<VenueError>,
}

/// Settlement at work.
pub struct Settling<'a> {
    settlement: &'a Settlement,
    questions: Questions<'a, Looked>,
    /// The orders that are being looked up, until what was learned is recorded.
    asked: HashSet<AttemptId>,
}

/// What is asked, and what was answered.
struct Questions<'a, Answer> {
    /// A stream of answers for each account and round.
    under_way: SelectAll<BoxStream<'a, Answer>>,
    /// Answers that are not recorded yet.
    answered: Vec<Answer>,
}

impl<Answer> Questions<'_, Answer> {
    /// Waits for an answer; whether there was one.
    async fn heard(&mut self) -> bool {
        let looked = self.under_way.next().await;
        let heard = looked.is_some();
        self.answered.extend(looked);
        heard
    }

    /// Waits for a call of the store. What is under way goes on meanwhile: it calls the store, too (to send again it takes
    /// a permit), and where there is one writer, one that stood still half-way would keep it from everybody for ever.
    async fn beside<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            match select(call.as_mut(), pin!(self.heard())).await {
                Either::Left((value, _)) => return value,
                Either::Right((true, _)) => {}
                Either::Right((false, _)) => return call.await,
            }
        }
    }

    /// Waits for all answers.
    async fn gather(&mut self) {
        while self.heard().await {}
    }
}

impl<'a> Settling<'a> {
    /// Nothing is under way.
    #[must_use]
    pub fn new(settlement: &'a Settlement) -> Self {
        let questions = Questions { under_way: SelectAll::new(), answered: Vec::new() };
        Self { settlement, questions, asked: HashSet::new() }
    }

    /// Claims what is due and moves on what is answered soon; the rest is recorded by a later round. Returns how many
    /// orders were claimed and recorded.
    ///
    /// # Errors
    /// Store errors.
    pub async fn run_once(&mut self) -> StoreResult<usize> {
        let Settlement { store, clock, instance, steady, .. } = self.settlement;
        // Also when nothing is due, so that it notices a clock that is set back.
        steady.now(clock.as_ref());
        let room = limits::LOOK_UPS.saturating_sub(self.asked.len()).min(limits::SETTLE_BATCH);
        let mut due = Vec::new();
        if room > 0 {
            // What is under way is still due, and ours: it is claimed again, and not asked for again. Two sends of one
            // order would return one permit.
            let limit = room.saturating_add(self.asked.len());
            let claim = store.claim_due(instance, limits::WORK_LEASE, clock.now(), limit);
            due = self.questions.beside(claim).await?;
            due.retain(|record| !self.asked.contains(&record.attempt));
        }
        let claimed = due.len();
        if claimed > 0 {
            crash_points::reach("settlement.after_claim");
            self.look_up(due).await;
        }
        let recorded = self.record(claimed > 0, Vec::new()).await?;
        Ok(claimed.max(recorded))
    }

    /// Books what the chain has said about our orders since they were updated last, a page of them. Those that
    /// have no work row of their own (an earlier attempt that is still settling, or whose fill a reorganisation
    /// took) are never due, so they are looked up here, until they are settled or count as never seen. Returns how many were updated.
    ///
    /// # Errors
    /// Store errors.
    pub async fn book_chain_fills(&mut self) -> StoreResult<usize> {
        let Settlement { store, clock, round, .. } = self.settlement;
        let (after, asks) = round.next(clock.uptime());
        let page = self.questions.beside(store.unbooked_orders(after, limits::SETTLE_BATCH)).await?;
        round.read(&page);
        let alone = |record: &OrderRecord| {
            let left = asks && !record.state.is_settled() && !record.open_work;
            left && !self.asked.contains(&record.attempt)
        };
        let (left, known): (Vec<_>, Vec<_>) = page.into_iter().partition(alone);
        let known = known.into_iter().map(|record| (record, Learned::default())).collect();
        let asks = !left.is_empty();
        if asks {
            self.look_up(left).await;
        }
        self.record(asks, known).await
    }

    /// How long there is nothing to do, as far as the store knows: new orders, fills that the chain brings and answers may
    /// come sooner.
    ///
    /// # Errors
    /// Store errors.
    pub async fn rest(&mut self) -> StoreResult<Duration> {
        let rest = self.questions.beside(self.settlement.rest()).await?;
        // What is under way is due all the time.
        Ok(if self.asked.is_empty() { rest } else { rest.max(limits::SETTLE_ASKING) })
    }

    /// Waits for an answer; for ever while nobody was asked.
    pub async fn heard(&mut self) {
        if !self.questions.heard().await {
            std::future::pending().await
        }
    }

    /// Waits for everything that is under way and records it.
    ///
    /// # Errors
    /// Store errors.
    pub async fn finish(&mut self) -> StoreResult<()> {
        self.questions.gather().await;
        self.record(false, Vec::new()).await.map(drop)
    }

    async fn look_up(&mut self, records: Vec<OrderRecord>) {
        let settlement = self.settlement;
        // What is known whole is not waited for.
        let waits = |record: &OrderRecord| record.state.is_open() || record.evidence.unlisted() >= LOT;
        let waits = records.iter().any(waits);
        let head_moves = waits && self.questions.beside(settlement.head_advances()).await;
        let mut accounts: BTreeMap<AccountId, Vec<OrderRecord>> = BTreeMap::new();
        for record in records {
            self.asked.insert(record.attempt);
            accounts.entry(record.intent.account.id).or_default().push(record);
        }
        for records in accounts.into_values() {
            let looked = stream::iter(records).map(move |record| settlement.resolve(record, head_moves));
            self.questions.under_way.push(looked.buffer_unordered(limits::LOOK_UPS_OF_ACCOUNT).boxed());
        }
    }

    /// Takes what is answered by now, or a little later if something was just `begun`, and records it with what is
    /// `known` already. Returns how many orders changed.
    async fn record(&mut self, begun: bool, known: Vec<(OrderRecord, Learned)>) -> StoreResult<usize> {
        let clock = self.settlement.clock.as_ref();
        if begun {
            let _some_are_late = within(clock, limits::SETTLE_GATHER, self.questions.gather()).await;
        } else {
            self.questions.gather().now_or_never();
        }
        let looked_up: HashSet<AttemptId> =
            self.questions.answered.iter().map(|one| one.record.attempt).collect();
        let mut learned = known;
        let (mut orders, mut last) = (Vec::new(), None);
        for Looked { record, learned: what, failed } in self.questions.answered.drain(..) {
            if let Some(error) = failed {
                debug!(order.id = %record.order.id, "order {} cannot be looked up: {error}", record.order.id);
                orders.push(record.order.id);
                last = Some(error);
            }
            learned.push((record, what));
        }
        if let Some(error) = last {
            let named = named(&orders);
            warn!(orders = orders.len(), "orders cannot be looked up ({named}); the last one: {error}");
        }
        if learned.is_empty() {
            return Ok(0);
        }
        let Settlement { store, failures, .. } = self.settlement;
        crash_points::reach("settlement.before_record");
        let apply = apply(store.as_ref(), clock.now(), learned, Some(failures));
        let changed = self.questions.beside(apply).await;
        // Not before: a second look-up would be made beside what this one learned, and both return one permit.
        self.asked.retain(|attempt| !looked_up.contains(attempt));
        let changed = changed?;
        crash_points::reach("settlement.after_record");
        Ok(changed)
    }
}

/// Accounts whose last question brought no answer in time: one question of each is open at once, until there is one.
#[derive(Debug, Default)]
pub struct Silent(Mutex<HashMap<AccountId, bool>>);

impl Silent {
    /// Whether to ask about an order of this account now.
    pub(super) fn may_ask(&self, account: AccountId) -> bool {
        self.lock().get_mut(&account).is_none_or(|asking| !std::mem::replace(asking, true))
    }

    /// A question was answered, or its time was over.
    pub(super) fn asked(&self, account: AccountId, in_vain: bool) {
        if in_vain {
            self.lock().insert(account, false);
        } else {
            self.lock().remove(&account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::lock::Mutex;

    use super::*;

    /// Before, everything that writes stood still for ever.
    #[test]
    fn a_question_that_holds_the_stores_writer_gives_it_back_while_the_store_is_waited_for() {
        let writer = Mutex::new(());
        let question = async {
            let _held = writer.lock().await;
            // Half-way: whoever polls it once has to poll it again.
            let mut begun = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut begun, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        let mut questions = Questions { under_way: SelectAll::new(), answered: Vec::new() };
        questions.under_way.push(stream::once(question).boxed());
        assert!(questions.heard().now_or_never().is_none(), "it holds the writer");
        let recorded = questions.beside(async {
            let _held = writer.lock().await;
        });
        let mut recorded = pin!(recorded);
        let mut polls = (0..10).filter_map(|_| recorded.as_mut().now_or_never());
        assert!(polls.next().is_some(), "the writer is held for ever");
    }
}

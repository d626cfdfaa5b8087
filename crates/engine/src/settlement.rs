//! Settlement: from a sent order to a booked, final outcome, by evidence only.
//!
//! It owns every signed order whose work is due: it looks orders up, sends the same bytes again within
//! their deadline when nobody has seen them, gives up only after long negative look-ups, and books what
//! the chain says. It never signs.

mod under_way;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Clock,
    ids::AttemptId,
    lifecycle::{OrderEvent, OrderState},
    money::LOT,
    trade::Quantity,
};
use tracing::{info, warn};

use crate::{
    crash_points,
    deadline::venue_call,
    facts,
    failure_watch::FailureWatch,
    head_watch::HeadWatch,
    limits,
    orders::Learned,
    ports::{
        detection::Source,
        execution::OrderRecord,
        feeds::AccountFeed,
        store::{InstanceId, Store, StoreResult},
        venue::{ChainReader, OrderGateway, OrderQuery, SettlementStatus, VenueError, VenueTrade},
    },
    steady_time::SteadyTime,
    trades,
    worker::{Posting, post_until, reply},
};

use under_way::Looked;
pub use under_way::{Settling, Silent};

/// Everything settlement works with.
pub struct Settlement {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// The venue.
    pub gateway: Arc<dyn OrderGateway>,
    /// The chain, to know that its head advances while look-ups are negative.
    pub chain: Option<Arc<dyn ChainReader>>,
    /// What is known of that head.
    pub head: HeadWatch,
    /// How far orders with news were gone through.
    pub round: Round,
    /// Accounts whose orders cannot be looked up.
    pub silent: Silent,
    /// How settlements end of late.
    pub failures: Arc<FailureWatch>,
    /// Tells of orders by itself while it can, so that they are looked up less often.
    pub feed: Option<Arc<dyn AccountFeed>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What deadlines for sending again are judged by.
    pub steady: SteadyTime,
    /// Who we are.
    pub instance: InstanceId,
}

/// A way through all orders with news, page by page and again from the start. Some stay for long: those at
/// the front keep nobody behind them from being seen.
#[derive(Debug, Default)]
pub struct Round {
    place: Mutex<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    after: AttemptId,
    /// Whether orders nobody else looks up are looked up in this round.
    asks: bool,
    /// Uptime when that was so last.
    asked: Option<Duration>,
}

impl Default for Place {
    fn default() -> Self {
        Self { after: AttemptId(0), asks: false, asked: None }
    }
}

impl Round {
    /// Where the next page begins, and whether to look up what nobody else does.
    fn next(&self, uptime: Duration) -> (AttemptId, bool) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.after == AttemptId(0) {
            place.asks = place.asked.is_none_or(|at| uptime.saturating_sub(at) >= limits::UNSEEN_STEP);
            if place.asks {
                place.asked = Some(uptime);
            }
        }
        (place.after, place.asks)
    }

    /// Remembers the page that was read; a page that is not full is the last one.
    fn read(&self, page: &[OrderRecord]) {
        let full = page.len() >= limits::SETTLE_BATCH;
        let last = page.last().filter(|_| full).map_or(AttemptId(0), |record| record.attempt);
        self.place.lock().unwrap_or_else(PoisonError::into_inner).after = last;
    }
}

impl Settlement {
    /// How long there is nothing to do, as far as the store knows: new orders, and fills that the chain brings,
    /// may come sooner.
    ///
    /// # Errors
    /// Store errors.
    async fn rest(&self) -> StoreResult<Duration> {
        let due = self.store.next_due().await?;
        let left = due.map_or(limits::SETTLE_REST, |due| due.since(self.clock.now()));
        Ok(left.clamp(limits::SETTLE_PAUSE, limits::SETTLE_REST))
    }

    /// Negative look-ups count only while the chain's head advances and the watcher reads its blocks: an order could
    /// otherwise settle unseen. Without a chain the venue's answers are all there is.
    async fn head_advances(&self) -> bool {
        let Some(chain) = &self.chain else { return true };
        let head = match venue_call(self.clock.as_ref(), "head", limits::LOOK_UP_DEADLINE, chain.head()).await
        {
            Ok(head) => head.number,
            Err(error) => {
                warn!(%error, "head of the chain cannot be read; look-ups do not count");
                return false;
            }
        };
        let read_to = self.store.cursor(Source::Chain).await.unwrap_or_else(|error| {
            warn!(%error, "how far blocks are read cannot be read; look-ups do not count");
            None
        });
        self.head.advances(head, read_to, self.clock.uptime())
    }

    async fn resolve(&self, record: OrderRecord, head_moves: bool) -> Looked {
        let account = record.intent.account.id;
        let listening = self.feed.as_ref().is_some_and(|feed| feed.hears(account));
        if !self.silent.may_ask(account) {
            return Looked { record, learned: Learned { listening, ..Learned::default() }, failed: None };
        }
        let (id, token, lane) = (record.order.id, record.intent.token, record.intent.lane);
        let query = OrderQuery { id, token, signed_at: record.signed_at, lane };
        let ask = self.gateway.look_up(&record.intent.account, &query);
        let answer = venue_call(self.clock.as_ref(), "order look-up", limits::LOOK_UP_DEADLINE, ask).await;
        self.silent.asked(account, matches!(answer, Err(VenueError::Timeout { .. })));
        let (record, learned, failed) = match answer {
            Ok(lookup) if lookup.order.is_some() || !lookup.trades.is_empty() => {
                let learned = self.shown(&record, facts::asked(&record, lookup), head_moves);
                (record, learned, None)
            }
            Ok(_) if record.state.is_open() => {
                let (record, learned) = self.unseen(record, head_moves).await;
                (record, learned, None)
            }
            Ok(_) => (record, Learned::default(), None),
            Err(error) => (record, Learned::default(), Some(error)),
        };
        Looked { record, learned: Learned { listening, ..learned }, failed }
    }

    /// What the venue shows of an order; where that is all settled, is on the chain as well and is less than its reply
    /// told, and has been for as long as it takes to count an order as never seen, the reply is corrected.
    fn shown(&self, record: &OrderRecord, learned: Learned, head_moves: bool) -> Learned {
        let Some(shown) = short_of_reply(record, &learned, self.chain.is_some()) else { return learned };
        if !head_moves {
            return Learned { unseen: None, ..learned };
        }
        if self.unseen_for(record) < limits::UNSEEN_AFTER {
            return Learned { unseen: Some(true), ..learned };
        }
        let (id, reply) = (record.order.id, record.evidence.reply.shares);
        warn!(order.id = %id, "order {id}: its reply told of {reply} shares, venue and chain show {}", shown.shares);
        Learned { reply: Some(shown), ..learned }
    }

    /// How long look-ups have been answered in vain, with the one that was answered now.
    fn unseen_for(&self, record: &OrderRecord) -> Duration {
        let waited = record.looked_up_at.map_or(Duration::ZERO, |at| self.clock.now().since(at));
        record.unseen_for.saturating_add(waited.min(limits::UNSEEN_STEP))
    }

    /// Nobody has seen the order. Within its deadline the same bytes are sent again; after it, only time
    /// and more look-ups end it.
    async fn unseen(&self, record: OrderRecord, head_moves: bool) -> (OrderRecord, Learned) {
        let uptime = self.clock.uptime();
        let left = record.resend_until.since(self.steady.now(self.clock.as_ref()));
        // What the venue rests or holds back it has: it shows it late.
        let taken = matches!(record.state, OrderState::Live | OrderState::Delayed);
        if !taken && !left.is_zero() {
            return self.send_again(record, uptime.saturating_add(left.min(limits::ENTRY_RESEND))).await;
        }
        let mut learned = Learned { unseen: head_moves.then_some(true), ..Learned::default() };
        if head_moves && self.unseen_for(&record) >= limits::UNSEEN_AFTER {
            info!(order.id = %record.order.id, "order {} was never seen; giving it up", record.order.id);
            learned.event = Some(OrderEvent::NeverSeen);
        }
        (record, learned)
    }

    async fn send_again(&self, record: OrderRecord, send_before: Duration) -> (OrderRecord, Learned) {
        let asked = self.clock.uptime();
        let granted =
            self.store.grant_permit(record.attempt, &self.instance, record.fence, self.clock.now()).await;
        let send_before = match granted {
            Ok(Some(left)) => send_before.min(asked.saturating_add(left)),
            Ok(None) => return (record, Learned::default()),
            Err(error) => {
                let id = record.order.id;
                warn!(order.id = %id, %error, "no permit to send order {id} again: {error}");
                return (record, Learned::default());
            }
        };
        // Granting raised the version: whoever acts on the order now sees the permit.
        let mut permitted = OrderRecord { version: record.version + 1, ..record };
        // A permit of ours that is out already stands for a send without a reply: the reply to this one
        // says nothing about that one, so it does not bring the permit back.
        let answered = !permitted.permits_out.contains(&self.instance);
        if answered {
            permitted.permits_out.push(self.instance.clone());
        }
        crash_points::reach("settlement.before_resend");
        let reply_within = limits::POST_DEADLINE;
        let posting = Posting { send_before, reply_within, admitted: false, refusal: None };
        let answer = post_until(self.clock.as_ref(), self.gateway.as_ref(), &permitted, posting).await;
        let id = permitted.order.id;
        info!(order.id = %id, reply = ?answer, "sent the same bytes of order {id} again");
        let learned = match &answer {
            // Too late: nothing was written, so our permit is back and the outcome as open as before.
            None => Learned { permit_returned: Some(self.instance.clone()), ..Learned::default() },
            reply => reply::learned(&permitted, &self.instance, reply.as_ref()),
        };
        let permit_returned = learned.permit_returned.filter(|_| answered);
        (permitted, Learned { permit_returned, ..learned })
    }
}

/// What a look-up shows of an order, failed trades included, if it is over and less than its reply told of. `None` while
/// the venue's own record tells of more, a trade is not over, or the chain, where there is one, has another quantity.
fn short_of_reply(record: &OrderRecord, learned: &Learned, by_chain: bool) -> Option<Quantity> {
    let known = trades::listed(&record.trades, &learned.trades);
    let evidence = trades::in_evidence(record.evidence, &known).ok()?;
    let (alive, mined) = (evidence.trades.quantity, evidence.chain.quantity.shares);
    let ends =
        |trade: &VenueTrade| matches!(trade.status, SettlementStatus::Confirmed | SettlementStatus::Failed);
    let over = !known.is_empty() && known.iter().all(ends) && learned.estimate.is_none();
    let mined = !by_chain || (mined == alive.shares && (evidence.chain_final || !mined.is_positive()));
    let short = over && mined && evidence.unlisted() >= LOT;
    alive.plus(evidence.failed).ok().filter(|_| short)
}

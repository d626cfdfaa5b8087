//! Numbers that can be read and cannot be true: of one order among two, by every source. They book nothing, are told
//! once, and hold up nobody else.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Address, Shares, TradingAccount, Usd,
    ids::{AttemptId, IntentId},
    lifecycle::{OrderAlarm, OrderState},
    money::ONE,
};
use engine::{
    limits,
    ports::{
        execution::{OrderRecord, OrderUpdate, SignedAttempt, SignedOutcome, WaitingIntent},
        store::{EventKind, InstanceId, Store, StoreError, StoreResult},
        venue::{
            BlockHeader, ChainEvent, ChainEventKind, ChainReader, OrderGateway, OrderLookup, OrderQuery,
            PostReply, PostTimes, PreparedOrder, SettlementStatus, VenueError,
        },
    },
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        faulty::{Layer, Layered},
        over::{ChainLayer, GatewayLayer, Over},
        scenario::{Scenario, follower_wallet},
        tampering::{Bench, Tampering},
        venue::VenueModel,
    },
};

/// Who says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Replies to posts, in millionths of what they should be in.
    Reply,
    /// The order's record.
    Record,
    /// Listed trades whose sum is beyond 64 bits.
    Trades,
    /// The chain's logs.
    Chain,
    /// The store, which can apply no update of the order.
    Store,
    /// The store, which cannot read the job.
    Loading,
    /// The store, which cannot commit the order.
    Committing,
}

impl Tampering for Source {
    fn tamper(&self, bench: Bench) -> Bench {
        match self {
            Self::Chain => Bench { chain: Arc::new(Over(AbsurdChain(bench.chain))), ..bench },
            Self::Store | Self::Loading | Self::Committing => {
                Bench { store: Arc::new(Layered(Refusing(*self, bench.store))), ..bench }
            }
            _ => Bench { gateway: Arc::new(Over(AbsurdVenue(*self, bench.gateway))), ..bench },
        }
    }
}

/// The wallet whose order is told of so.
fn victim() -> Address {
    follower_wallet(0)
}

struct AbsurdVenue(Source, Arc<dyn OrderGateway>);

impl AbsurdVenue {
    fn is_about(&self, source: Source, account: &TradingAccount) -> bool {
        self.0 == source && account.wallet == victim()
    }
}

#[async_trait]
impl GatewayLayer for AbsurdVenue {
    fn inner(&self) -> &dyn OrderGateway {
        self.1.as_ref()
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let mut reply = self.1.post(account, order, times).await;
        if let PostReply::Accepted(acceptance) = &mut reply
            && self.is_about(Source::Reply, account)
        {
            let millionths = |amount: i64| amount * ONE;
            acceptance.making = acceptance.making.map(millionths);
            acceptance.taking = acceptance.taking.map(millionths);
        }
        if self.is_about(Source::Record, account) || self.is_about(Source::Trades, account) {
            // So that it is looked up before the chain tells.
            return PostReply::Unknown { text: "the reply was lost".to_owned(), blocked: false };
        }
        reply
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        let mut found = self.1.look_up(account, query).await?;
        if self.is_about(Source::Record, account) {
            found.trades.clear();
            if let Some(order) = &mut found.order {
                order.matched = Shares(i64::MAX);
            }
        }
        if self.is_about(Source::Trades, account) {
            for number in 0..2 {
                for mut trade in found.trades.clone() {
                    trade.id = format!("{} again {number}", trade.id);
                    (trade.shares, trade.usd) = (Shares(i64::MAX / 4 * 3), Usd(i64::MAX / 4 * 3));
                    trade.status = SettlementStatus::Confirmed;
                    found.trades.push(trade);
                }
            }
        }
        Ok(found)
    }
}

/// Does nothing with the victim's jobs or orders, nor with a batch with one.
struct Refusing(Source, Arc<dyn Store>);

impl Refusing {
    async fn intents(&self) -> StoreResult<Vec<IntentId>> {
        let intents = self.1.intents_after(None, IntentId(0), 100).await?;
        let own = intents.iter().filter(|intent| intent.account.wallet == victim());
        Ok(own.map(|intent| intent.id).collect())
    }

    async fn attempts(&self) -> StoreResult<Vec<AttemptId>> {
        let orders = self.1.attempts_of(&self.intents().await?).await?;
        Ok(orders.iter().map(|order| order.attempt).collect())
    }

    /// Whether it is for this source to refuse one of these.
    async fn refuses(&self, source: Source, mut ids: impl Iterator<Item = IntentId>) -> StoreResult<bool> {
        let own = self.intents().await?;
        Ok(self.0 == source && ids.any(|id| own.contains(&id)))
    }
}

#[async_trait]
impl Layer for Refusing {
    fn inner(&self) -> &dyn Store {
        self.1.as_ref()
    }

    async fn load_waiting(&self, ids: &[IntentId]) -> StoreResult<Vec<WaitingIntent>> {
        if self.refuses(Source::Loading, ids.iter().copied()).await? {
            return Err(StoreError::Corrupt("9 is no Side".to_owned()));
        }
        self.1.load_waiting(ids).await
    }

    async fn commit_signed(
        &self,
        holder: &InstanceId,
        lease: Duration,
        attempts: &[SignedAttempt],
    ) -> StoreResult<Vec<SignedOutcome>> {
        if self.refuses(Source::Committing, attempts.iter().map(|attempt| attempt.intent)).await? {
            return Err(StoreError::Conflict("a salt is too large".to_owned()));
        }
        self.1.commit_signed(holder, lease, attempts).await
    }

    async fn update_orders(&self, updates: &[OrderUpdate]) -> StoreResult<Vec<bool>> {
        let refused = self.attempts().await?;
        if self.0 == Source::Store
            && updates.iter().any(|update| update.booking.is_some() && refused.contains(&update.attempt))
        {
            return Err(StoreError::Corrupt("beyond 64 bits".to_owned()));
        }
        self.1.update_orders(updates).await
    }
}

/// The store after a scenario with two followers, and what is broken in it.
fn played(source: Source) -> (Arc<dyn Store>, Vec<String>) {
    let mut scenario = Scenario::entry();
    scenario.followers.push(scenario.followers[0].clone());
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let (run, world) = run(&scenario, VenueModel::PLAIN, &[], &source, &memory, false);
    (world.expect("a world").store.clone(), run.judgement.broken)
}

/// The two followers' orders, the victim's first; whether all came to rest; how often each was told.
fn orders(source: Source) -> (Vec<OrderRecord>, Vec<String>, Vec<usize>) {
    let (store, broken) = played(source);
    let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut orders = block_on(store.attempts_of(&ids)).unwrap();
    orders.sort_by_key(|order| order.intent.account.wallet != victim());
    assert_eq!(orders.len(), 2, "{source:?}");
    let events = block_on(store.events_after(0, 1_000)).unwrap();
    let alarms = |order: &OrderRecord| {
        let told = EventKind::OrderAlarm { order: order.order.id, alarm: OrderAlarm::NotBelieved };
        events.iter().filter(|(_, event)| event.kind == told).count()
    };
    let told = orders.iter().map(alarms).collect();
    (orders, broken, told)
}

/// Before, the reply was booked and stood above all that came later; one trade stopped everybody's settlement.
#[test]
fn what_the_venue_cannot_mean_is_not_booked() {
    for source in [Source::Reply, Source::Record, Source::Trades] {
        let (orders, broken, told) = orders(source);
        assert!(broken.is_empty(), "{source:?}: {broken:#?}");
        assert!(orders.iter().all(|order| order.state == OrderState::Confirmed), "{source:?}");
        assert!(orders[0].doubts > 0, "{source:?}");
        assert_eq!(told, [1, 0], "{source:?}: told once");
    }
}

/// Before, nobody's order was settled any more.
#[test]
fn an_order_that_cannot_be_computed_or_applied_is_put_off_alone() {
    for source in [Source::Chain, Source::Store] {
        let (orders, _, told) = orders(source);
        let (victim, other) = (&orders[0], &orders[1]);
        assert_eq!(
            (other.state, other.booked.shares),
            (OrderState::Confirmed, Shares(40 * ONE)),
            "{source:?}"
        );
        assert!(victim.booked.shares <= Shares(40 * ONE) && victim.doubts > 0, "{source:?}: {victim:?}");
        assert_eq!(told, [1, 0], "{source:?}: told once");
    }
}

/// Before, a batch with a job that cannot be read was read by nobody, and one that cannot be committed was signed for ever.
#[test]
fn a_job_that_fails_for_a_reason_of_its_own_fails_alone_and_is_a_dead_letter() {
    for source in [Source::Loading, Source::Committing] {
        let (store, _) = played(source);
        let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
        let (own, other): (Vec<_>, Vec<_>) =
            intents.iter().partition(|intent| intent.account.wallet == victim());
        let orders = block_on(store.attempts_of(&[other[0].id, own[0].id])).unwrap();
        let states: Vec<_> = orders.iter().map(|order| (order.intent.id, order.state)).collect();
        assert_eq!(states, [(other[0].id, OrderState::Confirmed)], "{source:?}");
        let events = block_on(store.events_after(0, 1_000)).unwrap();
        let dead = events.iter().filter_map(|(_, event)| match &event.kind {
            EventKind::DeadLetter { intent, failures, .. } => Some((*intent, *failures)),
            _ => None,
        });
        let dead: Vec<_> = dead.collect();
        assert_eq!(dead, [(own[0].id, limits::ENTRY_FAILURES)], "{source:?}");
    }
}

struct AbsurdChain(Arc<dyn ChainReader>);

impl AbsurdChain {
    fn wrong(&self, mut events: Vec<ChainEvent>) -> Vec<ChainEvent> {
        for event in &mut events {
            if let ChainEventKind::Fill(fill) = &mut event.kind
                && fill.wallet == victim()
            {
                fill.shares = Shares(fill.shares.0 * 1_000_000);
            }
        }
        events
    }
}

#[async_trait]
impl ChainLayer for AbsurdChain {
    fn inner(&self) -> &dyn ChainReader {
        self.0.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.0.block_events(block, wallets).await.map(|events| self.wrong(events))
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        self.0.range_events(from, to, wallets).await.map(|events| self.wrong(events))
    }
}

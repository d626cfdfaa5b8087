//! Blocks rise and nobody can read what is in them: nothing is given up for not being there.

#![cfg(test)]

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Address, Clock, Shares, Side, Timestamp, TradingAccount, ids::IntentId, lifecycle::OrderState, money::ONE,
};
use engine::{
    limits::UNSEEN_AFTER,
    ports::{
        execution::OrderRecord,
        store::Store,
        venue::{
            BlockHeader, ChainEvent, ChainReader, OrderGateway, OrderLookup, OrderQuery, PostReply,
            PostTimes, PreparedOrder, VenueError,
        },
    },
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        over::{ChainLayer, GatewayLayer, Over},
        scenario::{Scenario, at},
        tampering::{Bench, Tampering},
        venue::VenueModel,
    },
};

/// From here on replies are lost, orders are not shown, and logs cannot be read …
const BEGINS: u64 = 22;
/// … until here: longer than it takes to count an order as never seen.
const ENDS: u64 = BEGINS + 190;

/// Logs that cannot be read and orders that are not shown for a while.
struct Blind;

impl Tampering for Blind {
    fn tamper(&self, bench: Bench) -> Bench {
        let clock = bench.clock.clone();
        let chain = Arc::new(Over(Dark { inner: bench.chain, clock: clock.clone() }));
        Bench { chain, gateway: Arc::new(Over(Dark { inner: bench.gateway, clock })), ..bench }
    }
}

struct Dark<P: ?Sized> {
    inner: Arc<P>,
    clock: Arc<dyn Clock>,
}

impl<P: ?Sized> Dark<P> {
    fn is_dark(&self) -> bool {
        (at(BEGINS)..at(ENDS)).contains(&self.clock.now())
    }
}

#[async_trait]
impl ChainLayer for Dark<dyn ChainReader> {
    fn inner(&self) -> &dyn ChainReader {
        self.inner.as_ref()
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        // The block with the leader's sale is the last one that can be read.
        if self.is_dark() && block.time > at(BEGINS) {
            return Err(VenueError::Unavailable { what: "logs".to_owned(), reason: "dark".to_owned() });
        }
        self.inner.block_events(block, wallets).await
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        if self.is_dark() {
            return Err(VenueError::Unavailable { what: "logs".to_owned(), reason: "dark".to_owned() });
        }
        self.inner.range_events(from, to, wallets).await
    }
}

#[async_trait]
impl GatewayLayer for Dark<dyn OrderGateway> {
    fn inner(&self) -> &dyn OrderGateway {
        self.inner.as_ref()
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let reply = self.inner.post(account, order, times).await;
        if self.is_dark() {
            PostReply::Unknown { text: "the reply was lost".to_owned(), blocked: false }
        } else {
            reply
        }
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        if self.is_dark() {
            return Ok(OrderLookup::default());
        }
        self.inner.look_up(account, query).await
    }
}

/// The exit is matched and mined, its reply is lost, the venue shows nothing and blocks come that nobody can read: after
/// 120 s of that it was given up, and another attempt sold the shares again.
#[test]
fn what_no_block_that_was_read_shows_is_not_given_up_while_others_cannot_be_read() {
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let (run, world) = run(&Scenario::exit(), VenueModel::PLAIN, &[], &Blind, &memory, false);
    assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
    let store = world.expect("a world").store.clone();
    let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut exits: Vec<OrderRecord> = block_on(store.attempts_of(&ids)).unwrap();
    exits.retain(|order| order.intent.side == Side::Sell);
    let [exit] = exits.as_slice() else { panic!("one attempt: {exits:#?}") };
    assert!(at(BEGINS) <= exit.signed_at && exit.signed_at < at(BEGINS + 10), "{:?}", exit.signed_at);
    assert_eq!((exit.state, exit.booked.shares), (OrderState::Confirmed, Shares(-40 * ONE)));
    let found: Timestamp = exit.times.confirmed.expect("it is confirmed");
    assert!(found.since(exit.signed_at) > UNSEEN_AFTER, "the dark ended too early to show anything");
}

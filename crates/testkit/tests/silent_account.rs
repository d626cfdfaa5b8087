//! The venue answers no question about one account's orders: the others' are settled as if it did.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Clock, Timestamp, TradingAccount, ids::IntentId};
use engine::ports::{
    store::Store,
    venue::{OrderGateway, OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder, VenueError},
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        over::{GatewayLayer, Over},
        scenario::{Scenario, at, follower_wallet},
        tampering::{Bench, Tampering},
        venue::VenueModel,
        world::START,
    },
};

/// Until when.
struct Silences(Timestamp);

impl Tampering for Silences {
    fn tamper(&self, bench: Bench) -> Bench {
        let (clock, until) = (bench.clock.clone(), self.0);
        Bench { gateway: Arc::new(Over(Silencing { inner: bench.gateway, clock, until })), ..bench }
    }
}

struct Silencing {
    inner: Arc<dyn OrderGateway>,
    clock: Arc<dyn Clock>,
    until: Timestamp,
}

#[async_trait]
impl GatewayLayer for Silencing {
    fn inner(&self) -> &dyn OrderGateway {
        self.inner.as_ref()
    }

    /// What became of an order is only told when it is asked for.
    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        self.inner.post(account, order, times).await;
        PostReply::Unknown { text: "the reply was lost".to_owned(), blocked: false }
    }

    async fn look_up(&self, account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError> {
        if account.wallet == follower_wallet(0) && self.clock.now() < self.until {
            std::future::pending::<()>().await;
        }
        self.inner.look_up(account, query).await
    }
}

/// How long the silent account's order and the other one took to be confirmed.
fn confirmed(silences: &Silences) -> [Duration; 2] {
    let mut scenario = Scenario { reads_chain: false, ..Scenario::entry() };
    scenario.followers.push(scenario.followers[0].clone());
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let (run, world) = run(&scenario, VenueModel::PLAIN, &[], silences, &memory, false);
    assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
    let store = world.expect("a world").store.clone();
    let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut orders = block_on(store.attempts_of(&ids)).unwrap();
    orders.sort_by_key(|order| order.intent.account.wallet != follower_wallet(0));
    let [silent, other] = orders.as_slice() else { panic!("two orders: {orders:#?}") };
    [silent, other].map(|order| order.times.confirmed.unwrap().since(order.signed_at))
}

/// What was answered was recorded when the last question of the round was: each round took ten seconds.
#[test]
fn one_account_without_answers_delays_nobody_else() {
    let [silent, other] = confirmed(&Silences(START));
    assert_eq!(silent, other);
    let [late, undisturbed] = confirmed(&Silences(at(200)));
    assert!(late > silent + Duration::from_secs(150), "after {late:?}");
    assert!(undisturbed < other + Duration::from_secs(1), "after {undisturbed:?} instead of {other:?}");
}

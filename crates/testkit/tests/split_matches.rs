//! A venue that settles one match in two trades, of which the first is listed, confirmed and final long before the
//! second is seen: what the reply told stays booked meanwhile, and no exit sells it again.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Shares, TradingAccount, ids::IntentId, lifecycle::OrderState, money::ONE};
use engine::{
    limits::UNSEEN_AFTER,
    ports::{
        execution::{LedgerCause, OrderRecord},
        store::Store,
        venue::{OrderGateway, PostReply, PostTimes, PreparedOrder},
    },
};
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::{Exploration, run},
        over::{GatewayLayer, Over},
        probe::{CallSite, Role},
        scenario::Scenario,
        tampering::{Bench, Honest, Tampering},
        venue::VenueModel,
    },
};

/// What was booked back of fills, and the orders.
fn booked_back(
    scenario: &Scenario,
    model: VenueModel,
    tampering: &dyn Tampering,
) -> (Vec<Shares>, Vec<OrderRecord>) {
    let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
    let (run, world) = run(scenario, model, &[], tampering, &memory, false);
    assert!(run.judgement.broken.is_empty(), "{}: {:#?}", scenario.name, run.judgement.broken);
    let store = world.expect("a world").store.clone();
    let rows = block_on(store.ledger_after(None, 0, 1_000)).unwrap();
    let back = rows.iter().filter(|row| row.cause == LedgerCause::Reversal).map(|row| row.entry.shares);
    let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    (back.collect(), block_on(store.attempts_of(&ids)).unwrap())
}

fn without_chain(scenario: Scenario) -> Scenario {
    Scenario { name: format!("{}, without a chain", scenario.name), reads_chain: false, ..scenario }
}

/// Six of ten shares were listed, confirmed and final: the other four were booked back, and an exit sold them again.
#[test]
fn a_list_that_is_not_complete_takes_nothing_of_a_reply_back() {
    let long = VenueModel { splits: Some(Duration::from_secs(100)), ..VenueModel::PLAIN };
    for model in [VenueModel::SPLITTING, long] {
        for scenario in [Scenario::entry(), Scenario::exit(), Scenario::exit_in_two_attempts()] {
            let (back, orders) = booked_back(&scenario, model, &Honest);
            assert_eq!(back, [], "{}", scenario.name);
            assert!(orders.iter().all(|order| order.state == OrderState::Confirmed), "{}", scenario.name);
        }
    }
    let (back, _) = booked_back(&without_chain(Scenario::entry()), VenueModel::SPLITTING, &Honest);
    assert_eq!(back, []);
}

/// The same, whatever goes wrong in sending and settling.
#[test]
fn a_split_exit_survives_any_fault() {
    let settles = |site: &CallSite| matches!(site.actor.role, Role::Worker | Role::Settlement);
    let scenario = Scenario::exit();
    let exploration =
        Exploration { faults: 1, only: settles, ..Exploration::of(&scenario, VenueModel::SPLITTING) };
    let report = exploration.explore();
    assert!(report.executions > 100, "{} executions", report.executions);
    assert!(report.broken.is_empty(), "{:#?}", report.broken.iter().take(3).collect::<Vec<_>>());
}

/// A venue whose replies tell of one share more than was matched.
struct Boasts;

impl Tampering for Boasts {
    fn tamper(&self, bench: Bench) -> Bench {
        Bench { gateway: Arc::new(Over(Boasting(bench.gateway))), ..bench }
    }
}

struct Boasting(Arc<dyn OrderGateway>);

#[async_trait]
impl GatewayLayer for Boasting {
    fn inner(&self) -> &dyn OrderGateway {
        self.0.as_ref()
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        let mut reply = self.0.post(account, order, times).await;
        if let PostReply::Accepted(acceptance) = &mut reply {
            acceptance.taking = acceptance.taking.map(|shares| shares + ONE);
        }
        reply
    }
}

/// Venue and chain have shown less than the reply for as long as it takes to count an order as never seen.
#[test]
fn a_reply_that_said_too_much_is_corrected_at_last() {
    for scenario in [Scenario::entry(), without_chain(Scenario::entry())] {
        let (back, orders) = booked_back(&scenario, VenueModel::PLAIN, &Boasts);
        assert_eq!(back, [Shares(-ONE)], "{}", scenario.name);
        let order = &orders[0];
        let took = order.times.confirmed.expect("it is confirmed").since(order.signed_at);
        assert!((UNSEEN_AFTER..UNSEEN_AFTER * 2).contains(&took), "{}: after {took:?}", scenario.name);
    }
}

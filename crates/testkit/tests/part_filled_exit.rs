//! An exit that filled in part tries the rest again while what it filled is still settling.

#![cfg(test)]

use std::sync::Arc;

use domain::{Shares, Side, ids::IntentId, lifecycle::OrderState, money::ONE};
use engine::ports::execution::OrderRecord;
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::run,
        scenario::{Scenario, at},
        tampering::Honest,
        venue::VenueModel,
    },
};

/// The bids hold 15 of the 40 shares; three seconds later the rest.
fn exits(model: VenueModel) -> Vec<OrderRecord> {
    let scenario = Scenario::exit_in_two_attempts();
    let (run, world) = run(&scenario, model, &[], &Honest, &|clock| Arc::new(MemoryStore::new(clock)), false);
    assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
    let store = world.unwrap().store.clone();
    let intents = block_on(store.intents_after(None, IntentId(0), 10)).unwrap();
    let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let mut orders = block_on(store.attempts_of(&ids)).unwrap();
    orders.retain(|order| order.intent.side == Side::Sell);
    orders
}

#[test]
fn the_rest_is_tried_before_the_filled_part_is_final() {
    let orders = exits(VenueModel::PLAIN);
    let first = orders[0].times.confirmed.expect("the filled part became final");
    assert!(orders[1].signed_at < first, "{:?} is not before {first:?}", orders[1].signed_at);
    assert!(orders[1].signed_at < at(26), "it waited until {:?}", orders[1].signed_at);
    let sold: i64 = orders.iter().map(|order| -order.booked.shares.0).sum();
    assert_eq!(Shares(sold), Shares(40 * ONE));
    let settled = |order: &OrderRecord| order.state.is_settled() && order.permits_out.is_empty();
    assert!(orders.iter().all(settled), "earlier attempts are followed to their end");
    assert_eq!(orders[0].state, OrderState::Confirmed);
}

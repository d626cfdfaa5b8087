//! A venue that takes no orders for a while, limits of signers, orders that are not admitted, and killed orders with a status
//! nobody has explained, sales below the minimum of orders that rest: every placement of a fault in sending and looking up, on every such venue.

use std::{collections::BTreeSet, sync::Arc};

use domain::{Shares, Side, ids::IntentId, lifecycle::OrderState, money::ONE};
use engine::ports::store::Store;
use testkit::{
    executor::block_on,
    memory_store::MemoryStore,
    simulation::{
        explorer::{Exploration, Report, run, share_of},
        probe::{CallSite, Role},
        scenario::{ENTRY_IS_FINAL, Scenario, at},
        stage::Stage,
        tampering::Honest,
        venue::{Closed, VenueModel},
    },
};

/// A venue gets one of so many placements of a fault; `SLIPSTREAM_EVERY_CALL=1` tries all of them …
const SHARE: usize = 8;
/// … and of one while exits wait for minutes, which makes many calls.
const EXIT_SHARE: usize = 21;

/// The calls whose answers the venue's limits are about.
fn sends(site: &CallSite) -> bool {
    ["admit", "post", "post_batch", "commit_signed", "grant_permit", "put_off"].contains(&site.method)
}

/// Those, and the questions of what became of an order.
fn sends_and_looks(site: &CallSite) -> bool {
    sends(site) || ["look_up", "update_orders"].contains(&site.method)
}

/// Placements of one fault, of which each venue gets its share; from when the entry is final,
/// where one is.
#[expect(clippy::print_stdout, reason = "the number of explored executions is part of the result")]
fn explore(
    scenario: &Scenario,
    models: &[VenueModel],
    (only, share): (fn(&CallSite) -> bool, usize),
) -> Report {
    let every_call = std::env::var("SLIPSTREAM_EVERY_CALL").is_ok_and(|value| value == "1");
    let mut sum = Report::default();
    for (number, model) in models.iter().enumerate() {
        let sample = if every_call { (0, 1) } else { share_of(number, share) };
        let exits = scenario.trades.iter().any(|trade| trade.side == Side::Sell);
        let stage = exits.then(|| Stage::of(scenario, *model, &Honest, at(ENTRY_IS_FINAL)).ok()).flatten();
        let of = Exploration::of(scenario, *model);
        let report = Exploration { faults: 1, only, sample, stage: stage.as_ref(), ..of }.explore();
        sum.executions += report.executions;
        sum.missed += report.missed;
        sum.broken.extend(report.broken.into_iter().map(|what| format!("{model:?}: {what}")));
    }
    println!("{}: {} venues, {} executions", scenario.name, models.len(), sum.executions);
    assert!(sum.executions > 2 * models.len(), "{}: {} executions", scenario.name, sum.executions);
    let first: Vec<_> = sum.broken.iter().take(5).collect();
    assert!(sum.broken.is_empty(), "{}: {} broken: {first:#?}", scenario.name, sum.broken.len());
    sum
}

/// Every share is tried with each answer to repeated bytes and each lag of look-ups.
#[test]
fn every_share_meets_every_answer() {
    let answers = |model: &VenueModel| {
        let lag = model.look_up_lag.as_secs();
        [(0, model.duplicated as u64), (1, u64::from(model.executes_again)), (2, lag)]
    };
    let refusing = VenueModel::all_refusing(Side::Sell);
    for (models, share) in [(&refusing, SHARE), (&refusing, EXIT_SHARE), (&VenueModel::all_small(), SHARE)] {
        for sample in 0..share {
            let gets =
                models.iter().enumerate().filter(|(number, _)| share_of(*number, share) == (sample, share));
            let met: BTreeSet<_> = gets.flat_map(|(_, model)| answers(model)).collect();
            let all: BTreeSet<_> = models.iter().flat_map(answers).collect();
            assert!(met == all, "share {sample} of {share} meets {met:?} only");
        }
    }
}

#[test]
fn entries_are_safe_while_orders_are_not_taken() {
    let models = VenueModel::all_refusing(Side::Buy);
    for scenario in [Scenario::entry(), Scenario::whole_entry(), Scenario::two_entries()] {
        let report = explore(&scenario, &models, (sends, SHARE));
        assert!(report.missed < report.executions, "{}: nothing is ever bought", scenario.name);
    }
}

/// The judge wants the follower to hold what it should at the end: an exit outlives each of these venues.
#[test]
fn exits_are_carried_out_once_orders_are_taken_again() {
    let models = VenueModel::all_refusing(Side::Sell);
    explore(&Scenario::exit_in_two_attempts(), &models, (sends_and_looks, EXIT_SHARE));
    explore(&Scenario::two_exits_at_once(), &models, (sends, EXIT_SHARE));
}

/// What "unmatched" means is an open question: neither a fill nor a kill is taken from it.
#[test]
fn killed_orders_that_are_called_unmatched_are_safe() {
    let models = VenueModel::all_unmatched();
    for scenario in [
        Scenario::entry_killed(),
        Scenario::whole_entry_killed(),
        Scenario::exit_in_two_attempts(),
        Scenario::exit_looked_at_again(),
    ] {
        explore(&scenario, &models, (sends_and_looks, SHARE));
    }
}

/// Whether they are taken is an open question: where they are, all is sold, and where not, one refusal ends it.
#[test]
fn sales_below_the_minimum_are_tried_once() {
    let models = VenueModel::all_small();
    explore(&Scenario::small_exit(), &models, (sends_and_looks, SHARE));
    for refuses_small in [false, true] {
        let model = VenueModel { refuses_small, ..VenueModel::PLAIN };
        let memory = |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn Store>;
        let (run, world) = run(&Scenario::small_exit(), model, &[], &Honest, &memory, false);
        assert!(run.judgement.broken.is_empty(), "{:#?}", run.judgement.broken);
        let world = world.expect("a world");
        let intents = block_on(world.store.intents_after(None, IntentId(0), 100)).unwrap();
        let ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
        let mut sales = block_on(world.store.attempts_of(&ids)).unwrap();
        sales.retain(|order| order.intent.side == Side::Sell);
        let [sale] = sales.as_slice() else { panic!("{} sales were sent", sales.len()) };
        let state = if refuses_small { OrderState::Rejected } else { OrderState::Confirmed };
        let sold = if refuses_small { 0 } else { -3 * ONE };
        assert_eq!((sale.state, sale.booked.shares), (state, Shares(sold)));
    }
}

#[test]
fn a_restart_in_the_middle_of_sending_survives_any_two_faults() {
    let works = |site: &CallSite| matches!(site.actor.role, Role::Worker | Role::Settlement);
    for tells in [false, true] {
        let closed = Some(Closed { side: Side::Buy, lasts: std::time::Duration::from_secs(2), tells });
        let scenario = Scenario::entry();
        let model = VenueModel { closed, ..VenueModel::FORGETFUL };
        let report = Exploration { pairs: works, only: sends, ..Exploration::of(&scenario, model) }.explore();
        println!("restart, told: {tells}: {} executions", report.executions);
        assert!(report.executions > 200 && report.broken.is_empty(), "{:#?}", report.broken.first());
        assert!(report.missed < report.executions / 4, "{} of {} missed", report.missed, report.executions);
    }
}

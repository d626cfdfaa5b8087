//! Exits by chain data alone: with an honest second provider, with nobody else, and against one that lies for
//! a while. Followers always end with what they should hold, whatever call fails once.

#![cfg(test)]

use std::time::Duration;

use testkit::simulation::{
    explorer::{Exploration, Report},
    scenario::Scenario,
    venue::{VenueModel, Witnesses},
};

/// The leader sells half of what it bought; the Data API shows it if `shown`.
fn half_exit(shown: bool) -> Scenario {
    let mut scenario = Scenario::exit_in_two_attempts();
    for trade in scenario.trades.iter_mut().skip(1) {
        trade.fills.truncate(1);
        trade.shown_at = trade.shown_at.filter(|_| shown);
    }
    scenario
}

fn explored(witnesses: Witnesses, shown: bool, faults: usize) -> Report {
    let scenario = half_exit(shown);
    let model = VenueModel { witnesses, ..VenueModel::PLAIN };
    let report = Exploration { faults, ..Exploration::of(&scenario, model) }.explore();
    assert!(report.broken.is_empty(), "{:#?}", report.broken.iter().take(10).collect::<Vec<_>>());
    report
}

#[test]
fn an_honest_witness_survives_any_fault() {
    assert!(explored(Witnesses::Honest, true, 1).executions > 100);
}

#[test]
fn without_a_second_provider_the_data_api_or_the_final_block_is_enough() {
    for shown in [true, false] {
        assert!(explored(Witnesses::Nobody, shown, 1).executions > 100);
    }
}

#[test]
fn a_liar_delays_an_exit_and_changes_nothing_else() {
    assert!(explored(Witnesses::AgainstLiar(Duration::from_secs(40)), true, 1).executions > 100);
}

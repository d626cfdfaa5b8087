//! Every placement of at most two faults over the calls of a copied trade, and every open question about
//! the venue. The numbers of explored executions are printed.

use testkit::simulation::{
    explorer::{Exploration, Report},
    probe::{CallSite, Role},
    scenario::{ENTRY_IS_FINAL, Scenario, at},
    stage::Stage,
    tampering::Honest,
    venue::{Reorganisation, VenueModel},
};

#[expect(clippy::print_stdout, reason = "the number of explored executions is part of the result")]
fn told(name: &str, report: Report) -> Report {
    println!(
        "{name}: {} executions explored ({} more are the same); {} calls without faults, {} of them candidates; \
         nothing bought in {}",
        report.executions, report.merged, report.calls, report.candidates, report.missed,
    );
    assert!(report.candidates > 0, "{name}: no fault was placed");
    assert!(report.broken.is_empty(), "{name}: {:#?}", report.broken.iter().take(20).collect::<Vec<_>>());
    report
}

/// `SLIPSTREAM_EVERY_CALL=1` also places second faults at every call of a wait, which takes long.
fn every_call() -> bool {
    std::env::var("SLIPSTREAM_EVERY_CALL").is_ok_and(|value| value == "1")
}

fn of(scenario: &Scenario, model: VenueModel) -> Exploration<'_> {
    Exploration { every_call: every_call(), ..Exploration::of(scenario, model) }
}

fn explored(scenario: &Scenario, model: VenueModel) -> Report {
    told(&scenario.name, of(scenario, model).explore())
}

/// Whoever signs, sends and settles.
fn sends(site: &CallSite) -> bool {
    matches!(site.actor.role, Role::Worker | Role::Settlement)
}

#[test]
fn an_entry_survives_any_two_faults() {
    let report = explored(&Scenario::entry(), VenueModel::PLAIN);
    assert!(
        report.executions > 10_000
            && report.executions + report.merged > 100_000
            && report.missed < report.executions / 10
    );
}

#[test]
fn a_killed_entry_survives_any_two_faults() {
    explored(&Scenario::entry_killed(), VenueModel::FORGETFUL);
}

#[test]
fn a_part_filled_entry_survives_any_two_faults_in_sending() {
    let scenario = Scenario::entry_part_filled();
    let exploration = Exploration { pairs: sends, ..of(&scenario, VenueModel::FORGETFUL) };
    told(&scenario.name, exploration.explore());
}

/// Every placement once the entry is final, in detection, decision, sending and settling.
fn exits(scenario: &Scenario, model: VenueModel) -> Report {
    let explore = |stage: Stage| Exploration { stage: Some(&stage), ..of(scenario, model) }.explore();
    let no_rest = |error| Report { broken: vec![error], ..Report::default() };
    let stage = Stage::of(scenario, model, &Honest, at(ENTRY_IS_FINAL));
    told(&scenario.name, stage.map_or_else(no_rest, explore))
}

#[test]
fn an_exit_survives_any_two_faults() {
    let report = exits(&Scenario::exit(), VenueModel::FORGETFUL);
    assert!(report.executions + report.merged > 20_000);
}

#[test]
fn an_exit_in_two_attempts_survives_any_two_faults() {
    let report = exits(&Scenario::exit_in_two_attempts(), VenueModel::FORGETFUL);
    assert!(report.executions + report.merged > 100_000);
}

/// Nobody buys when the leader sells: the decision notes it, the watcher looks again, and a part of its own is sold.
#[test]
fn an_exit_looked_at_again_survives_any_two_faults() {
    exits(&Scenario::exit_looked_at_again(), VenueModel::FORGETFUL);
}

/// The second sale is decided while the first exit may be in any state; and both blocks are replaced.
#[test]
fn exits_in_a_row_survive_any_two_faults() {
    let model = VenueModel { reorganisation: Reorganisation::NewIndex, ..VenueModel::FORGETFUL };
    exits(&Scenario::exits_in_a_row(), model);
}

/// A fault of the entry may still be felt when the leader sells.
#[test]
fn an_exit_survives_any_fault_since_the_entry() {
    let scenario = Scenario::exit_in_two_attempts();
    let faults = if every_call() { 2 } else { 1 };
    told(&scenario.name, Exploration { faults, ..of(&scenario, VenueModel::FORGETFUL) }.explore());
}

/// One of two exits may be sold late: the other leaves what it may take.
#[test]
fn two_exits_of_the_same_shares_survive_any_fault() {
    let scenario = Scenario::two_exits();
    let exploration = Exploration { faults: 1, ..of(&scenario, VenueModel::FORGETFUL) };
    let report = told(&scenario.name, exploration.explore());
    assert!(report.executions > 1_000, "{} executions", report.executions);
}

/// Sales, merges, transfers and splits of a leader, some in one transaction.
#[test]
fn a_leader_who_merges_is_followed_through_any_fault() {
    let scenario = Scenario::merges();
    for model in
        [VenueModel::PLAIN, VenueModel { reorganisation: Reorganisation::NextBlock, ..VenueModel::PLAIN }]
    {
        let report =
            told(&scenario.name, Exploration { faults: 1, ..Exploration::of(&scenario, model) }.explore());
        assert!(report.executions > 500, "{} executions", report.executions);
    }
}

/// What was found too late is bought once, with what the leader still holds, and follows the leader out.
#[test]
fn a_sync_survives_any_fault() {
    let scenario = Scenario::synced();
    let exploration = Exploration { faults: 1, ..of(&scenario, VenueModel::FORGETFUL) };
    let report = told(&scenario.name, exploration.explore());
    assert!(report.executions > 1_000 && report.missed < report.executions / 10);
}

//! Every placement of at most two faults over the calls of a copied trade, and every open question about
//! the venue. The numbers of explored executions are printed.

use testkit::simulation::{
    explorer::{Exploration, Report},
    probe::{CallSite, Role},
    scenario::Scenario,
    venue::{Reorganisation, VenueModel},
};

#[expect(clippy::print_stdout, reason = "the number of explored executions is part of the result")]
fn told(name: &str, report: Report) -> Report {
    println!(
        "{name}: {} executions explored ({} more are the same); {} calls without faults, {} of them candidates; \
         nothing bought in {}; {} open",
        report.executions, report.merged, report.calls, report.candidates, report.missed, report.open,
    );
    assert!(report.broken.is_empty(), "{name}: {:#?}", report.broken.iter().take(20).collect::<Vec<_>>());
    report
}

fn explored(scenario: &Scenario, model: VenueModel) -> Report {
    told(&scenario.name, Exploration::of(scenario, model).explore())
}

/// Whoever signs, sends and settles.
fn sends(site: &CallSite) -> bool {
    matches!(site.actor.role, Role::Worker | Role::Settlement)
}

#[test]
fn an_entry_survives_any_two_faults() {
    let report = explored(&Scenario::entry(), VenueModel::PLAIN);
    assert!(report.executions > 10_000 && report.missed < report.executions / 10);
}

#[test]
fn a_killed_entry_survives_any_two_faults() {
    explored(&Scenario::entry_killed(), VenueModel::FORGETFUL);
}

#[test]
fn a_part_filled_entry_survives_any_two_faults_in_sending() {
    let scenario = Scenario::entry_part_filled();
    let exploration = Exploration { pairs: sends, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
    told(&scenario.name, exploration.explore());
}

#[test]
fn an_exit_in_two_attempts_survives_any_two_faults_in_sending() {
    let scenario = Scenario::exit_in_two_attempts();
    let in_exit = |site: &CallSite| {
        let about = ["post", "look_up", "commit_signed", "claim_due", "grant_permit", "update_orders"];
        site.second >= 20 && about.contains(&site.method)
    };
    let exploration = Exploration { pairs: in_exit, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
    told(&scenario.name, exploration.explore());
}

/// One of two exits may be sold late: the other leaves what it may take.
#[test]
fn two_exits_of_the_same_shares_survive_any_fault() {
    let scenario = Scenario::two_exits();
    let exploration = Exploration { faults: 1, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
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

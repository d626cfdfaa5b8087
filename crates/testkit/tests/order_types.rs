//! Fill-or-kill entries, and orders that the venue holds back: every placement of faults in sending.

use testkit::simulation::{
    explorer::{Exploration, Report},
    probe::{CallSite, Role},
    scenario::Scenario,
    venue::VenueModel,
};

fn sends(site: &CallSite) -> bool {
    matches!(site.actor.role, Role::Worker | Role::Settlement)
}

/// The calls whose answers the open questions are about.
fn posts(site: &CallSite) -> bool {
    ["post", "post_batch", "commit_signed", "grant_permit"].contains(&site.method)
}

#[expect(clippy::print_stdout, reason = "the number of explored executions is part of the result")]
fn told(name: &str, report: Report) -> Report {
    println!(
        "{name}: {} executions explored ({} more are the same); nothing bought in {}",
        report.executions, report.merged, report.missed,
    );
    assert!(report.candidates > 0, "{name}: no fault was placed");
    assert!(report.broken.is_empty(), "{name}: {:#?}", report.broken.iter().take(20).collect::<Vec<_>>());
    report
}

#[test]
fn a_fill_or_kill_entry_survives_any_two_faults_in_sending() {
    let scenario = Scenario::whole_entry();
    let exploration = Exploration { pairs: sends, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
    let report = told(&scenario.name, exploration.explore());
    assert!(report.executions > 1_000 && report.missed < report.executions / 10);
}

/// The book holds less than the copy: nothing may be bought, whatever fails.
#[test]
fn a_killed_fill_or_kill_entry_buys_nothing_under_any_two_faults_in_sending() {
    let scenario = Scenario::whole_entry_killed();
    let exploration = Exploration { pairs: sends, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
    let report = told(&scenario.name, exploration.explore());
    assert_eq!(report.missed, report.executions);
}

/// Complaint: `status=delayed` was treated as zero fill, retried, and raced the real match (valory trader #942).
#[test]
fn a_delayed_entry_survives_any_two_faults_in_sending() {
    let scenario = Scenario::entry();
    let exploration = Exploration { pairs: sends, ..Exploration::of(&scenario, VenueModel::HOLDING) };
    let report = told("entry, held back", exploration.explore());
    assert!(report.missed < report.executions / 10);
}

/// The same answered with "live", which an order that never rests cannot be: its outcome is open.
#[test]
fn an_entry_called_live_survives_any_two_faults_in_sending() {
    let (scenario, model) = (Scenario::entry(), VenueModel { says_live: true, ..VenueModel::HOLDING });
    let exploration = Exploration { pairs: sends, ..Exploration::of(&scenario, model) };
    let report = told("entry, called live", exploration.explore());
    assert!(report.missed < report.executions / 10);
}

#[test]
fn a_delayed_exit_is_safe_with_one_fault_in_sending() {
    let scenario = Scenario::exit_in_two_attempts();
    let exploration =
        Exploration { faults: 1, only: sends, ..Exploration::of(&scenario, VenueModel::HOLDING) };
    told("exit, held back", exploration.explore());
}

fn posts_together(site: &CallSite) -> bool {
    site.method == "post_batch"
}

/// Two orders in one request, one of them killed: whatever is lost of the request or its answer, each order
/// ends by its own evidence.
#[test]
fn two_entries_of_one_request_survive_any_two_faults_around_it() {
    let scenario = Scenario::two_entries();
    let exploration = Exploration { pairs: posts, ..Exploration::of(&scenario, VenueModel::FORGETFUL) };
    assert!(exploration.run(&[]).sites.iter().any(posts_together), "they share a request");
    told(&scenario.name, exploration.explore());
}

#[test]
fn two_exits_of_one_request_survive_one_fault_in_sending() {
    let scenario = Scenario::two_exits_at_once();
    let exploration = Exploration { faults: 1, only: posts, ..Exploration::of(&scenario, VenueModel::PLAIN) };
    let together = exploration.run(&[]).sites.iter().filter(|site| posts_together(site)).count();
    assert_eq!(together, 2, "entries share a request, and exits");
    for model in [VenueModel::PLAIN, VenueModel::FORGETFUL, VenueModel::HOLDING] {
        told(&scenario.name, Exploration { model, ..exploration }.explore());
    }
}

#[test]
fn delays_are_safe_on_every_venue_with_one_fault() {
    let mut broken = Vec::new();
    for scenario in [Scenario::entry_part_filled(), Scenario::whole_entry()] {
        for model in VenueModel::all_holding() {
            let exploration = Exploration { faults: 1, only: posts, ..Exploration::of(&scenario, model) };
            broken.extend(exploration.explore().broken.into_iter().map(|what| format!("{model:?}: {what}")));
        }
    }
    assert!(broken.is_empty(), "{}: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

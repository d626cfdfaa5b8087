//! Every placement of at most two faults.

use testkit::simulation::{explorer::Exploration, scenario::Scenario, venue::VenueModel};

fn explore(scenario: &Scenario, model: VenueModel, faults: usize) {
    let began = std::time::Instant::now();
    let report = Exploration { faults, ..Exploration::of(scenario, model) }.explore();
    println!(
        "{}: {} executions, {} calls, {} candidates, {} merged, {} missed, {} stranded, {} broken in {:?}",
        scenario.name,
        report.executions,
        report.calls,
        report.candidates,
        report.merged,
        report.missed,
        report.stranded,
        report.broken.len(),
        began.elapsed()
    );
    for broken in report.broken.iter().take(12) {
        println!("  {broken}");
    }
    assert!(report.broken.is_empty());
}

#[test]
fn an_entry_survives_any_two_faults() {
    let faults = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    explore(&Scenario::entry(), VenueModel::PLAIN, faults);
}
#[test]
fn exit() {
    let faults = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    explore(&Scenario::exit_in_two_attempts(), VenueModel::PLAIN, faults);
}
#[test]
fn part() {
    let faults = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    explore(&Scenario::entry_part_filled(), VenueModel::PLAIN, faults);
}
#[test]
fn killed() {
    let faults = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    explore(&Scenario::entry_killed(), VenueModel::PLAIN, faults);
}

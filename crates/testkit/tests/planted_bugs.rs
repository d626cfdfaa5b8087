//! Every planted bug is caught by the checks that the honest engine passes.

use testkit::simulation::planted;

#[test]
fn every_planted_bug_is_caught() {
    let bugs = planted::all();
    let mut escaped = Vec::new();
    for bug in &bugs {
        let report = bug.hunt();
        match report.broken.first() {
            Some(what) => println!("{}: caught after {} executions: {what}", bug.name, report.executions),
            None => escaped.push(format!("{} ({} executions)", bug.name, report.executions)),
        }
    }
    for bug in bugs.iter().filter(|bug| bug.faults() > 1) {
        let report = bug.hunt_with(bug.faults() - 1);
        assert!(report.executions > 100 && report.broken.is_empty(), "{}: takes fewer faults", bug.name);
    }
    println!("{} bugs planted, {} caught", bugs.len(), bugs.len() - escaped.len());
    assert!(bugs.len() >= 15 && escaped.is_empty(), "not caught: {escaped:#?}");
}

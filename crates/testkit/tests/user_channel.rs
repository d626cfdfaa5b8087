//! What the venue tells by itself, late, twice and long overtaken, as one more source of evidence beside replies,
//! look-ups and the chain.

#![cfg(test)]

use testkit::simulation::{
    explorer::Exploration,
    planted,
    probe::{CallSite, Role},
    scenario::Scenario,
    venue::VenueModel,
};

/// Orders that settle, fail, match in part and not at all, and exits, on venues that hold orders back.
fn scenarios() -> [Scenario; 5] {
    let failing = Scenario { failing_every: Some(1), ..Scenario::entry() };
    let all = [
        Scenario::entry(),
        failing,
        Scenario::entry_part_filled(),
        Scenario::entry_killed(),
        Scenario::exit_in_two_attempts(),
    ];
    all.map(Scenario::listening)
}

#[test]
fn frames_are_safe_on_every_venue_that_holds_orders_back() {
    let mut venues = 0;
    for scenario in scenarios() {
        for model in VenueModel::all_holding() {
            let report = Exploration { faults: 0, ..Exploration::of(&scenario, model) }.explore();
            assert!(report.broken.is_empty(), "{} {model:?}: {:#?}", scenario.name, report.broken);
            venues += 1;
        }
    }
    println!("{venues} venues");
}

/// Whoever listens, and whoever acts on the same orders.
fn hears(site: &CallSite) -> bool {
    site.actor.role == Role::Listener || ["post", "update_orders", "look_up"].contains(&site.method)
}

#[test]
fn frames_are_safe_under_any_fault_of_who_hears_them() {
    for scenario in scenarios() {
        let exploration =
            Exploration { faults: 1, only: hears, ..Exploration::of(&scenario, VenueModel::HOLDING) };
        let report = exploration.explore();
        println!("{}: {} executions", scenario.name, report.executions);
        assert!(
            report.broken.is_empty(),
            "{}: {:#?}",
            scenario.name,
            report.broken.iter().take(5).collect::<Vec<_>>()
        );
    }
}

#[test]
fn matches_under_other_ids_are_replaced_by_the_next_look_up() {
    let report = planted::other_ids_on_the_channel().hunt();
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
}

//! The open questions about the venue: safe under every combination with one fault in sending, and with two
//! faults by seed. `SLIPSTREAM_SEEDS=n` tries more pairs.

use testkit::simulation::{explorer::Exploration, probe::CallSite, scenario::Scenario, venue::VenueModel};

/// The calls whose answers the open questions are about.
fn sends(site: &CallSite) -> bool {
    let about = ["post", "commit_signed", "grant_permit"];
    about.contains(&site.method)
}

#[test]
fn an_entry_is_safe_on_every_venue_with_one_fault() {
    let scenario = Scenario::entry_part_filled();
    let models = VenueModel::all();
    let (mut executions, mut broken) = (0, Vec::new());
    for model in &models {
        let report = Exploration { faults: 1, only: sends, ..Exploration::of(&scenario, *model) }.explore();
        executions += report.executions;
        broken.extend(report.broken.into_iter().take(1).map(|what| format!("{model:?}: {what}")));
    }
    println!("{} venues, {executions} executions", models.len());
    assert!(broken.is_empty(), "{} venues: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

#[test]
fn an_exit_is_safe_on_every_venue_without_faults() {
    let scenario = Scenario::exit_in_two_attempts();
    let (mut executions, mut broken) = (0, Vec::new());
    for model in VenueModel::all() {
        let report = Exploration { faults: 0, ..Exploration::of(&scenario, model) }.explore();
        executions += report.executions;
        broken.extend(report.broken.into_iter().map(|what| format!("{model:?}: {what}")));
    }
    println!("{executions} venues");
    assert!(broken.is_empty(), "{} venues: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

#[test]
fn two_faults_by_seed_are_safe_on_every_venue() {
    let seeds =
        std::env::var("SLIPSTREAM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_u64);
    let (entry, exit) = (Scenario::entry(), Scenario::exit_in_two_attempts());
    let models = VenueModel::all();
    let mut broken = Vec::new();
    for seed in 0..seeds {
        let scenario = if seed % 2 == 0 { &entry } else { &exit };
        let model = models[usize::try_from(seed * 7_919).unwrap() % models.len()];
        let exploration = Exploration::of(scenario, model);
        let run = exploration.random_pair(seed);
        if !run.judgement.broken.is_empty() {
            broken.push(format!("seed {seed} {model:?}: {}", run.story()));
        }
    }
    println!("{seeds} executions with two random faults");
    assert!(broken.is_empty(), "{}: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

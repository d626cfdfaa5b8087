//! The open questions about the venue: safe under every combination with one fault in sending and looking up, and with
//! two faults by seed. `SLIPSTREAM_SEEDS=n` tries more pairs. Each venue gets every placement of an entry's fault, and its
//! share of the others; `SLIPSTREAM_EVERY_CALL=1` tries all of them on every venue, which takes many minutes.

use testkit::simulation::{
    explorer::Exploration,
    probe::CallSite,
    scenario::{ENTRY_IS_FINAL, Scenario, at},
    stage::Stage,
    tampering::Honest,
    venue::VenueModel,
};

/// A venue gets one of so many placements of a fault in an entry that is filled or killed, another one than its neighbour …
const WHOLE_SHARE: usize = 12;
/// … and in an exit.
const EXIT_SHARE: usize = 12;

/// The placements of the n-th venue.
fn share(number: usize, share: usize) -> (usize, usize) {
    let every_call = std::env::var("SLIPSTREAM_EVERY_CALL").is_ok_and(|value| value == "1");
    if every_call { (0, 1) } else { (number % share, share) }
}

/// The calls whose answers the open questions are about.
fn sends(site: &CallSite) -> bool {
    let about = ["post", "commit_signed", "grant_permit"];
    about.contains(&site.method)
}

/// Those, and the questions of what became of an order.
fn sends_and_looks(site: &CallSite) -> bool {
    sends(site) || ["look_up", "update_orders"].contains(&site.method)
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
fn a_fill_or_kill_entry_is_safe_on_every_venue_with_one_fault() {
    let (models, mut executions, mut broken) = (VenueModel::all(), 0, Vec::new());
    for scenario in [Scenario::whole_entry(), Scenario::whole_entry_killed()] {
        for (number, model) in models.iter().enumerate() {
            let (sample, of) = (share(number, WHOLE_SHARE), Exploration::of(&scenario, *model));
            let report = Exploration { faults: 1, only: sends, sample, ..of }.explore();
            executions += report.executions;
            broken.extend(report.broken.into_iter().take(1).map(|what| format!("{model:?}: {what}")));
        }
    }
    println!("{} venues, {executions} executions", models.len());
    assert!(executions > models.len(), "{executions} executions");
    assert!(broken.is_empty(), "{} venues: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

/// From a stored moment at which the entry is final, where the venue lets it be final by then.
#[test]
fn an_exit_is_safe_on_every_venue_with_one_fault() {
    let scenario = Scenario::exit_in_two_attempts();
    let (models, mut executions, mut broken) = (VenueModel::all(), 0, Vec::new());
    for (number, model) in models.iter().enumerate() {
        let stage = Stage::of(&scenario, *model, &Honest, at(ENTRY_IS_FINAL)).ok();
        let (sample, stage) = (share(number, EXIT_SHARE), stage.as_ref());
        let of = Exploration::of(&scenario, *model);
        let report = Exploration { faults: 1, only: sends_and_looks, sample, stage, ..of }.explore();
        executions += report.executions;
        broken.extend(report.broken.into_iter().take(1).map(|what| format!("{model:?}: {what}")));
    }
    println!("{} venues, {executions} executions", models.len());
    assert!(executions > 2 * models.len(), "{executions} executions");
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
            broken.push(format!("seed {seed} {model:?}: {}", exploration.shrunk(&run).story()));
        }
    }
    println!("{seeds} executions with two random faults");
    assert!(broken.is_empty(), "{}: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

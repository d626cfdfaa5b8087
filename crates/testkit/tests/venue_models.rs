//! The open questions about the venue: every combination of answers with one fault in sending an entry, and with a share of
//! the faults of exits and of entries that are filled or killed, so chosen that each of these faults meets every two answers
//! together; and two faults by seed. `SLIPSTREAM_SEEDS=n` tries more pairs, `SLIPSTREAM_EVERY_CALL=1` every fault on every
//! venue, which takes many minutes.

use std::collections::BTreeSet;

use testkit::simulation::{
    explorer::{Exploration, share_of},
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
    if every_call { (0, 1) } else { share_of(number, share) }
}

/// How a venue answers each question.
fn answers(model: &VenueModel) -> [u64; 8] {
    [
        model.duplicated as u64,
        u64::from(model.executes_again),
        model.look_up_lag.as_secs(),
        model.acceptance_delay.as_secs(),
        u64::from(model.replaced_tx),
        model.reorganisation as u64,
        model.maximum_age.map_or(0, |age| age.as_secs()),
        u64::from(model.shows_done_orders),
    ]
}

/// Every two answers together.
fn pairs(answers: [u64; 8]) -> impl Iterator<Item = [(usize, u64); 2]> {
    let pair = move |first: usize| {
        (first + 1..answers.len()).map(move |second| [(first, answers[first]), (second, answers[second])])
    };
    (0..answers.len()).flat_map(pair)
}

/// Every fault that only a share of the venues gets is tried with every two answers to different questions.
#[test]
fn every_share_meets_every_two_answers() {
    let models = VenueModel::all();
    let all: BTreeSet<_> = models.iter().flat_map(|model| pairs(answers(model))).collect();
    assert!(all.len() > 100, "{}", all.len());
    for share in [WHOLE_SHARE, EXIT_SHARE] {
        for sample in 0..share {
            let gets =
                models.iter().enumerate().filter(|(number, _)| share_of(*number, share) == (sample, share));
            let met: BTreeSet<_> = gets.flat_map(|(_, model)| pairs(answers(model))).collect();
            let missing: Vec<_> = all.difference(&met).collect();
            assert!(missing.is_empty(), "share {sample} of {share} never meets {missing:?}");
        }
    }
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
    let (mut broken, mut met) = (Vec::new(), BTreeSet::new());
    for seed in 0..seeds {
        let scenario = if seed % 2 == 0 { &entry } else { &exit };
        let model = models[usize::try_from(seed / 2 * 7_919).unwrap() % models.len()];
        met.extend(pairs(answers(&model)).map(|pair| (seed % 2, pair)));
        let exploration = Exploration::of(scenario, model);
        let run = exploration.random_pair(seed);
        if !run.judgement.broken.is_empty() {
            broken.push(format!("seed {seed} {model:?}: {}", exploration.shrunk(&run).story()));
        }
    }
    println!("{seeds} executions with two random faults");
    let all: BTreeSet<_> = models.iter().flat_map(|model| pairs(answers(model))).collect();
    assert!(seeds < 1_000 || met.len() == 2 * all.len(), "entries and exits on venues of every two answers");
    assert!(broken.is_empty(), "{}: {:#?}", broken.len(), broken.iter().take(5).collect::<Vec<_>>());
}

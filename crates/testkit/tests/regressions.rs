//! Small cases that once went wrong, each named after what must hold.

use testkit::simulation::{
    explorer::{Exploration, Report},
    probe::{CallSite, Role},
    scenario::Scenario,
    venue::{Reorganisation, VenueModel},
};

/// One fault at every call for which `only` holds.
fn single_faults(scenario: &Scenario, model: VenueModel, only: fn(&CallSite) -> bool) -> Report {
    let report = Exploration { faults: 1, only, ..Exploration::of(scenario, model) }.explore();
    assert!(report.candidates > 0, "nothing was tried");
    report
}

/// `prepare` had no deadline: two silent answers stopped both workers for ever.
#[test]
fn a_signer_that_never_answers_stops_no_worker() {
    let report = single_faults(&Scenario::entry(), VenueModel::PLAIN, |site| site.method == "prepare");
    assert_eq!(report.broken, Vec::<String>::new());
}

/// The history showed a trade under the replaced hash before the chain was read: a second hint, decided as a
/// second trade.
#[test]
fn a_replaced_hash_in_the_history_is_not_bought_twice() {
    let model = VenueModel { replaced_tx: true, ..VenueModel::PLAIN };
    let report = single_faults(&Scenario::entry(), model, |site| site.actor.role == Role::Watcher);
    assert_eq!(report.broken, Vec::<String>::new());
}

/// The check before sending counted from the commit, the committed deadline from planning: a worker held up
/// between the two sent after the deadline.
#[test]
fn a_worker_held_up_while_planning_sends_nothing_late() {
    let scenario = Scenario::entry();
    let plans = |site: &CallSite| ["market", "prepare", "pop", "load_waiting"].contains(&site.method);
    let exploration =
        Exploration { only: plans, pairs: plans, ..Exploration::of(&scenario, VenueModel::PLAIN) };
    assert_eq!(exploration.explore().broken, Vec::<String>::new());
}

/// The reply to a second post of the same bytes returned the permit of the first, which was still on its way;
/// and an order shown by the venue counted as proof that all its sends had arrived. The next attempt was
/// signed, the first post arrived, and more was sold than was held.
#[test]
fn a_post_that_arrives_late_never_sells_twice() {
    for shared_instances in [true, false] {
        let scenario = Scenario { shared_instances, ..Scenario::exit_in_two_attempts() };
        let report = single_faults(&scenario, VenueModel::FORGETFUL, |site| site.method == "post");
        assert_eq!(report.broken, Vec::<String>::new());
    }
}

/// A watcher that was away read a buy and its sale in one batch: the sale was decided before the buy's block
/// was written, so the buy counted as later, nothing was sold, and nobody looked again.
#[test]
fn an_exit_read_together_with_its_buy_is_carried_out() {
    let scenario = Scenario::exit_in_two_attempts();
    let pushed = |site: &CallSite| site.actor.role == Role::Watcher && site.method == "push";
    let report = single_faults(&scenario, VenueModel::PLAIN, pushed);
    assert_eq!(report.broken, Vec::<String>::new());
}

/// Commit 1 took effect, its answer was lost and the repetition failed: the watcher forgot the block it had stored. The
/// block was replaced, its fill came back under another index, and both were booked.
#[test]
fn a_block_stored_by_a_lost_commit_is_known_when_it_is_replaced() {
    let model = VenueModel { reorganisation: Reorganisation::NewIndex, ..VenueModel::PLAIN };
    let commits = |site: &CallSite| site.method == "commit_detection";
    for scenario in [Scenario::entry(), Scenario::exit()] {
        let exploration = Exploration { only: commits, pairs: commits, ..Exploration::of(&scenario, model) };
        let report = exploration.explore();
        assert!(report.executions + report.merged > 100, "{} placements", report.executions + report.merged);
        assert_eq!(report.broken, Vec::<String>::new());
    }
}

//! Planted bugs: wrong behaviours in wrappers around the engine's ports. Each must be caught by the same
//! checks that the honest engine passes, else the checks are worth nothing.

mod outside;
mod store;

use std::sync::Arc;

use domain::Timestamp;

use super::{
    explorer::{Exploration, Report},
    faulty::Layered,
    probe::{CallSite, Role},
    scenario::{Action, ENTRY_IS_FINAL, Scenario, at, fill},
    stage::Stage,
    tampering::{Bench, Tampering},
    venue::{Reorganisation, VenueModel, Witnesses},
    world::{START, StoreFactory},
};
use crate::memory_store::MemoryStore;

use outside::OutsideBug;
use store::{StoreBug, WrongStore};

/// A bug and the place where it shows.
pub struct Planted {
    /// What is wrong, in words.
    pub name: &'static str,
    bug: Bug,
    scenario: Scenario,
    model: VenueModel,
    faults: usize,
    /// From when on it is hunted.
    begins: Option<Timestamp>,
    /// Where pairs of faults are placed.
    pairs: fn(&CallSite) -> bool,
}

#[derive(Clone, Copy)]
enum Bug {
    Store(StoreBug),
    Outside(OutsideBug),
    /// The store lets exits sell what others sell.
    SellsTwice,
}

impl Tampering for Bug {
    fn tamper(&self, bench: Bench) -> Bench {
        match *self {
            Self::Store(bug) => Bench { store: Arc::new(Layered(WrongStore::new(bug, &bench))), ..bench },
            Self::Outside(bug) => outside::tamper(bug, bench),
            Self::SellsTwice => bench,
        }
    }
}

impl Tampering for Planted {
    fn tamper(&self, bench: Bench) -> Bench {
        self.bug.tamper(bench)
    }
}

impl Planted {
    /// Explores until the bug is caught. What caught it is the report's first broken execution.
    #[must_use]
    pub fn hunt(&self) -> Report {
        self.hunt_with(self.faults)
    }

    /// The same with at most so many faults.
    #[must_use]
    pub fn hunt_with(&self, faults: usize) -> Report {
        let stage = self.begins.map(|at| Stage::of(&self.scenario, self.model, &self.bug, at));
        // A stage without rest is no place to hunt: nothing is explored, nothing caught.
        let Ok(stage) = stage.transpose() else { return Report::default() };
        let store: &StoreFactory = match self.bug {
            Bug::SellsTwice => &|clock| Arc::new(MemoryStore::selling_twice(clock)),
            Bug::Store(_) | Bug::Outside(_) => &|clock| Arc::new(MemoryStore::new(clock)),
        };
        let exploration = Exploration {
            store,
            tampering: &self.bug,
            faults,
            first_only: true,
            stage: stage.as_ref(),
            pairs: self.pairs,
            ..Exploration::of(&self.scenario, self.model)
        };
        exploration.explore()
    }

    /// How many faults it takes to catch it.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.faults
    }
}

/// Every planted bug.
#[must_use]
pub fn all() -> Vec<Planted> {
    let mut bugs = sending();
    bugs.extend(detecting());
    bugs.extend(booking());
    bugs.extend(hearing());
    bugs.push(late_bytes());
    bugs
}

/// The bytes of an exit hang in the network and their sender dies: only two faults show it, and only exits have a
/// second attempt.
fn late_bytes() -> Planted {
    let name = "bytes die with their sender";
    let bug = Bug::Store(StoreBug::ForgetsLateBytes);
    let sends = |site: &CallSite| site.actor.role == Role::Worker;
    Planted {
        begins: Some(at(ENTRY_IS_FINAL)),
        pairs: sends,
        ..planted(name, bug, Scenario::exit_in_two_attempts(), VenueModel::FORGETFUL, 2)
    }
}

fn planted(name: &'static str, bug: Bug, scenario: Scenario, model: VenueModel, faults: usize) -> Planted {
    Planted { name, bug, scenario, model, faults, begins: None, pairs: |_| true }
}

fn sending() -> Vec<Planted> {
    let (entry, exit) = (Scenario::entry, Scenario::exit_in_two_attempts);
    let (plain, forgetful) = (VenueModel::PLAIN, VenueModel::FORGETFUL);
    let store = Bug::Store;
    vec![
        planted(
            "a timeout is answered with a new order",
            Bug::Outside(OutsideBug::SignsAnew),
            entry(),
            plain,
            1,
        ),
        planted(
            "answers of one request are given to the wrong orders",
            Bug::Outside(OutsideBug::MixesAnswersUp),
            Scenario::two_entries(),
            plain,
            0,
        ),
        planted(
            "one answer stands for all orders of a request",
            Bug::Outside(OutsideBug::OneAnswerForAll),
            Scenario::two_entries(),
            plain,
            0,
        ),
        planted(
            "a killed entry is tried again",
            store(StoreBug::TriesKilledEntryAgain),
            Scenario::entry_killed(),
            plain,
            0,
        ),
        planted(
            "the next attempt does not wait for permits",
            store(StoreBug::NextAttemptAtOnce),
            exit(),
            plain,
            1,
        ),
        planted(
            "a lost commit is taken for done",
            store(StoreBug::TakesLostCommitForDone),
            entry(),
            plain,
            1,
        ),
        planted("a lost race is taken for won", store(StoreBug::TakesLostRaceForWon), exit(), plain, 1),
        planted("unseen orders are given up at once", store(StoreBug::GivesUpAtOnce), exit(), plain, 1),
        planted(
            "bytes are sent again after their deadline",
            store(StoreBug::ForgetsDeadline),
            entry(),
            late(),
            0,
        ),
        planted(
            "a timeout returns the permit",
            store(StoreBug::ReturnsPermitOnTimeout),
            exit(),
            forgetful,
            1,
        ),
        planted(
            "leases are judged by a skewed clock",
            store(StoreBug::SkewsLeases),
            two_watchers(),
            plain,
            0,
        ),
        planted(
            "a pause is not honoured at signing",
            store(StoreBug::SignsWhilePaused),
            paused_late(),
            plain,
            1,
        ),
        planted(
            "the rescuer adds instead of replacing",
            Bug::Outside(OutsideBug::FloodsQueue),
            one_worker(),
            plain,
            1,
        ),
    ]
}

fn detecting() -> Vec<Planted> {
    let entry = Scenario::entry;
    let plain = VenueModel::PLAIN;
    let replaced = VenueModel { replaced_tx: true, ..plain };
    let moved = VenueModel { reorganisation: Reorganisation::NextBlock, ..plain };
    let renumbered = VenueModel { reorganisation: Reorganisation::NewIndex, ..plain };
    let store = Bug::Store;
    vec![
        planted("rows are counted over pages", Bug::Outside(OutsideBug::CountsOverPages), entry(), plain, 0),
        planted("sources are added up", store(StoreBug::AddsSourcesUp), entry(), plain, 0),
        planted(
            "a replaced transaction is a new trade",
            store(StoreBug::ForgetsRelatedGroups),
            entry(),
            replaced,
            0,
        ),
        planted(
            "decisions are repeated after a restart",
            store(StoreBug::DecidesAgainAfterRestart),
            entry(),
            plain,
            1,
        ),
        planted("a reorganisation is ignored", store(StoreBug::IgnoresReorganisation), entry(), moved, 0),
        planted(
            "a fill under a new log index is counted again",
            store(StoreBug::KnowsFillsByLogIndex),
            entry(),
            renumbered,
            0,
        ),
        planted("logs are read twice", Bug::Outside(OutsideBug::ReadsLogsTwice), entry(), plain, 0),
        planted(
            "a merge is counted as trade and transfer",
            Bug::Outside(OutsideBug::CountsFillsAsMoves),
            Scenario::merges(),
            plain,
            0,
        ),
        planted(
            "a transfer to another wallet is sold",
            Bug::Outside(OutsideBug::SellsTransfers),
            Scenario::merges(),
            plain,
            0,
        ),
        planted("a part is called complete too early", store(StoreBug::SkipsFollowers), entry(), plain, 0),
        planted(
            "a late row under a hash that was replaced is another trade",
            store(StoreBug::TakesToldForShown),
            shown_late(),
            replaced,
            0,
        ),
        planted(
            "what a leader kept in a block that is gone goes on counting",
            store(StoreBug::KeepsFactorsOfGoneBlocks),
            half_exit(),
            moved,
            0,
        ),
    ]
}

fn booking() -> Vec<Planted> {
    let plain = VenueModel::PLAIN;
    let store = Bug::Store;
    vec![
        planted(
            "a state absorbs late fills",
            store(StoreBug::AbsorbsLateFills),
            Scenario::entry_killed(),
            VenueModel::FORGETFUL,
            1,
        ),
        planted(
            "a reservation is given back twice",
            store(StoreBug::ReleasesTwice),
            Scenario::entry(),
            plain,
            0,
        ),
        planted("the fee is forgotten", Bug::Outside(OutsideBug::ForgetsFee), Scenario::entry(), plain, 0),
        planted(
            "a failed settlement is not reversed",
            Bug::Outside(OutsideBug::NoFailure),
            failing(),
            plain,
            0,
        ),
        planted(
            "what is held counts twice in an exit",
            store(StoreBug::CountsHeldTwice),
            half_exit(),
            plain,
            0,
        ),
        planted("an exit sells what another one may sell", Bug::SellsTwice, Scenario::two_exits(), plain, 0),
        planted(
            "an exit is decided on the word of one provider",
            Bug::Outside(OutsideBug::BelievesOneProvider),
            half_exit(),
            liar(),
            0,
        ),
        planted(
            "an attempt that was filled is not followed once the next is signed",
            store(StoreBug::ForgetsEarlierAttempts),
            Scenario::exit_in_two_attempts(),
            plain,
            0,
        ),
        planted("what is booked is forgotten", store(StoreBug::ForgetsBookings), Scenario::entry(), plain, 0),
    ]
}

fn hearing() -> Vec<Planted> {
    let plain = VenueModel::PLAIN;
    // Half a second after a block, so that the feed tells of a trade before the next one.
    let hearing = |mut scenario: Scenario| {
        let half = std::time::Duration::from_millis(500);
        scenario.trades.iter_mut().for_each(|trade| trade.at = trade.at.plus(half));
        scenario.hearing((START, START))
    };
    let mut retold = hearing(Scenario::entry());
    // One fill, so that the sum of what is told is the whole.
    retold.trades.iter_mut().for_each(|trade| trade.fills = vec![fill(400, 50)]);
    let mut kept = hearing(Scenario::entry());
    kept.processes = vec![
        vec![Role::Watcher, Role::Settlement, Role::Rescuer, Role::ExitWorker],
        vec![Role::Worker, Role::Settlement],
    ];
    let mut unheard_of = hearing(half_exit());
    unheard_of.trades.iter_mut().skip(1).for_each(|trade| trade.dropped = true);
    let managed = Scenario { managed: true, ..hearing(Scenario::entry()) };
    vec![
        planted(
            "a message of the live feed is counted each time it comes",
            Bug::Outside(OutsideBug::CountsMessagesTwice),
            retold,
            plain,
            0,
        ),
        planted(
            "what the live feed tells of is taken for mined",
            Bug::Outside(OutsideBug::MinesHints),
            unheard_of,
            plain,
            0,
        ),
        planted(
            "a leader's hints count although its wallet is ours",
            Bug::Store(StoreBug::ForgetsOwnWallets),
            managed,
            plain,
            0,
        ),
        planted(
            "who is kept for exits takes entries",
            Bug::Outside(OutsideBug::TakesEntries),
            kept,
            plain,
            0,
        ),
    ]
}

/// A user channel that names matched trades by other ids than the look-ups do: no bug of ours, and nothing may come of it,
/// because the next list of trades replaces what is known.
#[must_use]
pub fn other_ids_on_the_channel() -> Planted {
    planted(
        "the user channel names matched trades by other ids",
        Bug::Outside(OutsideBug::RenamesMatches),
        failing().listening(),
        VenueModel::HOLDING,
        0,
    )
}

/// The user pauses while the order waits for its second try at signing.
fn paused_late() -> Scenario {
    let mut scenario = Scenario::entry();
    scenario.actions.push((at(5).plus(std::time::Duration::from_millis(500)), Action::Pause(0)));
    scenario
}

/// A second watcher stands by.
fn two_watchers() -> Scenario {
    let mut scenario = Scenario::entry();
    for process in &mut scenario.processes {
        if !process.contains(&Role::Watcher) {
            process.push(Role::Watcher);
        }
    }
    scenario
}

/// Nobody else takes what a paused worker has left.
fn one_worker() -> Scenario {
    let mut scenario = Scenario::entry();
    scenario.processes.truncate(1);
    scenario
}

/// The venue takes orders 45 seconds late.
fn late() -> VenueModel {
    let seconds = std::time::Duration::from_secs;
    VenueModel { acceptance_delay: seconds(45), ..VenueModel::PLAIN }
}

fn failing() -> Scenario {
    Scenario { failing_every: Some(1), ..Scenario::entry() }
}

/// For 40 s one of two providers says after each exit that the leader has nothing left.
fn liar() -> VenueModel {
    let lasting = std::time::Duration::from_secs(40);
    VenueModel { witnesses: Witnesses::AgainstLiar(lasting), ..VenueModel::PLAIN }
}

/// The history shows the trade when the chain has told of it.
fn shown_late() -> Scenario {
    let mut scenario = Scenario::entry();
    scenario.trades.iter_mut().for_each(|trade| trade.shown_at = Some(at(14)));
    scenario
}

fn half_exit() -> Scenario {
    let mut scenario = Scenario::exit_in_two_attempts();
    for trade in scenario.trades.iter_mut().skip(1) {
        trade.fills.truncate(1);
    }
    scenario
}

//! Bounded-exhaustive search: every placement of at most two faults over the calls of a run.
//!
//! What is left out, and why that loses nothing:
//! - A fault at a call that its caller makes again while nothing has changed the world in between is the
//!   same as one at the first of these calls, later ([`super::probe`]).
//! - A pause or crash after a call is one before the caller's next call.
//! - A question without an answer fails at its deadline, if it has one (which the judge checks): as second
//!   fault it is a failure.
//! - Two runs in which from a call on the same callers make the same calls, each on the same stored orders,
//!   permits and decisions and the same books of the venue, and which end the same, are continued once: a second
//!   fault there is placed in one of them only (see `merging.rs`).
//! - While somebody waits and nothing changes but leases, a second fault is placed at the first and the last of the
//!   calls that a caller repeats, unless [`Exploration::every_call`] is wanted.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    judge::{Judgement, judge},
    merging::Merging,
    probe::{CallSite, Planned},
    scenario::Scenario,
    shrinking::shrink,
    stage::Stage,
    tampering::{Honest, Tampering},
    venue::VenueModel,
    world::{Experiment, StoreFactory, World, in_words},
};
use crate::memory_store::MemoryStore;

/// A run and its verdict.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was planned to go wrong.
    pub faults: Vec<Planned>,
    /// What it came to.
    pub judgement: Judgement,
    /// Where faults could be placed.
    pub sites: Vec<CallSite>,
    /// Calls in all.
    pub calls: usize,
}

/// What an exploration found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Executions, the fault-free one included.
    pub executions: usize,
    /// Calls of the fault-free run.
    pub calls: usize,
    /// Candidates among them.
    pub candidates: usize,
    /// Second faults that others stand for.
    pub merged: usize,
    /// Executions in which nothing was bought.
    pub missed: usize,
    /// Broken executions, in words.
    pub broken: Vec<String>,
}

/// What is explored.
pub struct Exploration<'a> {
    /// What happens.
    pub scenario: &'a Scenario,
    /// How the venue behaves.
    pub model: VenueModel,
    /// What it is stored in.
    pub store: &'a StoreFactory,
    /// What is wrong with the engine, if anything.
    pub tampering: &'a dyn Tampering,
    /// At most this many faults: 1 or 2.
    pub faults: usize,
    /// Which candidates get a fault.
    pub only: fn(&CallSite) -> bool,
    /// Which candidates get a fault in pairs.
    pub pairs: fn(&CallSite) -> bool,
    /// Of the placements of one fault, each n-th from the m-th on, as (m, n).
    pub sample: (usize, usize),
    /// From when on; from the beginning, if not said.
    pub stage: Option<&'a Stage>,
    /// Whether second faults are placed at every call of a wait.
    pub every_call: bool,
    /// Stops at the first broken execution.
    pub first_only: bool,
}

/// The share of the placements that the n-th of many venues gets, for [`Exploration::sample`]. Venues are listed with their
/// answers to the first questions changing slowest: what changes in any digit of the number (to base `of`) changes the
/// share, so that no share is tied to an answer.
#[must_use]
pub fn share_of(number: usize, of: usize) -> (usize, usize) {
    let of = of.max(2);
    let (mut left, mut sum) = (number, 0);
    while left > 0 {
        sum += left % of;
        left /= of;
    }
    (sum % of, of)
}

impl<'a> Exploration<'a> {
    /// All placements of at most two faults in a scenario.
    #[must_use]
    pub fn of(scenario: &'a Scenario, model: VenueModel) -> Self {
        Self {
            scenario,
            model,
            store: &|clock| std::sync::Arc::new(MemoryStore::new(clock)),
            tampering: &Honest,
            faults: 2,
            only: |_| true,
            pairs: |_| true,
            sample: (0, 1),
            stage: None,
            every_call: false,
            first_only: false,
        }
    }

    /// Explores, on every core.
    #[must_use]
    pub fn explore(&self) -> Report {
        let base = self.run(&[]);
        let mut report = Report {
            calls: base.calls,
            candidates: base.sites.iter().filter(|site| (self.only)(site)).count(),
            ..Report::default()
        };
        report.take(&base);
        if self.faults == 0 || (self.first_only && !report.broken.is_empty()) {
            return report;
        }
        let (from, every) = self.sample;
        let singles: Vec<_> = self.placements(&base).into_iter().skip(from).step_by(every.max(1)).collect();
        let singles = self.run_all(&singles, &mut report);
        if self.faults < 2 || (self.first_only && !report.broken.is_empty()) {
            return report;
        }
        let pairs = self.pairs_of(&base, &singles, &mut report);
        self.run_all(&pairs, &mut report);
        report
    }

    /// Plans with a second fault that no other plan stands for.
    fn pairs_of(&self, base: &Run, singles: &[Run], report: &mut Report) -> Vec<Vec<Planned>> {
        let mut merging = Merging::new(base, !self.every_call);
        let mut pairs = Vec::new();
        for run in singles.iter().filter(|run| self.may_be_first(run)) {
            let known = merging.known_in(run);
            let is_known = |plan: &Vec<Planned>| plan.last().is_some_and(|last| known.contains(&last.index));
            let (merged, new): (Vec<_>, Vec<_>) = self.placements(run).into_iter().partition(is_known);
            report.merged += merged.len();
            pairs.extend(new);
        }
        pairs
    }

    /// The run with the faults of `run` and one more, for every placement after them.
    fn placements(&self, run: &Run) -> Vec<Vec<Planned>> {
        let last = run.faults.last().map(|planned| planned.index);
        let wanted = if last.is_some() { self.pairs } else { self.only };
        let later = run.sites.iter().filter(|site| last.is_none_or(|last| site.index > last) && wanted(site));
        later
            .flat_map(|site| site.faults(last.is_some()).map(|fault| Planned { index: site.index, fault }))
            .map(|planned| run.faults.iter().copied().chain([planned]).collect())
            .collect()
    }

    fn run_all(&self, plans: &[Vec<Planned>], report: &mut Report) -> Vec<Run> {
        let next = AtomicUsize::new(0);
        let keep = plans.iter().all(|plan| plan.len() < self.faults);
        let done: Mutex<(BTreeMap<usize, Run>, Report)> = Mutex::default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(plan) = plans.get(index) else { return };
                        let run = self.run(plan);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.1.take(&run);
                        if self.first_only && !done.1.broken.is_empty() {
                            next.store(plans.len(), Ordering::Relaxed);
                        }
                        if keep {
                            done.0.insert(index, run);
                        }
                    }
                });
            }
        });
        let (runs, found) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.add(found);
        runs.into_values().collect()
    }

    /// One execution with two faults that a seed chooses among all placements.
    #[must_use]
    pub fn random_pair(&self, seed: u64) -> Run {
        let mut run = self.run(&[]);
        for draw in 0..2_u64 {
            let plans = self.placements(&run);
            let mut hasher = DefaultHasher::new();
            (seed, draw).hash(&mut hasher);
            let choice = hasher.finish().checked_rem(u64::try_from(plans.len()).unwrap_or(0)).unwrap_or(0);
            let Some(plan) = usize::try_from(choice).ok().and_then(|choice| plans.get(choice)) else { break };
            run = self.run(plan);
        }
        run
    }

    /// The run with those of its faults alone without which it would not be broken.
    #[must_use]
    pub fn shrunk(&self, run: &Run) -> Run {
        self.run(&shrink(&run.faults, |faults| !self.run(faults).judgement.broken.is_empty()))
    }

    fn may_be_first(&self, run: &Run) -> bool {
        let struck = |site: &&CallSite| run.faults.iter().any(|planned| planned.index == site.index);
        run.sites.iter().find(struck).is_some_and(self.pairs)
    }

    /// One execution. Its calls are noted if another fault may follow, or if it broke.
    #[must_use]
    pub fn run(&self, faults: &[Planned]) -> Run {
        let run = self.execute(faults, faults.len() < self.faults);
        let is_told = !run.sites.is_empty() || run.judgement.broken.is_empty();
        if is_told { run } else { self.execute(faults, true) }
    }

    fn execute(&self, faults: &[Planned], digests: bool) -> Run {
        let Self { scenario, model, tampering, store, stage, .. } = *self;
        execute(&Experiment { scenario, model, faults, tampering, store, digests, stage }).0
    }
}

/// One execution on any store. Returns the world too, for looking closer.
#[must_use]
pub fn run(
    scenario: &Scenario,
    model: VenueModel,
    faults: &[Planned],
    tampering: &dyn Tampering,
    store: &StoreFactory,
    digests: bool,
) -> (Run, Option<World>) {
    execute(&Experiment { scenario, model, faults, tampering, store, digests, stage: None })
}

fn execute(experiment: &Experiment<'_>) -> (Run, Option<World>) {
    let faults = experiment.faults.to_vec();
    let mut run = Run { faults, judgement: Judgement::default(), sites: Vec::new(), calls: 0 };
    let mut world = match World::new(experiment) {
        Ok(world) => world,
        Err(error) => {
            run.judgement.broken.push(in_words(&error));
            return (run, None);
        }
    };
    let outcome = world.run(experiment).and_then(|resolved| {
        let mut judgement = judge(&world, experiment.scenario)?;
        if !resolved {
            let what = world.unresolved()?.unwrap_or_else(|| "nobody has anything to do".to_owned());
            judgement.broken.insert(0, format!("never comes to rest: {what}"));
        }
        Ok(judgement)
    });
    run.judgement =
        outcome.unwrap_or_else(|error| Judgement { broken: vec![in_words(&error)], ..Judgement::default() });
    run.sites = world.probe.sites();
    run.calls = world.probe.calls();
    (run, Some(world))
}

impl Run {
    /// The plan and what was broken, in words.
    #[must_use]
    pub fn story(&self) -> String {
        let site = |planned: &Planned| {
            let site = self.sites.iter().find(|site| site.index == planned.index);
            let at = site.map_or_else(String::new, |site| {
                format!("{:?} {} of process {}", site.actor.role, site.method, site.actor.process)
            });
            format!("{:?} at call {} ({at})", planned.fault, planned.index)
        };
        let faults: Vec<String> = self.faults.iter().map(site).collect();
        format!("[{}] {}", faults.join(", "), self.judgement.broken.join("; "))
    }
}

impl Report {
    fn take(&mut self, run: &Run) {
        self.executions += 1;
        self.missed += usize::from(run.judgement.bought == 0);
        if !run.judgement.broken.is_empty() {
            self.broken.push(run.story());
        }
    }

    fn add(&mut self, other: Self) {
        self.executions += other.executions;
        self.missed += other.missed;
        self.broken.extend(other.broken);
        self.broken.sort();
    }
}
